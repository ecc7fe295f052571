# SPDX-License-Identifier: Apache-2.0
# t/77-purge-tags.t. Purges of a part of a URL's variants, soft ones, and those of many by
# prefix, pattern and tag, in the words that the purgers of applications use.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['authz_host'], ports => ['B']);
Listen 127.0.0.1:@B@
<Location "/">
    DevCache On
    DevCachePurge On
    DevCacheStatusHeader On
    Require local
</Location>
<Location "/shown">
    DevCacheTagHeader xkey +Cache-Tag +Surrogate-Control
</Location>
<Location "/untagged">
    DevCacheTagHeader off
</Location>
<Location "/all">
    DevCacheVaryDevice Off
</Location>
<Location "/headers">
    Header set Surrogate-Key "by-httpd"
</Location>
<Location "/unset">
    Header unset Surrogate-Key
</Location>
ProxyPass / @ORIGIN@/
CONF
my %lives = ('Cache-Control' => 'max-age=1000', ETag => '"e"');

# A page with these fields is fetched and stored.
sub store {
    my ($path, $fields, @request) = @_;
    my $x = $t->send_req($path, @request);
    $t->origin->accept->reply(200, { %lives, %{ $fields || {} } }, "page $path");
    return $x->response;
}
sub status_of { return $t->get($_[0], 'Cache-Control' => 'only-if-cached', @_[1 .. $#_])->{status} }
sub are_stored {
    my ($name, @paths) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is join(' ', map { status_of($_) } @paths), join(' ', (200) x @paths), "$name: @paths stored";
}
sub are_gone {
    my ($name, @paths) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is join(' ', map { status_of($_) } @paths), join(' ', (504) x @paths), "$name: @paths gone";
}
sub said {
    my ($json, $name, $method, $path, @headers) = @_;
    my $got = $t->get($path, ':method' => $method, @headers);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is "$got->{status} $got->{body}", "200 {$json}\n", $name;
}
sub refused {
    my ($status, $sentence, $name, $method, $path, @headers) = @_;
    my $got = $t->get($path, ':method' => $method, @headers);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $got->{status}, $status, "$name: status";
    like $got->{body}, qr/^\{"error": "[^"]*$sentence[^"]*"\}$/, "$name: a sentence";
}

# --- one class --------------------------------------------------------------------------

my %agent = (pc => PC, tablet => TABLET, mobile => PHONE);
store('/d', {}, 'User-Agent' => $_) for values %agent;
store('/d', { Vary => 'Accept-Language' }, 'User-Agent' => PHONE, 'Accept-Language' => 'xx',
      'Cache-Control' => 'no-cache');
store('/all/d');
said('"purged": 2', 'one class', 'PURGE', '/d', 'DevCache-Purge-Device' => 'mobile');
is status_of('/d', 'User-Agent' => PHONE), 504, 'it is gone for phones';
is status_of('/d', 'User-Agent' => $agent{$_}), 200, "not for $_" for 'pc', 'tablet';
said('"purged": 1', 'what is for all is for this one', 'PURGE', '/all/d',
     'DevCache-Purge-Device' => 'tablet');
refused(400, 'none of the classes', 'unknown class', 'PURGE', '/d',
        'DevCache-Purge-Device' => 'toaster');
$t->restart;
is status_of('/d', 'User-Agent' => PHONE), 504, 'after a restart: gone';
is status_of('/d', 'User-Agent' => PC), 200, 'after a restart: not the others';
my $x = $t->send_req('/d', 'User-Agent' => PHONE);
my $fetch = $t->origin->accept;
said('"purged": 1', 'another class, while one is fetched', 'PURGE', '/d',
     'DevCache-Purge-Device' => 'tablet');
$fetch->reply(200, \%lives, 'before');
is $x->response->{body}, 'before', 'it is served';
is status_of('/d', 'User-Agent' => PHONE), 504, 'and not stored, on doubt';
$t->restart;
is status_of('/d', 'User-Agent' => TABLET), 504, 'after a restart: gone';

# --- soft ---------------------------------------------------------------------------------

# Stale, so usable for validation; and while the origin fails.
sub is_stale {
    my ($path, $name) = @_;
    $t->clock_advance(31);  # where it failed a moment ago it would not be asked
    my $x = $t->send_req($path);
    my $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), '"e"', "$name: $path is validated";
    $fetch->reply(503, {}, 'down');
    is $x->response->{body}, "page $path", "$name: and good while the origin fails";
}
my %grace = ('Cache-Control' => 'max-age=1000, stale-if-error=900');
for my $how (['PURGE', 'DevCache-Purge-Soft' => 1], ['PURGE', 'Fastly-Soft-Purge' => 1],
             ['REFRESH']) {
    my ($method, @headers) = @$how;
    my $path = "/soft/$method" . scalar @headers . ($headers[0] // '');
    store($path, \%grace);
    said('"purged": 0, "expired": 1', "$method @headers", $method, $path, @headers);
    is_stale($path, $method);
}
store('/soft/a', \%grace);
$t->clock_advance(10);
said('"purged": 0, "expired": 1', 'soft', 'PURGE', '/soft/a', 'DevCache-Purge-Soft' => 1);
$t->restart;
is_stale('/soft/a', 'after a restart');
$t->restart;
is_stale('/soft/a', 'after a restart');
$t->clock_advance(31);
$x = $t->send_req('/soft/a');
$t->origin->accept->reply(304, { %grace, ETag => '"e"' });
is $x->response->{body}, 'page /soft/a', 'confirmed';
are_stored('confirmed', '/soft/a');
$t->restart;
are_stored('confirmed, after a restart', '/soft/a');
$t->clock_advance(901);
said('"purged": 0, "expired": 1', 'soft', 'PURGE', '/soft/a', 'DevCache-Purge-Soft' => 1);
$t->clock_advance(901);
$x = $t->send_req('/soft/a');
$t->origin->accept->reply(503, {}, 'down');
is $x->response->{status}, 503, 'the grace counts from the purge';

store('/soft/swr', { 'Cache-Control' => 'max-age=1000, stale-while-revalidate=100' });
said('"purged": 0, "expired": 1', 'soft', 'PURGE', '/soft/swr', 'DevCache-Purge-Soft' => 1);
$x = $t->send_req('/soft/swr');
$fetch = $t->origin->accept;
$fetch->reply(200, { %lives, ETag => '"n"' }, 'new');
is $x->response->{body}, 'page /soft/swr', 'stale-while-revalidate: served, and refreshed';
$t->wait_counter(refreshes => 1);

# A fetch that began before is not published as fresh.
$x = $t->send_req('/soft/race');
$fetch = $t->origin->accept;
said('"purged": 0, "expired": 0', 'soft, under way', 'PURGE', '/soft/race', 'DevCache-Purge-Soft' => 1);
$fetch->reply(200, \%lives, 'before');
is $x->response->{body}, 'before', 'its client has it';
are_gone('soft, under way', '/soft/race');

# --- by prefix, wildcard and regular expression ---------------------------------------------

my @tree = ('/n/', '/n/a', '/n/b.html', '/n/b/c?x=1', '/nn', '/o/n/a');
sub plant { for my $path (@tree) { store($path) if status_of($path) != 200 } }
for my $case (
    [4, [qw(/nn /o/n/a)], 'PURGE', '/n/*'],
    [4, [qw(/nn /o/n/a)], 'PURGE', '/n/.*'],
    [5, [qw(/o/n/a)],     'PURGE', '/n', 'X-Purge-Method' => 'prefix'],
    [4, [qw(/nn /o/n/a)], 'PURGE', '/n/', 'X-Purge-Method' => 'prefix'],
    [4, [qw(/nn /o/n/a)], 'PURGE', '/n/.*', 'X-Purge-Method' => 'regex'],
    [1, [qw(/n/a /nn)],   'PURGE', '/n/.*%5C.html', 'X-VC-Purge-Method' => 'regex'],
    [1, [qw(/n/a /nn)],   'PURGE', '/n/*.html'],
    [1, [qw(/n/a /n/b.html)], 'PURGE', '/n/b/c?x=1', 'X-Purge-Method' => 'exact'],
    [1, [qw(/n/a /n/)],   'PURGE', '/n/b.html', 'X-Purge-Method' => 'default'],
    [5, [qw(/o/n/a)],     'BAN', '/n'],
    [2, [qw(/n/b.html)],  'BAN', '/', 'X-Url' => '/n/a$'],
    [1, [qw(/o/n/a)],     'BAN', '/', 'X-Url' => '^/n/a$'],
    [6, [],               'BAN', '/', 'X-Host' => '.*', 'X-Url' => '/n', 'X-Content-Type' => '.*'],
    [0, [@tree],          'BAN', '/', 'X-Host' => '^www\.example\.org$', 'X-Url' => '.*'],
    [6, [],               'BAN', '/', 'X-Host' => '^(www\.example\.org|127\.0\.0\.1)$', 'X-Url' => '/n'],
    [0, [@tree],          'PURGE', '/n/*', Host => 'www.example.org'],
) {
    my ($count, $kept, @request) = @$case;
    plant();
    said(qq{"purged": $count}, "@request", @request);
    are_stored("@request", @$kept);
}
plant();
said('"purged": 0, "expired": 4', 'a soft prefix', 'PURGE', '/n/*', 'DevCache-Purge-Soft' => 1);
$t->restart;
are_stored('a soft prefix, after a restart', '/nn', '/o/n/a');
$x = $t->send_req('/n/a');
$fetch = $t->origin->accept;
is $fetch->header('If-None-Match'), '"e"', 'a soft prefix, after a restart: stale';
$fetch->reply(304, { %lives });
$x->response;
said('"purged": 4', 'what is stale goes as well', 'PURGE', '/n/*');
plant();
store('/else', {}, Host => 'other.example.org');
$t->get('/.*', ':method' => 'PURGE', Host => '127.0.0.1', 'X-Purge-Method' => 'regex');
are_gone('all of a host', @tree);
is status_of('/else', Host => 'other.example.org'), 200, 'and of no other';
$t->restart;
are_gone('after a restart', @tree);
is status_of('/else', Host => 'other.example.org'), 200, 'after a restart: the other';

# --- tags ---------------------------------------------------------------------------------------

# Fields of responses, how each of them is written.
my %written = ('Cache-Tag' => 'one,two, three', 'Surrogate-Key' => 'one two three', xkey => 'one two three',
               'X-Cache-Tags' => 'one,two,three', 'Cache-Tags' => 'one two three',
               'Purge-Cache-Tags' => 'one two three');
for my $name (sort keys %written) {
    my $got = store("/t/$name", { $name => $written{$name}, 'Surrogate-Control' => 'max-age=9' });
    is $got->header($name), undef, "$name is not for clients";
    is $got->header('Surrogate-Control'), undef, 'nor is Surrogate-Control';
    $got = $t->get("/t/$name");
    like $got->header('Cache-Status'), qr/hit/, 'a hit';
    is $got->header($name), undef, "$name is not for clients, of a hit";
    store("/t/other-$name", { $name => 'four, twoo wo' });
    said('"purged": 1', "$name in a PURGE", 'PURGE', '/', $name => 'two');
    are_gone($name, "/t/$name");
    are_stored($name, "/t/other-$name");
    said('"purged": 1', "$name, several", 'PURGE', '/', $name => 'x y four z');
}
my $got = store('/shown/a', { 'Cache-Tag' => 's', xkey => 's', 'Surrogate-Control' => 'x' });
is $got->header('Cache-Tag'), 's', 'shown where asked for';
is $got->header('Surrogate-Control'), 'x', 'Surrogate-Control as well';
is $got->header('xkey'), undef, 'the others not';
said('"purged": 1', 'the URL has no part in it', 'PURGE', '/somewhere', xkey => 's');
store('/untagged/a', { xkey => 's' });
said('"purged": 0', 'off', 'PURGE', '/', xkey => 's');
store('/headers/a');
store('/unset/a', { 'Surrogate-Key' => 'by-origin' });
said('"purged": 1', 'tags that mod_headers has set', 'PURGE', '/', 'Surrogate-Key' => 'by-httpd');
said('"purged": 1', 'or has unset', 'PURGE', '/', 'Surrogate-Key' => 'by-origin');
my @two = map { store('/lines', { 'Cache-Tag' => ['a1', 'b1'] }, 'User-Agent' => $_) } PC, PHONE;
said('"purged": 2', 'several lines, several variants', 'PURGE', '/', 'Cache-Tag' => 'b1');

# What is under way: by tag, known only when the response has come.
sub overtaken {
    my ($name, $fields, $left, @purge) = @_;
    my $path = '/race/' . $name =~ s/\W//gr;
    my $x = $t->send_req($path);
    my $fetch = $t->origin->accept;
    said('"purged": 0', "$name: purged meanwhile", @purge);
    $fetch->reply(200, { %lives, %$fields }, 'before');
    is $x->response->{body}, 'before', "$name: its client has it";
    ($left ? \&are_stored : \&are_gone)->($name, $path);
}
overtaken('same tag', { xkey => 'r1 r2' }, 0, 'PURGE', '/', xkey => 'r2');
overtaken('other tag', { xkey => 'r1 r3' }, 1, 'PURGE', '/', xkey => 'r2');
overtaken('prefix', {}, 0, 'PURGE', '/race/prefi', 'X-Purge-Method' => 'prefix');
overtaken('pattern', {}, 0, 'BAN', '/', 'X-Url' => '^/race/patt', 'X-Host' => '.*');
overtaken('other pattern', {}, 1, 'BAN', '/', 'X-Url' => '^/race/patt', 'X-Host' => '.*');
# Nor does who comes after the purge wait for the answer to who came before.
$x = $t->send_req('/race/flight');
$fetch = $t->origin->accept;
said('"purged": 0', 'one is fetched', 'PURGE', '/', xkey => 'whatever');
my $after = $t->send_req('/race/flight');
my $second = $t->origin->accept;
ok $second, 'who comes after a purge asks the origin itself';
$fetch->reply(200, { %lives, xkey => 'whatever' }, 'before');
$second->reply(200, { %lives, xkey => 'whatever' }, 'after');
is $x->response->{body}, 'before', 'who came before';
is $after->response->{body}, 'after', 'who came after';
is $t->get('/race/flight')->{body}, 'after', 'and that is stored';
$x = $t->send_req('/race/many');
$fetch = $t->origin->accept;
$t->get('/', ':method' => 'PURGE', xkey => "m$_") for 1 .. 300;
$fetch->reply(200, { %lives, xkey => 'none-of-them' }, 'before');
$x->response;
are_gone('more purges than are remembered: refused on doubt', '/race/many');
# A 304 for what bore the tag, with other tags in it.
store('/race/304', { 'Cache-Control' => 'max-age=10', xkey => 'old' });
$t->clock_advance(11);
$x = $t->send_req('/race/304');
$fetch = $t->origin->accept;
said('"purged": 1', 'being validated', 'PURGE', '/', xkey => 'old');
$fetch->reply(304, { 'Cache-Control' => 'max-age=10', ETag => '"e"', xkey => 'new' });
is $x->response->{body}, 'page /race/304', 'its client has it';
are_gone('confirmed, too late', '/race/304');

store("/kept/$_", { xkey => "kept$_ all" }) for 1 .. 3;
said('"purged": 1', 'by tag', 'PURGE', '/', xkey => 'kept2');
$t->restart;
are_gone('after a restart', '/kept/2');
$t->restart;
are_gone('after a restart', '/kept/2');
are_stored('after a restart', '/kept/1', '/kept/3');
said('"purged": 1', 'tags have outlived that', 'PURGE', '/', xkey => 'kept3');

# --- what purgers send ----------------------------------------------------------------------------

sub tagged {
    my ($name) = @_;
    for my $id (1 .. 4) {
        my $tags = "$name-$id,$name-all";
        store("/p/$name/$id", { 'X-Cache-Tags' => $tags, xkey => $tags =~ tr/,/ /r,
                                'Cache-Tags' => $tags =~ tr/,/ /r });
    }
}
# FOSHttpCache: a BAN with all of its headers, tags as a regular expression.
tagged('fos');
my @fos = ('BAN', '/', 'X-Host' => '.*', 'X-Url' => '.*', 'X-Content-Type' => '.*');
said('"purged": 2', 'FOSHttpCache: tags', @fos, 'X-Cache-Tags' => '(^|,)(fos\-1|fos\-3)(,|$)');
are_stored('FOSHttpCache: tags', '/p/fos/2', '/p/fos/4');
said('"purged": 1', 'FOSHttpCache: path', 'BAN', '/', 'X-Host' => '^(127.0.0.1|example.org)$',
     'X-Url' => '/p/fos/2$', 'X-Content-Type' => '.*');
said('"purged": 0, "expired": 1', 'FOSHttpCache: xkey', 'PURGEKEYS', '/', 'xkey-softpurge' => 'fos-4 fos-5');
said('"purged": 1', 'FOSHttpCache: xkey, hard', 'PURGEKEYS', '/', 'xkey-purge' => 'fos-4 fos-5');
tagged('both');
said('"purged": 1, "expired": 1', 'xkey, hard and soft', 'PURGEKEYS', '/',
     'xkey-purge' => 'both-1', 'xkey-softpurge' => 'both-2');
refused(400, 'no tags are named', 'PURGEKEYS without', 'PURGEKEYS', '/');
store('/p/refresh');
$x = $t->send_req('/p/refresh', 'Cache-Control' => 'no-cache');
$t->origin->accept->reply(200, { %lives, ETag => '"f"' }, 'refreshed');
is $x->response->{body}, 'refreshed', 'FOSHttpCache: refresh';
is $t->get('/p/refresh')->{body}, 'refreshed', 'FOSHttpCache: refresh, stored';
# Drupal: purge_purger_http and varnish_purge with one tag or several, and a URL.
tagged('node');
said('"purged": 1', 'Drupal: a tag', 'BAN', '/', 'Cache-Tags' => 'node-1');
said('"purged": 2', 'Drupal: tags', 'BAN', '/tags', 'Cache-Tags' => 'node-2 node-3', 'Accept-Encoding' => 'gzip');
tagged('node.x');
said('"purged": 3', 'Drupal: tags and a pipe', 'BAN', '/', 'Cache-Tags' => 'node.x-1|node-4|node.x-3|a:b');
said('"purged": 1', 'Drupal: a URL', 'PURGE', '/p/node.x/2', 'Accept-Encoding' => 'gzip');
said('"purged": 1', 'Drupal: wildcard', 'PURGE', '/p/node.x/*');
# WordPress: Varnish HTTP Purge, W3 Total Cache, Super Page Cache.
tagged('wp');
said('"purged": 1', 'WordPress: a page', 'PURGE', '/p/wp/1', 'X-Purge-Method' => 'default');
said('"purged": 1', 'WordPress: tags', 'PURGE', '/', 'X-Purge-Method' => 'tags',
     'X-Cache-Tags-Pattern' => '(^|,)(wp-2|wp-7)(,|$)');
said('"purged": 2', 'WordPress: all below', 'PURGE', '/p/wp/.*', 'X-Purge-Method' => 'regex');
tagged('w3');
said('"purged": 1', 'W3 Total Cache: a page', 'PURGE', '/p/w3/1', 'User-Agent' => 'W3 Total Cache', Connection => 'close');
said('"purged": 3', 'W3 Total Cache: all below', 'PURGE', '/p/w3/.*', Connection => 'close');
tagged('spc');
$got = $t->get('/*', ':method' => 'PURGE');
like $got->{body}, qr/^\{"purged": [1-9]\d*\}$/, 'Super Page Cache: everything';
are_gone('Super Page Cache', map { "/p/spc/$_" } 1 .. 4);

# --- by a field of responses -----------------------------------------------------------------

for (['/kind/1', 'a', 'text/css'], ['/kind/2', 'b', 'image/png'], ['/kind/3', 'ab', 'image/gif'],
     ['/kind/4', undef, 'text/plain']) {
    my ($path, $kind, $type) = @$_;
    store($path, { defined $kind ? ('X-Kind' => $kind) : (), 'Content-Type' => $type });
}
said('"purged": 0', 'no such field', 'BAN', '/', 'DevCache-Purge-Field' => 'X-Kinds: .');
said('"purged": 0', 'no such value', 'BAN', '/', 'DevCache-Purge-Field' => 'x-kind: ^b$', 'X-Url' => '/kind/[13]');
said('"purged": 1', 'field and URL', 'PURGE', '/kind/*', 'DevCache-Purge-Field' => 'x-kind: ^b$');
are_gone('by field', '/kind/2');
said('"purged": 0', 'a URL of another type', 'PURGE', '/kind/1', 'X-Content-Type' => '^image/');
said('"purged": 1', 'type', 'BAN', '/', 'X-Content-Type' => '^image/g');
are_gone('by type', '/kind/3');
said('"purged": 0, "expired": 1', 'softly', 'BAN', '/', 'DevCache-Purge-Field' => 'X-Kind: a', 'DevCache-Purge-Soft' => 1);
$t->is_stored('/kind/4', 'a response without the field');

# --- bad input ------------------------------------------------------------------------------------

store('/bad', { xkey => 'bad' });
refused(501, 'X-Cache-Tagz', 'BAN with a header misspelt', 'BAN', '/', 'X-Cache-Tagz' => 'a');
refused(400, 'X-Cached-Tags', 'BAN with another header', 'BAN', '/', 'X-Cached-Tags' => 'a');
refused(400, 'colon', 'a field without an expression', 'BAN', '/', 'DevCache-Purge-Field' => 'X-Kind');
refused(400, 'cannot be used', 'one with a wrong expression', 'BAN', '/', 'DevCache-Purge-Field' => 'X-Kind: (');
refused(501, 'X-Cache-Tagz', 'one with an unknown field beside it', 'BAN', '/',
        'DevCache-Purge-Field' => 'X-Kind: a', 'X-Cache-Tagz' => 'a');
refused(400, 'is not default, exact', 'a method', 'PURGE', '/bad', 'X-Purge-Method' => 'maybe');
refused(400, 'no tags are named', 'tags without', 'PURGE', '/bad', 'X-Purge-Method' => 'tags');
refused(400, 'cannot be used: missing', 'a regular expression', 'BAN', '/', 'X-Url' => '/a(b');
refused(400, 'cannot be used', 'a nested one', 'BAN', '/', 'X-Url' => ('(' x 30) . 'a' . (')' x 30));
refused(400, 'cannot be used', 'a long one', 'BAN', '/', 'X-Url' => 'a+' x 1100);
refused(400, 'literal tags', 'a real pattern of tags', 'BAN', '/', 'X-Cache-Tags' => '(^|,)node-[0-9]+(,|$)');
refused(400, 'literal tags', 'part of a tag', 'BAN', '/', 'X-Cache-Tags' => 'bad.*');
refused(400, 'longer than 1024', 'a long tag', 'PURGE', '/', xkey => 'x' x 1025);
refused(400, 'more than 1000', 'many tags', 'PURGE', '/', xkey => join ' ', map { "t$_" } 1 .. 1001);
refused(400, 'more than 1000', 'many tags in many fields', 'PURGE', '/',
        map { my $n = $_; (xkey => join ' ', map { "t$n$_" } 1 .. 200) } 1 .. 6);
refused(400, 'contradict', 'soft and hard', 'PURGE', '/', 'xkey-purge' => 'a', 'xkey-softpurge' => 'b',
        'DevCache-Purge-Soft' => 1);
is $t->get('/', ':method' => 'PURGE', xkey => 'x' x 100_000)->{status}, 400, '100 KB of a tag';
is $t->get('/', ':method' => 'PURGE', xkey => "bad\x01")->{status}, 400, 'a control character';
are_stored('nothing of this', '/bad');
# A catastrophic expression has its limits, and purges rather too much.
store('/' . 'a' x 60);
said('"purged": 1', 'limits of matching', 'BAN', '/', 'X-Host' => '.*', 'X-Url' => '^/(a+)+[bc]$');

# Of a response: it is not stored.
for my $case (['a long one', 'y' x 1025], ['many', join ' ', map { "t$_" } 1 .. 1001]) {
    my ($name, $tags) = @$case;
    my $path = '/bad/' . $name =~ tr/ //dr;
    my $before = $t->counters->{reason_tags};
    is store($path, { xkey => $tags })->{body}, "page $path", "$name: is served";
    are_gone("$name: not stored", $path);
    is $t->counters->{reason_tags}, $before + 1, "$name: for that reason";
}
store('/bad/1000', { xkey => join ' ', map { "t$_" } 1 .. 1000 });
said('"purged": 1', 'a thousand are fine', 'PURGE', '/', xkey => 't1000');

$t->finish;
done_testing;
