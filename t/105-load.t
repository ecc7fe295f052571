# SPDX-License-Identifier: Apache-2.0
# t/105-load.t. The load of the benchmarks where a server closes connections: it opens another
# one, asks there once more, and counts it. Only an answer that was cut off is wrong.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use POSIX ();
use DevCache::Test;

my $program = ($ENV{DEVCACHE_BUILD} || "$FindBin::Bin/../build") . '/bench-load';

# One run; its figures. The clock starts when it is told to go.
sub load {
    my ($port, @options) = @_;
    my $pid = open2(my $out, my $in, $program, '-p', $port, @options);
    is <$out>, "ready\n", 'it is ready';
    print {$in} "go\n";
    $in->flush;
    my %got = (<$out> // '') =~ /(\w+)=([\d.]+)/g;
    close $in;
    waitpid $pid, 0;
    is $?, 0, '  and ends well';
    return \%got;
}

# One request's head; false where the client is gone.
sub read_request {
    my ($conn) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) {
        sysread($conn, $head, 4096, length $head) or return;
    }
    return 1;
}

# A server of one connection at a time: what it sends for each request, in turn, and whether
# it closes the connection behind that.
sub server {
    my (@script) = @_;
    my $listen = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1') or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        while (my $conn = $listen->accept) {
            while (read_request($conn)) {
                my ($text, $closes) = @{ shift @script };
                syswrite $conn, $text;
                last if $closes;
            }
        }
        POSIX::_exit(0);
    }
    return ($listen->sockport, $pid);
}

sub played {
    my ($what, $want, $script, @options) = @_;
    subtest $what => sub {
        my ($port, $pid) = server(@$script);
        my $got = load($port, qw(-c 1 -n 10 -b 10 -k 1), @options);
        kill TERM => $pid;
        waitpid $pid, 0;
        is_deeply { map { $_ => $got->{$_} } qw(requests errors closed) }, $want,
            'its figures';
    };
}

my $answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
my @threes = map { [$answer, 0], [$answer, 0], [$answer, 1] } 1 .. 4;
my @rest = map { [$answer, 0] } 1 .. 10;

played 'closed behind every third answer', { requests => 10, errors => 0, closed => 3 },
    \@threes;
played 'the same, paced', { requests => 10, errors => 0, closed => 3 }, \@threes,
    qw(-r 200);
played 'closed in place of an answer', { requests => 10, errors => 0, closed => 2 },
    [[$answer, 0], ['', 1], ['', 1], @rest];
played 'cut off', { requests => 10, errors => 1, closed => 1 },
    [[$answer, 0], [substr($answer, 0, -3), 1], @rest];

# As httpd does it when it has had enough of a connection.
my $t = DevCache::Test->start("MaxKeepAliveRequests 7\n<Location />\nDevCache On\n</Location>\n");
mkdir $t->dir . '/htdocs/10';
$t->write_file('htdocs/10/0', '0123456789');
my $got = load($t->port, qw(-c 4 -n 200 -b 10 -k 1 -r 2000));
is $got->{requests}, 200, 'httpd that closes after a few: all are answered';
is $got->{errors}, 0, '  rightly';
cmp_ok $got->{closed}, '>=', 200 / 8 - 4, '  and what it closed is counted';
$t->finish;
done_testing;
