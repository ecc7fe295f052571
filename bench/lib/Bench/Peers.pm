package Bench::Peers;

# The servers that are compared: each in a folder of its own, on a free loopback port, in
# front of the common origin. All httpd ones load the same modules and the same MPM
# settings, so that what differs is the cache. Nobody writes an access log.

use strict;
use warnings;
use DevCache::Httpd;
use DevCache::Wait qw(wait_until);
use Exporter 'import';
use File::Path ();
use File::Temp ();
use FindBin;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use POSIX ();

our @EXPORT_OK = qw(peer start_origin start_drip);

my $build = "$FindBin::Bin/../build";
my $null = "LoadModule null_module $build/bench-mod_null.so\n";

# --- httpd -----------------------------------------------------------------------------

# No child comes or goes during a run. The origin must take the connections that all its
# proxies keep, and the default is two for each idle thread: then new ones wait for old
# ones to time out.
my $children = $ENV{CHILDREN} || 2;
my $workers = 64 * $children;
my $mpm = <<"CONF";
ServerLimit $children
StartServers $children
ThreadsPerChild 64
MinSpareThreads 1
MaxSpareThreads $workers
MaxRequestWorkers $workers
AsyncRequestWorkerFactor 16
MaxConnectionsPerChild 0
MaxKeepAliveRequests 0
KeepAliveTimeout 60
CONF

# Two children, each with a thread for every one of 200 clients that wait: one child may
# happen to accept them all, as connections that are idle need no thread.
my $herd_mpm = <<'CONF';
ServerLimit 2
StartServers 2
ThreadLimit 200
ThreadsPerChild 200
MinSpareThreads 1
MaxSpareThreads 400
MaxRequestWorkers 400
MaxConnectionsPerChild 0
MaxKeepAliveRequests 0
KeepAliveTimeout 60
CONF

my $proxy = <<'CONF';
ProxyPass / @ORIGIN@/
CONF

my $cache_disk = <<"CONF";
CacheRoot "\@ROOT@"
CacheDirLevels 2
CacheDirLength 1
CacheMaxFileSize 100000000
CacheEnable disk /
$proxy
CONF

my $cache_lock = <<"CONF";
CacheLock on
CacheLockPath "\@DIR@/lock"
$cache_disk
CONF

my $recipe = <<"CONF";
SetEnvIfNoCase User-Agent ".*" device=pc
SetEnvIfNoCase User-Agent "Mobile|iPhone|Windows Phone" device=mobile
SetEnvIfNoCase User-Agent "iPad|Tablet|Android(?!.*Mobile)" device=tablet
RequestHeader set X-Device-Type "%{device}e"
Header append Vary X-Device-Type
CacheQuickHandler off
$cache_disk
CONF

# Room for all that a benchmark stores; eviction has one of its own.
my $devcache = <<"CONF";
DevCacheRoot "\@ROOT@"
DevCacheSize \@SIZE@
DevCacheMaxObjects \@OBJECTS@
<Location "/">
    DevCache On
</Location>
<Location "/devcache-status">
    SetHandler devcache-status
</Location>
ProxyPass /devcache-status !
$proxy
CONF
(my $devcache_quick = $devcache) =~ s/DevCache On/DevCache On\n    DevCacheQuick On/;

# A file from the cache, with classes and without; the copy is the same for all of them.
my $classify = <<"CONF";
DevCacheRoot "\@ROOT@"
<Location "/">
    DevCache On
    DevCacheVaryDevice Off
    DevCacheDefaultTTL 6000
</Location>
<Directory "\@DIR@/htdocs">
    Require all granted
</Directory>
CONF

my %httpd = (
    null => [$null . "Null handler\n"],
    'null-quick' => [$null . "Null quick\n"],
    static => ["<Directory \"\@DIR@/htdocs\">\nRequire all granted\n</Directory>\n"],
    proxy => [$proxy],
    cache_disk => [$cache_disk, qw(cache cache_disk)],
    cache_lock => [$cache_lock, qw(cache cache_disk)],
    recipe => [$recipe, qw(cache cache_disk)],
    devcache => [$devcache],
    'devcache-quick' => [$devcache_quick],
    'classify-on' => ["DevCacheClassify On\n$classify"],
    'classify-off' => ["DevCacheClassify Off\n$classify"],
);

sub httpd {
    my ($name, %opt) = @_;
    my ($conf, @modules) = @{ $httpd{$name} };
    my $server = DevCache::Httpd->new(
        modules => [qw(proxy proxy_http headers setenvif), @modules],
        conf => ($opt{herd} ? $herd_mpm : $mpm) . $conf,
        module => $name =~ /^(?:devcache|classify)/ ? "$build/mod_devcache.so" : undef,
        under => $opt{under},
        vars => { ORIGIN => 'http://127.0.0.1:' . ($opt{origin} // 0),
                  SIZE => $opt{size} // '4G', OBJECTS => $opt{objects} // 500_000 });
    if ($name =~ /^(?:static|classify)/) {
        for my $bytes (@{ $opt{bytes} }) {
            mkdir "$server->{dir}/htdocs/$bytes";
            $server->write_file("htdocs/$bytes/0", 'x' x $bytes);
        }
    }
    return $server;
}

# It logs a byte and a newline for each fetch, which is how they are counted.
sub start_origin {
    my $origin = DevCache::Httpd->new(
        modules => [qw(proxy proxy_http headers setenvif)],
        conf => $mpm . $null . "Null handler\nCustomLog \"\@DIR@/fetches\" \".\"\n");
    $origin->start;
    return $origin;
}

# The one whose pages are dear: bench/drip.c. It ends when its input does.
sub start_drip {
    my $self = bless { name => 'drip' }, __PACKAGE__;
    $self->{pid} = open2(my $out, $self->{input}, "$build/bench-drip");
    chomp($self->{port} = <$out> // die "bench-drip failed\n");
    return $self;
}

# --- nginx and Varnish -----------------------------------------------------------------

# Where tools/packages.sh has unpacked them, unless the system has them.
sub program {
    my ($name) = grep { -x } map { "$_/$_[0]" } '/usr/sbin', "$build/peers/usr/sbin";
    return $name // die "no $_[0] here: run tools/packages.sh bench\n";
}

my $nginx_conf = <<'CONF';
daemon off;
@USER@
pid "@DIR@/nginx.pid";
error_log "@DIR@/error.log" warn;
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    sendfile on;
    keepalive_timeout 60;
    keepalive_requests 1000000000;
    default_type text/html;
    client_body_temp_path "@DIR@/body";
    fastcgi_temp_path "@DIR@/fastcgi";
    uwsgi_temp_path "@DIR@/uwsgi";
    scgi_temp_path "@DIR@/scgi";
    proxy_temp_path "@DIR@/proxy";
    proxy_cache_path "@DIR@/cache" levels=1:2 keys_zone=pages:100m max_size=10g
                     inactive=1d use_temp_path=off;
    map $http_user_agent $device {
        default pc;
        "~*iPad|Tablet|Android(?!.*Mobile)" tablet;
        "~*Mobile|iPhone|Windows Phone" mobile;
    }
    upstream origin {
        server 127.0.0.1:@ORIGIN@;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:@PORT@;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Device-Type $device;
            proxy_cache pages;
            proxy_cache_key "$scheme$host$request_uri $device";
            @LOCK@
        }
    }
}
CONF

my $varnish_conf = <<'CONF';
vcl 4.1;

backend default { .host = "127.0.0.1"; .port = "@ORIGIN@"; }

sub vcl_recv {
    set req.http.X-Device-Type = "pc";
    if (req.http.User-Agent ~ "(?i)iPad|Tablet|Android(?!.*Mobile)") {
        set req.http.X-Device-Type = "tablet";
    } elsif (req.http.User-Agent ~ "(?i)Mobile|iPhone|Windows Phone") {
        set req.http.X-Device-Type = "mobile";
    }
}

sub vcl_hash {
    hash_data(req.http.X-Device-Type);
}
CONF

sub fill_in {
    my ($text, %var) = @_;
    $text =~ s/\@([A-Z]+)\@/$var{$1}/g;
    return $text;
}

sub other {
    my ($name, %opt) = @_;
    my $self = bless { name => $name, origin => $opt{origin}, herd => $opt{herd} },
        __PACKAGE__;
    ($self->{port}, $self->{lock}) = DevCache::Httpd::free_port();
    $self->{dir} = File::Temp::tempdir('devcache-bench-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $self->{dir};
    return $self;
}

sub nginx_command {
    my $self = shift;
    my ($user, $group) = DevCache::Httpd::children_run_as();
    DevCache::Httpd::write_file($self, 'nginx.conf', fill_in(
        $nginx_conf, DIR => $self->{dir}, PORT => $self->{port},
        ORIGIN => $self->{origin},
        LOCK => $self->{herd} ? 'proxy_cache_lock on; proxy_cache_lock_timeout 60s;' : '',
        USER => $user ? "user $user $group;" : ''));
    return (program('nginx'), '-p', $self->{dir}, '-e', "$self->{dir}/error.log",
            '-c', "$self->{dir}/nginx.conf");
}

sub varnish_command {
    my $self = shift;
    DevCache::Httpd::write_file($self, 'bench.vcl',
                                fill_in($varnish_conf, ORIGIN => $self->{origin}));
    mkdir "$self->{dir}/varnish";
    return (program('varnishd'), qw(-F -j none), '-n', "$self->{dir}/varnish",
            '-a', "127.0.0.1:$self->{port}", '-f', "$self->{dir}/bench.vcl",
            '-s', 'malloc,4g', '-T', 'none',
            # Pages expire when they say so; enough threads for all who wait.
            $self->{herd} ? qw(-p default_grace=0 -p thread_pool_min=250) : ());
}

sub start {
    my $self = shift;
    my @command = $self->{name} eq 'nginx' ? $self->nginx_command : $self->varnish_command;
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/said";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    wait_until(sub {
        waitpid($self->{pid}, POSIX::WNOHANG()) && $self->{pid}
            and die "$self->{name} does not start, see $self->{dir}\n";
        return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port});
    }) or die "$self->{name} does not answer\n";
    return $self;
}

sub port { return $_[0]{port} }

sub stop {
    my $self = shift;
    my $pid = delete $self->{pid} or return;
    kill TERM => $pid;
    return if wait_until(sub { waitpid($pid, POSIX::WNOHANG()) });
    kill KILL => $pid;
    waitpid $pid, 0;
}

sub remove {
    my $self = shift;
    $self->stop;
    File::Path::remove_tree($self->{dir}) if $self->{dir};
}

# --- all -------------------------------------------------------------------------------

# A peer by its name, not yet started. Options: origin => port, bytes => [sizes of static
# files], size and objects => mod_devcache's, under => [command that runs httpd], herd => 1: set up for
# many who want the same.
sub peer {
    my ($name, %opt) = @_;
    return httpd($name, %opt) if $httpd{$name};
    return other($name, %opt) if $name =~ /^(?:nginx|varnish)$/;
    die "no peer is called \"$name\"\n";
}

1;
