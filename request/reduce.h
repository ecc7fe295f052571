/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/reduce.h
 * What DevCacheQuery leaves out of the key is not sent to the origin.
 *
 * Glue. Changes the request that handlers see, and takes that back for the logs.
 */
#ifndef DEVCACHE_REQUEST_REDUCE_H
#define DEVCACHE_REQUEST_REDUCE_H

#include "request/request.h"

/** What handlers will see of a text that ends in the client's query; @a rule: its rule. */
const char *devcache_reduce_text(const devcache_exchange_t *x,
                                 const devcache_query_t *rule, const char *text,
                                 apr_pool_t *p);

/** Show handlers and filters the reduced query; when it is known that the cache may
 * answer. */
void devcache_reduce_query(request_rec *r, devcache_exchange_t *x);

/** Back to what the client has sent, for the logs. Nothing where nothing was reduced. */
void devcache_reduce_undo(request_rec *r, devcache_exchange_t *x);

#endif
