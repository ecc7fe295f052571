# SPDX-License-Identifier: Apache-2.0
# t/12-windows.t. DevCacheStaleIfError with statuses, and windows that stand in place of the
# origin's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF');
DevCacheStatusHeader On
DevCacheStaleIfUnreachable 0
<Location "/">
    DevCache On
</Location>
<Location "/some/">
    DevCacheStaleIfError 1h 404 429 503 520
</Location>
<Location "/ours/">
    DevCacheStaleIfError 1h !
    DevCacheStaleWhileRevalidate 0 !
</Location>
<Location "/some/inner/">
    DevCacheStaleIfError 1h
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);

sub stale {
    my ($path, $cc) = @_;
    $site->fetched("$path: stored", $path, [200, 'Cache-Control' => $cc, ':body' => "page of $path"]);
    $t->clock_advance(2);
}
sub outcome {
    my ($path, $status) = @_;
    my $r = $site->ask($path, [$status, ':body' => 'error']);
    return $r->{body} eq "page of $path" ? 'stale' : $r->{status};
}

subtest 'the statuses that are named, and no others' => sub {
    for my $status (403, 404, 410, 429, 500, 502, 503, 504, 520) {
        my $path = "/some/$status";
        stale($path, 'max-age=1');
        my $want = (grep { $_ == $status } 404, 429, 503, 520) ? 'stale' : $status;
        is outcome($path, $status), $want, "status $status";
        is outcome($path, 404), 'stale', '  after which the copy is there' if $want eq 'stale';
    }
    stale('/some/inner/x', 'max-age=1');
    is outcome('/some/inner/x', 503), 'stale', 'a section of its own has the usual ones';
    stale('/some/inner/y', 'max-age=1');
    is outcome('/some/inner/y', 404), 404, 'and these alone';
    stale('/some/own', 'max-age=1, stale-if-error=600');
    is outcome('/some/own', 500), 500, 'statuses hold for windows of the origin, too';
    stale('/some/must', 'max-age=1, must-revalidate');
    is outcome('/some/must', 404), 404, 'must-revalidate is obeyed';
};

subtest 'in place of what the origin states' => sub {
    stale('/ours/short', 'max-age=1, stale-if-error=0');
    is outcome('/ours/short', 503), 'stale', 'a longer window than the origin\'s';
    stale('/ours/shared', 's-maxage=1');
    is outcome('/ours/shared', 503), 'stale', 'beside s-maxage, as if the origin said it';
    for my $no (qw(must-revalidate proxy-revalidate no-cache)) {
        $site->ask("/ours/$no", [200, 'Cache-Control' => "max-age=1, $no, stale-if-error=9", ETag => '"1"',
                                 ':body' => "page of /ours/$no"]);
        $t->clock_advance(2);
        isnt outcome("/ours/$no", 503), 'stale', "$no is obeyed";
    }
    stale('/ours/never', 'max-age=1, stale-while-revalidate=600');
    is outcome('/ours/never', 200), 200, 'the origin\'s window for refreshes is off';
};

subtest 'what was never fresh is shown to nobody' => sub {
    $site->ask('/ours/zero', [200, 'Cache-Control' => 'max-age=0', ETag => '"z"', ':body' => 'page of /ours/zero']);
    isnt outcome('/ours/zero', 503), 'stale', 'not by our window';
};

$t->finish;

for (['DevCacheStaleIfError 1h 200', qr/200 is not allowed.*500 to 599/],
     ['DevCacheStaleIfError 1h ! 503', qr/! is not allowed/],
     ['DevCacheStaleIfError', qr/give a number of seconds/],
     ['DevCacheStaleIfError x', qr/DevCacheStaleIfError/],
     ['DevCacheStaleWhileRevalidate 30 503', qr/503 is not allowed.*a ! may come there/]) {
    my ($line, $want) = @$_;
    like(DevCache::Test->start_error($line), $want, "refused: $line");
}
done_testing;
