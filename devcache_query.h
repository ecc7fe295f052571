/**
 * @file devcache_query.h
 * How a URL's query takes part in the cache key.
 *
 * The origin always gets the query as the client sent it; this is only about which
 * queries are one page. Leaving out a parameter that the origin puts into its pages lets
 * one visitor choose what others see: `ignore`, `allow` and `deny` are the
 * administrator's word that it does not.
 */
#ifndef DEVCACHE_QUERY_H
#define DEVCACHE_QUERY_H

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

/**
 * The query's part of the key. A query with a `;`, which some origins take for a
 * separator, or with more than 256 parameters stays as it is.
 * @param rule   NULL: keep
 * @param query  without "?"; NULL: none
 * @return in @a p or @a query itself; NULL: none
 */
const char *devcache_query_canonical(const devcache_query_t *rule, const char *query,
                                     apr_pool_t *p);

#endif
