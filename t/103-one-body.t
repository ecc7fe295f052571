# SPDX-License-Identifier: Apache-2.0
# t/103-one-body.t. Variants of a URL with the same body are stored with one body, and each is
# served, purged and revalidated on its own.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
DevCacheSize 512M
DevCacheMemory 8M
<Location "/">
    DevCache On
    DevCachePurge On
    <Limit PURGE>
        Require local
    </Limit>
</Location>
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $request = shift;
    my ($name, $size) = $request->{target} =~ m{/(\w+)/(\d+)};
    my $lang = $request->header('Accept-Language') // '';
    my $body = $name eq 'each' ? body_of("$lang$size", $size) : body_of($name, $size);
    my %fields = ('Cache-Control' => 'max-age=600', ETag => qq{"$name"},
                  Vary => 'X-Device-Type, Accept-Language', 'X-For' => $lang);
    return (304, \%fields) if ($request->header('If-None-Match') // '') eq qq{"$name"};
    return (200, \%fields, $body);
});

# 64 classes: two kinds of devices, 32 languages.
my @class = map { my $lang = sprintf 'x-%02d', $_;
                  map { [$lang, ['User-Agent' => $_, 'Accept-Language' => $lang]] } PHONE, PC } 1 .. 32;

# What the files of the store take on the disk.
sub on_disk {
    my $blocks = 0;
    $blocks += (stat)[12] for glob $t->root . '/seg-* ' . $t->root . '/body-*';
    return $blocks * 512;
}

# All 64; how many are not what they should be.
sub wrong {
    my ($path, $body) = @_;
    return grep {
        my $res = $t->get($path, @{ $_->[1] });
        $res->{body} ne $body || $res->header('X-For') ne $_->[0];
    } @class;
}

for my $size (1000, 30_000, 300_000) {
    subtest "64 classes of one stylesheet of $size bytes" => sub {
        my $path = "/style/$size";
        my $body = body_of('style', $size);
        my $before = on_disk();
        is wrong($path, $body), 0, 'each gets it from the origin';
        is $auto->fetches($path), 64, '  by a fetch of its own';
        my $took = on_disk() - $before;
        cmp_ok $took, '<', $size + 64 * 1024, "they take $took bytes on disk, not 64 times as much";
        is wrong($path, $body), 0, "round $_, from the store" for 1 .. 3;
        is $auto->fetches($path), 64, '  and from nowhere else';

        my $purged = $t->get($path, ':method' => 'PURGE', 'DevCache-Purge-Device' => 'mobile');
        like $purged->{body}, qr/"purged": 32/, 'a purge of the phones';
        is wrong($path, $body), 0, 'all are right';
        is $auto->fetches($path), 64 + 32, '  and the phones alone are fetched again';

        $before = on_disk();
        $t->clock_advance(601);
        is wrong($path, $body), 0, 'all are revalidated';
        is wrong($path, $body), 0, '  and served from the store';
        is $auto->fetches($path), 64 + 32 + 64, '  which took one question each';
        $took = on_disk() - $before;
        cmp_ok $took, '<', $size + 64 * 1024, "  and $took bytes on disk";
    };
}

subtest 'bodies that differ are each stored' => sub {
    my @wrong = grep { my ($lang, $fields) = @$_;
                       map { $t->get('/each/3000', @$fields)->{body} ne body_of("${lang}3000", 3000) ? $lang : () }
                       1 .. 3 } @class;
    is "@wrong", '', 'and each language has its own';
};

subtest 'after a restart' => sub {
    my @size = (1000, 30_000, 300_000);
    wrong("/style/$_", '') for @size;   # some are stale by now
    my $fetches = $auto->fetches;
    $t->restart;
    is wrong("/style/$_", body_of('style', $_)), 0, "$_ bytes" for @size;
    is $auto->fetches, $fetches, 'without a fetch';
};

is $t->counters->{store_damaged}, 0, 'nothing was damaged';
$t->finish;
done_testing;
