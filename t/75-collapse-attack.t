# SPDX-License-Identifier: Apache-2.0
# t/75-collapse-attack.t. Those who share a fetch get what is theirs, whole, or see that it
# is not whole: filters, ranges, conditions, purges, broken origins, clients that hang.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Client;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $h2 = ($ENV{DEVCACHE_MPM} // '') ne 'prefork';
my $conf = <<'CONF';
DevCacheSize 256M
Timeout 120
Listen 127.0.0.1:@OTHER@
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCacheMaxObjectSize 100M
    DevCacheCollapseWait 15
</Location>
<Location "/small/">
    DevCacheMaxObjectSize 1000
</Location>
<Location "/gzip/">
    SetOutputFilter DEFLATE
</Location>
<Location "/subst/">
    SetOutputFilter SUBSTITUTE
    Substitute "s/a/aa/"
</Location>
Header always set X-Who expr=%{req:X-Who}
Header setifempty X-Also expr=%{req:X-Who}
DevCacheDeviceCookie view
DevCacheKnownHeaders X-Who
DevCacheKeyHeaders X-Site
ErrorDocument 404 "not here"
<Location "/override/">
    ProxyErrorOverride On
</Location>
<Proxy "balancer://two">
    BalancerMember @ORIGIN2@ retry=60
    BalancerMember @ORIGIN@ status=+H
</Proxy>
ProxyPass /balanced/ balancer://two/balanced/
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF

my @h2 = $h2 ? ("Protocols h2c http/1.1\n", 'http2') : ('');
my $t = DevCache::Test->start($h2[0] . $conf, ports => ['OTHER'], origins => 2,
    modules => [@h2[1 .. $#h2], qw(deflate filter substitute proxy_balancer slotmem_shm
                                   lbmethod_byrequests)]);
$t->allow_log(qr/proxy(?:_\w+)?:(?:error|warn)/, qr/DC0171/, qr/http2:/);

my %fresh = ('Cache-Control' => 'max-age=100');

sub owner {
    my ($path, @headers) = @_;
    my $x = $t->send_req($path, @headers);
    return ($x, $t->origin->accept);
}

sub followers {
    my ($n, $path, @headers) = @_;
    my $before = $t->counters->{flight_followers};
    my @all = map { $t->send_req($path, @headers) } 1 .. $n;
    $t->wait_counter(flight_followers => $before + $n);
    return @all;
}

sub bodies { return join ',', map { $_->response->{body} } @_ }

sub purge {     # what an unsafe method does
    my $x = $t->send_req($_[0], ':method' => 'POST', ':body' => 'x');
    $t->origin->accept->reply(200, {}, 'done');
    $x->response;
}

# --- a purge while others wait ----------------------------------------------------------

{
    my ($own, $fetch) = owner('/purge');
    my @old = followers(2, '/purge');
    purge('/purge');
    my ($new, $second) = owner('/purge');
    my @new = followers(1, '/purge');
    $fetch->reply(200, {%fresh}, 'before');
    is $own->response->{body}, 'before', 'purged: who asked before has what he asked for';
    $t->wait_counter(flight_followers => 3);
    ok $t->origin->quiet(0.05), 'who waited follows the new fetch, and asks for none';
    my @late = followers(1, '/purge');
    ok $t->origin->quiet(0.05), 'nor do newcomers';
    $second->reply(200, {%fresh}, 'after');
    is bodies($new, @old, @new, @late), join(',', ('after') x 5), 'all get what is new';

    # Not stored because of the purge: that says nothing about the page.
    ($own, $fetch) = owner('/purge2');
    purge('/purge2');
    $fetch->reply(200, {%fresh}, 'before');
    $own->response;
    ($own, $fetch) = owner('/purge2');
    @old = followers(2, '/purge2');
    ok $t->origin->quiet(0.05), 'the next ones share a fetch at once';
    $fetch->reply(200, {%fresh}, 'after');
    is bodies($own, @old), 'after,after,after', 'and its page';
}

{
    # Late once: not avoided for a minute as if it were private.
    my ($own, $fetch) = owner('/late');
    $fetch->reply(200, { 'Cache-Control' => 'max-age=1', Age => 5 }, 'late');
    $own->response;
    $t->clock_advance(2);
    ($own, $fetch) = owner('/late');
    my @rest = followers(2, '/late');
    ok $t->origin->quiet(0.05), 'a page that came late once is waited for again';
    $fetch->reply(200, {%fresh}, 'in time');
    is bodies($own, @rest), join(',', ('in time') x 3), 'and shared';
}

# --- whose page -------------------------------------------------------------------------

{
    my ($full, $full_fetch) = owner('/cookie', Cookie => 'view=pc');
    my ($phone, $phone_fetch) = owner('/cookie', Cookie => 'view=mobile');
    my @phones = followers(1, '/cookie', 'User-Agent' => PHONE);
    is $phone_fetch->header('X-Device-Type'), 'mobile', 'a cookie makes a class';
    $phone_fetch->reply(200, {%fresh}, 'phone');
    $full_fetch->reply(200, {%fresh}, 'full');
    is bodies($full, $phone, @phones), 'full,phone,phone', 'and its flight is its own';

    my @sites = map { [owner('/site', 'X-Site' => $_)] } 'a', 'b';
    my @as = followers(1, '/site', 'X-Site' => 'a');
    $_->[1]->reply(200, {%fresh}, $_->[1]->header('X-Site')) for reverse @sites;
    is bodies($sites[0][0], $sites[1][0], @as), 'a,b,a', 'DevCacheKeyHeaders';

    my @hosts = map { [owner('/host', Host => $_)] } 'one.example', 'two.example';
    push @hosts, [owner('/host', Host => 'one.example', ':port' => $t->port('OTHER'))];
    my @ones = followers(1, '/host', Host => 'one.example');
    my $n = 0;
    $_->[1]->reply(200, {%fresh}, $n++) for @hosts;
    is bodies(map({ $_->[0] } @hosts), @ones), '0,1,2,0', 'hosts and ports';

    my ($gzip, $gzip_fetch) = owner('/enc', 'Accept-Encoding' => 'gzip');
    my @plain = followers(1, '/enc');
    $gzip_fetch->head(200, { %fresh, Vary => 'Accept-Encoding', 'Content-Encoding' => 'gzip',
                             'Content-Length' => 4 });
    $gzip_fetch->send('gz');
    my $plain_fetch = $t->origin->accept;
    is $plain_fetch->header('Accept-Encoding'), undef, 'Accept-Encoding: its own fetch';
    $plain_fetch->reply(200, { %fresh, Vary => 'Accept-Encoding' }, 'text');
    is bodies(@plain), 'text', 'and not the other body';
    $gzip_fetch->send('ip');
    $gzip_fetch->end;
    is bodies($gzip), 'gzip', 'nor the other way round';
}

# --- filters ----------------------------------------------------------------------------

{
    my $text = join '', map { "line $_ of a text that can be made smaller\n" } 1 .. 3000;
    my @gz = ('Accept-Encoding' => 'gzip');
    my ($own, $fetch) = owner('/gzip/x', @gz);
    my @rest = followers(2, '/gzip/x', @gz);
    my @plain = followers(1, '/gzip/x');
    $fetch->head(200, { %fresh, 'Content-Type' => 'text/plain',
                        'Content-Length' => length $text });
    $fetch->send(substr $text, 0, 60_000);
    my $second = $t->origin->accept;
    $second->reply(200, { %fresh, 'Content-Type' => 'text/plain' }, $text);
    ok $plain[0]->response->{body} eq $text, 'DEFLATE: who takes no gzip has the text';
    $fetch->send(substr $text, 60_000);
    $fetch->end;
    my @got = map { $_->response } $own, @rest;
    is_deeply [map { $_->header('Content-Encoding') } @got], [('gzip') x 3],
        'the others gzip, once';
    open my $pipe, '|-', "gzip -dc > " . $t->dir . '/text' or die $!;
    binmode $pipe;
    print {$pipe} $got[1]{body};
    close $pipe;
    ok do { local (@ARGV, $/) = $t->dir . '/text'; <> } eq $text, 'of the text';
    ok $got[$_]{body} eq $got[0]{body}, 'the same for all' for 1, 2;

    ($own, $fetch) = owner('/subst/x');
    @rest = followers(2, '/subst/x');
    $fetch->head(200, { %fresh, 'Content-Type' => 'text/plain', 'Content-Length' => 6 });
    $fetch->send("a\n");
    $fetch->send("a\na\n");
    $fetch->end;
    is bodies($own, @rest), join(',', ("aa\naa\naa\n") x 3), 'SUBSTITUTE: once';

    ($own, $fetch) = owner('/who', 'X-Who' => 'me');
    @rest = followers(1, '/who', 'X-Who' => 'you');
    $fetch->reply(200, {%fresh}, 'w');
    is $own->response->header($_), 'me', "mod_headers: the first one's $_" for 'X-Who', 'X-Also';
    is $rest[0]->response->header($_), 'you', "and the follower's" for 'X-Who', 'X-Also';
}

# --- ranges, conditions, HEAD ------------------------------------------------------------

{
    my ($own, $fetch) = owner('/range');
    my @rest = followers(1, '/range');
    my @not = map { [owner('/range', @$_)] } ['Range' => 'bytes=0-1'],
        ['If-Match' => '"1"'], ['If-Range' => '"1"', 'Range' => 'bytes=1-'];
    my ($head, $head_fetch) = owner('/range', ':method' => 'HEAD');
    $head_fetch->reply(200, {%fresh}, '');
    is $head->response->{status}, 200, 'so does HEAD';
    $_->[1]->reply(206, { 'Content-Range' => 'bytes 0-1/6' }, 'ra') for @not;
    is $_->[0]->response->{body}, 'ra', 'asks for itself' for @not;
    my @knows = followers(2, '/range', 'If-None-Match' => '"1"');
    $fetch->head(200, { %fresh, ETag => '"1"', 'Content-Length' => 6 });
    $fetch->send('ran');
    is $_->response->{status}, 304, 'who has it gets 304 before the body has come' for @knows;
    is $rest[0]->body_of(3), 'ran', 'the others the body';
    $fetch->send('ged');
    $fetch->end;
    is bodies($own, @rest), 'ranged,ranged', 'whole';
}

# --- bodies that are none, or endless ------------------------------------------------------

{
    for my $case ([204, {}], [200, { 'Content-Length' => 0 }],
                  [200, { 'Transfer-Encoding' => 'chunked' }]) {
        my ($status, $how) = @$case;
        my $path = "/empty/$status/" . join '', %$how;
        my ($own, $fetch) = owner($path);
        my @rest = followers(2, $path);
        $fetch->head($status, { %fresh, %$how });
        $how->{'Transfer-Encoding'} ? $fetch->last_chunk : $fetch->end;
        my @got = map { $_->response } $own, @rest;
        is_deeply [map { "$_->{status} $_->{complete} $_->{body}" } @got],
            [("$status 1 ") x 3], "no body: $status " . join ' ', %$how;
    }

    my ($own, $fetch) = owner('/early');
    my @rest = followers(2, '/early');
    $fetch->send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    $fetch->head(200, { %fresh, 'Content-Length' => 2 });
    $fetch->send('o');
    is $_->body_of(1), 'o', '103: then the answer' for @rest;
    $fetch->send('k');
    $fetch->end;
    is bodies($own, @rest), 'ok,ok,ok', 'of which all have all';

    # Larger than may be stored, without saying so.
    ($own, $fetch) = owner('/small/x');
    @rest = followers(2, '/small/x');
    $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
    $fetch->chunk('s' x 900);
    is length $_->body_of(900), 900, 'a body of unknown length' for @rest;
    $fetch->chunk('s' x 900);
    $fetch->last_chunk;
    is length $_->response->{body}, 1800, 'too large: those who read it get it' for $own, @rest;
    my @next = map { $t->send_req('/small/x') } 1 .. 2;
    $_->reply(200, {%fresh}, 'n') for map { $t->origin->accept } @next;
    is bodies(@next), 'n,n', 'the next ones do not wait for each other';
}

# --- torn ----------------------------------------------------------------------------------

{
    my %how = (
        'Content-Length' => [{ 'Content-Length' => 100 }, 'send', 'close'],
        'chunked' => [{ 'Transfer-Encoding' => 'chunked' }, 'chunk', 'close'],
        'chunked, reset' => [{ 'Transfer-Encoding' => 'chunked' }, 'chunk', 'reset'],
        'until it closes, reset' => [{ Connection => 'close' }, 'send', 'reset'],
    );
    for my $name (sort keys %how) {
        my ($headers, $send, $end) = @{ $how{$name} };
        (my $path = "/torn/$name") =~ s/[ ,]/_/g;
        my ($own, $fetch) = owner($path);
        my @rest = followers(2, $path);
        $fetch->head(200, { %fresh, %$headers });
        $fetch->$send('half');
        is $_->body_of(4), 'half', "$name: half" for $own, @rest;
        $fetch->$end;
        ok !$_->response->{complete}, "$name: torn, seen by all" for $own, @rest;
        ok $_->client->closed, "$name: whose connections end" for @rest;
        my ($again, $second) = owner($path);
        $second->reply(200, {%fresh}, 'whole');
        is $again->response->{body}, 'whole', "$name: nothing was kept";
    }

    SKIP: {
        skip 'mod_http2 needs threads', 4 unless $h2;
        my @curl = ('curl', '-s', '--http2-prior-knowledge', '--max-time', 20, '-o', '/dev/null');
        my $url = 'http://127.0.0.1:' . $t->port . '/torn/h2';
        my @pids;
        my $curl = sub { my $pid = fork // die $!; return $pid if $pid; exec @curl, $url };
        push @pids, $curl->();
        my $fetch = $t->origin->accept;
        push @pids, $curl->();
        $t->wait_counter(flight_followers => 1);
        my @rest = followers(1, '/torn/h2');
        $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
        $fetch->chunk('half');
        is $rest[0]->body_of(4), 'half', 'h2: half';
        $fetch->reset;
        ok !$rest[0]->response->{complete}, 'h2: torn for who follows over HTTP/1.1';
        for my $who ('owner', 'follower') {
            waitpid shift @pids, 0;
            isnt $? >> 8, 0, "h2: the stream of the $who is reset, not ended";
        }
    }
}

# --- errors ---------------------------------------------------------------------------------

{
    my ($own, $fetch) = owner('/override/x');
    my @rest = followers(2, '/override/x');
    $fetch->reply(404, {}, 'origin says no');
    $_->reply(404, {}, 'no') for map { $t->origin->accept } @rest;
    is bodies($own, @rest), join(',', ('not here') x 3), 'ErrorDocument: each has its own';

    $t->origin(2)->down;
    ($own, $fetch) = owner('/balanced/x');
    @rest = followers(2, '/balanced/x');
    $fetch->reply(200, {%fresh}, 'the other one');
    is bodies($own, @rest), join(',', ('the other one') x 3), 'a balancer that falls back';
    $t->origin(2)->up;
}

# --- clients --------------------------------------------------------------------------------

{
    my ($own, $fetch) = owner('/gone');
    my @rest = followers(2, '/gone');
    $own->client->reset;
    $fetch->reply(200, {%fresh}, 'for the others');
    is bodies(@rest), 'for the others,for the others', 'the owner has gone before the header';
    is $t->get('/gone')->{body}, 'for the others', 'and it is stored';

    # Followers on connections that go on.
    ($own, $fetch) = owner('/keep');
    my $client = $t->client;
    my $first = $client->send_req('/keep');
    my $second = $client->send_req('/gone');
    $t->wait_counter(flight_followers => 1);
    $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
    $fetch->chunk('ke');
    is $first->body_of(2), 'ke', 'a follower with another request behind it';
    $fetch->chunk('pt');
    $fetch->last_chunk;
    is bodies($first, $second), 'kept,for the others', 'both are answered';
    is $client->get('/keep')->{body}, 'kept', 'and a third';
    $own->response;
}

sub rss {
    my $sum = 0;
    for my $pid ($t->pids) {
        open my $file, '<', "/proc/$pid/status" or next;
        $sum += (map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$file>)[0] // 0;
    }
    return $sum / 1024;
}

{
    # Clients that read nothing of a long body, as owner and as follower.
    my $piece = body_of('slow', 1 << 20);
    my $all = 48;
    my ($own, $fetch) = owner('/slow');
    my ($slow, $quick) = followers(2, '/slow');
    $fetch->head(200, { %fresh, 'Content-Length' => $all << 20 });
    $fetch->send($piece);
    $quick->body_of(1 << 20);
    my $before = rss();
    for my $n (2 .. $all) {
        $fetch->send($piece);
        $quick->body_of($n << 20);
    }
    $fetch->end;
    is length $quick->response->{body}, $all << 20, 'a long body';
    my $grown = rss() - $before;
    cmp_ok $grown, '<', 12, 'memory does not grow by what slow clients do not take'
        or diag "$grown MB";
    for my $late ($own, $slow) {
        my $body = $late->response->{body};
        ok length $body == $all << 20 && $body eq $piece x $all, 'which they get in the end';
    }
}

{
    # An owner behind an answer that its client does not read holds up nobody.
    my ($stored, $f) = owner('/hog');
    $f->reply(200, {%fresh}, 'h' x 20_000_000);
    $stored->response;
    my $client = $t->client;
    setsockopt $client->{wire}{socket}, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096;
    $client->send_req($_) for '/hog', '/behind';
    if ($t->origin->quiet(0.3)) {
        pass 'event: what is behind an answer waits for it';
        pass 'so nobody waits for that';
        $client->close;
    }
    else {
        my $fetch = $t->origin->accept;
        my @rest = followers(1, '/behind');
        $fetch->head(200, { %fresh, 'Content-Length' => 6 });
        $fetch->send('beh');
        is $rest[0]->body_of(3), 'beh', 'a stuck owner: its followers are served';
        $fetch->send('ind');
        $fetch->end;
        is bodies(@rest), 'behind', 'to the end';
        $client->reset;
    }
}

# --- restarts ---------------------------------------------------------------------------------

{
    my ($own, $fetch) = owner('/restart');
    my @rest = followers(2, '/restart');
    $fetch->head(200, { %fresh, 'Content-Length' => 8 });
    $fetch->send('rest');
    is $_->body_of(4), 'rest', 'streaming' for @rest;
    $t->graceful;
    my @new = followers(1, '/restart');
    is $new[0]->body_of(4), 'rest', 'a new child joins';
    $fetch->send('arts');
    $fetch->end;
    is bodies($own, @rest, @new), join(',', ('restarts') x 4), 'through a graceful restart';
}

is $t->counters->{flights}, 0, 'no flight is left';
is $t->counters->{flight_followers}, 0, 'nor a follower';
$t->finish;

# --- the disk fills while it is shared; threads that may wait -----------------------------------

$t = DevCache::Test->start(<<'CONF', env => { DEVCACHE_FAULT => 'write-enospc:80' });
DevCacheCollapseMax 1
<Location "/">
    DevCache On
    DevCacheCollapseWait 15
</Location>
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
$t->allow_log(qr/DC0171/, qr/DC\d+: store:/, qr/No space left/);

{
    # Where the write fails depends on how many a start takes: before the body is shared,
    # and then the follower asks for itself, or after that, and then the write is repeated
    # for those who read.
    my $part = body_of('full', 300_000);
    my $whole = $part x 10;
    my ($own, $fetch) = owner('/full');
    my ($follower) = followers(1, '/full');
    $fetch->head(200, { %fresh, 'Content-Length' => length $whole });
    $fetch->send($part);
    $fetch->send($part) for 2 .. 10;
    $fetch->end;
    ok $own->response->{body} eq $whole, 'a full disk: who asked gets it all';
    my $again;
    wait_until(sub { $follower->begun || ($again = !$t->origin->quiet(0.05)) });
    $t->origin->accept->reply(200, { 'Cache-Control' => 'no-store' }, $whole) if $again;
    my $got = $follower->response;
    ok $got->{complete} && $got->{body} eq $whole, 'and so does one who follows';
    is $t->counters->{flights}, 0, 'the flight has ended';
    my ($next, $last) = owner('/full');
    $last->reply(200, {%fresh}, 'next');
    is $next->response->{body}, 'next', 'and it was not stored';
}

if ($h2) {      # under prefork a child has one thread, which may wait
    # One thread of each child may wait: of many in so few children one goes by itself.
    my ($own, $fetch) = owner('/max');
    my (@all, $limited);
    until ($limited) {      # there are fewer children than this
        push @all, $t->send_req('/max');
        wait_until(sub {
            my $now = $t->counters;
            $limited = $now->{collapse_limited};
            return $limited || $now->{flight_followers} >= @all;
        });
    }
    my $alone = $t->origin->accept;
    $alone->reply(200, {%fresh}, 'by itself');
    is $all[-1]->response->{body}, 'by itself', 'DevCacheCollapseMax: one too many asks';
    $fetch->reply(200, {%fresh}, 'shared');
    is $own->response->{body}, 'shared', 'the first one has its own';
    like $_->response->{body}, qr/^(?:shared|by itself)\z/, 'those who wait have one of them'
        for @all[0 .. $#all - 1];
}

is $t->counters->{flights}, 0, 'no flight is left';
$t->finish;
done_testing;
