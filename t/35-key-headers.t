# SPDX-License-Identifier: Apache-2.0
# t/35-key-headers.t. DevCacheKeyHeaders: each value of a named field has its own page.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/keyed/">
    DevCache On
    DevCacheKeyHeaders X-Forwarded-Proto X-Country
</Location>
<Location "/bypassed/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $req = shift;
    return (200, { 'Cache-Control' => 'max-age=60', ETag => '"e"' },
        join ' ', map { $req->header($_) // '-' } qw(X-Device-Type X-Forwarded-Proto X-Country));
});

for my $proto ('http', 'https') {
    is $t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => $proto)->{body},
        "pc $proto -", "$proto has its own page" for 1, 2;
}
is $t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http', 'X-Country' => 'de')->{body},
    'pc http de', 'and so has each country';
is $t->get('/keyed/a', 'User-Agent' => PC)->{body}, 'pc - -', 'absent is a value of its own';
is $auto->fetches('/keyed/a'), 4, 'four pages, four fetches';
$t->get('/keyed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http', 'X-Forwarded-Host' => 'evil') for 1, 2;
is $auto->fetches('/keyed/a'), 6, 'what is not named still bypasses';
$t->get('/bypassed/a', 'User-Agent' => PC, 'X-Forwarded-Proto' => 'http') for 1, 2;
is $auto->fetches('/bypassed/a'), 2, 'without the directive it bypasses';

$t->finish;
done_testing;
