# SPDX-License-Identifier: Apache-2.0
package DevCache::H2;

# As much of an HTTP/2 client as it takes to be a bad reader: streams whose windows are closed,
# opened by so many bytes, or reset. What comes is counted and kept, headers are not decoded but
# for a status of 200.
#
#   my $c = DevCache::H2->new($t->port, window => 1000);   # of each stream, to begin with
#   my $id = $c->get('/page', 'user-agent' => PC);
#   $c->wait_bytes($id, 1000);      # so much of its body has come
#   $c->open($id, 50_000);          # let so much more come
#   $c->reset($id);
#   $c->wait_end($id); $c->body($id);
#
# The connection as a whole has a window that nothing here fills.

use strict;
use warnings;
use DevCache::Message;
use DevCache::Wait qw(deadline remaining);
use IO::Socket::INET;

use constant { DATA => 0, HEADERS => 1, RST => 3, SETTINGS => 4, PING => 6, GOAWAY => 7,
               WINDOW => 8 };

sub new {
    my ($class, $port, %opt) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp')
        or die "connect to port $port: $@\n";
    my $self = bless { wire => DevCache::Wire->new($socket), port => $port, next => 1,
                       stream => {} }, $class;
    $self->{wire}->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    $self->_send(SETTINGS, 0, 0, pack 'nN', 4, $opt{window} // 65535);
    $self->_send(WINDOW, 0, 0, pack 'N', 0x3fffffff);
    return $self;
}

sub _send {
    my ($self, $type, $flags, $id, $payload) = @_;
    $self->{wire}->send(pack('CnCCN', length($payload) >> 16, length($payload) & 0xffff, $type,
                             $flags, $id) . $payload);
}

# A field, never indexed, with both as they are (RFC 7541, 6.2.3).
sub _field {
    return join '', "\x10", map {
        length $_ < 127 ? chr(length $_) . $_ : "\x7f" . chr(length($_) - 127) . $_ } @_;
}

sub get {
    my ($self, $path, @fields) = @_;
    my $id = $self->{next};
    $self->{next} += 2;
    my @all = (':method' => 'GET', ':scheme' => 'http', ':path' => $path,
               ':authority' => "127.0.0.1:$self->{port}", @fields);
    my $block = '';
    while (my ($name, $value) = splice @all, 0, 2) { $block .= _field($name, $value) }
    $self->{stream}{$id} = { body => '', ended => 0, ok => 0, reset => 0 };
    $self->_send(HEADERS, 5, $id, $block);   # END_STREAM, END_HEADERS
    return $id;
}

sub open  { my ($self, $id, $n) = @_; $self->_send(WINDOW, 0, $id, pack 'N', $n) }
sub reset { my ($self, $id) = @_; $self->_send(RST, 0, $id, pack 'N', 8) }
sub close { $_[0]{wire}->close }

sub body  { return $_[0]{stream}{ $_[1] }{body} }
sub ended { return $_[0]{stream}{ $_[1] }{ended} }   # by END_STREAM: whole
sub was_reset { return $_[0]{stream}{ $_[1] }{reset} }
sub is_200 { return $_[0]{stream}{ $_[1] }{ok} }

# 200, 206, or 599 for any other, which is not decoded; undef before there is one.
sub status_of {
    my ($self, $id) = @_;
    my $stream = $self->{stream}{$id};
    return $stream->{ok} ? 200 : $stream->{part} ? 206 : $stream->{headed} ? 599 : undef;
}

sub wait_bytes {
    my ($self, $id, $n) = @_;
    return $self->_until($id, sub { length $_[0]{body} >= $n });
}
sub wait_end { my ($self, $id) = @_; return $self->_until($id, sub { 0 }) }

# Read until that holds or the stream is over; true if it came to it.
sub _until {
    my ($self, $id, $enough) = @_;
    my $stream = $self->{stream}{$id};
    my $until = deadline();
    my $wire = $self->{wire};
    while (1) {
        1 while $self->_frame;
        return 1 if $enough->($stream) || $stream->{ended};
        return 0 if $stream->{reset} || $self->{gone};
        return 0 if remaining($until) <= 0;
        DevCache::Wait::readable(remaining($until), $wire->{socket}) or next;
        my $got = $wire->fill;
        $self->{gone} = 1 if defined $got && !$got;
    }
}

sub _frame {
    my $self = shift;
    my $in = \$self->{wire}{in};
    return 0 if length $$in < 9;
    my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $$in;
    my $length = ($high << 16) + $low;
    return 0 if length $$in < 9 + $length;
    my $payload = substr $$in, 9, $length;
    substr $$in, 0, 9 + $length, '';
    my $stream = $self->{stream}{$id};
    if    ($type == SETTINGS && !($flags & 1)) { $self->_send(SETTINGS, 1, 0, '') }
    elsif ($type == PING && !($flags & 1))     { $self->_send(PING, 1, 0, $payload) }
    elsif ($type == GOAWAY)                    { $self->{goaway} = 1 }
    elsif ($stream && $type == RST)            { $stream->{reset} = 1 }
    elsif ($stream && ($type == DATA || $type == HEADERS)) {
        substr $payload, length($payload) - unpack('C', substr $payload, 0, 1, ''), 256, ''
            if $flags & 8;
        if ($type == DATA) { $stream->{body} .= $payload }
        else               { $stream->{headed} = 1; $stream->{ok} ||= $payload =~ /\A[\x20-\x3f]*\x88/ ? 1 : 0;
                             $stream->{part} ||= $payload =~ /\A[\x20-\x3f]*\x8a/ ? 1 : 0 }
        $stream->{ended} = 1 if $flags & 1;
    }
    return 1;
}

1;
