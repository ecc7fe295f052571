/**
 * @file devcache_device_memo.h
 * A bounded, lock-free table from a hash to a small number. Private to devcache_device.c.
 *
 * Ownership  The memo lives in the pool given at create, one per child process.
 * Locks      None: one 64-bit atomic a slot.
 */
#ifndef DEVCACHE_DEVICE_MEMO_H
#define DEVCACHE_DEVICE_MEMO_H

#include "devcache_device.h"

/** Keyed hash of @a size bytes: who does not know the seed cannot make collisions. */
apr_uint64_t devcache_device_memo_hash(const devcache_device_memo_t *memo,
                                       const void *data, apr_size_t size);

/** What was put for @a hash; 0 if nothing, or if another hash took the slot since. */
unsigned devcache_device_memo_get(const devcache_device_memo_t *memo, apr_uint64_t hash);

/** Remember @a value (1 to 65535) for @a hash, in place of whatever has the slot. */
void devcache_device_memo_put(devcache_device_memo_t *memo, apr_uint64_t hash,
                              unsigned value);

#endif
