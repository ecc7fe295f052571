# SPDX-License-Identifier: Apache-2.0
# t/76-purge.t. PURGE of a URL: who may, what goes, and what does not come back.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

# --- refused at start -------------------------------------------------------------------

sub section {
    my ($lines) = @_;
    return qq{<Location "/">\n    DevCache On\n    $lines\n</Location>\nProxyPass / \@ORIGIN\@/\n};
}
my $open = qr/DevCachePurge (?:On|Path): anybody could purge: put a Require/;
for my $lines ('', 'Require all granted', "Require local\nRequire all granted",
               'Require method PURGE', "<RequireAll>\nRequire all granted\n</RequireAll>",
               "<RequireAny>\nRequire local\nRequire all granted\n</RequireAny>") {
    like +DevCache::Test->start_error(section("DevCachePurge On\n$lines")) // 'it started',
        $open, 'DevCachePurge On with: ' . ($lines =~ s/\n/; /gr || 'nothing');
}
like +DevCache::Test->start_error("DevCachePurge On\n") // '', $open, 'outside of sections';
like +DevCache::Test->start_error(section("DevCachePurge Maybe")) // '',
    qr/DevCachePurge: 'Maybe' is not On, Off or Path/, 'another word';
like +DevCache::Test->start_error(<<'CONF') // '', qr/DevCachePurge Path: put it into a <Location/,
<LocationMatch "^/purge">
    DevCachePurge Path
    Require local
</LocationMatch>
CONF
    'Path where there is no path';
like +DevCache::Test->start_error(<<'CONF', root => 0, modules => ['authz_host']) // '', qr/DC0006: conf: DevCachePurge On .* needs a place/,
<Location "/">
    DevCachePurge On
    Require local
</Location>
CONF
    'without a store';

# --- a server ---------------------------------------------------------------------------
# Clients on this machine come from 127.0.0.1 and 127.0.0.2.

my $t = DevCache::Test->start(<<'CONF', ports => ['B'], modules => ['authz_host', 'setenvif', 'authz_user', 'auth_basic', 'authn_core']);
Listen 127.0.0.1:@B@
<Location "/">
    DevCache On
    DevCachePurge On
    <Limit PURGE>
        Require ip 127.0.0.1
    </Limit>
</Location>
<Location "/open">
    Require all granted
</Location>
<Location "/off">
    DevCachePurge Off
    Require all granted
</Location>
<Location "/key">
    DevCachePurge On
    <Limit PURGE>
        Require expr "%{HTTP:X-Key} == 'secret'"
    </Limit>
</Location>
<Location "/purge">
    DevCache Off
    DevCachePurge Path
    Require ip 127.0.0.1
</Location>
<Location "/q">
    DevCacheQuery sort
</Location>
<VirtualHost 127.0.0.1:@PORT@>
    ServerName www.example.org
    ProxyPass / @ORIGIN@/
</VirtualHost>
<VirtualHost 127.0.0.1:@B@>
    ServerName https://www.example.org:@B@
    ProxyPass / @ORIGIN@/
</VirtualHost>
CONF
my %lives = ('Cache-Control' => 'max-age=1000', ETag => '"e"');
my %www = (Host => 'www.example.org');

sub store {
    my ($path, @request) = @_;
    my $x = $t->send_req($path, @request);
    $t->origin->accept->reply(200, { %lives, Vary => 'Accept-Language' }, 'stored');
    return $x->response;
}
sub purge {
    my ($path, @request) = @_;
    return $t->get($path, ':method' => 'PURGE', @request);
}
sub purged {
    my ($count, $name, $path, @request) = @_;
    my $got = purge($path, @request);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is "$got->{status} $got->{body}", "200 {\"purged\": $count}\n", $name;
    return $got;
}

# All variants, and no other URL.
my @variants = map {
    my $agent = $_;
    map { ['User-Agent' => $agent, 'Accept-Language' => $_] } qw(de en);
} PC, TABLET, PHONE;
store('/v', @$_) for @variants;
store($_) for '/v/', '/v?q', '/V', '/';
my $got = purged(6, 'all variants', '/v');
is $got->header('Content-Type'), 'application/json', 'in JSON';
is $got->header('Cache-Control'), 'no-store', 'which nobody keeps';
$t->is_gone('/v', 'purged', @$_) for @variants;
$t->is_stored($_, 'another URL') for '/v/', '/v?q', '/V', '/';
purged(0, 'nothing left', '/v');
purged(1, 'another spelling', '/x/../%56');
purged(1, 'with its query', '/v?q');
store('/q?b=2&a=1');
purged(1, 'the query as DevCacheQuery makes it', '/q?a=1&b=2');
is $t->counters->{purges}, 5, 'counted: purges';
is $t->counters->{purged}, 9, 'counted: what went';

# From another port and scheme: the page is under https in another virtual host.
store('/s', %www, ':port' => $t->port('B'));
store('/s', %www);
store('/s', Host => 'other.example.org');
purged(2, 'every scheme and port', '/s', %www);
$t->is_gone('/s', 'https', %www, ':port' => $t->port('B'));
$t->is_stored('/s', 'of another host', Host => 'other.example.org');

# Nothing that began before comes back.
for my $how (['asked, not answered', sub { }, sub { $_[0]->reply(200, \%lives, 'before') }],
             ['half answered',
              sub { $_[0]->head(200, { %lives, 'Content-Length' => 6 }); $_[0]->send('bef') },
              sub { $_[0]->send('ore'); $_[0]->end }]) {
    my ($name, $begin, $end) = @$how;
    my $x = $t->send_req('/race');
    my $fetch = $t->origin->accept;
    $begin->($fetch);
    purged(0, $name, '/race');
    $end->($fetch);
    is $x->response->{body}, 'before', "$name: its client has its answer";
    $t->is_gone('/race', $name);
}

# Strangers.
sub stranger {
    my ($method, $path) = @_;
    return $t->curl('--interface', '127.0.0.2', '-X', $method, $path);
}
store('/mine');
my $refused = $t->counters->{purges_refused};
$got = stranger('PURGE', '/mine');
is $got->{status}, 403, 'a stranger';
$t->is_stored('/mine', 'a stranger');
is stranger('GET', '/mine')->{status}, 200, 'who may read it';
is $t->counters->{purges_refused}, $refused + 1, 'and is counted';

# A section that comes later and lets everybody in opens the Location, not the purge.
store('/open');
$t->expect_log(qr/DC0140: purge: refused: DevCachePurge is On for \/open/);
is purge('/open')->{status}, 403, 'where the Require in force lets anybody in';
$t->is_stored('/open', 'that');

# By a key in a header.
store('/key');
$t->expect_log(qr/AH01630/);
is purge('/key')->{status}, 403, 'without the key';
$t->is_stored('/key', 'without the key');
purged(1, 'with the key', '/key', 'X-Key' => 'secret');

# Where it is Off the origin is asked, and a success invalidates as that of any other method.
store('/off');
my $x = $t->send_req('/off', ':method' => 'PURGE');
my $fetch = $t->origin->accept;
is $fetch->{method}, 'PURGE', 'Off: the origin gets it';
$fetch->reply(405, {}, 'no');
is $x->response->{status}, 405, 'Off: and answers';
$t->is_stored('/off', 'Off, refused by the origin');

# By the path behind the Location's own (nginx's way).
for my $method ('GET', 'PURGE') {
    store('/nginx/a?x=1', %www);
    my $by_path = $t->get('/purge/nginx/a?x=1', ':method' => $method, %www);
    is $by_path->{body}, "{\"purged\": 1}\n", "$method /purge/…";
    $t->is_gone('/nginx/a?x=1', $method, %www);
}
is stranger('GET', '/purge/mine')->{status}, 403, 'a stranger by path';
$t->is_stored('/mine', 'that');
is $t->get('/purge/mine', ':method' => 'HEAD')->{body}, '', 'HEAD has no body';

# Unknown methods are the origin's.
$x = $t->send_req('/mine', ':method' => 'FROBNICATE');
$t->origin->accept->reply(501, {}, '');
is $x->response->{status}, 501, 'an unknown method';

# And so it stays.
store($_) for '/late', '/kept';
purged(1, 'before a restart', '/late');
$t->restart;
$t->is_gone('/late', 'after a restart');
$t->is_stored('/kept', 'after a restart');
$t->stop;
unlink $t->root . '/index' or die $!;
$t->start_again;
$t->expect_log(qr/DC0211: /);
$t->is_gone($_, 'after the loss of the index') for '/late', '/kept';

$t->finish;
done_testing;
