/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file flight/flight.h
 * Flights: one fetch of one variant, and who waits for it, in the whole server.
 *
 * The first who needs a response joins as the owner and asks the origin; those who join
 * the same flight meanwhile follow: they wait for what the owner reports. Knows ids,
 * states, bytes and processes; does not know HTTP, httpd nor the store.
 * Ownership  A flight handle lives in the pool given; its owner must end it, a follower
 *            must leave it. The pool's cleanup does so where the caller did not.
 * Locks      None held on return. Joining, ending and taking over take one lock for
 *            microseconds; waiting, leaving and reporting progress take none.
 * Processes  Any child, any thread. An owner whose process dies is noticed by those who
 *            wait, within a quarter of a second.
 * Errors     Where there is no shared memory or no room, everybody is alone: no flight.
 */
#ifndef DEVCACHE_FLIGHT_FLIGHT_H
#define DEVCACHE_FLIGHT_FLIGHT_H

#include <apr_pools.h>
#include <apr_time.h>
#include "base/bytes.h"

typedef struct devcache_flight_t devcache_flight_t;

/** Create the table. Parent only, before it forks; @a p must outlive the children. */
apr_status_t devcache_flight_create(apr_pool_t *p);

/** For the hashes that ids are made of: nobody outside is to find URLs whose ids meet. */
apr_uint64_t devcache_flight_seed(void);

typedef enum devcache_flight_role_e {
    DEVCACHE_FLIGHT_ALONE, /* no flight: go to the origin by yourself */
    DEVCACHE_FLIGHT_OWNER,
    DEVCACHE_FLIGHT_FOLLOWER
} devcache_flight_role_e;

/**
 * Join the flight @a id, or begin it.
 * @param id      a hash of what is fetched; who follows compares the bytes themselves
 * @param ticket  devcache_store_fill_ticket() of a fill of the same key: a flight that
 *                began before a removal of the key is not joined but replaced; one that
 *                began after it is as good for who came before
 * @param only_own  1: do not follow: ALONE if somebody has it; -1: only follow: ALONE if
 *                  nobody has it; 0: either
 * @param patience  one that has not moved for so long is replaced; 0: however long
 * @param pf      set unless ALONE
 */
devcache_flight_role_e devcache_flight_join(apr_uint64_t id, apr_uint64_t ticket,
                                            int only_own, apr_interval_time_t patience,
                                            devcache_flight_t **pf, apr_pool_t *p);

/* ---- the owner's calls --------------------------------------------------- */

/** A second id under which the flight can be joined from now on, once it is known. */
void devcache_flight_alias(devcache_flight_t *f, apr_uint64_t id);

/** Let nobody join it any more; those who follow go on. */
void devcache_flight_close(devcache_flight_t *f);

/** Is it this handle's? Not if it has ended or was taken over. */
int devcache_flight_owned(const devcache_flight_t *f);

/** Followers that wait now. */
unsigned devcache_flight_followers(const devcache_flight_t *f);

/** What followers need to know of a response before its body. */
typedef struct devcache_flight_head_t {
    devcache_slice_t key; /* these three are compared, byte for byte */
    devcache_slice_t spec;
    devcache_slice_t variant;
    devcache_slice_t meta; /* opaque */
    apr_int64_t expect;    /* body bytes; -1: not known yet */
    apr_uint64_t written;  /* of these that can be read when it is announced */
    apr_uint64_t file[2];  /* opaque: where the body's bytes can be read */
} devcache_flight_head_t;

/**
 * The response may be shared and this is its head: followers may read it from now on.
 * @return APR_ENOSPC if the head is too long; followers then wait for the end
 */
apr_status_t devcache_flight_announce(devcache_flight_t *f,
                                      const devcache_flight_head_t *head);

/**
 * So many bytes of the body can be read now.
 * @param pause  no more are at hand: wake everybody, however few they are
 */
void devcache_flight_progress(devcache_flight_t *f, apr_uint64_t written, int pause);

/** Something of the response has come, whether anybody can read it or not. */
void devcache_flight_moved(devcache_flight_t *f);

typedef enum devcache_flight_result_e {
    DEVCACHE_FLIGHT_STORED = 1, /* it is in the store */
    DEVCACHE_FLIGHT_COMPLETE,   /* all bytes came, but it was not stored */
    DEVCACHE_FLIGHT_PRIVATE,    /* not to be shared: everybody for himself */
    DEVCACHE_FLIGHT_PERSONAL,   /* it was for its owner alone; others' may be for all */
    DEVCACHE_FLIGHT_FAILED,     /* the origin failed: see status */
    DEVCACHE_FLIGHT_BROKEN      /* the body ended early */
} devcache_flight_result_e;

/**
 * End the flight and wake everybody. Nothing if it was ended, taken over or @a f is NULL.
 * @param status       the origin's, or the one made in its stead
 * @param unreachable  1: it gave no answer at all
 */
void devcache_flight_end(devcache_flight_t *f, devcache_flight_result_e result,
                         int status, int unreachable);

/* ---- a follower's calls -------------------------------------------------- */

typedef enum devcache_flight_state_e {
    DEVCACHE_FLIGHT_FETCHING = 1, /* nothing is known yet */
    DEVCACHE_FLIGHT_STREAMING,    /* announced */
    DEVCACHE_FLIGHT_ENDED,        /* see result */
    DEVCACHE_FLIGHT_ORPHANED,     /* the owner's process is dead: take it over */
    DEVCACHE_FLIGHT_GONE          /* too late: the flight is another one now */
} devcache_flight_state_e;

typedef struct devcache_flight_view_t {
    devcache_flight_state_e state;
    devcache_flight_result_e result; /* where ENDED */
    int status, unreachable;         /* where ENDED */
    unsigned generation;             /* raised by each takeover */
    apr_uint64_t written;            /* body bytes that can be read */
} devcache_flight_view_t;

/**
 * Wait until the flight is no longer as in @a view.
 * @param view     in: what the caller knows, all zero: nothing; out: as it is now
 * @param timeout  microseconds
 * @return APR_SUCCESS, or APR_TIMEUP with @a view as it was
 */
apr_status_t devcache_flight_wait(devcache_flight_t *f, devcache_flight_view_t *view,
                                  apr_interval_time_t timeout);

/**
 * The head that was announced, copied.
 * @return APR_NOTFOUND if there is none any more
 */
apr_status_t devcache_flight_head(devcache_flight_t *f,
                                  const devcache_flight_view_t *view,
                                  devcache_flight_head_t *head, apr_pool_t *p);

/**
 * Become the owner of an ORPHANED flight.
 * @param ticket  as for joining
 * @return 1, or 0: somebody else did
 */
int devcache_flight_take_over(devcache_flight_t *f, const devcache_flight_view_t *view,
                              apr_uint64_t ticket);

/** When its latest follower joined it; monotonic. */
apr_time_t devcache_flight_joined_at(const devcache_flight_t *f);

/** When the flight last moved, or began; monotonic. */
apr_time_t devcache_flight_moved_at(const devcache_flight_t *f);

/** Follow no longer. Nothing if @a f is NULL or its caller is no follower. */
void devcache_flight_leave(devcache_flight_t *f);

/* ---- memory -------------------------------------------------------------- */

/**
 * How many flights have ended for keys with this hash, more or less: if it is still what
 * it was before a lookup, nothing was stored in between.
 */
apr_uint32_t devcache_flight_epoch(apr_uint64_t key_hash);
void devcache_flight_advance(apr_uint64_t key_hash);

typedef struct devcache_flight_stats_t {
    unsigned flights, streaming, followers, max_flights;
} devcache_flight_stats_t;

/** What is under way now. Ends what killed processes have left under way; what followers
 * wait for, or have waited for until they were killed as well, after five seconds. */
void devcache_flight_stats(devcache_flight_stats_t *out);

#endif
