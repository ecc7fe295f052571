/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/internal.h
 * The store's own struct, for the files that make it up and nobody else.
 *
 * devcache_store.c   lookup, large bodies
 * store/tend.c       the handle: opened, watched, let go of, opened again
 * store/attach.c     a root: attached to alone or as a peer
 * store/volume.c     whether its volume is there at all
 * store/settle.c     what a lone process does with the files it finds
 * store/carry.c      from an index of one size to one of another
 * store/fill.c       fill, publish, refresh, remove
 * store/twin.c       one body for those that have the same
 * store/evict.c      making room
 * store/sweep.c      purges of many; store/ring.c, those that are remembered
 * store/segment.c    the files below the root; store/record.c, their bytes
 * store/hot.c        records in this process's memory
 * store/mapping.c    the file that is mapped; store/shared.c, its layout
 * store/slot.c, store/head.c, store/index.c, store/spec.c, store/ghost.c  what lies there
 * store/say.c        log and statistics
 */
#ifndef DEVCACHE_STORE_INTERNAL_H
#define DEVCACHE_STORE_INTERNAL_H

#include <pthread.h>
#include "store/hot.h"
#include "store/index.h"
#include "store/slot.h"
#include "devcache_store.h"

#define DEVCACHE_VERIFIED 64            /* bodies that are known to have been verified */
#define DEVCACHE_OPEN_FILES 256         /* segments kept open per process */
#define DEVCACHE_SEGMENT_MAX (1u << 30) /* bytes */

/** A segment this process has open. */
typedef struct devcache_open_t {
    apr_uint64_t serial; /* 0: empty */
    apr_uint64_t salt;
    int fd;
    unsigned refs; /* calls that are using fd now */
} devcache_open_t;

/** A root that this process has attached. All files of the store but the last two work on
 * one; the handle that the public calls are given leads to it as long as it is of use. */
typedef struct devcache_root_t {
    devcache_store_conf_t conf;
    devcache_geometry_t g; /* as configured */
    devcache_shared_t sh;  /* the index as mapped; the same geometry while it is in use */
    int root_fd;
    dev_t device; /* of the directory */
    ino_t inode;
    int lock_fd;             /* shared flock, held as long as a process has it */
    apr_uint64_t record_max; /* longest record, bytes */
    apr_uint64_t body_max;   /* longest body, bytes */

    pthread_mutex_t open_lock;                 /* the next two; never held during I/O */
    devcache_open_t open[DEVCACHE_OPEN_FILES]; /* by slot, modulo */
    apr_uint64_t evictions_seen;               /* relaxed; how far `open` is swept */

    apr_pool_t *hot_pool; /* for the next, used by who makes and who ends the root */
    devcache_hot_t *hot;  /* NULL: none */
    apr_uint64_t verified[DEVCACHE_VERIFIED]; /* relaxed; store/body.c */

    apr_uint64_t damaged_serial; /* relaxed; segment last reported as damaged */
    int read_failed;             /* relaxed; 1: this process could not read a file */
    int gone;                    /* atomic; 1: let go of: nothing more is published */

    struct devcache_root_t *next; /* of those that were let go of */
} devcache_root_t;

#define DEVCACHE_SAID 8 /* sentences about trouble that are known to have been said */

/** What the log was told lately, by any process. All of it atomic. */
typedef struct devcache_said_t {
    apr_uint64_t what[DEVCACHE_SAID]; /* hashes of sentences, in no order */
    apr_time_t at[DEVCACHE_SAID];     /* monotonic */
    apr_uint32_t stands;              /* 1: nobody has said yet that it is over */
} devcache_said_t;

struct devcache_store_t {
    devcache_store_conf_t conf;
    apr_pool_t *pool;
    apr_size_t memory;     /* for records, bytes; since child_init */
    devcache_root_t *root; /* atomic; NULL: away */
    devcache_root_t *past; /* tending; let go of, or not yet all of it */

    pthread_mutex_t tending; /* what follows; may be held during I/O, so only tried where
                              * somebody waits for an answer */
    apr_time_t tried_at;     /* monotonic; the latest try to attach */
    apr_interval_time_t patience; /* until the next one */
    unsigned failures;            /* of these tries, one after the other */
    devcache_said_t *said;        /* shared by all processes of the server */

    pthread_mutex_t telling; /* `trouble`, for moments only */
    char trouble[640];       /* one sentence; "": none */

    pthread_t tender; /* a child's thread */
    pthread_cond_t wake;
    pthread_mutex_t sleeping; /* the next two, and `wake` */
    int has_tender, ending;
};

/** The root to work on now; NULL: the store is away. */
static inline devcache_root_t *devcache_store_root(const devcache_store_t *store)
{
    devcache_root_t *root = __atomic_load_n(&store->root, __ATOMIC_ACQUIRE);

    return root && !__atomic_load_n(&root->sh.broken, __ATOMIC_RELAXED) ? root : NULL;
}

/** Behind devcache_hit_t.where. */
struct devcache_location_t {
    devcache_root_t *root;    /* where it was found */
    devcache_entry_t entry;   /* as it was found */
    devcache_file_t body;     /* of a large body; serial 0: inline */
    apr_uint64_t body_sum;    /* as in its record */
    devcache_file_t segment;  /* that its record is in, or the one that has its body, */
    apr_uint64_t inline_from; /* and the offset of the body there */
};

/** A file of the caller's own for @a fd, which is closed with the pool, or now on error. */
apr_status_t devcache_store_as_file(int fd, apr_file_t **pfile, apr_pool_t *p);

#endif
