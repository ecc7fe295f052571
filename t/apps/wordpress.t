# SPDX-License-Identifier: Apache-2.0
# t/apps/wordpress.t. WordPress by php-fpm and MariaDB, with the recipe of conf/examples: visitors
# on three devices, with what counters leave in their browsers, members, commenters, an editor.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Attacks;
use DevCache::Host;
use Test::More;

my $host = DevCache::Host->new;
my $wordpress = $host->find('share/wordpress') or plan skip_all => 'no WordPress here: run tools/packages.sh apps';
$host->needs(qw(php php-fpm mariadbd)) or plan skip_all => $host->{why};

my $site = DevCache::Apps->new(
    name => 'wordpress',
    replace => { '/var/www/wordpress' => $host->dir('www'), '/run/php/php-fpm.sock' => $host->socket('php') });
my $url = 'http://127.0.0.1:' . $site->port;

# --- WordPress ----------------------------------------------------------------------------

my $www = $host->copy($wordpress, 'www', grep { -e } map { "$_/twentytwentythree" }
                      "$wordpress/wp-content/themes", "$wordpress/../../../var/lib/wordpress/wp-content/themes");
$host->install('t/apps/wordpress/wp-config.php', 'www/wp-config.php');
$host->install('conf/examples/wordpress-devcache.php', 'www/wp-content/mu-plugins/devcache.php');
$host->write('www/.htaccess', <<'HTACCESS');     # as WordPress writes it
# BEGIN WordPress
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /
RewriteRule ^index\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /index.php [L]
# END WordPress
HTACCESS
my %env = (WP_URL => $url, WP_SOCKET => $host->mariadb, WP_DB_USER => $host->user);
$host->php_run(\%env, 't/apps/wordpress/setup.php', $www) =~ /installed/ or die "not installed\n";
$host->php_fpm('php', env => \%env);
$site->start(modules => [qw(rewrite proxy_fcgi deflate filter dir mime authz_host)]);

# --- rounds -------------------------------------------------------------------------------

my @urls = ('/', '/page/2/', '/page/3/', '/feed/', '/author/admin/', '/category/uncategorized/',
            map { "/post-$_/" } 1 .. 44);
$site->rounds(\@urls);

# --- members, commenters, an editor -------------------------------------------------------

my %mark = (alice => 'Private-ecila', bob => 'Private-bob', eva => 'Private-ave');
sub member {
    my ($name, $device) = @_;
    my $member = $site->visitor($name, device => $device, marks => [$mark{$name}, "$name\@members.test"]);
    my $form = $member->get('/wp-login.php');
    my $in = $member->submit($form, 'loginform', { log => $name, pwd => "$name-password" });
    is $in->{status}, 302, "$name is logged in";
    return $member;
}
my $alice = member(alice => 'mobile');
my $bob = member(bob => 'mobile');
my $eva = member(eva => 'pc');
my $stranger = $site->visitor('stranger', device => 'mobile');
my @some = @urls[0, 1, 5, 8, 20, 45];
for my $page (@some) {
    for my $who ($alice, $bob, $stranger, $alice, $stranger, $eva, $bob) {
        my $answer = $who->get($page);
        $site->shows($answer, qr/\Q$mark{$who->name}/, "$page: " . $who->name . ' sees who is logged in')
            if $who != $stranger && $page !~ /feed/;
    }
}
$site->lacks($stranger->get('/internal/'), qr/For-editors-only/, 'a private post is private');
$site->shows($eva->get('/internal/'), qr/For-editors-only/, '… editors see it');
$site->lacks($stranger->get('/internal/'), qr/For-editors-only/, '… and nobody else');

# A post with a password.
my $knows = $site->visitor('knows', device => 'mobile', marks => ['For-those-who-know-the-password']);
my $form = $knows->get('/secret/');
$knows->submit($form, 'post-password', { post_password => 'sesame' });
$site->shows($knows->get('/secret/'), qr/For-those-who-know/, 'a password opens a post');
$stranger->get('/secret/');
$alice->get('/secret/');

# Comments that wait for approval are shown to who wrote them.
my $carl = $site->visitor('carl', device => 'mobile', marks => ['carl@commenters.test', 'Carls-comment']);
my $page = $carl->get('/post-7/');
$page = $carl->submit($page, 'commentform', {
    author => 'Carl', email => 'carl@commenters.test', url => '', comment => 'Carls-comment',
    'wp-comment-cookies-consent' => 'yes' });
is $page->{status}, 302, 'a comment is taken';
$site->shows($carl->follow($page), qr/Carls-comment/, '… shown to its author while it waits');
$site->shows($carl->get('/post-7/'), qr/carl\@commenters\.test|Carls-comment/, '… who is known by cookies');
$_->get('/post-7/') for $stranger, $bob, $stranger;

# An edit is seen at once, on all devices, and only what it concerns is fetched again.
sub edition {
    my ($path) = @_;
    return map { my $page = $site->visitor('stranger', device => $_)->get($path);
                 ($page->{body} =~ /(\w+) edition/)[0] // '-' } DevCache::Visitor::devices();
}
is_deeply [edition('/post-3/')], [('first') x 3], 'before an edit';
my $nonce = $eva->get('/wp-admin/admin-ajax.php?action=rest-nonce')->{body};
my ($id) = $stranger->get('/wp-json/wp/v2/posts?slug=post-3')->{body} =~ /"id":(\d+)/;
my $saved = $eva->post("/wp-json/wp/v2/posts/$id",
                       { content => '<p>The text of post 3, second edition.</p>' }, 'X-WP-Nonce' => $nonce);
is $saved->{status}, 200, 'eva edits' or diag $saved->{body};
is_deeply [edition('/post-3/')], [('second') x 3], '… and everybody sees it, at once';
like $stranger->get('/post-4/')->header('Cache-Status'), qr/hit/, '… other posts stay';
$site->shows($stranger->get('/feed/'), qr/second edition/, '… lists do not');

# Who has logged out is a stranger again.
$alice->get($alice->link_in($alice->get('/wp-admin/profile.php'), qr/action=logout/));
$site->lacks($alice->get('/'), qr/$mark{alice}/, 'alice has logged out');
like $alice->get('/')->header('Cache-Status'), qr/hit/, '… and is answered from the cache';

DevCache::Attacks::lure($site, $bob, '/', '/post-5/', '/wp-admin/profile.php', '/wp-json/wp/v2/users/me', '/feed/');
DevCache::Attacks::run($site, '/post-9/', cookie => 'wordpress_logged_in_x', more => [
    (map { [$_ => { add => [$_] }] } 'replytocom=1', 'rest_route=/wp/v2/posts', 'preview=true', 'feed=rss2', 's=evil',
     'wp_lang=de_DE', 'customize_changeset_uuid=evil', 'p=1', 'page_id=1', 'attachment_id=1', 'cpage=1', 'embed=true'),
    ['X-WP-Nonce' => {}, 'X-WP-Nonce' => 'evil'], ['a commenter' => {}, Cookie => 'comment_author_evil=evil.example'],
    ['a language' => {}, Cookie => 'wp_lang=de_DE'], ['settings' => {}, Cookie => 'wp-settings-1=evil']]);

$site->finish;
$host->finish;
done_testing;
