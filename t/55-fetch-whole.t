# SPDX-License-Identifier: Apache-2.0
# t/55-fetch-whole.t. DevCacheFetchWhole: who asks for a part of what is not stored gets it from the
# origin, and the whole is fetched in the background, once, if it may be stored.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCacheMaxObjectSize 1M
</Location>
<Location "/whole/">
    DevCacheFetchWhole On
</Location>
ProxyPass / @ORIGIN@/
CONF
my $body = join '', map { chr(97 + $_ % 26) } 0 .. 999;
my @fresh = ('Cache-Control' => 'max-age=600', ETag => '"e"');

# The origin gives ten bytes from 100 or so on, of so many.
my $from = 100;
sub part {
    my ($fetch, $total, @fields) = @_;
    my $part = $from . '-' . ($from + 9);
    is $fetch->header('Range'), "bytes=$part", 'the origin is asked for the part';
    $fetch->reply(206, [@fields, 'Content-Range' => "bytes $part/$total"], substr $body, $from, 10);
}
sub range {
    return $t->send_req($_[0], 'User-Agent' => PC, Range => "bytes=$from-" . ($from + 9), @_[1 .. $#_]);
}

# A film: the player asks for parts only.
my $first = range('/whole/film', 'If-Range' => '"e"', 'If-None-Match' => '"x"');
my $fetch = $t->origin->accept;
part($fetch, 1000, @fresh);
is $first->response->{status}, 206, 'the visitor gets the part';
is $first->response->{body}, substr($body, 100, 10), 'its bytes';
my $whole = $t->origin->accept;
is join(',', map { $whole->header($_) // 'no' } qw(Range If-Range If-None-Match)), 'no,no,no',
    'then the whole is fetched, without conditions';
is $whole->header('X-Device-Type'), 'pc', 'for the same device';

# Meanwhile: other parts go to the origin, and start nothing; who wants the whole follows it.
SKIP: {
    skip 'needs threads: without them the child is busy with it', 4 if ($ENV{DEVCACHE_MPM} // '') eq 'prefork';
    $from = 500; # the first is stored
    my $other = range('/whole/film');
    part($t->origin->accept, 1000, @fresh);
    $from = 100;
    is $other->response->{status}, 206, 'another part meanwhile';
    my $all = $t->send_req('/whole/film', 'User-Agent' => PC);
    ok $t->origin->quiet(0.2), 'nobody else asks for the whole';
    $whole->reply(200, \@fresh, $body);
    $whole = undef;
    is $all->response->{body}, $body, 'who wanted it has it';
}
$whole->reply(200, \@fresh, $body) if $whole;
$t->wait_counter(refreshes => 1);
my $hit = $t->get('/whole/film', 'User-Agent' => PC, Range => 'bytes=100-109');
is $hit->{body}, substr($body, 100, 10), 'then parts are hits';
like $hit->header('Cache-Status'), qr/; hit/, 'they say so';
is $t->get('/whole/film', 'User-Agent' => PC, Range => 'bytes=-3')->{body}, substr($body, -3), 'other ones too';

# What is not fetched: not for all, too large, of unknown length, not a part, failed, somewhere else.
my %not = (
    '/whole/private'  => [206, 'bytes 100-109/1000', 'Cache-Control' => 'private, max-age=60'],
    '/whole/cookie'   => [206, 'bytes 100-109/1000', @fresh, 'Set-Cookie' => 'a=b'],
    '/whole/nothing'  => [206, 'bytes 100-109/1000'],
    '/whole/large'    => [206, 'bytes 100-109/2000000', @fresh],
    '/whole/unknown'  => [206, 'bytes 100-109/*', @fresh],
    '/whole/nonsense' => [206, 'bytes 100-109/1000x', @fresh],
    '/whole/missing'  => [404, undef, @fresh],
    '/whole/past'     => [416, 'bytes */50', @fresh],
    '/elsewhere/film' => [206, 'bytes 100-109/1000', @fresh],
);
for my $path (sort keys %not) {
    my ($status, $range, @fields) = @{ $not{$path} };
    my $req = range($path);
    $t->origin->accept->reply($status, [@fields, $range ? ('Content-Range' => $range) : ()],
        $status == 206 ? '0123456789' : '');
    is $req->response->{status}, $status, "$path: the visitor gets what the origin says";
    ok $t->origin->quiet(0.1), '… and that is all';
}
is $t->counters->{refreshes}, 1, 'one fetch in the background so far';

# What turns out not to be for all after all is not fetched again and again.
my $req = range('/whole/liar');
part($t->origin->accept, 1000, @fresh);
$req->response;
$t->origin->accept->reply(200, { 'Cache-Control' => 'no-store' }, $body);
$t->wait_counter(refreshes_failed => 1);
$from = 300;
$req = range('/whole/liar');
part($t->origin->accept, 1000, @fresh);
is $req->response->{status}, 206, 'parts of it come as before';
ok $t->origin->quiet(0.1), 'the whole is left alone';

# A HEAD, and a range that is answered from the cache, fetch nothing.
$t->send_req('/whole/head', ':method' => 'HEAD', Range => 'bytes=0-1');
$t->origin->accept->reply(200, \@fresh, '');
ok $t->origin->quiet(0.1), 'HEAD has no parts';

$t->finish;
done_testing;
