# SPDX-License-Identifier: Apache-2.0
# t/79-refresh-attack.t. Refreshes whose origin fails or never ends, visitors over TLS, HTTP/2
# and with a login, threads that do not start: nobody is harmed, and the log says what it was.
# mpm: any
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use DevCache::Test;

my $mpm = $ENV{DEVCACHE_MPM} // 'event';
my $conf = <<'CONF';
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
<Location "/member/">
    AuthType Digest
    AuthName "members"
    AuthUserFile "@DIR@/htdigest"
    Require valid-user
</Location>
RewriteEngine On
RewriteCond %{ENV:SEEN} =1
RewriteRule ^/odd/(.*)$ @ORIGIN@/other/$1 [P]
RewriteRule .* - [E=SEEN:1]
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
my $swr = 'max-age=10, stale-while-revalidate=1000';

sub start {
    my ($conf, %how) = @_;
    my $t = DevCache::Test->start($conf, %how);
    $t->allow_log(qr/proxy(?:_http)?:error/);
    return $t;
}

sub store {
    my ($t, $path, $headers, $body, @request) = @_;
    my $x = $t->send_req($path, @request);
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr, %$headers }, $body);
    return $x->response;
}

# --- an origin that fails, and one that does not end ------------------------------------------

my @modules = qw(rewrite auth_digest authn_file authn_core authz_user);
my $t = start($conf, modules => \@modules);

{
    my %seen;
    my $auto = $t->origin_auto(sub {
        return $seen{ $_[0]{target} }++ ? (500, {}, 'oops') : (200, { 'Cache-Control' => $swr }, 'one');
    });
    $t->get('/failing');
    $t->clock_advance(11);
    my $begun = time;
    is scalar(grep { $t->get('/failing')->{body} ne 'one' } 1 .. 300), 0, '300 hits, all stale';
    ok wait_until(sub { $t->counters->{refreshes} }), 'refreshed';
    cmp_ok $t->counters->{refreshes}, '<=', 2 + time - $begun,
        'a failing origin is asked once a second';
    $t->clock_advance(3);
    my $before = $t->counters->{refreshes};
    $t->get('/failing');
    $t->wait_counter(refreshes => $before + 1);
    cmp_ok $auto->fetches('/failing'), '>=', 3, 'and asked again after a pause';
}
$t->finish;

$t = start($conf, modules => \@modules);
{
    store($t, '/endless', {}, 'one');
    $t->clock_advance(11);
    is $t->get('/endless')->{body}, 'one', 'stale';
    my $fetch = $t->origin->accept;
    $fetch->head(200, { 'Cache-Control' => 'no-store', 'Transfer-Encoding' => 'chunked' });
    ok $fetch->gone, 'nobody listens to an answer that is not stored';
    $fetch->close;
}

# --- what the log says ------------------------------------------------------------------------

{
    store($t, '/odd/a', {}, 'one');
    $t->clock_advance(11);
    is $t->get('/odd/a')->{body}, 'one', 'a rewriting that is another the second time';
    $t->wait_log(qr{DC0122: refresh: \S+/odd/a \S+ not begun: it would ask for something else});
    pass 'is no refresh, and the log says why';
}

# --- a visitor who has logged in --------------------------------------------------------------

{
    my $ha1 = md5_hex('jo:members:secret');
    $t->write_file('htdigest', "jo:members:$ha1\n");
    my $login = sub {
        my $path = shift;
        my $res = $t->get($path);
        is $res->{status}, 401, 'not without a login';
        my ($nonce) = $res->header('WWW-Authenticate') =~ /nonce="([^"]+)"/;
        my $response = md5_hex(join ':', $ha1, $nonce, '00000001', 'abc', 'auth',
                               md5_hex("GET:$path"));
        return (Authorization => qq{Digest username="jo", realm="members", nonce="$nonce", }
                . qq{uri="$path", qop=auth, nc=00000001, cnonce="abc", response="$response"});
    };
    my $public = { 'Cache-Control' => "public, $swr" };
    store($t, '/member/a', $public, 'one', $login->('/member/a'));
    $t->clock_advance(11);
    my $before = $t->counters->{refreshes};
    is $t->get('/member/a', $login->('/member/a'))->{body}, 'one', 'a member, stale';
    my $fetch = $t->origin->accept;
    is $fetch->header('Authorization'), undef, 'the refresh is nobody\'s';
    $fetch->reply(200, $public, 'two');
    $t->wait_counter(refreshes => $before + 1);
    is $t->get('/member/a', $login->('/member/a'))->{body}, 'two', 'and stored';
}
$t->finish;

# --- TLS --------------------------------------------------------------------------------------

SKIP: {
    skip 'no openssl here', 1 if system 'openssl version >/dev/null 2>&1';
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
           . "-keyout $dir/key.pem -out $dir/cert.pem 2>/dev/null") and die 'openssl';
    my $protocols = $mpm eq 'prefork' ? '' : "Protocols h2 http/1.1\n";
    $t = start(<<"CONF", modules => [qw(socache_shmcb ssl http2 rewrite)], ports => ['TLS']);
$protocols
SSLSessionCache shmcb:\@DIR\@/sessions
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $dir/cert.pem
    SSLCertificateKeyFile $dir/key.pem
    SSLOptions +StdEnvVars
    <Location "/">
        DevCache On
        DevCacheVaryDevice Off
        SSLRequireSSL
    </Location>
    <Location "/sure">
        Header set Cache-Control "no-store" "expr=%{HTTPS} != 'on'"
    </Location>
    RewriteEngine On
    RewriteCond %{HTTPS} !=on
    RewriteRule .* - [F]
    ProxyPass / \@ORIGIN\@/
    ProxyPassReverse / \@ORIGIN\@/
</VirtualHost>
CONF
    $t->allow_log(qr/AH01882|AH01906|AH01909|AH10034/);
    my $tls = 'https://127.0.0.1:' . $t->port('TLS');
    my $moved = { 'Cache-Control' => $swr, Location => 'http://127.0.0.1:' . $t->origin->port . '/there' };
    my $auto = $t->origin_auto(sub { return (301, $moved, '') });
    for my $case (['--http1.1', '/a'], ['--http2', '/b'], ['--http1.1', '/sure']) {
        my ($how, $path) = @$case;
        my $before = $t->counters->{refreshes};
        $t->curl('-k', $how, "$tls$path");
        $t->clock_advance(11);
        is $t->curl('-k', $how, "$tls$path")->{status}, 301, "$how: $path, stale";
        $t->wait_counter(refreshes => $before + 1);
        my $res = $t->curl('-k', $how, "$tls$path");
        is $auto->fetches($path), 2, 'refreshed, and stored';
        is $res->header('Location'), "$tls/there", 'to https, as the visitor came';
    }
    $t->finish;
}

# --- local pages ------------------------------------------------------------------------------

$t = start(<<'CONF', modules => [qw(rewrite mime dir)]);
TypesConfig /dev/null
AddType text/html .html
DocumentRoot "@DIR@/htdocs"
<Directory "@DIR@/htdocs">
    AllowOverride All
    DirectoryIndex index.html
</Directory>
<Location "/">
    DevCache On
    DevCacheDefaultTTL 10
    DevCacheStaleWhileRevalidate 1000
</Location>
CONF
mkdir $t->dir . '/htdocs/app';
$t->write_file('htdocs/app/.htaccess',
               "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /app/all.html [L]\n");
$t->write_file("htdocs/$_", 'one') for 'index.html', 'app/all.html';
for my $path ('/', '/index.html', '/app/nice/url') {
    $t->get($path);
    $t->clock_advance(11);
    my $before = $t->counters->{refreshes};
    cmp_ok $t->get($path)->header('Age'), '>', 10, "$path: stale";
    $t->wait_counter(refreshes => $before + 1);
    cmp_ok $t->get($path)->header('Age'), '<', 10, 'refreshed';
}
$t->finish;

# --- threads that do not start ----------------------------------------------------------------

SKIP: {
    skip 'the background needs threads', 1 if $mpm eq 'prefork';
    $t = start($conf, modules => \@modules, env => { DEVCACHE_FAULT => 'background-push:1' });
    $t->origin_auto(sub { return (200, { 'Cache-Control' => "${swr}000" }, 'one') });
    $t->get('/push');
    $t->clock_advance(11);
    is $t->get('/push')->{body}, 'one', 'stale';
    $t->wait_log(qr/DC0122.*too many wait|DC0120.*push/);
    pass 'either it was taken back, or it ran';
    ok wait_until(sub {
        $t->clock_advance(3);
        $t->get('/push');
        return $t->counters->{refreshes};
    }), 'and the next one runs';
    $t->finish;
}

# --- an httpd that it was not compiled for ------------------------------------------------------

# mpm_event's own struct is not known then, so that nothing runs in threads that have none.
SKIP: {
    skip 'about mpm_event', 1 if $mpm ne 'event';
    $t = start($conf, modules => \@modules, env => { DEVCACHE_FAULT => 'other-httpd:1' });
    $t->expect_log(qr/DC0129: background: mod_devcache was compiled for httpd 2\.4\.\d+, and this is 2\.4\.\d+: .* compile it anew/);
    $t->origin_auto(sub { return (200, { 'Cache-Control' => $swr }, 'one') });
    for my $path ('/other', '/member/../other2') {
        $t->get($path);
        $t->clock_advance(11);
        my $before = $t->counters->{refreshes};
        cmp_ok $t->get($path)->header('Age'), '>', 10, "$path: stale";
        $t->wait_counter(refreshes => $before + 1);
        cmp_ok $t->get($path)->header('Age'), '<', 10, 'refreshed';
    }
    $t->finish;
}
done_testing;
