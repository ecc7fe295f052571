# SPDX-License-Identifier: Apache-2.0
# t/40-pitfalls.t. What goes wrong with mod_cache and the usual recipe around it, as tried on
# httpd 2.4.71, one row each (E and a number); here each of them must go right. Rows about
# compression are in t/46-content.t, those about odd paths in t/45-hostile-client.t.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite', 'authz_host']);
LimitRequestFieldSize 40000
<Proxy "@ORIGIN@/">
    ProxySet responsefieldsize=65536 disablereuse=on
</Proxy>
DevCacheStatusHeader On
DevCacheKnownHeaders X-Session-Pin
<Location "/">
    DevCache On
</Location>
<Location "/recipe/">
    DevCacheVaryDevice Off
    SetEnvIf User-Agent "iPhone|Android" is_mobile
    RequestHeader set X-Device desktop
    RequestHeader set X-Device mobile env=is_mobile
    Header merge Vary X-Device
</Location>
<Location "/early/">
    DevCacheVaryDevice Off
</Location>
RequestHeader set X-Early "%{REQUEST_SCHEME}s" early
<Location "/exact/">
    DevCacheVaryUserAgent exact
    DevCacheMaxVariants 10
</Location>
<Location "/default/">
    DevCacheDefaultTTL 3600
</Location>
<Location "/max/">
    DevCacheMaxTTL 1
</Location>
<Location "/min/">
    DevCacheMinTTL 600
</Location>
<Location "/calm/">
    DevCacheIgnoreClientControl On
</Location>
<Location "/query/">
    DevCacheQuery deny utm_* fbclid
</Location>
<Location "/time/">
    Header set X-Reqtime "%t"
    Header add X-Added once
    Header always set X-Always "%t"
</Location>
<LocationMatch "^/if/">
    <If "%{HTTP_COOKIE} =~ /session=/">
        DevCache Off
    </If>
    <If "%{QUERY_STRING} == 'long'">
        DevCacheForceTTL 1000
    </If>
</LocationMatch>
RewriteEngine On
RewriteCond %{HTTP:X-Ban} =yes
RewriteRule ^/rules/ - [F]
<Location "/members/">
    Require expr "%{HTTP_COOKIE} =~ /member=yes/"
</Location>
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0180: .*DevCacheVaryUserAgent exact/);
my $site = DevCache::Told->new($t);


# Everything on disk below DevCacheRoot, as one string.
sub on_disk {
    my @todo = $t->root;
    my $all = '';
    while (defined(my $path = shift @todo)) {
        if (-d $path) { push @todo, glob "$path/*"; next }
        open my $file, '<:raw', $path or die "$path: $!\n";
        local $/;
        $all .= <$file>;
    }
    return $all;
}

# E1, E1b, E40: a device header made by SetEnvIf and RequestHeader hits like any other.
for my $agent (PC, PHONE) {
    my $class = $agent eq PC ? 'desktop' : 'mobile';
    my $first = $site->fetched("E1 $class: the first is fetched", '/recipe/p', undef,
        'User-Agent' => $agent);
    my $hit = $site->cached("E1 $class: the second is a hit", '/recipe/p', undef,
        'User-Agent' => $agent, 'X-Device' => $class eq 'mobile' ? 'desktop' : 'mobile');
    is $hit->{body}, $first->{body}, "E1 $class: and a client's own X-Device chooses nothing";
}
my @early = ([200, 'Cache-Control' => 'max-age=60', Vary => 'X-Early']);
$site->fetched('E40: early RequestHeader, first', '/early/p', @early);
$site->cached('E40: early RequestHeader, second', '/early/p', @early, 'X-Early' => 'spoofed');

# E2: Vary: User-Agent and 200 of them.
my $vary_ua = [200, 'Cache-Control' => 'max-age=60', Vary => 'User-Agent', ':body' => 'x' x 60];
my $before = $site->{auto}->fetches('/ua');
$site->ask('/ua', $vary_ua, 'User-Agent' => "Mozilla/5.0 (Windows NT 10.0) Firefox/$_") for 1 .. 200;
is $site->{auto}->fetches('/ua') - $before, 1, 'E2: 200 desktop agents, one fetch';
my $stored = $t->counters->{store_objects};
$site->ask('/exact/ua', $vary_ua, 'User-Agent' => "agent $_") for 1 .. 50;
cmp_ok $t->counters->{store_objects} - $stored, '<=', 10, 'E2: exact: DevCacheMaxVariants holds';
cmp_ok scalar(() = glob $t->root . '/*'), '<', 20, 'E2: few files';

# E4: Set-Cookie.
my $alice = [200, 'Cache-Control' => 'max-age=600', 'Set-Cookie' => 'sid=ALICE'];
is $site->fetched('E4: Set-Cookie, first', '/sid', $alice)->header('Set-Cookie'), 'sid=ALICE',
    'E4: reaches its own visitor';
is $site->fetched('E4: Set-Cookie, next visitor', '/sid')->header('Set-Cookie'), undef,
    'E4: and nobody else';

# E5: secrets of a request on disk.
my $public = [200, 'Cache-Control' => 'public, max-age=60', Vary => 'Accept',
    ':body' => 'E5-body-of-the-page'];
my @secrets = (Cookie => 'sid=E5-cookie', Authorization => 'Basic E5-password',
    'User-Agent' => 'E5-agent', 'X-Session-Pin' => 'E5-key');
$site->fetched('E5: with credentials', '/secret', $public, @secrets);
$site->cached('E5: stored', '/secret', $public);
my @e5 = on_disk() =~ /E5-(body|cookie|password|agent|key)/g;
is "@e5", 'body', 'E5: the page is on disk, credentials are not';

# E6: two lines of Vary.
my $two = [200, 'Cache-Control' => 'max-age=60', Vary => 'X-A', Vary => 'X-B'];
my %two;
for my $round (0, 1) {
    for my $v ('1 1', '1 2', '2 1') {
        my ($x, $y) = split / /, $v;
        my $res = $site->ask('/two', $two, 'X-A' => $x, 'X-B' => $y);
        is $res->{fetches}, 1 - $round, "E6: two lines of Vary, $v, round $round";
        is $two{$v} //= $res->{body}, $res->{body}, 'E6: its own page';
    }
}

# E7: a Cache-Control extension does not make an error cacheable.
for my $status (302, 403, 404, 429, 500) {
    my $odd = [$status, 'Cache-Control' => 'no-transform'];
    $site->fetched("E7: $status with no-transform, $_", "/odd/$status", $odd) for 1, 2;
}
for my $status (302, 403, 429, 500) {
    my $odd = [$status, 'Cache-Control' => 'no-transform', ETag => '"e"'];
    $site->fetched("E7: $status under DevCacheDefaultTTL, $_", "/default/$status", $odd) for 1, 2;
    is $site->last_request->[2]{'if-none-match'}, undef, 'E7: and nothing to validate';
}

# E8: bounds on the origin's lifetimes.
$site->fetched('E8: max-age=600', '/max/p', [200, 'Cache-Control' => 'max-age=600']);
$site->fetched('E8: max-age=1', '/min/p', [200, 'Cache-Control' => 'max-age=1']);
$t->clock_advance(2);
$site->fetched('E8: DevCacheMaxTTL 1', '/max/p');
$site->cached('E8: DevCacheMinTTL 600', '/min/p');

# E9: must-revalidate, while somebody else's validation is under way.
my $must = [200, 'Cache-Control' => 'max-age=1, must-revalidate', ETag => '"m"',
    ':body' => 'old'];
$site->fetched('E9: stored', '/must', $must);
$t->clock_advance(2);
my $slow = $site->send_req('/must', [@$must[0 .. 4], ':body' => 'new', ':hold' => 'E9']);
wait_until(sub { $site->{auto}->fetches('/must') == 2 });
is $site->ask('/must', [200, 'Cache-Control' => 'no-store', ':body' => 'new'])->{body}, 'new',
    'E9: no stale answer to the second';
$site->{auto}->release('E9');
is $slow->response->{body}, 'new', 'E9: nor to the first';

# E11, E11b: unsafe requests.
my $by_lang = [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language'];
sub fill_variants {
    my $path = shift;
    $site->ask($path, $by_lang, 'Accept-Language' => $_) for qw(en de);
}
sub gone {
    my ($name, $path) = @_;
    $site->fetched("$name: $_ gone", $path, $by_lang, 'Accept-Language' => $_) for qw(en de);
}
my @unsafe = (
    [POST   => 'POST', '/item', [200]],
    [PATCH  => 'PATCH', '/item', [200]],
    [DELETE => 'DELETE', '/item', [204]],
    ['POST with credentials' => 'POST', '/item', [200], Authorization => 'Basic x'],
    ['POST redirected'       => 'POST', '/item', [303, Location => '/elsewhere']],
    ['POST, Location'        => 'POST', '/add', [201, Location => '/item']],
    ['POST, whole Location'  => 'POST', '/add', [201, Location => 'HERE/item']],
    ['POST, Content-Location' => 'POST', '/add', [200, 'Content-Location' => 'item']],
);
for (@unsafe) {
    my ($name, $method, $path, $answer, @headers) = @$_;
    fill_variants('/item');
    my $here = 'http://127.0.0.1:' . $t->port;
    my @answer = map { s/^HERE/$here/r } @$answer;
    $site->ask($path, \@answer, ':method' => $method, ':body' => 'q', 'Accept-Language' => 'fr',
        @headers);
    gone("E11: $name", '/item');
}
fill_variants('/item');
$site->ask('/item', [500], ':method' => 'POST', ':body' => 'q');
$site->cached("E11: a POST that failed removes nothing: $_", '/item', undef, 'Accept-Language' => $_)
    for qw(en de);
$site->ask('/add', [201, Location => 'http://other.example/item'], ':method' => 'POST', ':body' => 'q');
$site->cached('E11: nor does a Location of another site', '/item', undef, 'Accept-Language' => 'en');

# E12: a range of what is not stored; then of what is.
my @range = (Range => 'bytes=2-4');
my $part = [206, 'Cache-Control' => 'max-age=60', 'Content-Range' => 'bytes 2-4/10',
    ':body' => '234'];
my $whole = [200, 'Cache-Control' => 'max-age=60', ':body' => '0123456789'];
is $site->fetched('E12: range on a miss', '/range', $part, @range)->{status}, 206, 'E12: is passed on';
is $site->fetched('E12: and not stored', '/range', $whole)->{body}, '0123456789', 'E12: as the whole';
is $site->cached('E12: a range of the whole', '/range', $whole, @range)->{body}, '234', 'E12: is a hit';

# E14: clients that would have everything from the origin.
$site->ask('/calm/p');
my @control = (['Cache-Control' => 'no-cache'], ['Cache-Control' => 'max-age=0'],
    ['Cache-Control' => 'no-store'], [Pragma => 'no-cache']);
$site->cached("E14: DevCacheIgnoreClientControl, @$_", '/calm/p', undef, @$_) for @control;
$site->ask('/wild/p');
$site->fetched("E14: and without it, @$_", '/wild/p', undef, @$_) for @control;

# E17: how long a dead origin's pages are served.
$site->fetched('E17: stale-if-error=30', '/sie', [200,
    'Cache-Control' => 'max-age=1, stale-if-error=30']);
$site->fetched('E17: must-revalidate', '/sie-must',
    [200, 'Cache-Control' => 'max-age=1, must-revalidate, stale-if-error=30']);
$t->clock_advance(20);
is $site->ask('/sie', [503])->{status}, 200, 'E17: within the limit';
is $site->ask('/sie-must', [503])->{status}, 503, 'E17: never with must-revalidate';
$t->clock_advance(20);
is $site->ask('/sie', [503])->{status}, 503, 'E17: past the limit';

# E18: a long header field is served as it was stored.
my $csp = 'default-src ' . join ' ', map { "https://host$_.example" } 1 .. 400;
my $long = [200, 'Cache-Control' => 'max-age=60', 'Content-Security-Policy' => $csp];
cmp_ok length $csp, '>', 9000, 'E18: a field of more than 9,000 bytes';
ok $site->fetched('E18: first', '/csp', $long)->header('Content-Security-Policy') eq $csp, 'E18: whole';
ok $site->cached('E18: hit', '/csp')->header('Content-Security-Policy') eq $csp, 'E18: and on a hit';

# E20: an empty body.
my $moved = [301, 'Cache-Control' => 'max-age=60', Location => '/new', ':body' => ''];
$site->fetched('E20: 301', '/moved', $moved);
my $res = $site->cached('E20: 301 with an empty body is stored', '/moved', $moved);
like "$res->{status} " . $res->header('Location'), qr{^301 \S*/new$}, 'E20: with its Location';

# E22: one page, however its query is written.
$site->fetched('E22: query', '/query/p?a=1&b=2');
$site->cached("E22: $_", "/query/p?$_") for 'b=2&a=1', 'a=1&b=2&utm_source=x', 'fbclid=1&b=2&a=1',
    '&a=1&&b=2';
$site->fetched("E22: $_ is another page", "/query/p?$_") for 'a=2&b=1', 'a=1', 'a=1&b=2&c', 'A=1&b=2';

# E24: one coding preference, however it is written.
my $coded = [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Encoding', 'Content-Encoding' => 'gzip'];
$site->fetched('E24: first', '/coded', $coded, 'Accept-Encoding' => 'gzip, deflate, br');
$site->cached("E24: $_", '/coded', $coded, 'Accept-Encoding' => $_)
    for 'gzip,deflate,br', 'br, gzip, deflate', 'GZIP, Deflate, bR', 'gzip;q=1.0, deflate, br',
    'x-gzip, deflate, br', 'gzip';
my $uncoded = [200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Encoding'];
$site->fetched('E24: who does not take gzip', '/coded', $coded, 'Accept-Encoding' => 'gzip;q=0, deflate, br');
$site->fetched('E24: nor any', '/coded', $uncoded, 'Accept-Encoding' => 'identity');

# E25: names of one host that are the same by HTTP, and names that are not.
my $port = $t->port;
$site->fetched('E25: a host', '/host', undef, Host => "www.example:$port");
$site->cached('E25: in capitals', '/host', undef, Host => "WWW.Example:$port");
$site->fetched('E25: another name may be another site', '/host', undef, Host => "example:$port");

# E26: X-Forwarded-Host is reflected by applications.
my @evil = ('X-Forwarded-Host' => 'evil.example');
$site->fetched('E26: X-Forwarded-Host', '/reflect', undef, @evil);
$site->fetched('E26: was not stored', '/reflect');
$site->fetched('E26: nor may it use the cache', '/reflect', undef, @evil);

# E33: an answer without Vary for a URL that had it.
my $without = [404, 'Cache-Control' => 'max-age=60'];
$site->ask('/orphan', $by_lang, 'Accept-Language' => $_) for qw(en de);
is $site->ask('/orphan', $without, 'Accept-Language' => 'fr')->{status}, 404, 'E33: a 404 without Vary';
is $site->cached("E33: $_ is still served", '/orphan', undef, 'Accept-Language' => $_)->{status}, 200,
    'E33: as it was' for qw(en de);
is $site->cached('E33: the 404', '/orphan', undef, 'Accept-Language' => 'fr')->{status}, 404,
    'E33: is for those who have nothing better';
$t->clock_advance(61);
$site->fetched('E33: later, without Vary for good', '/orphan', undef, 'Accept-Language' => 'en');
$site->cached('E33: the old variants are no obstacle', '/orphan', undef, 'Accept-Language' => $_)
    for qw(en de fr);

# E34: fields that mod_headers sets are of this answer, not of the stored one.
sub times_of { return map { $_[0]->header($_) =~ /t=(\d+)/ } 'X-Reqtime', 'X-Always' }
my @first = times_of($site->fetched('E34: Header set "%t"', '/time/p'));
select undef, undef, undef, 0.001;
my $hit = $site->cached('E34: hit', '/time/p');
my @second = times_of($hit);
is scalar @second, 2, 'E34: both fields are there';
cmp_ok $second[$_], '>', $first[$_], 'E34: ' . (qw(set always))[$_] . ' is of the hit' for 0, 1;
is $hit->header('X-Added'), 'once', 'E34: and add does not add twice';

# E37: policy in <If>.
$site->fetched('E37: first', '/if/p');
$site->cached('E37: hit', '/if/p');
$site->fetched('E37: <If> on a cookie switches the cache off', '/if/p', undef, Cookie => 'session=1');
$site->fetched('E37: and another sets a lifetime', '/if/p?long', [200, 'Cache-Control' => 'max-age=1']);
$t->clock_advance(500);
$site->cached('E37: which holds', '/if/p?long');

# E42: a GET with a body.
$site->fetched('E42: fat GET', '/fat', [200, 'Cache-Control' => 'max-age=60', ':body' => 'evil'],
    ':body' => 'x=evil');
isnt $site->fetched('E42: then a plain one', '/fat')->{body}, 'evil', 'E42: was not stored';
isnt $site->fetched('E42: nor is a stored one used', '/fat', undef, ':body' => 'x=y')->{body},
    $site->cached('E42: by a fat GET', '/fat')->{body}, 'E42: two answers';

# E46: a query, Last-Modified and nothing else: kept, and validated at each use.
my $modified = [200, 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT', ':body' => 'kept'];
$site->fetched('E46: Last-Modified only', '/lm?q=1', $modified);
$res = $site->fetched('E46: asked again', '/lm?q=1', [304]);
is "$res->{status} $res->{body}", '200 kept', 'E46: confirmed by a 304, served from the store';

# E48: stale-while-revalidate: nobody waits for the origin.
$site->fetched('E48: stored', '/swr',
    [200, 'Cache-Control' => 'max-age=1, stale-while-revalidate=600', ':body' => 'old']);
$t->clock_advance(2);
my $client = $t->client;
my @held = (200, 'Cache-Control' => 'max-age=60', ':body' => 'new', ':hold' => 'E48');
my $x = $site->send_req('/swr', \@held);
is $x->response->{body}, 'old', 'E48: the stale page at once, with the origin still to answer';
$site->{auto}->release('E48');
$t->wait_counter(refreshes => 1);
is $site->cached('E48: then the new one', '/swr')->{body}, 'new', 'E48: from the cache';

# E27b: what is forbidden is forbidden on hits too.
$site->fetched('E27b: a page', '/rules/p');
$site->cached('E27b: stored', '/rules/p');
is $site->ask('/rules/p', undef, 'X-Ban' => 'yes')->{status}, 403,
    'E27b: RewriteRule [F] holds on a hit';
$site->fetched('E27b: members', '/members/p', undef, Cookie => 'member=yes');
$site->cached('E27b: stored', '/members/p', undef, Cookie => 'member=yes');
is $site->ask('/members/p')->{status}, 403, 'E27b: Require holds on a hit';

$t->expect_log(qr/authz_core:error.*AH01630/);
$t->finish;
done_testing;
