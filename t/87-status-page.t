# SPDX-License-Identifier: Apache-2.0
# The status page for people, and the section in server-status: well-formed, complete, and
# with nothing in it that a stranger could have put there as markup.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', modules => ['status']);
ServerName www.example.com
<Location "/">
    DevCache On
    ProxyPass @ORIGIN@/ disablereuse=on
</Location>
<Location "/server-status">
    DevCache Off
    ProxyPass !
    SetHandler server-status
</Location>
CONF
my $port = $t->port('STATUS_PORT');

sub page { return $t->get("/@_", ':port' => $port) }

# What is wrong with the nesting of elements; '' if nothing is.
sub trouble_in {
    my $html = shift;
    my %void = map { $_ => 1 } qw(meta br hr);
    my @open;
    $html =~ s/^<!DOCTYPE html>\n// or return 'no doctype';
    $html =~ s{<style>[^<]*</style>}{};
    pos($html) = 0;
    while (pos($html) < length $html) {
        if ($html =~ m{\G(?:[^<>&]|&(?:amp|lt|gt|quot|\#39);)+}gc) {
        } elsif ($html =~ m{\G</(\w+)>}gc) {
            my $was = pop @open // 'nothing';
            return "</$1> in $was" if $was ne $1;
        } elsif ($html =~ m{\G<(\w+)(?: [\w-]+="[^"<>]*")*(/?)>}gc) {
            push @open, $1 if !$void{$1} && !$2;
        } else {
            return 'neither element nor text: ' . substr $html, pos $html, 60;
        }
    }
    return "left open: @open" x !!@open;
}

sub well_formed {
    my ($what, $html) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is trouble_in($html), '', $what;
}

isnt trouble_in("<!DOCTYPE html>\n<p><b></p>"), '', 'the check finds wrong nesting';
isnt trouble_in("<!DOCTYPE html>\n<p>a & b</p>"), '', 'and text that is not escaped';
is trouble_in("<!DOCTYPE html>\n<p a=\"b\">a &amp; b<br></p>"), '', 'and nothing else';

# --- empty ----------------------------------------------------------------------------

my $empty = page();
well_formed('an empty page is well-formed', $empty->{body});
like $empty->{body}, qr/no request has come/, 'and says that it is empty';
like $empty->{body}, qr/No trouble in the last hour/, 'nothing hurts';
like $empty->{body}, qr/None since httpd was started/, 'no errors';
like $empty->{body}, qr/class="state idle"/, 'without requests the edge is not green';

# --- used -----------------------------------------------------------------------------

sub fetch {
    my ($path, $reply, @headers) = @_;
    my $request = $t->send_req($path, @headers);
    $t->origin->accept->reply(@$reply) if $reply;
    return $request->response;
}

my %fresh = ('Cache-Control' => 'max-age=60');
my $hostile = q{/%3Cscript%3Ealert(1)%3C/script%3E%22onload=%22x'};
for my $agent (PC, TABLET, PHONE) {
    fetch($hostile, [200, {%fresh}, 'x' x 5000], 'User-Agent' => $agent);
    fetch($hostile, undef, 'User-Agent' => $agent) for 1 .. 3;
}
fetch('/no', [200, { 'Cache-Control' => 'no-store' }, 'n']);
fetch("$hostile/500?a=1&b='", [500, {}, 'n']);
$t->wait_counter(hits => 9);
wait_until(sub { page()->{body} =~ /origin failed/ });

my $page = page();
my $html = $page->{body};
well_formed('a used page is well-formed', $html);
unlike $html, qr/<script|onload="/i, 'no script, not even that of the URL';
like $html, qr/class="state bad"/, 'the edge is red while one request in twenty fails';
like $html, qr/<ul class="hurts">\n<li>7\.1 % of the requests of the last hour failed\..*DevCacheErrors\.<.*<li>[^<]*the origin failed with 500: once, last [^<]* ago\. <span[^>]*>[^<]*DevCacheOriginFailing\..*<div class="tiles">/s,
    'first what hurts, and where the manual says what to do';
like $html, qr/Why not from the cache.*no-store\).*s-maxage.*The last hour.*By host and device/s,
    'next, why misses, and what to do about it';
like $html, qr{<h1>devcache <small>\d+\.\d+}, 'the version';
like $html, qr/all of them/, 'a row with the sum of the devices';
like $html, qr/&lt;script&gt;alert\(1\)/, 'which is there as text';
unlike $html, qr/(?:src|href|action)="(?!\?)|url\(/i, 'it needs nothing from outside';
like $page->header('Content-Security-Policy'), qr/^default-src 'none'; style-src 'unsafe-inline'/,
    'and would not be let';
is $page->header('X-Content-Type-Options'), 'nosniff', 'nor be taken for something else';
like $html, qr/<meta name="viewport" content="width=device-width/, 'made for phones too';
like $html, qr/prefers-color-scheme:dark/, 'and for the night';
like $html, qr/Of <b>14<\/b> requests in the last hour <b>64\.3 %<\/b>/, 'in a sentence';
like $html, qr/<svg class="share".*?<rect class="hit"/s, 'a chart of the last hour';
is scalar(() = $html =~ /min ago,|this minute,/g), 120, 'of sixty minutes, twice';
for my $name (qw(hits misses failed)) {
    like $html, qr/<tr><td>$name<\/td>.*?<svg class="hist"/, "how long $name take";
}
for my $device (qw(pc tablet mobile)) {
    like $html, qr/www\.example\.com<\/td><td[^>]*>$device</, "a row for $device";
}
like $html, qr/<span>bytes<\/span><span>[\d.]+ [KM]B of 1\.0 GB</, 'how full it is';
like $html, qr/threads of httpd that serve<\/span><span>\d+ of \d+</, 'and httpd';
like $html, qr/the response says no-store/, 'why not cached';
like $html, qr/the origin failed with 500.*?such as http:/s, 'the last error';
like $html, qr/<td>hits<\/td><td class="n">9</, 'all counters';
unlike $html, qr/http-equiv="refresh"/, 'it stays as it is';
like page('?refresh')->{body}, qr/<meta http-equiv="refresh" content="10">/, 'unless asked to';
well_formed('also then', page('?refresh')->{body});

# --- server-status --------------------------------------------------------------------

my $status = $t->get('/server-status')->{body};
like $status, qr/<h2>devcache<\/h2>.*14 requests: 9 hits \(64\.3 %\), 4 misses, 0 bypassed, 1 failed/s,
    'a section in server-status';
like $status, qr/cache: [\d.]+ [KM]B of 1\.0 GB/, 'with the store';
my %auto = $t->get('/server-status?auto')->{body} =~ /^(DevCache\w+): (\d+)$/mg;
is_deeply { map { $_ => $auto{$_} } qw(DevCacheHits DevCacheMisses DevCacheErrors DevCacheStoreSize) },
    { DevCacheHits => 9, DevCacheMisses => 4, DevCacheErrors => 1, DevCacheStoreSize => 1 << 30 },
    'and in its ?auto';

$t->finish;
done_testing;
