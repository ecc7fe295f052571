# t/35-quick.t. DevCacheQuick: hits before the other phases, refused or warned of beside
# access control; DevCacheKeyHeaders.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $said = DevCache::Test->start_error(<<'CONF');
<Location "/">
    DevCache On
    DevCacheQuick On
    <Limit GET>
        Require ip 10.0.0.0/8
    </Limit>
</Location>
CONF
like $said, qr/DevCacheQuick On: hits would skip the Require of the same section \([^)]*:\d+\)/,
    'refused beside Require in the same section';
for my $section ('Directory "/"', 'If "true"', 'Files "x"') {
    my ($name) = $section =~ /(\w+)/;
    $said = DevCache::Test->start_error("<$section>\nDevCacheQuick On\n</$name>");
    like $said, qr/DevCacheQuick (?:not allowed in|cannot occur within) <$name/, "refused in <$name>";
}

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite', 'authz_host']);
<Location "/q/">
    DevCache On
    DevCacheQuick On
    DevCacheStatusHeader On
    Header set X-Now "%t"
</Location>
<Location "/q/private/">
    DevCacheQuick Off
</Location>
<Location "/keyed/">
    DevCache On
    DevCacheKeyHeaders X-Forwarded-Proto X-Country
</Location>
<Location "/bypassed/">
    DevCache On
</Location>
<Directory "/nowhere">
    Require all denied
</Directory>
RewriteEngine On
RewriteCond %{HTTP_COOKIE} blocked
RewriteRule ^ - [F]
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0009: conf: DevCacheQuick On \([^)]*\) serves hits before the Require at/);
$t->expect_log(qr/DC0009: conf: .* before the RewriteRule at/);
my $auto = $t->origin_auto(sub {
    my $req = shift;
    return (200, { 'Cache-Control' => 'max-age=60', ETag => '"e"' },
        join ' ', map { $req->header($_) // '-' } qw(X-Device-Type X-Forwarded-Proto X-Country));
});

for my $agent (PC, PHONE) {
    my $body = $agent eq PC ? 'pc - -' : 'mobile - -';
    is $t->get('/q/a', 'User-Agent' => $agent)->{body}, $body, 'a miss takes the ordinary way';
    my $hit = $t->get('/q/a', 'User-Agent' => $agent);
    is $hit->{body}, $body, 'a quick hit is for its device';
    like $hit->header('Cache-Status'), qr/hit/, '… says so';
    ok defined $hit->header('X-Now'), '… and mod_headers runs';
}
is $auto->fetches('/q/a'), 2, 'one fetch per device';
is $t->get('/q/a', 'User-Agent' => PC, Cookie => 'blocked')->{status}, 200,
    'a quick hit comes before rewriting';
is $t->get('/q/a', 'User-Agent' => PC, 'If-None-Match' => '"e"')->{status}, 304, 'quick 304';
is $t->get('/q/a', 'User-Agent' => PC, Range => 'bytes=0-1')->{body}, 'pc', 'quick range';
is $t->head('/q/a', 'User-Agent' => PC)->header('Content-Length'), 6, 'quick HEAD';
for my $path ('/q/private/a', '/q/./private/a', '/q//private/a', '/q/%70rivate/a', '/q/x/../private/a') {
    $t->get('/q/private/a', 'User-Agent' => PC);
    is $t->get($path, 'User-Agent' => PC, Cookie => 'blocked')->{status}, 403,
        "$path: not quick in any spelling";
}

# Keyed headers.
for my $proto ('http', 'https') {
    is $t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => $proto)->{body},
        "pc $proto -", "$proto has its own page" for 1, 2;
}
is $t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http', 'X-Country' => 'de')->{body},
    'pc http de', 'and so has each country';
is $t->get('/keyed/a', 'User-Agent' => PC)->{body}, 'pc - -', 'absent is a value of its own';
is $auto->fetches('/keyed/a'), 4, 'four pages, four fetches';
$t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http', 'X-Forwarded-Host' => 'evil') for 1, 2;
is $auto->fetches('/keyed/a'), 6, 'what is not named still bypasses';
$t->get('/bypassed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http') for 1, 2;
is $auto->fetches('/bypassed/a'), 2, 'without the directive it bypasses';

$t->finish;
done_testing;
