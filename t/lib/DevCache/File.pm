# SPDX-License-Identifier: Apache-2.0
package DevCache::File;

# Files of the project, read by tests and tools.
#
#   slurp($name)                        all bytes of it; dies where it cannot be read
#   slurp($name, ':encoding(UTF-8)')    its characters

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(slurp);

sub slurp {
    my ($name, $layer) = @_;
    open my $file, '<' . ($layer // ''), $name or die "$name: $!\n";
    local $/;
    return scalar(<$file>) // '';
}

1;
