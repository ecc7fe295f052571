# SPDX-License-Identifier: Apache-2.0
# t/20-devices.t. The main job: one fetch of a page per device class, right for everybody.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $req = shift;
    my $class = $req->header('X-Device-Type') // 'none';
    return (200, { 'Cache-Control' => 'max-age=60', 'Content-Type' => 'text/plain' },
        "for $class");
});
my %agent = (pc => PC, tablet => TABLET, mobile => PHONE);

# Three devices, a hundred requests each.
my %wrong;
my @clients = map { $t->client } 1 .. 3;
for my $round (0 .. 99) {
    my $i = 0;
    for my $class (sort keys %agent) {
        my $res = $clients[$i++]->send_req('/page', 'User-Agent' => $agent{$class})->response;
        $wrong{$class}++ if $res->{status} != 200 || $res->{body} ne "for $class";
    }
}
is_deeply \%wrong, {}, 'every answer is for the device that asked';
is $auto->fetches('/page'), 3, '300 requests of three devices cost three fetches';

# What clients see.
my $hit = $t->get('/page', 'User-Agent' => PHONE);
my %vary = map { lc $_ => 1 } split /\s*,\s*/, $hit->header('Vary');
ok $vary{'user-agent'}, 'Vary names what clients send';
ok !$vary{'x-device-type'}, 'and not the device header';
is $hit->header('X-Device-Type'), undef, 'the class is not shown to clients';
like $hit->header('Age'), qr/^\d+$/, 'a hit has an Age';
like $hit->header('Cache-Status'), qr/^devcache; hit; ttl=\d+; key="http:[^"]*\/page"/,
    'Cache-Status tells of the hit';

# A client that sends the device header itself.
for my $name ('X-Device-Type', 'x-device-type', 'X_Device_Type', 'X-DEVICE_TYPE') {
    my $res = $t->get('/page', 'User-Agent' => PC, $name => 'mobile');
    is $res->{body}, 'for pc', "a desktop that sends $name: mobile gets the desktop's page";
}
is $auto->fetches('/page'), 3, 'and causes no fetch';
$t->get('/spoof', 'User-Agent' => PC, 'X_Device_Type' => 'mobile', 'X-Device-Type' => 'tv');
my ($spoof) = grep { $_->[1] eq '/spoof' } $auto->requests;
is $spoof->[2]{'x-device-type'}, 'pc', 'the origin sees the class of the User-Agent';
is $spoof->[2]{'x_device_type'}, undef, 'and none of the client\'s spellings';

$t->get('/conn', 'User-Agent' => PHONE, Connection => 'x-device-type, keep-alive');
my ($conn) = grep { $_->[1] eq '/conn' } $auto->requests;
is $conn->[2]{'x-device-type'}, 'mobile', 'Connection cannot name the device header away';
# 8 KB of it took 28 MB.
sub peak {
    my $most = 0;
    for my $pid ($t->pids) {
        open my $file, '<', "/proc/$pid/status" or next;
        my ($kb) = map { /^VmHWM:\s+(\d+)/ } <$file>;
        $most = $kb if $kb > $most;
    }
    return $most;
}
my $peak = peak();
is $t->get('/conn', 'User-Agent' => PHONE, Connection => 'X-Device-Type,' . 'a,' x 4000)->{body}, 'for mobile',
    'nor can it by 4000 members';
cmp_ok peak() - $peak, '<', 12_000, '  nor fill the memory: kilobytes';

# The access log.
$t->wait_access(qr{/conn});
my ($last) = reverse $t->access_lines(qr{GET /page});
like $last, qr/\|pc\|hit\|/, 'the access log has status and class';
my $c = $t->counters;
is $c->{misses}, 5, 'misses counted';
is $c->{stored}, 5, 'stored counted';
cmp_ok $c->{hits}, '>=', 297, 'hits counted';
cmp_ok $c->{spoofed}, '>=', 6, 'spoofed headers counted';

$t->finish;
done_testing;
