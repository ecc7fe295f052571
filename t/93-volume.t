# SPDX-License-Identifier: Apache-2.0
# t/93-volume.t. The cache's volume in trouble, at start, at a reload and in the run: httpd serves
# without the cache, says so, and has the cache back soon after the trouble has ended, with what it
# held. Real small file systems where the user is root and may mount them.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use File::Temp qw(tempdir);
use Test::More;

my ($t, $auto);
my @pages = map { "/p$_/" . (300 + 100 * $_) } 1 .. 30;
push @pages, map { "/l$_/90000" } 1 .. 2;

sub page { my $path = shift; return body_of($path, $path =~ m{/(\d+)$}) }

sub conf {
    my ($root, $more) = (@_, '');
    return <<"CONF";
DevCacheRoot "$root"
DevCacheSize 4M
DevCacheSegmentSize 256K
DevCacheMinFree 0
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
ProxyPass / \@ORIGIN\@/
$more
CONF
}

sub start {
    my ($root, $more, $answer) = (@_, '');
    $t = DevCache::Test->start(conf($root, $more));
    $auto = $t->origin_auto($answer // sub {
        return (200, { 'Cache-Control' => 'max-age=600' }, page($_[0]{target}));
    });
    $t->allow_log(qr/DC0211: /, qr/DC0201: store: cannot write/, qr/DC0150: /);
}

# Ask for all: how many fetches it took. Whatever happens, each answer is the right one.
sub ask {
    my $name = shift;
    my $before = $auto->fetches;
    my @wrong = grep {
        my $res = $t->get($_);
        $res->{status} != 200 || $res->{body} ne page($_);
    } @pages;
    is "@wrong", '', "$name: all answers are right";
    return $auto->fetches - $before;
}

sub warm { my $name = shift; ask("$name, cold"); return is ask($name), 0, "$name: it caches" }

# Wait until it caches again: 30 s are promised.
sub comes_back {
    my ($name, $held) = @_;
    my $path = $pages[0];
    my $back = wait_until(sub {
        $t->get($path);
        my $before = $auto->fetches;
        $t->get($path) for 1 .. 4;      # by any child
        return $auto->fetches == $before;
    }, 30);
    ok $back, "$name: the cache is back within 30 s";
    # A child that has not attached again yet fetches, and stores nothing.
    my $stored = $t->counters->{stored};
    ask("$name, back");
    ok wait_until(sub { !ask("$name, again") }, 30), "$name: all is stored, for each child";
    cmp_ok $t->counters->{stored} - $stored, '<=', 1, "$name: and it was there before" if $held;
    return;
}

sub goes_away {
    my ($name, $sentence) = @_;
    ok wait_until(sub { $t->log_lines(qr{DC0213: .*serving without the cache.*(?:$sentence)}) }, 25),
        "$name: the log says so";
    $t->expect_log(qr/DC0213: /);
    my $ready;
    ok wait_until(sub {
        $ready = form('ready');
        return $ready->{status} == 503 && $ready->{body} =~ m{$sentence};
    }, 15), "$name: not ready, and it says why" or diag $ready->{body};
    return;
}

sub form { return $t->get("/?$_[0]", ':port' => $t->port('STATUS_PORT')) }
my ($user) = DevCache::Httpd::children_run_as();
$user = $user ? getpwnam $user : $>;
sub names { my $dir = shift; return join ' ', sort map { s{.*/}{}r } glob "$dir/*" }

sub new_root {
    my $base = tempdir(CLEANUP => 1);
    chmod 0755, $base;
    my $root = "$base/cache";
    mkdir $root, 0700;
    chown $user, -1, $root;
    return ($base, $root);
}

# --- the directory ------------------------------------------------------------------------

subtest 'a directory that is not there at the start, nor at a reload' => sub {
    my $base = tempdir(CLEANUP => 1);
    chmod 0755, $base;
    start("$base/cache");
    goes_away('missing', 'No such file');
    is ask('missing'), @pages, 'all is fetched';
    is ask('missing'), @pages, 'again and again';
    my ($line) = $t->access_lines(qr/store-away/);
    like $line // '', qr/^GET .*\|200\|/, 'the access log has the reason';
    $t->graceful;
    is ask('reloaded'), @pages, 'a reload does not end it';
    mkdir "$base/cache", 0700;
    chown $user, -1, "$base/cache";
    comes_back('made');
    is form('ready')->{status}, 200, 'ready';
    is scalar(my @said = $t->log_lines(qr/DC0214: /)), 1, 'the log says once that it is over';
    $t->graceful(conf("$base/other"));
    $t->wait_log(qr/DC0213: .*other/);
    is ask('a reload names another one'), @pages, 'that is not there: it serves';
    mkdir "$base/other", 0700;
    chown $user, -1, "$base/other";
    comes_back('the other one');
    $t->finish;
};

subtest 'a directory that is replaced, and one that is given to somebody else' => sub {
    my ($base, $root) = new_root();
    start($root);
    warm('at first');
    rename $root, "$base/away" or die "rename: $!";
    goes_away('gone', 'No such file|cannot be reached');
    mkdir $root, 0700;
    chown $user, -1, $root;
    comes_back('an empty one');
    system 'rm', '-r', $root;
    rename "$base/away", $root or die "rename: $!";
    $t->graceful;
    comes_back('the old one', 1);
    if ($> == 0) {
        chown 0, 0, $root;
        goes_away('of root', 'Permission denied|belongs to user 0');
        chown $user, -1, $root;
        comes_back('of the right user', 1);
    }
    unlink "$root/index";
    goes_away('its index deleted', 'its index ');
    comes_back('without its index');
    truncate "$root/index", 8192;
    ask('its index cut');
    comes_back('cut');
    my @died = $t->log_lines(qr/exit signal/);
    is scalar @died, 0, 'no child has died';
    $t->finish;
};

subtest 'a directory that goes while somebody reads a film in slices' => sub {
    my ($base, $root) = new_root();
    my $film = body_of('film', 8_000_000);
    start($root, <<'CONF', sub {
<Location "/film/">
    DevCacheSlice 64K
</Location>
CONF
        my ($first, $last) = ($_[0]->header('Range') // '') =~ /^bytes=(\d+)-(\d*)$/;
        my %fields = ('Cache-Control' => 'max-age=600', ETag => '"e"');
        return (200, \%fields, $film) if !defined $first;
        $last = length($film) - 1 if $last eq '' || $last >= length $film;
        $fields{'Content-Range'} = "bytes $first-$last/" . length $film;
        return (206, \%fields, substr $film, $first, $last - $first + 1);
    });
    my $reader = $t->send_req('/film/x');
    $reader->body_of(100_000);    # the server goes on as far as the sockets have room
    rename $root, "$base/away" or die "rename: $!";
    goes_away('gone', 'No such file|cannot be reached');
    my $res = $reader->response;
    ok $res->{complete} && $res->{body} eq $film, 'the reader gets all of it';
    cmp_ok scalar(grep { ($_->[2]{range} // '') =~ /^bytes=/ } $auto->requests), '>', 20,
        '… from the origin';
    ok $t->get('/film/x')->{body} eq $film, 'and so does the next one';
    $t->finish;
};

# --- volumes -------------------------------------------------------------------------------

my $image_dir = tempdir(CLEANUP => 1);
my $images = 0;
my $mnt = tempdir(CLEANUP => 1);
chmod 0755, $mnt;
chown $user, -1, $mnt;
chmod 0700, $mnt;

sub mounted_on { my ($what) = @_; return !system "mount $what '$mnt' 2>/dev/null" }
sub unmounted { system "umount -l '$mnt' 2>/dev/null"; return }

sub make_volume {
    my $megabytes = shift;
    my $image = "$image_dir/image" . $images++; # the kernel knows a file again
    open my $out, '>', $image or die "$image: $!";
    truncate $out, $megabytes << 20;
    close $out;
    return unless !system "mkfs.ext4 -q -F -m 0 '$image' 2>/dev/null" and mounted_on("-o loop '$image'");
    rmdir "$mnt/lost+found";
    chown $user, -1, $mnt;
    chmod 0700, $mnt;
    return $image;
}
END { local $?; unmounted() if $mnt }

my $image = $> == 0 ? make_volume(24) : undef;
my $why = $> ? 'only root can mount a small volume' : 'a small volume cannot be mounted here';

subtest 'a volume that is not mounted' => sub {
    plan skip_all => $why unless $image;
    start($mnt);
    warm('mounted');
    $t->stop;
    unmounted();
    is names($mnt), '', 'its mount point is empty';
    $t->start_again;
    goes_away('at the start', "not mounted at \"\Q$mnt\E\"");
    is ask('at the start'), @pages, 'all is fetched';
    is names($mnt), '', 'no cache is begun in the mount point';
    ok mounted_on("-o loop '$image'"), 'mounted';
    comes_back('mounted again', 1);
    unmounted();
    goes_away('in the run', 'not mounted|another directory|cannot be');
    is names($mnt), '', 'still nothing in the mount point';
    my $devices = sub { my @all = `losetup -j '$image' 2>/dev/null`; return scalar @all };
    ok wait_until(sub { !$devices->() }, 25), 'the old volume is let go of';
    $t->graceful;
    is names($mnt), '', 'nor does a reload begin one';
    ok mounted_on("-o loop '$image'"), 'mounted';
    comes_back('mounted in the run', 1);
    $t->finish;
};

subtest 'a volume that is read-only, and one that is full' => sub {
    plan skip_all => $why unless $image;
    system "mount -o remount,ro '$mnt'";
    start($mnt);
    goes_away('read-only', 'Read-only file system');
    is ask('read-only'), @pages, 'all is fetched';
    system "mount -o remount,rw '$mnt'";
    comes_back('writable');
    $t->stop;
    unlink glob "$mnt/*";
    system "dd if=/dev/zero of='$mnt/filler' bs=64k 2>/dev/null";
    $t->start_again;
    goes_away('full', 'No space left');
    is ask('full'), @pages, 'all is fetched';
    unlink "$mnt/filler";
    comes_back('room again');
    $t->finish;
};

# What a dying disk looks like: from one moment to the next each access fails, the index's
# pages among them.
subtest 'a volume that dies in the run' => sub {
    plan skip_all => $why unless $image;
    start($mnt);
    warm('alive');
    my %before = map { $_ => 1 } $t->pids;
    system 'sync'; # so that the index's pages have to be asked for before they are written to
    open my $any, '<', "$mnt/index" or die "$mnt/index: $!";
    my $flags = pack 'L', 2; # without writing its log
    my $shut = ioctl $any, 0x8004587d, $flags; # EXT4_IOC_SHUTDOWN
    close $any;
    system 'sync 2>/dev/null';
    if (!$shut) {
        $t->finish;
        plan skip_all => 'this kernel cannot shut ext4 down';
    }
    ask('dead') for 1 .. 3;
    ok wait_until(sub { form('ready')->{status} == 503 }, 15), 'dead: not ready';
    $t->expect_log(qr/DC0201: |DC0208: |DC0213: /);
    is ask('dead for long'), @pages, 'all is fetched';
    my @died = $t->log_lines(qr/exit signal/);
    is scalar @died, 0, 'no child has died';
    is scalar(grep { !$before{$_} } $t->pids), 0, 'they are the same';
    unmounted();
    my $again = make_volume(24);
    ok $again, 'a new disk';
    comes_back('a new disk');
    $t->allow_log(qr/DC0205: /, qr/DC0213: /);
    $t->finish;
};

done_testing;
