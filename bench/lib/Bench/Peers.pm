# SPDX-License-Identifier: Apache-2.0
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

our @EXPORT_OK = qw(peer start_origin start_drip srcache_lacks);

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

# The same with a Redis, for what that costs requests; and one that is purged.
my $tier = "DevCacheTier \@REDIS@\nDevCacheTierUse locks\n$devcache";
my $machine = <<"CONF";
<Location "/">
    DevCachePurge On
    Require local
</Location>
$tier
CONF

# Machines that share what they store: on one port, each on an address of its own.
my $sharing = "Listen \@ADDRESS@\n$machine";

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

# For HTTP/2 over TLS, and HTTP/1.1 beside it.
my $tls = <<'CONF';
SSLEngine on
SSLSessionCache none
SSLCertificateFile "@DIR@/cert.pem"
SSLCertificateKeyFile "@DIR@/key.pem"
Protocols h2 http/1.1
CONF

sub certificate {
    my ($dir) = @_;
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
                  . "-keyout '$dir/key.pem' -out '$dir/cert.pem' 2>/dev/null") == 0
        or die "openssl makes no certificate\n";
    chmod 0644, "$dir/key.pem";
}

my %httpd = (
    null => [$null . "Null On\n"],
    static => ["<Directory \"\@DIR@/htdocs\">\nRequire all granted\n</Directory>\n"],
    proxy => [$proxy],
    cache_disk => [$cache_disk, qw(cache cache_disk)],
    cache_lock => [$cache_lock, qw(cache cache_disk)],
    recipe => [$recipe, qw(cache cache_disk)],
    devcache => [$devcache],
    tier => [$tier],
    machine => [$machine, 'authz_host'],
    sharing => [$sharing, 'authz_host'],
    'classify-on' => ["DevCacheClassify On\n$classify"],
    'classify-off' => ["DevCacheClassify Off\n$classify"],
);

# As many virtual hosts and Locations that nobody asks for.
sub crowd {
    my (%opt) = @_;
    return join '', (map { "<Location \"/nobody/$_\">\nHeader set X-Nobody $_\n</Location>\n" }
                         1 .. ($opt{locations} // 0)),
        (map { "<VirtualHost *:\@PORT@>\nServerName h$_.example\n</VirtualHost>\n" }
             1 .. ($opt{vhosts} // 0));
}

sub httpd {
    my ($name, %opt) = @_;
    my ($conf, @modules) = @{ $httpd{$name} };
    my $server = DevCache::Httpd->new(
        modules => [qw(proxy proxy_http headers setenvif), @modules,
                    $opt{tls} ? qw(ssl http2) : (), $opt{h2c} ? 'http2' : ()],
        conf => ($opt{herd} ? $herd_mpm : $mpm) . ($opt{tls} ? $tls : $opt{h2c} ? "Protocols h2c\n" : '')
            . $conf . crowd(%opt),
        module => $name =~ /^(?:devcache|classify|tier|machine|sharing)/ ? "$build/mod_devcache.so" : undef,
        under => $opt{under},
        vars => { REDIS => $opt{redis} // 'redis://127.0.0.1:1', ADDRESS => $opt{address} // '127.0.0.1:1', ORIGIN => 'http://127.0.0.1:' . ($opt{origin} // 0),
                  SIZE => $opt{size} // '4G', OBJECTS => $opt{objects} // 500_000 });
    certificate($server->{dir}) if $opt{tls};
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
        conf => $mpm . $null . "Null On\nCustomLog \"\@DIR@/fetches\" \".\"\n");
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
        listen 127.0.0.1:@PORT@ @TLS@
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

# The work of machines that share what they store: nginx's own cache on the machine, behind it
# srcache, which asks a Redis before the origin and puts there what the origin has answered.
# Debian has no module that speaks to Redis, but its client in Lua.
my $srcache_server = <<'CONF';
    client_body_buffer_size 1m;
    lua_package_path "@LUA@/?.lua;;";
    server {
        listen unix:@DIR@/behind;
        location / {
            set $key $host$request_uri:$http_x_device_type;
            srcache_fetch GET /redis key=$key;
            srcache_store PUT /redis key=$key&seconds=$srcache_expire;
            srcache_store_max_size 512k;
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header Accept-Encoding "";
        }
        location = /redis {
            internal;
            content_by_lua_block {
                local redis = require "nginx.redis"
                local red = redis:new()
                red:set_timeout(50)
                if not red:connect("127.0.0.1", @REDIS@) then
                    return ngx.exit(502)
                end
                local key = "nginx:" .. ngx.var.arg_key
                if ngx.req.get_method() == "GET" then
                    local found = red:get(key)
                    red:set_keepalive(60000, 64)
                    if not found or found == ngx.null then
                        return ngx.exit(404)
                    end
                    ngx.print(found)
                else
                    ngx.req.read_body()
                    red:setex(key, ngx.var.arg_seconds, ngx.req.get_body_data())
                    red:set_keepalive(60000, 64)
                end
            }
        }
    }
CONF

# The files of Debian's packages: as installed, or as unpacked.
my @srcache_modules = map { "lib/nginx/modules/$_.so" } qw(ndk_http_module ngx_http_lua_module ngx_http_srcache_filter_module);
my @srcache_files = (@srcache_modules, map { "share/lua/5.1/$_.lua" } qw(nginx/redis resty/core resty/lrucache));

sub in_usr {
    my ($path) = @_;
    my ($found) = grep { -e } map { "$_/$path" } '/usr', "$build/peers/usr";
    return $found;    # one value, also where there is none
}

# What is not there; "": it can be compared with.
sub srcache_lacks { return join ', ', grep { !in_usr($_) } 'sbin/nginx', @srcache_files }

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
    $text =~ s/\@([A-Z]+)\@/$var{$1} \/\/ die "no $1\n"/ge;
    return $text;
}

sub other {
    my ($name, %opt) = @_;
    my $self = bless { name => $name, map { $_ => $opt{$_} } qw(origin herd tls redis) },
        __PACKAGE__;
    ($self->{port}, $self->{lock}) = DevCache::Httpd::free_port();
    $self->{dir} = File::Temp::tempdir('devcache-bench-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $self->{dir};
    certificate($self->{dir}) if $self->{tls};
    return $self;
}

sub nginx_command {
    my $self = shift;
    my ($user, $group) = DevCache::Httpd::children_run_as();
    my $text = $nginx_conf;
    if ($self->{name} eq 'srcache') {
        $text =~ s/proxy_pass http:\K\S+(?=;\n)/\/\/unix:$self->{dir}\/behind:/;
        $text =~ s/^}\n\z/$srcache_server}\n/m;
        $text = join('', map { 'load_module ' . in_usr($_) . ";\n" } @srcache_modules) . $text;
    }
    DevCache::Httpd::write_file($self, 'nginx.conf', fill_in(
        $text, LUA => in_usr('share/lua/5.1'), REDIS => $self->{redis} // 0, DIR => $self->{dir}, PORT => $self->{port},
        ORIGIN => $self->{origin},
        TLS => $self->{tls} ? "ssl http2;\nssl_certificate $self->{dir}/cert.pem;\n"
                              . "ssl_certificate_key $self->{dir}/key.pem;" : ';',
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
    my @command = $self->{name} =~ /^(?:nginx|srcache)$/ ? $self->nginx_command : $self->varnish_command;
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/said";
        open STDERR, '>&', \*STDOUT;
        $ENV{LD_LIBRARY_PATH} = join ':', glob "$build/peers/usr/lib/*-linux-*"; # of Lua
        POSIX::setsid(); # as httpd: the kernel shares processors among sessions first
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
# many who want the same, vhosts and locations => how many more of these, tls => 1: https, with HTTP/2; h2c => 1: HTTP/2 without
# TLS.
sub peer {
    my ($name, %opt) = @_;
    return httpd($name, %opt) if $httpd{$name};
    return other($name, %opt) if $name =~ /^(?:nginx|srcache|varnish)$/;
    die "no peer is called \"$name\"\n";
}

1;
