# SPDX-License-Identifier: Apache-2.0
# t/99-share.t. Machines that share what they store: what one has fetched the others need
# not, and nothing purged, damaged, foreign or private comes that way.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Ctl;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

my $redis = DevCache::Redis->new(['maxmemory', '100mb'], ['maxmemory-policy', 'volatile-lfu']);
my $tier = 'DevCacheTier ' . $redis->url . "\nDevCacheTierUse objects";
my @t = cluster(3, $tier);

# What it answers is in the path: /name/Field=value/… ; %n counts its answers.
my $origin = $t[0]->origin_auto(sub {
    my $m = shift;
    my ($path) = split /\?/, $m->{target};
    my %fields = ('Cache-Control' => 'max-age=1000', ETag => '"e"');
    my ($status, $size, %how) = (200, 0);
    for my $part (split m{/}, $path) {
        my ($name, $value) = split /=/, $part, 2;
        next unless defined $value;
        if ($name eq 'status')  { $status = $value }
        elsif ($name eq 'size') { $size = $value }
        elsif ($name eq 'hold') { $how{hold} = $value }
        else                    { $fields{$name} = $value =~ s/\+/ /gr =~ s/\((\w+)\)/("$1")/r }
    }
    my $by = join ',', map { $m->header($_) // '-' } 'X-Device-Type', 'Accept-Language', 'DNT';
    return (304, \%fields, '') if ($m->header('If-None-Match') // '') eq '"e"';
    return ($status, \%fields, "$m->{target} $by" . ('x' x $size), %how);
});
sub get   { my ($n, $path, @f) = @_; return ask_at($t[$n], $path, @f)->response }
sub from  { my $s = $_[0]->header('Cache-Status') // ''; return $s =~ /; hit.*detail=".*tier"/ ? 'tier' : $s =~ /; hit/ ? 'here' : 'origin' }
sub count { return $origin->fetches($_[0]) }
sub books { return shown($t[$_[0]]) }
sub names { return grep { /:o:/ } @{ $redis->say('KEYS', '*') } }
sub sent  { my ($n, $want) = @_; return wait_until(sub { books($n)->{object_sent} >= $want }) }
# Fetched by that one, and put on the server.
sub fetched {
    my ($n, $path, @f) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = books($n)->{object_sent};
    my $r = get($n, $path, @f);
    sent($n, $before + 1) or fail("$path is put on the server");
    return $r;
}
sub shared {
    my ($path, $name, @f) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $first = fetched(0, $path, @f);
    my $asked = count($path);
    my $second = get(1, $path, @f);
    is from($second), 'tier', "$name: the other has it from the server";
    is $second->{body}, $first->{body}, '  the same body';
    is $second->{status}, $first->{status}, '  and status';
    is count($path), $asked, '  the origin was asked once';
    is from(get(1, $path, @f)), 'here', '  then it is stored there';
    return $second;
}
sub apart {
    my ($path, $name, @f) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @names = sort(names());
    get(0, $path, @f);
    is from(get(1, $path, @f)), 'origin', "$name: not shared";
    is_deeply [sort(names())], \@names, '  and not on the server';
}

my $new = 0;
sub shares_again {
    my ($one, $other, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_until(sub {
        get($one, '/new' . ++$new);
        wait_until(sub { 0 }, 0.05);
        from(get($other, "/new$new")) eq 'tier';
    }), "$name: they share";
}

ok machines_are(3, @t), 'they know each other';
ok wait_until(sub { books($_)->{servers}[0]{objects} }), "machine $_ shares objects" for 0 .. 2;

# --- what is shared --------------------------------------------------------------------------

shared('/a', 'a page');
is fetched(0, '/dev', 'User-Agent' => PC)->{body} =~ /pc/, 1, 'a page by device';
is from(fetched(1, '/dev', 'User-Agent' => PHONE)), 'origin', '  not for another class';
is from(get(1, '/dev', 'User-Agent' => PC)), 'tier', '  for its own';
is from(get(2, '/dev', 'User-Agent' => PHONE)), 'tier', '  and the other one';
my $r = shared('/lang/Vary=Accept-Language', 'a variant', 'Accept-Language' => 'de');
like $r->{body}, qr/de/, '  it is that one';
is from(fetched(1, '/lang/Vary=Accept-Language', 'Accept-Language' => 'en')), 'origin', '  another language is fetched';
is from(get(2, '/lang/Vary=Accept-Language', 'Accept-Language' => 'en')), 'tier', '  and shared';
is from(get(2, '/lang/Vary=Accept-Language', 'Accept-Language' => 'de')), 'tier', '  beside the first';
shared('/many/Vary=DNT,+Accept-Language', 'a variant by two', DNT => 1, 'Accept-Language' => 'fr');
shared('/q?x=1&y=2', 'a query');
shared('/empty/status=404/Cache-Control=max-age=100', 'a 404');
shared('/moved/status=301/Location=there', 'a redirect');
shared('/large/size=300000', 'a body of 300 KB');
shared('/tagged/Cache-Tag=red+blue', 'one with tags');
is get(1, '/a', Range => 'bytes=1-3')->{status}, 206, 'a part of what was shared';
is get(1, '/a', 'If-None-Match' => '"e"')->{status}, 304, 'and its condition';

# Whole pages only from the tier, also where a part is asked for first.
fetched(0, '/part');
is get(1, '/part', Range => 'bytes=0-1')->{status}, 206, 'a part of what is not here: the origin';

# Confirmed by a 304: shared again.
fetched(0, '/short/Cache-Control=max-age=3');
$_->clock_advance(10) for @t;
is from(get(1, '/short/Cache-Control=max-age=3')), 'tier', "its age is the server's affair, not our clocks'";
$redis->say('DEL', names());
$r = fetched(0, '/short/Cache-Control=max-age=3');
is from($r), 'origin', 'it is validated';
is from(get(2, '/short/Cache-Control=max-age=3')), 'tier', 'a confirmed one is shared as well';

# --- what is not --------------------------------------------------------------------------------

apart('/private/Cache-Control=private', 'private');
apart('/nostore/Cache-Control=no-store', 'no-store');
apart('/nocache/Cache-Control=no-cache', 'no-cache');
apart('/cookie/Set-Cookie=a=b', 'a cookie is set');
apart('/stale/Cache-Control=max-age=0', 'never fresh');
apart('/auth', 'credentials', Authorization => 'Basic eDp5');
my $too_large = books(0)->{object_too_large};
apart('/huge/size=600000', 'larger than DevCacheTierMaxObject');
cmp_ok books(0)->{object_too_large}, '>', $too_large, '  which is counted';
fetched(0, '/insist');
is from(get(1, '/insist', 'Cache-Control' => 'no-cache')), 'origin', "who wants the origin's own word";
is get(1, '/none', 'Cache-Control' => 'only-if-cached')->{status}, 504, 'who wants no question';

# --- clocks ---------------------------------------------------------------------------------------

for my $jump (7200, -7200) {
    $t[1]->clock_advance($jump);
    fetched(0, "/clock$jump");
    $r = get(1, "/clock$jump");
    is from($r), 'tier', "a clock that is wrong by $jump s";
    cmp_ok $r->header('Age'), '<=', 5, '  does not change its age';
    $t[1]->clock_advance(-$jump);
}
fetched(0, '/aged/Age=100');
cmp_ok get(2, '/aged/Age=100')->header('Age'), '>=', 100, 'an age that it came with';

# --- purges -----------------------------------------------------------------------------------------

sub purge_at { my ($n, $path, @f) = @_; return get($n, $path, ':method' => 'PURGE', 'DevCache-Purge-Wait' => 10, @f) }
for my $case (['its URL', '/p1/Cache-Tag=t1', '/p1/Cache-Tag=t1'],
              ['a tag', '/p2/Cache-Tag=t2', '/', 'Cache-Tag' => 't2'],
              ['a prefix', '/p3/Cache-Tag=t3', '/p3/*'],
              ['a pattern', '/p4/Cache-Tag=t4', '/', ':method' => 'BAN', 'X-Url' => '^/p4.*t4$', 'X-Host' => '.*'],
              ['soft', '/p5/Cache-Tag=t5', '/p5/Cache-Tag=t5', 'DevCache-Purge-Soft' => 1],
              ['everything', '/p6/Cache-Tag=t6', '/', ':method' => 'BAN']) {
    my ($name, $path, $url, @f) = @$case;
    fetched(0, $path);
    is get(1, $url, ':method' => 'PURGE', 'DevCache-Purge-Wait' => 10, @f)->{status}, 200, "purge, $name";
    is from(fetched(2, $path)), 'origin', '  a third machine does not take it from the server';
    is from(get(1, $path)), 'tier', '  but what that has fetched since';
    is from(get(0, $path)), $name eq 'soft' ? 'tier' : 'tier', '  so do all';
}
# Purged and fetched again at once, where the purge was sent.
fetched(0, '/again');
purge_at(0, '/again');
fetched(0, '/again');
is from(get(1, '/again')), 'tier', 'fetched again at once: shared';

# A fetch that began before.
my $held = ask_at($t[0], '/held/hold=h1');
wait_until(sub { count('/held/hold=h1') == 1 }) or fail 'it is asked for';
purge_at(1, '/held/hold=h1');
$origin->release('h1');
is $held->response->{status}, 200, 'a fetch that began before a purge: its client has it';
is from(get(2, '/held/hold=h1')), 'origin', '  and nobody else';
$held = ask_at($t[0], '/held2/hold=h2/Cache-Tag=late');
wait_until(sub { count('/held2/hold=h2/Cache-Tag=late') == 1 }) or fail 'it is asked for';
purge_at(1, '/', 'Cache-Tag' => 'late');
$origin->release('h2');
$held->response;
is from(get(2, '/held2/hold=h2/Cache-Tag=late')), 'origin', '  by tag';

# What one removes for itself does not come back to it.
fetched(1, '/post');
is from(get(0, '/post')), 'tier', 'before a POST';
get(0, '/post', ':method' => 'POST', ':body' => 'x');
is from(get(0, '/post')), 'origin', 'after it: fetched';
# Somebody throws the stream of purges away: what was purged is not taken for good.
fetched(0, '/deleted');
purge_at(1, '/deleted');
get(0, '/other');
$redis->say('DEL', 'devcache:purges');
is from(get(2, '/deleted')), 'origin', 'the stream deleted: not from the server';
for my $t (@t) { ok wait_until(sub { $t->log_lines(qr/DC0232.*may be missing/) }), 'each notices' }
ok wait_until(sub { books($_)->{servers}[0]{objects} }), "machine $_ goes on" for 0 .. 2;
shares_again(0, 1, 'the stream is begun anew');

# --- what strangers do there -------------------------------------------------------------------------

my $n = 0;
# What is there of it, as soon as it is.
sub name_of {
    my $path = shift;
    my $name;
    wait_until(sub { ($name) = grep { ($redis->say('GET', $_) // '') =~ m{\Q$path\E\b} } names() })
        or die "$path is not there\n";
    return $name;
}
sub tampered {
    my ($name, $change) = @_;
    my $path = '/tampered/' . ++$n;
    my $want = get(0, $path)->{body};
    my $key = name_of($path);
    my $value = $change->($redis->say('GET', $key));
    $redis->say('SET', $key, $value, 'PX', 100000);
    my $r = get(1, $path);
    is $r->{body}, $want, "$name: the right body";
    is from($r), 'origin', '  from the origin';
}
my $damaged = books(1)->{object_damaged};
tampered('cut to ' . $_, sub { substr $_[0], 0, $_ }) for 0, 1, 2, 50, 74, 100, 300;
tampered('one byte less', sub { substr $_[0], 0, -1 });
tampered('one byte more', sub { "$_[0]x" });
tampered("a bit at $_", sub { my $v = shift; my $at = $_ < 0 ? length($v) + $_ : $_; substr($v, $at, 1) ^= "\x10"; $v })
    for 0, 1, 75, 90, 96, 110, 140, 180, 220, 300, -60, -2;
tampered('nonsense', sub { 'O' . "\x01" . ('y' x 500) });
tampered('empty', sub { '' });
tampered('another object', sub { $redis->say('GET', name_of('/tampered/1')) });
cmp_ok books(1)->{object_damaged}, '>=', $damaged + 15, 'they are counted';
for my $kind ([LPUSH => 'x'], [HSET => 'a', 'b']) {
    my $path = "/kind/$kind->[0]";
    get(0, $path);
    my $key = name_of($path);
    $redis->say('DEL', $key);
    $redis->say($kind->[0], $key, @$kind[1 .. $#$kind]);
    is from(get(1, $path)), 'origin', "$kind->[0]: a key of another kind";
}

# --- servers that may not be used, or go ----------------------------------------------------------------

$_->expect_log(qr/DC0236: tier: redis.*no objects are shared there; set maxmemory-policy volatile-lfu/) for @t;
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu');
ok wait_until(sub { !books($_)->{servers}[0]{objects} }), "allkeys-lfu: machine $_ shares none" for 0 .. 2;
get(0, '/lfu');
is from(get(1, '/lfu')), 'origin', '  and fetches for itself';
is scalar(() = $t[0]->log_lines(qr/DC0236/)), 1, '  said once';
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
ok wait_until(sub { books($_)->{servers}[0]{objects} }), "noeviction: machine $_ shares them" for 0 .. 2;
shared('/noeviction', 'noeviction');
# What Redis uses goes up and down with its connections' buffers.
sub nearly_fill {
    my ($used) = $redis->say('INFO', 'memory') =~ /^used_memory:(\d+)/m;
    $redis->say('CONFIG', 'SET', 'maxmemory', int($used * 1.2));
}
ok wait_until(sub { nearly_fill(); $t[0]->log_lines(qr/DC0237/) }),
    'nearly full, and nothing is evicted: said';
my $sent = books(0)->{object_sent};
get(0, '/full');
is from(get(1, '/full')), 'origin', '  nothing is put there';
is books(0)->{object_sent}, $sent, '  nor tried';
is purge_at(0, '/full')->{status}, 200, '  so that purges are taken';
$redis->say('CONFIG', 'SET', 'maxmemory', 100_000_000);
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lfu');
ok wait_until(sub { 2 == (() = $t[0]->log_lines(qr/DC0238/)) }), 'room again: said';
shared('/room', 'room again');

fetched(0, "/gone$_") for 1 .. 3;
$redis->kill;
is get(1, "/gone$_")->{status}, 200, 'the server is killed: served all the same' for 1 .. 3;
is from(get(1, '/gone4')), 'origin', 'from the origin';
$redis->start;
ok wait_until(sub { books($_)->{servers}[0]{objects} }), "back: machine $_ shares" for 0 .. 2;
shares_again(0, 1, 'after a restart of the server');
$redis->freeze;
is get(1, "/frozen$_")->{status}, 200, 'it hangs: served all the same' for 1 .. 8;
$redis->thaw;

# A child, or all of them, killed.
wait_until(sub { books(0)->{servers}[0]{objects} && books(1)->{servers}[0]{objects} }) or fail 'thawed';
$t[1]->kill_child($t[1]->pids);
shares_again(0, 1, 'all children of one killed');
shares_again(1, 0, 'the other way');
$t[1]->graceful;
shares_again(0, 1, 'after a reload');

# --- a machine that comes late ------------------------------------------------------------------------------

# This purge is taken out of the stream: nobody who comes later can know it.
fetched(0, '/xdel');
purge_at(1, '/xdel');
is from(get(1, '/other2')), 'origin', 'something else';
my $entry = $redis->say('XREVRANGE', 'devcache:purges', '+', '-', 'COUNT', 1)->[0][0];
is $redis->say('XDEL', 'devcache:purges', $entry), 1, 'a purge is taken out of the stream';
purge_at(0, '/none'); # from here on a machine that comes can tell
fetched(0, "/warm$_/Cache-Tag=w" . $_ % 2) for 1 .. 40;
purge_at(0, '/', 'Cache-Tag' => 'w1');
purge_at(0, "/flood$_") for 1 .. 30;
my ($late) = cluster(1, $tier, origin_of => $t[0]);
push @t, $late;
ok wait_until(sub { books(3)->{servers}[0]{objects} }), 'a machine that comes late';
my %from;
$from{ $_ % 2 }{ from(get(3, "/warm$_/Cache-Tag=w" . $_ % 2)) }++ for 1 .. 40;
is_deeply $from{0}, { tier => 20 }, '  has all from the server';
is_deeply $from{1}, { origin => 20 }, '  but what was purged before it came';
is from(get(3, '/xdel')), 'origin', '  also by the purge that is missing';
like $late->status_page('')->{body}, qr/Objects: of 41 that were asked for 20 were found/, '  the page says so';
like $late->status_page('?prometheus')->{body}, qr/^devcache_tier_object_hits_total\{name="devcache"\} 20$/m, '  and Prometheus';
like $late->status_page('?prometheus')->{body}, qr/^devcache_tier_object_answer_seconds_count\{name="devcache"\} [4-9]\d$/m, '  and how long it took';

# Another configuration of what is whose: nothing in common.
my ($other) = cluster(1, $tier, origin_of => $t[0], dir => 'DevCacheCookies keep');
push @t, $other;
wait_until(sub { books(4)->{servers}[0]{objects} }) or fail 'it shares objects';
fetched(0, '/same');
is from(get(4, '/same')), 'origin', 'a machine with other DevCacheCookies';
is from(get(3, '/same')), 'tier', 'one with the same';

# No-Vary-Search: one object is for many URLs, of which another one is purged.
my @rule = cluster(2, $tier, origin_of => $t[0], dir => 'DevCacheNoVarySearch On');
push @t, @rule;
for my $n (5, 6) { ok wait_until(sub { books($n)->{servers}[0]{objects} }), 'DevCacheNoVarySearch: it shares objects' }
my $path = '/nvs/No-Vary-Search=params=(utm)';
fetched($_, "$path?id=learnt-by-$_&utm=0") for 5, 6;
fetched(5, "$path?id=1&utm=1");
is from(get(6, "$path?id=1&utm=2")), 'tier', '  under a URL that is equivalent';
fetched(5, "$path?id=2&utm=1");
is purge_at(5, "$path?id=2&utm=7")->{status}, 200, '  another one that is is purged';
for my $n (6, 5) { unlike get($n, "$path?id=2&utm=$n")->{body}, qr/utm=1/, '  it is not taken any more' }
is from(get(5, "$path?id=1&utm=9")), 'here', '  another page is left alone';

$t[0]->allow_log(qr/AH\d+/), $_->finish for reverse @t;
$redis->stop;
done_testing;
