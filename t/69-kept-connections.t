# SPDX-License-Identifier: Apache-2.0
# t/69-kept-connections.t. A backend that closes a kept connection just as it is used again
# makes no error of it: what can be asked once more is.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['proxy_balancer', 'slotmem_shm', 'lbmethod_byrequests'], mpm => 'event');
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
<Location "/">
    DevCache On
    DevCacheStaleIfUnreachable 0
</Location>
<Location "/part/">
    DevCacheFetchWhole On
</Location>
<Location "/not/">
    DevCacheBypass "true"
</Location>
<Proxy "balancer://b">
    BalancerMember @ORIGIN@
</Proxy>
ProxyPass /balanced/ balancer://b/balanced/
ProxyPass / @ORIGIN@/
CONF

my %fresh = ('Cache-Control' => 'max-age=60', ETag => '"e"');
my $n = 0;

# One request after which the connection to the backend is kept.
sub keep {
    my $path = shift;
    my $x = $t->send_req("$path/keep" . ++$n);
    $t->origin->accept->reply(200, {%fresh}, 'kept');
    return $x->response;
}

# A request whose backend closes the kept connection, and is asked again.
sub repeated {
    my ($name, $from, $path, @headers) = @_;
    my $x = $from->send_req($path, @headers);
    my $first = $t->origin->accept;
    $first->close;
    my $second = $t->origin->accept;
    is $second->{target}, $first->{target}, "$name: asked for once more";
    is_deeply [sort $second->{headers}->%*], [sort $first->{headers}->%*], '  with the same header'
        if ref $second->{headers} eq 'HASH';
    return ($x, $second);
}

for my $place ('', '/balanced') {
    keep($place);
    my ($x, $again) = repeated("a new client $place", $t, "$place/new");
    $again->reply(200, {%fresh}, 'answer');
    is $x->response->{status}, 200, '  an answer';
    is $x->response->{body}, 'answer', '  the right one';
    is $t->get("$place/new")->{body}, 'answer', '  which is stored';

    # mod_proxy closes the connection of a client that had requests before without a word.
    my $client = $t->client;
    my $kept = $client->send_req("$place/client");
    $t->origin->accept->reply(200, {%fresh}, 'first');
    is $kept->response->{body}, 'first', 'a client with a kept connection';
    ($x, $again) = repeated('its next request', $client, "$place/next");
    $again->reply(200, {%fresh}, 'second');
    is $x->response->{body}, 'second', '  an answer, on the same connection';

    $t->clock_advance(61);
    ($x, $again) = repeated('a validation', $client, "$place/next");
    is $again->header('If-None-Match'), '"e"', '  with its condition';
    $again->reply(304, {%fresh});
    is $x->response->{body}, 'second', '  which holds';

    keep($place);
    ($x, $again) = repeated('HEAD', $t, "$place/head", ':method' => 'HEAD');
    $again->reply(200, {%fresh});
    is $x->response->{status}, 200, '  an answer';
}

keep('');
my ($x, $again) = repeated('a part', $t, '/part/x', Range => 'bytes=0-1');
$again->reply(206, { %fresh, 'Content-Range' => 'bytes 0-1/4' }, 'pa');
is $x->response->{status}, 206, '  an answer';
my $whole = $t->origin->accept;
$whole->reply(200, {%fresh}, 'part');

# Twice is enough, and what has begun to come is not asked for again.
keep('');
($x, $again) = repeated('closed again', $t, '/twice');
$again->close;
is $x->response->{status}, 502, '  502, as from a backend that is broken';

keep('');
$x = $t->send_req('/begun');
my $fetch = $t->origin->accept;
$fetch->send("HTTP/1.1 200 OK\r\nCache-Con");
$fetch->close;
isnt $x->response->{status}, 200, 'an answer that had begun';
ok $t->origin->quiet(0.2), '  is not asked for again';

# What the cache has nothing to do with is as without it.
keep('');
$x = $t->send_req('/post', ':method' => 'POST', ':body' => 'b');
$t->origin->accept->close;
is $x->response->{status}, 502, 'POST';
ok $t->origin->quiet(0.2), '  is not repeated';

$t->allow_log(qr/proxy(_http)?:(?:error|warn)/, qr/DC\d+: trouble/);
$t->finish;
done_testing;
