# t/10-config.t. A wrong configuration stops the start with a sentence; right ones start.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use File::Temp qw(tempdir);

my $on = qq{<Location "/">\n    DevCache On\n</Location>\n};

# Directive lines, and what the sentence must contain.
my @refused = (
    ['DevCacheSize 10x',              qr/DevCacheSize: '10x' is not a number of bytes.* from 524288 to/],
    ['DevCacheSize -1',               qr/DevCacheSize: '-1' is not/],
    ['DevCacheMaxObjectSize 0',       qr/DevCacheMaxObjectSize: '0' is not .* from 1 to/],
    ['DevCacheMaxObjectSize 99999999999999999999', qr/DevCacheMaxObjectSize: .* is not/],
    ['DevCacheMaxVariants 1K5',       qr/DevCacheMaxVariants: '1K5' is not a number from 1 to 1024/],
    ['DevCacheDefaultTTL never',      qr/DevCacheDefaultTTL: 'never' is not a number of seconds/],
    ['DevCacheDefaultTTL 10 20x',     qr/DevCacheDefaultTTL: '20x' is not a final status code/],
    ['DevCacheForceTTL',              qr/DevCacheForceTTL: give a number of seconds/],
    ['DevCacheDeviceHeader "a b"',    qr/DevCacheDeviceHeader: 'a b' is not a header name/],
    ['DevCacheDeviceHeader Host',     qr/DevCacheDeviceHeader: 'Host' is not a header name of its own/],
    ['DevCacheDeviceCookie "a=b"',    qr/DevCacheDeviceCookie: 'a=b' is not a cookie name/],
    ['DevCacheDeviceRule tv "a(b"',   qr/DevCacheDeviceRule: .*a\(b.*3/],
    ['DevCacheDeviceRule "t v" "a"',  qr/DevCacheDeviceRule: .*t v/],
    ['DevCacheDeviceFold tv',         qr/DevCacheDeviceFold: give pairs of classes/],
    ['DevCacheDeviceFold tv nowhere', qr/nowhere/],
    ['DevCacheClientHints Maybe',     qr/DevCacheClientHints: 'Maybe' is not On, Off or Critical/],
    ['DevCacheVaryUserAgent some',    qr/DevCacheVaryUserAgent: 'some' is not device or exact/],
    ['DevCacheQuery allow',           qr/DevCacheQuery: give keep, sort/],
    ['DevCacheQuery some',            qr/DevCacheQuery: give keep, sort/],
    ['DevCacheTargets "a b"',         qr/DevCacheTargets: 'a b' is not a header name/],
    ['DevCacheTagHeader "a b"',       qr/DevCacheTagHeader: 'a b' is not a header name/],
    ['DevCacheTagHeader + x',         qr/DevCacheTagHeader: '\+' is not a header name/],
    ['DevCacheTagHeader',             qr/DevCacheTagHeader: give header names/],
    ['DevCacheBypass "%{REQ:"',       qr/DevCacheBypass: '%\{REQ:' is not an expression/],
    ['DevCache Maybe',                qr/DevCache: 'Maybe' is not On, Off or Observe/],
    ['DevCacheRoot ""',               qr/DevCacheRoot takes one argument/],
    ['DevCacheRoot "/nowhere/at/all"', qr/DC0001: conf: DevCacheRoot "\/nowhere\/at\/all".*(?:No such file|does not exist)/],
    ["DevCacheSize 1M\nDevCacheSegmentSize 1M", qr/DC0001: conf: DevCacheSize: 1048576 is not from 8/],
);
for (@refused) {
    my ($line, $sentence) = @$_;
    my $said = DevCache::Test->start_error("$line\n$on");
    like $said, $sentence, $line =~ s/\n/; /gr;
}

my $said = DevCache::Test->start_error($on, root => 0);
like $said, qr/DC0006: conf: DevCache On \([^)]*:\d+\) needs a place to store in: add DevCacheRoot/,
    'DevCache On without DevCacheRoot';
$said = DevCache::Test->start_error("<Location />\nDevCacheRoot /tmp\n</Location>", root => 0);
like $said, qr/DevCacheRoot not allowed in <Location> context/, 'DevCacheRoot in a Location';

my $file = tempdir(CLEANUP => 1) . '/file';
open my $fh, '>', $file or die;
close $fh;
$said = DevCache::Test->start_error(qq{DevCacheRoot "$file"\n$on});
like $said, qr/DC0001: .*not a directory/i,
    'DevCacheRoot that is a file';
my $open = tempdir(CLEANUP => 1);
chmod 0777, $open;
chown +(getpwnam('www-data'))[2, 3], $open if $> == 0;
$said = DevCache::Test->start_error(qq{DevCacheRoot "$open"\n$on});
like $said, qr/DC0001: .*(?:writable|chmod)/,
    'DevCacheRoot that others can write to';
SKIP: {
    skip 'only root can own another user\'s directory', 1 if $> != 0;
    my $root = tempdir(CLEANUP => 1);
    $said = DevCache::Test->start_error(qq{DevCacheRoot "$root"\n$on});
    like $said, qr/DC0001: .*give it to user/,
        'DevCacheRoot that belongs to another user';
}
$said = DevCache::Test->start_error(<<"CONF", ports => ['B']);
DevCacheSize 8M
$on
Listen 127.0.0.1:\@B\@
<VirtualHost 127.0.0.1:\@B\@>
    DevCacheSize 16M
</VirtualHost>
CONF
like $said, qr/DC0002: conf: DevCacheRoot ".*" is used by two servers with different/,
    'one root, two sizes';

# httpd -t says the same before a reload does, which would be the server's end.
sub tested {
    my ($conf, %options) = @_;
    my ($status, $out) = DevCache::Test->configtest($conf, %options);
    isnt $status, 0, '  and httpd -t fails';
    return $out;
}
my $missing = tempdir(CLEANUP => 1) . '/not';
like tested(qq{DevCacheRoot "$missing"\n$on}),
    qr/DC0010: conf: the server would not start: DevCacheRoot "\Q$missing\E" is not a directory.*create it/,
    'httpd -t: no directory';
ok !-e $missing, '  and makes none';
like tested(qq{DevCacheRoot "$open"\n$on}), qr/DC0010: .*chmod/, 'httpd -t: others can write to it';
like tested("DevCacheSize 1M\nDevCacheSegmentSize 1M\n$on"), qr/DC0010: .*DevCacheSize/, 'httpd -t: sizes';
SKIP: {
    skip 'only root can own another user\'s directory', 2 if $> != 0;
    my $root = tempdir(CLEANUP => 1);
    like tested(qq{DevCacheRoot "$root"\n$on}), qr/DC0010: .*give it to user/,
        'httpd -t: of another user';
}
is +(DevCache::Test->configtest($on))[0], 0, 'httpd -t of a right one';

# Every directive at once, in all its contexts.
my $t = DevCache::Test->start(<<'CONF', ports => ['B']);
DevCacheSize 64M
DevCacheMinFree 0
DevCacheMaxObjects 5000
DevCacheSegmentSize 1M
DevCacheClassify On
DevCacheDeviceHeader X-Class
DevCacheDeviceRule kiosk "Kiosk/[0-9]+"
DevCacheDeviceFold tv pc bot by-agent
DevCacheDeviceCookie view
DevCacheClientHints Critical
DevCacheViewerHeaders On
DevCache On
DevCacheVaryDevice On
DevCacheVaryUserAgent exact
DevCacheMaxVariants 10
<Location "/">
    DevCacheDefaultTTL 60 200 404
    DevCacheMinTTL 1
    DevCacheMaxTTL 1h
    DevCacheForceTTL 5min 301
    DevCacheStaleWhileRevalidate 10
    DevCacheStaleIfError 10
    DevCacheIgnoreClientControl On
    DevCacheStoreSetCookie Off
    DevCacheQuery deny utm_* fbclid
    DevCacheTargets My-Cache-Control CDN-Cache-Control
    DevCacheTagHeader Edge-Cache-Tag +Cache-Tag
    DevCachePurge Off
    DevCacheBypass "%{HTTP_COOKIE} =~ /session/"
    DevCacheStatusHeader On
    DevCacheMaxObjectSize 1M
</Location>
<Directory "@DIR@/htdocs">
    DevCache Off
</Directory>
<If "%{REQUEST_URI} =~ m#^/if/#">
    DevCache Off
</If>
Listen 127.0.0.1:@B@
<VirtualHost 127.0.0.1:@B@>
    DevCacheDeviceRule mobile "Special"
    DevCacheDeviceHeader X-Other
    ProxyPass / @ORIGIN@/
</VirtualHost>
ProxyPass /files/ !
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0180: .*DevCacheVaryUserAgent exact/);
my $auto = $t->origin_auto(sub {
    my $req = shift;
    return (200, {}, join ' ', $req->header('X-Class') // '-', $req->header('X-Other') // '-');
});
is $t->get('/a', 'User-Agent' => 'Kiosk/7')->{body}, 'kiosk -', 'own rule';
is $t->get('/a', 'User-Agent' => 'Special', ':port' => $t->port('B'))->{body}, '- mobile',
    'a virtual host\'s own rule and header';
is $t->get('/if/a', 'User-Agent' => PC)->{body}, 'pc -', 'If applies';
is $t->get('/if/a', 'User-Agent' => PC)->{body}, 'pc -', 'If applies again';
is $auto->fetches('/if/a'), 2, 'DevCache Off inside <If> is obeyed';
$t->get('/a?x=1', 'User-Agent' => PC);
$t->get('/a?x=1&utm_source=news', 'User-Agent' => PC);
$t->get('/a?utm_medium=x&x=1&fbclid=z', 'User-Agent' => PC);
is $auto->fetches('/a?x=1') + $auto->fetches('/a?x=1&utm_source=news')
    + $auto->fetches('/a?utm_medium=x&x=1&fbclid=z'), 1, 'DevCacheQuery deny';
$t->get('/b', 'User-Agent' => PC, Cookie => 'session=1') for 1 .. 2;
is $auto->fetches('/b'), 2, 'DevCacheBypass';
my $first = $t->get('/c', 'User-Agent' => PC);
is $first->header('Critical-CH'), $first->header('Accept-CH'), 'Critical-CH when told to';
my ($got) = grep { $_->[1] eq '/c' } $auto->requests;
is $got->[2]{'cloudfront-is-desktop-viewer'}, 'true', 'viewer headers: desktop';
is $got->[2]{'cloudfront-is-mobile-viewer'}, 'false', 'viewer headers: not mobile';
$t->get('/d', 'User-Agent' => PHONE, Cookie => 'a=b; view=pc');
($got) = grep { $_->[1] eq '/d' } $auto->requests;
is $got->[2]{'x-class'}, 'pc', 'the visitor\'s choice by cookie';
$t->finish;
done_testing;
