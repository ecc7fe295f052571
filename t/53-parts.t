# SPDX-License-Identifier: Apache-2.0
# t/53-parts.t. Pages put together from others by mod_include: stored only if each part came, and
# is for all; and never put together by a refresh, which has no visitor and no TLS session.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $keys = File::Temp::tempdir(CLEANUP => 1);
is system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
          . "-keyout $keys/key.pem -out $keys/cert.pem 2>/dev/null"), 0, 'a certificate';

my @modules = qw(include dir mime authz_host filter socache_shmcb ssl autoindex);
my $t = DevCache::Test->start(<<"CONF", modules => \@modules, ports => ['TLS']);
TypesConfig /dev/null
AddType text/html .html .shtml
AddOutputFilter INCLUDES .shtml
FilterDeclare ssi CONTENT_SET
FilterProvider ssi INCLUDES "%{REQUEST_URI} =~ m#^/chain/#"
FilterChain ssi
DevCache On
DevCacheStatusHeader On
DevCacheVaryDevice Off
<Directory "\@DIR\@/htdocs">
    Options Includes Indexes
</Directory>
<Directory "\@DIR\@/htdocs/tls">
    SSLRequireSSL
</Directory>
<LocationMatch "^/page-if">
    Header set Cache-Control "public, max-age=10"
</LocationMatch>
<LocationMatch "^/(page(?!-if)|chain/|list)">
    Header set Cache-Control "max-age=10, stale-while-revalidate=600"
</LocationMatch>
<Location "/purge">
    DevCachePurge On
    Require local
</Location>
<Location "/guarded/">
    Require expr "%{HTTP:X-Pass} == 'sesame'"
</Location>
<Location "/list/hidden.html">
    Require expr "%{HTTP:X-Pass} == 'sesame'"
</Location>
ProxyPass /part/ \@ORIGIN\@/part/
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $keys/cert.pem
    SSLCertificateKeyFile $keys/key.pem
</VirtualHost>
SSLSessionCache shmcb:\@DIR\@/sessions
CONF
$t->allow_log(qr/AH01882|AH01906|AH01909|AH02572/);
$t->expect_log(qr/AH02219: .*SSL connection required/);     # the refresh
$t->expect_log(qr/AH01630: client denied/);
$t->expect_log(qr/unable to include/);
my $site = DevCache::Told->new($t);
my $tls = 'https://127.0.0.1:' . $t->port('TLS');

mkdir $t->dir . "/htdocs/$_" or die for qw(tls guarded chain list);
sub page {
    my ($name, @parts) = @_;
    $t->write_file("htdocs/$name", "page\n" . join "\n",
        (map { qq{<!--#include virtual="$_" -->} } @parts), "end\n");
}
sub hit { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; hit/ ? 1 : 0 }
my $error = qr/an error occurred/;

# --- TLS --------------------------------------------------------------------------------------

$t->write_file('htdocs/tls/part.html', 'secure');
page('page.shtml', '/tls/part.html');
page('chain/page.html', '/tls/part.html');
for my $path ('/page.shtml', '/chain/page.html') {
    $t->write_file('htdocs/tls/part.html', 'secure 1');
    my $res = $t->curl('-k', "$tls$path");
    like $res->{body}, qr/page.secure 1.end/s, "$path by TLS has its part";
    ok hit($t->curl('-k', "$tls$path")), 'and is stored';
    $t->write_file('htdocs/tls/part.html', 'secure 2');
    $t->clock_advance(11);
    my $stale = $t->curl('-k', "$tls$path");
    if ($path =~ /chain/) {
        like $stale->{body}, qr/secure 1/, 'stale';
        $t->wait_counter(refreshes_failed => 1);
    }
    else {
        like $stale->{body}, qr/secure 2/, 'stale: put together for the visitor';
        ok hit($t->curl('-k', "$tls$path")), 'and stored again';
    }
    unlike $t->curl('-k', "$tls$path")->{body}, $error, 'without an error text' for 1 .. 3;
}

# --- parts that fail, or are not for all ------------------------------------------------------

# Ask twice: is the second one a hit?
sub kept {
    my ($path, @headers) = @_;
    my ($one, $two) = map { $t->get($path, @headers) } 1, 2;
    return ($two, hit($two));
}
page('page-plain.shtml', '/whole.html');
$t->write_file('htdocs/whole.html', 'whole');
my ($res, $kept) = kept('/page-plain.shtml');
like $res->{body}, qr/page.whole.end/s, 'a page with a part for all';
ok $kept, 'is stored';

page('page-missing.shtml', '/missing.html');
($res, $kept) = kept('/page-missing.shtml');
like $res->{body}, $error, 'a part is missing: an error text';
ok !$kept, 'that is not stored';
$t->write_file('htdocs/missing.html', 'found');
($res, $kept) = kept('/page-missing.shtml');
like $res->{body}, qr/page.found.end/s, 'it is there';
ok $kept, 'and the page is stored';

$t->write_file('htdocs/guarded/part.html', 'for friends');
page('page-guarded.shtml', '/guarded/part.html');
($res, $kept) = kept('/page-guarded.shtml', 'X-Pass' => 'sesame');
like $res->{body}, qr/for friends/, 'a part that is not for everybody, for a friend';
ok !$kept, 'makes a page that is not stored';
($res, $kept) = kept('/page-guarded.shtml');
like $res->{body}, $error, 'for a stranger there is an error text';
ok !$kept, 'which is not stored either';
like $t->get('/page-guarded.shtml', 'X-Pass' => 'sesame')->{body}, qr/for friends/,
    'nor in the way of the friend';

$t->write_file("htdocs/list/$_.html", $_) for qw(shown hidden);
like +(kept('/list/', 'X-Pass' => 'sesame'))[0]{body}, qr/hidden/, 'a list of files for a friend';
unlike $t->get('/list/')->{body}, qr/hidden/, 'is not that of a stranger';

for (['no-store', 'Cache-Control' => 'no-store'], ['private', 'Cache-Control' => 'private'],
     ['a cookie', 'Set-Cookie' => 'a=1'], ['Vary', Vary => 'Cookie']) {
    my ($what, @fields) = @$_;
    page('page-told.shtml', '/part/p');
    my @answer = ([200, @fields, 'Cache-Control' => 'max-age=60']);
    $answer[0] = [200, @fields] if $fields[0] eq 'Cache-Control';
    my ($one, $two) = map { $site->ask('/page-told.shtml', @answer) } 1, 2;
    like $one->{body}, qr/page.answer \d+.end/s, "a part of the origin with $what";
    ok !hit($two), 'makes a page that is not stored';
}
my ($one, $two) = map { $site->ask('/page-told.shtml', [500, ':body' => 'oops']) } 1, 2;
ok !hit($two), 'nor is one with a part that failed there';
($one, $two) = map { $site->ask('/page-told.shtml', [200]) } 1, 2;
ok hit($two), 'one of which the origin says nothing is as the page is';

# --- what expressions look at ---------------------------------------------------------------------

# httpd notes it in Vary when it comes there, which in a long page is after its header has gone.
for (['a short page', 10], ['a long page', 200_000]) {
    my ($what, $size) = @$_;
    my $path = "/page-if-$size.shtml";
    $t->write_file("htdocs$path", ('x' x 79 . "\n") x ($size / 80)
        . '<!--#if expr="%{HTTP_COOKIE} =~ /gold/" -->gold<!--#else -->plain<!--#endif -->'
        . '<!--#if expr="%{HTTP:Accept-Language} =~ /de/" --> deutsch<!--#endif -->' . "\n");
    for my $visitor (['plain'], ['gold', Cookie => 'gold=1'], ['plain deutsch', 'Accept-Language' => 'de'],
                     ['plain', Cookie => '_ga=gold']) {
        my ($said, @who) = @$visitor;
        my ($first, $again) = map { $t->get($path, @who) } 1, 2;
        my $name = @who ? "@who" : 'a stranger';
        is $first->{body} =~ s/^x+\n//gmr, "$said\n", "$what: $name";
        is $again->{body}, $first->{body}, 'the same again';
        ok hit($again), 'from the store';
    }
}

# --- lifetimes and tags of parts ----------------------------------------------------------------

page('page-part.shtml', '/part/p');
for (['max-age=0', 'Cache-Control' => 'max-age=0'], ['no-cache', 'Cache-Control' => 'no-cache, max-age=60'],
     ['s-maxage=0', 'Cache-Control' => 's-maxage=0, max-age=60'], ['Expires: 0', Expires => '0'],
     ['its lifetime over', 'Cache-Control' => 'max-age=60', Age => '60'],
     ['a refusal to surrogates', 'Surrogate-Control' => 'no-store']) {
    my ($what, @fields) = @$_;
    my ($one, $two) = map { $site->ask('/page-part.shtml', [200, @fields, ETag => '"p"']) } 1, 2;
    ok !hit($two), "a page with a part of $what is not stored";
}
$site->ask('/page-part.shtml', [200, 'Cache-Control' => 'max-age=60', 'Cache-Tag' => 'part-a, part-b']);
ok hit($site->ask('/page-part.shtml', [500])), 'one with a longer lifetime is';
$t->clock_advance(11);
page('page-part.shtml', '/part/p', '/part/q');
$site->ask('/page-part.shtml', [200, 'Cache-Control' => 'max-age=4', 'Cache-Tag' => 'part-a, part-b']);
ok hit($site->ask('/page-part.shtml', [500])), 'one whose parts are fresh for 4 seconds is';
$t->clock_advance(5);
ok !hit($site->ask('/page-part.shtml', [200, 'Cache-Control' => 'max-age=60', 'Cache-Tag' => 'part-b'])),
    'for that long';
ok hit($site->ask('/page-part.shtml', [500])), 'and stored again';
sub purge_tag { $t->get('/purge', ':method' => 'PURGE', 'Cache-Tag' => $_[0])->{body} }
like purge_tag('part-c'), qr/"purged": ?0/, 'a tag that no part has';
like purge_tag('part-b'), qr/"purged": ?1/, 'a tag of a part is one of the page';
ok !hit($site->ask('/page-part.shtml', [200])), 'which is gone';
ok wait_until(sub { $t->counters->{flights} == 0 }), 'no fetch is left under way';

$t->finish;
done_testing;
