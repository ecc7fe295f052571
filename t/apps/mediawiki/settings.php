
// SPDX-License-Identifier: Apache-2.0
# What t/apps/mediawiki.t adds to LocalSettings.php. As in docs/applications.md:
$wgUseCdn = true;
$wgCdnServers = [ '127.0.0.1:80' ];
$wgUsePrivateIPs = true;
$wgArticlePath = '/wiki/$1';
$wgUsePathInfo = true;

# For the test alone:
$wgMainCacheType = CACHE_DB;
$wgSessionCacheType = CACHE_DB;
$wgCacheDirectory = '@DIR@/cache';
$wgUploadDirectory = '@DIR@/images';
$wgEnableUploads = false;
$wgPasswordAttemptThrottle = false;
$wgRateLimits = [];
$wgDefaultSkin = 'vector';
