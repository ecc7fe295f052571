/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/state.h
 * What the processes of one machine know about the others, in a file below the store's
 * root that they all have mapped.
 *
 * Ownership  The mapping lives as long as the pool that it was opened with; children
 *            inherit it.
 * Locks      None. Each word has one writer, which is named, or is changed atomically.
 * Processes  The leader is the process that holds the lock on the file LOCK; see
 *            tier/tier.c. What is written to the mapping outlives every process.
 */
#ifndef DEVCACHE_TIER_STATE_H
#define DEVCACHE_TIER_STATE_H

#include <apr_pools.h>
#include <apr_time.h>
#include "stats/histogram.h"

#define DEVCACHE_TIER_SERVERS 8
#define DEVCACHE_TIER_NODES 64
#define DEVCACHE_TIER_NAME_MAX 64

/** A position in a stream: the id of an entry of Redis. */
typedef struct devcache_tier_id_t {
    apr_uint64_t ms, seq;
} devcache_tier_id_t;

/** One server. Written by the leader only. */
typedef struct devcache_tier_server_t {
    apr_uint64_t url_hash; /* of it and DevCacheTierName; 0: not in use */
    apr_uint64_t run_hash; /* of the server's run_id, when the position was so */
    devcache_tier_id_t positions[2]; /* one of them is valid: */
    apr_uint32_t position_at;        /* which, 0 or 1; */
    apr_uint32_t known;              /* or none is yet, then 0 */
    apr_uint64_t sent;               /* up to where in the outbox it has everything */
    apr_uint32_t reading, writing;   /* 1: that connection works; only while led_until */
    apr_uint64_t last_read;          /* monotonic microseconds */
    apr_uint64_t failures, gaps, entries, refused; /* counters */
    char trouble[160];                             /* what was last wrong; "" */
    char said[160]; /* and what of that stands in the log */
} devcache_tier_server_t;

/** Another machine, as its heartbeats have it. Written by the leader only. */
typedef struct devcache_tier_node_t {
    apr_uint64_t id;      /* 0: not in use */
    apr_uint64_t seen;    /* monotonic microseconds of its latest heartbeat */
    apr_uint64_t applied; /* number of the latest of our purges that it has applied */
    apr_uint64_t outbox;  /* purges that it could not send yet */
    char name[DEVCACHE_TIER_NAME_MAX];
} devcache_tier_node_t;

/** The latest purge of each machine that was applied here. Written by the leader only. */
typedef struct devcache_tier_applied_t {
    apr_uint64_t id, number;
} devcache_tier_applied_t;

#define DEVCACHE_TIER_QUEUES 64

/** What a child has in its queue. Written by that child. */
typedef struct devcache_tier_queue_t {
    apr_uint64_t bytes, at; /* monotonic microseconds */
} devcache_tier_queue_t;

/** Counters of shared objects. Any process. */
typedef struct devcache_tier_books_t {
    apr_uint64_t hits, misses, bytes_in;
    apr_uint64_t unasked; /* no server could be asked, or it did not answer */
    apr_uint64_t damaged; /* what was found was none, or not signed with our key */
    apr_uint64_t purged;  /* it was from before a purge, or that could not be told */
    apr_uint64_t expired; /* or too old */
    apr_uint64_t sent, bytes_out;
    apr_uint64_t dropped; /* not sent: the queue was full, or a server did not take it */
    apr_uint64_t too_large; /* not sent: longer than DevCacheTierMaxObject */
    apr_uint64_t late;      /* not sent: purged or expired by then */
    apr_uint64_t locks, waits, marks;
    devcache_histogram_t answers; /* until a server's answer was there */
    devcache_tier_queue_t queues[DEVCACHE_TIER_QUEUES]; /* by process, modulo */
} devcache_tier_books_t;

typedef struct devcache_tier_state_t {
    char magic[8];
    apr_uint64_t node;       /* this machine's id: random; a new one after a reboot */
    apr_uint64_t place;      /* hash of the machine and the file that have this id */
    apr_uint32_t generation; /* of the configuration; raised by each start and reload */
    apr_uint32_t doubt_due;  /* an order to validate everything is not carried out yet */
    /* The outbox, as offsets since ever. Written under its lock. */
    apr_uint64_t number;  /* of the latest purge of this machine */
    apr_uint64_t base;    /* what the file's first byte is */
    apr_uint64_t end;     /* behind its last purge */
    apr_uint64_t waiting; /* purges in the file */
    /* Words to wait on, raised at each change. */
    apr_uint32_t queued;    /* a purge came into the outbox */
    apr_uint32_t sent;      /* a server has more, or it was found out that it cannot */
    apr_uint32_t heard;     /* a node's entry has changed */
    apr_uint32_t beat_due;  /* raised when somebody waits to hear what is applied */
    apr_uint64_t led_until; /* monotonic; the leader works until then at least */
    apr_uint64_t published, applied, batches, foreign, overflows; /* counters */
    devcache_tier_server_t servers[DEVCACHE_TIER_SERVERS];
    devcache_tier_node_t nodes[DEVCACHE_TIER_NODES];
    devcache_tier_applied_t latest[DEVCACHE_TIER_NODES];
    devcache_tier_books_t books;
} devcache_tier_state_t;

/**
 * Map the file, made anew if it is missing or not as it must be.
 * @param uid, gid  who the children run as; the file is theirs
 * @param perror    one sentence when not APR_SUCCESS
 */
apr_status_t devcache_tier_state_open(devcache_tier_state_t **pstate, const char *root,
                                      apr_uint32_t uid, apr_uint32_t gid,
                                      const char **perror, apr_pool_t *p);

/** Choose another id, as this one is in use elsewhere. @return 0 without randomness */
int devcache_tier_state_rename(devcache_tier_state_t *state);

/** The entry of a server, made if there is none; NULL if all are in use by others that
 * @a keep says are configured. */
devcache_tier_server_t *devcache_tier_state_server(devcache_tier_state_t *state,
                                                   apr_uint64_t url_hash,
                                                   const apr_uint64_t *keep,
                                                   unsigned nkeep);

devcache_tier_id_t devcache_tier_state_position(const devcache_tier_server_t *server);

/** A process killed within leaves the old position or the new one. */
void devcache_tier_state_move(devcache_tier_server_t *server, devcache_tier_id_t to);

/** The entry of a node; a dead one's is taken over if there is no other. */
devcache_tier_node_t *devcache_tier_state_node(devcache_tier_state_t *state,
                                               apr_uint64_t id);

/** Number of the latest purge of a node that was applied here; 0: none. */
apr_uint64_t devcache_tier_state_latest(const devcache_tier_state_t *state,
                                        apr_uint64_t id);
void devcache_tier_state_note(devcache_tier_state_t *state, apr_uint64_t id,
                              apr_uint64_t number);

/** Wait until *word is not @a seen any more, or for so many microseconds. */
void devcache_tier_state_wait(apr_uint32_t *word, apr_uint32_t seen,
                              apr_interval_time_t timeout);

/** Raise *word and wake who waits for it, in any process. */
void devcache_tier_state_raise(apr_uint32_t *word);

#endif
