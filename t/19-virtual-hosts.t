# SPDX-License-Identifier: Apache-2.0
# t/19-virtual-hosts.t. Virtual hosts that say the same about devices share a classifier, others
# do not; each has its own pages and its own counters, also where it says nothing at all.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use DevCache::Wait qw(wait_until);
use JSON::PP;
use Test::More;

# What each says, and what it makes of a fridge, a TV, and a phone with the cookie "look=pc".
my @hosts = (
    [silent   => '',                                                    'pc pc mobile'],
    [mute     => '',                                                    'pc pc mobile'],
    [fridge   => 'DevCacheDeviceRule fridge Fridge',                    'fridge pc mobile'],
    [icebox   => 'DevCacheDeviceRule fridge Fridge',                    'fridge pc mobile'],
    [freezer  => 'DevCacheDeviceRule freezer Fridge',                   'freezer pc mobile'],
    [word     => 'DevCacheDeviceRule fridge "Fridge X"',                'pc pc mobile'],
    [tv       => 'DevCacheDeviceFold tv mobile',                        'pc mobile mobile'],
    [no_tv    => 'DevCacheDeviceFold tv tablet',                        'pc tablet mobile'],
    [cookie   => 'DevCacheDeviceCookie look',                           'pc pc pc'],
    [biscuit  => 'DevCacheDeviceCookie other',                          'pc pc mobile'],
    [both     => "DevCacheDeviceRule fridge Fridge\nDevCacheDeviceFold tv tablet",
                                                                        'fridge tablet mobile'],
    [lifetime => 'DevCacheDefaultTTL 600',                              'pc pc mobile'],
);
my $vhosts = join '', map { <<"CONF" } @hosts;
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName $_->[0].example
    $_->[1]
    ProxyPass / \@ORIGIN\@/
</VirtualHost>
CONF
my $t = DevCache::Test->start("DevCache On\n$vhosts");
my $site = DevCache::Told->new($t);

my @visitors = (['User-Agent' => 'Mozilla/5.0 (Fridge 1.0)'],
                ['User-Agent' => 'Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1'],
                ['User-Agent' => PHONE, Cookie => 'look=pc']);

sub classes {
    my ($host) = @_;
    my $n;
    return join ' ', map {
        $site->ask('/' . ++$n, [200, 'Cache-Control' => 'no-store'], @$_,
                   Host => "$host.example:" . $t->port);
        $site->last_request->[2]{'x-device-type'} // '-';
    } @visitors;
}

is classes($_->[0]), $_->[2], "$_->[0]: " . ($_->[1] || 'nothing') =~ s/\n/; /r for @hosts;

subtest 'each has its own pages and counters' => sub {
    for my $name (map { $_->[0] } @hosts) {
        my @host = (Host => "$name.example:" . $t->port);
        $site->fetched("$name, the first time", '/page', undef, @host);
        $site->cached("$name, again", '/page', undef, @host) for 1 .. 2;
    }
    my $hits = sub {
        my %of;
        for (@{ decode_json($t->status_page('?json')->{body})->{by_device} }) {
            $of{ $_->{vhost} =~ s/\..*//r } += $_->{success}{hit} // 0;
        }
        return join ' ', map { $of{ $_->[0] } // 0 } @hosts;
    };
    my $want = join ' ', (2) x @hosts;
    wait_until(sub { $hits->() eq $want });
    is $hits->(), $want, 'two hits for each';
};

$t->finish;
done_testing;
