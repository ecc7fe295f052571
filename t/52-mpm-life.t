# SPDX-License-Identifier: Apache-2.0
# t/52-mpm-life.t. Processes come and go while pages are fetched, followed and refreshed: children
# that leave after a few connections, children that are spare, reloads one after another, a
# graceful stop; several virtual hosts with a root of their own and with the same one.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use Test::More;

my $mpm = $ENV{DEVCACHE_MPM} // 'event';
my @hosts = qw(one.test two.test three.test);
my $spare = $mpm eq 'prefork'
    ? "StartServers 8\nMinSpareServers 2\nMaxSpareServers 3\nServerLimit 64\nMaxRequestWorkers 64\n"
    : "StartServers 4\nServerLimit 16\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 16\n"
        . "MaxRequestWorkers 128\n";
my $above = File::Temp::tempdir(CLEANUP => 1);
chmod 0755, $above;
mkdir "$above/other" or die;
DevCache::Httpd->give_to_children("$above/other", 0700);
my $vhosts = join '', map {
    my $root = $_ eq 'three.test' ? "$above/other" : '@ROOT@';
    <<"CONF" } @hosts;
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName $_
    DevCacheRoot "$root"
    ProxyPass / \@ORIGIN\@/
    ProxyPreserveHost On
</VirtualHost>
CONF
my $conf = <<"CONF";
$spare
MaxConnectionsPerChild 40
LogLevel notice devcache:info
DevCacheRoot "\@ROOT\@"
<Location "/">
    DevCache On
</Location>
$vhosts
CONF

# A page of each host and class; /slow... takes a while, odd numbers come chunked.
my %class = (pc => PC, mobile => PHONE);
my %agent = reverse %class;
sub page { my ($host, $class, $path) = @_; return body_of("$host $class $path", $path =~ m{(\d+)$}) }
sub answer {
    my $request = shift;
    my $path = $request->{target};
    my %fields = ('Cache-Control' => 'max-age=2, stale-while-revalidate=1000', ETag => '"1"');
    return (304, \%fields) if ($request->header('If-None-Match') // '') eq '"1"';
    $fields{'Transfer-Encoding'} = 'chunked' if $path =~ /[13579]$/;
    my $page = page($request->header('Host'), $request->header('X-Device-Type'), $path);
    return (200, \%fields, $fields{'Transfer-Encoding'} ? [$page =~ /.{1,9000}/gs] : $page,
            $path =~ /slow/ ? (delay => 0.05) : ());
}
my @paths = ((map { "/p/" . (100 + 613 * $_) } 0 .. 11), (map { "/slow/" . (30011 * $_) } 1 .. 4));
my $serial = 0;
sub next_request {
    my $path = rand() < 0.2 ? "/slow/$$-" . $serial++ . '/' . int(100 + rand 40000)
        : $paths[rand @paths];
    return ($path, 'User-Agent' => (values %class)[rand 2], Host => $hosts[rand @hosts],
            Connection => rand() < 0.5 ? 'close' : 'keep-alive');
}
sub wrong {
    my ($request, $response) = @_;
    my ($path, undef, $agent, undef, $host) = @$request;
    return unless defined $response->{status};
    return "status $response->{status}" if $response->{status} != 200;
    my $page = page($host, $agent{$agent}, $path);
    return 'another body' if $response->{body} ne substr $page, 0, length $response->{body};
    return 'a short one' if $response->{complete} && length $response->{body} != length $page;
    return;
}
my $t = DevCache::Test->start($conf);
sub load { return DevCache::Load->start($t->port, next => \&next_request, check => \&wrong, @_) }

my $auto = $t->origin_auto(\&answer);

sub is_whole {
    my ($name, $load) = @_;
    my $sum = $load->stop;
    is_deeply $sum->{wrong}, [], "$name: each answer is the right one";
    is $sum->{broken}, 0, 'none is lost';
    ok wait_until(sub { $t->counters->{flights} == 0 }), 'no fetch is left under way';
    my @stuck = grep {
        my $path = $_;
        grep {
            wrong([$path, 'User-Agent' => PC, Host => $_],
                  $t->get($path, 'User-Agent' => PC, Host => $_))
        } @hosts
    } @paths;
    is "@stuck", '', 'every page is answered at once';
}

# --- children that leave ----------------------------------------------------------------------

my %seen;
my $load = load(connections => 12);
for (1 .. 8) {
    $load->wait_answers(150);
    $seen{$_} = 1 for $t->pids;
    $t->clock_advance(3);
}
is_whole('children leave after 40 connections', $load);
cmp_ok scalar keys %seen, '>', scalar(() = $t->pids) + 2, 'many have';
cmp_ok $t->counters->{refreshes}, '>', 5, 'pages were refreshed meanwhile';
is $t->counters->{refreshes_failed}, 0, 'each with success';
is $t->counters->{collapse_torn}, 0, 'nobody was cut off';

# --- reloads ----------------------------------------------------------------------------------

$load = load(connections => 12);
for (1 .. 6) {
    $load->wait_answers(80);
    $t->clock_advance(3);
    $t->graceful;
}
is_whole('reloads one after another', $load);
is $t->counters->{collapse_torn}, 0, 'nobody was cut off';

# --- the same path in each host ---------------------------------------------------------------

for my $host (@hosts) {
    my $res = $t->get('/p/100', 'User-Agent' => PC, Host => $host);
    ok $res->{body} eq page($host, 'pc', '/p/100'), "$host has its own page";
}

# --- an origin that the test plays: who owns, who follows --------------------------------------

$t->wait_counter(flights => 0);    # refreshes that those pages have begun
$auto->stop;
$t->finish;

$t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStaleWhileRevalidate 1000
</Location>
ProxyPass / @ORIGIN@/
GracefulShutdownTimeout 60
CONF
my $body = body_of('held', 400_000);
my $first = $t->send_req('/stale');
$t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=10' }, 'old');
is $first->response->{body}, 'old', 'stored';
$t->clock_advance(11);

my $owner = $t->send_req('/held');
my $fetch = $t->origin->accept;
my @followers = map { $t->send_req('/held') } 1 .. 4;
$t->wait_counter(flight_followers => 4);
$fetch->head(200, { 'Cache-Control' => 'max-age=600', 'Content-Length' => length $body });
$fetch->send(substr $body, 0, 150_000);
ok $_->body_of(1000), 'all of them have begun' for $owner, @followers;
my $refresh;
if ($mpm ne 'prefork') {    # there the refresh takes the child of its visitor
    is $t->get('/stale')->{body}, 'old', 'and a refresh';
    $refresh = $t->origin->accept;
}
kill WINCH => $t->{httpd}{pid};
$t->wait_log(qr/caught SIGWINCH/);
$fetch->send(substr $body, 150_000);
$fetch->end;
ok $_->response->{body} eq $body, 'a graceful stop: each gets all of it' for $owner, @followers;
$refresh->reply(200, { 'Cache-Control' => 'max-age=600' }, 'new') if $refresh;
$_->client->close for $first, $owner, @followers;   # as they would be waited for
ok wait_until(sub { $t->{httpd}->_gone }), 'then the server ends by itself';
is $t->stop, 0, 'without an error';
$t->start_again;
ok $t->get('/held')->{body} eq $body, 'started again: it was stored';
is $t->get('/stale')->{body}, 'new', 'and so was what the refresh brought' if $refresh;
$t->finish;
done_testing;
