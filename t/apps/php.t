# SPDX-License-Identifier: Apache-2.0
# t/apps/php.t. What Drupal, Magento and plain PHP sessions do with cookies, by a small program and php-fpm,
# with the recipe for Magento.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Host;
use Test::More;

my $host = DevCache::Host->new;
$host->needs(qw(php php-fpm)) or plan skip_all => $host->{why};
my $site = DevCache::Apps->new(
    name => 'magento',
    replace => { '/var/www/magento/pub' => $host->dir('www'), '/run/php/php-fpm.sock' => $host->socket('php') });
$host->install('t/apps/php/index.php', 'www/index.php');
$host->write('www/.htaccess', "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule .* index.php [L]\n");
$host->php_fpm('php');
$site->start(modules => [qw(rewrite proxy_fcgi deflate filter dir mime authz_host headers setenvif)]);

$site->rounds([map { ("/drupal/$_", "/magento/$_") } 1 .. 25]);

my %mark = (alice => 'Private-retail', bob => 'Private-wholesale');
my $stranger = $site->visitor('stranger', device => 'mobile');
for my $kind (qw(drupal magento plain)) {
    my ($alice, $bob) = map { $site->visitor($_, device => 'mobile', marks => [$mark{$_}]) } qw(alice bob);
    $alice->get("/$kind/login?login=retail");
    $bob->get("/$kind/login?login=wholesale");
    for my $page ("/$kind/1", "/$kind/2", "/$kind/new", "/$kind/account") {
        for my $who ($alice, $stranger, $bob, $alice, $stranger, $bob) {
            my $answer = $who->get($page);
            if ($who == $stranger) { $site->lacks($answer, qr/Private/, "$page: a stranger is nobody") }
            else { $site->shows($answer, qr/$mark{$who->name}/, "$page: " . $who->name . ' is known') }
        }
    }
    my $status = $site->visitor('stranger', device => 'mobile')->get("/$kind/1")->header('Cache-Status');
    if ($kind eq 'plain') { unlike $status, qr/hit/, 'a session for everybody: nothing is stored' }
    else                  { like $status, qr/hit/, "$kind: strangers are answered from the cache" }
    is $bob->get("/$kind/1")->header('Cache-Status') =~ /hit/ || 0, $kind eq 'magento' || 0,
        "$kind: " . ($kind eq 'magento' ? 'so are groups' : 'members are not');
}

# Nobody gets into another group by sending the field.
my $spy = $site->visitor('stranger', device => 'mobile');
$site->lacks($spy->get('/magento/1', 'X-Magento-Vary' => $_), qr/Private/, 'a group is not chosen by a field')
    for map { $_->{'X-Magento-Vary'} // 'x' } map { $_->get('/magento/login?login=retail'); $_->cookies }
        $site->visitor('alice', device => 'mobile');

# Blocks with a ttl are parts, whoever asks.
for my $device (DevCache::Visitor::devices()) {
    my @menu = map { ($_->{body} =~ /<nav>menu (\S+)<\/nav>/)[0] } map {
        my $visitor = $site->visitor('stranger', device => $device);
        ($visitor->get("/magento/$_"), $visitor->get("/magento/$_", 'X-Forwarded-Proto' => 'https'), $visitor->post("/magento/$_", {}))
    } 3, 4;
    is scalar(grep { defined } @menu), 6, "a menu in each page, for $device";
    is $menu[0], $menu[3], '... one for all of them';
}

# What Magento purges with.
my $tags = sub { $site->visitor('stranger')->ask(PURGE => '/', 'X-Magento-Tags-Pattern' => "((^|,)$_[0](,|\$))") };
is $tags->('cat_p_1')->{status}, 200, 'a product is purged';
unlike $stranger->get('/magento/1')->header('Cache-Status'), qr/hit/, '… it is fetched again';
like $stranger->get('/magento/2')->header('Cache-Status'), qr/hit/, '… others stay';
is $site->visitor('stranger')->ask(PURGE => '/', 'X-Magento-Tags-Pattern' => '.*')->{status}, 200, 'all is purged';
unlike $stranger->get('/magento/2')->header('Cache-Status'), qr/hit/, '… all is fetched again';

$site->finish;
$host->finish;
done_testing;
