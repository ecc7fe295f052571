# SPDX-License-Identifier: Apache-2.0
# t/47-memory.t. DevCacheMemory: what is asked for most is served from the child's memory, and
# is right there: the index still says what is stored.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use Test::More;

my ($t, $auto, $client);
my $version = 1;

# All requests go over one connection, so to one child.
sub start {
    my ($conf) = @_;
    $t = DevCache::Test->start(<<"CONF");
$conf
DevCacheKnownHeaders X-Version
<Location "/">
    DevCache On
</Location>
ProxyPass / \@ORIGIN\@/
CONF
    $auto = $t->origin_auto(sub {
        my $wanted = $_[0]->header('X-Version');
        return (200, { 'Cache-Control' => 'max-age=600', ETag => qq("v$wanted") },
                page($_[0]{target}, $wanted));
    });
    $client = $t->client;
}

# The origin makes the version that it is asked for.
sub page {
    my ($path, $wanted) = @_;
    return body_of("$path v$wanted", $path =~ m{/(\d+)$});
}

# Ask for it; how many fetches it took. -1: the answer was wrong.
sub ask {
    my ($path, @more) = @_;
    my $before = $auto->fetches;
    my $res = $client->get($path, 'X-Version' => $version, @more);
    return -1 if $res->{status} != 200 || $res->{body} ne page($path, $version);
    return $auto->fetches - $before;
}

sub asked { my ($path, $n, @more) = @_; return join ' ', map { ask($path, @more) } 1 .. $n }

sub cut_segments {
    for my $file (glob $t->root . '/seg-*') {
        truncate $file, 64 or die "$file: $!\n";
    }
}

# --- from memory ----------------------------------------------------------------------------

my @sizes = (1, 1000, 30_000, 100_000, 250_000);
# Where in the table a record goes is a matter of chance: one server in some hundreds has two
# of these in one place, and is not the one to test with.
my ($cold, $warm, $none, $counted);
for my $try (1 .. 5) {
    start('DevCacheMemory 4M');
    $cold = join ', ', map { asked("/m/$_", 3) } @sizes;
    $none = $t->counters->{memory_hits};
    $warm = join ', ', map { asked("/m/$_", 2) } @sizes;
    $counted = $t->counters->{memory_hits};
    last if $counted == 2 * @sizes;
    $t->finish;
}
is $cold, join(', ', ('1 0 0') x @sizes), 'fetched, then read twice';
is $none, 0, 'none of these from memory';
is $warm, join(', ', ('0 0') x @sizes), 'from memory, right';
is $counted, 2 * @sizes, 'which is counted';
is asked('/m/300000', 4), '1 0 0 0', 'a longer body stays on disk';
is asked('/m/1000', 3, 'User-Agent' => PHONE), '1 0 0', 'a phone has its own copy';

my $res = $client->get('/m/1000', Range => 'bytes=10-19');
is "$res->{status} $res->{body}", '206 ' . substr(page('/m/1000', 1), 10, 10), 'a range of it';
$res = $client->head('/m/1000');
is "$res->{status} " . $res->header('Content-Length'), '200 1000', 'its header';
is $client->get('/m/1000', 'If-None-Match' => '"v1"')->{status}, 304, 'its validator';

$t->expect_log(qr/DC0205:/);
cut_segments();
is ask("/m/$_"), 0, "$_ bytes: the disk is not needed" for @sizes;
is ask('/m/1000', 'User-Agent' => PHONE), 0, 'nor for the phone';
is ask('/m/300000'), 1, 'but for what is not in memory';

# --- the index decides ----------------------------------------------------------------------

$version = 2;
is $client->post('/m/1000', 'x=1', 'X-Version' => 2)->{status}, 200, 'an unsafe request';
is asked('/m/1000', 4), '1 0 0 0', 'what it invalidated is fetched again, and the new one kept';
is asked('/m/1000', 2, 'User-Agent' => PHONE), '1 0', 'the other variant too';
$t->clock_advance(601);
$version = 3;
is asked('/m/30000', 4), '1 0 0 0', 'an expired one is replaced by what the origin has now';
$t->finish;

# --- off ------------------------------------------------------------------------------------

$version = 1;
start('DevCacheMemory 0');
is asked('/m/1000', 4), '1 0 0 0', 'without memory: stored and read';
is $t->counters->{memory_hits}, 0, 'from disk each time';
$t->expect_log(qr/DC0205:/);
cut_segments();
is ask('/m/1000'), 1, 'a damaged record is fetched again';
$t->finish;

like(DevCache::Test->start_error('DevCacheMemory little'),
     qr/DevCacheMemory: 'little' is not a number of bytes/, 'a number is wanted');

done_testing;
