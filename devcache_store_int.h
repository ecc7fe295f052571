/**
 * @file devcache_store_int.h
 * The store's own struct, for the files that make it up and nobody else.
 *
 * devcache_store.c    lookup, statistics, the life of the handle
 * devcache_attach.c   opening: create, attach, repair
 * devcache_fill.c     fill, publish, refresh, remove
 * devcache_evict.c    making room
 * devcache_sweep.c    purges of many
 * devcache_rebuild.c  a lost index; devcache_bans.c, the purges in the log
 * devcache_segment.c  the files below the root
 * devcache_hot.c      records in this process's memory
 * devcache_slot.c, devcache_index.c, devcache_spec.c  shared memory
 */
#ifndef DEVCACHE_STORE_INT_H
#define DEVCACHE_STORE_INT_H

#include <pthread.h>
#include "devcache_hot.h"
#include "devcache_index.h"
#include "devcache_slot.h"
#include "devcache_store.h"

#define DEVCACHE_OPEN_FILES 256         /* segments kept open per process */
#define DEVCACHE_SEGMENT_MAX (1u << 30) /* bytes */

/** A segment this process has open. */
typedef struct devcache_open_t {
    apr_uint64_t serial; /* 0: empty */
    apr_uint64_t salt;
    int fd;
    unsigned refs; /* calls that are using fd now */
} devcache_open_t;

struct devcache_store_t {
    devcache_store_conf_t conf;
    apr_pool_t *pool;
    devcache_shared_t sh;
    int root_fd;
    int lock_fd;             /* shared flock, held as long as a process has it */
    apr_uint64_t record_max; /* longest record, bytes */
    apr_uint64_t body_max;   /* longest body, bytes */

    pthread_mutex_t open_lock;                 /* the next two; never held during I/O */
    devcache_open_t open[DEVCACHE_OPEN_FILES]; /* by slot, modulo */
    apr_uint64_t evictions_seen;               /* relaxed; how far `open` is swept */

    devcache_hot_t *hot; /* since child_init; NULL: none */

    apr_uint64_t damaged_serial; /* relaxed; segment last reported as damaged */
    int read_failed;             /* relaxed; 1: this process could not read a file */

    pthread_t rebuilder;
    int rebuilding; /* 1: rebuilder is to be joined */
    int stopping;   /* atomic; tells the rebuilder to end */
};

/** Behind devcache_hit_t.where. */
struct devcache_location_t {
    devcache_entry_t entry;   /* as it was found */
    devcache_file_t body;     /* of a large body; serial 0: inline */
    apr_uint64_t body_salt;   /* of that file */
    devcache_file_t segment;  /* that the record is in */
    apr_uint64_t inline_from; /* offset of an inline body there */
};

#define DEVCACHE_LOG_ERR 3
#define DEVCACHE_LOG_WARNING 4
#define DEVCACHE_LOG_NOTICE 5

/** Map the index below s->root_fd, alone or as a peer, and settle what lies there. */
apr_status_t devcache_attach_index(devcache_store_t *s, const char **perror);

/** Report through conf.log. */
void devcache_store_say(const devcache_store_t *s, int level, int tag, apr_status_t rv,
                        const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** The statistics of an index, without any lock: bytes and segments may be of two
 * instants. */
void devcache_store_stats_of(const devcache_shared_t *sh, devcache_store_stats_t *out);

#endif
