# SPDX-License-Identifier: Apache-2.0
# What README and docs/ show of commands is what these commands print. Each fenced block without a
# language is one of these:
#
#   - It begins with "$ ": its commands are run, and their output is compared. A line "..." stands for
#     any lines, and "..." within a line for anything. What plain() says differs from run to run.
#   - Behind <!-- numbers differ --> likewise, with every number left out of the comparison.
#   - Behind <!-- output: NAME --> it is what the function of that name here returns.
#   - Behind <!-- run by FILE --> that test or script runs it, and names the page.
#   - Behind <!-- not run: REASON --> it is not compared. These are counted and listed.
#
# The commands stand in the pages as an administrator types them, for the site of docs/devcachectl.md on
# port 80. Here that site has a server on another port of loopback, in a folder of its own.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Basename qw(basename);
use File::Spec;
use File::Temp ();
use Test::More;
use DevCache::Client qw(PC TABLET PHONE);
use DevCache::Ctl;
use DevCache::File qw(slurp);
use DevCache::Httpd;
use DevCache::Redis;
use DevCache::Service;
use DevCache::Wait qw(wait_until);

chdir "$FindBin::Bin/.." or die $!;
my $build = File::Spec->rel2abs($ENV{DEVCACHE_BUILD} || 'build');

# --- what the pages show --------------------------------------------------------------

# Each block: page, line, mark before it, language, text.
sub blocks {
    my $page = shift;
    my (@blocks, $block, $mark);
    my $n = 0;
    for (split /\n/, slurp($page)) {
        $n++;
        if (/^\s*```(\S*)/) {
            if ($block) { push @blocks, $block; $block = undef }
            else { $block = { page => $page, line => $n, mark => $mark // '', language => $1, text => '' } }
        } elsif ($block) { $block->{text} .= "$_\n" }
        $mark = /^<!-- (.*) -->$/ ? $1 : undef;
    }
    return @blocks;
}

# What differs from run to run: times and how long ago they were, how long something took, rates and
# shares, the version of httpd, tags and names of files that are made from a time. And how wide columns are.
sub plain {
    my $text = shift;
    for ($text) {
        s/\r//g;
        s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?: UTC|[+-]\d{4})?/DATE/g;
        s/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/DATE/g;
        s{\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}}{DATE}g;
        s/(?<![\w.])-?\d+(?:ms|[smhd])\b/TIME/g;
        s{\b\d+(?:\.\d+)?[KMG]?B?/s\b}{RATE}g;
        s/(?<![\d.])\d+\.\d+(?![\d.])/N/g;
        s/\bttl=\d+/ttl=N/g;
        s{\bApache/[\d.]+}{Apache/N}g;
        s{\bcurl/[\d.]+}{curl/N}g;
        s/"[0-9a-f]+-[0-9a-f]+"/"ETAG"/g;
        s/\bseg-[0-9a-f]+/seg-N/g;
        s/[ \t]+/ /g;
        s/ $//mg;
    }
    return $text;
}

sub same {
    my ($block, $what, $wanted, $got) = @_;
    my ($want, $have) = map { plain($_) } $wanted, $got;
    # ls lists in the order of storing, and warm asks for several at once.
    if ($what =~ /devcachectl ls/) { $_ = join '', sort split /^/, $_ for $want, $have }
    if ($block->{mark} eq 'numbers differ') { $_ = s/\d+/N/gr for $want, $have }
    my $pattern = join '', map { $_ eq '...' ? '(?:.*\n)*' : s/(\Q...\E)|(.)/$1 ? '.*' : quotemeta $2/ger . '\n' }
        split /\n/, $want;
    ok $have =~ /\A$pattern\z/, "$block->{page}:$block->{line}: $what" or diag "the page shows:\n$want\nit prints:\n$have";
}

# --- the site of the manual -----------------------------------------------------------

my (@servers, $redis);
END { my $status = $?; $_->remove for @servers; $redis->stop if $redis; $? = $status }

# Its application: another httpd, as in the README.
my $origin = DevCache::Httpd->new(modules => [qw(headers alias authz_host mime)], conf => <<'CONF');
TypesConfig /dev/null
AddType text/html .html
AddType text/javascript .js
RedirectMatch 404 ^/gone
Header always set Cache-Control "max-age=60"
<LocationMatch "^/(news|static)/">
    Header always set Cache-Control "max-age=600"
</LocationMatch>
<Location "/login">
    Header set Cache-Control "no-store"
</Location>
<Location "/news/17.html">
    Header set Cache-Tag "article-17"
</Location>
<Location "/front.html">
    Header set Cache-Tag "frontpage"
</Location>
Alias "/front.html" "@DIR@/htdocs/front.html"
AliasMatch "^/$" "@DIR@/htdocs/front.html"
AliasMatch "^/news/$" "@DIR@/htdocs/news/front.html"
<LocationMatch "^/$">
    Header set Cache-Tag "frontpage"
</LocationMatch>
<Directory "@DIR@/htdocs">
    Require all granted
</Directory>
CONF
push @servers, $origin;
mkdir "$origin->{dir}/htdocs/$_" for qw(news static);
my %size = ('front.html' => 1024, 'news/front.html' => 1024, 'news/17.html' => 1280, 'news/42.html' => 1492,
            'static/app.js' => 43893, login => 700);
# As old as files of a site are: httpd gives one of this second a weak ETag.
for (sort keys %size) {
    $origin->write_file("htdocs/$_", 'x' x $size{$_});
    utime time - 3600, time - 3600, "$origin->{dir}/htdocs/$_" or die "$_: $!";
}
$origin->start;

my ($site) = grep { $_->{language} eq 'apache' } blocks('docs/devcachectl.md');
like $site->{text}, qr/\A<VirtualHost/, 'docs/devcachectl.md begins with the site';

# A server as Debian's package has it after "a2enmod devcache" and "a2enconf libapache2-mod-devcache".
sub server {
    my $more = shift // '';
    my $server = DevCache::Httpd->new(
        modules => [qw(proxy proxy_http authz_host mime headers)], module => "$build/mod_devcache.so",
        vars => { ORIGIN => $origin->port, CTL => $build },
        $ENV{DEVCACHE_PRELOAD} ? (env => { LD_PRELOAD => $ENV{DEVCACHE_PRELOAD}, ASAN_OPTIONS => 'detect_leaks=0' }) : (),
        conf => <<"CONF");
TypesConfig /dev/null
$more
Include "\@DIR\@/access-log.conf"
Include "\@DIR\@/libapache2-mod-devcache.conf"
Include "\@DIR\@/www.conf"
CustomLog "\@DIR\@/access.log" devcache
CustomLog "\@DIR\@/access-json.log" devcache_json
CONF
    push @servers, $server;
    mkdir "$server->{dir}/at";
    $server->write_file('access-log.conf', slurp('conf/access-log.conf'));
    $server->write_file('libapache2-mod-devcache.conf',
        slurp('packaging/debian/libapache2-mod-devcache.conf') =~ s{/var/cache/apache2/devcache}{$server->{dir}/cache}r);
    site($server, $site->{text});
    return $server->start;
}
sub site {
    my ($server, $text) = @_;
    $server->_choose_ports if !$server->{port};
    my $port = $server->port;
    $server->write_file('www.conf', $text =~ s/\*:80\b/*:$port/r =~ s/127\.0\.0\.1:8081/'127.0.0.1:' . $origin->port/er);
    return;
}
my $web;

# From how the page says it to how it is here, and back.
sub here {
    my ($text, $server) = @_;
    my ($port, $dir) = ($server->port, $server->{dir});
    for ($text) {
        s{\bhttp://(www\.example\.org|localhost|127\.0\.0\.1)(?::\d+)?(?=[/\s'"]|$)}{http://$1:$port}mg;
        s{(?<=[ =])127\.0\.0\.1:80\b}{127.0.0.1:$port}g;
        s{/var/cache/apache2/devcache}{$dir/cache}g;
        s{/var/log/apache2}{$dir}g;
        s{/etc/apache2/(?:sites|conf)-enabled}{$dir}g;
    }
    return $text;
}
sub there {
    my ($text, $server) = @_;
    my ($port, $from, $dir) = ($server->port, $origin->port, $server->{dir});
    my $machine = 0;
    for ($text) {
        s{\*:$port\b}{*:80}g;
        s{"port":$port\b}{"port":80}g;
        s{:$port\b}{}g;
        s{:$from\b}{:8081}g;
        s{$dir/cache}{/var/cache/apache2/devcache}g;
        s{$dir/(libapache2-mod-devcache.conf)}{/etc/apache2/conf-enabled/$1}g;
        s{$dir/(\w+\.conf)}{/etc/apache2/sites-enabled/$1}g;
        s{^127\.0\.0\.1(?::\d+)?(?= {2})}{'web' . ++$machine}meg;
        s{redis://127\.0\.0\.1:\d+}{redis://192.0.2.5:6379/0}g;
    }
    return $text;
}
sub shell {
    my ($command, $server) = @_;
    local $ENV{PATH} = "$build:$ENV{PATH}";
    local @ENV{qw(DEVCACHE_ROOT DEVCACHE_STATUS_URL)} =
        ("$server->{dir}/cache", 'http://127.0.0.1:' . $server->port . '/devcache-status');
    delete local @ENV{grep { /_proxy$/i } keys %ENV};
    local @ENV{qw(HTTPD CONF RUN_WITH)} = (DevCache::Httpd::httpd(), "$server->{dir}/httpd.conf", $ENV{DEVCACHE_PRELOAD} // '');
    my $script = <<'SH' . here($command, $server);
cd "$0/at" || exit
sudo() { "$@"; }
curl() { command curl -sS "$@"; }
apachectl() { env ${RUN_WITH:+LD_PRELOAD="$RUN_WITH" ASAN_OPTIONS=detect_leaks=0} "$HTTPD" -t -f "$CONF" 2>&1 |
    grep -v 'is cleaned away at times'; }
SH
    open my $out, '-|', 'bash', '-c', $script, $server->{dir} or die "bash: $!\n";
    my $got = do { local $/; <$out> } // '';
    close $out;
    $got .= "\n" if $got ne '' && $got !~ /\n\z/;
    return there($got, $server);
}
sub ask {
    my ($server, $path, @headers) = @_;
    return DevCache::Client->new($server->port)->get($path, Host => 'www.example.org:' . $server->port, @headers);
}
my @visitors = (PC, TABLET, PHONE);
sub visit { my ($path, @servers) = @_; for my $server (@servers) { ask($server, $path, 'User-Agent' => $_) for @visitors } return }
sub empty { ask($_, '/', ':method' => 'BAN') for @_; return }

# --- what is done before a page, or before a command ----------------------------------

# By page, or page and the beginning of the command. What a hook returns is called afterwards.
my %before = (
    'README.md' => sub { visit('/news/', $web) },
    'docs/purge.md' => sub { visit($_, $web) for '/news/', '/news/17.html', '/', '/news/42.html' },
    'docs/operation.md: devcachectl warm' => sub {
        empty($web);
        $web->write_file('at/urls', join '', map { "http://www.example.org:" . $web->port . "$_\n" } '/', '/news/', '/news/17.html');
    },
    'docs/operation.md: apachectl configtest' => sub {
        my ($file, $from, $to) = shift == 1 ? ('libapache2-mod-devcache.conf', '    <Location', "    DevCacheSize 1M\n    <Location")
            : ('www.conf', '    <Location "/">', qq{    <Location "/admin/">\n        DevCache Off\n    </Location>\n}
                . qq{    <Location "/">\n        DevCacheDefaultTTL 86400000});
        my $text = slurp("$web->{dir}/$file");
        $web->write_file($file, $text =~ s/\Q$from\E/$to/r);
        return sub { $web->write_file($file, $text) };
    },
    # What ?ready says is up to a second old.
    'docs/monitoring.md: curl -s' => sub {
        my $wanted = shift == 1 ? 200 : 503;
        wait_until(sub { ask($web, '/devcache-status?ready')->{status} == $wanted });
        return sub { $web->give_to_children("$web->{dir}/cache", 0700) if $wanted == 503 };
    },
    'docs/monitoring.md: tail -n' => sub {
        my $lines = () = $web->lines('access-json.log');
        ask($web, '/', 'User-Agent' => 'curl/7.88.1');
        wait_until(sub { $web->lines('access-json.log') > $lines });
    },
    'docs/devices.md' => sub { for (1 .. 334) { ask($web, '/', 'User-Agent' => $_) for PHONE, TABLET, PC } return },
    'docs/devcachectl.md' => sub {
        for (['/', PC], ['/', PHONE], ['/news/42.html', PC], (['/static/app.js', TABLET]) x 4) {
            my ($path, $agent) = @$_;
            ask($web, $path, 'User-Agent' => $agent);
        }
    },
    'docs/devcachectl.md: cat /etc/apache2/sites-enabled/shop.conf' => sub {
        my ($block) = grep { $_->{text} =~ m{^\$ cat /etc/apache2/sites-enabled/shop.conf$}m } blocks('docs/devcachectl.md');
        $web->write_file('shop.conf', $block->{text} =~ /^\$ cat .*\n((?:[^\$].*\n)*)/m);
    },
    'docs/devcachectl.md: cat urls' => sub {
        $web->write_file('at/urls', "# list\n" . join '', map { "http://www.example.org:" . $web->port . "$_\n" }
            '/', '/news/42.html', '/static/app.js', '/login');
    },
    'docs/devcachectl.md: devcachectl top' => sub {
        my $child = fork // die $!;
        if (!$child) {
            alarm 60;
            my @urls = (('/') x 4, ('/news/42.html') x 3, ('/static/app.js') x 2, '/login');
            while (1) { eval { visit($_, $web); 1 } or last for @urls }
            POSIX::_exit(0);
        }
        return sub { kill KILL => $child; waitpid $child, 0 };
    },
);

# --- what stands there without a command ----------------------------------------------

my %output = (
    demo => sub {
        return if $build ne File::Spec->rel2abs('build');    # tools/demo has no other
        return `tools/demo --check` =~ s/^All as expected\.\n//mr;
    },
    damage => sub {
        my $copy = "$web->{dir}/copy";
        system('cp', '-r', "$web->{dir}/cache", $copy) == 0 or die 'cp';
        for my $name (glob "$copy/seg-*") {
            my $bytes = slurp($name);
            $web->write_file($name, $bytes) if $bytes =~ s/x{1024}(?!x)/'x' x 1023 . 'y'/e;
        }
        return there(ctl('verify', '--root' => $copy)->{out} =~ s/^.*objects.*\n//mr =~ s{\Q$copy\E/?}{}gr, $web);
    },
    'store away' => sub {
        return if $>;                                        # needs root
        my $other = server('');
        $other->stop;
        chown 0, 0, "$other->{dir}/cache";
        $other->start;
        my ($line) = grep { /DC0213/ } $other->lines('error.log');
        return there($line =~ s/^\[[^\]]*\] (\[devcache:error\]) (?:\[[^\]]*\] )*/$1 /r, $other) . "\n";
    },
);

# --- all pages ------------------------------------------------------------------------

my @pages = grep { !/DESIGN/ } 'README.md', 'SECURITY.md', 'packaging/debian/README.Debian', sort glob 'docs/*.md';
my (%of, @not_run);
for my $page (@pages) {
    my @blocks = grep { $_->{language} !~ /^(?:apache|php|js)$/ && $_->{text} !~ /^Syntax:/ } blocks($page) or next;
    $web->stop if $web;
    if ($page eq 'docs/machines.md' && grep { $_->{text} =~ /^\$ / } @blocks) {
        if (!DevCache::Service::find('redis-server')) {
            SKIP: { skip 'no redis-server: tools/packages.sh test', 1 }
            next;
        }
        $redis = DevCache::Redis->new;
        ($web) = map { server('DevCacheTier ' . $redis->url . "\nDevCacheTierTimeout 200 200") } 1, 2;
        wait_until(sub { ask($web, '/none', ':method' => 'PURGE')->{body} =~ /"nodes": 2/ }) or diag 'they do not find each other';
        visit($_, $web) for '/news/', '/news/17.html';
    } elsif (grep { $_->{text} =~ /^\$ / } @blocks) {
        $web = server();
    }
    ($before{$page} || sub { })->();
    my %times;
    for my $block (@blocks) {
        my ($where, $mark) = ("$page:$block->{line}", $block->{mark});
        if ($mark =~ /^not run: \S/) { $of{'not run'}++; push @not_run, "$where: $mark"; next }
        if ($mark =~ /^run by (\S+)$/) {
            $of{'run by others'}++;
            my $file = $1;
            my @wanted = (basename($page), $block->{text} =~ /^(\w[^#\n]*?) *(?:#.*)?$/m);
            ok -e $file && slurp($file) =~ join('|', map { quotemeta } @wanted), "$where: $file runs it";
            next;
        }
        if ($mark =~ /^output: ([^;]+?)(; numbers differ)?$/) {
            $of{'output'}++;
            my $got = $output{$1} ? $output{$1}->() : fail("$where: there is no output '$1'") && next;
            SKIP: {
                skip 'needs root', 1 if !defined $got && $>;
                skip 'needs an ordinary build', 1 if !defined $got;
                same({ %$block, mark => $2 ? 'numbers differ' : '' }, $1, $block->{text}, $got);
            }
            next;
        }
        if ($block->{text} !~ /\A\$ /) { fail("$where: it has neither commands nor a mark"); diag $block->{text}; next }
        while ($block->{text} =~ /^\$ (.*)\n((?:(?!\$ ).*\n)*)/mg) {
            my ($command, $wanted) = ($1, $2);
            my ($short) = $command =~ m{^(?:sudo )?(\S+ \S+)};
            my $hook = $before{"$page: $short"};
            my $after = $hook ? $hook->(++$times{$short}) : undef;
            $of{'run'}++;
            same($block, $command, $wanted, shell($command, $web));
            $after->() if ref $after eq 'CODE';
        }
    }
}
cmp_ok $of{run} // 0, '>=', 25, 'commands were run';
note join ', ', map { "$_: $of{$_}" } sort keys %of;
note $_ for @not_run;
cmp_ok scalar @not_run, '<=', 5, 'hardly anything was not';

# A page in Japanese shows the same.
for my $page (glob 'README.ja.md docs/ja/*.md') {
    my ($english) = slurp($page) =~ /\A<!-- The same as (\S+)/ or next;
    my @texts = map { join "\n--\n", map { $_->{text} =~ s/ *#.*$//mgr =~ s/^\/\/.*$//mgr } blocks($_) } $page, $english;
    is $texts[0], $texts[1], "$page: the blocks of $english";
}

done_testing;
