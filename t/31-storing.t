# SPDX-License-Identifier: Apache-2.0
# t/31-storing.t. What may be stored (RFC 9111, section 3), seen by its effect: asked for twice,
# a response that is stored comes from the origin once. Its lifetime as Cache-Status tells it
# shows how the values in Cache-Control were read.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', origins => 2);
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
ProxyPass /by-hand/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF
$t->allow_log(qr/\[proxy(?:_http)?:(?:error|warn)\]/);
my $site = DevCache::Told->new($t);

my $serial = 0;
sub says { return [200, 'Cache-Control' => @_] }

# Two requests, the second of which has the right number of fetches.
sub twice {
    my ($name, $fetches, $answer, @request) = @_;
    my $path = '/p' . ++$serial;
    my $first = $site->ask($path, $answer, @request);
    my $second = $site->ask($path, $answer, @request);
    is $second->{fetches}, $fetches, $name . ($fetches ? ': not stored' : ': stored');
    is $site->last_request->[2]{'if-none-match'}, undef, "$name: nor kept to be validated"
        if $fetches;
    return ($second, $first);
}
sub stored { my ($name, @how) = @_; return twice($name, 0, @how) }
sub never  { my ($name, @how) = @_; return twice($name, 1, @how) }

# Stored with that many seconds to live, less what the test's own way has taken.
sub lives {
    my ($seconds, $name, @how) = @_;
    my ($second, $first) = stored($name, @how);
    my ($ttl) = $first->header('Cache-Status') =~ /; ttl=(-?\d+); stored/;
    ok $ttl > $seconds - 5 && $ttl <= $seconds, "$name: for $seconds s, not $ttl";
}

# Methods. A GET's answer is for GETs, another method's for nobody.
{
    my $path = '/p' . ++$serial;
    $site->ask($path, says('max-age=60'), ':method' => $_, ':body' => '') for qw(POST PUT OPTIONS XYZZY);
    is $site->ask($path, says('max-age=60'))->{fetches}, 1, "an answer to another method is not stored";
    is $site->ask($path, says('max-age=60'), ':method' => 'HEAD')->{fetches}, 0,
        'a GET stored answers HEAD';
}

# Final statuses that are understood, with a lifetime stated.
stored("$_ with a lifetime", [$_, 'Cache-Control' => 'max-age=60'])
    for 200 .. 205, 300 .. 303, 307, 308, 401 .. 405, 409, 410, 414, 422, 451, 500 .. 504;
for my $status (299, 399, 499, 599) {
    my ($res) = stored("$status, which nobody knows", [$status, 'Cache-Control' => 'max-age=60']);
    is $res->{status}, $status, "$status is replayed as $status";
}
never($_, [$_, 'Cache-Control' => 'max-age=60, public', ETag => '"e"'])
    for 206, 304, 406, 407, 408, 411 .. 413, 415 .. 417, 421, 425, 426, 428, 429, 431, 505, 511;

# Odd statuses and their reason phrases as they came.
for my $sent ('200 Fine, thanks', '299 Two Hundred And Something', '404 No such "page" here',
    '499 Gone off', '599 Network connect timeout') {
    my $path = '/by-hand/' . ++$serial;
    my $req = $t->send_req($path);
    my $fetch = $t->origin(2)->accept;
    $fetch->send("HTTP/1.1 $sent\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx");
    $fetch->end;
    is $req->response->{start}, "HTTP/1.1 $sent", "$sent: passed on";
    is $t->get($path)->{start}, "HTTP/1.1 $sent", "$sent: replayed";
}

# must-understand (section 5.2.2.3): no-store does not count for who understands the status.
my @understand = ('Cache-Control' => 'max-age=60, no-store, must-understand');
stored("must-understand, no-store: $_", [$_, @understand])
    for 200, 203, 301, 404, 503;
never("must-understand: $_", [$_, 'Cache-Control' => 'max-age=60, must-understand'])
    for 299, 418, 499, 599;
never('no-store alone', says('max-age=60, no-store'));
never('must-understand with an argument is none', says('max-age=60, no-store, must-understand=1'));

# no-cache="f" and private="f": the response is stored, these fields are not.
my @fields = ('X-One' => 1, 'X-Two' => 2, 'X-Three' => 3, 'Set-Cookie' => 'a=1');
my %lists = ('"X-One, Set-Cookie"' => '-23', '"x-one,SET-COOKIE, X-Three"' => '-2-',
    '" ,X-One,,Set-Cookie , "' => '-23', '"Set-Cookie"' => '123');
for my $word ('no-cache', 'private', 'Private') {
    for my $list (sort keys %lists) {
        my ($res, $first) = stored("$word=$list", says("max-age=60, $word=$list", @fields));
        is join('', map { $res->header("X-$_") // '-' } qw(One Two Three)), $lists{$list},
            "$word=$list: without those fields";
        is $res->header('Set-Cookie'), undef, "$word=$list: without the cookie";
        is $first->header('Set-Cookie'), 'a=1', "$word=$list: the first client has all";
    }
}
stored('private="x", no-cache="y"',
    says('max-age=60, private="X-One", no-cache="Set-Cookie"', @fields));
stored('a list of one as a token', says('max-age=60, private=X-One'));
never("private=$_ is no list, so all is private", says("max-age=60, private=$_"))
    for '""', '"a b"', '"a:"', '" "', '"X-\One"';
my ($kept) = stored('what the body needs cannot be listed',
    says('max-age=60, private="Content-Type, Vary"', 'Content-Type' => 'text/own', Vary => 'X-A'));
is $kept->header('Content-Type'), 'text/own', 'Content-Type is still there';

# Authorization (section 3.5).
my @auth = (Authorization => 'Basic eDp5');
stored("Authorization and $_", says($_), @auth)
    for 'public, max-age=60', 's-maxage=60', 'max-age=60, must-revalidate', 'PUBLIC,max-age=60';
never("Authorization and $_", says($_, ETag => '"e"'), @auth)
    for 'max-age=60', 'max-age=60, proxy-revalidate', 'max-age=60, immutable',
    'max-age=60, s-maxage=0', 'max-age=60, public=1', 'max-age=60, public, private';
stored('Authorization and CDN-Cache-Control: public',
    says('max-age=60', 'CDN-Cache-Control' => 'public, max-age=60'), @auth);
{
    my $path = '/p' . ++$serial;
    my $public = says('max-age=60');
    $site->ask($path, $public);
    is $site->ask($path, $public, @auth)->{fetches}, 0,
        'a page stored without Authorization answers with it';
}

# 400: only with a lifetime of its own, and only for an ordinary request.
my $later = 'Sun, 01 Jan 2040 00:00:00 GMT';
stored("400, $_", [400, 'Cache-Control' => $_]) for 'max-age=60', 's-maxage=60';
never('400, Expires', [400, Expires => $later]);
never('400, public and Last-Modified',
    [400, 'Cache-Control' => 'public', 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT']);
never('400 to a request of 4 KB', [400, 'Cache-Control' => 'max-age=60'], Referer => 'x' x 4096);
never('400 to a request beyond ASCII', [400, 'Cache-Control' => 'max-age=60'],
    Referer => "caf\xe9");
never("$_ to a request of 4 KB", [$_, 'Cache-Control' => 'max-age=60'], Referer => 'x' x 4096)
    for 403, 404, 500;
stored('a page is not so choosy', [200, 'Cache-Control' => 'max-age=60'], Referer => 'x' x 4096);

# Incomplete and partial.
never('206', [206, 'Cache-Control' => 'max-age=60', 'Content-Range' => 'bytes 0-0/2'],
    Range => 'bytes=0-0');
never('Content-Range with 200', says('max-age=60', 'Content-Range' => 'bytes 0-7/100'));
stored('a Content-Range that is none', says('max-age=60', 'Content-Range' => 'whatever'));
for my $end ('close', 'reset') {
    my $path = '/by-hand/' . ++$serial;
    my $req = $t->send_req($path);
    my $fetch = $t->origin(2)->accept;
    $fetch->send("HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nuntil the end");
    $req->body_of(5);   # so that a reset does not overtake the body
    $end eq 'close' ? $fetch->close : $fetch->reset;
    is $req->response->{body}, 'until the end', "a body that ends with the connection ($end)";
    $req = $t->send_req($path);
    $t->origin(2)->accept->reply(200, {}, 'another') if $end eq 'reset';
    is $req->response->{body}, $end eq 'close' ? 'until the end' : 'another',
        $end eq 'close' ? 'is complete, and stored' : 'is not complete, nor stored';
}

# Values. Quoted, repeated, in any case, with white space, too large.
my %lives = (
    'max-age=60' => 60, 'max-age="60"' => 60, 'MAX-AGE=60' => 60, 'Max-Age="060"' => 60,
    " max-age=60\t" => 60, ',,max-age=60,,' => 60, "x=\"a, b\" ,\tmax-age=60" => 60,
    'max-age=60, max-age=60' => 60, 'max-age=1, s-maxage=60' => 60,
    'max-age=1, s-maxage="60"' => 60,
    'unknown, max-age=60' => 60, 'unknown="max-age=5, no-store", max-age=60' => 60,
    'no-storex, privately, max-age=60' => 60, 'max-age=60, x-max-age=7' => 60,
    'max-age=2147483647' => 2147483647, 'max-age=2147483648' => 2147483648,
    'max-age=2147483649' => 2147483648, 'max-age=99999999999999999999999999' => 2147483648,
    's-maxage=18446744073709551616' => 2147483648,
);
lives($lives{$_}, "Cache-Control: $_", says($_)) for sort keys %lives;
lives(60, 'two lines of it', says('public', 'Cache-Control' => 'max-age=60'));
never('a quotation mark left open in one line', says('x="', 'Cache-Control' => 'max-age=60'));
never("Cache-Control: $_", says($_))
    for 'max-age=-1', 'max-age=+60', 'max-age=6x', 'max-age=1.5', 'max-age=60s', 'max-age',
    'max-age=', 'max-age=""', 'max-age= 60', 'max-age =60', 'max-age="6\0"', "max-age='60'",
    'max-age=0x60', 'max-age=60, max-age=1', 'max-age=60, s-maxage=-1', 's-maxage=x, max-age=60',
    'max-age=60; private', 'max-age=60, no-store=x', 'max-age=60, no-store="x"',
    'max-age=60, no-sto"re', 'max-age=60 no-store';
never('two lines that contradict', says('max-age=60', 'Cache-Control' => 'max-age=1'));

$t->finish;
done_testing;
