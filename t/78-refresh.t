# SPDX-License-Identifier: Apache-2.0
# t/78-refresh.t. Refreshes in the background: asked as the visitor would have asked, once in
# the whole server, not noticed by anybody, and ended with the child.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $mpm = $ENV{DEVCACHE_MPM} // 'event';
my $conf = <<'CONF';
Listen 127.0.0.1:@OTHER@
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
<Location "/ahead/">
    DevCacheRefreshAhead 20
</Location>
<Location "/guarded/">
    Require expr %{HTTP:X-Pass} == "sesame"
</Location>
RequestHeader set X-Set once
RequestHeader add X-Added once
RewriteEngine On
RewriteRule ^/pretty/(.*)$ @ORIGIN@/ugly?x=$1 [P,QSA,NS]
<Proxy "balancer://both">
    BalancerMember @ORIGIN2@ retry=0
</Proxy>
ProxyPass /balanced/ balancer://both/balanced/
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
<VirtualHost 127.0.0.1:@OTHER@>
    ServerName other.test
    DocumentRoot "@DIR@/htdocs"
    RequestHeader set X-Vhost other
    <Location "/">
        DevCache On
        DevCacheVaryDevice Off
    </Location>
    ProxyPass / @ORIGIN@/ retry=0 disablereuse=on
</VirtualHost>
CONF
my $t = DevCache::Test->start($conf, modules => [qw(rewrite proxy_balancer slotmem_shm
    lbmethod_byrequests)], origins => 2, ports => ['OTHER']);
$t->allow_log(qr/proxy(?:_http)?:error/, qr/AH\d+: child(?:ren are killed| pid \d+ exit)/,
              qr/AH01630/);

my $swr = 'max-age=10, stale-while-revalidate=1000';

sub store {
    my ($path, $headers, $body, @request) = @_;
    my $n = $path =~ m{^/balanced} ? 2 : 1;
    my $x = $t->send_req($path, @request);
    $t->origin($n)->accept->reply(200, { 'Cache-Control' => $swr, %$headers }, $body);
    return $x->response;
}

# Questions to the origin as the durations have them: answered, failed.
sub origin_asked {
    my $text = $t->get('/?prometheus', ':port' => $t->port('STATUS_PORT'))->{body};
    my %n = (success => 0, failure => 0);
    $n{$1} += $2 while $text =~ /^devcache_origin_duration_seconds_count\{.*result="(\w+)"\} (\d+)/mg;
    return @n{qw(success failure)};
}

sub refreshes { return $t->counters->{refreshes} }

# --- what is asked ------------------------------------------------------------------------

{
    my @as = ('User-Agent' => PHONE, Cookie => 'a=b', 'Accept-Language' => 'de');
    store('/same?q=%2541&r', { ETag => '"1"', Vary => 'Accept-Language' }, 'one', @as);
    $t->clock_advance(11);
    my $before = refreshes();
    is $t->get('/same?q=%2541&r', @as, 'If-None-Match' => '"x"', Range => 'bytes=0-0',
               'Cache-Control' => 'max-stale=60')->{body}, 'o', 'stale, as it was asked for';
    my $fetch = $t->origin->accept;
    is $fetch->{target}, '/same?q=%2541&r', 'the origin is asked for the same';
    is $fetch->header('User-Agent'), PHONE, 'with the header of the visitor';
    is $fetch->header('Cookie'), undef, 'but not with what says who that is';
    is $fetch->header('Accept-Language'), 'de', 'what the variant depends on';
    is $fetch->header('X-Device-Type'), 'mobile', 'the class';
    is $fetch->header('X-Set'), 'once', 'what the configuration sets';
    is $fetch->header('X-Added'), 'once', 'and adds, once';
    is $fetch->header('X-Forwarded-For'), '127.0.0.1', 'for the same client';
    is $fetch->header('If-None-Match'), '"1"', 'whether what is stored still holds';
    is $fetch->header('Range'), undef, 'not about a part';
    is $fetch->header('Cache-Control'), undef, 'nor what the visitor would have put up with';
    $fetch->reply(304, { 'Cache-Control' => $swr, ETag => '"1"' });
    $t->wait_counter(refreshes => $before + 1);
    my $r = $t->get('/same?q=%2541&r', @as);
    is $r->{body}, 'one', '304: it is fresh again';
    cmp_ok $r->header('Age'), '<', 5, 'and young';

    $t->clock_advance(11);
    $t->get('/same?q=%2541&r', @as);
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr, Vary => 'Accept-Language' },
                              'two');
    $t->wait_counter(refreshes => $before + 2);
    is $t->get('/same?q=%2541&r', @as)->{body}, 'two', '200: it is the new one';
    is $t->get('/same?q=%2541&r', @as)->header('ETag'), undef, 'altogether';
}

{
    store('/pretty/a', {}, 'one');
    $t->clock_advance(11);
    my $before = refreshes();
    is $t->get('/pretty/a')->{body}, 'one', 'behind a rewriting for first requests only';
    my $fetch = $t->origin->accept;
    is $fetch->{target}, '/ugly?x=a', 'the same is asked for';
    $fetch->reply(200, { 'Cache-Control' => $swr }, 'two');
    $t->wait_counter(refreshes => $before + 1);
    is $t->get('/pretty/a')->{body}, 'two', 'and stored';

    store('/balanced/a', {}, 'one');
    $t->clock_advance(11);
    is $t->get('/balanced/a')->{body}, 'one', 'a balancer';
    $t->origin(2)->accept->reply(200, { 'Cache-Control' => $swr }, 'two');
    $t->wait_counter(refreshes => $before + 2);
    is $t->get('/balanced/a')->{body}, 'two', 'is asked too';

    my @other = (':port' => $t->port('OTHER'), Host => 'other.test');
    store('/v', {}, 'other one', @other);
    store('/v', {}, 'main one');
    $t->clock_advance(11);
    is $t->get('/v', @other)->{body}, 'other one', 'another virtual host';
    $fetch = $t->origin->accept;
    is $fetch->header('X-Vhost'), 'other', 'it is that one that asks';
    $fetch->reply(200, { 'Cache-Control' => $swr }, 'other two');
    $t->wait_counter(refreshes => $before + 3);
    is $t->get('/v', @other)->{body}, 'other two', 'for its own page';
    is $t->get('/v')->{body}, 'main one', 'not for that of another';
    my $failed = $t->counters->{refreshes_failed};
    my ($asked, $errors) = origin_asked();
    $t->origin->accept->reply(500, {}, 'oops');
    $t->wait_counter(refreshes => $before + 4);
    is $t->counters->{refreshes_failed}, $failed + 1, 'one that failed is counted as such';
    is join(',', origin_asked()), "$asked," . ($errors + 1), 'and among what the origin took';
    like $t->get('/', ':port' => $t->port('STATUS_PORT'))->{body},
        qr/the origin failed with 500; visitors got the stored copy/, 'and among the errors';

    store('/guarded/a', {}, 'one', 'X-Pass' => 'sesame');
    $t->clock_advance(11);
    is $t->get('/guarded/a')->{status}, 403, 'access control comes first';
    is $t->get('/guarded/a', 'X-Pass' => 'sesame')->{body}, 'one', 'who passes it';
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr }, 'two');
    $t->wait_counter(refreshes => $before + 5);
    is $t->get('/guarded/a', 'X-Pass' => 'sesame')->{body}, 'two', 'has it refreshed';
}

# --- once -----------------------------------------------------------------------------------

{
    store('/once', {}, 'one');
    $t->clock_advance(11);
    my $before = refreshes();
    # Without threads the first one's child is busy with it, so each has its own connection.
    my @all = map { $t->send_req('/once') } 1 .. 3;
    is join(',', map { $_->response->{body} } @all), 'one,one,one', 'three at once: stale';
    my $fetch = $t->origin->accept;
    ok $t->origin->quiet(0.1), 'one refresh in all children';
    is $t->counters->{flights}, 1, 'it is a flight';

    # Who may not have it stale follows the refresh.
    my $x = $t->send_req('/once', 'Cache-Control' => 'max-age=5');
    my $own = $t->origin->accept;
    $own->reply(200, { 'Cache-Control' => $swr }, 'insisted');
    is $x->response->{body}, 'insisted', 'who insists asks for himself';
    $fetch->reply(200, { 'Cache-Control' => $swr }, 'two');
    $t->wait_counter(refreshes => $before + 1);

    store('/window', { 'Cache-Control' => 'max-age=10, stale-while-revalidate=5' }, 'one');
    $t->clock_advance(11);
    is $t->get('/window')->{body}, 'one', 'stale';
    $fetch = $t->origin->accept;
    $t->clock_advance(10);
    $x = $t->send_req('/window');
    $t->wait_counter(flight_followers => 1);
    $fetch->reply(200, { 'Cache-Control' => 'max-age=100' }, 'two');
    is $x->response->{body}, 'two', 'no longer allowed stale: follows the refresh';
    $t->wait_counter(refreshes => $before + 2);
}

# --- ahead ----------------------------------------------------------------------------------

{
    my $long = { 'Cache-Control' => 'max-age=100', ETag => '"1"' };
    store('/ahead/a', $long, 'one');
    store('/ahead/short', { 'Cache-Control' => 'max-age=15' }, 'one');
    my $before = refreshes();
    $t->clock_advance(5);
    is $t->get("/ahead/$_")->{body}, 'one', "early in its life: $_" for qw(a short);
    ok $t->origin->quiet(0.05), 'nothing is refreshed';
    $t->clock_advance(80);
    is $t->get('/ahead/a')->{body}, 'one', 'about to expire: still served';
    my $fetch = $t->origin->accept;
    is $fetch->header('If-None-Match'), '"1"', 'and validated';
    is $t->get('/ahead/a')->{body}, 'one', 'once' for 1 .. 2;
    ok $t->origin->quiet(0.05), 'only';
    $fetch->reply(304, $long);
    $t->wait_counter(refreshes => $before + 1);
    cmp_ok $t->get('/ahead/a')->header('Age'), '<', 5, 'it never expired';
}

# --- ends -----------------------------------------------------------------------------------

SKIP: {
    skip 'the background needs threads', 1 if $mpm eq 'prefork';
    store("/end/$_", {}, 'one') for 1 .. 2;
    $t->clock_advance(11);

    # Its client may go.
    my $before = refreshes();
    my $c = $t->client;
    is $c->get('/end/1')->{body}, 'one', 'stale';
    $c->reset;
    my $big = body_of('big', 700_000);
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr }, $big);
    $t->wait_counter(refreshes => $before + 1);
    ok $t->get('/end/1')->{body} eq $big, 'a visitor who leaves does not end the refresh';

    # A graceful restart waits for it.
    is $t->get('/end/2')->{body}, 'one', 'stale';
    my $fetch = $t->origin->accept;
    $t->graceful;
    $fetch->reply(200, { 'Cache-Control' => $swr }, 'two');
    ok wait_until(sub { $t->get('/end/2')->{body} eq 'two' }), 'refreshed by the old child';
    ok $t->origin->quiet(0.05), 'by nobody else';

    # Its child is killed.
    $t->clock_advance(11);
    is $t->get('/end/2')->{body}, 'two', 'stale';
    $fetch = $t->origin->accept;
    my ($line) = reverse $t->wait_log(qr{DC0110: serve: \S+/end/2 \S+ validate});
    my ($pid) = $line =~ /\[pid (\d+)/;
    $t->kill_child($pid);
    $fetch->close;
    # A killed child is there until httpd has looked after it.
    ok wait_until(sub { $t->get('/end/2')->{body} eq 'two' && !$t->origin->quiet(0.05) }),
        'killed: still stale, and asked for again';
    $t->origin->accept->reply(200, { 'Cache-Control' => $swr }, 'three');
    ok wait_until(sub { $t->get('/end/2')->{body} eq 'three' }), 'and the next one refreshes';
}

$t->finish;
done_testing;
