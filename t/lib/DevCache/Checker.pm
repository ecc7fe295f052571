# SPDX-License-Identifier: Apache-2.0
package DevCache::Checker;

# Asks several machines all the time, from a process for each, and says of every answer
# whether it is older than what was purged before the request was sent.
#
#   my $checker = DevCache::Checker->new(@t);     # their origins now answer by themselves
#   $checker->change($n) for 1 .. 100;            # a page changes and is purged, by t[$n]
#   $checker->settle('after that');               # a check: all purges are on all machines
#   $checker->finish;                             # a check: nothing purged was served
#
# A page's body has its version, which the origin takes from a table that all processes have.
# The table also has, for each page and machine, the version below which nothing may come
# from there any more. It is raised when a purge is answered: for the machine that was asked,
# and for those that the answer says have applied it. A visitor reads it before it asks.

use strict;
use warnings;
use DevCache::Client;
use DevCache::Machines;
use DevCache::Wait qw(wait_until deadline remaining);
use File::Temp ();
use POSIX ();
use Test::More;

use constant { PAGES => 12, PACE => 0.002 };
my @kinds = qw(plain tagged valid plain device tagged);

sub new {
    my ($class, @machines) = @_;
    my $dir = File::Temp::tempdir('devcache-checker-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { machines => \@machines, n => scalar @machines, file => "$dir/table", dir => $dir,
                       owner => $$, changes => 0, answered => 0, applied => 0 }, $class;
    open my $table, '>', $self->{file} or die "$self->{file}: $!\n";
    # A version and a floor for each machine, of each page; then three counters of each machine,
    # and whether it is a rehearsal.
    print {$table} pack 'N*', (1) x (PAGES * (1 + $self->{n})), (0) x (3 * $self->{n} + 1);
    close $table;
    for my $t (@machines) { $t->origin_auto(sub { return $self->_answer(@_) }) }
    $self->{names} = [map { own_name($_) } @machines];
    $self->{pids} = [map { $self->_start($_) } 0 .. $#machines];
    return $self;
}

sub DESTROY { my $self = shift; local $?; $self->_stop if $self->{owner} == $$; return }

sub _stop {
    my $self = shift;
    my $pids = delete $self->{pids} or return;
    kill KILL => @$pids;
    waitpid $_, 0 for @$pids;
    return;
}

# What the others call it.
sub own_name {
    my ($this) = grep { $_->{this} } @{ shown($_[0])->{machines} };
    return $this->{name};
}

# --- the table ----------------------------------------------------------------------------

# Each process has it open by itself.
sub _table {
    my $self = shift;
    if (($self->{opened} // 0) != $$) {
        open $self->{table}, '+<', $self->{file} or die "$self->{file}: $!\n";
        binmode $self->{table};
        $self->{opened} = $$;
    }
    return $self->{table};
}
sub _read {
    my ($self, $cell) = @_;
    sysseek $self->_table, 4 * $cell, 0;
    sysread $self->_table, my $bytes, 4;
    return unpack 'N', $bytes;
}
sub _write {
    my ($self, $cell, $value) = @_;
    sysseek $self->_table, 4 * $cell, 0;
    syswrite $self->_table, pack 'N', $value;
    return $value;
}
sub _version { return $_[1] * (1 + $_[0]{n}) }
sub _floor   { return $_[1] * (1 + $_[0]{n}) + 1 + $_[2] }
sub _counter { return PAGES * (1 + $_[0]{n}) + 3 * $_[1] + $_[2] }

# --- the site ------------------------------------------------------------------------------

sub kind_of { return $kinds[$_[0] % @kinds] }
sub path_of { my $i = shift; return '/' . kind_of($i) . "/page$i" }

sub _answer {
    my ($self, $request) = @_;
    my ($i) = $request->{target} =~ /page(\d+)/ or return (404, {}, 'no page');
    my $version = $self->_read($self->_version($i));
    my %fields = ('Cache-Control' => 'max-age=1000000, stale-if-error=1000000, stale-while-revalidate=1000000',
                  ETag => qq{"$version"}, 'Cache-Tag' => "tag$i");
    return (304, \%fields) if ($request->header('If-None-Match') // '') eq $fields{ETag};
    return (200, \%fields, "page $i version $version\n", $i % 4 ? () : (delay => 0.005));
}

# --- visitors ------------------------------------------------------------------------------

sub _start {
    my ($self, $m) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
    $SIG{PIPE} = 'IGNORE';
    eval { $self->_visit($m); 1 } or print STDERR "# checker: $@";
    POSIX::_exit(1);
}

sub _visit {
    my ($self, $m) = @_;
    my $t = $self->{machines}[$m];
    my ($client, %count);
    for (my $turn = 0;; $turn++) {
        my $i = ($turn * 7) % PAGES;
        my $floor = $self->_read($self->_floor($i, $m));
        my $response = eval {
            $client //= $t->{address} ? DevCache::Client->new($t->{common}, $t->{address}) : DevCache::Client->new($t->port);
            $client->get(path_of($i), $t->{address} ? (Host => "www.test:$t->{common}") : (), 'User-Agent' => $turn % 2 ? DevCache::Client::PC : DevCache::Client::PHONE);
        };
        if ($response && $response->{complete} && $response->{status} == 200) {
            $self->_write($self->_counter($m, 0), ++$count{answers});
            my ($page, $version) = ($response->{body} // '') =~ /^page (\d+) version (\d+)$/ or die "an odd body\n";
            die "another page\n" if $page != $i;
            if ($version < $floor) {
                $self->_write($self->_counter($m, 1), ++$count{wrong});
                syswrite STDERR, "# machine $m: page $i version $version, but $floor was purged before\n"
                    if $count{wrong} < 4 && !$self->_read($self->_counter($self->{n}, 0));
            }
        } else {
            # A machine that is killed or restarted.
            $self->_write($self->_counter($m, 2), ++$count{failed});
            undef $client;
        }
        undef $client if $response && lc($response->header('Connection') // '') eq 'close';
        select undef, undef, undef, PACE;
    }
}

# A machine of a cluster is asked as the others of it are.
sub _ask {
    my ($t, @request) = @_;
    return $t->{address} ? ask_at($t, @request)->response : $t->get(@request);
}

# --- purges --------------------------------------------------------------------------------

my @ways = (sub { return ('PURGE', $_[1]) },
            sub { return ('PURGE', '/', 'Cache-Tag' => "tag$_[0]") },
            sub { return ('BAN', '/', 'X-Url' => "^$_[1]\$", 'X-Host' => '.*') },
            sub { return ('PURGE', $_[1] =~ s/.\z/*/r) });

# The next page changes, and is purged by the n-th machine. @return its answer; undef: none
sub change {
    my ($self, $n, $wait) = @_;
    my $turn = $self->{changes}++;
    my $i = $turn % PAGES;
    my $m = ($n // $turn) % $self->{n};
    my ($method, $path, @fields) = $ways[($turn / PAGES + $turn) % @ways]->($i, path_of($i));
    my $version = $self->_write($self->_version($i), $self->_read($self->_version($i)) + 1);
    my $response = eval {
        _ask($self->{machines}[$m], $path, ':method' => $method, @fields, 'DevCache-Purge-Wait' => $wait // 0);
    };
    return unless $response && $response->{complete} && $response->{status} =~ /^20[02]$/;
    $self->{answered}++;
    $self->_write($self->_floor($i, $m), $version);
    my ($nodes, $applied) = $response->{body} =~ /"nodes": (\d+), "applied": (\d+)/;
    $self->{applied}++ if $nodes == $self->{n} && $applied == $nodes;
    my %missing = map { $_ => 1 } $response->{body} =~ /"missing": \[(.*?)\]/ ? $1 =~ /"([^"]+)"/g : ();
    for my $other (grep { $nodes == $self->{n} } 0 .. $self->{n} - 1) {
        $self->_write($self->_floor($i, $other), $version) if !$missing{ $self->{names}[$other] };
    }
    return $response;
}

# A check: everything that was purged so far is gone from all machines, and stays so.
sub settle {
    my ($self, $name, $patience) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @was = map { $self->_read($self->_version($_)) } 0 .. PAGES - 1;
    my $fine = 1;
    for my $m (0 .. $self->{n} - 1) {
        $fine &&= wait_until(sub {
            my $body = eval { _ask($self->{machines}[$m], '/none', ':method' => 'PURGE', 'DevCache-Purge-Wait' => 3)->{body} } // '';
            return $body =~ /"nodes": $self->{n}, "applied": $self->{n}\}/;
        }, $patience);
    }
    ok $fine, "$name: all machines have applied all purges" or return 0;
    # The numbers of a machine's purges grow, and they are applied in their order.
    for my $i (0 .. PAGES - 1) {
        $self->_write($self->_floor($i, $_), $was[$i]) for 0 .. $self->{n} - 1;
    }
    my @begun = map { $self->_read($self->_counter($_, 0)) } 0 .. $self->{n} - 1;
    ok wait_until(sub {
        !grep { $self->_read($self->_counter($_, 0)) < $begun[$_] + 2 * PAGES } 0 .. $self->{n} - 1
    }, $patience), "$name: and every page was asked for everywhere";
    is $self->wrong, 0, "$name: nothing purged was served";
    return 1;
}

sub _sum { my ($self, $n) = @_; my $all = 0; $all += $self->_read($self->_counter($_, $n)) for 0 .. $self->{n} - 1; return $all }
sub answers { return $_[0]->_sum(0) }
sub wrong   { return $_[0]->_sum(1) }
sub failed  { return $_[0]->_sum(2) }
sub changes { return $_[0]{answered} }

# Would it see something? A page that is said to be purged, and is not: then the visitors end.
sub finish {
    my $self = shift;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $self->wrong, 0, 'nothing purged was served: ' . $self->answers . ' answers, '
        . "$self->{answered} purges, " . $self->failed . ' requests without an answer';
    my $version = $self->_read($self->_version(0));
    $self->_write($self->_counter($self->{n}, 0), 1);
    $self->_write($self->_floor(0, $_), $version + 1) for 0 .. $self->{n} - 1;
    ok wait_until(sub {
        !grep { $self->_read($self->_counter($_, 1)) == 0 } 0 .. $self->{n} - 1
    }), 'and every visitor would have seen it';
    $self->_stop;
    return;
}

1;
