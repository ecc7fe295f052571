# SPDX-License-Identifier: Apache-2.0
# t/64-work-for-nobody.t. What nobody reads any more comes to an end, what never ends is
# nobody else's page, and those who read get every byte whatever becomes of the cache.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use Test::More;
use Time::HiRes qw(time);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
DevCacheDefaultTTL 60
<Location "/">
    DevCache On
    DevCacheCollapseWait 30
    DevCacheFinish 500ms
    DevCacheMaxObjectSize 4M
</Location>
<Location "/ours/">
    DevCacheDefaultTTL 60
</Location>
<Location "/at-once/">
    DevCacheFinish 0
</Location>
<Location "/always/">
    DevCacheFinish always
</Location>
<Location "/default/">
    DevCacheFinish 2
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF

my %fresh = ('Cache-Control' => 'max-age=60');
my @length = ('Content-Length' => 3_000_000);
my $n = 0;

# A request under way: its client has got the first bytes. What the origin does is up to the test.
sub begun {
    my ($path, $fields, $first) = @_;
    my $own = $t->send_req($path);
    my $fetch = $t->origin->accept;
    $fetch->head(200, $fields);
    $fetch->{is_chunked} = $fields->{'Transfer-Encoding'};
    $first //= 'x' x 20_000;
    more($fetch, $first);
    $own->body_of(length $first < 1000 ? length $first : 1000);
    return ($own, $fetch);
}
sub more { my ($fetch, $data) = @_; return $fetch->{is_chunked} ? $fetch->chunk($data) : $fetch->send($data) }

# The origin goes on slowly until its connection is closed: for how long? undef: it is not.
sub lasts {
    my ($fetch, $most) = @_;
    my $begun = time;
    while (time - $begun < $most) {
        more($fetch, 'y' x 2000);
        next unless $fetch->gone(0.05);
        $fetch->close;
        return time - $begun;
    }
    return;
}

sub busy { return $t->counters->{flights} }

my @chunked = ('Transfer-Encoding' => 'chunked');

# --- streams without an end ----------------------------------------------------------------

for my $type ('text/event-stream', 'Text/Event-Stream; charset=utf-8', 'multipart/x-mixed-replace;boundary=b') {
    my $path = '/events' . ++$n;
    my ($one, $first) = begun($path, { 'Content-Type' => $type, %fresh, @chunked }, 'data: 1');
    my ($two, $second) = begun($path, { 'Content-Type' => $type, @chunked }, 'data: 2');
    is $two->body_of(7), 'data: 2', "$type: the second visitor has a stream of his own";
    $_->client->reset for $one, $two;
    ok defined lasts($_, 2), '  which ends when he goes' for $first, $second;
    is busy(), 0, '  and nothing waits for it';
}
for my $type ('application/x-ndjson', 'application/stream+json;charset=utf-8') {
    my $path = '/ours/rows' . ++$n;
    my ($one, $first) = begun($path, { 'Content-Type' => $type, @chunked }, '{"n":1}');
    my ($two, $second) = begun($path, { 'Content-Type' => $type, @chunked }, '{"n":2}');
    is $two->body_of(7), '{"n":2}', "$type, a lifetime of ours: the second visitor has his own";
    $_->client->reset for $one, $two;
    ok defined lasts($_, 2), '  which ends when he goes' for $first, $second;
}
is $t->counters->{stored}, 0, 'none was stored';
$t->exchange('/ours/export', [200, { 'Content-Type' => 'application/x-ndjson' }, '{}']);
$t->is_stored('/ours/export', 'rows of a known length');

# Unknown types: it is known by its length.
my ($one, $first) = begun('/ticker', { %fresh, @chunked });
my $two = $t->send_req('/ticker');
$t->wait_counter(flight_followers => 1);
more($first, 'z' x 1000);
$two->body_of(21_000);
$t->clock_advance(61);
more($first, 'z' x 1000);
is length $two->body_of(22_000), 22_000, 'longer under way than fresh: who reads it reads on';
my ($three, $third) = begun('/ticker', { %fresh, @chunked });
cmp_ok length $three->body_of(1000), '>=', 1000, '  who comes now has a stream of his own';
$_->client->reset for $one, $two, $three;
ok defined lasts($_, 3), '  and each ends when all have gone' for $first, $third;
$t->wait_log(qr{DC0111: save: \S+/ticker \[pc\]: not stored \(endless\)}, 1);

# --- work for nobody -----------------------------------------------------------------------

sub left {
    my ($path, $fields, $first) = @_;
    my ($own, $fetch) = begun($path, $fields, $first);
    $own->client->reset;
    return $fetch;
}

my $lasted = lasts(left('/page' . ++$n, { %fresh, @length }), 5);
ok defined $lasted && $lasted >= 0.4, 'DevCacheFinish: so long, and no longer';
$t->wait_log(qr/not stored \(abandoned\)/, 1);
$lasted = lasts(left('/at-once/page', { %fresh, @length }), 5);
ok defined $lasted && $lasted < 0.5, 'DevCacheFinish 0: at once';
$lasted = lasts(left('/default/page', { %fresh, @length }), 10);
ok defined $lasted && $lasted > 1.5 && $lasted < 4, 'two seconds';

my $fetch = left('/always/page', { %fresh, 'Content-Length' => 100_000 });
is lasts($fetch, 1), undef, 'always: it goes on';
$fetch->reset;

$fetch = left('/half', { %fresh, 'Content-Length' => 300_000 }, 'h' x 160_000);
is lasts($fetch, 1.2), undef, 'half done: it goes on';
$fetch->reset;

# The end comes without the origin's next word: a stalled one does not keep the thread.
$fetch = left('/silent', { %fresh, @length });
more($fetch, 'y' x 2000) for 1 .. 3;        # so that it is seen that the client has gone
my $since = time;
ok $fetch->gone(10), 'a silent origin: it ends as well';
cmp_ok time - $since, '<', 3, '  in time';
$fetch->close;

# Somebody comes meanwhile, and it is a fetch like any other.
$fetch = left('/joined', { %fresh, 'Content-Length' => 60_000 });
more($fetch, 'y' x 2000) for 1 .. 3;
my $joined = $t->send_req('/joined');
$t->wait_counter(flight_followers => 1);
more($fetch, 'y' x 2000);
is $fetch->gone(1), 0, 'somebody comes: it goes on';
more($fetch, 'y' x 32_000);
$fetch->end;
is length $joined->response->{body}, 60_000, '  and he gets it all';

# One who has it already (304) is no reader.
my $knows = $t->send_req('/known', 'If-None-Match' => '"k"');
$fetch = $t->origin->accept;
$fetch->head(200, { %fresh, ETag => '"k"', @length });
more($fetch, 'k' x 2000);
is $knows->response->{status}, 304, 'a client that has it is told so';
ok defined lasts($fetch, 4), '  and the fetch ends soon, as nobody reads it';

# Many, who take every thread otherwise.
my @many = map { [begun("/many/$_", { %fresh, @length })] } 1 .. 30;
$_->[0]->client->reset for @many;
my $deadline = time + 8;
my @open = map { $_->[1] } @many;
while (@open && time < $deadline) {
    more($_, 'y' x 500) for @open;
    @open = grep { !$_->gone(0.005) } @open;
}
$_->[1]->close for @many;
is scalar @open, 0, 'thirty that were left end';
$t->wait_counter(flights => 0);

# A child that is to end does not wait for what nobody reads.
my $gone = $t->counters->{clients_gone};
$fetch = left('/always/graceful', { %fresh, @length });
wait_until(sub { more($fetch, 'y' x 2000); $t->counters->{clients_gone} > $gone }) or die;
$t->graceful;
ok defined lasts($fetch, 10), 'a graceful restart ends it, be it always';

# --- the bytes of those who read ---------------------------------------------------------------

# Larger than may be stored, no length announced, and clients that read slowly.
sub outgrown {
    my ($name, $path, $followers, $grow) = @_;
    my ($own, $fetch) = begun($path, { %fresh, @chunked });
    my @all = ($own);
    for (1 .. $followers) {
        push @all, $t->send_req($path);
    }
    $t->wait_counter(flight_followers => $followers);
    my $whole = 'x' x 20_000;
    for my $i (1 .. $grow) {
        my $piece = chr(97 + $i % 26) x 100_000;
        more($fetch, $piece);
        $whole .= $piece;
    }
    $fetch->last_chunk;
    is scalar(grep { $_->response->{complete} && $_->response->{body} eq $whole } @all), scalar @all,
        "$name: " . @all . ' readers have every byte';
}
outgrown('longer than DevCacheMaxObjectSize', '/large1', 0, 60);
outgrown('the same with followers', '/large2', 3, 60);
$t->allow_log(qr/AH01110/);    # of those that the origin has reset
$t->finish;

# --- a disk that is full ------------------------------------------------------------------------

# A real one, small, where this may be mounted.
my $dir = File::Temp->newdir;
my $is_mounted = !system "mount -t tmpfs -o size=3m,mode=0777 none $dir 2>/dev/null";
SKIP: {
    skip 'needs root, to mount a small file system', 6 unless $is_mounted;
    mkdir "$dir/cache" or die;
    my $user = getpwnam('www-data') // getpwnam('daemon') // $<;
    chown $user, -1, "$dir/cache";
    my $small = DevCache::Test->start(<<"CONF", root => 0);
DevCacheRoot "$dir/cache"
DevCacheMinFree 0
DevCacheSize 16M
<Location "/">
    DevCache On
    DevCacheFinish 500ms
</Location>
ProxyPass / \@ORIGIN\@/ disablereuse=on
CONF
    $t = $small;
    my $whole = join '', map { chr(97 + $_ % 26) x 100_000 } 1 .. 45;
    for my $same (1, 0) {
        my $path = "/full$same";
        my ($own, $fetch) = begun($path, { %fresh, ETag => '"1"', @chunked }, substr $whole, 0, 20_000);
        my $follower = $t->send_req($path);
        $t->wait_counter(flight_followers => 1);
        more($fetch, substr $whole, 20_000, 20_000);
        $follower->body_of(30_000);
        more($fetch, substr $whole, 40_000);
        $fetch->last_chunk;
        my $again = $t->origin->accept;
        # Where it is another version httpd closes the connection before it has come.
        eval { $again->reply(200, { %fresh, ETag => $same ? '"1"' : '"2"' }, $whole); 1 } or $again->close;
        ok $own->response->{body} eq $whole, 'a full disk: who asked has it all';
        my $got = $follower->response;
        ok $got->{body} eq $whole, '  and who follows, from the origin' if $same;
        ok !$got->{complete}, '  but not of another version' unless $same;
        my $next = $t->send_req("/next$same");
        $t->origin->accept->reply(200, {%fresh}, 'next');
        is $next->response->{body}, 'next', '  and the server serves';
    }
    $t->allow_log(qr/No space left|DC0171|DC0180|DC\d+: (?:store|trouble)/);
    $t->finish;
}
END { local $?; system "umount $dir 2>/dev/null" if $is_mounted }
done_testing;
