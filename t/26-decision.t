# SPDX-License-Identifier: Apache-2.0
# t/26-decision.t. One list of situations, played to a server that caches, to its explanations
# and to one that only observes: all three come to the same decision for the same reason.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use Test::More;
use DevCache::Test;

my $conf = <<'CONF';
TypesConfig /dev/null
AddType text/html .shtml
<Location "/">
    DevCache @MODE@
    DevCacheFetchWhole Off
</Location>
<Location "/off/">
    DevCache Off
</Location>
<Location "/ahead/">
    DevCacheRefreshAhead 50
</Location>
<Location "/bypass/">
    DevCacheBypass "%{HTTP:X-Preview} == 'yes'"
</Location>
<Location "/query/">
    DevCacheQuery deny utm_*
</Location>
<Location "/alike/">
    DevCacheVaryDevice Off
</Location>
<Location "/put-together/">
    Options +Includes
    SetOutputFilter INCLUDES
</Location>
<Location "/put-together/ahead/">
    DevCacheRefreshAhead 50
</Location>
<Location "/st">
    ProxyPass !
    SetHandler devcache-status
    Require ip 127.0.0.1
</Location>
Alias /files/ "@DIR@/htdocs/"
ProxyPass /files/ !
ProxyPass / @ORIGIN@/ disablereuse=on
<Directory "@DIR@/htdocs">
    Require all granted
    Options FollowSymLinks Includes
    AllowOverride FileInfo
    AddOutputFilter INCLUDES .shtml
    Header set Cache-Control "max-age=100, stale-while-revalidate=1000"
</Directory>
CONF

sub page {
    my $request = shift;
    local $_ = $request->{target};
    my %said = ('Cache-Control' => m{/private} ? 'private' : m{/must} ? 'no-cache' : 'max-age=100');
    $said{'Cache-Control'} .= ', stale-while-revalidate=1000' if m{/swr};
    $said{'Cache-Control'} .= ', must-revalidate' if m{/never-stale};
    $said{ETag} = '"e"';
    $said{Vary} = 'Cookie' if m{/cookie};
    $said{'Content-Type'} = 'text/html';
    return (304, \%said, '') if ($request->header('If-None-Match') // '') eq '"e"';
    return (200, \%said, 'page');
}

sub start {
    my $mode = shift;
    my $t = DevCache::Test->start($conf =~ s/\@MODE\@/$mode/r,
        modules => ['rewrite', 'include', 'mime', 'filter', 'authz_host']);
    $t->write_file('htdocs/plain.txt', "plain\n");
    $t->write_file('htdocs/page.shtml', "together\n");
    mkdir $t->dir . "/htdocs/$_" or die for qw(app app/inner);
    $t->write_file('htdocs/app/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteBase /files/app/
RewriteCond %{REQUEST_URI} !/inner/
RewriteRule (.*) inner/$1
HTACCESS
    $t->write_file('htdocs/app/inner/x', "inner\n");
    $t->origin_auto(\&page);
    return $t;
}

my ($on, $observed) = map { start($_) } qw(On Observe);

sub escape { return $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }

sub explained {
    my ($path, %fields) = @_;
    my $question = '?explain=' . escape('http://127.0.0.1:' . $on->port . $path);
    $question .= '&header=' . escape("$_: $fields{$_}") for sort keys %fields;
    my $said = JSON::PP->new->utf8->decode($on->get("/st$question")->{body});
    return join ' ', $said->{answer}, $said->{because}{reason} // '-';
}

# The words of the line that a request adds to a log, maybe a moment after its answer; "off" if
# none does, and none is expected.
sub logged {
    my ($as, $t, $re, $path, @headers) = @_;
    my $before = () = $t->log_lines($re);
    my @lines;
    $t->get($path, @headers);
    wait_until(sub { @lines = $t->log_lines($re); @lines > $before || $as =~ /^off/ });
    return 'off -' if @lines == $before;
    return join ' ', $lines[$before] =~ $re;
}
sub served { return logged(shift, $on, qr/DC0110: serve: \S+ \[\S+\]: (\S+) \((\S+)\)/, @_) }
sub foretold { return logged(shift, $observed, qr/DC0181: observe: \S+ \[\S+\]: would be (\S+) \((\S+)\)/, @_) }

my %sum;

# One situation: the three agree, and on this.
sub decided {
    my ($name, $as, $path, @headers) = @_;
    subtest $name => sub {
        my %fields = @headers;
        my $can_be_explained = !delete $fields{':method'} && !delete $fields{':body'};
        is explained($path, %fields), $as, 'explained' if $can_be_explained;
        is served($as, $path, @headers), $as, 'served';
        is foretold($as, $path, @headers), $as, 'foretold';
    };
    my ($what) = split ' ', $as;
    $sum{requests}++ if $what ne 'off';
    $sum{$what =~ /hit|stale/ ? 'hits' : $what eq 'bypass' ? 'bypasses' : 'others'}++;
    return;
}

# What a visitor has fetched on both.
sub stored {
    for my $path (@_) {
        decided("$path is not there", 'miss uri-miss', $path, 'User-Agent' => PC);
    }
    return;
}

my @pc = ('User-Agent' => PC);
stored(qw(/page /must /never-stale /swr /cookie /ahead/page /alike/page /query/page?utm_a=1&b=2
    /put-together/page /put-together/swr /put-together/ahead/page /files/plain.txt /files/page.shtml));

decided('a copy', 'hit -', '/page', @pc);
decided('for another device', 'miss vary', '/page', 'User-Agent' => PHONE);
decided('where devices are alike', 'hit -', '/alike/page', 'User-Agent' => PHONE);
decided('a part of the query does not count', 'hit -', '/query/page?utm_a=2&b=2', @pc);
decided('another cookie', 'miss vary', '/cookie', @pc, Cookie => 'theme=dark');
decided('a part of a copy', 'hit -', '/page', @pc, Range => 'bytes=0-1');
decided('a part of nothing', 'pass range', '/nothing1', @pc, Range => 'bytes=0-1');
decided('If-Match of a copy', 'hit -', '/page', @pc, 'If-Match' => '"e"');
decided('a part of nothing was all', 'hit -', '/nothing1', @pc);
decided('If-Match of nothing', 'pass precondition', '/nothing2', @pc, 'If-Match' => '"e"');
decided('If-None-Match of a copy', 'hit -', '/page', @pc, 'If-None-Match' => '"e"');
decided('only-if-cached, a copy', 'hit -', '/page', @pc, 'Cache-Control' => 'only-if-cached');
decided('only-if-cached, nothing', 'timeout only-if-cached', '/nothing', @pc, 'Cache-Control' => 'only-if-cached');
decided('no-cache and only-if-cached', 'timeout request-no-cache', '/page', @pc,
    'Cache-Control' => 'only-if-cached, no-cache');
decided('no-cache', 'validate request-no-cache', '/page', @pc, 'Cache-Control' => 'no-cache');
decided('max-age=0', 'validate request-max-age', '/page', @pc, 'Cache-Control' => 'max-age=0');
decided('min-fresh', 'validate request-min-fresh', '/page', @pc, 'Cache-Control' => 'min-fresh=1000');
decided('no-store', 'bypass request-no-store', '/page', @pc, 'Cache-Control' => 'no-store');
decided('no-cache of the origin', 'validate no-cache', '/must', @pc);
decided('private', 'miss uri-miss', '/private', @pc) for 1 .. 2;
decided('a header that changes pages', 'bypass override-header', '/page', @pc, 'X-Forwarded-Host' => 'evil');
decided('DevCacheBypass', 'bypass bypass', '/bypass/page', @pc, 'X-Preview' => 'yes');
decided('without what it asks for', 'miss uri-miss', '/bypass/page', @pc);
decided('DevCache Off', 'off -', '/off/page', @pc);
decided('HEAD of a copy', 'hit -', '/page', @pc, ':method' => 'HEAD');
decided('HEAD of nothing', 'miss uri-miss', '/nothing', @pc, ':method' => 'HEAD');
decided('OPTIONS', 'bypass method', '/page', @pc, ':method' => 'OPTIONS');
decided('POST', 'bypass method', '/other', @pc, ':method' => 'POST', ':body' => 'b');
decided('with Authorization', 'hit -', '/page', @pc, Authorization => 'Basic eDp5');
decided('rewritten in its directory', 'miss uri-miss', '/files/app/x', @pc);
decided('the same again', 'hit -', '/files/app/x', @pc);
decided('about to expire', 'hit -', '/ahead/page', @pc);

$_->clock_advance(60) for $on, $observed;
decided('about to expire, put together', 'hit -', '/put-together/ahead/page', @pc);
decided('about to expire now', 'hit-refresh -', '/ahead/page', @pc);

$_->clock_advance(60) for $on, $observed;
decided('stale', 'validate stale', '/never-stale', @pc);
decided('stale, max-stale', 'stale -', '/page', @pc, 'Cache-Control' => 'max-stale=1000');
decided('never stale, max-stale', 'hit -', '/never-stale', @pc, 'Cache-Control' => 'max-stale=1000');
decided('stale, only-if-cached', 'timeout stale', '/page', @pc, 'Cache-Control' => 'only-if-cached');
decided('a part of a stale one', 'validate stale', '/page', @pc, Range => 'bytes=0-1');
decided('stale while revalidated', 'stale-refresh -', '/swr', @pc);
decided('a file, while revalidated', 'stale-refresh -', '/files/plain.txt', @pc);
decided('put together from parts, by SetOutputFilter', 'validate stale', '/put-together/swr', @pc);
decided('put together from parts, by AddOutputFilter', 'validate stale', '/files/page.shtml', @pc);

my $counted = $observed->counters;
is $counted->{observe_requests}, $sum{requests}, 'every request was observed';
is $counted->{observe_hits}, $sum{hits}, '  hits are counted as they were decided';
is $counted->{observe_bypasses}, $sum{bypasses}, '  and bypasses';
my $came = $on->counters;
is $came->{hits} + $came->{stale_hits}, $sum{hits}, 'as many were served';
is $came->{bypasses}, $sum{bypasses}, '  and as many went by';

$observed->allow_log(qr/DC0180: /);
$_->finish for $on, $observed;
done_testing;
