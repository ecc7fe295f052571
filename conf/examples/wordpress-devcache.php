<?php
// SPDX-License-Identifier: Apache-2.0
/*
Plugin Name: mod_devcache
Description: Says in Cache-Tag which posts a page shows, and purges their pages when they are edited.

Put it into wp-content/mu-plugins. Where Apache is on another machine or port, say so in
wp-config.php: define('DEVCACHE_SERVER', 'http://10.0.0.5');
*/

// A page of one post bears post-ID. Lists, and pages with lists in them, bear the posts that they
// show and "lists": a new post changes them all.
add_action('template_redirect', function () {
    if (is_user_logged_in() || is_404()) {
        return;
    }
    $tags = is_singular() ? [] : ['lists'];
    foreach (array_slice($GLOBALS['wp_query']->posts ?? [], 0, 200) as $post) {
        $tags[] = "post-$post->ID";
    }
    header('Cache-Tag: site ' . implode(' ', $tags));
});

// Purges go out once, when the request is over: an edit calls many hooks.
function devcache_purge(...$tags)
{
    static $all = [];
    if (!$all) {
        add_action('shutdown', function () use (&$all) {
            $answer = wp_remote_request(defined('DEVCACHE_SERVER') ? DEVCACHE_SERVER : 'http://127.0.0.1', [
                'method'  => 'PURGE',
                'headers' => ['Host' => parse_url(home_url(), PHP_URL_HOST),
                              'Cache-Tag' => implode(' ', array_keys($all))],
                'timeout' => 5,
            ]);
            if (is_wp_error($answer) || wp_remote_retrieve_response_code($answer) >= 300) {
                error_log('mod_devcache: not purged: ' . (is_wp_error($answer)
                    ? $answer->get_error_message() : wp_remote_retrieve_body($answer)));
            }
        });
    }
    foreach ($tags as $tag) {
        $all[$tag] = true;
    }
}

add_action('transition_post_status', function ($new, $old, $post) {
    if ($new === 'publish' || $old === 'publish') {
        in_array($post->post_type, ['nav_menu_item', 'wp_template', 'wp_template_part',
                                    'wp_navigation', 'wp_global_styles', 'wp_block'])
            ? devcache_purge('site') : devcache_purge("post-$post->ID", 'lists');
    }
}, 10, 3);
add_action('delete_post', fn($id) => devcache_purge("post-$id", 'lists'));

// Comments: what is approved, changed or taken away.
$comment = function ($id) {
    if ($comment = get_comment($id)) {
        devcache_purge("post-$comment->comment_post_ID", 'lists');
    }
};
foreach (['edit_comment', 'trashed_comment', 'untrashed_comment', 'spammed_comment', 'deleted_comment'] as $hook) {
    add_action($hook, $comment);
}
add_action('comment_post', function ($id, $approved) use ($comment) {
    if ($approved === 1) {
        $comment($id);
    }
}, 10, 2);
add_action('transition_comment_status', function ($new, $old, $comment) {
    if ($new === 'approved' || $old === 'approved') {
        devcache_purge("post-$comment->comment_post_ID", 'lists');
    }
}, 10, 3);

// What every page shows.
foreach (['switch_theme', 'customize_save_after', 'wp_update_nav_menu', 'update_option_sidebars_widgets',
          'update_option_blogname', 'update_option_blogdescription', 'update_option_permalink_structure',
          'update_option_WPLANG', 'edited_terms', 'delete_term', 'activated_plugin', 'deactivated_plugin',
          'upgrader_process_complete'] as $hook) {
    add_action($hook, fn() => devcache_purge('site'));
}
