# SPDX-License-Identifier: Apache-2.0
# t/74-collapse-crash.t. The child that fetches for all is killed: one of those who wait
# takes over, nobody waits without end, and half a body is seen to be half.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
$t->allow_log(qr/AH\d+: child(?:ren are killed| pid \d+ exit signal Killed)/, qr/DC0171/,
              qr/AH\d+: child process \d+ .* exit signal Killed/, qr/proxy(?:_http)?:error/);

my %fresh = ('Cache-Control' => 'max-age=100');

# The child that asks the origin for $path.
sub owner_of {
    my $path = shift;
    my ($line) = $t->wait_log(qr{DC0110: serve: \S+\Q$path\E \[pc\]: miss});
    return $line =~ /\[pid (\d+)/ ? $1 : die "no pid in $line";
}

for my $round (1 .. 3) {
    my $path = "/cold/$round";
    my $own = $t->send_req($path);
    my $fetch = $t->origin->accept;
    my $owner = owner_of($path);
    my @rest = $t->followers_of($path, $owner);
    my $takeovers = $t->counters->{takeovers};
    $t->kill_child($owner);
    ok !$own->response->{complete}, "round $round: its own client sees the end";
    $fetch->close;
    my $second = $t->origin->accept;
    ok $t->origin->quiet(0.1), 'one of those who wait takes over, and only one';
    is $t->counters->{takeovers}, $takeovers + 1, 'counted';
    $second->reply(200, {%fresh}, 'taken over');
    my @got = map { $_->response } @rest;
    my @whole = grep { $_->{complete} } @got;
    cmp_ok scalar @whole, '>=', 1, 'those in other children are answered';
    is_deeply [grep { $_->{body} ne 'taken over' } @whole], [], 'rightly';
    is $t->get($path)->{body}, 'taken over', 'and it is stored';
}

{
    my $path = '/half';
    my $own = $t->send_req($path);
    my $fetch = $t->origin->accept;
    my $owner = owner_of($path);
    my @rest = $t->followers_of($path, $owner);
    $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
    $fetch->chunk('half of it');
    is $_->body_of(10), 'half of it', 'half a body' for @rest;
    $t->kill_child($owner);
    $fetch->close;
    ok !$_->response->{complete}, 'cannot be completed, which is seen' for $own, @rest;
    my $again = $t->send_req($path);
    $t->origin->accept->reply(200, {%fresh}, 'whole');
    is $again->response->{body}, 'whole', 'the next one asks';
}

{
    # A graceful restart lets flights come to their end.
    my $own = $t->send_req('/graceful');
    my $fetch = $t->origin->accept;
    my @rest = $t->followers_of('/graceful', owner_of('/graceful'));
    $t->graceful;
    my $new = $t->send_req('/graceful');
    $t->wait_counter(flight_followers => @rest + 1);
    $fetch->reply(200, {%fresh}, 'through');
    is_deeply [map { $_->response->{body} } $own, @rest, $new], [('through') x (@rest + 2)],
        'old and new children share a flight';
}

is $t->counters->{flights}, 0, 'no flight is left';
$t->finish;
done_testing;
