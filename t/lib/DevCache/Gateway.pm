# SPDX-License-Identifier: Apache-2.0
package DevCache::Gateway;

# An application behind FastCGI, SCGI, uwsgi or AJP: the ends of those protocols that
# mod_proxy_fcgi, _scgi, _uwsgi and _ajp speak to, as far as a GET, HEAD or POST goes. It
# answers by itself from a forked process, one request after the other. A FastCGI connection is
# kept where the client asks for that, as php-fpm does: to close it then is to race with the
# next request, which mod_proxy_fcgi may have sent already and does not send again.
#
#   my $app = DevCache::Gateway->new('fcgi', listen => $path_or_undef, sub {
#       my $env = shift;                    # CGI variables; of AJP the same names
#       return (200, ['Cache-Control' => 'max-age=9'], 'body', %how);
#   });
#   $app->port; $app->fetches; $app->stop;
#
#   how: cut => n     so many bytes of the body, then the connection is closed
#        raw => text  these bytes instead of an answer in the protocol
#        pieces => n  the body in so many pieces

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

my %speak = (
    fcgi  => [\&_fcgi_request,  \&_fcgi_answer],
    scgi  => [\&_scgi_request,  \&_plain_answer],
    uwsgi => [\&_uwsgi_request, \&_plain_answer],
    ajp   => [\&_ajp_request,   \&_ajp_answer],
);

sub new {
    my ($class, $protocol, %opt) = @_;
    my $listen = $opt{path}
        ? IO::Socket::UNIX->new(Local => $opt{path}, Listen => 64)
        : IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $opt{port} // 0,
                                Listen => 64, ReuseAddr => 1);
    $listen or die "gateway: listen: $!\n";
    chmod 0777, $opt{path} if $opt{path};
    my $self = bless { protocol => $protocol, port => $opt{path} ? 0 : $listen->sockport,
                       file => $opt{log} }, $class;
    open my $log, '>>', $opt{log} or die "$opt{log}: $!\n";
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT);
        eval { _serve($listen, $speak{$protocol}, $log, $opt{answer}); 1 }
            or print STDERR "# gateway: $@";
        POSIX::_exit(1);
    }
    return $self;
}

sub port { return $_[0]{port} }

# Requests so far, as lines "METHOD URI".
sub requests {
    my $self = shift;
    open my $log, '<', $self->{file} or return;
    chomp(my @lines = <$log>);
    return @lines;
}
sub fetches { my @all = $_[0]->requests; return scalar @all }

sub stop {
    my $self = shift;
    my $pid = delete $self->{pid} or return;
    kill KILL => $pid;
    waitpid $pid, 0;
}
sub DESTROY { local $?; $_[0]->stop }

# --- in the forked process ------------------------------------------------------------------

sub _serve {
    my ($listen, $speak, $log, $answer) = @_;
    my $open = IO::Select->new($listen);
    while (1) {
        for my $socket ($open->can_read) {
            if ($socket == $listen) {
                my $new = $listen->accept or next;
                binmode $new;
                $open->add($new);
            }
            elsif (!eval { _serve_one($socket, $speak, $log, $answer) }) {
                $open->remove($socket);
                close $socket;
            }
        }
    }
}

# Whether the connection is kept.
sub _serve_one {
    my ($socket, $speak, $log, $answer) = @_;
    my ($request, $reply) = @$speak;
    my $env = $request->($socket);
    my $keep = delete $env->{':keep'};
    syswrite $log, "$env->{REQUEST_METHOD} $env->{REQUEST_URI}\n";
    my ($status, $headers, $body, %how) = $answer->($env);
    $body = '' if $env->{REQUEST_METHOD} eq 'HEAD' || $status == 304;
    if (defined $how{raw}) { print $socket $how{raw} }
    else                   { $reply->($socket, $status, $headers, $body, %how) }
    $socket->flush;
    return $keep && !defined $how{raw} && !defined $how{cut};
}

sub _read {
    my ($socket, $n) = @_;
    my $bytes = '';
    while (length $bytes < $n) {
        sysread($socket, $bytes, $n - length $bytes, length $bytes) or die "closed\n";
    }
    return $bytes;
}

# The header section that CGI programs write, and its pairs.
sub _cgi_head {
    my ($status, $headers) = @_;
    my @flat = @$headers;
    my $text = "Status: $status Told\r\n";
    while (my ($name, $value) = splice @flat, 0, 2) { $text .= "$name: $value\r\n" }
    return "$text\r\n";
}

sub _parts {
    my ($body, %how) = @_;
    $body = substr $body, 0, $how{cut} if defined $how{cut};
    my $size = POSIX::ceil(length($body) / ($how{pieces} // 1));
    $size = 8000 if $size > 8000;
    return $size ? unpack "(a$size)*", $body : ();
}

# --- FastCGI ----------------------------------------------------------------------------------

sub _fcgi_length {
    my $in = shift;
    my $n = unpack 'C', $$in;
    return unpack 'C', substr $$in, 0, 1, '' if $n < 128;
    return 0x7fffffff & unpack 'N', substr $$in, 0, 4, '';
}

sub _fcgi_request {
    my $socket = shift;
    my ($params, %env) = ('');
    while (1) {
        my ($type, $id, $length, $pad) = unpack 'xCnnCx', _read($socket, 8);
        my $data = _read($socket, $length);
        _read($socket, $pad);
        $env{':keep'} = ord(substr $data, 2, 1) & 1 if $type == 1;
        $params .= $data if $type == 4;
        last if $type == 5 && !$length;     # the end of its body
    }
    while (length $params) {
        my @length = (_fcgi_length(\$params), _fcgi_length(\$params));
        my $name = substr $params, 0, $length[0], '';
        $env{$name} = substr $params, 0, $length[1], '';
    }
    return \%env;
}

sub _fcgi_answer {
    my ($socket, $status, $headers, $body, %how) = @_;
    for my $part (_cgi_head($status, $headers), _parts($body, %how)) {
        print $socket pack('CCnnCC', 1, 6, 1, length $part, 0, 0), $part;
        $socket->flush;
    }
    return if defined $how{cut};
    print $socket pack('CCnnCC', 1, 6, 1, 0, 0, 0), pack('CCnnCC NCx3', 1, 3, 1, 8, 0, 0, 0, 0);
}

# --- SCGI, uwsgi ------------------------------------------------------------------------------

sub _scgi_request {
    my $socket = shift;
    my $length = '';
    while ((my $c = _read($socket, 1)) ne ':') { $length .= $c }
    my %env = _read($socket, $length) =~ /([^\0]*)\0/g;
    _read($socket, 1);
    return \%env;
}

sub _uwsgi_request {
    my $socket = shift;
    my ($length) = unpack 'xvx', _read($socket, 4);
    my $vars = _read($socket, $length);
    my %env;
    while (length $vars) {
        (my ($name, $value), $vars) = unpack 'v/a v/a a*', $vars;
        $env{$name} = $value;
    }
    return \%env;
}

sub _plain_answer {
    my ($socket, $status, $headers, $body, %how) = @_;
    my $head = _cgi_head($status, $headers);
    $head =~ s{^Status:}{HTTP/1.1} if $how{http};
    for my $part ($head, _parts($body, %how)) { print $socket $part; $socket->flush }
}

# --- AJP 1.3 ----------------------------------------------------------------------------------

my @ajp_methods = (undef, qw(OPTIONS GET HEAD POST PUT DELETE TRACE));
my @ajp_headers = (undef, qw(ACCEPT ACCEPT_CHARSET ACCEPT_ENCODING ACCEPT_LANGUAGE AUTHORIZATION
    CONNECTION CONTENT_TYPE CONTENT_LENGTH COOKIE COOKIE2 HOST PRAGMA REFERER USER_AGENT));

sub _ajp_string {
    my $in = shift;
    my $n = unpack 'n', substr $$in, 0, 2, '';
    return if $n == 0xffff;
    my $text = substr $$in, 0, $n, '';
    substr $$in, 0, 1, '';
    return $text;
}

sub _ajp_request {
    my $socket = shift;
    my ($magic, $length) = unpack 'nn', _read($socket, 4);
    my $in = _read($socket, $length);
    my ($code, $method) = unpack 'CC', substr $in, 0, 2, '';
    die "not a request\n" unless $code == 2;
    my %env = (REQUEST_METHOD => $ajp_methods[$method]);
    @env{qw(SERVER_PROTOCOL REQUEST_URI REMOTE_ADDR REMOTE_HOST SERVER_NAME)}
        = map { _ajp_string(\$in) } 1 .. 5;
    my ($port, $is_tls, $n) = unpack 'nCn', substr $in, 0, 5, '';
    for (1 .. $n) {
        my $coded = unpack 'n', $in;
        my $name = $coded > 0xa000 ? do { substr $in, 0, 2, ''; $ajp_headers[$coded - 0xa000] }
            : uc _ajp_string(\$in);
        $name =~ tr/-/_/;
        $env{"HTTP_$name"} = _ajp_string(\$in);
    }
    return \%env;
}

sub _ajp_text { return pack 'n/a x', $_[0] }

sub _ajp_answer {
    my ($socket, $status, $headers, $body, %how) = @_;
    my @flat = @$headers;
    my $head = pack('Cn', 4, $status) . _ajp_text('Told') . pack 'n', @flat / 2;
    $head .= _ajp_text($_) for @flat;
    my @packets = ($head, map { pack('C n/a x', 3, $_) } _parts($body, %how));
    push @packets, pack 'CC', 5, 0 unless defined $how{cut};
    for my $packet (@packets) { print $socket 'AB', pack 'n/a', $packet; $socket->flush }
}

1;
