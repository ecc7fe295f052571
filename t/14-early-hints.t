# SPDX-License-Identifier: Apache-2.0
# t/14-early-hints.t. DevCacheEarlyHints: while the origin is asked, a client of HTTP/2 is told what
# the stale page links to.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

if (($ENV{DEVCACHE_MPM} // 'event') eq 'prefork') {
    plan skip_all => 'mod_http2 needs threads';
}
my $t = DevCache::Test->start(<<'CONF', modules => ['http2'], origins => 2);
Protocols h2c http/1.1
H2EarlyHints on
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheEarlyHints On
</Location>
<Location "/off/">
    DevCacheEarlyHints Off
</Location>
ProxyPass /played/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my @short = ('Cache-Control' => 'max-age=1', ETag => '"1"');
my @links = (Link => '</a.css>; rel=preload; as=style, <https://cdn.example/>;rel="dns preconnect"',
             Link => '</next>; rel=next', Link => '</m.js>; rel=modulepreload');
my $want = '</a.css>; rel=preload; as=style, <https://cdn.example/>;rel="dns preconnect", '
         . '</m.js>; rel=modulepreload';

sub h2 {
    my ($path, @headers) = @_;
    my @args;
    while (my ($name, $value) = splice @headers, 0, 2) { push @args, '-H', "$name: $value" }
    return $t->curl('--http2-prior-knowledge', @args, $path);
}
sub hints { return join ' | ', map { "$_->{status} $_->{headers}{link}" } @{ $_[0]{interim} } }

subtest 'a stale page\'s links come before the page' => sub {
    for my $path ('/p', '/none', '/off/p') {
        $site->ask($path, [200, @short, $path eq '/none' ? () : @links], 'User-Agent' => PC);
        is hints(h2($path, 'User-Agent' => PC)), '', "$path: a fresh page needs none";
    }
    $t->clock_advance(2);
    my $r = h2('/p', 'User-Agent' => PC);
    is $r->{status}, 200, 'the page comes';
    is hints($r), "103 $want", 'and before it these links';
    is hints(h2('/none', 'User-Agent' => PC)), '', 'a page without links';
    is hints(h2('/off/p', 'User-Agent' => PC)), '', 'switched off';
    $t->clock_advance(70);
    is hints(h2('/p', 'User-Agent' => PHONE)), '', 'another class is told nothing of it';
    is hints(h2('/new', 'User-Agent' => PC)), '', 'nor is who asks for what is not stored';
    $t->clock_advance(70);
    is scalar @{ $t->get('/p', 'User-Agent' => PC)->{interim} }, 0, 'HTTP/1.1 is as ever';
};

subtest 'they come while the origin thinks' => sub {
    my $x = $t->send_req('/played/x');
    $t->origin(2)->accept->reply(200, {@short, Link => '</x.css>; rel=preload'}, 'x');
    $x->response;
    $t->clock_advance(2);
    open my $out, '-|', 'curl', '-sSN', '-i', '--http2-prior-knowledge',
        'http://127.0.0.1:' . $t->port . '/played/x' or die "curl: $!";
    my $fetch = $t->origin(2)->accept;
    ok $t->wait_log(qr{DC0263.*/played/x: </x\.css>}, 1), 'it is told before the origin has answered';
    $fetch->reply(200, {@short}, 'new');
    my $all = do { local $/; <$out> };
    like $all, qr/^HTTP\/2 103 \r?\nlink: <\/x\.css>; rel=preload.*200.*new\z/is, 'then comes the page';
};

$t->finish;

my ($status, $text) = DevCache::Test->configtest(
    "<Location \"/\">\nDevCache On\nDevCacheEarlyHints On\n</Location>\n");
like $text, qr/DevCacheEarlyHints On .*sends nothing.*H2EarlyHints on/s, 'without H2EarlyHints';
done_testing;
