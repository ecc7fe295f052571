# SPDX-License-Identifier: Apache-2.0
# t/41-key-and-variant.t. Nobody chooses, mixes up or multiplies what others get: the key of a
# stored response and its variant, against clients and origins that try.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite', 'deflate', 'filter']);
DevCacheDeviceHeader X-Class
DevCacheViewerHeaders On
DevCacheDeviceCookie view
<Location "/">
    DevCache On
</Location>
<LocationMatch "^/(plain|sort|allow|deny|ignore)/">
    DevCacheVaryDevice Off
</LocationMatch>
<Location "/sort/">
    DevCacheQuery sort
</Location>
<Location "/allow/">
    DevCacheQuery allow id
</Location>
<Location "/deny/">
    DevCacheQuery deny utm_*
</Location>
<Location "/ignore/">
    DevCacheQuery ignore
</Location>
<Location "/few/">
    DevCacheVaryUserAgent exact
    DevCacheMaxVariants 5
</Location>
<Location "/always/">
    Header always set Vary X-A
    Header merge Vary "X-B"
</Location>
<Location "/folded/">
    RequestHeader edit Accept-Language "^..\K.*" ""
    RequestHeader unset X-B
</Location>
<LocationMatch "^/(static|other)/">
    DevCacheForceTTL 600
</LocationMatch>
<Location "/account">
    DevCache Off
</Location>
RewriteEngine On
RewriteRule ^/moved/(.*) /plain/$1 [PT]
RewriteCond %{HTTP_COOKIE} beta=1
RewriteRule ^/ab/(.*) @ORIGIN@/beta/$1 [P]
RewriteCond %{QUERY_STRING} ^raw=(.*)
RewriteRule ^/qsd/(.*) @ORIGIN@/plain/$1?%1 [P]
AllowEncodedSlashes NoDecode
ProxyPreserveHost On
ProxyPass /raw/ @ORIGIN@/raw/ nocanon
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0180: .*DevCacheVaryUserAgent exact/);
my $site = DevCache::Told->new($t);

sub by { return [200, 'Cache-Control' => 'max-age=60', map { (Vary => $_) } @_] }

# 1. Device headers are the server's, whatever they are called.
my @names = ('X-Class', 'x_class', 'CloudFront-Is-Mobile-Viewer', 'CloudFront_Is_Mobile-Viewer');
my $desktop = $site->fetched('a desktop', '/class', undef, 'User-Agent' => PC);
for my $name (@names) {
    is $site->cached("$name from a client", '/class', undef, 'User-Agent' => PC,
        $name => 'mobile')->{body},
        $desktop->{body}, 'does not choose the page';
    for my $connection (undef, $name) {
        $site->ask("/class?$name", [200], 'User-Agent' => PHONE, $name => 'x',
            Connection => $connection);
        my $seen = $site->last_request->[2];
        is $seen->{'x-class'}, 'mobile', 'nor what the origin sees, named by Connection or not';
        is $seen->{'cloudfront-is-mobile-viewer'}, 'true', 'nor its like';
        ok !grep({ /_/ } keys %$seen), 'in no other spelling';
    }
}
$site->fetched('a phone', '/class', undef, 'User-Agent' => PHONE);
$site->cached('a cookie that names a class chooses it', '/class', undef, 'User-Agent' => PC,
    Cookie => 'view=mobile');
my $objects = $t->counters->{store_objects};
$site->cached("a cookie that names none ($_) chooses nothing", '/class', undef, 'User-Agent' => PC,
    Cookie => "view=$_") for qw(nothing ../x mobile%00 MOBILE2), 'x' x 3000;
is $t->counters->{store_objects}, $objects, 'and makes no variant';

# 2. Lookup and store see the same request, as the configuration has edited it.
my $by_lang = by('Accept-Language', 'X-B');
$site->fetched('RequestHeader edit', '/folded/p', $by_lang, 'Accept-Language' => 'en-GB', 'X-B' => 1);
$site->cached('what it leaves equal is one variant', '/folded/p', $by_lang, 'Accept-Language' => 'en-US',
    'X-B' => 2);
$site->fetched('what differs is another', '/folded/p', $by_lang, 'Accept-Language' => 'de-DE');

# 3. No value can imitate the border between two, or another field's place.
my @pairs = ([a => 'b'], ['a, b' => undef], [undef, 'a, b'], ['a,' => 'b'], [undef, 'ab'],
    ['' => 'ab'],
    ['ab' => ''], ['a b' => ''], ["a\tb" => ''], ['4:ab' => ''], ['mobile' => '@device'],
        ['-' => '']);
my %body;
for my $round (0, 1) {
    for my $pair (@pairs) {
        my $name = join ' and ', map { defined $_ ? "'$_'" : 'none' } @$pair;
        my $res = $site->ask('/border', by('X-A, X-B'), 'X-A' => $pair->[0], 'X-B' => $pair->[1]);
        is $res->{body}, $body{$name} //= $res->{body}, "$name, round $round";
    }
}
my %same;
push @{ $same{ $body{$_} } }, $_ for keys %body;
is scalar(keys %same), @pairs, 'each its own page' or diag explain \%same;

my @urls = ('/a?b', '/a%3Fb', '/a', '/a?', '/a/?b', '/a%2Fb', '/a/b', '/A', '/a?B', '/a&b');
%body = ();
for my $round (0, 1) {
    for my $url (@urls) {
        my $res = $site->ask("/plain$url");
        is $res->{body}, $body{$url} //= $res->{body}, "$url, round $round";
        is $res->{fetches}, 1 - $round, $round ? 'from the cache' : 'from the origin';
    }
}
is scalar(keys %{ { reverse %body } }), @urls, 'each URL its own page';
$site->cached('another spelling of what the origin is asked for', '/plain/a%26b');
for my $url ('/raw/a&b', '/raw/a%26b', '/raw/%61&b') {
    $site->fetched("$url: where the origin sees the spelling, it counts", $url);
    is $site->last_request->[1], $url, 'it does';
}

# 4. Vary in any form.
my @forms = (['x-a, X-B'], ['X-A', 'X-B'], ['X-B, ,, X-A,'], ["X-A ,\tx-b"], ['X-B', '', 'X-A'],
    ['X-A, X-B, X-A']);
for my $i (0 .. $#forms) {
    my $vary = by(@{ $forms[$i] });
    my $name = join ' | ', @{ $forms[$i] };
    $site->fetched("Vary: $name", "/form/$i", $vary, 'X-A' => 1, 'X-B' => 2);
    $site->cached('the same values', "/form/$i", $vary, 'X-B' => 2, 'X-A' => 1);
    $site->fetched('another value of either', "/form/$i", $vary, @$_)
        for ['X-A' => 1, 'X-B' => 3], ['X-A' => 3, 'X-B' => 2], ['X-A' => 1];
}
for my $star (['*'], ['X-A, *'], ['X-A', '*'], ['*, X-A']) {
    my $path = '/star/' . join '', map { s/\W/_/gr } @$star;
    $site->fetched('Vary: ' . join(' | ', @$star) . ' is never stored', $path, by(@$star)) for 1, 2;
}
$site->fetched('Header always and merge', '/always/p', by('X-C'), 'X-A' => 1, 'X-B' => 1, 'X-C' => 1);
$site->cached('same', '/always/p', by('X-C'), 'X-A' => 1, 'X-B' => 1, 'X-C' => 1);
my %abc = ('X-A' => 1, 'X-B' => 1, 'X-C' => 1);
$site->fetched("$_ counts", '/always/p', by('X-C'), %abc, $_ => 2) for sort keys %abc;
$site->fetched('a Vary that is no list of names', '/bad', by('X-A: 1')) for 1, 2;
$site->fetched('a Vary of 100 names', '/long', by(join ', ', map { "X-$_" } 1 .. 100)) for 1, 2;

# 5. Variants of one URL are bounded, and those that were stored last are kept.
$objects = $t->counters->{store_objects};
$site->ask('/few/p', by('User-Agent'), 'User-Agent' => "visitor $_") for 1 .. 30;
is $t->counters->{store_objects} - $objects, 5, '30 agents, 5 variants';
$site->cached('the last one is there', '/few/p', undef, 'User-Agent' => 'visitor 30');
$site->fetched('the first one is not', '/few/p', undef, 'User-Agent' => 'visitor 1');

# 6. An answer that depends on less does not hide, one for another URL does not touch.
$site->fetched("variant $_", '/deep', by('X-A'), 'X-A' => $_) for 1, 2;
$site->fetched('a variant by more names', '/deep', by('X-A, X-B'), 'X-A' => 3, 'X-B' => 1);
$site->fetched('and one by none', '/deep', [404, 'Cache-Control' => 'max-age=60'], 'X-A' => 4);
$site->cached("variant $_ is still there", '/deep', undef, 'X-A' => $_) for 1, 2;
$site->cached('the one by more names too', '/deep', undef, 'X-A' => 3, 'X-B' => 1);

# 7. Hosts. Each of these gets what was made for it: the page has the Host that was sent.
my $port = $t->port;
my @hosts = ("a.example:$port", 'a.example', "A.Example:$port", "a.example.:$port",
    'a.example:81',
    'a.example:080', 'A.EXAMPLE', "b.example:$port", 'unknown', '[::1]', '127.0.0.1',
        "127.0.0.1:$port");
my %page;
for my $round (0, 1) {
    for my $host (@hosts) {
        my $res = $site->ask('/host', undef, Host => $host);
        my $first = $page{ lc $host } //= $res->{body};
        is $res->{body}, $first, "Host: $host, round $round";
        is lc $site->last_request->[2]{host}, lc $host, 'the origin sees it'
            if $res->{fetches};
    }
}
is scalar(keys %{ { reverse %page } }), scalar(keys %page),
    'hosts that differ have pages that do';
$site->cached('capitals are the same host', '/host', undef, Host => uc "a.example:$port");
my $c = $t->client;
$c->send_raw("GET http://a.example:$port/host HTTP/1.1\r\nHost: evil.example\r\n\r\n");
is $c->expect('GET')->response->{body}, $page{"a.example:$port"},
    'absolute-form: its host counts';
for my $bad ('a b', 'a/b', 'a@b', 'a,b', '', 'a%00b', 'a\\b', "a.example:$port:1",
    'a.example:x') {
    my $res = $site->ask('/host', undef, Host => $bad);
    ok $res->{status} == 400 || !grep({ $res->{body} eq $_ } values %page),
        "Host: '$bad' is refused or on its own";
}
$c = $t->client;
$c->send_raw("GET /host HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n");
is $c->expect('GET')->response->{status}, 400, 'two Hosts are refused';
$c = $t->client;
$c->send_raw("GET /host HTTP/1.0\r\n\r\n");
like $c->expect('GET')->response->{status}, qr/^(?:200|400)$/, 'none, with HTTP/1.0';
$t->expect_log(qr/AH01092/);    # mod_proxy has to name one, as no visitor's page is given to it

# 9. Queries.
my %query = (
    sort => ['b=2&a=1', ['a=1&b=2', '&a=1&&b=2&'], ['a=1&b=3', 'a=1', 'a=1&b=2&c=', 'a=1;b=2',
        'a=1%26b=2', 'A=1&b=2']],
    allow => ['id=7&x=1', ['id=7', 'x=2&id=7', 'id=7&utm_source=y'],
        ['id=8', 'ID=7', 'id=7&id=8', 'id=7;id=8']],
    deny => ['id=7&utm_a=1', ['id=7', 'utm_b=&id=7'], ['id=7&utm', 'id=7;utm_a=1', 'utm_a=1;id=8',
        'utm_a=1;id=9', 'id=7&UTM_a=1',
        'id=7&x=utm_a']],
    ignore => ['a=1', ['', 'a=2', 'b;c', 'x' x 3000], []],
    plain => ['a=1&b=2', ['a=1&b=2'], ['b=2&a=1', 'a=1&b=2&', 'a=1&&b=2', 'a=1%26b=2', 'a=1;b=2',
        '']],
);
for my $rule (sort keys %query) {
    my ($first, $same, $other) = @{ $query{$rule} };
    $site->fetched("DevCacheQuery $rule: $first", "/$rule/q?$first");
    $site->cached("$rule: " . substr($_, 0, 20) . ' is the same', "/$rule/q?$_") for @$same;
    $site->fetched("$rule: '$_' is another", "/$rule/q?$_") for @$other;
}
$site->cached("allow: '$_' has nothing that is allowed", "/allow/q?$_") for 'ID=7', 'x', '';
$site->fetched('allow: a name that may be read as another makes another page', '/allow/q?id%3D7');
$site->cached('ignore: no query at all', '/ignore/q');
$site->fetched('keep: none is not an empty one', '/plain/q');
my @many = map { "p$_=1" } 1 .. 300;
$site->fetched('sort: too many parameters to sort', '/sort/many?' . join '&', @many);
$site->cached('sort: are taken as they stand', '/sort/many?' . join '&', @many);
$site->fetched('sort: in their order', '/sort/many?' . join '&', reverse @many);

# 2. and 3. again: what rewriting makes of a URL is part of the variant.
my $stable = $site->fetched('/ab for most', '/ab/p');
my $beta = $site->fetched('/ab for testers', '/ab/p', undef, Cookie => 'beta=1');
is $site->last_request->[1], '/beta/p', 'who are sent elsewhere';
is $site->cached('/ab, hit', '/ab/p')->{body}, $stable->{body}, 'stable';
is $site->cached('/ab, hit, tester', '/ab/p', undef, Cookie => 'beta=1')->{body}, $beta->{body}, 'beta';
$site->fetched('rewritten within the site', '/moved/p1');
is $site->last_request->[1], '/plain/p1', 'the origin sees the new path';
$site->cached('and its hit', '/moved/p1');
$site->fetched("rewritten query $_", "/qsd/p?raw=$_") for 'a', 'b';
$site->cached("rewritten query $_", "/qsd/p?raw=$_") for 'a', 'b';

# 10. Headers by which applications let a client change the page.
my @override = ('X-Forwarded-Host', 'X-Forwarded-Scheme', 'X-Forwarded-Proto', 'X-Forwarded-Port',
    'X-Forwarded-Prefix', 'X-Forwarded-Server', 'X-Original-URL', 'X-Rewrite-URL', 'X-Host',
    'Forwarded', 'X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-Nextjs-Data',
    'X-Middleware-Prefetch', 'X-Middleware-Subrequest', 'x-forwarded-HOST', 'X_Forwarded_Host',
    'X-Forwarded_Proto', 'X-Forwarded-SSL', 'X-Url-Scheme', 'Front-End-Https', 'X-Original-URI',
    'X-HTTP-Host-Override');
$site->fetched('a page', '/poison');
my $overrides = $t->counters->{'reason_override-header'};
for my $name (@override) {
    $site->fetched("$name: poison is fetched", "/poison/$name", undef, $name => 'evil');
    $site->fetched('and not stored', "/poison/$name");
    $site->fetched('nor is the stored page used', '/poison', undef, $name => 'evil');
}
$site->cached('the page is still there', '/poison');
is $t->counters->{'reason_override-header'} - $overrides, 2 * @override, 'each was counted';

# 11. A GET or HEAD with a body.
for my $method (qw(GET HEAD)) {
    $site->fetched("$method with a body", "/fat/$method", undef, ':method' => $method,
        ':body' => 'a=evil');
    $site->fetched('is not stored', "/fat/$method");
    $site->fetched("chunked $method", "/fat/$method", undef, ':method' => $method,
        'Transfer-Encoding' => 'chunked', ':body' => "1\r\nx\r\n0\r\n\r\n");
    $site->cached('and leaves the stored one alone', "/fat/$method");
    $site->cached('a length of 0 is no body', "/fat/$method", undef, 'Content-Length' => 0);
}

# 12. Malformed request fields do not get past the cache.
$site->fetched('a page', '/malformed');
my @malformed = ('Accept-Encoding' => 'gzip;q=', 'Accept-Encoding' => ';;,=',
    'Accept-Encoding' => "\xff\xfe",
    'Accept-Language' => 'en;q=2;q=x', 'Accept-Language' => ',' x 500, Cookie => ';=;"\\',
        Cookie => '=' x 2000,
    'If-None-Match' => '"unclosed', 'If-Modified-Since' => 'yesterday', Accept => '*/',
        Pragma => '=',
    'Cache-Control' => 'max-stale=x', 'Cache-Control' => ',=,"',
        'Cache-Control' => 'no-cachex, xno-store');
while (my ($name, $value) = splice @malformed, 0, 2) {
    $site->cached("$name: " . substr($value, 0, 12) =~ s/[^ -~]/?/gr, '/malformed', undef,
        $name => $value);
}

$t->finish;
done_testing;
