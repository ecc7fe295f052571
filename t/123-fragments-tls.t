# SPDX-License-Identifier: Apache-2.0
# t/123-fragments-tls.t. DevCacheFragments and client certificates: a part is the visitor's own
# where he has shown one, and parts of parts are closed as they are for him.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Written;
use Test::More;

my $keys = File::Temp::tempdir(CLEANUP => 1);
sub openssl { return system("cd $keys && openssl $_[0] 2>/dev/null") }
is openssl('req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem')
    || openssl('req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key.pem -out cert.pem'),
    0, 'certificates of an authority and the server';
for my $who (qw(alice bob)) {
    is openssl("req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key -out $who.csr")
        || openssl("x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $who.pem"),
        0, "and of $who";
}
my $t = DevCache::Test->start(<<"CONF", modules => [qw(authz_core socache_shmcb ssl)], ports => ['TLS']);
DevCacheStatusHeader On
DevCacheVaryDevice Off
<Location "/">
    DevCache On
    DevCacheFragments On
</Location>
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $keys/cert.pem
    SSLCertificateKeyFile $keys/key.pem
    SSLCACertificateFile $keys/ca.pem
    SSLVerifyClient optional
    <Location "/alice">
        SSLRequire %{SSL_CLIENT_S_DN_CN} eq "alice"
    </Location>
    ProxyPass / \@ORIGIN\@/
</VirtualHost>
CONF
$t->allow_log(qr{AH01873|AH01882|AH01906|AH01909|AH02229|AH02965|DC0320});
my $site = DevCache::Written->new($t);
my %ssi = ('Surrogate-Control' => 'content="SSI/1.0"', 'Cache-Control' => 'max-age=60');
my $tls = 'https://127.0.0.1:' . $t->port('TLS');
sub tls {
    my ($who, $path) = @_;
    my @cert = $who ? ('--cert', "$keys/$who.pem", '--key', "$keys/$who.key") : ();
    return $t->curl('-k', '--no-show-error', @cert, '--http1.1', "$tls$path")->{body};
}

$site->page('/page', {%ssi}, 'p<!--#include virtual="/who" -->');
$site->page('/who', { 'Cache-Control' => 'max-age=60' }, '[{n}]');
my $n = 0;
is tls($_, '/page'), 'p[' . ++$n . ']', "$_: the part is fetched for him alone" for 'bob', 'alice', 'bob';
is tls(undef, '/page'), 'p[4]', 'and for strangers' for 1, 2;

$site->page('/plain', {%ssi}, 'p<!--#include virtual="http://127.0.0.1:' . $t->port('TLS') . '/who" -->');
is tls(undef, '/plain'), 'p[4]', 'a part by http, as Magento writes it for Varnish, is of this site';

$site->page('/outer', {%ssi}, 'o<!--#include virtual="/middle" -->');
$site->page('/middle', {%ssi}, 'm<!--#include virtual="/alice" -->');
$site->page('/alice', { 'Cache-Control' => 'public, max-age=60' }, 'a');
is tls('alice', '/outer'), 'oma', 'a part of a part: for alice';
is tls('bob', '/outer'), 'om', 'not for bob';
is tls(undef, '/outer'), 'om', 'nor for a stranger';
$t->finish;
done_testing;
