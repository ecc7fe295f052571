# SPDX-License-Identifier: Apache-2.0
# t/72-invalidation.t. Unsafe requests and what they invalidate (RFC 9111, section 4.4): all
# variants of their own URL and of those that the answer names, and fills under way as well.
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
</Location>
ProxyPass / @ORIGIN@/
CONF
my %lives = ('Cache-Control' => 'max-age=1000');

# Have it stored, unless it is.
sub store {
    my ($path, @request) = @_;
    my $x = $t->send_req($path, @request);
    $t->origin->accept->reply(200, { %lives, Vary => 'Accept-Language', ETag => '"s"' }, 'stored');
    return $x->response;
}

sub unsafe {
    my ($method, $path, $status, %headers) = @_;
    my $asks = delete $headers{':asks'} // [];
    my $x = $t->send_req($path, ':method' => $method, ':body' => 'x', @$asks);
    my $fetch = $t->origin->accept;
    is $fetch->{method}, $method, "$method reaches the origin";
    $fetch->reply($status, \%headers, $status == 204 ? '' : 'done');
    return $x->response;
}

# By method and status.
for my $method (qw(POST PUT DELETE PATCH MKCOL FROBNICATE)) {
    for my $status (200, 204, 303) {
        store('/a');
        unsafe($method, '/a', $status);
        $t->is_gone('/a', "$method, $status");
    }
    store('/a');
    for my $status (400, 403, 404, 500, 503) {
        unsafe($method, '/a', $status);
        $t->is_stored('/a', "$method, $status");
    }
    unsafe($method, '/a', 200);
}
store('/a');
unsafe('OPTIONS', '/a', 200);
$t->is_stored('/a', 'OPTIONS is safe');

# All variants, and no other URL.
my @variants = map {
    my $agent = $_;
    map { ['User-Agent' => $agent, 'Accept-Language' => $_] } qw(de en);
} PC, TABLET, PHONE;
store('/v', @$_) for @variants;
store($_) for '/v/', '/v?q', '/V', '/';
$t->is_stored('/v', 'before', @$_) for @variants;
unsafe('POST', '/v', 200);
$t->is_gone('/v', 'POST', @$_) for @variants;
$t->is_stored($_, 'POST to /v') for '/v/', '/v?q', '/V', '/';
unsafe('POST', '/v?q', 200);
$t->is_gone('/v?q', 'POST with a query');
store('/v');
unsafe('POST', '/x/../%76', 200);
$t->is_gone('/v', 'POST to another spelling');

# Those that the answer names.
my $here = 'http://127.0.0.1:' . $t->port;
my %named = (
    "$here/named"                       => 1,
    '/named'                            => 1,
    'named'                             => 1,
    '../named'                          => 1,
    "//127.0.0.1:@{[$t->port]}/named"   => 1,
    '/%6eamed'                          => 1,
    "HTTP://127.0.0.1:@{[$t->port]}/named" => 1,
    "$here/named#there"                 => 1,
    'http://example.com/named'          => 0,
    'https://127.0.0.1/named'           => 0,
    '//example.com/named'               => 0,
    "http://127.0.0.1:1/named"          => 0,
    "http://user\@example.com/named"    => 0,
    '/other'                            => 0,
);
for my $field ('Location', 'Content-Location') {
    for my $value (sort keys %named) {
        my $stored = $t->get('/named', 'Cache-Control' => 'only-if-cached')->{status} == 200;
        store('/named') unless $stored;
        unsafe('POST', '/form', $field eq 'Location' ? 201 : 200, $field => $value);
        my $check = $named{$value} ? 'is_gone' : 'is_stored';
        $t->$check('/named', "$field: $value");
    }
}
store('/named');
unsafe('POST', '/form', 403, Location => '/named');
$t->is_stored('/named', 'an error that names it');
store('/both');
unsafe('PUT', '/form', 200, Location => '/named', 'Content-Location' => '/both');
$t->is_gone($_, 'both fields') for '/named', '/both';

# WebDAV: what is written to is another URL than the one that is asked.
for my $method ('COPY', 'MOVE') {
    store('/named');
    unsafe($method, '/v?source', 403, ':asks' => [Destination => "$here/named"]);
    $t->is_stored('/named', "$method that is refused");
    unsafe('POST', '/v?source', 200, ':asks' => [Destination => "$here/named"]);
    $t->is_stored('/named', "a POST with $method\'s field");
    unsafe($method, '/v?source', 204, ':asks' => [Destination => 'http://example.com/named']);
    $t->is_stored('/named', "$method to another site");
    unsafe($method, '/v?source', 204, ':asks' => [Destination => "$here/named"]);
    $t->is_gone('/named', "$method: its Destination");
}

# A fill that began before the POST must not be published after it.
sub overtaken {
    my ($name, $begin, $end) = @_;
    my $x = $t->send_req('/race');
    my $fetch = $t->origin->accept;
    $begin->($fetch);
    unsafe('POST', '/race', 200);
    $end->($fetch);
    is $x->response->{body}, 'before', "$name: its client has its answer";
    $t->is_gone('/race', $name);
}
my $before = $t->counters->{store_superseded};
overtaken('asked, not answered', sub { }, sub { $_[0]->reply(200, \%lives, 'before') });
overtaken('half answered',
          sub { $_[0]->head(200, { %lives, 'Content-Length' => 6 }); $_[0]->send('bef') },
          sub { $_[0]->send('ore'); $_[0]->end });
overtaken('chunked', sub {
    $_[0]->head(200, { %lives, 'Transfer-Encoding' => 'chunked' });
    $_[0]->chunk('bef');
}, sub { $_[0]->chunk('ore'); $_[0]->last_chunk });
is $t->counters->{store_superseded}, $before + 3, 'which is counted';

# Nor may a 304 that was asked for before it bring the old copy back.
my $x = $t->send_req('/race');
$t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10', ETag => '"r"' }, 'old');
$x->response;
$t->clock_advance(11);
$x = $t->send_req('/race');
my $fetch = $t->origin->accept;
is $fetch->header('If-None-Match'), '"r"', 'being validated';
unsafe('POST', '/race', 200);
$fetch->reply(304, { ETag => '"r"', 'Cache-Control' => 'max-age=10' });
is $x->response->{status}, 200, 'its client has an answer';
$t->is_gone('/race', 'validated before, confirmed after');

# One that begins after it is stored.
store('/race');
$t->is_stored('/race', 'asked after the POST');

# And so it stays after a restart.
store('/late');
store('/kept');
unsafe('POST', '/late', 200);
$t->restart;
$t->is_gone('/late', 'after a restart');
$t->is_stored('/kept', 'after a restart');
$t->stop;
unlink $t->root . '/index' or die $!;
$t->start_again;
$t->expect_log(qr/DC0211: /);
$t->is_gone($_, 'after the loss of the index') for '/late', '/kept';

$t->finish;
done_testing;
