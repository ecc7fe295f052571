# SPDX-License-Identifier: Apache-2.0
# t/23-what-an-answer-does.t. What an answer of the origin does to the copies that are stored
# of its URL: it is about the variant of its request, and about nobody else's.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['deflate', 'filter']);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
<Location "/default/">
    DevCacheDefaultTTL 60
</Location>
<Location "/deflate/">
    SetOutputFilter DEFLATE
</Location>
<Location "/both/">
    SetOutputFilter INFLATE;DEFLATE
</Location>
<Location "/edited/">
    SetOutputFilter DEFLATE
    Header edit ETag "-gzip\"$" "\""
</Location>
<Location "/marked/">
    Header edit ETag "^\"(.*)\"$" "\"$1-here\""
</Location>
<Location "/backend/">
    RequestHeader set Authorization "Basic YmFjazplbmQ="
</Location>
ProxyPass / @ORIGIN@/
CONF
my $swr = 'max-age=10, stale-while-revalidate=1000';
my $serial = 0;

# A request and what the origin answers; the fetch is kept.
my $fetch;
sub ask {
    my ($path, $answer, @headers) = @_;
    my $req = $t->send_req($path, @headers);
    $fetch = $t->origin->accept;
    my ($status, $fields, $body) = @$answer;
    $fetch->reply($status, $fields, $body);
    return $req->response;
}
# Something stored, for a PC; @$also: for others.
sub stored {
    my ($prefix, $control, @fields) = @_;
    my $path = $prefix . ++$serial;
    for my $agent (PC, PHONE) {
        ask($path, [200, { 'Cache-Control' => $control, @fields }, 'old'], 'User-Agent' => $agent);
    }
    return $path;
}
# What is served without the origin; undef if that is asked.
sub hit {
    my ($path, @headers) = @_;
    my $res = $t->get($path, 'Cache-Control' => 'only-if-cached, max-stale=0',
        (grep { $_ eq 'User-Agent' } @headers) ? () : ('User-Agent' => PC), @headers);
    return $res->{status} == 504 ? undef : $res->{body};
}
# As a visitor would be: stale, and the origin is asked in the background.
sub refreshed {
    my ($path, $answer, @headers) = @_;
    my $before = $t->counters->{refreshes};
    is $t->get($path, 'User-Agent' => PC, @headers)->{body}, 'old', "$path: stale, and refreshed";
    $fetch = $t->origin->accept;
    my ($status, $fields, $body) = @$answer;
    $fetch->reply($status, $fields, $body);
    $t->wait_counter(refreshes => $before + 1);
    $t->clock_advance(3);    # a variant is left alone for two seconds after a refresh
    return;
}

# --- what the origin has no more, in the background ----------------------------------------

for (
    ['404',                    [404, {}, 'gone'],                                    'ended'],
    ['410',                    [410, {}, 'gone'],                                    'ended'],
    ['200 without a lifetime', [200, {}, 'new'],                                     'ended'],
    ['200, private for all',   [200, { 'Cache-Control' => 'private' }, 'new'],       'ended'],
    ['404 with a lifetime',    [404, { 'Cache-Control' => 'max-age=60' }, 'gone'],   'replaced'],
    ['503',                    [503, {}, 'down'],                                    'kept'],
    ['429',                    [429, {}, 'slower'],                                  'kept'],
    ['408',                    [408, {}, 'too slow'],                                'kept'],
    ['401',                    [401, { 'WWW-Authenticate' => 'Basic realm="x"' }, ''], 'kept'],
    ['403',                    [403, { 'Cache-Control' => 'max-age=60' }, 'no'],     'kept'],
    ['a redirect',             [302, { Location => '/login' }, ''],                  'kept'],
    ['a cached redirect',      [302, { Location => '/login', 'Cache-Control' => 'max-age=60' }, ''],
                                                                                     'kept'],
    ['Set-Cookie',             [200, { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'a=b' }, 'new'],
                                                                                     'kept'],
) {
    my ($name, $answer, $then) = @$_;
    my $path = stored('/gone/', $swr);
    $t->clock_advance(11);
    refreshed($path, $answer);
    if ($then eq 'ended') {
        my $res = ask($path, $answer, 'User-Agent' => PC);
        is $res->{body}, $answer->[2], "$name to a refresh: the old one is not shown any more";
    }
    elsif ($then eq 'replaced') {
        is $t->get($path, 'User-Agent' => PC)->{status}, $answer->[0], "$name to a refresh: stored";
    }
    else {
        refreshed($path, [200, { 'Cache-Control' => $swr }, 'new']);
        is hit($path), 'new', "$name to a refresh: nothing is touched";
    }
}

{
    my $path = stored('/other-class/', $swr);
    $t->clock_advance(11);
    refreshed($path, [404, {}, 'gone']);
    my $before = $t->counters->{refreshes};
    is $t->get($path, 'User-Agent' => PHONE)->{body}, 'old', 'another class still has its own';
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr }, 'phone');
    $t->wait_counter(refreshes => $before + 1);
    is hit($path, 'User-Agent' => PHONE), 'phone', 'and it is refreshed';
}

# After a 410 no error brings it back.
{
    my $path = stored('/error/', 'max-age=10, stale-if-error=1000');
    $t->clock_advance(11);
    is ask($path, [410, {}, 'gone'], 'User-Agent' => PC)->{status}, 410, 'gone';
    is ask($path, [503, {}, 'down'], 'User-Agent' => PC)->{status}, 503, 'stale-if-error has nothing';
    is $t->get($path, 'User-Agent' => PHONE)->{body}, 'old', 'for others it has';
    $t->clock_advance(60);    # an origin that has just failed is left alone
}

# --- somebody's own -------------------------------------------------------------------------

for (
    ['private',    [200, { 'Cache-Control' => 'private' }, 'mine'],    Cookie => 'session=1'],
    ['no-store',   [200, { 'Cache-Control' => 'no-store' }, 'mine'],   Cookie => 'session=1'],
    ['Set-Cookie', [200, { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'id=1' }, 'mine'],
                                                                       Cookie => 'session=1'],
    ['a cookie for a bot', [200, { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'id=1' }, 'mine'],
                                                                       Pragma => 'no-cache'],
    ['private, to a bot', [200, { 'Cache-Control' => 'private' }, 'mine'], Pragma => 'no-cache'],
    ['Authorization', [200, { 'Cache-Control' => 'max-age=60' }, 'mine'], Authorization => 'Basic eA=='],
    ['403',        [403, {}, 'mine'],                                  Cookie => 'session=1'],
    ['a redirect', [302, { Location => '/welcome' }, 'mine'],          Cookie => 'session=1'],
) {
    my ($name, $answer, @headers) = @$_;
    my $path = stored('/own/', 'max-age=60', ETag => '"e"');
    is ask($path, $answer, 'User-Agent' => PC, @headers, 'Cache-Control' => 'no-cache')->{body}, 'mine',
        "$name: passed on";
    is hit($path, 'User-Agent' => $_), 'old', 'and no fresh copy goes' for PC, PHONE;
}

# Nobody stops collapsing for it.
for (
    ['a member',       [200, { 'Cache-Control' => 'private' }, 'mine'], Cookie => 'session=1'],
    ['a bot',          [200, { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'a=1' }, 'mine'],
                                                                        Pragma => 'no-cache'],
) {
    my ($name, $answer, @headers) = @$_;
    my $path = '/together/' . ++$serial;
    my $own = $t->send_req($path, 'User-Agent' => PC, @headers);
    my $first = $t->origin->accept;
    my @strangers = map { $t->send_req($path, 'User-Agent' => PC) } 1 .. 3;
    $t->origin->quiet(0.1);
    $first->reply(@$answer);
    is $own->response->{body}, 'mine', "$name owns a flight and gets a page of its own";
    my $second = $t->origin->accept;
    ok $t->origin->quiet(0.2), 'those who waited ask once, for all of them';
    $second->reply(200, { 'Cache-Control' => 'max-age=60' }, 'all');
    is $_->response->{body}, 'all', 'and get it' for @strangers;
}

# --- a HEAD ---------------------------------------------------------------------------------

{
    my $page = 'page ' x 400;
    my @zip = ('User-Agent' => PC, 'Accept-Encoding' => 'gzip');
    my $path = '/deflate/head';
    my %fields = ('Cache-Control' => 'max-age=10', ETag => '"d"', 'Content-Type' => 'text/html');
    my $zipped = ask($path, [200, \%fields, $page], @zip);
    is $zipped->header('Content-Encoding'), 'gzip', 'a compressed page is stored';
    $t->clock_advance(11);
    my $req = $t->send_req($path, @zip, ':method' => 'HEAD');
    $fetch = $t->origin->accept;
    $fetch->head(200, { %fields, 'Content-Length' => length $page });
    $fetch->end;
    is $req->response->{status}, 200, 'a HEAD for it, when it is stale';
    my $again = $t->send_req($path, @zip);
    if ($t->origin->quiet(0.1)) { pass 'the page has been confirmed by it' }
    else {
        $fetch = $t->origin->accept;
        like $fetch->header('If-None-Match'), qr/"d"/, 'at worst it is asked about';
        $fetch->reply(304, { ETag => '"d"', 'Cache-Control' => 'max-age=10' });
    }
    ok $again->response->{body} eq $zipped->{body}, 'and is still there';
    my $plain = $t->send_req($path, 'User-Agent' => PC);
    if (!$t->origin->quiet(0.1)) { $t->origin->accept->reply(200, \%fields, $page) }
    $plain = $plain->response;
    is $plain->header('Content-Encoding'), undef, 'who takes no gzip is given none';
    is $plain->{body}, $page, 'but the page';
}

# --- cookies of a 304 -------------------------------------------------------------------------

{
    my $path = stored('/cookie/', 'max-age=10', ETag => '"c"');
    $t->clock_advance(11);
    my $res = ask($path, [304, { ETag => '"c"', 'Cache-Control' => 'max-age=10',
        'Set-Cookie' => 'session=mine; Path=/' }], 'User-Agent' => PC);
    is "$res->{status} $res->{body}", '200 old', 'a 304 that sets a cookie confirms the page';
    is $res->header('Set-Cookie'), 'session=mine; Path=/', 'and the cookie goes to who has asked';
    $res = $t->get($path, 'User-Agent' => PC);
    is $res->{body}, 'old', 'the page is fresh again';
    is $res->header('Set-Cookie'), undef, 'and nobody else gets the cookie';
    $t->clock_advance(11);
    $res = ask($path, [304, { ETag => '"c"', 'Set-Cookie' => ['a=1', 'b=2'] }],
        'User-Agent' => PC, 'If-None-Match' => '"c"');
    is $res->{status}, 304, 'also to who has the page already';
    is_deeply [sort map { $_->[1] } grep { lc $_->[0] eq 'set-cookie' } @{ $res->{list} }],
        ['a=1', 'b=2'], 'all of them';
}

# --- who has not logged in, who has -----------------------------------------------------------

for my $status (401, 403) {
    my $path = '/login/' . ++$serial;
    my $no = [$status, { 'Cache-Control' => 'max-age=60' }, 'who are you'];
    is ask($path, $no, 'User-Agent' => PC)->{status}, $status, "a $status";
    is hit($path), 'who are you', 'is stored, for strangers';
    is ask($path, [200, { 'Cache-Control' => 'private' }, 'welcome'], 'User-Agent' => PC,
        Authorization => 'Basic eDp5')->{body}, 'welcome', 'not for who says who it is';
    is ask($path, [200, { 'Cache-Control' => 'private' }, 'welcome'], 'User-Agent' => PC,
        Cookie => 'session=1')->{body}, 'welcome', 'in whatever way';
    is hit($path), 'who are you', 'strangers still get it';
}

# --- refreshes are from nobody ------------------------------------------------------------------

{
    my @member = (Cookie => 'session=1; token=once', Authorization => 'Bearer secret');
    my $path = stored('/nobody/', "public, $swr");
    $t->clock_advance(11);
    refreshed($path, [200, { 'Cache-Control' => "public, $swr" }, 'old'], @member);
    is $fetch->header('Cookie'), undef, 'a refresh has no cookies';
    is $fetch->header('Authorization'), undef, 'and no login';

    $path = stored('/backend/', "public, $swr");
    $t->clock_advance(11);
    refreshed($path, [200, { 'Cache-Control' => "public, $swr" }, 'old'], @member);
    is $fetch->header('Authorization'), 'Basic YmFjazplbmQ=', 'but what the configuration sets';
    is $fetch->header('Cookie'), undef, 'and nothing else';

    $path = '/compared/1';
    my $answer = [200, { 'Cache-Control' => $swr, Vary => 'Cookie' }, 'old'];
    ask($path, $answer, 'User-Agent' => PC, Cookie => 'theme=dark');
    $t->clock_advance(11);
    refreshed($path, $answer, Cookie => 'theme=dark');
    is $fetch->header('Cookie'), 'theme=dark', 'what the variant compares goes along';
}

# --- answers that are none ----------------------------------------------------------------------

for my $raw ("HTTP/1.1 99 X\r\nContent-Type: text/html\r\n\r\nbody", "200 OK\r\nX: y\r\n\r\nbody", "body only\r\n") {
    my $path = '/default/' . ++$serial;
    my $req = $t->send_req($path, 'User-Agent' => PC);
    my $bad = $t->origin->accept;
    $bad->send($raw);
    $bad->close;
    $req->response;
    is ask($path, [200, {}, 'good'], 'User-Agent' => PC)->{body}, 'good',
        (split /\r/, $raw)[0] . ': is not stored as a page';
}
is hit('/default/' . $serial), 'good', 'a true answer is';

{
    my $path = '/feed/' . ++$serial;
    my $req = $t->send_req($path, 'User-Agent' => PC, 'A-IM' => 'feed', 'If-None-Match' => '"1"');
    $fetch = $t->origin->accept;
    is $fetch->header('A-IM'), undef, 'what a reader has already is its own condition';
    $fetch->reply(226, { IM => 'feed', 'Cache-Control' => 'max-age=60', ETag => '"2"' }, 'new entries');
    is $req->response->{status}, 226, 'a 226 all the same';
    is ask($path, [200, { 'Cache-Control' => 'max-age=60', ETag => '"2"' }, 'all entries'],
        'User-Agent' => PC)->{body}, 'all entries', "is not everybody's feed";
}

# --- conditions behind filters ------------------------------------------------------------------

my $text = 'text ' x 400;
for (
    ['/deflate/v', '"v-gzip"',      ['"v"', '"v-gzip"'],       ['"w"', '"v-br"', '"v-"']],
    ['/edited/v',  '"v"',           ['"v"', '"v-gzip"'],       ['"w"']],
    ['/marked/v',  '"v-here"',      ['"v"', '"v-here"', 'W/"v-here"'], ['"w-here"', '"here"']],
) {
    my ($path, $shown, $same, $others) = @$_;
    my @zip = ('User-Agent' => PC, 'Accept-Encoding' => 'gzip');
    my %fields = ('Cache-Control' => 'max-age=10', ETag => '"v"', 'Content-Type' => 'text/plain');
    is ask($path, [200, \%fields, $text], @zip)->header('ETag'), $shown, "$path: the tag that is shown";
    is $t->get($path, @zip, 'If-None-Match' => $_)->{status}, 304, "$path: $_ is the stored one" for @$same;
    is $t->get($path, @zip, 'If-None-Match' => $_)->{status}, 200, "$path: $_ is not" for @$others;
    $t->clock_advance(11);
    is ask($path, [304, \%fields], @zip, 'If-None-Match' => $shown)->{status}, 304,
        'and after it was confirmed';
    like $fetch->header('If-None-Match'), qr/"v"/, 'for which the origin was shown its own';
}
{
    use IO::Compress::Gzip qw(gzip);
    gzip(\$text, \my $zipped);
    my $path = '/both/v';
    my @zip = ('User-Agent' => PC, 'Accept-Encoding' => 'gzip');
    my %fields = ('Cache-Control' => 'max-age=10', ETag => '"v-gzip"', 'Content-Type' => 'text/plain');
    my $res = ask($path, [200, { %fields, 'Content-Encoding' => 'gzip' }, $zipped], @zip);
    is $res->header('ETag'), '"v-gzip-gunzip-gzip"', 'decoded and coded again';
    is $t->get($path, @zip, 'If-None-Match' => $_)->{status}, 304, "$_ is the stored one"
        for '"v-gzip-gunzip-gzip"', '"v-gzip"', '"v"';
    $t->clock_advance(11);
    is ask($path, [304, \%fields], @zip)->{status}, 200, 'and the origin confirms it';
    is $fetch->header('If-None-Match'), '"v-gzip-gunzip-gzip", "v-gzip-gunzip", "v-gzip", "v"',
        'by any of its forms';
}

$t->finish;
done_testing;
