# SPDX-License-Identifier: Apache-2.0
package DevCache::Message;

# One HTTP/1.x message, parsed as its bytes come: parse() takes what it can use from the
# front of a buffer, eof() says that no more will come. Both ends of the tests use it, the
# client for responses and the origin for requests.
#
#   state     head, length, size, data, trailer, rest, done
#   start     the start line; from it method + target, or status + reason
#   list      [[name, value], ...] as received; headers: lower-case name -> values joined
#   body      what has come so far, without the chunked coding
#   complete  true once the whole message came, by its own framing
#   interim   1xx messages that came before (responses)

use strict;
use warnings;
use DevCache::Wait;

sub new {
    my ($class, $kind, $to_method) = @_;
    return bless { kind => $kind, to_method => $to_method // '', state => 'head',
                   body => '', complete => 0, interim => [], list => [], headers => {} },
        $class;
}

sub header { return $_[0]{headers}{ lc $_[1] } }
sub done   { return $_[0]{state} eq 'done' }

my %step = (head => \&_head, length => \&_length, size => \&_size, data => \&_data,
            trailer => \&_trailer, rest => \&_rest);

sub parse {
    my ($self, $in) = @_;
    while (!$self->done) {
        $step{ $self->{state} }->($self, $in) or return;
    }
}

sub eof {
    my ($self, $why) = @_;
    return if $self->done;
    $self->{complete} = $self->{state} eq 'rest' && !$why;
    $self->{error} = $why || "closed at '$self->{state}'" unless $self->{complete};
    $self->{state} = 'done';
}

sub _finish { $_[0]{complete} = 1; $_[0]{state} = 'done'; return 1 }

sub _head {
    my ($self, $in) = @_;
    $$in =~ s/\A((?:[^\r\n]+\r?\n)+)\r?\n// or return 0;
    my ($start, @lines) = split /\r?\n/, $1;
    $self->{start} = $start;
    $self->{list} = [map { [/^([^:]*):[ \t]*(.*?)[ \t]*$/] } @lines];
    push @{ $self->{by_name}{ lc $_->[0] } }, $_->[1] for @{ $self->{list} };
    my $by_name = delete $self->{by_name} || {};
    $self->{headers} = { map { $_ => join ', ', @{ $by_name->{$_} } } keys %$by_name };
    if ($self->{kind} eq 'request') {
        @$self{qw(method target version)} = split / /, $start;
    }
    else {
        @$self{qw(version status reason)} = split / /, $start, 3;
        if ($self->{status} =~ /^1/ && $self->{status} != 101) {
            push @{ $self->{interim} }, { %$self{qw(status headers)} };
            return 1;
        }
    }
    return $self->_framing;
}

sub _framing {
    my $self = shift;
    my $response = $self->{kind} eq 'response';
    return $self->_finish if $response
        && ($self->{to_method} eq 'HEAD' || $self->{status} =~ /^(?:204|304)$/);
    if (($self->header('Transfer-Encoding') // '') =~ /chunked\s*$/i) {
        $self->{state} = 'size';
    }
    elsif (defined(my $length = $self->header('Content-Length'))) {
        @$self{qw(state left)} = ('length', $length);
    }
    elsif ($response) { $self->{state} = 'rest' }
    else              { return $self->_finish }
    return 1;
}

sub _take {
    my ($self, $in) = @_;
    my $part = substr $$in, 0, $self->{left}, '';
    $self->{body} .= $part;
    $self->{left} -= length $part;
    return !$self->{left};
}

sub _length { my ($self, $in) = @_; return $self->_take($in) && $self->_finish }
sub _rest   { my ($self, $in) = @_; $self->{body} .= $$in; $$in = ''; return 0 }

sub _size {
    my ($self, $in) = @_;
    $$in =~ s/\A([0-9a-fA-F]+)[^\n]*\n// or return 0;
    $self->{left} = hex $1;
    $self->{state} = $self->{left} ? 'data' : 'trailer';
    return 1;
}

sub _data {
    my ($self, $in) = @_;
    $self->_take($in) or return 0;
    $$in =~ s/\A\r?\n// or return 0;
    $self->{state} = 'size';
    return 1;
}

sub _trailer {
    my ($self, $in) = @_;
    $$in =~ s/\A([^\n]*)\n// or return 0;
    return $1 =~ /\A\r?\z/ ? $self->_finish : 1;
}

# --- a buffered, non-blocking connection that such messages come from -------------------

package DevCache::Wire;

use Errno qw(EAGAIN EINTR);
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

sub new {
    my ($class, $socket) = @_;
    $socket->blocking(0);
    $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    return bless { socket => $socket, in => '' }, $class;
}

# True if reading would not wait: bytes, an end or an error are there.
sub readable {
    my ($self, $seconds) = @_;
    return 1 if length $self->{in};
    return DevCache::Wait::readable($seconds, $self->{socket});
}

# One read into the buffer: the bytes got, 0 at the end of the stream, undef if there is
# nothing now. A reset counts as an end and is noted.
sub fill {
    my $self = shift;
    my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    return $got if defined $got;
    return if $! == EAGAIN || $! == EINTR;
    $self->{error} = "$!";
    return 0;
}

# Feed the message until $enough->() or its end; dies after $seconds.
sub feed {
    my ($self, $message, $what, $enough, $seconds) = @_;
    my $until = DevCache::Wait::deadline($seconds);
    while (1) {
        $message->parse(\$self->{in});
        return if $message->done || ($enough && $enough->());
        my $left = DevCache::Wait::remaining($until);
        die "$what: nothing more came in time, at '$message->{state}'\n" if $left <= 0;
        DevCache::Wait::readable($left, $self->{socket}) or next;
        my $got = $self->fill;
        $message->eof($self->{error}) if defined $got && !$got;
    }
}

# Write all of it; dies if the peer is gone or takes nothing for the usual time.
sub send {
    my ($self, $bytes) = @_;
    my $until = DevCache::Wait::deadline();
    my $at = 0;
    while ($at < length $bytes) {
        my $put = syswrite $self->{socket}, $bytes, length($bytes) - $at, $at;
        if (defined $put) { $at += $put; next }
        die "write: $!\n" unless $! == EAGAIN || $! == EINTR;
        my $left = DevCache::Wait::remaining($until);
        die "write: the peer takes nothing\n" if $left <= 0;
        DevCache::Wait::writable($left, $self->{socket});
    }
}

sub close { my $socket = delete $_[0]{socket}; CORE::close($socket) if $socket }

# End with a TCP reset instead of a FIN.
sub reset {
    my $self = shift;
    $self->{socket}->setsockopt(SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0);
    $self->close;
}

1;
