# SPDX-License-Identifier: Apache-2.0
# t/59-h2-readers.t. One fetch for all over HTTP/2: streams whose window is closed or opened by
# drops, and streams that are reset in the middle, as the one that fetches and as one that follows.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::H2;
use DevCache::Load qw(body_of);
use DevCache::Test;
use Test::More;

if (($ENV{DEVCACHE_MPM} // '') eq 'prefork') {
    plan skip_all => 'mod_http2 needs threads';
}
my $t = DevCache::Test->start(<<'CONF', modules => ['http2']);
Protocols h2c http/1.1
H2WindowSize 65535
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    <If "-n %{HTTP:X-Patience}">
        DevCacheCollapseWait 1
    </If>
</Location>
ProxyPass / @ORIGIN@/
CONF
my $size = 600_000;
my $n = 0;

# A page that somebody has begun to fetch over HTTP/2, with a window of so many bytes.
sub fetched_by {
    my ($window) = @_;
    my $path = '/page' . ++$n;
    my $body = body_of($path, $size);
    my $c = DevCache::H2->new($t->port, window => $window);
    my $id = $c->get($path);
    my $fetch = $t->origin->accept;
    $fetch->head(200, { 'Cache-Control' => 'max-age=600', 'Content-Length' => $size });
    return ($path, $body, $c, $id, $fetch);
}
sub follow {
    my ($path, $window) = @_;
    my $c = DevCache::H2->new($t->port, window => $window);
    return ($c, $c->get($path));
}
sub rest {
    my ($fetch, $body, $from) = @_;
    $fetch->send(substr $body, $from);
    $fetch->end;
}
sub is_settled {
    my ($path, $body) = @_;
    ok wait_until(sub { $t->counters->{flights} == 0 }), '… no fetch is left under way';
    ok $t->get($path)->{body} eq $body, '… and the page is stored whole';
    ok $t->origin->quiet(0.02), '… without another fetch';
}

# --- who fetches reads nothing ----------------------------------------------------------------

my ($path, $body, $slow, $id, $fetch) = fetched_by(1000);
my ($h2, $stream) = follow($path, 1_000_000);
my $h1 = $t->send_req($path);
$t->wait_counter(flight_followers => 2);
$fetch->send(substr $body, 0, 300_000);
ok $slow->wait_bytes($id, 1000), 'who fetches has taken as much as it has room for';
ok $h2->wait_bytes($stream, 300_000), 'a follower over HTTP/2 has all there is';
is length $h1->body_of(300_000), 300_000, 'and so has one over HTTP/1.1';
rest($fetch, $body, 300_000);
ok $h2->wait_end($stream) && $h2->body($stream) eq $body, 'the rest, over HTTP/2';
ok $h1->response->{body} eq $body, '… and HTTP/1.1';
is length $slow->body($id), 1000, 'while who fetches has not moved';
is_settled($path, $body);
$slow->open($id, 1000) for 1 .. 20;
ok $slow->wait_bytes($id, 21_000), 'then it reads by drops';
$slow->open($id, $size);
ok $slow->wait_end($id) && $slow->body($id) eq $body, 'and gets the whole';
ok $slow->is_200($id) && $slow->ended($id), 'as one that is';

# --- who fetches goes away --------------------------------------------------------------------

for my $window (1000, 1_000_000) {
    ($path, $body, my $leaver, $id, $fetch) = fetched_by($window);
    ($h2, $stream) = follow($path, 1_000_000);
    $h1 = $t->send_req($path);
    $t->wait_counter(flight_followers => 2);
    $fetch->send(substr $body, 0, 300_000);
    ok $leaver->wait_bytes($id, 1000), "who fetches (window $window) has begun";
    ok $h2->wait_bytes($stream, 200_000), 'and so has who follows';
    $leaver->reset($id);
    rest($fetch, $body, 300_000);
    ok $h2->wait_end($stream) && $h2->body($stream) eq $body,
        'it resets its stream: a follower over HTTP/2 gets the whole';
    ok $h1->response->{body} eq $body, '… and one over HTTP/1.1';
    is_settled($path, $body);
    my $again = $leaver->get($path);
    $leaver->open($again, $size);
    ok $leaver->wait_end($again) && $leaver->body($again) eq $body,
        'its connection is good for another';
}

# --- who follows goes away, or sleeps ---------------------------------------------------------

($path, $body, my $owner, $id, $fetch) = fetched_by(1_000_000);
$fetch->send(substr $body, 0, 300_000);
ok $owner->wait_bytes($id, 300_000), 'who fetches gets what comes, as it comes';
my @follower = map { [follow($path, $_)] } 1000, 1000, 1_000_000;
$t->wait_counter(flight_followers => 3);
$fetch->send(substr $body, 300_000, 10_000);
ok $_->[0]->wait_bytes($_->[1], 1000), 'three follow' for @follower;
$follower[0][0]->reset($follower[0][1]);
$follower[2][0]->reset($follower[2][1]);
rest($fetch, $body, 310_000);
ok $owner->wait_end($id) && $owner->body($id) eq $body,
    'two have gone and one sleeps: who fetches gets the whole';
is_settled($path, $body);
my ($sleeper, $its) = @{ $follower[1] };
is length $sleeper->body($its), 1000, 'the one that sleeps';
$sleeper->open($its, $size);
ok $sleeper->wait_end($its) && $sleeper->body($its) eq $body, 'wakes up, and gets the whole';

# --- a connection that is gone ----------------------------------------------------------------

for my $round (1 .. 12) {
    ($path, $body, my $gone, $id, $fetch) = fetched_by(1000);
    ($h2, $stream) = follow($path, 1_000_000);
    $t->wait_counter(flight_followers => 1);
    $fetch->send(substr $body, 0, 300_000);
    ok $gone->wait_bytes($id, 1000), "round $round: who fetches has begun";
    $gone->close;
    rest($fetch, $body, 300_000);
    ok $h2->wait_end($stream) && $h2->body($stream) eq $body,
        'its connection is gone: a follower gets the whole';
    is_settled($path, $body);
}

# --- who comes late -----------------------------------------------------------------------------

# While nobody followed, the one that fetches was waited for, and mod_http2 tells nobody how far
# it has got. Who comes then has DevCacheCollapseWait to bear.
($path, $body, my $stuck, $id, $fetch) = fetched_by(1000);
$fetch->send(substr $body, 0, 300_000);
ok $stuck->wait_bytes($id, 1000), 'who fetches reads no more, and nobody follows';
$h1 = $t->send_req($path, 'X-Patience' => 'little');
my $second = $t->origin->accept;
$second->reply(200, { 'Cache-Control' => 'max-age=600' }, $body);
ok $h1->response->{body} eq $body, 'who comes late asks the origin after a while';
$stuck->open($id, $size);
rest($fetch, $body, 300_000);
ok $stuck->wait_end($id) && $stuck->body($id) eq $body, 'and who fetches gets the whole';
is_settled($path, $body);

# A body that breaks off in the middle is no whole one for anybody.
($path, $body, my $half, $id, $fetch) = fetched_by(1_000_000);
($h2, $stream) = follow($path, 1_000_000);
$t->wait_counter(flight_followers => 1);
$fetch->send(substr $body, 0, 300_000);
ok $half->wait_bytes($id, 20_000), 'a page of which half comes';
ok $h2->wait_bytes($stream, 200_000), 'and somebody follows';
$fetch->reset;
for ([$half, $id, 'who fetches'], [$h2, $stream, 'who follows']) {
    my ($c, $its_id, $who) = @$_;
    $c->wait_end($its_id);
    ok !$c->ended($its_id), "$who can tell that it is half";
}
$t->allow_log(qr/DC0171|AH01102|AH01110|AH02429|proxy:error|proxy_http:error/);
my $x = $t->send_req($path);
$t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=600' }, $body);
ok $x->response->{body} eq $body, 'the next one asks anew';
$t->finish;
done_testing;
