# SPDX-License-Identifier: Apache-2.0
# t/apps/mediawiki.t. MediaWiki by php-fpm and SQLite, with the recipe of conf/examples: visitors on
# three devices, with what counters leave in their browsers, members, an editor.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use DevCache::Apps;
use DevCache::Attacks;
use DevCache::Host;
use DevCache::Test;
use Test::More;

my $host = DevCache::Host->new;
my $wiki = $host->tree('share/mediawiki') or plan skip_all => 'no MediaWiki here: run tools/packages.sh apps';
$host->needs(qw(php php-fpm)) or plan skip_all => $host->{why};
my $site = DevCache::Apps->new(
    name => 'mediawiki',
    replace => { '/usr/share/mediawiki' => $wiki, '/run/php/php-fpm.sock' => $host->socket('php'),
                 '/var/www/html' => $host->dir('run') });
my $url = 'http://127.0.0.1:' . $site->port;

# --- MediaWiki ----------------------------------------------------------------------------

$host->write("$_/.keep", '') for qw(data cache images);
my @install = ("$wiki/maintenance/install.php", '--dbtype=sqlite', '--dbpath=' . $host->dir('data'),
               '--confpath=' . $host->dir, "--server=$url", '--scriptpath=/w', '--lang=en',
               '--pass=a-long-password-of-admin', 'Test wiki', 'Admin');
my $said = $host->php_run({ MW_CONFIG_FILE => '' }, @install);
my $settings = $host->dir('LocalSettings.php');
-s $settings or die "not installed: $said\n";
my $more = DevCache::Apps::file_text("$FindBin::Bin/mediawiki/settings.php")
    =~ s/127\.0\.0\.1:80/'127.0.0.1:' . $site->port/er =~ s/\@DIR\@/$host->dir/ger;
$host->write('LocalSettings.php', DevCache::Apps::file_text($settings) . $more);
my %env = (MW_CONFIG_FILE => $settings);

my $pages = join '', map { <<"PAGE" } 1 .. 48;
<page><title>Page $_</title><ns>0</ns><revision><timestamp>2026-01-01T00:00:00Z</timestamp>
<contributor><username>Admin</username></contributor><model>wikitext</model><format>text/x-wiki</format>
<text xml:space="preserve">The text of page $_, first edition. [[Page 1]] [[Category:All]]</text></revision></page>
PAGE
$pages .= $pages =~ s/<\/page>.*/<\/page>\n/sr =~ s/Page 1<\/title><ns>0/Category:All<\/title><ns>14/r;
$host->write('pages.xml', qq{<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" }
             . qq{xml:lang="en">$pages</mediawiki>});
$host->php_run(\%env, "$wiki/maintenance/importDump.php", '--no-updates', $host->dir('pages.xml'));
my %name = (alice => 'Alice Private-ecila', bob => 'Bob Private-bob', eva => 'Eva');
$host->php_run(\%env, "$wiki/maintenance/createAndPromote.php", $name{$_}, "$_-long-password-1") for sort keys %name;
$host->give($host->dir($_)) for qw(data cache images);
$host->php_fpm('php', env => \%env);
$site->start(modules => [qw(rewrite proxy_fcgi deflate filter dir mime authz_host)]);

# --- rounds -------------------------------------------------------------------------------

my @urls = ('/wiki/Main_Page', '/wiki/Category:All', map { "/wiki/Page_$_" } 1 .. 48);
$site->rounds(\@urls);

# --- members, an editor -------------------------------------------------------------------

sub member {
    my ($name, $device, @marks) = @_;
    my $member = $site->visitor($name, device => $device, marks => \@marks);
    my $form = $member->get('/w/index.php?title=Special:UserLogin');
    my $in = $member->submit($form, 'userlogin', { wpName => $name{$name}, wpPassword => "$name-long-password-1" });
    ok $in->{status} == 302, "$name is logged in" or diag $in->{status};
    return $member;
}
my $alice = member('alice', 'mobile', 'Private-ecila');
my $bob = member('bob', 'mobile', 'Private-bob');
my $eva = member('eva', 'pc');
my $stranger = $site->visitor('stranger', device => 'mobile');
for my $page (@urls[0, 1, 5, 8, 20, 45]) {
    for my $who ($alice, $bob, $stranger, $alice, $stranger, $bob) {
        my $answer = $who->get($page);
        $site->shows($answer, qr/$name{$who->name}/, "$page: " . $who->name . ' sees who is logged in')
            if $who != $stranger;
    }
}

# An edit is seen at once, on all devices, and only what it concerns is fetched again.
sub edition {
    my ($path) = @_;
    return map { my $page = $site->visitor('stranger', device => $_)->get($path);
                 ($page->{body} =~ /(\w+) edition/)[0] // '-' } DevCache::Visitor::devices();
}
is_deeply [edition('/wiki/Page_3')], [('first') x 3], 'before an edit';
my ($token) = $eva->get('/w/api.php?action=query&meta=tokens&format=json')->{body} =~ /"csrftoken":"([^"]*)"/;
my $saved = $eva->post('/w/api.php', { action => 'edit', format => 'json', title => 'Page 3',
    text => 'The text of page 3, second edition. [[Category:All]]', token => $token =~ s/\\\\/\\/gr });
like $saved->{body}, qr/"result":"Success"/, 'eva edits';
ok wait_until(sub { (edition('/wiki/Page_3'))[2] eq 'second' }), '… it is purged when she has her answer';
is_deeply [edition('/wiki/Page_3')], [('second') x 3], '… and everybody sees it';
like $stranger->get('/wiki/Page_4')->header('Cache-Status'), qr/hit/, '… other pages stay';

# Who asks for an edit form, or another form of the page, does not get it stored for others.
$stranger->get('/w/index.php?title=Page_5&action=edit');
$alice->get('/w/index.php?title=Page_5&action=edit');
$stranger->get('/w/index.php?title=Page_5&action=history');
$site->lacks($stranger->get('/wiki/Page_5'), qr/wpTextbox1/, 'a page is not its edit form');

DevCache::Attacks::lure($site, $bob, '/wiki/Page_5', '/wiki/Special:Preferences', '/w/index.php', '/w/api.php');
DevCache::Attacks::run($site, '/wiki/Page_9', cookie => 'my_wiki_session', more => [
    (map { [$_ => { add => [$_] }] } 'action=raw', 'useskin=monobook', 'uselang=de', 'printable=yes', 'oldid=1', 'debug=1',
     'safemode=1', 'action=purge', 'title=Page_8', 'useformat=mobile', 'maxlag=0', 'origin=*'),
    ['a skin' => {}, Cookie => 'useskin=monobook'], ['UseCDNCache' => {}, Cookie => 'UseCDNCache=false'],
    ['X-Wikimedia-Debug' => {}, 'X-Wikimedia-Debug' => 1], ['Treat-as-Untrusted' => {}, 'Treat-as-Untrusted' => 1]]);

$site->finish;
$host->finish;
done_testing;
