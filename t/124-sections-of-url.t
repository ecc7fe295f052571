# SPDX-License-Identifier: Apache-2.0
# t/124-sections-of-url.t. <Location> sections are about the URL that was asked for, also where
# mod_dir has put another in its place (FallbackResource, DirectoryIndex), as front controllers do, or
# MultiViews.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(dir rewrite mime negotiation)]);
DevCacheStatusHeader On
DocumentRoot "@DIR@/htdocs"
DirectoryIndex front.html
TypesConfig /dev/null
AddType text/html .html
<Directory "@DIR@/htdocs">
    AllowOverride All
    Options +MultiViews
    Require all granted
    FallbackResource /front.html
    Header set Cache-Control max-age=60
    DevCacheDefaultTTL 7
</Directory>
<Location "/">
    DevCache On
    DevCacheQuery deny utm_source
</Location>
<Location "/account">
    DevCache Off
</Location>
<Location "/inner">
    DevCache Off
</Location>
<Location "/account/faq">
    DevCache On
</Location>
<Location "/signed">
    DevCacheQuery keep
</Location>
<Location "/closed.html">
    DevCache Off
</Location>
CONF
mkdir $t->dir . "/htdocs/$_" for qw(there shut ruled);
$t->write_file("htdocs/$_", 'page') for qw(front.html inner.html closed.html);
$t->write_file('htdocs/there/front.html', 'page');
$t->write_file('htdocs/shut/.htaccess', "FallbackResource /closed.html\n");
$t->write_file('htdocs/ruled/.htaccess', "FallbackResource disabled\nRewriteEngine On\nRewriteRule ^ /front.html [L]\n");
sub status { return $t->get(@_)->header('Cache-Status') // 'none' }

for my $path ('/', '/page', '/front', '/inner.html', '/there/', '/account/faq', '/ruled/page') {
    status($path);
    like status($path), qr/; hit/, "$path: stored";
}
for my $path ('/account', '/account/', '/account/orders', '/inner') {
    is status($path), 'none', "$path: off, though the front controller is not" for 1, 2;
}
is status('/shut/page'), 'none', 'off where it leads: off' for 1, 2;
status("/page?utm_source=$_") for 1, 2;
like status('/page?utm_source=3'), qr/; hit/, 'a query that does not count';
status('/signed?utm_source=1');
unlike status('/signed?utm_source=2'), qr/; hit/, '... counts where its section says so';
like status('/signed?utm_source=2'), qr/; hit/, '... for as long as it does';
$t->finish;
done_testing;
