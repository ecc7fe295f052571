# SPDX-License-Identifier: Apache-2.0
package DevCache::Httpd;

# A real httpd in a folder of its own: configuration, ports, start, stop, its processes
# and its logs. Works as root (the children are www-data then) and as any other user.

use strict;
use warnings;
use DevCache::Wait qw(wait_until);
use File::Path ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();

# --- folder and ports -----------------------------------------------------------------

# Options: conf, mpm, modules (more than the basic ones), module (path of mod_devcache.so
# or undef), env, ports (names of further ports), vars (further @NAME@), before (lines
# ahead of the module's own).
sub new {
    my ($class, %opt) = @_;
    my $self = bless { %opt, mpm => $opt{mpm} || 'event', pid => 0 }, $class;
    $self->{dir} = File::Temp::tempdir('devcache-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $self->{dir} or die "$self->{dir}: $!\n";   # the children must get in
    mkdir "$self->{dir}/$_" for qw(htdocs cache);
    $self->give_to_children("$self->{dir}/cache", 0700);
    return $self;
}

# The user and group that the children run as, when that is not the one who starts them.
sub children_run_as {
    return if $>;
    my ($name) = grep { defined getpwnam $_ } qw(www-data apache nobody);
    return ($name, scalar getgrgid((getpwnam $name)[3]));
}

sub give_to_children {
    my ($self, $path, $mode) = @_;
    my ($user) = children_run_as();
    chown +(getpwnam $user)[2, 3], $path if $user;
    chmod $mode, $path or die "$path: $!\n";
}

# A free port, kept from other tests (not from the rest of the machine) by a UDP socket on
# the same number.
sub free_port {
    for (1 .. 50) {
        my $tcp = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp',
                                        Listen => 1) or die "no free port: $@\n";
        my $port = $tcp->sockport;
        my $lock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
                                         Proto => 'udp') or next;
        return ($port, $lock);
    }
    die "no free port\n";
}

sub port { my ($self, $name) = @_; return $self->{port}{ $name // 'PORT' } }

sub _choose_ports {
    my $self = shift;
    delete @$self{qw(port lock)};
    for my $name ('PORT', @{ $self->{ports} || [] }) {
        ($self->{port}{$name}, my $lock) = free_port();
        push @{ $self->{lock} }, $lock;
    }
}

# --- configuration --------------------------------------------------------------------

sub httpd { return $ENV{HTTPD} || (grep { -x } qw(/usr/sbin/apache2 /usr/sbin/httpd))[0]
                // die "no apache2 here: run tools/packages.sh test\n" }

sub libexecdir {
    return $ENV{LIBEXECDIR} || (grep { -d } qw(/usr/lib/apache2/modules
                                              /usr/lib64/httpd/modules))[0];
}

my $static;
sub _load_lines {
    my $self = shift;
    $static //= do { my $httpd = httpd(); join ' ', `$httpd -l` };
    my @lines;
    my %seen;
    for my $name ("mpm_$self->{mpm}", qw(unixd log_config authz_core),
                  @{ $self->{modules} || [] }) {
        next if $seen{$name}++ || $static =~ /\bmod_$name\.c/;
        my $file = libexecdir() . "/mod_$name.so";
        push @lines, "LoadModule ${name}_module $file";
    }
    return @lines;
}

my %mpm_conf = (
    prefork => <<'CONF',
StartServers 4
MinSpareServers 2
MaxSpareServers 32
ServerLimit 32
MaxRequestWorkers 32
CONF
    event => <<'CONF',
StartServers 2
ServerLimit 4
ThreadsPerChild 16
MinSpareThreads 16
MaxSpareThreads 64
MaxRequestWorkers 64
CONF
);
$mpm_conf{worker} = $mpm_conf{event};

sub conf_text {
    my $self = shift;
    my ($user, $group) = children_run_as();
    my $text = join "\n",
        'ServerRoot "@DIR@"', 'DefaultRuntimeDir "@DIR@"', 'PidFile "@DIR@/httpd.pid"',
        'ServerName 127.0.0.1', 'Listen 127.0.0.1:@PORT@',
        $self->_load_lines,
        ($user ? ("User $user", "Group $group") : ()),
        $mpm_conf{ $self->{mpm} },
        'ErrorLog "@DIR@/error.log"', 'LogLevel notice', 'CoreDumpDirectory "@DIR@"',
        'DocumentRoot "@DIR@/htdocs"', 'Timeout 20', 'KeepAliveTimeout 20',
        $self->{before} // (),
        ($self->{module} ? "LoadModule devcache_module $self->{module}" : ()),
        $self->{conf}, '';
    my %var = (DIR => $self->{dir}, ROOT => "$self->{dir}/cache", %{ $self->{port} },
               %{ $self->{vars} || {} });
    $text =~ s{\@([A-Z][A-Z0-9_]*)\@}{ $var{$1} // die "what is \@$1\@?\n" }ge;
    return $text;
}

sub write_file {
    my ($self, $name, $text) = @_;
    my $path = $name =~ m{^/} ? $name : "$self->{dir}/$name";
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} $text;
    close $file or die "$path: $!\n";
    return $path;
}

# --- start and stop -------------------------------------------------------------------

# Start and wait until it serves; dies with what httpd said if it does not. The ports are
# chosen the first time and chosen again only if somebody else has taken one.
sub start {
    my $self = shift;
    my $fixed = $self->{port};
    for my $try (1 .. 5) {
        $self->_choose_ports unless $fixed;
        $self->write_file('httpd.conf', $self->conf_text);
        return $self if $self->_launch;
        last if $fixed || $self->said !~ /Address already in use/;
        unlink map { "$self->{dir}/$_" } qw(stderr error.log);
    }
    my $how = defined $self->{status} ? "ended, status $self->{status}" : 'not serving in time';
    die "httpd does not start ($how):\n" . $self->said . "\n";
}

# httpd -t of a configuration file: its exit status and what it said.
sub configtest {
    my $file = shift;
    my @env = $ENV{DEVCACHE_PRELOAD}
        ? ("LD_PRELOAD=$ENV{DEVCACHE_PRELOAD}", 'ASAN_OPTIONS=detect_leaks=0') : ();
    open my $out, '-|', 'sh', '-c', 'exec env "$@" 2>&1', 'sh', @env, httpd(), '-t', '-f', $file
        or die "httpd: $!\n";
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $said);
}

sub _launch {
    my $self = shift;
    my $served = () = $self->serving_lines;
    my @command = (@{ $self->{under} || [] }, httpd(), '-f', "$self->{dir}/httpd.conf",
                   $self->{under} ? '-X' : '-DFOREGROUND');
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/stderr";
        open STDERR, '>&', \*STDOUT;
        my %env = %{ $self->{env} || {} };
        @ENV{ keys %env } = values %env;
        delete $ENV{$_} for grep { !defined $ENV{$_} } keys %env;
        POSIX::setsid();
        no warnings 'exec';
        exec @command or POSIX::_exit(127);
    }
    my $up = wait_until(sub {
        $self->_gone || ($self->{under} ? $self->_listens : $self->serving_lines > $served);
    });
    return $up && !$self->{exit_known};
}

# One process that runs under something else ({under}, a command) logs no such line.
sub _listens {
    my $self = shift;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port);
}

# Lines that say that a generation of children serves.
sub serving_lines {
    return grep { /resuming normal operations/ } $_[0]->lines('error.log');
}

# True once the parent has ended; its wait status is then in {status}.
sub _gone {
    my $self = shift;
    return 1 unless $self->{pid};
    return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
    @$self{qw(status exit_known pid)} = ($?, 1, 0);
    return 1;
}

# TERM, and KILL if that does not do; the parent's wait status, undef if it was killed.
sub stop {
    my $self = shift;
    if (!$self->{pid}) { # it has ended by itself
        delete $self->{exit_known};
        return $self->{status};
    }
    my @children = $self->children;
    # A child of the event MPM may crash, without any module of ours, when TERM comes while
    # a worker hands a connection back: let them come to rest.
    wait_until(sub { !grep { _busy($_) } @children }, 1);
    kill TERM => $self->{pid};
    my $ended = wait_until(sub { $self->_gone });
    if (!$ended) {
        kill KILL => $self->{pid}, @children;
        wait_until(sub { $self->_gone });
        return;
    }
    return delete $self->{exit_known} ? $self->{status} : undef;
}

# For the end of a test that died: no questions asked.
sub kill_all {
    my $self = shift;
    return unless $self->{pid};
    my @all = ($self->{pid}, $self->children);
    kill KILL => @all;
    waitpid $self->{pid}, 0;
    $self->{pid} = 0;
}

# Kill what still runs and remove the folder.
sub remove {
    my $self = shift;
    $self->kill_all;
    File::Path::remove_tree($self->{dir});
}

# A graceful restart; returns when the new generation serves.
sub graceful {
    my $self = shift;
    my $before = () = $self->serving_lines;
    kill USR1 => $self->{pid};
    wait_until(sub { $self->serving_lines > $before })
        or die "no graceful restart:\n" . $self->said . "\n";
}

# Living processes right below the parent.
sub children {
    my $self = shift;
    return unless $self->{pid};
    my $list;
    my @pids = open($list, '<', "/proc/$self->{pid}/task/$self->{pid}/children")
        ? split(' ', <$list> // '') : map { m{(\d+)$} } glob '/proc/[0-9]*';
    return grep { _alive($_, $self->{pid}) } @pids;
}

# Is there such a process (below that parent)? A zombie is none, once all its threads are
# gone: a dying one may still take a connection.
sub _alive {
    my ($pid, $parent) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    my ($state, $above) = (<$file> // '') =~ /\) (\S) (\d+)/ or return 0;
    return 0 if $parent && $above != $parent;
    return $state !~ /[ZX]/ || (() = glob "/proc/$pid/task/*") > 1;
}

# Is one of its threads running?
sub _busy {
    my $pid = shift;
    for my $stat (glob "/proc/$pid/task/*/stat") {
        open my $file, '<', $stat or next;
        return 1 if (<$file> // '') =~ /\) R /;
    }
    return 0;
}

# Kill children at once and wait until they are gone.
sub kill_children {
    my ($self, $signal, @pids) = @_;
    kill $signal => @pids;
    return wait_until(sub { !grep { _alive($_) } @pids });
}

# --- logs -----------------------------------------------------------------------------

sub lines {
    my ($self, $name) = @_;
    open my $log, '<', "$self->{dir}/$name" or return;
    my @lines = <$log>;
    chomp @lines;
    return @lines;
}

# What it has printed and logged, for a message.
sub said {
    my $self = shift;
    return join "\n", map { $self->lines($_) } qw(stderr error.log);
}

1;
