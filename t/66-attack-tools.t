# SPDX-License-Identifier: Apache-2.0
# t/66-attack-tools.t. What watches the cache, under attack: by visitors and origins whose
# words get into the status page, metrics and logs, by a store that is made to fill up, and
# by servers and directories that devcachectl looks at.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More;
use DevCache::Ctl;
use DevCache::Test;

my $dir = File::Temp::tempdir(CLEANUP => 1);
my $openssl = !system "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
    . "-keyout $dir/key.pem -out $dir/cert.pem >/dev/null 2>&1";
my $tls = $openssl ? <<"CONF" : '';
SSLSessionCache none
Listen 127.0.0.1:\@TLS\@
<VirtualHost 127.0.0.1:\@TLS\@>
    SSLEngine on
    SSLCertificateFile $dir/cert.pem
    SSLCertificateKeyFile $dir/key.pem
    RewriteEngine On
    RewriteCond %{HTTPS} !=on
    RewriteRule ^ - [F]
    ProxyPass /st !
    ProxyPass / \@ORIGIN\@/
</VirtualHost>
CONF
my $t = DevCache::Test->start(<<"CONF", modules => ['rewrite', 'status', 'authz_host', $openssl ? 'ssl' : ()], ports => ['TLS']);
DevCacheSize 8M
LogFormat "%^JR %{User-Agent}^JI %{DEVCACHE_DEVICE}^JE" json
CustomLog "\@DIR\@/json.log" json
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
<Location "/secret/">
    DevCacheKeyHeaders Authorization
</Location>
<Location "/st">
    ProxyPass !
    SetHandler devcache-status
    Require ip 127.0.0.1
</Location>
<Location "/server-status">
    ProxyPass !
    SetHandler server-status
</Location>
$tls
ProxyPass / \@ORIGIN\@/
CONF
$t->allow_log(qr/AH01873|AH01882|AH01906|AH01909/);
my $auto = $t->origin_auto(sub {
    my $request = shift;
    my %fields = ('Cache-Control' => 'max-age=600, public');
    $fields{Vary} = "X-Field-$1" if $request->{target} =~ m{^/vary/(\d+)};
    $fields{'Cache-Tag'} = qq{<script>"'\\} if $request->{target} =~ m{^/tag};
    $fields{'X-Odd'} = "a\xc2\x9b2Jb\xe2\x80\xa8" if $request->{target} =~ m{^/c1};
    @fields{'Vary', 'Content-Encoding'} = ('Accept-Encoding', 'gzip') if $request->{target} =~ m{^/gzip};
    return ($request->{target} =~ m{^/fail} ? 500 : 200, \%fields, 'page');
});
my $base = 'http://127.0.0.1:' . $t->port;
my $status = 'http://127.0.0.1:' . $t->port('STATUS_PORT') . '/';
my @status = (':port' => $t->port('STATUS_PORT'));

# --- words of visitors ------------------------------------------------------------------

my @words = ('<script>alert(1)</script>', '"><img src=x>', "'};alert(1)//", '\\"}\\n', '%0d%0aX: y', '&lt;b&gt;',
             '{{x}}', '${jndi:x}');
for my $word (@words) {
    (my $target = "/w?$word") =~ s/ /%20/g;
    (my $path = "/fail/$word") =~ s/ /%20/g;
    $t->get($target, 'User-Agent' => $word, 'X-Device-Type' => $word) for 1 .. 3;
    $t->get($path, 'User-Agent' => $word);
    $t->get('/tag', Cookie => $word, 'Accept-Language' => $word, Referer => $word);
}
$t->get('/host', Host => $_) for 'a<b', 'x"y', "o'k", 'a.b-c_d', '[2001:db8::1]:81', "caf\xe9.example", 'a\\b';
for my $bytes ("\xff\xfe", "\xc3\xa9", "\xc2\x9b2J", "\xed\xa0\x80", "\xf4\x90\x80\x80") {
    $t->get("/b?$bytes", 'User-Agent' => $bytes);
}
my %page = map { $_ => $t->get("/?$_", @status)->{body} } '', qw(json prometheus auto refresh);
for my $form ('', 'refresh') {
    my @tags = $page{$form} =~ /<(?!!DOCTYPE)\/?([a-zA-Z]\w*)/g;
    is join(' ', grep { !/^(?:html|head|meta|title|style|body|header|h1|h2|p|nav|a|main|section|div|b|span|i|svg|g|br|rect|table|tr|th|td|details|summary|footer|ul|li|code|small)$/i } @tags),
        '', "?$form: no element that we have not made";
    unlike $page{$form}, qr/<[^>]*[\s"']on\w+\s*=/i, '  no handlers of events';
    like $page{$form}, qr/&lt;b&gt;|%3Cscript|&lt;script|\Q%22\E/i, '  but what was asked for is there';
    unlike $page{$form}, qr/[\x00-\x09\x0b-\x1f\x7f]/, '  and no control character';
}
like $t->get('/', @status)->header('Content-Security-Policy'), qr/default-src 'none'/,
    'no browser would run a script there';
my $json = eval { JSON::PP->new->utf8->decode($page{json}) };
ok $json, '?json is JSON in UTF-8' or diag $@;
unlike $page{json}, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/, '  without control characters';
my @lines = split /\n/, $page{prometheus};
is join("\n", grep { !/^(?:# (?:HELP|TYPE) devcache_\w+ .+|devcache_\w+(?:\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? [-+\d.e]+)$/ } @lines),
    '', '?prometheus: every line is one';
is join("\n", grep { !/^[\w-]+: \d+$/ } split /\n/, $page{auto}), '', '?auto: every line is a name and a number';
my $server = $t->get('/server-status')->{body};
my ($section) = $server =~ m{<h2>devcache</h2>(.*?)</dl>}s;
unlike $section // '<script', qr/<script|<img/, 'server-status';
my @logged = $t->{httpd}->lines('json.log');
for my $line (@logged) {
    my @values = $line =~ /^("(?:[^"\\]|\\.)*"|null) ("(?:[^"\\]|\\.)*"|null) ("(?:[^"\\]|\\.)*"|null)$/;
    next if @values == 3 && eval { JSON::PP->new->utf8->decode('[' . join(',', @values) . ']') }
        && $line !~ /[\x00-\x1f\x7f]|\xc2[\x80-\x9f]/;
    fail("the JSON log: $line");
}
cmp_ok scalar @logged, '>', 30, 'the JSON log has a line for each request';

# Of stored bytes nothing reaches a terminal that it would obey.
$t->get('/c1', 'User-Agent' => PC);
for (['ls'], ['ls', '--json'], ['show', "$base/c1"], ['show', "$base/c1", '--json'], ['verify']) {
    my $ran = ctl(@$_, '--root', $t->root);
    unlike $ran->{out} . $ran->{err}, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/, "devcachectl @$_[0], --json?: nothing to obey";
    is $ran->{exit}, 0, '  and it works';
}
like ctl('show', "$base/c1", '--root', $t->root, '--json')->{out}, qr/"a\\u009b2Jb\xe2\x80\xa8"/, 'C1 is escaped in JSON';

# --- IPv6, targets, https ---------------------------------------------------------------------

my $six = $t->get('/six', Host => '[2001:db8::1]:8080', 'User-Agent' => PC);
like $six->header('Cache-Status'), qr{key="http://\[2001:db8::1\]:\d+/six"}, 'an IPv6 host is in brackets';
my $port = $t->port;
like ctl('ls', '--root', $t->root)->{out}, qr{http://\[2001:db8::1\]:$port/six$}m, '  in ls too';
my $shown = ctl('show', "http://[2001:db8::1]:$port/six", '--root', $t->root);
is $shown->{exit}, 0, '  and it is found by that';
like $shown->{out}, qr{^  target    proxy-server proxy:http://127\.0\.0\.1:\d+/six }m, 'show: the target can be read';
$t->get('/secret/a', 'User-Agent' => PC, Authorization => 'Basic c2VjcmV0OnNlY3JldA==');
my $secret = ctl('show', "$base/secret/a", '--root', $t->root);
like $secret->{out}, qr/^  target    proxy-server /m, '  of one with a secret in its key';
unlike $secret->{out}, qr/c2VjcmV0/, '  which is not told';
unlike ctl('show', "$base/secret/a", '--root', $t->root, '--json')->{out}, qr/c2VjcmV0/, '  in JSON neither';

# warm and browsers send Accept-Encoding, explain what it is told to.
my @gzip = ('-H', 'Accept-Encoding: gzip, deflate, br, zstd');
$t->get('/gzip', 'User-Agent' => PC, 'Accept-Encoding' => 'gzip, deflate, br, zstd');
my $bare = ctl('explain', "$base/gzip", '-A', PC, '-u', "$base/st");
like $bare->{out}, qr/^because +vary: .*\n +browsers send more: try (-H '[^']+')/m, 'explain of a variant for other headers: what to try';
like ctl('explain', "$base/gzip", '-A', PC, '-u', "$base/st", @gzip)->{out}, qr/^answer +hit/m, '  and so it is found';

SKIP: {
    skip 'no openssl here', 10 unless $openssl;
    my $https = 'https://127.0.0.1:' . $t->port('TLS');
    $t->curl('-k', '-A', 'curl', "$https/tls");
    for my $url ("$base/st", "$https/st") {
        my $why = ctl('explain', "$https/tls", '-A', 'curl', '-k', '--url', $url);
        like $why->{out}, qr{^key +\Q$https\E/tls$}m, "explain of https, asked at $url: the key";
        like $why->{out}, qr{^answer +hit: }m, '  the answer';
    }
    like ctl('explain', 'http://127.0.0.1:' . $t->port('TLS') . '/tls', '-u', "$base/st")->{out},
        qr{^answer +httpd: }m, 'explain of http there: not TLS';
    my $doubt = ctl('stats', '--url', "$https/st");
    is $doubt->{exit}, 1, 'a certificate of nobody';
    like $doubt->{err}, qr/certificate/, '  is told';
    is ctl('stats', '-k', '--url', "$https/st")->{exit}, 0, '  and taken if told to';
    my $list = $t->write_file('tls', "$https/warm\n");
    is ctl('warm', '-f', $list)->{exit}, 1, 'warm: not taken';
    is ctl('warm', '-k', '-f', $list)->{exit}, 0, '  and taken';
}

# --- tables that fill up ------------------------------------------------------------------------

my $had = $t->counters;
cmp_ok $had->{store_specs}, '>', 0, 'a gauge of what responses vary by';
is $had->{store_max_specs}, 1024, '  with its bound';
$t->get("/vary/$_") for 1 .. 1100;
my $full = $t->counters;
is $full->{store_specs}, 1024, 'an origin that makes up names for Vary: the table is full';
cmp_ok $full->{store_no_room}, '>=', 70, '  the rest is counted as without room';
cmp_ok $full->{store_spec_bytes}, '<=', $full->{store_max_spec_bytes}, '  bytes within their bound';
cmp_ok $full->{store_files}, '<=', $full->{store_max_files}, 'a gauge of files';
$t->get('/after') for 1 .. 2;
is $auto->fetches('/after'), 1, '  what varies by nothing else is stored as ever';
is ctl_json('stats', '--root', $t->root)->{store_specs}, 1024, '  from the directory too';
like $t->get('/', @status)->{body}, qr/kinds of Vary/, '  and the page tells';

$t->finish;

# --- a segment without end -------------------------------------------------------------------

my $long = DevCache::Test->start("<Location />\nDevCache On\n</Location>\nProxyPass / \@ORIGIN\@/\n");
$long->stop;
my ($segment) = glob $long->root . '/seg-*';
truncate $segment, 1 << 42 or diag "truncate: $!";
for (['ls'], ['verify']) {
    my $ran = ctl(@$_, '--root', $long->root);
    is $ran->{exit}, $_->[0] eq 'ls' ? 0 : 1, "a segment of 4 TB: $_->[0] ends";
    like $ran->{out}, qr/longer than any segment/, '  and says what is wrong' if $_->[0] eq 'verify';
}
truncate $segment, 64;
$long->start_again;
$long->finish;

# --- servers that mean no good ------------------------------------------------------------------

# One answer to whoever asks, until it is over.
sub evil {
    my ($answer, @args) = @_;
    my $listen = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        alarm 60;
        $SIG{PIPE} = 'IGNORE';
        while (my $client = $listen->accept) {
            sysread $client, my $request, 65536;
            my $n = 0;
            while (defined(my $text = $answer->($n++))) {
                last unless defined syswrite $client, $text;
            }
        }
        POSIX::_exit(0);
    }
    my $ran = ctl(map { s/URL/'http:\/\/127.0.0.1:' . $listen->sockport . '\/'/er } @args);
    kill KILL => $pid;
    waitpid $pid, 0;
    return $ran;
}
sub once { my $text = shift; return sub { return $_[0] ? undef : $text } }
sub answer { my ($body, $code) = @_; return once('HTTP/1.1 ' . ($code // 200) . " X\r\nContent-Length: " . length($body) . "\r\n\r\n$body") }
my $huge = '9223372036854775807';
my $odd = qq({"url":"\\u001b[2J","vhost":3,"device":[],"answer":"hit","status":-$huge,"because":{"reason":"\\u009b"},)
    . qq("odd_field":{"name":"\\u001b","why":1},"stored":{"status":$huge,"stored_at":$huge,"fresh_until":-$huge,"ttl":-$huge,)
    . qq("headers":"x","variant":[1],"lifetime":{"seconds":$huge}},"directives":[{"directive":"\\u001b"},2]});
my $numbers = '{"totals":{"requests":1e300,"bytes_sent_from_cache":1e300},"time":1e300,"started":-1e300,"stores":[{"root":"\\u001b[2J","bytes":1e300}],'
    . '"threads":{"max":1e300},"busiest":{"seconds":1e300,"urls":[{"url":"\\u001b[2J","requests":1e300},1]}}';
my @explain = qw(explain http://a/ --url URL);
my @top = qw(top -i 0.1 --url URL);
for (['words to a terminal', answer($odd), 0, @explain],
     ['the same as JSON', answer($odd), 0, @explain, '--json'],
     ['numbers beyond all bounds', answer($numbers), 0, @top],
     ['names of counters', answer("requests: 1\nhits: 1\n\e[31mx: \e[2J\n"), 0, qw(stats --url URL)],
     ['an error', answer('{"error":"\\u001b[2J\\u009b\\nx"}', 403), 1, @explain],
     ['a refusal', answer('{"error":"\\u001b[2J\\u009b\\nx"}', 403), 1, qw(purge URL)],
     ['a purge as JSON', answer(qq({"purged": 1, "x": "\xc2\x9b"})), 0, qw(purge URL --json)],
     ['deep nesting', answer('[' x 1_000_000), 1, @explain],
     ['no end', sub { return $_[0] ? '0,' x 30_000 : "HTTP/1.1 200 X\r\n\r\n[" }, 1, @top],
     ['header without end', sub { return $_[0] ? "X-$_[0]: " . 'x' x 2000 . "\r\n" : "HTTP/1.1 200 X\r\n" }, 1, @explain],
     ['a line without end', sub { return $_[0] ? 'x' x 65536 : "HTTP/1.1 200 X\r\nX: " }, 1, @explain],
     ['interim answers without end', sub { return "HTTP/1.1 103 X\r\nA: b\r\n\r\n" x 100 }, 1, @top],
     ['a redirect to a file', once("HTTP/1.1 302 X\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"), 1, @explain],
     ['zeros', answer("\0" x 1000), 1, @top],
     ['nothing', once(''), 1, @explain]) {
    my ($what, $answer, $exit, @args) = @$_;
    my $ran = evil($answer, @args);
    is $ran->{exit}, $exit, "a server with $what: exit code $exit" or diag $ran->{err};
    unlike "$ran->{out}$ran->{err}", qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|runtime error|Sanitizer/, '  nothing to obey';
    unlike $ran->{out}, qr/root:/, '  nothing that is not the server\'s';
    like $ran->{err}, $exit ? qr/\Adevcachectl \w+: [^\n]{20,}\n\z/ : qr/\A\z/, $exit ? '  one sentence' : '  silently';
}
like evil(answer('{"totals":{},"busiest":{"urls":[{"url":"u","requests":500,"over":496,"hits":3}]}}'), @top)->{out},
    qr/^ +<=500 +75%  u$/m, 'requests that may be of other URLs, and the share of hits of those that are not';
like evil(sub { return $_[0] ? '0,' x 30_000 : "HTTP/1.1 200 X\r\n\r\n[" }, @top)->{err}, qr/longer than 16 MB/, 'how much is too much';

# --- sentences ------------------------------------------------------------------------------------

like ctl('ls', 'http://a/', '--polish')->{err}, qr/there is no option --polish/, 'the wrong option is named, not the argument';
like ctl('ls', '-r', "$dir/not")->{err}, qr/No such file.*--root/, 'no directory: how to name it';
symlink $dir, "$dir/link";
like ctl('ls', '-r', "$dir/link")->{err}, qr/symbolic link/, 'a symbolic link: told';
like evil(answer('x', 414), @explain)->{err}, qr/too long/, 'a URL that is too long';
like ctl('stats', '-u', 'http://127.0.0.1:9/')->{err}, qr/does the server run.*--url/, 'no server: what to look at';
done_testing;
