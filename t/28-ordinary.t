# SPDX-License-Identifier: Apache-2.0
# t/28-ordinary.t. What is stored for all comes from ordinary requests: fields that are not
# known, that ask for another form or that take the origin somewhere else, and what the
# administrator can say about them.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP qw(decode_json);
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite']);
DevCacheKnownHeaders X-Mine Test-*
DevCacheKnownHeaders X-More
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
<Location "/keyed/">
    DevCacheKeyHeaders X-Forwarded-Proto HX-Request X-Country
</Location>
<Location "/set/">
    RequestHeader set X-Forwarded-Proto https
    RequestHeader set X-Country "expr=%{req:X-Mine}"
    RequestHeader set X-Unique-ID "expr=%{TIME}%{req:X-More}"
</Location>
<Location "/added/">
    RequestHeader add X-Added once
</Location>
<Location "/unset/">
    RequestHeader unset X-Odd
    RequestHeader unset X-Forwarded-Host
</Location>
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
$t->allow_log(qr/Jwt-Assertion/);
my $serial = 0;
sub vary { return [200, 'Cache-Control' => 'max-age=60', Vary => join ', ', @_] }

# What such a request fetches is not stored, and what is stored it is given.
sub odd {
    my ($name, @fields) = @_;
    my $path = '/odd/' . ++$serial;
    $site->fetched("$name: it asks", $path, undef, @fields);
    $site->fetched("$name: not stored", $path, undef);
    return $site->cached("$name: a hit", $path, undef, @fields);
}

sub ordinary {
    my ($name, @fields) = @_;
    my $path = '/ordinary/' . ++$serial;
    $site->fetched("$name: it asks", $path, undef, @fields);
    return $site->cached("$name: stored for all", $path);
}

sub bypasses {
    my ($name, @fields) = @_;
    my $path = '/override/' . ++$serial;
    $site->fetched("$name: stored without it", $path);
    my $res = $site->fetched("$name: not answered from there", $path, undef, @fields);
    like $res->header('Cache-Status'), qr/fwd=bypass/, "$name: Cache-Status";
    $site->cached("$name: nothing has changed", $path);
}

# RequestHeader add leaves the client's own line beside the one that it adds.
$site->fetched('a line beside ours', '/added/page', undef, 'X-Added' => 'evil');
$site->fetched('what it has fetched is not stored', '/added/page');
$site->cached('what came without it is', '/added/page');

# --- known ----------------------------------------------------------------------------

ordinary("a browser's", 'User-Agent' => PC, Accept => '*/*', 'Accept-Language' => 'en',
    'Accept-Encoding' => 'gzip', Referer => 'http://a/', DNT => 1, 'Sec-GPC' => 1,
    'Sec-Fetch-Dest' => 'document', 'Sec-CH-UA' => '"x"', 'Sec-CH-UA-Mobile' => '?0',
    'Sec-CH-UA-Platform' => '"Windows"', 'Upgrade-Insecure-Requests' => 1, Priority => 'u=0, i',
    'Sec-Purpose' => 'prefetch', 'Cache-Control' => 'max-age=0');
ordinary("Cloudflare's", 'CF-Ray' => 'a-FRA', 'CF-Connecting-IP' => '192.0.2.1',
    'CDN-Loop' => 'cloudflare', 'X-Forwarded-For' => '192.0.2.1', 'CF-EW-Via' => 15);
ordinary("AWS's", 'X-Amzn-Trace-Id' => 'Root=1', 'X-Forwarded-For' => '192.0.2.1',
    'X-Amz-Cf-Id' => 'x', Via => '2.0 x.cloudfront.net (CloudFront)');
ordinary("Azure's", 'X-Azure-Ref' => 'x', 'X-Azure-FDID' => 'y', 'X-Azure-ClientIP' => '192.0.2.1',
    'X-ARR-LOG-ID' => 'z', 'X-Azure-SocketIP' => '192.0.2.1');
ordinary("Google's", 'X-Cloud-Trace-Context' => 'a/1;o=1', traceparent => '00-a-b-01');
ordinary("a mesh's", 'X-Correlation-ID' => 'a', 'X-B3-TraceId' => 'b', 'X-Envoy-Attempt-Count' => 1,
    'X-Envoy-External-Address' => '192.0.2.1', b3 => '0', tracestate => 'a=b');
ordinary("nginx's and HAProxy's", 'X-Real-IP' => '192.0.2.1', 'X-NginX-Proxy' => 'true',
    'X-Unique-ID' => 'x');
ordinary("an app's WebView", 'X-Requested-With' => 'com.example.reader');
ordinary("a crawler's", From => 'bot(at)example.com', 'User-Agent' => BOT);
ordinary("a player's", 'X-Playback-Session-Id' => 'x', 'CMCD-Session' => 'sid="y"');
ordinary('the administrator\'s', 'X-Mine' => 1, 'Test-ID' => 2, 'test-name' => 3, 'X-More' => 4);

# --- unknown --------------------------------------------------------------------------

odd('an unknown field', 'X-Odd' => 1);
odd('the same again', 'X-Odd' => 2);
odd('a known one in other letters', 'X_Real_IP' => '192.0.2.1');
odd('a country', 'CF-IPCountry' => 'DE');
odd('another browser', $_ => PHONE)
    for 'X-OperaMini-Phone-UA', 'Device-Stock-UA', 'X-Original-User-Agent', 'X-UCBrowser-UA',
    'X-Device-User-Agent', 'User_Agent';
odd('a radio player', 'Icy-MetaData' => 1);
odd('a type of nothing', 'Content-Type' => 'text/x');
odd('X-Requested-With of no kind', 'X-Requested-With' => 'fetch');
is scalar(grep { /DC0118/ && /"X-Odd"/ } $t->log_lines(qr/DC0118/)), 1,
    'the log has an unknown field once';
like +($t->log_lines(qr/"X-Odd"/))[0], qr/DevCacheKnownHeaders X-Odd/, 'with the line to write';
cmp_ok $t->counters->{'reason_odd-request'}, '>', 10, 'they are counted';

{
    my $page = $t->get('/', ':port' => $t->port('STATUS_PORT'))->{body};
    like $page, qr{field x-odd</td><td class="n">\d+</td>.*DevCacheKnownHeaders x-odd}, 'the status page names it';
    like $page, qr{field device-stock-ua<.*nothing: it may tell another device}, 'and says what cannot be mended';
}
{
    my $vary = vary('X-Odd');
    $site->fetched('compared by Vary', '/vary', $vary, 'X-Odd' => 'a');
    $site->cached('its variant is stored', '/vary', undef, 'X-Odd' => 'a');
    $site->fetched('and another', '/vary', $vary, 'X-Odd' => 'b');
    $site->cached('both are', '/vary', undef, 'X-Odd' => $_) for 'a', 'b';
    $site->fetched('a second field is not compared', '/vary2', $vary, 'X-Odd' => 1, 'X-Odder' => 1);
    $site->fetched('so it was not stored', '/vary2', $vary, 'X-Odd' => 1);
}
{
    my @many = map { ("X-Made-Up-$_" => 1) } 1 .. 90;
    $site->fetched('ninety fields', '/many', undef, @many);
    $site->fetched('are not stored', '/many');
    $site->cached('and get a hit', '/many', undef, @many);
}

# What an odd request fetches says nothing about what is stored.
{
    my @stale = (200, 'Cache-Control' => 'max-age=1', ETag => '"v"', ':body' => 'kept');
    for my $answer ([404, 'Cache-Control' => 'max-age=9'], [200, 'Cache-Control' => 'private'],
        [200, 'Cache-Control' => 'no-store', 'Set-Cookie' => 'a=b'], [410], [302, Location => '/x'])
    {
        my $path = '/touches/' . ++$serial;
        $site->fetched("before $answer->[0]", $path, \@stale);
        $t->clock_advance(2);
        my $res = $site->fetched('an odd one asks', $path, $answer, 'X-Odd' => 1);
        is $res->{status}, $answer->[0], 'and has its answer';
        ok !defined $site->last_request->[2]{'if-none-match'}, 'it confirms nothing for others';
        $res = $site->fetched('an ordinary one validates', $path, [304, ETag => '"v"']);
        is $res->{body}, 'kept', 'what was stored is there';
    }
    for my $answer ([200, 'Cache-Control' => 'private'], [404, 'Cache-Control' => 'max-age=9']) {
        my $path = '/head/' . ++$serial;
        $site->fetched('before HEAD', $path, \@stale);
        $t->clock_advance(2);
        $site->fetched('HEAD', $path, $answer, 'X-Odd' => 1, ':method' => 'HEAD');
        is $site->ask($path, [304, ETag => '"v"'])->{body}, 'kept', 'what was stored is there';
    }
}

# --- overrides ------------------------------------------------------------------------

bypasses($_, $_ => 'x') for 'Forwarded', 'X-Forwarded-Proto', 'X-Forwarded-Host',
    'CloudFront-Forwarded-Proto', 'CF-Visitor', 'Fastly-SSL', 'X-ARR-SSL', 'X-Scheme',
    'Front-End-Https', 'X-Original-URL', 'X-Rewrite-URL', 'X-Script-Name', 'X-Sendfile-Type',
    'X-Now-Route-Matches', 'X-Invoke-Path', 'X-Invoke-Query', 'X-Matched-Path', 'x-nextjs-data',
    'X-Middleware-Subrequest', 'X-Next-Revalidated-Tags', 'X-React-Router-SPA-Mode',
    'x-nuxt-no-ssr', 'X-HTTP-Method-Override', 'Client-Cert', 'X-Forwarded-Client-Cert',
    'X-Forwarded-User', 'Remote-User', 'X-API-Key', 'X-Amzn-Oidc-Data', 'Cf-Access-Jwt-Assertion',
    'X-MS-CLIENT-PRINCIPAL', 'X-Goog-Authenticated-User-Email', 'X-WP-Nonce', 'sw-context-token',
    'X-CSRF-Token', 'x_forwarded_HOST', 'X_Invoke_Path';
like +($t->log_lines(qr/"CF-Visitor"/))[0], qr/not used.*DevCacheKeyHeaders CF-Visitor/,
    'the log names them';
$site->fetched("keyed, $_", '/keyed/p', undef, 'X-Forwarded-Proto' => $_) for 'http', 'https';
$site->cached("keyed, $_", '/keyed/p', undef, 'X-Forwarded-Proto' => $_) for 'http', 'https';
$site->fetched('keyed, none', '/keyed/p');
$site->fetched("a keyed unknown one, $_", '/keyed/q', undef, 'X-Country' => $_) for 'DE', 'FR';
$site->cached("it is stored, $_", '/keyed/q', undef, 'X-Country' => $_) for 'DE', 'FR';

# --- other forms ----------------------------------------------------------------------

for my $form (['HX-Request' => 'true'], ['X-Requested-With' => 'XMLHttpRequest'],
    ['Turbo-Frame' => 'a'], ['X-PJAX' => 'true'], ['X-Inertia' => 'true'], [RSC => 1],
    ['Next-Router-Prefetch' => 1], ['Surrogate-Capability' => 'a="ESI/1.0"'],
    ['Accept-Version' => 2])
{
    my ($name, $path) = ($form->[0], '/form/' . ++$serial);
    my $page = $site->fetched("$name: the page", $path, [200, 'Cache-Control' => 'max-age=60']);
    $site->fetched("$name: asks for itself", $path, undef, @$form);
    $site->fetched("$name: and again", $path, undef, @$form);
    is $site->cached("$name: the page is as it was", $path)->{body}, $page->{body}, 'it is';
    $site->fetched("$name: compared", $path, vary($name), @$form);
    my $part = $site->cached("$name: then stored", $path, undef, @$form);
    isnt $part->{body}, $page->{body}, 'apart from the page';
    is $site->cached("$name: which is there", $path)->{body}, $page->{body}, 'as it was';
}
$site->fetched('a keyed form', '/keyed/form', undef, 'HX-Request' => 'true');
$site->cached('is stored', '/keyed/form', undef, 'HX-Request' => 'true');
$site->fetched('beside the page', '/keyed/form');

# --- what the configuration sets ------------------------------------------------------

$site->fetched("set: $_", '/set/p', undef, 'X-Mine' => $_) for 'DE', 'FR';
is $site->last_request->[2]{'x-country'}, 'FR', 'the origin is sent it';
is $site->last_request->[2]{'x-forwarded-proto'}, 'https', 'an override as well';
$site->cached("set: $_ is a variant", '/set/p', undef, 'X-Mine' => $_) for 'DE', 'FR';
$site->cached('what a client says in its place does not count', '/set/p', undef, 'X-Mine' => 'DE',
    'X-Forwarded-Proto' => 'http', 'X-Country' => 'FR');
$site->cached('a number of each request is not compared', '/set/p', undef, 'X-Mine' => 'DE',
    'X-More' => 5);
$site->fetched('what is unset', '/unset/p', undef, 'X-Odd' => 1, 'X-Forwarded-Host' => 'evil');
$site->cached('is not sent, so it does no harm', '/unset/p');

# --- devices --------------------------------------------------------------------------

for my $case (['a phone that is none', PHONE, 'Sec-CH-UA-Mobile' => '?0'],
    ['a desktop on Android', PC, 'Sec-CH-UA-Platform' => '"Android"', 'Sec-CH-UA-Mobile' => '?'],
    ['a phone by Windows', PHONE, 'Sec-CH-UA-Platform' => '"Windows"'],
    ['a hint that is none', PC, 'Sec-CH-UA-Mobile' => 'true'],
    ['a hint twice', PHONE, 'Sec-CH-UA-Mobile' => '?1', 'Sec-CH-UA-Mobile' => '?0'])
{
    my ($name, $agent, @hints) = @$case;
    my $path = '/device/' . ++$serial;
    $site->fetched($name, $path, undef, 'User-Agent' => $agent, @hints);
    $site->fetched("$name: not stored", $path, undef, 'User-Agent' => $agent);
    $site->cached("$name: a hit of its class", $path, undef, 'User-Agent' => $agent, @hints);
}

# --- data at the URL of a page ----------------------------------------------------------

# Of one spelling as of another, as long as it leaves out pages.
my $page = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
for my $takes ('*/*', 'application/json, text/plain, */*', 'text/*', $page, 'text/html, image/gif, *; q=.2') {
    $site->fetched("a page, Accept: $takes", "/data/$takes" =~ tr/ ;,//dr, undef, Accept => $takes);
    $site->cached('and without', "/data/$takes" =~ tr/ ;,//dr);
}
for my $first ([Accept => $page], []) {
    my $path = '/data/' . ++$serial;
    $site->fetched('a page', $path, undef, @$first);
    my $data = $site->fetched('data at its URL', $path, undef, Accept => 'application/json');
    is $site->cached('the page again', $path, undef, Accept => '*/*')->{body} ne $data->{body}, 1, 'is no data';
    is $site->cached('the data', $path, undef, Accept => 'application/activity+json, application/ld+json')->{body},
        $data->{body}, 'is the same';
}

# --- errors ---------------------------------------------------------------------------

for my $status (400, 403, 404, 500, 503) {
    my @answer = ($status, 'Cache-Control' => 'max-age=60');
    my %case = ('a large header' => ['X-Mine' => 'x' x 5000], 'a letter that is none' => ["X-Mine" => "\xff"],
        'a tab' => ['X-Mine' => "a\tb"], 'an odd field' => ['X-Odd' => 1],
        'markup' => ['User-Agent' => PC . '<script>'], 'a quote' => [Referer => "http://a/?q=' or 1"],
        'a path upwards' => [Accept => '../../secret'], 'a command' => ['X-Forwarded-For' => '\${x:y}'],
        'a cookie of odd letters' => [Cookie => 'a=b|c'], 'a range' => [Range => 'bytes=5-2']);
    for my $name (sort keys %case) {
        my $path = '/error/' . ++$serial;
        $site->fetched("$status, $name", $path, \@answer, @{ $case{$name} });
        is $site->fetched("$status, $name: not stored", $path)->{status}, 200, 'the page';
    }
    my $path = '/error/' . ++$serial;
    $site->fetched("$status", $path, \@answer);
    $site->cached("$status, plain: stored", $path);
}
for my $status (403, 404) {
    my ($path, @answer) = ("/program/$status", $status, 'Cache-Control' => 'max-age=60');
    my $again = $status == 403 ? 'fetched' : 'cached';
    $site->fetched("$status to a program", $path, \@answer, 'User-Agent' => 'curl/8.0');
    $site->$again("$status to a program, then a browser", $path);
}
$site->fetched("$_->[0]: none that is stored", "/error/$_->[0]", $_) for
    map { [$_, 'Cache-Control' => 'max-age=60'] } (406) x 2;
$site->fetched('odd letters in a field that the administrator knows', '/error/known',
    [404, 'Cache-Control' => 'max-age=60'], 'X-Mine' => 'a `name` {1}');
$site->cached('are no reason', '/error/known');
$site->fetched('a page that is there', '/error/fresh');
$site->fetched('an attack on it', '/error/fresh', [500], 'Cache-Control' => 'no-cache',
    'User-Agent' => PC . '<script>');
$site->cached('and it is still there', '/error/fresh');
odd('a page for an odd large header', 'X-Odd' => 'x' x 5000);
ordinary('a page for a large header', 'X-Mine' => 'x' x 5000);

# --- Origin and A-IM ------------------------------------------------------------------

{
    my @page = (200, 'Cache-Control' => 'max-age=60', 'Access-Control-Allow-Origin');
    $site->fetched('for one origin', '/cors/1', [@page, 'http://a'], Origin => 'http://a');
    $site->fetched('is not for all', '/cors/1');
    $site->fetched('for any', '/cors/2', [@page, '*'], Origin => 'http://a');
    $site->cached('is for all', '/cors/2');
    $site->fetched('by Vary', '/cors/3', [@page, 'http://a', Vary => 'Origin'], Origin => 'http://a');
    $site->cached('is for that one', '/cors/3', undef, Origin => 'http://a');
    $site->fetched('and not for others', '/cors/3', undef, Origin => 'http://b');

    $site->fetched('a feed', '/feed', [200, 'Cache-Control' => 'max-age=60', ETag => '"f"'],
        'A-IM' => 'feed', 'If-None-Match' => '"old"');
    ok !defined $site->last_request->[2]{'a-im'}, 'the origin is asked for the whole';
    $site->cached('which all get', '/feed');
    is $site->cached('or know', '/feed', undef, 'A-IM' => 'feed', 'If-None-Match' => '"f"')->{status},
        304, 'that they have it';
    $site->fetched('226', '/226', [226, 'Cache-Control' => 'max-age=60', IM => 'feed']) for 1, 2;
}

$t->finish;

# --- a herd ---------------------------------------------------------------------------

$t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
</Location>
ProxyPass / @ORIGIN@/
CONF
{
    my $odd = $t->send_req('/herd', 'X-Odd' => 1);
    my $first = $t->origin->accept;
    my $plain = $t->send_req('/herd');
    my $second = $t->origin->accept;
    is $second->header('X-Odd'), undef, 'nobody waits for an odd request';
    $second->reply(200, { 'Cache-Control' => 'max-age=60' }, 'page');
    is $plain->response->{body}, 'page', 'an ordinary one is answered meanwhile';
    $first->reply(200, { 'Cache-Control' => 'max-age=60' }, 'odd');
    is $odd->response->{body}, 'odd', 'the odd one has its own';
    is $t->get('/herd')->{body}, 'page', 'which does not take the place of the page';
}
$t->finish;

# --- wrong directives -----------------------------------------------------------------

for my $case (['', 'give header names'], ['a:b', q{'a:b' is not a header name}],
    ['X-*-Y', q{'X-\*-Y' is not a header name}], ['X-Forwarded-Host', 'X-Forwarded-Host changes'],
    ['hx-request', 'hx-request changes'], ['X-OperaMini-UA', 'X-OperaMini-UA may name another device'])
{
    my ($arg, $said) = @$case;
    like(DevCache::Test->start_error("DevCacheKnownHeaders $arg"), qr/DevCacheKnownHeaders: $said/,
        "DevCacheKnownHeaders $arg");
}
done_testing;
