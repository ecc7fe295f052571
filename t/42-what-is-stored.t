# SPDX-License-Identifier: Apache-2.0
# t/42-what-is-stored.t. What must never be stored, whatever the origin, a client or a broken
# connection makes of it; and that the permitted is.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => ['rewrite']);
<Location "/">
    DevCache On
</Location>
<Location "/default/">
    DevCacheDefaultTTL 600
</Location>
<Location "/force/">
    DevCacheForceTTL 600
</Location>
<Location "/errors/">
    DevCacheForceTTL 600 200 404 503
</Location>
<Location "/small/">
    DevCacheMaxObjectSize 1000
</Location>
<Location "/login/">
    DevCacheBypass "%{HTTP_COOKIE} =~ /sid=/ || -n req('Authorization')"
</Location>
<Location "/cookies/">
    DevCacheStoreSetCookie On
</Location>
<Location "/set/">
    Header set Cache-Control "max-age=600"
</Location>
<Location "/cookie-by-headers/">
    Header add Set-Cookie "a=1"
</Location>
ErrorDocument 404 "not here"
ProxyTimeout 20
ProxyPass / @ORIGIN@/
CONF
$t->expect_log(qr/DC0180: .*DevCacheStoreSetCookie On/);
my $site = DevCache::Told->new($t);

my $serial = 0;

# Asked twice, the origin is: by path prefix, answer and what the requests say.
sub never {
    my ($name, $prefix, $answer, @request) = @_;
    my $path = $prefix . ++$serial;
    $site->fetched("$name: first", $path, $answer, @request);
    return $site->fetched("$name: not stored", $path, $answer, @request);
}

sub once {
    my ($name, $prefix, $answer, @request) = @_;
    my $path = $prefix . ++$serial;
    $site->fetched("$name: first", $path, $answer, @request);
    return $site->cached("$name: stored", $path, $answer, @request);
}
sub fresh { return [200, 'Cache-Control' => 'max-age=600', @_] }
sub says { return [200, 'Cache-Control' => @_] }

# 13. Set-Cookie, 15. private, no-store, no-cache, in every form that means them.
for my $prefix ('/p', '/default/', '/force/', '/errors/', '/set/') {
    never("$prefix Set-Cookie", $prefix, fresh('Set-Cookie' => 'a=1'));
    never("$prefix two cookies", $prefix, fresh('Set-Cookie' => 'a=1', 'set-cookie' => 'b=2'));
    next if $prefix eq '/set/';
    never("$prefix $_", $prefix, says($_))
        for 'private', 'no-store', 'private, max-age=600', 'max-age=600,no-store', 'NO-STORE',
        'PRIVATE', 'private="', "max-age=600,\tno-store", ',,no-store,,',
        'public, no-store', 'max-age=600 , private ';
    never("$prefix in a second line", $prefix,
        [200, 'Cache-Control' => 'max-age=600', 'Cache-Control' => 'private']);
    never("$prefix in CDN-Cache-Control", $prefix,
        [200, 'Cache-Control' => 'max-age=600', 'CDN-Cache-Control' => 'no-store']);
}
never('no-cache without a validator', '/p', says('no-cache, max-age=600'));
never('Set-Cookie of mod_headers', '/cookie-by-headers/', fresh());
never('nothing said', '/p', [200]);
once('nothing said, DevCacheDefaultTTL', '/default/', [200]);
once('nothing said, Header set Cache-Control', '/set/', [200]);
once('Set-Cookie, DevCacheStoreSetCookie On', '/cookies/', fresh('Set-Cookie' => 'a=1'));
never('Pragma: no-cache of the origin and nothing else', '/p', [200, Pragma => 'no-cache']);
my $listed = once('private="Set-Cookie": all but that', '/p',
    says('max-age=600, private="Set-Cookie, X-Mine"', 'Set-Cookie' => 'a=1', 'X-Mine' => 1,
        'X-Ours' => 2));
is $listed->header('Set-Cookie'), undef, 'the cookie is left out';
is $listed->header('X-Mine'), undef, 'and what else is listed';
is $listed->header('X-Ours'), 2, 'not the rest';

# no-cache with a validator: kept, asked about at each use.
$site->fetched('no-cache, ETag', '/nc', says('no-cache, max-age=600', ETag => '"n"', ':body' => 'kept'));
my $res = $site->fetched('asked again', '/nc', [304, ETag => '"n"']);
is $res->{body}, 'kept', 'confirmed';
is $site->last_request->[2]{'if-none-match'}, '"n"', 'by its ETag';

# 14. Authorization.
my @auth = (Authorization => 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
for my $control ('max-age=600', 'max-age=600, proxy-revalidate', 's-maxage=0',
    'publicly, max-age=600',
    'max-age=600, s-maxage=x') {
    my $path = '/auth' . ++$serial;
    $site->fetched("Authorization, $control", $path, says($control), @auth);
    $site->fetched('nobody else gets it', $path, says($control));
}
for my $control ('public, max-age=600', 's-maxage=600', 'max-age=600, must-revalidate') {
    my $path = '/auth' . ++$serial;
    $site->fetched("Authorization, $control", $path, says($control), @auth);
    $site->cached('is for all', $path, says($control));
}
never('Authorization under DevCacheForceTTL', '/force/', [200], @auth);

# 16. no-store of the request, 17. DevCacheBypass.
$site->fetched('request no-store', '/rns', fresh(), 'Cache-Control' => 'no-store');
$site->fetched('was not stored', '/rns', fresh());
$site->fetched('a page for guests', '/login/p', fresh());
$site->fetched('a member gets her own', '/login/p', fresh(), Cookie => 'sid=1');
$site->fetched('so does who logs in', '/login/p', fresh(), @auth);
$site->cached('guests the same', '/login/p', fresh(), Cookie => 'other=1');

# 18. Truncated: one byte is lacking, or many; Content-Length or chunked.
my %framing = ('by length' => [], chunked => ['Transfer-Encoding' => 'chunked']);
for my $kind (sort keys %framing) {
    my @headers = ('Cache-Control' => 'max-age=600', @{ $framing{$kind} });
    my @answer = (200, @headers, ':size' => 20000);
    my $total = length DevCache::Origin::reply_text({ method => 'GET' }, 200, \@headers,
        'x' x 20000);
    for my $lacking (1, 2, 5, 100, 15000) {
        my $path = "/cut/$lacking" . ($kind eq 'chunked');
        $res = $site->fetched("$kind, $lacking bytes lacking", $path,
            [@answer, ':cut' => $total - $lacking]);
        ok !$res->{complete} || $res->{status} == 502 && $res->{body} !~ /xx/,
            'the client sees it: cut as well, or an error if nothing had gone out yet';
        $res = $site->fetched('was not stored', $path, \@answer);
        ok $res->{complete}, 'the next one is whole';
        is length $site->cached('and stored', $path)->{body}, 20000, 'whole';
    }
}
for my $cut (0, 1, 17, 40) {   # in the header
    $res = $site->ask("/cut/head$cut", [200, 'Cache-Control' => 'max-age=600', ':cut' => $cut]);
    $site->fetched("a header of $cut bytes was not stored", "/cut/head$cut", fresh());
    $site->cached('the next one is', "/cut/head$cut");
}

# 19. Other than whole answers.
once('206', '/p', [206, 'Cache-Control' => 'max-age=600', 'Content-Range' => 'bytes 0-1/10',
    ':body' => 'ab'], Range => 'bytes=0-1');
never('206 that nobody asked for', '/p', [206, 'Cache-Control' => 'max-age=600',
    'Content-Range' => 'bytes 0-1/10', ':body' => 'ab']);
never('200 with Content-Range', '/p', fresh('Content-Range' => 'bytes 0-1/10', ':body' => 'ab'));
never('304 that nobody asked for', '/p', [304, 'Cache-Control' => 'max-age=600', ETag => '"x"']);
never('412', '/p', [412, 'Cache-Control' => 'max-age=600']);
never('416', '/p', [416, 'Cache-Control' => 'max-age=600', 'Content-Range' => 'bytes */10']);

# 20. Errors that blame the request never take the place of the page; others by permission.
for my $status (407, 408, 411, 413, 415, 417, 421, 426, 428, 429, 431, 505, 511) {
    for my $prefix ('/p', '/force/', '/default/') {
        never("$status at $prefix", $prefix, [$status, 'Cache-Control' => 'public, max-age=600']);
    }
}
never('400 to an odd request', $_, [400, 'Cache-Control' => 'max-age=600'], 'X-Odd' => "\x80")
    for '/p', '/force/', '/default/';
never('400 to a large one', '/p', [400, 'Cache-Control' => 'max-age=600'], 'X-Odd' => 'x' x 5000);
never("$_ with a validator only", '/p', [$_, ETag => '"x"',
    'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT'])
    for 302, 307, 403, 500, 502, 503, 504, 599;
never("$_ is not meant by DevCacheForceTTL without statuses", '/force/', [$_]) for 302, 403, 500,
    503;
once("$_ with a lifetime", '/p', [$_, 'Cache-Control' => 'max-age=60']) for 301, 302, 307, 403,
    404, 410, 500, 503;
once("$_ named by DevCacheForceTTL", '/errors/', [$_]) for 404, 503;
never('500 not named', '/errors/', [500]);
$res = once('a status that nobody knows', '/p', [299, 'Cache-Control' => 'max-age=60']);
is $res->{status}, 299, 'it stays what it is';

# 21. Vary: *, 22. contradictions.
never('Vary: *', '/force/', [200, Vary => '*']);
never("Cache-Control: $_", '/p', says($_)) for 'max-age=x', 'max-age=-1', 'max-age="60',
    'max-age', 'max-age=1.5',
    's-maxage=x, max-age=60', 'max-age=60, max-age=0', "max-age=6\x{b9}";
once("Cache-Control: $_", '/p', says($_)) for 'max-age=99999999999999999999', 'max-age="60"',
    'MAX-AGE=60',
    'max-age=60, max-age=60', 'unknown, max-age=60', 'unknown="max-age=0, no-store", max-age=60';
never("Expires: $_", '/p', [200, Expires => $_]) for '0', '-1', 'yesterday',
    'Thu, 01 Jan 1970 00:00:00 GMT',
    'Mon, 32 Jan 2035 00:00:00 GMT', '99999999999';
once('Expires in time', '/p', [200, Expires => 'Sun, 01 Jan 2040 00:00:00 GMT']);
never('Age beyond max-age', '/p', fresh(Age => 601));
never('an old Date', '/p', fresh(Date => 'Mon, 01 Jan 2024 00:00:00 GMT'));

# Size.
once('a body of DevCacheMaxObjectSize', '/small/', fresh(':size' => 1000));
never('one byte more', '/small/', fresh(':size' => 1001));
never('chunked, one byte more', '/small/', fresh('Transfer-Encoding' => 'chunked',
    ':size' => 1001));

# 23. A page that answers under the name of a file: as the type says, not the name.
never('a private page under the name of a style sheet', '/account.php/x.css', says('private'));

# 24. Fields that describe the body are stored with it.
$res = once('no-transform, ETag, Content-Encoding, type, language', '/p', fresh(ETag => 'W/"e"',
    'Cache-Control' => 'no-transform', 'Content-Encoding' => 'x-own',
        'Content-Type' => 'text/x-own; charset=x',
    'Content-Language' => 'en, de', 'Content-Location' => '/own',
        'Content-Disposition' => 'inline'));
my @described = qw(ETag Content-Encoding Content-Type Content-Language Content-Location
                   Content-Disposition Cache-Control);
is join('|', map { $res->header($_) } @described), 'W/"e"|x-own|text/x-own; charset=x|en, de|/own'
    . '|inline|max-age=600, no-transform', 'all as sent';

$t->expect_log(qr/\[proxy(?:_http)?:(?:error|warn)\]/);
$t->finish;
done_testing;
