/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/shm.h
 * Memory that a process shares with those it forks.
 *
 * Processes  Made in the parent before it forks; kept over graceful restarts where the
 *            pool is.
 */
#ifndef DEVCACHE_BASE_SHM_H
#define DEVCACHE_BASE_SHM_H

#include <apr_pools.h>

/**
 * @a len bytes, all zero, for as long as @a p lives. Pages are taken as they are touched,
 * so room that is not used costs nothing.
 * @param prv  set, also to APR_SUCCESS
 * @return NULL on error
 */
void *devcache_shm_create(apr_size_t len, apr_status_t *prv, apr_pool_t *p);

#endif
