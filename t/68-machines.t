# SPDX-License-Identifier: Apache-2.0
# t/68-machines.t. Three servers and a Redis: a purge on one reaches the others, whatever
# is broken meanwhile.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

$lives{'Cache-Control'} .= ', stale-if-error=100000';

my $redis = DevCache::Redis->new;
my @t = map { machine('DevCacheTier ' . $redis->url) } 1 .. 3;
ok machines_are(3, @t), 'three nodes know each other';

# --- every kind of purge ----------------------------------------------------------------------

store($_, '/a') for @t;
my $got = purge($t[0], '/a');
is "$got->{status} $got->{body}", qq(200 {"purged": 1, "nodes": 3}\n), 'a URL: the answer';
gone_soon($t[$_], '/a', 'a URL') for 1, 2;

for my $case (['a query', '/q?x=1', 'PURGE', '/q?x=1'],
              ['a prefix', '/p/1', 'PURGE', '/p/*'],
              ['a pattern', '/r/abc', 'BAN', '/', 'X-Url' => '^/r/a.c$', 'X-Host' => '.*'],
              ['a tag', '/t/1', 'PURGE', '/', xkey => 'one two'],
              ['all tags', '/t/2', 'PURGE', '/', 'X-Magento-Tags-Pattern' => '.*'],
              ['a device', '/d', 'PURGE', '/d', 'DevCache-Purge-Device' => 'pc'],
              ['everything', '/e', 'BAN', '/']) {
    my ($name, $path, $method, $url, @fields) = @$case;
    store($_, $path, xkey => 'two') for @t;
    store($_, '/kept') for grep { !is_there($_, '/kept') } @t;
    $got = $t[1]->get($url, ':method' => $method, 'DevCache-Purge-Wait' => 10, @fields);
    like $got->{body}, qr/^\{"purged": [1-9]\d*, "nodes": 3, "applied": 3\}$/, "$name: all have applied it";
    is $got->{status}, 200, "$name: status";
    ok !is_there($_, $path), "$name: gone" for @t;
    if ($name ne 'everything') { still($_, '/kept', $name) for @t }
}
store($_, '/s') for @t;
$got = $t[2]->get('/s', ':method' => 'PURGE', 'DevCache-Purge-Soft' => 1, 'DevCache-Purge-Wait' => 10);
is $got->{body}, qq({"purged": 0, "expired": 1, "nodes": 3, "applied": 3}\n), 'a soft purge';
for my $t (@t) {
    my $x = $t->send_req('/s');
    $t->origin->accept->reply(503, {}, 'down');
    is $x->response->{body}, 'page /s', 'a soft purge: stale while the origin fails';
}
is purge($t[0], '/s', 'DevCache-Purge-Wait' => $_)->{status}, 400, "a wait of '$_'" for 'x', '-1', '61', '';

# What is under way when the purge arrives does not come back.
my $x = $t[1]->send_req('/race');
my $fetch = $t[1]->origin->accept;
purge($t[0], '/race', 'DevCache-Purge-Wait' => 10);
$fetch->reply(200, \%lives, 'before');
is $x->response->{body}, 'before', 'a fetch that began before: its client has it';
ok !is_there($t[1], '/race'), 'and nobody else';

# --- Redis is away ------------------------------------------------------------------------------

$_->expect_log(qr/DC0234: tier: redis.*purges wait here/) for $t[0];
store($_, '/away') for @t;
$redis->freeze;
$got = purge($t[0], '/away');
is "$got->{status} " . ($got->{body} =~ s/"nodes": \d/"nodes": n/r), qq(202 {"purged": 1, "nodes": n, "pending": true}\n),
    'a server that does not answer';
still($t[1], '/away', 'meanwhile');
wait_until(sub { $t[0]->log_lines(qr/DC0234/) }) or fail('it is noticed');
my $began = Time::HiRes::time();
is purge($t[0], '/away2')->{status}, 202, 'a second one';
cmp_ok Time::HiRes::time() - $began, '<', 0.1, 'which nobody waits for';
$redis->thaw;
gone_soon($t[$_], '/away', 'when it answers again', 3) for 1, 2;

$redis->kill;
store($t[$_], '/killed') for 0 .. 2;
wait_until(sub { purge($t[1], '/killed')->{status} == 202 }) or fail('pending');
$_->expect_log(qr/DC0232: tier: .*everything that is stored is validated/) for @t;
store($_, '/doubt', 'Cache-Control' => 'max-age=1000, stale-if-error=9999999999, stale-while-revalidate=9999999999') for @t;
$redis->start;
gone_soon($t[$_], '/killed', 'after a restart without its data', 5) for 0, 2;
for my $t (@t) {
    ok wait_until(sub { $t->log_lines(qr/DC0232.*validated/) }), 'a gap is seen';
    my $asked = $t->send_req('/doubt');
    my $f = $t->origin->accept;
    is $f->header('If-None-Match'), '"e"', 'what was stored before it is validated';
    $f->reply(503, {}, 'down');
    is $asked->response->{status}, 503, 'and never served stale';
}
ok machines_are(3, @t), 'they know each other again';

# Everybody applies what comes after it.
store($_, '/after') for @t;
is purge($t[0], '/after', 'DevCache-Purge-Wait' => 10)->{body}, qq({"purged": 1, "nodes": 3, "applied": 3}\n), 'after that';

# FLUSHALL by somebody else.
store($_, '/flushed') for @t;
$redis->say('FLUSHALL');
gone_soon($_, '/flushed', 'FLUSHALL: everything is validated', 5) for @t;

# --- who leads dies --------------------------------------------------------------------------------

my $pid = leader($t[1]);
ok $pid, 'one process leads';
store($_, '/led') for @t;
kill KILL => $pid;
purge($t[0], '/led');
gone_soon($t[1], '/led', 'its leader killed', 3);
my $next = wait_until(sub { my $p = leader($t[1]); $p && $p != $pid && $p });
ok $next, 'another process leads';

# A reload, and a restart: what was purged meanwhile is applied.
$t[2]->graceful;
store($_, '/reload') for @t;
purge($t[0], '/reload');
gone_soon($t[2], '/reload', 'a reload', 5);
store($_, '/restart') for @t;
$t[2]->stop;
purge($t[0], '/restart');
$t[2]->start_again;
gone_soon($t[2], '/restart', 'a restart', 5);

# Entries that are no purges.
$_->expect_log(qr/DC0233: tier: .*are not ours/) for @t;
store($_, '/foreign') for @t;
$redis->say('XADD', 'devcache:purges', '*', 'd', 'nonsense');
$redis->say('XADD', 'devcache:purges', '*', 'x', 'y', 'z', 'a');
$redis->say('XADD', 'devcache:nodes', '*', 'd', '');
purge($t[0], '/foreign');
gone_soon($t[$_], '/foreign', 'after foreign entries') for 1, 2;

$_->finish for @t;
$redis->stop;
done_testing;
