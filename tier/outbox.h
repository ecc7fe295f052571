/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/outbox.h
 * Purges on their way to the servers, in a file below the store's root.
 *
 * Any thread of any process may add; the leader's threads read, one for each server.
 * Locks      Adding holds the file's lock for two small writes. Reading holds none.
 * Processes  A process killed at any instruction leaves its purge added or not.
 */
#ifndef DEVCACHE_TIER_OUTBOX_H
#define DEVCACHE_TIER_OUTBOX_H

#include "base/bytes.h"
#include "tier/state.h"

#define DEVCACHE_OUTBOX_MAX                                                              \
    (32u << 20) /* bytes that wait; then one order stands for all */

typedef struct devcache_outbox_t devcache_outbox_t;

/** Of this process. @a make: create the file, and give it to that user. */
apr_status_t devcache_outbox_open(devcache_outbox_t **poutbox,
                                  devcache_tier_state_t *state, const char *root,
                                  int make, apr_uint32_t uid, apr_uint32_t gid,
                                  apr_pool_t *p);

/** The bytes of a purge, once its number is known; data NULL: it cannot be. */
typedef devcache_slice_t devcache_outbox_make_fn(void *baton, apr_uint64_t number);

/**
 * Add what @a make returns. If too much waits, all of it and this one give way to what
 * @a instead returns.
 * @param pend  where it ends: a server that has been sent that much has it
 * @return an I/O error: it is not added
 */
apr_status_t devcache_outbox_add(devcache_outbox_t *outbox, apr_time_t now,
                                 devcache_outbox_make_fn *make,
                                 devcache_outbox_make_fn *instead, void *baton,
                                 apr_uint64_t *pnumber, apr_uint64_t *pend);

/**
 * Read what comes at @a from: whole purges, of at most @a room bytes together.
 * @param from   moved forward if what was there is gone or damaged
 * @param out    the purges; they point into @a buf
 * @param pnext  behind the last one of them
 * @return how many
 */
unsigned devcache_outbox_read(devcache_outbox_t *outbox, apr_uint64_t *from, char *buf,
                              apr_size_t room, devcache_slice_t *out, unsigned max,
                              apr_uint64_t *pnext);

/** Empty the file if every server has all of it. @a sent: the lowest of what they have. */
void devcache_outbox_tidy(devcache_outbox_t *outbox, apr_uint64_t sent);

#endif
