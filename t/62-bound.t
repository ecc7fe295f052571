# SPDX-License-Identifier: Apache-2.0
# t/62-bound.t. 20,000 objects into a cache for about 5,000: the files never hold more than
# DevCacheSize, at no moment that could be caught, and popular pages go on being hits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;
use POSIX ();

my $size = 24 << 20;
my $t = DevCache::Test->start(<<"CONF");
DevCacheSize $size
DevCacheMaxObjects 16000
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
LogLevel warn
ProxyPass / \@ORIGIN\@/
CONF

# One in 200 is large: a file of its own.
sub body_for {
    my $path = shift;
    return body_of($path, $path =~ /[13579]00$/ ? 100_000 : 4000);
}
my $auto = $t->origin_auto(sub {
    return (200, { 'Cache-Control' => 'max-age=600' }, body_for($_[0]{target}));
});

# The most that the folder has held: [length of the files, room they take on the disk].
# The files that a server makes once and for all are not part of the bound.
sub usage {
    my ($length, $room) = (0, 0);
    opendir my $dir, $t->root or die "$!\n";
    for my $name (grep { !/^(?:\.\.?|index|lock)$/ } readdir $dir) {
        my @stat = lstat $t->root . "/$name" or next;
        $length += $stat[7];
        $room += 512 * $stat[12];
    }
    return ($length, $room);
}

# A process that looks all the time and says the maximum when it is told to end.
sub watch {
    pipe my $in, my $out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        my ($ending, $looks, @most) = (0, 0, 0, 0);
        $SIG{TERM} = sub { $ending = 1 };
        until ($ending) {
            my @now = usage();
            for (0, 1) { $most[$_] = $now[$_] if $now[$_] > $most[$_] }
            $looks++;
            select undef, undef, undef, 0.002;
        }
        syswrite $out, "$looks @most\n";
        POSIX::_exit(0);
    }
    close $out;
    return sub {
        kill TERM => $pid;
        my @said = split ' ', <$in>;
        waitpid $pid, 0;
        return @said;
    };
}

# Two workers with 10,000 new pages each. Every fifth request is for one of 100 popular ones.
my $watched = watch();
my ($new, $n) = (0, 0);
my $load = DevCache::Load->start($t->port,
    check => sub { $_[1]{body} eq body_for($_[0][0]) ? undef : "$_[1]{status}, wrong body" },
    next => sub {
        return if $new == 10_000;
        return $n++ % 5 ? '/' . $$ . '/' . $new++ : '/popular/' . int rand 100;
    });
my $sum = $load->result;
my ($looks, $length, $room) = $watched->();
note "$sum->{answers} answers, looked $looks times; at most $length bytes, $room on disk";
is_deeply $sum->{wrong}, [], 'each answer is the right one';
is $sum->{broken}, 0, 'none is lost';
cmp_ok $sum->{answers}, '>=', 20_000, 'all pages were asked for';
cmp_ok $looks, '>', 100, 'the folder was looked at all the time';
cmp_ok $length, '<=', $size, 'the files were never longer than DevCacheSize';
cmp_ok $room, '<=', $size, 'nor took more room on the disk';
cmp_ok $length, '>', $size * 0.7, 'but the room was used';

my $now = $t->counters;
cmp_ok $now->{store_evicted}, '>', 10_000, 'objects were evicted';
cmp_ok $now->{store_objects}, '>', 3000, 'thousands are stored';
my $asked = grep { $_->[1] =~ m{^/popular} } $auto->requests;
cmp_ok $asked, '<', 1000, 'popular pages stay: of 5,000 requests few reached the origin';
is $now->{hits} + $now->{collapsed} + $now->{misses}, $sum->{answers},
    'each request was a hit, a miss, or waited for one';
is $now->{store_damaged}, 0, 'nothing damaged was met';

# The index has the one size that it was made with.
my $index = -s $t->root . '/index';
cmp_ok $index, '<', 2 << 20, 'the index is small';
is $now->{store_bytes} <= $size, 1, 'the status page agrees';
$t->finish;
done_testing;
