# SPDX-License-Identifier: Apache-2.0
# t/104-slices-crash.t. kill -9 of children that fetch, store and read slices and parts: each byte
# that comes is the right one, what was stored is found again, and nobody waits for the dead.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $conf = <<'CONF';
DevCacheSize 64M
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
    DevCacheSlice 64K
</Location>
<Location "/parts/">
    DevCacheSlice off
</Location>
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
my @fresh = ('Cache-Control' => 'max-age=600', ETag => '"e"');
my $slice = 65_536;
my $size = 4 * $slice + 100;
my $film = body_of(1, $size);

# httpd on kills, and readers who are cut off
my @killed = (qr/AH\d+: child(?:ren are killed| pid \d+ exit signal Killed)/, qr/DC0171|DC0131/,
              qr/exit signal Killed/, qr/proxy(?:_http)?:error/);

sub part { return substr $film, $_[0], $_[1] - $_[0] + 1 }

# The 206 to what a fetch asks for, and how much of its body.
sub answer {
    my ($fetch, $bytes) = @_;
    my ($first, $last) = $fetch->header('Range') =~ /^bytes=(\d+)-(\d+)$/ or die 'no range';
    $last = $size - 1 if $last >= $size;
    my $body = part($first, $last);
    $fetch->head(206, [@fresh, 'Content-Length' => length $body, 'Content-Range' => "bytes $first-$last/$size"]);
    $fetch->send(defined $bytes ? substr $body, 0, $bytes : $body);
    return if defined $bytes;
    $fetch->end;
}

# Another one who wants the same, in another child than $owner.
sub in_another_child {
    my ($t, $owner, @request) = @_;
    my @all;
    do { push @all, $t->send_req(@request) } until $t->child_of($all[-1]) != $owner;
    return @all;
}

# --- by the order of events -------------------------------------------------------------------

my $t = DevCache::Test->start($conf);
$t->allow_log(@killed);

subtest 'killed while a slice is asked for: somebody who waits takes over' => sub {
    my @request = ('/film/first', Range => 'bytes=0-9');
    my $own = $t->send_req(@request);
    my $fetch = $t->origin->accept;
    my $owner = $t->child_of($own);
    my @rest = in_another_child($t, $owner, @request);
    $t->wait_counter(flight_followers => scalar @rest);
    answer($fetch, 30_000);
    $t->kill_child($owner);
    $fetch->close;
    ok !$own->response->{complete}, 'its own client has nothing';
    $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=0-65535', 'the slice is asked for again';
    answer($fetch);
    my @got = grep { $_->{complete} } map { $_->response } @rest;
    cmp_ok scalar @got, '>=', 1, 'those in other children are answered';
    is_deeply [grep { $_->{body} ne part(0, 9) } @got], [], '… with their bytes';
    ok $t->origin->quiet(0.1), '… by one fetch';
    is $t->get(@request)->{body}, part(0, 9), 'it is stored';
};

subtest 'killed while it fetches a slice in the middle: who waits for that gets all' => sub {
    my $own = $t->send_req('/film/middle');
    answer($t->origin->accept);
    my $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=65536-131071', 'the second slice';
    my $owner = $t->child_of($own);
    my @rest = in_another_child($t, $owner, '/film/middle');
    $t->wait_counter(flight_followers => scalar @rest);
    answer($fetch, 30_000);
    $t->kill_child($owner);
    $fetch->close;
    my $broken = $own->response;
    ok !$broken->{complete}, 'its own client sees that it broke off';
    ok $broken->{body} eq substr($film, 0, length $broken->{body}), '… after bytes that are right';
    for my $n (1 .. 4) {
        $fetch = $t->origin->accept;
        is $fetch->header('Range'), sprintf('bytes=%d-%d', $n * $slice, $n == 4 ? $size - 1 : ($n + 1) * $slice - 1),
            "slice $n is asked for, once";
        answer($fetch);
    }
    my @got = grep { $_->{complete} } map { $_->response } @rest;
    cmp_ok scalar @got, '>=', 1, 'those in other children get to the end';
    ok !(grep { $_->{body} ne $film } @got), '… with all bytes';
    ok $t->get('/film/middle')->{body} eq $film, 'all of it is stored';
    ok $t->origin->quiet(0.1), '… so that nobody asks';
};

subtest 'killed while a part is stored' => sub {
    my $req = $t->send_req('/parts/film', Range => 'bytes=0-49999');
    answer($t->origin->accept);
    is $req->response->{body}, part(0, 49_999), 'a part';
    $req = $t->send_req('/parts/film', Range => 'bytes=0-99999');
    my $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=50000-99999', 'what lacks of another';
    answer($fetch, 20_000);
    $t->kill_child($t->child_of($req));
    $fetch->close;
    ok !$req->response->{complete}, 'its client sees it';
    is $t->get('/parts/film', Range => 'bytes=0-49999')->{body}, part(0, 49_999), 'the first part is there';
    $req = $t->send_req('/parts/film', Range => 'bytes=0-99999');
    $fetch = $t->origin->accept;
    is $fetch->header('Range'), 'bytes=50000-99999', 'of the other nothing';
    answer($fetch);
    is $req->response->{body}, part(0, 99_999), '… until it has come';
};

subtest 'killed while slices are read' => sub {
    my $req = $t->send_req('/film/middle');
    $req->body_of(100_000);
    $t->kill_child($t->pids);
    my $body = $req->response->{body};
    ok $body eq substr($film, 0, length $body), 'what came of it is right';
    ok $t->get('/film/middle')->{body} eq $film, 'the next one gets all';
    ok $t->origin->quiet(0.1), '… without the origin';
    is $t->counters->{flights}, 0, 'no flight is left';
    is $t->counters->{store_damaged}, 0, 'nothing damaged was met';
};
$t->finish;

# --- between a slice and the response that it is of ------------------------------------------------

sub auto_origin {
    my $server = shift;
    return $server->origin_auto(sub {
        my $request = shift;
        my ($first, $last) = ($request->header('Range') // '') =~ /^bytes=(\d+)-(\d*)$/;
        return (200, \@fresh, $film) if !defined $first;
        $last = $size - 1 if $last eq '' || $last >= $size;
        return (206, [@fresh, 'Content-Range' => "bytes $first-$last/$size"], part($first, $last));
    });
}

for my $n (2 .. 4) {
    subtest "killed with the slice stored, before the response is: the $n. time" => sub {
        $t = DevCache::Test->start($conf, env => { DEVCACHE_FAULT => "kill-in-partial:$n" });
        $t->allow_log(@killed);
        my $auto = auto_origin($t);
        my ($cut, $whole, @wrong) = (0, 0);
        for my $try (1 .. 12) {
            my @range = $try % 2 ? () : (Range => 'bytes=70000-200000');
            my $path = $try % 3 ? '/film/stored' : '/parts/stored';
            my $res = eval { $t->get($path, @range) } // { body => '' };
            my $want = $res->{body} eq '' || ($res->{status} // 0) != 206 ? $film : part(70_000, 200_000);
            push @wrong, $try if $res->{body} ne substr $want, 0, length $res->{body};
            $res->{complete} && length $res->{body} == length $want ? $whole++ : $cut++;
        }
        is_deeply \@wrong, [], 'no byte is wrong';
        cmp_ok $cut, '>=', 1, 'children were killed there';
        cmp_ok $whole, '>=', 1, '… and others have answered';
        $t->{httpd}->stop;
        my $build = $ENV{DEVCACHE_BUILD} || 'build';
        my $verified = `$build/devcachectl verify --root @{[ $t->root ]} 2>&1`;
        is $?, 0, 'every record on disk is sound' or diag $verified;
        $t->finish;
    };
}

# The store has no room for one slice, or for none from some time on; its disk gives none back.
for my $fault ('piece-room:2', 'piece-room:2+', 'piece-read:3', 'piece-read:2+') {
    subtest "who reads slices gets all, whatever becomes of the store: $fault" => sub {
        $t = DevCache::Test->start($conf, env => { DEVCACHE_FAULT => $fault });
        my $auto = auto_origin($t);
        for my $try (1 .. 12) { # by any child
            my $path = '/film/' . $try % 3;
            my $res = $t->get($path);
            ok $res->{complete} && $res->{body} eq $film, 'all of it comes' or diag length $res->{body};
            $res = $t->get($path, Range => 'bytes=70000-200000');
            ok $res->{body} eq part(70_000, 200_000), '… and a part';
        }
        my %asked;
        $asked{ "$_->[1] " . ($_->[2]{range} // '') }++ for $auto->requests;
        ok scalar(grep { $_ > 1 } values %asked), 'a slice was asked for twice' or diag explain \%asked;
        is $t->counters->{flights}, 0, 'no flight is left';
        $t->expect_log(qr/DC0131: .*could not be stored; is the disk full/) if $fault eq 'piece-room:2+';
        $t->finish;
    };
}

# --- again and again, under a load -----------------------------------------------------------------

subtest 'under a load of ranges' => sub {
    $t = DevCache::Test->start($conf =~ s/64M/4M/r);
    $t->allow_log(@killed);
    my $auto = auto_origin($t);
    my $load = DevCache::Load->start($t->port,
        next => sub {
            my $path = (rand() < 0.7 ? '/film/' : '/parts/') . int 30 * rand() ** 2;
            my $first = int rand $size - 1;
            my $last = $first + int rand 100_000;
            $last = $last < $size ? $last : $size - 1;
            return rand() < 0.2 ? ($path) : ($path, Range => "bytes=$first-$last");
        },
        check => sub {
            my ($request, $res) = @_;
            my ($path, %fields) = @$request;
            return if !defined $res->{status};
            return "status $res->{status}" if $res->{status} != 200 && ($res->{status} != 206 || !$fields{Range});
            my ($first, $last) = $res->{status} == 200 ? (0, $size - 1) : $fields{Range} =~ /(\d+)-(\d+)/;
            my $want = part($first, $last);    # a range may be answered by the whole
            $want = substr $want, 0, length $res->{body} if !$res->{complete};
            return $res->{body} eq $want ? undef : "bytes $first-$last are others";
        });
    for (1 .. 8) {
        $load->wait_answers(60);
        $t->kill_child($t->pids);
    }
    $load->wait_answers(100);
    my $sum = $load->stop;
    is_deeply $sum->{wrong}, [], 'each answer is the right one';
    cmp_ok $sum->{broken} + $sum->{again}, '>', 0, 'the kills hit requests under way';
    my $now = $t->counters;
    is $now->{store_damaged}, 0, 'nothing damaged was met';
    cmp_ok $now->{hits}, '>', 50, 'there were hits';
    cmp_ok $now->{store_evicted}, '>', 0, 'and evictions';
    $t->finish;
};
done_testing;
