# SPDX-License-Identifier: Apache-2.0
# t/54-whose-page.t. No visitor gets the page of another: rewriting that decides by the visitor
# at its second step, scripts that decide whom to send where, client certificates, users that
# are told to the origin, sessions, <If>.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $keys = File::Temp::tempdir(CLEANUP => 1);
sub openssl { return system("cd $keys && openssl $_[0] 2>/dev/null") }
is openssl('req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem')
    || openssl('req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key.pem '
               . '-out cert.pem'), 0, 'certificates of an authority and the server';
for my $who (qw(alice bob)) {
    is openssl("req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key -out $who.csr")
        || openssl("x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                   . "-out $who.pem"), 0, "and of $who";
}

my @modules = qw(rewrite dir mime authz_host authz_user authn_core authn_file auth_basic actions
                 negotiation cgid socache_shmcb ssl session session_cookie filter substitute env
                 request xsendfile auth_digest ext_filter lua);
my $t = DevCache::Test->start(<<"CONF", modules => \@modules, ports => ['TLS'], origins => 2);
TypesConfig /dev/null
AddType text/plain .txt
AddHandler cgi-script .cgi
ScriptSock "\@DIR\@/cgisock"
DevCacheStatusHeader On
DevCacheVaryDevice Off
DevCacheDefaultTTL 600
<Location "/">
    DevCache On
</Location>
<Directory "\@DIR\@/htdocs">
    Options ExecCGI FollowSymLinks MultiViews
    AllowOverride All
    DirectoryIndex index.txt
    XSendFile On
    XSendFilePath "\@DIR\@/htdocs"
</Directory>
<Location "/site/public/friends.txt">
    Require expr "%{HTTP:X-Pass} == 'sesame'"
</Location>
<Location "/act/">
    Action by-script /site/public/act.cgi virtual
    SetHandler by-script
</Location>
<Location "/o/">
    ProxyPass \@ORIGIN\@/o/
</Location>
<Location "/o/user/">
    AuthType Basic
    AuthName "users"
    AuthUserFile "\@DIR\@/users"
    Require valid-user
    RequestHeader set X-Who "expr=%{REMOTE_USER}"
</Location>
<Location "/o/digest/">
    AuthType Digest
    AuthName "digest"
    AuthUserFile "\@DIR\@/digests"
    Require valid-user
</Location>
<Location "/o/backend-login/">
    RequestHeader set Authorization "Basic eDp5"
</Location>
ExtFilterDefine Told cmd="/bin/sh -c 'cat; echo cookie=\$HTTP_COOKIE who=\$WHO'"
LuaOutputFilter Scripted \@DIR\@/filter.lua filter
SetEnvIf X-Playback-Session-Id "(.*)" WHO=\$1
<Location "/o/told/">
    SetOutputFilter Told
</Location>
<Location "/o/scripted/">
    SetOutputFilter Scripted
</Location>
<Location "/o/session/">
    Session On
    SessionCookieName session path=/
    SessionMaxAge 1000
    SessionHeader X-Replace-Session
</Location>
<Files "handled.txt">
    SetHandler "proxy:\@ORIGIN\@/outside?"
    <If "%{HTTP:X-Network} == 'inside'">
        SetHandler "proxy:\@ORIGIN2\@/inside?"
        Header set X-Inside yes
    </If>
</Files>
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $keys/cert.pem
    SSLCertificateKeyFile $keys/key.pem
    SSLCACertificateFile $keys/ca.pem
    SSLVerifyClient optional
    RequestHeader set X-Client-DN "%{SSL_CLIENT_S_DN}s"
    ProxyPass /o/ \@ORIGIN\@/o/
    <Location "/o/certified/">
        SSLVerifyClient require
    </Location>
    <Location "/o/alice/">
        Require expr "%{SSL_CLIENT_S_DN_CN} == 'alice'"
    </Location>
    <Location "/o/renegotiated/">
        SSLVerifyClient require
        SSLVerifyDepth 5
    </Location>
</VirtualHost>
SSLSessionCache shmcb:\@DIR\@/sessions
CONF
$t->allow_log(qr/AH01882|AH01906|AH01909|AH10034/);
my $site = DevCache::Told->new($t);
my $inside = $t->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=60' }, 'inside') },
    2);
sub status_of { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1
    : 'none' }
sub file { return $t->write_file("htdocs/$_[0]", $_[1]) }
sub script {
    my ($name, @lines) = @_;
    chmod 0755, file($name, join "\n", '#!/bin/sh', @lines, '') or die;
}
sub same {
    my ($name, $path, @headers) = @_;
    my ($one, $two) = map { $t->get($path, @headers) } 1, 2;
    is "$one->{status} " . status_of($two), '200 hit', "$name: the second is a hit";
    is $two->{body}, $one->{body}, '… with the same body';
    return $two;
}

# --- rewriting in two steps -------------------------------------------------------------------

mkdir $t->dir . "/htdocs/$_" or die for qw(site site/public act end end/public);
file('site/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteCond %{REQUEST_URI} !^/site/public/
RewriteRule ^(.*)$ public/$1 [L]
HTACCESS
file('site/public/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteCond %{HTTP_COOKIE} beta=1
RewriteRule ^page.txt$ beta.txt [L]
RewriteCond %{HTTP:X-Network} inside
RewriteRule ^page.txt$ inside.txt [L]
# as content systems have it: not a second time
RewriteCond %{ENV:REDIRECT_STATUS} =""
RewriteRule ^index.cgi - [R=301,L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^ index.cgi [L]
HTACCESS
file("site/public/$_.txt", $_) for qw(page beta inside friends);
script('site/public/index.cgi', 'echo "Content-Type: text/plain"', 'echo',
    'echo "app $REQUEST_URI"', 'cat /proc/sys/kernel/random/uuid');
my @beta = (Cookie => 'beta=1; id=7');
my @net = ('X-Network' => 'inside');
for my $round (1, 2) {
    is $t->get('/site/page.txt', @beta)->{body}, 'beta', "round $round: beta by cookie";
    is $t->get('/site/page.txt')->{body}, 'page', 'everybody else';
    is $t->get('/site/page.txt', @net)->{body}, 'inside', 'inside by another header';
    is $t->get('/site/page.txt', Cookie => 'beta=1; id=8')->{body}, 'beta', 'beta of another';
}
is status_of($t->get('/site/page.txt', @$_)), 'hit', 'they are hits' for [], \@net;
like same('an application behind it', '/site/post/1?a=b')->{body}, qr{^app /site/post/1\?a=b\n},
    'has its own page';
like same('another page of it', '/site/post/2')->{body}, qr{^app /site/post/2\n}, 'another';

is $t->get('/site/friends.txt', 'X-Pass' => 'sesame')->{body}, 'friends',
    'a target with a Require of its own, for a friend' for 1, 2;
is $t->get('/site/friends.txt')->{status}, 403, 'is forbidden to a stranger';
$t->allow_log(qr/AH01630/);

# A flag that mod_rewrite keeps for the rest of the request, in each of the steps.
for my $flags (['L', 'END'], ['END', 'L'], ['END', 'END']) {
    file('end/.htaccess', "RewriteEngine On\nRewriteCond %{REQUEST_URI} !^/end/public/\n"
        . "RewriteRule ^(.*)\$ public/\$1 [$flags->[0]]\n");
    file('end/public/.htaccess', "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n"
        . "RewriteRule ^ index.cgi [$flags->[1]]\n");
    script('end/public/index.cgi', 'echo "Content-Type: text/plain"', 'echo', 'echo app');
    same("flags @$flags: a file", '/end/index.cgi?' . join '', @$flags);
    next if $flags->[0] eq 'END';   # then there is no second step
    is same("flags @$flags: all else", '/end/other?' . join '', @$flags)->{body}, "app\n", 'the script';
}

# Refreshed in the background, as the first time; a target that is another by then is not.
script('site/public/index.cgi', 'echo "Content-Type: text/plain"',
    'echo "Cache-Control: max-age=10, stale-while-revalidate=1000"', 'echo',
    'echo "app $REQUEST_URI"', 'cat /proc/sys/kernel/random/uuid');
my $old = same('stale while revalidated', '/site/post/3')->{body};
$t->clock_advance(11);
is $t->get('/site/post/3')->{body}, $old, 'stale';
$t->wait_counter(refreshes => 1);
isnt $t->get('/site/post/3')->{body}, $old, 'refreshed';
is $t->counters->{refreshes_failed}, 0, 'and stored';

# --- scripts that decide ----------------------------------------------------------------------

file('secret.txt', 'for members');
script('download.cgi', 'case "$HTTP_COOKIE" in', '*member*) echo "Location: /secret.txt"; echo;;',
    '*) echo "Status: 403"; echo "Content-Type: text/plain"; echo; echo no;;', 'esac');
is $t->get('/download.cgi', Cookie => 'member=1')->{body}, 'for members',
    'a script sends a member to a file' for 1, 2;
is $t->get('/download.cgi')->{status}, 403, 'and nobody else';
utime time - 9e6, time - 9e6, $t->dir . '/htdocs/secret.txt';    # old: fresh for a day, if at all
script('sent.cgi', 'case "$HTTP_COOKIE" in', '*member*) echo "X-Sendfile: ' . $t->dir
    . '/htdocs/secret.txt"; echo "Content-Type: text/plain"; echo;;',
    '*) echo "Status: 403"; echo "Content-Type: text/plain"; echo; echo no;;', 'esac');
for (1, 2) {
    my $sent = $t->get('/sent.cgi', Cookie => 'member=1');
    is $sent->{body}, 'for members', 'a script has a file sent to a member';
    is $sent->header('X-Sendfile'), undef, '… who is not told where it lies';
}
is $t->get('/sent.cgi')->{status}, 403, 'and to nobody else';
script('site/public/act.cgi', 'echo "Content-Type: text/plain"', 'echo', 'echo "act $PATH_INFO"',
    'cat /proc/sys/kernel/random/uuid');
like same('an Action', '/act/x')->{body}, qr{^act /act/x}, 'is the configuration\'s decision';

# --- users ------------------------------------------------------------------------------------

$t->write_file('users', "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
my %login = map { $_ => [Authorization => 'Basic ' . ({ alice => 'YWxpY2U6cGFzc3dvcmQ=',
    bob => 'Ym9iOnBhc3N3b3Jk' }->{$_})] } qw(alice bob);
sub fetches { my ($name, $n, @ask) = @_; my $r = $site->ask(@ask); is $r->{fetches}, $n, $name;
              return $r }
my @fresh = (200, 'Cache-Control' => 'max-age=60');
for my $who (qw(alice bob alice)) {
    fetches("a user told to the origin: $who has a page of their own", 1, '/o/user/p', [@fresh],
        @{ $login{$who} });
    is $site->last_request->[2]{'x-who'}, $who, '… as the origin was told';
}
fetches('public: for all of them', 1, '/o/user/pub', [200, 'Cache-Control' => 'public, max-age=60'],
    @{ $login{alice} });
fetches("public: one more, as the application is told who asks", 1, '/o/user/pub', undef, @{ $login{bob} });
is $t->get('/o/user/pub')->{status}, 401, 'but not for strangers';

# What tells one user that the server knows the password is not told to another.
$t->write_file('digests', join '', map { "$_:digest:" . md5_hex("$_:digest:password") . "\n" }
    qw(alice bob));
sub digest {
    my ($who, $path, $answer) = @_;
    my ($nonce) = $t->get($path)->header('WWW-Authenticate') =~ /nonce="([^"]+)"/;
    my $proof = md5_hex(join ':', md5_hex("$who:digest:password"), $nonce, '00000001', $who, 'auth',
                        md5_hex("GET:$path"));
    return $site->ask($path, $answer, Authorization => qq{Digest username="$who", realm="digest", }
        . qq{nonce="$nonce", uri="$path", qop=auth, nc=00000001, cnonce="$who", response="$proof"});
}
my @shared = (200, 'Cache-Control' => 'public, max-age=60', 'WWW-Authenticate' => 'Negotiate dG9rZW4=',
    'Authentication-Info' => 'cnonce="alice"');
my $res = digest('alice', '/o/digest/p', [@shared]);
like $res->header('Authentication-Info'), qr/cnonce="alice"/, 'a login by digest';
is $res->header('WWW-Authenticate'), 'Negotiate dG9rZW4=', 'and a token of a login';
$res = digest('bob', '/o/digest/p');
is "$res->{status} $res->{fetches}", '200 0', 'public: another has it from the cache';
like $res->header('Authentication-Info'), qr/cnonce="bob"/, 'with what is about his own login';
is $res->header('WWW-Authenticate'), undef, 'and nothing of that of the first';
fetches("Authorization set here, round $_", 1, '/o/backend-login/p', [@fresh]) for 1, 2;
fetches("a session that is renewed with each answer, round $_", 1, '/o/session/p',
    [@fresh, 'X-Replace-Session' => 'user=alice']) for 1, 2;

my $session = $t->get('/o/session/q', 'X-Answer' => unpack 'H*', pack '(N/a*)*', @fresh,
    'X-Replace-Session' => 'user=alice')->header('Set-Cookie');
my @session = (Cookie => $session =~ /^([^;]*)/);
for (1, 2) {
    my $res = fetches('who has a session', 1, '/o/session/r', [@fresh], @session);
    like $res->header('Set-Cookie'), qr/user=alice/, '… has it prolonged by each answer';
}
unlike fetches('who has none', 1, '/o/session/r', [@fresh])->header('Set-Cookie'), qr/alice/,
    'gets not that one' for 1, 2;

# --- client certificates ----------------------------------------------------------------------

my $tls = 'https://127.0.0.1:' . $t->port('TLS');
sub tls {
    my ($who, $path, @more) = @_;
    my @cert = $who ? ('--cert', "$keys/$who.pem", '--key', "$keys/$who.key") : ();
    return $t->curl('-k', '--no-show-error', @cert, @more, "$tls$path");
}
for my $proto ('--tls-max 1.2', '') {
    my @how = (split(' ', $proto), '--http1.1');
    my $p = $proto ? 'TLS 1.2' : 'TLS 1.3';
    (my $d = $proto) =~ tr/0-9//cd;
    my $before = $site->{auto}->fetches;
    is tls(undef, "/o/dn/$d", @how)->{body}, tls(undef, "/o/dn/$d", @how)->{body},
        "$p: without a certificate: shared";
    for my $who (qw(alice bob)) {
        my ($one, $two) = map { tls($who, "/o/own/$d", @how) } 1, 2;
        isnt $one->{body}, $two->{body}, "$p: $who has shown a certificate: nothing is shared";
        is $site->last_request->[2]{'x-client-dn'}, "CN=$who", '… the origin knows who asked';
    }
    my $page = tls('alice', "/o/certified/$d", @how, '-H', 'X-Answer: '
        . unpack 'H*', pack '(N/a*)*', 200, 'Cache-Control' => 'public, max-age=60');
    if ($d) { # curl of Debian 12 cannot show one later by TLS 1.3
        is $page->{status}, 200, "$p: a place for certificates only, public";
        isnt tls('bob', "/o/certified/$d", @how)->{body}, $page->{body},
            'is one for each whom the application is told of';
        isnt tls(undef, "/o/certified/$d", @how)->{status} // 0, 200, 'and closed to those without';
    }
    $page = tls('alice', "/o/alice/$d", @how, '-H', 'X-Answer: '
        . unpack 'H*', pack '(N/a*)*', 200, 'Cache-Control' => 'public, max-age=60');
    is tls('alice', "/o/alice/$d", @how)->{body}, $page->{body}, "$p: alice's place, from the cache";
    is tls('bob', "/o/alice/$d", @how)->{status}, 403, 'is not for bob';
    is tls(undef, "/o/alice/$d", @how)->{status}, 403, 'nor for a stranger';
}
$t->allow_log(qr/AH02261|AH02039|AH02225|AH02226|AH10158|SSL Library Error/);

# --- filters that somebody has programmed -----------------------------------------------------

# The application's lifetime is not theirs.
$t->write_file('filter.lua', <<'LUA');
function filter(r)
    coroutine.yield('cookie=' .. (r.headers_in['Cookie'] or '') .. ' ')
    while bucket do coroutine.yield(bucket) end
    coroutine.yield('')
end
LUA
for my $path ('/o/told/x', '/o/scripted/x') {
    like $site->fetched("$path for alice", $path, \@fresh, Cookie => 'a=alice')->{body}, qr/cookie=a=alice/, 'is hers';
    unlike $site->fetched("$path for a stranger", $path, \@fresh)->{body}, qr/alice/, 'is not hers';
    unlike $site->cached("$path again", $path, undef, Cookie => '_ga=1')->{body}, qr/alice|_ga/, 'the stranger\'s';
    like $site->fetched("$path for bob", $path, \@fresh, Cookie => 'a=bob')->{body}, qr/cookie=a=bob/, 'is his';
}
my @players = map { ['X-Playback-Session-Id' => $_] } 1, 2;
like $site->ask('/o/told/played', \@fresh, @$_)->{body}, qr/who=$_->[1]/, 'a variable that the filter is told' for @players;

# --- <If> -------------------------------------------------------------------------------------

file('handled.txt', 'a file');
for my $round (1, 2) {
    my $res = $t->get('/handled.txt', @net);
    is "$res->{body} " . $res->header('X-Inside'), 'inside yes', "round $round: <If>: another origin";
    $res = $site->ask('/handled.txt', [@fresh, ':body' => 'outside']);
    is "$res->{body} " . ($res->header('X-Inside') // 'no'), 'outside no', 'than for all others';
}
is $inside->fetches, 1, 'each is cached';

$t->finish;
done_testing;
