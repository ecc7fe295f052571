# SPDX-License-Identifier: Apache-2.0
# t/57-balancers.t. Several origins for one page: a member that is down, sticky sessions in a cookie
# and in the path, ProxyPass !, an HTTP/2 backend, content negotiation.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my @modules = qw(proxy_balancer lbmethod_byrequests slotmem_shm negotiation mime dir autoindex expires
                 authz_host);
my $threads = ($ENV{DEVCACHE_MPM} // '') ne 'prefork';
push @modules, qw(http2 proxy_http2) if $threads;
my $h2 = $threads ? <<'CONF' : '';
ProxyPass /h2/ h2c://127.0.0.1:@H2@/behind/
Listen 127.0.0.1:@H2@
<VirtualHost 127.0.0.1:@H2@>
    Protocols h2c
    DevCache Off
    ProxyPass /behind/ @ORIGIN@/
</VirtualHost>
CONF
my $t = DevCache::Test->start(<<"CONF", modules => \@modules, origins => 2, ports => [qw(DOWN H2)]);
TypesConfig /dev/null
AddType text/plain .txt
AddType text/html .html
AddLanguage de .de
AddLanguage en .en
AddHandler type-map .var
LanguagePriority en de
ForceLanguagePriority Prefer Fallback
DevCacheStatusHeader On
DevCacheVaryDevice Off
DevCacheDefaultTTL 600
DevCache On
<Directory "\@DIR\@/htdocs">
    Options MultiViews Indexes FollowSymLinks
    AllowOverride All
</Directory>
FileETag MTime Size
<Proxy "balancer://failing">
    BalancerMember http://127.0.0.1:\@DOWN\@ retry=600
    BalancerMember \@ORIGIN\@
</Proxy>
ProxyPass /failing/ balancer://failing/failing/
<Proxy "balancer://sticky">
    BalancerMember \@ORIGIN\@ route=one
    BalancerMember \@ORIGIN2\@ route=two
    ProxySet stickysession=ROUTE|route
</Proxy>
ProxyPass /sticky/ balancer://sticky/sticky/
ProxyPass /app/static/ !
ProxyPass /app/ \@ORIGIN\@/app/
<Location "/app/deep/">
    ProxyPass !
</Location>
$h2
CONF
$t->allow_log(qr/\[proxy\w*:error\]/);
my $site = DevCache::Told->new($t);
my $second = $t->origin_auto(sub { return (200, { 'Cache-Control' => 'max-age=600' }, 'two') }, 2);
my @fresh = (200, 'Cache-Control' => 'max-age=600');
sub status_of { return ($_[0]->header('Cache-Status') // '') =~ /^devcache; (hit|fwd=[\w-]+)/ ? $1
    : 'none' }

# --- balancers --------------------------------------------------------------------------------

for my $n (1 .. 4) {
    my $res = $site->ask("/failing/$n", [@fresh]);
    is "$res->{status} $res->{fetches}", '200 1', "a member is down: page $n comes from the other";
    $res = $site->ask("/failing/$n");
    is "$res->{status} $res->{fetches}", '200 0', 'and is stored';
}
my $res = $site->ask('/sticky/p', [@fresh, ':body' => 'one'], Cookie => 'ROUTE=x.one');
is $res->{body}, 'one', 'a sticky session, by cookie';
is $site->ask('/sticky/p', undef, Cookie => 'ROUTE=x.two')->{body}, 'one',
    'the page is the same for a session of another member';
is $second->fetches, 0, 'which is not asked';
is $site->ask('/sticky/q', undef, Cookie => 'ROUTE=x.two')->{body}, 'two', 'what it has fetched';
is $site->ask('/sticky/q', undef, Cookie => 'ROUTE=x.one')->{body}, 'two', 'is for all, too';
is $site->ask('/sticky/r;route=x.two')->{body}, 'two', 'by path: a URL of its own';
$res = $site->ask('/sticky/r;route=x.one', [@fresh, ':body' => 'one']);
is "$res->{fetches} $res->{body}", '1 one', 'as is that of another';

# --- ProxyPass ! ------------------------------------------------------------------------------

mkdir $t->dir . "/htdocs/$_" or die for qw(app app/static app/deep list);
$t->write_file("htdocs/app/$_/f.txt", "a file of $_") for qw(static deep);
for my $where (qw(static deep)) {
    my ($one, $two) = map { $site->ask("/app/$where/f.txt") } 1, 2;
    is "$one->{body} $one->{fetches} " . status_of($two), "a file of $where 0 hit",
        "ProxyPass !, $where: a file, then from the cache";
}
is $site->ask('/app/p', [@fresh, ':body' => 'of the origin'])->{body}, 'of the origin', 'beside it: proxied';

# --- files ------------------------------------------------------------------------------------

$t->write_file("htdocs/page.txt.$_", $_) for qw(de en);
$t->write_file('htdocs/map.var', join "\n", 'URI: page', '', map { ("URI: page.txt.$_",
    'Content-Type: text/plain', "Content-Language: $_", '') } qw(de en));
for my $path ('/page', '/page.txt', '/map.var') {
    for my $round (1, 2) {
        for my $language (qw(de en)) {
            my $got = $t->get($path, 'Accept-Language' => $language);
            is "$got->{status} $got->{body}", "200 $language", "$path, round $round: in $language";
            is status_of($got), 'hit', 'from the cache' if $round == 2 && $path ne '/map.var';
        }
    }
}
$t->write_file('htdocs/plain.txt', 'first');
my $tag = $t->get('/plain.txt')->header('ETag');
ok $tag, 'FileETag';
is $t->get('/plain.txt', 'If-None-Match' => $tag)->{status}, 304, 'is a validator of hits';
$t->clock_advance(601);
is $t->get('/plain.txt', 'If-None-Match' => $tag)->{status}, 304, 'and when stale';
$t->write_file('htdocs/plain.txt', 'second one');
$t->clock_advance(601);
$res = $t->get('/plain.txt', 'If-None-Match' => $tag);
is "$res->{status} $res->{body}", '200 second one', 'a changed file is seen then';
like $t->get('/list/')->{body}, qr/Index of/, 'a list of files' for 1, 2;

# --- a backend that speaks HTTP/2 ---------------------------------------------------------------

SKIP: {
    skip 'mod_http2 needs threads', 1 unless $threads;
    my $got = $site->ask('/h2/p', [@fresh, ETag => '"h"', ':body' => 'by HTTP/2']);
    is "$got->{status} $got->{fetches} $got->{body}", '200 1 by HTTP/2', 'a backend by HTTP/2';
    $got = $site->ask('/h2/p');
    is "$got->{fetches} $got->{body}", '0 by HTTP/2', 'from the cache';
    $t->clock_advance(601);
    $got = $site->ask('/h2/p', [304, ETag => '"h"', 'Cache-Control' => 'max-age=600']);
    is "$got->{status} $got->{fetches} $got->{body}", '200 1 by HTTP/2', 'confirmed by 304';
    my $large = $site->ask('/h2/large', [@fresh, ':size' => 300_000]);
    ok $large->{body} eq $site->ask('/h2/large')->{body} && length $large->{body} == 300_000, 'a large one';
    # mod_proxy_http2 leaves a kept connection waiting, without this module as well.
    $got = $site->ask('/h2/half', [@fresh, ':size' => 5000, ':cut' => 2000], Connection => 'close');
    ok $got->{status} >= 500 || !$got->{complete}, 'half a page: the visitor can tell';
    $got = $site->ask('/h2/half', [@fresh, ':body' => 'whole']);
    is "$got->{fetches} $got->{body}", '1 whole', 'and it is not stored';
}
ok wait_until(sub { $t->counters->{flights} == 0 }), 'no fetch is left under way';

$t->finish;
done_testing;
