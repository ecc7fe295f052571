# SPDX-License-Identifier: Apache-2.0
package DevCache::Origin;

# The origin that a test plays itself: accept() returns the next request that the server
# sends, the test answers it piece by piece. Connections that the server keeps open are
# watched for their next request.

use strict;
use warnings;
use DevCache::Message;
use DevCache::Wait qw(deadline remaining);
use IO::Socket::INET;

sub new {
    my $class = shift;
    my $self = bless { idle => [], open => {} }, $class;
    $self->up;
    return $self;
}

# Listen (again on the same port, after down()).
sub up {
    my $self = shift;
    $self->{listen} = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $self->{port} || 0, Proto => 'tcp',
        Listen => 256, ReuseAddr => 1) or die "origin: listen: $@\n";
    $self->{port} = $self->{listen}->sockport;
}

# Be dead: refuse connections, close the idle ones.
sub down {
    my $self = shift;
    $_->close for splice @{ $self->{idle} };
    CORE::close(delete $self->{listen});
}

sub port { return $_[0]{port} }

# The next request, whole; dies if none comes in time.
sub accept {
    my ($self, $seconds) = @_;
    my $until = deadline($seconds);
    while ((my $left = remaining($until)) > 0) {
        my $wire = $self->_ready($left) or next;
        my $request = DevCache::Message->new('request');
        $wire->feed($request, 'request at the origin');
        if ($request->{complete}) {
            return $self->{open}{$wire} = DevCache::Fetch->new($self, $wire, $request);
        }
        $wire->close;   # an idle connection that the server has let go
    }
    die "no request came to the origin in time\n";
}

# A connection that has something to read, new or kept; it is taken off the idle ones.
sub _ready {
    my ($self, $seconds) = @_;
    my $idle = $self->{idle};
    my $listen = $self->{listen};
    my ($wire) = grep { length $_->{in} } @$idle;
    if (!$wire) {
        my ($ready) = DevCache::Wait::readable($seconds, grep({ defined } $listen),
                                               map { $_->{socket} } @$idle) or return;
        if ($listen && $ready == $listen) {
            my $socket = $listen->accept or return;
            push @$idle, DevCache::Wire->new($socket);
            return;
        }
        ($wire) = grep { $_->{socket} == $ready } @$idle;
    }
    @$idle = grep { $_ != $wire } @$idle;
    return $wire;
}

# True if no request comes for so many seconds.
sub quiet {
    my ($self, $seconds) = @_;
    return !defined $self->_next_unread($seconds);
}

# The start line of a request that nobody has accepted yet. It stays readable.
sub _next_unread {
    my ($self, $seconds) = @_;
    my $until = deadline($seconds);
    while (1) {
        my $left = remaining($until);
        my $wire = $self->_ready($left > 0 ? $left : 0);
        if ($wire && (length $wire->{in} || $wire->fill)) {
            unshift @{ $self->{idle} }, $wire;
            return $wire->{in} =~ /\A([^\r\n]*)/ ? $1 : '';
        }
        $wire->close if $wire;
        return if $left <= 0 && !$wire;
    }
}

# What a test has left undone here: sentences, none if all is well.
sub unfinished {
    my $self = shift;
    my @left = map { "origin: not answered to the end: $_->{start}" }
        values %{ $self->{open} };
    my $unread = $self->_next_unread(0);
    push @left, "origin: never accepted: $unread" if defined $unread;
    return @left;
}

sub close_all {
    my $self = shift;
    $_->{wire}->close for values %{ $self->{open} };
    $self->{open} = {};
    $_->close for splice @{ $self->{idle} };
    CORE::close(delete $self->{listen}) if $self->{listen};
}

# The file with the seconds that a test's clock is ahead, or at which it stands still: an origin whose Date were not so
# too would seem to send old answers. Set by DevCache::Test.
our $clock_file;

sub now {
    open my $file, '<', $clock_file // return time or return time;
    my $said = readline($file) // 0;
    return $said =~ /^=(\d+)/ ? $1 : time + $said;
}

# "Name: value" lines from a hash or a list of pairs, with a Date unless one is given.
sub header_lines {
    my $headers = shift || {};
    my @flat = ref $headers eq 'HASH' ? map { $_ => $headers->{$_} } sort keys %$headers
                                      : @$headers;
    my (@lines, $dated);
    while (my ($name, $value) = splice @flat, 0, 2) {
        $dated ||= lc $name eq 'date';
        push @lines, map { "$name: $_" } ref $value ? @$value : grep { defined } $value;
    }
    unshift @lines, 'Date: ' . http_date(now()) unless $dated;
    return @lines;
}

# IMF-fixdate (RFC 9110, 5.6.7), whatever the locale.
sub http_date {
    my @t = gmtime shift;
    my $day = (qw(Sun Mon Tue Wed Thu Fri Sat))[$t[6]];
    my $month = (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$t[4]];
    return sprintf '%s, %02d %s %d %02d:%02d:%02d GMT', $day, $t[3], $month, $t[5] + 1900,
        @t[2, 1, 0];
}

sub head_text {
    my ($status, @lines) = @_;
    my $reason = { 200 => 'OK', 304 => 'Not Modified', 404 => 'Not Found' }->{$status};
    return join "\r\n", "HTTP/1.1 $status " . ($reason // 'Status'), @lines, '', '';
}

# A whole answer with the right framing for the request's method and the status.
sub reply_text {
    my ($request, $status, $headers, $body) = @_;
    $body //= '';
    my @lines = header_lines($headers);
    my $bodyless = $request->{method} eq 'HEAD' || $status =~ /^(?:1..|204|304)$/;
    if (grep { /^Transfer-Encoding:.*chunked/i } @lines) {
        my @parts = ref $body ? @$body : $body;
        $body = join '', (map { chunk_text($_) } grep { length } @parts), "0\r\n\r\n";
    }
    else {
        $body = join '', @$body if ref $body;
        push @lines, 'Content-Length: ' . length $body
            unless $status =~ /^(?:1..|204|304)$/ || grep { /^Content-Length:/i } @lines;
    }
    return head_text($status, @lines) . ($bodyless ? '' : $body);
}

sub chunk_text { return sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

package DevCache::Fetch;

# One request at the origin, and the answer to it. {method}, {target}, {headers}, {body}.
our @ISA = ('DevCache::Message');

sub new {
    my ($class, $origin, $wire, $request) = @_;
    return bless { %$request, origin => $origin, wire => $wire }, $class;
}

# The whole answer: reply(200, { 'Cache-Control' => 'max-age=60' }, 'body'). A list ref of
# pairs keeps the order and repeats; 'Transfer-Encoding' => 'chunked' with a list ref as
# the body sends one chunk for each piece.
sub reply {
    my ($self, $status, $headers, $body) = @_;
    $self->{wire}->send(DevCache::Origin::reply_text($self, $status, $headers, $body));
    $self->end;
}

# In pieces: head, then send or chunk as often as needed, then last_chunk/end or close.
sub head {
    my ($self, $status, $headers) = @_;
    my @lines = DevCache::Origin::header_lines($headers);
    $self->{wire}->send(DevCache::Origin::head_text($status, @lines));
}
sub send       { $_[0]{wire}->send($_[1]) }
sub chunk      { $_[0]{wire}->send(DevCache::Origin::chunk_text($_[1])) }
sub last_chunk { $_[0]->send("0\r\n\r\n"); $_[0]->end }

# The answer is complete: the connection waits for its next request.
sub end {
    my $self = shift;
    $self->_over;
    return $self->{wire}->close if ($self->header('Connection') // '') =~ /\bclose\b/i;
    push @{ $self->{origin}{idle} }, $self->{wire};
}

# End the connection here, whatever has been sent: cleanly, or by a TCP reset.
sub close { $_[0]->_over->close }
sub reset { $_[0]->_over->reset }
sub _over { delete $_[0]{origin}{open}{ $_[0]{wire} }; return $_[0]{wire} }

# True if the server has closed its side, or does so in time.
sub gone {
    my ($self, $seconds) = @_;
    return 0 unless $self->{wire}->readable($seconds // DevCache::Wait::patience());
    my $got = $self->{wire}->fill;
    return defined $got && $got == 0;
}

1;
