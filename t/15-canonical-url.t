# SPDX-License-Identifier: Apache-2.0
# t/15-canonical-url.t. The backend's URL that mod_proxy has made is remembered for the next
# request, and is the same as if it had been made anew: by what it was made of, and not by the
# URL that was asked for.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(rewrite setenvif)], ports => [qw(KEEP)]);
LogLevel proxy_http:trace1
DevCacheKnownHeaders X-Tenant
DevCache On
SetEnvIf X-Tenant "(\w+)" TENANT=$1
ProxyPassInterpolateEnv On
ProxyPass /env/ @ORIGIN@/of/${TENANT}/ interpolate
ProxyPassMatch ^/match/(\w+)/(.*)$ @ORIGIN@/m/$2/$1
RewriteEngine On
RewriteCond %{HTTP:X-Tenant} ^two$
RewriteRule ^/rule/(.*) @ORIGIN@/for-two/$1 [P]
RewriteRule ^/rule/(.*) @ORIGIN@/for-all/$1 [P]
ProxyPass /raw/ @ORIGIN@/raw/ nocanon
ProxyPass /other/ @ORIGIN@/p/
AllowEncodedSlashes On
ProxyPass / @ORIGIN@/
Listen 127.0.0.1:@KEEP@
<VirtualHost 127.0.0.1:@KEEP@>
    AllowEncodedSlashes NoDecode
    ProxyPass / @ORIGIN@/
</VirtualHost>
CONF
my $site = DevCache::Told->new($t);
$t->allow_log(qr/AH00111/); # TENANT is a variable of requests
my $keep = $t->port('KEEP');

# What the origin is asked for.
sub target_of {
    my ($path, @headers) = @_;
    my $res = $site->ask($path, [200, 'Cache-Control' => 'no-store'], @headers);
    return $res->{fetches} == 1 ? ($site->last_request)[0][1] : "status $res->{status}";
}

sub made { return scalar $t->log_lines(qr/HTTP: canonicalising URL/) }

my @rows = (
    ['plain', '/p/a', [], '/p/a'],
    ['another path to the same backend URL', '/other/a', [], '/p/a'],
    ['a query', '/p/a?x=1', [], '/p/a?x=1'],
    ['another query', '/p/a?x=2', [], '/p/a?x=2'],
    ['an empty query', '/p/a?', [], '/p/a?'],
    ['a blank', '/p/a%20b', [], '/p/a%20b'],
    ['needlessly encoded', '/p/%61%7e', [], '/p/a~'],
    ['not ASCII', '/p/%c3%a4', [], '/p/%c3%a4'],
    ['longer than what is remembered', '/p/' . 'l' x 300, [], '/p/' . 'l' x 300],
    ['a query that is', '/p/q?' . 'l' x 300, [], '/p/q?' . 'l' x 300],
    ['interpolated', '/env/a', ['X-Tenant' => 'one'], '/of/one/a'],
    ['interpolated for another', '/env/a', ['X-Tenant' => 'two'], '/of/two/a'],
    ['ProxyPassMatch', '/match/x/y', [], '/m/y/x'],
    ['RewriteRule, by a condition', '/rule/a', ['X-Tenant' => 'two'], '/for-two/a'],
    ['RewriteRule, without it', '/rule/a', [], '/for-all/a'],
    ['nocanon', '/raw/a%7Eb', [], '/raw/a%7Eb'],
    ['encoded twice, where slashes are decoded', '/s/a%252Fb', [], '/s/a%252Fb'],
    ['a slash that is not decoded', '/s/a%2Fb', [':port' => $keep], '/s/a%2Fb'],
);

subtest 'remembered or not, the origin is asked for the same' => sub {
    my %seen;
    for my $round (1 .. 6) {
        $seen{ $_->[0] }{ lc target_of($_->[1], @{ $_->[2] }) }++ for @rows;
    }
    is_deeply $seen{ $_->[0] }, { lc $_->[3] => 6 }, $_->[0] for @rows;
};

subtest 'it is not made each time' => sub {
    my $before;
    ok wait_until(sub {     # each child has met it
        $before = made();
        target_of('/p/often') for 1 .. 20;
        return made() == $before;
    }), 'in the end by none of 20 requests';
    target_of("/p/once-$_") for 1 .. 5;
    is made(), $before + 5, 'but for each of five others';
    target_of('/raw/often') for 1 .. 20;
    is made(), $before + 25, 'and always where the URL is sent as it is';
} if ($ENV{DEVCACHE_MPM} // '') ne 'prefork';   # four children and more, each its own memory

subtest 'what is stored is found by it' => sub {
    $site->fetched('the first time', '/p/kept?a=1');
    $site->cached('again', '/p/kept?a=1') for 1 .. 3;
    $site->fetched('another query', '/p/kept?a=2');
    $site->fetched('one tenant', '/env/kept', undef, 'X-Tenant' => 'one');
    $site->fetched('another tenant', '/env/kept', undef, 'X-Tenant' => 'two');
    for (1 .. 3) {
        $site->cached('one tenant', '/env/kept', undef, 'X-Tenant' => 'one');
        $site->cached('another tenant', '/env/kept', undef, 'X-Tenant' => 'two');
    }
};

$t->finish;
done_testing;
