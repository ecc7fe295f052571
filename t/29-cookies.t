# SPDX-License-Identifier: Apache-2.0
# t/29-cookies.t. Cookies: which of them pages depend on, what the application is sent, and
# for whom a lifetime holds that it has not stated.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', modules => [qw(expires include)]);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
</Location>
<Location "/default/">
    DevCacheDefaultTTL 60
</Location>
<Location "/force/">
    DevCacheForceTTL 60
</Location>
<Location "/min/">
    DevCacheMinTTL 60
</Location>
<Location "/expires/">
    ExpiresActive On
    ExpiresDefault "access plus 60 seconds"
</Location>
<Location "/headers/">
    Header set Cache-Control "max-age=60"
</Location>
<Location "/setifempty/">
    Header setifempty Cache-Control "max-age=60"
</Location>
<Location "/public/">
    Header set Cache-Control "public, max-age=60"
</Location>
<Location "/s-maxage/">
    Header set Cache-Control "s-maxage=60"
</Location>
<Location "/allow/">
    DevCacheCookies allow session cart*
    DevCacheDefaultTTL 60
</Location>
<Location "/deny/">
    DevCacheCookies deny @analytics ROUTEID
    DevCacheDefaultTTL 60
</Location>
<Location "/keep/">
    DevCacheCookies keep
    DevCacheDefaultTTL 60
</Location>
<Location "/bypass/">
    DevCacheBypass "%{HTTP_COOKIE} =~ /session/"
</Location>
<Directory "@DIR@/htdocs">
    Require all granted
    Options +Includes
    <Files "*.shtml">
        SetOutputFilter INCLUDES
    </Files>
</Directory>
<Location "/if/">
    <If "%{HTTP_COOKIE} =~ /gold/">
        Header set X-Gold yes
    </If>
</Location>
Alias /files "@DIR@/htdocs"
ProxyPass /files !
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $serial = 0;
my @silent = (200, 'Content-Type' => 'text/plain');
sub sent { return $site->last_request->[2]{cookie} }

# --- whose lifetime --------------------------------------------------------------------

# Visitors with a session ask for themselves, before and after others.
sub only_for_strangers {
    my ($name, $prefix, @answer) = @_;
    @answer = @silent if !@answer;
    my $path = $prefix . ++$serial;
    $site->fetched("$name: a member first", $path, \@answer, Cookie => 'session=1');
    $site->fetched("$name: a stranger asks", $path, \@answer);
    $site->cached("$name: and another has that", $path);
    $site->cached("$name: with analytics as well", $path, undef, Cookie => '_ga=1; _gid=2');
    my $res = $site->fetched("$name: not the member", $path, \@answer, Cookie => '_ga=1; session=1');
    like $res->header('Cache-Status'), qr/fwd=/, "$name: Cache-Status";
    return $site->cached("$name: it is there all the same", $path);
}

sub for_all {
    my ($name, $prefix, @answer) = @_;
    my $path = $prefix . ++$serial;
    $site->fetched("$name: a member", $path, \@answer, Cookie => 'session=1');
    $site->cached("$name: a stranger", $path);
    return $site->cached("$name: another member", $path, undef, Cookie => 'session=2');
}

my @old = ('Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT');
only_for_strangers('DevCacheDefaultTTL', '/default/');
only_for_strangers('DevCacheForceTTL', '/force/');
only_for_strangers('DevCacheForceTTL over another', '/force/', 200, 'Cache-Control' => 'max-age=5');
only_for_strangers('DevCacheMinTTL', '/min/', 200, 'Cache-Control' => 'max-age=5');
only_for_strangers('Last-Modified', '/guess/', 200, @old);
only_for_strangers('mod_expires', '/expires/');
only_for_strangers('Header set', '/headers/');
only_for_strangers('Header setifempty', '/setifempty/');
only_for_strangers('Header set over less', '/headers/', 200, 'Cache-Control' => 'max-age=5');
for_all('the application says it', '/own/', 200, 'Cache-Control' => 'max-age=60');
for_all('by Expires', '/own/', 200, Expires => 'Fri, 01 Jan 2038 00:00:00 GMT');
for_all('by a targeted field', '/own/', 200, 'CDN-Cache-Control' => 'max-age=60');
for_all('more than DevCacheMinTTL', '/min/', 200, 'Cache-Control' => 'max-age=90');
for_all('more than Header set', '/headers/', 200, 'Cache-Control' => 'max-age=90');
for_all('the same as Header setifempty', '/setifempty/', 200, 'Cache-Control' => 'max-age=60');
for_all('its own beside DevCacheDefaultTTL', '/default/', 200, 'Cache-Control' => 'max-age=60');
for_all('its own beside mod_expires', '/expires/', 200, 'Cache-Control' => 'max-age=60',
    Expires => 'Fri, 01 Jan 2038 00:00:00 GMT');
for_all('public, by whomever', '/public/', @silent);
for_all('s-maxage, by whomever', '/s-maxage/', @silent);
for_all('public of the application, DevCacheDefaultTTL', '/default/', 200,
    'Cache-Control' => 'public');
is scalar(grep { /"session"/ } $t->log_lines(qr/DC0119/)), 1, 'the log names the cookie once';
like +($t->log_lines(qr/DC0119/))[0], qr/DevCacheCookies deny \@analytics session/,
    'with the line to write';
cmp_ok $t->counters->{reason_cookie}, '>', 5, 'it is counted';

# Files of httpd's own are the same for all, unless they are put together.
$t->write_file('htdocs/a.txt', 'file');
$t->write_file('htdocs/b.shtml', 'hello <!--#echo var="HTTP_COOKIE" -->');
utime 1, time - 1e6, $t->dir . "/htdocs/$_" for 'a.txt', 'b.shtml';
for my $cookie ('session=1', 'session=2') {
    $t->get('/files/a.txt', Cookie => $cookie);
    like $t->get('/files/a.txt')->header('Cache-Status'), qr/devcache; hit/, 'a file is for all';
    like $t->get('/files/b.shtml', Cookie => $cookie)->{body}, qr/$cookie/, 'an SSI page is one\'s own';
    unlike $t->get('/files/b.shtml')->{body}, qr/session/, 'and not for others';
}

# A page that has an ETag and no lifetime is nobody's without the origin's word.
{
    my @page = (200, ETag => '"e"', ':body' => 'alice');
    $site->fetched('ETag alone', '/etag', \@page, Cookie => 'session=alice');
    is $site->fetched('is asked for', '/etag', [304, ETag => '"e"'])->{body}, 'alice', 'each time';
}

# --- DevCacheCookies ------------------------------------------------------------------

{
    my @vary = (200, 'Cache-Control' => 'max-age=60', Vary => 'Cookie');
    my $first = $site->fetched('analytics', '/vary/1', \@vary, Cookie => '_ga=1; _gid=2');
    is sent(), undef, 'the application is not sent them';
    is $site->cached("$_ is none", '/vary/1', undef, Cookie => $_)->{body}, $first->{body}, 'the same'
        for '_ga=2', '_fbp=3;_hjid=4', ' ; ;', '', 'sbjs_migrations=1; sbjs_current=typ%3Dtypein%7C%7C%7Csrc%3D%28direct%29',
            'tk_ai=x; pys_session_limit=true; last_pysTrafficSource=direct', '__stripe_mid=1; intercom-id-ab=2; ph_k_posthog=3',
            'cf_clearance=1', '_abck=1; bm_sz=2; visid_incap_3=4; incap_ses_5=6';
    $site->fetched("$_ is one", '/vary/1', \@vary, Cookie => $_) for 'tk=1', 'bm=1', 'xsbjs_first=1', 'cf_clearance2=1';
    $site->cached('and none', '/vary/1');
    $site->fetched('a session beside them', '/vary/1', \@vary, Cookie => '_ga=1; session=1; _gid=2');
    is sent(), 'session=1', 'it alone is sent';
    $site->cached('other analytics', '/vary/1', undef, Cookie => 'session=1;_ga=77');
    $site->fetched('another session', '/vary/1', \@vary, Cookie => 'session=2; _ga=1');

    $site->fetched('two cookies', '/vary/2', \@vary, Cookie => 'b=2; a=1');
    $site->cached('in another order', '/vary/2', undef, Cookie => 'a=1;b=2');
    $site->fetched('with another value', '/vary/2', \@vary, Cookie => 'a=1; b=3');
    $site->fetched('one name twice', '/vary/2', \@vary, Cookie => 'a=1; a=2');
    $site->fetched('the other way round', '/vary/2', \@vary, Cookie => 'a=2; a=1');
    $site->fetched('two fields', '/vary/3', \@vary, Cookie => '_ga=1', Cookie => 'session=1');
    is sent(), 'session=1', 'the session is not lost behind the other';
    $site->fetched('are two cookies', '/vary/3', \@vary, Cookie => 'session=2');
    $site->cached('each in its variant', '/vary/3', undef, Cookie => "session=$_") for 1, 2;
    $site->fetched('blanks in names', '/vary/4', \@vary, Cookie => 'a b=1; =x; c=d=e');
    is sent(), 'a b=1; =x; c=d=e', 'as it came';
}
{
    my @silent_page = @silent;
    $site->fetched('allow', '/allow/1', \@silent_page, Cookie => 'x=1; theme=dark');
    is sent(), undef, 'sends nothing else';
    $site->cached('so it is for all', '/allow/1', undef, Cookie => 'y=2');
    $site->fetched('but what is named counts', '/allow/1', \@silent_page, Cookie => 'x=1; cart_id=2; session=3');
    is sent(), 'cart_id=2; session=3', 'and is sent';
    $site->fetched('deny', '/deny/1', \@silent_page, Cookie => 'ROUTEID=.1; _ga=2');
    is sent(), undef, 'leaves out what it names';
    $site->cached('so it is for all', '/deny/1');
    $site->fetched('keep', '/keep/1', \@silent_page, Cookie => '_ga=2');
    is sent(), '_ga=2', 'leaves out nothing';
    $site->fetched('so it was not for all', '/keep/1', \@silent_page);
}
$site->fetched('a request that bypasses', '/bypass/1', undef, Cookie => '_ga=1; session=1');
is sent(), '_ga=1; session=1', 'keeps all';
$t->send_req('/bypass/2', Cookie => '_ga=1; b=2', ':method' => 'POST', ':body' => 'x')->response;
is sent(), '_ga=1; b=2', 'so does a POST';

# --- what the configuration looks at ---------------------------------------------------

{
    my @page = (200, 'Cache-Control' => 'max-age=60');
    $site->fetched('<If> by a cookie', '/if/1', \@page, Cookie => 'gold=1');
    $site->fetched('notes it in Vary, which counts', '/if/1', \@page);
    like $site->cached('none', '/if/1')->header('Vary'), qr/Cookie/, 'clients are told';
    $site->cached('gold', '/if/1', undef, Cookie => 'gold=1');
    $site->fetched('by all of the field', '/if/1', \@page, Cookie => '_ga=gold');
}

# --- bad input ------------------------------------------------------------------------

for my $case (['many', join('; ', map { "c$_=$_" } 1 .. 700)], ['a long one', 'a=' . 'x' x 8000],
    ['a long name', 'x' x 8000], ['semicolons', ';' x 8000], ['commas', ', a=' x 2000])
{
    my ($name, $cookie) = @$case;
    my @vary = (200, 'Cache-Control' => 'max-age=60', Vary => 'Cookie');
    my $path = '/bad/' . ++$serial;
    $site->fetched($name, $path, \@vary, Cookie => $cookie);
    $site->cached("$name: its variant", $path, undef, Cookie => $cookie);
}
$t->finish;

for my $case (['', 'give keep, allow'], ['keep x', 'give keep, allow'], ['allow', 'give keep, allow'],
    ['deny', 'give keep, allow'], ['drop x', 'give keep, allow'], ['deny @tracking', 'the only list'])
{
    my ($arg, $said) = @$case;
    like(DevCache::Test->start_error("DevCacheCookies $arg"), qr/DevCacheCookies: $said/,
        "DevCacheCookies $arg");
}
done_testing;
