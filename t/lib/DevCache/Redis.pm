# SPDX-License-Identifier: Apache-2.0
package DevCache::Redis;

# A redis-server of the test's own, on a free port of 127.0.0.1, without a file on disk.
#
#   my $redis = DevCache::Redis->new(['requirepass', 'x'], ...);   # further settings
#   $redis->url; $redis->port; $redis->say('XLEN', 'shop:purges');
#   $redis->kill; $redis->start; $redis->freeze; $redis->thaw;
#
# With tls => {cert => file, key => file, ca => file} first it also listens on
# $redis->tls_port, for clients that have a certificate of that authority.
#
# DevCache::Redis::Hurdle is a TCP proxy before it, in a process of its own:
#
#   my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
#   $hurdle->url; $hurdle->mode('pass');
#
# modes: pass, delay N (milliseconds, each piece), drop (accepts and says nothing), reset
# (N bytes of answers, then RST), truncate N (then the end), garbage (answers with noise).
# A mode holds for connections that exist, too.

use strict;
use warnings;
use DevCache::Httpd;
use DevCache::Service;
use DevCache::Wait qw(wait_until);
use File::Temp ();
use IO::Socket::INET;

sub new {
    my ($class, @settings) = @_;
    my %tls = !ref($settings[0] // []) && shift @settings eq 'tls' ? %{ shift @settings } : ();
    my ($port, $lock) = DevCache::Httpd::free_port();
    my ($tls_port, $tls_lock) = %tls ? DevCache::Httpd::free_port() : ();
    push @settings, ['tls-port', $tls_port], ['tls-cert-file', $tls{cert}],
        ['tls-key-file', $tls{key}], ['tls-ca-cert-file', $tls{ca}] if %tls;
    my $self = bless { port => $port, locks => [$lock, $tls_lock], tls_port => $tls_port, settings => \@settings,
                       dir => File::Temp::tempdir('devcache-redis-XXXXXXXX', TMPDIR => 1, CLEANUP => 1) }, $class;
    return $self->start;
}

sub start {
    my $self = shift;
    my $program = DevCache::Service::find('redis-server') // die "no redis-server\n";
    $self->{service} = DevCache::Service->start(
        command => [$program, '--port', $self->{port}, '--bind', '127.0.0.1', '--save', '',
                    '--appendonly', 'no', '--dir', $self->{dir},
                    map({ ("--$_->[0]", @$_[1 .. $#$_]) } @{ $self->{settings} })],
        dir => $self->{dir}, name => 'redis',
        ready => sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) });
    return $self;
}

sub port { return $_[0]{port} }
sub tls_port { return $_[0]{tls_port} }
sub url  { return "redis://127.0.0.1:$_[0]{port}" }
sub kill { my $self = shift; kill KILL => $self->{service}->pid; $self->{service}->stop; return $self }
sub freeze { CORE::kill STOP => $_[0]{service}->pid }
sub thaw   { CORE::kill CONT => $_[0]{service}->pid }
sub stop   { $_[0]{service}->stop if $_[0]{service} }

# One command; the reply as a Perl value, errors as "-…".
sub say { my ($self, @words) = @_; return ($self->say_all(\@words))[0] }

# Several in one go.
sub say_all {
    my ($self, @commands) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})
        or die "redis: $@\n";
    my ($auth) = map { $_->[1] } grep { $_->[0] eq 'requirepass' } @{ $self->{settings} };
    for my $command ($auth ? ['AUTH', $auth] : (), @commands) {
        print {$socket} '*' . @$command . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @$command;
    }
    $socket->flush;
    _reply($socket) if $auth;
    return map { scalar _reply($socket) } @commands;
}

# --- purges of a machine that is none of the test's -------------------------------------------

# As purge/order.h and tier/message.h have them: no machine could ask so fast.

sub order_url { my ($path) = @_; return pack('CCC V/a V/a', 1, 1, 0, '127.0.0.1', $path) . "\xff" x 12 }

# The order of the latest purge, to be changed within its length.
sub latest_order {
    my ($self) = @_;
    my ($entry) = @{ $self->say('XREVRANGE', 'devcache:purges', '+', '-', 'COUNT', 1) };
    my (undef, undef, undef, undef, $order) = unpack 'a Q< Q< C V/a', $entry->[1][1];
    return $order;
}

# So many, with what $order returns for 0, 1, ..., as fast as they go.
sub flood {
    my ($self, $n, $order, $name) = @_;
    my $stream = ($name // 'devcache') . ':purges';
    for (my $at = 0; $at < $n;) {
        my $end = $at + 1000 < $n ? $at + 1000 : $n;
        my $odd = grep { !/^\d+-\d+$/ } $self->say_all(map {
            ['XADD', $stream, 'MAXLEN', '~', '100000', '*', 'd',
             pack 'a Q< Q< C V/a', 'P', 77, ++$self->{number}, 0, $order->($_)]
        } $at .. $end - 1);
        die "$odd entries were not taken\n" if $odd;
        $at = $end;
    }
    return $n;
}

sub _reply {
    my $socket = shift;
    my $line = <$socket> // return;
    $line =~ s/\r\n\z//;
    my $kind = substr $line, 0, 1, '';
    return "-$line" if $kind eq '-';
    return $line if $kind =~ /[+:]/;
    return if $line < 0;
    return [map { _reply($socket) } 1 .. $line] if $kind eq '*';
    my $bytes = '';
    while (length $bytes < $line + 2) {
        read $socket, $bytes, $line + 2 - length $bytes, length $bytes or return;
    }
    return substr $bytes, 0, $line;
}

package DevCache::Redis::Hurdle;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);

sub new {
    my ($class, $to) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "hurdle: $@\n";
    pipe my $read, my $write or die "pipe: $!\n";
    my $self = bless { port => $listen->sockport, write => $write, owner => $$ }, $class;
    $write->autoflush(1);
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
        $SIG{PIPE} = 'IGNORE';
        close $write;
        _run($listen, $read, $to);
        POSIX::_exit(0);
    }
    return $self;
}

sub port { return $_[0]{port} }
sub url  { return "redis://127.0.0.1:$_[0]{port}" }
sub mode { my ($self, $mode) = @_; print { $self->{write} } "$mode\n"; return }
sub stop { my $self = shift; my $pid = delete $self->{pid} or return; kill KILL => $pid; waitpid $pid, 0; return }
sub DESTROY { my $self = shift; local $?; $self->stop if $self->{owner} == $$; return }

sub _run {
    my ($listen, $control, $to) = @_;
    my $all = IO::Select->new($listen, $control);
    my (%peer, %is_server, %sent);
    my ($mode, $n) = ('pass', 0);
    my $drop = sub {
        my ($socket, $hard) = @_;
        my $other = $peer{$socket};
        for my $s ($socket, $other) {
            next unless $s;
            $all->remove($s);
            setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $hard;
            delete $peer{$s};
            close $s;
        }
    };
    while (1) {
        my @ready = $all->can_read;
        for my $socket (@ready) {
            if ($socket == $control) {
                my $got = sysread $control, my $text, 1000;
                return unless $got;
                ($mode, $n) = (split /\s+/, (split /\n/, $text)[-1])[0, 1];
                $n //= 0;
                next;
            }
            if ($socket == $listen) {
                my $client = $listen->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to);
                if (!$server) { close $client; next }
                @peer{ $client, $server } = ($server, $client);
                $is_server{$server} = 1;
                $sent{$client} = 0;
                $all->add($client, $server);
                next;
            }
            next unless $peer{$socket};
            my $got = sysread $socket, my $bytes, 65536;
            if (!$got) { $drop->($socket); next }
            my $other = $peer{$socket};
            next if $mode eq 'drop';
            select undef, undef, undef, $n / 1000 if $mode eq 'delay';
            if ($is_server{$socket} && $mode eq 'garbage') { $bytes = "\xff\x00*-7\r\n<html>" x 50 }
            if ($is_server{$socket} && $mode =~ /reset|truncate/) {
                my $room = $n - ($sent{$other} // 0);
                if (length $bytes >= $room) {
                    syswrite $other, substr $bytes, 0, $room > 0 ? $room : 0;
                    $sent{$other} = 0;
                    $drop->($socket, $mode eq 'reset');
                    next;
                }
                $sent{$other} += length $bytes;
            }
            while (length $bytes) {
                my $wrote = syswrite $other, $bytes or last;
                substr $bytes, 0, $wrote, '';
            }
        }
    }
}

1;
