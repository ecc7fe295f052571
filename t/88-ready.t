# SPDX-License-Identifier: Apache-2.0
# ?ready: 200 only while the store can be written and read, and why not otherwise; tried at
# most once a second, whoever asks.
# mpm: any
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use DevCache::Ctl;
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
<Location "/">
    DevCache On
    ProxyPass @ORIGIN@/ disablereuse=on
</Location>
CONF

sub form { return $t->get("/?$_[0]", ':port' => $t->port('STATUS_PORT'), @_[1 .. $#_]) }

my $ready = form('ready');
is $ready->{status}, 200, 'ready';
is $ready->{body}, "ready\n", 'in a word';
is $ready->header('Cache-Control'), 'no-store', 'for now';
is form('ready', ':method' => 'HEAD')->{status}, 200, 'HEAD will do';
ok !-e $t->root . '/probe', 'it leaves nothing behind';

# --- what is found lasts for a second -------------------------------------------------

chmod 0500, $t->root or die "chmod: $!\n";
is form('ready')->{status}, 200, 'found a moment ago';
$t->clock_advance(2);
my $not = form('ready');
is $not->{status}, 503, 'the root cannot be written';
my $root = $t->root;
like $not->{body}, qr/^DevCacheRoot "\Q$root\E": no file can be made there: Permission denied\n$/,
    'in a sentence';
my $head = form('ready', ':method' => 'HEAD');
is "$head->{status}|$head->{body}", '503|', 'HEAD: the same';
my $json = decode_json(form('json')->{body});
ok !$json->{stores}[0]{ready}, '?json says so';
like $json->{stores}[0]{not_ready}, qr/Permission denied/, 'and why';
like $json->{errors}[0]{what}, qr/not ready/, 'it is among the errors';
like form('prometheus')->{body}, qr/^devcache_store_ready\{root="[^"]*"\} 0$/m, 'Prometheus too';
like form('')->{body}, qr/<b>Not ready\.<\/b> DevCacheRoot &quot;/, 'and the page';
my $ctl = ctl('ready', '--url', 'http://127.0.0.1:' . $t->port('STATUS_PORT') . '/');
is "$ctl->{exit}|$ctl->{out}", "1|$not->{body}", 'devcachectl ready: the sentence, and 1';
my $request = $t->send_req('/a');
$t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'served');
is $request->response->{body}, 'served', 'visitors are served all the same';

chmod 0700, $t->root or die "chmod: $!\n";
$t->clock_advance(2);
is form('ready')->{status}, 200, 'ready again';
is scalar($t->wait_log(qr/DC0150: probe: not ready/)), 1, 'the log says it once';
is scalar($t->wait_log(qr/DC0151: probe: ready again/)), 1, 'each way';
$t->expect_log(qr/DC0150/);
$t->allow_log(qr/DC0201: store: cannot write/);

# --- a root that has gone -------------------------------------------------------------

rename $root, "$root-away" or die "rename: $!\n";
mkdir $root or die "mkdir: $!\n";
$t->clock_advance(2);
is form('ready')->{status}, 200, 'moved away but still there: still ours';
rmdir $root;
rename "$root-away", $root or die "rename: $!\n";

# --- a leftover -----------------------------------------------------------------------

open my $file, '>', "$root/probe" or die "probe: $!\n";
print {$file} 'what a killed child has left behind';
close $file;
$t->clock_advance(2);
is form('ready')->{status}, 200, 'a leftover is no obstacle';
ok !-e "$root/probe", 'and goes';

$t->finish;

# --- without a store ------------------------------------------------------------------

$t = DevCache::Test->start('DevCacheClassify On', root => 0);
is form('ready')->{status}, 503, 'without a store';
is form('ready')->{body}, "no DevCacheRoot is configured\n", 'there is nothing to be ready';
$t->finish;
done_testing;
