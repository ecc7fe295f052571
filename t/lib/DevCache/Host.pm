# SPDX-License-Identifier: Apache-2.0
package DevCache::Host;

# What an application needs beside httpd, below one temporary folder: its files, php-fpm, a
# database, node. No service of the system is started or spoken to. What the system does not
# have, tools/packages.sh apps has unpacked below build/peers.
#
#   my $host = DevCache::Host->new;
#   $host->find('share/wordpress');               # of /usr or build/peers/usr; undef: none
#   $host->tree('share/mediawiki');               # the same, readable by all
#   $host->needs(qw(php php-fpm mariadbd)) or plan skip_all => $host->{why};
#   $host->copy($from, 'www'); $host->write('www/x', $text); $host->install($file, 'www/x');
#   $host->php_fpm('php', env => {...});          # listens at $host->socket('php')
#   $host->php_run({ENV...}, $script, @arguments);   # what it prints
#   $host->mariadb;                               # starts it; its socket
#   $host->npm('nextjs');                         # where it has been built; undef: {why} not
#   $host->node($name, $cwd, $port, {ENV...}, @arguments);
#   $host->finish;

use strict;
use warnings;
use DevCache::Apps;
use DevCache::Httpd;
use DevCache::Service;
use File::Path ();
use File::Temp ();
use FindBin;
use POSIX ();
use Test::More ();

my $top = "$FindBin::Bin/../..";
my $peers = POSIX::getcwd() . '/build/peers';

sub new {
    my $class = shift;
    my $self = bless { dir => File::Temp::tempdir('devcache-app-XXXXXXXX', TMPDIR => 1),
                       services => [], owner => $$ }, $class;
    chmod 0755, $self->{dir};
    ($self->{children}, $self->{group}) = DevCache::Httpd::children_run_as();
    $self->give(mkdir_of("$self->{dir}/run"));
    return $self;
}

sub mkdir_of { mkdir $_[0] or die "$_[0]: $!\n"; return $_[0] }

sub dir    { my ($self, $name) = @_; return defined $name ? "$self->{dir}/$name" : $self->{dir} }
sub socket { my ($self, $name) = @_; return "$self->{dir}/run/$name.sock" }
sub user   { return scalar getpwuid $> }

# To whom the applications run as.
sub give {
    my ($self, $path) = @_;
    return unless $self->{children};
    system('chown', '-R', "$self->{children}:$self->{group}", $path) == 0 or die "chown $path\n";
}

sub find {
    my ($self, $name) = @_;
    my ($found) = grep { -e } map { "$_/$name" } '/usr', "$peers/usr";
    return $found;
}

# The same, where the server's children and php-fpm can read it: a copy if they could not.
sub tree {
    my ($self, $name) = @_;
    my $found = $self->find($name) or return;
    my $at = '';
    for my $part (split m{/}, $found =~ s{^/}{}r) {
        $at .= "/$part";
        return $self->copy($found, $name =~ s{.*/}{}r) if !((stat $at)[2] & 001);
    }
    return $found;
}

my %program = (php => [qw(php8* php)], 'php-fpm' => [qw(php-fpm8* php-fpm)], mariadbd => ['mariadbd'],
               node => ['node', 'nodejs']);
sub needs {
    my ($self, @names) = @_;
    for my $name (@names) {
        $self->{program}{$name} = DevCache::Service::find(@{ $program{$name} }) and next;
        $self->{why} = "no $name here: run tools/packages.sh apps";
        return 0;
    }
    return 1;
}

# --- files --------------------------------------------------------------------------------

sub copy {
    my ($self, $from, $to) = @_;
    system('cp', '-rL', '--no-preserve=mode,ownership', $from, "$self->{dir}/$to");
    -d "$self->{dir}/$to" or die "cp $from failed\n";
    return "$self->{dir}/$to";
}

sub write {
    my ($self, $name, $text) = @_;
    my $path = "$self->{dir}/$name";
    File::Path::make_path($path =~ s{/[^/]*$}{}r);
    unlink $path;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
    return $path;
}

sub install {
    my ($self, $from, $to) = @_;
    open my $file, '<', "$top/$from" or die "$from: $!\n";
    local $/;
    return $self->write($to, <$file>);
}

# --- programs -----------------------------------------------------------------------------

sub service {
    my ($self, %opt) = @_;
    push @{ $self->{services} }, my $service = DevCache::Service->start(dir => "$self->{dir}/run", %opt);
    return $service;
}

sub php_fpm {
    my ($self, $name, %opt) = @_;
    my %env = %{ $opt{env} || {} };
    my $socket = $self->socket($name);
    my $as = $self->{children} ? "user = $self->{children}\ngroup = $self->{group}" : '';
    $self->write("run/$name.conf", join "\n", '[global]', "error_log = $self->{dir}/run/$name.log",
                 "[$name]", "listen = $socket", 'listen.mode = 0666', $as, 'pm = static',
                 'pm.max_children = 4', 'catch_workers_output = yes', 'php_admin_flag[log_errors] = on',
                 (map { qq{env[$_] = "$env{$_}"} } sort keys %env), '');
    $self->service(name => $name, env => $self->_php_env,
                   command => [$self->{program}{'php-fpm'}, '-F', '-c', "$self->{dir}/run/php.ini",
                               '-y', "$self->{dir}/run/$name.conf"],
                   ready => sub { -S $socket });
}

# The extensions are those that php's packages have set up for the command line.
sub _php_env {
    my $self = shift;
    my ($scan) = reverse sort glob '/etc/php/*/cli/conf.d';
    $self->write('run/php.ini', "memory_limit = 256M\nsendmail_path = /bin/true\nexpose_php = Off\n"
                 . "session.save_path = $self->{dir}/run\nopcache.enable = 1\n");
    return { PHP_INI_SCAN_DIR => $scan // '', PHPRC => "$self->{dir}/run/php.ini" };
}

sub php_run {
    my ($self, $env, $script, @arguments) = @_;
    local %ENV = (%ENV, %$env, %{ $self->_php_env });
    my $path = $script =~ m{^/} ? $script : "$top/$script";
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $self->{program}{php}, $path, @arguments
        or die "php: $!\n";
    my $said = do { local $/; <$out> } // '';
    close $out;
    Test::More::diag($said) if $?;
    return $said;
}

# A database server of this test's own, without network; whoever runs the test is its root.
sub mariadb {
    my $self = shift;
    my $data = mkdir_of("$self->{dir}/mariadb");
    my ($installer) = grep { defined } $self->find('bin/mariadb-install-db');
    my ($base) = $self->{program}{mariadbd} =~ m{^(.*)/sbin/};
    my @common = ("--datadir=$data", '--user=' . $self->user);
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $installer, '--no-defaults', @common,
        "--basedir=$base", '--auth-root-authentication-method=socket', '--auth-root-socket-user=' . $self->user,
        '--skip-test-db', '--skip-name-resolve' or die "$installer: $!\n";
    my $said = do { local $/; <$out> } // '';
    close $out;
    die "mariadb-install-db: $said\n" if $?;
    my $socket = $self->socket('mariadb');
    $self->service(name => 'mariadbd', ready => sub { -S $socket }, command => [
        $self->{program}{mariadbd}, '--no-defaults', @common, "--basedir=$base", "--socket=$socket",
        '--skip-networking', '--innodb-buffer-pool-size=64M', '--innodb-flush-log-at-trx-commit=0',
        "--pid-file=$self->{dir}/run/mariadb.pid"]);
    return $socket;
}

# An application of t/apps as `make test-apps` has built it, with its modules; undef: it could not.
sub npm {
    my ($self, $name) = @_;
    my $built = POSIX::getcwd() . "/build/apps/$name";
    $self->needs('node') or return;
    return $built if -e "$built/built";
    $self->{why} = -s "$built/why" ? DevCache::Apps::file_text("$built/why") : 'not built: run make test-apps';
    return;
}

sub node {
    my ($self, $name, $cwd, $port, $env, @arguments) = @_;
    $self->service(name => $name, cwd => $cwd, env => $env, patience => 60,
                   command => [$self->{program}{node}, @arguments],
                   ready => sub { DevCache::Service::listens($port) });
}

# --- end ----------------------------------------------------------------------------------

sub finish {
    my $self = shift;
    $_->stop for reverse @{ delete $self->{services} || [] };
    my $dir = delete $self->{dir} or return;
    if (Test::More->builder->is_passing) { File::Path::remove_tree($dir) }
    else                                 { Test::More::diag("kept: $dir") }
}

sub DESTROY {
    my $self = shift;
    local $?;
    $self->finish if $self->{owner} == $$;
}

1;
