# SPDX-License-Identifier: Apache-2.0
# t/80-regressions.t. What a review once found wrong, a block each: pages of other users,
# other targets or other virtual hosts, halves, error pages, and stored pages that got lost.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha1_base64);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $conf = <<'CONF';
<Location "/">
    DevCache On
</Location>
<Location "/members/">
    AuthType Basic
    AuthName members
    AuthUserFile "@DIR@/htpasswd"
    Require valid-user
    RequestHeader unset Authorization
    RequestHeader set X-Remote-User expr=%{REMOTE_USER}
</Location>
<Location "/keyed/">
    DevCacheKeyHeaders X-Forwarded-Proto
</Location>
<Location "/ignore/">
    DevCacheQuery ignore
</Location>
<Location "/allow/">
    DevCacheQuery allow id
</Location>
<Location "/own-errors/">
    ProxyErrorOverride On
    ErrorDocument 503 "our own 503"
</Location>
<Location "/error/">
    ProxyErrorOverride On
</Location>
ErrorDocument 416 /error/416

RewriteEngine On
RewriteCond %{HTTP_COOKIE} beta
RewriteRule ^/ignore/(.*)$ @ORIGIN@/ignore/$1?beta=1 [P]
RewriteCond %{HTTP_COOKIE} beta
RewriteRule ^/ns/(.*)$ @ORIGIN@/beta/$1 [P,NS]

Alias /files/ "@DIR@/htdocs/"
<Directory "@DIR@/htdocs">
    Require all granted
    Options FollowSymLinks
    RewriteEngine On
    RewriteBase /files/
    RewriteRule ^to-(open|off|secret)$ $1/page.txt
    Header set Cache-Control "public, max-age=600"
</Directory>
<Directory "@DIR@/htdocs/secret">
    RewriteEngine Off
    AuthType Basic
    AuthName secret
    AuthUserFile "@DIR@/htpasswd"
    Require valid-user
</Directory>
<Location "/files/off/">
    DevCache Off
</Location>

ProxyPass /files/ !
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF

my @modules = qw(rewrite auth_basic authn_core authn_file authz_user);
my $t = DevCache::Test->start($conf, modules => \@modules);
$t->write_file('htpasswd', join '', map { "$_:{SHA}" . sha1_base64('pw') . "=\n" } qw(alice bob));

# A page for the cache; no-store if $control is not given.
sub page { my $control = shift // 'no-store'; return (200, { 'Cache-Control' => $control }) }

# Ask; the origin must be asked and answers. The response, and what the origin was asked.
sub exchange {
    my ($path, $request, @reply) = @_;
    my $req = $t->send_req($path, @$request);
    my $fetch = $t->origin->accept;
    $fetch->reply(@reply);
    return wantarray ? ($req->response, $fetch) : $req->response;
}

# What a request gets: a body from the cache, or "fetched TARGET" if the origin is asked.
sub body_got {
    my $req = shift;
    wait_until(sub { $req->begun || !$t->origin->quiet(0) });
    if (!$req->begun) {
        my $fetch = $t->origin->accept;
        $fetch->reply(page(), "fetched $fetch->{target}");
    }
    return $req->response->{body};
}

sub got { my ($path, @request) = @_; return body_got($t->send_req($path, @request)) }

# The DEVCACHE_STATUS of the first request for a path.
sub status_logged { return (split /\|/, ($t->wait_access(qr{^GET \Q$_[0]\E }))[0])[3] }

sub login { return (Authorization => 'Basic ' . encode_base64("$_[0]:pw", '')) }

# --- whose page it is -----------------------------------------------------------------------

# The application knows users by a header that httpd makes of their login.
for my $user (qw(alice bob)) {
    my ($res, $fetch) = exchange('/members/me', [login($user)], page('max-age=600'),
        "page of $user");
    is $fetch->header('X-Remote-User'), $user, "user of httpd's own: the origin is asked for $user";
    is $fetch->header('Authorization'), undef, '… without the password';
    is $res->{body}, "page of $user", '… and the page is theirs';
}
is got('/members/me', login('alice')), 'fetched /members/me', '… and stored for nobody';

# A client names a field in Connection, which mod_proxy then removes.
exchange('/conn', ['User-Agent' => PHONE, Connection => 'User-Agent'],
    200, { 'Cache-Control' => 'max-age=600', Vary => 'User-Agent' }, 'for no agent');
is status_logged('/conn'), 'bypass', 'Connection: User-Agent bypasses';
is got('/conn', 'User-Agent' => PHONE), 'fetched /conn', '… and nothing is stored';
my @https = ('X-Forwarded-Proto' => 'https');
exchange('/keyed/a', [@https, Connection => 'X-Forwarded-Proto'], page('max-age=600'), 'by http');
is status_logged('/keyed/a'), 'bypass', 'Connection: X-Forwarded-Proto, a key header, bypasses';
is got('/keyed/a', @https), 'fetched /keyed/a', '… and nothing is stored';
exchange('/keyed/b', \@https, page('max-age=600'), 'by https');
is got('/keyed/b', @https), 'by https', 'without that it is stored';
is got('/keyed/b'), 'fetched /keyed/b', '… and is another page than by http';

# One and the same header to a CGI.
exchange('/cgi', [X_Forwarded_Host => 'evil'], page('max-age=600'), 'links to evil');
is status_logged('/cgi'), 'bypass', 'X_Forwarded_Host bypasses';
is got('/cgi'), 'fetched /cgi', '… and nothing is stored';

# --- which page it is -----------------------------------------------------------------------

# A query that rewriting has made, under DevCacheQuery ignore.
my ($res, $fetch) = exchange('/ignore/a', [Cookie => 'beta'], page('max-age=600'), 'beta');
is $fetch->{target}, '/ignore/a?beta=1', 'DevCacheQuery ignore: rewriting by a cookie';
($res, $fetch) = exchange('/ignore/a?x=1', [], page('max-age=600'), 'plain');
is $fetch->{target}, '/ignore/a', '… others get a page of their own';
is got('/ignore/a', Cookie => 'beta'), 'beta', '… the beta page remains the beta page';
is got('/ignore/a?y=2'), 'plain', '… and the plain one the plain one';

# A parameter's name that is only spelled differently.
exchange('/allow/a?%69d=evil', [], page('max-age=600'), 'evil');
is got('/allow/a'), 'fetched /allow/a', 'DevCacheQuery allow id: ?%69d=evil is another page';
exchange('/allow/a?other=1', [], page('max-age=600'), 'good');
is got('/allow/a'), 'good', '… as ?other=1 is';
isnt got('/allow/a?%69d=evil'), 'good', '… nor the other way round';

# A rule that is not for subrequests: a refresh is none.
($res, $fetch) = exchange('/ns/a', [Cookie => 'beta'], page('max-age=10, stale-while-revalidate=1000'), 'beta');
$t->clock_advance(11);
is $t->get('/ns/a', Cookie => 'beta')->{body}, 'beta', 'RewriteRule [NS]: stale is served';
my $renewed = $t->origin->accept;
is $renewed->{target}, $fetch->{target}, '… and refreshed from the same target';
$renewed->reply(page('max-age=600'), 'new beta');
ok wait_until(sub { got('/ns/a', Cookie => 'beta') eq 'new beta' }), '… for who it is for';

# Per-directory rewriting into what is not for the cache, or not for everybody.
for my $dir (qw(open off secret)) {
    mkdir $t->dir . "/htdocs/$dir";
    $t->write_file("htdocs/$dir/page.txt", "first $dir");
}
my %second = (open => 'first open', off => 'second off', secret => 'second secret');
for my $dir (qw(open off secret)) {
    is $t->get("/files/to-$dir", login('alice'))->{body}, "first $dir", "rewritten to $dir";
    $t->write_file("htdocs/$dir/page.txt", "second $dir");
    is $t->get("/files/to-$dir", login('alice'))->{body}, $second{$dir},
        $dir eq 'open' ? '… which is stored' : '… which is not stored';
}
is $t->get('/files/to-secret')->{status}, 401, 'the secret one is not for everybody';

# --- whole pages only -----------------------------------------------------------------------

# A client goes away while it is sent a stale page, which is to be refreshed.
my $swr = 'max-age=10, stale-while-revalidate=1000';
my ($old, $new) = (body_of('old', 6_000_000), body_of('new', 300_000));
my %then = (
    rest => sub { my $f = shift; $f->chunk(substr $new, 100_000); $f->last_chunk },
    nothing => sub { $_[0]->close },
);
for my $what (sort keys %then) {
    exchange("/left-$what", [], page($swr), $old);
    $t->clock_advance(11);
    my $client = $t->client;
    $client->send_req("/left-$what")->head;
    $client->reset;
    my $before = $t->counters->{refreshes};
    my $refresh = $t->origin->accept;
    $refresh->head(200, { 'Cache-Control' => 'max-age=600', 'Transfer-Encoding' => 'chunked' });
    $refresh->chunk(substr $new, 0, 100_000);
    $then{$what}->($refresh);
    $t->wait_counter(refreshes => $before + 1);
    $t->clock_advance(3);
    my $body = $t->get("/left-$what")->{body};
    ok $body eq $old || $body eq $new, "a client that goes away from a stale page, then $what of "
        . 'the refresh: the next gets a whole one';
    exchange_refresh() if $body eq $old;
}

# The refresh of a page that has just been served stale.
sub exchange_refresh {
    my @reply = @_ ? @_ : (page('max-age=600'), 'refreshed');
    my $before = $t->counters->{refreshes};
    $t->origin->accept->reply(@reply);
    $t->wait_counter(refreshes => $before + 1);
}

# 304 to our own condition, and a range that the stored page has not.
exchange('/range', [], 200, { 'Cache-Control' => 'max-age=10', ETag => '"r"' }, 'short');
$t->clock_advance(11);
my $req = $t->send_req('/range', Range => 'bytes=1000-');
$t->origin->accept->reply(304, { 'Cache-Control' => 'max-age=600', ETag => '"r"' });
$fetch = $t->origin->accept;
is $fetch->{target}, '/error/416', 'ErrorDocument 416 of a page just confirmed';
$fetch->reply(page('max-age=600'), 'error page');
$res = $req->response;
is "$res->{status} $res->{body}", '416 error page', '… is what the client gets';
like got('/range'), qr/^(?:short|fetched .range)$/, '… and not stored in place of the page';

# --- what is stored stays, or goes ----------------------------------------------------------

# HEAD says nothing about the stored body.
my %unsized = ('Cache-Control' => 'max-age=10', 'Transfer-Encoding' => 'chunked');
exchange('/head', [], 200, \%unsized, 'old');
$t->clock_advance(11);
exchange('/head', [':method' => 'HEAD'], 200, \%unsized);
is got('/head'), 'fetched /head', 'HEAD without validators and length renews nothing';

exchange('/head-stale', ['User-Agent' => PC], page($swr), 'old for pc');
exchange('/head-stale', ['User-Agent' => PHONE], page('max-age=600'), 'for phone');
$t->clock_advance(11);
is $t->head('/head-stale', 'User-Agent' => PC)->header('Content-Length'), 10,
    'HEAD of a page that may be stale: answered at once';
exchange_refresh(page('max-age=600'), 'new for pc');
is got('/head-stale', 'User-Agent' => PC), 'new for pc', '… refreshed as a whole';
is got('/head-stale', 'User-Agent' => PHONE), 'for phone', '… and the other variant is still there';

# One client's reload, whose answer is its own.
exchange('/reload', ['User-Agent' => PC], page('max-age=600'), 'pc');
exchange('/reload', ['User-Agent' => PHONE], page('max-age=600'), 'phone');
exchange('/reload', ['User-Agent' => PC, 'Cache-Control' => 'no-cache', Authorization => 'x'],
    page('max-age=600'), 'for x');
is got('/reload', 'User-Agent' => PC), 'pc', 'no-cache and Authorization: the stored page stays';
is got('/reload', 'User-Agent' => PHONE), 'phone', '… and that of other devices';

# ProxyErrorOverride makes an error of httpd's out of one of the origin's.
exchange('/own-errors/a', [], page('max-age=10'), 'A');
exchange('/own-errors/b', [], page('max-age=10, stale-if-error=1000'), 'B');
$t->clock_advance(11);
$res = exchange('/own-errors/a', [], 503, {}, 'from the origin');
is "$res->{status} $res->{body}", '503 our own 503',
    'ProxyErrorOverride: an origin that says 503 is not out of reach';
$res = exchange('/own-errors/b', [], 503, {}, 'no');
is $res->{body}, 'B', '… stale-if-error allows the stale one';
$t->origin->down;
$t->allow_log(qr/proxy(?:_http)?:error/);
is $t->get('/own-errors/a')->{body}, 'A', '… and being out of reach does';
$t->origin->up;

# --- the start ------------------------------------------------------------------------------

my $whole = do { local (@ARGV, $/) = $t->dir . '/httpd.conf'; <> };
my ($status, $said) = DevCache::Httpd::configtest($t->dir . '/httpd.conf');
is $status, 0, 'httpd -t with DevCacheRoot' or diag $said;
($status, $said) = DevCache::Httpd::configtest($t->write_file('no-root.conf', $whole =~ s/^DevCacheRoot .*\n//mr));
isnt $status, 0, 'httpd -t without DevCacheRoot fails';
like $said, qr/DC0006: .* needs a place to store in: add DevCacheRoot/, '… and says why';
$t->finish;

# --- two virtual hosts, one backend ---------------------------------------------------------

$t = DevCache::Test->start(<<'CONF', ports => ['V']);
<Location "/">
    DevCache On
</Location>
Listen 127.0.0.1:@V@
Listen 127.0.0.2:@V@
<VirtualHost 127.0.0.1:@V@>
    ServerName public.example
    RequestHeader set X-Side public
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.2:@V@>
    ServerName internal.example
    RequestHeader set X-Side internal
    ProxyPass / @ORIGIN@/
</VirtualHost>
CONF

# A request to a virtual host by its address, whatever the Host says.
sub send_to {
    my ($address, $host, $path) = @_;
    my $port = $t->port('V');
    my $socket = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port)
        or die "connect to $address: $@\n";
    my $client = bless { wire => DevCache::Wire->new($socket), port => $port, waiting => [] },
        'DevCache::Client';
    return $client->send_req($path, Host => $host);
}

my %address = (public => '127.0.0.1', internal => '127.0.0.2');
for my $side (qw(public internal)) {
    my $other = $side eq 'public' ? 'internal' : 'public';
    my ($path, $host) = ("/page/$side", "$side.example");
    my $first = send_to($address{$side}, $host, $path);
    my $asked = $t->origin->accept;
    is $asked->header('X-Side'), $side, "the page of $side";
    $asked->reply(page('max-age=600'), $side);
    $first->response;
    is body_got(send_to($address{$other}, $host, $path)), "fetched $path",
        "… $other does not give it, asked for $host";
    is body_got(send_to($address{$side}, $host, $path)), $side, "… and $side does";
}
$t->finish;

# --- a hit whose body is gone ---------------------------------------------------------

$t = DevCache::Test->start(<<'CONF');
DevCacheSize 8M
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $big = body_of('big', 1_000_000);
exchange('/big', [], page('max-age=600'), $big);
is got('/big'), $big, 'a page with a file of its own';
my @files = glob $t->root . '/body-*';
is @files, 1, '… which is removed';
unlink @files;
$res = exchange('/big', [], page('max-age=600'), 'new');
is "$res->{status} $res->{body}", '200 new', '… the origin is asked instead';
is grep({ lc $_->[0] eq 'cache-status' } @{ $res->{list} }), 1, '… with one Cache-Status';
is got('/big'), 'new', '… and what is stored then is right';
$t->finish;
done_testing;
