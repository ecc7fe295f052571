# SPDX-License-Identifier: Apache-2.0
# t/95-machines-attack.t. What can go wrong between machines and their servers, one after
# the other: each time a purge is lost to nobody, and nothing purged is served.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes ();
use DevCache::Ctl;
use DevCache::File qw(slurp);
use DevCache::Machines;
use DevCache::Redis;
use DevCache::Test;

# --- the configuration -----------------------------------------------------------------------

my $secret = secret_file("pass word\n", 0644);
my $short = secret_file("short\n");
for my $case (
    ['DevCacheTier http://127.0.0.1/', qr/'http:\/\/127.0.0.1\/' does not begin with redis:/],
    ['DevCacheTier rediss:/127.0.0.1/', qr/does not begin with redis:\/\/, rediss:/],
    ['DevCacheTier redis://', qr/has no host/],
    ['DevCacheTier redis://h:0', qr/no port from 1/],
    ['DevCacheTier redis://h:70000', qr/no port from 1/],
    ['DevCacheTier redis://h/x', qr/no number of a database/],
    ['DevCacheTier redis://[::1', qr/no \]/],
    ['DevCacheTier redis://a:geheim@h', qr/'the URL' has a password in it/],
    ['DevCacheTier redis://h redis://h', qr/named twice/],
    ['DevCacheTier ' . join(' ', map { "redis://h$_" } 1 .. 9), qr/one to eight servers/],
    ["DevCacheTier redis://h\nDevCacheTierUse all", qr/'all' is not purge, objects or locks/],
    ["DevCacheTier redis://h\nDevCacheTierName a:b", qr/'a:b' is not 1 to 64 letters/],
    ["DevCacheTier redis://h\nDevCacheTierTimeout 0", qr/'0' is not a number of milliseconds/],
    ["DevCacheTier redis://h\nDevCacheTierTimeout 50 20s", qr/'20s' is not a number/],
    ["DevCacheTier redis://h\nDevCacheTierSecret $secret", qr/can be read by others \(mode 644\): chmod 600/],
    ["DevCacheTier redis://h\nDevCacheTierSecret /nowhere", qr/\/nowhere cannot be read: No such file/],
    ["DevCacheTier redis://h\nDevCacheTierKey $short", qr/shorter than 16 bytes/],
    ['DevCacheTierName shop', qr/DevCacheTierName .* does nothing without DevCacheTier/],
    ['DevCacheTierInvalidate On', qr/DevCacheTierInvalidate .* does nothing without DevCacheTier/],
) {
    my ($lines, $sentence) = @$case;
    my $said = DevCache::Test->start_error("$lines\n") // 'it started';
    like $said, $sentence, $lines =~ s/\n/; /gr;
    unlike $said, qr/geheim/, 'no secret is repeated' if $lines =~ /geheim/;
}
like +DevCache::Test->start_error("DevCacheTier redis://h\n", root => 0) // '', qr/DevCacheTier needs a place/, 'without a root';
like +DevCache::Test->start_error(<<'CONF', root => 0) // '', qr/DevCacheTierName devcache is used by DevCacheRoot/, 'two roots of one name';
DevCacheTier redis://h
DevCacheRoot "@ROOT@"
<VirtualHost 127.0.0.1:@PORT@>
    DevCacheRoot "@DIR@/htdocs"
</VirtualHost>
CONF
like +DevCache::Test->start_error(<<'CONF', root => 0) // '', qr/two servers with different DevCacheTier/, 'one root, with and without';
DevCacheRoot "@ROOT@"
<VirtualHost 127.0.0.1:@PORT@>
    DevCacheTier redis://h
</VirtualHost>
CONF
my ($status, $said) = DevCache::Test->configtest("DevCacheTier redis://h\n");
is $status, 0, "a server that cannot be reached is no error of the configuration" or diag $said;

# --- a network that is bad for one of them --------------------------------------------------------

my $redis = DevCache::Redis->new;
my $hurdle = DevCache::Redis::Hurdle->new($redis->port);
my $a = machine('DevCacheTier ' . $redis->url);
my $b = machine('DevCacheTier ' . $hurdle->url);
all_applied($a, 2, 'at first');
# One that comes later has nothing of what was purged before, and says so by itself.
purge($a, '/before');
my $late = machine('DevCacheTier ' . $redis->url);
ok wait_until(sub {
    my @there = grep { $_->{alive} } @{ shown($a)->{machines} };
    @there == 3 && !grep { !$_->{has_all_of_ours} } @there;
}), 'a new machine has all of ours';
$late->finish;
my $n = 0;
for my $mode ('drop', 'reset 0', 'reset 1', 'reset 40', 'reset 300', 'reset 1500', 'truncate 0', 'truncate 7',
              'truncate 100', 'truncate 700', 'truncate 2500', 'garbage', 'delay 100', 'delay 5') {
    my $path = '/hurdle/' . ++$n;
    store($b, $path);
    $hurdle->mode($mode);
    is purge($a, $path)->{status}, 200, "$mode: the other machine is not bothered";
    is $b->get('/none', 'Cache-Control' => 'only-if-cached')->{status}, 504, "$mode: it serves";
    purge($b, "$path/b");
    $hurdle->mode('pass');
    gone_soon($b, $path, $mode, 3);
    ok wait_until(sub { purge($b, '/none', 'DevCache-Purge-Wait' => 5)->{status} == 200 }), "$mode: all have what it sends";
}

# A partition, while the clock moves and purges are missed.
for my $jump (3600, -7200, 0) {
    store($_, "/cut$jump") for $a, $b;
    $hurdle->mode('drop');
    purge($a, "/cut$jump");
    $b->clock_advance($jump) if $jump;
    ok is_there($b, "/cut$jump") || $jump, 'cut off';
    $hurdle->mode('pass');
    gone_soon($b, "/cut$jump", "cut off, clock by $jump", 3);
}
# And they are forgotten meanwhile.
store($b, '/trimmed', 'Cache-Control' => 'max-age=100000, stale-if-error=100000');
store($b, '/bystander', 'Cache-Control' => 'max-age=100000, stale-if-error=100000');
$hurdle->mode('drop');
wait_until(sub { $b->status_page('?json')->{body} =~ /"reachable":\s*0/ }) or fail 'it is noticed';
purge($a, '/trimmed');
purge($a, "/more$_") for 1 .. 3;
$redis->say('XTRIM', 'devcache:purges', 'MAXLEN', 1);
$b->clock_advance(-1800);
$hurdle->mode('pass');
gone_soon($b, '/trimmed', 'forgotten by the server', 3);
my $x = $b->send_req('/bystander');
my $f = $b->origin->accept;
is $f->header('If-None-Match'), '"e"', 'all else is validated';
$f->reply(304, {%lives});
is $x->response->{body}, 'page /bystander', 'and then used again';
ok is_there($b, '/bystander'), 'without another question';

# What an entry of another size or kind does.
$redis->say('XADD', 'devcache:purges', '*', 'd', 'x' x 9_000_000);
store($b, '/large');
purge($a, '/large');
gone_soon($_, '/large', 'behind an entry of 9 MB') for $a, $b;
all_applied($a, 2, 'after that');

# --- the server takes nothing ------------------------------------------------------------------------

$redis->say('CONFIG', 'SET', 'maxmemory', 1);
store($b, '/full');
ok wait_until(sub { purge($a, '/full')->{status} == 202 }), 'no memory there: pending';
like $a->status_page('?json')->{body}, qr/takes no entries: OOM/, 'the status page says why';
ok is_there($b, '/full'), 'the other does not know yet';
$redis->say('CONFIG', 'SET', 'maxmemory', 0);
gone_soon($b, '/full', 'memory again', 3);
all_applied($a, 2, 'memory again');

$redis->say('DEL', 'devcache:purges');
$redis->say('SET', 'devcache:purges', 'somebody else');
store($b, '/foreign');
ok wait_until(sub { purge($a, '/foreign')->{status} == 202 }), 'another kind of key under our name: pending';
$redis->say('DEL', 'devcache:purges');
gone_soon($b, '/foreign', 'out of the way', 3);

# --- who sends dies --------------------------------------------------------------------------------

$redis->kill;
store($_, '/left') for $a, $b;
ok wait_until(sub { purge($a, '/left')->{status} == 202 }), 'nobody takes it';
CORE::kill KILL => $_ for $a->pids;
$a->stop;
$redis->start;
ok is_there($b, '/left') || 1, 'it is in the outbox alone';
$a->start_again;
all_applied($a, 2, 'all of its processes killed');
gone_soon($b, '/left', 'the outbox has survived');
for my $point ('kill-in-append', 'kill-in-outbox', 'kill-in-apply', 'kill-in-doubt') {
    my $c = machine('DevCacheTier ' . $redis->url);
    wait_until(sub { purge($c, '/none')->{status} == 200 }) or fail 'it sends';
    store($c, '/point');
    store($c, '/doubted');
    $c->stop;
    $c->{httpd}{env}{DEVCACHE_FAULT} = "$point:1";
    if ($point eq 'kill-in-doubt') { $redis->kill; $redis->start }
    my %seen;
    $c->start_again;
    $seen{$_} = 1 for $c->pids;
    purge($a, '/point');
    eval { purge($c, '/own') };
    # httpd says nothing of a child that was killed: there are more than it starts with.
    ok wait_until(sub { $seen{$_} = 1 for $c->pids; keys %seen > 2 }), "$point: it is killed";
    $c->stop;
    delete $c->{httpd}{env}{DEVCACHE_FAULT};
    $c->start_again;
    gone_soon($c, '/point', $point);
    gone_soon($c, '/doubted', "$point: the doubt is carried out") if $point eq 'kill-in-doubt';
    $c->finish;
}
ok wait_until(sub { purge($a, '/none')->{body} =~ /"nodes": 2/ }, 20), 'who is away is missed after ten seconds';

# --- two servers ------------------------------------------------------------------------------------

my $second = DevCache::Redis->new;
$_->graceful(machine_conf('DevCacheTier ' . $redis->url . ' ' . $second->url)) for $a, $b;
all_applied($a, 2, 'two servers');
ok wait_until(sub { $second->say('XLEN', 'devcache:nodes') >= 2 }), 'both are in use';
store($_, '/two') for $a, $b;
$redis->kill;
my $began = Time::HiRes::time();
is purge($a, '/two', 'DevCache-Purge-Wait' => 5)->{body}, qq({"purged": 1, "nodes": 2, "applied": 2}\n), 'one of two dies';
store($_, '/kept') for $a, $b;
$redis->start;
all_applied($b, 2, 'it is back, with nothing');
ok wait_until(sub { $b->status_page('?json')->{body} !~ /"reachable":\s*0/ }), 'and in use';
ok is_there($_, '/kept'), 'nothing had to be validated' for $a, $b;
store($_, '/two') for $a, $b;
$second->kill;
is purge($b, '/two', 'DevCache-Purge-Wait' => 5)->{body}, qq({"purged": 1, "nodes": 2, "applied": 2}\n), 'the other one dies';

# --- what is shown -------------------------------------------------------------------------------------

my $page = $a->status_page('')->{body};
like $page, qr/<h2>Machines<\/h2>.*2 are there/s, 'the page';
like $a->status_page('?prometheus')->{body}, qr/^devcache_tier_server_reachable\{name="devcache",server="\Q@{[$second->url]}\E"\} 0$/m,
    'Prometheus';
my $url = 'http://127.0.0.1:' . $a->port('STATUS_PORT') . '/';
my $nodes = ctl('nodes', '--url', $url);
is $nodes->{exit}, 1, 'devcachectl nodes: a server is away';
like $nodes->{out}, qr/^127\.0\.0\.1:\d+\s+there\s+this one\s+\d+\s*$/m, 'this machine';
like $nodes->{out}, qr/^127\.0\.0\.1:\d+\s+there\s+\d+ ?s?\s+0  has applied all of ours$/m, 'the other';
like $nodes->{out}, qr/^redis:\S+\s+works/m, 'a server that works';
like $nodes->{out}, qr/^redis:\S+\s+away.*(?:cannot connect|connection broke)/m, 'and one that is away';
$second->start;
ok wait_until(sub { ctl('nodes', '--url', $url)->{exit} == 0 }), 'both are there again';
store($_, '/ctl') for $a, $b;
$nodes = ctl('purge', '--wait', 5, 'http://127.0.0.1:' . $a->port . '/ctl');
is $nodes->{out}, "1 removed\ncarried out by 2 of 2 machines\n", 'devcachectl purge --wait';
is $nodes->{exit}, 0, 'and its exit code';

$b->finish;
$_->stop for $redis, $second;
$hurdle->stop;

# --- passwords and signatures -------------------------------------------------------------------------------

chmod 0600, "$secret";
my $key = secret_file("0123456789abcdef0123456789abcdef\n");
my $other = secret_file("0123456789abcdef0123456789abcdeX\n");
$redis = DevCache::Redis->new([requirepass => 'pass word']);
# The rules that docs/machines.md gives.
my ($rules) = slurp("$FindBin::Bin/../docs/machines.md") =~ /^ACL SETUSER (.*)$/m;
is $redis->say('ACL', 'SETUSER', map { s/^>.*/>pass word/r } split ' ', $rules), 'OK', 'the rules of the manual';
my $with = "DevCacheTierSecret $secret\nDevCacheTierKey $key\nDevCacheTierName shop\nDevCacheTierInvalidate On";
my @t = map { machine('DevCacheTier ' . ($redis->url =~ s/127/devcache\@127/r) . "\n$with") } 1, 2;
all_applied($t[0], 2, 'with a password, rules and a key');
store($_, '/p') for @t;
is purge($t[0], '/p', 'DevCache-Purge-Wait' => 5)->{status}, 200, 'a purge';
ok !is_there($t[1], '/p'), 'that arrives';
store($_, '/post') for @t;
my $post = $t[0]->send_req('/post', ':method' => 'POST', ':body' => 'x');
$t[0]->origin->accept->reply(200, {}, 'done');
$post->response;
gone_soon($t[1], '/post', 'DevCacheTierInvalidate');

my $stranger = machine('DevCacheTier ' . $redis->url . "\n" . $with =~ s/\Q$key\E/$other/r);
store($_, '/signed') for @t;
purge($stranger, '/signed');
ok wait_until(sub { $t[0]->log_lines(qr/DC0233.*another DevCacheTierKey/) }), 'another key: said';
purge($t[0], '/none', 'DevCache-Purge-Wait' => 5);
ok is_there($_, '/signed'), 'another key: nothing purged' for @t;
cmp_ok shown($_)->{servers}[0]{refused}, '>', 0, 'another key: counted' for @t;
# And who has none, as much as he likes.
my @refused = map { shown($_)->{servers}[0]{refused} } @t;
$redis->flood(3000, sub { DevCache::Redis::order_url('/signed') }, 'shop');
purge_waits($t[0], '/none');
ok wait_until(sub { !grep { shown($t[$_])->{servers}[0]{refused} < $refused[$_] + 3000 } 0, 1 }), 'no key: each is counted';
ok is_there($_, '/signed'), 'no key: nothing purged' for @t;
is scalar(() = $_->log_lines(qr/DC0233/)), 1, 'said once' for @t;
# What was signed once, again: after a purge of the same page it is there once more.
purge_waits($t[0], '/signed');
my ($latest) = map { $_->[1][1] } @{ $redis->say('XREVRANGE', 'shop:purges', '+', '-', 'COUNT', 1) };
store($_, '/signed') for @t;
$redis->say('XADD', 'shop:purges', '*', 'd', $_) for $latest, $latest;
purge_waits($t[0], '/none');
ok is_there($_, '/signed'), 'repeated: nothing purged' for @t;
# He can still make the server useless: then purges wait, and one line says so.
$redis->say('XADD', 'shop:purges', '18446744073709551615-18446744073709551615', 'd', 'x');
store($_, '/last') for @t;
ok wait_until(sub { purge($t[0], '/last')->{status} == 202 }), 'no more ids: purges wait';
like shown($t[0])->{servers}[0]{trouble}, qr/takes no entries: .*ID/, 'and it is said why';
ok is_there($t[1], '/last'), 'the other serves on';
$redis->say('DEL', 'shop:purges');
gone_soon($t[1], '/last', 'when somebody has deleted the stream');
all_applied($_, 2, 'after that') for @t;
$stranger->finish;
$_->finish for @t;

# --- servers that are of no use --------------------------------------------------------------------

# One that says what it is told to whatever it is asked, from a process of its own.
sub liar {
    my ($info, %answers) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64) or die "liar: $@\n";
    pipe my $end, my $alive or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    return ($listen->sockport, $pid, $alive) if $pid;
    close $alive;
    $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        # It ends with the test, however that ends.
        POSIX::_exit(0) if grep { $_ == $end } IO::Select->new($listen, $end)->can_read;
        my $client = $listen->accept or next;
        next if fork;
        $client->autoflush(1);
        while (my ($n) = (<$client> // '') =~ /^\*(\d+)/) {
            my @words = map { my ($len) = (<$client> // '') =~ /^\$(\d+)/; read $client, my $word, $len + 2; substr $word, 0, $len } 1 .. $n;
            print {$client} $words[0] eq 'INFO' ? '$' . length($info) . "\r\n$info\r\n" : $answers{ $words[0] } // "+OK\r\n";
        }
        POSIX::_exit(0);
    }
}
my $id = '0' x 40;
my ($bus, $bus_lock) = DevCache::Httpd::free_port();
my $cluster = DevCache::Redis->new(['cluster-enabled', 'yes'], ['cluster-port', $bus]);
my $replica = DevCache::Redis->new;
$replica->say('REPLICAOF', '127.0.0.1', $cluster->port);
my @liars = map { [liar(@$_)] } ["redis_version:6.2.14\r\nrun_id:$id\r\n"], ["redis_version:7.0.0\r\n"], ['nothing'],
    ["redis_version:7.0.0\r\nrun_id:$id\r\n"],
    ["redis_version:7.0.0\r\nrun_id:$id\r\n", XADD => "*-1\r\n", XREAD => "*1000000000\r\n", XINFO => ":1\r\n", TIME => "*0\r\n"],
    ["redis_version:7.0.0\r\nrun_id:$id\r\n", XADD => "\$-1\r\n", TIME => "*2\r\n\$1\r\n1\r\n\$1\r\n1\r\n", XINFO => "*2\r\n\$6\r\nlength\r\n\$1\r\n1\r\n"];
for my $case (
    ['a wrong password', $redis->url . "\nDevCacheTierSecret $key", qr/refuses the user or the password/],
    ['no password', $redis->url, qr/does not say what it is \(INFO server\): NOAUTH/],
    ['a database that it has not', $replica->url . '/99', qr/refuses the database: ERR DB index/],
    ['a web server', 'redis://127.0.0.1:' . $a->port, qr/does not speak the protocol of Redis|connection broke/],
    ['nobody there', 'redis://127.0.0.1:1', qr/cannot connect/],
    ['a name that is none', 'redis://nowhere.invalid', qr/name cannot be resolved/],
    ['a path that is none', 'unix:/nowhere/redis.sock', qr/cannot connect: No such file/],
    ['a cluster', $cluster->url, qr/CLUSTERDOWN|CROSSSLOT/],
    ['a replica', $replica->url, qr/takes no entries: READONLY/],
    ['another version', "redis://127.0.0.1:$liars[0][0]", qr/older than Redis 7\.0/],
    ['one without a run_id', "redis://127.0.0.1:$liars[1][0]", qr/does not say its run_id/],
    ['one that is nothing', "redis://127.0.0.1:$liars[2][0]", qr/older than Redis 7\.0/],
    ['one that says OK to everything', "redis://127.0.0.1:$liars[3][0]", qr/takes no entries: no id|odd answer|did not answer|broke/],
    ['one that says nonsense', "redis://127.0.0.1:$liars[4][0]", qr/takes no entries: no id|protocol|odd answer|did not answer|broke/],
    ['one that says half of it', "redis://127.0.0.1:$liars[5][0]", qr/takes no entries: no id|odd answer/],
) {
    my ($name, $tier, $trouble) = @$case;
    my $t = machine("DevCacheTier $tier");
    $t->expect_log(qr/DC0234: tier: (?:redis|unix)/);
    $t->allow_log(qr/DC0180: .*without DevCacheTierKey/);
    is purge($t, '/x')->{status}, 202, "$name: a purge waits";
    is store($t, '/y')->{status}, 200, "$name: it serves";
    ok wait_until(sub { $t->log_lines(qr/DC0234/) }), "$name: it says so";
    my ($line) = $t->log_lines(qr/DC0234/);
    like $line, $trouble, "$name: and why";
    # Many attempts later.
    my $failures = shown($t)->{servers}[0]{failures};
    ok wait_until(sub { shown($t)->{servers}[0]{failures} >= $failures + 6 }), "$name: it goes on trying";
    cmp_ok scalar(() = $t->log_lines(qr/DC023/)), '<=', 2, "$name: without a word more";
    store($t, '/z');
    is $t->get('/z')->{body}, 'page /z', "$name: and serves on";
    $t->finish;
}
CORE::kill KILL => map { $_->[1] } @liars;
waitpid $_->[1], 0 for @liars;
$_->stop for $cluster, $replica, $redis;
$a->allow_log(qr/AH\d+|invalid/), $a->finish;

# --- clocks --------------------------------------------------------------------------------------

$redis = DevCache::Redis->new;
my @late = map { machine('DevCacheTier ' . $redis->url) } 1, 2;
all_applied($late[0], 2, 'two clocks');
for my $hours (1, -2, 25, -24) {
    $late[1]->clock_advance(3600 * $hours);
    for my $way ([@late], [reverse @late]) {
        store($_, '/clock') for @late;
        like purge_waits($way->[0], '/clock')->{body}, qr/"nodes": 2, "applied": 2\}/, "a clock by $hours hours: all have applied it";
        ok !is_there($_, '/clock'), "a clock by $hours hours: gone" for @late;
        my $fetch = do { my $x = $way->[1]->send_req('/clock'); [$x, $way->[1]->origin->accept] };
        purge_waits($way->[0], '/clock');
        $fetch->[1]->reply(200, \%lives, 'before');
        is $fetch->[0]->response->{body}, 'before', 'a fetch that began before it';
        ok !is_there($way->[1], '/clock'), "a clock by $hours hours: is not stored";
    }
}
is scalar(() = $_->log_lines(qr/DC0232.*missing/)), 0, 'and no gap' for @late;
$_->finish for @late;
$redis->stop;
done_testing;

