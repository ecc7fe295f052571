<?php
// SPDX-License-Identifier: Apache-2.0
// What Drupal, Magento and plain PHP sessions say and do with cookies, without the applications.
[, $kind, $page] = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) + ['', '', ''];
$user = $_GET['login'] ?? null;
header('Content-Type: text/html; charset=UTF-8');

switch ($kind) {
case 'drupal':      // a session for members alone; pages for strangers have a lifetime and tags
    $name = 'SESS' . substr(md5('drupal'), 0, 8);
    $user ??= $_COOKIE[$name] ?? null;
    isset($_GET['login']) and setcookie($name, $user, ['path' => '/', 'httponly' => true]);
    header('Vary: Cookie');
    header('X-Generator: Drupal 10');
    header('Expires: Sun, 19 Nov 1978 05:00:00 GMT');
    header($user ? 'Cache-Control: must-revalidate, no-cache, private' : 'Cache-Control: max-age=300, public');
    header("Cache-Tags: node:$page node_list rendered");
    break;
case 'page_cache':  // a block of Magento's with a ttl, a part of all pages
    header('Cache-Control: max-age=3600, public, s-maxage=3600');
    header('X-Magento-Tags: menu');
    echo '<nav>menu ', uniqid('', true), '</nav>';
    return;
case 'magento':     // everybody has a session; what they are is told by X-Magento-Vary
    session_cache_limiter('');
    session_start(['name' => 'PHPSESSID']);
    if ($user) {
        setcookie('X-Magento-Vary', sha1("group $user"), ['path' => '/']);
        $_SESSION['group'] = $user;
    }
    header_remove('Set-Cookie');    // Magento, too, sets none on pages for all
    $user and setcookie('X-Magento-Vary', sha1("group $user"), ['path' => '/']);
    $user and setcookie('PHPSESSID', session_id(), ['path' => '/']);
    $user = isset($_COOKIE['X-Magento-Vary']) ? $_SESSION['group'] ?? null : $user;
    header($page === 'account' ? 'Cache-Control: max-age=0, must-revalidate, no-cache, no-store'
                               : 'Cache-Control: max-age=86400, public, s-maxage=86400');
    header("X-Magento-Tags: cat_p_$page,cat_p,FPC");
    break;
default:            // session_start() on every page, as PHP does it by itself
    session_start();
    $user and $_SESSION['user'] = $user;
    $user = $_SESSION['user'] ?? null;
}
$menu = "http://$_SERVER[HTTP_HOST]/page_cache/block/esi/blocks/%5B%22catalog.topnav%22%5D/handles/WyJkZWZhdWx0Il0%3D/";
echo $kind === 'magento' && $page !== 'account' ? "<esi:include src=\"$menu\" />" : '';
echo "<!DOCTYPE html><title>$kind $page</title><p>", $user ? "Private-$user" : 'a stranger',
    '<p>', uniqid('', true), "\n";
