/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file purge/learnt.h
 * What responses have said about the queries of their path (No-Vary-Search), kept in the
 * store as an object without a body, under a key that no URL has.
 *
 * It is evicted and purged like any other. Then it is learnt anew from the next response;
 * what was stored by the old one is used no more, as a purge meanwhile may not have known
 * of it.
 */
#ifndef DEVCACHE_PURGE_LEARNT_H
#define DEVCACHE_PURGE_LEARNT_H

#include "base/bytes.h"
#include "devcache_store.h"

typedef struct devcache_learnt_t {
    const char *rule; /* http/variance.h; NULL: none is known */
    apr_time_t since; /* what was received before is not stored by it */
} devcache_learnt_t;

/** What is known for the path of @a key. */
void devcache_learnt_find(devcache_store_t *store, devcache_slice_t key,
                          devcache_learnt_t *out, apr_pool_t *p);

/** The key without what makes no other page. */
devcache_slice_t devcache_learnt_key(const devcache_learnt_t *learnt,
                                     devcache_slice_t key, apr_pool_t *p);

/** A response received at @a now says @a rule (NULL: nothing); remember that. */
apr_status_t devcache_learnt_keep(devcache_store_t *store, devcache_slice_t key,
                                  const char *rule, apr_time_t now, apr_pool_t *p);

#endif
