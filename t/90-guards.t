# Source guards: what the project has promised itself about its own text and binaries.
use strict;
use warnings;
use FindBin;
use Test::More;

chdir "$FindBin::Bin/.." or die $!;
my $build = $ENV{DEVCACHE_BUILD} || 'build';

sub slurp {
    my $name = shift;
    open my $file, "<", $name or die "$name: $!\n";
    local $/;
    return <$file>;
}

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

my @c = glob '*.c';
my @h = glob '*.h';
my ($glue_files) = slurp('Makefile') =~ /^GLUE_FILES\s*=((?:.*\\\n)*.*)/m;
my %glue = map { $_ => 1 } $glue_files =~ /(\S+\.c)/g;
my @core = grep { !$glue{$_} } @c;
cmp_ok scalar @core, '>', 0, 'there is a core';

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
    my $lines = () = slurp($file) =~ /\n/g;
    cmp_ok $lines, '<=', 750, "$file: not too long";
}
for my $file (grep { $_ ne 'devcache_clock.c' } @core) {
    none("$file: time comes as a parameter",
         code($file) =~ /\b(apr_time_now|time|gettimeofday)\s*\(/g);
}
for my $file (@c) {
    (my $own = $file) =~ s/c$/h/;
    next unless -e $own;
    my ($first) = slurp($file) =~ /^\s*#\s*include\s*(\S+)/m;
    is $first, qq{"$own"}, "$file includes its own header first";
}

# --- log tags -------------------------------------------------------------------------

# In glue DCLOGNO(0110); in core devcache_store_say(), by number.
my %tag;
for my $file (@c) {
    my $code = code($file);
    push @{ $tag{ sprintf '%04d', $_ } }, $file
        for $code =~ /\bDCLOGNO\(\s*(\d+)\s*\)/g,
            map { /\b([1-9]\d{2})\b/g } $code =~ /\w+_store_say\(([^"]*)"/g;
}
cmp_ok scalar keys %tag, '>', 0, 'there are log tags';
none('each log tag is used in one place',
     map { "DC$_: @{ $tag{$_} }" } grep { @{ $tag{$_} } > 1 } sort keys %tag);

# --- directives -----------------------------------------------------------------------

my $conf_c = code('devcache_conf.c', 1);
my %directive = $conf_c =~ /\bAP_INIT_\w+\(\s*"(DevCache\w*)"([^;{"]*)/g;
my %in_conf = reverse slurp('conf/devcache.conf')
    =~ /^# (?:server|location)\. .*(?:\n# .*)*?\bDefault: (.*)\n#(DevCache\w*) /mg;
cmp_ok scalar keys %directive, '>', 10, 'the table of directives was understood';
is join("\n", sort keys %in_conf), join("\n", sort keys %directive),
    'conf/devcache.conf shows each directive with a default, and no other';

# The default in the field list of devcache_conf.h, by the slot that the table names.
my %field = slurp('devcache_conf.h')
    =~ /^\s*F\([^,]+,\s*(\w+),\s*(.+?)\)\s*(?:\/\*.*)?\\?$/mg;
my %slot;
$slot{$1} = $2 while $conf_c =~ /\b((?:slot|flag)_\w+) = \w+\((?:UNIT_\w+, )?(\w+)/g;
my $compared = 0;
for my $name (sort keys %directive) {
    my ($slot) = $directive{$name} =~ /&((?:slot|flag)_\w+)/ or next;
    my $default = $field{ $slot{$slot} } // '?';
    $default =~ s/(?:APR_INT64_C|apr_time_from_sec)\((\d+)\)/$1/;
    my $value = $default =~ /^[-\d <]+$/ ? eval $default : $default;
    my $said = $in_conf{$name};
    my %bytes = (K => 10, M => 20, G => 30, T => 40);
    my $is = $value eq '-1' ? $said =~ /^(?:none$|On with)/
        : $slot =~ /^flag/  ? $said eq ($value ? 'On' : 'Off')
        : $said =~ /^from / ? $value == 0
        : $said =~ /^(\d+)([KMGT]?)$/ && $value == $1 * 2**($bytes{$2} // 0);
    ok $is, "$name: conf/devcache.conf and the code have the same default"
        or diag "  $said in the one, $default in the other";
    $compared++;
}
cmp_ok $compared, '>', 10, 'defaults were compared';

my $manual = join '', map { slurp($_) } grep { -e } glob 'README.md docs/*.md';
for my $name (sort keys %directive) {
    my @rows = map { tr/`//dr } grep { /^\|\s*`$name[ `]/ } split /\n/, $manual;
    ok +(grep { index($_, $in_conf{$name} // '?') >= 0 } @rows),
        "$name: a row of the manual's table has its default"
        or diag "  wanted: | `$name …` | … $in_conf{$name} … |";
}

# --- binaries -------------------------------------------------------------------------

my $nm = `nm -D --defined-only $build/mod_devcache.so`;
is join(' ', sort map { (split)[2] } split /\n/, $nm), 'devcache_module',
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

done_testing;
