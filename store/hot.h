/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/hot.h
 * Records that are asked for again and again, verified, in this process's own memory.
 *
 * Knows records by where they lie. What lies there never changes and no serial is given
 * twice, so nothing in here can be out of date; whether a record is still wanted is the
 * index's to say, which the caller has asked before.
 * Ownership  Made for one process after its fork; a record that was found is held by the
 *            pool given until that dies, even if it was dropped here meanwhile.
 * Locks      None that anybody waits for: who does not get a slot at once reads the disk.
 * Units      Bytes. The bound covers all records held, not their use by requests.
 */
#ifndef DEVCACHE_STORE_HOT_H
#define DEVCACHE_STORE_HOT_H

#include <apr_pools.h>
#include "store/record.h"

typedef struct devcache_hot_t devcache_hot_t;

#define DEVCACHE_HOT_ROOM DEVCACHE_STORE_ROOM

/** Room for @a bytes of records; NULL if that is 0. It lives in @a p, records do not. */
devcache_hot_t *devcache_hot_create(apr_size_t bytes, apr_pool_t *p);

/** Drop all that is not in use. NULL is allowed. */
void devcache_hot_clear(devcache_hot_t *hot);

/**
 * The record at @a offset of the segment @a serial, as it was when it was verified.
 * @param rec    set if found; its slices are valid until @a p dies
 * @param proom  set if found: DEVCACHE_HOT_ROOM bytes beside the record, zero when it came
 *               here, for what the store's caller makes of it; valid as long as the slices.
 *               Other threads are given the same
 * @return 1 if found
 */
int devcache_hot_find(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                      devcache_record_t *rec, void **proom, apr_pool_t *p);

/**
 * Hold a record that was found for longer than its pool.
 * @param room  as it was found with
 * @return an address in front of its body, in one piece of memory with it, for
 *         devcache_hot_let_go()
 */
void *devcache_hot_hold(void *room);

/** Give it back, in any thread. */
void devcache_hot_let_go(void *first);

/**
 * A record was read and verified. It is copied if it was read before not long ago and
 * does not take the place of one that is in use.
 * @param rec   its slices lie in one piece, as on disk; but for the body where it refers to
 *              another record
 * @param room  NULL; or what that record was found with, which stays here as long as this
 */
void devcache_hot_offer(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                        const devcache_record_t *rec, void *room);

#endif
