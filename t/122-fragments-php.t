# SPDX-License-Identifier: Apache-2.0
# t/122-fragments-php.t. DevCacheFragments with real php-fpm behind a front controller, which leaves
# gaps as Symfony's render_ssi does: where it is told that they will be filled.
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
$fpm or plan skip_all => 'no php-fpm or uWSGI here: run tools/packages.sh test';
my ($user, $group) = DevCache::Httpd::children_run_as();
my $dir = File::Temp::tempdir(CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/$_" for qw(run www);
chmod 0777, "$dir/run";
sub write_to { my ($name, $text) = @_; open my $f, '>', "$dir/$name" or die "$name: $!"; print {$f} $text; close $f or die $! }

write_to('www/index.php', <<'PHP');
<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/_fragment') {
    header('Cache-Control: public, s-maxage=60');
    echo '[', $_GET['_path'], ' ', $_SERVER['REQUEST_URI'], ' ', $_SERVER['QUERY_STRING'], ']';
    return;
}
header('Cache-Control: public, s-maxage=600');
if ($path === '/unsaid') {
    echo 'unsaid <!--#include virtual="/_fragment?_path=menu" --> end';
} elseif (str_contains($_SERVER['HTTP_SURROGATE_CAPABILITY'] ?? '', 'SSI/1.0')) {
    header('Surrogate-Control: content="SSI/1.0"');
    echo 'page <!--#include virtual="/_fragment?_hash=x%2By&_path=menu" --> end';
} else {
    echo 'page in place end';
}
PHP
write_to('fpm.conf', <<"POOL");
[global]
error_log = $dir/run/fpm.log
[www]
@{[$> == 0 ? "user = $user\ngroup = $group" : '']}
listen = $dir/run/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 1
POOL
my $service = DevCache::Service->start(
    name => 'php-fpm', dir => "$dir/run", command => [$fpm, '-F', '-n', '-y', "$dir/fpm.conf"],
    ready => sub { -S "$dir/run/fpm.sock" });
my $t = DevCache::Test->start(<<"CONF", modules => [qw(proxy_fcgi dir authz_core)]);
DevCacheStatusHeader On
DocumentRoot "$dir/www"
<Directory "$dir/www">
    Require all granted
    FallbackResource /index.php
</Directory>
<FilesMatch "\\.php\$">
    SetHandler "proxy:unix:$dir/run/fpm.sock|fcgi://localhost"
</FilesMatch>
<Location "/">
    DevCache On
    DevCacheFragments On
</Location>
<Location "/unsaid">
    DevCacheFragments SSI
</Location>
CONF
my $part = '[menu /_fragment?_hash=x%2By&_path=menu _hash=x%2By&_path=menu]';
for my $what ('a miss', 'a hit') {
    my $r = $t->get('/shop');
    is $r->{body}, "page $part end", "$what, by one process of PHP";
    is $r->header('Cache-Status') =~ /; hit/ ? 'a hit' : 'a miss', $what, $what;
}
is $t->counters->{misses}, 2, 'page and part were asked for once each';
# Past the cache the gaps are filled while mod_proxy's handler runs: the process of PHP is free by then.
is $t->get('/unsaid', 'X-Forwarded-Proto' => 'https')->{body}, 'unsaid [menu /_fragment?_path=menu _path=menu] end', 'past the cache'
    for 1, 2;
$t->finish;
done_testing;
