/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/top.h
 * The busiest URLs of the last minutes, from a sample, in a small table that is shared.
 *
 * Space-Saving (Metwally, Agrawal, El Abbadi, 2005): what is not in the table takes the
 * place, and for a start the count, of what was counted least. So the counts are never
 * too low, too high by at most `over`, and a flood of URLs asked for once does not push
 * out those that are asked for often.
 * Windows of five minutes follow each other; shown are the one before and the one now.
 *
 * Locks      Counting a URL that is in the table: none. Replacing one: a lock that only
 *            devcache_top_read() waits for; where it is busy the request is not counted.
 */
#ifndef DEVCACHE_STATS_TOP_H
#define DEVCACHE_STATS_TOP_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include "base/bytes.h"

#define DEVCACHE_TOP_URLS 64 /* in a window */
#define DEVCACHE_TOP_URL 216 /* bytes kept of a URL, with its NUL */

/** Parent only, before it forks; @a p must outlive the children (the process pool). */
apr_status_t devcache_top_create(apr_time_t now, apr_pool_t *p);

/**
 * For how many requests this one is to be counted: 1 while there are few, later 64 for
 * one of 64 and 0 for the others.
 * @param so_far  requests of this minute
 */
unsigned devcache_top_weight(apr_uint64_t so_far, apr_time_t now);

/**
 * Count a request.
 * @param key     what tells URLs apart
 * @param url     makes the text that is shown, printable ASCII; called if it is new here
 * @param weight  as from devcache_top_weight(), not 0
 */
void devcache_top_count(devcache_slice_t key,
                        const char *(*url)(devcache_slice_t key, apr_pool_t *p),
                        unsigned weight, int hit, apr_time_t now, apr_pool_t *p);

typedef struct devcache_top_t {
    apr_uint64_t hash;
    apr_uint64_t requests; /* at most this many */
    apr_uint64_t over;     /* and at least this many fewer */
    apr_uint64_t hits;     /* of requests - over */
    char url[DEVCACHE_TOP_URL];
} devcache_top_t;

/**
 * The busiest first.
 * @param plasted  how long was counted, up to @a now
 * @return array of devcache_top_t in @a p
 */
apr_array_header_t *devcache_top_read(apr_time_t now, apr_interval_time_t *plasted,
                                      apr_pool_t *p);

#endif
