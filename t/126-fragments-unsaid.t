# SPDX-License-Identifier: Apache-2.0
# t/126-fragments-unsaid.t. DevCacheFragments ESI and SSI: pages of applications that leave gaps for
# everybody and do not say so, as those written for Varnish's do_esi. Then all of them have to be
# filled, also those that come past the cache.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Written;
use IO::Uncompress::Gunzip qw(gunzip);
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(deflate filter rewrite)]);
DevCacheStatusHeader On
DevCacheVaryDevice Off
AddOutputFilterByType DEFLATE text/html
DocumentRoot "@DIR@/htdocs"
<Directory "@DIR@/htdocs">
    AllowOverride All
    Require all granted
    ErrorDocument 404 /esi/sorry
</Directory>
<Location "/">
    DevCache On
    DevCacheFragments ESI
</Location>
<Location "/ssi/">
    DevCacheFragments SSI
</Location>
<Location "/on/">
    DevCacheFragments On
</Location>
ProxyPass /local/ !
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Written->new($t);
mkdir $t->dir . '/htdocs/local';
$t->write_file('htdocs/local/.htaccess', "RewriteEngine On\nRewriteRule ^led /esi/page [L]\n");

my $esi = '<esi:include src="/part"/>';
my $ssi = '<!--#include virtual="/part"-->';
sub page {
    my ($path, $body, %more) = @_;
    $site->page($path, { 'Cache-Control' => 'max-age=3600', 'Content-Type' => 'text/html; charset=utf-8', %more }, $body);
}
sub becomes {
    my ($name, $path, $want, @more) = @_;
    for my $again ('', ', again') {
        my $r = $t->get($path, @more);
        is $r->{body}, $want, "$name$again";
    }
}
page('/part', 'PART');
page('/esi/page', "a${esi}b$ssi");
becomes('ESI', '/esi/page', "aPARTb$ssi");
like $t->get('/esi/page')->header('Cache-Status'), qr/; hit.*1 parts/, '... from the cache';
page('/ssi/page', "a${ssi}b$esi");
becomes('SSI', '/ssi/page', "aPARTb$esi");
page('/on/page', "a${ssi}b$esi");
becomes('On: neither', '/on/page', "a${ssi}b$esi");
page('/esi/text', $esi, 'Content-Type' => 'text/plain');
becomes('no HTML', '/esi/text', $esi);
page('/esi/said', "$esi$ssi", 'Surrogate-Control' => 'content="SSI/1.0"');
becomes('a page that says what it has', '/esi/said', "${esi}PART");
page('/esi/pipe', $esi, 'Surrogate-Control' => 'no-store, content="BigPipe/1.0"');
becomes('one that is for nobody', '/esi/pipe', $esi);
page('/esi/private', "a$esi", 'Cache-Control' => 'private');
becomes('one that is not stored', '/esi/private', 'aPART');

my @odd = ('X-Forwarded-Proto' => 'https');
becomes('past the cache', '/esi/page', "aPARTb$ssi", @odd);
like $t->get('/esi/page', @odd)->header('Cache-Status'), qr/fwd=bypass.*1 parts/, '... it was';
is $t->post('/esi/page', 'x=1')->{body}, "aPARTb$ssi", 'POST';
page('/esi/long', 'x' x 2000 . $esi);
my $r = $t->get('/esi/long', @odd, 'Accept-Encoding' => 'gzip');
gunzip(\$r->{body} => \my $long);
is $long, 'x' x 2000 . 'PART', 'DEFLATE comes behind it';
is $site->last_request('/esi/long')->{'accept-encoding'}, 'identity', '... and the origin was asked for no coding';
page('/esi/plain', 'x' x 2000, 'Content-Type' => 'text/html', 'Surrogate-Control' => 'max-age=1');
is $t->get('/esi/plain', @odd, 'Accept-Encoding' => 'gzip')->header('Content-Encoding'), 'gzip', '... also where there are no gaps';
becomes('where rewriting leads', '/local/led', "aPARTb$ssi", @$_) for [], \@odd;
page('/esi/sorry', "sorry $esi");
is $t->get('/local/none', @odd)->{body}, "sorry $esi", 'an error page is httpd\'s own matter';
is $t->head('/esi/page', @odd)->{status}, 200, 'HEAD';

page('/esi/range', "0123456789$esi");
$t->get('/esi/range', Range => 'bytes=0-3');
becomes('what was asked for in part', '/esi/range', '0123456789PART');
like(DevCache::Test->start_error("<Location />\nDevCacheFragments ESI/1.0\n</Location>"),
     qr/'ESI\/1.0' is none of On, Off, SSI and ESI/, 'a bad value');
$t->finish;
done_testing;
