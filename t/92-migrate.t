# SPDX-License-Identifier: Apache-2.0
# devcachectl migrate: what it prints is a configuration that httpd takes, and that caches
# what mod_cache cached.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use DevCache::Ctl;
use DevCache::Test;

my $old = <<'CONF';
# a comment CacheEnable disk /no
CacheRoot /var/cache/apache2/mod_cache_disk
CacheQuickHandler off
CacheLock on
<VirtualHost *:80>
    SetEnvIfNoCase User-Agent "iPhone|Android.*Mobile" class=mobile
    SetEnvIfNoCase User-Agent \
        "iPad" class=tablet
    SetEnvIf Remote_Addr "^10\." inside=1
    RequestHeader set X-Device "%{class}e"
    RequestHeader set X-Inside "%{inside}e"
    Header append Vary X-Device
    Header append Vary X-Other
    CacheEnable disk /
    CacheDisable /admin
    CacheDefaultExpire 3600
    CacheStaleOnError on
    CacheIgnoreCacheControl Off
    CacheIgnoreHeaders Set-Cookie
    CacheIgnoreURLSessionIdentifiers sid utm_source
    CacheLastModifiedFactor 0.2
    CacheStorePrivate On
    <Location "/static">
        CacheEnable disk
        CacheMaxExpire 86400
    </Location>
</VirtualHost>
CacheEnable disk http://other.example/
CONF

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
</Location>
CONF
my $file = $t->write_file('old.conf', $old);
my $ran = ctl('migrate', $file);
is $ran->{exit}, 0, 'it ends well';

subtest 'what it prints' => sub {
    my $said = $ran->{out};
    like $said, qr/^DevCacheRoot \S+$/m, 'the store';
    like $said, qr/# in <VirtualHost \*:80>/, 'by virtual host';
    like $said, qr{^\# in <VirtualHost \*:80>\n(?:.*\n)*?\# line 14: CacheEnable disk /\nDevCache On\n}m,
        'each line behind the one that it replaces';
    like $said, qr{<Location "/admin">\n.*\n    DevCache Off\n</Location>}, 'CacheDisable';
    like $said, qr{<Location "/static">\n(?:.*\n)+?    DevCacheMaxTTL 86400\n</Location>},
        'sections stay sections';
    for ('DevCacheDefaultTTL 3600', 'DevCacheStaleIfError 3600', 'DevCacheHeuristic 20',
         'DevCacheQuery deny sid utm_source', 'DevCacheDeviceHeader X-Device') {
        like $said, qr/^\s*\Q$_\E$/m, $_;
    }
    my ($gone) = $said =~ /Take these lines out:(.*?)\n\n/s;
    like $gone, qr/CacheQuickHandler/, 'not needed: quick handler';
    like $gone, qr/line \d+: SetEnvIfNoCase User-Agent "iPad"|iPad/, 'the patterns';
    like $gone, qr/Vary X-Device/, 'Vary by device';
    unlike $gone, qr/X-Other|X-Inside|Remote_Addr/, 'what has nothing to do with it stays';
    my ($open) = $said =~ /Look at these yourself:(.*)/s;
    like $open, qr/CacheStorePrivate/, 'private responses';
    like $open, qr{http://other\.example/}, 'a URL with a host';
    unlike $said, qr{/no\b}, 'comments are comments';
};

subtest 'httpd takes it' => sub {
    my $lines = $ran->{out} =~ s/^DevCacheRoot .*\n//mr;
    my $new = DevCache::Test->start($lines . <<'CONF');
ProxyPass / @ORIGIN@/
DevCacheStatusHeader On
CONF
    my $auto = $new->origin_auto(sub { return (200, {}, 'a page') });
    $new->get('/page', 'User-Agent' => PHONE);
    like $new->get('/page', 'User-Agent' => PHONE)->header('Cache-Status') // '', qr/hit/,
        'a page without a lifetime is a hit, by CacheDefaultExpire';
    $new->get('/admin/x', 'User-Agent' => PC) for 1 .. 2;
    is $auto->fetches('/admin/x'), 2, 'what was disabled is not cached';
    my ($got) = grep { $_->[1] eq '/page' } $auto->requests;
    is $got->[2]{'x-device'}, 'mobile', 'the application gets the class by its old name';
    $new->finish;
};

my $json = decode_json(ctl('migrate', '-j', $file)->{out});
is_deeply [sort keys %$json], [qw(look_at not_needed write)], 'the same as JSON';

my $by_env = ctl('migrate', $t->write_file('env.conf', <<'CONF'))->{out};
SetEnvIf User-Agent iPhone phone
RequestHeader set X-Device pc
RequestHeader set X-Device mobile env=phone
Header append Vary X-Device
CONF
like $by_env, qr/^DevCacheDeviceHeader X-Device$/m, 'a field that is set where a variable is';
like $by_env, qr/out:.*X-Device pc.*X-Device mobile.*Vary X-Device/s, '  its lines go, with the one for all others';
unlike $by_env, qr/yourself/, '  and nothing is left';

is ctl('migrate', $t->write_file('none.conf', "Listen 80\n"))->{exit}, 1, 'nothing to do';
is ctl('migrate', '/does/not/exist')->{exit}, 2, 'no such file';

# --- as people have it ----------------------------------------------------------------

# What an administrator does with it: take out the lines that are named, put in those that are printed.
sub migrated {
    my $text = shift;
    my $name = $t->write_file('found.conf', $text);
    my $found = decode_json(ctl('migrate', '-j', $name)->{out});
    my %named = map { $_->{line} =~ /^(\d+):(?!.*\(stays\)$)/ ? ($1 => 1) : () } map { @{ $found->{$_} } } qw(write not_needed look_at);
    my $n = 0;
    my $left = join '', grep { !$named{ ++$n } } split /^/, $text;
    $left =~ s{^\s*(?:</?VirtualHost.*|ServerName .*|DocumentRoot .*|ProxyPass .*)\n}{}gm;
    return $left . (ctl('migrate', $name)->{out} =~ s/^DevCacheRoot .*\n//mr);
}

my @found = (
    ['a field for three classes, behind <IfModule>', <<'CONF', sub {
<IfModule mod_cache.c>
    CacheQuickHandler off
    CacheLock on
    CacheLockPath /tmp/mod_cache-lock
    CacheLockMaxAge 5
    CacheIgnoreHeaders Set-Cookie
    <IfModule mod_cache_disk.c>
        CacheRoot /var/cache/apache2/mod_cache_disk
        CacheEnable disk "/"
        CacheDirLevels 2
        CacheDirLength 1
    </IfModule>
</IfModule>
SetEnvIfNoCase User-Agent "ipad|tablet|kindle" ua_tablet
SetEnvIfNoCase User-Agent "mobile|iphone|ipod|android" ua_mobile
BrowserMatch "MSIE [2-5]" nokeepalive ssl-unclean-shutdown downgrade-1.0 force-response-1.0
RequestHeader set X-UA-Device desktop
RequestHeader set X-UA-Device mobile env=ua_mobile
RequestHeader set X-UA-Device tablet env=ua_tablet
Header append Vary X-UA-Device
CacheDefaultExpire 300
CONF
        my ($s, $auto) = @_;
        is +($auto->requests)[-1][2]{'x-ua-device'}, 'mobile', '  the application gets the class';
    }],
    ['variables of mod_rewrite', <<'CONF', sub {
<VirtualHost *:80>
    ServerName shop.example
    RewriteEngine On
    RewriteCond %{HTTP_USER_AGENT} (android|iphone|ipod|blackberry) [NC]
    RewriteRule ^ - [E=DEVICE:phone]
    RewriteCond %{HTTP_USER_AGENT} ipad [NC]
    RewriteRule .* - [NC,E=DEVICE:pad]
    RewriteCond %{HTTP_COOKIE} session=
    RewriteRule .* - [E=no-cache:1]
    RewriteCond %{HTTP_USER_AGENT} oldphone
    RewriteRule ^/$ /wap/ [R=302,L]
    RequestHeader set X-Device %{DEVICE}e env=DEVICE
    Header merge Vary X-Device
    CacheEnable disk /
    CacheDisable /cart
    CacheDisable /checkout
    CacheHeader on
    CacheStaleOnError off
    CacheMaxExpire 3600
    ProxyPass / http://127.0.0.1:8081/
</VirtualHost>
CONF
        my ($s, $auto) = @_;
        is +($auto->requests)[-1][2]{'x-device'}, 'mobile', '  the application gets the class';
        $s->get('/page', 'User-Agent' => PC, Cookie => 'session=1') for 1 .. 2;
        is $auto->fetches('/page'), 4, '  what has the variable no-cache is not cached';
        $s->get('/cart/x', 'User-Agent' => PC) for 1 .. 2;
        is $auto->fetches('/cart/x'), 2, '  what was disabled is not cached';
        like $s->get('/', 'User-Agent' => 'oldphone')->header('Location'), qr{/wap/$}, '  other rules are left';
    }],
    ['a blog: sections in sections, a cookie', <<'CONF', sub {
CacheRoot "/var/cache/httpd/proxy"
CacheEnable disk /
CacheIgnoreNoLastMod On
CacheMaxFileSize 5000000
<VirtualHost *:80>
    DocumentRoot /var/www/blog
    SetEnvIf Cookie "wordpress_logged_in" no-cache
    <Directory /var/www/blog>
        AllowOverride All
        <FilesMatch "\.(css|js|png|jpg)$">
            CacheDefaultExpire 86400
            Header unset Set-Cookie
        </FilesMatch>
    </Directory>
    <FilesMatch "\.html$">
        CacheMinExpire 60
    </FilesMatch>
    <Location /wp-admin>
        CacheDisable on
    </Location>
    CacheIgnoreQueryString On
</VirtualHost>
CONF
        my ($s, $auto) = @_;
        $s->get('/page', 'User-Agent' => PC, Cookie => 'wordpress_logged_in=1') for 1 .. 2;
        is $auto->fetches('/page'), 4, '  what has the variable no-cache is not cached';
        $s->get('/wp-admin/x', 'User-Agent' => PC) for 1 .. 2;
        is $auto->fetches('/wp-admin/x'), 2, '  what was disabled is not cached';
        $s->get("/page?$_", 'User-Agent' => PC) for 1 .. 2;
        is $auto->fetches('/page?1') + $auto->fetches('/page?2'), 0, '  queries do not count';
    }],
    ['parts of a site, by patterns', <<'CONF', sub {
CacheSocache shmcb
CacheSocacheMaxSize 102400
<Location "/foo">
    CacheEnable socache
</Location>
<LocationMatch "^/api/">
    CacheEnable disk
    CacheMaxExpire 5
    CacheDetailHeader on
    CacheStoreExpired On
</LocationMatch>
<Proxy "http://app.example/*">
    CacheLastModifiedFactor 0.5
</Proxy>
CacheKeyBaseURL https://www.example.org/
CacheEnable disk https://cdn.example.org/
CONF
        my ($s, $auto) = @_;
        $s->get('/other', 'User-Agent' => PC) for 1 .. 2;
        is $auto->fetches('/other'), 2, '  nothing else is cached';
    }, '/api/x'],
    ['<If>, and a User-Agent that is overwritten', <<'CONF', sub {
<VirtualHost *:80>
    <If "%{HTTP_USER_AGENT} =~ /Mobile|Android/i">
        RequestHeader set X-Form-Factor: small
    </If>
    <Else>
        RequestHeader set X-Form-Factor: large
    </Else>
    SetEnvIf User-Agent "(Mobile|Android)" is_phone=1
    RequestHeader set User-Agent phone env=is_phone
    Header unset Vary
    Header always append Vary X-Form-Factor
    CacheRoot /srv/cache
    CacheEnable disk /
    CacheIgnoreCacheControl On
    Include conf/more.conf
</VirtualHost>
CONF
        my ($s, $auto) = @_;
        is +($auto->requests)[-1][2]{'x-form-factor'}, 'mobile', '  the application gets the class';
        is +($auto->requests)[-1][2]{'user-agent'}, PHONE, '  and the whole User-Agent';
    }],
);
for (@found) {
    my ($name, $conf, $more, $path) = @$_;
    $path //= '/page';
    my $s = DevCache::Test->start(migrated($conf) . "ProxyPass / \@ORIGIN\@/\nDevCacheStatusHeader On\n",
        modules => [qw(rewrite setenvif headers)]);
    my $auto = $s->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=60' }, 'a page') });
    for (PC, PHONE) {
        my $agent = $_;
        my @seen = map { $s->get($path, 'User-Agent' => $agent)->header('Cache-Status') // '' } 1, 2;
        like $seen[0], qr/uri-miss|vary-miss/, "$name: a miss";
        like $seen[1], qr/; hit/, '  and a hit';
    }
    is $auto->fetches($path), 2, '  one for each class';
    is join("\n", grep { !/is cleaned away/ } $s->log_lines(qr/DC0180/)), '', '  and nothing to be said of the configuration';
    $more->($s, $auto);
    $s->finish;
}

$t->finish;
done_testing;
