/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/ring.h
 * The latest purges of many, so that what was being fetched meanwhile is judged by them.
 *
 * Knows numbers and opaque bytes (devcache_store_conf_t says what they mean).
 * Locks      Entering takes one for microseconds, looking takes none.
 * Processes  Any, any thread; a process killed while it enters a purge has not entered it.
 */
#ifndef DEVCACHE_STORE_RING_H
#define DEVCACHE_STORE_RING_H

#include "store/internal.h"

/** The number of the latest purge of many; what begins now has seen up to it. */
apr_uint64_t devcache_ring_latest(const devcache_shared_t *sh);

/** Enter a purge; what began before now is judged by it from now on. APR_TIMEUP. */
apr_status_t devcache_ring_enter(devcache_shared_t *sh, devcache_slice_t what);

/**
 * Has a purge since *pseen been about one of @a n objects?
 * @param pseen  raised to the latest that was looked at
 * @return APR_SUCCESS if none was; APR_EGENERAL if one was, or if it cannot be told
 */
apr_status_t devcache_ring_overtaken(const devcache_root_t *s,
                                     const devcache_described_t *objects, unsigned n,
                                     apr_uint64_t *pseen);

#endif
