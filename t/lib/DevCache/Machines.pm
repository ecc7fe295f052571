# SPDX-License-Identifier: Apache-2.0
package DevCache::Machines;

# What tests of several machines share. A machine is a DevCache::Test of its own, with one
# port on the same address; they meet on a DevCache::Redis, or on a DevCache::Redis::Hurdle
# before it.
#
#   use DevCache::Machines;          # plans to skip the file where there is no redis-server
#   my $redis = DevCache::Redis->new;
#   my @t = map { machine('DevCacheTier ' . $redis->url) } 1 .. 3;
#   all_applied($t[0], 3, 'at first');
#   store($t[1], '/a');  purge($t[0], '/a');  gone_soon($t[1], '/a', 'a URL');
#
# What cannot be waited for is counted: four purges that do not arrive end the test.

use strict;
use warnings;
use Exporter 'import';
use File::Temp ();
use JSON::PP ();
use Test::More;
use DevCache::Redis;
use DevCache::Service;
use DevCache::Test;

our @EXPORT = qw(cluster ask_at %lives machine machine_conf store is_there gone_soon still purge purge_waits
                 all_applied machines_are leader secret_file shown);

our %lives = ('Cache-Control' => 'max-age=100000', ETag => '"e"');
plan skip_all => 'redis-server is not there' unless DevCache::Service::find('redis-server');

# Tests share their processor with others, so time-outs are ten times as long.
sub machine_conf {
    my ($tier, $more) = @_;
    return <<"CONF" . ($more // '') . "ProxyPass / \@ORIGIN\@/\n";
$tier
DevCacheTierTimeout 200 200
<Location "/">
    DevCache On
    DevCachePurge On
    Require local
</Location>
CONF
}

# Machines that share what they store: they listen on one port, each on an address of its own
# (127.0.0.2, ...), and have one origin, which the first one has. Further options are those of
# a test; conf is what stands before ProxyPass, dir what stands in the Location.
my $common;
sub cluster {
    my ($n, $tier, %opt) = @_;
    my ($conf, $dir) = (delete $opt{conf} // '', delete $opt{dir} // '');
    my ($first, $modules) = (delete $opt{origin_of}, delete $opt{modules} // []);
    $common //= [DevCache::Httpd::free_port()];
    my @machines;
    for (1 .. $n) {
        my $address = '127.0.0.' . (2 + $common->[2]++);
        my $origin = $first ? 'http://127.0.0.1:' . $first->origin->port : '@ORIGIN@';
        my $text = <<"CONF";
Listen $address:$common->[0]
$tier
DevCacheTierTimeout 200 200
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCachePurge On
    Require local
    $dir
</Location>
$conf
ProxyPass / $origin/
CONF
        my $t = DevCache::Test->start($text, modules => ['authz_host', @$modules], %opt);
        @$t{qw(address common text)} = ($address, $common->[0], $text);
        $t->watchdog(900);
        $t->allow_log(qr/DC023[2-8]/);
        $first //= $t;
        push @machines, $t;
    }
    return @machines;
}

# Ask such a machine as the others are asked: the port is a part of the key.
sub ask_at {
    my ($t, $path, @fields) = @_;
    return DevCache::Client->new($t->{common}, $t->{address})
        ->send_req($path, Host => "www.test:$t->{common}", @fields);
}

# Its log may say what a failing server makes it say.
sub machine {
    my ($tier, %opt) = @_;
    my $more = delete $opt{conf};
    my $modules = delete $opt{modules} // [];
    my $t = DevCache::Test->start(machine_conf($tier, $more), modules => ['authz_host', @$modules], %opt);
    $t->watchdog(900);
    $t->allow_log(qr/DC023[2-5]/);
    return $t;
}

sub store {
    my ($t, $path, %fields) = @_;
    my $x = $t->send_req($path);
    $t->origin->accept->reply(200, { %lives, %fields }, "page $path");
    return $x->response;
}

sub is_there {
    my ($t, $path) = @_;
    return $t->get($path, 'Cache-Control' => 'only-if-cached')->{status} == 200;
}

my $given_up = 0;

sub gone_soon {
    my ($t, $path, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_until(sub { !is_there($t, $path) }, $seconds && patience_of($seconds)), "$name: $path is gone"
        or ++$given_up < 4 or die "that is enough\n";
}

# Under a sanitizer all takes longer.
sub patience_of { return $_[0] * DevCache::Wait::patience() / 15 }

sub still {
    my ($t, $path, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok is_there($t, $path), "$name: $path is there";
}

sub purge { my ($t, $path, @fields) = @_; return $t->get($path, ':method' => 'PURGE', @fields) }
sub purge_waits { return purge(@_[0, 1], 'DevCache-Purge-Wait' => 10) }

# Do they all know of so many?
sub machines_are {
    my ($n, @t) = @_;
    for my $t (@t) {
        wait_until(sub { purge($t, '/none')->{body} =~ /"nodes": $n\}/ }) or return 0;
    }
    return 1;
}

sub all_applied {
    my ($t, $n, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok wait_until(sub {
        purge($t, '/none', 'DevCache-Purge-Wait' => 5)->{body} =~ /"nodes": $n, "applied": $n\}/
    }), "$name: $n machines";
}

# The process of the machine that holds the lock; undef: none.
sub leader {
    my $t = shift;
    my $inode = (stat $t->root . '/tier-lock')[1] // return;
    open my $locks, '<', '/proc/locks' or return;
    for my $line (<$locks>) {
        my (undef, $kind, undef, $mode, $pid, $where) = split ' ', $line;
        return $pid if $kind eq 'FLOCK' && $where =~ /:$inode$/;
    }
    return;
}

# A file with that text, mode 600 unless another is given, as long as the result is kept.
sub secret_file {
    my ($text, $mode) = @_;
    my $file = File::Temp->new(TEMPLATE => 'devcache-XXXXXX', TMPDIR => 1);
    print {$file} $text;
    close $file;
    chmod $mode // 0600, "$file";
    return $file;
}

# What ?json says of the first (or n-th) root's machines.
sub shown {
    my ($t, $n) = @_;
    return JSON::PP::decode_json($t->status_page('?json')->{body})->{machines}[$n // 0];
}

1;
