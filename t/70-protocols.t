# SPDX-License-Identifier: Apache-2.0
# t/70-protocols.t. The same answers by HTTP/1.0, by HTTP/1.1 pipelined, by HTTP/2 and over TLS:
# from the origin, from the cache, whole, in part, conditional and without a body.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Load qw(body_of);
use DevCache::Test;
use File::Temp ();
use POSIX ();
use Test::More;

my $conf = <<'CONF';
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheStatusHeader On
</Location>
LogLevel notice
ProxyPass / @ORIGIN@/
CONF

# /name/SIZE; those that begin with /c come chunked.
sub page { my $path = shift; return body_of($path, $path =~ m{/(\d+)$}) }
sub answer {
    my $request = shift;
    my $path = $request->{target};
    my %how = $path =~ m{^/c} ? ('Transfer-Encoding' => 'chunked') : ();
    return (200, { 'Cache-Control' => 'max-age=600', ETag => qq{"$path"}, %how }, page($path));
}
my @paths = qw(/a/0 /b/10 /c/5000 /d/70000 /c/300000 /e/3000000);

# --- HTTP/1 -----------------------------------------------------------------------------------

my $t = DevCache::Test->start($conf);
my $auto = $t->origin_auto(\&answer);
for my $round ('miss', 'hit') {
    for my $path (@paths) {
        my $c = $t->client;
        my $res = $c->get("/1.0$path", ':version' => '1.0');
        ok $res->{complete} && $res->{body} eq page("/1.0$path"), "HTTP/1.0, $path, $round";
        is $res->header('Transfer-Encoding'), undef, 'never chunked';
        ok $c->closed, 'and closed after it';
        next if $path =~ m{^/c} && $round eq 'miss';
        $res = $c = $t->client;
        my @kept = map {
            $c->get("/1.0$path", ':version' => '1.0', Connection => 'keep-alive')
        } 1 .. 2;
        ok $kept[1]{body} eq page("/1.0$path"), 'or kept open if that is asked for';
    }
}

# All kinds, one after another on one connection, not waiting for any answer.
for my $round ('cold', 'warm') {
    my $c = $t->client;
    my @sent;
    for my $path (@paths) {
        my $page = page($path);
        my $etag = qq{"$path"};
        my $size = length $page;
        push @sent, ["GET $path", $c->send_req($path), 200, $page],
            ["HEAD $path", $c->send_req($path, ':method' => 'HEAD'), 200, ''],
            ["304 $path", $c->send_req($path, 'If-None-Match' => $etag), 304, ''],
            ["412 $path", $c->send_req($path, 'If-Match' => '"other"'), 412, undef],
            ["again $path", $c->send_req($path), 200, $page];
        push @sent, ["part of $path", $c->send_req($path, Range => 'bytes=3-7'), 206,
                     substr($page, 3, 5)],
            ["end of $path", $c->send_req($path, Range => 'bytes=-4'), 206, substr($page, -4)],
            ["beyond $path", $c->send_req($path, Range => "bytes=$size-"), 416, undef] if $size;
    }
    my @wrong;
    for my $sent (@sent) {
        my ($name, $x, $status, $body) = @$sent;
        my $res = $x->response;
        push @wrong, "$name: $res->{status}" if $res->{status} != $status || !$res->{complete};
        push @wrong, "$name: body" if defined $body && $res->{body} ne $body;
    }
    is "@wrong", '', @sent . " requests pipelined, $round";
}
is $auto->fetches($_), 1, "$_ was fetched once" for @paths;

# A slow reader of a large hit, while others are served.
my $slow = $t->send_req('/e/3000000');
is length $slow->body_of(1) > 0, 1, 'a slow reader has begun';
ok $t->get('/e/3000000')->{body} eq page('/e/3000000'), 'another is done';
ok $slow->response->{body} eq page('/e/3000000'), 'and it gets all of it';
$t->finish;

# --- HTTP/2 -----------------------------------------------------------------------------------

# Ask for all of them with so many curls at once, each body into a file: paths that were not
# answered rightly.
sub many {
    my ($server, $curls, $options, @urls) = @_;
    my $dir = $server->dir . '/got';
    mkdir $dir;
    unlink glob "$dir/*";
    my (@config, @pids);
    for my $n (0 .. $#urls) {
        $config[$n % $curls] .= qq{url = "$urls[$n]"\noutput = "$dir/$n"\n};
    }
    for my $n (0 .. $#config) {
        my $file = $server->write_file("curlrc$n", $config[$n]);
        push @pids, my $pid = fork // die "fork: $!\n";
        next if $pid;
        exec 'curl', '-sS', '--no-progress-meter', '--max-time', 60, @$options, '-K', $file
            or POSIX::_exit(127);
    }
    my @wrong = grep { waitpid $_, 0; $? } @pids;
    for my $n (0 .. $#urls) {
        my ($path) = $urls[$n] =~ m{^https?://[^/]+(.*)};
        my $got = -e "$dir/$n" ? do { local (@ARGV, $/) = "$dir/$n"; <> } // '' : '(nothing)';
        push @wrong, $path if $got ne page($path);
    }
    return "@wrong";
}

my $h2 = ($ENV{DEVCACHE_MPM} // '') ne 'prefork';
SKIP: {
    skip 'mod_http2 needs threads', 1 unless $h2;
    $t = DevCache::Test->start("Protocols h2c http/1.1\n$conf", modules => ['http2']);
    $auto = $t->origin_auto(\&answer);
    my @prior = ('--http2-prior-knowledge');
    my $base = 'http://127.0.0.1:' . $t->port;
    my @urls = map { "$base$_" } @paths, map { "/x$_/" . (100 + $_ * 997) } 1 .. 20;
    # curl 7.88 fails to use such a connection for a second request: one curl for each.
    is many($t, scalar @urls, \@prior, @urls), '', 'HTTP/2, all from the origin';
    my $fetches = $auto->fetches;
    is many($t, scalar @urls, \@prior, @urls), '', 'HTTP/2, all from the cache';
    is $auto->fetches, $fetches, 'none was fetched again';
    my @mixed = map { ($urls[$_], "$base/new$_/" . 5000 * $_) } 0 .. 15;
    is many($t, scalar @mixed, \@prior, @mixed), '', 'HTTP/2: hits and misses';

    my $res = $t->curl(@prior, '/d/70000');
    is $res->{version}, 'HTTP/2', 'it is HTTP/2';
    like $res->header('Cache-Status'), qr/; hit/, 'a hit';
    is $t->curl(@prior, '-I', '/d/70000')->header('Content-Length'), 70000, 'HEAD';
    $res = $t->curl(@prior, '-H', 'If-None-Match: "/d/70000"', '/d/70000');
    is "$res->{status} $res->{body}", '304 ', 'status 304';
    $res = $t->curl(@prior, '-r', '10-19', '/d/70000');
    is "$res->{status} $res->{body}", '206 ' . substr(page('/d/70000'), 10, 10), 'status 206';
    is $t->get('/x1/1097')->{body}, page('/x1/1097'), 'HTTP/1.1 shares what HTTP/2 stored';
    is $auto->fetches('/x1/1097'), 1, 'without a fetch';
    $t->finish;
}

# --- TLS --------------------------------------------------------------------------------------

SKIP: {
    skip 'no openssl here', 1 if system 'openssl version >/dev/null 2>&1';
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    is system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
              . "-keyout $dir/key.pem -out $dir/cert.pem 2>/dev/null"), 0, 'a certificate';
    my $protocols = $h2 ? "Protocols h2 http/1.1\n" : '';
    my @modules = qw(socache_shmcb ssl http2);
    $t = DevCache::Test->start(<<"CONF", modules => \@modules, ports => ['TLS']);
$conf
$protocols
SSLSessionCache shmcb:\@DIR\@/sessions
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $dir/cert.pem
    SSLCertificateKeyFile $dir/key.pem
    ProxyPass / \@ORIGIN\@/
</VirtualHost>
CONF
    # The certificate is no host's own, libraries differ, HTTP/2 does not go with prefork.
    $t->allow_log(qr/AH01882|AH01906|AH01909|AH10034/);
    $auto = $t->origin_auto(\&answer);
    my $tls = 'https://127.0.0.1:' . $t->port('TLS');
    $t->get('/d/70000');
    my $res = $t->curl('-k', "$tls/d/70000");
    like $res->header('Cache-Status'), qr{uri-miss.*key="https:}, 'https is not http';
    is $auto->fetches('/d/70000'), 2, 'and fetched for itself';
    like $t->curl('-k', "$tls/d/70000")->header('Cache-Status'), qr/; hit/, 'then a hit';
    my @urls = map { "$tls$_" } @paths, map { "/x$_/" . (100 + $_ * 997) } 1 .. 60;
    for my $how (['--http1.1'], $h2 ? (['--http2'], [qw(--http2 --parallel)]) : ()) {
        my $curls = @$how == 1 ? 6 : 1;     # in parallel: all are streams of one connection
        is many($t, $curls, ['-k', @$how], @urls, @urls), '', "TLS, @$how, $_: 132 answers"
            for 1, 2;
    }
    is $t->curl('-k', '--http2', "$tls/a/0")->{version}, $h2 ? 'HTTP/2' : 'HTTP/1.1',
        'the version';
    $t->finish;
}
done_testing;
