# SPDX-License-Identifier: Apache-2.0
# t/13-warm-sitemap.t. devcachectl warm --sitemap: the URLs of a site as it tells search engines.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Ctl;
use DevCache::Test;
use IO::Compress::Gzip ();
use Test::More;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $base = 'http://127.0.0.1:' . $t->port;
my $at = sub { join '', '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
               (map { "<url><lastmod>2026-01-01</lastmod><loc> $_\n</loc></url>" } @_), '</urlset>' };
my $gzip = sub { my ($text) = @_; IO::Compress::Gzip::gzip(\$text, \my $out) or die; $out };
my %file = (
    '/one.xml' => $at->("$base/s1?a=1&amp;b=2", "$base/s2", 'http://other.example/x', "$base/s3"),
    '/two.xml.gz' => $gzip->($at->("$base/s4")),
    '/index.xml' => "<sitemapindex><sitemap><loc>$base/one.xml</loc></sitemap><sitemap><loc>$base/two.xml.gz</loc>"
                  . '</sitemap><sitemap><loc>http://other.example/t.xml</loc></sitemap></sitemapindex>',
    '/nested.xml' => "<sitemapindex><sitemap><loc>$base/index.xml</loc></sitemap></sitemapindex>",
    '/lacks.xml' => "<sitemapindex><sitemap><loc>$base/none.xml</loc></sitemap></sitemapindex>",
    '/bad.xml' => '<urlset><url>', '/bad.xml.gz' => substr($gzip->($at->("$base/s4")), 0, 30),
    '/page.html' => '<html></html>', '/empty.xml' => '<urlset/>',
    '/laughs.xml' => '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
                   . '<urlset><url><loc>&b;</loc></url></urlset>',
    '/file.xml' => '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>',
);
my $auto = $t->origin_auto(sub {
    my $path = $_[0]{target} =~ s/\?.*//r;
    return (200, { 'Cache-Control' => 'max-age=600' }, $file{$path}) if defined $file{$path};
    return ($path eq '/none.xml' ? 404 : 200, { 'Cache-Control' => 'max-age=600' }, $_[0]->header('X-Device-Type'));
});
my $ran = ctl_json('warm', '--sitemap', "$base/index.xml", '--rate', 1000);
is "$ran->{urls} $ran->{stored} $ran->{sitemaps} $ran->{elsewhere} $ran->{too_many}", '4 12 3 2 0',
    'warm by an index of sitemaps, one gzipped; what is elsewhere is passed over';
is_deeply [sort map { $_->[1] } grep { $_->[2]{'x-device-type'} eq 'pc' && $_->[1] =~ m{^/s\d} } $auto->requests],
    ['/s1?a=1&b=2', '/s2', '/s3', '/s4'], '  its URLs, as XML has them';
like ctl('warm', '-S', "$base/one.xml", '-R', 1000)->{out}, qr/^1 sitemaps; 1 entries were of other hosts, 0 too many\n3 URLs/,
    '  and by one sitemap';
for (['nested.xml', qr/no sitemap with URLs: its root is <sitemapindex>/], ['lacks.xml', qr/none\.xml: status 404/],
     ['bad.xml', qr/no XML/], ['bad.xml.gz', qr/damaged/], ['page.html', qr/no sitemap: its root is <html>/],
     ['empty.xml', qr/no URL of its host/], ['laughs.xml', qr/./], ['file.xml', qr/./]) {
    my $bad = ctl('warm', '-S', "$base/$_->[0]", '-R', 1000);
    is $bad->{exit}, 2, "exit code 2: $_->[0]";
    like $bad->{err}, $_->[1], '  and why';
    unlike $bad->{err} . $bad->{out}, qr/root:/, '  no file of this machine';
}
$t->finish;
done_testing;
