# SPDX-License-Identifier: Apache-2.0
package DevCache::Apps;

# A real application behind the module, configured by its recipe in conf/examples, and its
# visitors. Used by t/apps/*.t.
#
#   my $site = DevCache::Apps->new(name => 'wordpress', root => '/var/www/wordpress' ...);
#
# The recipe is taken as it stands there, except for what {replace} says, which is where the
# application lies in the test (folders, ports, sockets), and the site's name.
#
#   $site->start(modules => [...]);      # httpd; the application is up already
#   my $alice = $site->visitor('alice', device => 'mobile', marks => ['alice@example.org']);
#   $site->round('second round', sub { $n-th visitor }, \@urls)
#
# A mark is a text that only pages made for that visitor may have. Every answer that any
# visitor gets is searched for all other visitors' marks; finish() reports what was found.

use strict;
use warnings;
use DevCache::Httpd;
use DevCache::Test;
use DevCache::Visitor;
use FindBin;
use Test::More ();

my $top = "$FindBin::Bin/../..";

sub new {
    my ($class, %opt) = @_;
    my $self = bless { %opt, marks => {}, foreign => [], answers => 0 }, $class;
    return $self;
}

sub file_text {
    my $name = shift;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return <$file>;
}

# The recipe with the places of the test. What is to be replaced has to be there.
sub recipe {
    my $self = shift;
    my $text = file_text("$top/conf/examples/$self->{name}.conf");
    my %replace = ('/var/cache/apache2/devcache' => '@ROOT@', '*:80' => '127.0.0.1:@PORT@',
                   'www.example.com' => '127.0.0.1', '${APACHE_LOG_DIR}' => '@DIR@',
                   %{ $self->{replace} || {} });
    for my $from (sort { length $b <=> length $a } keys %replace) {
        my $n = $text =~ s/\Q$from\E/$replace{$from}/g;
        die "$self->{name}.conf does not speak of $from\n" if !$n && $from =~ /^\//;
    }
    return $text;
}

# The port is chosen by new(), so that applications can be told their URL before it starts.
sub port {
    my $self = shift;
    ($self->{port}, $self->{lock}) = DevCache::Httpd::free_port() if !$self->{port};
    return $self->{port};
}

sub start {
    my ($self, %opt) = @_;
    my $port = $self->port;
    my $conf = "TypesConfig /etc/mime.types\n" . $self->recipe =~ s/\@PORT\@/$port/gr;
    my $t = $self->{t} = DevCache::Test->start("Listen 127.0.0.1:$port\n$conf", module => 'shipped',
                                               origins => 0, %opt);
    $t->watchdog(900);
    return $t;
}

# --- visitors -----------------------------------------------------------------------------

sub visitor {
    my ($self, $name, %opt) = @_;
    $self->{marks}{$_} = $name for @{ delete $opt{marks} || [] };
    return DevCache::Visitor->new(%opt, name => $name, port => $self->{port},
                                  seen => sub { $self->_look(@_) });
}

sub _look {
    my ($self, $visitor, $answer) = @_;
    $self->{answers}++;
    my $text = join "\n", $answer->{body}, map { @$_ } @{ $answer->{list} };
    for my $mark (keys %{ $self->{marks} }) {
        my $owner = $self->{marks}{$mark};
        next if $owner eq $visitor->name || index($text, $mark) < 0;
        push @{ $self->{foreign} }, "$answer->{path}: " . $visitor->name . " got what is for $owner ("
            . ($answer->header('Cache-Status') // 'no Cache-Status') . ')';
    }
}

# What cookie banners and counters leave in everybody's browser.
sub analytics {
    my $n = shift;
    return { _ga => "GA1.1.$n.17000000$n", _ga_ABC123 => "GS1.1.$n", _gid => "GA1.2.$n",
             _fbp => "fb.1.17$n.99$n", _pk_id => "x.$n", _gcl_au => "1.1.$n",
             OptanonConsent => "isGpcEnabled=0&datestamp=$n&consentId=$n" };
}

# … and what campaigns put into links.
sub campaign {
    my ($url, $n) = @_;
    my @tracking = ("utm_source=mail$n&utm_medium=email", "fbclid=IwAR$n", "gclid=Cj0K$n&utm_campaign=x");
    return $url . ($url =~ /\?/ ? '&' : '?') . $tracking[$n % @tracking];
}

# Does the page (not) hold what the pattern says? A page is long: say which one it was instead.
sub shows {
    my ($self, $answer, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::ok($answer->{body} =~ $pattern, $name) || _which($answer);
}

sub lacks {
    my ($self, $answer, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::ok($answer->{body} !~ $pattern, $name) || _which($answer);
}

sub _which {
    my $answer = shift;
    Test::More::diag(join "\n", "$answer->{path}: $answer->{status}", grep { defined }
                     $answer->header('Cache-Status'), substr $answer->{body}, 0, 200);
    return 0;
}

# --- rounds -------------------------------------------------------------------------------

sub _verdict {
    my $status = $_[0]->header('Cache-Status') // '';
    return $status =~ /^devcache; hit/ ? 'hit'
        : $status =~ /fwd=([\w-]+)/ ? $1 : 'none';
}

# Each of the pages on each device. %how: cookies => sub { n } for the n-th request, links =>
# sub { url, n }, browser. The share of hits; what was no hit is counted by why.
sub round {
    my ($self, $name, $urls, %how) = @_;
    my (%count, %example, $n, $wrong);
    for my $device (DevCache::Visitor::devices()) {
        for my $url (@$urls) {
            $n++;
            my $visitor = $self->visitor("stranger", device => $device, browser => $how{browser} // 0,
                                         cookies => $how{cookies} ? $how{cookies}->($n) : {});
            my $answer = $visitor->get($how{links} ? $how{links}->($url, $n) : $url);
            $wrong //= "$url: $answer->{status}" if $answer->{status} != 200;
            my $verdict = _verdict($answer);
            $count{$verdict}++;
            $example{$verdict} //= "$answer->{path}: " . ($answer->header('Cache-Status') // '-');
        }
    }
    my $share = 100 * ($count{hit} // 0) / $n;
    Test::More::diag(sprintf '%s, %s: %d of %d are hits, %.1f %%', $self->{name}, $name,
                     $count{hit} // 0, $n, $share);
    for (sort keys %example) { Test::More::note("$_: $count{$_}, such as $example{$_}") }
    Test::More::ok(!$wrong, "$name: all pages are there") or Test::More::diag($wrong);
    return $share;
}

# First round, second round, and the same by other browsers, which accept other codings, and
# with what cookies and links carry nowadays.
sub rounds {
    my ($self, $urls) = @_;
    $self->round('first round', $urls);
    for (['second round'], ['by other browsers', browser => 1],
         ['with analytics cookies', browser => 1, cookies => \&analytics],
         ['with utm parameters', browser => 1, links => \&campaign],
         ['with both', cookies => \&analytics, links => \&campaign]) {
        my ($name, %how) = @$_;
        my $share = $self->round($name, $urls, %how);
        Test::More::cmp_ok($share, '>=', 98, "$name: at least 98 % hits");
    }
}

sub finish {
    my $self = shift;
    my $n = @{ $self->{foreign} };
    Test::More::is($n, 0, "nobody got another's page, in $self->{answers} answers")
        or Test::More::diag(@{ $self->{foreign} }[0 .. ($n > 10 ? 9 : $n - 1)]);
    $self->{t}->finish;
}

1;
