# SPDX-License-Identifier: Apache-2.0
package DevCache::Service;

# A program that a test starts beside httpd and ends again: php-fpm, uWSGI, a database, node.
#
#   my $fpm = DevCache::Service->start(
#       command => ['php-fpm8.2', '-F', '-y', $conf],
#       dir     => $dir,                 # its output goes to $dir/NAME.out
#       name    => 'php-fpm',
#       user    => 'www-data',           # by root only; default: who runs the test
#       env     => { HOME => $dir },
#       ready   => sub { -S $socket },   # polled until true
#   );
#   $fpm->pid; $fpm->said; $fpm->stop;
#
# DevCache::Service::find(@names) is the first of these programs that the system, or what
# tools/packages.sh has unpacked below build/peers, has; undef: none.

use strict;
use warnings;
use DevCache::Wait qw(wait_until);
use IO::Socket::INET;
use POSIX ();

sub find {
    for my $name (@_) {
        for my $dir (qw(/usr/sbin /usr/bin /usr/local/bin build/peers/usr/sbin
                        build/peers/usr/bin)) {
            my ($found) = glob "$dir/$name";
            return POSIX::getcwd() . "/$found" if $found && -x $found && $found !~ m{^/};
            return $found if $found && -x $found;
        }
    }
    return;
}

sub start {
    my ($class, %opt) = @_;
    my $self = bless { out => "$opt{dir}/$opt{name}.out", owner => $$, name => $opt{name} },
        $class;
    $self->{pid} = fork // die "fork: $!\n";
    $self->_become(%opt) if !$self->{pid};
    wait_until(sub { $self->_gone || $opt{ready}->() }, $opt{patience}) && $self->{pid}
        or die "$opt{name} does not start:\n" . $self->said . "\n";
    return $self;
}

# In the forked process: a group of its own, so that its helpers end with it.
sub _become {
    my ($self, %opt) = @_;
    $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP PIPE);
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $self->{out};
    open STDERR, '>&', \*STDOUT;
    POSIX::setpgid(0, 0);
    if ($opt{user} && !$>) {
        my ($uid, $gid) = (getpwnam $opt{user})[2, 3];
        ($(, $)) = ($gid, "$gid $gid");
        ($<, $>) = ($uid, $uid);
    }
    @ENV{ keys %{ $opt{env} } } = values %{ $opt{env} } if $opt{env};
    chdir($opt{cwd} // '/');
    no warnings 'exec';
    exec { $opt{command}[0] } @{ $opt{command} } or POSIX::_exit(127);
}

# Does somebody listen there?
sub listens {
    my $port = shift;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) ? 1 : 0;
}

sub _gone {
    my $self = shift;
    return 1 unless $self->{pid};
    return 0 unless waitpid $self->{pid}, POSIX::WNOHANG();
    delete $self->{pid};
    return 1;
}

sub pid { return $_[0]{pid} }

sub said {
    my $self = shift;
    open my $file, '<', $self->{out} or return '';
    local $/;
    return <$file> // '';
}

# TERM (or another signal), and KILL for the whole group if that does not do.
sub stop {
    my ($self, $signal) = @_;
    my $pid = $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    wait_until(sub { $self->_gone }, 10);
    kill KILL => -$pid;
    waitpid $pid, 0 if delete $self->{pid};
}

sub DESTROY {
    my $self = shift;
    local $?;
    $self->stop if $self->{owner} == $$;
}

1;
