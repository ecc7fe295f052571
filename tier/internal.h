/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/internal.h
 * The tier's own structs, for the files that make it up and nobody else.
 *
 * tier/tier.c     the facade; who leads
 * tier/reader.c   purges of others, and their heartbeats
 * tier/writer.c   our purges and heartbeats
 * tier/apply.c    what is read, applied to the store
 * tier/history.c  what was purged before this machine came; what kind of server it is
 * tier/share.c    objects: found
 * tier/send.c     objects: sent, and the child's thread that does it
 * tier/locks.c    one fetch in all machines
 */
#ifndef DEVCACHE_TIER_INTERNAL_H
#define DEVCACHE_TIER_INTERNAL_H

#include <pthread.h>
#include "tier/breaker.h"
#include "tier/outbox.h"
#include "tier/pool.h"
#include "tier/share.h"
#include "tier/tier.h"

#define DEVCACHE_TIER_PROBE (APR_USEC_PER_SEC / 2) /* between attempts to connect */
#define DEVCACHE_TIER_BEAT apr_time_from_sec(3)    /* between heartbeats */
#define DEVCACHE_TIER_LEAD apr_time_from_sec(2)    /* a leader's word holds so long */

struct devcache_tier_t {
    devcache_tier_conf_t conf;
    devcache_tier_state_t *state;
    devcache_tier_server_t *servers[DEVCACHE_TIER_SERVERS]; /* of conf.urls */
    devcache_tier_key_t key;
    const char *purges, *beats; /* names of the streams */
    const char *lock_path;
    apr_uint32_t generation; /* of this configuration */
    /* Of this child: */
    devcache_outbox_t *outbox;
    pthread_t leading;         /* the thread that leads, or would */
    int wake[2];               /* a pipe whose other end is closed when the child ends */
    int ending;                /* atomic: the child ends */
    int resigned;              /* atomic: the leader's other threads shall end */
    pthread_mutex_t apply;     /* only one thread applies at a time */
    devcache_recent_t *recent; /* NULL: conf.lasting is */
    struct devcache_share_t *share; /* NULL: objects are not shared */
};

/** May objects be put on this server, or taken from it? */
typedef enum devcache_share_policy_e {
    DEVCACHE_SHARE_NOT_KNOWN,
    DEVCACHE_SHARE_FINE,
    DEVCACHE_SHARE_FULL,   /* taken only: it evicts nothing, and has little room left */
    DEVCACHE_SHARE_EVICTS, /* neither: it could evict the stream of purges */
} devcache_share_policy_e;

/** How servers fare; shared by the children of one configuration. */
typedef struct devcache_share_weather_t {
    devcache_breaker_t breakers[DEVCACHE_TIER_SERVERS];
    apr_uint32_t
        policies[DEVCACHE_TIER_SERVERS]; /* devcache_share_policy_e; the leader */
    apr_uint64_t looked_at[DEVCACHE_TIER_SERVERS]; /* monotonic; the leader */
} devcache_share_weather_t;

#define DEVCACHE_SHARE_KNOWN_SPECS 8
#define DEVCACHE_SHARE_SPEC_MAX 128 /* bytes of one that is remembered */

typedef struct devcache_share_t {
    const char *objects, *locks; /* what their names begin with */
    devcache_share_weather_t *weather;
    /* Of this child: */
    devcache_pool_t *pools[DEVCACHE_TIER_SERVERS];   /* of conf.urls */
    devcache_link_t *writers[DEVCACHE_TIER_SERVERS]; /* the thread's own */
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    int due; /* the thread has something to do */
    devcache_share_item_t *first, *last;
    apr_size_t queued;                             /* bytes */
    struct devcache_share_lock_t *held, *returned; /* the latter to be given back */
    apr_uint64_t sent_items, queued_items;         /* since ever */
    apr_uint64_t tokens;
    char specs[DEVCACHE_SHARE_KNOWN_SPECS]
              [DEVCACHE_SHARE_SPEC_MAX]; /* the latest first */
} devcache_share_t;

/** Number of a server in state->servers, and in all that is shared by processes. */
static inline unsigned devcache_tier_at(const devcache_tier_t *tier, unsigned i)
{
    return (unsigned)(tier->servers[i] - tier->state->servers);
}

/** May objects be put on, and taken from, conf.urls[i] now? */
int devcache_share_usable(const devcache_tier_t *tier, unsigned i);

/** Why they may not, or nothing more may be put there; static text, NULL: they may. */
const char *devcache_share_trouble(const devcache_tier_t *tier, unsigned i);

/** Look there first the next time. */
void devcache_share_remember(devcache_share_t *share, const char *spec);

/** Renew locks that are held, give back those that are returned. By the child's thread. */
void devcache_locks_tend(devcache_tier_t *tier, apr_pool_t *p);

/** Names under which an object is looked for. @return how many */
unsigned devcache_share_names(const devcache_tier_t *tier,
                              const devcache_share_wanted_t *wanted,
                              const char *names[DEVCACHE_SHARE_SPECS], apr_pool_t *p);

/** Which server has this key; conf.nurls: none can be used now. */
unsigned devcache_share_choose(const devcache_tier_t *tier, devcache_slice_t key);

/** The child's thread; 0: it cannot be started. */
int devcache_send_start(devcache_tier_t *tier, apr_pool_t *pchild);
void devcache_send_end(devcache_tier_t *tier);

/** A thread that takes no signals: those are for httpd's own. @return 0 on failure */
int devcache_tier_start_thread(pthread_t *thread, void *(*run)(void *), void *baton);

/** One thread of the leader. */
typedef struct devcache_tier_worker_t {
    devcache_tier_t *tier;
    unsigned at; /* of servers */
    apr_pool_t *pool;
    devcache_link_t *link;
    pthread_t thread;
    int started;
    int failed, said;           /* in succession; its trouble stands in the log */
    int odd;                    /* entries that were none */
    int coarse;                 /* the history is too large to be read in one piece */
    devcache_tier_id_t deleted; /* the last entry that somebody took out of the stream */
} devcache_tier_worker_t;

void *devcache_tier_read(void *worker);
void *devcache_tier_write(void *worker);

/**
 * Read what was purged before, if that is not known, and look at the server. By the thread
 * that reads its stream. @return 0 if the server failed
 */
int devcache_tier_look_back(devcache_tier_worker_t *worker);

/** Shall this thread go on? */
int devcache_tier_goes_on(const devcache_tier_t *tier);

/** A server failed a worker: counted, said once, and waited for a moment. */
void devcache_tier_failed(devcache_tier_worker_t *worker, apr_uint32_t *flag,
                          const char *what);
void devcache_tier_works(devcache_tier_worker_t *worker, apr_uint32_t *flag);

/* httpd's APLOG_ levels. */
#define DEVCACHE_TIER_WARNING 4
#define DEVCACHE_TIER_NOTICE 5
#define DEVCACHE_TIER_INFO 6

/** Report through conf.log. @a tag: the number of a DCnnnn. */
void devcache_tier_say(const devcache_tier_t *tier, int level, int tag, const char *text);

/** A batch of purges of others, in their order. */
typedef struct devcache_tier_batch_t {
    devcache_tier_purge_t *purges;
    unsigned n;
} devcache_tier_batch_t;

/**
 * Apply those that are not applied yet.
 * @return 0 if one could not be carried out: they must all be read again
 */
int devcache_tier_apply(devcache_tier_t *tier, const devcache_tier_batch_t *batch,
                        apr_pool_t *p);

/** Everything must be validated before it is used again; noted until it is done. */
void devcache_tier_doubt(devcache_tier_t *tier, apr_pool_t *p);

#endif
