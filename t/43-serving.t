# SPDX-License-Identifier: Apache-2.0
# t/43-serving.t. What a stored response may be used for, by whom and in which form: access
# control, must-revalidate, conditions, ranges, HEAD, large and odd headers, hop-by-hop fields.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my @modules = qw(rewrite authz_host authz_user authn_core authn_file auth_basic access_compat);
my $t = DevCache::Test->start(<<'CONF', modules => \@modules);
LimitRequestFieldSize 60000
<Proxy "@ORIGIN@/">
    ProxySet responsefieldsize=32768 disablereuse=on
</Proxy>
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
</Location>
<Location "/ip/">
    Require expr "%{HTTP:X-From} == 'inside'"
</Location>
<Location "/user/">
    AuthType Basic
    AuthName test
    AuthUserFile "@DIR@/users"
    Require valid-user
</Location>
<Location "/old/">
    Order deny,allow
    Deny from env=banned
</Location>
SetEnvIf X-From banned banned
<Location "/gone/">
    <If "%{HTTP:X-From} == 'banned'">
        Redirect 410 /gone/
    </If>
</Location>
RewriteEngine On
RewriteCond %{HTTP:X-From} banned
RewriteRule ^/forbid/ - [F]
RewriteCond %{HTTP:X-From} moved
RewriteRule ^/redirect/ http://elsewhere.example/ [R=302]
<Location "/sie/">
    DevCacheStaleIfError 1000
    DevCacheStaleWhileRevalidate 1000
</Location>
ProxyPass / @ORIGIN@/
CONF
# user "one", password "two", as htpasswd -s writes it
$t->write_file('users', "one:{SHA}rXguzax3D8brmmLkT5CHP7l/sms=\n");
my $site = DevCache::Told->new($t);

sub says { return [200, 'Cache-Control' => @_] }

# 25. Access control and rewriting hold for hits as for misses.
my $pass = 'Basic b25lOnR3bw==';
my @guards = (
    ['/ip/',       ['X-From' => 'inside'], [],                     403],
    ['/old/',      [],                     ['X-From' => 'banned'], 403],
    ['/forbid/',   [],                     ['X-From' => 'banned'], 403],
    ['/gone/',     [],                     ['X-From' => 'banned'], 410],
    ['/redirect/', [],                     ['X-From' => 'moved'],  302],
    ['/user/',     [Authorization => $pass], [],                   401],
    ['/user/',     [Authorization => $pass], [Authorization => 'Basic b25lOnRocmVl'], 401],
);
for (@guards) {
    my ($path, $good, $bad, $status) = @$_;
    my $public = says('public, max-age=600', ':body' => 'secret');
    is $site->ask("${path}p", $public, @$good)->{body}, 'secret', "$path: who may";
    is $site->cached("$path: again, a hit", "${path}p", $public, @$good)->{status}, 200, 'may';
    for my $more ([], [':method' => 'HEAD'], [Range => 'bytes=0-1'], ['If-None-Match' => '*'],
        ['Cache-Control' => 'only-if-cached']) {
        my $res = $site->cached("$path: who may not, @$more", "${path}p", $public, @$bad, @$more);
        is $res->{status}, $status, "gets a $status";
        unlike $res->{body}, qr/secret/, 'and not the page';
    }
}

# 26. Never stale, whatever else allows it.
my @strict = ('must-revalidate', 'proxy-revalidate', 's-maxage=1, must-revalidate', 'no-cache');
for my $word (@strict) {
    my $path = '/sie/' . $word =~ s/\W//gr;
    my @whole = ("max-age=1, $word, stale-if-error=1000, stale-while-revalidate=1000",
        ETag => '"e"', ':body' => 'old');
    $site->ask($path, says(@whole));
    $t->clock_advance(3);
    my $new = $site->ask($path, says('no-store', ':body' => 'new'), 'Cache-Control' => 'max-stale=1000');
    is $new->{body}, 'new', "$word: not by max-stale or stale-while-revalidate";
    $site->ask($path, says(@whole));
    $t->clock_advance(3);
    is $site->ask($path, [503, ':body' => 'bad'])->{status}, 503, "$word: not when the origin fails";
}
$site->ask('/sie/plain', says('max-age=1'));
$t->clock_advance(3);
is $site->ask('/sie/plain', [503])->{status}, 200, 'and without such a word it is';
$site->ask('/sie/shared', says('s-maxage=1'));
$t->clock_advance(3);
is $site->ask('/sie/shared', [503])->{status}, 503, 's-maxage alone forbids stale copies';
$site->ask('/sie/permitted', says('s-maxage=1, stale-if-error=1000'));
$t->clock_advance(3);
is $site->ask('/sie/permitted', [503])->{status}, 200, '  unless the response permits them';

# 29. Conditions. Nobody gets a 304 for what he does not have, and nobody else's fields.
my @tagged = ('max-age=600', ETag => '"v1"', 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT',
    ':body' => 'version 1');
is $site->ask('/cond', says(@tagged), 'If-None-Match' => '"v1"')->{status}, 304, 'a condition on a miss';
is $site->last_request->[2]{'if-none-match'}, undef, 'is not shown to the origin';
is $site->cached('the next visitor', '/cond')->{body}, 'version 1', 'gets the whole';
my @conditions = (
    [304, 'If-None-Match' => '"v1"'], [304, 'If-None-Match' => 'W/"v1"'],
        [304, 'If-None-Match' => '*'],
    [304, 'If-None-Match' => '"a", "v1"'], [200, 'If-None-Match' => '"v2"'],
        [200, 'If-None-Match' => 'v1'],
    [200, 'If-None-Match' => '"v1'], [200, 'If-None-Match' => ''],
        [200, 'If-None-Match' => '"v1-gzip"'],
    [304, 'If-Modified-Since' => 'Mon, 01 Jan 2024 00:00:00 GMT'],
    [304, 'If-Modified-Since' => 'Tue, 02 Jan 2024 00:00:00 GMT'],
    [200, 'If-Modified-Since' => 'Sun, 31 Dec 2023 23:59:59 GMT'],
    [200, 'If-Modified-Since' => 'garbage'], [200,
        'If-Modified-Since' => 'Mon, 41 Jan 2024 00:00:00 GMT'],
    [200, 'If-None-Match' => '"v2"', 'If-Modified-Since' => 'Tue, 02 Jan 2024 00:00:00 GMT'],
    [304, 'If-None-Match' => '"v1"', 'If-Modified-Since' => 'Sun, 31 Dec 2023 00:00:00 GMT'],
    [412, 'If-Match' => '"v2"'], [200, 'If-Match' => '"v1"'], [412, 'If-Match' => 'W/"v1"'],
        [200, 'If-Match' => '*'],
    [412, 'If-Unmodified-Since' => 'Sun, 31 Dec 2023 00:00:00 GMT'],
    [200, 'If-Unmodified-Since' => 'Tue, 02 Jan 2024 00:00:00 GMT'],
);
for (@conditions) {
    my ($status, @fields) = @$_;
    my $res = $site->cached("@fields", '/cond', undef, @fields);
    is $res->{status}, $status, "is answered $status";
    is $res->{body}, $status == 200 ? 'version 1' : '', 'with the right body' if $status != 412;
    is $res->header('ETag'), '"v1"', 'and the tag' if $status == 304;
}
$t->clock_advance(601);
my $res = $site->ask('/cond', [304, ETag => '"v1"', 'Cache-Control' => 'max-age=600'],
    'If-None-Match' => '"v0"');
is "$res->{status} $res->{body}", '200 version 1',
    "the origin's 304 to our condition is no 304 to the client's";
is $site->last_request->[2]{'if-none-match'}, '"v1"', 'which was not shown to the origin';
$t->clock_advance(601);
$res = $site->ask('/cond', [304, ETag => '"v1"', 'Set-Cookie' => 'sid=A',
    'Cache-Control' => 'max-age=600'],
    'If-None-Match' => '"v1"');
is $res->{status}, 304, 'where both hold the client gets its 304';
is $site->cached('the next', '/cond')->header('Set-Cookie'), undef,
    'gets no cookie that came with a 304';
$t->clock_advance(601);
my $serial = $site->ask('/cond', [304, ETag => '"other"'])->{fetches};
is $serial, 2, 'a 304 for another representation: asked again';
is $site->last_request->[2]{'if-none-match'}, undef, 'without a condition';

# 30. Ranges.
my $hundred = join '', map { chr(32 + $_ % 90) } 0 .. 99;
$site->ask('/range', says('max-age=600', ETag => '"r"', ':body' => $hundred));
my $m = '9' x 30;
my @ranges = (
    ['bytes=0-0', 206, 0, 1], ['bytes=0-', 206, 0, 100], ['bytes=99-', 206, 99, 1],
        ['bytes=-1', 206, 99, 1],
    ['bytes=-100', 206, 0, 100], ['bytes=-101', 206, 0, 100], ['bytes=90-1000', 206, 90, 10],
    ['bytes=10-19,10-19', undef], ['bytes=0-1,98-99', undef],
        ["bytes=0-9223372036854775807", 206, 0, 100],
    ['bytes=100-', 416], ['bytes=100-200', 416], ['bytes=-0', undef],
    ['bytes=5-2', 200], ['bytes=', 200], ['bytes=a-b', 200], ['bytes=--1', 200], ['bytes=1', 200],
        ['chars=0-1', 200],
    ["bytes=$m-", undef], ["bytes=-$m", undef], ["bytes=0-$m", undef], ["bytes=$m-$m", undef],
    ['bytes=-9223372036854775808', undef], ['bytes=-18446744073709551615', undef],
    ['bytes=9223372036854775807-9223372036854775807', undef],
        ['bytes=' . join(',', map { "$_-$_" } 0 .. 99), undef],
    ['bytes=' . '0-,' x 2000, undef], [' bytes = 0 - 1 ', undef],
        ['bytes=0-1, -9223372036854775608', undef],
);
for (@ranges) {
    my ($range, $status, $from, $n) = @$_;
    my $name = substr $range, 0, 40;
    $res = $site->cached("Range: $name", '/range', undef, Range => $range);
    if (defined $status) { is $res->{status}, $status, "is answered $status" }
    else { like $res->{status}, qr/^(?:200|206|416)$/, 'is answered plainly' }
    ok $res->{complete}, 'and whole';
    ok $res->{body} eq substr($hundred, $from, $n), 'with these bytes' if defined $from;
    ok $res->{body} eq $hundred, 'with all of it' if $res->{status} == 200;
    is length $res->{body}, $res->header('Content-Length'), 'of the announced length'
        if $res->{status} != 416;   # httpd's page is chunked
    cmp_ok length $res->{body}, '<', 40000, 'which is no amplification';
}
is $site->cached('If-Range, right', '/range', undef, Range => 'bytes=0-1',
    'If-Range' => '"r"')->{status}, 206, 'is a part';
is $site->cached("If-Range: $_", '/range', undef, Range => 'bytes=0-1', 'If-Range' => $_)->{status}, 200,
    'is the whole'
    for '"x"', 'W/"r"', '*', 'garbage', 'Mon, 01 Jan 2024 00:00:00 GMT';
is $site->cached('HEAD has no ranges', '/range', undef, Range => 'bytes=0-1',
    ':method' => 'HEAD')->{status}, 200, 'is the whole';
is $site->cached('If-None-Match comes before Range', '/range', undef, Range => 'bytes=0-1',
    'If-None-Match' => '"r"')->{status},
    304, 'is a 304';
$site->ask('/weak', says('max-age=600', ETag => 'W/"w"', ':body' => $hundred));
is $site->cached('If-Range with a weak tag', '/weak', undef, Range => 'bytes=0-1',
    'If-Range' => 'W/"w"')->{status}, 200,
    'never holds';
$site->ask('/empty', says('max-age=600', ':body' => ''));
like $site->cached('a range of nothing', '/empty', undef, Range => 'bytes=0-1')->{status},
    qr/^(?:200|416)$/, 'no crash';
$site->ask('/404', [404, 'Cache-Control' => 'max-age=600', ':body' => $hundred]);
is $site->cached('a range of an error page', '/404', undef, Range => 'bytes=0-1')->{status}, 404,
    'is ignored';
$site->fetched('a variant', '/ranged', says('max-age=600', Vary => 'X-A', ':body' => "$_ x $_"),
    'X-A' => $_) for 1, 2;
is $site->cached('a range of a variant', '/ranged', undef, 'X-A' => $_, Range => 'bytes=-1')->{body}, $_,
    'is its own' for 1, 2;

# 31. HEAD and GET.
$res = $site->fetched('HEAD on a miss', '/head', says('max-age=600'), ':method' => 'HEAD');
is $site->last_request->[0], 'HEAD', 'is a HEAD to the origin';
isnt $site->fetched('is not stored for a GET', '/head', says('max-age=600', ':body' => 'body'))->{body},
    '', 'which has a body';
$res = $site->cached('HEAD of what is stored', '/head', undef, ':method' => 'HEAD');
is $res->header('Content-Length') . $res->{body}, '4', 'has its length and no body';
my $get = $site->cached('GET', '/head');
is join('|', sort map { $_->[0] } @{ $res->{list} }), join('|',
    sort map { $_->[0] } @{ $get->{list} }),
    'and the same fields as the GET';
$site->ask('/head', says('max-age=600', 'Content-Length' => 99999), ':method' => 'HEAD',
    'Cache-Control' => 'no-cache');
is $site->ask('/head', says('max-age=600', ':body' => 'body'))->{body}, 'body',
    'a later HEAD that differs breaks nothing';
my $c = $t->client;
my @pipelined = map { $c->send_req('/head', ':method' => $_) } qw(HEAD GET HEAD GET);
is join('|', map { $_->response->{body} } @pipelined), '|body||body',
    'pipelined, none is mistaken for another';

# 32. Header sections: whole or refused.
my %large = ('9 KB' => 9000, '17 KB' => 17000);
for my $name (sort keys %large) {
    my $value = join ' ', map { "part$_" } 1 .. $large{$name} / 8;
    $res = $site->fetched("a field of $name", "/large$large{$name}",
        says('max-age=600', 'X-Large' => $value));
    ok $res->header('X-Large') eq $value, 'is passed whole';
    ok $site->cached('stored', "/large$large{$name}")->header('X-Large') eq $value, 'and served whole';
}
my @hundred = map { ("X-Field-$_" => "value $_") } 1 .. 90;
$site->fetched('90 fields', '/fields', says('max-age=600', @hundred));
$res = $site->cached('stored', '/fields');
is scalar(grep { $res->header("X-Field-$_") eq "value $_" } 1 .. 90), 90, 'all there';
my @lines = ('X-Line' => 'a', 'X-Line' => 'b, c', Link => '</a>', Link => '</b>',
    'X-Empty' => '');
$site->fetched('repeated lines', '/lines', says('max-age=600', @lines));
$res = $site->cached('stored', '/lines');
is join('|', map { "$_->[0]=$_->[1]" } grep { $_->[0] =~ /^(?:X-|Link)/ } @{ $res->{list} }),
    'X-Line=a|X-Line=b, c|Link=</a>|Link=</b>|X-Empty=', 'in their order';
my $latin = "caf\xe9 \xc3\xa9 \xff";
is $site->fetched('8-bit', '/8bit', says('max-age=600', 'X-8' => $latin))->header('X-8'), $latin,
    'as it came';
is $site->cached('8-bit, stored', '/8bit')->header('X-8'), $latin, 'as it came';

# 33. Hop-by-hop fields, those that Connection names included.
my @hop = (Connection => 'X-Hop, keep-alive', 'X-Hop' => 1, 'Keep-Alive' => 'timeout=99',
    'Proxy-Authenticate' => 'Basic', 'Proxy-Authentication-Info' => 'x', Upgrade => 'h2c',
        TE => 'x', Trailer => 'X-T',
    'X-Mine' => 'kept');
$site->fetched('hop-by-hop', '/hop', says('max-age=600', @hop));
$res = $site->cached('stored', '/hop');
is $res->header($_), undef, "$_ was not" for 'X-Hop', 'Proxy-Authenticate',
    'Proxy-Authentication-Info', 'TE', 'Trailer';
unlike $res->header('Connection') // '', qr/X-Hop/i, 'nor is Connection replayed';
unlike $res->header('Keep-Alive') // '', qr/99/, 'nor Keep-Alive';
is $res->header('X-Mine'), 'kept', 'the rest is there';
$site->fetched('Connection that names what the response needs', '/hop2',
    says('max-age=600', ETag => '"e"', Vary => 'X-A',
    Connection => 'Content-Type, Cache-Control, Vary, Date, ETag', 'Content-Type' => 'text/own',
    ':body' => 'twelve bytes'), 'X-A' => 1);
$res = $site->ask('/hop2', says('max-age=600', ':body' => 'twelve bytes'), 'X-A' => 1);
is $res->{body}, 'twelve bytes', 'leaves the next answer right';
ok $res->{complete}, 'and whole';
for my $name ('Host', 'Content-Length', 'X-Device-Type', 'Cookie', 'Cache-Control',
    'If-None-Match', 'Range',
    'Accept-Encoding') {
    my $path = "/conn/$name";
    $res = $site->ask($path, says('max-age=600', Vary => 'X-A, Accept-Encoding'),
        Connection => "close, $name", 'X-A' => 1,
        'Accept-Encoding' => 'gzip', 'User-Agent' => PHONE);
    is $res->{status}, 200, "Connection: $name of a client is answered";
    is $site->last_request->[2]{'x-device-type'}, 'mobile', 'the device header is still there';
    ok defined $site->last_request->[2]{host}, 'and Host';
    isnt $site->ask($path, says('max-age=600'), 'X-A' => 2)->{body}, $res->{body},
        'and the answer is only for its like';
}

$t->expect_log(qr/authz_core:error.*AH01630/, qr/auth_basic:error.*AH01617/,
    qr/access_compat:error.*AH01797/);
$t->finish;
done_testing;
