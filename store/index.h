/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/index.h
 * The shared index: where each stored variant lies, and how often it is used.
 *
 * Knows hashes and locations, no bytes of any object. Every entry is a hint: the record
 * it points at decides.
 * Locks      One stripe at a time, inside the call, for microseconds. Finding takes none
 *            unless the stripe changes all the time.
 * Processes  Any, any thread. A stripe whose holder was killed is repaired by the next.
 */
#ifndef DEVCACHE_STORE_INDEX_H
#define DEVCACHE_STORE_INDEX_H

#include "store/record.h"
#include "store/shared.h"
#include "store/slot.h"

#define DEVCACHE_MATCHES 128 /* variants of a key that are looked at, at most */

apr_uint64_t devcache_index_key_hash(const devcache_shared_t *sh, devcache_slice_t key);
apr_uint64_t devcache_index_variant_hash(const devcache_shared_t *sh,
                                         devcache_slice_t spec, devcache_slice_t variant);

/** Where and when of an entry, from its record. @a body: serial 0 if it is inline. */
void devcache_index_point_at(devcache_entry_t *e, const devcache_record_t *rec,
                             const devcache_file_t *segment, apr_uint64_t offset,
                             const devcache_file_t *body);

/** Until when an object is fresh: as recorded, or as a soft purge has left its entry. */
apr_time_t devcache_index_fresh_until(const devcache_entry_t *e, apr_time_t recorded);

/** A copy of an entry. */
typedef struct devcache_match_t {
    devcache_entry_t entry;
    devcache_entry_t *at; /* where it was; only for devcache_index_note_use() */
} devcache_match_t;

/**
 * Copy the entries of a key, dead ones included, to @a out.
 * @return how many
 */
unsigned devcache_index_find(devcache_shared_t *sh, apr_uint64_t key_hash,
                             devcache_match_t out[DEVCACHE_MATCHES]);

/** A record was served. If the entry has changed hands meanwhile, another one gains. */
void devcache_index_note_use(const devcache_match_t *m);

/** Files of large bodies that lost their entry: the caller frees them. */
typedef struct devcache_drops_t {
    unsigned n;
    struct {
        apr_uint16_t slot;
        apr_uint32_t serial;
    } body[DEVCACHE_MATCHES];
} devcache_drops_t;

/** The instant in the order of removals of @a key_hash's stripe. */
apr_uint64_t devcache_index_ticket(const devcache_shared_t *sh, apr_uint64_t key_hash);

#define DEVCACHE_OVERTAKEN APR_EINPROGRESS

typedef struct devcache_put_t {
    devcache_entry_t entry;  /* everything but next and used */
    apr_uint64_t ticket;     /* when its making began */
    apr_uint64_t bans;       /* number of the latest purge that it is known to outlive */
    unsigned max_variants;   /* 1..DEVCACHE_MATCHES */
    unsigned needs_body : 1; /* only in place of one with the same large body */
} devcache_put_t;

/**
 * Publish an entry in place of all others of its key and variant. The least recently
 * stored variant of the key gives way beyond max_variants, and when the stripe is full
 * one that is dead or has been stored long ago.
 * @return APR_SUCCESS  it is visible
 *         APR_EGENERAL the key was removed since the ticket, or that cannot be excluded
 *         DEVCACHE_OVERTAKEN  there was a purge after put->bans
 *         APR_NOTFOUND needs_body: it is not there any more
 *         APR_ENOSPC   no entry could be had
 *         APR_TIMEUP   the lock cannot be had
 */
apr_status_t devcache_index_put(devcache_shared_t *sh, const devcache_put_t *put,
                                devcache_drops_t *drops);

/**
 * Take out all entries of a key, and refuse those whose ticket is older than this.
 * @param pticket  NULL, or a ticket that stays good if it was until now
 * @param pcount  how many were taken out
 * @return APR_SUCCESS, APR_INCOMPLETE if more than DEVCACHE_MATCHES bodies were dropped
 *         (call again), APR_TIMEUP
 */
apr_status_t devcache_index_remove(devcache_shared_t *sh, apr_uint64_t key_hash,
                                   apr_uint64_t *pticket, devcache_drops_t *drops,
                                   unsigned *pcount);

/** Refuse what began for the key before now, and leave its entries. APR_TIMEUP. */
apr_status_t devcache_index_supersede(devcache_shared_t *sh, apr_uint64_t key_hash);

/**
 * End the freshness of the entry that points where @a which does, at @a fresh_until.
 * @return APR_NOTFOUND if there is none; APR_TIMEUP
 */
apr_status_t devcache_index_expire(devcache_shared_t *sh, const devcache_entry_t *which,
                                   apr_time_t fresh_until);

/**
 * Copy the entries of a stripe whose files are there, under its lock.
 * @param out  room for g.entries
 */
apr_status_t devcache_index_copy(devcache_shared_t *sh, apr_uint32_t stripe,
                                 devcache_entry_t *out, apr_size_t *pn);

/**
 * Make the entry that points where @a from does point where @a to does, with its use.
 * @return APR_NOTFOUND if it has changed since; APR_TIMEUP
 */
apr_status_t devcache_index_move(devcache_shared_t *sh, const devcache_entry_t *from,
                                 const devcache_entry_t *to);

/** Take out the entry that points where @a gone does, if it still exists. */
apr_status_t devcache_index_forget(devcache_shared_t *sh, const devcache_entry_t *gone,
                                   devcache_drops_t *drops);

/** Entries in all stripes. */
apr_uint64_t devcache_index_objects(const devcache_shared_t *sh);

/** Link every stripe anew from its entries. The caller holds the root alone. */
void devcache_index_relink_all(devcache_shared_t *sh);

#endif
