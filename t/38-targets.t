# SPDX-License-Identifier: Apache-2.0
# t/38-targets.t. Targeted cache control (RFC 9213): CDN-Cache-Control, or what DevCacheTargets
# names, comes before Cache-Control and Expires, if it is a structured field without a fault.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
<Location "/own/">
    DevCacheTargets My-Cache-Control CDN-Cache-Control
</Location>
<Location "/other/">
    DevCacheTargets My-Cache-Control
</Location>
<Location "/off/">
    DevCacheTargets off
</Location>
<Location "/edge/">
    DevCacheTargets Surrogate-Control X-Accel-Expires
</Location>
<Location "/default/">
    DevCacheDefaultTTL 60
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $serial = 0;

# The lifetime of a response with these fields: 'fresh for 60', or 'not stored'.
sub lifetime {
    my ($prefix, @fields) = @_;
    my $path = $prefix . ++$serial;
    my $res = $site->ask($path, [200, @fields]);
    my ($ttl) = $res->header('Cache-Status') =~ /; ttl=(-?\d+); stored/;
    my $again = $site->ask($path, [200, @fields])->{fetches};
    return 'not stored' if !defined $ttl && $again;
    return 'stored, not fresh' if defined $ttl && $ttl <= 0 && $again;
    return 'both' if !defined $ttl || $again;
    return 'fresh for ' . 5 * int(($ttl + 4) / 5);   # a few seconds may have passed
}

# With max-age=500 in Cache-Control, and an Expires, what CDN-Cache-Control makes of it.
my @general = ('Cache-Control' => 'max-age=500',
    Expires => DevCache::Origin::http_date(DevCache::Origin::now() + 5000));
sub targeted {
    my ($want, @values) = @_;
    is lifetime('/p', @general, ETag => '"e"', map { ('CDN-Cache-Control' => $_) } @values), $want,
        'CDN-Cache-Control: ' . join(' | ', @values) . ": $want";
}

# It counts, and it alone.
targeted('fresh for 500');
targeted('fresh for 60', $_) for 'max-age=60', 's-maxage=60', 'max-age=5, s-maxage=60',
    'max-age=60, s-maxagex=5';
targeted('fresh for 1000', 'max-age=1000');
targeted('not stored', $_) for 'no-store', 'private', 'max-age=60, no-store',
    'no-store, max-age=60';
targeted('stored, not fresh', $_) for 'max-age=0', 'max-age=-60', 'public';
is lifetime('/p', 'CDN-Cache-Control' => 'max-age=60', 'Cache-Control' => $_), 'fresh for 60',
    "in spite of Cache-Control: $_"
    for 'no-store', 'private', 'max-age=0', 'no-cache', 'max-age=x', '"';
is lifetime('/p', 'CDN-Cache-Control' => 'max-age=60', Expires => '0'), 'fresh for 60',
    'in spite of Expires: 0';
is lifetime('/p', 'CDN-Cache-Control' => 'must-revalidate', @general), 'not stored',
    'no lifetime in it is no lifetime';
is lifetime('/p', 'CDN-Cache-Control' => 'max-age=60, no-cache', ETag => '"e"', @general), 'both',
    'no-cache in it: stored, and validated at each use';

# The grammar of RFC 9651: parameters, other types, the last of equal keys, several lines.
targeted('fresh for 60', $_)
    for 'max-age=60;x=1', 'max-age=60;x;y="a;b"', "max-age=60 , \tx",
    'x=(1 2 "a, b");q=1, max-age=60', 'x=:AAAA:, max-age=60', 'x=?0, max-age=60',
    'x=token/*, max-age=60', 'x=1.5, max-age=60', 'x=@1700000000, max-age=60',
    'x=%"caf%c3%a9", max-age=60', '*a.b-c_d=1, max-age=60', 'max-age=5, max-age=60', ' max-age=60 ',
    'max-age=060', 'no-store-x, max-age=60';
targeted('fresh for 60', 'public', 'max-age=60');
targeted('fresh for 60', 'max-age=5', 'max-age=60');
targeted('fresh for ' . 5 * int((2147483648 + 4) / 5), 'max-age=999999999999999');

# One fault anywhere, and it is as if it were not there.
targeted('fresh for 500', $_)
    for '', ' ', 'max-age=60,', 'max-age=60,,public', ',max-age=60', 'max-age =60', 'max-age= 60',
    'max-age=60 public', 'MAX-AGE=60', 'Max-Age=60', 'max-age', 'max-age="60"', 'max-age=60s',
    'max-age=1.5', 'max-age=?1', 'max-age=(60)', 'max-age=+60', 'max-age=1000000000000000',
    'max-age=60; X', 'max-age=60;', 'no-store, &', 'no-store, x="', 'no-store, x=(1 2',
    'no-store, x=:A', "no-store, caf\xe9", 'no-store, x="caf' . "\xe9" . '"', '"no-store"',
    'no-store=1', 'no-store, 1x', 'no-store, x=?2', 'no-store=?1?', 'private=?0, x=';
targeted('fresh for 500', 'max-age=60', '&');

# A list of field names as in Cache-Control; clients and caches behind us see the field.
my @listed = ('CDN-Cache-Control' => 'max-age=60, private="X-One"', 'Cache-Control' => 'no-store',
    'X-One' => 1, 'X-Two' => 2);
$site->ask('/listed', [200, @listed]);
my $hit = $site->ask('/listed', [200, @listed]);
is $hit->{fetches}, 0, 'private="X-One" in it: stored';
is join('|', map { $hit->header($_) // '-' } 'X-One', 'X-Two'), '-|2', 'without X-One';
is $hit->header('Cache-Control'), 'no-store',
    'Cache-Control is for those behind us, and reaches them';
is $hit->header('CDN-Cache-Control'), 'max-age=60, private="X-One"', 'so does CDN-Cache-Control';

# A 304 brings its own.
my @short = ('CDN-Cache-Control' => 'max-age=10', ETag => '"t"');
$site->ask('/renewed', [200, @short]);
$t->clock_advance(11);
$site->ask('/renewed', [304, 'CDN-Cache-Control' => 'max-age=100', ETag => '"t"']);
$t->clock_advance(90);
is $site->ask('/renewed', [500])->{fetches}, 0, 'a 304 renews it';

# DevCacheTargets: the first that is there and sound, in its order; others are no targets.
my %say = (my => 'My-Cache-Control', cdn => 'CDN-Cache-Control', cc => 'Cache-Control');
my @lists = (
    ['/own/',   'fresh for 60',  my => 'max-age=60', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/own/',   'fresh for 60',  cc => 'max-age=500', cdn => 'max-age=200', my => 'max-age=60'],
    ['/own/',   'fresh for 200', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/own/',   'fresh for 200', my => 'max-age=60,', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/own/',   'fresh for 500', my => '&', cdn => '&', cc => 'max-age=500'],
    ['/own/',   'not stored',    my => 'no-store', cdn => 'max-age=200'],
    ['/own/',   'fresh for 60',  my => 'max-age=60', cdn => 'no-store', cc => 'no-store'],
    ['/other/', 'fresh for 60',  my => 'max-age=60', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/other/', 'fresh for 500', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/other/', 'not stored',    cdn => 'no-store', cc => 'max-age=500'],
    ['/other/', 'fresh for 60',  my => 'max-age=60', cdn => 'no-store', cc => 'max-age=500'],
    ['/off/',   'fresh for 500', my => 'max-age=60', cdn => 'max-age=200', cc => 'max-age=500'],
    ['/off/',   'not stored',    cdn => 'max-age=200', cc => 'no-store'],
    ['/off/',   'fresh for 500', cdn => 'no-store', cc => 'max-age=500'],
    ['/off/',   'fresh for 500', 'X-Accel-Expires' => '0', cc => 'max-age=500'],
    ['/edge/',  'fresh for 60',  'Surrogate-Control' => 'max-age=60', cc => 'max-age=500'],
    ['/edge/',  'fresh for 60',  'Surrogate-Control' => 'max-age=60+30, content="ESI/1.0"',
        cc => 'no-store'],
    ['/edge/',  'not stored',    'Surrogate-Control' => 'no-store', cc => 'max-age=500'],
    ['/edge/',  'fresh for 500', 'Surrogate-Control' => 'content="ESI/1.0"', cc => 'max-age=500'],
    ['/edge/',  'fresh for 500', 'Surrogate-Control' => 'no-store;Other', cc => 'max-age=500'],
    ['/edge/',  'fresh for 60',  'X-Accel-Expires' => '60', cc => 'max-age=0'],
    ['/edge/',  'fresh for 60',  'X-Accel-Expires' => '@' . (DevCache::Origin::now() + 60)],
    ['/edge/',  'not stored',    'X-Accel-Expires' => '@5', cc => 'max-age=500'],
    ['/edge/',  'not stored',    'X-Accel-Expires' => '0', cc => 'max-age=500'],
    ['/edge/',  'fresh for 500', 'X-Accel-Expires' => 'off', cc => 'max-age=500'],
);
for (@lists) {
    my ($prefix, $want, @fields) = @$_;
    my @pairs = map { "$fields[2 * $_]: $fields[2 * $_ + 1]" } 0 .. @fields / 2 - 1;
    is lifetime($prefix, map { $say{$_} // $_ } @fields), $want,
        "DevCacheTargets in $prefix, " . join('; ', @pairs);
}

# A "no" in any dialect is one, also where Cache-Control gives a lifetime, or we do.
my %no = (
    'Surrogate-Control'            => ['no-store', 'max-age=0', 'no-store, content="ESI/1.0"',
                                       'private', 'no-store;Other'],
    'Edge-Control'                 => ['no-store', 'bypass-cache', 'cache-maxage=0'],
    'CF-Edge-Cache'                => ['no-cache'],
    'Dispatcher'                   => ['no-cache'],
    'X-Accel-Expires'              => ['0', '@0', '@1000', '-1'],
    'X-Reverse-Proxy-TTL'          => ['0'],
    'CDN-Cache-Control'            => ['private', 'no-store'],
    'Cloudflare-CDN-Cache-Control' => ['no-store', 'private, max-age=60'],
    'X-LiteSpeed-Cache-Control'    => ['no-cache'],
);
my %no_no = (
    'Surrogate-Control'         => ['max-age=60', 'content="ESI/1.0"', 'private="X-A"', '', '&'],
    'Edge-Control'              => ['!no-store', 'cache-maxage=1h'],
    'CF-Edge-Cache'             => ['cache,platform=wordpress'],
    'X-Accel-Expires'           => ['60', '@99999999999', 'off', ''],
    'X-LiteSpeed-Cache-Control' => ['public,max-age=60'],
    'X-Control'                 => ['no-store'],
);
for my $field (sort keys %no) {
    for my $value (@{ $no{$field} }) {
        is lifetime('/default/', $field => $value), 'not stored', "$field: $value, default lifetime";
        is lifetime('/p', $field => $value, 'Cache-Control' => 'max-age=500'), 'not stored',
            "$field: $value, beside max-age";
    }
}
for my $field (sort keys %no_no) {
    is lifetime('/default/', $field => $_), 'fresh for 60', "$field: $_ is no refusal"
        for @{ $no_no{$field} };
}
is lifetime('/default/', Pragma => 'no-cache'), 'not stored', 'Pragma alone';
is lifetime('/default/', Pragma => 'x, No-Cache', 'Cache-Control' => 'public'), 'not stored',
    'Pragma, and no lifetime beside it';
is lifetime('/default/', Pragma => 'no-cache', ETag => '"e"'), 'both', 'Pragma is no-cache: asked each time';
is lifetime('/default/', Pragma => 'no-cache', 'Cache-Control' => 'max-age=500'), 'fresh for 500',
    'Cache-Control replaces Pragma';
is lifetime('/default/', Expires => '0'), 'not stored', 'Expires: 0 alone';

$t->finish;
done_testing;
