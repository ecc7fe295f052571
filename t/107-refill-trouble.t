# SPDX-License-Identifier: Apache-2.0
# t/107-refill-trouble.t. What a purge has fetched again (DevCache-Purge-Refill) in trouble: of
# origins that are dead or hang, behind the PROXY protocol, by IPv6 hosts, by HTTPS with rewriting.
# What comes of it is what visitors find, no process is kept, and what is left is told.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Written;
use File::Temp ();
use Test::More;

my $prefork = ($ENV{DEVCACHE_MPM} // '') eq 'prefork';
my $keys = File::Temp::tempdir(CLEANUP => 1);
is system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
          . "-keyout $keys/key.pem -out $keys/cert.pem 2>/dev/null"), 0, 'a certificate';
my @modules = (qw(authz_host cgid dir remoteip rewrite socache_shmcb ssl), $prefork ? () : 'http2');
my $t = DevCache::Test->start(<<"CONF", modules => \@modules, ports => [qw(TLS WRAPPED SIX)], origins => 2);
@{[$prefork ? '' : 'Protocols h2c http/1.1']}
Listen 127.0.0.1:\@TLS\@
Listen 127.0.0.1:\@WRAPPED\@
Listen [::1]:\@SIX\@
ScriptSock "\@DIR\@/cgisock"
SSLSessionCache shmcb:\@DIR\@/sessions
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheFragments On
    DevCachePurge On
    <Limit PURGE BAN>
        Require ip 127.0.0.1 10.1.0.0/16 2001:db8:1::/48 ::1
    </Limit>
</Location>
<VirtualHost 127.0.0.1:\@PORT\@ [::1]:\@SIX\@>
    ServerName 127.0.0.1
    ProxyPass /hand/ \@ORIGIN\@/hand/ retry=0 disablereuse=on
    ProxyPass /hangs/ \@ORIGIN\@/hangs/ retry=0 disablereuse=on timeout=1
    ProxyPass / \@ORIGIN2\@/
</VirtualHost>
<VirtualHost 127.0.0.1:\@WRAPPED\@>
    RemoteIPProxyProtocol On
    RewriteEngine On
    RewriteCond %{REMOTE_ADDR} ^192
    RewriteRule ^/kind/(.*) /abroad/\$1 [PT]
    ProxyPass / \@ORIGIN2\@/
</VirtualHost>
<VirtualHost 127.0.0.1:\@TLS\@>
    ServerName 127.0.0.1
    SSLEngine on
    SSLCertificateFile $keys/cert.pem
    SSLCertificateKeyFile $keys/key.pem
</VirtualHost>
<Directory "\@DIR\@/htdocs">
    Options ExecCGI FollowSymLinks
    <Files script.cgi>
        SetHandler cgi-script
    </Files>
    RewriteEngine On
    RewriteRule ^pretty/(.*)\$ script.cgi?\$1 [L]
    DirectoryIndex script.cgi
    FallbackResource /script.cgi
</Directory>
CONF
$t->allow_log(qr/AH01882|AH01906|AH01909/, qr/proxy(?:_http)?:error/);
my %fresh = ('Cache-Control' => 'max-age=600');
my @agent = ('User-Agent' => PC);
my @refill = ('DevCache-Purge-Refill' => 1);
sub purge { my ($path, @more) = @_; return $t->get($path, ':method' => 'PURGE', @refill, @more)->{body} }
sub begun { my ($n, $of) = @_; $of //= $n; return qr/"refill": \{"begun": $n, "of": $of\}/ }
sub sums { my $now = $t->counters; return $now->{refills} + $now->{refills_left} }
sub hit { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; hit/ ? 1 : 0 }

# Stored pages of the origin that the test plays.
sub store_pages {
    my ($under, $n) = @_;
    $t->exchange("$under/$_", [200, {%fresh}, "page $_"], @agent) for 1 .. $n;
    return sums();
}

subtest 'a dead origin' => sub {
    my $before = store_pages('/hand', 5);
    $t->origin->down;
    $t->expect_log(qr/DC0148: refill: \d responses are not fetched again: the origin cannot be reached \(at most/);
    like purge('/hand/*'), begun(5), 'begun';
    ok wait_until(sub { sums() == $before + 5 }), 'each is counted, fetched or left';
    $t->wait_log(qr/DC0148/);
    is $t->get('/hand/1', @agent)->{status}, 503, 'visitors get what they would get';
    $t->origin->up;
    $before = store_pages('/hand', 5);
    like purge('/hand/*'), begun(5), 'it is back: begun';
    for (1 .. 5) { $t->origin->accept->reply(200, {%fresh}, 'again') }
    ok wait_until(sub { hit($t->get("/hand/$_", @agent, 'Cache-Control' => 'only-if-cached')) }), "/hand/$_ is there" for 1 .. 5;
};

subtest 'an origin that hangs' => sub {
    my $before = store_pages('/hangs', 6);
    like purge('/hangs/*'), begun(6), 'the answer comes at once';
    my @hanging = $t->origin->accept;
    my @visitors = map { $t->send_req("/hangs/$_", @agent) } 1, 6;
    is $t->get('/hand/1', @agent)->{body}, 'again', 'others are served meanwhile';
    ok wait_until(sub { push @hanging, $t->origin->accept while !$t->origin->quiet(0.05); !grep { !$_->begun } @visitors }), 'who wants such a page';
    cmp_ok $_->response->{status}, '>=', 500, '  is told that it does not come' for @visitors;
    ok wait_until(sub { push @hanging, $t->origin->accept while !$t->origin->quiet(0.05); sums() == $before + 6 }), 'what was not begun is left';
    $_->close for @hanging;
    $before = sums();
    like purge('/hand/*'), begun(5), 'the next purge';
    for (1 .. 5) { $t->origin->accept->reply(200, {%fresh}, 'once more') }
    ok wait_until(sub { sums() == $before + 5 }), 'finds threads for its fetches';
};

if (!$prefork) { # else the process that took the purge goes on, as long as it may
    subtest 'a graceful restart meanwhile' => sub {
        my $before = sums();
        like purge('/hand/*'), begun(5), 'begun';
        my @under_way = map { $t->origin->accept } 1, 2;
        $t->graceful;
        my $fetched = 0;
        ok wait_until(sub { # an old process that is not at its end yet begins another one
            push @under_way, $t->origin->accept while !$t->origin->quiet(0.05);
            while (my $fetch = shift @under_way) { $fetch->reply(200, {%fresh}, 'through'); $fetched++ }
            return sums() == $before + 5;
        }), 'each is counted, fetched or left';
        is scalar(grep { $t->get("/hand/$_", @agent, 'Cache-Control' => 'only-if-cached')->{body} eq 'through' } 1 .. 5), $fetched,
            'what was under way is there';
        $t->allow_log(qr/DC0148: refill: \d responses are not fetched again: this process is about to end/);
        ok $t->origin->quiet(0.1), 'no more is asked for';
    };
}

my $site = DevCache::Written->new($t, 2);
sub page { my ($path, $body, %more) = @_; $site->page($path, { %fresh, %more }, $body) }
sub refilled { my $refreshes = shift; return $t->wait_counter(refreshes => $refreshes) }

# A request behind a line of the PROXY protocol.
sub wrapped {
    my ($from, $path, @fields) = @_;
    my $c = $t->client($t->port('WRAPPED'));
    my $to = $from =~ /:/ ? 'TCP6' : 'TCP4';
    my ($method, $text) = DevCache::Client::request_text($t->port('WRAPPED'), $path, @fields);
    $c->send_raw("PROXY $to $from " . ($to eq 'TCP6' ? '::1' : '127.0.0.1') . " 40000 80\r\n$text");
    return $c->expect($method)->response;
}

subtest 'behind the PROXY protocol' => sub {
    page('/wrapped', '{n}', 'Cache-Tag' => 'wrapped');
    my $n = 1;
    my @host = (Host => 'www.example.org');
    my @by = (['10.1.2.3', sub { wrapped('10.1.2.3', '/wrapped', ':method' => 'PURGE', @refill, @host) }],
              ['2001:db8:1::7', sub { wrapped('2001:db8:1::7', '/wrapped', ':method' => 'PURGE', @refill, @host) }],
              ['127.0.0.1', sub { $t->get('/', ':method' => 'PURGE', @refill, 'Cache-Tag' => 'wrapped') }]);
    for (@by) {
        my ($who, $purge) = @$_;
        is wrapped('192.0.2.1', '/wrapped', @agent, @host)->{body}, $n, 'stored';
        my $refreshes = $t->counters->{refreshes};
        like $purge->()->{body}, begun(1), "purged from $who";
        refilled($refreshes + 1);
        my $r = wrapped('192.0.2.2', '/wrapped', @agent, @host);
        is $r->{body}, ++$n, 'it is new';
        ok hit($r), 'and was stored before somebody asked';
        is $site->last_request('/wrapped')->{'x-forwarded-for'}, $who, 'as if he had asked';
    }
    is wrapped('192.0.2.1', '/wrapped', ':method' => 'PURGE', @refill)->{status}, 403, 'not by who may not purge';
    $t->expect_log(qr/AH01630/);
};

subtest 'a purge by HTTP/2' => sub {
    page('/two', '{n}');
    is $t->get('/two', @agent)->{body}, 1, 'stored';
    my $refreshes = $t->counters->{refreshes};
    like $t->curl('--http2-prior-knowledge', '-X', 'PURGE', '-H', 'DevCache-Purge-Refill: 1', '/two')->{body}, begun(1), 'begun';
    refilled($refreshes + 1);
    ok hit($t->get('/two', @agent)), 'and stored before somebody asked';
} if !$prefork;

subtest 'hosts that are IPv6 addresses' => sub {
    my $port = $t->port('SIX');
    my $n = 0;
    my @six = ('-g', '-A', PC);
    for my $host ("[::1]:$port", '[::1]', '[2001:db8::1]') {
        my $path = '/six' . ++$n;
        page($path, '{n}');
        my @ask = (@six, '-H', "Host: $host", "http://[::1]:$port$path");
        is $t->curl(@ask)->{body}, 1, "$host: stored";
        my $refreshes = $t->counters->{refreshes};
        like $t->curl('-X', 'PURGE', '-H', 'DevCache-Purge-Refill: 1', @ask)->{body}, begun(1), 'begun';
        refilled($refreshes + 1);
        my $r = $t->curl(@ask);
        is $r->{body}, 2, 'it is new';
        ok hit($r), 'and was stored before somebody asked';
        is $site->last_request($path)->{'x-forwarded-host'}, $host, 'by that name';
    }
};

subtest 'by HTTPS, with rewriting in a directory' => sub {
    chmod 0755, $t->write_file('htdocs/script.cgi', <<'CGI');
#!/bin/sh
echo "Content-Type: text/plain"
echo "Cache-Control: max-age=60, stale-while-revalidate=600"
[ "$QUERY_STRING" = page ] && echo 'Surrogate-Control: content="SSI/1.0"'
echo
echo "https=$HTTPS $$"
[ "$QUERY_STRING" = page ] && echo '<!--#include virtual="/pretty/part" -->'
exit 0
CGI
    for my $path (qw(/pretty/x / /fallback /pretty/page)) {
        my @ask = ('-k', '-A', PC, 'https://127.0.0.1:' . $t->port('TLS') . $path);
        my $first = $t->curl(@ask)->{body};
        unlike $first, qr/https=(?!on)/, 'the script is told, also for a part';
        is $t->curl(@ask)->{body}, $first, "$path: stored";
        my $refreshes = $t->counters->{refreshes};
        like purge($path), begun(1), 'begun';
        refilled($refreshes + 1);
        my $second = $t->curl(@ask)->{body};
        isnt $second, $first, 'fetched again';
        is $second =~ s/ \d+$//mgr, $first =~ s/ \d+$//mgr, 'the script was told as for visitors';
        $t->clock_advance(61);
        $t->curl(@ask);
        ok wait_until(sub { $t->curl(@ask)->{body} ne $second }), 'stale, and refreshed';
        is $t->curl(@ask)->{body} =~ s/ \d+$//mgr, $first =~ s/ \d+$//mgr, 'the script was told as for visitors';
    }
};

subtest 'what cannot be fetched from nobody is told' => sub {
    page("/abroad/$_", "kind $_") for 1 .. 20;
    wrapped('192.0.2.1', "/kind/$_", @agent) for 1 .. 20;
    my $left = $t->counters->{refills_left};
    like wrapped('10.1.2.3', '/kind/*', ':method' => 'PURGE', @refill)->{body}, begun(20), 'a purge of what an address decides about';
    $t->wait_counter(refills_left => $left + 20);
    my @told = $t->wait_log(qr/DC0145/);
    like $told[0], qr{:warn\].*DC0145: refill: http://127.0.0.1:\d+/kind/\d+ is not fetched again: it depends on more}, 'a warning';
    cmp_ok scalar $t->log_lines(qr/DC014[58]: /), '<=', 8 * 3 + 3, 'the log is not flooded: 8 lines a minute of a process';
    $t->expect_log(qr/DC0145/);
};

subtest 'nothing is taken up by what went before' => sub {
    my $limit = $prefork ? 32 : 256;
    page("/many/$_", 'm') for 1 .. $limit;
    $t->get("/many/$_", @agent) for 1 .. $limit;
    my $before = sums();
    like purge('/many/*'), begun($limit), 'as many as ever';
    ok wait_until(sub { sums() == $before + $limit }), 'and all are fetched';
};
$t->finish;

if ($prefork) {
    $t = DevCache::Test->start(<<'CONF', modules => ['authz_host'], env => { DEVCACHE_FAULT => 'refill-budget:2' });
<Location "/">
    DevCache On
    DevCachePurge On
    <Limit PURGE>
        Require local
    </Limit>
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF
    $t->expect_log(qr/DC0148: refill: 3 responses are not fetched again: this process has been busy with it for long enough/);
    store_pages('', 5);
    like purge('/*'), begun(5), 'without threads: begun';
    $t->origin->accept->reply(200, {%fresh}, 'again') for 1, 2;
    ok wait_until(sub { $t->counters->{refills_left} == 3 }), 'and ended when the time is over';
    ok $t->origin->quiet(0.1), 'the rest is for visitors';
    $t->finish;
}
done_testing;
