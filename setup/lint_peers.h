/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/lint_peers.h
 * What commonly goes wrong between the cache and other modules' directives.
 *
 * Glue. Checks for the table in setup/lint.c; each is about one directive.
 */
#ifndef DEVCACHE_SETUP_LINT_PEERS_H
#define DEVCACHE_SETUP_LINT_PEERS_H

#include "setup/lint_tree.h"

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

#endif
