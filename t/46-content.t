# SPDX-License-Identifier: Apache-2.0
# t/46-content.t. Wherever the content comes from and whatever filters it, and wherever the
# configuration stands: proxied (ProxyPass, in a Location, a balancer, by SetHandler), files with
# indexes and per-directory rewriting, scripts, error pages; mod_deflate, mod_headers.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Test::More;
use DevCache::Test;
use DevCache::Told;

my @modules = qw(rewrite dir mime authz_host deflate filter substitute cgid autoindex
                 proxy_balancer lbmethod_byrequests slotmem_shm);
my $t = DevCache::Test->start(<<'CONF', modules => \@modules, origins => 2, ports => [qw(OFF ON)]);
LimitRequestFieldSize 40000
DevCacheStatusHeader On
ScriptSock "@DIR@/cgisock"
TypesConfig /dev/null
AddHandler cgi-script .cgi
DevCacheVaryDevice Off
DevCacheDefaultTTL 600

# by server, virtual host, Location, Directory and If
DevCache On
<Location "/l-off/">
    DevCache Off
</Location>
<Location "/l-off/on/">
    DevCache On
</Location>
<LocationMatch "^/match-\w+/">
    DevCache Off
</LocationMatch>
<Directory "@DIR@/htdocs/d-off">
    DevCache Off
</Directory>
<If "%{QUERY_STRING} == 'off'">
    DevCache Off
</If>
<FilesMatch "\.nocache$">
    DevCache Off
</FilesMatch>
Listen 127.0.0.1:@OFF@
<VirtualHost 127.0.0.1:@OFF@>
    DevCache Off
    ProxyPass / @ORIGIN@/off-host/
    <Location "/on/">
        DevCache On
    </Location>
</VirtualHost>
Listen 127.0.0.1:@ON@
<VirtualHost 127.0.0.1:@ON@>
    ProxyPass / @ORIGIN@/on-host/
</VirtualHost>

<Directory "@DIR@/htdocs">
    Options ExecCGI FollowSymLinks Indexes
    AllowOverride FileInfo
    DirectoryIndex index.html index.cgi
</Directory>
ErrorDocument 404 /errors/404.cgi
ErrorDocument 403 /errors/403.html
ErrorDocument 503 "come back later"

ProxyPass /pass/ @ORIGIN@/pass/
<Location "/in-location/">
    ProxyPass @ORIGIN@/in-location/
</Location>
<Proxy "balancer://nodes">
    BalancerMember @ORIGIN@
    BalancerMember @ORIGIN2@
</Proxy>
ProxyPass /balanced/ balancer://nodes/balanced/
<FilesMatch "\.app$">
    SetHandler "proxy:@ORIGIN@/by-handler?"
</FilesMatch>
RewriteEngine On
RewriteRule ^/rewritten/(.*) @ORIGIN@/target/$1 [P]
ProxyPassMatch ^/(l-off|match-\w+|filtered|gzip|headers)/ @ORIGIN@
<Location "/override/">
    ProxyPass @ORIGIN@/override/
    ProxyErrorOverride On
</Location>

<Location "/gzip/">
    SetOutputFilter DEFLATE
</Location>
<Location "/filtered/">
    SetOutputFilter SUBSTITUTE
    Substitute "s/a+/<$0>/"
</Location>
<Location "/headers/">
    Header set X-Set ours
    Header append X-Append ours
    Header add X-Add ours
    Header merge Cache-Control "stale-if-error=5"
    Header edit X-Edit ^ "edited "
    Header edit* X-Each o 0
    Header always add X-Always ours
    Header unset Set-Cookie
    Header unset X-Unset
    Header setifempty X-Empty ours
</Location>
CONF
my $site = DevCache::Told->new($t);
my $second = $t->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=60' }, 'second') },
    2);

sub status_of { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1
    : 'none' }
sub cond { return $site->last_request->[2]{'if-none-match'} // 'none' }

# --- files and scripts --------------------------------------------------------------------

mkdir $t->dir . "/htdocs/$_" or die for qw(d-off sub cms cms/wp errors closed list);
sub file { return $t->write_file("htdocs/$_[0]", $_[1]) }
sub script {
    my ($name, @lines) = @_;
    chmod 0755, file($name, join "\n", '#!/bin/sh', @lines, '') or die;
}
my $unique = 'cat /proc/sys/kernel/random/uuid';   # another body at each run
file($_, 'version 1') for 'page.html', 'd-off/page.html', 'sub/index.html', 'page.nocache',
    'own.app';
script('index.cgi', 'echo "Content-Type: text/plain"', 'echo',
    "echo \"\$REQUEST_URI \$REDIRECT_URL\"; $unique");

# The answers to two equal requests: equal bodies and a hit, or not.
sub same {
    my ($name, $path, @headers) = @_;
    my ($one, $two) = map { $t->get($path, @headers) } 1, 2;
    is "$one->{status} " . status_of($two), '200 hit', "$name: the second is a hit";
    ok $two->{body} eq $one->{body}, '… with the same body';
    return $two;
}
sub differ {
    my ($name, $path, @headers) = @_;
    my ($one, $two) = map { $t->get($path, @headers) } 1, 2;
    isnt status_of($two), 'hit', "$name: the second is no hit";
    return $two;
}

same('a file', '/page.html');
file('page.html', 'version 2, longer');
is $t->get('/page.html')->{body}, 'version 1', 'it is served from the cache while fresh';
is $t->get('/page.html', 'Cache-Control' => 'no-cache')->{body}, 'version 2, longer',
    'and anew on demand';
is $t->get('/page.html')->{body}, 'version 2, longer', 'then from the cache';
differ('a Directory with DevCache Off', '/d-off/page.html');
differ('Files with DevCache Off', '/page.nocache');
differ('If with DevCache Off', '/page.html?off');
same('a directory index', '/sub/');
is $t->get('/sub')->{status}, 301, 'a directory without its slash is redirected' for 1, 2;
is status_of($t->get('/sub/index.html')), 'fwd=uri-miss',
    'the index under its own name is another URL';
same('an index of files', '/list/');

my $script = same('a script', '/index.cgi');
like $script->header('Content-Type'), qr{^text/plain}, 'with its type';
script('private.cgi', 'echo "Cache-Control: private"', 'echo "Content-Type: text/plain"', 'echo',
    $unique);
differ('a script that says private', '/private.cgi');
script('cookie.cgi', 'echo "Set-Cookie: a=$$"', 'echo "Content-Type: text/plain"', 'echo',
    $unique);
differ('a script that sets a cookie', '/cookie.cgi');
script('vary.cgi', 'echo "Vary: X-A"', 'echo "Content-Type: text/plain"', 'echo',
    'echo "for $HTTP_X_A"', $unique);
like same("Vary of a script, $_", '/vary.cgi', 'X-A' => $_)->{body}, qr/^for $_\n/,
    'its own' for 1, 2;
script('hop.cgi', 'echo "Connection: X-Hop"', 'echo "X-Hop: 1"', 'echo "X-End: 1"',
    'echo "Content-Type: text/plain"', 'echo', $unique);
my $hop = same('a script that names a field in Connection', '/hop.cgi');
is join('|', map { $hop->header($_) // 'none' } 'X-Hop', 'X-End'), 'none|1',
    'which is not stored';
script('broken.cgi', 'echo broken', 'exit 1');
is $t->get('/broken.cgi')->{status}, 500, 'a broken script is an error';
script('broken.cgi', 'echo "Content-Type: text/plain"', 'echo', 'echo mended');
is $t->get('/broken.cgi')->{body}, "mended\n", 'which is not stored';
script('status.cgi', 'echo "Status: 404"', 'echo "Content-Type: text/plain"', 'echo', $unique);
my ($nf, $nf2) = map { $t->get('/status.cgi') } 1, 2;
is "$nf2->{status} " . status_of($nf2), '404 hit', 'a 404 of a script is stored';
script('large.cgi', 'echo "Content-Type: text/plain"', 'echo',
    'head -c 300000 /dev/zero | tr "\0" x', $unique);
cmp_ok length same('a script of 300 KB', '/large.cgi')->{body}, '>', 300_000, 'all of it';
script('slow.cgi', 'echo "Content-Type: text/plain"', 'echo', 'echo first', 'cat ' . $t->dir
    . '/fifo', 'echo last');
require POSIX;
POSIX::mkfifo($t->dir . '/fifo', 0666) or die "mkfifo: $!";
chmod 0666, $t->dir . '/fifo';
my $slow = $t->send_req('/slow.cgi');
is $slow->body_of(6), "first\n", 'what a script has said is not held back';
$t->write_file('fifo', "middle\n");
is $slow->response->{body}, "first\nmiddle\nlast\n", 'and then the rest';
is status_of($t->get('/slow.cgi')), 'hit', 'stored whole';

# A content system: everything that is no file goes to its script, by .htaccess.
file('cms/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule . /cms/index.cgi [L]
HTACCESS
script('cms/index.cgi', 'echo "Content-Type: text/plain"', 'echo', 'echo "post $REQUEST_URI"',
    $unique);
file('cms/style.css', 'body {}');
my %post;
for my $path ('/cms/post-1', '/cms/post-2', '/cms/post-2?page=2', '/cms/deep/er/post') {
    my $res = same("rewritten by .htaccess: $path", $path);
    like $res->{body}, qr/^post \Q$path\E\n/, 'its own page';
    $post{$path} = $res->{body};
}
is $t->get($_)->{body}, $post{$_}, "$_ again" for sort keys %post;
my $kept = $t->client;   # one connection: an answer with two ends would spoil the next
for my $n (1 .. 3) {
    my $res = $kept->send_req("/cms/kept-$n")->response;
    like $res->{body}, qr{^post /cms/kept-$n\n}, "kept connection, rewritten page $n";
    # By length, if all of it was there at once.
    is $res->header('Transfer-Encoding') // $res->header('Content-Length'),
        $res->header('Content-Length') // 'chunked', '… framed once';
}
is same('a file there', '/cms/style.css')->{body}, 'body {}', 'is itself';
like same('the index', '/cms/')->{body}, qr{^post /cms/\n}, 'is its own page';

# --- error documents -----------------------------------------------------------------------

script('errors/404.cgi', 'echo "Status: 200"', 'echo "Cache-Control: public, max-age=600"',
    'echo "Content-Type: text/plain"',
    'echo', 'echo not found');
file('errors/403.html', 'forbidden');
file('closed/.htaccess',
    "RewriteEngine On\nRewriteCond %{HTTP:X-Ban} yes\nRewriteRule . - [F]\n");
file('closed/page.html', 'open');
for my $missing ('/missing.html', '/missing.cgi', '/sub/missing/x') {
    like $t->get($missing)->{body}, qr/^not found/, "$missing: the error page";
    isnt status_of($t->get($missing)), 'hit', 'is not stored';
    $t->wait_access(qr{^GET \Q$missing\E .*\|error-page\|}, 1);
}
file('missing.html', 'here now');
is $t->get('/missing.html')->{body}, 'here now', 'and not in the way of the file';
like $t->get('/closed/page.html', 'X-Ban' => 'yes')->{body}, qr/^forbidden/,
    'an error page by ErrorDocument 403';
is same('the page itself', '/closed/page.html')->{body}, 'open', 'is another matter';
is $t->get('/closed/page.html', 'X-Ban' => 'yes')->{status}, 403,
    'and still forbidden where it was';
is $t->get('/errors/403.html')->{body}, 'forbidden', 'the error page under its own URL';

my $lifetime = [200, 'Cache-Control' => 'max-age=600', ':body' => 'good'];
for my $status (403, 404, 500, 503) {
    my $path = "/override/$status";
    my $bad = [$status, 'Cache-Control' => 'max-age=600', 'Set-Cookie' => 'a=1',
        ':body' => 'of the origin'];
    my $res = $site->fetched("ProxyErrorOverride, $status", $path, $bad);
    unlike $res->{body}, qr/of the origin/, 'has our page';
    $t->wait_access(qr{^GET /override/$status .*\|error-page\|}, 1);
    $res = $site->fetched('which is not stored', $path, $lifetime);
    is "$res->{status} $res->{body}", '200 good', 'and not in the way of the good one';
    is $site->cached('which is', $path)->{body}, 'good', 'and served';
}
$site->fetched('ProxyErrorOverride, an old page', '/override/old',
    [200, 'Cache-Control' => 'max-age=1', ETag => '"o"', ':body' => 'old']);
$t->clock_advance(2);
unlike $site->ask('/override/old', [404, ':body' => 'of the origin'])->{body}, qr/of the origin|old/,
    'that has gone';
is $site->ask('/override/old', $lifetime)->{body}, 'good', 'and comes back';

# --- where the origin is named, where the cache is configured ---------------------------------

for my $prefix ('/pass/', '/in-location/', '/rewritten/', '/l-off/on/') {
    my $res = $site->fetched("$prefix: first", "${prefix}p", $lifetime);
    is $site->cached("$prefix: hit", "${prefix}p")->{body}, $res->{body}, '… the same';
}
$site->fetched("$_: Off", "${_}p", $lifetime) for '/l-off/', '/l-off/', '/match-x/', '/match-x/';
my @hosts = ([OFF => '/p', 1], [OFF => '/on/p', 0], [ON => '/p', 0]);
for (@hosts) {
    my ($host, $path, $again) = @$_;
    my @port = (':port' => $t->port($host));
    $site->fetched("virtual host $host, $path", $path, $lifetime, @port);
    is $site->ask($path, $lifetime, @port)->{fetches}, $again, $again ? 'is off' : 'is on';
}
my $before = $second->fetches;
my $one = $site->ask('/balanced/p');
is $t->get('/balanced/p')->{body}, $one->{body},
    'a balancer: one answer, whoever gave it' for 1 .. 4;
is $site->{auto}->fetches('/balanced/p') + $second->fetches - $before, 1, 'and one fetch';
$site->fetched('SetHandler proxy:', '/own.app', $lifetime);
$site->cached('SetHandler proxy: hit', '/own.app');

# --- filters -----------------------------------------------------------------------------------

# E16: mod_deflate before the cache, with an ETag: each coding is a variant, and a 304 of the
# origin's confirms it though the filter has changed the tag.
my $text = 'compressible ' x 500;
my @zip = ('Accept-Encoding' => 'gzip');
my $page = [200, 'Cache-Control' => 'max-age=60', ETag => '"abc"', 'Content-Type' => 'text/plain',
    ':body' => $text];
my $same = [304, 'Cache-Control' => 'max-age=60', ETag => '"abc"'];
sub unzipped { gunzip(\$_[0]{body}, \my $plain) or return "gunzip: $GunzipError"; return $plain }
my $zipped = $site->fetched('DEFLATE', '/gzip/p', $page, @zip);
is $zipped->header('Content-Encoding'), 'gzip', 'E16: compressed';
is $zipped->header('ETag'), '"abc-gzip"', 'E16: with a tag of its own';
my $hit = $site->cached('E16: the compressed one is stored', '/gzip/p', undef, @zip);
ok $hit->{body} eq $zipped->{body}, 'E16: the same bytes';
ok unzipped($hit) eq $text, 'E16: compressed once';
is join('|', map { $hit->header($_) } qw(Content-Encoding ETag Content-Length)),
    'gzip|"abc-gzip"|' . length $hit->{body}, 'E16: described';
like $hit->header('Vary'), qr/Accept-Encoding/, 'E16: with its Vary';
my $identity = $site->fetched('E16: who cannot decode it gets another', '/gzip/p', $page,
    'Accept-Encoding' => undef);
ok $identity->{body} eq $text, 'E16: in clear';
is $identity->header('ETag'), '"abc"', 'E16: with the tag of the origin';
is $site->cached('E16: that one is stored, too', '/gzip/p')->header('Content-Encoding'), undef,
    'E16: in clear';
is $site->cached('E16: a condition on the compressed one', '/gzip/p', undef, @zip,
    'If-None-Match' => '"abc-gzip"')->{status}, 304, 'E16: holds';
is $site->cached('E16: with the other tag', '/gzip/p', undef, @zip,
    'If-None-Match' => '"abc"')->{status}, 304, 'E16: holds, as the origin would say';
is $site->cached('E16: with another one', '/gzip/p', undef, @zip,
    'If-None-Match' => '"ab", "abcd", "abc-br", "gzip"')->{status}, 200, 'E16: does not';
is $site->cached('E16: a range of it', '/gzip/p', undef, @zip, Range => 'bytes=0-1')->{body}, "\x1f\x8b",
    'E16: is of its bytes';
is $site->cached('E16: HEAD', '/gzip/p', undef, @zip, ':method' => 'HEAD')->header('Content-Length'),
    length $zipped->{body}, 'E16: has its length';
for my $round (1, 2) {
    $t->clock_advance(61);
    $hit = $site->fetched("E16: stale, round $round", '/gzip/p', $same, @zip);
    like cond(), qr/(?:^|, )"abc"(?:,|$)/, "E16: the origin is asked by its own tag";
    is $hit->{status}, 200, 'E16: confirmed by 304';
    ok unzipped($hit) eq $text, 'E16: and served as it was stored';
    is $hit->header('ETag'), '"abc-gzip"', 'E16: with its own tag';
    $site->cached('E16: and fresh again', '/gzip/p', undef, @zip);
}
ok $site->fetched('E16: the other is stale as well', '/gzip/p', $same)->{body} eq $text,
    'E16: confirmed';
is cond(), '"abc"', 'E16: by its own tag';
$t->clock_advance(61);
$hit = $site->fetched('E16: a new page', '/gzip/p', [200, @{$page}[1 .. 2], ETag => '"def"',
    'Content-Type' => 'text/plain', ':body' => "new $text"], @zip);
ok unzipped($hit) eq "new $text", 'E16: is compressed';
ok unzipped($site->cached('E16: and stored', '/gzip/p', undef, @zip)) eq "new $text", 'E16: once';

my $letters = [200, 'Cache-Control' => 'max-age=60', 'Content-Type' => 'text/plain',
    ':body' => 'aaa b'];
is $site->fetched('SUBSTITUTE', '/filtered/p', $letters)->{body}, '<aaa> b', 'works on the answer';
is $site->cached('SUBSTITUTE, hit', '/filtered/p')->{body}, '<aaa> b', 'and not on hits again';

# mod_headers works on each answer, once, from what the origin had sent.
my @sent = ('Cache-Control' => 'max-age=60', 'X-Set' => 'theirs', 'X-Append' => 'theirs',
    'X-Add' => 'theirs', 'X-Edit' => 'me',
    'X-Each' => 'foo', 'Set-Cookie' => 'a=1', 'X-Unset' => 'theirs', ETag => '"h"');
my @shown = ('X-Set', 'X-Append', 'X-Add', 'X-Edit', 'X-Each', 'X-Always', 'Set-Cookie',
    'X-Unset', 'X-Empty', 'Cache-Control');
my $want = 'ours|theirs, ours|theirs, ours|edited me|f00|ours|none|none|ours|'
    . 'max-age=60, stale-if-error=5';
sub shown { my $res = shift; return join '|', map { $res->header($_) // 'none' } @shown }
is shown($site->fetched('mod_headers', '/headers/p', [200, @sent])), $want, 'on the first answer';
is shown($site->cached("mod_headers, hit $_", '/headers/p')), $want, 'the same' for 1, 2;
is shown($site->cached('mod_headers, HEAD', '/headers/p', undef, ':method' => 'HEAD')), $want,
    'the same';
$t->clock_advance(61);
is shown($site->fetched('mod_headers, confirmed', '/headers/p',
    [304, ETag => '"h"', 'Cache-Control' => 'max-age=60'])), $want, 'the same';
is shown($site->cached('mod_headers, then', '/headers/p')), $want, 'the same';
my $nm = $site->cached('mod_headers, 304', '/headers/p', undef, 'If-None-Match' => '"h"');
is $nm->{status}, 304, 'to a condition';
is $nm->header('X-Always'), 'ours', 'has what is always set';
is $nm->header('Set-Cookie'), undef, 'and no cookie';

$t->expect_log(qr/AH02429|End of script output|AH01276|AH01630|cgid:error/);
$t->allow_log(qr/\[proxy(?:_http)?:(?:error|warn)\]/, qr/\[lbmethod|slotmem/);
$t->finish;
done_testing;
