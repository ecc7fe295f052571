# SPDX-License-Identifier: Apache-2.0
# t/61-graceful.t. Restarts under load. Graceful ones lose no request and no stored object,
# a full one finds the cache warm, and a new DevCacheSize takes effect with the full one.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(site_answer site_request site_wrong);
use DevCache::Test;

my @classes = qw(mobile pc tablet);
my @pages = ((map { "/$_/" . (100 + $_ * $_ * 7 % 9000) } 0 .. 39),
             (map { "/$_/" . ($_ * 2000) } 40 .. 45), '/46/2900000', '/47/1500000');

sub conf {
    my $size = shift;
    return <<"CONF";
DevCacheSize $size
DevCacheSegmentSize 256K
<Location "/">
    DevCache On
</Location>
LogLevel notice
ProxyPass / \@ORIGIN\@/
CONF
}
my $t = DevCache::Test->start(conf('128M'));
my $auto = $t->origin_auto(\&site_answer);

# Each page for each device: what is wrong, and how often the origin was asked.
sub ask_all {
    my @paths = @_;
    my $before = $auto->fetches;
    my @wrong;
    for my $class (@classes) {
        my $client = $t->client;
        for my $path (@paths) {
            my @request = site_request($path, $class);
            my $why = site_wrong(\@request, $client->get(@request));
            push @wrong, "$path: $why" if $why;
        }
    }
    return { wrong => \@wrong, fetches => $auto->fetches - $before };
}

my $all = @pages * @classes;
is_deeply ask_all(@pages), { wrong => [], fetches => $all }, 'cold: each page is fetched once';

# One in five is a page that nobody has asked for yet.
my $new = 0;
my $load = DevCache::Load->start($t->port, check => \&site_wrong, next => sub {
    my $path = rand() < 0.2 ? "/new$$/" . $new++ . '/' . int(100 + rand 6000)
        : rand() < 0.04 ? $pages[46 + rand 2] : $pages[rand 46];
    return site_request($path, $classes[rand @classes]);
});
for (1 .. 4) {
    $load->wait_answers(200);
    $t->graceful;
}
$load->wait_answers(200);
my $sum = $load->stop;
is_deeply $sum->{wrong}, [], 'graceful restarts: each answer is the right one';
is $sum->{broken}, 0, 'and none is lost';
my @fetched = grep { !m{^/new} } map { $_->[1] } $auto->requests;
is scalar @fetched, $all, 'no stored page was asked for again';
my %seen = map { $_->[1] => 1 } grep { $_->[1] =~ m{^/new} } $auto->requests;
cmp_ok scalar keys %seen, '>', 50, 'others were stored meanwhile';

# What was stored under way, by any generation of children, is there too.
my %class = map { $_->[1] => $_->[2]{'x-device-type'} } $auto->requests;
sub ask_new {
    my $before = $auto->fetches;
    my $client = $t->client;
    for my $path (sort keys %seen) { $client->get(site_request($path, $class{$path})) }
    return $auto->fetches - $before;
}
is ask_new(), 0, 'and are found';

# A full stop and start.
my $stored = $t->counters->{store_objects};
$t->restart;
is $t->counters->{store_objects}, $stored, 'stopped and started: all objects are there at once';
is_deeply ask_all(@pages), { wrong => [], fetches => 0 }, 'and served';
is ask_new(), 0, 'the other ones too';

# A new size: with a reload a warning and nothing else, with a restart it is so.
$t->graceful(conf('12M'));
$t->expect_log(qr/DC0003: .*DevCacheSize/);
$t->wait_log(qr/DC0003/);
is $t->counters->{store_size}, 128 << 20, 'a smaller DevCacheSize does not change with a reload';
is_deeply ask_all(@pages), { wrong => [], fetches => 0 }, 'and nothing is lost by it';
$t->restart;
$t->wait_log(qr/DC0210/);
my $now = $t->counters;
is $now->{store_size}, 12 << 20, 'a restart applies it';
cmp_ok $now->{store_bytes}, '<=', 12 << 20, 'the bound holds at once';
is_deeply ask_all(@pages[0 .. 39]), { wrong => [], fetches => 0 }, 'the small objects have stayed';
my $asked = ask_all(@pages);
is_deeply $asked->{wrong}, [], 'every page is right';
cmp_ok $asked->{fetches}, '>', 0, 'some large ones had to go';
cmp_ok $t->counters->{store_bytes}, '<=', 12 << 20, 'within the bound';

$t->restart(conf('128M'));
$t->wait_log(qr/DC0210/, 2);
$asked = ask_all(@pages[0 .. 9]);
is_deeply $asked->{wrong}, [], 'a larger one again';
cmp_ok $asked->{fetches}, '<', 30, 'keeps what was stored';
$t->finish;
done_testing;
