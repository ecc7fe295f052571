# SPDX-License-Identifier: Apache-2.0
# t/120-fragments.t. DevCacheFragments with Server Side Includes: pages put together from parts, each
# of which is cached on its own.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Written;
use DevCache::Wait qw(wait_until);
use IO::Uncompress::Gunzip qw(gunzip);
use Test::More;

my $h2 = ($ENV{DEVCACHE_MPM} // 'event') ne 'prefork';
my $t = DevCache::Test->start(<<"CONF", modules => [qw(authz_core authz_host deflate filter env setenvif headers substitute), $h2 ? 'http2' : ()], ports => ['SLOW']);
@{[$h2 ? 'Protocols h2c http/1.1' : '']}
DevCacheStatusHeader On
AddOutputFilterByType DEFLATE text/html
<Location "/">
    DevCache On
    DevCacheFragments On
    DevCacheVaryDevice Off
</Location>
<Location "/off/">
    DevCacheFragments Off
</Location>
<Location "/devices/">
    DevCacheVaryDevice On
</Location>
<Location "/uncached/">
    DevCache Off
</Location>
<Location "/closed/">
    Require expr "%{HTTP:X-Pass} == 'sesame'"
</Location>
<Location "/slices/">
    DevCacheSlice 64K
</Location>
<Location "/headget/">
    DevCacheHead get
</Location>
<Location "/page-sets/">
    SetEnvIf Request_Method . FLAG=page
    RequestHeader set X-Set page
</Location>
<Location "/part-sees">
    RequestHeader set X-Flag %{FLAG}e
</Location>
RequestHeader set X-Early "ours" early
<Location "/substituted">
    AddOutputFilterByType SUBSTITUTE text/html
    Substitute "s/o/oo/"
</Location>
Listen 127.0.0.1:\@SLOW\@
<VirtualHost 127.0.0.1:\@SLOW\@>
    Timeout 1
</VirtualHost>
<Location "/purge">
    DevCachePurge Path
    Require local
</Location>
ProxyPass /late/ \@ORIGIN\@/late/ timeout=1
ProxyPass / \@ORIGIN\@/
CONF
$t->clock_stop;
my $site = DevCache::Written->new($t);
$t->expect_log(qr/AH01630: client denied/);
$t->expect_log(qr{AH00898: Error reading from remote server returned by /late/1}, qr/AH01102: error reading status line/);
$t->expect_log(qr/DC0320/, qr/AH01110: error reading response/, qr/AH10244: invalid URI path/);

my %ssi = ('Surrogate-Control' => 'content="SSI/1.0"', 'Content-Type' => 'text/html');
sub lives { return ('Cache-Control' => "max-age=$_[0]") }
sub inc { return join '', map { qq{<!--#include virtual="$_" -->} } @_ }
sub page { my ($path, $body, %more) = @_; $site->page($path, { %ssi, lives(3600), %more }, $body) }
sub part { my ($path, $body, %more) = @_; $site->page($path, { lives(3600), %more }, $body) }
sub hit { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; hit/ ? 1 : 0 }
sub cc { return $_[0]->header('Cache-Control') // '' }
sub unpacked { my $in = $_[0]{body}; gunzip(\$in => \my $out) or return; return $out }
# The body twice: from the origin, and from the cache.
sub both {
    my ($path, $want, $name, @headers) = @_;
    for my $what ('a miss', 'a hit') {
        my $r = $t->get($path, @headers);
        is $r->{body}, $want, "$name: $what";
        is hit($r), $what eq 'a hit' ? 1 : 0, "$name: it is $what" if $name !~ /uncached/;
    }
    return $t->get($path, @headers);
}

subtest 'a page with parts' => sub {
    page('/p', 'A' . inc('/a?x=1&y=2') . 'B' . inc('/b') . 'C', ETag => '"p"', 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT',
         Vary => 'Accept-Encoding');
    part('/a?x=1&y=2', '[a{n}]');
    part('/b', '[b{n}]', lives(100));
    my $r = both('/p', 'A[a1]B[b1]C', 'two parts');
    is $site->fetches('/p'), 1, 'the page was asked for once';
    is $site->fetches('/b'), 1, 'and so was a part';
    ok !defined $r->header($_), "no $_" for qw(ETag Last-Modified Age Accept-Ranges Surrogate-Control);
    is cc($r), 'max-age=100', 'the least lifetime';
    is $r->header('Content-Length'), length 'A[a1]B[b1]C', 'a length';
    like $r->header('Cache-Status'), qr/detail="pc, 2 parts"/, 'and the parts are counted';
    my $asked = $site->last_request('/p');
    is $asked->{'surrogate-capability'}, 'devcache="SSI/1.0 ESI/1.0"', 'the origin is told';
    is $asked->{'accept-encoding'}, 'identity', 'and asked for no coding';
    ok hit($t->get('/b')), 'a part is there for who asks for it';
    $t->clock_advance(60);
    is cc($t->get('/p')), 'max-age=40', 'what is left of it';
    $t->clock_advance(60);
    is $t->get('/p')->{body}, 'A[a1]B[b2]C', 'a part is fetched anew on its own';
    is $site->fetches('/p'), 0, 'and the page is not';
};

subtest 'a second, and an hour' => sub {
    page('/clock', inc('/second') . inc('/hour'));
    part('/second', 's{n} ', lives(1));
    part('/hour', 'h{n}');
    $t->get('/clock');
    $site->fetches($_) for qw(/clock /second /hour);
    for (1 .. 10) {
        $t->clock_advance(1.5);
        $t->get('/clock') for 1 .. 3;
    }
    is $site->fetches('/second'), 10, 'a fetch for each second';
    is $site->fetches($_), 0, "$_: none" for qw(/clock /hour);
};

subtest 'the visitor\'s own conditions' => sub {
    page('/cond', 'x' . inc('/a?x=1&y=2'), ETag => '"c"', 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT');
    for my $what ('miss', 'hit') {
        for my $field (['If-None-Match' => '"c"'], ['Range' => 'bytes=0-1'],
                       ['If-Modified-Since' => 'Mon, 01 Jan 2024 00:00:00 GMT'],
                       ['If-Range' => '"c"', 'Range' => 'bytes=0-1']) {
            next if $what eq 'miss' && "@$field" =~ /Range/;
            my $r = $t->get('/cond', @$field);
            is "$r->{status} $r->{body}", '200 x[a1]', "@$field: the whole ($what)";
            $t->send_req('/purge/cond', ':method' => 'PURGE')->response if $what eq 'miss';
        }
        $t->get('/cond');
    }
    for my $field (['If-Modified-Since' => $t->get('/cond')->header('Date')], ['If-None-Match' => '*']) {
        my $r = $t->get('/cond', @$field);
        is "$r->{status} $r->{body}", '200 x[a1]', "$field->[0] with what always holds: the whole";
    }
    is $t->get('/cond', 'If-Match' => '"c"')->{status}, 412, 'If-Match has nothing to match';
    my $r = $t->head('/cond');
    is $r->{status}, 200, 'HEAD';
    is cc($r), cc($t->get('/cond')), 'says what GET says';
    $site->fetches('/cond');
    page('/cond', 'y' . inc('/a?x=1&y=2'), ETag => '"c"');
    $t->clock_advance(3601);
    part('/a?x=1&y=2', '[a{n}]');
    $r = $t->get('/cond', 'If-None-Match' => '"c"');
    is "$r->{status} $r->{body}", '200 x[a2]', 'confirmed by a 304, it is put together as well';
    like $r->header('Cache-Status'), qr/fwd-status=304/, 'it was';
    ok hit($t->get('/cond')), 'and goes on';
    is $t->get('/cond')->{body}, 'x[a2]', 'with its parts';
};

subtest 'HEAD, ranges and slices of what is not stored' => sub {
    page('/head', 'h' . inc('/b'), ETag => '"h"');
    my $r = $t->head('/head');
    ok !defined $r->header('ETag'), 'HEAD: no validators';
    like cc($r), qr/no-cache/, 'HEAD: what the parts say is not known';
    page('/headget/p', 'h' . inc('/b'), ETag => '"h"');
    $r = $t->head('/headget/p');
    like cc($r), qr/no-cache/, 'asked as GET, likewise';
    like $t->get('/headget/p')->{body}, qr/^h\[b\d\]$/, 'what it has stored is put together';
    page('/range', 'r' . inc('/b') . 'r');
    $r = $t->get('/range', Range => 'bytes=0-3');
    is $site->last_request('/range')->{'surrogate-capability'}, undef, 'a range: the origin leaves no gaps';
    $r = $t->get('/range');
    like $r->header('Cache-Status'), qr/uri-miss/, 'and what it says is not stored';
    page('/slices/p', 's' . inc('/b') . 's');
    like $t->get('/slices/p')->{body}, qr/^s\[b\d\]s$/, 'a page by slices is none';
    is $site->last_request('/slices/p')->{range}, undef, 'it is asked for in whole';
};

subtest 'codings' => sub {
    page('/gz', 'z' x 2000 . inc('/long'));
    part('/long', 'y' x 2000, 'Content-Type' => 'text/html');
    for my $what ('a miss', 'a hit') {
        my $r = $t->get('/gz', 'Accept-Encoding' => 'gzip');
        is $r->header('Content-Encoding'), 'gzip', "$what: compressed";
        is unpacked($r), 'z' x 2000 . 'y' x 2000, "$what: when it is whole";
        is length $t->get('/gz')->{body}, 4000, "$what: who takes none gets none";
    }
    is $site->fetches('/gz'), 1, 'and the page was fetched once for both';
    $site->page('/plain', { lives(60), 'Content-Type' => 'text/html' }, 'p' x 2000);
    for my $what ('a miss', 'a hit') {
        my $r = $t->get('/plain', 'Accept-Encoding' => 'gzip');
        is unpacked($r), 'p' x 2000, "a page without gaps: compressed as ever ($what)";
    }
    $site->page('/coded', { %ssi, lives(60), 'Content-Encoding' => 'gzip' }, 'no gzip');
    $t->expect_log(qr/DC0322/);
    $t->get('/coded') for 1 .. 2;
    is $site->fetches('/coded'), 2, 'coded, though it has gaps: not stored';
};

subtest 'whose page it is' => sub {
    page('/me', 'hello ' . inc('/who'));
    $site->page('/who', { 'Cache-Control' => 'private' }, '{cookie}');
    for my $who (qw(ann bob ann)) {
        my $r = $t->get('/me', Cookie => "me=$who");
        is $r->{body}, "hello me=$who", "$who is greeted";
        is cc($r), 'private, max-age=0', 'and the page is his own';
    }
    is $site->fetches('/me'), 1, 'the page was fetched once';
    is $site->fetches('/who'), 3, 'the part each time';
    page('/basket', inc('/set'));
    $site->page('/set', { lives(60), 'Set-Cookie' => ['a=1; Path=/', 'b=2'] }, 'part{n}');
    for my $n (1, 2) {
        my $r = $t->get('/basket');
        like $r->header('Set-Cookie'), qr{a=1; Path=/.*b=2}, 'cookies of a part reach the visitor';
        like cc($r), qr/^private/, 'whose page it is';
        is $r->{body}, "part$n", 'they are not stored';
    }
    page('/varies', 'v' . inc('/lang'));
    part('/lang', '{accept-language}', Vary => 'Accept-Language');
    for my $lang (qw(de fr de)) {
        my $r = $t->get('/varies', 'Accept-Language' => $lang);
        is $r->{body}, "v$lang", "the part in $lang";
        like $r->header('Vary'), qr/Accept-Language/, 'and the page varies by it';
    }
    is $site->fetches('/lang'), 2, 'two variants of the part';
    page('/devices/p', 'd' . inc('/devices/part'));
    part('/devices/part', '{x-device-type}');
    is $t->get('/devices/p', 'User-Agent' => $_->[0])->{body}, "d$_->[1]", "the part for $_->[1]"
        for ([PC, 'pc'], [PHONE, 'mobile'], [PC, 'pc']);
};

subtest 'caches further on' => sub {
    page('/far', 'f' . inc('/far/part'), 'Cache-Control' => 'max-age=60, must-revalidate');
    part('/far/part', 'p', lives(60));
    my @who = (Authorization => 'Basic eDp5');
    is cc($t->get('/far', @who)), 'private, max-age=60, must-revalidate', 'not all may be shared: the whole is his own';
    is cc($t->get('/far')), 'max-age=60, must-revalidate', 'without credentials it is not';
    part('/far/part', 'p', 'Cache-Control' => 'public, max-age=60');
    $t->clock_advance(61);
    is cc($t->get('/far', @who)), 'max-age=60, must-revalidate', 'all may be shared';
    for (['CDN-Cache-Control' => 'no-store'], ['X-Accel-Expires' => '0'], ['Surrogate-Control' => 'no-store']) {
        my $path = lc "/far/$_->[0]";
        part("$path/part", 'p', @$_);
        page($path, 'f' . inc("$path/part"));
        my $r = $t->get($path);
        is $r->{body}, 'fp', "a part that says $_->[0]: $_->[1]";
        like cc($r), qr/^private/, '... makes the whole private';
    }
};

subtest 'what parts see of the request' => sub {
    page('/page-sets/p', inc('/part-sees'));
    $site->page('/part-sees', { 'Cache-Control' => 'no-store' }, '{x-flag} {x-set} {x-early} {x-own}');
    is $t->get('/page-sets/p', 'X-Early' => 'theirs', 'X-Own' => 'theirs')->{body}, '(null) - ours theirs',
        'what is set for all, and nothing that is set for the page' for 1, 2;
};

subtest 'access' => sub {
    page('/open', 'o' . inc('/closed/part'));
    part('/closed/part', 'secret');
    for (1, 2) {
        is $t->get('/open', 'X-Pass' => 'sesame')->{body}, 'osecret', 'who may see the part does';
        my $r = $t->get('/open');
        is $r->{body}, 'o', 'who may not, does not, though it is stored';
        like cc($r), qr/no-store/, 'and nobody keeps that page';
        like $r->header('Cache-Status'), qr/1 parts, 1 failed/, 'it is said';
    }
};

subtest 'parts that fail' => sub {
    page('/fails', 'f' . inc('/gone') . 'g');
    is $t->get('/fails')->{body}, 'fg', 'left out';
    part('/stale', 's{n}', 'Cache-Control' => 'max-age=1, stale-if-error=60');
    page('/onerror', '<!--#include virtual="/gone" onerror="/b"-->');
    like $t->get('/onerror')->{body}, qr/^\[b\d\]$/, 'something else in its place';
    page('/sie', inc('/stale'));
    is $t->get('/sie')->{body}, 's1', 'a part';
    $site->page('/stale', { ':status' => 500 }, 'broken');
    $t->clock_advance(5);
    my $r = $t->get('/sie');
    is $r->{body}, 's1', 'is served stale when the origin fails';
    is cc($r), 'max-age=0', 'and the page is not fresh';
    $t->clock_advance(100);
    is $t->get('/sie')->{body}, '', 'but not for ever';
    part('/swr', 'w{n}', 'Cache-Control' => 'max-age=1, stale-while-revalidate=60');
    page('/swrp', inc('/swr'));
    is $t->get('/swrp')->{body}, 'w1', 'a part';
    $t->clock_advance(3);
    is $t->get('/swrp')->{body}, 'w1', 'stale, and refreshed in the background';
    ok $t->wait_counter(refreshes => 1), 'it is';
    is $t->get('/swrp')->{body}, 'w2', 'then it is new';
    part('/cut', 'x' x 1000, ':cut' => 400);
    page('/cuts', 'a' . inc('/cut') . 'b');
    is $t->get('/cuts')->{body}, 'ab', 'a part that breaks off is left out as a whole';
};

subtest 'the page itself' => sub {
    page('/cutpage', 'a' x 500 . inc('/b'), ':cut' => 400);
    is $t->get('/cutpage')->{status}, 502, 'one that breaks off is an error';
    page('/swrpage', 'p{n}' . inc('/hour'), 'Cache-Control' => 'max-age=1, stale-while-revalidate=60');
    like $t->get('/swrpage')->{body}, qr/^p1h/, 'fetched';
    $t->clock_advance(2);
    like $t->get('/swrpage')->{body}, qr/^p1h/, 'stale';
    ok $t->wait_counter(refreshes => 2), 'refreshed';
    like $t->get('/swrpage')->{body}, qr/^p2h/, 'and put together';
    page('/siepage', 'q{n}' . inc('/hour'), 'Cache-Control' => 'max-age=1, stale-if-error=60');
    like $t->get('/siepage')->{body}, qr/^q1h/, 'fetched';
    $site->page('/siepage', { ':status' => 503 }, 'broken');
    $t->clock_advance(2);
    like $t->get('/siepage')->{body}, qr/^q1h/, 'stale as the origin fails';
    page('/private', 'p{n}' . inc('/hour'), 'Cache-Control' => 'private');
    for my $n (1, 2) {
        my $r = $t->get('/private');
        like $r->{body}, qr/^p${n}h/, 'one that is not stored has its parts';
        is cc($r), 'private, max-age=0', 'and stays private';
    }
    $site->page('/grown', { lives(1) }, 'no gaps');
    is $t->get('/grown')->{body}, 'no gaps', 'none';
    page('/grown', 'now' . inc('/hour'), lives(1));
    $t->clock_advance(2);
    like $t->get('/grown')->{body}, qr/^nowh/, 'now it has some';
    $site->page('/grown', { lives(60) }, 'gone' . inc('/hour'));
    $t->clock_advance(2);
    is $t->get('/grown')->{body}, 'gone' . inc('/hour'), 'now it does not say so';
    is $t->get('/grown')->{body}, 'gone' . inc('/hour'), 'nor when it is stored';
};

subtest 'filters for bodies' => sub {
    page('/substituted/swr', 'o{n}' . inc('/hour'), 'Cache-Control' => 'max-age=1, stale-while-revalidate=60');
    my $before = $t->counters->{refreshes};
    like $t->get('/substituted/swr')->{body}, qr/^oo1h/, 'once';
    $t->clock_advance(2);
    like $t->get('/substituted/swr')->{body}, qr/^oo1h/, 'stale';
    ok $t->wait_counter(refreshes => $before + 1), 'refreshed';
    like $t->get('/substituted/swr')->{body}, qr/^oo2h/, 'once more, not twice';
    page('/substituted/lost', 'o' . inc('/hour'), lives(1));
    like $t->get('/substituted/lost')->{body}, qr/^ooh/, 'with gaps';
    $site->page('/substituted/lost', { lives(60), 'Content-Type' => 'text/html' }, 'o');
    $t->clock_advance(2);
    is $t->get('/substituted/lost')->{body}, 'oo', 'without' for 1, 2;
    ok hit($t->get('/substituted/lost')), 'and stored';
};

subtest 'bounds' => sub {
    page('/self', 'x' . inc('/self'));
    is $t->get('/self')->{body}, 'x', 'a page is not in itself';
    page('/ping', 'i' . inc('/pong'));
    page('/pong', 'o' . inc('/ping'));
    is $t->get('/ping')->{body}, 'io', 'nor in what is in it';
    page("/deep$_", $_ . inc('/deep' . ($_ + 1))) for 1 .. 9;
    is $t->get('/deep1')->{body}, '12345', 'parts of parts of parts';
    part("/many$_", 'm') for 1 .. 80;
    page('/many', inc(map { "/many$_" } 1 .. 80));
    is $t->get('/many')->{body}, 'm' x 64, 'so many, and no more';
    is scalar $t->log_lines(qr/DC0320.*the page has too many/), 1, 'which is told once';
    page('/nested', inc('/nested/part', '/b'));
    page('/nested/part', inc(('/large') x 5));
    part('/large', 'L' x (1 << 20), lives(60));
    page('/larges', inc(('/large') x 9));
    is length $t->get('/larges')->{body}, 8 << 20, 'so large, and no larger';
    my $nested = length $t->get('/nested')->{body};
    cmp_ok $nested, '>', 5 << 20, 'parts of parts count once';
    page('/late', 'x' . inc('/late/1', '/late/2'));
    part("/late/$_", 's', ':hold' => 'late') for 1, 2;
    is $t->get('/late', ':port' => $t->port('SLOW'))->{body}, 'x', 'parts that do not come';
    is $site->fetches('/late/1') . $site->fetches('/late/2'), '10', '... are not asked for when the time is over';
    $site->release('late');
    page('/toolarge', 'x' x (9 << 20));
    $t->expect_log(qr/DC0323/);
    is $t->get('/toolarge')->{status}, 502, 'a page that is larger';
};

subtest 'nothing but parts of this site' => sub {
    my @no = ('<!--#exec cmd="id" -->', '<!--#printenv -->', '<!--#include file="x" -->', '<!--#echo var="HTTP_COOKIE" -->',
              '<!--#include file="/etc/passwd" virtual="/b" -->', '<!--#include -->', '<!--#include virtual="/b" ', '<!--#');
    page('/no', join "\n", @no);
    is $t->get('/no')->{body}, join("\n", @no), 'all else is text';
    page('/else', 'x' . inc('http://127.0.0.1:1/', '//127.0.0.1/', 'ftp://x/', "/a b", '', 'http://[', '/%zz'));
    is $t->get('/else')->{body}, 'x', 'no other site is asked';
    page('/dir/page', inc('part', '../dir/part') . inc('http://127.0.0.1:' . $t->port . '/dir/part'));
    part('/dir/part', 'P');
    is $t->get('/dir/page')->{body}, 'PPP', 'a relative one, and one of this site';
    page('/a%20dir%3F/page', inc('part'));
    part('/a%20dir%3F/part', 'Q');
    is $t->get('/a%20dir%3F/page')->{body}, 'Q', 'relative to what was asked for';
    $t->get('/dir/page', 'Surrogate-Capability' => 'x="ESI/1.0"');
    page('/cap', 'c' . inc('/b'));
    like $t->get('/cap', 'Surrogate-Capability' => 'evil="SSI/1.0"')->{body}, qr/^c\[b/, 'who says that he fills gaps';
    is $site->last_request('/cap')->{'surrogate-capability'}, 'devcache="SSI/1.0 ESI/1.0"', '... is not believed';
    ok hit($t->get('/cap')), '... and what he fetches is for all';
    $t->post('/cap', 'x', 'Surrogate-Capability' => 'evil="SSI/1.0"');
    is $site->last_request('/cap')->{'surrogate-capability'}, undef, '... nor with a POST';
    part('/uncached/part', 'u{n}');
    page('/mixed', inc('/uncached/part'));
    is $t->get('/mixed')->{body}, "u$_", 'a part where the cache is off' for 1, 2;
};

subtest 'switched off' => sub {
    page('/off/p', 'x' . inc('/b'));
    is $t->get('/off/p')->{body}, 'x' . inc('/b'), 'gaps stay as they are' for 1, 2;
    is $site->last_request('/off/p')->{'surrogate-capability'}, undef, 'and the origin is told nothing';
};

subtest 'purges' => sub {
    page('/tagged', 't' . inc('/news'));
    part('/news', 'n{n}', 'Cache-Tag' => 'news');
    is $t->get('/tagged')->{body}, 'tn1', 'before' for 1, 2;
    $t->send_req('/purge/', ':method' => 'PURGE', 'Cache-Tag' => 'news')->response;
    is $t->get('/tagged')->{body}, 'tn2', 'a part that is purged is new at once';
    ok hit($t->get('/tagged')), 'the page is still there';
    $t->send_req('/purge/news', ':method' => 'PURGE')->response;
    is $t->get('/tagged')->{body}, 'tn3', 'by its URL';
};

subtest 'a herd' => sub {
    page('/herd', 'p{n} ' . inc('/slow'), ':hold' => 'herd');
    part('/slow', 's{n}', ':hold' => 'slow');
    my @r = map { $t->send_req('/herd') } 1 .. 8;
    ok wait_until(sub { $site->fetches('/herd') }), 'the page is asked for';
    $site->release('herd');
    ok wait_until(sub { $site->fetches('/slow') }), 'then its part';
    $site->release('slow');
    is $_->response->{body}, 'p1 s1', 'one fetch for all' for @r;
};

SKIP: {
    skip 'mod_http2 needs threads', 1 if !$h2;
    subtest 'HTTP/2' => sub {
        page('/two', 'A' . inc('/b', '/hour'));
        for my $what ('a miss', 'a hit') {
            my $r = $t->curl('--http2-prior-knowledge', '/two');
            like $r->{body}, qr/^A\[b\d+\]h\d$/, $what;
        }
        is $site->fetches('/two'), 1, 'once';
    };
}

my $c = $t->counters;
cmp_ok $c->{parts}, '>', 100, 'parts are counted';
cmp_ok $c->{parts_failed}, '>', 10, 'and those that fail';
$t->finish;
done_testing;
