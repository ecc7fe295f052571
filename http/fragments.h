/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/fragments.h
 * Pages that leave gaps for parts of their own: where these are, and what is made of all.
 *
 * Pure. Of Server Side Includes the element `include virtual` alone is known; of the ESI
 * Language 1.0 (W3C note of 2001-08-04) include, remove, comment and <!--esi ... -->. All
 * else is text: nothing is executed, no file is named, no variable is shown.
 * Ownership  Text points into the page, URLs live in the pool given.
 */
#ifndef DEVCACHE_HTTP_FRAGMENTS_H
#define DEVCACHE_HTTP_FRAGMENTS_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include "base/bytes.h"
#include "http/policy.h"

#define DEVCACHE_FRAGMENTS_TAG_MAX 8192 /* bytes of one element; a longer one is text */

/**
 * In which dialects (DEVCACHE_SSI, DEVCACHE_ESI) does a response say that it has gaps, for us to fill? Surrogate-Control
 * with content="SSI/1.0 ESI/1.0" (Edge Architecture Specification 1.0, section 2.2); what
 * names another surrogate (";name") is not for us.
 */
unsigned devcache_fragments_dialects(const apr_table_t *headers, apr_pool_t *p);

typedef enum devcache_fragment_e {
    DEVCACHE_FRAGMENT_END,
    DEVCACHE_FRAGMENT_TEXT,
    DEVCACHE_FRAGMENT_INCLUDE
} devcache_fragment_e;

typedef struct devcache_fragment_t {
    devcache_slice_t text;
    const char *url;    /* of an INCLUDE, as written; "": it names none that can be one */
    const char *alt;    /* what is taken if that fails; NULL: nothing */
    int is_dispensable; /* if all fails the page goes out without it */
} devcache_fragment_t;

/* A page being read. */
typedef struct devcache_fragments_t {
    devcache_slice_t rest;
    unsigned dialects;
    int in_comment;    /* between <!--esi and --> */
    int never_removed; /* no </esi:remove> is left */
} devcache_fragments_t;

/** The next piece of a page. Reads each byte a bounded number of times. */
devcache_fragment_e devcache_fragments_next(devcache_fragments_t *page,
                                            devcache_fragment_t *out, apr_pool_t *p);

/* What a page and its parts say of themselves, together: the least of each. */
typedef struct devcache_fragments_said_t {
    int any;
    int no_store, no_cache, is_private, is_public;
    int must_revalidate, proxy_revalidate, no_transform;
    int is_shareable; /* each lets itself be shared though its request has credentials */
    apr_int64_t max_age;  /* seconds from now, for browsers; all have to state one */
    apr_int64_t s_maxage; /* likewise, for caches */
} devcache_fragments_said_t;

/** Take one response into account; @a said is zeros at first. A field for other caches that
 * forbids them the response makes the whole private. */
void devcache_fragments_join(devcache_fragments_said_t *said, const apr_table_t *headers,
                             apr_time_t now, apr_pool_t *p);

/** Cache-Control of the whole. */
const char *devcache_fragments_cache_control(const devcache_fragments_said_t *said,
                                             apr_pool_t *p);

#endif
