/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/pool.h
 * Connections of a child's requests to one server: lent, and given back.
 *
 * Requests never connect, as that can take as long as the resolver likes: the child's own
 * thread does (devcache_pool_tend), as many as are asked for at once.
 * Ownership  Belongs to a child; lives in its pool.
 * Locks      One mutex of the process, not held while connecting.
 */
#ifndef DEVCACHE_TIER_POOL_H
#define DEVCACHE_TIER_POOL_H

#include <pthread.h>
#include "tier/link.h"

#define DEVCACHE_POOL_LINKS 16

typedef struct devcache_pool_t devcache_pool_t;

/**
 * @param wake   as for a link
 * @param needed  called when the thread that tends it should
 */
devcache_pool_t *devcache_pool_create(const devcache_link_conf_t *conf, int wake,
                                      void (*needed)(void *baton), void *baton,
                                      apr_pool_t *p);

/** One that is open, waiting for it so long at most; NULL: none. */
devcache_link_t *devcache_pool_take(devcache_pool_t *pool, apr_interval_time_t patience);

/** Give it back, open or closed. */
void devcache_pool_give(devcache_pool_t *pool, devcache_link_t *link);

/** Connect what is asked for, and one at least; close what is not used for a minute. One
 * thread only. @return 0 if the server cannot be reached */
int devcache_pool_tend(devcache_pool_t *pool);

#endif
