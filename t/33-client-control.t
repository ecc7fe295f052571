# SPDX-License-Identifier: Apache-2.0
# t/33-client-control.t. What a request may ask of the cache (RFC 9111, sections 5.2.1 and 5.4),
# and DevCacheIgnoreClientControl for sites that grant none of it.
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
<Location "/deaf/">
    DevCacheIgnoreClientControl On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);

# How a response was had: a hit, a stale hit, validated because it was stale or because the
# request wanted that, fetched past the cache, or refused.
sub served {
    my $res = shift;
    my $said = $res->header('Cache-Status') // '';
    return 'refused' if $res->{status} == 504 && !$res->{fetches};
    my ($ttl) = $said =~ /^devcache; hit; ttl=(-?\d+)/;
    return $ttl > 0 ? 'hit' : 'stale hit' if defined $ttl && !$res->{fetches};
    my ($why) = $said =~ /^devcache; fwd=([\w-]+)/;
    my $sent = $site->last_request->[2];
    my $validated = defined $sent->{'if-none-match'} && $res->{body} eq 'stored';
    return join ' ', $validated ? 'validated,' : 'fetched,', $why // '?';
}

# Stored with that Cache-Control, and so many seconds later asked for with those fields.
my $serial = 0;
sub is_served {
    my ($how, $control, $later, @request) = @_;
    my $path = ($how =~ s/^deaf: // ? '/deaf/' : '/p') . ++$serial;
    my @stored = ('Cache-Control' => $control, ETag => '"e"', ':body' => 'stored');
    $site->ask($path, [200, @stored]);
    $t->clock_advance($later);
    my $res = $site->ask($path, [304, @stored], @request);
    my $with = join(': ', @request) || 'nothing';
    is served($res), $how, "$control, $later s old, asked with $with: $how";
    return $path;
}
sub asked { return is_served(@_[0 .. 2], 'Cache-Control' => $_[3]) }

my $aged = 'max-age=100';
is_served('hit', $aged, 50);
is_served('validated, stale', $aged, 150);

# max-age: no older than that.
asked('hit',                $aged, 50, $_) for 'max-age=80', 'max-age=99999999999999999999',
    'x-max-age=1', 'Max-Age=80';
asked('validated, request', $aged, 50, $_)
    for 'max-age=20', 'max-age=0', 'MAX-AGE=20', 'max-age="20"', 'x, max-age=20', 'max-age=x',
    'max-age=-1', 'max-age';
asked('validated, stale',   $aged, 150, 'max-age=1000');
is_served('validated, request', $aged, 50, 'Cache-Control' => 'x', 'Cache-Control' => 'max-age=20');

# RFC 8246: a plain reload of what is immutable costs no fetch while it is fresh.
asked('hit',                "$aged, immutable", 50, 'max-age=0');
asked('validated, stale',   "$aged, immutable", 150, 'max-age=0');
asked('validated, request', "$aged, immutable", 50, 'no-cache');

# min-fresh: fresh for so long still.
asked('hit',                $aged, 50, 'min-fresh=20');
asked('validated, request', $aged, 50, 'min-fresh=80');
asked('validated, request', $aged, 50, 'min-fresh=80, max-stale=1000');

# max-stale: for so long no longer fresh.
asked('stale hit',        $aged, 150, $_) for 'max-stale=80', 'max-stale', 'MAX-STALE="80"',
    'max-stale, max-age=200';
asked('validated, stale', $aged, 150, $_)
    for 'max-stale=20', 'max-stale=x', 'max-stale=-1', 'max-stale, no-cache', 'x=max-stale';
asked('validated, stale', $aged, 150, 'max-stale, max-age=120');
asked('validated, stale', "$aged, $_", 150, 'max-stale')
    for 'must-revalidate', 'proxy-revalidate', 's-maxage=100';
asked('validated, stale', 'max-age=100, no-cache', 50, 'max-stale');

# no-cache, and Pragma for those who know no better.
asked('validated, request', $aged, 50, $_) for 'no-cache', 'NO-CACHE', 'no-cache=x',
    'max-age=1000,no-cache';
is_served('validated, request', $aged, 50, Pragma => $_) for 'no-cache', 'x, No-Cache';
is_served('hit', $aged, 50, Pragma => $_) for 'x', 'cache', 'x=no-cache';
is_served('hit', $aged, 50, Pragma => 'no-cache', 'Cache-Control' => 'max-age=80');
my $path = is_served('validated, request', $aged, 50, 'Cache-Control' => 'no-cache');
my $after = $site->ask($path);
is served($after), 'hit', 'what was validated is a hit for others';
cmp_ok $after->header('Age'), '<', 10, 'and young again';

# no-store: past the cache, nothing stored, nothing lost.
$path = is_served('fetched, request', $aged, 50, 'Cache-Control' => 'no-store');
is $site->ask($path)->{body}, 'stored', 'a request with no-store leaves what is stored';
$site->ask('/never', [200, 'Cache-Control' => 'max-age=60'],
    'Cache-Control' => 'max-age=60, No-Store');
is $site->ask('/never')->{fetches}, 1, 'and stores nothing';

# only-if-cached: 504 rather than a fetch.
asked('hit',       $aged, 50, 'only-if-cached');
asked('refused',   $aged, 150, 'only-if-cached');
asked('stale hit', $aged, 150, 'only-if-cached, max-stale=80');
asked('refused',   $aged, 50, 'only-if-cached, max-age=20');
asked('refused',   $aged, 50, 'only-if-cached, no-cache');
asked('refused',   'max-age=100, no-cache', 50, 'only-if-cached');
is served($site->ask('/absent', undef, 'Cache-Control' => 'only-if-cached')), 'refused',
    'only-if-cached, nothing stored';
is served($site->ask('/absent', undef, 'Cache-Control' => 'ONLY-IF-CACHED', ':method' => 'HEAD')),
    'refused', '… nor for HEAD';
$site->ask('/ranged');
is $site->ask('/ranged', undef, 'Cache-Control' => 'only-if-cached',
    Range => 'bytes=0-1')->{status}, 206,
    'only-if-cached, a range of what is stored';
is served($site->ask('/absent', undef, 'Cache-Control' => 'only-if-cached', Range => 'bytes=0-1')),
    'refused', 'only-if-cached, a range of what is not';
is $site->ask('/absent', undef, 'Cache-Control' => 'only-if-cached')->header('Cache-Status'), undef,
    'a refusal, which is about nothing stored, has no Cache-Status';

# DevCacheIgnoreClientControl: none of it counts.
asked('deaf: hit', $aged, 50, $_)
    for 'no-cache', 'no-store', 'max-age=0', 'max-age=20', 'min-fresh=80',
    'only-if-cached, no-cache';
is_served('deaf: hit', $aged, 50, Pragma => 'no-cache');
asked('deaf: validated, stale', $aged, 150, $_) for 'max-stale', 'only-if-cached', 'no-store';
is $site->ask('/deaf/absent', undef, 'Cache-Control' => 'only-if-cached')->{fetches}, 1,
    'deaf: only-if-cached is fetched';

$t->finish;
done_testing;
