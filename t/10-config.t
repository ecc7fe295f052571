# SPDX-License-Identifier: Apache-2.0
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
    ['DevCacheDefaultTTL 10 206',     qr/DevCacheDefaultTTL: a response of status 206 is never stored, whatever its lifetime; leave it out/],
    ['DevCacheDefaultTTL 10 200 429', qr/DevCacheDefaultTTL: a response of status 429 is never stored, /],
    ['DevCacheDefaultTTL 10 400',     qr/DevCacheDefaultTTL: a response of status 400 is never stored unless the origin states a lifetime; leave it out/],
    ['DevCacheForceTTL 10 304',       qr/DevCacheForceTTL: a response of status 304 is never stored, /],
    ['DevCacheDefaultTTL 10 100',     qr/DevCacheDefaultTTL: '100' is not a final status code/],
    ['DevCacheHeuristic 101',         qr/DevCacheHeuristic: give a percentage from 1 to 100/],
    ['DevCacheHeuristic 0',           qr/DevCacheHeuristic: give a percentage from 1 to 100 .* or 'off'/],
    ['DevCacheHeuristic off 1h',      qr/DevCacheHeuristic: give a percentage/],
    ['DevCacheHeuristic',             qr/DevCacheHeuristic: give a percentage/],
    ['DevCacheHeuristic 10 never',    qr/DevCacheHeuristic: 'never' is not a number of seconds/],
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
    ['DevCacheQuick On',              qr/DevCacheQuick is gone, .*write 'DevCache On' in the virtual host, outside of <Location>/],
    ['DevCacheQuick Off',             qr/DevCacheQuick is gone, .*remove the line/],
    ['DevCacheRoot ""',               qr/DevCacheRoot takes one argument/],
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

# httpd -t refuses sizes that can be nowhere, as the start does. What is wrong with the
# directory it warns of: the server starts all the same (t/93-volume.t).
sub tested {
    my ($conf, $fails) = @_;
    my ($status, $out) = DevCache::Test->configtest($conf);
    is $status ? 1 : 0, $fails, $fails ? '  httpd -t fails' : '  httpd -t does not fail';
    return $out;
}
like tested("DevCacheSize 1M\nDevCacheSegmentSize 1M\n$on", 1), qr/DC0001: .*DevCacheSize/,
    'httpd -t: sizes';
my $missing = tempdir(CLEANUP => 1) . '/not';
my $would = qr/DC0010: conf: the server would start, but serve without the cache until this is mended/;
like tested(qq{DevCacheRoot "$missing"\n$on}, 0),
    qr/$would: DevCacheRoot "\Q$missing\E" is not a directory.*create it/, 'httpd -t: no directory';
ok !-e $missing, '  and makes none';
my $file = "$missing-file";
open my $fh, '>', $file or die;
close $fh;
like tested(qq{DevCacheRoot "$file"\n$on}, 0), qr/$would: .*not a directory/i, 'httpd -t: a file';
my $open = tempdir(CLEANUP => 1);
chmod 0777, $open;
chown +(getpwnam('www-data'))[2, 3], $open if $> == 0;
like tested(qq{DevCacheRoot "$open"\n$on}, 0), qr/$would: .*chmod/, 'httpd -t: others can write to it';
SKIP: {
    skip 'only root can own another user\'s directory', 2 if $> != 0;
    my $root = tempdir(CLEANUP => 1);
    like tested(qq{DevCacheRoot "$root"\n$on}, 0), qr/$would: .*give it to user/,
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
my @hints = ('User-Agent' => PC, 'Sec-CH-UA' => '"Chromium";v="150"');
my $first = $t->get('/c', @hints);
like $first->header('Accept-CH'), qr/Sec-CH-UA-Form-Factors/, 'a browser with hints is asked';
is $first->header('Critical-CH'), $first->header('Accept-CH'), 'Critical-CH when told to';
is $t->get('/c', @hints, 'Sec-CH-UA-Form-Factors' => '"Desktop"')->header('Accept-CH'), undef,
    'not asked again for what it sends';
is $t->get('/c', 'User-Agent' => PC)->header('Accept-CH'), undef,
    'nor is a browser that knows no hints';
my ($got) = grep { $_->[1] eq '/c' } $auto->requests;
is $got->[2]{'cloudfront-is-desktop-viewer'}, 'true', 'viewer headers: desktop';
is $got->[2]{'cloudfront-is-mobile-viewer'}, 'false', 'viewer headers: not mobile';
$t->get('/d', 'User-Agent' => PHONE, Cookie => 'a=b; view=pc');
($got) = grep { $_->[1] eq '/d' } $auto->requests;
is $got->[2]{'x-class'}, 'pc', 'the visitor\'s choice by cookie';
$t->finish;

# The examples of the manual, all at once, but for those that name files of their own.
my $manual = do { local (@ARGV, $/) = "$FindBin::Bin/../docs/directives.md"; <> };
my @examples = grep { !m{/etc/|DevCacheTier} } $manual =~ /^```apache\n(.*?)^```/msg;
cmp_ok scalar @examples, '>', 30, 'the manual has examples';
my ($status, $why) = DevCache::Test->configtest(
    join('', @examples) =~ s{^DevCacheRoot .*\n}{}mgr, modules => ['authz_host']);
is $status, 0, 'which httpd takes' or diag $why;

done_testing;
