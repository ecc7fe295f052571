# SPDX-License-Identifier: Apache-2.0
package DevCache::Load;

# Many clients at once, from forked processes. Each has a few connections, each of which
# has one request under way at any time, on a connection that is kept open. Every answer
# is checked.
#
#   my $load = DevCache::Load->start($t->port,
#       next => sub { return ('/page', 'User-Agent' => PC) },   # () ends this process
#       check => sub { my ($request, $response) = @_; return $why_it_is_wrong });
#   $load->wait_answers(500);       # until so many more have come
#   my $sum = $load->stop;          # { answers, again, broken, wrong => [sentences] }
#
# Options: processes (2), connections of each (8), seed of rand().
#
#   answers  complete ones
#   again    the server closed a kept connection before any of the answer: asked again on
#            another, as browsers do (RFC 9112, section 9.3.1)
#   broken   an answer that broke off, or none on a fresh connection. check() is given what
#            there is, with {complete} false
#   wrong    what check() has said, and answers that did not come in time
#
# $request is [path, headers ...].
#
# And a site to be loaded: /anything/SIZE has a page for each device class, of that size;
# with an odd number before the size it comes chunked.
#
#   $t->origin_auto(\&site_answer);
#   site_request($path, $class)             what to send for it
#   site_wrong($request, $response)         undef if that is the right answer, or if it is
#                                           incomplete, the right beginning

use strict;
use warnings;
use DevCache::Client qw(PC TABLET PHONE);
use DevCache::Message;
use DevCache::Wait qw(deadline remaining patience);
use Errno qw(EAGAIN EINTR);
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();

our @EXPORT_OK = qw(body_of site_answer site_request site_wrong);

# So many bytes that tell by themselves what they belong to, and at which place.
sub body_of {
    my ($name, $size) = @_;
    my $line = substr(sprintf('%%08d %s ', $name) . '.' x 250, 0, 250) . "\n";
    return substr join('', map { sprintf $line, $_ } 0 .. $size / 250), 0, $size;
}

my %agent = (pc => PC, tablet => TABLET, mobile => PHONE);
my %class = reverse %agent;

sub site_request {
    my ($path, $class) = @_;
    return ($path, 'User-Agent' => $agent{$class});
}

sub _page {
    my ($path, $class) = @_;
    return body_of("$class $path", $path =~ m{/(\d+)$});
}

sub site_answer {
    my $request = shift;
    my $body = _page($request->{target}, $request->header('X-Device-Type'));
    my @chunked = $request->{target} =~ m{[13579]/\d+$} ? ('Transfer-Encoding' => 'chunked') : ();
    return (200, { 'Cache-Control' => 'max-age=600', @chunked },
            @chunked ? [$body =~ /.{1,50000}/gs] : $body);
}

sub site_wrong {
    my ($request, $response) = @_;
    my ($path, undef, $agent) = @$request;
    return unless defined $response->{status};
    return "status $response->{status}" if $response->{status} != 200;
    my $page = _page($path, $class{$agent});
    my $length = length $response->{body};
    return "$length bytes of " . length $page
        if $response->{complete} && $length != length $page;
    return $response->{body} eq substr($page, 0, $length) ? undef : 'another body';
}

sub start {
    my ($class, $port, %opt) = @_;
    my $self = bless { workers => [] }, $class;
    for my $n (1 .. $opt{processes} // 2) {
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            close $in;
            srand(($opt{seed} // 1) * 1000 + $n);
            my $done = eval { _work($port, $out, %opt); 1 };
            print STDERR "# load: $@" unless $done;
            POSIX::_exit($done ? 0 : 1);
        }
        $in->blocking(0);
        push @{ $self->{workers} }, { pid => $pid, in => $in, said => '' };
    }
    return $self;
}

# Read what the workers say; true once all of them have ended.
sub _listen {
    my ($self, $seconds) = @_;
    my @open = grep { $_->{in} } @{ $self->{workers} } or return 1;
    my $bits = '';
    vec($bits, fileno $_->{in}, 1) = 1 for @open;
    return 0 if select($bits, undef, undef, $seconds) <= 0;
    for my $worker (@open) {
        my $got = sysread $worker->{in}, $worker->{said}, 65536, length $worker->{said};
        close delete $worker->{in} if defined $got && !$got;
    }
    return !grep { $_->{in} } @open;
}

# A worker says a dot for each answer, and what it has counted when it ends.
sub answers {
    my $self = shift;
    my $sum = 0;
    $sum += length +($_->{said} =~ /\A(\.*)/)[0] for @{ $self->{workers} };
    return $sum;
}

# Wait until $n more answers have come than at the last call.
sub wait_answers {
    my ($self, $n) = @_;
    my $until = deadline(2 * patience());
    $self->{seen} = ($self->{seen} // 0) + $n;
    while ($self->answers < $self->{seen}) {
        die "load: $n more answers did not come in time\n"
            if remaining($until) <= 0 || $self->_listen(0.05);
    }
}

# Let the workers end by themselves (as next() tells them), or have them end now.
sub result {
    my $self = shift;
    my $until = deadline(6 * patience());
    1 until $self->_listen(0.05) || remaining($until) <= 0;
    return $self->_sum;
}

sub stop {
    my $self = shift;
    kill TERM => map { $_->{pid} } @{ $self->{workers} };
    return $self->result;
}

sub _sum {
    my $self = shift;
    my %sum = (answers => $self->answers, again => 0, broken => 0, wrong => []);
    for my $worker (@{ $self->{workers} }) {
        kill KILL => $worker->{pid} if $worker->{in};
        waitpid $worker->{pid}, 0;
        push @{ $sum{wrong} }, 'a worker did not end as it should' if $?;
        my ($again, $broken, @wrong) = split /\n/, $worker->{said} =~ s/\A\.*\n//r;
        $sum{again} += $again || 0;
        $sum{broken} += $broken || 0;
        push @{ $sum{wrong} }, @wrong;
    }
    return \%sum;
}

# --- in the forked process --------------------------------------------------------------

sub _work {
    my ($port, $out, %opt) = @_;
    my $self = bless { %opt, port => $port, say => $out, busy => {}, again => 0,
                       broken => 0, wrong => [] }, __PACKAGE__;
    $SIG{$_} = 'DEFAULT' for qw(ALRM INT HUP);
    $SIG{TERM} = sub { $self->{ending} = 1 };
    alarm 300;
    $self->_begin for 1 .. $opt{connections} // 8;
    $self->_turn while %{ $self->{busy} };
    my @wrong = @{ $self->{wrong} };
    tr/\n/ / for @wrong;
    $#wrong = 9 if @wrong > 10;
    print {$out} join "\n", '', @$self{qw(again broken)}, @wrong, '';
    close $out;
}

# One look at all connections.
sub _turn {
    my $self = shift;
    my ($in, $write) = ('', '');
    for my $c (values %{ $self->{busy} }) {
        vec($in, $c->{fd}, 1) = 1;
        vec($write, $c->{fd}, 1) = 1 if length $c->{unsent};
    }
    my $n = select $in, $write, undef, 1;
    for my $c (values %{ $self->{busy} }) {
        if ($n > 0 && (vec($in, $c->{fd}, 1) || vec($write, $c->{fd}, 1))) {
            $self->_go_on($c);
        }
        elsif (remaining($c->{until}) <= 0) {
            push @{ $self->{wrong} }, "$c->{request}[0]: nothing came in time";
            $self->_drop($c);
            $self->_begin;
        }
    }
}

sub _begin {
    my ($self, $kept) = @_;
    my @request = $self->{ending} ? () : $self->{next}->();
    if (!@request) {
        $self->{ending} = 1;
        $self->_drop($kept) if $kept;
        return;
    }
    $self->_ask(\@request, $kept);
}

# Send a request on a kept connection or on a new one.
sub _ask {
    my ($self, $request, $c) = @_;
    my ($method, $text) = DevCache::Client::request_text($self->{port}, @$request);
    $c //= $self->_connect;
    @$c{qw(request unsent until)} = ($request, $text, deadline(2 * patience()));
    $c->{message} = DevCache::Message->new(response => $method);
    $self->_send($c);
}

sub _connect {
    my $self = shift;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port},
                                       Proto => 'tcp') or die "connect: $@\n";
    my $c = { wire => DevCache::Wire->new($socket), socket => $socket,
              fd => fileno $socket, kept => 0 };
    return $self->{busy}{ $c->{fd} } = $c;
}

sub _drop {
    my ($self, $c) = @_;
    delete $self->{busy}{ $c->{fd} };
    $c->{wire}->close;
}

# A write that fails is left to the read that follows.
sub _send {
    my ($self, $c) = @_;
    my $put = syswrite $c->{socket}, $c->{unsent};
    if (defined $put) { substr $c->{unsent}, 0, $put, '' }
    elsif ($! != EAGAIN && $! != EINTR) { $c->{unsent} = '' }
}

sub _go_on {
    my ($self, $c) = @_;
    $self->_send($c) if length $c->{unsent};
    my $wire = $c->{wire};
    my $got = $wire->fill;
    return unless defined $got;
    $c->{begun} ||= $got;
    $c->{message}->parse(\$wire->{in});
    $c->{message}->eof($wire->{error}) unless $got;
    $self->_answered($c, !$got) if $c->{message}->done;
}

sub _answered {
    my ($self, $c, $closed) = @_;
    my ($message, $request) = @$c{qw(message request)};
    if ($closed && !$c->{begun} && $c->{kept}) {
        $self->{again}++;
        $self->_drop($c);
        return $self->_ask($request);
    }
    my $complete = $message->{complete};
    my $why = $self->{check}->($request, $message);
    push @{ $self->{wrong} }, "@$request: $why" if defined $why && @{ $self->{wrong} } < 10;
    if ($complete) { syswrite $self->{say}, '.' }
    else           { $self->{broken}++ }
    $closed ||= !$complete || ($message->header('Connection') // '') =~ /\bclose\b/i;
    $self->_drop($c) if $closed;
    @$c{qw(kept begun)} = (1, 0);
    $self->_begin($closed ? undef : $c);
}

1;
