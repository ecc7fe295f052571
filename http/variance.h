/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/variance.h
 * No-Vary-Search: which parts of a URL's query make no other page of it.
 *
 * Pure. By draft-ietf-httpbis-no-vary-search-05.
 */
#ifndef DEVCACHE_HTTP_VARIANCE_H
#define DEVCACHE_HTTP_VARIANCE_H

#include <apr_pools.h>
#include <apr_tables.h>

/**
 * What a response's No-Vary-Search says, as a text: equal for fields that mean the same.
 * @return in @a p; NULL if there is none, or it says nothing, or is malformed, which mean
 *         that all of the query counts
 */
const char *devcache_variance_read(const apr_table_t *fields, apr_pool_t *p);

/**
 * A query without what makes no other page: equal for queries that are equivalent.
 * @param rule   from devcache_variance_read()
 * @param query  without "?"; NULL: none
 * @return in @a p; NULL: nothing of it counts. @a query itself if it has more than 256
 *         parameters
 */
const char *devcache_variance_simplify(const char *rule, const char *query,
                                       apr_pool_t *p);

#endif
