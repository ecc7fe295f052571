# SPDX-License-Identifier: Apache-2.0
package Bench::Measure;

# Runs of the load and what they cost the server: CPU time from /proc, figures from
# bench-load, medians over rounds. Servers are put on core 0; this process, bench-load and
# the origin on core 1.

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use IPC::Open2 qw(open2);
use POSIX ();

our @EXPORT_OK = qw(on_core cores cpu_us load load_h2 fetches median ratio blocked counting
                    counted);

sub cores { my @all = glob '/sys/devices/system/cpu/cpu[0-9]*'; return scalar @all }

sub move_to { system("taskset -pc $_[0] $$ >/dev/null") == 0 or die "taskset failed\n" }

# Run code, and what it starts, on one core; come back to core 1.
sub on_core {
    my ($core, $code) = @_;
    return $code->() if cores() < 2;
    move_to($core);
    my $done = eval { $code->(); 1 };
    my $error = $@;
    move_to(1);
    die $error unless $done;
}

# The folders in /proc of all threads of a process and of those below it.
sub tasks_below {
    my ($pid) = @_;
    my @tasks = glob "/proc/$pid/task/[0-9]*";
    my @children;
    for my $task (@tasks) {
        open my $file, '<', "$task/children" or next;
        push @children, split ' ', <$file> // '';
    }
    return (@tasks, map { tasks_below($_) } @children);
}

# A process and those below it.
sub tasks_of {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/task/$pid/children" or return $pid;
    return ($pid, map { tasks_of($_) } split ' ', <$file> // '');
}

# Microseconds on a CPU, of every thread of a process and all below it, by thread. The
# kernel counts them in nanoseconds here, in ticks of 10 ms in /proc/PID/stat.
sub cpu_us {
    my ($pid) = @_;
    my %us;
    for my $task (tasks_below($pid)) {
        open my $file, '<', "$task/schedstat" or next;
        my ($ns) = split ' ', <$file> // next;
        $us{$task} = $ns / 1000;
    }
    return \%us;
}

# One run of bench-load against a server: options as for the program, without dash.
# Returns its figures, and {cpu}: microseconds per request.
sub load {
    my ($server, %opt) = @_;
    my @command = ("$FindBin::Bin/../build/bench-load", '-p', $server->port,
                   map { ("-$_", $opt{$_}) } grep { defined $opt{$_} && $_ ne 'x' } keys %opt);
    push @command, '-x' if $opt{x};
    my $pid = open2(my $out, my $in, @command);
    (<$out> // '') eq "ready\n" or die "bench-load failed: @command\n";
    my $before = cpu_us($server->{pid});
    print {$in} "go\n";
    $in->flush;
    my %got = (<$out> // die "bench-load failed: @command\n") =~ /(\w+)=([\d.]+)/g;
    my $after = cpu_us($server->{pid});
    close $in;
    waitpid $pid, 0;
    my $spent = 0;
    $spent += $after->{$_} - ($before->{$_} // 0) for keys %$after;
    $spent > 0 or die "this kernel has no /proc/PID/schedstat\n";
    return { %got, cpu => $spent / $got{requests}, rate => $got{requests} / $got{seconds} };
}

# One run of h2load against a server with TLS: n requests of a path on c connections, with m
# streams each, or h1 => 1: by HTTP/1.1; h2c => 1: without TLS. Figures as from load(), but for the quantiles.
my $agent = 'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like '
    . 'Gecko) Chrome/150.0.0.0 Safari/537.36';

sub load_h2 {
    my ($server, $path, %opt) = @_;
    my $before = cpu_us($server->{pid});
    my @command = ('h2load', '-n', $opt{n}, '-c', $opt{c}, qw(-t 1),
                   $opt{h1} ? '--h1' : ('-m', $opt{m}), '-H', $agent,
                   ($opt{h2c} ? 'http' : 'https') . '://127.0.0.1:' . $server->port . $path);
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command or die "h2load: $!\n";
    my $said = do { local $/; <$out> };
    close $out;
    my $after = cpu_us($server->{pid});
    my ($rate) = $said =~ m{finished in \S+ ([\d.]+) req/s} or die "h2load failed:\n$said";
    my ($right) = $said =~ /(\d+) 2xx/;
    my $spent = 0;
    $spent += $after->{$_} - ($before->{$_} // 0) for keys %$after;
    return { requests => $opt{n}, errors => $opt{n} - $right, rate => $rate,
             cpu => $spent / $opt{n} };
}

# What httpd is to be run under so that counted() can say, when it has stopped, how many
# instructions in user space it spent on connections: no noise, and no kernel. PROFILE=folder
# keeps there, by name, what callgrind_annotate reads; httpd is not root any more when it writes.
sub counting {
    my ($name) = @_;
    my $file = '/dev/null';
    if ($ENV{PROFILE}) {
        mkdir $ENV{PROFILE};
        $file = "$ENV{PROFILE}/$name";
        open my $empty, '>', $file or die "$file: $!\n";
        chmod 0666, $file;
    }
    return [qw(valgrind --tool=callgrind --vgdb=no
               --toggle-collect=ap_run_process_connection), "--callgrind-out-file=$file"];
}

sub counted {
    my ($server) = @_;
    my ($n) = map { /Collected : (\d+)/ } $server->lines('stderr');
    return $n // die "valgrind has counted nothing: see $server->{dir}/stderr\n";
}

# How often the origin was asked so far.
sub fetches { return (-s "$_[0]{dir}/fetches") / 2 }

sub median {
    my @v = sort { $a <=> $b } @_ or return;
    return @v % 2 ? $v[@v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}

# The median of the ratios of two peers in the same rounds, of {cpu} or another figure.
sub ratio {
    my ($mine, $theirs, $what) = @_;
    $what //= 'cpu';
    return unless $mine && $theirs;
    return median(map { $mine->[$_]{$what} / $theirs->[$_]{$what} } 0 .. $#$mine);
}

# Per cent of the time of c connections during which a thread of the server sleeps for the
# lock of a file that another writes to. $run is the load, in a process of its own. Looked
# at are the kernel functions that threads sleep in; undef where the kernel hides them.
sub blocked {
    my ($server, $connections, $run) = @_;
    my @tasks = map { glob "/proc/$_/task/[0-9]*/wchan" } tasks_of($server->{pid});
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        my $done = eval { $run->(); 1 };
        POSIX::_exit($done ? 0 : 1);
    }
    my ($samples, $known, $waiting) = (0, 0, 0);
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        for my $task (@tasks) {
            open my $file, '<', $task or next;
            my $where = <$file> // '';
            $known++ if $where =~ /[a-z]/;
            $waiting++ if $where =~ /rwsem|down_write|_file_write_iter|_buffered_write_iter/;
        }
        $samples++;
        select undef, undef, undef, 0.02;
    }
    die "the load for counting waits failed\n" if $?;
    return $known ? 100 * $waiting / ($samples * $connections) : undef;
}

1;
