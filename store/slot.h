/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/slot.h
 * The table of files: which exist, what they count for, where the next record goes.
 *
 * Knows slots, serials and bytes; touches no file. Whoever makes a slot makes its file,
 * whoever frees one unlinks it.
 * Locks      The alloc lock inside each call; reserving takes none unless a head is full.
 * Units      Bytes; offsets in units of DEVCACHE_RECORD_UNIT where called units.
 * Errors     APR_ENOSPC: the bound or the table is exhausted. APR_NOTFOUND: the slot is
 *            another file's by now. APR_TIMEUP: the lock cannot be had.
 */
#ifndef DEVCACHE_STORE_SLOT_H
#define DEVCACHE_STORE_SLOT_H

#include "base/process.h"
#include "store/head.h"

/** All bodies that are being filled together are not to hold so much more: a quarter of the
 * bound, and a segment. Nothing is to be evicted for it. */
#define DEVCACHE_CROWDED APR_EABOVEROOT

/**
 * A slot in state FILLING for a new file. file->kind says which; the rest is set.
 * @return DEVCACHE_CROWDED: a body, and there are too many already
 */
apr_status_t devcache_slot_take(devcache_shared_t *sh, apr_uint64_t bytes,
                                const devcache_process_t *owner, devcache_file_t *file);

/**
 * Enter a file of another table of slots, sealed, with its serial and place in its queue.
 * The caller holds the root alone.
 * @param file  set to where it is now
 */
apr_status_t devcache_slot_adopt(devcache_shared_t *sh, const devcache_slot_t *from,
                                 devcache_file_t *file);

/** Count @a bytes for a file that is being filled. DEVCACHE_CROWDED as above. */
apr_status_t devcache_slot_resize(devcache_shared_t *sh, const devcache_file_t *file,
                                  apr_uint64_t bytes);

/** A new segment's file is ready: FILLING to SPARE. */
apr_status_t devcache_slot_spare(devcache_shared_t *sh, const devcache_file_t *file);

/** A body is complete: FILLING to SEALED, at the end of @a queue. */
apr_status_t devcache_slot_seal(devcache_shared_t *sh, const devcache_file_t *file,
                                devcache_queue_t queue);

/** Say which key a sealed body belongs to, so that eviction finds its entries. */
apr_status_t devcache_slot_claim(devcache_shared_t *sh, const devcache_file_t *file,
                                 apr_uint64_t key_hash);

/** All that names the file is dead from now on. The caller unlinks it on success. */
apr_status_t devcache_slot_free(devcache_shared_t *sh, const devcache_file_t *file);

/** Put a used body at the end of the main queue. */
apr_status_t devcache_slot_requeue(devcache_shared_t *sh, const devcache_file_t *file);

/**
 * Reserve @a len bytes at a head of @a queue, if possible one that nobody writes to.
 * @param keep   how many spares must be left for others when a new head is needed
 * @param range  on success to be given to devcache_head_wrote() when it was written to
 * @return APR_EAGAIN  there is no such spare now, and no room in what is open
 */
apr_status_t devcache_slot_reserve(devcache_shared_t *sh, devcache_queue_t queue,
                                   apr_uint64_t len, unsigned keep,
                                   devcache_range_t *range);

/** The file to be evicted next, and a copy of its slot. APR_NOTFOUND: none may be. */
apr_status_t devcache_slot_victim(devcache_shared_t *sh, devcache_file_t *file,
                                  devcache_slot_t *copy);

/** A copy of slot @a i if it is not free. */
int devcache_slot_get(devcache_shared_t *sh, unsigned i, devcache_file_t *file,
                      devcache_slot_t *copy);

/**
 * Correct a slot by what its file looks like: @a bytes it counts for, and, if it is a
 * head, where the file ends. The caller holds the root alone and repairs afterwards.
 */
void devcache_slot_correct(devcache_shared_t *sh, unsigned slot, apr_uint64_t bytes,
                           apr_uint64_t file_len);

/** Segments that are ready to become heads. */
unsigned devcache_slot_spares(devcache_shared_t *sh);

/** Bytes counted and files there now. */
void devcache_slot_totals(devcache_shared_t *sh, apr_uint64_t *pbytes,
                          apr_uint64_t *pfiles);

/** 1 if less than a sixty-fourth of the bound is free. */
int devcache_slot_is_tight(devcache_shared_t *sh);

/** Recount the sums and settle the heads after a holder died, or when alone. */
void devcache_slot_repair(devcache_shared_t *sh);

#endif
