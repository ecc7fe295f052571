/**
 * @file devcache_hot.h
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
#ifndef DEVCACHE_HOT_H
#define DEVCACHE_HOT_H

#include <apr_pools.h>
#include "devcache_record.h"

typedef struct devcache_hot_t devcache_hot_t;

/** Room for @a bytes of records; NULL if that is 0. It lives in @a p, records do not. */
devcache_hot_t *devcache_hot_create(apr_size_t bytes, apr_pool_t *p);

/** Drop all that is not in use. NULL is allowed. */
void devcache_hot_clear(devcache_hot_t *hot);

/**
 * The record at @a offset of the segment @a serial, as it was when it was verified.
 * @param rec  set if found; its slices are valid until @a p dies
 * @return 1 if found
 */
int devcache_hot_find(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                      devcache_record_t *rec, apr_pool_t *p);

/**
 * A record was read and verified. It is copied if it was read before not long ago and
 * does not take the place of one that is in use.
 * @param rec  its slices lie in one piece, as on disk
 */
void devcache_hot_offer(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                        const devcache_record_t *rec);

#endif
