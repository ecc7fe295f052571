# SPDX-License-Identifier: Apache-2.0
# t/65-attack-core.t. Attacks on the core, each as somebody outside would try it: another spelling of
# a URL where the application sees the spelling; memory and descriptors of a connection that is kept.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

sub status_of { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1
    : 'none' }

# --- spellings ------------------------------------------------------------------------------

# A content system sees the URL as the client has written it (REQUEST_URI), whatever httpd has made of it
# to find the script: what it says to /x/../page or //page is not the page.
my $t = DevCache::Test->start(<<'CONF', modules => [qw(dir mime rewrite cgid)]);
DocumentRoot "@DIR@/htdocs"
ScriptSock "@DIR@/cgisock"
DirectoryIndex index.cgi
TypesConfig /dev/null
DevCacheVaryDevice Off
<Directory "@DIR@/htdocs">
    Require all granted
    Options ExecCGI FollowSymLinks
    AllowOverride All
    AddHandler cgi-script .cgi
</Directory>
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
ProxyPass /raw/ @ORIGIN@/ nocanon
CONF
mkdir $t->dir . '/htdocs/cms' or die;
$t->write_file('htdocs/cms/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule . /cms/index.cgi [L]
HTACCESS
chmod 0755, $t->write_file('htdocs/cms/index.cgi', <<'SCRIPT') or die;
#!/bin/sh
echo "Content-Type: text/plain"
echo "Cache-Control: max-age=600"
echo
echo "asked for $REQUEST_URI${HTTP_HOST:- of nobody}" | sed "s/$HTTP_HOST\$//"
SCRIPT
for my $odd ('/cms//page', '//cms/page', '/cms/x/../page', '/cms/%70age', '/cms/./page') {
    is $t->get($odd)->{body}, "asked for $odd\n", "$odd is what the script sees";
    my $res = $t->get('/cms/page');
    is $res->{body}, "asked for /cms/page\n", '… and is not given to who asks for the page';
}
is status_of($t->get('/cms/page')), 'hit', 'which is stored';
is status_of($t->get('/cms/%70age')), 'hit', 'and so is the other';
is $t->get('/cms/caf%C3%A9')->{body}, "asked for /cms/caf%C3%A9\n", 'what has to be encoded';
is status_of($t->get('/cms/caf%C3%A9')), 'hit', '… is stored like any other';

# HTTP/1.0 has no Host, and links made of it lead nowhere.
for my $request ("GET /cms/old HTTP/1.0\r\n\r\n",
    "GET /cms/old HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n") {
    my $c = $t->client;
    $c->send_raw($request);
    like $c->expect('GET')->response->{body}, qr/of nobody|^</, 'a script without a Host';
    is $t->get('/cms/old')->{body}, "asked for /cms/old\n", '… is not for who has one';
}

# A backend may be told the spelling as well.
my $auto = $t->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=600' }, $_[0]{target}) });
for my $odd ('/x/../page', '/%70age') {
    is $t->get("/raw$odd")->{body}, $odd, "$odd is what the backend sees";
    is $t->get('/raw/page')->{body}, '/page', '… and is not given to who asks for the page';
}
is status_of($t->get('/raw/page')), 'hit', 'which is stored';

$t->finish;

# --- a type that is more than a type -------------------------------------------------------------

# httpd refuses to send it when it is made; neither may it come out of the store, nor be made of
# what does.
$t = DevCache::Test->start(<<'CONF', modules => ['lua']);
DevCacheVaryDevice Off
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
LuaMapHandler ^/split "@DIR@/split.lua"
ProxyPass /good @ORIGIN@/good
Header set Content-Type "expr=%{unescape:text/plain%0d%0aX-Evil: 1}" "expr=req('X-Bad') == '1'"
CONF
$t->write_file('split.lua', <<'LUA');
function handle(r)
    r.headers_out['Cache-Control'] = 'max-age=600'
    r.content_type = 'text/plain\r\nX-Evil: 1'
    r:write('split')
    return apache2.OK
end
LUA
for my $n (1, 2) {
    my $res = $t->get('/split');
    is $res->{status}, 500, "asked for the $n. time";
    is $res->header('X-Evil'), undef, '… nothing was split off';
}
is $t->counters->{stored}, 0, 'it is not even stored';
$t->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=600' }, 'good') });
is $t->get('/good')->{body}, 'good', 'a good type';
is status_of($t->get('/good')), 'hit', '… is stored';
my $bad = $t->get('/good', 'X-Bad' => 1);
is $bad->{status}, 500, 'made a bad one on a hit';
is $bad->header('X-Evil'), undef, '… nothing is split off';
$t->expect_log(qr/AH02430/);
$t->finish;

# --- clocks -----------------------------------------------------------------------------------

$t = DevCache::Test->start(<<'CONF');
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
$site->ask('/clock');
is $site->ask('/clock')->{fetches}, 0, 'fresh for a minute';
$t->clock_advance(-3600);
is $site->ask('/clock')->{fetches}, 1, 'not for an hour and a minute, if the clock is set back';
is $site->ask('/clock')->{fetches}, 0, 'what came since is fresh';
$t->clock_advance(-10);
is $site->ask('/clock')->{fetches}, 0, 'a small step is none';
$t->clock_advance(366 * 86400);
is $site->ask('/clock')->{fetches}, 1, 'a year ahead';
is $site->ask('/clock')->{fetches}, 0, '… and on';
$t->finish;

# --- a connection that is kept ------------------------------------------------------------------

# Nothing of a request stays behind in memory or descriptors, however many a connection has. Not
# under the sanitizers, which keep what is freed.
if (!$ENV{DEVCACHE_PRELOAD}) {
    $t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
LogLevel notice devcache:notice
MaxKeepAliveRequests 0
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
<Location "/purged/">
    DevCachePurge On
    Require local
</Location>
ProxyPass / @ORIGIN@/
CONF
    $t->origin_auto(sub {
        return (200, { 'Cache-Control' => 'max-age=6000', ETag => '"e"' }, 'x' x 3000);
    });
    my $client = $t->client;
    my $ask = sub {
        my ($n, $line, @headers) = @_;
        my $text = join "\r\n", "$line HTTP/1.1", 'Host: 127.0.0.1:' . $t->port, @headers, '', '';
        $client->send_raw($text x $n);
        my @all = map { $client->expect('GET') } 1 .. $n;
        $_->response for @all;
        return $all[-1]->response->{status};
    };
    my $held = sub {    # KB and descriptors of all children
        my ($memory, $files) = (0, 0);
        for my $pid ($t->pids) {
            open my $status, '<', "/proc/$pid/status" or next;
            /^VmRSS:\s+(\d+)/ and $memory += $1 while <$status>;
            $files += () = glob "/proc/$pid/fd/*";
        }
        return ($memory, $files);
    };
    my %kinds = (
        hits => [200, 'GET /p'], ranges => [206, 'GET /p', 'Range: bytes=5-10'],
        '304s' => [304, 'GET /p', 'If-None-Match: "e"'], purges => [200, 'PURGE /purged/p'],
        bans => [200, 'BAN /purged/p', 'X-Url: ^/purged/q'],
        validations => [200, 'GET /p', 'Cache-Control: no-cache'],
    );
    for my $kind (sort keys %kinds) {
        my ($want, @request) = @{ $kinds{$kind} };
        is $ask->(200, @request), $want, $kind;
        # Threads that had nothing to do with it before touch some memory once; a leak grows
        # each time.
        my ($more_memory, $more_files);
        for (1 .. 3) {
            my ($memory, $files) = $held->();
            $ask->(200, @request) for 1 .. 10;
            my ($memory_now, $files_now) = $held->();
            ($more_memory, $more_files) = ($memory_now - $memory, $files_now - $files);
            last if $more_memory < 200 && $more_files < 10;
        }
        cmp_ok $more_memory, '<', 200, '… 2000 more leave nothing in memory';
        cmp_ok $more_files, '<', 10, '… and no descriptor';
    }
    $t->finish;
}
done_testing;
