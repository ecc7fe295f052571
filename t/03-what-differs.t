# SPDX-License-Identifier: Apache-2.0
# t/03-what-differs.t. Why it was no hit: Cache-Status and explain name the field, the cookie or
# the variable in which what is stored differs, and what has kept an answer from being stored.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use Test::More;
use DevCache::Ctl;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(rewrite authz_host)]);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
<Location "/keyed/">
    DevCacheKeyHeaders X-Forwarded-Proto X-Api-Key
</Location>
<Location "/set/">
    SetEnvIf Accept-Language "^de" german
    RequestHeader set X-Group a
    RequestHeader set X-Group b env=german
</Location>
<Location "/default/">
    DevCacheDefaultTTL 60
</Location>
<Location "/allow/">
    DevCacheCookies allow session theme
    DevCacheDefaultTTL 60
</Location>
<Location "/deny/">
    DevCacheCookies deny @analytics ROUTEID
</Location>
<Location "/bypass/">
    DevCacheBypass "%{QUERY_STRING} =~ /preview/"
</Location>
<Location "/if/">
    <If "%{HTTP_COOKIE} =~ /gold/">
        Header set X-Gold yes
    </If>
</Location>
<Location "/st">
    ProxyPass !
    SetHandler devcache-status
    Require ip 127.0.0.1
</Location>
RewriteEngine On
RewriteCond %{HTTP_COOKIE} beta
RewriteRule ^/rewritten/(.*)$ @ORIGIN@/beta/$1 [P]
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $base = 'http://127.0.0.1:' . $t->port;
my ($pc, $phone) = ('Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0', 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148');
my $serial = 0;
my $port = $t->port;

sub detail { return ($_[0]->header('Cache-Status') // '') =~ /detail="([^"]*)"/ ? $1 : '' }
sub explained {
    my ($path, @headers) = @_;
    my $question = '?explain=' . "$base$path" =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
    while (my ($name, $value) = splice @headers, 0, 2) {
        $question .= '&header=' . "$name: $value" =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
    }
    return JSON::PP->new->utf8->decode($t->get("/st$question")->{body});
}
sub told { return ctl(explain => $base . $_[0], "--url=$base/st", map { ('-H', $_) } @_[1 .. $#_])->{out} }

# --- in what stored ones differ -----------------------------------------------------------

# Stored for one, asked for by another: what differs, and the values that explain shows of it.
sub differs {
    my ($name, $prefix, $vary, $one, $other, $want, $stored, $asked) = @_;
    my $path = $prefix . ++$serial;
    my @answer = (200, 'Cache-Control' => 'max-age=60', $vary ? (Vary => $vary) : ());
    $site->fetched($name, $path, \@answer, @$one);
    my $said = explained($path, @$other)->{differs} // [];
    is join(' + ', map { $_->{name} } @$said), $want =~ s/ and / + /r, "$name: explained";
    is $said->[0]{stored}, $stored, "$name: what is stored";
    is $said->[0]{asked}, $asked, "$name: what is asked with";
    like detail($site->ask($path, \@answer, @$other)), qr/^\w+, stored ones differ in \Q$want\E$/, $name;
    is detail($site->cached($name, $path, undef, @$other)), (grep({ /iPhone/ } @$other) ? 'mobile' : 'pc'), "$name: stored now";
}
my @ua = ('User-Agent' => $pc);
differs('another device', '/a/', undef, [@ua], ['User-Agent' => $phone], 'device class', 'pc', 'mobile');
differs('another language', '/a/', 'Accept-Language', [@ua, 'Accept-Language' => 'de'], [@ua, 'Accept-Language' => 'fr'],
    'accept-language', 'de', 'fr');
differs('no language', '/a/', 'Accept-Language', [@ua, 'Accept-Language' => 'de'], [@ua], 'accept-language', 'de', 'absent');
differs('another session', '/a/', 'Cookie', [@ua, Cookie => 'theme=x; session=1'], [@ua, Cookie => 'session=2; theme=x'],
    'cookie session');
differs('a cookie more', '/a/', 'Cookie', [@ua], [@ua, Cookie => '_ga=1; cart=7'], 'cookie cart');
differs('two at once', '/a/', 'Cookie, Accept-Language', [@ua], [@ua, Cookie => 'cart=7', 'Accept-Language' => 'fr'],
    'accept-language and cookie cart', 'absent', 'fr');
differs('a key', '/keyed/', undef, [@ua, 'X-Forwarded-Proto' => 'http'], [@ua, 'X-Forwarded-Proto' => 'https'],
    'field X-Forwarded-Proto');
differs('a second key', '/keyed/', undef, [@ua, 'X-Forwarded-Proto' => 'http'], [@ua, 'X-Forwarded-Proto' => 'http', 'X-Api-Key' => 's3cret'],
    'field X-Api-Key');
differs('what RequestHeader sets', '/set/', undef, [@ua], [@ua, 'Accept-Language' => 'de'], 'field x-group, which the configuration sets');
differs('rewriting', '/rewritten/', undef, [@ua], [@ua, Cookie => 'beta=1'], 'handler or file that rewriting leads to');

{
    $site->fetched('a page', '/host/1', undef, @ua);
    is detail($site->ask('/host/1', undef, @ua, Host => '127.0.0.1:99')), 'pc, stored ones differ in Host', 'another port in Host';
    my $path = '/form/1';
    $site->fetched('a page', $path, undef, @ua);
    my $res = $site->ask($path, undef, @ua, 'HX-Request' => 'true');
    like detail($res), qr/differ in form that HX-Request asks for/, 'another form';

    # The nearest counts, not the newest.
    my @answer = (200, 'Cache-Control' => 'max-age=60', Vary => 'Accept-Language');
    $site->ask('/near', \@answer, @ua, 'Accept-Language' => 'de');
    $site->ask('/near', \@answer, 'User-Agent' => $phone, 'Accept-Language' => 'fr');
    is detail($site->ask('/near', \@answer, @ua, 'Accept-Language' => 'it')), 'pc, stored ones differ in accept-language', 'the nearest';

    like told('/near', "User-Agent: $pc", 'Accept-Language: nl'), qr/^differs +accept-language: stored for "\w+", asked with "nl"$/m, 'told';
    unlike join('', map { JSON::PP->new->encode(explained($_, @ua, Cookie => 'session=s3cret', 'X-Api-Key' => 's3cret')) } '/a/4', '/keyed/8'),
        qr/s3cret/, 'no secret is shown';
}

# --- which cookies count, before anything is stored ----------------------------------------

{
    my $said = explained('/default/new', Cookie => '_ga=1; session=2; cart=3')->{cookies};
    is_deeply [@$said{qw(counting left_out write)}], [[qw(session cart)], ['_ga'], 'DevCacheCookies deny @analytics session cart'], 'cookies that count';
    is explained('/default/new', @ua)->{cookies}, undef, 'without cookies nothing is said';
    $said = explained('/default/new', Cookie => '_ga=1')->{cookies};
    is_deeply [@$said{qw(counting left_out write)}], [[], ['_ga'], undef], 'analytics alone do not';
    $said = explained('/deny/new', Cookie => 'ROUTEID=1; session=2')->{cookies};
    is $said->{write}, 'DevCacheCookies deny @analytics ROUTEID session', 'one line more on that list';
    like $said->{by}{directive}, qr/^DevCacheCookies deny/, 'by which it is so';
    $said = explained('/allow/new', Cookie => 'x=1; theme=2')->{cookies};
    is $said->{write}, 'DevCacheCookies allow session theme without theme', 'one less on a list of those that count';
    $said = explained('/if/new', Cookie => '_ga=1')->{cookies};
    is_deeply [@$said{qw(counting write)}], [['_ga'], undef], 'where <If> looks at cookies all count';
    my $text = told('/default/new', 'Cookie: _ga=1; session=2');
    like $text, qr/^cookies +these count: session; .*\nwrite +DevCacheCookies deny \@analytics session, or/m, 'told';
    like $text, qr/^ +these do not, and are not sent: _ga$/m, 'those that do not, as well';
}

# --- why it was not stored -------------------------------------------------------------------

sub not_stored {
    my ($name, $path, $answer, $want, @headers) = @_;
    is detail($site->ask($path, $answer, @ua, @headers)), "pc, $want", $name;
}
not_stored('no lifetime', '/n/1', [200], 'not stored: neither a lifetime nor a validator');
not_stored('Set-Cookie', '/n/2', [200, 'Cache-Control' => 'max-age=60', 'Set-Cookie' => 'a=1'], 'not stored: the response sets a cookie');
not_stored('private', '/n/3', [200, 'Cache-Control' => 'private'], 'not stored: the response says private');
not_stored('HEAD', '/n/4', undef, 'not stored: the answer to a HEAD has no body that could be stored', ':method' => 'HEAD');
not_stored('a cookie', '/default/5', [200], 'not stored: cookie session', Cookie => 'session=1');
not_stored('an odd field', '/n/6', undef, 'not stored: field X-Odd', 'X-Odd' => 1);
not_stored('DevCacheBypass', '/bypass/7?preview', undef, 'not cached: DevCacheBypass is true');
not_stored('POST', '/n/8', undef, 'not cached: neither GET nor HEAD', ':method' => 'POST');
not_stored('X-Forwarded-Host', '/n/9', undef, 'not cached: field X-Forwarded-Host', 'X-Forwarded-Host' => 'x');
is $t->counters->{reason_head}, 1, 'a HEAD is counted as that';
is $t->counters->{reason_method}, 1, 'and a POST as that';
$site->fetched('a page', '/n/10', [200, 'Cache-Control' => 'max-age=60', Vary => 'Cookie'], @ua);
not_stored('both', '/n/10', [200, 'Cache-Control' => 'private', Vary => 'Cookie'],
    'stored ones differ in cookie session, not stored: the response says private', Cookie => 'session=1');
$site->fetched('a page that expires', '/n/11', undef, @ua);
$t->clock_advance(61);
not_stored('is a secret now', '/n/11', [200, 'Cache-Control' => 'private'], 'not stored: the response says private');

$t->finish;
done_testing;
