/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/query.h
 * How a URL's query takes part in the cache key.
 *
 * What is not in the key is not sent either, where the cache may answer: else the first
 * visitor's `fbclid` would stand in the links of everybody's page.
 */
#ifndef DEVCACHE_HTTP_QUERY_H
#define DEVCACHE_HTTP_QUERY_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef enum devcache_query_e {
    DEVCACHE_QUERY_KEEP,   /* byte for byte */
    DEVCACHE_QUERY_SORT,   /* parameters sorted by name; equal names keep their order */
    DEVCACHE_QUERY_IGNORE, /* no query at all */
    DEVCACHE_QUERY_ALLOW,  /* only the named parameters, sorted, and any whose name is not
                            * made of letters, digits, "_" and "-" alone */
    DEVCACHE_QUERY_DENY    /* all but the named parameters, sorted */
} devcache_query_e;

typedef struct devcache_query_t {
    devcache_query_e mode;
    const apr_array_header_t
        *names; /* const char *, for ALLOW and DENY; utm_* is allowed */
} devcache_query_t;

/** Parameters by which links are followed, for "DevCacheQuery deny @tracking". */
extern const apr_array_header_t devcache_query_tracking;

/**
 * The query's part of the key. A query with a `;`, which some origins take for a
 * separator, or with more than 256 parameters stays as it is.
 * @param rule   NULL: keep
 * @param query  without "?"; NULL: none
 * @return in @a p or @a query itself; NULL: none
 */
const char *devcache_query_canonical(const devcache_query_t *rule, const char *query,
                                     apr_pool_t *p);

/**
 * Something that ends in the query, or has it between "?" and a blank, with another one in
 * its place: "/p?a=1", "proxy:http://host/p?x&a=1", "GET /p?a=1 HTTP/1.1".
 * @param query    as sent, not NULL; must be behind "?" or "&" or be all of @a text
 * @param reduced  NULL: none, and then no "?" or "&" before it either
 * @return in @a p; @a text itself if the query does not stand there
 */
const char *devcache_query_replace(const char *text, const char *query,
                                   const char *reduced, apr_pool_t *p);

#endif
