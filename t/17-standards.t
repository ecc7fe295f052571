# SPDX-License-Identifier: Apache-2.0
# t/17-standards.t. Newer standards: cache groups (RFC 9875), Incremental (RFC 10036),
# dictionaries (RFC 9842), Clear-Site-Data; and pages under the names of files.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Test;
use DevCache::Told;
use Test::More;

my $t = DevCache::Test->start(<<'CONF', modules => ['headers'], origins => 2);
DevCacheStatusHeader On
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
<Location "/ttl/">
    DevCacheDefaultTTL 60
    DevCacheDefaultTTL 60 404
</Location>
<Location "/set/">
    Header set Cache-Control "max-age=60"
</Location>
ProxyPass /played/ @ORIGIN2@/
ProxyPass / @ORIGIN@/
CONF
my $site = DevCache::Told->new($t);
my @page = (200, 'Cache-Control' => 'max-age=60');
sub post { my ($path, @answer) = @_; return $site->ask($path, [@answer], ':method' => 'POST') }

# ---- groups ------------------------------------------------------------------------

subtest 'an unsafe request invalidates the groups that its answer names' => sub {
    $site->fetched('both', '/g/1', [@page, 'Cache-Groups' => '"a", "b";x=1']);
    $site->fetched('one', '/g/2', [@page, 'Cache-Groups' => '"b"']);
    $site->fetched('none', '/g/3', [@page]);
    $site->fetched('with a tag', '/g/4', [@page, 'Cache-Tag' => 'b', 'Cache-Groups' => '"B"']);
    my $first = $site->ask('/g/1');
    is $first->header('Cache-Groups'), '"a", "b";x=1', 'clients see the field';

    $site->ask('/other', [@page, 'Cache-Group-Invalidation' => '"b"']);
    $t->is_stored("/g/$_", 'a GET invalidates none') for 1 .. 4;
    post('/form', 403, 'Cache-Group-Invalidation' => '"b"');
    $t->is_stored("/g/$_", 'nor does an error') for 1 .. 4;
    post('/form', 200, 'Cache-Group-Invalidation' => '"x", b');
    $t->is_stored("/g/$_", 'nor a list that is none') for 1 .. 4;
    post('/form', 200, 'Cache-Group-Invalidation' => '"a"');
    $t->is_gone('/g/1', 'in the group');
    $t->is_stored("/g/$_", 'not in it') for 2 .. 4;
    post('/form', 200, 'Cache-Group-Invalidation' => '"q\"q", "b"');
    $t->is_gone('/g/2', 'in the second of two');
    $t->is_stored('/g/4', 'a tag is no group, and case counts');
    is $t->get('/g/9')->{status}, 200, 'all goes on';
};

subtest 'groups are of one origin' => sub {
    my @host = (Host => 'other.example:' . $t->port);
    $site->fetched('here', '/o', [@page, 'Cache-Groups' => '"o"']);
    $site->fetched('there', '/o', [@page, 'Cache-Groups' => '"o"'], @host);
    post('/form', 200, 'Cache-Group-Invalidation' => '"o"');
    $t->is_gone('/o', 'here');
    $t->is_stored('/o', 'there', @host);
};

subtest 'groups of which nobody knows what they are keep a page out' => sub {
    $site->fetched("$_", "/bad/" . unpack('H*', $_), [@page, 'Cache-Groups' => $_]) for
        ('a', 'a', '"a', '"a', '("a")', '("a")');
    $site->fetched('33 of 33 letters', '/many', [@page,
        'Cache-Groups' => join ', ', map { sprintf '"%033d"', $_ } 1 .. 33]);
    post('/form', 200, 'Cache-Group-Invalidation' => sprintf '"%033d"', 33);
    $t->is_gone('/many', 'the last of them');
};

# ---- an order to one browser ---------------------------------------------------------

subtest 'Clear-Site-Data is for who has asked' => sub {
    $site->fetched('a logout', '/out', [@page, 'Clear-Site-Data' => '"cookies"']) for 1, 2;
    $site->fetched('a logout in two lines', '/out2',
                   [@page, 'Clear-Site-Data' => 'x', 'Clear-Site-Data' => '"*"']) for 1, 2;
    $site->fetched('an order that is none, as it has no quotes', '/none',
                   [@page, 'Clear-Site-Data' => 'cookies']);
    $site->cached('which is stored', '/none', [500]);
    $site->fetched('a page', '/csd', [200, 'Cache-Control' => 'max-age=1', ETag => '"c"']);
    $t->clock_advance(2);
    my $r = $site->ask('/csd', [304, 'Cache-Control' => 'max-age=60', ETag => '"c"',
                                'Clear-Site-Data' => '"cache"']);
    is $r->{fetches}, 1, 'it is validated';
    is $r->header('Clear-Site-Data'), '"cache"', 'who asks is told';
    $r = $site->cached('afterwards', '/csd', [500]);
    is $r->header('Clear-Site-Data'), undef, 'and nobody else';
};

# ---- pages under the names of files ---------------------------------------------------

subtest 'somebody\'s page under the name of a stylesheet is not kept by our own lifetime' => sub {
    my @html = (200, 'Content-Type' => 'text/html; charset=utf-8');
    for my $dir (qw(ttl set)) {
        $site->fetched("$dir: HTML for a stylesheet", "/$dir/account/x.css", [@html]) for 1, 2;
        $site->fetched("$dir: for a picture, in capitals", "/$dir/account;x.PNG", [@html]) for 1, 2;
        $site->fetched("$dir: encoded", "/$dir/account%2e%63ss", [@html]) for 1, 2;
        $site->fetched("$dir: JSON for a script", "/$dir/me/x.js",
                       [200, 'Content-Type' => 'application/json']) for 1, 2;
        $site->fetched("$dir: a stylesheet", "/$dir/y.css", [200, 'Content-Type' => 'text/css']);
        $site->cached("$dir: again", "/$dir/y.css");
        $site->fetched("$dir: a page", "/$dir/y.css/", [@html]);
        $site->cached("$dir: again", "/$dir/y.css/");
        $site->fetched("$dir: a source map", "/$dir/y.js.map", [200, 'Content-Type' => 'application/json']);
        $site->cached("$dir: again", "/$dir/y.js.map");
    }
    $site->fetched('by a guess', '/old.css', [@html, 'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT']) for 1, 2;
    $site->fetched('404', '/ttl/none.css', [404, 'Content-Type' => 'text/html']);
    $site->cached('is for all', '/ttl/none.css');
    $site->fetched('the application\'s own word', '/own.css', [@html, 'Cache-Control' => 'max-age=60']);
    $site->cached('counts', '/own.css');
    like $t->status_page('?json')->{body}, qr/"media-type"/, 'the status page names the reason';
};

# ---- dictionaries ----------------------------------------------------------------------

subtest 'a body made with a dictionary is for those who have it' => sub {
    my @coding = ('Accept-Encoding' => 'gzip, br, zstd, dcb, dcz');
    my @one = (@coding, 'Available-Dictionary' => ':MTE=:');
    my @two = (@coding, 'Available-Dictionary' => ':MjI=:', 'Dictionary-ID' => '"d"');
    my $js = [@page, 'Content-Encoding' => 'dcb', 'Use-As-Dictionary' => 'match="/js/*"'];
    my $r = $site->fetched('with one', '/js/a', $js, @one);
    is $site->last_request->[2]{'accept-encoding'}, 'dcb, dcz, br, gzip', 'the origin is asked for it';
    is $site->last_request->[2]{'available-dictionary'}, ':MTE=:', 'and told which';
    is $r->header('Content-Encoding'), 'dcb', 'the visitor has it';
    like $r->header('Vary'), qr/Available-Dictionary/i, 'and caches in front are told, though the origin was silent';
    is $r->header('Use-As-Dictionary'), 'match="/js/*"', 'the next dictionary is named';
    $site->cached('the same dictionary', '/js/a', [500], @one);
    is $site->fetched('another dictionary', '/js/a', [@page, 'Content-Encoding' => 'dcz'], @two)
        ->header('Content-Encoding'), 'dcz', 'its own';
    is $site->fetched('no dictionary', '/js/a', [@page, 'Content-Encoding' => 'br'], @coding)
        ->header('Content-Encoding'), 'br', 'none of them';
    is $site->last_request->[2]{'accept-encoding'}, 'br, gzip', 'nobody makes one for him';
    is $site->cached('no coding of that kind', '/js/a', [500], 'Accept-Encoding' => 'br',
        'Available-Dictionary' => ':MTE=:')->header('Content-Encoding'), 'br', 'who does not take it';
    is $site->cached("again", '/js/a', [500], @one)->header('Content-Encoding'), 'dcb', 'the first';
    is $site->cached("again", '/js/a', [500], @two)->header('Content-Encoding'), 'dcz', 'the second';
};

# ---- bytes as they come -------------------------------------------------------------------

subtest 'Incremental: nothing is held back' => sub {
    my $x = $t->send_req('/played/inc');
    my $fetch = $t->origin(2)->accept;
    $fetch->head(200, { 'Cache-Control' => 'max-age=60', 'Content-Length' => 10, Incremental => '?1' });
    $fetch->send('first');
    is $x->body_of(5), 'first', 'the client has what has come';
    $fetch->send('later');
    $fetch->end;
    is $x->response->{body}, 'firstlater', 'and all in the end';
    $t->is_stored('/played/inc', 'it is stored');
};

subtest 'Incremental: nobody waits behind a flight' => sub {
    my $x = $t->send_req('/played/wait');
    my $first = $t->origin(2)->accept;
    my $y = $t->send_req('/played/wait', Incremental => '?1');
    my $second = $t->origin(2)->accept;
    ok $second, 'the second is asked for as well';
    $second->reply(200, { 'Cache-Control' => 'max-age=60' }, 'second');
    is $y->response->{body}, 'second', 'and answered first';
    my $z = $t->send_req('/played/wait2', Incremental => '?0');
    $t->origin(2)->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'z');
    $z->response;
    $t->is_stored('/played/wait2', 'the field is no reason not to store');
    $first->reply(200, { 'Cache-Control' => 'max-age=60' }, 'first');
    is $x->response->{body}, 'first', 'the first has his own';
};

# ---- who is allowed ---------------------------------------------------------------------

subtest 'a reflected origin without Vary is named, with what to write' => sub {
    $site->fetched('reflected', '/cors', [@page, 'Access-Control-Allow-Origin' => 'https://a'],
                   Origin => 'https://a') for 1, 2;
    my @said = $t->wait_log(qr/DC0118.*"Origin"/, 1);
    like $said[0], qr/Header merge Vary Origin/, 'the log says what to write';
    like $t->status_page->{body}, qr/Header merge Vary Origin/, 'the status page has it';
};

$t->expect_log(qr/DC0260/);
$t->finish;
done_testing;
