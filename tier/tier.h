/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/tier.h
 * Several machines: a purge reaches every one of them, and none is lost.
 *
 * The facade. Does not know httpd nor HTTP.
 * Ownership  A tier lives in the pool of the configuration; children inherit it. What
 *            belongs to a child lives in the child's pool.
 * Locks      None held on return.
 * Processes  Any thread of any child may publish, wait and look.
 * Errors     No failure of a server is an error here: what it could not take waits.
 */
#ifndef DEVCACHE_TIER_TIER_H
#define DEVCACHE_TIER_TIER_H

#include "purge/order.h"
#include "tier/link.h"
#include "tier/message.h"
#include "tier/state.h"

#define DEVCACHE_TIER_ALIVE apr_time_from_sec(10) /* without a heartbeat: not there */

typedef struct devcache_tier_t devcache_tier_t;

/** What machines share: each with those before it. */
typedef enum devcache_tier_use_e {
    DEVCACHE_TIER_PURGE = 1,
    DEVCACHE_TIER_OBJECTS,
    DEVCACHE_TIER_LOCKS
} devcache_tier_use_e;

typedef struct devcache_tier_conf_t {
    const char *root; /* of the store; absolute */
    apr_uint32_t uid, gid;
    devcache_url_t urls[DEVCACHE_TIER_SERVERS];
    unsigned nurls;
    const char *password;     /* of all of them; NULL: none */
    devcache_wire_tls_t *tls; /* for those that speak it */
    devcache_slice_t key;     /* to sign with; data NULL: nothing is signed */
    const char *name;         /* DevCacheTierName */
    const char *host;         /* what people call this machine */
    apr_interval_time_t connect_time, answer_time;
    const unsigned *ports; /* that this server listens on: see purge/order.h */
    unsigned nports;
    devcache_store_t *store;
    devcache_store_log_fn *log;
    devcache_tier_use_e use;
    apr_size_t max_object; /* bytes of an object's record that is shared */
    apr_size_t queue;      /* bytes of a child's objects that wait to be sent */
    apr_pool_t *lasting;   /* of the process, over reloads; NULL: purges alone */
} devcache_tier_conf_t;

/** Called in the parent before it forks, at each start and reload. */
apr_status_t devcache_tier_open(devcache_tier_t **ptier, const devcache_tier_conf_t *conf,
                                const char **perror, apr_pool_t *p);

/** Once per child. Starts a thread, ended and joined when @a pchild dies. */
apr_status_t devcache_tier_child_init(devcache_tier_t *tier, apr_pool_t *pchild);

typedef struct devcache_tier_sent_t {
    apr_uint64_t number, end;
} devcache_tier_sent_t;

/**
 * Have every other machine carry out this order as well. When it returns the purge is on
 * this machine's disk, and is sent whatever dies.
 * @param wanted  the caller will wait for the others
 */
apr_status_t devcache_tier_publish(devcache_tier_t *tier, const devcache_order_t *order,
                                   int wanted, devcache_tier_sent_t *sent, apr_pool_t *p);

/**
 * Wait until one server has it, or until it is known that none can take it now.
 * @return how many servers have it
 */
unsigned devcache_tier_wait_sent(devcache_tier_t *tier, const devcache_tier_sent_t *sent);

/** Who has applied it. */
typedef struct devcache_tier_reach_t {
    unsigned nodes, applied;     /* this one included */
    apr_array_header_t *missing; /* const char *: names of those that have not */
} devcache_tier_reach_t;

/** Wait until all nodes that are there have applied it, so long at most. */
void devcache_tier_wait_applied(devcache_tier_t *tier, const devcache_tier_sent_t *sent,
                                apr_interval_time_t timeout, devcache_tier_reach_t *reach,
                                apr_pool_t *p);

/** Machines that are there, this one included. */
unsigned devcache_tier_nodes(const devcache_tier_t *tier);

/** What is shown. */
typedef struct devcache_tier_shown_server_t {
    const char *url, *trouble; /* trouble "": all is well */
    int reading, writing;
    int objects;                 /* are put on it, or taken from it, now */
    const char *objects_trouble; /* why they are not; "": all is well */
    apr_interval_time_t silent;  /* since anything was read from it; -1: never */
    apr_uint64_t waiting;        /* bytes that it has not been sent yet */
    apr_uint64_t failures, gaps, entries, refused;
} devcache_tier_shown_server_t;

typedef struct devcache_tier_shown_node_t {
    const char *name;
    apr_uint64_t id;
    int is_this;
    apr_interval_time_t seen;     /* since its latest heartbeat */
    apr_uint64_t outbox, applied; /* applied: the latest of our purges */
} devcache_tier_shown_node_t;

typedef struct devcache_tier_shown_t {
    const char *name;
    int led; /* some process of this machine reads and sends */
    devcache_tier_use_e use;
    devcache_tier_books_t books;
    apr_uint64_t queued; /* bytes of objects that wait to be sent, in all children */
    apr_uint64_t outbox, number, published, applied, batches, foreign, overflows;
    devcache_tier_shown_server_t servers[DEVCACHE_TIER_SERVERS];
    unsigned nservers;
    devcache_tier_shown_node_t nodes[DEVCACHE_TIER_NODES + 1];
    unsigned nnodes; /* those heard of within a day, this one first */
} devcache_tier_shown_t;

void devcache_tier_show(const devcache_tier_t *tier, devcache_tier_shown_t *out,
                        apr_pool_t *p);

#endif
