<?php
// SPDX-License-Identifier: Apache-2.0
// Installs WordPress, without a browser: setup.php FOLDER. Editors, subscribers, 60 posts and pages,
// a password-protected post, comments, pretty links.
[$dir, $url] = [$argv[1], parse_url(getenv('WP_URL'))];
$db = new mysqli('localhost', getenv('WP_DB_USER'), '', '', 0, getenv('WP_SOCKET'));
$db->query("CREATE DATABASE wordpress CHARACTER SET utf8mb4");
$db->query("CREATE USER wordpress@localhost IDENTIFIED BY 'wordpress'");
$db->query("GRANT ALL ON wordpress.* TO wordpress@localhost");

define('WP_INSTALLING', true);
$_SERVER += ['HTTP_HOST' => "$url[host]:$url[port]", 'REQUEST_URI' => '/', 'SERVER_PROTOCOL' => 'HTTP/1.1',
             'REQUEST_METHOD' => 'GET', 'REMOTE_ADDR' => '127.0.0.1'];
require "$dir/wp-load.php";
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_wp_mail', '__return_true');
wp_install('Test blog', 'admin', 'admin@wp.test', true, '', 'admin-password');
switch_theme('twentytwentythree');
update_option('permalink_structure', '/%postname%/');
update_option('posts_per_page', 5);
update_option('comment_previously_approved', 0);
update_option('comment_moderation', 1);
update_option('show_comments_cookies_opt_in', 0);   // browsers tick it by default in themes that ask
foreach (['alice' => 'subscriber', 'bob' => 'subscriber', 'eva' => 'editor'] as $name => $role) {
    wp_insert_user(['user_login' => $name, 'user_pass' => "$name-password", 'role' => $role,
                    'user_email' => "$name@members.test", 'display_name' => ucfirst($name) . ' Private-' . strrev($name)]);
}
for ($i = 1; $i <= 44; $i++) {
    $id = wp_insert_post(['post_title' => "Post $i", 'post_name' => "post-$i", 'post_status' => 'publish',
                          'post_author' => 1, 'post_content' => "<p>The text of post $i, first edition.</p>",
                          'post_type' => $i > 40 ? 'page' : 'post', 'comment_status' => 'open',
                          'post_date' => date('Y-m-d H:i:s', time() - 86400 * $i)]);
    if ($i % 5 == 0) {
        wp_insert_comment(['comment_post_ID' => $id, 'comment_content' => "Comment on $i", 'comment_approved' => 1,
                           'comment_author' => 'Reader', 'comment_author_email' => 'reader@wp.test']);
    }
}
wp_insert_post(['post_title' => 'Secret', 'post_name' => 'secret', 'post_status' => 'publish', 'post_author' => 1,
                'post_password' => 'sesame', 'post_content' => '<p>For-those-who-know-the-password</p>']);
wp_insert_post(['post_title' => 'Internal', 'post_name' => 'internal', 'post_status' => 'private', 'post_author' => 1,
                'post_content' => '<p>For-editors-only</p>']);
$GLOBALS['wp_rewrite']->init();
flush_rewrite_rules(false);
echo "installed\n";
