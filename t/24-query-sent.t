# SPDX-License-Identifier: Apache-2.0
# t/24-query-sent.t. What DevCacheQuery leaves out of the key is not sent to the origin, by
# whatever handler, and the logs have all of it; a balancer sees its cookie.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;
use DevCache::Told;

my $t = DevCache::Test->start(<<'CONF', origins => 2, modules => [qw(rewrite cgid include proxy_balancer slotmem_shm lbmethod_byrequests)]);
ScriptSock "@DIR@/cgisock"
LogFormat "%r|%q|%U" whole
CustomLog "@DIR@/whole.log" whole
<Location "/">
    DevCache On
    DevCacheQuery deny @tracking
</Location>
<Location "/allow/">
    DevCacheQuery allow id
</Location>
<Location "/ignore/">
    DevCacheQuery ignore
</Location>
<Location "/bypass/">
    DevCacheBypass "%{QUERY_STRING} =~ /preview/"
</Location>
RewriteEngine On
RewriteRule ^/p/(.*)$ /page?p=$1 [QSA,PT]
RewriteCond %{QUERY_STRING} utm_source=secret
RewriteRule ^/cond/ - [E=seen:1]
RequestHeader set X-Seen yes env=seen
<Directory "@DIR@/htdocs">
    Require all granted
    Options +ExecCGI +Includes
    <Files "*.cgi">
        SetHandler cgi-script
    </Files>
    <Files "*.shtml">
        SetOutputFilter INCLUDES
    </Files>
</Directory>
Alias /files "@DIR@/htdocs"
<Location "/balanced/">
    DevCacheCookies deny @analytics ROUTEID
</Location>
<Proxy "balancer://two">
    BalancerMember @ORIGIN@ route=a
    BalancerMember @ORIGIN2@ route=b
    ProxySet stickysession=ROUTEID
</Proxy>
ProxyPass /files !
ProxyPass /balanced/ balancer://two/balanced/
ProxyPass /raw/ @ORIGIN@/raw/ nocanon
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my $second = DevCache::Told->new($t, 2);
sub target { return $site->last_request->[1] }

# --- a backend ------------------------------------------------------------------------

for my $case (['/a?fbclid=1', '/a'], ['/b?x=1&utm_source=2', '/b?x=1'], ['/c?utm_a=1&z=1&y=2&gclid=3', '/c?y=2&z=1'],
    ['/d?x=1', '/d?x=1'], ['/e', '/e'], ['/allow/f?id=2&x=1', '/allow/f?id=2'], ['/ignore/g?x=1', '/ignore/g'],
    ['/ignore/h?', '/ignore/h'], ['/raw/i%20j?fbclid=1&k=2', '/raw/i%20j?k=2'])
{
    my ($asked, $sent) = @$case;
    $site->fetched($asked, $asked);
    is target(), $sent, "the origin is sent $sent";
    $site->cached("and $sent is the same page", $sent) if $sent !~ /\?id/;
}
is $site->ask('/p/9?utm_source=1')->{fetches}, 1, 'behind rewriting';
is target(), '/page?p=9', 'what it has put there stays';
$site->cached('so it is one page', '/p/9?utm_source=2');
$site->cached('for all', '/p/9');
$site->fetched('another', '/p/9?x=1&utm_source=2');
is target(), '/page?p=9&x=1', 'with what counts';
$site->fetched('rewriting sees all of it', '/cond/1?utm_source=secret');
is $site->last_request->[2]{'x-seen'}, 'yes', 'in its conditions';
$site->fetched('and what that changes is compared', '/cond/1');
$site->fetched('what bypasses', '/bypass/1?preview&utm_source=1');
is target(), '/bypass/1?preview&utm_source=1', 'keeps all';
$t->send_req('/post?utm_source=1', ':method' => 'POST', ':body' => 'x')->response;
is target(), '/post?utm_source=1', 'so does a POST';

# --- scripts --------------------------------------------------------------------------

my $script = $t->write_file('htdocs/s.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\nCache-Control: max-age=60\\n\\n'\n"
    . "echo \"\$QUERY_STRING \$REQUEST_URI\"\n");
chmod 0755, $t->dir . '/htdocs/s.cgi';
is $t->get('/files/s.cgi?x=1&fbclid=2')->{body}, "x=1 /files/s.cgi?x=1\n", 'CGI: both variables';
is $t->get('/files/s.cgi?fbclid=3&x=1')->header('Age'), 0, 'a hit for another';
is $t->get('/files/s.cgi?fbclid=3')->{body}, " /files/s.cgi\n", 'CGI: nothing is left';
$t->write_file('htdocs/q.shtml', '<!--#echo var="QUERY_STRING" --> <!--#echo var="REQUEST_URI" -->');
unlike $t->get('/files/q.shtml?fbclid=7&x=1')->{body}, qr/fbclid/, 'SSI does not see it';

# --- logs -----------------------------------------------------------------------------

# A line is written a moment after its answer has been read.
sub logged {
    my $line = shift;
    return wait_until(sub {
        open my $log, '<', $t->dir . '/whole.log' or die $!;
        return grep { $_ =~ $line } <$log>;
    });
}
ok logged(qr{^GET /a\?fbclid=1 HTTP/1\.1\|\?fbclid=1\|/a$}), 'the log has all of it: a miss';
ok logged(qr{^GET /p/9\?utm_source=2 HTTP/1\.1\|}), 'a hit';
ok logged(qr{^GET /files/s\.cgi\?fbclid=3 HTTP/1\.1\|\?fbclid=3\|}), 'a script';

# --- the balancer's cookie ------------------------------------------------------------

for my $n (1 .. 4) {
    my $path = "/balanced/$n";
    $second->fetched('the member that the cookie names', $path, undef, Cookie => 'x=1; ROUTEID=s.b; _ga=2');
    is $second->last_request->[2]{cookie}, 'x=1', 'is not sent it';
    $site->fetched('the other one', "$path/other", undef, Cookie => 'ROUTEID=s.a');
    is $site->last_request->[2]{cookie}, undef, 'nor that';
    $site->cached('a page for all', "$path/other");
}
$t->finish;

like(DevCache::Test->start_error('DevCacheQuery deny @analytics'), qr/DevCacheQuery: the only list is \@tracking/,
    'another list');
done_testing;
