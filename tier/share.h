/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/share.h
 * Objects that machines share: found on a server, and put there.
 *
 * Ownership  Results live in the pool of the call.
 * Locks      None held on return.
 * Processes  Any thread of any child; a thread of each child's own connects, and sends
 *            what is offered, from a bounded queue.
 * Errors     Whatever fails or is doubtful: not found, or not sent; counted.
 */
#ifndef DEVCACHE_TIER_SHARE_H
#define DEVCACHE_TIER_SHARE_H

#include "tier/object.h"
#include "tier/tier.h"

#define DEVCACHE_SHARE_SPECS 4 /* under which an object is looked for at once */
#define DEVCACHE_SHARE_LEFT_MAX                                                          \
    apr_time_from_sec(10 * 366 * 86400) /* no longer lifetime */

/** What is looked for. */
typedef struct devcache_share_wanted_t {
    devcache_slice_t key;
    apr_uint64_t configuration;   /* hash of all that decides what is whose */
    devcache_variant_fn *variant; /* the request's values under a spec */
    void *baton;
    const char *specs[DEVCACHE_SHARE_SPECS]; /* the first one is what anybody would look
                                              * under who knows nothing */
    unsigned nspecs;                         /* one at least */
} devcache_share_wanted_t;

/** What there is; of several, the one that comes nearest to what is wanted. */
typedef enum devcache_share_found_e {
    DEVCACHE_SHARE_UNASKED, /* no server could be asked, or it failed */
    DEVCACHE_SHARE_NOTHING,
    DEVCACHE_SHARE_DAMAGED, /* what is there is none, or not signed with our key */
    DEVCACHE_SHARE_EXPIRED, /* it is too old, */
    DEVCACHE_SHARE_PURGED,  /* or from before a purge, or that cannot be told */
    DEVCACHE_SHARE_FOUND
} devcache_share_found_e;

typedef struct devcache_share_object_t {
    devcache_record_t record;
    const char *spec;         /* of the record, with a NUL behind it */
    apr_interval_time_t age;  /* now */
    apr_interval_time_t left; /* of its lifetime; above 0 */
    int others_purged; /* it is from before a purge of its path with another query */
} devcache_share_object_t;

/** Are objects shared? */
int devcache_share_is_on(const devcache_tier_t *tier);

/**
 * Ask the server of this key. One round trip, seldom two.
 * To be called after the fill has begun that it will be stored by.
 */
devcache_share_found_e devcache_share_find(devcache_tier_t *tier,
                                           const devcache_share_wanted_t *wanted,
                                           devcache_share_object_t *out, apr_pool_t *p);

/** The same, to be told of: it is not counted. */
devcache_share_found_e devcache_share_peek(devcache_tier_t *tier,
                                           const devcache_share_wanted_t *wanted,
                                           devcache_share_object_t *out, apr_pool_t *p);

/**
 * Which server a key has.
 * @param pwhy  static text: why no objects are shared by way of it, or nothing more is put
 *              there; NULL: they are
 * @return its URL; NULL: none of them can be used
 */
const char *devcache_share_server(const devcache_tier_t *tier, devcache_slice_t key,
                                  const char **pwhy);

/** Before a fetch begins: what is known, for what may be offered when it has ended. */
void devcache_share_note(devcache_tier_t *tier, devcache_slice_t key,
                         devcache_recent_then_t *then);

/** What this machine has removed for itself must not come back. Before it is removed. */
void devcache_share_forget(devcache_tier_t *tier, devcache_slice_t key);

/** What has been fetched. */
typedef struct devcache_share_offer_t {
    devcache_slice_t key;
    apr_uint64_t configuration;
    const char *first_spec;         /* as specs[0] above, */
    devcache_slice_t first_variant; /* and the values under it; data NULL: no hint */
    const devcache_publish_t *what;
    apr_uint64_t body_len;
    devcache_recent_then_t then;
    apr_time_t began;         /* the fetch; monotonic */
    apr_interval_time_t age;  /* now */
    apr_interval_time_t left; /* of its lifetime */
} devcache_share_offer_t;

/** Why it would not be put there, queue or not; static text, NULL: it would be. */
const char *devcache_share_refuses(devcache_tier_t *tier,
                                   const devcache_share_offer_t *offer);

typedef struct devcache_share_item_t devcache_share_item_t;

/**
 * Make room for an object.
 * @param body  where the caller puts body_len bytes
 * @param p     scratch
 * @return NULL: it is too large, or the queue is full, or nothing can be sent
 */
devcache_share_item_t *devcache_share_begin(devcache_tier_t *tier,
                                            const devcache_share_offer_t *offer,
                                            apr_pool_t *p, char **body);

/** It is stored: send it when there is time. Any thread. @a p: scratch */
void devcache_share_send(devcache_tier_t *tier, devcache_share_item_t *item,
                         apr_pool_t *p);

/** It is not. NULL is allowed. */
void devcache_share_drop(devcache_tier_t *tier, devcache_share_item_t *item);

/* ---- locks: DevCacheTierUse locks ---------------------------------------------------- */

/** Are locks shared? */
int devcache_share_locks(const devcache_tier_t *tier);

typedef struct devcache_share_lock_t devcache_share_lock_t;

typedef enum devcache_share_locked_e {
    DEVCACHE_SHARE_UNLOCKED, /* no server could be asked: fetch */
    DEVCACHE_SHARE_OURS,     /* fetch; *plock is to be given back */
    DEVCACHE_SHARE_THEIRS,   /* somebody else does */
    DEVCACHE_SHARE_AVOIDED   /* what was fetched last was not for all: see *pfor */
} devcache_share_locked_e;

/**
 * Be the one that fetches, in all machines. The lock is a lease of three seconds, renewed
 * each second by the child's thread until it is given back.
 * @param spec    and the values under it tell what is fetched, as far as that is known
 * @param pfor    for AVOIDED: for how long it still is
 * @param pthere  for OURS: somebody may have put the object there just before
 */
devcache_share_locked_e
devcache_share_lock(devcache_tier_t *tier, const devcache_share_wanted_t *wanted,
                    const char *spec, devcache_share_lock_t **plock,
                    apr_interval_time_t *pfor, int *pthere, apr_pool_t *p);

/** Somebody waits for another machine. */
void devcache_share_count_wait(devcache_tier_t *tier);

/**
 * Give it back, when all that was sent before is there.
 * @param avoid  let nobody wait for the next one for so long, as it is not for all; 0
 */
void devcache_share_unlock(devcache_tier_t *tier, devcache_share_lock_t *lock,
                           apr_interval_time_t avoid);

#endif
