# SPDX-License-Identifier: Apache-2.0
# t/48-head.t. The head of a hit and of a stored miss: byte for byte what httpd's own filter would
# send, which answers where LogLevel is trace3 and wherever a hit is not an ordinary one.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use IO::Socket::INET;
use POSIX qw(strftime);

# %{Date}o tells who wrote the head: httpd's filter takes Date out of the fields.
my $conf = <<'CONF';
LogFormat "%U %{Date}o" writer
CustomLog "@DIR@/writer.log" writer
ServerTokens Prod
DevCacheClientHints Off
<LocationMatch "^/[ab]/">
    DevCache On
    Header set X-Set "by mod_headers" env=set
    Header always set X-Always "always" env=always
    Header append Vary "X-More" env=vary
    Header set X-Set "by mod_headers" "expr=%{QUERY_STRING} =~ /set/"
    Header append Vary "X-More" "expr=%{QUERY_STRING} =~ /vary/"
    Header set X-Bad "a BEL b" env=bad
    SetEnvIf X-Env "^set$" set
    SetEnvIf X-Env "^always$" always
    SetEnvIf X-Env "^vary$" vary
    SetEnvIf X-Env "^bad$" bad
    SetEnvIf X-Env "^force-no-vary$" force-no-vary
    SetEnvIf X-Env "^downgrade-1.0$" downgrade-1.0
    SetEnvIf X-Env "^force-response-1.0$" force-response-1.0
</LocationMatch>
<LocationMatch "^/[ab]/slow">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 10000
</LocationMatch>
<LocationMatch "^/b/">
    LogLevel trace3
</LocationMatch>
KeepAliveTimeout 7
ProxyPass / @ORIGIN@/
CONF
$conf =~ s/BEL/\a/;
my $t = DevCache::Test->start($conf, modules => ['ratelimit', 'env']);

my $date = strftime '%a, %d %b %Y %H:%M:%S GMT', gmtime time - 5;
my @plain = ([Date => $date], [Server => 'origin/1'], ['Cache-Control' => 'max-age=600'],
    [ETag => '"e"'], ['Content-Type' => 'text/plain; charset=utf-8']);
my %page = (
    plain => [@plain],
    slow  => [@plain],
    vary  => [@plain, [Vary => 'Accept-Encoding, User-Agent,  accept-encoding']],
    many  => [@plain, map { ["X-F$_" => "v\t$_ \xe9"] } 1 .. 45],
    toomany => [@plain, map { ["X-F$_" => 'v'] } 1 .. 70],
    twice => [@plain, [Link => '</a>; rel=x'], [Link => '</b>; rel=y'], ['X-Empty' => '']],
    nodate => [@plain[2 .. 4]],
    notype => [@plain[0 .. 3]],
    coded  => [@plain, ['Content-Encoding' => 'gzip'], ['Content-Language' => 'de']],
    empty  => [@plain],
    gone   => [@plain],
);
my $auto = $t->origin_auto(sub {
    my ($name) = $_[0]{target} =~ m{^/[ab]/(\w+)};
    return ($name eq 'gone' ? 404 : 200, [map { @$_ } @{ $page{$name} }], $name eq 'empty' ? '' : "body of $name");
});

# All bytes of one answer.
sub raw {
    my ($path, %o) = @_;
    my $version = $o{version} // '1.1';
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die $!;
    my $head = join '', map { "$_\r\n" } ($o{method} // 'GET') . " $path HTTP/$version",
        'Host: h', 'User-Agent: ' . PC, @{ $o{fields} // [] };
    print $s "$head\r\n" . ($o{more} // '');
    my $all = do { local $/; <$s> };
    return $all;
}

# The head of a hit from both writers.
sub same {
    my ($what, $name, $ours, %o) = @_;
    my @fields = @{ $o{fields} // [] };
    push @fields, 'Connection: close' unless grep { /^Connection/ } @fields;
    my %got;
    for my $side ('a', 'b') {
        raw("/$side/$name", fields => ['Connection: close']) for 1 .. 2;
        $got{$side} = raw("/$side/$name", %o, fields => \@fields);
        like $got{$side}, qr/^Age: \d+\r$/m, "$what: a hit";
    }
    s/^Age: \d+/Age: N/m for values %got;
    s/^Date: \K.*?(?=\r)/now/m for $name eq 'nodate' ? values %got : ();
    is $got{a}, $got{b}, "$what: byte for byte the same";
    my $by_us = grep { $_ eq "/a/$name $date" } last_written("/a/$name");
    is $by_us, $ours ? 1 : 0, "$what: " . ($ours ? 'written by us' : q(httpd's)) if $name ne 'nodate';
    return $got{a};
}

# The same of a response that is fetched and stored.
my $asked = 0;
sub same_miss {
    my ($what, $name, $ours, %o) = @_;
    my $query = '?' . ++$asked . ($o{query} // '');
    my %got = map {
        $_ => raw("/$_/$name$query", %o, fields => ['Connection: close', @{ $o{fields} // [] }])
    } 'a', 'b';
    unlike $got{a}, qr/^Age:/m, "$what: a miss";
    s/^Date: \K.*?(?=\r)/now/m for $name eq 'nodate' ? values %got : ();
    is $got{a}, $got{b}, "$what: byte for byte the same miss";
    my $by_us = grep { $_ eq "/a/$name $date" } last_written("/a/$name", 1);
    is $by_us, $ours ? 1 : 0, "$what: " . ($ours ? 'written by us' : q(httpd's)) if $name ne 'nodate';
    return $got{a};
}

# The log's last line about a path; it comes after the answer.
my $seen = 0;
sub last_written {
    my ($path, $requests) = @_;
    my @lines;
    $seen += $requests // 3;
    wait_until(sub {
        open my $in, '<', $t->dir . '/writer.log' or return 0;
        chomp(@lines = <$in>);
        return @lines >= 2 * $seen;
    }) or die "the access log lacks lines\n";
    return (grep { /^\Q$path\E / } @lines)[-1];
}

same 'HTTP/1.0', 'plain', 1, version => '1.0';
like same('plain', 'plain', 1), qr/^Date: $date\r$/m, "the Date is the origin's";
same 'Vary of the page', 'vary', 1;
same 'many fields', 'many', 1;
same 'more fields than we write', 'toomany', 0;
same 'fields that come twice', 'twice', 1;
same 'no Date or Server', 'nodate', 1;
same 'no type', 'notype', 1;
same 'coding and language', 'coded', 1;
same 'an empty body', 'empty', 1;
same 'through mod_ratelimit', 'slow', 1;
like same('a field of mod_headers', 'plain', 1, fields => ['X-Env: set']), qr/X-Set: by mod_headers/, 'is there';
like same('one that is always set', 'plain', 0, fields => ['X-Env: always']), qr/X-Always/, 'is there';
like same('a Vary of mod_headers', 'plain', 1, fields => ['X-Env: vary']), qr/^Vary: X-More,User-Agent\r$/m, 'is there';
same 'force-no-vary',   'plain', 0, fields => ['X-Env: force-no-vary'];
same 'downgrade-1.0',   'plain', 0, fields => ['X-Env: downgrade-1.0'];
same 'force-response-1.0', 'plain', 0, version => '1.0', fields => ['X-Env: force-response-1.0'];
same 'Expect', 'plain', 1, fields => ['Connection: keep-alive', 'Expect: 100-continue'];
same 'HEAD',      'plain', 0, method => 'HEAD';
same 'a range',   'plain', 0, fields => ['Range: bytes=1-3'];
same 'a 304',     'plain', 0, fields => ['If-None-Match: "e"'];
same 'a 404',     'gone',  0;

same_miss 'plain', 'plain', 1;
same_miss 'HTTP/1.0', 'plain', 1, version => '1.0';
same_miss 'Vary of the page', 'vary', 1;
same_miss 'many fields', 'many', 1;
same_miss 'more fields than we write', 'toomany', 0;
same_miss 'fields that come twice', 'twice', 1;
same_miss 'no Date or Server', 'nodate', 1;
same_miss 'no type', 'notype', 1;
same_miss 'coding and language', 'coded', 1;
same_miss 'an empty body', 'empty', 1;
same_miss 'through mod_ratelimit', 'slow', 1;
like same_miss('a field of mod_headers', 'plain', 1, query => 'set'), qr/X-Set: by mod_headers/, 'is there';
same_miss 'one that is always set', 'plain', 0, fields => ['X-Env: always'];
like same_miss('a Vary of mod_headers', 'plain', 1, query => 'vary'), qr/^Vary: X-More,User-Agent\r$/m, 'is there';
same_miss 'force-no-vary', 'plain', 0, fields => ['X-Env: force-no-vary'];
same_miss 'HEAD', 'plain', 0, method => 'HEAD';
same_miss 'a 404', 'gone', 0;

# What httpd refuses to send it refuses here too.
like raw('/a/plain?bad', fields => ['X-Env: bad', 'Connection: close']), qr{^HTTP/1.1 500 }, 'in a miss, too';
like raw('/a/plain', fields => ['X-Env: bad', 'Connection: close']), qr{^HTTP/1.1 500 }, 'a field that cannot be sent';
$t->allow_log(qr/Response header 'X-Bad' value of/);

# Kept connections: the answers of one connection stay apart.
my $c = $t->client;
is $c->get('/a/plain', 'User-Agent' => PC)->{body}, 'body of plain', "kept: answer $_" for 1 .. 3;
for my $query (1 .. 3) {
    is $c->get("/a/$_->[0]?kept$query", 'User-Agent' => PC)->{body}, $_->[1], "kept: a miss, then a hit, /$_->[0] $query"
        for (['plain', 'body of plain'], ['empty', '']) x 2;
}
like raw('/a/plain', version => '1.0', fields => ['Connection: keep-alive'],
    more => "GET /a/vary HTTP/1.0\r\nHost: h\r\n\r\n"), qr/Connection: Keep-Alive\r\n.*body of plainHTTP/s,
    'kept by HTTP/1.0';

$t->finish;
done_testing;
