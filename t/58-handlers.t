# SPDX-License-Identifier: Apache-2.0
# t/58-handlers.t. Real php-fpm, uWSGI, mod_lua, CGI and mod_php behind the rewriting that
# applications come with: front controllers in .htaccess, <Directory> and the server, folders
# below folders, PATH_INFO, DirectoryIndex, FallbackResource, Action. Handlers change the file
# name, and httpd goes from URL to URL; a page is stored all the same, and one that rewriting
# keeps for members goes to nobody else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Httpd;
use DevCache::Service;
use DevCache::Test;
use File::Temp ();
use Test::More;

my $fpm = DevCache::Service::find('php-fpm8*', 'php-fpm*');
my $uwsgi = DevCache::Service::find('uwsgi-core', 'uwsgi');
$fpm && $uwsgi or plan skip_all => 'no php-fpm or uWSGI here: run tools/packages.sh test';
my ($mod_php) = glob DevCache::Httpd::libexecdir() . '/libphp*.so';
($mod_php) = map { "$FindBin::Bin/../$_" } glob 'build/peers/usr/lib/apache2/modules/libphp*.so'
    if !$mod_php;

my ($user, $group) = DevCache::Httpd::children_run_as();
my $dir = File::Temp::tempdir(CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/run";
chmod 0777, "$dir/run";

sub write_to {
    my ($name, $text, $mode) = @_;
    my $path = $dir;
    $path .= "/$1", mkdir $path while $name =~ m{([^/]+)/}g;
    open my $file, '>', "$dir/$name" or die "$dir/$name: $!\n";
    print $file $text;
    close $file;
    chmod $mode // 0644, "$dir/$name";
}

# --- the applications ---------------------------------------------------------------------

# Each answer is another one, says who has made it, of what, and for whom.
my $php = <<'PHP';
<?php
header('Cache-Control: max-age=60');
header('Content-Type: text/plain');
echo basename(__FILE__), ' ', $_SERVER['REQUEST_URI'], ' ', $_GET['q'] ?? '-', ' ',
    $_SERVER['HTTP_X_DEVICE_TYPE'] ?? '-', ' ', uniqid('', true), "\n";
PHP
my $python = <<'PY';
import uuid
def application(env, start):
    name = env.get('REQUEST_URI', '-')
    start('200 OK', [('Cache-Control', 'max-age=60'), ('Content-Type', 'text/plain')])
    who = 'member.php' if env.get('HTTP_X_WHO') else 'index.php'
    return [f"{who} {name} - {env.get('HTTP_X_DEVICE_TYPE')} {uuid.uuid4()}\n".encode()]
PY
my $perl = <<'PL';
#!/usr/bin/perl
use Time::HiRes;
# By Action the file that was asked for is in PATH_TRANSLATED.
my ($name) = ($ENV{PATH_TRANSLATED} || $ENV{SCRIPT_FILENAME}) =~ m{([^/]+)$};
print "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n\r\n";
print "$name $ENV{REQUEST_URI} - $ENV{HTTP_X_DEVICE_TYPE} ", Time::HiRes::time(), " $$\n";
PL
my $lua = <<'LUA';
function handle(r)
    r.headers_out['Cache-Control'] = 'max-age=60'
    r.content_type = 'text/plain'
    r:puts(r.filename:match('[^/]+$'), ' ', r.unparsed_uri, ' - ',
           r.headers_in['X-Device-Type'] or '-', ' ', r:clock(), '\n')
    return apache2.OK
end
LUA

# A front controller as WordPress writes it, and members, known by their cookie, by another.
sub front {
    my ($base, $suffix, $path) = @_;
    $path //= '';
    return <<"CONF";
RewriteEngine On
RewriteRule ^$path(index|member)\\.$suffix\$ - [L]
RewriteCond %{HTTP_COOKIE} who=member [NV]
RewriteRule . ${base}member.$suffix [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . ${base}index.$suffix [L]
CONF
}

my @sites;      # [name, URL, what must have answered, its configuration]
my $conf = '';

# A folder with index and member in the application's language, and more in its .htaccess.
sub site {
    my ($name, $folder, $suffix, $source, %more) = @_;
    write_to("www/$folder/$_.$suffix", $source, $suffix eq 'pl' ? 0755 : 0644)
        for 'index', 'member';
    write_to("www/$folder/.htaccess", $more{htaccess}) if $more{htaccess};
    $conf .= $more{conf} // '';
    push @sites, [$name, $_, "index.$suffix"]
        for @{ $more{urls} // ["/$folder/a/page", "/$folder/a/page?q=2", "/$folder/"] };
}

my ($fpm_port, $uwsgi_port, $scgi_port, @locks);
for ($fpm_port, $uwsgi_port, $scgi_port) { ($_, my $lock) = DevCache::Httpd::free_port(); push @locks, $lock }
my $sock = "proxy:unix:$dir/run/fpm.sock|fcgi://localhost";

sub php_by {
    my ($folder, $handler) = @_;
    return qq{<Directory "$dir/www/$folder">\n<FilesMatch "\\.php\$">\nSetHandler "$handler"\n}
        . "</FilesMatch>\n</Directory>\n";
}

site('SetHandler, .htaccess', 'blog', 'php', $php, htaccess => front('/blog/', 'php'),
     conf => php_by('blog', $sock));
site('SetHandler by TCP', 'tcp', 'php', $php, htaccess => front('/tcp/', 'php'),
     conf => php_by('tcp', "proxy:fcgi://127.0.0.1:$fpm_port"));
site('SetHandler, rules in <Directory>', 'dir', 'php', $php, conf => php_by('dir', $sock)
     . qq{<Directory "$dir/www/dir">\n} . front('/dir/', 'php') . "</Directory>\n");
my $server_rules = <<"CONF";
RewriteEngine On
RewriteCond %{HTTP_COOKIE} who=member [NV]
RewriteRule ^/server/. /server/member.php [L]
RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} !-f
RewriteRule ^/server/. /server/index.php [L]
CONF
site('SetHandler, rules of the server', 'server', 'php', $php,
     conf => php_by('server', $sock) . $server_rules);
site('balancer of fcgi', 'balanced', 'php', $php, htaccess => front('/balanced/', 'php'),
     conf => php_by('balanced', 'proxy:balancer://php') . <<"CONF");
<Proxy "balancer://php">
    BalancerMember fcgi://127.0.0.1:$fpm_port
</Proxy>
CONF
site('ProxyPassMatch', 'match', 'php', $php, htaccess => front('/match/', 'php'),
     conf => qq{ProxyPassMatch "^/match/(.*\\.php(?:/.*)?)\$" }
     . qq{"fcgi://127.0.0.1:$fpm_port$dir/www/match/\$1"\n},
     urls => ['/match/a/page', '/match/index.php', '/match/index.php?q=1']);
site('PATH_INFO', 'info', 'php', $php, conf => php_by('info', $sock),
     urls => [map { "/info/index.php$_" } '', '/', '/a/b', '/a/c', '/a/c?q=1']);
site('PATH_INFO by rewriting', 'into', 'php', $php, conf => php_by('into', $sock),
     htaccess => "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n"
     . "RewriteRule ^(.*)\$ index.php/\$1 [L]\n", urls => ['/into/x', '/into/x/y?q=2']);
site('a query by rewriting', 'asked', 'php', $php, conf => php_by('asked', $sock),
     htaccess => "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n"
     . "RewriteRule ^(.*)\$ index.php?q=\$1 [L,QSA]\n", urls => ['/asked/x', '/asked/y?z=2']);
site('FallbackResource', 'fall', 'php', $php, conf => php_by('fall', $sock),
     htaccess => "FallbackResource /fall/index.php\n",
     urls => ['/fall/', '/fall/a', '/fall/a/b?q=1']);
site('DirectoryIndex', 'index', 'php', $php, conf => php_by('index', $sock),
     urls => ['/index/', '/index/?q=1', '/index/index.php']);
site('below a folder with rules', 'blog/sub/shop', 'php', $php,
     htaccess => front('/blog/sub/shop/', 'php'));
site('END', 'end', 'php', $php, conf => php_by('end', $sock),
     htaccess => front('/end/', 'php') =~ s/\[L\]/[END]/gr);
site('public folder, two steps', 'laravel/public', 'php', $php,
     conf => php_by('laravel', $sock), htaccess => front('/laravel/public/', 'php'),
     urls => ['/laravel/a', '/laravel/a/b?q=3']);
write_to('www/laravel/.htaccess', "RewriteEngine On\nRewriteRule ^(.*)\$ public/\$1 [L]\n");
site('uWSGI by SetHandler', 'python', 'php', '', conf => php_by('python',
     "proxy:uwsgi://127.0.0.1:$uwsgi_port"), htaccess => front('/python/', 'php'),
     urls => ['/python/a', '/python/a?q=1']);
site('balancer of uwsgi', 'pythons', 'php', '', htaccess => front('/pythons/', 'php'),
     conf => php_by('pythons', 'proxy:balancer://python/') . <<"CONF",
<Proxy "balancer://python">
    BalancerMember uwsgi://127.0.0.1:$uwsgi_port
</Proxy>
CONF
     urls => ['/pythons/a', '/pythons/a?q=1']);
site('SCGI by SetHandler', 'scgi', 'php', '', conf => php_by('scgi',
     "proxy:scgi://127.0.0.1:$scgi_port"), htaccess => front('/scgi/', 'php'),
     urls => ['/scgi/a', '/scgi/a?q=1']);
site('a rule of .htaccess proxies', 'far', 'php', '', urls => ['/far/a', '/far/a?q=1'],
     htaccess => "RewriteEngine On\nRewriteRule ^(index|member)\\.php\$ "
     . "scgi://127.0.0.1:$scgi_port/\$1.php [P]\n" . front('/far/', 'php'));
site('mod_lua', 'lua', 'lua', $lua, htaccess => front('/lua/', 'lua'), conf => <<"CONF");
<Directory "$dir/www/lua">
    AddHandler lua-script .lua
    DirectoryIndex index.lua
</Directory>
CONF
site('CGI', 'cgi', 'pl', $perl, htaccess => front('/cgi/', 'pl'), conf => <<"CONF");
<Directory "$dir/www/cgi">
    Options +ExecCGI
    AddHandler cgi-script .pl
    DirectoryIndex index.pl
</Directory>
CONF
site('Action', 'action', 'act', '', htaccess => front('/action/', 'act'), conf => <<"CONF");
<Directory "$dir/www/action">
    AddHandler acted .act
    Action acted /bin/run.pl
    DirectoryIndex index.act
</Directory>
ScriptAlias /bin/ "$dir/bin/"
CONF
write_to('bin/run.pl', $perl, 0755);
write_to('bin/validates.pl', <<'PL', 0755);
#!/usr/bin/perl
print "Status: 304 Not Modified\r\n" if $ENV{HTTP_IF_NONE_MATCH};
print "Set-Cookie: once=1; Path=/\r\nSet-Cookie: twice=2\r\n" if $ENV{HTTP_IF_NONE_MATCH};
print "ETag: \"e\"\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\n\r\n";
print "page\n" if !$ENV{HTTP_IF_NONE_MATCH};
PL

# Rules may tell the application something by a variable. httpd notes what they have looked at
# in a Vary, of a request that it then leaves, or that mod_proxy answers with other fields.
my $tells = <<'CONF';
RewriteEngine On
RewriteCond %{HTTP_COOKIE} lang=de
RewriteRule (^|/)a$ - [E=LANG:de]
CONF
my $speaks = $php =~ s/\$_GET\['q'\] \?\? '-'/\$_SERVER['REDIRECT_LANG'] ?? \$_SERVER['LANG'] ?? 'en'/r;
my @told;
for (['told', front('/told/', 'php')], ['direct', "FallbackResource /direct/index.php\n"]) {
    my ($folder, $rules) = @$_;
    write_to("www/$folder/index.php", $speaks);
    write_to("www/$folder/.htaccess", $tells . $rules);
    $conf .= php_by($folder, $sock);
    push @told, ["$folder, .htaccess", "/$folder/a"];
}
for my $folder ('server-told') {
    write_to("www/$folder/index.php", $speaks);
    write_to("www/$folder/.htaccess", front("/$folder/", 'php'));
    $conf .= php_by($folder, $sock) . $tells;
    push @told, ['rules of the server', "/$folder/a"];
}

# --- they start ---------------------------------------------------------------------------

write_to('app.py', $python);
write_to('fpm.conf', <<"CONF" . join '', map { <<"POOL" } ['fpm.sock', "$dir/run/fpm.sock"], ['tcp', "127.0.0.1:$fpm_port"]);
[global]
error_log = $dir/run/fpm.log
daemonize = no
CONF
[$_->[0]]
listen = $_->[1]
listen.mode = 0666
@{[ $user ? "user = $user\ngroup = $group" : '' ]}
pm = static
pm.max_children = 2
POOL
my $php_fpm = DevCache::Service->start(
    name => 'php-fpm', dir => "$dir/run", command => [$fpm, '-F', '-n', '-y', "$dir/fpm.conf"],
    ready => sub { -S "$dir/run/fpm.sock" && DevCache::Service::listens($fpm_port) });
my $python_app = DevCache::Service->start(
    name => 'uwsgi', dir => "$dir/run", user => $user,
    command => [$uwsgi, '--plugin', 'python3', '--uwsgi-socket', "127.0.0.1:$uwsgi_port",
                '--scgi-socket', "127.0.0.1:$scgi_port", '--wsgi-file', "$dir/app.py",
                '--need-app', '--die-on-term'],
    ready => sub { DevCache::Service::listens($uwsgi_port) && DevCache::Service::listens($scgi_port) });

# --- what is asked ------------------------------------------------------------------------

# What a page says it is, without what makes each answer another one.
sub page { return join ' ', (split ' ', $_[0])[0 .. 3] }

sub try_sites {
    my ($t, @tried) = @_;
    for my $site (@tried) {
        my ($name, $url, $script) = @$site;
        subtest "$name: $url" => sub {
            my $first = $t->get($url);
            is $first->{status}, 200, 'answers' or return diag $first->{body};
            my $hit = $t->get($url);
            is $hit->{body}, $first->{body}, 'a hit';
            my $phone = $t->get($url, 'User-Agent' => PHONE);
            isnt $phone->{body}, $first->{body}, 'a phone has its own';
            like $phone->{body}, qr/ mobile /, 'made for phones';
            is $t->get($url, 'User-Agent' => PHONE)->{body}, $phone->{body}, 'a hit, too';
            my $other = $t->get($url =~ s/(\?|$)/$url =~ m{\?} ? '?z=9&' : '?z=9'/er);
            isnt $other->{body}, $first->{body}, 'another query is another page';
            like $first->{body}, qr/^\Q$script\E /, 'made by the right script';

            # What DevCacheQuery leaves out the application is not told, by any variable.
            for my $more ('utm_source=a&fbclid=1', 'fbclid=2&gclid=3') {
                my $tracked = $t->get($url . ($url =~ m{\?} ? '&' : '?') . $more);
                is $tracked->{body}, $first->{body}, "$more: the same page";
            }
            my $led = $url =~ s/(\?|$)/$url =~ m{\?} ? '?y=8&utm_id=1&' : '?utm_id=1&y=8'/er;
            my $from = $t->get($led);
            unlike $from->{body}, qr/utm_id/, 'one fetched by such a link does not know it';
            like $from->{body}, qr/\by=8|Action/, 'but the rest' if $script !~ /[.]lua|act/;
            is $t->get($led =~ s/utm_id=1/utm_id=2/r)->{body}, $from->{body}, 'and is for all';

            # Members are led to another script, by a rule that keeps that from the caches.
            my $member = $t->get($url, Cookie => 'who=member');
            like $member->{body}, qr/^(?:member|index)\./, 'a member is answered';
            is page($t->get($url)->{body}), page($first->{body}), 'a stranger has the own page';
            is $t->get($url, Cookie => 'who=member')->{body} =~ /^(\w+)/ && $1,
                $member->{body} =~ /^(\w+)/ && $1, 'and the member the other one, again';
        };
    }
}

my @modules = qw(rewrite proxy_fcgi proxy_uwsgi proxy_scgi proxy_balancer lbmethod_byrequests
                 slotmem_shm lua cgid actions dir mime alias env);
my $common = <<"CONF";
TypesConfig /dev/null
DocumentRoot "$dir/www"
DirectoryIndex index.php
DevCache On
DevCacheQuery deny \@tracking
<Directory "$dir/www">
    AllowOverride All
    Options FollowSymLinks
</Directory>
CONF

my $t = DevCache::Test->start("$common$conf\nScriptSock \@DIR\@/cgisock\n", modules => \@modules);
try_sites($t, @sites);
for (@told) {
    my ($name, $url) = @$_;
    like $t->get($url, Cookie => 'lang=de')->{body}, qr/ de /, "$name: told by a variable";
    like $t->get($url)->{body}, qr/ en /, 'a page by it is not for all';
    like $t->get($url, Cookie => 'lang=de')->{body}, qr/ de /, '… to either side';
}

# A script's cookies are among the fields that httpd also sends with errors.
is $t->get('/bin/validates.pl')->{body}, "page\n", 'a script with an ETag';
$t->clock_advance(61);
{
    my $res = $t->get('/bin/validates.pl');
    is $res->{body}, "page\n", 'confirmed';
    is scalar(() = ($res->header('Set-Cookie') // '') =~ /$_/g), 1, "its visitor has $_ of the 304 once" for 'once=1', 'twice=2';
    is $t->get('/bin/validates.pl')->header('Set-Cookie'), undef, 'others have none';
}
$t->finish;

SKIP: {
    skip 'mod_php is not here: run tools/packages.sh test', 1 if !$mod_php;
    # Without opcache, which no sanitizer can be loaded with.
    my %opt = (mpm => 'prefork', modules => [qw(rewrite dir mime)], env => { PHP_INI_SCAN_DIR => '' });
    my $served = DevCache::Test->start(<<"CONF", %opt);
LoadModule php_module "$mod_php"
$common
<FilesMatch "\\.php\$">
    SetHandler application/x-httpd-php
</FilesMatch>
$server_rules
<Directory "$dir/www/dir">
@{[ front('/dir/', 'php') ]}
</Directory>
CONF
    try_sites($served, map { ["mod_php, $_->[0]", @$_[1, 2]] }
              grep { $_->[1] =~ m{^/(blog|dir|server|info|into|asked|fall|index|end|laravel)/} } @sites);
    $served->finish;
}

done_testing;
