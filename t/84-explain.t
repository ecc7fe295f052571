# SPDX-License-Identifier: Apache-2.0
# t/84-explain.t. What the server says it would do with a request is what it does, with file
# and line of the directive that decides; asking changes nothing and tells no secret.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use Test::More;
use DevCache::Ctl;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite', 'authz_host', 'dir', 'mime'], ports => ['OTHER']);
TypesConfig /dev/null
AddType text/html .html
DevCacheDeviceRule fridge "SmartFridge/\d"
Listen 127.0.0.1:@OTHER@
<VirtualHost 127.0.0.1:@PORT@>
    ServerName 127.0.0.1
    <Location "/">
        DevCache On
        DevCacheStatusHeader On
    </Location>
    <Location "/forced/">
        DevCacheForceTTL 30
    </Location>
    <Location "/default/">
        DevCacheDefaultTTL 2min 404
        DevCacheDefaultTTL 1min
        DevCacheDefaultTTL 3min 301 302
    </Location>
    <Location "/old/g/">
        DevCacheHeuristic 20 30
    </Location>
    <Location "/low/">
        DevCacheMaxTTL 20
    </Location>
    <Location "/high/">
        DevCacheMinTTL 2000
    </Location>
    <Location "/off/">
        DevCache Off
    </Location>
    <Location "/denied/">
        Require ip 192.0.2.1
    </Location>
    <Location "/bypass/">
        DevCacheBypass "%{HTTP:X-Preview} == 'yes'"
    </Location>
    <Location "/query/">
        DevCacheQuery deny utm_*
    </Location>
    <Location "/keyed/">
        DevCacheKeyHeaders Authorization
    </Location>
    <Location "/headers/">
        Header set Cache-Control "max-age=77"
    </Location>
    <Location "/st">
        ProxyPass !
        SetHandler devcache-status
        Require ip 127.0.0.1
    </Location>
    <Location "/all-st">
        ProxyPass !
        SetHandler devcache-status
        Require all granted
    </Location>
    RewriteEngine On
    RewriteRule ^/moved/(.*)$ /page/$1 [R=302,L]
    RewriteCond %{HTTP_COOKIE} beta
    RewriteRule ^/rewritten/(.*)$ @ORIGIN@/beta/$1 [P]
    <Directory "@DIR@/old">
        Require all granted
    </Directory>
    Alias /files/ "@DIR@/htdocs/"
    ProxyPass /files/ !
    Alias /old/ "@DIR@/old/"
    ProxyPass /old/ !
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.1:@PORT@>
    ServerName two.test
    ServerAlias *.two.test
    <Location "/">
        DevCache On
        DevCacheForceTTL 99
    </Location>
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.1:@OTHER@>
    ServerName three.test
    DevCacheClassify Off
</VirtualHost>
<Directory "@DIR@/htdocs">
    Require all granted
    Options FollowSymLinks
    AllowOverride FileInfo
    Header set Cache-Control "max-age=600"
</Directory>
CONF
$t->write_file('htdocs/plain', "no extension\n");
$t->write_file('htdocs/page.html', "with one\n");
$t->write_file('htdocs/index.html', "index\n");
mkdir $t->dir . "/htdocs/$_" or die for qw(app app/inner);
$t->write_file('htdocs/app/.htaccess', <<'HTACCESS');
RewriteEngine On
RewriteBase /files/app/
RewriteCond %{REQUEST_URI} !/inner/
RewriteRule (.*) inner/$1
HTACCESS
$t->write_file('htdocs/app/inner/x.html', "inner\n");
my $auto = $t->origin_auto(sub {
    my $request = shift;
    local $_ = $request->{target};
    my %fields = ('Cache-Control' => m{/nothing} ? 'private' : m{/must} ? 'no-cache' : 'max-age=600');
    delete $fields{'Cache-Control'} if m{^/default/|/headers/};
    $fields{ETag} = '"e"' if m{/must};
    $fields{Vary} = 'Cookie' if m{/cookie};
    $fields{'Cache-Control'} .= ', stale-while-revalidate=100' if m{/swr};
    return (304, \%fields, '') if $request->header('If-None-Match');
    return (200, \%fields, "page $_\n");
});
my $port = $t->port;
my $base = "http://127.0.0.1:$port";
my $conf = $t->dir . '/httpd.conf';
my @conf = do { open my $in, '<', $conf or die; <$in> };
sub line_of {
    my $re = shift;
    my ($n) = grep { $conf[$_ - 1] =~ $re } 1 .. @conf;
    return "$conf:$n";
}
sub escape { return $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }

# Ask, with the request's headers, as an array of pairs.
sub ask {
    my ($url, @headers) = @_;
    my $question = '?explain=' . escape($url);
    while (my ($name, $value) = splice @headers, 0, 2) {
        $question .= '&header=' . escape("$name: $value");
    }
    my $said = $t->get("/st$question");
    return JSON::PP->new->utf8->decode($said->{body}) if $said->{status} == 200;
    return { http => $said->{status}, said => $said->{body} };
}

# --- the word is kept ---------------------------------------------------------------------

# What the access log and the client will see, by what the explanation said.
my %kept = (hit => 'hit', miss => 'miss', pass => 'miss', bypass => 'bypass', validate => 'revalidated|expired',
            stale => 'stale', 'stale-refresh' => 'stale', timeout => 'timeout', off => '-', httpd => '-');
sub is_kept {
    my ($what, $answer, $path, @headers) = @_;
    my $said = ask("$base$path", @headers);
    is $said->{answer}, $answer, "$what: explained as $answer" or diag explain_text($said);
    my $before = $t->access_lines(qr/^GET \Q$path\E HTTP/);
    my $got = $t->get($path, @headers);
    my @lines = $t->wait_access(qr/^GET \Q$path\E HTTP/, $before + 1);
    my $status = (split /\|/, $lines[-1])[3];
    like $status, qr/^(?:$kept{$answer})$/, '  and done so';
    is $got->{status}, $said->{status}, '  with the status it said' if $answer eq 'httpd';
    return $said;
}
sub explain_text { return JSON::PP->new->pretty->canonical->encode($_[0]) }

is_kept('nothing there', miss => '/page/1', 'User-Agent' => PC);
my $hit = is_kept('a copy', hit => '/page/1', 'User-Agent' => PC);
is $hit->{key}, "$base/page/1", '  the key';
is $hit->{device}{class}, 'pc', '  the class';
is $hit->{stored}{lifetime}{field}, 'Cache-Control: max-age=600', '  the lifetime is the origin\'s';
is_deeply $hit->{stored}{variant}, [{ name => '@device', value => 'pc' }], '  the variant';
cmp_ok $hit->{stored}{ttl}, '>', 590, '  the time left';
cmp_ok abs($hit->{stored}{fresh_until} - $hit->{stored}{stored_at} - 600), '<=', 1, '  which adds up';
is $hit->{handler}, 'proxy-server', '  who is asked otherwise';
my $other = is_kept('for another device', miss => '/page/1', 'User-Agent' => PHONE);
is $other->{because}{reason}, 'vary', '  and why';
my $fridge = ask("$base/page/1", 'User-Agent' => 'SmartFridge/9');
is $fridge->{device}{class}, 'fridge', 'an own rule';
is $fridge->{device}{at}, line_of(qr/DevCacheDeviceRule/), '  with file and line';

for (['/files/plain', 'a file'], ['/files/page.html', 'a file with a type'], ['/files/', 'a folder\'s index'],
     ['/files/app/x.html', 'one rewritten in its directory'], ['/rewritten/x', 'a rewritten one'], ['/page/a%20b%C3%A9?x=%20&y', 'escapes'],
     ['/page/a;b@c+d?', 'an empty query'], ['/query/x?utm_source=1&id=2', 'a shortened query']) {
    my @beta = $_->[0] =~ /rewritten/ ? (Cookie => 'beta') : ();
    is_kept($_->[1], miss => $_->[0], @beta);
    is_kept("$_->[1], again", hit => $_->[0], @beta);
}
like ask("$base/files/app/x.html")->{filename}, qr{/app/inner/x\.html$}, 'where rewriting leads';
is_kept('the same one, not rewritten', miss => '/rewritten/x');
is ask("$base/query/x?utm_source=9&id=2")->{query_by}{at}, line_of(qr/DevCacheQuery/), 'who shortens the query';
my $keyed = is_kept('a keyed secret', miss => '/keyed/x', Authorization => 'Basic dG9wc2VjcmV0');
is $keyed->{stored_only_if_shareable}{reason}, 'authorization', '  what it needs to be stored';

is_kept('a redirect', httpd => '/moved/x');
is ask("$base/denied/x")->{status}, 403, 'denied by httpd';
is_kept('denied', httpd => '/denied/x');
my $off = is_kept('DevCache Off', off => '/off/x');
is $off->{decided_by}{at}, line_of(qr/DevCache Off/), '  with file and line';
my $bypass = is_kept('DevCacheBypass', bypass => '/bypass/x', 'X-Preview' => 'yes');
is $bypass->{decided_by}{at}, line_of(qr/DevCacheBypass/), '  with file and line';
is_kept('the same without', miss => '/bypass/x');
my $override = is_kept('a header that changes pages', bypass => '/page/1', 'X-Forwarded-Host' => 'evil');
is $override->{odd_field}{name}, 'X-Forwarded-Host', '  which is named';
is $override->{odd_field}{write}, 'DevCacheKeyHeaders X-Forwarded-Host', '  with the line to write';
my $odd = is_kept('an unknown field', miss => '/page/odd', 'X-Odd' => 'secret');
is $odd->{odd_field}{name}, 'X-Odd', '  which is named';
is $odd->{odd_field}{write}, 'DevCacheKnownHeaders X-Odd', '  with the line to write';
like ctl('explain', "$base/page/odd", '-H', 'X-Odd: 1', '-u', "$base/st")->{out},
    qr/^field +X-Odd: what applications.*\nwrite +DevCacheKnownHeaders X-Odd$/m, '  and printed';
is_kept('no-store', bypass => '/page/1', 'Cache-Control' => 'no-store');
is_kept('no-cache', validate => '/page/1', 'Cache-Control' => 'no-cache', 'User-Agent' => PC);
is_kept('only-if-cached', timeout => '/page/9', 'Cache-Control' => 'only-if-cached');
is_kept('a range of nothing', pass => '/page/9', Range => 'bytes=0-1');
is_kept('private', miss => '/nothing') for 1 .. 2;
is_kept('no-cache of the origin', miss => '/must');
my $must = is_kept('no-cache of the origin, again', validate => '/must');
is $must->{because}{reason}, 'no-cache', '  and why';

# --- who says how long ----------------------------------------------------------------------

for (['/forced/x', 30, 'directive', qr/DevCacheForceTTL 30/, 'directive'],
     ['/default/x', 60, 'directive', qr/DevCacheDefaultTTL 1min/, 'directive'],
     ['/low/x', 20, 'origin', qr/DevCacheMaxTTL/, 'lowered'],
     ['/high/x', 2000, 'origin', qr/DevCacheMinTTL/, 'raised']) {
    my ($path, $seconds, $by, $directive, $name) = @$_;
    $t->get($path, 'User-Agent' => PC);
    my $life = ask("$base$path", 'User-Agent' => PC)->{stored}{lifetime};
    is $life->{seconds}, $seconds, "$path: $seconds s";
    is $life->{by}, $by, "  by the $by";
    is $life->{$name}{at}, line_of($directive), "  $name: file and line";
}
is join(', ', map { $_->{directive} } grep { $_->{directive} =~ /DefaultTTL/ } @{ ask("$base/default/x")->{directives} }),
    'DevCacheDefaultTTL 3min 301 302, DevCacheDefaultTTL 2min 404, DevCacheDefaultTTL 1min', 'lines that add up are all listed';

my $old = $t->dir . '/old';
mkdir $old and mkdir "$old/g" or die $!;
utime time - 400 * 86400, time - 400 * 86400, $t->write_file('old/old', 'old'), $t->write_file('old/g/old', 'old') or die $!;
for (['/old/old', 3600, 10, undef], ['/old/g/old', 30, 20, line_of(qr/DevCacheHeuristic/)]) {
    my ($path, $seconds, $percent, $line) = @$_;
    $t->get($path, 'User-Agent' => PC);
    my $life = ask("$base$path", 'User-Agent' => PC)->{stored}{lifetime};
    is "$life->{by} $life->{seconds} $life->{percent} $life->{at_most}", "guess $seconds $percent $seconds", "$path: a guess, and its bound";
    is $life->{directive}{at}, $line, '  file and line, where it is not the default';
    like ctl('explain', "$base$path", '-A', PC, '--url', "$base/st")->{out},
        qr/^lifetime +$seconds s, by a guess: $percent % of the time since Last-Modified, at most $seconds s, by (?:"DevCacheHeuristic 20 30" at|default \(DevCacheHeuristic\)$)/m, '  in words';
}
$t->get('/headers/x', 'User-Agent' => PC);
my $life = ask("$base/headers/x", 'User-Agent' => PC)->{stored}{lifetime};
is "$life->{seconds} $life->{by}", '77 unknown', 'what mod_headers says is not claimed for others';
my ($here) = grep { $_->{directive} eq 'DevCacheForceTTL 30' } @{ ask("$base/forced/y")->{directives} };
is $here->{at}, line_of(qr/DevCacheForceTTL 30/), 'all directives that hold are listed';

$t->get('/swr', 'User-Agent' => PC);
$t->clock_advance(650);
is_kept('stale', validate => '/page/1', 'User-Agent' => PC);
is_kept('stale while revalidated', 'stale-refresh' => '/swr', 'User-Agent' => PC);
is_kept('max-stale', stale => '/files/plain', 'Cache-Control' => 'max-stale=1000');

# --- virtual hosts ----------------------------------------------------------------------------

my $two = ask("http://www.two.test:$port/x");
is $two->{vhost}{name}, 'two.test', 'a virtual host by its alias';
ok $two->{vhost}{named}, '  has that name';
is $two->{vhost}{at}, line_of(qr/ServerName two/) =~ s/(\d+)$/$1 - 1/er, '  with file and line';
ok +(grep { $_->{directive} eq 'DevCacheForceTTL 99' } @{ $two->{directives} }), '  and its directives';
ok !ask("http://unknown.test:$port/x")->{vhost}{named}, 'the default one does not have the name';
my $three = ask('http://three.test:' . $t->port('OTHER') . '/x');
is $three->{vhost}{name}, 'three.test', 'a virtual host by its port';
is $three->{answer}, 'off', '  where the cache is off';
is $three->{device}, undef, '  and nothing is classified';
is ask("https://127.0.0.1/")->{vhost}{name}, '127.0.0.1', 'a port that nobody listens on: the main server';

# --- nothing changes, nothing is told -----------------------------------------------------------

$t->get('/cookie', Cookie => 'id=topsecret', 'User-Agent' => PC);
my %before = %{ $t->counters };
my $listed = ctl('ls', '--root', $t->root)->{out} =~ s{ +-?\d+[smhd] }{ }gr;
my $asked = $auto->fetches;
my $logged = () = $t->access_lines;
my $secret;
for (1 .. 5) {
    $secret = ask("$base/cookie", Cookie => 'id=topsecret', 'User-Agent' => PC, Authorization => 'Basic dG9wc2VjcmV0');
    ask("$base/page/$_") for 1 .. 3;
    ask("$base/denied/x");
}
is $secret->{answer}, 'hit', 'a variant by cookie';
unlike explain_text($secret), qr/topsecret|dG9wc2VjcmV0/, '  without the cookie';
like explain_text($secret), qr/"present"/, '  but for its presence';
my %after = %{ $t->counters };
delete @$_{qw(classified spoofed)} for \%before, \%after;
is_deeply { map { $_ => $after{$_} } grep { !/_seconds|_us|uptime|now/ } keys %before }, \%before, 'no counter has moved';
is ctl('ls', '--root', $t->root)->{out} =~ s{ +-?\d+[smhd] }{ }gr, $listed, 'nothing is stored, nothing counts as used';
is $auto->fetches, $asked, 'the origin was not asked';
is scalar(() = $t->access_lines(qr{/denied/|/cookie})), scalar(grep { m{/denied/|/cookie} } ($t->access_lines)[0 .. $logged - 1]),
    'the access log has only what was asked for';

# --- who may ask, and what ----------------------------------------------------------------------

my $open = $t->get('/all-st?explain=' . escape("$base/page/1"));
is $open->{status}, 403, 'where everybody may see the page it is refused';
like $open->{body}, qr/Require/, '  and said why';
for ('explain=', 'explain=page', 'explain=ftp://x/', 'explain=http:///x', 'explain=http://u:p@h/', 'explain=%',
     'explain=http://h/a%20b', 'explain=http://h/%0d%0aX:y', 'explain=http://h/&header=x', 'explain=http://h/&header=a%20b:c',
     'explain=http://h/&header=A:b%0d%0aC:d', 'explain=http://h/&header=Host:x', 'explain=http://h/&address=localhost',
     'explain=http://h/&store=1', 'explain=http://h/' . '&header=A:b' x 101) {
    my $said = $t->get("/st?$_");
    is $said->{status}, 400, 'refused: ' . substr $_, 0, 60;
    ok eval { JSON::PP->new->utf8->decode($said->{body})->{error} }, '  with a sentence';
}
is $t->get('/st?explain=' . escape("$base/" . 'x' x 3000))->{status}, 200, 'a long URL';

# --- the tool -----------------------------------------------------------------------------------

my $st = "$base/st";
my $ran = ctl('explain', "$base/default/x", '-A', PC, '--url', $st);
is $ran->{exit}, 0, 'devcachectl explain';
like $ran->{out}, qr/^lifetime +60 s, by "DevCacheDefaultTTL 1min" at \Q@{[ line_of(qr{DevCacheDefaultTTL 1min}) ]}\E$/m, '  who says how long';
like $ran->{out}, qr/^device +pc \(kind pc\), by the built-in rule/m, '  the class and its rule';
is ctl_json('explain', "$base/page/1", '-H', 'Cache-Control: no-store', '-H', 'Accept: x', '--url', $st)->{answer}, 'bypass', '  with headers, as JSON';
is ctl('explain', 'page', '--url', $st)->{exit}, 2, '  of no URL: 2';
my $refused = ctl('explain', "$base/page/1", '--url', "$base/all-st");
is $refused->{exit}, 1, '  refused: 1';
like $refused->{err}, qr/refuses \(403\): .*Require/, '  with the server\'s reason';
is ctl('explain', "$base/page/1", '--url', "$base/page/1")->{exit}, 1, '  of another page: 1';

$t->allow_log(qr/AH01797|AH01630/);    # denied by the test itself
$t->finish;
done_testing;
