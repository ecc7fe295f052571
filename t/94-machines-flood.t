# SPDX-License-Identifier: Apache-2.0
# t/94-machines-flood.t. Ten thousands of purges at once: applied in batches, each counted, none
# lost, while hits are hits; and a machine that falls behind by more than is kept for it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use Test::More;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

use constant { FLOOD => 50_000, AT_ONCE => 1000, KEPT => 100_000 };
my $redis = DevCache::Redis->new;
my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
my @t = map { machine("DevCacheTier $_") } $redis->url, $hurdle->url;
my ($near, $far) = @t;
ok machines_are(2, @t), 'two machines';
for my $t (@t) {
    $t->origin_auto(sub {
        my $request = shift;
        return (304, {%lives}) if $request->header('If-None-Match');
        return (200, {%lives}, $request->{target});
    });
}

# --- hits all the while -------------------------------------------------------------------

$_->get('/kept') for @t;
my $keeper = fork // die "fork: $!\n";
if (!$keeper) {
    $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
    my ($hits, $other, $end) = (0, 0, 0);
    $SIG{USR1} = sub { $end = 1 };
    while (!$end) {
        my $client = DevCache::Client->new($near->port);
        for (1 .. 50) {
            my $status = $client->get('/kept', 'Cache-Control' => 'only-if-cached')->{status};
            $status == 200 ? $hits++ : $other++;
        }
    }
    open my $out, '>', $near->dir . '/hits' or die $!;
    print {$out} "$hits $other\n";
    close $out;
    POSIX::_exit(0);
}

# --- a flood ------------------------------------------------------------------------------

# A page of each thousand of URLs, and one of each thousand of folders.
purge($near, '/folder/00000/*');
my $folder = $redis->latest_order;
like $folder, qr{/folder/00000/}, 'an order about many';
my @urls = map { '/flood/' . 1000 * $_ } 0 .. 49;
my @folders = map { sprintf '/folder/%05d/page', 1000 * $_ + 10 } 0 .. 49;
for my $t (@t) { $t->get($_) for @urls, @folders }
ok is_there($far, $_), "$_ is stored" for $urls[-1], $folders[-1];
my @was = map { shown($_) } @t;
sub order {
    my $i = shift;
    return $i % 20 == 10 ? $folder =~ s{/00000/}{sprintf '/%05d/', $i}er : DevCache::Redis::order_url("/flood/$i");
}

# The one that is cut off meanwhile has to take it all at once.
$hurdle->mode('drop');
ok wait_until(sub { !shown($far)->{servers}[0]{reachable} }), 'one is cut off';
is $redis->flood(FLOOD, \&order), FLOOD, 'a flood';
$hurdle->mode('pass');
for my $i (0, 1) {
    my $name = $i ? 'the one that was cut off' : 'the other';
    my $now;
    ok wait_until(sub { $now = shown($t[$i]); $now->{applied} >= $was[$i]{applied} + FLOOD }), "$name: all of it applied"
        or diag "$now->{applied}, $was[$i]{applied} before";
    is $now->{applied} - $was[$i]{applied}, FLOOD, "$name: each once";
    is $now->{servers}[0]{entries} - $was[$i]{servers}[0]{entries}, FLOOD, "$name: each read once";
    is $now->{servers}[0]{gaps}, $was[$i]{servers}[0]{gaps}, "$name: without a gap";
    my $batches = $now->{batches} - $was[$i]{batches};
    cmp_ok $batches, '>=', FLOOD / AT_ONCE, "$name: $batches batches";
    is $batches, FLOOD / AT_ONCE, "$name: and no more" if $i;
    my @left = grep { is_there($t[$i], $_) } @urls, @folders;
    is "@left", '', "$name: what was purged is gone";
    still($t[$i], '/kept', $name);
}
cmp_ok $redis->say('XLEN', 'devcache:purges'), '<=', KEPT + 1000, 'not too many are kept';

# Who purges while it is under way is not forgotten.
store_again($_) for @t;
$redis->flood(5000, sub { DevCache::Redis::order_url("/again/$_[0]") });
my $answer = purge_waits($near, '/mine');
is $answer->{body}, qq({"purged": 1, "nodes": 2, "applied": 2}\n), 'a purge behind a flood';
ok !is_there($_, '/mine'), 'is carried out' for @t;
sub store_again { my $t = shift; $t->get('/mine'); return }

# --- more than is kept --------------------------------------------------------------------

$hurdle->mode('drop');
ok wait_until(sub { !shown($far)->{servers}[0]{reachable} }), 'one is cut off again';
$_->get('/lost') for @t;
purge($near, '/lost');
$redis->flood(KEPT + 5000, sub { DevCache::Redis::order_url("/more/$_[0]") });
purge($near, '/none');
cmp_ok $redis->say('XLEN', 'devcache:purges'), '<=', KEPT + 1000, 'no more than is to be kept is';
cmp_ok $redis->say('XLEN', 'devcache:purges'), '>=', KEPT, 'and no less';
ok wait_until(sub { shown($near)->{applied} >= $was[0]{applied} + FLOOD + 5000 + KEPT + 5000 }), 'the other keeps up';
is shown($near)->{servers}[0]{gaps}, $was[0]{servers}[0]{gaps}, 'without a gap';
my $asked = $far->{auto}[0]->fetches('/kept');
$hurdle->mode('pass');
gone_soon($far, '/lost', 'what was forgotten before it was read');
ok wait_until(sub { $far->log_lines(qr/DC0232: .*forgotten.*everything that is stored is validated/) }), 'a gap is found';
is shown($far)->{servers}[0]{gaps}, $was[1]{servers}[0]{gaps} + 1, 'and counted';
is $far->get('/kept')->{body}, '/kept', 'what is stored is used';
is $far->{auto}[0]->fetches('/kept'), $asked + 1, 'when it was validated';
is $far->get('/kept')->{body}, '/kept', 'and again';
is $far->{auto}[0]->fetches('/kept'), $asked + 1, 'without another question';
ok wait_until(sub { purge_waits($near, '/none')->{body} =~ /"nodes": 2, "applied": 2\}/ }), 'and it has all of it';

kill USR1 => $keeper;
waitpid $keeper, 0;
open my $in, '<', $near->dir . '/hits' or die $!;
my ($hits, $other) = split ' ', <$in>;
cmp_ok $hits, '>', 100, "$hits hits meanwhile";
is $other, 0, 'and nothing else';

$_->finish for @t;
$redis->stop;
$hurdle->stop;
done_testing;
