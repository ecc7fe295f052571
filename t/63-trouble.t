# SPDX-License-Identifier: Apache-2.0
# t/63-trouble.t. Trouble with disk and files: whatever happens below DevCacheRoot, clients get
# the right answers, from the origin if need be, and the log says it once.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use File::Temp ();
use POSIX ();
use Test::More;

my ($t, $auto);

# A server whose origin has a page at /name/SIZE.
sub start {
    my ($more, %options) = @_;
    $t = DevCache::Test->start(<<"CONF", %options);
$more
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
<Location "/off/">
    DevCache Off
</Location>
LogLevel notice
ProxyPass / \@ORIGIN\@/
CONF
    $auto = $t->origin_auto(sub {
        return (200, { 'Cache-Control' => 'max-age=600' }, page($_[0]{target}));
    });
}

sub page { my $path = shift; return body_of($path, $path =~ m{/(\d+)$}) }

# Ask for all of them, each on a connection of its own so that all children are met: the
# number of fetches that it took. A connection that breaks is tried again where that is
# expected.
sub ask {
    my ($name, @paths) = @_;
    my $before = $auto->fetches;
    my @wrong = grep {
        my $res = $t->get($_);
        $res->{status} != 200 || $res->{body} ne page($_);
    } @paths;
    is "@wrong", '', "$name: all answers are right";
    return $auto->fetches - $before;
}

sub logged { my ($re) = @_; return scalar(my @lines = $t->log_lines($re)) }
sub segments { return sort glob $t->root . '/seg-*' }
sub bodies   { return sort glob $t->root . '/body-*' }

my @small = map { "/s$_/" . (500 + 70 * $_) } 1 .. 60;
my @large = map { "/l$_/200000" } 1 .. 4;

# --- a full disk ----------------------------------------------------------------------------

SKIP: {
    skip 'only root can mount a small disk', 1 if $>;
    my $disk = File::Temp::tempdir(CLEANUP => 1);
    chmod 0755, $disk;
    my ($user) = DevCache::Httpd::children_run_as();
    skip 'a small disk cannot be mounted here', 1
        if system "mount -t tmpfs -o size=4M,mode=700,uid=$user devcache $disk 2>/dev/null";
    my $ok = eval { on_a_small_disk($disk); 1 } or diag $@;
    $t->stop;
    system "umount $disk";
    ok $ok, 'full disk: tried to the end';
}

sub on_a_small_disk {
    my $disk = shift;
    start(qq{DevCacheRoot "$disk"\nDevCacheSize 64M\nDevCacheMinFree 0});
    $t->expect_log(qr/DC0201:/);
    $t->expect_log(qr/DC0180: .* its file system holds 4M, less than DevCacheSize 64M/);
    my @first = map { "/first$_/3000" } 1 .. 100;
    is ask('a disk not yet full', @first), 100, 'all fetched';
    ask('a full disk', map { "/fill$_/30000" } 1 .. 150);
    cmp_ok $t->counters->{store_io_errors}, '>', 10, 'writes have failed';
    is logged(qr/DC0201:/), 1, 'which is logged once';
    is ask('a full disk', @first), 0, 'what is stored is served from the store';
    system "mount -o remount,size=64M $disk";
    ask('room again', map { "/new$_/30000" } 1 .. 20);
    is ask('room again', map { "/again$_/3000" } 1 .. 20), 20, 'new pages are fetched';
    is ask('room again', map { "/again$_/3000" } 1 .. 20), 0, 'and stored';
    is logged(qr/DC0202:/), 1, 'the end of the trouble is logged once';
    $t->finish;
}

# --- writes that fail, and children killed in the middle of the store's work --------------------

for my $fault ('write-enospc:7', 'write-short:7') {
    start('DevCacheSize 16M', env => { DEVCACHE_FAULT => $fault });
    $t->expect_log(qr/DC0201:/);
    ask("$fault, cold", @small, @large);
    cmp_ok ask("$fault, warm", @small, @large), '<=', 8, 'at most what failed is fetched again';
    ask("$fault, warm", @small, @large);
    is ask("$fault, at last", @small, @large), 0, 'and then stored';
    is $t->counters->{store_damaged}, 0, 'nothing half-written is ever met';
    $t->finish;
}

sub why_wrong {
    my ($request, $response) = @_;
    my $page = page($request->[0]);
    $page = substr $page, 0, length $response->{body} unless $response->{complete};
    return $response->{body} eq $page ? undef : 'wrong body';
}
my %kill = ('kill-after-append' => 120, 'kill-in-stripe' => 120, 'kill-in-body' => 50,
            'kill-in-alloc' => 60, 'kill-in-evict' => 12);
# A point counts in each process: where the load is spread over more of them, it comes sooner.
my $share = ($ENV{DEVCACHE_MPM} // '') eq 'prefork' ? 4 : 1;
for my $point (sort keys %kill) {
    start("DevCacheSize 1M\nDevCacheSegmentSize 64K",
          env => { DEVCACHE_FAULT => "$point:" . int $kill{$point} / $share });
    my $new = 0;
    my $load = DevCache::Load->start($t->port, processes => 1, connections => 4, next => sub {
        my $n = rand() < 0.5 ? $new++ : int rand 20;
        return if $new > 500;
        return "/k$n/" . ($n % 3 ? 2000 + $n : 9000);
    }, check => \&why_wrong);
    my $sum = $load->result;
    is_deeply $sum->{wrong}, [], "$point: no wrong answer";
    cmp_ok $sum->{broken} + $sum->{again}, '>', 0, 'but some were lost to kills';
    $t->allow_log(qr/AH\d+: children are killed successively/); # httpd noticed
    my $now = $t->counters;
    is $now->{store_damaged}, 0, 'nothing half-written is ever met';
    cmp_ok $now->{store_bytes}, '<=', 1 << 20, 'within the bound';
    $t->finish;
}

# --- files of a running server --------------------------------------------------------------------

sub cut  { my $file = shift; truncate $file, int((-s $file) / 2) or die "$file: $!" }
sub flip {
    my ($file, $from) = @_;
    open my $in, '+<:raw', $file or die "$file: $!";
    my $size = -s $file;
    for (my $at = $from; $at < $size; $at += 397) {
        seek $in, $at, 0;
        read $in, my $byte, 1;
        seek $in, $at, 0;
        print {$in} chr(0xff ^ ord $byte);
    }
    close $in or die "$file: $!";
}

my %damage = (
    'segments deleted'          => sub { unlink segments() },
    'segments cut'              => sub { cut($_) for segments() },
    'bits of segments flipped'  => sub { flip($_, 64) for segments() },
    'heads of segments flipped' => sub { flip($_, 3) for segments() },
    'bodies deleted'            => sub { unlink bodies() },
    'bodies cut'                => sub { cut($_) for bodies() },
    'heads of bodies flipped'   => sub { for (bodies()) { truncate $_, 63 } },
    'all files deleted'         => sub { unlink segments(), bodies() },
);
for my $running (1, 0) {
    my $when = $running ? 'running' : 'stopped';
    start("DevCacheSize 32M");
    $t->allow_log(qr/DC0205: .*damaged/);
    ask('at first', @small, @large);
    for my $name (sort keys %damage) {
        is ask("before $name", @small, @large), 0, 'warm';
        $t->stop unless $running;
        $damage{$name}->();
        $t->start_again unless $running;
        ask("$name, $when", @small, @large) for 1 .. 3;
        is ask("$name, $when, at last", @small, @large), 0, 'all is stored again';
    }
    cmp_ok logged(qr/DC0205/), '<=', 8 * 3, 'the log is not flooded: 8 lines a minute';
    $t->finish;
}

# --- the index ----------------------------------------------------------------------------------

my %index = (
    'deleted'   => sub { unlink $_[0] },
    'cut'       => sub { cut($_[0]) },
    'empty'     => sub { truncate $_[0], 0 },
    'garbled'   => sub { flip($_[0], 1) },
    'a symlink' => sub { unlink $_[0]; symlink $t->dir . '/precious', $_[0] },
    'a hard link' => sub { unlink $_[0]; link $t->dir . '/precious', $_[0] },
);
start("DevCacheSize 32M");
ask('index', @small, @large);
$t->write_file('precious', 'precious');
$t->allow_log(qr/DC0211: /);
my $lost = 0;
for my $name (sort keys %index) {
    $t->stop;
    $index{$name}->($t->root . '/index');
    $t->start_again;
    $t->wait_log(qr/DC0211: store: the index of .* were deleted, and the cache fills again/,
                 ++$lost);
    is ask("index $name", @small, @large), @small + @large, 'the cache is cold';
    is ask("index $name, again", @small, @large), 0, 'and fills again';
    is -s $t->dir . '/precious', 8, 'what a link points to is not touched';
}
$t->finish;

# In a running server: entries overwritten with anything are misses at worst.
start("DevCacheSize 32M");
$t->allow_log(qr/DC0205: .*damaged/);
ask('index', @small, @large);
flip($t->root . '/index', (-s $t->root . '/index') - 4096 * 56);
ask('entries garbled', @small, @large) for 1 .. 4;
is ask('entries garbled, at last', @small, @large), 0, 'all is stored again';
$t->finish;

# --- bits of large bodies -------------------------------------------------------------------------

# Found before it is sent: the answer is the origin's. Each child verifies a body once a minute.
start("DevCacheSize 32M");
$t->allow_log(qr/DC0205: .*damaged/);
my $big = '/big/700000';
sub flip_one {
    my $at = shift;
    my ($file) = sort { -s $b <=> -s $a } bodies();
    open my $in, '+<:raw', $file or die "$file: $!";
    seek $in, $at, 0;
    read $in, my $byte, 1;
    seek $in, $at, 0;
    print {$in} chr(0x10 ^ ord $byte);
    close $in;
}
for my $at (100, 350_000, 690_000, 700_070) {
    ask("a large body, $at", $big) for 1 .. 4;
    flip_one($at);
    is ask("a bit at $at", $big), 1, 'it comes from the origin';
    is ask("a bit at $at, again", $big), 0, 'and is stored';
}
my $part = $t->get($big, Range => 'bytes=65530-131080');
is $part->{status}, 206, 'a part over three blocks';
ok $part->{body} eq substr(page($big), 65530, 65551), 'is right';
$part = $t->get($big, Range => 'bytes=0-9,699990-699999');
like $part->header('Content-Type'), qr{multipart/byteranges}, 'two parts';
ok index($part->{body}, substr page($big), 699_990) > 0, 'the second one is right';
$t->finish;

# --- links among the files ------------------------------------------------------------------------

start("DevCacheSize 32M");
$t->allow_log(qr/DC0205: .*damaged/);
ask('links', @small, @large);
my %was = map { $_ => do { local (@ARGV, $/) = $_; <> } } segments(), bodies();
my $n = 0;
for my $file (sort keys %was) {
    my $other = $t->write_file('other' . $n++, $was{$file});
    $t->{httpd}->give_to_children($other, 0600);
    unlink $file;
    $n % 2 ? symlink $other, $file : link $other, $file;
}
$t->kill_child($t->pids);   # no descriptor of the good ones is left
cmp_ok ask('links in place of files', @small, @large), '>=', 60, 'they are not believed';
$t->restart;
ask('links, restarted', @small, @large);
my @links = grep { -l || (lstat)[3] > 1 } segments(), bodies();
is "@links", '', 'and removed by the next start';
my @changed = grep { my $i = $_; my $text = do { local (@ARGV, $/) = $t->dir . "/other$i"; <> };
                     !grep { $_ eq $text } values %was } 0 .. $n - 1;
is "@changed", '', 'what they point to is not touched';
$t->finish;

# --- no permission, no descriptors ----------------------------------------------------------------

start("DevCacheSize 32M");
ask('a good root', @small, @large);
$t->kill_child($t->pids);
$t->expect_log(qr/DC0208:/);
$t->allow_log(qr/DC0201:/);
chmod 0, $t->root or die $!;
$t->get("/off/wake-up/10");
is ask('an unreadable root', @small, @large), 64, 'all from the origin';
ask('an unreadable root', @small, @large);
is logged(qr/DC0208:/), 1, 'logged once';
$t->expect_log(qr/DC0213: .*Permission denied/);
$t->wait_log(qr/DC0213:/);
cmp_ok logged(qr/\[devcache:error\]/), '<=', 4, 'the log is not flooded';
chmod 0700, $t->root or die $!;
ok wait_until(sub { !ask('readable again', @small, @large) }, 30), 'readable again: all is back';
$t->finish;

# One child, whose every descriptor is taken but one for the client: what it has not open it
# cannot look up, and goes to the origin, to which it has a connection.
sub limit_descriptors {
    my ($pid, $n) = @_;
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        my ($user) = DevCache::Httpd::children_run_as();
        my ($uid, $gid) = $user ? (getpwnam $user)[2, 3] : ($<, $( + 0);
        POSIX::setgid($gid) && POSIX::setuid($uid) if $user;
        exec 'prlimit', '--pid', $pid, "--nofile=$n:" or POSIX::_exit(127);
    }
    waitpid $child, 0;
    return !$?;
}

SKIP: {
    skip 'no prlimit here', 1 if system 'prlimit --version >/dev/null 2>&1';
    start("DevCacheSize 32M\nStartServers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
          . "MaxRequestWorkers 1\nServerLimit 1", mpm => 'prefork');
    ask('descriptors', $small[0]);
    $t->restart;
    my ($pid) = $t->pids;
    my $descriptors = sub { map { m{(\d+)$} } glob "/proc/$pid/fd/*" };
    my $idle = () = $descriptors->();
    $t->get('/off/a/100');
    my %used;
    wait_until(sub { %used = map { $_ => 1 } $descriptors->(); keys %used == $idle + 1 });
    my @free = grep { !$used{$_} } 0 .. 999;
    ok limit_descriptors($pid, $free[1]), 'one descriptor left';
    is ask('no descriptor left', ($small[0]) x 3), 3, 'from the origin';
    ok limit_descriptors($pid, 1000), 'many descriptors';
    is ask('some left again', ($small[0]) x 3), 0, 'from the store';
    is logged(qr/Too many open files.*DC0208/), 1, 'logged once';
    is logged(qr/DC0209:/), 1, 'and its end';
    $t->expect_log(qr/Too many open files.*DC0208/);
    $t->allow_log(qr/AH00161: server reached MaxRequestWorkers/);
    $t->finish;
}
done_testing;
