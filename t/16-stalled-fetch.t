# SPDX-License-Identifier: Apache-2.0
# t/16-stalled-fetch.t. Nobody waits for a fetch that stands still, nor for long for what was
# not for all the last time.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheCollapseWait 2
</Location>
<Location "/poll">
    DevCacheCollapseWait 60
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF

my %fresh = ('Cache-Control' => 'max-age=60');
my $whole = 'w' x 100_000;

# --- in the middle of a body -----------------------------------------------------------------

my $own = $t->send_req('/stalls');
my $fetch = $t->origin->accept;
$fetch->head(200, { %fresh, 'Content-Length' => length $whole });
$fetch->send(substr $whole, 0, 40_000);
$own->body_of(1000);
my $follower = $t->send_req('/stalls');
$t->wait_counter(flight_followers => 1);
$fetch->send(substr $whole, 40_000, 10_000);
is length $follower->body_of(50_000), 50_000, 'one who follows has what there is';
my $begun = time;

# It says nothing for two seconds; who comes in these may still follow.
ok wait_until(sub { time - $begun > 2.2 }), 'the origin stands still';
my @new = map { $t->send_req('/stalls') } 1 .. 3;
my $second = $t->origin->accept;
ok $t->origin->quiet(0.2), 'those who come now ask once more, one for all';
$second->reply(200, {%fresh}, $whole);
is scalar(grep { $_->response->{body} eq $whole } @new), 3, '  and are answered';
$fetch->send(substr $whole, 50_000);
$fetch->end;
is scalar(grep { $_->response->{body} eq $whole } $own, $follower), 2, 'it goes on: those who had begun get the rest';

# --- before anything has come -----------------------------------------------------------------

$own = $t->send_req('/silent');
$fetch = $t->origin->accept;
$begun = time;
ok wait_until(sub { time - $begun > 1.2 }), 'an origin that is silent';
$follower = $t->send_req('/silent');
$t->wait_counter(flight_followers => 1);
$second = $t->origin->accept;
cmp_ok time - $begun, '<', 3, 'who came later does not wait longer than who came first';
$_->reply(200, {%fresh}, 'said') for $second, $fetch;
is join(',', map { $_->response->{body} } $own, $follower), 'said,said', '  both are answered';

# --- slow, but it moves -------------------------------------------------------------------------

$own = $t->send_req('/drips');
$fetch = $t->origin->accept;
$fetch->head(200, { %fresh, 'Content-Length' => length $whole });
my $sent = 0;
sub drip { $fetch->send(substr $whole, $sent, 1000); $sent += 1000; return }
$begun = time;
until (time - $begun > 2.6) {
    drip();
    $t->origin->quiet(0.2);
}
$follower = $t->send_req('/drips');
$t->wait_counter(flight_followers => 1);
drip();
ok $t->origin->quiet(0.2), 'a slow one is followed for as long as it moves';
$fetch->send(substr $whole, $sent);
$fetch->end;
is scalar(grep { $_->response->{body} eq $whole } $own, $follower), 2, '  to the end';

# --- long polls ------------------------------------------------------------------------------

my $x = $t->send_req('/poll');
$t->origin->accept->reply(200, { 'Cache-Control' => 'no-store' }, 'nothing new');
$x->response;
$t->clock_advance(70);
my @polls = ($t->send_req('/poll'));
my @fetches = ($t->origin->accept);
$begun = time;
push @polls, $t->send_req('/poll');
push @fetches, $t->origin->accept;
cmp_ok time - $begun, '<', 4, 'what was not for all the last time is not waited for as a page is';
$_->reply(200, {%fresh}, 'for all') for @fetches;
$_->response for @polls;
$t->clock_advance(70);
@polls = map { $t->send_req('/poll') } 1 .. 2;
@fetches = ($t->origin->accept);
ok $t->origin->quiet(1.5), 'once it was, it is again';
$fetches[0]->reply(200, {%fresh}, 'for all');
is join(',', map { $_->response->{body} } @polls), 'for all,for all', '  one answer for both';

$t->finish;
done_testing;
