# SPDX-License-Identifier: Apache-2.0
# t/83-devcachectl.t. The administrator's tool: what it says of a cache and of a server, that
# it changes nothing there, that it finds every kind of damage, and what it refuses.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA;
use POSIX ();
use Time::HiRes ();
use Test::More;
use DevCache::Ctl;
use DevCache::Httpd;
use DevCache::Load qw(body_of);
use DevCache::Test;

my $t = DevCache::Test->start(<<'CONF');
DevCacheSize 8M
DevCacheSegmentSize 256K
<Location "/">
    DevCache On
</Location>
<Location "/all/">
    DevCacheVaryDevice Off
</Location>
ProxyPass / @ORIGIN@/
CONF
my $auto = $t->origin_auto(sub {
    my $request = shift;
    my $class = $request->header('X-Device-Type');
    my %fields = ('Cache-Control' => 'max-age=600', 'X-Odd' => "caf\xe9 \x9b2J");
    $fields{Vary} = 'Cookie' if $request->{target} =~ /cookie/;
    return (200, \%fields, $request->{target} =~ m{/big} ? body_of('big', 60_000)
                                                         : "the $class page\n");
});
my $root = $t->root;
my $base = 'http://127.0.0.1:' . $t->port;
my $status = 'http://127.0.0.1:' . $t->port('STATUS_PORT') . '/';

# Once there is an order to what is stored and what is not.
sub store {
    my ($n, @requests) = @_;
    my $had = $t->counters->{stored};
    $t->get(@$_)->{status} == 200 or die "@$_\n" for @requests;
    $t->wait_counter(stored => $had + $n);
}
store(7, ['/page', 'User-Agent' => PC], ['/page', 'User-Agent' => TABLET],
      ['/page', 'User-Agent' => PHONE], ['/all/page?a=1&b=%20'], ['/all/big'],
      ['/all/caf%c3%a9'], ['/all/cookie', 'Cookie' => 'session=topsecret']);
$t->get('/page', 'User-Agent' => PHONE) for 1 .. 2;

# --- refusals -------------------------------------------------------------------------

for ([], ['polish'], ['ls', '--polish'], ['ls', '-x'], ['ls', '--root'], ['ls', 'a', 'b'],
     ['show'], ['ls', '--url', $status], ['ls', '--once'], ['verify', 'x'],
     ['show', 'page', '--root', $root]) {
    my $ran = ctl(@$_);
    is $ran->{exit}, 2, "exit code 2: devcachectl @$_";
    like $ran->{err}, @$_ ? qr/^devcachectl.*: .*\n\z/ : qr/^usage: /, '  and a sentence';
    is $ran->{out}, '', '  and nothing else';
}
my $help = ctl('--help');
is $help->{exit}, 0, '--help';
my @verbs = $help->{out} =~ /^  devcachectl (\w+)/mg;
cmp_ok scalar @verbs, '>=', 4, '  names the verbs';
for (@verbs) {
    my $ran = ctl($_, '--help');
    is $ran->{exit}, 0, "$_ --help";
    like $ran->{out}, qr/^usage: devcachectl $_ .*--help/s, '  says how to use it';
    like $ran->{out}, qr/--json/, '  and that it can print JSON' if $_ ne 'classify';
}

# --- ls -------------------------------------------------------------------------------

my $ls = ctl('ls', '--root', $root);
is $ls->{exit}, 0, 'ls';
is $ls->{err}, '', '  silently';
my @lines = split /\n/, $ls->{out};
is scalar @lines, 8, '  a head and seven objects';
like $lines[0], qr/^class +status +size +age +ttl +url$/, '  the head';
my ($phone) = grep { /^mobile / } @lines;
like $phone, qr{^mobile +200 +16B +\d+s +(?:59\d|10m|9m)\S* +\Q$base\E/page$},
    '  the phone\'s page';
is scalar(grep { /^- / } @lines), 4, '  four that are for all devices';
like $ls->{out}, qr{\Q$base\E/all/caf%C3%A9$}m, '  bytes beyond ASCII are escaped';

my $all = ctl_json('ls', '--root', $root, "$base/page");
is join(' ', sort map { $_->{class} } @$all), 'mobile pc tablet', 'ls --json with a prefix';
is_deeply [sort keys %{ $all->[0] }],
    [qw(age class live size status ttl url used)], '  what it tells of each';
is_deeply ctl_json('ls', '--root', $root, 'http://nobody'), [], '  nothing by that prefix';
my ($address) = $base =~ m{//(.*)};
for (['127.0.0.1', 7], [$address, 7], ["127.0.0.1/page", 3], ["$address/all/", 4], ['127.0.0', 0],
     ['127.0.0.1:1', 0], ['nobody', 0]) {
    is scalar @{ ctl_json('ls', '--root', $root, $_->[0]) }, $_->[1], "ls $_->[0]";
}

# --- show -----------------------------------------------------------------------------

my $show = ctl('show', "$base/page", '--root', $root);
is $show->{exit}, 0, 'show';
is scalar(() = $show->{out} =~ /^  class +(?:pc|tablet|mobile)$/mg), 3, '  three variants';
like $show->{out}, qr/^    Cache-Control: max-age=600$/m, '  a stored header';
like $show->{out}, qr/^    X-Odd: caf\\xe9 \\x9b2J$/m, '  nothing that moves the cursor';
my $one = ctl_json('show', "$base/all/page?a=1&b=%20", '--root', $root);
is scalar @$one, 1, 'show --json of a URL with a query';
is $one->[0]{status}, 200, '  its status';
cmp_ok abs($one->[0]{stored_at} - time), '<', 100, '  when it was stored';
my ($cc) = grep { $_->{name} eq 'Cache-Control' } @{ $one->[0]{headers} };
is $cc->{value}, 'max-age=600', '  its headers';
is ctl('show', "$base/all/caf%c3%a9", '--root', $root)->{exit}, 0, 'show of an escaped URL';
my $secret = ctl('show', "$base/all/cookie", '--root', $root);
like $secret->{out}, qr/^ +cookie: \(present\)$/m, 'show does not tell a cookie';
unlike $secret->{out}, qr/topsecret/, '  anywhere';
my $none = ctl('show', "$base/nothing", '--root', $root);
is $none->{exit}, 1, 'show of what is not there';
like $none->{err}, qr{nothing is stored for \Q$base\E/nothing}, '  says so';

# --- stats ----------------------------------------------------------------------------

my $stats = ctl('stats', '--url', $status);
like $stats->{out}, qr/^stored +7$/m, 'stats of the server';
my $numbers = ctl_json('stats', '--url', $status);
is $numbers->{store_objects}, 7, '  as JSON';
my $from_index = ctl_json('stats', '--root', $root);
is $from_index->{$_}, $numbers->{$_}, "  $_ from the directory"
    for qw(store_objects store_bytes store_size store_published store_files);
my $not_status = ctl('stats', '--url', "$base/all/page");
is $not_status->{exit}, 1, 'stats from another page';
like $not_status->{err}, qr/not a devcache-status page/, '  says so';
is ctl('stats', '--url', 'http://127.0.0.1:9/')->{exit}, 1, 'stats from nowhere';
is ctl('stats', '--url', 'file:///etc/passwd')->{exit}, 1, 'only by HTTP';

# --- beside a server that works -----------------------------------------------------------

my $n = 0;
my $load = DevCache::Load->start($t->port,
    next => sub { return ('/all/' . int(rand 4000) . ($n++ % 20 ? '' : '/big')) },
    check => sub { return $_[1]{status} == 200 ? undef : "status $_[1]{status}" });
for (1 .. 6) {
    $load->wait_answers(300);
    my $ran = ctl('verify', '--root', $root);
    is $ran->{exit}, 0, 'verify while it stores and evicts' or diag $ran->{out}, $ran->{err};
    is ctl('ls', '--root', $root)->{exit}, 0, '  and ls';
}
my $sum = $load->stop;
is_deeply $sum->{wrong}, [], 'the server was not disturbed';
is $t->counters->{store_damaged}, 0, '  and nothing was damaged';

# --- a stopped server -----------------------------------------------------------------

store(1, ['/all/last']);
is $t->stop, 0, 'the server is stopped';

# What could be changed of each file: its times first, as reading the bytes changes them.
my @files = ($root, sort glob "$root/*");
sub times_of { return [map { my @stat = lstat; "$_ @stat[2 .. 5, 7 .. 10]" } @files] }
sub bytes_of { return [map { -d ? () : Digest::SHA->new->addfile($_, 'b')->hexdigest } @files] }
my $bytes = bytes_of();
utime 1, 1, @files;
my $times = times_of();
my $verify = ctl('verify', '--root', $root);
ctl(@$_, '--root', $root) for ['ls'], ['show', "$base/page"], ['stats'];
is_deeply times_of(), $times, 'not even an access time of a stopped server\'s files changes';
is_deeply bytes_of(), $bytes, '  nor a byte of them';
is_deeply [$root, sort glob "$root/*"], \@files, '  and there is no new one';
is $verify->{exit}, 0, 'verify of a stopped server\'s directory';
like $verify->{out}, qr/^\d+ segments, [\d.]+[KM]B: \d+ objects \(\d+ in use\), 0 writes not finished, 0 damaged$/m, '  in one line';
like $verify->{err}, qr/\Averify: .*verify: 100%\n\z/s, '  with lines of progress';
my $drawn = ctl_tty('verify', '--root', $root);
like $drawn->{out}, qr/\rverify \[#+\] 100%/, '  with a bar on a terminal';

SKIP: {
    skip 'needs root', 2 if $>;
    my ($uid, $gid) = (getpwnam +(DevCache::Httpd::children_run_as())[0])[2, 3];
    my $ran = ctl_as($uid, $gid, 'verify', '--root', $root);
    skip 'needs root', 2 if $ran->{exit} == 127;   # the owner cannot reach the program
    is $ran->{exit}, 0, 'as the owner' or diag $ran->{err};
    my $stranger = ctl_as(65534, 65534, 'ls', '--root', $root);
    is $stranger->{exit}, 2, 'as somebody else it is refused';
}

# --- damage ---------------------------------------------------------------------------

sub bytes {
    my $path = shift;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}
sub set_bytes {
    my ($path, $bytes) = @_;
    open my $out, '+<:raw', $path or die "$path: $!\n";
    truncate $out, length $bytes;
    print {$out} $bytes;
    close $out or die;
}

# Damage, see what verify says, repair.
sub damaged {
    my ($what, $path, $change, $like) = @_;
    my $good = bytes($path);
    my $bad = $good;
    $change->($bad);
    set_bytes($path, $bad);
    my $ran = ctl('verify', '--root', $root);
    is $ran->{exit}, 1, "damage: $what" or diag $ran->{out}, $ran->{err};
    like $ran->{out}, $like, '  is told';
    set_bytes($path, $good);
}
my $last = ctl_json('show', "$base/all/last", '--root', $root)->[0];
my ($seg, $at) = ("$root/$last->{file}", $last->{offset});
my $body = index bytes($seg), "the ", $at;
damaged('a byte of a body', $seg, sub { substr($_[0], $body, 1) ^= "\1" },
        qr{^\Q$last->{file}\E: damaged at $at, .*in use: .*body differs: \Q$base\E/all/last$}m);
damaged('a byte of a head', $seg, sub { substr($_[0], $at + 70, 1) ^= "\1" },
        qr{damaged at $at, .*in use: .* not a whole record$}m);
damaged('a byte of a magic', $seg, sub { substr($_[0], $at, 1) ^= "\1" },
        qr{damaged at $at, .*in use}m);
damaged('zeros', $seg, sub { substr($_[0], $at, 96) = "\0" x 96 }, qr{damaged at $at, .*in use}m);
damaged('a segment cut short', $seg, sub { substr($_[0], $at + 10) = '' }, qr{damaged at $at, .*in use}m);
damaged('a segment\'s header', $seg, sub { substr($_[0], 20, 1) ^= "\1" }, qr{damaged at 0, .*header is damaged}m);
my ($big) = grep { $_->{size} == 60_000 } @{ ctl_json('ls', '--root', $root) };
my $file = ctl_json('show', $big->{url}, '--root', $root)->[0]{body_file};
damaged('a large body cut short', "$root/$file", sub { substr($_[0], 5000) = '' }, qr{body is short});
damaged('a large body\'s header', "$root/$file", sub { substr($_[0], 9, 1) ^= "\1" }, qr{body is damaged});

sub moved_away {
    my ($what, $path, $in_its_place, $like) = @_;
    rename $path, "$root/../aside" or die;
    $in_its_place->($path);
    my $ran = ctl('verify', '--root', $root, '--json');
    is $ran->{exit}, 1, "damage: $what" or diag $ran->{err};
    like $ran->{out}, $like, '  is told';
    unlink $path;
    rename "$root/../aside", $path or die;
}
moved_away('a missing segment', $seg, sub { }, qr/the file is missing/);
moved_away('a missing body', "$root/$file", sub { }, qr/file of its body is missing/);
moved_away('a symbolic link', $seg, sub { symlink "$root/../aside", $_[0] }, qr/symbolic link/);
moved_away('a second name', $seg, sub { link "$root/../aside", $_[0] }, qr/second name/);
is ctl('verify', '--root', $root)->{exit}, 0, 'all repaired';

# Bytes that nothing leads to, at the end of a head: a writer was killed.
my $whole = bytes($seg);
set_bytes($seg, $whole . substr($whole, $at, 100));
like ctl('verify', '--root', $root)->{out}, qr/ 1 writes not finished, 0 damaged$/m,
    'a write cut off is not damage';
set_bytes($seg, $whole);

# --- other directories ----------------------------------------------------------------

my $index = bytes("$root/index");
set_bytes("$root/index", substr($index, 0, 8) . "\x63" . substr $index, 9);
for (['ls'], ['verify'], ['stats'], ['show', "$base/page"]) {
    my $ran = ctl(@$_, '--root', $root);
    is $ran->{exit}, 2, "an index of another version: @$_";
    like $ran->{err}, qr/another version/, '  says so';
}
unlink "$root/index";
my $lost = ctl('ls', '--root', $root);
is $lost->{exit}, 0, 'without an index ls works';
like $lost->{err}, qr/there is no index/, '  and says what that means';
like $lost->{out}, qr{\Q$base\E/all/last$}m, '  it lists the records';
is ctl('verify', '--root', $root)->{exit}, 0, '  so does verify';
is ctl('stats', '--root', $root)->{exit}, 1, '  stats has nothing to tell';
for my $path (glob "$root/{seg,body}-*") {
    my $bytes = bytes($path);
    substr($bytes, 8, 1) = "\x63";
    set_bytes($path, $bytes);
}
my $foreign = ctl('ls', '--root', $root);
is $foreign->{exit}, 2, 'segments of another version';
like $foreign->{err}, qr/another version/, '  are told';
unlink glob "$root/*";
for ([$root, qr/is not a cache/], ['/etc', qr/is not a cache/], ["$root/x", qr/cannot be opened/],
     ['/etc/passwd', qr/cannot be opened/]) {
    my $ran = ctl('verify', '--root', $_->[0]);
    is $ran->{exit}, 2, "verify of $_->[0]";
    like $ran->{err}, $_->[1], '  says what it is';
}
is_deeply [glob "$root/*"], [], 'nothing was made there';

$t->start_again;
$t->finish;

# --- warm, top and purge: a server that does as it is told --------------------------------

$t = DevCache::Test->start(<<'CONF', modules => ['authz_host']);
<Location "/">
    DevCache On
    DevCacheStatusHeader On
    DevCachePurge On
    <Limit PURGE>
        Require expr "%{HTTP:X-Key} == 'sesame'"
    </Limit>
</Location>
ProxyPass / @ORIGIN@/
CONF
$auto = $t->origin_auto(sub {
    my $class = $_[0]->header('X-Device-Type');
    my %fields = ('Cache-Control' => $_[0]{target} =~ /private|broken/ ? 'private' : 'max-age=600',
                  'Cache-Tag' => $_[0]{target} =~ m{/news} ? 'news, all' : 'all');
    return ($_[0]{target} =~ /broken/ ? 503 : 200, \%fields, "$class $_[0]{target}\n");
});
$base = 'http://127.0.0.1:' . $t->port;
$status = 'http://127.0.0.1:' . $t->port('STATUS_PORT') . '/';
my $urls = $t->write_file('urls', "# a list\n\n  $base/a\r\n$base/news/1\n$base/news/2\n$base/private\n");
my $begun = Time::HiRes::time();
my $warm = ctl('warm', '-f', $urls, '--rate', 40, '-c', 3);
cmp_ok Time::HiRes::time() - $begun, '>=', 11 / 40, 'warm: not faster than its rate';
is $warm->{exit}, 0, '  and well' or diag $warm->{err};
like $warm->{out}, qr/^4 URLs, 12 requests in \S+: 12 with status 200, 0 without an answer$/m, '  the requests';
like $warm->{out}, qr/^0 were in the cache, 9 are now, 3 are not stored, of 0 /m, '  what became of them';
like $warm->{err}, qr/^warm: 50%$/m, '  with lines of progress';
my %class;
$class{ $_->[2]{'x-device-type'} }++ for $auto->requests;
is_deeply \%class, { pc => 4, tablet => 4, mobile => 4 }, '  by each class of devices';
my $again = ctl_json('warm', '-f', $urls, '--rate', 1000);
is "$again->{hit} $again->{stored} $again->{not_stored} $again->{no_answer}", '9 0 3 0', '  and once more, as JSON';
my $named = ctl_json('warm', "$base/a", "$base/news/1", '--rate', 1000);
is "$named->{urls} $named->{hit} $named->{stored}", '2 6 0', '  and by URLs of the command line';
like ctl_tty('warm', '-f', $urls, '-R', 1000)->{out}, qr/warm \[#+ *\] +\d+%/, '  with a bar on a terminal';
for ([], ['-f', '/nonexistent'], ['-S', 'x'], ['-S', 'ftp://x/'], ['-f', '/dev/null'], ['-f', $t->write_file('bad', "ftp://x/\n")],
     ['www.example.org/'], ['-f', $t->write_file('long', "$base/" . 'x' x 9000 . "\n")], ['-f', $urls, '--rate', 'fast'], ['-f', $urls, '--rate', 0], ['-f', $urls, '-c', 0], ['-f', $urls, '--connect', 'x']) {
    my $ran = ctl('warm', @$_);
    is $ran->{exit}, 2, "exit code 2: warm @$_";
    like $ran->{err}, qr/^devcachectl warm: .+\n\z/, '  and a sentence';
}
is ctl('warm', '-f', $t->write_file('broken', "$base/broken\n"))->{exit}, 1, 'warm of what fails';
is ctl('warm', '-f', $t->write_file('nobody', "http://127.0.0.1:9/\n"))->{exit}, 1, 'warm of nobody';
my $elsewhere = ctl_json('warm', '-f', $t->write_file('named', "http://www.example.org/a\n"), '--connect',
                         '127.0.0.1:' . $t->port);
is $elsewhere->{stored}, 3, 'warm of another name by --connect';

# --- ready ----------------------------------------------------------------------------

is ctl('ready', '--url', $status)->{out}, "ready\n", 'ready';
is_deeply ctl_json('ready', '--url', $status), { ready => JSON::PP::true }, '  as JSON';
my $page = ctl('ready', '--url', "$base/private");
is $page->{exit}, 1, 'another page is not ready';
like $page->{err}, qr/is not a devcache-status page/, '  and says so';
is ctl('ready', '--url', 'http://127.0.0.1:9/')->{exit}, 1, 'no server is not ready';

my $top = ctl('top', '--once', '--url', $status, '-i', 0.1);
is $top->{exit}, 0, 'top';
like $top->{out}, qr/^requests \d+\.\d\/s, .* hits/m, '  rates';
like $top->{out}, qr{^ +\d+ +\d+%  \Q$base\E/a$}m, '  the busiest URLs';
unlike $top->{out}, qr/\e/, '  without escapes where there is no terminal';
like ctl('top', '--root', $t->root, '-i', 0.1)->{out}, qr/^  published +\d+\.\d +12$/m, '  from the directory';
ok exists ctl_json('top', '--url', $status, '-i', 0.1)->{per_second}{requests}, '  as JSON';
is ctl('top', '--url', "$base/a", '-i', 0.1)->{exit}, 1, '  of another page';
is ctl('top', '--root', '/etc', '-i', 0.1)->{exit}, 2, '  of another directory';

# On a terminal, ended by a key or by a signal: the settings are what they were.
for (['q', 'q'], ['Ctrl-C', "\003"], ['TERM', undef]) {
    my ($name, $key) = @$_;
    my $settings = $t->dir . '/stty';
    my $command = 'stty -g >' . $settings . '1; ' . ctl_path() . " top --url $status -i 0.1; stty -g >${settings}2";
    $command = "sh -c 'stty -g >${settings}1; timeout --foreground 1 " . ctl_path()
        . " top --url $status -i 0.1; stty -g >${settings}2'" unless defined $key;
    unlink "${settings}1", "${settings}2", $t->dir . "/screen";
    pipe my $in, my $keys or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        alarm 0;
        open STDIN, '<&', $in;
        open STDOUT, '>', $t->dir . '/screen';
        open STDERR, '>&', \*STDOUT;
        exec 'script', '-qefc', $command, '/dev/null' or POSIX::_exit(127);
    }
    close $in;
    ok wait_until(sub { -e $t->dir . "/screen" && bytes($t->dir . '/screen') =~ /q ends\).*q ends\)/s }), "top on a terminal: it is drawn ($name)";
    syswrite $keys, $key if defined $key;
    ok wait_until(sub { waitpid($pid, POSIX::WNOHANG()) == $pid }), '  it ends'
        or kill TERM => $pid;
    my $seen = bytes($t->dir . '/screen');
    like $seen, qr/\e\[\?1049h.*\e\[\?1049l/s, '  on a screen of its own, which is left';
    is bytes("${settings}2"), bytes("${settings}1"), '  and the settings are restored';
}

sub left { return scalar grep { $_->{url} !~ /\?/ } @{ ctl_json('ls', '--root', $t->root, $base) } }
my @key = ('-H', 'X-Key: sesame');
is left(), 9, 'before the purges';
my $forbidden = ctl('purge', "$base/a");
is $forbidden->{exit}, 1, 'purge without permission';
like $forbidden->{err}, qr/status 403/, '  says so';
is left(), 9, '  and nothing went';
is ctl('purge', "$base/a", @key, '--device', 'mobile')->{out}, "1 removed\n", 'purge for a device';
is ctl('purge', "$base/a", @key)->{out}, "2 removed\n", 'purge of a URL';
is ctl('purge', "$base/news/1", @key, '--soft')->{out}, "0 removed, 3 stale from now on\n", 'softly';
is left(), 6, '  they are still there';
is ctl_json('purge', '--prefix', "$base/news/2", @key)->{purged}, 3, 'by prefix, as JSON';
is ctl('purge', '--tag', 'news', '--tag', 'none', "$base/", @key)->{out}, "3 removed\n", 'by tag';
is left(), 0, 'nothing is left';
for ([], ["$base/", '--prefix', $base], ['--prefix', "$base/", '--tag', 'x'], ['--tag', ''], ["$base/", '-H', "A: b\nC: d"]) {
    is ctl('purge', @$_)->{exit}, 2, 'exit code 2: purge ' . join ' ', map { s/\n/|/r } @$_;
}
$t->allow_log(qr/AH01630/);   # the purge without the key
$t->finish;
done_testing;
