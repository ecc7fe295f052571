# SPDX-License-Identifier: Apache-2.0
# t/30-freshness.t. Lifetimes, ages, validation, stale answers, with a real origin.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite']);
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
<Location "/plain">
    DevCacheStaleIfUnreachable 0
</Location>
<Location "/default/">
    DevCacheDefaultTTL 100
</Location>
<Location "/clamp/">
    DevCacheMinTTL 10
    DevCacheMaxTTL 50
</Location>
<Location "/force/">
    DevCacheForceTTL 100
</Location>
ProxyPass / @ORIGIN@/
CONF

# Ask, let the origin answer, return the response.
sub exchange {
    my ($path, $request, @reply) = @_;
    my $req = $t->send_req($path, @$request);
    my $fetch = $t->origin->accept;
    $fetch->reply(@reply);
    return wantarray ? ($req->response, $fetch) : $req->response;
}

sub is_hit {
    my ($path, $body, $name, @request) = @_;
    my $res = $t->get($path, @request);
    is $res->{body}, $body, "$name: from the cache";
    return $res;
}

sub is_fetched {
    my ($path, $name, @request) = @_;
    my ($res) = exchange($path, \@request, 200, { 'Cache-Control' => 'no-store' }, 'new');
    is $res->{body}, 'new', "$name: from the origin";
    return $res;
}

# Lifetimes.
exchange('/max-age', [], 200, { 'Cache-Control' => 'max-age=100' }, 'a');
$t->clock_advance(40);
my $res = is_hit('/max-age', 'a', 'max-age');
is $res->header('Age'), 40, 'Age grows with the clock';
exchange('/s-maxage', [], 200, { 'Cache-Control' => 'max-age=1, s-maxage=100' }, 'b');
exchange('/aged', [], 200, { 'Cache-Control' => 'max-age=100', Age => 90 }, 'c');
is is_hit('/aged', 'c', 'Age below max-age')->header('Age'), 90, 'the upstream Age counts';
$t->clock_advance(50);
is_hit('/s-maxage', 'b', 's-maxage wins over max-age');
is_fetched('/aged', 'Age and residence above max-age');
is_fetched('/never', 'nothing stated');
is_fetched('/never', 'nothing stated, again');

# The administrator's lifetimes.
exchange('/default/a', [], 200, {}, 'd');
is_hit('/default/a', 'd', 'DevCacheDefaultTTL');
exchange('/default/b', [], 200, { 'Cache-Control' => 'private' }, 'x');
is_fetched('/default/b', 'DevCacheDefaultTTL does not override private');
exchange('/clamp/max', [], 200, { 'Cache-Control' => 'max-age=600' }, 'e');
exchange('/clamp/min', [], 200, { 'Cache-Control' => 'max-age=1' }, 'f');
exchange('/force/a', [], 200, { 'Cache-Control' => 'max-age=1' }, 'g');
exchange('/force/b', [], 200, { 'Cache-Control' => 'max-age=9', 'Set-Cookie' => 's=1' }, 'x');
is_fetched('/force/b', 'DevCacheForceTTL does not override Set-Cookie');
$t->clock_advance(9);
is_hit('/clamp/min', 'f', 'DevCacheMinTTL');
$t->clock_advance(42);
is_fetched('/clamp/max', 'DevCacheMaxTTL');
is_hit('/force/a', 'g', 'DevCacheForceTTL');

# A stale object and its validators.
exchange('/etag', [], 200, { 'Cache-Control' => 'max-age=10', ETag => '"v1"',
    'X-Kept' => 'kept', 'X-New' => 'old' }, 'h');
$t->clock_advance(11);
my $fetch;
($res, $fetch) = exchange('/etag', [], 304, { 'Cache-Control' => 'max-age=10',
    ETag => '"v1"', 'X-New' => 'new' });
is $fetch->header('If-None-Match'), '"v1"', 'validated with its ETag';
is $res->{status}, 200, 'the client gets the whole';
is $res->{body}, 'h', 'with the stored body';
is $res->header('X-New'), 'new', 'the 304 updates stored fields';
is $res->header('X-Kept'), 'kept', 'and keeps the others';
is is_hit('/etag', 'h', 'after the 304')->header('X-New'), 'new', 'updates are stored';
$t->clock_advance(11);
($res) = exchange('/etag', [], 200, { 'Cache-Control' => 'max-age=10', ETag => '"v2"' }, 'i');
is $res->{body}, 'i', 'a new response takes the place of the stale one';
is_hit('/etag', 'i', 'the new one');

# A client's own conditions.
is $t->get('/etag', 'If-None-Match' => '"v2"')->{status}, 304, 'If-None-Match on a hit';
is $t->get('/etag', 'If-None-Match' => 'W/"v2", "x"')->{status}, 304, 'weak and listed';
is $t->get('/etag', 'If-None-Match' => '"v1"',
    'If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT')->{status}, 200,
    'If-None-Match takes precedence';
is $t->get('/etag', 'If-Match' => '"v1"')->{status}, 412, 'If-Match on a hit';
($res, $fetch) = exchange('/cond', ['If-None-Match' => '"c1"'], 200,
    { 'Cache-Control' => 'max-age=10', ETag => '"c1"' }, 'whole');
is $fetch->header('If-None-Match'), undef, 'on a miss the origin is asked for the whole';
is $res->{status}, 304, 'and the client gets its 304';
is_hit('/cond', 'whole', 'the whole was stored');
is $t->head('/cond')->header('Content-Length'), 5, 'HEAD from a stored GET';

# HEAD and what is stored: it refreshes, or shows that the origin has something else.
exchange('/head', [], 200, { 'Cache-Control' => 'max-age=10', ETag => '"h1"', 'X-New' => 'a' }, 'hh');
$t->clock_advance(11);
($res) = exchange('/head', [':method' => 'HEAD'], 200, { 'Cache-Control' => 'max-age=10',
    ETag => '"h1"', 'X-New' => 'b', 'Content-Length' => 2 });
is $res->{status}, 200, 'HEAD of a stale one asks the origin';
is is_hit('/head', 'hh', 'refreshed by the HEAD')->header('X-New'), 'b', 'with its fields';
$t->clock_advance(11);
exchange('/head', [':method' => 'HEAD'], 200, { 'Cache-Control' => 'max-age=10', ETag => '"h2"' });
is_fetched('/head', 'a HEAD with another ETag removes the stored one');

# Ranges of a stored object.
exchange('/range', [], 200, { 'Cache-Control' => 'max-age=999', ETag => '"r"' }, '0123456789');
my %range = ('bytes=2-4' => '234', 'bytes=-3' => '789', 'bytes=7-' => '789',
    'bytes=5-999999999999' => '56789');
for my $range (sort keys %range) {
    $res = $t->get('/range', Range => $range);
    is "$res->{status} $res->{body}", "206 $range{$range}", "Range: $range";
}
is $t->get('/range', Range => 'bytes=5-99999999999999999999')->{status}, 200,
    'a range that overflows is ignored';
is $t->get('/range', Range => 'bytes=20-30')->{status}, 416, 'a range behind the end';
is $t->get('/range', Range => 'bytes=2-4', 'If-Range' => '"r"')->{status}, 206, 'If-Range holds';
is $t->get('/range', Range => 'bytes=2-4', 'If-Range' => '"x"')->{status}, 200, 'If-Range fails';
($res) = exchange('/parts', [Range => 'bytes=0-1'], 206,
    { 'Cache-Control' => 'max-age=9', 'Content-Range' => 'bytes 0-1/10' }, '01');
is $res->{status}, 206, 'a range of what is not stored comes from the origin';
is_fetched('/parts', '206 is never stored');

# must-revalidate and a dead origin: 504, never the stale copy.
exchange('/must', [], 200, { 'Cache-Control' => 'max-age=1, must-revalidate' }, 'm');
exchange('/sie', [], 200, { 'Cache-Control' => 'max-age=1, stale-if-error=100' }, 's');
exchange('/plain', [], 200, { 'Cache-Control' => 'max-age=1' }, 'p');
exchange('/grace', [], 200, { 'Cache-Control' => 'max-age=1' }, 'g');
$t->clock_advance(2);
$t->origin->down;
$t->expect_log(qr/proxy(_http)?:error|AH0/);
is $t->get('/must')->{status}, 504, 'must-revalidate and no origin: 504';
is is_hit('/grace', 'g', 'out of reach, within DevCacheStaleIfUnreachable')->{status}, 200, '… 200';
is $t->get('/plain')->{status}, 503, 'no permission to be stale: the proxy\'s error';
$t->clock_advance(31);  # the origin is asked again
$res = is_hit('/sie', 's', 'stale-if-error and no origin');
like $res->header('Cache-Status'), qr/fwd=stale; fwd-status=503; ttl=-\d/, 'Cache-Status tells';
$t->origin->up;
$t->clock_advance(31);
($res) = exchange('/sie', [], 503, {}, 'broken');
is $res->{body}, 's', 'stale-if-error and a 503 of the origin\'s';

$t->finish;
done_testing;
