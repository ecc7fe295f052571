# SPDX-License-Identifier: Apache-2.0
# t/106-refill.t. What a purge removes is fetched again in the background, for each class and
# coding that was stored, if the purge asks for it (DevCache-Purge-Refill).
# What docs/purge.md shows of it is played here.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use File::Temp ();
use Test::More;

my $keys = File::Temp::tempdir(CLEANUP => 1);
is system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
          . "-keyout $keys/key.pem -out $keys/cert.pem 2>/dev/null"), 0, 'a certificate';
my @modules = qw(authz_host cgid socache_shmcb ssl);
my $t = DevCache::Test->start(<<'CONF' =~ s/\@KEYS\@/$keys/gr, modules => \@modules, ports => ['B', 'TLS']);
Listen 127.0.0.1:@B@
Listen 127.0.0.1:@TLS@
ScriptSock "@DIR@/cgisock"
SSLSessionCache shmcb:@DIR@/sessions
LogLevel devcache:info
<Location "/">
    DevCache On
    DevCachePurge On
    <Limit PURGE BAN>
        Require local
    </Limit>
</Location>
<VirtualHost 127.0.0.1:@PORT@>
    ServerName www.example.org
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.1:@B@>
    ServerName https://www.example.org:@B@
    ProxyPass /script !
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.1:@TLS@>
    ServerName www.example.org
    SSLEngine on
    SSLCertificateFile @KEYS@/cert.pem
    SSLCertificateKeyFile @KEYS@/key.pem
</VirtualHost>
<Directory "@DIR@/htdocs">
    Options ExecCGI
    SetHandler cgi-script
</Directory>
CONF
$t->allow_log(qr/AH01882|AH01906|AH01909/);

# Pages say for whom they are.
my $slow = 0;
my $auto = $t->origin_auto(sub {
    my $request = shift;
    my $path = $request->{target};
    my $class = $request->header('X-Device-Type') // '-';
    my $lang = $request->header('Accept-Language') // '-';
    my $gzip = ($request->header('Accept-Encoding') // '') =~ /gzip/ ? 'gzip' : '-';
    my $agent = ($request->header('User-Agent') // '') =~ /Android.*Mobile|iPhone/ ? 'phone' : 'other';
    my $cookie = $request->header('Cookie') // '-';
    my %fields = ('Cache-Control' => 'max-age=600',
                  Vary => 'X-Device-Type, Accept-Language, Accept-Encoding', 'Cache-Tag' => 'all');
    $fields{'Content-Encoding'} = 'gzip' if $gzip eq 'gzip';
    $fields{Vary} = 'Cookie' if $path =~ /cookie/;
    $fields{Vary} = 'Host' if $path =~ /host/;
    my @hold = $path =~ /slow/ && $slow++ >= 5 ? (hold => 'slow') : ();   # what comes after the first five
    return (200, \%fields, join(' ', $path, $class, $lang, $gzip, $agent, $cookie), @hold);
});
my %www = (Host => 'www.example.org');
my @visitor = (
    ['mobile de', [%www, 'User-Agent' => PHONE, 'Accept-Language' => 'de']],
    ['pc de',     [%www, 'User-Agent' => PC,    'Accept-Language' => 'de']],
    ['pc fr',     [%www, 'User-Agent' => PC,    'Accept-Language' => 'fr']],
    ['pc gzip',   [%www, 'User-Agent' => PC,    'Accept-Encoding' => 'gzip']],
    ['pc',        [%www, 'User-Agent' => PC]],
);

sub bodies { my $path = shift; return map { $t->get($path, @{ $_->[1] })->{body} } @visitor }

sub purge {
    my ($path, %fields) = @_;
    return $t->get($path, ':method' => 'PURGE', %www, 'DevCache-Purge-Refill' => 1, %fields)->{body};
}

subtest 'all variants of a URL' => sub {
    my @first = bodies('/page');
    is $auto->fetches('/page'), 5, 'five variants are stored';
    is_deeply [bodies('/page')], \@first, '  and found';
    is purge('/page'), qq({"purged": 5, "refill": {"begun": 5, "of": 5}}\n), 'the purge says so';
    ok wait_until(sub { $auto->fetches('/page') == 10 }), 'each is fetched again';
    $t->wait_counter(refreshes => 5);
    is_deeply [bodies('/page')], \@first, 'each visitor gets what is for him';
    is $auto->fetches('/page'), 10, '  from the store';
    is $t->counters->{refills}, 5, 'counted';
};

subtest 'a visitor of another port' => sub {
    my @ask = ('/port', Host => 'www.example.org:' . $t->port('B'), 'User-Agent' => PHONE, ':port' => $t->port('B'));
    my $first = $t->get(@ask)->{body};
    like purge('/port'), qr/"refill": \{"begun": 1, "of": 1\}/, 'purged by the first one';
    ok wait_until(sub { $auto->fetches('/port') == 2 }), 'fetched by the host that it is of';
    $t->wait_counter(refreshes => 6);
    is $t->get(@ask)->{body}, $first, 'and found there';
    is $auto->fetches('/port'), 2, '  stored';
};

subtest 'the answer waits for nothing' => sub {
    my @first = bodies('/slow');
    like purge('/slow'), qr/"begun": 5/, 'answered while the origin says nothing';
    ok wait_until(sub { $auto->fetches('/slow') > 5 }), '  though it was asked';
    $auto->release('slow');
    ok wait_until(sub { $auto->fetches('/slow') == 10 }), 'and then all are fetched';
    is_deeply [bodies('/slow')], \@first, '  and there';
};

subtest 'by tag, and softly' => sub {
    bodies('/tagged');
    my $fetches = $auto->fetches;
    my $json = purge('/', 'Cache-Tag' => 'all', 'DevCache-Purge-Soft' => 1);
    my ($begun, $of) = $json =~ /"refill": \{"begun": (\d+), "of": (\d+)/;
    cmp_ok $begun, '>=', 16, "all that bear the tag: $begun of $of";
    is $begun, $of, '  each of them';
    ok wait_until(sub { $auto->fetches == $fetches + $begun }), 'they are fetched';
};

subtest 'what depends on who asks is not fetched' => sub {
    my @ask = ('/cookie', %www, 'User-Agent' => PC, Cookie => 'id=secret');
    my $first = $t->get(@ask)->{body};
    is purge('/cookie'), qq({"purged": 1, "refill": {"begun": 0, "of": 1, "personal": 1}}\n), 'and said';
    is $auto->fetches('/cookie'), 1, 'the origin is not asked';
};

subtest 'a page that depends on the host' => sub {
    my @ask = ('/host', %www, 'User-Agent' => PC);
    my $first = $t->get(@ask)->{body};
    like purge('/host'), qr/"begun": 1, "of": 1\}/, 'begun';
    ok wait_until(sub { $auto->fetches('/host') == 2 }), 'fetched';
};

# Applications are told HTTPS=on, where TLS ends here.
subtest 'scripts by https' => sub {
    chmod 0755, $t->write_file('htdocs/script', join "\n", '#!/bin/sh', 'echo Content-Type: text/plain',
        'echo Cache-Control: max-age=600', 'echo', 'echo $HTTPS $SERVER_PORT $$', '');
    my @agent = ('-H', 'User-Agent: ' . PC);
    my %ask = (TLS => sub { $t->curl('-k', @agent, 'https://127.0.0.1:' . $t->port('TLS') . '/script') },
               B => sub { $t->get('/script', %www, 'User-Agent' => PC, ':port' => $t->port('B')) });
    for my $port (sort keys %ask) {
        my $first = $ask{$port}->()->{body};
        is $ask{$port}->()->{body}, $first, "stored: $first";
        my $refreshes = $t->counters->{refreshes};
        my @host = $port eq 'TLS' ? (Host => '127.0.0.1') : ();
        like $t->get('/script', ':method' => 'PURGE', %{{ %www, @host }}, 'DevCache-Purge-Refill' => 1)->{body},
            qr/"begun": 1, "of": 1\}/, 'begun';
        $t->wait_counter(refreshes => $refreshes + 1);
        my $second = $ask{$port}->()->{body};
        isnt $second, $first, 'run again';
        is $second =~ s/\d+$//r, $first =~ s/\d+$//r, "by @{[$port eq 'TLS' ? 'TLS' : 'another server']}: the same";
    }
};

my $limit = ($ENV{DEVCACHE_MPM} // '') eq 'prefork' ? 32 : 256;   # there a process is busy with it
subtest 'no more than the limit' => sub {
    $t->get("/many/$_", %www, 'User-Agent' => PC) for 1 .. 300;
    my $fetches = $auto->fetches;
    my $over = 300 - $limit;
    like purge('/many/*'), qr/"refill": \{"begun": $limit, "of": 300, "over_limit": $over, "limit": $limit\}/, 'said';
    ok wait_until(sub { $auto->fetches == $fetches + $limit }), "$limit are fetched";
};

subtest 'without the field' => sub {
    bodies('/plain');
    my $fetches = $auto->fetches;
    my $json = $t->get('/plain', ':method' => 'PURGE', %www)->{body};
    is $json, qq({"purged": 5}\n), 'nothing is said';
    $json = $t->get('/plain', ':method' => 'PURGE', %www, 'DevCache-Purge-Refill' => 0)->{body};
    is $json, qq({"purged": 0}\n), 'nor with a no';
    is $auto->fetches, $fetches, 'and nothing fetched';
};

$t->finish;
done_testing;
