# SPDX-License-Identifier: Apache-2.0
# t/50-backends.t. Applications behind mod_proxy_fcgi (by SetHandler, ProxyPass, ProxyPassMatch; TCP
# and a socket in the file system), mod_proxy_scgi, mod_proxy_uwsgi and mod_proxy_ajp: what holds
# for HTTP holds for them, above all that nothing broken is stored.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Gateway;
use DevCache::Load qw(body_of);
use DevCache::Test;
use Test::More;

# The answer that a request asks for: [status, name => value, ...] in X-Answer; :body, :cut and
# the like as in DevCache::Gateway.
my $serial = 0;
sub answer {
    my $env = shift;
    my $told = $env->{HTTP_X_ANSWER};
    my ($status, @told) = defined $told ? unpack '(N/a*)*', pack 'H*', $told
        : (200, 'Cache-Control' => 'max-age=60');
    my (@headers, %how);
    while (my ($name, $value) = splice @told, 0, 2) {
        if ($name =~ /^:(\w+)/) { $how{$1} = $value }
        else                    { push @headers, $name, $value }
    }
    my $body = delete $how{body};
    $body = body_of('app', delete $how{size}) if $how{size};
    $body //= join ' ', 'answer', ++$serial, $env->{HTTP_X_DEVICE_TYPE} // '-',
        $env->{HTTP_IF_NONE_MATCH} // '-';
    push @headers, 'Content-Type', 'text/plain' if $status != 304;
    return ($status, \@headers, $body, %how);
}
my $dir = File::Temp::tempdir(CLEANUP => 1);
chmod 0755, $dir;
my %app;
sub up {
    my ($name, $protocol, @where) = @_;
    $app{$name} = DevCache::Gateway->new($protocol, @where, log => "$dir/$name.log",
                                         answer => \&answer);
}
up($_, $_) for qw(fcgi scgi uwsgi ajp);
up('unix', 'fcgi', path => "$dir/app.sock");
my %port = map { $_ => $app{$_}->port } keys %app;

my @modules = qw(proxy_fcgi proxy_scgi proxy_uwsgi proxy_ajp mime dir);
my $t = DevCache::Test->start(<<"CONF", modules => \@modules);
TypesConfig /dev/null
DevCacheStatusHeader On
<Location "/">
    DevCache On
    DevCacheStaleIfUnreachable 60
</Location>
ProxyTimeout 10
<FilesMatch "\\.php\$">
    SetHandler "proxy:unix:$dir/app.sock|fcgi://localhost/"
</FilesMatch>
<Location "/handler/">
    SetHandler "proxy:fcgi://127.0.0.1:$port{fcgi}"
</Location>
ProxyPass /fcgi/ fcgi://127.0.0.1:$port{fcgi}/fcgi/
ProxyPassMatch ^/(match/.*)\$ fcgi://127.0.0.1:$port{fcgi}/srv/\$1
ProxyPass /kept/ fcgi://127.0.0.1:$port{fcgi}/kept/ enablereuse=on
ProxyPass /scgi/ scgi://127.0.0.1:$port{scgi}/
<Location "/goes/">
    ProxyPass scgi://127.0.0.1:$port{scgi}/
    ProxySCGIInternalRedirect X-Go
</Location>
ProxyPass /uwsgi/ uwsgi://127.0.0.1:$port{uwsgi}/
ProxyPass /ajp/ ajp://127.0.0.1:$port{ajp}/ajp/
CONF
mkdir $t->dir . '/htdocs/php' or die;
$t->write_file("htdocs/php/$_.php", 'not to be seen') for 'a' .. 'z';

# What mod_proxy_* say about backends that are down or talk nonsense.
$t->allow_log(qr/\[proxy(?:_\w+)?:error\]|DC0324/);

sub ask {
    my ($app, $path, $answer, @headers) = @_;
    my $before = $app->fetches;
    push @headers, 'X-Answer' => unpack 'H*', pack '(N/a*)*', @$answer if $answer;
    my $res = $t->get($path, @headers);
    $res->{fetches} = $app->fetches - $before;
    return $res;
}

# [name, its application, URL before a letter, behind it, what it speaks]
my @places = (
    ['SetHandler, socket' => 'unix',  '/php/',     '.php', 'fcgi'],
    ['SetHandler, TCP'    => 'fcgi',  '/handler/', '',     'fcgi'],
    ['ProxyPass fcgi'     => 'fcgi',  '/fcgi/',    '',     'fcgi'],
    ['ProxyPassMatch'     => 'fcgi',  '/match/',   '.php', 'fcgi'],
    ['fcgi, reused'       => 'fcgi',  '/kept/',    '',     'fcgi'],
    ['scgi'               => 'scgi',  '/scgi/',    '',     'scgi'],
    ['uwsgi'              => 'uwsgi', '/uwsgi/',   '',     'uwsgi'],
    ['ajp'                => 'ajp',   '/ajp/',     '',     'ajp'],
);
my @fresh = (200, 'Cache-Control' => 'max-age=60');
for my $place (@places) {
    my ($name, $which, $before, $after, $protocol) = @$place;
    my $app = $app{$which};
    my $http = $protocol eq 'uwsgi' ? [':http' => 1] : [];
    my $url = sub { my ($letter, $query) = split /(?=\?)/, $_[0];
                    return $before . $letter . $after . ($query // '') };
    my $tell = sub { my ($status, @more) = @_; return [$status, @more, @$http] };
    my $get = sub { my ($path, $told, @h) = @_; return ask($app, $url->($path), $told, @h) };

    # from the application, from the cache
    my $res = $get->('a', $tell->(@fresh));
    is "$res->{status} $res->{fetches}", '200 1', "$name: first";
    my $hit = $get->('a');
    is "$hit->{status} $hit->{fetches} $hit->{body}", "200 0 $res->{body}", '… hit';
    is $hit->header('Content-Type'), 'text/plain', '… with its type';
    is $get->('a', $tell->(@fresh), 'User-Agent' => PHONE)->{body} =~ /mobile/, 1,
        '… a phone has its own';
    is $get->('a', undef, 'User-Agent' => PHONE)->{fetches}, 0, '… from the cache, too';
    is $get->('a?q=1', $tell->(@fresh))->{fetches}, 1, '… a query is another page';
    my $head = $t->head($url->('a'));
    is "$head->{status} " . $head->header('Content-Length'), '200 ' . length $res->{body},
        '… HEAD of a hit';
    is $get->('a', undef, Range => 'bytes=0-5')->{body}, 'answer', '… a range of it';
    is $t->head($url->('b'), 'X-Answer' => unpack 'H*', pack '(N/a*)*', @{ $tell->(@fresh) })
        ->{status}, 200, '… HEAD of what is not stored';
    is $get->('b', $tell->(@fresh))->{fetches}, 1, '… stores nothing';

    # stale, confirmed
    $get->('c', $tell->(200, 'Cache-Control' => 'max-age=1', ETag => '"c"', ':body' => 'one'));
    $t->clock_advance(2);
    $res = $get->('c', $tell->(304, 'Cache-Control' => 'max-age=60', ETag => '"c"'));
    is "$res->{status} $res->{fetches} $res->{body}", '200 1 one', '… stale: confirmed by 304';
    is $get->('c')->{fetches}, 0, '… and fresh';
    is $get->('c', undef, 'If-None-Match' => '"c"')->{status}, 304, '… 304 by the cache';

    # what is not for all, and errors
    for (['Set-Cookie' => 'a=1', 'Cache-Control' => 'max-age=60'], ['Cache-Control' => 'private']) {
        $get->('d', $tell->(200, @$_));
        is $get->('d', $tell->(200, @$_))->{fetches}, 1, "… not stored: $_->[0] $_->[1]";
    }
    is $get->('e', $tell->(500, ':body' => 'trace'))->{status}, 500, '… an error';
    is $get->('e', $tell->(@fresh, ':body' => 'good'))->{body}, 'good', '… is not in the way';
    is $get->('f', $tell->(404, 'Cache-Control' => 'max-age=60', ':body' => 'gone'))->{status},
        404, '… 404 with a lifetime';
    is $get->('f')->{fetches}, 0, '… is stored';
    $res = $get->('g', $tell->(302, 'Cache-Control' => 'max-age=60',
                               Location => 'http://example.org/x', ':body' => ''));
    is "$res->{status} " . ($res->header('Location') // ''), '302 http://example.org/x',
        '… a redirect';
    $res = $get->('g');
    is "$res->{fetches} $res->{status} " . ($res->header('Location') // ''),
        '0 302 http://example.org/x', '… from the cache';

    # large, in pieces
    $res = $get->('h', $tell->(@fresh, ':size' => 300_000, ':pieces' => 40));
    ok $res->{body} eq body_of('app', 300_000), '… 300 KB in pieces';
    ok $get->('h')->{body} eq $res->{body}, '… from the cache';

    # half, nonsense, nothing
    my @length = ('Content-Length' => 5000);
    my %broken = (
        half    => [@fresh, @length, ':size' => 5000, ':cut' => 2000],
        nothing => [@fresh, ':raw' => ''],
        garbage => [@fresh, ':raw' => "\x07\xff\x01 no header\r\n" x 50],
    );
    # Without a length only FastCGI and AJP can tell an end from an interruption.
    $broken{'half, no length'} = [@fresh, ':size' => 5000, ':cut' => 2000]
        if $protocol =~ /fcgi|ajp/;
    my $letter = 'p';
    for my $how (sort keys %broken) {
        my $path = $letter++;
        $res = $get->($path, $tell->(@{ $broken{$how} }));
        # With SCGI he cannot, as httpd drops the length (t/130).
        ok $res->{status} >= 500 || !$res->{complete} || $protocol eq 'scgi' && $how eq 'half',
            "… $how: the visitor can tell"
            or diag "$res->{status} complete, " . length($res->{body}) . ' bytes';
        $res = $get->($path, $tell->(@fresh, ':body' => 'whole'));
        is "$res->{fetches} $res->{body}", '1 whole', '… not stored';
    }

    # away
    $get->('n', $tell->(200, 'Cache-Control' => 'max-age=1', ':body' => 'kept'));
    $app->stop;
    $t->clock_advance(2);
    is $t->get($url->('n'))->{body}, 'kept', '… away: what is stored stands in';
    my $error = $t->get($url->('o'));
    ok $error->{status} >= 502, '… else an error' or diag $error->{status};
    unlink "$dir/app.sock" if $which eq 'unix';
    up($which, $protocol, $which eq 'unix' ? (path => "$dir/app.sock") : (port => $port{$which}));
    $app = $app{$which};
    ok wait_until(sub { $get->('o', $tell->(@fresh, ':body' => 'back'))->{body} eq 'back' }),
        '… that is not stored';
}

# By SCGI an application may have httpd go on to another URL: for this visitor.
$t->write_file('htdocs/secret.txt', 'for members');
utime time - 9e6, time - 9e6, $t->dir . '/htdocs/secret.txt';
for my $field ('Location', 'X-Go') {
    my $path = $field eq 'Location' ? '/scgi/member' : '/goes/member';
    for (1, 2) {
        my $res = ask($app{scgi}, $path, [200, $field => '/secret.txt', ':body' => '']);
        is "$res->{fetches} $res->{body}", '1 for members', "scgi, $field: a member is sent to a file";
    }
    is ask($app{scgi}, $path, [403, ':body' => 'no'])->{status}, 403, 'and nobody else';
}
ok wait_until(sub { $t->counters->{flights} == 0 }), 'no fetch is left under way';

$t->finish;
done_testing;
