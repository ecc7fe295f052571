# SPDX-License-Identifier: Apache-2.0
# t/101-share-trouble.t. What keeps machines from sharing what they store: each has its reason,
# which is counted and told, and costs a visitor little.
# What docs/devcachectl.md shows of it is played here.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util qw(first);
use Test::More;
use Time::HiRes ();
use DevCache::Ctl;
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;
use DevCache::Wait;

my $redis = DevCache::Redis->new(['maxmemory', '200mb'], ['maxmemory-policy', 'volatile-lfu']);
sub tier { my ($name, $use, @more) = @_; return join "\n", 'DevCacheTier ' . $redis->url, "DevCacheTierName $name", "DevCacheTierUse $use", @more }
my @t = cluster(2, tier('plain', 'locks'));

my $origin = $t[0]->origin_auto(sub {
    my $m = shift;
    my %how = map { split /=/, $_, 2 } grep { /=/ } split m{/}, $m->{target};
    my %fields = ('Cache-Control' => $how{cc} // 'max-age=1000', ETag => '"e"');
    return (200, \%fields, $m->{target} . ('x' x ($how{size} // 0)), $how{hold} ? (hold => $how{hold}) : ());
});
sub ask   { my ($t, $path, @f) = @_; return ask_at($t, $path, @f) }
sub get   { return ask(@_)->response }
sub from  { my $s = $_[0]->header('Cache-Status') // ''; return $s =~ /; hit.*detail=".*tier"/ ? 'tier' : $s =~ /; hit/ ? 'here' : 'origin' }
sub count { return $origin->fetches($_[0]) }
sub books { return shown($_[0]) }
# A server that hung for long is left alone for half a minute.
sub share { my @all = @_; for my $t (@all) { wait_until(sub { books($t)->{servers}[0]{objects} }, 3 * DevCache::Wait::patience()) or return 0 } return 1 }
sub fetched {
    my ($t, $path, @f) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = books($t)->{object_sent};
    my $r = get($t, $path, @f);
    wait_until(sub { books($t)->{object_sent} > $before }) or fail("$path is put on the server");
    return $r;
}
my $new = 0;
sub new_page { return '/new' . ++$new }
sub name_of {
    my ($path) = @_;
    my $name;
    wait_until(sub { ($name) = grep { /:o:/ && ($redis->say('GET', $_) // '') =~ m{\Q$path\E\b} } @{ $redis->say('KEYS', '*') } })
        or die "$path is not there\n";
    return $name;
}
ok share(@t), 'two machines share';

# --- what is told: devcachectl explain ---------------------------------------------------------

sub question {
    my ($t, $path, @f) = @_;
    return ('explain', "http://www.test:$t->{common}$path", '--address' => $t->{address},
            '--url' => 'http://127.0.0.1:' . $t->port('STATUS_PORT') . '/',
            -A => DevCache::Client::PC, map { ('-H' => $_) } @f);
}
sub told  { return ctl_json(question(@_))->{tier} }
sub words { return ctl(question(@_))->{out} }

my $counted = books($t[1]);
is_deeply told($t[1], '/told'), { asked => JSON::PP::true, server => $redis->url, holds => 'nothing' }, 'nobody has it';
like words($t[1], '/told'), qr/^tier +asked before the origin\n +redis:\S+: it has nothing\n(?!  )/m, '  in words';
fetched($t[0], '/told', 'User-Agent' => PC);
my $told = told($t[1], '/told');
is_deeply [@$told{qw(asked holds size fits)}], [JSON::PP::true, 'object', 5, JSON::PP::true], 'another machine has put it there';
cmp_ok $told->{ttl}, '>', 900, '  and how long it is fresh';
like words($t[1], '/told'), qr/^ +redis:\S+: it has 5 bytes, \d+ s old, fresh for 1[56]m\n/m, '  in words';
is told($t[1], '/told', 'Cache-Control: no-cache')->{not_asked}, "the client wants the origin's own word, or more freshness than others",
    "who wants the origin's own word";
like words($t[1], '/told', 'Authorization: Basic eDp5'), qr/^tier +not asked: the request is not one of those/m, 'with credentials';
is told($t[1], '/told', 'Cache-Control: only-if-cached')->{not_asked}, 'only-if-cached: nobody is asked', 'only-if-cached';
is told($t[1], '/told', 'Cache-Control: no-store')->{not_asked}, 'the cache is not used', 'no-store';
is_deeply { map { $_ => books($t[1])->{$_} } grep { /^object/ && !ref $counted->{$_} } keys %$counted },
    { map { $_ => $counted->{$_} } grep { /^object/ && !ref $counted->{$_} } keys %$counted }, 'to ask that is counted nowhere';
is books($t[1])->{object_answer_seconds}{count}, $counted->{object_answer_seconds}{count}, '  nor is how long it took';

is from(get($t[1], '/told', 'User-Agent' => PC)), 'tier', 'it is taken';
like words($t[1], '/told'), qr/^tier +not asked: what is stored here is the answer\n +redis:\S+: it has 5 bytes/m, '  and then not asked for any more';
my $name = name_of('/told');
$redis->say('SET', $name, 'x' x 400, 'PX', 100_000);
is told($t[1], '/told')->{holds}, 'damaged', 'nonsense in its place';
$redis->say('DEL', $name);
fetched($t[0], '/purged', 'User-Agent' => PC);
my $kept = $redis->say('GET', name_of('/purged'));
my $r = get($t[0], '/purged', ':method' => 'PURGE', 'DevCache-Purge-Wait' => 10);
is $r->{status}, 200, 'a purge';
like words($t[1], '/purged'), qr/it is from before a purge|what it has is from before a purge/, '  makes what is there useless';
get($t[0], '/large/size=600000', 'User-Agent' => PC);
is told($t[0], '/large/size=600000')->{not_put}, 'it is larger than DevCacheTierMaxObject', 'too large';
like words($t[0], '/large/size=600000'), qr/^ +not put there: it is larger than DevCacheTierMaxObject$/m, '  in words';
get($t[0], '/validated/cc=no-cache', 'User-Agent' => PC);
is told($t[0], '/validated/cc=no-cache')->{not_put}, 'it is validated at each use', 'validated at each use';

# The server itself is unfit.
$_->expect_log(qr/DC0236/) for @t;
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu');
ok wait_until(sub { !grep { books($_)->{servers}[0]{objects} } @t }), 'allkeys-lfu';
like words($t[1], '/told2'), qr/^ +no server can be used: its maxmemory-policy may evict purges \(DC0236\)$/m, '  explain says so';
like $t[1]->status_page('')->{body}, qr/works; objects: its maxmemory-policy may evict purges/, '  and the page';
like ctl('nodes', '--url' => 'http://127.0.0.1:' . $t[1]->port('STATUS_PORT') . '/')->{out}, qr/objects: its maxmemory-policy may evict/, '  and nodes';
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
ok share(@t), 'noeviction';
my ($used) = $redis->say('INFO', 'memory') =~ /^used_memory:(\d+)/m;
ok wait_until(sub { $redis->say('CONFIG', 'SET', 'maxmemory', int($used * 1.1)); (told($t[0], '/told3')->{not_put} // '') =~ /DC0237/ }),
    '  and nearly full: nothing more would be put there';
my $dropped = books($t[0])->{object_dropped};
get($t[0], '/full');
is books($t[0])->{object_dropped}, $dropped + 1, '  nor is it, which is counted';
$redis->say('CONFIG', 'SET', 'maxmemory', 200_000_000);
$redis->say('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lfu');
ok wait_until(sub { !grep { books($_)->{servers}[0]{objects_trouble} } @t }), 'as it was';

# --- connections that the server has closed --------------------------------------------------------

# As by its own timeout, or a restart: those that are idle here.
sub hang_up {
    for (split /\n/, $redis->say('CLIENT', 'LIST')) {
        my ($id) = /^id=(\d+)/;
        $redis->say('CLIENT', 'KILL', 'ID', $id) if !/cmd=(?:client|info|xread|xadd|xrevrange|xinfo)/;
    }
    return;
}
# A lease is three seconds; what begins with - is none.
sub locks { return grep { ($redis->say('GET', $_) // '-') !~ /^-/ } grep { /:l:/ } @{ $redis->say('KEYS', 'plain:*') } }
my $found = 0;
for my $turn (1 .. 4) {
    my $path = new_page();
    fetched($t[0], $path);
    hang_up();
    $found += from(get($t[1], $path)) eq 'tier';
    hang_up();
    fetched($t[0], new_page());
    my $held = ask($t[0], "$path/hold=$turn");
    wait_until(sub { count("$path/hold=$turn") }) or fail 'it is asked for';
    hang_up();
    $origin->release($turn);
    $held->response;
    ok wait_until(sub { !locks() }, 2), "hung up, $turn: what is fetched is put there, and a lock is given back";
}
cmp_ok $found, '>=', 2, '  and what is there is found, unless to connect takes longer than a visitor waits';

# --- another key --------------------------------------------------------------------------------------

my ($one, $two) = map { secret_file("$_" x 32) } 'a', 'b';
my @keyed = map { cluster(1, tier('keyed', 'objects', "DevCacheTierKey $_"), origin_of => $t[0]) } $one, $two;
push @t, @keyed;
ok share(@keyed), 'two machines with another DevCacheTierKey each';
for my $turn ([@keyed, 'one'], [reverse(@keyed), 'the other']) {
    my ($a, $b, $who) = @$turn;
    my $path = "/keyed/$who" =~ s/ /-/gr;
    my $damaged = books($b)->{object_damaged};
    fetched($a, $path);
    is from(get($b, $path)), 'origin', "$who: what it has put there the other does not take";
    is books($b)->{object_damaged}, $damaged + 1, '  which is counted';
    is books($a)->{object_damaged}, $turn->[2] eq 'one' ? 0 : 1, '  there only';
    $r = get($a, $path, ':method' => 'PURGE');
    like $r->{body}, qr/^\{"purged": 1, "nodes": 1\}$/, '  its purge is its own affair: it knows of nobody else';
    ok wait_until(sub { books($b)->{servers}[0]{refused} }), '  refused by the other, and counted';
    ok wait_until(sub { $b->log_lines(qr/DC0233: tier: .*are not ours, or are signed with another DevCacheTierKey/) }), '  and said in its log'
        or diag $b->log_lines(qr/DC0233/);
    is from(get($b, $path)), 'here', '  which still has the page';
}

# --- a full queue ----------------------------------------------------------------------------------------

my @queues = cluster(2, tier('queues', 'objects', 'DevCacheTierQueue 1M', 'DevCacheTierMaxObject 1M'), origin_of => $t[0]);
push @t, @queues;
ok share(@queues), 'two machines with a queue of 1 MB';
# Of those that are not too large the largest is more than the queue, with what belongs to it.
my $full = first { get($queues[0], $_); books($queues[0])->{object_dropped} } map { '/room/size=' . ((1 << 20) - 100 * $_) } 2 .. 12;
is books($queues[0])->{object_dropped}, 1, 'the queue has no room: dropped, and counted';
is from($r = get($queues[1], $full)), 'origin', '  the other machine fetches it';
is $r->{body}, $full . 'x' x ($full =~ /(\d+)/)[0], '  and has it right';
fetched($queues[0], '/room/size=900000');
is from(get($queues[1], '/room/size=900000')), 'tier', 'one that it has room for is shared';
# Four of these fill it while the server does not answer.
my %was = %{ books($queues[0]) };
$redis->freeze;
my @paths = map { "/queue$_/size=250000" } 1 .. 24;
my @asked = map { ask($queues[0], $_) } @paths;
my @wrong = grep { my $got = $asked[$_]->response; $got->{status} != 200 || $got->{body} ne $paths[$_] . 'x' x 250000 } 0 .. $#asked;
$redis->thaw;
is "@wrong", '', 'the server does not answer: each visitor has his page';
ok wait_until(sub { my $b = books($queues[0]); !$b->{object_queue_bytes} && $b->{object_dropped} > $was{object_dropped} }),
    '  what the queue had no room for is dropped, and counted';
ok share(@queues), '  it answers again';
@wrong = grep { get($queues[1], $_)->{body} ne $_ . 'x' x 250000 } @paths;
is "@wrong", '', '  the other machine has the right pages, from wherever';
cmp_ok books($queues[0])->{object_dropped} - $was{object_dropped} + books($queues[0])->{object_sent} - $was{object_sent}, '<=', 24,
    '  each is counted once';

# --- a server that hangs ----------------------------------------------------------------------------------

# Two seconds, so that once is not twice on a machine that is busy.
my $wait = 2 * DevCache::Wait::patience() / 15;
my $twice = 2 * $wait - 0.1;
sub ms { return sprintf '%d %d', 1000 * $wait, 1000 * $wait }
sub took { my $began = Time::HiRes::time(); $_[0]->(); return Time::HiRes::time() - $began }
for my $use (qw(objects locks)) {
    my @slow = cluster(2, tier("slow-$use", $use), origin_of => $t[0], conf => 'DevCacheTierTimeout ' . ms(), dir => 'DevCacheCollapseWait 60');
    push @t, @slow;
    ok share(@slow), "$use: two machines";
    # Each child has a connection, and nobody waits until it is there.
    for my $turn (1 .. 8) { my $path = new_page(); fetched($slow[0], $path); get($slow[1], $path) }
    my $path = "/slow-$use/hold=s-$use";
    my $first = ask($slow[0], $path);
    wait_until(sub { count($path) }) or fail 'it is asked for';
    my $second = ask($slow[1], $path);
    wait_until(sub { $use eq 'objects' ? count($path) == 2 : books($slow[1])->{waits} }) or fail 'the other asks as well, or waits';
    $redis->freeze;
    my $seconds = took(sub { wait_until(sub { count($path) == 2 }, 3 * $wait) or fail 'it never asks' });
    cmp_ok $seconds, '<', $twice, '  who waits for another machine waits for the time-out once';
    $origin->release("s-$use");
    is $_->response->{body}, $path, '  and has the page' for $first, $second;
    my @visitors;
    $seconds = took(sub {
        @visitors = map { ask($slow[1], new_page()) } 1 .. 4;
        is $_->response->{status}, 200, '  a visitor is served' for @visitors;
    });
    cmp_ok $seconds, '<', $twice, '  and has waited for the time-out once at most';
    ok wait_until(sub { get($slow[1], new_page()); took(sub { get($slow[1], new_page()) }) < $wait / 2 }),
        '  in the end nobody waits for it';
    like words($slow[1], '/hangs'), qr/no server can be used: (?:its purges are not read|it failed again and again|no process)/, '  explain says so';
    $redis->thaw;
    ok share(@slow), '  it answers again';
}

$_->allow_log(qr/AH\d+/), $_->finish for reverse @t;
$redis->stop;
done_testing;
