# SPDX-License-Identifier: Apache-2.0
# t/44-hostile-origin.t. An origin that sends what it should not, or stops in the middle: never a
# crash, nothing doubtful stored, and the next request is answered right.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', origins => 2);
<Proxy "@ORIGIN@/">
    ProxySet responsefieldsize=100000 disablereuse=on
</Proxy>
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheMaxObjectSize 100000
</Location>
<Location "/sie/">
    DevCacheStaleIfError 1000
</Location>
<Location "/plain/">
    DevCacheStaleIfUnreachable 0
</Location>
MergeTrailers On
ProxyPassMatch ^/(?:.*/)?silent(?:/|$) @ORIGIN2@ timeout=1 disablereuse=on
ProxyPass / @ORIGIN@/
CONF
my $serial = 0;
sub origin_of { return $t->origin($_[0] =~ m{/silent(?:/|$)} ? 2 : 1) }

# Ask, and answer with these bytes; then close, or do as $after says. What the client got.
sub answered {
    my ($path, $bytes, $after, @headers) = @_;
    my $req = $t->send_req($path, @headers);
    my $fetch = origin_of($path)->accept;
    eval { $fetch->send($bytes); 1 } or diag "origin: $@";   # httpd may have had enough
    $after ? $after->($fetch, $req) : $fetch->close;
    return $req->response;
}

# The same URL asked again: from the origin, and that answer is right. Then from the cache.
sub right_again {
    my ($name, $path) = @_;
    my $body = 'right ' . ++$serial;
    my $req = $t->send_req($path);
    my $fetch = eval { origin_of($path)->accept(5) };
    ok $fetch, "$name: was not stored" or return;
    $fetch->reply(200, { 'Cache-Control' => 'max-age=60' }, $body);
    is $req->response->{body}, $body, '… the next answer is right';
    is $t->get($path)->{body}, $body, '… and stored';
}

# A whole response in bytes, with a Date and any further lines.
sub text {
    my ($status, $lines, $body) = @_;
    my $date = DevCache::Origin::http_date(DevCache::Origin::now());
    return join "\r\n", "HTTP/1.1 $status", "Date: $date", @$lines, '', $body // 'doubtful';
}
my $fresh = 'Cache-Control: max-age=600';
my $eight = 'Content-Length: 8';

# --- answers that must not be stored ----------------------------------------------------

my %doubtful = (
    'a status line alone'    => "HTTP/1.1 200 OK\r\n",
    'nothing'                => '',
    'no HTTP'                => "hello\r\n\r\nworld",
    'HTTP/0.9'               => "<html>page</html>",
    'a version of the future' => text('200 OK', [$fresh, $eight]) =~ s/1\.1/9.9/r,
    'status 20'              => text('20 OK', [$fresh, $eight]),
    'status -1'              => text('-1 OK', [$fresh, $eight]),
    'status 2000'            => text('2000 OK', [$fresh, $eight]),
    'status 099'             => text('099 OK', [$fresh, $eight]),
    'status 700'             => text('700 OK', [$fresh, $eight]),
    'status in letters'      => text('abc OK', [$fresh, $eight]),
    'a line without a colon' => text('200 OK', [$fresh, 'nonsense', $eight]),
    'a name with a space'    => text('200 OK', [$fresh, 'X Name: 1', $eight]),
    'a space before a colon' => text('200 OK', ['Cache-Control : max-age=600', $eight]),
    'an empty name'          => text('200 OK', [$fresh, ': value', $eight]),
    'a NUL in a value'       => text('200 OK', [$fresh, "X-Nul: a\0b", $eight]),
    'a NUL in a name'        => text('200 OK', [$fresh, "X-N\0ul: a", $eight]),
    'a NUL in Cache-Control' => text('200 OK', ["Cache-Control: max-age=600\0, private", $eight]),
    'a control character'    => text('200 OK', [$fresh, "X-Bell: a\a", $eight]),
    'a bare CR'              => text('200 OK', [$fresh, "X-Cr: a\rSet-Cookie: b=1", $eight]),
    '60 KB of nothing known' => text('200 OK', [$fresh, 'X-Large: ' . 'x' x 66_000, $eight]),
    '500 fields'             => text('200 OK', [$fresh, (map { "X-$_: 1" } 1 .. 500), $eight]),
    'two Content-Lengths'    => text('200 OK', [$fresh, $eight, 'Content-Length: 4']),
    'a list of them'         => text('200 OK', [$fresh, 'Content-Length: 8, 4']),
    'a negative one'         => text('200 OK', [$fresh, 'Content-Length: -8']),
    'one with a sign'        => text('200 OK', [$fresh, 'Content-Length: +8']),
    'one in hex'             => text('200 OK', [$fresh, 'Content-Length: 0x8']),
    'one that overflows'     => text('200 OK', [$fresh, 'Content-Length: 18446744073709551624']),
    'one too large'          => text('200 OK', [$fresh, 'Content-Length: 9223372036854775807']),
    'one above the limit'    => text('200 OK', [$fresh, 'Content-Length: 100001'], 'x' x 100_001),
    'private in a third line' => text('200 OK', [$fresh, 'cache-control: public',
        'CACHE-CONTROL: private', $eight]),
    'no-store, folded'       => text('200 OK', ["Cache-Control: max-age=600,\r\n no-store",
        $eight]),
    'private, folded'        => text('200 OK', ["Cache-Control: max-age=600\r\n\t, private",
        $eight]),
    'Expires twice'          => text('200 OK', ['Expires: Sun, 01 Jan 2040 00:00:00 GMT',
        'Expires: 0', $eight]),
    'Expires, an odd date'   => text('200 OK', ['Expires: Sun, 01 Jan 2040', $eight]),
    'Vary: * at the end'     => text('200 OK', [$fresh, 'Vary: X-A', 'Vary: *', $eight]),
    'a Vary of 60 KB'        => text('200 OK', [$fresh, 'Vary: '
        . join(',', map { "X-$_" } 1 .. 9000), $eight]),
    '9000 directives, then private' => text('200 OK', ['Cache-Control: max-age=600, '
        . join(', ', map { "x$_" } 1 .. 9000)
                                     . ', private', $eight]),
);
for my $name (sort keys %doubtful) {
    my $path = '/doubtful/' . ++$serial;
    my $res = answered($path, $doubtful{$name});
    like $res->{status} // 'none', qr/^(?:\d\d\d|none)$/, "$name: a plain answer";
    right_again($name, $path);
}

# --- bodies that end too soon -----------------------------------------------------------

my $chunked = 'Transfer-Encoding: chunked';
my %cut = (
    'by one byte'              => text('200 OK', [$fresh, 'Content-Length: 9']),
    'after nothing'            => text('200 OK', [$fresh, 'Content-Length: 9'], ''),
    'after 30 KB of 60'        => text('200 OK', [$fresh, 'Content-Length: 60000'], 'x' x 30_000),
    'chunked, before a size'   => text('200 OK', [$fresh, $chunked], "8\r\ndoubtful\r\n"),
    'chunked, in a size'       => text('200 OK', [$fresh, $chunked], "8\r\ndoubtful\r\n1"),
    'chunked, in data'         => text('200 OK', [$fresh, $chunked], "8\r\ndoub"),
    'chunked, before the CRLF' => text('200 OK', [$fresh, $chunked], "8\r\ndoubtful"),
    'chunked, after the last size' => text('200 OK', [$fresh, $chunked], "8\r\ndoubtful\r\n0"),
);
my %ends = (closed => sub { $_[0]->close }, reset => sub { $_[0]->reset });
for my $name (sort keys %cut) {
    for my $end (sort keys %ends) {
        my $path = '/cut/' . ++$serial;
        my $res = answered($path, $cut{$name}, $ends{$end});
        ok !$res->{complete} || $res->{status} >= 500,
            "$name, $end: the client is not told that it is whole";
        right_again($name, $path);
    }
}
my %broken = ('a size that is none' => 'xyz', 'a negative size' => '-8',
    'a size that overflows' => 'f' x 17,
    'a huge size' => '7fffffffffffffff');
for my $name (sort keys %broken) {
    my $path = '/chunk/' . ++$serial;
    my $res = answered($path, text('200 OK', [$fresh, $chunked],
        "8\r\ndoubtful\r\n$broken{$name}\r\nmore\r\n"));
    ok !$res->{complete} || $res->{status} >= 500, "$name: not whole";
    right_again($name, $path);
}

# Silence: before the answer, in its header, in its body; all at once, as each takes a second.
my %silent = ('before the answer' => '', 'in the header' => "HTTP/1.1 200 OK\r\n$fresh\r\n",
    'in the body' => text('200 OK', [$fresh, 'Content-Length: 100']),
    'in a chunk' => text('200 OK', [$fresh, $chunked], "64\r\nhalf"));
my %waiting;
for my $where (sort keys %silent) {
    my $req = $t->send_req('/silent/' . $where =~ tr/ /-/r);
    my $fetch = $t->origin(2)->accept;
    $fetch->send($silent{$where});
    $waiting{$where} = [$req, $fetch];
}
for my $where (sort keys %silent) {
    my ($req, $fetch) = @{ $waiting{$where} };
    ok $fetch->gone, "silent $where: the proxy's timeout ends it";
    $fetch->close;
    my $res = $req->response;
    ok !$res->{complete} || $res->{status} >= 500, 'the client is not told that it is whole';
    right_again("silent $where", '/silent/' . $where =~ tr/ /-/r);
}

# The client goes first: the origin's answer is whole, or nothing is stored of it.
my $c = $t->client;
$c->send_req('/aborted');
my $fetch = $t->origin->accept;
$fetch->head(200, { 'Cache-Control' => 'max-age=600', 'Content-Length' => 50_000 });
$fetch->send('x' x 1000);
$c->reset;
eval { $fetch->send('x' x 49_000) };
$fetch->close;
my $req = $t->send_req('/aborted');
wait_until(sub { $req->begun || !$t->origin->quiet(0) });
if (!$req->begun) {
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=600' }, 'x' x 50_000);
}
is length $req->response->{body}, 50_000, 'a client that resets leaves no torn copy';

# --- odd, and right ---------------------------------------------------------------------

# Answers that are stored: asked twice, the second from the cache.
sub stored {
    my ($name, $path, $bytes, $want, @headers) = @_;
    my $res = answered($path, $bytes, sub { $_[0]->close }, @headers);
    is $res->{body}, $want, "$name: passed";
    my $hit = $t->send_req($path, @headers);
    if (!$t->origin->quiet(0.05)) {
        $t->origin->accept->close;
        fail "$name: stored";
        return $hit->response;
    }
    is $hit->response->{body}, $want, "$name: stored";
    return $hit->response;
}
stored('the same length twice', '/odd/length', text('200 OK', [$fresh, $eight, $eight]),
    'doubtful');
stored('a length and chunks: the chunks count', '/odd/both',
    text('200 OK', [$fresh, $eight, $chunked],
    "1\r\nx\r\n0\r\n\r\n"), 'x');
stored('204 that announces a body', '/odd/204', text('204 No Content', [$fresh, $eight]), '');
stored('no reason phrase', '/odd/reason', text('200', [$fresh, $eight]), 'doubtful');
is stored('a reason of 8-bit bytes', '/odd/reason8', text("200 Fran\xe7ais", [$fresh, $eight]),
    'doubtful')->{status}, 200,
    'is a 200';
stored('bare LF', '/odd/lf', text('200 OK', [$fresh, $eight]) =~ s/\r\n/\n/gr, 'doubtful');
is stored('a folded field', '/odd/fold', text('200 OK', [$fresh, "X-Fold: a\r\n  b", $eight]),
    'doubtful')
    ->header('X-Fold') =~ s/\s+/ /gr, 'a b', 'is one line';
stored('199 fields', '/odd/199', text('200 OK', [$fresh, (map { "X-$_: 1" } 1 .. 190), $eight]),
    'doubtful');
stored('more bytes than announced', '/odd/more', text('200 OK', [$fresh, $eight],
    'doubtful and more'), 'doubtful');
stored('chunks with extensions', '/odd/ext', text('200 OK', [$fresh, $chunked],
    "8;a=b;c\r\ndoubtful\r\n0;last\r\n\r\n"), 'doubtful');
stored('chunk by chunk', '/odd/bytes', text('200 OK', [$fresh, $chunked],
    join('', map { "1\r\n$_\r\n" } split //, 'doubtful') . "0\r\n\r\n"), 'doubtful');
stored('a body up to the end of the connection', '/odd/close',
    text('200 OK', [$fresh, 'Connection: close'], 'to the end'),
    'to the end');
stored('8-bit values', '/odd/8bit', text('200 OK', [$fresh, "X-8: \x80\xff", "ETag: \"\x80\"",
    $eight]), 'doubtful');
my $res = stored('trailers', '/trailers/x', text('200 OK',
    [$fresh, $chunked, 'Trailer: Set-Cookie, Cache-Control, X-T'],
    "8\r\ndoubtful\r\n0\r\nSet-Cookie: a=1\r\nX-T: 1\r\nContent-Length: 3\r\n\r\n"), 'doubtful');
is $res->header($_), undef, "no $_ from a trailer on a hit" for 'Set-Cookie', 'X-T', 'Trailer';
is $res->header('Content-Length'), 8, 'and the right length';

# Interim answers come before the one that counts.
my $early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nCache-Control: no-store\r\n\r\n";
$res = stored('103 before 200', '/interim/103', $early . text('200 OK', [$fresh, $eight]),
    'doubtful');
is $res->header('Link'), undef, 'and leaves nothing in it';
stored('100 before 200', '/interim/100', "HTTP/1.1 100 Continue\r\n\r\n" x 3
    . text('200 OK', [$fresh, $eight]), 'doubtful');
$res = answered('/interim/only', $early);
cmp_ok $res->{status}, '>=', 500, 'a 103 and nothing more is an error';
right_again('103 alone', '/interim/only');
$res = answered('/interim/101',
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: Upgrade\r\n$fresh\r\n\r\nraw");
isnt $res->{status}, 200, 'a 101 that nobody asked for is no page';
right_again('101', '/interim/101');

# A second answer in the bytes after the first must not become the answer to another request.
$res = answered('/split', text('200 OK', [$fresh, $eight])
    . text('200 OK', [$fresh, $eight], 'smuggled'), sub { $_[0]->end });
is $res->{body}, 'doubtful', 'two answers to one request: the first';
for my $n (1 .. 3) {
    my $next = $t->send_req("/split/$n");
    my $at = $t->origin->accept;
    $at->reply(200, { 'Cache-Control' => 'max-age=60' }, "own $n");
    is $next->response->{body}, "own $n", 'and the next URL gets its own';
}

# --- while validating -------------------------------------------------------------------

sub old { my $path = shift; answered($path, text('200 OK',
    ['Cache-Control: max-age=1', 'ETag: "v"', $eight], 'old page'))
    ; $t->clock_advance(2) }
my %failures = (closed => ['', 0], reset => ['', sub { $_[0]->reset }],
    silent => ['', sub { $_[0]->gone; $_[0]->close }], 'half a header' => ["HTTP/1.1 200 OK\r\nX",
        0],
    503 => [text('503 Busy', [$eight]), 0], '500 without a length' => [text('500 Oops', [],
        'oops'), 0]);
for my $name (sort keys %failures) {
    my ($bytes, $after) = @{ $failures{$name} };
    my $path = '/sie/' . $name =~ s/\W//gr;
    old($path);
    is answered($path, $bytes, $after)->{body}, 'old page', "validation, $name: stale-if-error";
    $path = '/plain/' . $name =~ s/\W//gr;
    old($path);
    cmp_ok answered($path, $bytes, $after)->{status}, '>=', 500,
        "validation, $name, not allowed: an error";
    is answered($path, text('304 Not Modified', ['ETag: "v"', $fresh]))->{body}, 'old page',
        'the copy is still good';
}
old('/304/body');
$res = answered('/304/body', text('304 Not Modified', ['ETag: "v"', $fresh, 'Content-Length: 99',
    'Content-Type: x/y',
    'Transfer-Encoding: chunked', 'Content-Encoding: gzip']));
is "$res->{status} $res->{body}", '200 old page',
    'a 304 that describes a body does not change ours';
$res = $t->get('/304/body');
is join('|', map { $_ // '' } $res->{body}, map { $res->header($_) } 'Content-Length',
    'Content-Encoding'), 'old page|8|',
    'now or later';
old('/304/private');
is answered('/304/private', text('304 Not Modified', ['ETag: "v"',
    'Cache-Control: private']))->{body}, 'old page',
    'a 304 that forbids to keep it';
right_again('then it', '/304/private');
old('/304/other');
$req = $t->send_req('/304/other');
$fetch = $t->origin->accept;
$fetch->send(text('304 Not Modified', ['ETag: "w"', $fresh]));
$fetch->close;
$fetch = $t->origin->accept;
is $fetch->header('If-None-Match'), undef, 'a 304 for something else: asked for the whole';
$fetch->send(text('200 OK', [$fresh, 'Connection: close'], 'new page'));
$fetch->close;
is $req->response->{body}, 'new page', 'which comes, though only the connection ends it';
ok $req->response->{complete}, 'whole';
is $t->get('/304/other')->{body}, 'new page', 'and is stored';
old('/half');
$res = answered('/half', text('200 OK', [$fresh, 'Content-Length: 100'], 'half'));
ok !$res->{complete} || $res->{status} == 502, 'a new one that is cut';
$req = $t->send_req('/half');
$fetch = $t->origin->accept;
is $fetch->header('If-None-Match') // 'none', '"v"', 'leaves the old one to be validated';
$fetch->reply(304, { ETag => '"v"', 'Cache-Control' => 'max-age=600' });
is $req->response->{body}, 'old page', 'and served';

$t->expect_log(qr/\[proxy(?:_http)?:(?:error|warn)\]/);
$t->allow_log(qr/\[http:(?:error|warn)\]/, qr/\[core:error\]/);
$t->finish;
done_testing;
