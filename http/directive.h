/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/directive.h
 * Cache directives: Cache-Control (RFC 9111 section 5.2), the targeted fields of RFC 9213
 * and the older fields of that kind, read into one struct.
 *
 * Says what was said, not what follows from it. On a contradiction or a malformed
 * argument the reading is the one that caches less.
 * Ownership  Lists live in the pool given.
 * Units      Seconds as they stand in the field, at most 2^31.
 */
#ifndef DEVCACHE_HTTP_DIRECTIVE_H
#define DEVCACHE_HTTP_DIRECTIVE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

/* Deltas: -1 not said; a malformed, negative or contradicted one is 0. */
typedef struct devcache_directives_t {
    int malformed; /* Cache-Control has a member that is no directive */
    int no_store;
    int no_cache;               /* without a list of fields */
    int is_private;             /* without a list of fields */
    apr_array_header_t *listed; /* const char *: the lists of field names given to
                                   no-cache="..." and private="..."; NULL: none */
    int is_public;
    int must_revalidate;
    int proxy_revalidate;
    int must_understand;
    int immutable; /* RFC 8246 */
    int no_transform;
    int only_if_cached;
    apr_int64_t max_age;
    apr_int64_t s_maxage;
    apr_int64_t stale_while_revalidate; /* RFC 5861 */
    apr_int64_t stale_if_error;         /* RFC 5861 */
    apr_int64_t min_fresh;
    apr_int64_t max_stale;  /* DEVCACHE_FIELD_DELTA_MAX: without an argument */
    apr_int64_t expires_at; /* an instant, seconds since 1970; X-Accel-Expires only */
} devcache_directives_t;

/**
 * What the Cache-Control lines of a request or a response say.
 * @param p  for the lists; NULL: a directive with a list counts as one without
 */
void devcache_directive_cache_control(const apr_table_t *headers,
                                      devcache_directives_t *out, apr_pool_t *p);

/**
 * What a response says to this cache: the first of the targeted fields that is present
 * and valid (RFC 9213 section 2.2), else Cache-Control. Of Surrogate-Control and
 * X-Accel-Expires, which are older than that RFC, the own grammar is read.
 * @param targets  const char *, best first; NULL: none
 * @return whether a targeted field counted; Expires does not count then
 */
int devcache_directive_response(const apr_array_header_t *targets,
                                const apr_table_t *headers, devcache_directives_t *out,
                                apr_pool_t *p);

/**
 * Is the field about caches in front of the origin, other than Cache-Control:
 * Surrogate-Control, Edge-Control, X-Accel-Expires, X-Reverse-Proxy-TTL, or any
 * "...-Cache-Control"?
 */
int devcache_directive_is_targeted(const char *name);

/**
 * Does such a field say that the response is not for them? By no-store, no-cache, private,
 * or a lifetime of nothing.
 * @param targets  these are not looked at: they have been read as what they are
 * @return the field's name, or NULL
 */
const char *devcache_directive_forbidden_by(const apr_array_header_t *targets,
                                            const apr_table_t *headers, apr_time_t now);

#endif
