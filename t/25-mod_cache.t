# SPDX-License-Identifier: Apache-2.0
# t/25-mod_cache.t. Only the classifier: mod_cache and mod_cache_disk in their default quick
# mode keep a page per device, with no CacheQuickHandler off.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', root => 0, modules => ['cache', 'cache_disk']);
DevCacheClassify On
CacheRoot "@ROOT@"
CacheEnable disk "/"
CacheHeader on
<Location "/same/">
    DevCacheVaryDevice Off
</Location>
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $req = shift;
    return (200, { 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language' },
        'for ' . $req->header('X-Device-Type'));
});
my %agent = (pc => PC, tablet => TABLET, mobile => PHONE);
for my $round (1, 2) {
    for my $class (sort keys %agent) {
        my $res = $t->get('/page', 'User-Agent' => $agent{$class}, 'X-Device-Type' => 'mobile');
        is $res->{body}, "for $class", "round $round, $class: its own page";
        like $res->header('X-Cache'), $round == 1 ? qr/^MISS/ : qr/^HIT/, '… and from where';
        is $res->header('Vary') =~ s/,\s*/ /gr, 'Accept-Language User-Agent '
            . 'Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-CH-UA-Form-Factors',
            '… with the outward Vary';
    }
}
is $auto->fetches('/page'), 3, 'three fetches';
$t->get('/same/page', 'User-Agent' => $_) for PC, PHONE, TABLET;
is $auto->fetches('/same/page'), 1, 'DevCacheVaryDevice Off: one copy for all';
is $t->get('/same/page', 'User-Agent' => PC)->header('Vary'), 'Accept-Language',
    'and nothing added to Vary';
$t->finish;

# And the other way round: a cache without devices.
$t = DevCache::Test->start(<<'CONF');
DevCacheClassify Off
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
ProxyPass / @ORIGIN@/
CONF
$auto = $t->origin_auto(sub {
    return (200, { 'Cache-Control' => 'max-age=60' }, $_[0]->header('X-Device-Type') // 'none');
});
for my $agent (PC, PHONE, TABLET) {
    my $res = $t->get('/page', 'User-Agent' => $agent);
    is $res->{body}, 'none', 'DevCacheClassify Off: the origin is told no class';
    is $res->header('Vary'), undef, 'nothing varies by it';
    unlike $res->header('Cache-Status'), qr/detail/, 'nor is one shown';
}
is $auto->fetches('/page'), 1, 'one page for all';
$t->finish;
done_testing;
