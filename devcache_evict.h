/**
 * @file devcache_evict.h
 * Making room: spare segments, bytes for bodies, what goes and what stays.
 *
 * Locks      The evict lock, tried and never waited for: one process evicts at a time,
 *            the others go on with what room there is. It is held during I/O.
 * Errors     APR_ENOSPC: no room now.
 */
#ifndef DEVCACHE_EVICT_H
#define DEVCACHE_EVICT_H

#include "devcache_store_int.h"

/** Make spares until there are enough and leave some bytes free, evicting for it. */
void devcache_evict_restock(devcache_store_t *s);

/** A slot for a body of @a bytes at first, evicting for it. */
apr_status_t devcache_evict_take(devcache_store_t *s, apr_uint64_t bytes,
                                 devcache_file_t *file);

/** Count @a bytes for a body that is being filled, @a more than before. */
apr_status_t devcache_evict_resize(devcache_store_t *s, const devcache_file_t *file,
                                   apr_uint64_t bytes, apr_uint64_t more);

/** Free and unlink a file. APR_NOTFOUND if it is another one's slot by now. */
apr_status_t devcache_evict_free(devcache_store_t *s, const devcache_file_t *file);

/** Free the bodies that entries have left behind. */
void devcache_evict_drop(devcache_store_t *s, const devcache_drops_t *drops);

/** Free what killed processes were filling, and unlink what they had freed. */
void devcache_evict_reclaim(devcache_store_t *s);

/**
 * Append a tombstone or ban, its barrier set here. Waits a fifth of a second for room if
 * it has to: what is not written down comes back with the next loss of the index.
 */
apr_status_t devcache_evict_log(devcache_store_t *s, devcache_record_t *rec,
                                devcache_range_t *at);

#endif
