# SPDX-License-Identifier: Apache-2.0
# t/100-share-checked.t. As t/96, of machines that share objects and locks: while pages change
# and are purged, and servers and processes are killed, nothing purged comes back by a server.
# CHAOS=180 plays the random part for so many seconds.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();
use DevCache::Checker;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

my $redis = DevCache::Redis->new(['maxmemory', '100mb'], ['maxmemory-policy', 'volatile-lfu']);
my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
my %conf = (conf => "DevCacheDeviceHeader X-Device-Type\n", dir => 'DevCacheCollapseWait 2');
sub tier { return 'DevCacheTier ' . join(' ', @_) . "\nDevCacheTierUse locks" }
my @t = cluster(1, tier($redis->url), %conf);
push @t, cluster(1, tier($_), %conf, origin_of => $t[0]) for $redis->url, $hurdle->url;
$_->allow_log(qr/AH\d+|proxy:error|exit signal/) for @t;
ok machines_are(3, @t), 'three machines';
my $checker = DevCache::Checker->new(@t);
sub while_ { my ($n) = @_; $checker->change(undef, $_ % 12 ? 0 : 1) for 1 .. $n; return }
sub hits { my $n = 0; $n += shown($_)->{object_hits} for @t; return $n }

$checker->change(undef, 10) for 1 .. 60;
$checker->settle('no trouble');
cmp_ok hits(), '>', 5, 'they take objects from each other';

for my $mode ('drop', 'delay 30', 'reset 400', 'truncate 900', 'garbage') {
    $hurdle->mode($mode);
    while_(12);
    $hurdle->mode('pass');
    $checker->settle($mode);
}
for (1, 2) {
    $redis->kill;
    while_(12);
    $redis->start;
    $checker->settle('the server is killed, and back with nothing');
}
$redis->kill, $redis->start, while_(3) for 1 .. 3;
$checker->settle('restarted again and again');
while_(12), $redis->say('DEL', 'devcache:purges') for 1 .. 2;
while_(12), $redis->say('XTRIM', 'devcache:purges', 'MAXLEN', 0) for 1 .. 2;
while_(12), $redis->say('FLUSHALL');
$checker->settle('its stream deleted and trimmed');
for my $n (1 .. 6) {
    kill KILL => $_ for $n % 2 ? $t[$n % 3]->pids : leader($t[$n % 3]) // ();
    while_(6);
}
$checker->settle('children are killed');
$_->graceful, while_(6) for @t;
$checker->settle('reloads');

my $second = DevCache::Redis->new(['maxmemory', '100mb'], ['maxmemory-policy', 'volatile-lfu']);
for my $n (0 .. 2) {
    $t[$n]->graceful($t[$n]{text} =~ s/^DevCacheTier (\S+)$/DevCacheTier $1 @{[$second->url]}/mr);
}
$checker->settle('a second server');
my $before = hits();
for my $dies ($redis, $second) {
    $dies->kill;
    while_(18);
    $checker->settle('one of two dies');
    $dies->start;
    while_(12);
    $checker->settle('it is back');
}
cmp_ok hits(), '>', $before, 'they share by the other one meanwhile';
# A purge that only one server has yet.
$hurdle->mode('drop');
while_(18);
$second->freeze;
while_(6);
$second->thaw;
$hurdle->mode('pass');
$checker->settle('a purge is on one of two');

# --- anything at any time -------------------------------------------------------------------

my $seed = $ENV{SEED} // time;
srand $seed;
diag "SEED=$seed" if $ENV{CHAOS};
my @trouble = (
    sub { my $s = rand() < 0.5 ? $redis : $second; $s->kill; while_(4); $s->start },
    sub { my $s = rand() < 0.5 ? $redis : $second; $s->freeze; while_(4); $s->thaw },
    sub { kill KILL => $_ for grep { rand() < 0.6 } $t[rand 3]->pids },
    sub { kill KILL => leader($t[rand 3]) // () },
    sub { $hurdle->mode((qw(drop garbage), 'reset 500', 'delay 20')[rand 4]); while_(4); $hurdle->mode('pass') },
    sub { $t[rand 3]->graceful },
    sub { $redis->say('FLUSHALL') },
    sub { $second->say('DEL', 'devcache:purges') },
);
my $end = Time::HiRes::time() + ($ENV{CHAOS} // 6);
while (Time::HiRes::time() < $end) {
    $trouble[rand @trouble]->();
    while_(5);
}
$checker->settle('anything at any time', 60);
$checker->finish;
$_->finish for reverse @t;
$_->stop for $redis, $second;
$hurdle->stop;
done_testing;
