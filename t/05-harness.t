# SPDX-License-Identifier: Apache-2.0
# The test harness against a plain httpd, without the module.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::Test;

my $conf = <<'CONF';
<Location "/local">
    Header set X-Local yes
</Location>
ProxyPass /local !
ProxyPass /page.txt !
ProxyPass / @ORIGIN@/ keepalive=on
CONF

# A scripted origin: the lines' order is the order of events.
{
    my $t = DevCache::Test->start($conf, module => 0);
    my @x = map { $t->send_req("/p$_", 'User-Agent' => PHONE) } 1 .. 3;
    my %fetch = map { $_->{target} => $_ } map { $t->origin->accept } 1 .. 3;
    is join(' ', sort keys %fetch), '/p1 /p2 /p3', 'three requests under way at once';
    is $fetch{'/p2'}->header('User-Agent'), PHONE, 'headers arrive';
    ok $t->origin->quiet(0.05), 'no fourth';
    ok !$x[1]->begun(0.05), 'no answer yet';
    $fetch{"/p$_"}->reply(200, { 'X-N' => $_ }, "body $_") for 3, 2, 1;
    is $x[$_ - 1]->response->{body}, "body $_", "answer $_" for 1 .. 3;

    my $x = $t->send_req('/pieces');
    my $fetch = $t->origin->accept;
    $fetch->head(200, [ 'Transfer-Encoding' => 'chunked', 'X-A' => 1, 'X-A' => 2 ]);
    $fetch->chunk('a' x 10000);
    is length $x->body_of(10000), 10000, 'the first piece comes through';
    is $x->head->header('x-a'), '1, 2', 'repeated headers are joined';
    ok !$x->head->done, 'and the answer has not ended';
    $fetch->chunk('b');
    $fetch->last_chunk;
    is $x->response->{body}, ('a' x 10000) . 'b', 'all pieces';
    ok $x->response->{complete}, 'complete';

    $x = $t->send_req('/half');
    $fetch = $t->origin->accept;
    $fetch->head(200, { 'Content-Length' => 100 });
    $fetch->send('x' x 50);
    $x->body_of(50);
    $fetch->close;
    ok !$x->response->{complete}, 'half a body is seen as incomplete';
    like $x->response->{error}, qr/closed/, 'and why';

    $t->write_file('htdocs/page.txt', 'a file');
    my $c = $t->client;
    my @pipelined = map { $c->send_req("/page.txt?$_", ':method' => $_) } qw(HEAD GET GET);
    is $pipelined[2]->response->{body}, 'a file', 'pipelined: the last is asked for first';
    is $pipelined[0]->response->{body}, '', 'HEAD has no body';
    is $pipelined[0]->response->header('Content-Length'), 6, 'but a length';
    $c->close;

    $x = $t->send_req('/post', ':method' => 'POST', ':body' => 'q=1');
    $fetch = $t->origin->accept;
    is $fetch->{body}, 'q=1', 'a request body';
    $fetch->reply(204);
    is $x->response->{status}, 204, 'an answer without a body';

    $x = $t->send_req('/reset');
    $t->origin->accept->reset;
    is $x->response->{status}, 502, 'a reset at the origin';
    $t->origin->down;
    is $t->get('/dead')->{status}, 503, 'a dead origin';
    $t->origin->up;

    my $r = $t->curl('--http1.1', '/local/x');
    is $r->{status}, 404, 'curl';
    $t->wait_access(qr{GET /local/x HTTP/1.1\|404});
    is scalar(grep { $_ > 1 } $t->pids), scalar(@{ [$t->pids] }), 'pids';
    $t->expect_log(qr/AH01102: error reading status line/, qr/AH00957:/);
    $t->allow_log(qr/AH01114:|AH00898:|AH01097:|AH00959:|AH01110:/);
    $t->finish;
}

# An automatic origin, deaths and restarts.
{
    my $t = DevCache::Test->start($conf, module => 0);
    my $auto = $t->origin_auto(sub {
        my $request = shift;
        return (200, {}, 'slow', hold => 'go') if $request->{target} eq '/slow';
        return (200, { 'Transfer-Encoding' => 'chunked' }, ['x', $request->{target}]);
    });
    is $t->get("/auto/$_")->{body}, "x/auto/$_", "automatic $_" for 1 .. 3;
    $t->get('/auto/1', 'X-Device-Type' => 'tv');
    is $auto->fetches('/auto/1'), 2, 'fetches of one URL';
    is $auto->fetches, 4, 'fetches in all';
    is +($auto->requests)[3][2]{'x-device-type'}, 'tv', 'what they said';
    my $slow = $t->send_req('/slow');
    wait_until(sub { $auto->fetches('/slow') });
    ok !$slow->begun, 'held';
    $auto->release('go');
    is $slow->response->{body}, 'slow', 'released';

    my @before = $t->pids;
    ok @before >= 1, 'children';
    ok $t->kill_child(@before), 'all killed';
    my $r = $t->get('/auto/4');
    is $r->{status}, 200, 'new children serve' or diag explain $r;
    my %old = map { $_ => 1 } @before;
    ok !grep({ $old{$_} } $t->pids), 'they are new';
    $t->graceful;
    is $t->get('/auto/5')->{status}, 200, 'after a graceful restart';
    my $port = $t->port;
    $t->restart;
    is $t->port, $port, 'the same port after a full restart';
    is $t->get('/auto/6')->{status}, 200, 'and it serves';
    $t->finish;
}

# HTTP/2 by curl; mod_http2 does not work under prefork.
if (($ENV{DEVCACHE_MPM} // '') ne 'prefork') {
    my $t = DevCache::Test->start("Protocols h2c http/1.1\n$conf", module => 0,
                                  modules => ['http2']);
    $t->origin_auto(sub { return (200, {}, "over $_[0]{target}") });
    my $r = $t->curl('--http2-prior-knowledge', '/h2');
    is $r->{version}, 'HTTP/2', 'HTTP/2';
    is $r->{body}, 'over /h2', 'and its answer';
    ok $r->{complete}, 'complete';
    $t->finish;
}

# What finish must notice.
{
    my $said = DevCache::Test->start_error("NoSuchDirective On\n", module => 0);
    like $said, qr/NoSuchDirective/, 'a refused configuration says why';
    is +DevCache::Test->start_error('', module => 0), undef, 'a good one does not';

    my $t = DevCache::Test->start($conf, module => 0);
    my $x = $t->send_req('/never');
    ok !$t->origin->quiet, 'a request waits at the origin';
    my ($failed, @diags) = failure_of(sub { $t->finish });
    ok $failed, 'finish fails on a request never accepted';
    like "@diags", qr{never accepted: GET /never}, 'and names it';

    $t = DevCache::Test->start($conf, module => 0);
    $t->origin->down;
    $t->get('/x');
    $t->expect_log(qr/no such line/);
    ($failed, @diags) = failure_of(sub { $t->finish });
    ok $failed, 'finish fails on an error in the log';
    like "@diags", qr/proxy:error/, 'and shows it';
    like "@diags", qr/nothing matches.*no such line/, 'and on a missing expected line';

    $t = DevCache::Test->start('', module => 0);
    kill SEGV => ($t->pids)[0];
    $t->wait_log(qr/exit signal/);
    ($failed, @diags) = failure_of(sub { $t->finish });
    ok $failed, 'finish fails on a child that died';
    like "@diags", qr/exit signal Segmentation fault/, 'and says of what';
}

# Run code whose one check must fail, without this file failing by it.
sub failure_of {
    my $code = shift;
    my $builder = Test::More->builder;
    my @diags;
    no warnings 'redefine';
    local *Test::Builder::ok = sub { $builder->{devcache_held} = $_[1]; $_[1] };
    local *Test::Builder::diag = sub { shift; push @diags, @_; 0 };
    $code->();
    return (!$builder->{devcache_held}, @diags);
}

done_testing;
