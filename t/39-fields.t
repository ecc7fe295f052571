# SPDX-License-Identifier: Apache-2.0
# t/39-fields.t. The fields of what is served: those of one hop are not stored, Date is the
# origin's, Age is right, interim responses and trailers stay apart, and Cache-Status (RFC 9211)
# says exactly what has happened.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', origins => 2);
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCacheBypass "%{HTTP:X-Bypass} == 'yes'"
</Location>
<Location "/silent/">
    DevCacheStatusHeader Off
</Location>
<Location "/off/">
    DevCache Off
</Location>
ProxyPass /by-hand/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
sub says { return [200, 'Cache-Control' => @_] }
my $site_url = 'http://127.0.0.1:' . $t->port;

# Let the second origin answer by hand; the client's side of it.
sub by_hand {
    my ($path, $answer) = @_;
    my $req = $t->send_req($path);
    my $fetch = $t->origin(2)->accept;
    $answer->($fetch);
    return $req->response;
}

# --- of one hop ------------------------------------------------------------------------------

my @hop = (Connection => 'X-Hop, x-other', 'X-Hop' => 1, 'X-Other' => 1,
    'Keep-Alive' => 'timeout=77',
    'Proxy-Connection' => 'x', 'Proxy-Authenticate' => 'Basic realm=x',
    'Proxy-Authentication-Info' => 'nextnonce=x',
    'Proxy-Authorization' => 'x', TE => 'x', Trailer => 'X-T', Upgrade => 'x/1');
$site->ask('/hop', says('max-age=60', @hop, 'X-End' => 'kept', 'Authentication-Info' => 'kept',
    'WWW-Authenticate' => 'kept'));
my $hit = $site->ask('/hop', [500]);
is $hit->{fetches}, 0, 'a response with fields of one hop is stored';
is $hit->header($_), undef, "$_ is not" for 'X-Hop', 'X-Other', 'Proxy-Connection',
    'Proxy-Authenticate', 'Proxy-Authentication-Info', 'Proxy-Authorization', 'TE', 'Trailer',
    'Upgrade', 'Transfer-Encoding';
unlike $hit->header($_) // '', qr/77|hop|other/i, "nor is $_, apart from our own"
    for 'Keep-Alive', 'Connection';
is $hit->header($_), 'kept', "$_ is" for 'X-End', 'Authentication-Info', 'WWW-Authenticate';
$site->ask('/framed', says('max-age=60', 'Transfer-Encoding' => 'chunked', ':body' => 'chunked body'));
is $site->ask('/framed', [500])->header('Content-Length'), 12, 'a chunked body is served with its length';

# --- Date and Age ----------------------------------------------------------------------------

my $date = DevCache::Origin::http_date(DevCache::Origin::now() - 5);
$site->ask('/dated', says('max-age=60', Date => $date));
for my $later (0, 20, 20) {
    $t->clock_advance($later);
    $hit = $site->ask('/dated', [500]);
    is $hit->header('Date'), $date, 'a hit has the Date of the origin';
    my ($ttl) = $hit->header('Cache-Status') =~ /; ttl=(\d+);/;
    is $hit->header('Age') + $ttl, 60, 'Age and ttl are the lifetime';
    is scalar(grep { $_->[0] =~ /^(?:Age|Date)$/i } @{ $hit->{list} }), 2, 'one line each';
}
cmp_ok abs($hit->header('Age') - 45), '<', 5, 'an Age of 5 and 40 seconds';
my $undated = sub { $_[0]->reply(200, ['Cache-Control' => 'max-age=60', Date => undef], 'x') };
my $first = by_hand('/by-hand/undated', $undated)->header('Date');
ok defined $first, 'a response without Date gets one';
$t->clock_advance(30);
$hit = $t->get('/by-hand/undated');
cmp_ok $hit->header('Age'), '>=', 30, 'it has aged';
is $hit->header('Date'), $first, 'and keeps that Date';

# --- interim responses and trailers ----------------------------------------------------------

my $hints = sub {
    $_[0]->send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n"
        . "Cache-Control: no-store\r\n\r\n");
    $_[0]->reply(200, { 'Cache-Control' => 'max-age=60', 'X-Final' => 1 }, 'final');
};
my $res = by_hand('/by-hand/hints', $hints);
is join(' ', map { $_->{status} } @{ $res->{interim} }), '103', '103 is passed on';
is $res->{interim}[0]{headers}{link}, '</style.css>; rel=preload', 'with its Link';
is "$res->{status} $res->{body}", '200 final', 'and what follows';
$hit = $t->get('/by-hand/hints');
is "$hit->{status} $hit->{body}", '200 final', 'the final response is stored';
is scalar @{ $hit->{interim} }, 0, 'and it alone';
is $hit->header('Link'), undef, 'nothing of the 103 is in it';

my $trailers = sub {
    $_[0]->head(200, { 'Cache-Control' => 'max-age=60', 'Transfer-Encoding' => 'chunked',
        Trailer => 'X-Trailer, X-Both',
        'X-Both' => 'head' });
    $_[0]->chunk('with trailers');
    $_[0]->send("0\r\nX-Trailer: 1\r\nX-Both: trailer\r\nCache-Control: no-store\r\n"
        . "Set-Cookie: a=1\r\n\r\n");
    $_[0]->end;
};
is by_hand('/by-hand/trailers', $trailers)->{body}, 'with trailers', 'a response with trailers';
$hit = $t->get('/by-hand/trailers');
is $hit->{body}, 'with trailers', 'is stored, whatever they say';
is $hit->header('X-Trailer'), undef, 'without them';
is $hit->header('X-Both'), 'head', 'what is in both is as in the header';
is $hit->header('Cache-Control'), 'max-age=60', 'Cache-Control too';
is $hit->header('Set-Cookie'), undef, 'and no cookie';

# --- Cache-Status ----------------------------------------------------------------------------

# The whole of the field, with what the test's own duration has taken of a ttl put back.
sub says_status {
    my ($res, $want, $path, $name, $more) = @_;
    my $got = $res->header('Cache-Status') // 'none';
    my ($ttl) = $want =~ /ttl=(-?\d+)/;
    $got =~ s/ttl=(-?\d+)/defined $ttl && $1 <= $ttl && $1 > $ttl - 5 ? "ttl=$ttl" : "ttl=$1"/e;
    $want .= qq{; key="$site_url$path"; detail="pc@{[$more // '']}"} if defined $path;
    is $got, $want, $name;
}
my @etag = (ETag => '"e"');
says_status($site->ask('/s', says('max-age=60', @etag)),
    'devcache; fwd=uri-miss; fwd-status=200; ttl=60; stored', '/s', 'a miss, stored');
says_status($site->ask('/s', [500]), 'devcache; hit; ttl=60', '/s', 'a hit');
says_status($site->ask('/s', [500], ':method' => 'HEAD'), 'devcache; hit; ttl=60', '/s', 'a hit for HEAD');
says_status($site->ask('/s', [500], 'If-None-Match' => '"e"'), 'devcache; hit; ttl=60', '/s',
    'a hit, 304');
says_status($site->ask('/s', [500], 'If-Match' => '"x"'), 'devcache; hit; ttl=60', '/s', 'a hit, 412');
says_status($site->ask('/s', [500], Range => 'bytes=0-1'), 'devcache; hit; ttl=60', '/s', 'a hit, 206');
says_status($site->ask('/s', [500], Range => 'bytes=900-'), 'devcache; hit; ttl=60', '/s', 'a hit, 416');
$t->clock_advance(20);
says_status($site->ask('/s', [500]), 'devcache; hit; ttl=40', '/s', 'a hit, 20 seconds later');
says_status($site->ask('/s', [304, 'Cache-Control' => 'max-age=60', @etag], 'Cache-Control' => 'no-cache'),
    'devcache; fwd=request; fwd-status=304; ttl=60; stored', '/s',
    'validated at the client\'s wish');
says_status($site->ask('/s', says('max-age=60', @etag), 'Cache-Control' => 'no-cache'),
    'devcache; fwd=request; fwd-status=200; ttl=60; stored', '/s', 'or fetched anew');
$t->clock_advance(70);
says_status($site->ask('/s', [500], 'Cache-Control' => 'max-stale'), 'devcache; hit; ttl=-10', '/s',
    'a stale hit: ttl is negative');
says_status($site->ask('/s', [503], 'Cache-Control' => 'stale-if-error=99'),
    'devcache; fwd=stale; fwd-status=503; ttl=-10', '/s', 'stale, as the origin failed');
says_status($site->ask('/s', [304, 'Cache-Control' => 'max-age=60', @etag]),
    'devcache; fwd=stale; fwd-status=304; ttl=60; stored', '/s', 'validated as it was stale');
$t->clock_advance(70);
says_status($site->ask('/s', says('no-store')), 'devcache; fwd=stale; fwd-status=200', '/s',
    'replaced by what is not stored', ', not stored: the response says no-store');
says_status($site->ask('/s', [404]), 'devcache; fwd=uri-miss; fwd-status=404', '/s', 'a miss, not stored',
    ', not stored: neither a lifetime nor a validator');
says_status($site->ask('/s', [299, 'Cache-Control' => 'max-age=7']),
    'devcache; fwd=uri-miss; fwd-status=299; ttl=7; stored', '/s', 'an odd status');
$site->ask('/v', says('max-age=60', Vary => 'X-A'), 'X-A' => 1);
says_status($site->ask('/v', says('max-age=60', Vary => 'X-A'), 'X-A' => 2),
    'devcache; fwd=vary-miss; fwd-status=200; ttl=60; stored', '/v', 'stored for others only',
    ', stored ones differ in x-a');
$site->ask('/n', says('no-cache', @etag));
says_status($site->ask('/n', [304, @etag]), 'devcache; fwd=stale; fwd-status=304; ttl=0; stored', '/n',
    'validated as it always must be');
says_status($site->ask('/r', says('max-age=60'), 'Cache-Control' => 'no-store'), 'devcache; fwd=request',
    '/r', 'no-store of the request', ', not cached: the request says no-store');
says_status($site->ask('/r', says('max-age=60'), 'X-Bypass' => 'yes'), 'devcache; fwd=bypass', '/r',
    'DevCacheBypass', ', not cached: DevCacheBypass is true');
says_status($site->ask('/r', says('max-age=60'), 'X-Forwarded-Host' => 'x'), 'devcache; fwd=bypass', '/r',
    'a header that bypasses', ', not cached: field X-Forwarded-Host');
says_status($site->ask('/r', says('max-age=60'), ':body' => 'x'), 'devcache; fwd=bypass', '/r',
    'a GET with a body', ', not cached: a GET or HEAD with a body');
says_status($site->ask('/r', says('max-age=60'), ':method' => $_, ':body' => ''),
    'devcache; fwd=method' . ($_ eq 'POST' ? '; fwd-status=200' : ''), '/r', "method $_", ', not cached: neither GET nor HEAD')
    for qw(POST PUT DELETE OPTIONS XYZZY);
says_status($site->ask('/r', [206, 'Content-Range' => 'bytes 0-1/9', ':body' => 'ab'],
    Range => 'bytes=0-1'), 'devcache; fwd=uri-miss; fwd-status=206', '/r', 'a part that is not stored',
    ', not stored: neither a lifetime nor a validator');

# The key: one string, whatever the URL has in it.
my %keys = ('/k?a=1&b=%22' => '/k?a=1&b=%22', '/k%22x' => '/k%22x', '/k%5C' => '/k%5C',
    '/k%20%7f%e9' => '/k%20%7F%E9',
    '/a/./b/../k' => '/a/k', '/k;x=1' => '/k;x=1');
says_status($site->ask($_), 'devcache; fwd=uri-miss; fwd-status=200; ttl=60; stored', $keys{$_},
    "key of $_") for sort keys %keys;

# Appended to what caches nearer the origin say, of a hit too; and to that only once.
my $upstream = 'origin; hit; ttl=9, "edge 1"; fwd=stale';
for my $lines ([$upstream], ['origin; hit; ttl=9', '"edge 1"; fwd=stale']) {
    my $path = '/u' . @$lines;
    my @how = (says('max-age=60', map { ('Cache-Status' => $_) } @$lines));
    my $miss = $site->ask($path, @how)->header('Cache-Status');
    my $how = 'devcache; fwd=uri-miss; fwd-status=200; ttl=';
    like $miss, qr/^\Q$upstream, $how\E\d+; stored; key="[^,]*$/, 'appended to an upstream list';
    for (1 .. 2) {
        my $again = $site->ask($path, [500])->header('Cache-Status');
        like $again, qr/^\Q$upstream, devcache; hit; ttl=\E\d+; key="[^,]*$/,
            'of a hit: after what was stored';
    }
}

# Only where it was asked for.
is $site->ask("/$_/p")->header('Cache-Status'), undef, "none in /$_/" for 'silent', 'silent', 'off';
is $site->ask('/silent/q', says('max-age=60', 'Cache-Status' => $upstream))->header('Cache-Status'),
    $upstream, "the upstream's is passed on";

$t->finish;
done_testing;
