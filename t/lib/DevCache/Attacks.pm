# SPDX-License-Identifier: Apache-2.0
package DevCache::Attacks;

# Hostile visitors of a real application: they want others to get a page that is not theirs
# (poisoning), or everybody's pages to come from the application again (flooding). What they
# send are header fields, cookies, queries and methods by which known software makes another
# page of the same URL, or another answer.
#
#   DevCache::Attacks::run($site, '/post-1/', cookie => 'one_that_counts', more => [[name => {about}, Field => value, ...]]);
#
# Each attempt is made on a page that is not stored, then on one that is. After it a visitor
# with a browser has to get the page as it was, and from the second time on out of the cache.
# about: path => the URL instead, add => to its end, method, body, evicts => it may.

use strict;
use warnings;
use DevCache::Visitor;
use Test::More;

my $evil = 'evil.example';
my @attempts = (
    (map { ["$_ of another host" => {}, $_ => $evil] }
     qw(X-Forwarded-Host X-Host X-Original-Host X-Forwarded-Server X-HTTP-Host-Override Forwarded-Host
        X-Forwarded-Prefix X-Backend-Host X-Proxy-Host)),
    ['Forwarded' => {}, Forwarded => "for=1.2.3.4;host=$evil;proto=https"],
    (map { ["$_ says https" => {}, $_ => 'https'] }
     qw(X-Forwarded-Proto X-Forwarded-Scheme X-Url-Scheme CloudFront-Forwarded-Proto X-Scheme)),
    ['X-Forwarded-Ssl' => {}, 'X-Forwarded-Ssl' => 'on'],
    ['Front-End-Https' => {}, 'Front-End-Https' => 'on'],
    ['CF-Visitor' => {}, 'CF-Visitor' => '{"scheme":"https"}'],
    ['X-Forwarded-Port' => {}, 'X-Forwarded-Port' => 8443],
    (map { ["$_ of another path" => {}, $_ => '/nowhere'] }
     qw(X-Original-URL X-Rewrite-URL X-Original-URI X-Forwarded-Path X-Invoke-Path X-Matched-Path X-Request-Uri)),
    (map { my $field = $_; map { ["$field: $_" => {}, $field => $_] } qw(POST HEAD DELETE) }
     qw(X-HTTP-Method-Override X-HTTP-Method X-Method-Override)),
    ['a body with GET' => { body => 'utm_content=evil.example&q=evil.example' },
     'Content-Type' => 'application/x-www-form-urlencoded'],
    ['HEAD' => { method => 'HEAD' }],
    ['OPTIONS' => { method => 'OPTIONS' }],
    ['TRACE' => { method => 'TRACE' }],
    # RFC 9111, section 4.4, has caches invalidate the URL, if the application accepts it.
    ['a method that nobody knows' => { method => 'EVIL', evicts => 1 }],
    ['POST' => { method => 'POST', body => 'evil=evil.example', evicts => 1 },
     'Content-Type' => 'application/x-www-form-urlencoded'],
    ['a range' => {}, Range => 'bytes=0-9'],
    ['a bad range' => {}, Range => 'bytes=9-0'],
    ['If-Match' => {}, 'If-Match' => '"evil.example"'],
    ['If-None-Match: *' => {}, 'If-None-Match' => '*'],
    ['If-Unmodified-Since' => {}, 'If-Unmodified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['If-Modified-Since, later' => {}, 'If-Modified-Since' => 'Fri, 01 Jan 2038 00:00:00 GMT'],
    ['Expect' => {}, Expect => 'evil.example'],
    ['Cache-Control: no-store' => {}, 'Cache-Control' => 'no-store'],
    ['Cache-Control: no-cache' => {}, 'Cache-Control' => 'no-cache'],
    ['Pragma' => {}, Pragma => 'no-cache'],
    ['Authorization' => {}, Authorization => 'Basic ZXZpbDpldmls'],
    ['Authorization: Bearer' => {}, Authorization => 'Bearer evil.example'],
    ['a made-up session' => {}, Cookie => 'PHPSESSID=evil; session=evil; connect.sid=evil; '
     . 'wordpress_logged_in_evil=evil%7C1%7Cevil; my_wikiUserID=1; my_wiki_session=evil'],
    ['counters that say more' => {}, Cookie => '_ga=evil.example; utm_content=evil.example'],
    ['8 KB of cookies' => {}, Cookie => join '; ', map { "evil$_=evil.example" } 1 .. 380],
    ['Accept: application/json' => {}, Accept => 'application/json'],
    ['Accept of nothing' => {}, Accept => 'evil/example'],
    ['Accept-Language' => {}, 'Accept-Language' => 'evil'],
    ['Accept-Encoding: identity' => {}, 'Accept-Encoding' => 'identity'],
    ['Accept-Encoding: br' => {}, 'Accept-Encoding' => 'br'],
    ['no gzip' => {}, 'Accept-Encoding' => 'gzip;q=0, *;q=0'],
    ['XMLHttpRequest' => {}, 'X-Requested-With' => 'XMLHttpRequest'],
    ['HX-Request' => {}, 'HX-Request' => 'true'],
    ['Turbo-Frame' => {}, 'Turbo-Frame' => 'evil'],
    ['X-PJAX' => {}, 'X-PJAX' => 'true'],
    ['X-Inertia' => {}, 'X-Inertia' => 'true', 'X-Inertia-Version' => 'evil'],
    ['another device by a field' => {}, 'X-Device-Type' => 'tablet', 'X-UA-Device' => 'tv'],
    ['X-OperaMini-Phone-UA' => {}, 'X-OperaMini-Phone-UA' => DevCache::Client::PHONE()],
    ['a hint against the browser' => {}, 'Sec-CH-UA-Mobile' => '?0'],
    ['Purpose' => {}, Purpose => 'prefetch', 'Sec-Purpose' => 'prefetch', 'X-Moz' => 'prefetch'],
    ['Save-Data' => {}, 'Save-Data' => 'on'],
    ['X-Forwarded-For' => {}, 'X-Forwarded-For' => "127.0.0.1, $evil"],
    ['X-Forwarded-User' => {}, 'X-Forwarded-User' => 'admin', 'X-Remote-User' => 'admin', 'Remote-User' => 'admin'],
    ['Client-Cert' => {}, 'Client-Cert' => ':evil:', 'X-SSL-Client-S-DN' => 'CN=admin'],
    ['Proxy' => {}, Proxy => "http://$evil"],
    ['a field with 4 KB' => {}, 'X-Evil' => 'evil.example' x 340],
    ['a field that WAFs refuse' => {}, 'X-Evil' => "' OR 1=1 --", 'User-Agent' => 'Mozilla/5.0 (Windows NT 10.0) evil.example sqlmap'],
    ['names with _' => {}, 'X_Forwarded_Host' => $evil, 'X_Forwarded_Proto' => 'https'],
    ['Connection names fields' => {}, Connection => 'close, Host, Cookie, X-Device-Type'],
    ['TE, Trailer' => {}, TE => 'trailers, evil', Trailer => 'evil'],
    ['Upgrade' => {}, Upgrade => 'evil.example', Connection => 'Upgrade, close'],
    ['a link of a campaign' => { add => ['utm_content=evil.example%22%3E%3Cscript%3E'] }],
    ['another one' => { add => ['fbclid=evil.example'] }],
    ['campaign twice' => { add => ['utm_source=a&utm_source[]=evil.example'] }],
    ['another spelling of it' => { add => ['UTM_SOURCE=evil.example'] }],
    ['_method' => { add => ['_method=DELETE'] }],
    ['callback' => { add => ['callback=evil.example'] }],
    ['a query with another separator' => { add => ['utm_source=a;p=evil.example'] }],
    ['encoded name' => { add => ['%75tm_source=a%26p=evil.example'] }],
    ['another host' => {}, Host => $evil],
    ['two slashes' => { path => sub { "/$_[0]" } }],
    ['dots' => { path => sub { "/x/..$_[0]" } }],
    ['absolute, of another host' => { path => sub { "http://$evil$_[0]" } }],
    ['a fragment' => { path => sub { "$_[0]#evil.example" } }],
);

# Pages differ in what an application makes anew each time.
sub _plain {
    my $text = shift;
    $text =~ s/(?:nonce|token|reqid|requestid|sid)["']?\s*[=:]\s*["']?[\w-]+//gi;
    $text =~ s/\b\d+(?:\.\d+)?\s*(?:ms|msec|seconds?)\b//gi;
    $text =~ s/"(?:wgBackendResponseTime|wgRequestId|wgPageParseReport)":(?:\{.*?\}\}?|"[^"]*"|\d+)//gs;
    $text =~ s/<!--.*?-->//gs;
    return $text;
}

sub run {
    my ($site, $path, %how) = @_;
    my $victim = sub { $site->visitor('stranger', device => 'mobile', browser => $_[0] // 0)->get($path) };
    my $purge = sub { $site->visitor('stranger')->ask(PURGE => $path) };
    $purge->();
    my $right = _plain($victim->()->{body});
    my (@poisoned, @evicted, @unstored);
    my $check = sub {
        my ($name, $stored) = @_;
        my $answer = $victim->(0);
        push @poisoned, "$name: $answer->{status} " . ($answer->header('Cache-Status') // '')
            if $answer->{status} != 200 || _plain($answer->{body}) ne $right
            || join(' ', map { @$_ } @{ $answer->{list} }) =~ /evil/;
        push @evicted, $name if $stored > 0 && ($answer->header('Cache-Status') // '') !~ /^devcache; hit/;
        my $again = $victim->(0);
        push @unstored, "$name: " . ($again->header('Cache-Status') // '')
            if ($again->header('Cache-Status') // '') !~ /^devcache; hit/;
    };
    for my $attempt (@attempts, @{ $how{more} || [] }) {
        my ($name, $about, @fields) = @$attempt;
        my $to = $about->{path} ? $about->{path}->($path) : $path;
        $to .= ($to =~ /\?/ ? '&' : '?') . $about->{add}[0] if $about->{add};
        my $hostile = $site->visitor('stranger', device => 'mobile');
        my $attack = sub {
            eval { $hostile->ask($about->{method} // 'GET', $to, @fields,
                                 defined $about->{body} ? (':body' => $about->{body}) : ()); 1 }
                or note "$name: $@";
        };
        $purge->();
        $attack->() for 1, 2;
        $check->($name, 0);
        $attack->() for 1, 2;
        $check->("$name, stored", $about->{evicts} ? -1 : 1);
    }
    # As many variants as one likes, by a cookie that counts.
    $victim->(0) for 1, 2;
    $site->visitor('stranger', device => 'mobile')->get($path, Cookie => "$how{cookie}=evil$_") for 1 .. 150;
    $check->("150 made-up cookies", 1);
    is "@poisoned[0 .. ($#poisoned > 5 ? 5 : $#poisoned)]", '', "nobody can poison $path, in " . (@attempts + @{ $how{more} || [] }) . ' ways'
        or diag map { "$_\n" } @poisoned;
    is join(', ', @evicted), '', '… or have it fetched again';
    is join(', ', @unstored), '', '… or keep it from being stored';
}

# A member is lured to spellings of pages that are made for members, which look like something
# that is for all; then the hostile visitor asks for the same. That nobody gets a mark of the
# member is checked by the site.
sub lure {
    my ($site, $member, @pages) = @_;
    my $hostile = $site->visitor('hostile', device => 'mobile');
    $site->{t}->allow_log(qr/AH10244: invalid URI path/);
    my $n = 0;
    for my $page (@pages) {
        (my $bare = $page) =~ s{/$}{};
        for my $lure ("$bare/x.css", "$bare;x.css", "$bare%2Fx.css", "$page?x.css", "$bare/..%2fx.css", "/$page",
                      "$bare%00.css", "$bare%0a.css", "$bare%23x.css", "$bare%3fx.css", "$bare/.", "$bare/x/..", "$bare.css",
                      "$bare/%2e%2e/x.css", uc $page, "$page?utm_source=x.css", "/x.css/..$page", "/static/..%2f..$page",
                      "/wp-content/..$page", "/_next/static/..$page", "/w/resources/..$page") {
            for my $who ($member, $hostile, $member, $hostile) {
                eval { $who->get($lure); $n++; 1 } or note "$lure: $@";
            }
            eval { $hostile->ask(HEAD => $lure); $hostile->get($lure, Range => 'bytes=0-') };
        }
    }
    cmp_ok $n, '>=', 40 * @pages, "members were lured to $n pages";
}

1;
