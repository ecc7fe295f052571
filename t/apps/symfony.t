# SPDX-License-Identifier: Apache-2.0
# t/apps/symfony.t. Symfony by php-fpm, with the recipe of conf/examples: pages that render_ssi and
# render_esi have left gaps in, parts with lifetimes of their own, members, purges.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Attacks;
use DevCache::Host;
use Test::More;

my $host = DevCache::Host->new;
$host->find('share/php/Symfony/Bundle/TwigBundle') or plan skip_all => 'no Symfony here: run tools/packages.sh apps';
$host->needs(qw(php php-fpm)) or plan skip_all => $host->{why};
my $site = DevCache::Apps->new(
    name => 'symfony',
    replace => { '/var/www/symfony/public' => $host->dir('public'), '/run/php/php-fpm.sock' => $host->socket('php') });

# --- Symfony ------------------------------------------------------------------------------

my $app = 't/apps/symfony';
$host->install("$app/index.php", 'public/index.php');
$host->install("$app/$_.php", "src/$_.php") for qw(Kernel Pages);
$host->install("$app/framework.yaml", 'config/framework.yaml');
$host->install("$app/templates/$_.html.twig", "templates/$_.html.twig")
    for qw(shop part mine failing inside frame both hinclude);
$host->write('var/.keep', '');
$host->give($host->dir('var'));
$host->write('run/asked', '');
$host->give($host->dir('run'));
$host->php_fpm('php', env => { APP_ASKED => $host->dir('run/asked'), APP_NOW => $host->dir('run/now') });
my $t = $site->start(module => 'testing', modules => [qw(proxy_fcgi deflate filter dir mime authz_host)]);

sub now_is { my $n = DevCache::Apps::file_text($t->dir . '/clock') =~ /=0*(\d+)/ ? $1 : die; $host->write('run/now', $n) }
sub later { $t->clock_advance($_[0]); now_is() }
# How often each controller was asked since the last question.
my %before;
sub asked {
    my %now;
    $now{$_}++ for split /\n/, DevCache::Apps::file_text($host->dir('run/asked'));
    my %new = map { $_ => $now{$_} - ($before{$_} // 0) } keys %now;
    %before = %now;
    return join ' ', map { "$_=$new{$_}" } grep { $new{$_} } sort keys %new;
}
my $said = qr/a\/b c\+d&amp;e=ä&#039;f\?g#h%20i~ x y&amp;z/;
my $stranger = $site->visitor('stranger', device => 'mobile');
$t->expect_log(qr/AH01071: .*(?:NotFound|AccessDenied|TypeError)/, qr/DC0320: compose: .*broken cannot be had: 404/);

# --- parts --------------------------------------------------------------------------------

$t->clock_stop;
now_is();
for my $how (qw(ssi esi)) {
    subtest $how => sub {
        asked();
        for my $what ('a miss', 'a hit') {
            my $r = $stranger->get("/$how/shop/1");
            $site->shows($r, qr/Shop 1 on mobile.*\[ticker \d+ $said\].*\[menu for mobile\]/s, "$what: page and parts");
            $site->lacks($r, qr/<!--#|<esi:/, "$what: no gap is left");
            is $r->header('Surrogate-Control'), undef, "$what: that is not told to visitors";
            is $r->header('Cache-Control'), 'public, max-age=0, s-maxage=1', "$what: fresh as the least of them";
            like $r->header('Cache-Status'), $what eq 'a hit' ? qr/; hit.*2 parts"/ : qr/fwd=uri-miss.*2 parts"/, $what;
        }
        is asked(), "/$how/shop/1=1" . ($how eq 'ssi' ? ' menu=1' : '') . ' ticker=1', 'each was asked for once';
        later(1800);
        $stranger->get("/$how/shop/1");
        asked();
        for (1 .. 10) {
            later(2);
            $stranger->get("/$how/shop/1") for 1 .. 3;
        }
        is asked(), 'ticker=10', 'one of a second, and all else of an hour';
        later(3600);
        $stranger->get("/$how/inside");
        $site->shows($stranger->get("/$how/inside"), qr/outer <div>framed \[menu for mobile\].*\[ticker \d+  \]/s,
                     'a part of a part, and one by its route');
        my $r = $stranger->get("/$how/failing");
        $site->shows($r, $how eq 'esi' ? qr/before\s+\[menu for mobile\]\s+after/ : qr/before\s+after/, 'one that fails');
        like $r->header('Cache-Control'), qr/no-store/, '... nobody keeps';
    };
}


# Without anybody who fills gaps Symfony leaves none: a range, a form. And HEAD.
$site->shows($stranger->post('/ssi/shop/2', {}), qr/Shop 2 on mobile.*\[ticker \d+ $said\]/s, 'POST');
is $stranger->ask(HEAD => '/ssi/shop/2')->{status}, 200, 'HEAD';
$site->shows($stranger->get('/ssi/shop/2', 'Surrogate-Capability' => 'evil="ESI/1.0"'), qr/\[ticker/, 'a surrogate of one\'s own');
# What is for browsers stays theirs, and a dialect that the page does not name is text.
$site->shows($stranger->get('/hinclude'), qr/<hx:include src="\/_fragment\?_hash=[^"]+">Loading/, 'hinclude is left alone') for 1, 2;
$site->shows($stranger->get('/both'), qr/\[menu for mobile\] <esi:include /, 'both in one page: Symfony names one alone');
# Symfony's own cache beside this one: it fills what we would.
asked();
$site->shows($stranger->get('/http-cache/shop'), qr/Shop 0 on mobile.*\[ticker \d+ $said\]/s, 'HttpCache before us') for 1, 2;
like asked(), qr{^/http-cache/shop=1 }, '... the page is fetched once';

# --- signed URLs --------------------------------------------------------------------------

my ($signed) = $stranger->get('/hinclude')->{body} =~ /src="([^"]+)"/;
$signed =~ s/&amp;/&/g;
is $stranger->get($signed)->{status}, 200, 'a signed URL for itself';
is $stranger->get($signed =~ s/(_hash=\w)\w/$1_/r)->{status}, 403, '... is not made by anybody';
is $stranger->get("$signed&utm_source=x")->{status}, 403, '... and is the whole query';
is $stranger->get($signed =~ s/\?(_hash=[^&]*)&(.*)/?$2&$1/r)->{status}, 200, '... in any order';

# --- whose page ---------------------------------------------------------------------------

my @urls = map { my $how = $_; ("/$how/inside", map { "/$how/shop/$_" } 1 .. 24) } qw(ssi esi);
$site->rounds(\@urls);
$site->shows($site->visitor('stranger', device => $_)->get('/ssi/shop/3'), qr/Shop 3 on $_.*menu for $_\]/s, "page and parts for $_")
    for DevCache::Visitor::devices();

my %mark = (alice => 'Private-ecila', bob => 'Private-bob');
sub member {
    my ($name) = @_;
    my $member = $site->visitor($name, device => 'mobile', marks => [$mark{$name}]);
    $site->shows($member->follow($member->post('/login', { user => $mark{$name} })), qr/basket of $mark{$name}\]/, "$name logs in");
    return $member;
}
my ($alice, $bob) = map { member($_) } qw(alice bob);
for my $page ('/ssi/mine/1', '/ssi/mine/2', '/esi/mine/1', '/esi/mine/2') {
    asked();
    for my $who ($alice, $bob, $stranger, $alice, $stranger, $bob) {
        my $r = $who->get($page);
        $site->shows($r, qr/basket of ${\($mark{$who->name} \/\/ 'nobody')}\]/, "$page: " . $who->name . ' is known');
        like $r->header('Cache-Control'), qr/^private/, '... and it is his page';
    }
    like asked(), qr{^(?:/ssi/mine/2=1 |/esi/mine/[12]=1 )?basket=6$}, "$page: the part was asked for each time";
}
for my $who ($stranger, $alice, $stranger, $bob, $stranger, $alice) {
    $site->shows($who->get('/hello'), qr/Hello ${\($mark{$who->name} \/\/ 'stranger')}/, 'a page with Vary: Cookie: for ' . $who->name);
}
is asked(), 'hello=4', '... strangers share one';

# --- purges -------------------------------------------------------------------------------

sub ticker { return map { $site->visitor('stranger', device => $_)->get($_[0])->{body} =~ /\[ticker (\d+)/ } DevCache::Visitor::devices() }
my @old = ticker('/ssi/shop/4');
asked();
is $stranger->ask(PURGE => '/', 'Cache-Tag' => 'ticker')->{status}, 200, 'a part is purged by its tag';
is_deeply [ticker('/ssi/shop/4')], [ticker('/esi/shop/4')], '... the same for all again';
my @new = ticker('/ssi/shop/4');
cmp_ok $new[$_], '>', $old[$_], '... the new one' for 0 .. 2;
is asked(), 'ticker=3', '... one for each device, and the pages stay';
is $stranger->ask(PURGE => '/', 'Cache-Tag' => 'shop-4')->{status}, 200, 'pages are purged by theirs';
$stranger->get("/$_/shop/4") for qw(ssi esi);
is asked(), '/esi/shop/4=1 /ssi/shop/4=1', '... and the parts stay';

DevCache::Attacks::lure($site, $bob, '/ssi/mine/5', '/esi/mine/6', '/ssi/shop/5');
DevCache::Attacks::run($site, '/ssi/shop/9', cookie => 'PHPSESSID', more => [
    (map { ["$_=$signed" => { add => [$_] }] } '_path=evil', '_hash=evil', '_format=json', '_locale=de'),
    ['Surrogate-Capability' => {}, 'Surrogate-Capability' => 'evil="SSI/1.0"'],
    ['the part' => { path => sub { $signed } }], ['the part by HEAD' => { path => sub { $signed }, method => 'HEAD' }],
    ['a bad signature' => { path => sub { "$signed&x=1" } }]]);

$site->finish;
$host->finish;
done_testing;
