# SPDX-License-Identifier: Apache-2.0
# t/128-fragments-trouble.t. DevCacheFragments in trouble: parts whose origin fails in each way that
# there is, children that are killed or replaced while they put a page together, visitors who leave,
# and visitors by the PROXY protocol. Nobody gets half a part, another one's, or no answer.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::H2;
use DevCache::Test;
use DevCache::Written;
use Test::More;

my $h2 = ($ENV{DEVCACHE_MPM} // 'event') ne 'prefork';
my @modules = (qw(authz_core authz_host remoteip), $h2 ? 'http2' : ());
my $t = DevCache::Test->start(<<"CONF", modules => \@modules, origins => 2, ports => ['WRAPPED', 'DEAD']);
@{[$h2 ? 'Protocols h2c http/1.1' : '']}
DevCacheStatusHeader On
ErrorDocument 502 sorry
DevCacheVaryDevice Off
<Location "/">
    DevCache On
    DevCacheFragments On
    DevCachePurge On
    AuthMerging And
    <Limit PURGE>
        Require local
    </Limit>
</Location>
<Location "/inside/">
    Require ip 10.1.0.0/16 2001:db8:1::/48
</Location>
ProxyPass /hand/ \@ORIGIN\@/hand/ retry=0 disablereuse=on
ProxyPass /hangs/ \@ORIGIN\@/hangs/ retry=0 disablereuse=on timeout=1
ProxyPass /dead/ http://127.0.0.1:\@DEAD\@/ retry=0
ProxyPass / \@ORIGIN2\@/
Listen 127.0.0.1:\@WRAPPED\@
<VirtualHost 127.0.0.1:\@WRAPPED\@>
    RemoteIPProxyProtocol On
    ProxyPass / \@ORIGIN2\@/
</VirtualHost>
CONF
$t->expect_log(qr/DC0320/, qr/AH01630: client denied/);
$t->allow_log(qr/proxy(?:_http)?:(?:error|warn)/, qr/AH\d+: child(?:ren are killed| pid \d+ exit signal Killed)/, qr/DC0171/);
my $site = DevCache::Written->new($t, 2);
my $port = $t->port;

my %ssi = ('Surrogate-Control' => 'content="SSI/1.0"', 'Content-Type' => 'text/html', 'Cache-Control' => 'max-age=3600');
my %fresh = ('Cache-Control' => 'max-age=600');
sub inc { return join '', map { qq{<!--#include virtual="$_" -->} } @_ }
sub page { my ($path, $body, %more) = @_; $site->page($path, { %ssi, %more }, $body) }
sub part { my ($path, $body, %more) = @_; $site->page($path, { %fresh, %more }, $body) }
sub cc { return $_[0]->header('Cache-Control') // '' }
sub stored { return $t->get($_[0], 'Cache-Control' => 'only-if-cached')->{status} == 200 }

# --- the part's origin ---------------------------------------------------------------------------

# What it does with its request; whether that is the part then.
my @chunked = ('Transfer-Encoding' => 'chunked');
sub head_and { my ($f, $fields, $text) = @_; $f->head(200, { %fresh, %$fields }); $f->send($text) }
my @does = (
    ['says 500',                        0, sub { $_[0]->reply(500, {%fresh}, 'BAD') }],
    ['says 503, to be asked later',     0, sub { $_[0]->reply(503, { %fresh, 'Retry-After' => 1 }, 'BAD') }],
    ['says 404',                        0, sub { $_[0]->reply(404, {%fresh}, 'BAD') }],
    ['redirects',                       0, sub { $_[0]->reply(302, { %fresh, Location => '/elsewhere' }, 'BAD') }],
    ['says 206',                        0, sub { $_[0]->reply(206, { %fresh, 'Content-Range' => 'bytes 0-2/9' }, 'BAD') }],
    ['sends a coding',                  0, sub { $_[0]->reply(200, { %fresh, 'Content-Encoding' => 'gzip' }, 'BAD') }],
    ['closes without a word',           0, sub { $_[0]->close }],
    ['resets without a word',           0, sub { $_[0]->reset }],
    ['talks nonsense',                  0, sub { $_[0]->send("\0\1\2\r\n\r\n"); $_[0]->close }],
    ['closes within the head',          0, sub { $_[0]->send("HTTP/1.1 200 OK\r\nCache-Con"); $_[0]->close }],
    ['closes within its length',        0, sub { head_and($_[0], { 'Content-Length' => 100 }, 'BAD'); $_[0]->close }],
    ['resets within its length',        0, sub { head_and($_[0], { 'Content-Length' => 100 }, 'BAD'); $_[0]->reset }],
    ['closes before the last chunk',    0, sub { head_and($_[0], {@chunked}, "3\r\nBAD\r\n"); $_[0]->close }],
    ['closes within a chunk',           0, sub { head_and($_[0], {@chunked}, "9\r\nBAD"); $_[0]->close }],
    ['sends more than a page may have', 0, sub { head_and($_[0], { 'Content-Length' => 9 << 20 }, 'B' x (9 << 20)); $_[0]->end }],
    ['the same in chunks',              0, sub { $_[0]->reply(200, { %fresh, @chunked }, [('B' x 65536) x 144]) }],
    ['sends nothing, by length',        1, sub { $_[0]->reply(200, {%fresh}, '') }, ''],
    ['sends nothing, by chunks',        1, sub { $_[0]->reply(200, { %fresh, @chunked }, ['']) }, ''],
    ['says 204',                        1, sub { $_[0]->reply(204, {%fresh}) }, ''],
    ['sends no length, and closes',     1, sub { head_and($_[0], { Connection => 'close' }, 'part'); $_[0]->close }, 'part'],
);
my $n = 0;
for my $case (@does) {
    my ($what, $is_part, $does, $want) = @$case;
    subtest "its origin $what" => sub {
        my $path = '/hand/' . ++$n;
        page("/p$n", 'a' . inc($path) . 'b');
        my $asked = $t->send_req("/p$n");
        $does->($t->origin->accept);
        my $r = $asked->response;
        is $r->{status}, 200, 'the page is there';
        is $r->{body}, 'a' . ($is_part ? $want : '') . 'b', $is_part ? 'with the part' : 'and nothing of the part';
        if ($is_part) {
            unlike $r->header('Cache-Status'), qr/failed/, 'it has not failed';
            return;
        }
        like cc($r), qr/no-store/, 'nobody keeps it';
        like $r->header('Cache-Status'), qr/1 parts, 1 failed/, 'and it is said';
        $t->get($path, ':method' => 'PURGE');   # a 404 is stored, as any is
        $asked = $t->send_req("/p$n");
        $t->origin->accept->reply(200, {%fresh}, 'good');
        is $asked->response->{body}, 'agoodb', 'then the part is there';
        is $t->get("/p$n")->{body}, 'agoodb', 'and stays';
    };
}

subtest 'its origin is dead' => sub {
    page('/withdead', 'a' . inc('/dead/part', '/dead/2') . 'b');
    my $r = $t->get('/withdead');
    is "$r->{status} $r->{body}", '200 ab', 'left out' for 1, 2;
    page('/withdead', 'a<esi:include src="/dead/part"/>b', 'Surrogate-Control' => 'content="ESI/1.0"');
    $t->get('/withdead', ':method' => 'PURGE');
    for my $what ('a miss', 'a hit') {
        $r = $t->get('/withdead');
        is "$r->{status} $r->{body}", '502 sorry', "or the page is an error, if it says so ($what)";
        unlike cc($r), qr/max-age/, '... which nobody keeps';
        $r = $t->head('/withdead');
        is "$r->{status} $r->{complete}", '502 1', '... also by HEAD';
    }
};

subtest 'its origin hangs' => sub {
    for my $case (['at once', sub { }], ['in its body', sub { head_and($_[0], { 'Content-Length' => 100 }, 'BAD') }]) {
        my ($when, $does) = @$case;
        my $path = '/hangs/' . ++$n;
        page("/p$n", 'a' . inc($path) . 'b');
        my @asked = map { $t->send_req("/p$n") } 1 .. 3;
        my @hanging;
        # who has waited for somebody else's asks himself
        wait_until(sub {
            while (!$t->origin->quiet(0.05)) { push @hanging, $t->origin->accept; $does->($hanging[-1]) }
            return !grep { !$_->begun } @asked;
        }) or fail 'all are answered';
        is $_->response->{body}, 'ab', "$when: left out, and nobody waits for ever" for @asked;
        $_->close for @hanging;
    }
};

# --- children that go ------------------------------------------------------------------------------

# The child that asks the origin for $path.
sub owner_of {
    my ($line) = reverse $t->wait_log(qr{DC0110: serve: \S+\Q$_[0]\E \[\S+\]: miss});
    return $line =~ /\[pid (\d+)/ ? $1 : die "no pid in $line";
}

subtest 'kill -9 of the child that puts a page together' => sub {
    for my $round (1 .. 3) {
        my $part = "/hand/killed$round";
        page("/killed$round", 'a' . inc($part) . 'b');
        my $own = $t->send_req("/killed$round");
        my $fetch = $t->origin->accept;
        my $owner = owner_of($part);
        my @rest = $t->followers_of("/killed$round", $owner);
        if ($round == 3) {
            head_and($fetch, { 'Content-Length' => 3_000_000 }, 'B' x 1_500_000);
            wait_until(sub { grep { -s > 1_000_000 } glob $t->root . '/body-*' }) or fail 'half of it has come';
        }
        $t->kill_child($owner);
        my $r = $own->response;
        ok !$r->{complete} && !length $r->{body}, 'its visitor sees that there is no answer';
        $fetch->close;
        $t->origin->accept->reply(200, {%fresh}, 'part') if $round < 3;
        my @whole = grep { $_->{complete} } map { $_->response } @rest;
        cmp_ok scalar @whole, '>=', 1, 'those in other children have theirs';
        is_deeply [map { $_->{body} } @whole], [($round < 3 ? 'apartb' : 'ab') x @whole],
            $round < 3 ? 'with the part, which one of them has asked for' : 'without a part that was cut';
        next if $round < 3;
        my $again = $t->send_req("/killed$round");
        $t->origin->accept->reply(200, {%fresh}, 'part');
        is $again->response->{body}, 'apartb', 'and then it is whole';
    }
};

subtest 'a graceful restart meanwhile' => sub {
    page('/graceful', 'a' . inc('/hand/g1', '/hand/g2') . 'b');
    my $own = $t->send_req('/graceful');
    my $fetch = $t->origin->accept;
    $t->graceful;
    my $new = $t->send_req('/graceful');
    $t->wait_counter(flight_followers => 1);
    $fetch->reply(200, {%fresh}, '1');
    $t->origin->accept->reply(200, {%fresh}, '2');
    is $_->response->{body}, 'a12b', 'the page is put together to its end' for $own, $new;
};

# --- visitors --------------------------------------------------------------------------------------------

sub flights_end { return wait_until(sub { !$t->counters->{flights} }) }

subtest 'a visitor who leaves' => sub {
    for my $how (qw(close reset)) {
        page("/$how", 'a' . inc("/hand/$how", "/$how/2") . 'b');
        part("/$how/2", '2');
        my $own = $t->send_req("/$how");
        my $fetch = $t->origin->accept;
        $own->client->$how;
        $fetch->reply(200, {%fresh}, '1');
        ok flights_end(), "by $how: nothing is left of it";
        is $t->get("/$how")->{body}, 'a12b', 'the next one has it all';
    }
};

SKIP: {
    skip 'mod_http2 needs threads', 1 if !$h2;
    subtest 'HTTP/2' => sub {
        page('/two', 'a' . inc('/hand/two', '/two/2') . 'b');
        part('/two/2', '2');
        my $c = DevCache::H2->new($port);
        my $gone = $c->get('/two');
        my $fetch = $t->origin->accept;
        my $other = $c->get('/two/2');
        ok $c->wait_end($other), 'a page does not hold another stream up';
        $site->fetches('/two/2');
        $c->reset($gone);
        $t->get('/none');
        $fetch->reply(200, {%fresh}, '1');
        ok flights_end(), 'a stream that is reset: nothing is left of it';
        is $site->fetches('/two/2'), 0, 'nor asked for';
        my $id = $c->get('/two');
        ok $c->wait_end($id), 'the next one';
        is $c->body($id), 'a12b', 'has it all';
        is $c->body($gone), '', 'and the reset one nothing';
    };
}

subtest 'many parts, and one many times' => sub {
    part("/many/$_", "$_.") for 1 .. 100;
    page('/many', inc(map { "/many/$_" } 1 .. 100));
    my $want = join '', map { "$_." } 1 .. 64;
    my $c = $t->client;                                  # each answer on one connection, at its place
    my @r = map { $_->response } map { $c->send_req('/many') } 1 .. 5;
    is_deeply [map { $_->{body} } @r], [($want) x 5], '64 parts of 100';
    is_deeply [map { cc($_) } @r], [(cc($r[0])) x 5], 'and it is said';
    like cc($r[0]), qr/no-store/, '... each time';
    like $r[0]->header('Cache-Status'), qr/100 parts, 36 failed/, '... how many';
    is $site->fetches('/many/100'), 0, 'more are not asked for';
    page('/twice', inc(('/shared', '/own') x 20));
    part('/shared', 's{n}');
    $site->page('/own', { 'Cache-Control' => 'private', 'Set-Cookie' => 'id={n}' }, 'o{n}');
    my $r = $t->get('/twice');
    is $r->{body}, join('', map { "s1o$_" } 1 .. 20), 'one that may be shared is asked for once, another one each time';
    like cc($r), qr/private/, 'and the page is private';
};

subtest 'each visitor\'s own, at once' => sub {
    page('/outer', 'o' . inc('/middle'));
    page('/middle', 'm' . inc('/mine'));
    $site->page('/mine', { 'Cache-Control' => 'private, max-age=60', ':hold' => 'mine' }, '[{cookie}]');
    my @who = map { "id=visitor$_" } 1 .. 8;
    my @r = map { $t->send_req('/outer', Cookie => $_) } @who;
    ok wait_until(sub { $site->fetches('/mine') }), 'one asks, and others may wait for it';
    $site->release('mine');
    is_deeply [map { $_->response->{body} } @r], [map { "om[$_]" } @who], 'each has his own in a part of a part';
    like cc($t->get('/middle', Cookie => 'id=x')), qr/private/, 'which is private as well';
};

# A request behind a line of the PROXY protocol.
sub wrapped {
    my ($from, $path, @fields) = @_;
    my $c = $t->client($t->port('WRAPPED'));
    my $to = $from =~ /:/ ? 'TCP6' : 'TCP4';
    my (undef, $text) = DevCache::Client::request_text($t->port('WRAPPED'), $path, @fields);
    $c->send_raw("PROXY $to $from " . ($to eq 'TCP6' ? '::1' : '127.0.0.1') . " 40000 80\r\n$text");
    return $c->expect('GET')->response;
}

subtest 'by the PROXY protocol' => sub {
    page('/wrapped', 'a' . inc('/inside/part', '/who') . 'b');
    part('/inside/part', 'inside');
    $site->page('/who', { 'Cache-Control' => 'private' }, '[{x-forwarded-for}]');
    for my $who ('10.1.2.3', '2001:db8:1::7') {
        is wrapped($who, '/wrapped')->{body}, "ainside[$who]b", "$who may see the part, whose origin is told of him" for 1, 2;
    }
    for my $who ('10.2.2.3', '127.0.0.1', '2001:db8:2::7') {
        is wrapped($who, '/wrapped')->{body}, "a[$who]b", "$who may not, though it is stored";
    }
    my $host = '[::1]:' . $t->port('WRAPPED');
    page('/six', 'a' . inc("http://$host/six/part", 'six/part', 'http://[::2]/', 'http://::1/', 'http://[::1/') . 'b');
    part('/six/part', '6');
    is wrapped('2001:db8:1::7', '/six', Host => $host)->{body}, 'a66b', 'a host that is an IPv6 address' for 1, 2;
};
$t->finish;
done_testing;
