# SPDX-License-Identifier: Apache-2.0
# Source guards: what the project has promised itself about its own text and binaries.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use DevCache::File qw(slurp);

chdir "$FindBin::Bin/.." or die $!;
my $build = $ENV{DEVCACHE_BUILD} || 'build';

# Code without comments, and with strings emptied where $strings is false.
sub code {
    my ($name, $strings) = @_;
    my $text = slurp($name);
    my $string = qr/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/;
    my $keep = sub { return defined $_[0] ? ($strings ? $_[0] : '""') : ' ' };
    $text =~ s{/\*.*?\*/|//[^\n]*|($string)}{ $keep->($1) }gse;
    return $text;
}

# One check: no culprits, which are named if there are.
sub none {
    my ($what, @culprits) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok !@culprits, $what;
    diag "  $_" for @culprits;
}

# --- the house --------------------------------------------------------------------------

# Who may include whom: each room whatever stands above it, and nothing below. The first word
# of a row is a folder, or the beginning of a file's name; the second says whether it is core,
# which knows no httpd, or glue. docs/DESIGN.md says what each is about.
my @house = map { [split] } grep { /\S/ } split /\n/, <<'END';
    base            core
    device          core
    http            core
    devcache_vary   core
    store           core
    devcache_store  core
    flight          core
    stats           core
    purge           core
    tier            core
    mod_devcache.h  glue
    setup           glue
    request         glue
    watch           glue
    mod_devcache.c  glue
END
# The facade and what is behind it are one floor.
my %floor = (map({ $house[$_][0] => $_ } 0 .. $#house), devcache_store => 4);

sub room {
    my $file = shift;
    my ($folder) = $file =~ m{^(\w+)/};
    my ($room) = grep { $folder ? $_->[0] eq $folder : index($file, $_->[0]) == 0 } @house;
    return $room;
}

my @c = grep { room($_) } glob '*.c */*.c';
my @h = grep { room($_) } glob '*.h */*.h';
my @core = grep { room($_)->[1] eq 'core' } @c;
cmp_ok scalar @core, '>', 0, 'there is a core';
none('the top level has the files whose names are given',
     grep { !/^(?:mod_devcache|devcache_vary|devcache_store)\.[ch]$/ } glob '*.c *.h');
for my $file (@c, @h) {
    none("$file includes only what stands above it",
         grep { my $room = room($_); $room && $floor{ $room->[0] } > $floor{ room($file)->[0] } }
         slurp($file) =~ /^\s*#\s*include\s*"([^"]+)"/mg);
}

# --- who calls whom ---------------------------------------------------------------------

# By the objects, so that a declaration of one's own does not help either: which file has a
# symbol, and which file uses it. The module's record is for all glue.
my (%owner, %used);
for (`nm -A -P @{[ map { "$build/obj/" . s/c$/o/r } @c ]}`) {
    my ($file, $symbol, $type) = m{^\Q$build\E/obj/(\S+)\.o: (\w+) (\w)} or next;
    next if $symbol eq 'devcache_module' || $type =~ /[a-z]/;
    if ($type eq 'U') { $used{"$file.c"}{$symbol}++ }
    else              { $owner{$symbol} = "$file.c" }
}
cmp_ok scalar keys %owner, '>', 300, 'the objects were understood';
my %calls;    # file => { other file => a symbol }
for my $file (keys %used) {
    for my $symbol (sort keys %{ $used{$file} }) {
        my $other = $owner{$symbol} // next;
        $calls{$file}{$other} //= $symbol if $other ne $file;
    }
}
for my $file (sort @c) {
    none("$file calls only what stands above it",
         map { "$calls{$file}{$_} of $_" }
         grep { $floor{ room($_)->[0] } > $floor{ room($file)->[0] } }
         sort keys %{ $calls{$file} });
}

# Files that call each other in a circle are one file in several pieces. Those that are left,
# by the one that begins, and why.
my %circle = (
    'tier/tier.c' => 'starts the threads of reader and writer, which tell it how they fare',
);
sub reaches {
    my ($from, $to, $seen) = @_;
    return grep { $_ eq $to || (!$seen->{$_}++ && reaches($_, $to, $seen)) }
        grep { !$circle{$_} } keys %{ $calls{$from} };
}
none('no file calls itself by way of others', grep { !$circle{$_} && reaches($_, $_, {}) } sort @c);
none('each circle that is left is still there',
     grep { my $file = $_; delete local $circle{$file}; !reaches($file, $file, {}) } sort keys %circle);

# Headers include each other in no circle either.
sub includes { return grep { -e } slurp($_[0]) =~ /^\s*#\s*include\s*"([^"]+)"/mg }
sub leads {
    my ($from, $to, $seen) = @_;
    return grep { $_ eq $to || (!$seen->{$_}++ && leads($_, $to, $seen)) } includes($from);
}
none('no header includes itself by way of others', grep { leads($_, $_, {}) } sort @h);

# --- the core does not know httpd -----------------------------------------------------

sub headers_of {
    my ($name, $seen) = @_;
    return map {
        my $inner = $_;
        $seen->{$inner}++ ? () : ($inner, -e $inner ? headers_of($inner, $seen) : ());
    } slurp($name) =~ /^\s*#\s*include\s*[<"]([^>"]+)[>"]/mg;
}
for my $file (@core) {
    none("$file includes nothing of httpd",
         grep { /^(?:httpd|scoreboard|(?:http|ap|mod|mpm|util)_\w+)\.h$/ }
         headers_of($file, {}));
}

# --- each source on its own -----------------------------------------------------------

my %banned = map { $_ => 1 }
    qw(sprintf vsprintf strcpy strcat atoi atol atoll strtok gets);
for my $file (@c, @h, glob 't/unit/*.[ch] t/fuzz/*.c bench/*.c tools/*.c') {
    my $code = code($file);
    none("$file: no banned calls", grep { $banned{$_} } $code =~ /\b(\w+)\s*\(/g);
    my $lines = () = slurp($file) =~ /\n(?!\z)/g;    # the licence's line does not count
    cmp_ok $lines, '<=', 750, "$file: not too long";
}
for my $file (grep { $_ ne 'base/clock.c' } @core) {
    none("$file: time comes as a parameter",
         code($file) =~ /\b(apr_time_now|time|gettimeofday)\s*\(/g);
}
for my $file (@c) {
    (my $own = $file) =~ s/c$/h/;
    next unless -e $own && $file ne 'mod_devcache.c';
    my ($first) = slurp($file) =~ /^\s*#\s*include\s*(\S+)/m;
    is $first, qq{"$own"}, "$file includes its own header first";
}

# --- log tags -------------------------------------------------------------------------

# In glue DCLOGNO(0110); in core devcache_store_say() and devcache_tier_say(), by number.
my %tag;
for my $file (@c) {
    my $code = code($file);
    push @{ $tag{ sprintf '%04d', $_ } }, $file
        for $code =~ /\bDCLOGNO\(\s*(\d+)\s*\)/g,
            map { /\b([1-9]\d{2})\b/g } $code =~ /\w+_(?:store|tier)_say\(([^"]*)"/g;
}
cmp_ok scalar keys %tag, '>', 0, 'there are log tags';
none('each log tag is used in one place',
     map { "DC$_: @{ $tag{$_} }" } grep { @{ $tag{$_} } > 1 } sort keys %tag);

# --- directives -----------------------------------------------------------------------

# The rows of the table: NAME("Directive", and if it is a number or a flag, conf, field.
my $table = code('setup/directives.c', 1);
my (%directive, %is_flag, %field_of);
for my $row (split /\n(?=    [A-Z])/, $table) {
    my ($macro, $name, $conf, $field) =
        $row =~ /^    ([A-Z_0-9]+)\(\s*"(DevCache\w*)"(?:,\s*(server|dir),\s*(\w+))?/ or next;
    next if $macro eq 'GONE';
    my ($where) = $row =~ /,\s*([SL]),/;
    $directive{$name} = ($conf // '') eq 'server' || ($where // '') eq 'S'
        ? 'server config, virtual host' : 'server config, virtual host, directory';
    ($is_flag{$name}, $field_of{$name}) = ($macro eq 'FLAG', $field);
}
my %in_conf = reverse slurp('conf/devcache.conf')
    =~ /^# (?:server|location)\. .*(?:\n# .*)*?\bDefault: (.*)\n#(DevCache\w*) /mg;
cmp_ok scalar keys %directive, '>', 10, 'the table of directives was understood';
is join("\n", sort keys %in_conf), join("\n", sort keys %directive),
    'conf/devcache.conf shows each directive with a default, and no other';

# The default in the field list of setup/conf.h, by the field that the table names.
my %field = slurp('setup/conf.h')
    =~ /^\s*F\([^,]+,\s*(\w+),\s*(.+?)\)\s*(?:\/\*.*)?\\?$/mg;
my $compared = 0;
for my $name (sort keys %directive) {
    my $default = $field{ $field_of{$name} // next } // '?';
    $default =~ s/(?:APR_INT64_C|apr_time_from_sec)\((\d+)\)/$1/;
    my $value = $default =~ /^[-\d <]+$/ ? eval $default : $default;
    my $said = $in_conf{$name};
    my %bytes = (K => 10, M => 20, G => 30, T => 40);
    my $is = $value eq 'NULL' ? $said eq 'none'
        : $value eq '-1' ? $said =~ /^(?:none$|On with)/
        : $is_flag{$name}   ? $said eq ($value ? 'On' : 'Off')
        : $said =~ /^from / ? $value == 0
        : $said =~ /^(\d+)([KMGT]?)$/ && $value == $1 * 2**($bytes{$2} // 0);
    ok $is, "$name: conf/devcache.conf and the code have the same default"
        or diag "  $said in the one, $default in the other";
    $compared++;
}
cmp_ok $compared, '>', 10, 'defaults were compared';

# What the policy is told: each of its fields, by the directives.
my ($policy) = code('http/policy.h') =~ /typedef struct devcache_policy_conf_t \{(.*?)\n\}/s;
my @told = $policy =~ /(\w+);/g;
cmp_ok scalar @told, '>', 5, "the policy's struct was understood";
my $conf_c = code('setup/conf.c');
none('devcache_conf_policy() fills each field of the policy', grep { $conf_c !~ /\bout->$_ = / } @told);

# The manual: a section for each, as httpd's own has them.
my %section = slurp('docs/directives.md') =~ /^### (DevCache\w*)\n(.*?)(?=^##|\z)/msg;
is join("\n", sort keys %section), join("\n", sort keys %directive),
    'docs/directives.md has a section for each directive, and no other';
for my $name (sort keys %directive) {
    my ($syntax, $default, $context, $text, $example) = ($section{$name} // '')
        =~ /^```\nSyntax:   (\w+) .*\nDefault:  (.*)\nContext:  (.*)\nCompatibility: mod_devcache \d+\.\d+\.\d+ and later\n```\n\n(.+)\n\n```apache\n(.*?)```\n*\z/ms;
    is $syntax, $name, "$name: syntax, default, context, compatibility, meaning and an example, in this order";
    is +($default // '') =~ s/^$name //r, $in_conf{$name} // '?', '  its default';
    is $context, $directive{$name}, '  its context';
    like $example, qr/\b$name /, '  its example';
}
# --- binaries -------------------------------------------------------------------------

my $nm = `nm -D --defined-only $build/mod_devcache.so`;
# AddressSanitizer has a symbol of its own beside each that is seen.
is join(' ', sort grep { !/^__odr_asan/ } map { (split)[2] } split /\n/, $nm), 'devcache_module',
    'the module exports its record only';
my $switches = qr/\bDEVCACHE_(?:CLOCK|FAULT)\b/;
ok slurp("$build/mod_devcache.so") !~ $switches,
    'the shipped module has no test switches';
ok slurp("$build/testing/mod_devcache.so") =~ $switches, 'the testing one has';

# --- the tree -------------------------------------------------------------------------

# What a clone would have; outside one (an unpacked archive) all that is there.
my @files = grep { -f && !-B } split /\0/,
    `git ls-files -z -co --exclude-standard 2>/dev/null`
    || `find . -name 'build*' -prune -o -type f -print0`;
cmp_ok scalar @files, '>', 20, 'the files of the project';
my $place = qr{(?<![\w.\@\}])/(?:wor[k]|hom[e]|User[s]|roo[t])/\S*};
my @named;
for my $file (@files) { push @named, map { "$file: $_" } slurp($file) =~ /($place)/g }
none("no file names a path of somebody's machine", @named);
none('no file has blanks at the end of a line',
     grep { !/\.md$/ && slurp($_) =~ /[ \t]$/m } @files);
# Each file of program text names its licence; configuration, manual and data need not.
none('each source file has its SPDX line at the top', grep {
    (/\.(?:[ch]|pm|t|php|m?js|css|ya?ml|spec|bash)$|(?:^|\/)(?:Make|Container)file$/ || slurp($_) =~ /\A#!/)
        && slurp($_) !~ /\A(?:.+\n)?\W* SPDX-License-Identifier: Apache-2\.0\b/
} @files);
my %topics;
push @{ $topics{ m{t/(\d+)} ? $1 : '' } }, $_ for glob 't/[0-9]*-*.t';
none('each topic of t/ has a number of its own',
     map { "@$_" } grep { @$_ > 1 } map { $topics{$_} } sort keys %topics);

done_testing;
