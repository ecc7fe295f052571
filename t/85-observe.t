# SPDX-License-Identifier: Apache-2.0
# DevCache Observe: what it foretells is what comes true, and until then nobody notices it.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use DevCache::Test;

# Two Locations with different rules; $mode is On or Observe, $extra goes into the first.
sub conf {
    my ($mode, $extra) = @_;
    return <<"CONF" . "ProxyPass / \@ORIGIN\@/ disablereuse=on\n";
<Location "/shop">
    DevCache $mode
    $extra
</Location>
<Location "/shop/static">
    DevCacheVaryDevice Off
</Location>
<Location "/news">
    DevCache $mode
    DevCacheStaleWhileRevalidate 20
    DevCacheBypass "%{HTTP_COOKIE} =~ /session/"
</Location>
CONF
}

# What the origin says about a path.
sub page {
    my $req = shift;
    my ($path) = $req->{target} =~ m{^([^?]*)};
    return (200, {}, 'made') if $req->{method} eq 'POST';
    return (200, { 'Cache-Control' => 'no-store' }, 'n') if $path =~ /never/;
    return (200, { 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'a=b' }, 's') if $path =~ /cookie/;
    return (404, { 'Cache-Control' => 'max-age=30' }, 'gone') if $path =~ /gone/;
    return (200, { 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language' }, 'l' x 300)
        if $path =~ /language/;
    my %fields = ('Cache-Control' => 'max-age=' . ($path =~ /short/ ? 5 : 60), ETag => '"e"');
    return ($req->header('If-None-Match') // '') eq '"e"' ? (304, \%fields) : (200, \%fields, 'x' x 1000);
}

# A load that is the same each time: no rand(), whose numbers differ between perls.
my $seed;
sub any { $seed = ($seed * 1103515245 + 12345) % 2**31; return int(($seed >> 8) % $_[0]) }

my @agents = (PC, PHONE, TABLET, 'Googlebot/2.1', PC . ' Firefox/115', PHONE . ' Extra');
my @queries = ('', '', '', '?id=1', '?id=2', '?id=1&page=2', '?page=2&id=1', '?utm_source=a',
    '?utm_source=b&id=1', '?id=1&fbclid=xyz', '?gclid=9');
my @paths = ((map { "/shop/p$_" } 1 .. 12), (map { "/shop/short$_" } 1 .. 3), '/shop/static/a.css',
    '/shop/static/b.js', '/shop/never', '/shop/cookie', '/shop/gone', '/news/a', '/news/language',
    '/news/short');

sub one_request {
    my $t = shift;
    my @headers = ('User-Agent' => $agents[any(scalar @agents)]);
    push @headers, 'Accept-Language' => ('de', 'en')[any(2)] if any(3) == 0;
    push @headers, Cookie => 'session=1' if any(15) == 0;
    push @headers, 'Cache-Control' => 'no-cache' if any(20) == 0;
    push @headers, 'If-None-Match' => '"e"' if any(10) == 0;
    push @headers, ':method' => 'HEAD' if any(25) == 0;
    my $path = $paths[any(scalar @paths)] . $queries[any(scalar @queries)];
    push @headers, ':method' => 'POST', ':body' => 'b' if any(60) == 0;
    return $t->get($path, @headers);
}

sub load {
    my ($t, $n) = @_;
    $seed = 42;
    $t->clock_stop;
    for my $i (1 .. $n) {
        one_request($t);
        next if $i % 20;
        $t->wait_counter(flights => 0);
        $t->clock_advance(3);
    }
}

sub report { return decode_json($_[0]->get('/?json', ':port' => $_[0]->port('STATUS_PORT'))->{body})->{observe} }

# Requests that the origin did not answer first, by the server's own counters.
sub hits { my $c = $_[0]->counters; return $c->{hits} + $c->{stale_hits} }

# Run the load, and return the server, stopped from being asked, with its counters.
sub run {
    my ($mode, $extra, $n) = @_;
    my $t = DevCache::Test->start(conf($mode, $extra));
    $t->origin_auto(\&page);
    load($t, $n);
    return $t;
}

my $n = 1000;
my $t = run('Observe', '', $n);
my $foretold = $t->counters;
my $report = report($t);
is $foretold->{observe_requests}, $n, 'every request is observed';
is $foretold->{requests}, 0, '... none is counted as served';
is $foretold->{store_objects}, 0, '... nothing is stored';
is $foretold->{stored}, 0, '... nor was';
my @places = @{ $report->{by_location} };
is scalar @places, 2, 'two Locations';
like $places[0]{location}, qr{^<Location "/shop"> \(.*httpd\.conf:\d+\)$}, 'named with file and line';
is $places[0]{requests} + $places[1]{requests}, $n, 'which have all requests';
my %by_device = map { $_->{device} => $_ } @{ $places[0]{by_device} };
ok $by_device{$_}{requests} > 100, "requests of $_" for qw(pc mobile tablet);
my $sum = 0;
$sum += $_->{hits} for map { @{ $_->{by_device} } } @places;
is $sum, $foretold->{observe_hits}, 'hits by device and Location add up';
cmp_ok $foretold->{observe_bytes_stored}, '>', 10_000, 'bytes that would be stored';
open my $manual, '<', "$FindBin::Bin/../docs/operation.md" or die $!;
my ($shown) = join('', <$manual>) =~ /^```\n(observe_.*?)^```/ms;
is join('', map { "$_\n" } grep { /^observe_/ } split /\r?\n/, $t->get('/?auto', ':port' => $t->port('STATUS_PORT'))->{body}),
    $shown, 'docs/operation.md shows these figures';
$t->finish;

# What was foretold of each configuration comes true, to the request.
my @worlds = (
    ['', 'hits'],
    ['DevCacheVaryDevice On', 'hits'],
    ['DevCacheVaryDevice Off', 'hits_vary_device_off'],
    ['DevCacheQuery sort', 'hits_query_sort'],
    ['DevCacheQuery ignore', 'hits_query_ignore'],
    ['DevCacheQuery deny utm_* fbclid gclid', 'hits_query_deny_tracking'],
);
my %came;
for (@worlds) {
    my ($extra, $name) = @$_;
    my $shop = $places[0]{$name};
    my $expected = $shop + $places[1]{hits};
    my $on = run('On', $extra, $n);
    $came{$name} = hits($on);
    is $came{$name}, $expected, ($extra || 'as configured') . ': as many hits as foretold';
    is $on->counters->{requests}, $n, '... of as many requests';
    my $stored = $on->counters->{not_stored};
    is $stored, $foretold->{observe_not_stored}, '... as many not stored as foretold' if !$extra;
    $on->finish;
}
cmp_ok $came{hits_vary_device_off}, '>', $came{hits} + 60, 'devices make a difference here';
cmp_ok $came{hits_query_deny_tracking}, '>', $came{hits} + 40, 'and so do queries';

# From the other side: what is configured here was one of the worlds there.
$t = run('Observe', 'DevCacheQuery ignore', $n);
my ($shop) = @{ report($t)->{by_location} };
for (['hits', 'hits_query_ignore'], ['hits_query_ignore', 'hits_query_ignore'], ['hits_query_keep', 'hits'],
     ['hits_query_sort', 'hits_query_sort']) {
    my ($here, $there) = @$_;
    is $shop->{$here}, $places[0]{$there}, "DevCacheQuery ignore: $here as foretold elsewhere";
}
$t->finish;

# --- cookies --------------------------------------------------------------------------

# A lifetime of ours, and visitors with analytics, with a theme, with a session.
sub cookie_load {
    my ($mode, $rule) = @_;
    my $s = DevCache::Test->start(<<"CONF");
<Location "/">
    DevCache $mode
    DevCacheVaryDevice Off
    DevCacheDefaultTTL 60
    $rule
</Location>
ProxyPass / \@ORIGIN\@/ disablereuse=on
CONF
    $s->origin_auto(sub {
        my $path = $_[0]{target};
        return (200, { $path =~ m{/own} ? ('Cache-Control' => 'max-age=60', Vary => 'Cookie') : () }, "page $path");
    });
    $s->clock_stop;
    $seed = 7;
    for (1 .. 300) {
        my @cookies = ((any(2) ? '_ga=' . any(9) : ()), (any(3) ? () : 'theme=' . any(2)), (any(8) ? () : 'session=' . any(4)));
        $s->get(('/a', '/b', '/own/c', '/own/d')[any(4)] . '?' . any(3), @cookies ? (Cookie => join '; ', @cookies) : ());
    }
    return $s;
}
my $kept = cookie_load('Observe', 'DevCacheCookies deny @analytics theme');
my ($told) = @{ report($kept)->{by_location} };
is scalar(grep { /"session"/ } $kept->log_lines(qr/DC0119/)), 1, 'the cookie that costs hits is named';
$kept->finish;
for (['DevCacheCookies deny @analytics theme', 'hits'], ['DevCacheCookies keep', 'hits_cookies_keep'],
     ['', 'hits_cookies_deny_analytics'], ['DevCacheCookies deny *', 'hits_cookies_deny_all']) {
    my ($rule, $name) = @$_;
    my $s = cookie_load('On', $rule);
    is $told->{$name}, hits($s), ($rule || 'the default for cookies') . ': as many hits as foretold';
    $s->finish;
}
cmp_ok $told->{hits_cookies_deny_all}, '>', $told->{hits} + 10, 'cookies make a difference';
cmp_ok $told->{hits}, '>', $told->{hits_cookies_keep} + 10, '... at either end';

# --- nobody notices -------------------------------------------------------------------

my @seen;
sub exchange {
    my ($mode, @more) = @_;
    my $s = DevCache::Test->start(<<"CONF");
<Location "/">
    DevCache $mode
    DevCacheStatusHeader On
</Location>
ProxyPass / \@ORIGIN\@/ disablereuse=on
CONF
    my @got;
    for my $headers ([], ['If-None-Match' => '"e"', 'If-Modified-Since' => 'Mon, 01 Jan 2024 00:00:00 GMT'],
                     [Range => 'bytes=0-1'], [':method' => 'HEAD', Range => 'bytes=0-1'], ['If-Match' => '"e"']) {
        my $x = $s->send_req('/a?utm_source=x', 'User-Agent' => PHONE, @$headers);
        my $fetch = $s->origin->accept;
        my $in = join "\n", map { my $v = $fetch->header($_) // '-'; "$_: $v" }
            qw(If-None-Match If-Modified-Since Range If-Match X-Device-Type Accept-Encoding);
        $fetch->reply(200, { 'Cache-Control' => 'max-age=60', ETag => '"e"', Vary => 'X-Device-Type' }, 'body');
        my $res = $x->response;
        push @got, join "\n", $in, $res->{status}, $res->{body},
            map { "$_: " . ($res->header($_) // '-') } qw(Vary Age ETag Cache-Control Cache-Status Accept-CH Content-Length);
    }
    return ($s, join "\n\n", @got);
}
my ($off, $without) = exchange('Off');
$off->expect_log(qr/DC0180: .*nothing is cached/);
$off->finish;
my ($observed, $with) = exchange('Observe');
is $with, $without, 'what the origin and the client get is what they get with DevCache Off';

# --- children, reloads, signals -------------------------------------------------------

is $observed->counters->{observe_requests}, 5, 'five requests';
ok scalar $observed->log_lines(qr/DC0181: observe: .*\[mobile\]: would be hit/), 'the log says what would be';
my $page = $observed->get('/', ':port' => $observed->port('STATUS_PORT'))->{body};
like $page, qr{&lt;Location &quot;/&quot;&gt; \([^<]*\)</td><td>5</td><td>all</td><td>\d+\.\d %</td>}, 'the page has a table';
$observed->graceful;
is $observed->counters->{observe_requests}, 5, 'a reload keeps the counts';
my $after = $observed->send_req('/a?utm_source=x', 'User-Agent' => PHONE);
$observed->origin->accept->reply(200, {}, 'new');
is $after->response->{body}, 'new', 'the answer is the origin\'s';
$observed->kill_child($observed->pids);
$observed->allow_log(qr/exit signal Killed/);
$after = $observed->send_req('/b', 'User-Agent' => PHONE);
$observed->origin->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'b');
$after->response;
$after = $observed->send_req('/b', 'User-Agent' => PHONE);
$observed->origin->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'b');
$after->response;
is $observed->counters->{observe_requests}, 8, 'and so do killed children';
$observed->finish;

my $said = DevCache::Test->start_error(qq{<Location "/">\nDevCache Observe\n</Location>}, root => 0);
like $said, qr/DC0006: conf: DevCache Observe \([^)]*:\d+\) needs a place to store in/, 'it needs a root, as On does';
done_testing;
