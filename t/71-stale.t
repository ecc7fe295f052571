# SPDX-License-Identifier: Apache-2.0
# t/71-stale.t. Stale answers: served at once and refreshed once, at the client's wish, when
# the origin is dead in any way, and never where that is forbidden.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStaleIfUnreachable 0
</Location>
<Location "/ttl/">
    DevCacheDefaultTTL 100
</Location>
<Location "/reach/">
    DevCacheStaleIfUnreachable 60
</Location>
ProxyPass /slow/ @ORIGIN@/slow/ retry=0 timeout=1
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
$t->allow_log(qr/proxy(?:_http)?:error/);

# Have the origin give an answer that lives 10 seconds, with $control in addition.
sub store {
    my ($path, $body, $control, %headers) = @_;
    my $x = $t->send_req($path);
    $t->origin->accept->reply(200, { 'Cache-Control' => join(', ', 'max-age=10', $control // ()),
                                     %headers }, $body);
    return $x->response;
}

sub counter { return $t->counters->{ $_[0] } }

# --- stale-while-revalidate ---------------------------------------------------------------

{
    store('/swr', 'old', 'stale-while-revalidate=1000');
    store('/other', 'other', 'stale-while-revalidate=1000');
    $t->clock_advance(11);
    my $c = $t->client;
    is $c->get('/swr')->{body}, 'old', 'stale-while-revalidate: stale is served at once';
    my $fetch = $t->origin->accept;
    is $fetch->{target}, '/swr', 'and the origin is asked';
    my @wrong = grep { $_ ne 'old' } map { $t->get('/swr')->{body} } 1 .. 20;
    is_deeply \@wrong, [], '20 more are served stale while the origin takes its time';
    ok $t->origin->quiet(0.05), 'which is not asked again';

    my $same = $c->send_req('/swr');
    is $same->response->{body}, 'old', 'also on the same connection, where there are threads'
        if ($ENV{DEVCACHE_MPM} // '') ne 'prefork';
    $fetch->reply(200, { 'Cache-Control' => 'max-age=100, stale-while-revalidate=1000',
                         ETag => '"n"' }, 'new');
    $t->wait_counter(refreshes => 1);
    $same->response;
    is $c->get('/swr')->{body}, 'new', 'the same connection: then the refreshed one';
    is $c->head('/swr')->header('Content-Length'), 3, 'HEAD of it';
    is $c->get('/swr', Range => 'bytes=1-2')->{body}, 'ew', 'a part of it';
    is $t->get('/swr')->{body}, 'new', 'the other ones get it too';

    my $before;

    # Not refreshed, but nobody is worse off.
    my @failures = (
        ['a 500' => sub { $_[0]->reply(500, {}, 'broken') }],
        ['a reset' => sub { $_[0]->reset }],
        ['half an answer' => sub {
            $_[0]->head(200, { 'Cache-Control' => 'max-age=10', 'Content-Length' => 10 });
            $_[0]->send('half');
            $_[0]->close;
        }],
        ['half a chunked answer' => sub {
            $_[0]->head(200, { 'Cache-Control' => 'max-age=10', 'Transfer-Encoding' => 'chunked' });
            $_[0]->chunk('half');
            $_[0]->close;
        }],
    );
    for my $failure (@failures) {
        my ($name, $fail) = @$failure;
        $t->clock_advance(3); # once a second, not by each hit
        $before = counter('refreshes');
        is $c->get('/other')->{body}, 'other', "before $name: stale";
        $fail->($t->origin->accept);
        $t->wait_counter(refreshes => $before + 1);
        is $c->get('/swr')->{body}, 'new', "after $name: the connection goes on";
    }
    $t->origin->down;
    $t->clock_advance(3);
    is $c->get('/other')->{body}, 'other', 'a refused connection: stale';
    $t->wait_counter(refreshes => $before + 2);
    $t->clock_advance(3);
    is $c->get('/other')->{body}, 'other', 'and stale again';
    $t->wait_counter(refreshes => $before + 3);
    $t->origin->up;
    $t->clock_advance(3);
    is $t->get('/other')->{body}, 'other', 'still stale';
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, 'mended');
    ok wait_until(sub { $t->get('/other')->{body} eq 'mended' }), 'refreshed when it is back';

    # Nor is an answer made of none, where everything may be stored.
    store('/ttl/a', 'kept', 'stale-while-revalidate=1000');
    $t->clock_advance(11);
    $t->origin->down;
    $before = counter('refreshes');
    is $t->get('/ttl/a')->{body}, 'kept', 'DevCacheDefaultTTL, a refused connection: stale';
    $t->wait_counter(refreshes => $before + 1);
    $t->clock_advance(3);
    is $t->get('/ttl/a')->{body}, 'kept', 'and stale again';
    $t->wait_counter(refreshes => $before + 2);
    $t->origin->up;

    # A client that goes away: what it would have had refreshed is whole or not there.
    my $big = body_of('big', 400_000);
    store('/big', 'small', 'stale-while-revalidate=1000');
    $t->clock_advance(11);
    my $gone = $t->client;
    is $gone->get('/big')->{body}, 'small', 'stale';
    $gone->reset;
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, $big);
    my $now;
    ok wait_until(sub {
        $now = $t->send_req('/big');
        return 1 if $now->body_of(1) =~ /^0/;
        $t->origin->accept(0.2)->reply(200, { 'Cache-Control' => 'max-age=10' }, $big)
            unless $t->origin->quiet(0);
        return 0;
    }), 'its client gone, it is refreshed, now or by the next one';
    ok $now->response->{body} eq $big, 'and whole';

    # What may no longer be stored does not linger.
    store('/private', 'public', 'stale-while-revalidate=1000');
    $t->clock_advance(11);
    $before = counter('refreshes');
    is $t->get('/private')->{body}, 'public', 'stale';
    $t->origin->accept->reply(200, { 'Cache-Control' => 'private' }, 'mine');
    $t->wait_counter(refreshes => $before + 1);
    my $x = $t->send_req('/private');
    my $again = $t->origin->accept;
    $again->reply(200, { 'Cache-Control' => 'private' }, 'yours');
    is $x->response->{body}, 'yours', 'refreshed to private: the stale copy is gone';

    # The end of the permission.
    store('/until', 'a', 'stale-while-revalidate=5');
    $t->clock_advance(16);
    $x = $t->send_req('/until');
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, 'b');
    is $x->response->{body}, 'b', 'stale for longer than allowed: the origin first';
}

# --- what the client allows -----------------------------------------------------------------

{
    store('/max-stale', 'm');
    $t->clock_advance(15);
    is $t->get('/max-stale', 'Cache-Control' => $_)->{body}, 'm', "$_, 5 seconds stale"
        for 'max-stale=9', 'max-stale';
    my $x = $t->send_req('/max-stale', 'Cache-Control' => 'max-stale=3');
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, 'n');
    is $x->response->{body}, 'n', 'max-stale=3: from the origin';

    is $t->get('/max-stale', 'Cache-Control' => 'only-if-cached')->{body}, 'n',
        'only-if-cached: fresh';
    is $t->get('/nothing', 'Cache-Control' => 'only-if-cached')->{status}, 504,
        'only-if-cached: nothing there';
    $t->clock_advance(15);
    is $t->get('/max-stale', 'Cache-Control' => 'only-if-cached')->{status}, 504,
        'only-if-cached: stale';
    is $t->get('/max-stale', 'Cache-Control' => 'only-if-cached, max-stale=9')->{body}, 'n',
        'only-if-cached, but stale is allowed';
    ok $t->origin->quiet(0.05), 'and the origin is not asked';
}

# --- a dead origin ----------------------------------------------------------------------------

# What the origin does, and the status for who may not be given the stale copy: as the proxy
# has it, and where the copy must be validated (RFC 9111, section 5.2.2.2).
my @deaths = (
    ['refuses', 503, 504],
    ['resets', 502, 504, sub { $_[0]->reset }],
    ['closes', 502, 504, sub { $_[0]->close }],
    ['breaks off in the header', 502, 504, sub { $_[0]->send("HTTP/1.1 20"); $_[0]->close }],
    (map { my $status = $_; ["answers $status", $status, $status,
                             sub { $_[0]->reply($status, {}, 'error') }] } 500, 502, 503, 504),
);
my %copy = (
    '/plain'  => [undef, 'proxy'],
    '/sie'    => ['stale-if-error=1000', 'stale'],
    '/must'   => ['must-revalidate, stale-if-error=1000', 'must'],
    '/proxy'  => ['proxy-revalidate, stale-if-error=1000', 'must'],
    '/shared' => ['s-maxage=10', 'must'],
    '/said'   => ['s-maxage=10, stale-if-error=1000', 'stale'],
    '/both'   => ['s-maxage=10, stale-if-error=1000, must-revalidate', 'must'],
    '/no'     => ['no-cache, stale-if-error=1000', 'must', ETag => '"e"'],
);
for my $kept (0, 1) {
    my $how = $kept ? 'kept client connection' : 'new client connection';
    for my $path (sort keys %copy) {
        my ($control, $kind, @validator) = @{ $copy{$path} };
        $path .= "/$kept";
        store($path, "stored $path", $control, @validator);
        store("/fresh$path", 'fresh', undef, 'CDN-Cache-Control' => 'max-age=99999');
        $t->clock_advance(11);
        for my $death (@deaths) {
            my ($name, $proxy, $must, $do) = @$death;
            my $c = $t->client;
            $t->clock_advance(31);  # what failed a moment ago would not be asked
            $c->get("/fresh$path") if $kept;
            $t->origin->down unless $do;
            my $x = $c->send_req($path);
            if ($do) { $do->($t->origin->accept) }
            my $res = $x->response;
            $t->origin->up unless $do;
            if ($kind eq 'stale') {
                is "$res->{status} $res->{body}", "200 stored $path",
                    "origin $name, $control, $how: stale";
            }
            else {
                is $res->{status}, $kind eq 'proxy' ? $proxy : $must,
                    "origin $name, " . ($control // 'nothing said') . ", $how: status";
                unlike $res->{body}, qr/stored/, 'and not the stored copy';
            }
            is $c->get("/fresh$path")->{body}, 'fresh', 'and the connection goes on'
                unless ($res->header('Connection') // '') =~ /close/;
        }
        $t->clock_advance(31);
        my $x = $t->send_req($path);
        $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, 'alive');
        is $x->response->{body}, 'alive', 'when it is back it is asked';
    }
}
is counter('stale_errors'), 4 * @deaths, 'stale answers for errors are counted';

# Nothing stored, on a kept connection.
for my $death (@deaths) {
    my ($name, $status, undef, $do) = @$death;
    my $c = $t->client;
    $c->get('/fresh/sie/1');
    $t->origin->down unless $do;
    my $x = $c->send_req('/miss');
    $do ? $do->($t->origin->accept) : $x->response;
    is $x->response->{status}, $status, "origin $name, nothing stored: status";
    $t->origin->up unless $do;
    is $c->get('/fresh/sie/1')->{body}, 'fresh', 'and the connection goes on'
        unless ($x->response->header('Connection') // '') =~ /close/;
}

# DevCacheStaleIfUnreachable: for no answer at all, not for one of status 5xx.
for my $death (@deaths) {
    my ($name, undef, undef, $do) = @$death;
    $t->clock_advance(31);
    store('/reach/a', 'r');
    $t->clock_advance(31);
    $t->origin->down unless $do;
    my $x = $t->send_req('/reach/a');
    $do ? $do->($t->origin->accept) : $x->response;
    my $status = $name =~ /answers (\d+)/ ? $1 : 200;
    is $x->response->{status}, $status, "origin $name, DevCacheStaleIfUnreachable: $status";
    $t->origin->up unless $do;
}

# It takes too long, and the client's own word.
store('/slow/sie', 's', 'stale-if-error=1000');
store('/slow/must', 's', 'must-revalidate');
store('/word', 'w');
store('/late', 'l', 'stale-if-error=35');
$t->clock_advance(11);
my @slow = map { $t->send_req("/slow/$_") } qw(sie must);
my @held = map { $t->origin->accept } @slow;
is $slow[0]->response->{body}, 's', 'no answer in time, stale-if-error';
is $slow[1]->response->{status}, 504, 'no answer in time, must-revalidate';
$_->close for @held;
$t->clock_advance(31);
my $x = $t->send_req('/word', 'Cache-Control' => 'stale-if-error=1000');
$t->origin->accept->reply(503, {}, 'error');
is $x->response->{body}, 'w', 'the client may ask for stale-if-error itself';
$t->clock_advance(6);
$x = $t->send_req('/late');
$t->origin->accept->reply(503, {}, 'error');
is $x->response->{status}, 503, 'stale for longer than stale-if-error allows';

# --- validation gone wrong --------------------------------------------------------------------

store('/etag', 'one', undef, ETag => '"1"');
$t->clock_advance(11);
$x = $t->send_req('/etag');
my $fetch = $t->origin->accept;
is $fetch->header('If-None-Match'), '"1"', 'validated';
$fetch->reply(304, { ETag => '"9"', 'Cache-Control' => 'max-age=10' });
$fetch = $t->origin->accept;
is $fetch->header('If-None-Match'), undef, '304 for another representation: asked again, plainly';
$fetch->reply(200, { ETag => '"9"', 'Cache-Control' => 'max-age=10' }, 'nine');
is $x->response->{body}, 'nine', 'and the client has the right one';
is $t->get('/etag')->{body}, 'nine', 'which is stored';

$t->finish;
done_testing;
