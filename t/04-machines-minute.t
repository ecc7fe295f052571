# SPDX-License-Identifier: Apache-2.0
# t/04-machines-minute.t. One of three machines is cut off for a minute, in which its clock is
# moved and pages are purged on both sides: at its end each side carries out what it has missed.
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
use DevCache::Wait qw(deadline remaining);

my $redis = DevCache::Redis->new;
my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
my @t = map { machine("DevCacheTier $_") } $redis->url, $redis->url, $hurdle->url;
ok machines_are(3, @t), 'three machines';
my $checker = DevCache::Checker->new(@t);
$checker->change(undef, 10) for 1 .. 24;
$checker->settle('before');

my $gaps = shown($t[2])->{servers}[0]{gaps};
$hurdle->mode('drop');
my $end = deadline(60);
my @jumps = (3600, -7200, 3600 * 24 * 30, -3600 * 24 * 30);
for (my $n = 0; remaining($end) > 0; $n++) {
    $checker->change($n);
    $t[2]->clock_advance(shift @jumps) if @jumps && remaining($end) < 12 * @jumps;
    if ($n == 100) {
        is shown($t[2])->{outbox} > 0, 1, 'its own purges wait';
        is shown($t[0])->{outbox}, 0, 'those of the others do not';
    }
    select undef, undef, undef, 0.05;    # a minute's purges, not as many as can be
}
is_deeply \@jumps, [], 'its clock was moved';
like purge($t[0], '/none')->{body}, qr/"nodes": 2\}/, 'a machine that is cut off is missed';
like purge($t[2], '/none')->{body}, qr/"nodes": 1, "pending": true\}/, 'and misses the others';
my $before = $checker->changes;
$hurdle->mode('pass');
my $began = Time::HiRes::time();
$checker->settle('a minute later');
note sprintf 'all of %d purges applied, and every page asked for, %.2f s after its end', $before, Time::HiRes::time() - $began;
is shown($t[2])->{servers}[0]{gaps}, $gaps, 'nothing was missing, so nothing had to be validated';
is shown($t[2])->{outbox}, 0, 'and nothing waits';

$checker->finish;
$_->finish for @t;
$redis->stop;
$hurdle->stop;
done_testing;
