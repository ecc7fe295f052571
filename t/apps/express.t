# SPDX-License-Identifier: Apache-2.0
# t/apps/express.t. An Express shop with sessions and the recipe of conf/examples: every page shows who
# is logged in and what is in the basket.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Attacks;
use DevCache::Host;
use DevCache::Httpd;
use Test::More;

my $host = DevCache::Host->new;
my $built = $host->npm('express') or plan skip_all => $host->{why};
my ($port, $lock) = DevCache::Httpd::free_port();
my $site = DevCache::Apps->new(name => 'express', replace => { '127.0.0.1:3000' => "127.0.0.1:$port" });
my $url = 'http://127.0.0.1:' . $site->port;
$host->node(shop => $built, $port, { PORT => $port, DEVCACHE_SERVER => $url }, 'server.js');
$site->start(modules => [qw(mime authz_host deflate filter)]);

my @urls = ('/', map { "/products/$_" } 1 .. 49);
$site->rounds(\@urls);

# --- members, baskets ---------------------------------------------------------------------

my %mark = (alice => 'Private-ecila', bob => 'Private-bob', eva => 'Private-ave', carl => 'umbrella-of-carl');
sub member {
    my ($name) = @_;
    my $member = $site->visitor($name, device => 'mobile', marks => [$mark{$name}]);
    $site->shows($member->follow($member->post('/login', { user => $name })), qr/You are $mark{$name}/, "$name logs in");
    return $member;
}
my ($alice, $bob, $eva) = map { member($_) } qw(alice bob eva);
my $carl = $site->visitor('carl', device => 'mobile', marks => [$mark{carl}]);
$site->shows($carl->follow($carl->post('/basket', { item => $mark{carl} })), qr/$mark{carl}/, 'carl takes an umbrella');
my $stranger = $site->visitor('stranger', device => 'mobile');
for my $page (@urls[0, 1, 5, 8, 20, 45], '/account', '/basket', '/products/new?colour=red') {
    for my $who ($alice, $bob, $stranger, $carl, $alice, $stranger, $eva, $bob) {
        my $answer = $who->get($page);
        if ($who == $stranger) { $site->lacks($answer, qr/Private|umbrella/, "$page: a stranger is nobody") }
        else { $site->shows($answer, qr/$mark{$who->name}/, "$page: " . $who->name . ' is known') }
    }
}
like $stranger->get('/products/1')->header('Cache-Status'), qr/hit/, 'and strangers are answered from the cache';

# --- an edit ------------------------------------------------------------------------------

sub edition {
    my $path = shift;
    return map { my $page = $site->visitor('stranger', device => $_)->get($path);
                 ($page->{body} =~ /(\w+) edition/)[0] // '-' } DevCache::Visitor::devices();
}
is_deeply [edition('/products/3')], [('first') x 3], 'before an edit';
is $bob->post('/products/3', { edition => 'bobs' })->{status}, 403, 'not everybody may';
is $eva->post('/products/3', { edition => 'second' })->{status}, 200, 'eva edits';
is_deeply [edition('/products/3')], [('second') x 3], '… and everybody sees it, at once';
like $stranger->get('/products/4')->header('Cache-Status'), qr/hit/, '… other pages stay';
$site->lacks($alice->follow($alice->post('/logout', {})), qr/$mark{alice}/, 'alice logs out');
$site->lacks($alice->get('/products/3'), qr/$mark{alice}/, '… and is nobody');

DevCache::Attacks::lure($site, $bob, '/account', '/basket', '/products/5', '/');
DevCache::Attacks::run($site, '/products/9', cookie => 'connect.sid');

$site->finish;
$host->finish;
done_testing;
