# SPDX-License-Identifier: Apache-2.0
# t/97-machines-tls.t. Machines that speak TLS to their Redis: certificates, names, and a
# network that breaks it at any byte.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

# --- certificates -------------------------------------------------------------------------

my $keys = File::Temp::tempdir('devcache-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
sub openssl { return system("cd $keys && openssl $_[0] 2>/dev/null") == 0 }
sub authority {
    return openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$_[0] -keyout $_[0].key -out $_[0].pem");
}
sub signed {
    my ($name, $by, $for) = @_;
    open my $ext, '>', "$keys/$name.ext" or die $!;
    print {$ext} "subjectAltName=$for\n";
    close $ext;
    openssl("req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr")
        && openssl("x509 -req -in $name.csr -CA $by.pem -CAkey $by.key -CAcreateserial -days 2 "
                   . "-extfile $name.ext -out $name.crt") or return 0;
    open my $both, '>', "$keys/$name.pem" or die $!;
    print {$both} map { local $/; open my $in, '<', "$keys/$name.$_" or die $!; <$in> } qw(crt key);
    close $both;
    return chmod 0600, "$keys/$name.pem";
}
plan skip_all => 'no openssl here' unless authority('ca');
ok authority('strangers') && signed('redis', 'ca', 'IP:127.0.0.1,DNS:redis.example.org')
    && signed('web', 'ca', 'DNS:web1') && signed('stranger', 'strangers', 'DNS:web1'), 'certificates';

my $redis = DevCache::Redis->new(
    tls => { cert => "$keys/redis.crt", key => "$keys/redis.key", ca => "$keys/ca.pem" });

# --- the configuration --------------------------------------------------------------------

system 'cp', "$keys/web.pem", "$keys/readable.pem";
chmod 0644, "$keys/readable.pem";
my $half = secret_file(do { local $/; open my $in, '<', "$keys/web.crt" or die $!; <$in> });
for my $case (
    ["DevCacheTier redis://h\nDevCacheTierCA $keys/ca.pem", qr/DevCacheTierCA .*is for TLS, and no server of DevCacheTier begins with rediss/],
    ["DevCacheTier redis://h\nDevCacheTierCertificate $keys/web.pem", qr/DevCacheTierCertificate .*is for TLS/],
    ["DevCacheTier rediss://h\nDevCacheTierCA /nowhere", qr/DevCacheTierCA: the certificates of \/nowhere cannot be read: .*No such file/i],
    ["DevCacheTier rediss://h\nDevCacheTierCA $keys/ca.key", qr/DevCacheTierCA: the certificates of .* cannot be read/],
    ["DevCacheTier rediss://h\nDevCacheTierCertificate /nowhere", qr/DevCacheTierCertificate: the file \/nowhere cannot be read: No such file/],
    ["DevCacheTier rediss://h\nDevCacheTierCertificate $keys/readable.pem", qr/can be read by others \(mode 644\): chmod 600/],
    ["DevCacheTier rediss://h\nDevCacheTierCertificate $half", qr/does not have a certificate and its key/],
    ["DevCacheTierCA $keys/ca.pem", qr/DevCacheTierCA .*does nothing without DevCacheTier/],
    ["DevCacheTierCertificate $keys/web.pem", qr/DevCacheTierCertificate .*does nothing without DevCacheTier/],
) {
    my ($lines, $sentence) = @$case;
    like +DevCache::Test->start_error("$lines\n") // 'it started', $sentence, $lines =~ s/\n/; /gr;
}

# --- it works -----------------------------------------------------------------------------

my $ca = "DevCacheTierCA $keys/ca.pem\n";
my $files = "${ca}DevCacheTierCertificate $keys/web.pem";
my $hurdle = DevCache::Redis::Hurdle->new($redis->tls_port);
my $a = machine('DevCacheTier ' . $redis->url);
my $b = machine('DevCacheTier rediss://127.0.0.1:' . $hurdle->port . "\n$files");
all_applied($_, 2, 'one by TLS, one without') for $a, $b;
for my $way ([$a, $b], [$b, $a]) {
    store($_, '/tls') for $a, $b;
    is purge_waits($way->[0], '/tls')->{status}, 200, 'a purge';
    ok !is_there($way->[1], '/tls'), 'arrives';
}
store($_, '/many/1') for $a, $b;
purge($b, '/many/' . ('x' x 4000) . $_ . '*') for 1 .. 50;
is purge_waits($b, '/many/*')->{status}, 200, 'more than one record of TLS';
ok !is_there($a, '/many/1'), 'arrives as well';

# --- and breaks at any byte ---------------------------------------------------------------

my $n = 0;
for my $mode ('drop', 'reset 0', 'reset 3', 'reset 90', 'reset 1000', 'reset 2600', 'reset 5000', 'truncate 0',
              'truncate 5', 'truncate 700', 'truncate 3000', 'truncate 6000', 'garbage', 'delay 50', 'delay 3') {
    my $path = '/hurdle/' . ++$n;
    store($_, $path) for $a, $b;
    $hurdle->mode($mode);
    is purge($a, $path)->{status}, 200, "$mode: the other machine is not bothered";
    is $b->get('/none', 'Cache-Control' => 'only-if-cached')->{status}, 504, "$mode: it serves";
    $hurdle->mode('pass');
    gone_soon($b, $path, $mode, 5);
}
all_applied($_, 2, 'after that') for $a, $b;

# --- who is not believed ------------------------------------------------------------------

for my $case (
    ['a stranger vouches for the server', 'rediss://127.0.0.1:PORT', "DevCacheTierCA $keys/strangers.pem\nDevCacheTierCertificate $keys/web.pem",
     qr/its certificate is not believed: .*(?:self.signed|issuer)/],
    ['the system does not know it', 'rediss://127.0.0.1:PORT', "DevCacheTierCertificate $keys/web.pem", qr/its certificate is not believed/],
    ['another name', 'rediss://localhost:PORT', $files, qr/its certificate is not believed: .*(?:host|name) ?mismatch/i],
    ['without a certificate of ours', 'rediss://127.0.0.1:PORT', $ca, qr/by TLS: .*(?:certificate|handshake)|connection broke/],
    ["a stranger's certificate", 'rediss://127.0.0.1:PORT', "${ca}DevCacheTierCertificate $keys/stranger.pem", qr/by TLS: .*(?:unknown ca|certificate)|connection broke/],
    ['TLS where there is none', 'rediss://127.0.0.1:PLAIN', $files, qr/by TLS: .*|connection broke|in time/],
    ['none where there is TLS', 'redis://127.0.0.1:PORT', '', qr/connection broke|does not speak the protocol/],
) {
    my ($name, $url, $lines, $trouble) = @$case;
    $url =~ s/PORT/$redis->tls_port/e;
    $url =~ s/PLAIN/$redis->port/e;
    my $t = machine("DevCacheTier $url\n$lines");
    $t->expect_log(qr/DC0234: tier: redis/);
    is purge($t, '/x')->{status}, 202, "$name: a purge waits";
    is store($t, '/y')->{status}, 200, "$name: and it serves";
    ok wait_until(sub { $t->log_lines(qr/DC0234/) }), "$name: it says so";
    my ($line) = $t->log_lines(qr/DC0234/);
    like $line, $trouble, "$name: and why";
    # Its two threads may hear different things of a server that hangs up on them.
    cmp_ok scalar(() = $t->log_lines(qr/DC0234/)), '<=', 2, "$name: and not again and again";
    $t->finish;
}

$_->finish for $a, $b;
$redis->stop;
$hurdle->stop;
done_testing;
