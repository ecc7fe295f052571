# SPDX-License-Identifier: Apache-2.0
# t/apps/nextjs.t. A Next.js application with the recipe of conf/examples: generated pages, pages for
# each visitor, what its links prefetch, an edit with purge.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Attacks;
use DevCache::Host;
use DevCache::Httpd;
use DevCache::Test;
use Test::More;

my $host = DevCache::Host->new;
my $built = $host->npm('nextjs') or plan skip_all => $host->{why};
my ($port, $lock) = DevCache::Httpd::free_port();
my $site = DevCache::Apps->new(name => 'nextjs', replace => { '127.0.0.1:3000' => "127.0.0.1:$port" });
my $url = 'http://127.0.0.1:' . $site->port;

$host->node(next => $built, $port, { ARTICLES => $host->dir('run/articles.json'), DEVCACHE_SERVER => $url,
                                     NEXT_TELEMETRY_DISABLED => 1, NODE_ENV => 'production' },
            'node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1', '-p', $port);
$site->start(modules => [qw(mime authz_host)]);

my @urls = ('/', '/about', map { "/articles/$_" } 1 .. 48);
$site->rounds(\@urls);

# --- members ------------------------------------------------------------------------------

sub member {
    my ($name, $session) = @_;
    my $member = $site->visitor($name, device => 'mobile', marks => ["Private-$session"]);
    is $member->post('/api/login', { user => $session })->{status}, 303, "$name signs in";
    return $member;
}
my $alice = member(alice => 'ecila');
my $bob = member(bob => 'bob');
my $stranger = $site->visitor('stranger', device => 'mobile');
for my $page ('/account', '/api/me') {
    for my $who ($alice, $bob, $stranger, $alice, $stranger) {
        my $answer = $who->get($page);
        if ($who == $stranger) { $site->lacks($answer, qr/Private-/, "$page of a stranger") }
        else { my $mark = $who == $alice ? 'ecila' : 'bob'; $site->shows($answer, qr/Private-$mark/, "$page of " . $who->name) }
    }
}

# --- what links fetch ---------------------------------------------------------------------

# The router asks for pages in a form of its own, by fields that the page's Vary names.
my @router = (RSC => 1, 'Next-Router-Prefetch' => 1, 'Next-Url' => '/', Accept => '*/*',
              'Next-Router-Segment-Prefetch' => '/_tree', 'Sec-Fetch-Dest' => 'empty', 'Sec-Fetch-Mode' => 'cors');
my %state = ('Next-Router-State-Tree' => '%5B%22%22%2C%7B%22children%22%3A%5B%22__PAGE__%22%2C%7B%7D%5D%7D%5D');
for my $page ('/', '/articles/2', '/about', '/account') {
    for my $who ($alice, $stranger, $bob) {
        for my $form ([@router], [@router[0, 1, 4, 5], %state], [RSC => 1]) {
            my $answer = $who->get("$page?_rsc=1a2b3", @$form);
            $answer = $who->follow($answer);
            my $html = $stranger->get($page);
            like $html->header('Content-Type'), qr{^text/html}, "$page is HTML to browsers"
                or diag $html->header('Cache-Status');
            # The same URL without those fields, and with them and without the query.
            like $stranger->get("$page?_rsc=1a2b3")->header('Content-Type') // '', qr{^text/html},
                '… with the query of the router, too';
            $stranger->get($page, @$form);
            like $stranger->get($page)->header('Content-Type'), qr{^text/html}, '… whoever asked before';
        }
    }
}

# --- an edit ------------------------------------------------------------------------------

my $eva = $site->visitor('eva');
$eva->post('/api/login', { user => 'ave' });
sub edition {
    my $path = shift;
    return map { my $page = $site->visitor('stranger', device => $_)->get($path);
                 ($page->{body} =~ /(\w+) edition/)[0] // '-' } DevCache::Visitor::devices();
}
is_deeply [edition('/articles/3')], [('first') x 3], 'before an edit';
is $bob->post('/api/articles/3', { edition => 'bobs' })->{status}, 403, 'not everybody may';
is $eva->post('/api/articles/3', { edition => 'second' })->{status}, 200, 'eva edits';
ok wait_until(sub { (edition('/articles/3'))[0] eq 'second' }), '… it is seen';
is_deeply [edition('/articles/3')], [('second') x 3], '… by everybody';
like $stranger->get('/articles/4')->header('Cache-Status'), qr/hit/, '… other pages stay';

DevCache::Attacks::lure($site, $bob, '/account', '/api/me', '/articles/5');
DevCache::Attacks::run($site, '/articles/9', cookie => 'session', more => [
    (map { ["$_->[0]: $_->[1]" => {}, @$_] } ['X-Nextjs-Data' => 1], ['X-Middleware-Prefetch' => 1],
     ['X-Middleware-Subrequest' => 'middleware:middleware'], ['X-Invoke-Status' => 404], ['X-Invoke-Output' => '/account'],
     ['X-Now-Route-Matches' => '1=evil'], [RSC => 1], ['Next-Action' => 'evil'], ['X-Nextjs-Cache' => 'evil'],
     ['X-Prerender-Revalidate' => 'evil'], ['X-Nextjs-Stale-Time' => 0], ['Next-Router-Prefetch' => 1],
     ['X-React-Router' => 'evil'], ['X-React-Router-Path' => '/evil']),
    ['__nextDataReq' => { add => ['__nextDataReq=1'] }], ['_rsc' => { add => ['_rsc=evil'] }, RSC => 1],
    ['image of it' => { path => sub { "/_next/image?url=$_[0]&w=64&q=75" } }]]);

$site->finish;
$host->finish;
done_testing;
