# SPDX-License-Identifier: Apache-2.0
# t/73-collapse.t. One fetch for all who want the same: cold, expired, by device and variant,
# streamed while it comes; and everybody for himself as soon as it is not for all.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
DevCacheSize 64M
DevCacheKnownHeaders X-Lang
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCacheMaxObjectSize 2M
</Location>
<Location "/off/">
    DevCacheCollapse Off
</Location>
<Location "/short/">
    DevCacheCollapseWait 1
</Location>
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
CONF
$t->allow_log(qr/proxy(?:_http)?:error/, qr/DC0171/);

my %fresh = ('Cache-Control' => 'max-age=100');
my $fill = 3;   # followers in most tests; prefork has few children

# $n requests that follow the one fetch of which the owner is under way.
sub followers {
    my ($n, $path, @headers) = @_;
    my $before = $t->counters->{flight_followers};
    my @all = map { $t->send_req($path, @headers) } 1 .. $n;
    $t->wait_counter(flight_followers => $before + $n);
    return @all;
}

sub owner {
    my ($path, @headers) = @_;
    my $x = $t->send_req($path, @headers);
    return ($x, $t->origin->accept);
}

sub bodies { return join ',', map { $_->response->{body} } @_ }
sub counter { return $t->counters->{ $_[0] } }

# --- cold -----------------------------------------------------------------------------

{
    my ($own, $fetch) = owner('/cold');
    my @rest = followers($fill, '/cold');
    is counter('flights'), 1, 'one flight';
    ok $t->origin->quiet(0.05), 'the origin is asked once';
    $fetch->reply(200, {%fresh}, 'page');
    is bodies($own, @rest), join(',', ('page') x ($fill + 1)), 'all have it';
    like $rest[0]->response->header('Cache-Status'),
        qr/^devcache; fwd=uri-miss; collapsed; ttl=\d+;/, 'Cache-Status says collapsed';
    is counter('collapsed'), $fill, 'counted';
    is scalar($t->wait_access(qr{/cold HTTP/1.1\|200\|pc\|collapsed\|}, $fill)), $fill,
        'and logged';
    is $t->get('/cold')->{body}, 'page', 'then it is a hit';
    is counter('flights'), 0, 'no flight is left';
    is counter('flight_followers'), 0, 'nor a follower';
}

# --- what is not the same ---------------------------------------------------------------

{
    my ($pc, $pc_fetch) = owner('/dev');
    my ($phone, $phone_fetch) = owner('/dev', 'User-Agent' => PHONE);
    my @phones = followers(2, '/dev', 'User-Agent' => PHONE);
    $phone_fetch->reply(200, {%fresh}, 'phone');
    is bodies($phone, @phones), 'phone,phone,phone', 'another device class, another flight';
    ok !$pc->begun(0), 'the other class still waits for its own';
    $pc_fetch->reply(200, {%fresh}, 'pc');
    is $pc->response->{body}, 'pc', 'and gets it';

    my ($own, $fetch) = owner('/vary', 'X-Lang' => 'de');
    my @de = followers(1, '/vary', 'X-Lang' => 'de');
    my @fr = followers(2, '/vary', 'X-Lang' => 'fr');
    $fetch->head(200, { %fresh, Vary => 'X-Lang', 'Content-Length' => 4 });
    $fetch->send('de');
    is $de[0]->body_of(2), 'de', 'the same variant is streamed';
    my $french = $t->origin->accept;
    is $french->header('X-Lang'), 'fr', 'a Vary that separates: one of the others asks';
    ok $t->origin->quiet(0.05), 'for both';
    $french->reply(200, { %fresh, Vary => 'X-Lang' }, 'frfr');
    is bodies(@fr), 'frfr,frfr', 'they get theirs';
    # By now the store knows what the page varies by: a newcomer goes straight to the flight.
    my @late = followers(1, '/vary', 'X-Lang' => 'de');
    is $late[0]->body_of(2), 'de', 'a newcomer joins the flight of its variant';
    $fetch->send('de');
    $fetch->end;
    is bodies($own, @de, @late), 'dede,dede,dede', 'and all of it comes';

    my @off = map { $t->send_req('/off/x') } 1 .. 2;
    my @fetches = map { $t->origin->accept } 1 .. 2;
    $_->reply(200, {%fresh}, 'own') for @fetches;
    is bodies(@off), 'own,own', 'DevCacheCollapse Off: each asks';

    my ($first, $anonymous) = owner('/auth');
    my ($user, $authorized) = owner('/auth', Authorization => 'Basic eDp5');
    $authorized->reply(200, {%fresh}, 'for the user');
    is $user->response->{body}, 'for the user', 'Authorization: asks for itself';
    $anonymous->reply(200, {%fresh}, 'for all');
    is $first->response->{body}, 'for all', 'and does not disturb the others';

    my ($waiting, $under_way) = owner('/reload');
    my ($reload, $second) = owner('/reload', 'Cache-Control' => 'no-cache');
    $_->reply(200, {%fresh}, 'r') for $second, $under_way;
    is bodies($waiting, $reload), 'r,r', 'who insists on the origin asks it';
}

# --- not for others -----------------------------------------------------------------------

for my $case (['private' => { 'Cache-Control' => 'private' }],
              ['no-store' => { 'Cache-Control' => 'no-store' }],
              ['Set-Cookie' => { %fresh, 'Set-Cookie' => 'a=b' }],
              ['Vary: *' => { %fresh, Vary => '*' }],
              ['no-cache' => { 'Cache-Control' => 'no-cache', ETag => '"1"' }],
              ['max-age=0' => { 'Cache-Control' => 'max-age=0', ETag => '"1"' }]) {
    my ($name, $headers) = @$case;
    (my $path = "/not/$name") =~ s/[^\w\/]/_/g;
    my ($own, $fetch) = owner($path);
    my @rest = followers($fill, $path);
    $fetch->head(200, { %$headers, 'Content-Length' => 2 });
    my @fetches = map { $t->origin->accept } @rest;
    pass "$name: all go to the origin at once, before the body has come";
    my $n = 0;
    $_->reply(200, $headers, 'n' . $n++) for @fetches;
    is join(',', sort map { $_->response->{body} } @rest),
        join(',', map { "n$_" } 0 .. $n - 1), "$name: each has its own";
    $fetch->send('me');
    $fetch->end;
    is $own->response->{body}, 'me', "$name: so has the first";
    my @next = map { $t->send_req($path) } 1 .. 2;
    $_->reply(200, $headers, 'later') for map { $t->origin->accept } @next;
    is bodies(@next), 'later,later', "$name: the next ones do not queue";
}

{
    my ($own, $fetch) = owner('/error');
    my @rest = followers(2, '/error');
    $fetch->reply(500, {}, 'oops');
    $_->reply(200, {%fresh}, 'well') for map { $t->origin->accept } @rest;
    is bodies(@rest), 'well,well', 'an error is not shared';
    is $own->response->{status}, 500, 'who asked has it';

    # It was not for all, now it is: collapsed again.
    my ($x, $y) = owner('/not/private');
    $y->reply(200, {%fresh}, 'public');
    is $x->response->{body}, 'public', 'no longer private';
    $t->clock_advance(101);
    my ($again, $validation) = owner('/not/private');
    my @waiting = followers(2, '/not/private');
    $validation->reply(200, {%fresh}, 'news');
    is bodies($again, @waiting), 'news,news,news', 'and so waited for';
}

# --- expired --------------------------------------------------------------------------------

{
    my ($x, $f) = owner('/exp');
    $f->reply(200, { %fresh, ETag => '"1"' }, 'old');
    $x->response;
    $t->clock_advance(101);
    my ($own, $fetch) = owner('/exp');
    is $fetch->header('If-None-Match'), '"1"', 'expired: validated';
    my @rest = followers($fill, '/exp');
    ok $t->origin->quiet(0.05), 'once';
    $fetch->reply(304, { %fresh, ETag => '"1"' });
    is bodies($own, @rest), join(',', ('old') x ($fill + 1)), '304: for all';
    like $rest[0]->response->header('Cache-Status'), qr/; fwd=stale; collapsed/, 'and says so';

    $t->clock_advance(101);
    ($own, $fetch) = owner('/exp');
    @rest = followers($fill, '/exp', 'If-None-Match' => '"2"');
    $fetch->reply(200, { %fresh, ETag => '"2"' }, 'new');
    is $own->response->{body}, 'new', 'another page';
    is join(',', map { $_->response->{status} } @rest), join(',', (304) x $fill),
        'those who have it already get 304';

    $t->clock_advance(101);
    ($own, $fetch) = owner('/exp');
    @rest = followers($fill, '/exp');
    $fetch->close;
    is bodies($own, @rest), join(',', ('new') x ($fill + 1)),
        'the origin fails: stale for all, without asking again';
    ok $t->origin->quiet(0.05), 'indeed';
}

# --- streaming --------------------------------------------------------------------------------

{
    my $big = body_of('big', 1_500_000);
    for my $how ('Content-Length', 'chunks') {
        my $chunked = $how eq 'chunks';
        my $path = $chunked ? '/big/chunked' : '/big/length';
        my ($own, $fetch) = owner($path);
        my @rest = followers(2, $path);
        my $send = sub { $chunked ? $fetch->chunk($_[0]) : $fetch->send($_[0]) };
        $fetch->head(200, { %fresh, $chunked ? ('Transfer-Encoding' => 'chunked')
                                             : ('Content-Length' => length $big) });
        $send->(substr $big, 0, 10_000);
        is length $_->body_of(10_000), 10_000, "$how: a follower gets what has come"
            for @rest;
        my @late = followers(1, $path);
        is length $late[0]->body_of(10_000), 10_000, "$how: so does one that comes late";
        is $late[0]->head->header('Content-Length'), $chunked ? undef : length $big,
            "$how: with the length that is known";
        $send->(substr $big, 10_000, 700_000);
        is length $_->body_of(700_000) >= 700_000, 1, "$how: and goes on" for @rest, @late;
        $send->(substr $big, 710_000);
        $chunked ? $fetch->last_chunk : $fetch->end;
        ok $_->response->{body} eq $big, "$how: to the end" for $own, @rest, @late;
        ok $_->response->{complete}, "$how: which it sees" for $own, @rest, @late;
        ok $t->get($path)->{body} eq $big, "$how: and it is stored";
    }

    # Small ones that take their time become what small ones are: records.
    my $files = () = glob $t->root . '/body-*';
    my ($own, $fetch) = owner('/drip');
    my @rest = followers(2, '/drip');
    $fetch->head(200, { %fresh, 'Content-Length' => 6 });
    $_->head for @rest;     # they have it before any of the body
    for my $part (qw(dr ip ed)) {
        $fetch->send($part);
        like $_->body_of(length $part), qr/\Adr/, 'drip' for $own, @rest;
    }
    $fetch->end;
    is bodies($own, @rest, $t->send_req('/drip')), 'dripped,dripped,dripped,dripped' =~ s/ped/ed/gr,
        'drop by drop';
    is scalar(() = glob $t->root . '/body-*'), $files, 'stored without a file of its own';

    # Too large after all: who reads it gets it, and it is not stored.
    my $huge = body_of('huge', 3_000_000);
    ($own, $fetch) = owner('/huge');
    @rest = followers(1, '/huge');
    $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
    $fetch->chunk(substr $huge, 0, 1000);
    $_->body_of(1000) for @rest;
    $fetch->chunk(substr $huge, 1000);
    $fetch->last_chunk;
    ok $_->response->{body} eq $huge, 'too large: those who read it get it' for $own, @rest;
    ($own, $fetch) = owner('/huge');
    $fetch->reply(200, {%fresh}, 'now small');
    is $own->response->{body}, 'now small', 'and it was not stored';
}

# --- the owner's client ---------------------------------------------------------------------

{
    my $body = body_of('left', 1_800_000);
    my ($own, $fetch) = owner('/left');
    my @rest = followers(2, '/left');
    $fetch->head(200, { %fresh, 'Content-Length' => length $body });
    $fetch->send(substr $body, 0, 180_000);
    is length $_->body_of(180_000) >= 180_000, 1, 'a tenth' for $own, @rest;
    $own->client->reset;
    $fetch->send(substr $body, 180_000);
    $fetch->end;
    ok $_->response->{body} eq $body, 'its client left: the others notice nothing' for @rest;
    ok $t->get('/left')->{body} eq $body, 'and it is stored';
    is counter('clients_gone'), 1, 'counted';

    # Alone.
    ($own, $fetch) = owner('/left/alone');
    $fetch->head(200, { %fresh, 'Content-Length' => length $body });
    $fetch->send(substr $body, 0, 180_000);
    $own->body_of(100_000);
    $own->client->reset;
    $fetch->send(substr $body, 180_000);
    $fetch->end;
    $t->wait_counter(clients_gone => 2);
    wait_until(sub { counter('flights') == 0 });
    ok $t->get('/left/alone')->{body} eq $body, 'without followers as well';

    # One that does not read.
    ($own, $fetch) = owner('/slow');
    @rest = followers(1, '/slow');
    $fetch->head(200, { %fresh, 'Content-Length' => length $body });
    $fetch->send(substr $body, 0, 900_000);
    $fetch->send(substr $body, 900_000);
    $fetch->end;
    ok $rest[0]->response->{body} eq $body, 'a slow owner does not hold up the others';
    ok $own->response->{body} eq $body, 'and gets its own in the end';
}

# --- trouble ------------------------------------------------------------------------------------

{
    # The origin is silent.
    my ($own, $fetch) = owner('/short/silent');
    my @rest = followers(1, '/short/silent');
    my $second = $t->origin->accept;
    pass 'after DevCacheCollapseWait the origin is asked';
    is counter('collapse_timeouts'), 1, 'counted';
    $second->reply(200, {%fresh}, 'second');
    is $rest[0]->response->{body}, 'second', 'and answers';
    $fetch->reply(200, {%fresh}, 'first');
    is $own->response->{body}, 'first', 'so does the first';

    # It breaks off in the middle.
    ($own, $fetch) = owner('/torn');
    @rest = followers(2, '/torn');
    $fetch->head(200, { %fresh, 'Content-Length' => 10 });
    $fetch->send('12345');
    is $_->body_of(5), '12345', 'half' for @rest;
    my ($late) = followers(1, '/torn');
    $fetch->close;
    ok !$_->response->{complete}, 'half a body is seen to be half' for $own, @rest;
    is counter('collapse_torn') >= 2, 1, 'counted';
    ok !$late->response->{complete}, 'also by the latest';

    # It breaks off before anybody has followed that far: one of them tries again.
    ($own, $fetch) = owner('/early');
    @rest = followers(2, '/early');
    $fetch->close;
    for (@rest) {
        my $f = $t->origin->quiet(0.2) ? last : $t->origin->accept;
        $f->reply(200, {%fresh}, 'mended');
    }
    is bodies(@rest), 'mended,mended', 'a connection that fails: the others ask';
    is $own->response->{status}, 502, 'the first one knows';

    # Purged meanwhile: newcomers do not get what was asked for before.
    ($own, $fetch) = owner('/purged');
    my ($post, $unsafe) = do {
        my $x = $t->send_req('/purged', ':method' => 'POST', ':body' => 'x');
        ($x, $t->origin->accept);
    };
    $unsafe->reply(200, {}, 'done');
    $post->response;
    my ($new, $new_fetch) = owner('/purged');
    $fetch->reply(200, {%fresh}, 'before');
    $new_fetch->reply(200, {%fresh}, 'after');
    is bodies($own, $new), 'before,after', 'invalidated: a new flight';
    is $t->get('/purged')->{body}, 'after', 'and the old one is not stored';
}

$t->finish;

# --- the owner is taken off the processor as it stores ------------------------------------------

# Stopped between the end of a shared file and the entry: those in other processes wait.
$t = DevCache::Test->start(<<'CONF', env => { DEVCACHE_FAULT => 'kill-after-append:1:stop' });
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF
sub state_of {
    my $pid = shift;
    open my $in, '<', "/proc/$pid/stat" or return '';
    return (<$in> // '') =~ /\) (\S)/ ? $1 : '';
}
{
    my ($own, $fetch) = owner('/stopped');
    my @rest = followers(1, '/stopped');
    $fetch->head(200, { %fresh, 'Transfer-Encoding' => 'chunked' });
    $fetch->chunk('one');
    is $rest[0]->body_of(3), 'one', 'a follower reads it as it comes';
    $fetch->chunk('two');
    $fetch->last_chunk;
    my @stopped;
    ok DevCache::Wait::wait_until(sub { @stopped = grep { state_of($_) eq 'T' } $t->pids }),
        'the owner has stopped';
    push @rest, map { $t->send_req('/stopped') } 1 .. 3;
    ok $t->origin->quiet(0.3), 'the origin is not asked again meanwhile';
    kill CONT => @stopped;
    is bodies($own, @rest), join(',', ('onetwo') x 5), 'all have it';
    ok $t->origin->quiet(0.05), 'one fetch for all';
}
$t->finish;
done_testing;
