# SPDX-License-Identifier: Apache-2.0
# t/60-crash.t. kill -9 of every child, again and again, under a load of hits and misses of
# three devices: no answer is ever wrong or mixed up, nothing on disk is found damaged, and
# what was stored before the last kill is served after it.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of site_answer site_request site_wrong);
use DevCache::Test;

my @classes = qw(mobile pc tablet);

# Most are records in segments, the others files of their own.
my @pages = ((map { "/$_/" . (100 + $_ * $_ * 7 % 9000) } 0 .. 59),
             (map { "/$_/" . (90_000 + $_ * 20_000) } 60 .. 69), '/70/3000000', '/71/2000001');

# Three in ten are pages that nobody has asked for yet.
my $new = 0;
sub any_page {
    my $class = $classes[rand @classes];
    my $path = rand() < 0.3 ? "/f$$/" . $new++ . '/' . int(100 + rand 6000)
        : rand() < 0.02 ? $pages[70 + rand 2] : $pages[rand 70];
    return site_request($path, $class);
}

# The first cache holds all of it, the second evicts all the time.
for my $case ([128 => 'with room for all'], [12 => 'while it evicts']) {
    my ($size, $name) = @$case;
    my $t = DevCache::Test->start(<<"CONF");
DevCacheSize ${size}M
<Location "/">
    DevCache On
</Location>
LogLevel notice
ProxyPass / \@ORIGIN\@/
CONF
    # httpd noticed; who followed what a killed child was fetching is cut off
    $t->allow_log(qr/AH\d+: children are killed successively/, qr/DC0171/);
    my $auto = $t->origin_auto(\&site_answer);
    my $load = DevCache::Load->start($t->port, next => \&any_page, check => \&site_wrong);
    for (1 .. 10) {
        $load->wait_answers(100);
        $t->kill_child($t->pids);
    }
    $load->wait_answers(200);
    my $sum = $load->stop;
    is_deeply $sum->{wrong}, [], "$name: each answer is the right one";
    cmp_ok $sum->{broken} + $sum->{again}, '>', 0, "$name: the kills hit requests under way";
    my $now = $t->counters;
    is $now->{store_damaged}, 0, "$name: nothing damaged was met";
    cmp_ok $now->{hits}, '>', 100, "$name: there were hits";
    cmp_ok $now->{misses}, '>', 100, "$name: and misses";
    cmp_ok $now->{store_bytes}, '<=', $size << 20, "$name: within the bound";
    if ($size < 100) {
        cmp_ok $now->{store_evicted}, '>', 0, "$name: there were evictions";
        $t->finish;
        next;
    }

    # Warm: what is stored now is there after one more kill.
    my $wrong = sub {
        my @wrong;
        for my $class (@classes) {
            my $client = $t->client;
            for my $path (@pages) {
                my @request = site_request($path, $class);
                my $why = site_wrong(\@request, $client->get(@request));
                push @wrong, "$path: $why" if $why;
            }
        }
        return \@wrong;
    };
    is_deeply $wrong->(), [], 'every page once, for each device';
    my $fetches = $auto->fetches;
    $t->kill_child($t->pids);
    is_deeply $wrong->(), [], 'and once more after the last kill';
    is $auto->fetches, $fetches, 'all from the cache';
    $t->finish;
}

# Killed in the middle of a fill and of a hit, by the order of events.
my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $body = body_of('big', 3_000_000);
sub bodies { return grep { m{/body-} } glob $t->root . '/*' }

my $x = $t->send_req('/big');
my $fetch = $t->origin->accept;
$fetch->head(200, { 'Cache-Control' => 'max-age=600', 'Content-Length' => length $body });
$fetch->send(substr $body, 0, 1_500_000);
$x->body_of(1_000_000);
is scalar bodies(), 1, 'a large body is on its way to a file';
$t->kill_child($t->pids);
ok !$x->response->{complete}, 'killed: the client sees that the answer broke off';
$fetch->close;
$x = $t->send_req('/big');
$fetch = $t->origin->accept;
is $fetch->{target}, '/big', 'half a body is not served: the origin is asked again';
ok wait_until(sub { !bodies() }), 'and the half has been removed';
$fetch->reply(200, { 'Cache-Control' => 'max-age=600' }, $body);
ok $x->response->{body} eq $body, 'the whole from the origin';

$x = $t->send_req('/big');
ok substr($body, 0, 1000) eq substr($x->body_of(1000), 0, 1000), 'a hit, not read to its end';
$t->kill_child($t->pids);
my $part = $x->response->{body};
ok $part eq substr($body, 0, length $part), 'killed: what came of it is right';
ok $t->get('/big')->{body} eq $body, 'the next hit has all of it';
$t->finish;
done_testing;
