# SPDX-License-Identifier: Apache-2.0
# t/02-variables.t. What SetEnvIf, BrowserMatch, mod_rewrite and modules tell the application by a
# variable of the environment: no Vary names it, and no page that is made from it goes to
# visitors for whom the variable has another value.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Httpd;
use DevCache::Service;
use DevCache::Test;
use Test::More;

my $fpm = DevCache::Service::find('php-fpm8*', 'php-fpm*');
my ($user, $group) = DevCache::Httpd::children_run_as();
my ($port, $lock) = DevCache::Httpd::free_port();

my $t = DevCache::Test->start(<<"CONF", modules => [qw(cgid include rewrite mime env alias proxy_fcgi unique_id setenvif dir)]);
TypesConfig /dev/null
AddType text/html .shtml .html
AddOutputFilter INCLUDES .shtml
DevCacheVaryDevice Off
DevCacheStatusHeader On
DevCacheKnownHeaders env:TRACKED
DevCache On
SetEnvIf Cookie "group=(\\w+)" GROUP=\$1
SetEnvIf Accept-Language "^de" LANG_DE
BrowserMatch "Robot" ROBOT=yes
BrowserMatch "Old" nokeepalive
SetEnvIf Referer "(.*)" TRACKED=\$1
SetEnv SITE main
DevCacheCookies deny \@analytics group
ScriptAlias /cgi/ "\@DIR\@/cgi/"
<Directory "\@DIR\@/htdocs">
    Options +Includes +FollowSymLinks
    AllowOverride All
    Require all granted
</Directory>
<Directory "\@DIR\@/cgi">
    Require all granted
</Directory>
<LocationMatch "^/(ssi|plain)">
    Header set Cache-Control "public, max-age=60"
</LocationMatch>
<Directory "\@DIR\@/htdocs/fpm">
    <FilesMatch "\\.php\$">
        SetHandler "proxy:fcgi://127.0.0.1:$port"
    </FilesMatch>
</Directory>
<Location "/http/ssi">
    Options +Includes
    SetOutputFilter INCLUDES
</Location>
ProxyPass /http/ \@ORIGIN\@/
CONF
mkdir $t->dir . "/$_" or die for 'cgi', 'htdocs/fpm', 'htdocs/app';
$t->write_file('cgi/page', <<'SH');
#!/bin/sh
printf 'Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n\r\n'
echo "group=$GROUP de=$LANG_DE robot=$ROBOT site=$SITE $$"
SH
chmod 0755, $t->dir . '/cgi/page';
my $ssi = 'group=<!--#echo var="GROUP" --> de=<!--#echo var="LANG_DE" -->';
$t->write_file('htdocs/ssi.shtml', $ssi);
$t->write_file('htdocs/plain.html', 'a file');
$t->write_file('htdocs/app/.htaccess', <<'HTACCESS');
RewriteEngine On
SetEnvIf X-Priority "high" FAST
RewriteCond %{HTTP_COOKIE} group=vip [NV]
RewriteRule . - [E=VIP:1]
RewriteRule ^page$ /cgi/page [L]
HTACCESS
$t->origin_auto(sub {
    my $body = $_[0]->{target} =~ /ssi/ ? $ssi : 'from http';
    return (200, { 'Cache-Control' => 'max-age=60', 'Content-Type' => 'text/html' }, $body);
});

sub hit { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; hit/ ? 1 : 0 }

# Visitors who differ in a variable have pages of their own, each of which is cached.
sub apart {
    my ($name, $path, $one, $other, $variable) = @_;
    subtest "$name: $path" => sub {
        my $first = $t->get($path, @$one);
        is $first->{status}, 200, 'answers';
        my $second = $t->get($path, @$other);
        ok !hit($second), 'the other asks for himself';
        like $second->header('Cache-Status'), qr/stored ones differ in variable \Q$variable\E/, 'Cache-Status says why';
        isnt $second->{body}, $first->{body}, 'and has his own page';
        for ([$first, $one], [$second, $other]) {
            my $again = $t->get($path, @{ $_->[1] });
            ok hit($again), 'a hit';
            is $again->{body}, $_->[0]{body}, 'with the right page';
        }
    };
}
sub together {
    my ($name, $path, @who) = @_;
    subtest "$name: $path" => sub {
        my $first = $t->get($path, @{ shift @who });
        for (@who) {
            my $res = $t->get($path, @$_);
            ok hit($res), "a hit with @$_";
            is $res->{body}, $first->{body}, 'the same';
        }
    };
}

my @pages = (['CGI', '/cgi/page'], ['mod_include', '/ssi.shtml'],
             ['mod_include over HTTP', '/http/ssi']);
my $service;
if ($fpm) {
    $t->write_file('htdocs/fpm/page.php', '<?php header("Cache-Control: max-age=60"); header("Content-Type: text/plain"); '
        . 'echo "group=", $_SERVER["GROUP"] ?? "", " de=", $_SERVER["LANG_DE"] ?? "", " ", uniqid("", true);');
    $t->write_file('fpm.conf', "[global]\nerror_log = @{[$t->dir]}/fpm.log\ndaemonize = no\n[www]\nlisten = 127.0.0.1:$port\n"
        . ($user ? "user = $user\ngroup = $group\n" : '') . "pm = static\npm.max_children = 2\n");
    $service = DevCache::Service->start(name => 'php-fpm', dir => $t->dir,
        command => [$fpm, '-F', '-n', '-y', $t->dir . '/fpm.conf'], ready => sub { DevCache::Service::listens($port) });
    push @pages, ['php-fpm', '/fpm/page.php'];
}
else { diag 'no php-fpm here: run tools/packages.sh test' }

for (@pages) {
    my ($name, $path) = @$_;
    apart("$name, by a cookie that is said not to count", "$path?1", [Cookie => 'group=a'], [Cookie => 'group=b'], 'GROUP');
    apart("$name, by a language", "$path?2", [], ['Accept-Language' => 'de-AT'], 'LANG_DE');
    together("$name, by what httpd alone reads", "$path?3", [], ['User-Agent' => 'Old'], [Referer => 'http://a/'], [Cookie => 'x=1; group2=1']);
}
apart('CGI, by the browser', '/cgi/page?4', [], ['User-Agent' => 'Robot'], 'ROBOT');
apart('by a rule of .htaccess', '/app/page?5', [], [Cookie => 'group=vip'], 'GROUP');
together('a file', '/plain.html', [], [Cookie => 'group=a'], ['Accept-Language' => 'de']);
together('a backend by HTTP', '/http/a', [], [Cookie => 'group=a'], ['Accept-Language' => 'de'], ['User-Agent' => 'Robot']);

$t->finish;
$service->stop if $service;
done_testing;
