package Bench::Measure;

# Runs of the load and what they cost the server: CPU time from /proc, figures from
# bench-load, medians over rounds. Servers are put on core 0; this process, bench-load and
# the origin on core 1.

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use IPC::Open2 qw(open2);

our @EXPORT_OK = qw(on_core cores cpu_us load fetches median ratio @counting counted);

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

# What httpd is to be run under so that counted() can say, when it has stopped, how many
# instructions in user space it spent on connections: no noise, and no kernel.
our @counting = qw(valgrind --tool=callgrind --vgdb=no --callgrind-out-file=/dev/null
                   --toggle-collect=ap_run_process_connection);

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

# The median of the ratios of two peers in the same rounds.
sub ratio {
    my ($mine, $theirs) = @_;
    return unless $mine && $theirs;
    return median(map { $mine->[$_]{cpu} / $theirs->[$_]{cpu} } 0 .. $#$mine);
}

1;
