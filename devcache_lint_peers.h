/**
 * @file devcache_lint_peers.h
 * What commonly goes wrong between the cache and other modules' directives.
 *
 * Glue. Checks for the table in devcache_lint.c; each is about one directive.
 */
#ifndef DEVCACHE_LINT_PEERS_H
#define DEVCACHE_LINT_PEERS_H

#include "devcache_lint_tree.h"

/** CacheEnable: mod_cache stores the same URLs. */
devcache_lint_check_fn devcache_lint_beside_mod_cache;

/** Header: nothing can be stored, or what is stored goes to the wrong visitors. */
devcache_lint_check_fn devcache_lint_headers;

/** RequestHeader: the application is told another device class. */
devcache_lint_check_fn devcache_lint_overwrites_class;

/** FilterDeclare: compression runs on each hit. */
devcache_lint_check_fn devcache_lint_behind_the_store;

/** SetEnvIf, BrowserMatch: force-gzip for some clients. */
devcache_lint_check_fn devcache_lint_forces_gzip;

/** DeflateAlterETag, BrotliAlterETag: nothing to validate by. */
devcache_lint_check_fn devcache_lint_drops_etag;

/** Any: what a hit of DevCacheQuick would come before. */
devcache_lint_check_fn devcache_lint_skipped_by_quick;

#endif
