# SPDX-License-Identifier: Apache-2.0
# t/00-example.t. The pattern to copy: how a test of the server is written. It shows that phones
# and desktops get pages of their own, that a stale page is validated, and that a herd of
# visitors costs one fetch.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

# One server for the file; the configuration says what its blocks need, and no more.
my $t = DevCache::Test->start(<<'CONF', origins => 2);
<Location "/">
    DevCache On
</Location>
ProxyPass /told/ @ORIGIN2@/
ProxyPass / @ORIGIN@/ disablereuse=on
CONF

# A block is a subtest that needs nothing of the others: URLs of its own, and a name by which
# somebody who has only the name of a failed check knows what does not work any more.
#
# The first kind of origin is played by the test, in the order of its lines: for what happens
# when. The request is sent, the origin sees it, answers, the client reads.
subtest 'each class of devices has its own copy' => sub {
    my $first = $t->send_req('/p', 'User-Agent' => PHONE);
    my $fetch = $t->origin->accept;
    is $fetch->header('X-Device-Type'), 'mobile', 'the origin is told the class';
    $fetch->reply(200, { 'Cache-Control' => 'max-age=60' }, 'for phones');
    is $first->response->{body}, 'for phones', 'the first phone is served by the origin';

    is $t->get('/p', 'User-Agent' => PHONE)->{body}, 'for phones', 'the second one by the cache';
    ok $t->origin->quiet(0.1), '  without asking the origin';
    $t->is_gone('/p', 'for a desktop', 'User-Agent' => PC);   # or is_stored: neither asks it
};

# Time is moved, never waited for. Everything else is waited for with a deadline: accept,
# response, wait_counter, wait_log, wait_access, wait_until.
subtest 'a stale page is validated, and fresh again after a 304' => sub {
    my %fields = ('Cache-Control' => 'max-age=60', ETag => '"1"');
    $t->exchange('/etag', [200, {%fields}, 'page']);          # send, answer, read
    $t->clock_advance(61);

    my $stale = $t->send_req('/etag');
    my $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), '"1"', 'the origin is asked whether it changed';
    $fetch->reply(304, {%fields});
    is $stale->response->{body}, 'page', 'the visitor gets the page';
    $t->is_stored('/etag', 'after the 304');
};

# The second kind answers as each request tells it to: for rows and rows of "this answer to that
# request", where question, answer and check are one line.
my $site = DevCache::Told->new($t, 2);
subtest 'what a response says of itself decides whether it is kept' => sub {
    my %kept = ('max-age=60' => 1, 's-maxage=60' => 1, 'no-store' => 0, private => 0,
                'max-age=0' => 0);
    for my $said (sort keys %kept) {
        my @ask = ("/told/$said", [200, 'Cache-Control' => $said]);
        $site->fetched("$said, the first time", @ask);
        my $again = $kept{$said} ? 'cached' : 'fetched';
        $site->$again("$said, the second time", @ask);
    }
};

# The third kind runs by itself, from its own process, and counts: for loads, and for what the
# order of requests is not to matter to. It takes the origin over from here on. hold keeps
# its answers back until the test lets them go.
my $auto = $t->origin_auto(sub {
    my $request = shift;
    return (200, { 'Cache-Control' => 'max-age=60' }, "page $request->{target}", hold => 'herd');
});
subtest 'a herd costs one fetch' => sub {
    my @herd = map { $t->send_req('/herd') } 1 .. 20;
    $t->wait_counter(flights => 1);
    $auto->release('herd');
    my @bodies = map { $_->response->{body} } @herd;
    is_deeply \@bodies, [('page /herd') x 20], 'everybody gets the page';
    is $auto->fetches('/herd'), 1, 'the origin was asked once';
};

# The one check of everything that nobody thought of: log, crashes, sanitizers, what came to the
# origin and was not answered.
$t->finish;
done_testing;
