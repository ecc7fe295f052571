# SPDX-License-Identifier: Apache-2.0
# What a configuration's common mistakes look like, and that right ones are passed over:
# each sentence names the directive, its file and line, and what to do.
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use Test::More;
use DevCache::Test;

my @modules = qw(rewrite cache cache_disk deflate filter authz_host dir);
my $on = qq{<Location "/">\n    DevCache On\n</Location>\n};

# The sentences about a configuration. Its folder is below /tmp, which is told as well.
sub sentences {
    my $conf = shift;
    my ($status, $said) = DevCache::Test->configtest($conf, modules => \@modules);
    fail('httpd -t') or diag $said if $status;
    return grep { !/what lies there is cleaned away/ } $said =~ /^.*\b(DC(?:0180|0009): conf: .*)$/mg;
}

# A folder as WordPress has it.
my $site = File::Temp::tempdir(CLEANUP => 1);
mkdir "$site/wp-admin" or die;
open my $login, '>', "$site/wp-login.php" or die;
close $login;

# Configurations and all that must be said about them.
my @wrong = (
    ['mod_cache on the same path', qq{CacheEnable disk "/"\n$on},
        qr/CacheEnable disk "\/" \(.*httpd\.conf:\d+\) has mod_cache store the same URLs as DevCache On \(.*:\d+\)/],
    ['mod_cache in a Location above', <<'CONF', qr/CacheEnable disk .* the same URLs/],
<Location "/shop">
    CacheEnable disk
</Location>
<Location "/shop/pages">
    DevCache On
</Location>
CONF
    ['exact User-Agent', $on . 'DevCacheVaryUserAgent exact', qr/DevCacheVaryUserAgent exact .*each version of each browser/],
    ['purges that nobody signs', "${on}DevCacheTier redis://127.0.0.1 redis://192.0.2.5",
        qr/DevCacheTier redis:\/\/127\.0\.0\.1 redis:\/\/192\.0\.2\.5 \(.*:\d+\) without DevCacheTierKey: whoever can write to redis:\/\/192\.0\.2\.5, .*can empty the caches of all machines/],
    ['purges that nobody signs, by TLS to a name', "${on}DevCacheTier rediss://redis.example.org",
        qr/without DevCacheTierKey: whoever can write to rediss:\/\/redis\.example\.org/],
    ['keyed by visitor', $on . 'DevCacheKeyHeaders X-Forwarded-Proto Cookie',
        qr/DevCacheKeyHeaders .*: Cookie differs from visitor to visitor/],
    ['Vary: Cookie', $on . 'Header append Vary Cookie', qr/Header append Vary Cookie .* differ by cookie/],
    ['Vary: *', $on . 'Header always set Vary "*"', qr/differ by everything/],
    ['Vary taken away', $on . 'Header unset Vary', qr/Header unset Vary .* takes away what responses differ by/],
    ['Vary replaced, with compression', "${on}SetOutputFilter DEFLATE\nHeader set Vary User-Agent",
        qr/Header set Vary User-Agent .* takes away/],
    ['no-store', "Header set Cache-Control \"no-cache, no-store\"\n$on",
        qr/Header set Cache-Control .* makes every response no-store, so that DevCache On/],
    ['no-cache', "Header set Cache-Control no-cache\n$on", qr/makes every response no-cache, so that DevCache On .* asks the origin each time/],
    ['a status page for everybody', "Listen 1\n${on}<Location />\n<Limit PURGE>\nRequire local\n</Limit>\n</Location>\n"
        . "<Location /st>\nSetHandler devcache-status\n</Location>\n"
        . "<Directory />\nRequire all denied\n</Directory>\n<Directory /var/www>\nRequire all granted\n</Directory>",
        qr/SetHandler devcache-status \(.*\) shows URLs, hosts and errors to everybody/],
    ['a Require for purges in place of the others', "Listen 1\n<FilesMatch \"^\\.ht\">\nRequire all denied\n</FilesMatch>\n"
        . "<Location /st>\nSetHandler devcache-status\nRequire local\n</Location>\n"
        . "<Location />\nDevCache On\nDevCachePurge On\n<Limit PURGE BAN>\nRequire local\n</Limit>\n</Location>",
        qr/<Limit PURGE BAN> \(.*:\d+\): the Require in it takes the place of Require (?:all denied|local) \(.*:\d+\) for all methods/],
    ['private in the same Location', <<'CONF', qr/makes every response private/],
<Location "/a">
    DevCache On
    Header always set Cache-Control: "private, max-age=60"
</Location>
CONF
    ['a cookie with all', "${on}Header add Set-Cookie a=b", qr/makes every response set a cookie/],
    ['the class overwritten', "${on}SetEnvIf User-Agent Mobile phone\nRequestHeader set X-Device-Type phone env=phone",
        qr/RequestHeader set X-Device-Type .* another class than the one that its pages are kept for/],
    ['compression behind the store', <<"CONF", qr/FilterDeclare gzip PROTOCOL .* puts DEFLATE \(.*:\d+\) behind the store/],
FilterDeclare gzip PROTOCOL
FilterProvider gzip DEFLATE "%{CONTENT_TYPE} =~ m#^text/#"
FilterChain gzip
$on
CONF
    ['force-gzip', "${on}AddOutputFilterByType DEFLATE text/html\nBrowserMatch Good force-gzip",
        qr/BrowserMatch Good force-gzip .* without Vary: Accept-Encoding/],
    ['no ETag', "${on}DeflateAlterETag Remove", qr/DeflateAlterE[Tt]ag Remove .* without an ETag/],
    ['On before a wider Off', <<'CONF', qr/DevCache On \(.*:\d+\) has no effect, as DevCache Off \(.*:\d+\) holds there too and comes later/],
<Location "/a">
    DevCache On
</Location>
<Location "/">
    DevCache Off
</Location>
CONF
    ['Off before a wider On', "<LocationMatch admin>\nDevCache Off\n</LocationMatch>\n$on", qr/DevCache Off .* has no effect/],
    ['Off for a folder', "$on<Directory \"\@DIR\@/htdocs\">\nDevCache Off\n</Directory>", qr/DevCache Off .* has no effect/],
    ['a Location for an ending', "$on<Location \"*.css\">\nDevCacheVaryDevice Off\n</Location>",
        qr/<Location \*\.css> \(.*:\d+\) is never reached/],
    ['a Location with a query', "$on<Location \"/a?b=1\">\nDevCache Off\n</Location>",
        qr/<Location .* without its query/],
    ['a Location of one level', "$on<Location \"/a/*\">\nDevCache Off\n</Location>", qr/one level only/],
    ['a status page that is proxied', "${on}ProxyPass / \@ORIGIN\@/\n<Location /s>\nSetHandler devcache-status\n</Location>",
        qr/SetHandler devcache-status .* is never reached, as ProxyPass/],
    ['nothing is cached', 'DevCacheSize 1G', qr/DevCacheRoot .*nothing is cached/],
    ['a day in milliseconds', "${on}<Location /a>\nDevCacheDefaultTTL 86400000\n</Location>", qr/DevCacheDefaultTTL 86400000 .* means 1000 days; .* say 86400$/],
    ['an hour in milliseconds', "${on}DevCacheStaleIfError 3600000", qr/means 41 days; .* say 3600$/],
    ['64 bytes', "${on}DevCacheMaxObjectSize 64", qr/DevCacheMaxObjectSize 64 .* is 64M meant/],
    ['256 bytes free', "${on}DevCacheMinFree 256", qr/is 256M meant/],
    ['a default beside a login', "${on}DevCacheDefaultTTL 60\nRewriteRule ^/login\$ /index.php",
        qr/DevCacheDefaultTTL 60 \(.*:\d+\) holds for the whole site, and people log in there \(RewriteRule .*:\d+\)\): .* DevCache Off in a <Location> of login, and by DevCacheCookies/],
    ['one of several beside a shop', "<Location />\nDevCache On\nDevCacheDefaultTTL 60 404\nDevCacheDefaultTTL 60 301 200\n</Location>\n"
        . "<LocationMatch \"^/(my-account|checkout)\">\nDevCacheQuery keep\n</LocationMatch>",
        qr/DevCacheDefaultTTL 60 301 200 .* holds for the whole site, .*LocationMatch/],
    ['a force beside wp-login.php', "${on}DevCacheForceTTL 60\n<FilesMatch \"^wp-login\\.php\$\">\nRequire all granted\n</FilesMatch>",
        qr/DevCacheForceTTL 60 .* holds for the whole site, .*wp-login/],
    ['a default beside an application that lies there', "DocumentRoot \"$site\"\n${on}DevCacheDefaultTTL 60",
        qr/DevCacheDefaultTTL 60 .* people log in there \(\Q$site\E\/wp-login.php\)/],
    ['bounds crossed', "${on}DevCacheMinTTL 1h\nDevCacheMaxTTL 60", qr/DevCacheMinTTL 1h .* is more than DevCacheMaxTTL 60/],
    ['a default above the bound', "DevCacheMaxTTL 60\n<Location />\nDevCache On\nDevCacheDefaultTTL 600 404\n</Location>",
        qr/DevCacheDefaultTTL 600 404 .* is more than DevCacheMaxTTL 60/],
    ['cookies for everybody', "${on}DevCacheStoreSetCookie On", qr/DevCacheStoreSetCookie On .* to everybody/],
    ['more than the disk holds', "${on}DevCacheSegmentSize 1G\nDevCacheSize 30T", qr/DevCacheRoot .* holds \d+[GMK], less than DevCacheSize 30T \(/],
);
for (@wrong) {
    my ($name, $conf, @wanted) = @$_;
    my @said = sentences($conf);
    is scalar @said, scalar @wanted, "$name: told once" or diag "  $_" for @said ? join "\n  ", @said : '';
    like "@said", $_, $name for @wanted;
}

# Right ones that look like it.
my $key = File::Temp->new(TEMPLATE => 'devcache-XXXXXX', TMPDIR => 1);    # mode 600
print {$key} "0123456789abcdef\n";
close $key;
my @right = (
    ['purges that are signed', "${on}DevCacheTier redis://192.0.2.5\nDevCacheTierKey $key"],
    ['purges on this machine', "${on}DevCacheTier redis://127.0.0.1 redis://localhost:6380 redis://[::1]:6381 unix:/run/redis.sock"],
    ['mod_cache elsewhere', "CacheEnable disk /downloads\n<Location /shop>\nDevCache On\n</Location>"],
    ['mod_cache disabled there', "CacheEnable disk /\nCacheDisable /shop\n<Location /shop>\nDevCache On\n</Location>"],
    ['mod_cache in another host', <<'CONF'],
<VirtualHost 127.0.0.2:80>
    CacheEnable disk /
</VirtualHost>
<VirtualHost 127.0.0.3:80>
    DevCache On
</VirtualHost>
CONF
    ['an API that is not to be cached', "$on<Location /api>\nHeader set Cache-Control no-store\n</Location>"],
    ['for some alone', "${on}Header set Cache-Control no-store env=staff\nHeader set Cache-Control private expr=%{REMOTE_USER}!=''"],
    ['amended', "${on}Header set Cache-Control private\n<Location /static>\nHeader set Cache-Control public\n</Location>"],
    ['told apart by a targeted field', "${on}Header set Cache-Control no-store\nHeader set CDN-Cache-Control max-age=60"],
    ['Vary where nothing is cached', "$on<Location /admin>\nDevCache Off\nHeader unset Vary\n</Location>"],
    ['Vary appended', "${on}SetOutputFilter DEFLATE\nHeader append Vary User-Agent\nHeader append Vary X-Group"],
    ['compression before the store', "${on}FilterDeclare gzip CONTENT_SET\nFilterProvider gzip DEFLATE true\nFilterChain gzip"],
    ['force-gzip without compression', "${on}SetEnvIf X-A b force-gzip"],
    ['another header of the request', "${on}RequestHeader set X-Group staff"],
    ['Off inside, later', "$on<Location /admin>\nDevCache Off\n</Location>"],
    ['Off in the server, On in a Location', "DevCache Off\n$on"],
    ['the same twice', "$on$on"],
    ['a Location of a scheme', "$on<Location \"http://other.example/\">\nDevCache Off\n</Location>"],
    ['patterns', "$on<LocationMatch \"\\.css\$\">\nDevCacheVaryDevice Off\n</LocationMatch>\n<Location ~ \"a?b=\">\nDevCache Off\n</Location>"],
    ['status pages that are not proxied', <<"CONF"],
${on}ProxyPass /a !
ProxyPass / \@ORIGIN\@/
<Location /a>
    SetHandler devcache-status
</Location>
<Location /b>
    ProxyPass !
    SetHandler devcache-status
</Location>
CONF
    ['only the class', 'DevCacheClassify On'],
    ['long, but meant', "${on}DevCacheMaxTTL 31536000\nDevCacheStaleIfError 2592000\nDevCacheForceTTL 24h 404\n<Location /a>\nDevCacheDefaultTTL 604800\n</Location>"],
    ['a status page for some', "Listen 1\n${on}<Location /st>\nSetHandler devcache-status\nRequire local\n</Location>"],
    ['a whole server for some', "Listen 1\n${on}<Location />\nRequire ip 10\n</Location>\n<Location /st>\nSetHandler devcache-status\n</Location>"],
    ['no-cache for pages', "${on}<FilesMatch \"html\$\">\nHeader set Cache-Control no-cache\n</FilesMatch>"],
    ['lines that add up', "${on}<Location /a>\nDevCacheDefaultTTL 60\nDevCacheDefaultTTL 600 404\nDevCacheNormalize X-A b c\nDevCacheNormalize X-B b c\n</Location>"],
    ['a default for a site without a login', "${on}DevCacheDefaultTTL 60\n<Location /cartoons>\nDevCacheQuery keep\n</Location>"],
    ['a default, and a login kept apart', "DocumentRoot \"$site\"\n${on}DevCacheDefaultTTL 60\n<LocationMatch \"^/wp-(login|admin)\">\nDevCache Off\n</LocationMatch>\n"
        . "<Location /wp-login.php>\nDevCache Off\n</Location>\n<Location /wp-admin>\nHeader set Cache-Control private\n</Location>"],
    ['a default, and cookies', "${on}DevCacheDefaultTTL 60\nDevCacheCookies allow session\n<Location /login>\nDevCacheQuery keep\n</Location>"],
    ['no default for the whole site', "${on}DevCacheDefaultTTL 0\nDevCacheDefaultTTL 60 404 410"],
    ['a Require for purges beside the others', "Listen 1\n<Directory />\nRequire all denied\n</Directory>\n<Directory /var/www>\nRequire all granted\n</Directory>\n"
        . "<FilesMatch \"^\\.ht\">\nRequire all denied\n</FilesMatch>\n<Location /st>\nSetHandler devcache-status\nRequire local\n</Location>\n"
        . "<Location />\nDevCache On\nDevCachePurge On\nAuthMerging And\n<Limit PURGE>\nRequire local\n</Limit>\n</Location>"],
    ['a Require for purges, and nobody is kept out', "<Directory />\nRequire all denied\n</Directory>\n<Location />\nDevCache On\nDevCachePurge On\n<Limit PURGE>\nRequire local\n</Limit>\n</Location>"],
    ['a default, with a bypass', "${on}DevCacheDefaultTTL 60\nDevCacheBypass \"%{HTTP_COOKIE} =~ /session/\""],
    ['a default for a part of the site', "<Location /a>\nDevCache On\nDevCacheDefaultTTL 60\n</Location>"],
    ['small, but meant', "${on}DevCacheMaxObjectSize 4K\nDevCacheMinFree 0\nDevCacheMemory 0\nDevCacheSegmentSize 64K\nDevCacheSize 512K"],
    ['one bound wider elsewhere', "${on}DevCacheDefaultTTL 600 404\n<Location /api>\nDevCacheMaxTTL 60\n</Location>"],
    ['cookies, with a bypass', "${on}DevCacheStoreSetCookie On\nDevCacheBypass \"%{HTTP_COOKIE} =~ /session/\""],
);
for (@right) {
    my ($name, $conf) = @$_;
    is join("\n", sentences($conf)), '', "nothing to say: $name";
}

# What we tell people to write.
sub file {
    local (@ARGV, $/) = "$FindBin::Bin/../$_[0]";
    return scalar <>;
}
my ($short) = file('README.md') =~ /```apache\n(DevCacheRoot.*?)```/s;
my ($purge) = file('README.md') =~ /```apache\n(<Location "\/">\n    DevCache On\n    DevCachePurge On.*?)```/s;
my %example = (README => $short, 'README: purge' => $purge,
    map { s{.*/}{}r => file("conf/examples/" . s{.*/}{}r) } glob "$FindBin::Bin/../conf/examples/*.conf");
for my $name (sort keys %example) {
    my $conf = $example{$name} =~ s{/var/cache/apache2/(?:devcache|mod_cache_disk)}{\@ROOT\@}gr
        =~ s/\$\{APACHE_LOG_DIR\}/\@DIR\@/gr =~ s/^CacheRoot.*//mr;
    next if $conf =~ /^\s*##DevCache/m; # has a line for a directive that is still to come
    # As Debian's apache2.conf has it before.
    my $before = qq{<FilesMatch "^\\.ht">\n    Require all denied\n</FilesMatch>\n};
    is join("\n", sentences("$before$conf")), '', "nothing to say: $name";
}

# --- where and when -------------------------------------------------------------------

my $wrong = "${on}DevCacheVaryUserAgent exact\n";
my ($status, $said) = DevCache::Test->configtest($wrong);
is $status, 0, 'warnings do not fail httpd -t';
like $said, qr/DC0180: conf: DevCacheRoot "[^"]*" .*: what lies there is cleaned away at times/,
    'a root below /tmp';
my $t = DevCache::Test->start($wrong);
$t->expect_log(qr/DC0180: conf: DevCacheVaryUserAgent exact/);
is scalar $t->log_lines(qr/DC0180/), 1, 'a start tells it once, and nothing of /tmp';
$t->graceful;
is scalar $t->log_lines(qr/DC0180/), 2, 'a reload tells it again';
$t->finish;
done_testing;
