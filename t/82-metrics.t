# SPDX-License-Identifier: Apache-2.0
# What Prometheus makes of the metrics, the alert rules and the dashboard: its own promtool
# reads them, and all that they name is there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use JSON::PP;
use Test::More;
use DevCache::File qw(slurp);
use DevCache::Test;

chdir "$FindBin::Bin/.." or die $!;
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
DevCacheTier redis://127.0.0.1:1
DevCacheTierUse objects
<Location "/">
    DevCache On
    ProxyPass @ORIGIN@/ disablereuse=on
</Location>
CONF
my $t = DevCache::Test->start($conf, ports => ['OTHER']);
$t->allow_log(qr/DC0234: tier: redis:.*cannot connect/);   # nobody is there

sub metrics { return $t->get('/?prometheus', ':port' => $t->port('STATUS_PORT'))->{body} }

accepted('before the first request', metrics(), qw(check metrics));
mkdir $t->dir . '/a "second\\ root' or die "mkdir: $!\n";
$t->{httpd}->give_to_children($t->dir . '/a "second\\ root', 0700);
$t->restart($conf . <<'CONF');
Listen 127.0.0.1:@OTHER@
<VirtualHost 127.0.0.1:@OTHER@>
    DevCacheRoot "@DIR@/a \"second\\ root"
    DevCacheSize 8M
    DevCacheTier off
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

# --- alert rules and dashboard --------------------------------------------------------

my $rules = 'conf/monitoring/devcache.rules.yml';
for my $call ([check => rules => $rules], [test => rules => 't/data/alerts.test.yml']) {
    my ($status, $said) = promtool('', @$call[0, 1], "$FindBin::Bin/../$call->[2]");
    is $status, 0, "promtool @$call" or diag $said;
}

# All names that they use are those of metrics that there are.
my %type = metrics() =~ /^# TYPE (\w+) (\w+)$/mg;
cmp_ok scalar keys %type, '>', 30, 'metrics';
my $dashboard = 'conf/monitoring/devcache.grafana.json';
for my $name ($rules, $dashboard, 't/data/alerts.test.yml') {
    my %named = map { $_ => 1 } slurp($name) =~ /\b(devcache_\w+)/g;
    delete $named{devcache_rules};
    my @unknown = grep {
        (my $family = $_) =~ s/_(?:bucket|sum|count)$//;
        !$type{$_} && ($type{$family} // '') ne 'histogram';
    } sort keys %named;
    cmp_ok scalar keys %named, '>', 10, "$name names metrics";
    is "@unknown", '', "$name: all of them are there";
}

# The words of labels, too.
my $text = metrics();
for my $word (slurp($rules) =~ /(?:status|result|source)=~?"([^"]+)"/g,
              slurp($dashboard) =~ /(?:status|result|source)=~?\\"([^"\\]+)\\"/g) {
    for (split /\|/, $word) {
        ok $_ =~ /^(?:success|failure|cache|origin)$/ || is_status($_),
            "$_ is a word that there is";
    }
}

sub is_status {
    my $word = shift;
    return slurp('stats/meter.h') =~ /^\s*O\(\w+, "\Q$word\E",/m;
}

my @alerts = slurp($rules) =~ /^\s*- alert: (\w+)/mg;
my @runbooks = slurp($rules) =~ /^\s*runbook: (\S+)$/mg;
my %section = map { lc $_ => 1 } slurp('docs/monitoring.md') =~ /^### (\w+)$/mg;
cmp_ok scalar @alerts, '>', 10, 'alerts';
is_deeply \@runbooks, [map { 'docs/monitoring.md#' . lc } @alerts], 'each names its runbook';
is_deeply [sort keys %section], [sort map { lc } @alerts], 'and each runbook is there';

# The dashboard's expressions, as rules that promtool can read.
my @exprs = map { $_->{expr} } map { @{ $_->{targets} || [] } } @{ decode_json(slurp($dashboard))->{panels} };
cmp_ok scalar @exprs, '>', 20, 'the dashboard asks for something';
s/\$__rate_interval/5m/g, s/\$\w+/.*/g for @exprs;
my $file = File::Temp->new(SUFFIX => '.yml');
print {$file} "groups:\n- name: dashboard\n  rules:\n",
    map { "  - record: a$_\n    expr: " . encode_json([$exprs[$_]]) =~ s/^\[|\]$//gr . "\n" } 0 .. $#exprs;
close $file;
my ($status, $said) = promtool('', qw(check rules), $file->filename);
is $status, 0, 'its expressions are such' or diag $said;

$t->finish;
done_testing;
