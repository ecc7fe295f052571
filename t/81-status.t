# SPDX-License-Identifier: Apache-2.0
# The status page's forms: what they count, by whom, in which form, and that nothing in a
# URL or a name can break out of them.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use DevCache::Test;

my $conf = <<'CONF';
<Location "/">
    DevCache On
    DevCacheStaleIfError 600
    ProxyPass @ORIGIN@/ disablereuse=on
</Location>
Listen 127.0.0.1:@OTHER@
<VirtualHost 127.0.0.1:@OTHER@>
    ServerName "shop.example"
    <Location "/json">
        ProxyPass !
        SetHandler devcache-status
    </Location>
</VirtualHost>
CONF
my $t = DevCache::Test->start($conf, ports => ['OTHER', 'THIRD']);
my $other = $t->port('OTHER');

sub form {
    my ($query, @more) = @_;
    return $t->get("/$query", ':port' => $t->port('STATUS_PORT'), @more);
}

sub json { return decode_json(form('?json')->{body}) }

# One number of the Prometheus text, by name and labels; 0 if it is not there.
sub metric {
    my ($name, %label) = @_;
    my $sum = 0;
    line: for my $line (split /\n/, form('?prometheus')->{body}) {
        my ($this, $labels, $value) = $line =~ /^devcache_(\w+)(?:\{(.*)\})? (\S+)$/ or next;
        next if $this ne $name;
        for (keys %label) { next line if $labels !~ /(?:^|,)$_="\Q$label{$_}\E"(?:,|$)/ }
        $sum += $value;
    }
    return $sum;
}

# Send one, let the origin answer, return the response; the books are written when it has
# been sent, so wait for them.
my $requests = 0;
sub fetch {
    my ($path, $reply, @headers) = @_;
    my $request = $t->send_req($path, @headers);
    $t->origin->accept->reply(@$reply) if $reply;
    my $response = $request->response;
    $requests++;
    wait_until(sub { json()->{totals}{requests} == $requests })
        or die 'the books say ' . json()->{totals}{requests} . ", not $requests";
    return $response;
}

# --- before anything ------------------------------------------------------------------

my $empty = json();
is $empty->{totals}{requests}, 0, 'nothing is counted at first';
ok !exists $empty->{latency}{hit}{p50}, 'nothing has no median';
is scalar @{ $empty->{minutes} }, 60, 'an hour of minutes';
is_deeply $empty->{by_device}, [], 'no devices';
is_deeply $empty->{busiest}{urls}, [], 'no URLs';
is_deeply $empty->{errors}, [], 'no errors';
cmp_ok $empty->{threads}{max}, '>', 1, 'httpd has threads';
is $empty->{stores}[0]{root}, $t->root, 'the store is named';

# --- forms and methods ----------------------------------------------------------------

for my $case (['?prometheus=', 'text/plain; version=0.0.4; charset=utf-8'],
              ['?auto', 'text/plain; charset=utf-8'], ['?json', 'application/json'],
              ['?prometheus', 'text/plain; version=0.0.4; charset=utf-8'],
              ['', 'text/html; charset=utf-8'], ['?what', 'text/html; charset=utf-8']) {
    my ($query, $type) = @$case;
    my $page = form($query);
    is $page->{status}, 200, "$query: 200";
    is $page->header('Content-Type'), $type, "$query: $type";
    is $page->header('Cache-Control'), 'no-store', "$query: is not to be stored";
    my $head = form($query, ':method' => 'HEAD');
    is $head->{status}, 200, "$query: HEAD";
    is $head->header('Content-Type'), $type, "$query: the same type";
    is $head->{body}, '', "$query: without a body";
}
is form('?json', ':method' => 'POST')->{status}, 405, 'no POST';

# --- outcomes, devices, bytes, time ---------------------------------------------------

my %fresh = ('Cache-Control' => 'max-age=60');
fetch('/a', [200, {%fresh}, 'x' x 1000], 'User-Agent' => PHONE);
fetch('/a', undef, 'User-Agent' => PHONE);
fetch('/a', undef, 'User-Agent' => PHONE);
fetch('/a', [200, {%fresh}, 'x' x 100], 'User-Agent' => PC);
fetch('/n', [200, { 'Cache-Control' => 'no-store' }, 'y'], 'User-Agent' => PC);
fetch('/a', [200, {}, 'made'], 'User-Agent' => PC, ':method' => 'POST', ':body' => 'b');
fetch('/gone', [500, {}, 'down'], 'User-Agent' => PC);
fetch('/b', [200, {%fresh}, 'b'], 'User-Agent' => TABLET);

my $now = json();
my %by = map { $_->{device} => $_ } @{ $now->{by_device} };
is_deeply [sort keys %by], [qw(mobile pc tablet)], 'each device has a cell';
is_deeply $by{mobile}{success}, { miss => 1, hit => 2 }, 'a phone: a miss, two hits';
is_deeply $by{pc}{success}, { miss => 2, bypass => 1 }, 'a desktop: misses, a bypass';
is_deeply $by{pc}{failure}, { miss => 1 }, 'and a failure, apart';
is $by{mobile}{bytes_sent_from_cache}, 2000, 'bytes from the cache';
is $by{mobile}{bytes_sent_from_origin}, 1000, 'bytes from the origin';
is $by{mobile}{bytes_received_from_origin}, 1000, 'and received from it';
is_deeply { map { $_ => $now->{totals}{$_} } qw(requests hit miss bypass error) },
    { requests => 8, hit => 2, miss => 4, bypass => 1, error => 1 }, 'totals';
is $now->{latency}{origin}{count}, 5, 'the origin was asked six times';
is $now->{latency}{origin_error}{count}, 1, 'and failed once';
ok $now->{latency}{hit}{p50} > 0 && $now->{latency}{hit}{p99} < 60, 'hits take some time';
cmp_ok $now->{latency}{miss}{sum_seconds}, '>', 0, 'and so do misses';
is $now->{reasons}{'no-store'}, 1, 'why not stored';
is $now->{counters}{hits}, 2, 'counters as in ?auto';
my $minutes = 0;
$minutes += $_->{hit} + $_->{miss} + $_->{bypass} + $_->{error} for @{ $now->{minutes} };
is $minutes, 8, 'all are in the chart';

is metric('requests_total', device => 'mobile', status => 'hit', result => 'success'), 2,
    'Prometheus: hits of phones';
is metric('requests_total', status => 'miss', result => 'failure'), 1, 'failures';
is metric('answer_duration_seconds_count'), 8, 'durations of all';
is metric('answer_duration_seconds_bucket', device => 'mobile', status => 'hit',
          le => '+Inf'), 2, 'in buckets';
is metric('answer_duration_seconds_bucket', device => 'mobile', status => 'hit',
          le => '60.0'), 2, 'that add up';
is metric('origin_duration_seconds_count', result => 'failure'), 1, 'the origin, failed';
is metric('sent_bytes_total', device => 'mobile', source => 'cache'), 2000, 'bytes';
is metric('refusals_total', reason => 'no-store'), 1, 'reasons';
is metric('store_objects'), $t->counters->{store_objects}, 'stored objects';
is metric('store_size_bytes', root => $t->root), 1 << 30, 'and the bound of their bytes';
cmp_ok metric('threads_max'), '>', 1, 'threads';

# --- stale, revalidated, timeout ------------------------------------------------------

$t->clock_advance(61);
fetch('/c', [200, {%fresh, ETag => '"c"'}, 'c'], 'User-Agent' => TABLET);
$t->clock_advance(61);
fetch('/c', [304, {%fresh, ETag => '"c"'}], 'User-Agent' => TABLET);
$t->clock_advance(61);
fetch('/c', [503, {}, 'down'], 'User-Agent' => TABLET);
fetch('/none', undef, 'Cache-Control' => 'only-if-cached', 'User-Agent' => TABLET);
$now = json();
%by = map { $_->{device} => $_ } @{ $now->{by_device} };
is $by{tablet}{success}{revalidated}, 1, 'revalidated';
is $by{tablet}{success}{'stale-error'}, 1, 'stale, as the origin failed: the visitor is well';
is $by{tablet}{failure}{timeout}, 1, '504 made here';
is $now->{latency}{origin_error}{count}, 2, 'the origin failed twice';

# --- errors ---------------------------------------------------------------------------

is scalar @{ $now->{errors} }, 2, 'two kinds of trouble';
my ($latest, $first) = @{ $now->{errors} };
is $latest->{what}, '127.0.0.1: the origin failed with 503; visitors got the stored copy',
    'what went wrong last';
like $latest->{example}, qr{^http://127\.0\.0\.1:\d+/c$}, 'with what';
is $first->{what}, '127.0.0.1: the origin failed with 500', 'what went wrong before';
is $first->{times}, 1, 'once';

# --- virtual hosts --------------------------------------------------------------------

fetch('/v', [200, {%fresh}, 'v'], ':port' => $other, 'Host' => 'shop.example');
is metric('requests_total', vhost => "shop.example:$other"), 1, 'a virtual host of its own';
is $t->get('/json?json', ':port' => $other)->{status}, 200,
    'a status page where the cache is on is not cached';
is decode_json($t->get('/json?json', ':port' => $other)->{body})->{totals}{requests},
    $requests, 'nor counted';

# --- busiest, and hostile -------------------------------------------------------------

fetch('/busy', [200, {%fresh}, 'v'], 'User-Agent' => PC);
fetch('/busy', undef, 'User-Agent' => PC) for 1 .. 9;
my $hostile = '/%22%3E%3Cscript%3Ealert(1)%3C/script%3E%0A%FF%5C';
fetch("$hostile?b='&c", [200, {%fresh}, 'v'], 'User-Agent' => PC);
fetch("$hostile?b='&c", undef, 'User-Agent' => PC) for 1 .. 20;
$now = json();
my ($top, $second) = @{ $now->{busiest}{urls} };
is $top->{requests}, 21, 'the busiest URL';
is $top->{hits}, 20, 'its hits';
like $top->{url}, qr{^http://127\.0\.0\.1:\d+/%22><script>.*%0A%FF%5C\?b='&c$},
    'its text has nothing but printable ASCII';
like $second->{url}, qr{/busy$}, 'the next';
is $second->{requests}, 10, 'as often as it was asked for';
cmp_ok $now->{busiest}{seconds}, '>', 0, 'for so long';
fetch("$hostile/502", [502, {}, ''], 'User-Agent' => PC);
unlike form('')->{body}, qr/<script>alert|b='&c/, 'no markup of a URL on the page';

# --- a graceful restart ---------------------------------------------------------------

$t->graceful($conf . <<'CONF');
Listen 127.0.0.1:@THIRD@
<VirtualHost 127.0.0.1:@THIRD@>
    DevCacheDeviceRule kiosk Kiosk
    <Location "/">
        DevCache On
        ProxyPass @ORIGIN@/ disablereuse=on
    </Location>
</VirtualHost>
CONF
is json()->{totals}{requests}, $requests, 'a graceful restart keeps the books';
fetch('/busy', undef, 'User-Agent' => PC);
fetch('/third', [200, {%fresh}, 'v'], 'User-Agent' => 'Kiosk', ':port' => $t->port('THIRD'));
is metric('requests_total', device => 'kiosk'), 1, 'a new host and class have a cell';

# --- killed ---------------------------------------------------------------------------

$t->kill_child($t->pids);
fetch('/busy', undef, 'User-Agent' => PC);
is json()->{totals}{requests}, $requests, 'and so do killed children';
$t->allow_log(qr{exit signal Killed});

$t->finish;
done_testing;
