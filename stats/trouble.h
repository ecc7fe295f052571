/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/trouble.h
 * The last things that went wrong, as sentences in shared memory for the status page.
 *
 * The error log has them all; here are the kinds of trouble, each with when it came first
 * and last and how often. The kind that has been quiet for longest gives way.
 *
 * Locks      Trouble of a known kind: none. A new kind: a lock that only
 *            devcache_trouble_read() waits for; where it is busy it is not noted.
 */
#ifndef DEVCACHE_STATS_TROUBLE_H
#define DEVCACHE_STATS_TROUBLE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#define DEVCACHE_TROUBLES 32      /* kinds kept */
#define DEVCACHE_TROUBLE_TEXT 256 /* bytes of each text, with its NUL */

/** Parent only, before it forks; @a p must outlive the children (the process pool). */
apr_status_t devcache_trouble_create(apr_pool_t *p);

/**
 * Something went wrong.
 * @param what     a sentence that is the same for all of its kind
 * @param example  what it was about this time (such as a URL); kept of the first; or NULL
 */
void devcache_trouble_note(const char *what, const char *example, apr_time_t now);

typedef struct devcache_trouble_t {
    apr_time_t first, last;
    apr_uint64_t times;
    char what[DEVCACHE_TROUBLE_TEXT];
    char example[DEVCACHE_TROUBLE_TEXT]; /* "": none */
} devcache_trouble_t;

/** The latest first: array of devcache_trouble_t in @a p. */
apr_array_header_t *devcache_trouble_read(apr_pool_t *p);

#endif
