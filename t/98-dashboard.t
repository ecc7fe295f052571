# SPDX-License-Identifier: Apache-2.0
# A real Prometheus fetches the metrics of a server with traffic, with our rules, and is asked
# each expression of the dashboard, of the recording rules and of the alerts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use DevCache::File qw(slurp);
use DevCache::Service;
use DevCache::Test;
use DevCache::Wait qw(wait_until);

chdir "$FindBin::Bin/.." or die $!;
my $prometheus = DevCache::Service::find('prometheus');
plan skip_all => 'prometheus is not here: tools/packages.sh test' if !$prometheus;

my $t = DevCache::Test->start(<<'CONF');
ServerName www.example.org
<Location "/">
    DevCache On
    ProxyPass @ORIGIN@/
</Location>
CONF
$t->origin_auto(sub {
    return (503, {}, 'broken') if $_[0]{target} =~ /broken/;
    return (200, { 'Cache-Control' => $_[0]{target} =~ /private/ ? 'private' : 'max-age=600' }, "page $_[0]{target}\n");
});
sub traffic {
    $t->get("/page-$_", 'User-Agent' => $_ % 2 ? PC : PHONE) for 1 .. 5, 1 .. 5;
    $t->get($_) for '/private', '/broken';
    return;
}

my $folder = File::Temp->newdir('devcache-XXXXXX', TMPDIR => 1);
my $config = "$folder/prometheus.yml";
open my $file, '>', $config or die $!;
print {$file} <<"YAML";
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ['$FindBin::Bin/../conf/monitoring/devcache.rules.yml']
scrape_configs:
  - job_name: devcache
    metrics_path: /
    params: {prometheus: ['']}
    static_configs: [{targets: ['127.0.0.1:@{[$t->port('STATUS_PORT')]}']}]
YAML
close $file;
my ($port, $kept) = DevCache::Httpd::free_port();
my $service = DevCache::Service->start(
    command => [$prometheus, "--config.file=$config", "--storage.tsdb.path=$folder/data", "--web.listen-address=127.0.0.1:$port"],
    dir => "$folder", name => 'prometheus',
    ready => sub { HTTP::Tiny->new(timeout => 5)->get("http://127.0.0.1:$port/-/ready")->{success} });

sub ask {
    my $query = shift;
    $query =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ge;
    my $answer = HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$port/api/v1/query?query=$query");
    my $said = eval { decode_json($answer->{content}) } // {};
    return ($said->{status} // "status $answer->{status}", $said->{data}{result} // [], $said->{error} // '');
}
sub many { return scalar @{ (ask($_[0]))[1] } }

# A rate takes two samples with a change between them, a quantile too.
my $seen = wait_until(sub {
    traffic();
    return many('rate(devcache_requests_total{result="failure"}[1m]) > 0') && many('devcache:hit_ratio:rate30m >= 0');
});
ok $seen, 'Prometheus has seen traffic' or diag $service->said;

my $panels = decode_json(slurp('conf/monitoring/devcache.grafana.json'))->{panels};
my ($asked, $filled) = (0, 0);
for my $panel (@$panels) {
    for my $expr (map { $_->{expr} } @{ $panel->{targets} || [] }) {
        $expr =~ s/\$__rate_interval/1m/g;
        $expr =~ s/\$\w+/.*/g;
        my ($status, $result, $error) = ask($expr);
        is $status, 'success', "$panel->{title}: Prometheus answers" or diag "$expr\n$error";
        # What may well be empty here: nothing of that kind has happened, or there is no such thing.
        my $may_be_empty = $expr =~ /tier|observe|reason|> ?0/;
        ok @$result || $may_be_empty, "$panel->{title}: with figures" or diag $expr;
        $asked++;
        $filled++ if @$result;
    }
}
cmp_ok $asked, '>', 20, 'the dashboard was asked';
cmp_ok $filled, '>', $asked * 2 / 3, "with figures in most places ($filled of $asked)";

my $groups = decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$port/api/v1/rules")->{content})->{data}{groups};
my @rules = map { @{ $_->{rules} } } @$groups;
cmp_ok scalar @rules, '>', 15, 'the rules were read';
is $_->{lastError} // '', '', "$_->{name}: evaluated" for @rules;
my ($errors) = grep { $_->{name} eq 'DevCacheErrors' } @rules;
like $errors->{state}, qr/pending|firing/, 'DevCacheErrors notices the failures';

$service->stop;
$t->allow_log(qr/./);
$t->finish;
done_testing;
