# SPDX-License-Identifier: Apache-2.0
package DevCache::AutoOrigin;

# An origin that answers by itself, from a forked process, for loads. The handler gets the
# request (a DevCache::Message) and returns
#
#   ($status, \%headers or [pairs], $body or [pieces], %how)
#
#   how: hold => name    answer only after release(name)
#        delay => secs   answer after so many seconds
#        cut => n        send only so many bytes of the answer, then close
#
# Each request is written to a file before it is answered, so that a test which has the
# answer can count on the count.

use strict;
use warnings;
use DevCache::Message;
use DevCache::Origin;
use DevCache::Wait qw(deadline remaining);
use IO::Handle;
use Errno qw(EAGAIN EINTR);
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

sub new {
    my ($class, $origin, $file, $handler) = @_;
    my $self = bless { file => $file }, $class;
    socketpair $self->{control}, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";
    $self->{control}->autoflush(1);
    open my $log, '>>', $file or die "$file: $!\n";
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        close $self->{control};
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT);
        eval { _serve($origin->{listen}, $other, $log, $handler); 1 }
            or print STDERR "# automatic origin: $@";
        POSIX::_exit(1);
    }
    return $self;
}

# Let the answers go that are held, or will be, under this name.
sub release { my ($self, $name) = @_; print { $self->{control} } "$name\n" }

# Requests so far: [method, target, { lower-case header => value }], in order of arrival.
sub requests {
    my $self = shift;
    open my $log, '<', $self->{file} or die "$self->{file}: $!\n";
    return map {
        chomp;
        my ($method, $target, @headers) = split /\t/;
        [$method, $target, { map { split /: /, $_, 2 } @headers }];
    } <$log>;
}

# How many requests came, for a target or in all.
sub fetches {
    my ($self, $target) = @_;
    return scalar grep { !defined $target || $_->[1] eq $target } $self->requests;
}

sub stop {
    my $self = shift;
    my $pid = delete $self->{pid} or return;
    kill KILL => $pid;
    waitpid $pid, 0;
}

# --- in the forked process ----------------------------------------------------------------

# One select loop. {wire}: connections by descriptor; {held}, {timed}: answers that wait.
sub _serve {
    my ($listen, $control, $log, $handler) = @_;
    my $self = bless { log => $log, handler => $handler, wire => {}, released => {},
                       held => [], timed => [] }, __PACKAGE__;
    $listen->blocking(0);
    while (1) {
        my ($in, $out) = ('', '');
        vec($in, fileno $_, 1) = 1 for $listen, $control;
        for my $wire (values %{ $self->{wire} }) {
            vec($in, $wire->{fd}, 1) = 1;
            vec($out, $wire->{fd}, 1) = 1 if length $wire->{out};
        }
        my $n = select $in, $out, undef, $self->_next_due;
        $self->_answer_due;
        next if $n <= 0;
        $self->_release(scalar <$control>) if vec $in, fileno $control, 1;
        $self->_take_new($listen) if vec $in, fileno $listen, 1;
        for my $wire (my @now = values %{ $self->{wire} }) {
            next if vec($out, $wire->{fd}, 1) && !$self->_flush($wire);
            $self->_read($wire) if vec $in, $wire->{fd}, 1;
        }
    }
}

sub _next_due {
    my $timed = $_[0]{timed};
    return unless @$timed;
    my $wait = remaining($timed->[0]{at});
    return $wait > 0 ? $wait : 0;
}

sub _answer_due {
    my $self = shift;
    while (@{ $self->{timed} } && remaining($self->{timed}[0]{at}) <= 0) {
        $self->_answer(@{ shift(@{ $self->{timed} })->{answer} });
    }
}

sub _release {
    my ($self, $name) = @_;
    defined $name or POSIX::_exit(0);   # the test is gone
    chomp $name;
    $self->{released}{$name} = 1;
    my @now = grep { $_->{hold} eq $name } @{ $self->{held} };
    $self->{held} = [grep { $_->{hold} ne $name } @{ $self->{held} }];
    $self->_answer(@{ $_->{answer} }) for @now;
}

sub _take_new {
    my ($self, $listen) = @_;
    while (my $socket = $listen->accept) {
        my $wire = DevCache::Wire->new($socket);
        @$wire{qw(fd out message)}
            = (fileno $socket, '', DevCache::Message->new('request'));
        $self->{wire}{ $wire->{fd} } = $wire;
    }
}

sub _read {
    my ($self, $wire) = @_;
    my $got = $wire->fill;
    return $self->_drop($wire) if defined $got && !$got;
    my $request = $wire->{message};
    $request->parse(\$wire->{in});
    return unless $request->done;
    $wire->{message} = DevCache::Message->new('request');
    $self->_note($request);
    my ($status, $headers, $body, %how) = $self->{handler}->($request);
    my $text = DevCache::Origin::reply_text($request, $status, $headers, $body);
    $wire->{last} = 1 if ($request->header('Connection') // '') =~ /\bclose\b/i;
    my @answer = ($wire, $text, $how{cut});
    if (defined $how{hold} && !$self->{released}{ $how{hold} }) {
        push @{ $self->{held} }, { hold => $how{hold}, answer => \@answer };
    }
    elsif ($how{delay}) {
        my @timed = (@{ $self->{timed} }, { at => deadline($how{delay}), answer => \@answer });
        $self->{timed} = [sort { $a->{at} <=> $b->{at} } @timed];
    }
    else { $self->_answer(@answer) }
}

sub _answer {
    my ($self, $wire, $text, $cut) = @_;
    $wire->{out} .= defined $cut ? substr $text, 0, $cut : $text;
    $wire->{last} = 1 if defined $cut;
    $self->_flush($wire);
}

# Write what the peer takes now; false when the connection is over.
sub _flush {
    my ($self, $wire) = @_;
    return 0 unless $wire->{socket};
    while (length $wire->{out}) {
        my $put = syswrite $wire->{socket}, $wire->{out};
        if (!defined $put) {
            return 1 if $! == EAGAIN || $! == EINTR;
            return $self->_drop($wire);
        }
        substr $wire->{out}, 0, $put, '';
    }
    return $wire->{last} ? $self->_drop($wire) : 1;
}

sub _drop {
    my ($self, $wire) = @_;
    delete $self->{wire}{ $wire->{fd} };
    $wire->close;
    return 0;
}

sub _note {
    my ($self, $request) = @_;
    my $headers = $request->{headers};
    my @fields = ($request->{method}, $request->{target},
                  map { "$_: $headers->{$_}" } sort keys %$headers);
    tr/\t\n/  / for @fields;
    syswrite $self->{log}, join("\t", @fields) . "\n";
}

1;
