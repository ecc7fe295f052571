# SPDX-License-Identifier: Apache-2.0
package DevCache::Wait;

# Waiting with a deadline. Nothing in the tests sleeps to "let it happen": they wait for a
# socket, a counter or a log line, and fail when the time is over.

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(deadline remaining wait_until patience);

# Seconds that anything may take; a sanitizer build is given more.
sub patience { return $ENV{DEVCACHE_PRELOAD} ? 60 : 15 }

sub deadline  { return clock_gettime(CLOCK_MONOTONIC) + ($_[0] // patience()) }
sub remaining { return $_[0] - clock_gettime(CLOCK_MONOTONIC) }

# Poll until $check is true and return its value; undef when the time is over.
sub wait_until {
    my ($check, $seconds) = @_;
    my $until = deadline($seconds);
    while (1) {
        my $value = $check->();
        return $value if $value;
        return if remaining($until) <= 0;
        select undef, undef, undef, 0.01;
    }
}

sub _select {
    my ($write, $seconds, @sockets) = @_;
    my $bits = '';
    vec($bits, fileno $_, 1) = 1 for @sockets;
    my ($in, $out) = $write ? (undef, $bits) : ($bits, undef);
    my $n = select $in, $out, undef, $seconds;
    return if $n <= 0;
    my $ready = $write ? $out : $in;
    return grep { vec $ready, fileno $_, 1 } @sockets;
}

# Those of the sockets that can be read (written) within the time.
sub readable { return _select(0, @_) }
sub writable { return _select(1, @_) }

1;
