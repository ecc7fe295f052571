/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/evict.h
 * Making room: spare segments, bytes for bodies, what goes and what stays.
 *
 * Locks      The evict lock, tried and never waited for: one process evicts at a time,
 *            the others go on with what room there is. It is held during I/O.
 * Errors     APR_ENOSPC: no room now.
 */
#ifndef DEVCACHE_STORE_EVICT_H
#define DEVCACHE_STORE_EVICT_H

#include "store/internal.h"

/** Make spares until there are enough and leave some bytes free, evicting for it. */
void devcache_evict_restock(devcache_root_t *s);

/** A slot for a body of @a bytes at first, evicting for it. */
apr_status_t devcache_evict_take(devcache_root_t *s, apr_uint64_t bytes,
                                 devcache_file_t *file);

/** Count @a bytes for a body that is being filled, @a more than before. */
apr_status_t devcache_evict_resize(devcache_root_t *s, const devcache_file_t *file,
                                   apr_uint64_t bytes, apr_uint64_t more);

/** Free and unlink a file. APR_NOTFOUND if it is another one's slot by now. */
apr_status_t devcache_evict_free(devcache_root_t *s, const devcache_file_t *file);

/** Free the bodies that entries have left behind. */
void devcache_evict_drop(devcache_root_t *s, const devcache_drops_t *drops);

/** Take out an entry, and free its body. */
void devcache_evict_forget(devcache_root_t *s, const devcache_entry_t *e);

/** The same where what it leads to is damaged: counted, and said once for each file. */
void devcache_evict_damaged(devcache_root_t *s, const devcache_entry_t *e,
                            const devcache_file_t *file);

/** 1 if nobody evicts now. */
int devcache_evict_idle(devcache_root_t *s);

/** Free what killed processes were filling, and unlink what they had freed. */
void devcache_evict_reclaim(devcache_root_t *s);

#endif
