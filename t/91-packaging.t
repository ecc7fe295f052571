# SPDX-License-Identifier: Apache-2.0
# What packages, container and cluster are made of agrees with the project.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::File qw(slurp);

chdir "$FindBin::Bin/.." or die $!;

my ($version) = slurp('base/version.h') =~ /DEVCACHE_VERSION "([^"]+)"/;
like $version, qr/^\d+\.\d+\.\d+$/, 'the version is a version';
like slurp('packaging/debian/changelog'), qr/\A\S+ \(\Q$version\E\)/,
    "Debian's changelog begins with it";
like slurp('CHANGES'), qr/^\Q$version\E /m, 'CHANGES speaks of it';
like slurp('conf/kubernetes/statefulset.yaml'), qr/image: devcache:\Q$version\E$/m,
    'the cluster runs it';

is `tools/prometheusrule <conf/monitoring/devcache.rules.yml`,
    slurp('conf/kubernetes/prometheusrule.yaml'),
    'the alerts of the cluster are those of conf/monitoring';

SKIP: {
    skip 'lowdown is not here: tools/packages.sh deb', 2
        if system 'command -v lowdown >/dev/null';
    for ([ 'devcachectl.1', 'docs/devcachectl.md' ], [ 'mod_devcache.5', 'docs/directives.md' ]) {
        my ($page, $from) = @$_;
        my $made = `tools/manpage $page $version <$from`;
        like $made, qr/^\.SH NAME\n\.LP\n\w+ \\- \w.*\n\.SH DESCRIPTION\n/m,
            "$page has a name that whatis finds";
    }
}

done_testing;
