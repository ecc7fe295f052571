# SPDX-License-Identifier: Apache-2.0
# t/51-front.t. What stands before the cache or beside it: client addresses by mod_remoteip (a
# header, the PROXY protocol), mod_expires, mod_ratelimit, mod_reqtimeout, content filters of all
# kinds, mod_macro, mod_cache in another place.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;
use Time::HiRes qw(time);

my @modules = qw(remoteip authz_host expires ratelimit reqtimeout sed substitute ext_filter brotli
                 deflate filter env macro cache cache_disk rewrite mime);
my $t = DevCache::Test->start(<<'CONF', modules => \@modules, ports => ['WRAPPED']);
TypesConfig /dev/null
DevCacheStatusHeader On
DevCacheVaryDevice Off
RequestReadTimeout header=5-10,MinRate=500 body=5,MinRate=500
RemoteIPHeader X-Client-IP
RemoteIPInternalProxy 127.0.0.1
ExtFilterDefine upper mode=output cmd="/usr/bin/tr a-z A-Z"
<Macro Cached $path>
    <Location "$path">
        DevCache On
    </Location>
</Macro>
Use Cached /told/
Use Cached /filtered/
<Location "/inside/">
    DevCache On
    Require ip 10.1.0.0/16
</Location>
<Location "/told/expires/">
    ExpiresActive On
    ExpiresDefault "access plus 1 hour"
</Location>
<Location "/told/limited/">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 200
</Location>
<Location "/filtered/sed">
    AddOutputFilterByType SED text/plain
    OutputSed "s/plain/sedded/g"
</Location>
<Location "/filtered/substitute">
    AddOutputFilterByType SUBSTITUTE text/plain
    Substitute "s/plain/<plain>/"
</Location>
<Location "/filtered/ext">
    SetOutputFilter upper
</Location>
<Location "/filtered/brotli">
    SetOutputFilter BROTLI_COMPRESS
</Location>
<Location "/filtered/both">
    SetOutputFilter SUBSTITUTE;DEFLATE
    Substitute "s/plain/<plain>/"
</Location>
CacheRoot "@DIR@/mod_cache"
CacheQuickHandler off
CacheEnable disk /theirs/
<Location "/told/theirs/">
    CacheDisable on
</Location>
ProxyPass / @ORIGIN@/
Listen 127.0.0.1:@WRAPPED@
<VirtualHost 127.0.0.1:@WRAPPED@>
    RemoteIPProxyProtocol On
    RemoteIPHeader Not-Sent
    ProxyPass / @ORIGIN@/
</VirtualHost>
CONF
mkdir $t->dir . '/mod_cache' or die;
DevCache::Httpd->give_to_children($t->dir . '/mod_cache', 0700);
my $site = DevCache::Told->new($t);
my @fresh = (200, 'Cache-Control' => 'max-age=600', 'Content-Type' => 'text/plain');
sub status_of { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1
    : 'none' }

# --- who the client is ------------------------------------------------------------------------

my @friend = ('X-Client-IP' => '10.1.2.3');
is $site->ask('/inside/p', [@fresh], @friend)->{status}, 200, 'an address by a header: let in';
my $hit = $site->ask('/inside/p', undef, @friend);
is "$hit->{status} $hit->{fetches}", '200 0', 'from the cache';
is $site->ask('/inside/p', undef, 'X-Client-IP' => $_)->{status}, 403, "$_ is not, to what is stored"
    for '10.2.2.3', '127.0.0.1';
is $site->ask('/inside/p')->{status}, 403, 'nor is who has no such header';
$t->allow_log(qr/AH01630: client denied/);

# A request behind a line of the PROXY protocol, of either version.
sub wrapped {
    my ($line, $path, $answer) = @_;
    my $c = $t->client($t->port('WRAPPED'));
    my (undef, $text) = DevCache::Client::request_text($t->port('WRAPPED'), $path, $answer
        ? ('X-Answer' => unpack 'H*', pack '(N/a*)*', @$answer) : ());
    my $before = $site->{auto}->fetches;
    $c->send_raw($line . $text);
    my $res = $c->expect('GET')->response;
    $res->{fetches} = $site->{auto}->fetches - $before;
    return $res;
}
sub v1 { return "PROXY TCP4 $_[0] 127.0.0.1 40000 80\r\n" }
sub v2 {
    return "\r\n\r\n\0\r\nQUIT\n" . pack 'CCn a4 a4 nn', 0x21, 0x11, 12,
        (map { pack 'C4', split /\./ } $_[0], '127.0.0.1'), 40000, 80;
}
for ([1, \&v1], [2, \&v2]) {
    my ($version, $line) = @$_;
    my $res = wrapped($line->('10.1.9.9'), "/inside/v$version", [@fresh]);
    is "$res->{status} $res->{fetches}", '200 1', "PROXY version $version: let in";
    $res = wrapped($line->('10.1.8.8'), "/inside/v$version");
    is "$res->{status} $res->{fetches}", '200 0', 'from the cache';
    is wrapped($line->('10.2.0.1'), "/inside/v$version")->{status}, 403, 'another is not';
}

# A refresh in the background goes as the visitor did.
wrapped(v1('10.1.9.9'), '/inside/swr', [200, ':body' => 'one',
    'Cache-Control' => 'max-age=10, stale-while-revalidate=1000']);
$t->clock_advance(11);
is wrapped(v1('10.1.7.7'), '/inside/swr', [200, ':body' => 'two', 'Cache-Control' => 'max-age=600'])
    ->{body}, 'one', 'stale';
$t->wait_counter(refreshes => 1);
is wrapped(v1('10.1.7.7'), '/inside/swr')->{body}, 'two', 'refreshed, behind the PROXY protocol';

# --- mod_expires ------------------------------------------------------------------------------

my $res = $site->ask('/told/expires/p', [200]);
like $res->header('Cache-Control'), qr/max-age=3600/, 'ExpiresDefault: told to visitors';
$res = $site->ask('/told/expires/p');
is $res->{fetches}, 0, 'and kept to';
$t->clock_advance(3500);
is $site->ask('/told/expires/p')->{fetches}, 0, 'for an hour';
$t->clock_advance(200);
is $site->ask('/told/expires/p', [200])->{fetches}, 1, 'not longer';
for my $what ('no-store', 'private', 'no-cache') {
    $site->ask("/told/expires/$what", [200, 'Cache-Control' => $what]);
    is $site->ask("/told/expires/$what", [200, 'Cache-Control' => $what])->{fetches}, 1,
        "ExpiresDefault does not overrule $what";
}
$site->ask('/told/expires/cookie', [200, 'Set-Cookie' => 'a=1']);
is $site->ask('/told/expires/cookie', [200])->{fetches}, 1, 'nor a cookie';
$site->ask('/told/expires/error', [500, ':body' => 'oops']);
is $site->ask('/told/expires/error', [@fresh])->{fetches}, 1, 'nor does it keep an error';

# --- mod_ratelimit ----------------------------------------------------------------------------

my $whole = $site->ask('/told/limited/p', [@fresh, ':size' => 200_000])->{body};
my $begun = time;
$hit = $site->ask('/told/limited/p');
is $hit->{fetches}, 0, 'mod_ratelimit: a hit';
ok $hit->{body} eq $whole, 'with the right body';
cmp_ok time - $begun, '>', 0.5, 'is held back as well';

# --- filters ----------------------------------------------------------------------------------

my $text = 'some plain text, ' x 200;
my %changed = (
    sed        => 'some sedded text, ' x 200 . "\n",
    substitute => 'some <plain> text, ' x 200,
    ext        => uc $text,
);
for my $filter (sort keys %changed) {
    my $path = "/filtered/$filter";
    $res = $site->ask($path, [@fresh, ETag => '"f"', ':body' => $text]);
    is $res->{body}, $changed{$filter}, "$filter: filtered";
    $hit = $site->ask($path);
    is "$hit->{fetches} $hit->{body}", "0 $res->{body}", '… once';
    is $site->ask($path, undef, Range => 'bytes=5-9')->{body}, substr($changed{$filter}, 5, 5),
        '… a range is of what is sent';
    is $t->head($path)->header('Content-Length'), length $changed{$filter}, '… and so is the length';
    $t->clock_advance(601);
    $res = $site->ask($path, [304, ETag => '"f"', 'Cache-Control' => 'max-age=600']);
    is "$res->{fetches} $res->{body}", "1 $changed{$filter}", '… confirmed by 304: not once more';
}
for my $filter (qw(brotli both)) {
    my $coding = $filter eq 'brotli' ? 'br' : 'gzip';
    my @accept = ('Accept-Encoding' => $coding);
    $res = $site->ask("/filtered/$filter", [@fresh, ETag => '"f"', ':body' => $text], @accept);
    is $res->header('Content-Encoding'), $coding, "$filter: compressed";
    $hit = $site->ask("/filtered/$filter", undef, @accept);
    is "$hit->{fetches} " . ($hit->{body} eq $res->{body}), '0 1', '… once';
    is $site->ask("/filtered/$filter", [@fresh, ':body' => 'clear'])->header('Content-Encoding'), undef,
        '… others have it in clear';
    is $site->ask("/filtered/$filter", undef, @accept)->{body}, $res->{body}, '… beside it';
}

# --- mod_cache elsewhere ----------------------------------------------------------------------

$site->ask('/theirs/p', [@fresh, ':body' => 'theirs']);
$res = $site->ask('/theirs/p');
is "$res->{fetches} $res->{body} " . status_of($res), '0 theirs none', 'mod_cache has its own place';
$site->ask('/told/theirs/p', [@fresh, ':body' => 'ours']);
$res = $site->ask('/told/theirs/p');
is "$res->{fetches} $res->{body} " . status_of($res), '0 ours hit', 'and this one has its own';
ok wait_until(sub { $t->counters->{flights} == 0 }), 'no fetch is left under way';

$t->finish;
done_testing;
