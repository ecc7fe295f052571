# SPDX-License-Identifier: Apache-2.0
# t/130-cut-answers.t. Half a page that a CGI script, or an application behind SCGI, leaves when it
# is killed: httpd drops the Content-Length by which it could be told from a whole one. Visitors get
# what they would get from httpd alone, but it is not stored; the length reaches nobody, right or wrong.
# mpm: any
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use DevCache::Gateway;
use DevCache::Httpd;
use DevCache::Service;
use DevCache::Test;
use Test::More;

# What each application does is in the query: the length it states, the bytes it sends, a file that
# it waits for after the first half of them.
my $perl = <<'PL';
#!/usr/bin/perl
$| = 1;
my %q = map { split /=/ } split /&/, $ENV{QUERY_STRING};
if ($q{plan} && open my $plan, '<', $q{plan}) { %q = map { split /=/ } split /&/, readline $plan }
$q{status} = 304 if $ENV{HTTP_IF_NONE_MATCH};
print "Status: $q{status}\r\n" if $q{status};
print "ETag: \"e\"\r\n" if $q{tagged};
print "Content-Length: $q{stated}\r\n" if exists $q{stated};
print "Surrogate-Control: content=\"ESI/1.0\"\r\n" if $q{esi};
print "X-Sendfile: $q{file}\r\n" if $q{file};
print "Content-Type: text/html\r\nCache-Control: max-age=60\r\nX-Run: $$\r\n\r\n";
exit if $ENV{REQUEST_METHOD} eq 'HEAD' || ($q{status} // 200) == 304;
print 'a' x ($q{sent} / 2);
for (1 .. 1000) { last if !$q{wait} || -e $q{wait}; select undef, undef, undef, 0.01 }
kill KILL => $$ if $q{die};
print 'b' x ($q{sent} - int($q{sent} / 2));
PL
my $python = <<'PY';
import os, signal, time
def application(env, start):
    q = dict(pair.split('=') for pair in env['QUERY_STRING'].split('&'))
    fields = [('Content-Type', 'text/html'), ('Cache-Control', 'max-age=60')]
    if 'stated' in q:
        fields.append(('Content-Length', q['stated']))
    start('200 OK', fields)
    sent = int(q['sent'])
    yield b'a' * (sent // 2)
    if 'die' in q:
        while 'wait' in q and not os.path.exists(q['wait']):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    yield b'b' * (sent - sent // 2)
PY
my $dir = File::Temp::tempdir(CLEANUP => 1);
chmod 0755, $dir;
my $runs = 0;
my $answer = sub {
    my %q = map { split /=/ } split /&/, $_[0]{QUERY_STRING};
    my @length = exists $q{stated} ? ('Content-Length' => $q{stated}) : ();
    return ($q{status} // 200, [@length, 'Content-Type' => 'text/html',
                                'Cache-Control' => 'max-age=60', 'X-Run' => ++$runs,
                                $q{file} ? ('X-Sendfile' => $q{file}) : ()],
            'a' x int($q{sent} / 2) . 'b' x ($q{sent} - int($q{sent} / 2)));
};
my $scgi = DevCache::Gateway->new('scgi', log => "$dir/log", answer => $answer);
my $by_path = DevCache::Gateway->new('scgi', log => "$dir/log", answer => $answer, path => "$dir/sock");
my $uwsgi = DevCache::Service::find('uwsgi-core', 'uwsgi');
my ($port, $lock) = DevCache::Httpd::free_port();
my ($uwsgi_port, $other_lock) = DevCache::Httpd::free_port();

my $cgi = ($ENV{DEVCACHE_MPM} // '') eq 'prefork' ? 'cgi' : 'cgid';
my $sock = $cgi eq 'cgid' ? 'ScriptSock "@DIR@/cgisock"' : '';
my @modules = ($cgi, qw(proxy_scgi proxy_uwsgi deflate filter include mime dir env actions xsendfile));
my $t = DevCache::Test->start(<<"CONF", modules => \@modules);
$sock
@{[ $cgi eq 'cgi' ? 'CGIScriptTimeout' : 'CGIDScriptTimeout' ]} 2
TypesConfig /dev/null
AddType text/html .html
AddHandler cgi-script .cgi
DevCacheVaryDevice Off
<Location "/">
    DevCache On
</Location>
<Directory "\@DIR\@/htdocs">
    Options +ExecCGI +Includes
</Directory>
Alias /zip/ "\@DIR\@/htdocs/"
Alias /ssi/ "\@DIR\@/htdocs/"
Alias /own/ "\@DIR\@/htdocs/"
<Location "/zip/">
    SetOutputFilter DEFLATE
</Location>
<Location "/ssi/">
    SetOutputFilter INCLUDES
</Location>
Alias /head/ "\@DIR\@/htdocs/"
Alias /later/ "\@DIR\@/htdocs/"
Alias /gaps/ "\@DIR\@/htdocs/"
<Location "/gaps/">
    DevCacheFragments On
</Location>
<Location "/head/">
    DevCacheHead get
</Location>
<Location "/later/">
    DevCacheStaleWhileRevalidate 600
</Location>
<Location "/own/">
    SetEnv ap_trust_cgilike_cl 1
</Location>
<Files "part-*.html">
    SetOutputFilter INCLUDES
    DevCacheDefaultTTL 600
</Files>
<Location "/act/">
    Action by-script /app.cgi virtual
    SetHandler by-script
</Location>
<Location "/handler/">
    SetHandler "proxy:scgi://127.0.0.1:@{[ $scgi->port ]}"
</Location>
<Location "/sock/">
    SetHandler "proxy:unix:$dir/sock|scgi://localhost"
</Location>
<Location "/scgi-file/">
    ProxySCGISendfile On
</Location>
<Location "/file/">
    XSendFile On
    XSendFilePath "\@DIR\@/htdocs"
</Location>
Alias /file/ "\@DIR\@/htdocs/"
ProxyTimeout 10
ProxyPass /scgi-file/ scgi://127.0.0.1:@{[ $scgi->port ]}/
ProxyPass /scgi/ scgi://127.0.0.1:@{[ $scgi->port ]}/
ProxyPass /real-scgi/ scgi://127.0.0.1:$port/
ProxyPass /real-uwsgi/ uwsgi://127.0.0.1:$uwsgi_port/
CONF
$t->write_file('htdocs/app.cgi', $perl);
chmod 0755, $t->dir . '/htdocs/app.cgi';
$t->expect_log(qr/DC0324/);    # less than stated
# Who followed it; what perl says when nobody wants the rest of a HEAD's body.
$t->allow_log(qr/DC0171/, qr/Unable to flush stdout: Broken pipe/);

sub complete_as {
    my ($res, $bytes) = @_;
    return "$res->{status} " . ($res->{complete} ? 'whole ' : 'cut ') . length $res->{body};
}

my %gzip = (zip => ['Accept-Encoding' => 'gzip']);
for my $place (qw(/app.cgi /zip/app.cgi /ssi/app.cgi /act/x /scgi/x /handler/x /sock/x)) {
    my $name = $place =~ s{/(?:app\.cgi|x)?}{}gr || 'cgi';
    my $url = sub { "$place?" . join '&', "of=$name", @_ };
    my @codings = @{ $gzip{$name} // [] };
    my $plain = !@codings;
    subtest "$name" => sub {
        my $client = $t->client;    # one connection, as long as it is kept
        my $get = sub { $client->get($url->(@_), @codings) };

        my $whole = $get->('stated=5000', 'sent=5000');
        is complete_as($whole), '200 whole 5000', 'whole' if $plain;
        is $get->('stated=5000', 'sent=5000')->header('X-Run'), $whole->header('X-Run'),
            '  stored';
        for ('stated=x', 'stated=-5', 'other=1') {
            my $first = $get->($_, 'sent=500');
            is complete_as($first), '200 whole 500', "no length: $_" if $plain;
            is $get->($_, 'sent=500')->header('X-Run'), $first->header('X-Run'), '  stored';
        }

        my $long = $get->('stated=10', 'sent=5000');
        is complete_as($long), '200 whole 5000', 'more than stated goes out' if $plain;
        isnt $get->('stated=10', 'sent=5000')->header('X-Run'), $long->header('X-Run'),
            '  and is not stored';
        $long = $get->('stated=10', 'sent=300000');
        is complete_as($long), '200 whole 300000', 'much more, too' if $plain;
        $t->is_gone($url->('stated=10', 'sent=300000'), '  and it', @codings);

        my $head = $client->head($url->('stated=7000', 'sent=7000'), @codings);
        is $head->{status}, 200, 'HEAD';
        isnt $head->header('Content-Length'), 5000, '  without what it states';
        is $get->('stated=5000', 'sent=5000')->header('X-Run'), $whole->header('X-Run'),
            'the connection is in step';

        for (['stated=5000', 'sent=2000'], ['stated=5000', 'sent=0'],
             ['stated=900000', 'sent=300000']) {
            my $res = $get->(@$_);
            my ($sent) = "@$_" =~ /sent=(\d+)/;
            is complete_as($res), "200 whole $sent", "less goes out: @$_" if $plain;
            $t->is_gone($url->(@$_), '  and it', @codings);
        }
        my $last = $t->get($url->('stated=0', 'sent=0'));
        is complete_as($last), '200 whole 0', 'an empty page';
        $t->is_stored($url->('stated=0', 'sent=0'), '  it');
        my $gone = $t->get($url->('stated=20', 'sent=0', 'status=204'));
        is $gone->{status}, 204, 'no body for a 204';
    };
}

subtest 'a part of a page' => sub {
    for (['whole', 'stated=50', 1], ['cut', 'stated=60', 0], ['long', 'stated=40', 0]) {
        my ($name, $stated, $stored) = @$_;
        $t->write_file("htdocs/part-$name.html",
                       qq{<p><!--#include virtual="/app.cgi?$stated&sent=50&of=$name" --></p>});
        is complete_as($t->get("/part-$name.html")), '200 whole 57', "$name: the page comes";
        my $is = $stored ? 'is_stored' : 'is_gone';
        $t->$is("/part-$name.html", '  and');
    }
};

subtest 'where the administrator trusts them, all is as httpd has it' => sub {
    is $t->get('/own/app.cgi?stated=500&sent=500')->header('Content-Length'), 500, 'stated';
    my $res = $t->get('/own/app.cgi?stated=5000&sent=2000&die=1');
    ok !$res->{complete} || $res->{status} == 502, 'less: the client can tell';
    ok wait_until(sub { $t->counters->{flights} == 0 }), '  when it is over';
    $t->is_gone('/own/app.cgi?stated=5000&sent=2000&die=1', '  it');
};

subtest 'HEAD that the application is asked by GET' => sub {
    my $client = $t->client;
    is $client->head('/head/app.cgi?stated=3000&sent=3000')->{status}, 200, 'whole';
    ok wait_until(sub { $t->get('/head/app.cgi?stated=3000&sent=3000',
                               'Cache-Control' => 'only-if-cached')->{status} == 200 }), '  stored';
    for my $how ('stated=3000&sent=1000', 'stated=10&sent=1000', 'stated=300000&sent=100000&die=1') {
        my $res = $t->head("/head/app.cgi?$how");
        is $res->{status}, 200, $how;
        ok wait_until(sub { $t->counters->{flights} == 0 }), '  when it is over';
        $t->is_gone("/head/app.cgi?$how", '  and');
    }
};

subtest 'a 304 that states a length, and a refresh that is cut' => sub {
    my $client = $t->client;
    my $path = '/app.cgi?stated=5000&sent=5000&tagged=1';
    $client->get($path);
    $t->write_file('plan', 'stated=5000&sent=5000&of=one');
    my $later = '/later/app.cgi?plan=' . $t->dir . '/plan';
    my $run = $t->get($later)->header('X-Run');
    $t->clock_advance(61);
    is complete_as($client->get($path)), '200 whole 5000', 'confirmed' for 1, 2;
    $t->write_file('plan', 'stated=5000&sent=2000&die=1');
    is $t->get($later)->header('X-Run'), $run, 'stale, refreshed by half a page';
    ok wait_until(sub { $t->log_lines(qr/DC0324.*later/) }), '  which is noticed';
    ok wait_until(sub { $t->counters->{flights} == 0 }), '  and over';
    $t->write_file('plan', 'stated=3000&sent=3000');
    is complete_as($t->get($later)), '200 whole 5000', 'it is still the old page';
    ok wait_until(sub { length $t->get($later)->{body} == 3000 }), 'and then the new one';
};

subtest 'the variable is there for the handler alone' => sub {
    $t->write_file('htdocs/echo.cgi', <<'SSI');
#!/usr/bin/perl
print "Content-Length: 42\r\nContent-Type: text/html\r\n\r\n";
print '<!--#echo var="ap_trust_cgilike_cl" -->...'
SSI
    chmod 0755, $t->dir . '/htdocs/echo.cgi';
    is $t->get('/ssi/echo.cgi')->{body}, '(none)...', 'filters do not see it';
};

# One who fetches and one who follows.
sub both {
    my ($path, $go) = @_;
    my $before = $t->counters->{flight_followers};
    my $first = $t->send_req($path);
    $first->begun;
    my $second = $t->send_req($path);
    $t->wait_counter(flight_followers => $before + 1);
    open my $file, '>', $go or die;
    close $file;
    return map { $_->response } $first, $second;
}
sub two_at_once {
    my ($place, $n) = @_;
    my $path = "$place?stated=200000&sent=100000&die=1&wait=$dir/go$n";
    for my $res (both($path, "$dir/go$n")) {
        is complete_as($res), $place =~ /uwsgi/ ? '200 cut 50000' : '200 whole 50000',
            "$place: both get what came";
    }
    $t->is_gone($path, '  and it');
}
subtest 'two visitors, and a script that is killed' => sub {
    two_at_once('/app.cgi', 1);
    two_at_once('/ssi/app.cgi', 2);
    my $path = "/app.cgi?stated=10&sent=100000&wait=$dir/go3";
    is complete_as($_), '200 whole 100000', 'both get what is longer than stated'
        for both($path, "$dir/go3");
    $t->is_gone($path, '  and it');
};

subtest 'a page with gaps' => sub {
    is complete_as($t->get('/gaps/app.cgi?stated=500&sent=500&esi=1')), '200 whole 500', 'whole';
    $t->is_stored('/gaps/app.cgi?stated=500&sent=500&esi=1', '  it');
    for my $how ('stated=500&sent=300', 'stated=400000&sent=200000') {
        my ($sent) = $how =~ /sent=(\d+)/;
        is complete_as($t->get("/gaps/app.cgi?$how&esi=1")), "200 whole $sent", $how;
        $t->is_gone("/gaps/app.cgi?$how&esi=1", '  and');
    }
    is complete_as($t->get('/gaps/app.cgi?stated=50&sent=300&esi=1')), '200 whole 300', 'long';
    $t->is_gone('/gaps/app.cgi?stated=50&sent=300&esi=1', '  and');
};

subtest 'a file in place of the body' => sub {
    my $file = $t->dir . '/htdocs/large.txt';
    $t->write_file('htdocs/large.txt', 'f' x 20000);
    for my $how ('/file/app.cgi?stated=20000&sent=0', '/file/app.cgi?stated=20000&sent=0&wait=/never',
                 '/file/app.cgi?stated=7&sent=20', '/scgi-file/x?stated=20000&sent=0',
                 '/scgi-file/x?stated=90000&sent=5', '/scgi-file/x?stated=0&sent=0') {
        my $res = $t->get("$how&file=$file");
        is complete_as($res), '200 whole 20000', $how;
    }
};

subtest 'a script that hangs' => sub {
    for my $place ('/app.cgi', '/zip/app.cgi') {
        my $path = "$place?stated=5000&sent=3000&wait=/never";
        my $res = $t->get($path, 'Accept-Encoding' => 'gzip');
        ok !$res->{complete} || $res->{status} >= 500, "$place: its visitor can tell";
        $t->is_gone($path, '  and', 'Accept-Encoding' => 'gzip');
    }
};

SKIP: {
    $uwsgi or skip 'no uWSGI here: run tools/packages.sh test', 1;
    subtest 'uWSGI, killed' => sub {
        mkdir "$dir/run";
        chmod 0777, "$dir/run";
        open my $file, '>', "$dir/app.py" or die;
        print $file $python;
        close $file;
        my ($user) = DevCache::Httpd::children_run_as();
        my $app = DevCache::Service->start(
            name => 'uwsgi', dir => "$dir/run", user => $user,
            command => [$uwsgi, '--plugin', 'python3', '--master', '--processes', 2,
                        '--uwsgi-socket', "127.0.0.1:$uwsgi_port",
                        '--scgi-socket', "127.0.0.1:$port", '--wsgi-file', "$dir/app.py",
                        '--need-app', '--die-on-term'],
            ready => sub { DevCache::Service::listens($port)
                           && DevCache::Service::listens($uwsgi_port) });
        my $n = 10;
        for my $place ('/real-scgi/x', '/real-uwsgi/x') {
            is complete_as($t->get("$place?stated=5000&sent=5000")), '200 whole 5000',
                "$place: whole";
            ok wait_until(sub { $t->get("$place?stated=5000&sent=5000", 'Cache-Control' =>
                                       'only-if-cached')->{status} == 200 }), '  stored';
            two_at_once($place, $n++);
        }
        $app->stop;
    };
}

$t->allow_log(qr/\[(?:proxy(?:_\w+)?|cgid?):(?:error|warn)\]/);
$t->finish;
done_testing;
