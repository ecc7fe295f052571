# SPDX-License-Identifier: Apache-2.0
package DevCache::Test;

=encoding utf8

=head1 NAME

DevCache::Test - a real httpd with mod_devcache, and a test that plays its origin

=head1 SYNOPSIS

F<t/00-example.t> runs, and is the pattern to copy. In short:

    my $t = DevCache::Test->start(<<'CONF');
    <Location "/">
        DevCache On
    </Location>
    ProxyPass / @ORIGIN@/ disablereuse=on
    CONF
    subtest 'a page is fetched once' => sub {
        my $first = $t->send_req('/p');                           # sent, not read
        $t->origin->accept->reply(200, { 'Cache-Control' => 'max-age=60' }, 'P');
        is $first->response->{body}, 'P', 'the first visitor: from the origin';
        is $t->get('/p')->{body}, 'P', 'the second one';          # sent and read
        ok $t->origin->quiet(0.1), '  from the cache';
    };
    $t->finish;
    done_testing;

The order of the test's lines is the order of events. Nothing sleeps: what must happen is
waited for with a deadline (wait_counter, wait_log, accept, response), what must not is
looked for with origin->quiet. Files that a full run repeats under each MPM carry the line
C<# mpm: any>; DEVCACHE_MPM chooses one.

=head1 THE ORIGIN: THREE KINDS

=over

=item played by the test: C<< $t->origin->accept >>

For what depends on the order of events: who waits for whom, what comes in pieces, what
breaks off. A request that unexpectedly comes, or does not, makes accept or the read fail
after their patience (15 s), so it is the wrong kind for long lists of cases.

=item told by each request: L<DevCache::Told>

For many cases of "this answer to that request": both stand in one line, and a request
that unexpectedly reaches the origin is one failed check. The request bears a field,
X-Answer, which is a field that no browser sends.

=item by itself: C<< $t->origin_auto(sub { ... }) >>, L<DevCache::AutoOrigin>

For loads (L<DevCache::Load>), herds and background work: it answers from a process of its
own by a function of the request, counts, and can hold or delay answers.

=back

Other protocols: L<DevCache::Gateway> is a FastCGI, SCGI, uwsgi or AJP application that
answers by itself; L<DevCache::H2> is a client that speaks HTTP/2 frames.

=head1 CONFIGURATION

start($conf, %options) writes a configuration around $conf, starts httpd and returns when
it serves. In $conf:

    @PORT@       the server's port           @ORIGIN@   http://127.0.0.1:PORT, no slash
    @DIR@        the test's folder           @ORIGIN2@  … of the second origin
    @ROOT@       an empty folder for         @ORIGIN_PORT@, @ORIGIN2_PORT@
                 DevCacheRoot                @NAME@     a port named in ports => ['NAME']

Unless $conf has a DevCacheRoot, C<DevCacheRoot "@ROOT@"> is put before it. Listen lines
for further ports are up to $conf. Modules mpm, unixd, log_config, authz_core, proxy,
proxy_http, headers, setenvif and alias are there; more by modules => ['rewrite'].
Options:

    mpm => 'worker'       default $DEVCACHE_MPM, else event
    modules => [...]      further httpd modules, by the name in LoadModule without _module
    module => 'shipped'   build/mod_devcache.so instead of the testing build; 0: none
    origins => 2          how many origins the test plays; default 1
    ports => ['TLS']      further free ports
    env => { K => 'v' }   for the server (fault points, …)
    root => 0             no DevCacheRoot line

=head1 METHODS

Requests: get, head, post($path, $body) return the response; exchange($path, [200,
\%headers, $body]) does so and has the origin answer meanwhile; send_req returns at once an
object with ->response, ->head (header only), ->body_of($n), ->begun. Headers follow the
path as a list; C<':method'>, C<':body'>, C<':version'>, C<':port'> are about the request.
client() gives a connection to send several on (pipelined if not read in between), with
send_req, get, head, post, send_raw, closed, close, reset. curl(@args, $path) runs curl, for HTTP/2. A response has
{status}, {headers}{lower-case}, ->header($name), {list}, {body}, {complete}, {interim}.

Checks: is_stored($path, $name), is_gone($path, $name): whether there is a copy for such a
request, by C<only-if-cached>. Headers may follow.

Origin: origin, origin(2) → accept, quiet, down, up; a fetch has reply, head, send, chunk,
last_chunk, end, close, reset, gone (L<DevCache::Origin>). origin_auto(sub {...}) answers
by itself and counts (L<DevCache::AutoOrigin>); origin_auto($handler, 2) is the second.

Server: status_page('?json'), counters, wait_counter(name => n), log_lines($re), wait_log($re, $n),
access_lines($re), wait_access($re, $n), pids, kill_child($pid), graceful($new_conf),
restart($new_conf), stop, start_again, clock_advance($seconds),
clock_stop, dir, root, port,
write_file($name_in_dir, $text): local content goes below htdocs/.

finish makes one check of all this: no line of level warning or above, or without a level,
except those that match expect_log($re) (which must occur) or allow_log($re) (which may);
no child died by a signal; no sanitizer report; no core file; everything that came to the
origin was accepted and answered; TERM ended the server. The folder is removed if all
checks of the file have held, else kept and named. A watchdog (watchdog($seconds), 180)
ends a stuck test.

start_error($conf, %options) is for configurations that must be refused: what httpd said,
or undef if it started. configtest($conf, %options) is C<httpd -t>: its exit status and what
it said.

=cut

use strict;
use warnings;
use Carp qw(croak);
use DevCache::AutoOrigin;
use DevCache::Client qw(PC TABLET PHONE BOT);
use DevCache::Httpd;
use DevCache::Origin;
use DevCache::Wait qw(wait_until);
use Exporter 'import';
use File::Spec;
use Test::More ();

our @EXPORT = qw(PC TABLET PHONE BOT wait_until);

my @basic = qw(proxy proxy_http headers setenvif alias);
my $access_format = '%r|%>s|%{DEVCACHE_DEVICE}e|%{DEVCACHE_STATUS}e|%{DEVCACHE_AGE}e|'
    . '%{DEVCACHE_REASON}e|%B';
my %running;    # those not finished, by address; END ends them
my $owner = $$; # forked children must not clean up

# --- start and end --------------------------------------------------------------------

sub start {
    my ($class, $conf, %opt) = @_;
    my $self = $class->_new($conf, %opt);
    $self->{httpd}->start;
    return $self;
}

sub start_error {
    my ($class, $conf, %opt) = @_;
    my $self = $class->_new($conf, %opt);
    my $started = eval { $self->{httpd}->start; 1 };
    my $said = $@;
    $self->{httpd}->stop;
    $self->_forget;
    return $started ? undef : $said;
}

sub configtest {
    my ($class, $conf, %opt) = @_;
    my $self = $class->_new($conf, %opt);
    my $httpd = $self->{httpd};
    $httpd->_choose_ports;
    my @result = DevCache::Httpd::configtest(
        $httpd->write_file('httpd.conf', $httpd->conf_text));
    $self->_forget;
    return @result;
}

sub _new {
    my ($class, $conf, %opt) = @_;
    my $self = bless { expected => [], allowed => [], origins => [], clock => 0 }, $class;
    $running{$self} = $self;
    $self->watchdog(180);
    push @{ $self->{origins} }, DevCache::Origin->new for 1 .. $opt{origins} // 1;
    my $module = $class->module_path($opt{module} // 'testing');
    $self->{httpd} = DevCache::Httpd->new(
        conf => '', module => $module, mpm => $opt{mpm} || $ENV{DEVCACHE_MPM},
        modules => [@basic, @{ $opt{modules} || [] }], before => _before($module),
        ports => ['STATUS_PORT', @{ $opt{ports} || [] }], vars => $self->_origin_vars);
    $self->{root_line} = $module && ($opt{root} // 1);
    $self->_set_conf($conf);
    $self->_set_env(%{ $opt{env} || {} });
    return $self;
}

# Where mod_devcache.so lies: 'testing', 'shipped', or 0 for none.
sub module_path {
    my ($class, $which) = @_;
    return unless $which;
    my $build = File::Spec->rel2abs($ENV{DEVCACHE_BUILD} || 'build');
    my $path = $which eq 'shipped' ? "$build/mod_devcache.so"
                                   : "$build/testing/mod_devcache.so";
    -e $path or croak "$path is not there: run make check";
    return $path;
}

sub _origin_vars {
    my $self = shift;
    my %vars;
    my $n = '';
    for my $origin (@{ $self->{origins} }) {
        $vars{"ORIGIN$n"} = 'http://127.0.0.1:' . $origin->port;
        $vars{"ORIGIN${n}_PORT"} = $origin->port;
        $n = ($n || 1) + 1;
    }
    return \%vars;
}

# The tests' own field must not make all their requests odd ones.
sub _before {
    my $module = shift;
    return qq{LogFormat "$access_format" devcache\n}
        . 'CustomLog "@DIR@/access.log" devcache'
        . ($module ? "\nDevCacheKnownHeaders X-Answer" : '');
}

# The status page is on a port of its own, where no rule of the test can hide it.
sub _set_conf {
    my ($self, $conf) = @_;
    my $httpd = $self->{httpd};
    if ($httpd->{module}) {
        $conf = qq{DevCacheRoot "\@ROOT\@"\n$conf}
            if $self->{root_line} && $conf !~ /^\s*DevCacheRoot\b/mi;
        $conf = "LogLevel notice devcache:trace2\n$conf";
        $conf .= <<'CONF';

Listen 127.0.0.1:@STATUS_PORT@
<VirtualHost 127.0.0.1:@STATUS_PORT@>
    CustomLog /dev/null devcache
    <Location "/">
        ProxyPass !
        SetHandler devcache-status
    </Location>
</VirtualHost>
CONF
    }
    $httpd->{conf} = $conf;
}

sub _set_env {
    my ($self, %env) = @_;
    my $dir = $self->{httpd}{dir};
    $env{DEVCACHE_CLOCK} = $DevCache::Origin::clock_file = "$dir/clock";
    $self->_write_clock;
    if ($ENV{DEVCACHE_PRELOAD}) {
        mkdir "$dir/san";
        $self->{httpd}->give_to_children("$dir/san", 0755);
        # No leak check: httpd keeps what lives as long as the process in pools and caches
        # that it never frees, and a child ends without destroying them.
        $env{LD_PRELOAD} = $ENV{DEVCACHE_PRELOAD};
        $env{ASAN_OPTIONS} = "abort_on_error=1:detect_leaks=0:log_path=$dir/san/asan";
        $env{UBSAN_OPTIONS} = "print_stacktrace=1:log_path=$dir/san/ubsan";
        $env{TSAN_OPTIONS} = "log_path=$dir/san/tsan";
    }
    $self->{httpd}{env} = \%env;
}

sub watchdog {
    my ($self, $seconds) = @_;
    $SIG{ALRM} = sub {
        Test::More::diag("watchdog: stuck for $seconds s");
        exit 1;
    };
    alarm $seconds;
}

$SIG{PIPE} = 'IGNORE';
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub finish {
    my $self = shift;
    my @wrong;
    $self->_let_fetches_end;
    $_->stop for grep { defined } @{ $self->{auto} || [] };
    for my $n (0 .. $#{ $self->{origins} }) {
        my $origin = $self->{origins}[$n];
        push @wrong, $origin->unfinished unless $self->{auto}[$n];
        $origin->close_all;
    }
    my $status = $self->{httpd}->stop;
    push @wrong, !defined $status ? 'TERM did not end the server'
                                  : $status ? "the server ended with status $status" : ();
    push @wrong, $self->_log_trouble, $self->_files_left;
    my $builder = Test::More->builder;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $builder->ok(!@wrong, 'nothing untoward in the server');
    $builder->diag($_) for @wrong;
    $self->_forget;
    return !@wrong;
}

# What an automatic origin is still asked in the background would fail without it, and be
# logged. A moment only: some tests keep fetches under way on purpose.
sub _let_fetches_end {
    my $self = shift;
    return if !grep({ defined } @{ $self->{auto} || [] }) || !$self->{httpd}{module}
        || $self->{httpd}->_gone;
    eval { wait_until(sub { !$self->counters->{flights} }, 2) };
}

# The event MPM says this when TERM comes while a worker hands a connection back.
my $term_race = qr/AH03093: process_socket: apr_pollset_add failure for keep alive/;

# Lines that should not be there, and expected ones that are not.
sub _log_trouble {
    my $self = shift;
    my @lines = ($self->{httpd}->lines('error.log'), $self->{httpd}->lines('stderr'));
    my @known = (@{ $self->{expected} }, @{ $self->{allowed} }, $term_race);
    my @wrong;
    for my $line (@lines) {
        next if $line !~ /exit signal|\bAssertion\b/
            && $line =~ /^\[[^\]]*\] \[\w*:(?:notice|info|debug|trace\d)\]/;
        next if $line =~ /^\s*$/ || grep { $line =~ $_ } @known;
        push @wrong, "log: $line";
    }
    for my $pattern (@{ $self->{expected} }) {
        grep { $_ =~ $pattern } @lines or push @wrong, "log: nothing matches $pattern";
    }
    my $more = @wrong - 20;
    return $more > 0 ? (@wrong[0 .. 19], "log: and $more more") : @wrong;
}

sub _files_left {
    my $self = shift;
    my $dir = $self->{httpd}{dir};
    my @wrong = map { "core file: $_" } glob "$dir/core*";
    for my $report (glob "$dir/san/*") {
        open my $file, '<', $report or next;
        my @lines = <$file>;
        chomp @lines;
        push @wrong, "$report:", grep { defined } @lines[0 .. 30];
    }
    return @wrong;
}

# Done with: off the list, and its folder away unless something has failed.
sub _forget {
    my $self = shift;
    delete $running{$self} or return;
    $_->stop for grep { defined } @{ $self->{auto} || [] };
    my $httpd = $self->{httpd} or return;
    return $httpd->remove if Test::More->builder->is_passing && !$self->{died};
    $httpd->kill_all;
    Test::More::diag("kept: $httpd->{dir}");
}

END {
    if ($$ == $owner) {
        local $?;
        for my $left (values %running) {
            $left->{died} = 1;
            Test::More::diag('ended without finish');
            $left->_forget;
        }
    }
}

# --- requests -------------------------------------------------------------------------

sub client { my ($self, $port) = @_; return DevCache::Client->new($port // $self->port) }

sub send_req {
    my ($self, $path, @headers) = @_;
    my $port;
    for (my $i = 0; $i < @headers; $i += 2) {
        next unless $headers[$i] eq ':port';
        (undef, $port) = splice @headers, $i, 2;
        last;
    }
    return $self->client($port)->send_req($path, @headers);
}

sub get { my $self = shift; return $self->send_req(@_)->response }
sub head { my $self = shift; return $self->send_req(@_, ':method' => 'HEAD')->response }
sub post {
    my ($self, $path, $body, @headers) = @_;
    push @headers, ':method' => 'POST', ':body' => $body;
    return $self->send_req($path, @headers)->response;
}

# Sent, answered by the origin as told (reply's arguments), and read; without an answer it
# must not come to the origin.
sub exchange {
    my ($self, $path, $reply, @headers) = @_;
    my $request = $self->send_req($path, @headers);
    $self->origin->accept->reply(@$reply) if $reply;
    return $request->response;
}

# Checks: is there a copy for such a request? The origin is not asked.
sub is_stored { my $self = shift; return $self->_is_there(200, 'is stored', @_) }
sub is_gone   { my $self = shift; return $self->_is_there(504, 'is gone', @_) }

sub _is_there {
    my ($self, $status, $said, $path, $name, @headers) = @_;
    my $response = $self->get($path, 'Cache-Control' => 'only-if-cached', @headers);
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    return Test::More::is($response->{status}, $status, "$name: $path $said");
}

# curl's arguments, the last one the path; undef if curl failed, its message in $@.
sub curl {
    my ($self, @args) = @_;
    my $path = pop @args;
    my $url = $path =~ /^http/ ? $path : 'http://127.0.0.1:' . $self->port . $path;
    my @common = ('-sS', '-i', '--max-time', DevCache::Wait::patience());
    open my $out, '-|', 'curl', @common, @args, $url or croak "curl: $!";
    binmode $out;
    my $text = do { local $/; <$out> };
    close $out;
    my $status = $? >> 8;
    my $head = grep { $_ eq '-I' } @args;
    my $response = DevCache::Message->new('response', $head ? 'HEAD' : 'GET');
    $text =~ s/^transfer-encoding: chunked\r\n//im;   # curl has decoded it
    $response->parse(\$text);
    $response->eof($status && "curl: exit status $status");
    return $response;
}

# --- origin ---------------------------------------------------------------------------

sub origin { my ($self, $n) = @_; return $self->{origins}[($n // 1) - 1] }

sub origin_auto {
    my ($self, $handler, $n) = @_;
    $n //= 1;
    return $self->{auto}[$n - 1] = DevCache::AutoOrigin->new(
        $self->origin($n), $self->dir . "/origin$n.log", $handler);
}

# --- server ---------------------------------------------------------------------------

sub dir  { return $_[0]{httpd}{dir} }
sub root { return "$_[0]{httpd}{dir}/cache" }
sub port { my ($self, $name) = @_; return $self->{httpd}->port($name) }
sub write_file { my ($self, $name, $text) = @_; $self->{httpd}->write_file($name, $text) }
sub pids { return $_[0]{httpd}->children }

# Kill a child (or several) with signal 9 and wait until it is gone.
sub kill_child {
    my ($self, @pids) = @_;
    return $self->{httpd}->kill_children(KILL => @pids);
}

# A graceful restart, with another configuration if given.
sub graceful {
    my ($self, $conf) = @_;
    if (defined $conf) {
        $self->_set_conf($conf);
        $self->{httpd}->write_file('httpd.conf', $self->{httpd}->conf_text);
    }
    $self->{httpd}->graceful;
}

sub stop        { return $_[0]{httpd}->stop }
sub start_again { $_[0]{httpd}->start }

# A full stop and start on the same folder and ports, with another configuration if given.
sub restart {
    my ($self, $conf) = @_;
    my $status = $self->stop;
    die "TERM did not end the server cleanly\n" if !defined $status || $status;
    $self->_set_conf($conf) if defined $conf;
    $self->start_again;
}

# Let time pass for the module (testing build): the sum of all calls is its offset.
sub clock_advance {
    my ($self, $seconds) = @_;
    $self->{clock} += $seconds;
    $self->_write_clock;
}

# Let the module's clock stand still, but for clock_advance: for results that must be the same
# however long the test takes.
sub clock_stop {
    my $self = shift;
    $self->{stopped} //= time;
    $self->_write_clock;
}

# A file of one length, overwritten by one write, so that a reader sees old or new.
sub _write_clock {
    my $self = shift;
    my $path = "$self->{httpd}{dir}/clock";
    open my $file, -e $path ? '+<' : '>', $path or die "$path: $!\n";
    syswrite $file, $self->{stopped} ? sprintf "=%014d\n", $self->{stopped} + $self->{clock}
                                     : sprintf "%+015d\n", $self->{clock};
}

# The status page, as page or in another form: status_page('?json').
sub status_page {
    my ($self, $query) = @_;
    return $self->get('/' . ($query // ''), ':port' => $self->port('STATUS_PORT'));
}

# All counters of the status page.
sub counters {
    my $self = shift;
    my $page = $self->status_page('?auto');
    $page->{status} == 200 or die "status page: $page->{start}\n";
    return { map { /^([^:]+): (.*?)\r?$/ ? ($1 => $2) : () } split /\n/, $page->{body} };
}

# Wait until each named counter has its value; dies with what it has instead.
sub wait_counter {
    my ($self, %want) = @_;
    my $now;
    wait_until(sub {
        $now = $self->counters;
        return !grep { ($now->{$_} // '') ne $want{$_} } keys %want;
    }) and return 1;
    croak 'wait_counter: ' . join ', ', map {
        "$_ is " . ($now->{$_} // 'not there') . ", not $want{$_}"
    } sort keys %want;
}

sub expect_log { my ($self, @re) = @_; push @{ $self->{expected} }, @re }
sub allow_log  { my ($self, @re) = @_; push @{ $self->{allowed} }, @re }

sub log_lines    { my ($self, $re) = @_; return $self->_matching('error.log', $re) }
sub access_lines { my ($self, $re) = @_; return $self->_matching('access.log', $re) }
sub wait_log     { my ($self, @what) = @_; return $self->_wait_lines('error.log', @what) }
sub wait_access  { my ($self, @what) = @_; return $self->_wait_lines('access.log', @what) }

# The pid of the child that handles a request, by its client's port in the log.
sub child_of {
    my ($self, $request) = @_;
    my $port = $request->client->{wire}{socket}->sockport;
    my ($line) = $self->wait_log(qr{\[client 127\.0\.0\.1:$port\].*DC0102});
    return $line =~ /\[pid (\d+)/ ? $1 : die "no pid in $line";
}

# Requests for $path, at least two, that follow its fetch, one at least in another child than $owner.
sub followers_of {
    my ($self, $path, $owner) = @_;
    my @all;
    do {
        push @all, $self->send_req($path);
        $self->wait_counter(flight_followers => scalar @all);
    } until @all >= 2 && grep { $self->child_of($_) != $owner } @all;
    return @all;
}

sub _matching {
    my ($self, $name, $re) = @_;
    return grep { !defined $re || $_ =~ $re } $self->{httpd}->lines($name);
}

# Wait until at least $n lines match, and return them.
sub _wait_lines {
    my ($self, $name, $re, $n) = @_;
    my @lines;
    wait_until(sub { @lines = $self->_matching($name, $re); @lines >= ($n // 1) })
        or croak "$name: " . @lines . " lines match $re, not " . ($n // 1);
    return @lines;
}

1;
