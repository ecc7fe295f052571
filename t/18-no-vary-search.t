# SPDX-License-Identifier: Apache-2.0
# t/18-no-vary-search.t. DevCacheNoVarySearch: a response says which parameters of the query make
# no other page.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(authz_core authz_host)]);
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheNoVarySearch On
</Location>
<Location "/off/">
    DevCacheNoVarySearch Off
</Location>
<Location "/purge/">
    DevCachePurge Path
    Require local
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my @page = (200, 'Cache-Control' => 'max-age=60');
sub nvs { return [@page, 'No-Vary-Search' => @_] }
my $utm = 'params=("utm_source" "utm+medium")';

subtest 'what makes no other page is left out, from the second response on' => sub {
    $site->fetched('the first tells the rule', '/p?id=1&utm_source=a', nvs($utm));
    $site->fetched('the second is stored by it', '/p?id=1&utm_source=b', nvs($utm));
    is $site->last_request->[1], '/p?id=1&utm_source=b', 'the origin sees all of the query';
    $site->cached($_, $_, [500]) for '/p?id=1&utm_source=c', '/p?id=1', '/p?utm_source&id=1&&',
        '/p?utm%5Fsource=x&i%64=%31&utm%20medium=1', '/p?id=1&utm+medium=2';
    $site->fetched("$_: another page", $_, nvs($utm)) for '/p?id=2', '/p?id=1&utm_sourc=a', '/p?ID=1', '/p';
    $site->cached('without a query', '/p?utm_source=9', [500]);
    $site->fetched('another class', '/p?id=1&utm_source=d', nvs($utm), 'User-Agent' => PHONE);
    $site->cached('its own', '/p?id=1&utm_source=e', [500], 'User-Agent' => PHONE);
    $site->fetched('another path', '/q?id=1&utm_source=a', nvs($utm));
};

subtest 'all but some, and in any order' => sub {
    $site->fetched('first', '/e?x=1', nvs('except=("id"), key-order'));
    $site->fetched('second', '/e?x=2', nvs('key-order, except=("id")'));
    $site->cached($_, $_, [500]) for '/e?x=3', '/e?', '/e';
    $site->fetched('with id', '/e?id=1&x=3', nvs('except=("id" "id"), key-order'));
    $site->cached($_, $_, [500]) for '/e?y=4&id=1';
    $site->fetched('order', '/o?b=2&a=1', nvs('key-order')) for 1, 2;
    $site->cached('another order', '/o?a=1&b=2', [500]);
    $site->fetched('of equal keys counts', '/o?a=1&a=2', nvs('key-order'));
    $site->fetched('swapped', '/o?a=2&a=1', nvs('key-order'));
};

subtest 'what says nothing leaves all in' => sub {
    my $n = 0;
    for my $field ('params', 'params=?1', 'except', 'params=("a"), except=("b")', 'params=(a)',
                   'params="a"', 'params=("a"', 'key-order="x"', 'key-order=?0', 'params=()') {
        $n++;
        $site->fetched("$field: first",  "/n$n?a=1", nvs($field));
        $site->fetched("$field: second", "/n$n?a=2", nvs($field));
        $site->cached("$field: again", "/n$n?a=1", [500]);
    }
    $site->fetched('Off', '/off/p?a=1', nvs('except=()'));
    $site->fetched('Off', '/off/p?a=2', nvs('except=()'));
};

subtest 'another rule takes the place of the old one, and no page is served by a wrong one' => sub {
    $site->fetched('first', '/r?a=1&b=1', nvs('params=("a")'));
    $site->fetched('second', '/r?a=2&b=1', nvs('params=("a")'));
    $site->cached('third', '/r?a=3&b=1', [500]);
    my $r = $site->fetched('another rule', '/r?a=1&b=2', nvs('params=("b")'));
    unlike $r->header('Cache-Status'), qr/; stored/, 'is not stored';
    $site->fetched('a counts again', '/r?a=2&b=1', nvs('params=("b")'));
    $site->cached('and b does not', '/r?a=2&b=7', [500]);
    $site->fetched('nor is what was stored by the old one', '/r?a=3&b=1', nvs('params=("b")'));
    $site->fetched('no rule any more', '/r?a=9&b=1', [@page]);
    $site->fetched('so all counts', '/r?a=2&b=8', [@page]);
    $site->cached('again', '/r?a=2&b=8', [500]);
    $site->fetched('a page of before', '/r?a=2&b=7', [@page]);
};

subtest 'purges and unsafe methods reach what serves a URL' => sub {
    my $again = sub {
        $site->ask("/u?utm_source=$_", nvs($utm)) for 1, 2;
        $site->cached('is there', '/u?utm_source=3', [500]);
    };
    $again->();
    is $t->get('/purge/u?utm_source=7')->{status}, 200, 'a purge';
    $site->fetched('has reached it', '/u?utm_source=3', nvs($utm));
    $again->();
    $site->ask('/u?utm_source=8', [200], ':method' => 'POST');
    $site->fetched('a POST has', '/u?utm_source=3', nvs($utm));
    $again->();
    $site->ask('/form', [201, Location => '/u?utm_source=9'], ':method' => 'POST');
    $site->fetched('one that names it has', '/u?utm_source=3', nvs($utm));
};

subtest 'followers share one fetch' => sub {
    $site->ask('/f?utm_source=1', nvs($utm));
    my $before = $site->{auto}->requests;
    my @all = map { $site->send_req("/f?utm_source=h$_", nvs($utm)) } 1 .. 8;
    my %bodies = map { $_->response->{body} => 1 } @all;
    is keys %bodies, 1, 'one page';
    is $site->{auto}->requests - $before, 1, 'one fetch';
};

subtest 'a 304 may say another rule' => sub {
    my @short = ('Cache-Control' => 'max-age=1', ETag => '"v"');
    $site->ask("/v?a=$_&b=1", [200, @short, 'No-Vary-Search' => 'params=("a")']) for 1, 2;
    $t->clock_advance(2);
    my $r = $site->fetched('validated', '/v?a=3&b=1', [304, @short, 'No-Vary-Search' => 'params=("b")']);
    is $r->{status}, 200, 'the visitor has the page';
    $site->fetched('it is another rule now', '/v?a=3&b=1', [200, @short, 'No-Vary-Search' => 'params=("b")']);
    $site->cached('by which it is found', '/v?a=3&b=2', [500]);
};

$t->finish;
done_testing;
