# SPDX-License-Identifier: Apache-2.0
# t/45-hostile-client.t. Clients that send what nobody should: they get a plain answer, and under
# no spelling of its URL is a private page stored, served to a stranger, or reached past Require.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

# --- spellings of a private path ----------------------------------------------------------

# An application that normalises what it is asked for, and has private pages: what would be a
# disaster if it were stored, as its headers allow. The visitor is in the body.
sub application {
    my ($req, $literal) = @_;   # escapes that it takes for data
    my $path = $req->{target} =~ s{\A\w+://[^/?#]*}{}r =~ s/[?#].*//sr;
    $path =~ s/%(?!$literal)([0-9a-fA-F]{2})/chr hex $1/gei;
    $path =~ s{//+}{/}g;
    my @segments;
    for my $segment (split m{/}, $path) {
        if ($segment eq '..') { pop @segments if @segments > 1 }
        elsif ($segment ne '.') { push @segments, $segment }
    }
    $path = join '/', @segments;
    my $visitor = $req->header('Cookie') // 'nobody';
    my $what = $path =~ m{^/private(?:/|$)} ? 'PRIVATE' : $path =~ m{^/denied(?:/|$)} ? 'DENIED'
        : 'public';
    return (200, { 'Cache-Control' => 'public, max-age=600',
        'X-Path' => $req->{target} =~ s/[^!-~]/?/gr },
        "$what page for $visitor");
}

# NAME is the private or the denied one.
my @spellings = (
    '/NAME', '/NAME/', '/NAME/x', '/NAME?x', '/NAME#x', '/NAME/x.css', '/NAME/x.css?y', '/%NAME',
    '/./NAME', '/x/../NAME', '/x/./../NAME', '//NAME', '///NAME', '//x/../NAME',
    '/static/../NAME', '/static//../NAME', '/static/x/../../NAME', '/static/x.css/../../NAME',
    '/static/%2e%2e/NAME', '/static/%2E%2E/NAME', '/static/.%2e/NAME', '/static/%2e./NAME',
    '/static/..%2fNAME', '/static/%2e%2e%2fNAME', '/static%2f..%2fNAME', '/static/..%2FNAME',
    '/static/..%5cNAME', '/static/..\\NAME', '/static/%252e%252e/NAME', '/static;/../NAME',
    '/static;x=/../NAME', '/static/..;/NAME', '/NAME;', '/NAME;x.css', '/NAME%3b', '/NAME%00',
    '/NAME%00.css', '/NAME%23.css', '/NAME%3f.css', '/NAME%0a.css', '/NAME%20', '/NAME%09x.css',
    '/static/%00/../NAME', '/static?/../NAME', '/static#/../NAME', '/static/../static/../NAME',
    '/..%2f..%2fNAME', '/../../NAME', '/%2e%2e/NAME', '/static/../../NAME', '/static/..//NAME',
    '/%2fNAME', '/%2f%2fNAME', '/static/%2e%2e%00/NAME', '/NAME/%2e%2e/NAME',
    '/NAME/../static/../NAME', '/static/NAME/../../NAME', "/NAME\x80", '/NAME%c0%af',
    '/static/%c0%ae%c0%ae/NAME', '/static/%u002e%u002e/NAME', '/NAME%', '/NAME%2', '/NAME%zz',
    'http://HOST/NAME', 'http://HOST//NAME', 'http://HOST/static/../NAME',
    'http://HOST/static/%2e%2e/NAME', 'HTTP://HOST/NAME', 'http://user@HOST/NAME',
    'http://other.example/NAME', 'http://HOST?/../NAME', 'http:/NAME', 'http:///NAME',
    '//HOST/NAME', 'NAME', 'static/../NAME', '*/../NAME', '?/../NAME', 'https://HOST/NAME',
    '/static/ ../NAME',
);

my $off = "DevCache On\n<LocationMatch ^(/|%2f)+private>\nDevCache Off\n</LocationMatch>";
my %server = (
    'cache on in /static' => "<Location /static>\nDevCache On\n</Location>",
    'cache off in /private' => "DevCache On\n<Location /private>\nDevCache Off\n</Location>",
    'the same, slashes not merged' => "MergeSlashes Off\n$off",
    'the same, encoded slashes' => "AllowEncodedSlashes NoDecode\n$off",
    'encoded slashes decoded' => "AllowEncodedSlashes On\n$off",
);
for my $name (sort keys %server) {
    my $t = DevCache::Test->start(<<"CONF", modules => ['authz_host']);
DevCacheVaryDevice Off
$server{$name}
<LocationMatch "^(/|%2f)+denied">
    Require all denied
</LocationMatch>
ProxyPass / \@ORIGIN\@/
CONF
    my $literal = $name =~ /encoded slashes$/ ? '2f' : 'none';
    my $auto = $t->origin_auto(sub { application($_[0], $literal) });
    my $host = '127.0.0.1:' . $t->port;
    my (@leaked, @reached, @odd, %seen);
    my $page = sub {
        my ($spelling, $secret, @headers) = @_;
        my $c = $t->client;
        my $target = $spelling =~ s/HOST/$host/r;
        $target = $target =~ s{%NAME}{ sprintf('%%%02x', ord $secret) . substr $secret,
            1 }er =~ s/NAME/$secret/r;
        $c->send_raw(join "\r\n", "GET $target HTTP/1.1", "Host: $host", @headers, '', '');
        my $res = $c->expect('GET')->response;
        push @odd, "$target: " . ($res->{status} // 'none') unless ($res->{status}
            // '') =~ /^(?:200|30[0-9]|4\d\d)$/;
        return $res;
    };
    for my $spelling (@spellings) {
        my $alice = $page->($spelling, 'private', 'Cookie: alice');
        my $mallory = $page->($spelling, 'private', 'Cookie: mallory');
        $seen{$1}++ if $alice->{body} =~ /^(PRIVATE|public)/;
        push @leaked, $spelling if $alice->{body} =~ /^PRIVATE/ && $mallory->{body} =~ /alice/;
        push @reached, $spelling if $page->($spelling, 'denied')->{body} =~ /^DENIED/;
    }
    is_deeply \@leaked, [], "$name: no private page for a stranger";
    is_deeply \@reached, [], "$name: nothing denied is reached";
    is_deeply \@odd, [], "$name: plain answers only";
    cmp_ok $seen{PRIVATE}, '>', 10, "$name: private pages were there to leak";
    cmp_ok $t->counters->{requests}, '>', 5, "$name: and the cache was in use";
    is $page->('/static/a.css', 'x', 'Cookie: alice')->{body}, 'public page for alice',
        "$name: a public page";
    is $page->('/static/a.css', 'x', 'Cookie: mallory')->{body}, 'public page for alice',
        "$name: is cached";
    is $page->('/static/x/../a.css', 'x')->{body}, 'public page for alice',
        "$name: under all its names";
    $t->expect_log(qr/authz_core:error.*AH01630/);
    $t->allow_log(qr/\[core:(?:error|info)\] .*AH(?:00026|10244|10508|00127|00036|10410|10411)/,
        qr/AH00128:/);
    $t->finish;
}

# --- everything else that a client can send ------------------------------------------------

my $t = DevCache::Test->start(<<'CONF');
LimitRequestFieldSize 200000
LimitRequestLine 120000
DevCacheDeviceCookie view
DevCacheDeviceRule tv "Own(TV)+x"
DevCacheStatusHeader On
<Location "/">
    DevCache On
</Location>
<Location "/sort/">
    DevCacheQuery sort
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $vary = [200, 'Cache-Control' => 'max-age=6000', ETag => '"p"',
    Vary => 'Accept-Encoding, Accept-Language, Cookie, X-Own',
    ':body' => 'the page'];
$site->ask('/page', $vary);

# The bytes of a request; the answer, and that the page is still served from the cache.
sub plain {
    my ($name, $bytes, $want) = @_;
    my $c = $t->client;
    $c->send_raw($bytes);
    my $res = $c->expect($bytes =~ /^HEAD / ? 'HEAD' : 'GET')->response;
    my $status = $res->{status} // 'none';
    like $status, $want // qr/^(?:[2345]\d\d|none)$/, "$name: $status";
    my $good = $site->ask('/page', $vary);
    is "$good->{fetches} $good->{body}", '0 the page', '… and the page is still a hit';
    return $res;
}
my $host = "Host: 127.0.0.1:" . $t->port;
sub request { return join "\r\n", @_ > 1 && $_[0] =~ m{ HTTP/} ? shift : 'GET /page HTTP/1.1',
    $host, @_, '', '' }

my $big = 'Mozilla/5.0 (' . 'iPhone Android Tablet Mobile TV bot ' x 2700 . ')';
my %field = (
    'a User-Agent of 100 KB' => "User-Agent: $big",
    '100 KB for a rule to backtrack in' => 'User-Agent: ' . 'OwnTV' . 'TV' x 50_000,
    'a binary User-Agent' => 'User-Agent: ' . join('', map { chr } 1 .. 8, 128 .. 255),
    'a tab and 8-bit' => "User-Agent: \t\xff\xfe\t",
    'an empty User-Agent' => 'User-Agent:',
    'two User-Agents' => 'User-Agent: ' . PC . "\r\nUser-Agent: " . PHONE,
    '100 KB of Cookie' => 'Cookie: ' . 'a=b; ' x 20_000 . 'view=mobile',
    'a malformed Cookie' => 'Cookie: ;;==;view=;view;"view=mobile;\\',
    '100 KB of Accept-Encoding' => 'Accept-Encoding: ' . join(',',
        map { "x$_;q=0.$_" } 1 .. 9000),
    'a malformed Accept-Encoding' => 'Accept-Encoding: ;q=,,gzip;q=9;q=,=',
    '100 KB of Accept-Language' => 'Accept-Language: ' . ',' x 100_000,
    'a malformed Accept-Language' => 'Accept-Language: *;q=-1,en;q=1.0000,-',
    '100 KB of Range' => 'Range: bytes=' . '0-0,' x 25_000,
    'a malformed Range' => 'Range: bytes=-,--,1-0,a',
    '100 KB of If-None-Match' => 'If-None-Match: ' . '"x", ' x 20_000,
    'a malformed If-None-Match' => 'If-None-Match: W/,"",W/"p,"p',
    '100 KB of one tag' => 'If-None-Match: "' . 'p' x 100_000 . '"',
    'a malformed date' => 'If-Modified-Since: ' . '9' x 1000,
    '100 KB of Cache-Control' => 'Cache-Control: ' . 'max-age=99999999999999999999, ' x 3000,
    'a malformed Cache-Control' => 'Cache-Control: =,"max-age=,max-stale=-1',
    '100 KB of Connection' => 'Connection: ' . 'X-Device-Type, ' x 6000,
    'hints that lie' => "Sec-CH-UA-Mobile: ?9\r\nSec-CH-UA-Platform: \"\\\r\n"
        . 'Sec-CH-UA-Form-Factors: "' . 'x' x 9000,
    '90 KB of a field that Vary names' => 'X-Own: ' . 'x' x 90_000,
    'the device header, 95 times' => join("\r\n", map { "X-Device-Type: $_" } 1 .. 95),
    'TE and trailers' => "TE: trailers, gzip;q=0.5\r\nTrailer: X-Device-Type",
    'Expect' => 'Expect: 200-maybe',
    'Upgrade' => "Upgrade: h2c, websocket, own/1\r\nConnection: upgrade",
    'Max-Forwards' => 'Max-Forwards: -1',
);
plain($_, request($field{$_}, 'X-Answer: ' . unpack 'H*', pack '(N/a*)*',
    @$vary)) for sort keys %field;

my %refused = (
    'a NUL in a field' => "X-A: a\0b", 'a NUL in a name' => "X\0A: b", 'a bare CR' => "X-A: a\rb",
        'no colon' => 'nonsense',
    'a space before the colon' => 'X-A : b', 'a control character in a name' => "X\x01: a",
        'an empty name' => ': b',
    'a second length' => "Content-Length: 0\r\nContent-Length: 1",
        'a negative length' => 'Content-Length: -1',
    'a length that overflows' => 'Content-Length: 99999999999999999999',
        'a length in hex' => 'Content-Length: 0x0',
    'an unknown coding' => 'Transfer-Encoding: own',
        'chunked twice' => 'Transfer-Encoding: chunked, chunked, own',
    'a second Host' => 'Host: evil.example', 'too many fields' => join("\r\n",
        map { "X-$_: 1" } 1 .. 101),
    'a field of 210 KB' => 'X-Own: ' . 'x' x 210_000,
);
plain($_, request($refused{$_}), qr/^(?:4\d\d|501)$/) for sort keys %refused;

my %line = (
    'an unknown method' => 'GETX /other HTTP/1.1', 'lower case' => 'get /other HTTP/1.1',
        TRACE => 'TRACE /page HTTP/1.1',
    OPTIONS => 'OPTIONS /page HTTP/1.1', 'OPTIONS *' => 'OPTIONS * HTTP/1.1',
        CONNECT => 'CONNECT example:443 HTTP/1.1',
    PROPFIND => 'PROPFIND /page HTTP/1.1', 'a very long method' => 'X' x 9000
        . ' /other HTTP/1.1',
    'HTTP/0.9' => 'GET /page', 'HTTP/1.0' => 'GET /page HTTP/1.0',
        'HTTP/3.0' => 'GET /page HTTP/3.0',
    'no version' => 'GET /page HTTP/', 'two spaces' => 'GET  /page  HTTP/1.1',
        'a tab' => "GET\t/page\tHTTP/1.1",
    'a bare GET' => 'GET', 'a URL of 110 KB' => 'GET /' . 'x' x 110_000 . ' HTTP/1.1',
    'a URL too long' => 'GET /' . 'x' x 121_000 . ' HTTP/1.1', 'a query of 100 KB' => 'GET /page?'
        . 'a=b&' x 25_000 . ' HTTP/1.1',
    '100 KB to sort' => 'GET /sort/p?' . join('&', map { 'p' . $_ * 7919 % 9001 } 1 .. 9000)
        . ' HTTP/1.1',
    'a NUL in the URL' => "GET /page\0 HTTP/1.1", 'a CR in the URL' => "GET /page\r HTTP/1.1",
        '8-bit' => "GET /page\xff HTTP/1.1",
    'nothing' => '', 'binary' => join('', map { chr } 0 .. 9, 11, 12, 14 .. 255),
        'TLS' => "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    'HTTP/2 without being asked' => 'PRI * HTTP/2.0',
);
for my $name (sort keys %line) {
    plain($name, join "\r\n", $line{$name}, $host, 'Connection: close', '', '');
}

# Methods that are not GET or HEAD never get what is stored, nor remove it unless they say so.
for my $method (qw(GETX OPTIONS PROPFIND SEARCH)) {
    my $res = $site->ask('/page', [200, ':body' => 'of the origin'], ':method' => $method);
    is "$res->{fetches} $res->{body}", '1 of the origin', "$method goes to the origin";
}
isnt $site->ask('/page', $vary)->{fetches}, 0,
    'an unknown method that succeeded removes the page, as POST does';

# A body that looks like a request is a body.
my $c = $t->client;
my $inner = request('GET /smuggled HTTP/1.1', 'X-Inner: 1');
$c->send_raw(request('POST /post HTTP/1.1', 'Content-Length: ' . length $inner) . $inner
    . request('GET /page HTTP/1.1', 'X-B: 1'));
$c->expect('POST')->response;
is $c->expect('GET')->response->{body}, 'the page', 'a request in a body is not taken for one';
is $site->{auto}->fetches('/smuggled'), 0, 'and not forwarded';
$c = $t->client;
$c->send_raw(request('GET /page HTTP/1.1', 'Content-Length: 4', 'Transfer-Encoding: chunked')
    . "0\r\n\r\n" . request());
my $first = $c->expect('GET')->response;
like $first->{status}, qr/^(?:200|400)$/, 'a length and chunks at once';
$site->ask('/after', $vary);
is $site->ask('/after', $vary)->{body}, 'the page', 'and nobody else gets what came of it';

# A hundred requests in one write: each answer in its place.
$c = $t->client;
$site->ask("/n/$_", [200, 'Cache-Control' => 'max-age=600', ':body' => "page $_"]) for 0 .. 9;
$c->send_raw(join '', map { request('GET /n/' . $_ % 10 . ' HTTP/1.1', 'X-A: 1') } 0 .. 99);
my @answers = map { $c->expect('GET') } 0 .. 99;
is join(' ', map { $answers[$_]->response->{body} } 0 .. 99),
    join(' ', map { 'page ' . $_ % 10 } 0 .. 99), 'pipelined';

$t->allow_log(qr/\[core:error\] .*AH(?:00126|10244|00135|10508)/, qr/\[proxy:warn\] .*AH01144/,
    qr/AH00566|AH02429|AH00561/,
    qr/\[http:(?:error|warn)\]/);
$t->finish;
done_testing;
