# SPDX-License-Identifier: Apache-2.0
# The manual names what is there: each link leads to a page and a heading, each directive, verb,
# option, make target, file, metric, log tag and environment variable exists, and httpd takes each
# example. `make check-docs` runs it alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use File::Spec;
use File::Temp ();
use Test::More;
use DevCache::Ctl;
use DevCache::File qw(slurp);

chdir "$FindBin::Bin/.." or die $!;
sub text_of { return slurp($_[0], ':encoding(UTF-8)') }

sub none {
    my ($what, @culprits) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %seen;
    ok !@culprits, $what;
    diag "  $_" for grep { !$seen{$_}++ } @culprits;
    return;
}

my @pages = glob 'README*.md SECURITY.md CONTRIBUTING.md docs/*.md docs/*/*.md';
my %text = map { $_ => text_of($_) } @pages;
my @manual = grep { !/DESIGN|CONTRIBUTING/ } @pages;
cmp_ok scalar @pages, '>=', 15, 'there is a manual';

# What stands in `...` and in fences, with its page; and prose alone.
sub spans {
    my $page = shift;
    my (@code, $fence);
    for (split /\n/, $text{$page}) {
        if (/^\s*```/) { $fence = !$fence; next }
        push @code, $fence || /^    \S/ ? $_ : /(?<!`)`([^`]+)`(?!`)/g;
    }
    return @code;
}

# --- links ----------------------------------------------------------------------------

# A heading's name, as those who show Markdown make it.
sub anchor {
    my $heading = lc shift;
    $heading =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
    $heading =~ s/[^\w\- ]//g;    # words of any language
    return $heading =~ tr/ /-/r;
}
my %anchor;
for my $page (@pages) {
    my ($fence, %n);
    for (split /\n/, $text{$page}) {
        $fence = !$fence if /^\s*```/;
        next if $fence || !/^#+ +(.*)/;
        my $name = anchor($1);
        $anchor{$page}{ $n{$name}++ ? "$name-" . ($n{$name} - 1) : $name } = 1;
    }
}
my $links = 0;
for my $page (@pages) {
    my $prose = $text{$page} =~ s/^\s*```.*?^\s*```//gmsr =~ s/`[^`\n]*`//gr;
    my @bad;
    for my $link ($prose =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ m{^(?:https?|mailto):};
        $links++;
        my ($file, $name) = $link =~ /^([^#]*)(?:#(.*))?$/;
        my $to = $file eq '' ? $page : dirname($page) eq '.' ? $file : dirname($page) . "/$file";
        1 while $to =~ s{(?:^|(?<=/))(?!\.\./)[^/]+/\.\./}{};
        push @bad, $link if !-e $to || (defined $name && $to =~ /\.md$/ && !$anchor{$to}{$name});
    }
    none("$page: its links lead somewhere", @bad);
}
cmp_ok $links, '>', 50, 'there were links';
my %listed = map { $_ => 1 } $text{'docs/README.md'} =~ /\(([\w.]+\.md)/g;
none('docs/README.md lists each page', grep { !$listed{ s{docs/}{}r } } grep { $_ ne 'docs/README.md' } glob 'docs/*.md');

# --- what is named --------------------------------------------------------------------

my $code = join '', map { text_of($_) } glob '*.c */*.c */*.h';
my %directive = map { $_ => 1 } text_of('setup/directives.c') =~ /^    [A-Z_0-9]+\(\s*"(DevCache\w*)"/mg;
# Lines of server-status, and alerts.
my %other = map { $_ => 1 } map({ "DevCache$_" } qw(Hits Misses Bypasses Errors StoreBytes StoreSize StoreObjects)),
    text_of('conf/monitoring/devcache.rules.yml') =~ /alert: (\w+)/g;
for my $page (@manual, 'packaging/debian/README.Debian') {
    $text{$page} //= text_of($page);
    none("$page: its directives are there",
         grep { !$directive{$_} && !$other{$_} } $text{$page} =~ /(?<![-\w:])(DevCache\w*)(?![-\w]*[:{])/g);
}

my %verb;
for my $verb (ctl('--help')->{out} =~ /^  devcachectl (\w+)/mg) { $verb{$verb} = ctl('help', $verb)->{out} }
my %target = map { $_ => 1 } map { split } text_of('Makefile') =~ /^([a-z][\w -]*):(?!=)/mg;
$target{$_}++ for split ' ', text_of('Makefile') =~ /^BENCHES = ((?:.*\\\n)*.*)/m ? $1 =~ s/\\\n//gr : '';
for my $page (@manual, 'CONTRIBUTING.md') {
    my (@bad, @bad_target, @bad_file);
    for my $span (spans($page)) {
        while ($span =~ /(?:^|[\s`|;])devcachectl (\w+)((?: [^|;#]*)?)/g) {
            my ($verb, $rest) = ($1, $2);
            next if $verb eq 'VERB' || $verb eq 'help';
            if (!$verb{$verb}) { push @bad, "devcachectl $verb"; next }
            $rest =~ s/'[^']*'|"[^"]*"//g;
            push @bad, map { "devcachectl $verb $_" } grep { $verb{$verb} !~ /(?<![\w-])\Q$_\E(?![\w-])/ }
                grep { $_ ne '--help' } $rest =~ /(?<=\s)(--?[a-z][a-z-]*)/gi;
        }
        push @bad_target, grep { !$target{$_} } $span =~ /(?:^|[\s`;&])make ([a-z][\w-]*)/g;
        push @bad_file, grep { !-e } grep { !/\*/ }
            $span =~ m{(?<![\w./-])((?:conf|packaging|tools|t|docs|bench|base|device|http|store|flight|stats|purge|tier|setup|request|watch)/[\w./*-]*\w)}g;
    }
    @bad = grep { !/ classify -/ } @bad;    # has options of its own, and tells of them in prose
    none("$page: devcachectl has these verbs and options", @bad);
    none("$page: make has these targets", @bad_target);
    none("$page: these files are there", grep { !/NAME|NN-/ } @bad_file);
    none("$page: the code has these log tags", grep { my $n = substr $_, 2; $code !~ /\b0?$n\b/ && $code !~ /\b@{[ $n + 0 ]}\b/ }
         $text{$page} =~ /\b(DC0\d{3})\b/g);
    none("$page: the code has these environment variables", grep { $code !~ /\Q$_\E/ && text_of('packaging/container/httpd.conf') !~ /\Q$_\E/ }
         $page eq 'CONTRIBUTING.md' ? () : grep { !/^DEVCACHE_(?:BUILD|MPM)/ } $text{$page} =~ /\b(DEVCACHE_\w+)/g);
}

# --- other languages -----------------------------------------------------------------

# The first line names the English page and its fingerprint. When that has changed, somebody looks
# (`git log -p docs/operation.md`), mends the translation and runs tools/translated.
my @translated = grep { /\.ja\.md$|^docs\/ja\// } @pages;
cmp_ok scalar @translated, '>=', 5, 'there is a manual in Japanese';
for my $page (@translated) {
    my ($english, $mark) = $text{$page} =~ /\A<!-- The same as (\S+) ([0-9a-f]{16})\. tools\/translated -->\n/;
    ok $english && -e $english, "$page names its English page" or next;
    is substr(sha256_hex(do { open my $file, '<', $english or die $!; local $/; <$file> }), 0, 16), $mark,
        "$page: somebody has looked at it since $english was changed"
        or diag "  see what changed (git log -p $english), mend $page, then tools/translated $page";
}
sub blocks { return join "\n--\n", $_[0] =~ /^(```\nSyntax.*?^```|```apache\n.*?^```)/msg }
is blocks($text{'docs/ja/directives.md'}), blocks($text{'docs/directives.md'}),
    'docs/ja/directives.md has the same syntax, defaults and examples';

# --- the examples ---------------------------------------------------------------------

# httpd takes each block of configuration, and configtest has no complaint about it. What a block
# needs around it is given: a root, the modules that it names, the files that it names.
my $httpd = $ENV{HTTPD} || '/usr/sbin/apache2';
my $modules = $ENV{LIBEXECDIR} || '/usr/lib/apache2/modules';
my $built = File::Spec->rel2abs($ENV{DEVCACHE_BUILD} || 'build');
my $folder = File::Temp->newdir('devcache-XXXXXX', TMPDIR => 1);
my @user = getpwnam 'www-data';
my @owner = $> ? ($>, $)) : @user[2, 3];
mkdir "$folder/root";
chmod 0700, "$folder/root";
chmod 0755, "$folder";
chown @owner[0, 1], "$folder/root";
system "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $folder/file -out $folder/cert >/dev/null 2>&1"
    . " && cat $folder/cert >>$folder/file && openssl rand -hex 32 >$folder/secret && chmod 600 $folder/file $folder/secret";
my $load = join '', map { "LoadModule ${_}_module $modules/mod_$_.so\n" } grep { -e "$modules/mod_$_.so" }
    qw(mpm_event authz_core authz_host authn_core authn_file auth_basic authz_user alias dir env setenvif headers
    mime rewrite proxy proxy_http status remoteip http2 socache_shmcb ssl expires filter deflate include);
my $preload = $ENV{DEVCACHE_PRELOAD} ? "LD_PRELOAD='$ENV{DEVCACHE_PRELOAD}' ASAN_OPTIONS=detect_leaks=0" : '';
my $blocks = 0;
for my $page (@manual) {
    while ($text{$page} =~ /^```apache\n(.*?)^```/msg) {
        my ($block, $line) = ($1, 2 + (substr($text{$page}, 0, $-[0]) =~ tr/\n//));
        $blocks++;
        $block =~ s{(?<=DevCacheRoot )\S+}{$folder/root}g;
        $block =~ s{(?<=DevCacheTier)(CA|Certificate)(\s+)\S+}{$1$2$folder/file}g;
        $block =~ s{(?<=DevCacheTier)(Secret|Key)(\s+)\S+}{$1$2$folder/secret}g;
        $block .= "<Location /elsewhere>\nDevCache On\n</Location>\n" if $block !~ /^\s*DevCache(?:Classify)? (?:On|Observe)/m;
        $block = "DevCacheTier rediss://127.0.0.1:6379\n$block" if $block =~ /DevCacheTier/ && $block !~ /^\s*DevCacheTier /m;
        $block = "DevCacheRoot $folder/root\n$block" if $block !~ /DevCacheRoot/;
        open my $conf, '>:encoding(UTF-8)', "$folder/httpd.conf" or die $!;
        print {$conf} "ServerRoot $folder\nDefaultRuntimeDir $folder\nPidFile $folder/pid\nListen 127.0.0.1:1\n",
            "ServerName localhost\nErrorLog $folder/log\n$load", "LoadModule devcache_module $built/mod_devcache.so\n",
            $> ? '' : "User www-data\nGroup www-data\n",
            qq{<FilesMatch "^\\.ht">\n    Require all denied\n</FilesMatch>\n}, $block;    # as Debian's apache2.conf has it
        close $conf;
        # The folder of this test is below /tmp, which is right for a test only.
        my $said = join '', grep { !/is cleaned away at times/ } `$preload $httpd -t -f $folder/httpd.conf 2>&1`;
        ok !$? && $said !~ /\bDC\d{4}\b/, "$page:$line: httpd takes it, without a warning" or diag $said, $block;
    }
}
cmp_ok $blocks, '>=', 50, 'there were examples';

done_testing;
