/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/recent.h
 * The latest purges, in memory that all processes of a machine share: is what somebody has
 * fetched from before one of them?
 *
 * Ownership  Made in the parent before it forks; kept over reloads.
 * Locks      One robust lock, held for microseconds; a purge's patterns are matched without.
 * Processes  Any thread of any process may note and judge. Who is killed within costs the
 *            others nothing but that all streams are read again.
 * Errors     Whatever is not known for certain: the object is not used.
 */
#ifndef DEVCACHE_TIER_RECENT_H
#define DEVCACHE_TIER_RECENT_H

#include "devcache_store.h"
#include "tier/message.h"
#include "tier/state.h"

#define DEVCACHE_RECENT_PURGES 4096 /* at most, and so many bytes of them */
#define DEVCACHE_RECENT_BYTES (1u << 20)
#define DEVCACHE_RECENT_NOWHERE DEVCACHE_TIER_SERVERS /* not read in any stream yet */

typedef struct devcache_recent_t devcache_recent_t;

/** What was known when a fetch began. */
typedef struct devcache_recent_then_t {
    unsigned at;                 /* number of the server that the object is for */
    apr_uint64_t run;            /* its run, hashed */
    devcache_tier_id_t position; /* up to there all purges of its stream were applied */
    apr_uint64_t node, number;   /* and all of that machine's own */
} devcache_recent_then_t;

/** @param lasting  a pool of the process; what it has for this root is taken again */
devcache_recent_t *devcache_recent_open(const char *root, apr_pool_t *lasting);

/**
 * Note a purge, before it is carried out.
 * @param at     the stream that it was read from, or DEVCACHE_RECENT_NOWHERE
 * @param id     of its entry there
 * @param purge  NULL: the entry is none, or purges nothing
 */
void devcache_recent_note(devcache_recent_t *recent, unsigned at, devcache_tier_id_t id,
                          const devcache_tier_purge_t *purge, apr_pool_t *p);

/** Objects under a key were removed here for a reason that concerns nobody else. */
void devcache_recent_note_key(devcache_recent_t *recent, devcache_slice_t key,
                              apr_time_t monotonic);

/** A stream has a gap, or is another one: nothing that was read before can be compared. */
void devcache_recent_forget(devcache_recent_t *recent, unsigned at);

/** Objects of this stream's server are not used until that machine's purges up to this
 * number have come by it. */
void devcache_recent_await(devcache_recent_t *recent, unsigned at, apr_uint64_t node,
                           apr_uint64_t number);

/**
 * What stands in a stream is noted from some entry on without a gap: it can be used.
 * @param run  of its server; 0: it cannot be, for another reason
 */
void devcache_recent_begin(devcache_recent_t *recent, unsigned at, apr_uint64_t run);

/** The run for which a stream is known; 0: it cannot be used now. */
apr_uint64_t devcache_recent_run(const devcache_recent_t *recent, unsigned at);

/** Does any entry of this stream stand there? */
int devcache_recent_has(devcache_recent_t *recent, unsigned at);

/**
 * Has a server's clock been set back? As far as this machine has seen that.
 * @param clock  what it says
 * @param took   microseconds since it was asked
 * @param pnews  1: nobody has seen that before
 * @return what was written up to this instant may be older than it seems; 0: nothing is
 */
apr_time_t devcache_recent_set_back(devcache_recent_t *recent, unsigned at,
                                    apr_time_t clock, apr_interval_time_t took,
                                    int *pnews);

/**
 * Is an object from after each purge that is about it?
 * @param then   what its maker knew
 * @param age    microseconds since its fetch began
 * @param now    monotonic
 * @param pothers  set where it is: is it from before one of its path with another query?
 * @return 0 if not, or if that cannot be told
 */
int devcache_recent_allows(devcache_recent_t *recent, const devcache_recent_then_t *then,
                           apr_interval_time_t age, apr_time_t now,
                           const devcache_described_t *object, int *pothers,
                           apr_pool_t *p);

#endif
