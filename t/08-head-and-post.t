# SPDX-License-Identifier: Apache-2.0
# t/08-head-and-post.t. DevCacheHead get: a HEAD for what is not stored is asked as GET, and stored;
# and answers to POST that say that they are what a GET would get (RFC 9110, section 9.3.3).
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCachePurge On
    Require local
</Location>
<Location "/get/">
    DevCacheHead get
</Location>
<Location "/slices/">
    DevCacheHead get
    DevCacheSlice 64K
</Location>
<Location "/large/">
    DevCacheMaxObjectSize 64K
</Location>
<Location "/not/bypass">
    DevCacheBypass "%{REQUEST_METHOD} == 'POST'"
</Location>
ProxyPass /get/flushed @ORIGIN@/get/flushed flushpackets=on
ProxyPass / @ORIGIN@/
CONF
my @fresh = ('Cache-Control' => 'max-age=600', ETag => '"e"');

subtest 'HEAD, as it is by default' => sub {
    my $req = $t->send_req('/pass', ':method' => 'HEAD');
    my $fetch = $t->origin->accept;
    is $fetch->{method}, 'HEAD', 'is asked as HEAD';
    $fetch->reply(200, [@fresh, 'Content-Length' => 4], '');
    is $req->response->header('Content-Length'), 4, 'and answered';
    $t->is_gone('/pass', 'nothing is stored');
};

subtest 'HEAD, asked as GET' => sub {
    for my $size (1, 4, 200_000) {
        my ($path, $body) = ("/get/$size", body_of($size, $size));
        my $req = $t->send_req($path, ':method' => 'HEAD');
        my $fetch = $t->origin->accept;
        is $fetch->{method}, 'GET', "$size bytes: the origin is asked by GET";
        $fetch->reply(200, \@fresh, $body);
        my $res = $req->response;
        is $res->{status}, 200, 'the client gets the head';
        is $res->header('Content-Length'), $size, '… of what a GET would get';
        is $res->{body} // '', '', '… and no body';
        like $res->header('Cache-Status'), qr/fwd=uri-miss.*; stored/, '… which is stored';
        $t->wait_counter(stored => $size == 1 ? 1 : $size == 4 ? 2 : 3);
        is $t->get($path)->{body}, $body, 'a GET is a hit';
        is $t->head($path)->header('Content-Length'), $size, 'and so is a HEAD';
    }
    my $early = $t->send_req('/get/early', ':method' => 'HEAD');
    my $slow = $t->origin->accept;
    $slow->head(200, [@fresh, 'Content-Length' => 100_000]);
    $slow->send('x' x 50_000);
    $early->head;
    is $early->response->header('Content-Length'), 100_000, 'the head comes before the body has';
    $slow->send('x' x 50_000);
    $slow->end;
    $t->wait_counter(stored => 4);
    # mod_proxy flushes what it has of it, while httpd has read on already.
    my $flushed = $t->send_req('/get/flushed', ':method' => 'HEAD');
    $t->origin->accept->reply(200, \@fresh, 'x' x 13_000);
    is $flushed->response->{status}, 200, 'flushed at each piece';
    $t->wait_counter(stored => 5);
    my $first = $t->send_req('/get/chunks', ':method' => 'HEAD');
    my $fetch = $t->origin->accept;
    my $second = $t->send_req('/get/chunks', ':method' => 'HEAD');
    my $third = $t->send_req('/get/chunks');
    $t->wait_counter(flight_followers => 2) if ($ENV{DEVCACHE_MPM} // '') ne 'prefork';
    $fetch->reply(200, [@fresh, 'Transfer-Encoding' => 'chunked'], ['one', 'two']);
    is $first->response->{status}, 200, 'without a length';
    is $second->response->{status}, 200, 'another HEAD meanwhile follows';
    is $third->response->{body}, 'onetwo', '… as does a GET';
    ok $t->origin->quiet(0.1), 'one fetch for all';
};

subtest 'HEAD, of what is not stored' => sub {
    my $req = $t->send_req('/get/private', ':method' => 'HEAD');
    my $fetch = $t->origin->accept;
    $fetch->reply(200, ['Cache-Control' => 'private'], 'mine');
    my $res = $req->response;
    is $res->{status}, 200, 'private: its head';
    is $res->header('Content-Length'), 4, '… with its length';
    is $res->{body} // '', '', '… and nothing else';
    $req = $t->send_req('/get/missing', ':method' => 'HEAD');
    $t->origin->accept->reply(404, [], 'not here');
    is $req->response->{status}, 404, 'missing: 404';
    $req = $t->send_req('/get/cond', ':method' => 'HEAD', 'If-None-Match' => '"e"');
    $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), undef, 'a condition is kept from the origin';
    $fetch->reply(200, \@fresh, 'page');
    is $req->response->{status}, 304, '… and answered';
    $t->is_stored('/get/cond', 'stored all the same');
};

subtest 'HEAD, by slices' => sub {
    my $body = body_of(1, 100_000);
    my $req = $t->send_req('/slices/film', ':method' => 'HEAD');
    my $fetch = $t->origin->accept;
    is "$fetch->{method} " . $fetch->header('Range'), 'GET bytes=0-65535', 'one slice is fetched';
    $fetch->reply(206, [@fresh, 'Content-Range' => 'bytes 0-65535/100000'], substr $body, 0, 65536);
    my $res = $req->response;
    is $res->header('Content-Length'), 100_000, 'it tells the length';
    is $res->{body} // '', '', 'and no byte';
    is $t->get('/slices/film', Range => 'bytes=5-9')->{body}, substr($body, 5, 5), 'the slice is there';
};

subtest 'a slice that is purged as it comes is asked for once more' => sub {
    my $body = body_of(2, 100_000);
    my @tagged = (@fresh, 'Cache-Tag' => 'film');
    my $req = $t->send_req('/slices/tagged');
    $t->origin->accept->reply(206, [@tagged, 'Content-Range' => 'bytes 0-65535/100000'], substr $body, 0, 65536);
    my $fetch = $t->origin->accept;
    $fetch->send("HTTP/1.1 206 Partial Content\r\nContent-Length: 34464\r\nCache-Control: max-age=600\r\n"
        . "ETag: \"e\"\r\nCache-Tag: film\r\nContent-Range: bytes 65536-99999/100000\r\n\r\n" . substr $body, 65536, 20_000);
    $t->wait_log(qr{/slices/tagged: FETCH -> IDLE}, 2); # its head is being judged,
    $t->is_gone('/slices/other', 'nothing') for 1 .. 3; # and has been, when these are answered
    is $t->get('/', ':method' => 'PURGE', 'Cache-Tag' => 'film')->{status}, 200, 'a tag is purged meanwhile';
    $fetch->send(substr $body, 85536);
    $fetch->end;
    my $again = $t->origin->accept;
    is $again->header('Range'), 'bytes=65536-99999', 'it is asked for again';
    $again->reply(206, [@tagged, 'Content-Range' => 'bytes 65536-99999/100000'], substr $body, 65536);
    ok $req->response->{body} eq $body, 'and the reader has all of it';
    $t->is_gone('/slices/tagged', 'it is purged');
};

sub post {
    my ($path, $status, $fields, $body, @request) = @_;
    my $req = $t->send_req($path, ':method' => 'POST', ':body' => 'x=1',
        'Content-Type' => 'application/x-www-form-urlencoded', @request);
    my $fetch = $t->origin->accept;
    is $fetch->{method}, 'POST', "$path: the origin gets the POST";
    is $fetch->{body}, 'x=1', '… with its body';
    $fetch->reply($status, $fields, $body);
    my $res = $req->response;
    is $res->{status}, $status, '… and answers it';
    $body = join '', @$body if ref $body;
    ok $res->{body} eq $body, '… all of it' if length $body;
    return $res;
}

subtest 'POST whose answer is the page' => sub {
    for my $said ('/page', "http://127.0.0.1:@{[ $t->port ]}/page") {
        my $req = $t->send_req('/page', 'Accept-Language' => 'de');
        $t->origin->accept->reply(200, [@fresh, Vary => 'Accept-Language'], 'old');
        $req->response;
        my $res = post('/page', 200, [@fresh, 'Content-Location' => $said], 'new');
        like $res->header('Cache-Status'), qr/fwd=method;.* stored/, 'it says so';
        unlike $res->header('Cache-Status'), qr/not cached/, '… and nothing else';
        is $t->get('/page')->{body}, 'new', 'a GET gets it';
        is $t->get('/page', 'Accept-Language' => 'de')->{body}, 'new', 'what there was is gone';
        is $t->head('/page')->header('Content-Length'), 3, 'so does a HEAD';
        post('/page', 200, [], 'again');
        $t->is_gone('/page', 'a POST is never answered from it, and invalidates it');
    }
};

subtest 'POST whose answer is not stored' => sub {
    my @here = ('Content-Location' => '/not/0');
    my %not = (
        'no Content-Location' => [200, [@fresh]],
        'another page' => [200, [@fresh, 'Content-Location' => '/other']],
        'another site' => [200, [@fresh, 'Content-Location' => 'http://elsewhere.test/not/0']],
        'no lifetime' => [200, [ETag => '"e"', @here]],
        'a date alone' => [200, ['Last-Modified' => 'Mon, 08 Jan 2024 00:00:00 GMT', @here]],
        'private' => [200, ['Cache-Control' => 'private, max-age=60', @here]],
        'a cookie' => [200, [@fresh, @here, 'Set-Cookie' => 'a=b']],
        'created' => [201, [@fresh, @here]],
        'failed' => [500, [@fresh, @here]],
        'an odd request' => [200, [@fresh, @here], 'X-Odd' => 1],
        'a login' => [200, [@fresh, @here], Authorization => 'Basic YTpi'],
    );
    for my $what (sort keys %not) {
        my ($status, $fields, @request) = @{ $not{$what} };
        diag $what if !eval { post('/not/0', $status, $fields, 'done', @request); 1 };
        $t->is_gone('/not/0', $what);
    }
    post('/not/bypass', 200, [@fresh, 'Content-Location' => '/not/bypass'], 'done');
    $t->is_gone('/not/bypass', 'DevCacheBypass');
};

subtest 'POST whose answer is too large' => sub {
    my $body = body_of('large', 100_000);
    my @here = ('Content-Location' => '/large/page');
    my $reasons = sub { return $t->counters->{'reason_too-large'} };
    my $before = $reasons->();
    my $res = post('/large/page', 200, [@fresh, @here], $body);
    like $res->header('Cache-Status'), qr/larger than DevCacheMaxObjectSize/, 'announced: it says why';
    unlike $res->header('Cache-Status'), qr/; stored/, '… and not that it is stored';
    is $reasons->(), $before + 1, '… counted';
    like +($t->wait_access(qr{^POST /large/page}))[-1], qr/\|too-large\|/, '… in the access log';
    $t->is_gone('/large/page', 'it');
    post('/large/page', 200, [@fresh, @here, 'Transfer-Encoding' => 'chunked'], [$body =~ /.{1,10000}/gs]);
    is $reasons->(), $before + 2, 'outgrown: counted';
    like +($t->wait_access(qr{^POST /large/page}, 2))[-1], qr/\|too-large\|/, '… in the access log';
    $t->wait_log(qr{DC0134.*/large/page.*\(too-large\)}, 2);
    $t->is_gone('/large/page', 'it');
};

subtest 'a purge during the POST' => sub {
    my $req = $t->send_req('/purged', ':method' => 'POST', ':body' => 'x');
    my $fetch = $t->origin->accept;
    $t->get('/purged', ':method' => 'PURGE');
    $fetch->reply(200, [@fresh, 'Content-Location' => '/purged'], 'new');
    is $req->response->{body}, 'new', 'the client gets its answer';
    $t->is_gone('/purged', 'nobody else');
    $req = $t->send_req('/cut', ':method' => 'POST', ':body' => 'x');
    $fetch = $t->origin->accept;
    $fetch->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Location: /cut\r\n"
        . "Cache-Control: max-age=60\r\n\r\nhalf");
    $fetch->close;
    eval { $req->response };
    $t->is_gone('/cut', 'nor half an answer');
};

$t->allow_log(qr{AH01110});
$t->finish;
done_testing;
