/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/odd.h
 * Request fields that have kept responses from being stored: names in shared memory, for
 * the status page and so that the error log has each of them once.
 *
 * A table for each DevCacheRoot, of the first names that came. A flood of made-up ones
 * fills it and then costs a look through it, no more.
 * Locks      None: an entry is claimed by one compare-and-swap and never given up. What a
 *            killed process leaves half written stays out of sight.
 */
#ifndef DEVCACHE_STATS_ODD_H
#define DEVCACHE_STATS_ODD_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#define DEVCACHE_ODD_NAMES 64 /* remembered of each root */
#define DEVCACHE_ODD_NAME 64  /* bytes kept of one, with its NUL */

/** Parent only, before it forks; @a p must outlive the children (the process pool). */
apr_status_t devcache_odd_create(apr_pool_t *p);

/**
 * A response was not stored because of this.
 * @param root  of the cache that it concerns
 * @param kind  who says what @a name is: 'f' a field, 'c' a cookie
 * @return 1 where it is the first time that this root is told of it; 0 else, and where
 *         there is no more room
 */
int devcache_odd_note(const char *root, char kind, const char *name, apr_time_t now);

typedef struct devcache_odd_t {
    char kind;
    char name[DEVCACHE_ODD_NAME]; /* printable ASCII */
    apr_uint64_t times;
    apr_time_t first, last;
} devcache_odd_t;

/**
 * What a root has been told of, the most frequent first: array of devcache_odd_t in @a p.
 * @param pothers  how often something came that there was no room for
 */
apr_array_header_t *devcache_odd_read(const char *root, apr_uint64_t *pothers,
                                      apr_pool_t *p);

#endif
