# SPDX-License-Identifier: Apache-2.0
package DevCache::Ctl;

# Runs devcachectl.
#
#   my $ls = ctl('ls', '--root' => $t->root);       # ->{out}, ->{err}, ->{exit}
#   my $all = ctl_json('ls', '--root' => $t->root); # decoded; dies if that is no JSON
#   my $seen = ctl_tty('verify', ...);              # on a terminal: ->{out} has both
#   my $other = ctl_as($uid, $gid, 'ls', ...);      # as another user; needs root
#
# The environment's own defaults (DEVCACHE_ROOT, DEVCACHE_STATUS_URL, proxies) do not count.

use strict;
use warnings;
use Exporter 'import';
use File::Spec;
use File::Temp ();
use JSON::PP ();
use POSIX ();

our @EXPORT = qw(ctl ctl_json ctl_tty ctl_as ctl_start ctl_path);

my $build = $ENV{DEVCACHE_BUILD} || 'build';
my $path = File::Spec->rel2abs("$build/devcachectl");

sub ctl_path { return $path }

sub _exec {
    my ($program, @args) = @_;
    delete @ENV{qw(DEVCACHE_ROOT DEVCACHE_STATUS_URL)};
    $ENV{http_proxy} = $ENV{all_proxy} = 'http://127.0.0.1:9';   # nobody is there
    exec {$program} $program, @args or POSIX::_exit(127);
}

# Start it with its output in files; ctl_start(...)->() waits and returns what came.
sub _start {
    my ($before, @args) = @_;
    my ($out, $err) = (File::Temp->new, File::Temp->new);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        alarm 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $out or POSIX::_exit(126);
        open STDERR, '>&', $err or POSIX::_exit(126);
        $before->();
        _exec(@args);
    }
    return sub {
        waitpid $pid, 0;
        my $status = $?;
        my @text = map { seek $_, 0, 0; local $/; scalar readline $_ } $out, $err;
        return { out => $text[0] // '', err => $text[1] // '', pid => $pid,
                 exit => $status & 127 ? "signal $status" : $status >> 8 };
    };
}

sub ctl_start { my @args = @_; return _start(sub { }, $path, @args) }
sub ctl { return ctl_start(@_)->() }

sub ctl_json {
    my $ran = ctl(@_, '--json');
    my $data = eval { JSON::PP->new->utf8->allow_nonref->decode($ran->{out}) };
    die "devcachectl @_: no JSON ($ran->{exit}): $ran->{out}$ran->{err}\n"
        unless defined $data;
    return $data;
}

sub ctl_tty {
    my $command = join ' ', map { "'" . s/'/'\\''/gr . "'" } $path, @_;
    return _start(sub { $ENV{TERM} = 'xterm' }, '/usr/bin/script', '-qec', $command,
                  '/dev/null')->();
}

# As somebody else, if he can get at the program at all.
sub ctl_as {
    my ($uid, $gid, @args) = @_;
    return _start(sub {
        chdir '/';
        POSIX::setgid($gid) && POSIX::setuid($uid) or POSIX::_exit(125);
    }, $path, @args)->();
}

1;
