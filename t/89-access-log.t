# SPDX-License-Identifier: Apache-2.0
# The access log: what the ready formats of conf/access-log.conf say of each kind
# of answer, and that a line of JSON is one, whatever a client sends.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use DevCache::Test;

my $example = "$FindBin::Bin/../conf/access-log.conf";
open my $file, '<', $example or die "$example: $!\n";
my $formats = join '', grep { /^LogFormat/ } <$file>;
# A name of its own for the plain one: the harness has a "devcache".
$formats =~ s/" devcache$/" plain/m or die 'no plain format';

my $t = DevCache::Test->start(<<"CONF" . <<'CONF', modules => ['logio']);
$formats
CONF
CustomLog "@DIR@/plain.log" plain
CustomLog "@DIR@/json.log" devcache_json
<Location "/">
    DevCache On
    DevCacheStaleIfError 600
</Location>
<Location "/off">
    DevCache Off
</Location>
ProxyPass / @ORIGIN@/ disablereuse=on
CONF

my $lines = 0;
sub fetch {
    my ($path, $reply, @headers) = @_;
    my $request = $t->send_req($path, 'User-Agent' => PHONE, @headers);
    $t->origin->accept->reply(@$reply) if $reply;
    $request->response;
    return last_line();
}

# The newest line of each log, as soon as it is there.
sub last_line {
    $lines++;
    my (@json, @plain);
    wait_until(sub {
        @json = $t->{httpd}->lines('json.log');
        @plain = $t->{httpd}->lines('plain.log');
        return @json == $lines && @plain == $lines;
    }) or die @json . " lines of JSON, not $lines";
    my $data = eval { decode_json($json[-1]) } or die "$@: $json[-1]";
    return ($data, $plain[-1]);
}

my %fresh = ('Cache-Control' => 'max-age=60');
my ($line, $plain) = fetch('/a?x=1', [200, {%fresh}, 'x' x 3000]);
is $line->{cache}, 'miss', 'a miss';
is $line->{device}, 'mobile', 'of a phone';
is $line->{request}, 'GET /a?x=1 HTTP/1.1', 'the request';
is $line->{status}, 200, 'the status';
is $line->{bytes}, 3000, 'bytes sent';
is $line->{origin_bytes}, 3000, 'bytes of the origin';
cmp_ok $line->{origin_usec}, '>', 0, 'its time';
cmp_ok $line->{origin_usec}, '<=', $line->{usec}, 'is a part of the whole';
is $line->{age}, undef, 'no age';
is $line->{referer}, undef, 'no referer: null';
is $line->{vhost}, '127.0.0.1', 'the virtual host';
is $line->{port}, $t->port, 'its port';
like $line->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[-+]\d{4}$/, 'the time';
like $plain, qr{^127\.0\.0\.1 - - \[.*?\] "GET /a\?x=1 HTTP/1\.1" 200 \d+ "-" "Mozilla[^"]*" \d+ miss mobile - uri-miss \d+ 3000$},
    'the plain line';

($line, $plain) = fetch('/a?x=1');
is $line->{cache}, 'hit', 'a hit';
is $line->{age}, 0, 'its age is a number';
is $line->{reason}, undef, 'no reason: null';
is $line->{origin_usec}, undef, 'the origin was not asked';
like $plain, qr{ hit mobile 0 - - -$}, 'plain: dashes';

($line) = fetch('/a?x=1', undef, ':method' => 'HEAD');
is "$line->{cache} $line->{bytes}", 'hit 0', 'HEAD: no bytes';

($line) = fetch('/n', [200, { 'Cache-Control' => 'no-store' }, 'nnn']);
is "$line->{cache} $line->{reason} $line->{origin_bytes}", 'miss no-store 3', 'not stored';

($line) = fetch('/a?x=1', [200, {}, 'posted'], ':method' => 'POST', ':body' => 'b');
is "$line->{cache} $line->{reason} $line->{origin_bytes}", 'bypass method 6', 'a bypass';
cmp_ok $line->{origin_usec}, '>', 0, 'the origin took its time there too';

fetch('/r', [200, {%fresh, ETag => '"r"'}, 'rrrr']);
$t->clock_advance(61);
($line) = fetch('/r', [304, {%fresh, ETag => '"r"'}]);
is "$line->{cache} $line->{bytes} $line->{origin_bytes}", 'revalidated 4 0',
    'revalidated: nothing but a header came';
$t->clock_advance(61);
($line) = fetch('/r', [500, {}, 'down']);
is "$line->{cache} $line->{status} $line->{origin_bytes}", 'stale-error 200 0', 'stale on error';
$t->clock_advance(61);
($line) = fetch('/r', [200, {%fresh, ETag => '"s"'}, 'new']);
is "$line->{cache} $line->{origin_bytes}", 'expired 3', 'expired';
($line) = fetch('/r', undef, 'If-None-Match' => '"s"');
is "$line->{cache} $line->{status} $line->{bytes}", 'hit 304 0', 'not modified';
($line) = fetch('/m', [200, {%fresh, ETag => '"m"'}, 'mmmm'], 'If-None-Match' => '"m"');
is "$line->{cache} $line->{status} $line->{bytes} $line->{origin_bytes}", 'miss 304 0 4',
    'a 304 of a miss: the origin sent all of it';
($line) = fetch('/none', undef, 'Cache-Control' => 'only-if-cached');
is "$line->{cache} $line->{status}", 'timeout 504', '504 made here';
is $line->{origin_usec}, undef, 'without asking';
($line) = fetch('/off', [200, {}, 'off']);
is $line->{cache}, undef, 'where the cache is off: null';
is $line->{device}, 'mobile', 'but the class';

# --- hostile --------------------------------------------------------------------------

sub raw {
    my $client = $t->client;
    $client->send_raw($_[0]);
    my ($said) = last_line();
    return $said;
}

my $odd = qq{"\\ <\xff\xfe\xc3\xa9> \x{7f}};
for my $agent ($odd, qq{","cache":"hit"}, qq{\x0b\t\\x41\\}, "\xed\xa0\x80") {
    my $said = raw("GET /none HTTP/1.1\r\nHost: x\r\nUser-Agent: $agent\r\n"
        . "Cache-Control: only-if-cached\r\nReferer: $agent\r\nConnection: close\r\n\r\n");
    is scalar(grep { ref } values %$said), 0, 'one flat object';
    is scalar(keys %$said), 16, 'of as many members as ever';
}
is raw("GET /\xff\"\\\x01 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")->{status}, 400,
    'a request line that is none';
is raw("\x16\x03\x01\"\x02\r\n\r\n")->{status}, 400, 'and what is not HTTP at all';

$t->finish;
done_testing;
