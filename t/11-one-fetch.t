# SPDX-License-Identifier: Apache-2.0
# t/11-one-fetch.t. DevCacheTierUse locks: one fetch for all machines, and nobody waits for
# what will not come.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

my $redis = DevCache::Redis->new(['maxmemory', '100mb'], ['maxmemory-policy', 'volatile-lfu']);
my @t = cluster(3, 'DevCacheTier ' . $redis->url . "\nDevCacheTierUse locks", dir => 'DevCacheCollapseWait 8');
my $origin = $t[0]->origin_auto(sub {
    my $m = shift;
    my %how = map { split /=/, $_, 2 } grep { /=/ } split m{/}, $m->{target};
    my %fields = ('Cache-Control' => delete $how{cc} // 'max-age=1000', ETag => '"e"');
    my $status = delete $how{status} // 200;
    return (304, \%fields, '') if ($m->header('If-None-Match') // '') eq '"e"';
    return ($status, \%fields, "$m->{target} " . ($m->header('X-Device-Type') // '-') . ('x' x ($how{size} // 0)),
            $how{hold} ? (hold => $how{hold}) : ());
});
sub ask   { my ($n, $path, @f) = @_; return ask_at($t[$n], $path, @f) }
sub get   { return ask(@_)->response }
sub count { return $origin->fetches($_[0]) }
sub books { return shown($t[$_[0]]) }
sub locks { return grep { /:l:/ } @{ $redis->say('KEYS', '*') } }
sub held  { my ($path, $n) = @_; wait_until(sub { count($path) >= ($n // 1) }) or fail("$path is asked for") }
sub took  { my $began = Time::HiRes::time(); $_[0]->(); return Time::HiRes::time() - $began }

ok machines_are(3, @t), 'they know each other';
ok wait_until(sub { books($_)->{servers}[0]{objects} }), "machine $_ shares objects" for 0 .. 2;

# --- a herd ----------------------------------------------------------------------------------

my @class = (PC, TABLET, PHONE);
my @all = map { ask($_ % 3, '/herd/hold=h', 'User-Agent' => $class[$_ / 3 % 3]) } 0 .. 89;
held('/herd/hold=h', 3);
wait_until(sub { books(0)->{waits} + books(1)->{waits} + books(2)->{waits} >= 6 }) or fail 'they wait';
$origin->release('h');
my %bodies;
$bodies{ $_->response->{body} }++ for @all;
is_deeply \%bodies, { map { ("/herd/hold=h $_" => 30) } qw(pc tablet mobile) }, 'ninety at once on three machines: each has its own';
is count('/herd/hold=h'), 3, '  one fetch for each class';
ok wait_until(sub { !locks() }), '  the locks are gone';

# A herd for what is stale: one validation.
get($_, '/stale/cc=max-age=100') for 0 .. 2;
my $before = count('/stale/cc=max-age=100');
$redis->say('DEL', grep { /:o:/ } @{ $redis->say('KEYS', '*') });
$_->clock_advance(200) for @t;
@all = map { ask($_ % 3, '/stale/cc=max-age=100') } 0 .. 29;
is $_->response->{status}, 200, 'a stale page' for @all[0 .. 2];
$_->response for @all;
is count('/stale/cc=max-age=100'), $before + 1, '  is validated once';

# The same in the background, while the stale one is served.
my $swr = '/swr/cc=max-age=100,stale-while-revalidate=1000';
get($_, $swr) for 0 .. 2;
is count($swr), 1, 'a page that may be stale for a while';
$_->clock_advance(150) for @t;
$redis->say('DEL', grep { /:o:/ } @{ $redis->say('KEYS', '*') });
is get($_, $swr)->{status}, 200, '  is served' for 0 .. 2;
ok wait_until(sub { count($swr) >= 2 }), '  and refreshed';
ok wait_until(sub { get(0, $swr); get(1, $swr); get(2, $swr)->header('Age') < 100 && get(1, $swr)->header('Age') < 100 }),
    '  everywhere';
is count($swr), 2, '  once';

# --- not for all --------------------------------------------------------------------------------

my $path = '/private/cc=private/hold=p';
my $one = ask(0, $path);
held($path);
my @others = (ask(1, $path), ask(2, $path));
wait_until(sub { books(1)->{waits} + books(2)->{waits} >= 8 });
$origin->release('p');
is $_->response->{status}, 200, 'what is not for all' for $one, @others;
is count($path), 3, '  is fetched for each';
ok wait_until(sub { grep { ($redis->say('GET', $_) // '') =~ /^-\d+$/ } locks() }), '  which is noted';
my $took = took(sub { get(1, $path); get(2, $path) });
cmp_ok $took, '<', 2, '  and nobody waits for the next one';
is books(0)->{marks}, 1, '  counted';

$one = ask(0, '/error/status=500/cc=no-store/hold=e');
held('/error/status=500/cc=no-store/hold=e');
my $other = ask(1, '/error/status=500/cc=no-store/hold=e');
$origin->release('e');
is $_->response->{status}, 500, 'an error: each asks' for $one, $other;

# --- who fetches dies, or is slow --------------------------------------------------------------------

$one = ask(0, '/dies/hold=d');
held('/dies/hold=d');
$other = ask(1, '/dies/hold=d');
wait_until(sub { books(1)->{waits} }) or fail 'it waits';
kill KILL => $t[0]->pids;
$took = took(sub { held('/dies/hold=d', 2) });
cmp_ok $took, '<', 5, 'who fetches is killed: the other does, after what is left of the lease';
$origin->release('d');
is $other->response->{body}, '/dies/hold=d pc', '  and has it';
eval { $one->response };
wait_until(sub { get(0, '/up')->{status} == 200 });
ok wait_until(sub { books(0)->{servers}[0]{objects} }), 'the first is back';

$one = ask(0, '/slow/hold=s');
held('/slow/hold=s');
$other = ask(1, '/slow/hold=s', 'Cache-Control' => 'no-cache');
held('/slow/hold=s', 2);
pass "who wants the origin's own word does not wait";
my $third = ask(2, '/slow/hold=s');
# Four seconds: longer than the lease, which is renewed.
ok !wait_until(sub { count('/slow/hold=s') > 2 }, 4), 'a slow fetch: the lease is renewed';
$origin->release('s');
is $_->response->{status}, 200, '  all have it' for $one, $other, $third;

$one = ask(0, '/never/hold=n');
held('/never/hold=n');
$other = ask(1, '/never/hold=n');
$took = took(sub { held('/never/hold=n', 2) });
cmp_ok $took, '>', 5, 'longer than DevCacheCollapseWait';
cmp_ok $took, '<', 14, '  is not waited for';
$origin->release('n');
$_->response for $one, $other;

# --- a lock that is not there any more, or is somebody's ------------------------------------------------

$one = ask(0, '/lost/hold=l');
held('/lost/hold=l');
ok wait_until(sub { locks() }), 'a lock';
$redis->say('DEL', locks());
$other = ask(1, '/lost/hold=l');
held('/lost/hold=l', 2);
$origin->release('l');
is $_->response->{body}, '/lost/hold=l pc', 'a lock that was lost: two fetches, and no harm' for $one, $other;
for my $value ('-', '-x', '-99999999999999999999', '', "\xff" x 100) {
    $one = ask(0, '/foreign' . length $value);
    $one->response;
}
$redis->freeze;
is get(1, "/frozen$_")->{status}, 200, 'the server hangs: everybody is served' for 1 .. 4;
$redis->thaw;
$redis->kill;
is get(1, '/killed')->{status}, 200, 'it is killed: likewise';

$t[0]->allow_log(qr/AH\d+|exit signal/);
like $t[1]->status_page('')->{body}, qr/Locks: this machine fetched for all \d+ times/, 'the page';
like $t[1]->status_page('?prometheus')->{body}, qr/^devcache_tier_waits_total\{name="devcache"\} [1-9]/m, 'and Prometheus';
$_->finish for reverse @t;
$redis->stop;
done_testing;
