# What Prometheus makes of the metrics: its own promtool reads them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use Test::More;
use DevCache::Test;

my ($promtool) = grep { -x } "$FindBin::Bin/../build/peers/usr/bin/promtool",
    map { "$_/promtool" } split /:/, $ENV{PATH};
plan skip_all => 'promtool is not here: tools/packages.sh test' if !$promtool;

# promtool's exit status and what it said.
sub promtool {
    my ($input, @args) = @_;
    my $file = File::Temp->new;
    print {$file} $input;
    close $file;
    open my $out, '-|', 'sh', '-c', 'in=$1; shift; exec "$@" <"$in" 2>&1', 'sh', $file->filename,
        $promtool, @args or die "promtool: $!\n";
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $said);
}

sub accepted {
    my ($what, @call) = @_;
    my ($status, $said) = promtool(@call);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $status == 0 && $said !~ /\S/, $what or diag $said;
}

isnt +(promtool("devcache_x_total{ 1\n", qw(check metrics)))[0], 0, 'promtool finds faults';

# Two stores, of which one has a path that must be escaped.
my $conf = <<'CONF';
DevCacheRoot "@ROOT@"
<Location "/">
    DevCache On
    ProxyPass @ORIGIN@/ disablereuse=on
</Location>
CONF
my $t = DevCache::Test->start($conf, ports => ['OTHER']);

sub metrics { return $t->get('/?prometheus', ':port' => $t->port('STATUS_PORT'))->{body} }

accepted('before the first request', metrics(), qw(check metrics));
mkdir $t->dir . '/a "second\\ root' or die "mkdir: $!\n";
$t->{httpd}->give_to_children($t->dir . '/a "second\\ root', 0700);
$t->restart($conf . <<'CONF');
Listen 127.0.0.1:@OTHER@
<VirtualHost 127.0.0.1:@OTHER@>
    DevCacheRoot "@DIR@/a \"second\\ root"
    DevCacheSize 8M
</VirtualHost>
CONF
for my $agent (PC, PHONE) {
    my $request = $t->send_req('/a', 'User-Agent' => $agent);
    $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'a');
    $request->response;
    $t->get('/a', 'User-Agent' => $agent);
}
my $failing = $t->send_req('/500', ':port' => $t->port('OTHER'));
$t->origin->accept->reply(500, {}, '');
$failing->response;
wait_until(sub { metrics() =~ /result="failure"/ });
accepted('after some', metrics(), qw(check metrics));
like metrics(), qr{^devcache_store_size_bytes\{root="[^"]*/cache"\} 1073741824$}m, 'a store';
like metrics(), qr{^devcache_store_size_bytes\{root="[^"]*/a \\"second\\\\ root"\} 8388608$}m,
    'and another, with its name escaped';

$t->finish;
done_testing;
