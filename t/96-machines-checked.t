# SPDX-License-Identifier: Apache-2.0
# t/96-machines-checked.t. All machines are asked all the time, while pages change and are
# purged and everything between them fails: nothing that was purged is served.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Checker;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

my $redis = DevCache::Redis->new;
my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
my $device = "DevCacheDeviceHeader X-Device-Type\n";
my @t = map { machine("DevCacheTier $_", conf => $device) } $redis->url, $redis->url, $hurdle->url;
$_->allow_log(qr/AH\d+|proxy:error/) for @t;
ok machines_are(3, @t), 'three machines';
my $checker = DevCache::Checker->new(@t);

# So many purges, by all machines in turn; few wait for the others, who may not come.
sub while_ { my ($n) = @_; $checker->change(undef, $_ % 12 ? 0 : 1) for 1 .. $n; return }
$checker->change(undef, 10) for 1 .. 60;
$checker->settle('no trouble');
cmp_ok $checker->{applied}, '>', 0, 'most are applied when they are answered';

# --- the network of one of them -----------------------------------------------------------

for my $mode ('drop', 'delay 30', 'delay 5', 'reset 0', 'reset 20', 'reset 400', 'reset 3000', 'truncate 0',
              'truncate 30', 'truncate 900', 'truncate 4000', 'garbage') {
    $hurdle->mode($mode);
    while_(18);
    $hurdle->mode('pass');
    $checker->settle($mode);
}
# Flapping: it never holds for as long as a reading takes.
for (1 .. 12) {
    $hurdle->mode($_ % 2 ? 'reset 700' : 'pass');
    while_(5);
}
$hurdle->mode('pass');
$checker->settle('on and off');

# --- the server ---------------------------------------------------------------------------

$redis->freeze;
while_(24);
$redis->thaw;
$checker->settle('the server hangs');
for my $n (1, 2) {
    $redis->kill;
    while_(24);
    $redis->start;
    $checker->settle("killed, and back with nothing: $n");
}
# Killed and back between two purges, with nobody noticing more than a broken connection.
for (1 .. 3) {
    while_(3);
    $redis->kill;
    $redis->start;
}
$checker->settle('restarted again and again');
while_(12), $redis->say('FLUSHALL') for 1 .. 3;
while_(12);
$checker->settle('FLUSHALL by somebody else');
while_(12), $redis->say('DEL', 'devcache:purges') for 1 .. 2;
while_(12), $redis->say('XTRIM', 'devcache:purges', 'MAXLEN', 0) for 1 .. 2;
$checker->settle('its stream deleted and trimmed');
# Single ones out of its middle, which leaves it as long as it was for all who do not look.
for (1 .. 3) {
    $hurdle->mode('drop');
    $checker->change(0) for 1 .. 8;
    my $entries = $redis->say('XREVRANGE', 'devcache:purges', '+', '-', 'COUNT', 6);
    is $redis->say('XDEL', 'devcache:purges', map { $_->[0] } @$entries[1 .. 5]), 5, 'entries are deleted';
    $hurdle->mode('pass');
    $checker->settle('entries deleted that one has not read');
}
$redis->say('CONFIG', 'SET', 'maxmemory', 1);
while_(24);
$redis->say('CONFIG', 'SET', 'maxmemory', 0);
$checker->settle('no memory, noeviction');
$redis->say('CLIENT', 'KILL', 'TYPE', 'normal'), while_(4) for 1 .. 6;
$checker->settle('its clients are thrown out');
$redis->say('DEL', 'devcache:purges');
$redis->say('SET', 'devcache:purges', 'somebody else');
while_(12);
$redis->say('DEL', 'devcache:purges');
$checker->settle('a foreign key');

# --- processes ----------------------------------------------------------------------------

for my $n (1 .. 6) {
    my $pid = leader($t[$n % 3]);
    kill KILL => $pid if $pid;
    while_(6);
}
$checker->settle('who reads and sends is killed');
for my $n (1 .. 6) {
    kill KILL => $_ for $t[$n % 3]->pids;
    while_(6);
}
$checker->settle('who publishes is killed');
# While it is publishing: a process of its own kills whatever is there.
for my $n (0 .. 2) {
    my @pids = $t[$n]->pids;
    my $killer = fork // die "fork: $!\n";
    if (!$killer) {
        select undef, undef, undef, 0.02;
        kill KILL => @pids;
        POSIX::_exit(0);
    }
    $checker->change($n) for 1 .. 20;
    waitpid $killer, 0;
}
$checker->settle('killed while publishing');
$redis->kill;
while_(12);
for my $t (@t) { kill KILL => $_ for $t->pids }
while_(12);
$redis->start;
$checker->settle('everything is killed');
$_->graceful, while_(6) for @t, @t;
$checker->settle('reloads');

# --- two servers --------------------------------------------------------------------------

my $second = DevCache::Redis->new;
$t[$_]->graceful(machine_conf('DevCacheTier ' . ($_ == 2 ? $hurdle->url : $redis->url) . ' ' . $second->url, $device)) for 0 .. 2;
$checker->settle('a second server');
for my $dies ($redis, $second, $redis) {
    $dies->kill;
    while_(18);
    $checker->settle('one of two dies');
    $dies->start;
    while_(12);
    $checker->settle('it is back');
}
$hurdle->mode('drop');
while_(12);
$second->kill;
while_(12);
$second->start;
$hurdle->mode('pass');
$checker->settle('both have a gap');

$checker->finish;
$_->finish for @t;
$_->stop for $redis, $second;
$hurdle->stop;
done_testing;
