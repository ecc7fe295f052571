# SPDX-License-Identifier: Apache-2.0
# t/121-esi.t. DevCacheFragments with ESI: include, alt, onerror, remove, comment and <!--esi.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Written;
use Test::More;

my $t = DevCache::Test->start(<<'CONF');
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheFragments On
</Location>
ProxyPass / @ORIGIN@/
CONF
$t->clock_stop;
my $site = DevCache::Written->new($t);
$t->expect_log(qr/DC0320/);

sub page {
    my ($path, $body, @dialects) = @_;
    my $control = join ' ', @dialects ? @dialects : 'ESI/1.0';
    $site->page($path, { 'Cache-Control' => 'max-age=60', 'Surrogate-Control' => qq{max-age=60, content="$control"} }, $body);
}
sub part { my ($path, $body) = @_; $site->page($path, { 'Cache-Control' => 'max-age=30' }, $body) }
my $serial = 0;
# What becomes of a text: as it comes, and from the store.
sub becomes {
    my ($name, $text, $want, @dialects) = @_;
    my $path = '/t' . ++$serial;
    page($path, $text, @dialects);
    for my $what ('a miss', 'a hit') {
        my $r = $t->get($path);
        is $r->{status} == 200 ? $r->{body} : $r->{status}, $want, "$name: $what";
    }
}
part('/a', 'A');
part('/b?x=1&y=2', 'B');

becomes('include', '1<esi:include src="/a"/>2<esi:include src="/b?x=1&amp;y=2" />3', '1A2B3');
becomes('as it may be written', qq{<esi:include\n src='/a'\n></esi:include><esi:include src="/a">z}, 'AAz');
becomes('what an application leaves unescaped', '<esi:include src="/b?x=1&y=2" onerror="continue" />', 'B');
becomes('alt', '<esi:include src="/none" alt="/a"/>', 'A');
becomes('alt, whatever comes first', '<esi:include onerror="continue" alt="/a" src="/none"/>', 'A');
becomes('with scheme and host', '<esi:include src="http://127.0.0.1:' . $t->port . '/b?x=1&amp;y=2"/>', 'B');
becomes('no part, and the page can do without', 'x<esi:include src="/none" alt="/nor" onerror="continue"/>y', 'xy');
becomes('no part, and it cannot', 'x<esi:include src="/none"/>y', 502);
becomes('remove', 'x<esi:remove> <a href="/"> <esi:include src="/a"/></esi:remove>y<esi:remove></esi:remove>z', 'xyz');
becomes('one that never ends', 'x<esi:remove>y<esi:remove>z', 'x<esi:remove>y<esi:remove>z');
becomes('comment', 'x<esi:comment text="/> hidden"/>y', 'xy');
becomes('<!--esi', "x<!--esi <esi:include src=\"/a\"/> -->y-->z", 'x A y-->z');
becomes('other sites', '<esi:include src="http://127.0.0.1:1/" onerror="continue"/>', '');
becomes('what is none', '<esi:include alt="/a"/><esi:vars>$(QUERY_STRING)</esi:vars><esi:include src=/a/><esi:inline name="/x">',
        '<esi:include alt="/a"/><esi:vars>$(QUERY_STRING)</esi:vars><esi:include src=/a/><esi:inline name="/x">');
becomes('cut off', '<esi:include src="/a"', '<esi:include src="/a"');
becomes('the other dialect', '<!--#include virtual="/a" -->', '<!--#include virtual="/a" -->');
becomes('this one, where the other is meant', '<esi:include src="/a"/>', '<esi:include src="/a"/>', 'SSI/1.0');
becomes('both', '<!--#include virtual="/a" --><esi:include src="/a"/>', 'AA', 'SSI/1.0', 'ESI/1.0');

my $r = $t->get('/t1');
is $r->header('Cache-Control'), 'max-age=30', 'the least lifetime';
is $r->header('Surrogate-Control'), undef, 'and nobody behind us fills gaps';
$site->page('/other', { 'Cache-Control' => 'max-age=60', 'Surrogate-Control' => 'content="ESI/1.0";akamai' }, '<esi:include src="/a"/>');
is $t->get('/other')->{body}, '<esi:include src="/a"/>', 'what is for another surrogate is left';
page('/sets', 'x<esi:include src="/none"/>');
is $t->get('/sets')->header('Set-Cookie'), undef, 'an error has nothing of the page';
$t->finish;
done_testing;
