# SPDX-License-Identifier: Apache-2.0
# t/27-failing-origin.t. An origin that fails or hangs is remembered for a moment: who can
# have a stale copy gets it at once, one request asks after that, and others do not wait.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF', origins => 2, modules => ['authz_host']);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCacheStaleIfError 3600
    DevCacheCollapseWait 60
</Location>
<Location "/st">
    ProxyPass !
    SetHandler devcache-status
    Require ip 127.0.0.1
</Location>
ProxyPass /two/ @ORIGIN2@/two/ retry=0 disablereuse=on
ProxyPass / @ORIGIN@/ retry=0 disablereuse=on timeout=1
CONF

my %fresh = ('Cache-Control' => 'max-age=60', ETag => '"e"');

sub stored {
    my ($path, $origin, %more) = @_;
    my $x = $t->send_req($path);
    $t->origin($origin // 1)->accept->reply(200, { %fresh, %more }, "old $path");
    return $x->response;
}

# It gets the old copy, at once, and nobody is asked.
sub at_once {
    my ($name, $path, $origin) = @_;
    my $begun = time;
    my $got = $t->get($path);
    is $got->{body}, "old $path", "$name: the old copy";
    cmp_ok time - $begun, '<', 0.7, '  at once';
    ok $t->origin($origin // 1)->quiet(0.05), '  without asking';
    return $got;
}

# The origin is asked, and says that the copy still holds.
sub asked {
    my ($name, $path, $origin) = @_;
    my $x = $t->send_req($path);
    $t->origin($origin // 1)->accept->reply(304, {%fresh});
    is $x->response->{body}, "old $path", $name;
    return;
}

# It fails now, so often in a row that it is remembered for long (16 s).
sub fails_often {
    my $path = shift;
    for my $seconds (0, 3, 5, 9) {
        $t->clock_advance($seconds);
        my $x = $t->send_req($path);
        $t->origin->accept->close;
        $x->response;
    }
    return;
}

# --- one that hangs -----------------------------------------------------------------------

stored($_) for qw(/a /b /c);
stored('/must', 1, 'Cache-Control' => 'max-age=60, must-revalidate');
stored('/two/a', 2);
$t->clock_advance(61);

my $first = $t->send_req('/a');
my $hangs = $t->origin->accept;
is $first->response->{body}, 'old /a', 'the first one waits until the proxy gives up';
$hangs->close;
$t->clock_advance(2);
fails_often('/a');
my $got = at_once('the next', '/a');
like $got->header('Cache-Status'), qr/fwd=stale/, '  and says so';
at_once('another page of this backend', '/b');
my $said = JSON::PP->new->decode($t->get('/st?explain=http%3A%2F%2F127.0.0.1%3A' . $t->port . '%2Fb')->{body});
is $said->{answer}, 'stale-error', 'explained';
my @wave = map { $t->send_req('/c') } 1 .. 5;
is join(',', map { $_->response->{body} } @wave), join(',', ('old /c') x 5), 'a wave of visitors';
ok $t->origin->quiet(0.05), '  asks nobody';

my $must = $t->send_req('/must');
$t->origin->accept->reply(304, {%fresh});
is $must->response->{body}, 'old /must', 'what must be validated is asked for';
$t->clock_advance(61);
asked('another backend is', '/two/a', 2);

# --- after that ----------------------------------------------------------------------------

# The 304 above has said that it is well again.
asked('it has answered: the next page is asked for', '/b');
$t->clock_advance(61);
$first = $t->send_req('/a');
$hangs = $t->origin->accept;
is $first->response->{body}, 'old /a', 'it hangs again';
$hangs->close;
$t->clock_advance(2);
fails_often('/a');
at_once('remembered', '/a');
$t->clock_advance(20);
my $probe = $t->send_req('/b');
my $fetch = $t->origin->accept;
my $begun = time;
is $t->get('/b')->{body}, 'old /b', 'later one asks, others have the old copy';
cmp_ok time - $begun, '<', 0.7, '  at once';
ok $t->origin->quiet(0.05), '  while one asks';
$fetch->reply(304, {%fresh});
is $probe->response->{body}, 'old /b', '  which is answered';
asked('and it is well again', '/c');

# --- one that answers with errors ------------------------------------------------------------

stored('/error');
stored('/well');
$t->clock_advance(61);
$first = $t->send_req('/error');
$t->origin->accept->reply(500, {}, 'oops');
is $first->response->{body}, 'old /error', 'an error: the old copy';
for my $seconds (2, 3, 5, 9) {
    $t->clock_advance($seconds);
    $first = $t->send_req('/error');
    $t->origin->accept->reply(500, {}, 'oops');
    $first->response;
}
at_once('the next', '/error');
asked('another page is asked for', '/well');
$t->clock_advance(20);
asked('and it, after a moment', '/error');
$t->clock_advance(61);
asked('and so on', '/error');

# What is not stored is asked for, whatever is remembered.
$t->clock_advance(61);
$first = $t->send_req('/a');
$t->origin->accept->close;
is $first->response->{body}, 'old /a', 'no answer';
my $miss = $t->send_req('/new');
$t->origin->accept->reply(200, {%fresh}, 'new');
is $miss->response->{body}, 'new', 'a miss is asked for';

$t->allow_log(qr/proxy(_http)?:(?:error|warn)/, qr/DC\d+: trouble/);
$t->finish;
done_testing;
