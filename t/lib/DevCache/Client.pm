# SPDX-License-Identifier: Apache-2.0
package DevCache::Client;

# A raw HTTP/1.1 client connection. Requests are sent at once and answers read when asked
# for, so that a test can have several under way and pipeline them.
#
#   my $c = DevCache::Client->new($port);                 # or ($port, '127.0.0.2')
#   my $x = $c->send_req('/a', 'User-Agent' => 'x');     # sent, not read
#   my $y = $c->send_req('/b', ':method' => 'POST', ':body' => 'q');
#   $x->response->{status};                              # a DevCache::Message
#   $c->get('/c')->{body};                               # sent and read; also head, post

use strict;
use warnings;
use DevCache::Message;
use Exporter 'import';
use IO::Socket::INET;

our @EXPORT_OK = qw(PC TABLET PHONE BOT);

# Who visits.
use constant {
    PC => 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) '
        . 'Chrome/126.0.0.0 Safari/537.36',
    TABLET => 'Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 '
        . '(KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1',
    PHONE => 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 '
        . '(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1',
    BOT => 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
};

sub new {
    my ($class, $port, $address) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $address // '127.0.0.1', PeerPort => $port,
                                       Proto => 'tcp', Timeout => 10)
        or die "connect to port $port: $@\n";
    return bless { wire => DevCache::Wire->new($socket), port => $port, waiting => [] },
        $class;
}

# The bytes of a request. Names that begin with a colon are about the request itself:
# :method, :body, :version (1.1). A header value of undef leaves the header out.
sub request_text {
    my ($port, $path, @headers) = @_;
    my (%about, @lines, %given);
    while (my ($name, $value) = splice @headers, 0, 2) {
        if ($name =~ /^:/) { $about{$name} = $value; next }
        $given{ lc $name } = 1;
        push @lines, "$name: $value" if defined $value;
    }
    my $method = $about{':method'} // 'GET';
    my $body = $about{':body'};
    unshift @lines, "Host: 127.0.0.1:$port" unless $given{host};
    push @lines, 'Content-Length: ' . length $body
        if defined $body && !$given{'content-length'} && !$given{'transfer-encoding'};
    my $version = $about{':version'} // '1.1';
    return ($method, join("\r\n", "$method $path HTTP/$version", @lines, '', '')
                . ($body // ''));
}

sub send_req {
    my ($self, $path, @headers) = @_;
    my ($method, $text) = request_text($self->{port}, $path, @headers);
    $self->{wire}->send($text);
    return $self->expect($method);
}

sub get  { my $self = shift; return $self->send_req(@_)->response }
sub head { my $self = shift; return $self->send_req(@_, ':method' => 'HEAD')->response }
sub post {
    my ($self, $path, $body, @headers) = @_;
    return $self->send_req($path, @headers, ':method' => 'POST', ':body' => $body)->response;
}

# Raw bytes as they are; expect() then makes the object that reads the answer.
sub send_raw { $_[0]{wire}->send($_[1]) }

sub expect {
    my ($self, $method) = @_;
    my $exchange = bless { client => $self,
                           message => DevCache::Message->new(response => $method) },
        'DevCache::Exchange';
    push @{ $self->{waiting} }, $exchange;
    return $exchange;
}

# True if the server has closed or closes within $seconds, with nothing left to read.
sub closed {
    my ($self, $seconds) = @_;
    return 0 unless $self->{wire}->readable($seconds // DevCache::Wait::patience());
    my $got = $self->{wire}->fill;
    return defined $got && $got == 0;
}

sub close { $_[0]{wire}->close }
sub reset { $_[0]{wire}->reset }

package DevCache::Exchange;

# Read on until $enough->() holds. Answers come in order: earlier ones are read first.
sub _read {
    my ($self, $enough) = @_;
    my $waiting = $self->{client}{waiting};
    while (!$self->{message}->done) {
        my $next = $waiting->[0];
        $self->{client}{wire}->feed($next->{message}, 'response',
                                    $next == $self ? $enough : undef);
        shift @$waiting if $next->{message}->done;
        last if $next == $self;
    }
    return $self->{message};
}

# The whole answer; {complete} is false if the connection ended before it.
sub response { return $_[0]->_read }

# As soon as the header is there.
sub head {
    my $self = shift;
    return $self->_read(sub { $self->{message}{state} ne 'head' });
}

# As soon as $n bytes of the body are there (or the answer has ended).
sub body_of {
    my ($self, $n) = @_;
    return $self->_read(sub { length $self->{message}{body} >= $n })->{body};
}

# True if some of the answer has come, or comes within $seconds.
sub begun {
    my ($self, $seconds) = @_;
    return $self->{client}{wire}->readable($seconds // 0);
}

sub client { return $_[0]{client} }

1;
