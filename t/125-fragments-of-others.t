# SPDX-License-Identifier: Apache-2.0
# t/125-fragments-of-others.t. DevCacheFragments and what applications write that only looks like its
# gaps, or is for somebody else: hinclude, Drupal's BigPipe, Surrogate-Control of other kinds.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use Test::More;

my $t = DevCache::Test->start(<<'CONF');
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheFragments On
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF
my @lives = ('Cache-Control' => 'max-age=60', 'Content-Type' => 'text/html');

subtest 'hinclude beside gaps' => sub {
    my $hx = '<hx:include src="/_fragment?_hash=a%2Fb%3D&amp;_path=x">Loading</hx:include>';
    my $page = $t->send_req('/hx');
    $t->origin->accept->reply(200, { @lives, 'Surrogate-Control' => 'content="SSI/1.0"' },
                              qq{$hx<!--#include virtual="/part"-->$hx});
    $t->origin->accept->reply(200, {@lives}, 'PART');
    is $page->response->{body}, "${hx}PART$hx", 'is for the browser';
    is $t->get('/hx')->{body}, "${hx}PART$hx", 'also from the cache';
};

# Drupal sends the page, and behind it what its placeholders are replaced by, as it comes.
subtest 'BigPipe' => sub {
    my $begin = '<span data-big-pipe-placeholder-id="callback=x%3A%3Ay&amp;args%5B0%5D=1&amp;token=z"></span>';
    my $more = '<script type="application/vnd.drupal-ajax" data-big-pipe-replacement-for-placeholder-with-id="x">'
        . '[{"data":"\u003C!--#include virtual=\u0022/x\u0022--\u003E<!--#include virtual=\"/x\"-->"}]</script>';
    for my $visitor (1, 2) {
        my $page = $t->send_req('/bigpipe', Cookie => 'SESSx=1');
        my $fetch = $t->origin->accept;
        $fetch->head(200, { @lives, 'Transfer-Encoding' => 'chunked', 'Surrogate-Control' => 'no-store, content="BigPipe/1.0"' });
        $fetch->chunk($begin);
        $page->body_of(length $begin);
        pass 'the beginning is there before the rest has come';
        $fetch->chunk($more);
        $fetch->last_chunk;
        my $r = $page->response;
        is $r->{body}, $begin . $more, 'and all is as it was';
        like $r->header('Cache-Status'), qr/not stored/, 'it is not stored';
    }
};

subtest 'no word about gaps' => sub {
    my $text = '<esi:include src="/x"/><!--#include virtual="/x"--><!--esi x-->';
    my $n = 0;
    for my $control ('max-age=60', 'content="ORACLE/1.0"', 'content="ESI/1.1 SSI/2.0"', 'ESI/1.0', 'content=ESI/1.0',
                     'content="ESI/1.0";akamai', 'xcontent="ESI/1.0"') {
        my $page = $t->send_req('/text' . ++$n);
        $t->origin->accept->reply(200, { @lives, 'Surrogate-Control' => $control }, $text);
        is $page->response->{body}, $text, $control;
        is $t->get("/text$n")->{body}, $text, '... from the cache';
    }
};
$t->finish;
done_testing;
