# SPDX-License-Identifier: Apache-2.0
# t/129-fragments-machines.t. DevCacheFragments on machines that share what they store: pages go
# between them with their gaps, parts on their own, a purge of a part shows at once in the pages of
# all, and nothing that is one visitor's lies on the server.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;
use DevCache::Written;
use Test::More;

my $redis = DevCache::Redis->new(['maxmemory', '100mb'], ['maxmemory-policy', 'volatile-lfu']);
my $tier = 'DevCacheTier ' . $redis->url . "\nDevCacheTierUse locks";
my @t = cluster(2, $tier, dir => 'DevCacheFragments On');
push @t, cluster(1, $tier, origin_of => $t[0]);                       # one that fills no gaps
my $site = DevCache::Written->new($t[0]);
$_->allow_log(qr/DC0320/, qr/AH\d+: child(?:ren are killed| pid \d+ exit signal Killed)/, qr/DC0171/) for @t;

my %ssi = ('Surrogate-Control' => 'content="SSI/1.0"', 'Cache-Control' => 'max-age=3600');
sub inc { return join '', map { qq{<!--#include virtual="$_" -->} } @_ }
sub page { my ($path, $body, %more) = @_; $site->page($path, { %ssi, %more }, $body) }
sub part { my ($path, $body, %more) = @_; $site->page($path, { 'Cache-Control' => 'max-age=600', %more }, $body) }
sub get { my ($n, $path, @f) = @_; return ask_at($t[$n], $path, @f)->response }
sub objects { return map { $redis->say('GET', $_) // '' } grep { /:o:/ } @{ $redis->say('KEYS', '*') } }
sub is_there_soon { my $text = shift; return wait_until(sub { grep { index($_, $text) >= 0 } objects() }) }
ok machines_are(3, @t), 'they know each other';
ok wait_until(sub { shown($t[$_])->{servers}[0]{objects} }), "machine $_ shares objects" for 0 .. 2;

subtest 'pages and parts' => sub {
    page('/p', 'PAGE{n}' . inc('/a', '/b'));
    part('/a', '[a{n}]');
    part('/b', '[b{n}]', 'Cache-Tag' => 'b');
    is get(0, '/p')->{body}, 'PAGE1[a1][b1]', 'one puts it together';
    ok is_there_soon($_), "$_ is put on the server" for 'PAGE1<!--#include', '[a1]', '[b1]';
    is get(1, '/p')->{body}, 'PAGE1[a1][b1]', 'and so does the other';
    is $site->fetches($_), 1, "$_: the origin was asked once" for qw(/p /a /b);
    ok !grep({ /PAGE1\[/ } objects()), 'what was put together lies nowhere';
    unlike get(2, '/p')->{body}, qr/\[/, 'one that fills no gaps fills none';
    is $site->fetches('/p'), 1, '... and asks for a page of its own';
    is get(1, '/p')->{body}, 'PAGE1[a1][b1]', '... which is not for the others';
    for my $n (1, 0) {
        my $was = get(1 - $n, '/p')->{body};
        get($n, '/', ':method' => 'PURGE', 'Cache-Tag' => 'b', 'DevCache-Purge-Wait' => 10);
        isnt get(1 - $n, '/p')->{body}, $was, "a part that is purged at machine $n is new in the other's page at once";
        is get($n, '/p')->{body}, get(1 - $n, '/p')->{body}, '... and they show the same';
    }
    is $site->fetches('/p'), 0, 'the page is there still';
};

subtest 'what is one visitor\'s' => sub {
    my %private = (private => { 'Cache-Control' => 'private, max-age=60' }, 'no-store' => { 'Cache-Control' => 'no-store' },
                   cookie => { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'id={cookie}' });
    for my $kind (sort keys %private) {
        page("/shop/$kind", 'shop ' . inc("/me/$kind"));
        $site->page("/me/$kind", $private{$kind}, 'SECRET {cookie}');
        for my $n (0, 1, 0) {
            my $r = get($n, "/shop/$kind", Cookie => "me=$kind$n");
            is $r->{body}, "shop SECRET me=$kind$n", "$kind: machine $n shows him his own";
            like $r->header('Cache-Control'), $kind eq 'no-store' ? qr/no-store/ : qr/private/, '... for himself';
        }
        is $site->fetches("/shop/$kind"), 1, 'the page was asked for once';
    }
    ok !grep({ /SECRET/ } objects()), 'and nothing of that lies on the server';
};

subtest 'one fetch of a part for all' => sub {
    page('/herd', 'h' . inc('/slow'));
    part('/slow', 's{n}', ':hold' => 'slow');
    my @r = map { ask_at($t[$_ % 2], '/herd') } 1 .. 6;
    ok wait_until(sub { $site->fetches('/slow') }), 'it is asked for';
    ok wait_until(sub { 4 <= $t[0]->counters->{flight_followers} + $t[1]->counters->{flight_followers} }), 'the others of each machine wait';
    $site->release('slow');
    is_deeply [map { $_->response->{body} } @r], [('hs1') x 6], 'each page has it';
    is $site->fetches('/slow'), 0, 'and nobody asked again';
};

subtest 'the server goes' => sub {
    page('/gone', 'g' . inc('/a', '/gone/2'));
    part('/gone/2', '{n}');
    $redis->freeze;
    is get($_, '/gone')->{body} =~ s/\[a\d+\]//r, 'g' . ($_ + 1), "it hangs: machine $_ fetches for itself" for 0, 1;
    $redis->thaw;
    $redis->kill;
    is get($_, '/gone')->{body} =~ s/\[a\d+\]//r, 'g' . ($_ + 1), "it is dead: machine $_ shows what it has" for 0, 1;
};
$t[0]->allow_log(qr/AH\d+/), $_->finish for reverse @t;
$redis->stop;
done_testing;
