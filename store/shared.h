/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/shared.h
 * The shared memory of a store: its layout, its locks, its counters.
 *
 * Knows where things lie; devcache_index, devcache_slot and devcache_spec know what they
 * mean. Everything here is a hint that survives restarts: whoever reads it checks it
 * against the geometry in devcache_shared_t, which is private to the process.
 * Locks      Robust and process-shared; order: evict, then one of the others alone. None
 *            but evict is held during I/O.
 * Units      Sizes in bytes unless stated.
 */
#ifndef DEVCACHE_STORE_SHARED_H
#define DEVCACHE_STORE_SHARED_H

#include <pthread.h>
#include <apr_pools.h>
#include <apr_time.h>
#include <sys/types.h>
#include "base/bytes.h"
#include "base/lock.h"

#define DEVCACHE_NO_SLOT 0xffffu
#define DEVCACHE_NO_ENTRY 0xffffffffu
#define DEVCACHE_SPECS 1024             /* distinct variant specs, a power of two */
#define DEVCACHE_SPEC_TEXT (256 * 1024) /* bytes of all spec texts */
#define DEVCACHE_RING 32                /* removals remembered per stripe */
#define DEVCACHE_BANS 256               /* purges of many that are remembered, */
#define DEVCACHE_BAN_TEXT (64 * 1024)   /* with so many bytes that say what about */
#define DEVCACHE_HEADS 8                /* segments of a queue that are open at most */

typedef enum devcache_queue_t {
    DEVCACHE_PROBATION = 0,
    DEVCACHE_MAIN = 1,
    DEVCACHE_QUEUES = 2
} devcache_queue_t;

/** What fixes the layout. Servers that share a root must agree on all of it. */
typedef struct devcache_geometry_t {
    apr_uint64_t size; /* bound of all files */
    apr_uint64_t segment_size;
    apr_uint32_t stripes; /* a power of two */
    apr_uint32_t entries; /* per stripe */
    apr_uint32_t buckets; /* per stripe, a power of two */
    apr_uint32_t slots;   /* at most DEVCACHE_NO_SLOT */
    apr_uint32_t ghosts;  /* a power of two */
    apr_uint32_t heads;   /* of each queue, 1..DEVCACHE_HEADS */
} devcache_geometry_t;

/** One stored variant. Read by copying its words; written under the stripe's lock. */
typedef union devcache_entry_t {
    struct {
        apr_uint64_t key_hash;
        apr_uint64_t variant_hash; /* over spec text and variant bytes */
        apr_int64_t stored_at;     /* microseconds */
        apr_uint32_t serial;       /* low bits of the segment's */
        apr_uint32_t body_serial;  /* low bits of that of the file with its body */
        apr_uint32_t offset;       /* in the segment, in units of 64 bytes */
        apr_uint32_t length;       /* of the record, bytes */
        apr_uint32_t fresh_until;  /* seconds */
        apr_uint32_t next;      /* in the chain or the free list; index in the stripe */
        apr_uint16_t slot;      /* of the segment */
        apr_uint16_t spec;      /* id */
        apr_uint16_t body_slot; /* of a body file, or of the segment with another record
                                 * that has the body; DEVCACHE_NO_SLOT: inline */
        unsigned char use;      /* 0..3; readers raise it without lock */
        unsigned char used;     /* 1: in a chain, 0: free */
    };
    apr_uint64_t words[7]; /* the last one holds `used` */
} devcache_entry_t;

typedef struct devcache_removal_t {
    apr_uint64_t key_hash;
    apr_uint64_t ticket; /* 0: empty */
} devcache_removal_t;

typedef struct devcache_stripe_t {
    pthread_mutex_t lock;
    apr_uint32_t generation; /* odd while the stripe is being changed */
    apr_uint32_t free;       /* head of the list of free entries */
    apr_uint32_t count;      /* entries in chains */
    apr_uint32_t hand;       /* where the next sweep begins */
    apr_uint64_t ticket;     /* of the latest removal */
    apr_uint64_t floor;      /* removals up to this one may be forgotten */
    devcache_removal_t ring[DEVCACHE_RING];
} __attribute__((aligned(64))) devcache_stripe_t;

typedef enum devcache_slot_state_t {
    DEVCACHE_SLOT_FREE = 0,
    DEVCACHE_SLOT_FILLING, /* made by one process: owner_pid */
    DEVCACHE_SLOT_SPARE,   /* an empty segment, ready to become a head */
    DEVCACHE_SLOT_OPEN,    /* a write head */
    DEVCACHE_SLOT_SEALED   /* complete; may be evicted */
} devcache_slot_state_t;

/** One file. Written under the alloc lock; serial is also read without. */
typedef struct devcache_slot_t {
    apr_uint64_t serial;      /* never reused; 0: all that names the slot is dead */
    apr_uint64_t order;       /* place in its queue */
    apr_uint64_t bytes;       /* counted against the bound */
    apr_uint64_t key_hash;    /* body: whose, since SEALED */
    apr_uint64_t owner_start; /* start time of the owner, clock ticks */
    apr_uint32_t owner_pid;
    unsigned char kind;  /* devcache_file_kind_t */
    unsigned char state; /* devcache_slot_state_t */
    unsigned char queue; /* devcache_queue_t */
    unsigned char reserved;
} devcache_slot_t;

/** A write head; a line of memory for each, as all processors change them. */
typedef struct devcache_head_t {
    apr_uint64_t next; /* slot << 48 | next offset in units; CAS, replaced under alloc */
    apr_uint64_t writers; /* a segment's serial, its low bits << 32 | how many write to it
                           * now, more or less; CAS */
    apr_uint64_t reserved[6];
} devcache_head_t;

typedef struct devcache_spec_t {
    apr_uint64_t hash;   /* 0: free; stored last, never changed after */
    apr_uint32_t offset; /* into the texts */
    apr_uint32_t len;    /* without its NUL */
} devcache_spec_t;

#define DEVCACHE_STORE_COUNTERS(C)                                                       \
    C(PUBLISHED)                                                                         \
    C(REFRESHED)                                                                         \
    C(REMOVED) C(EVICTED) C(REQUEUED) C(DAMAGED) C(ERRORS) C(NO_ROOM) C(SUPERSEDED)

typedef enum devcache_counter_t {
#define DEVCACHE_COUNTER_NAME(n) DEVCACHE_N_##n,
    DEVCACHE_STORE_COUNTERS(DEVCACHE_COUNTER_NAME)
#undef DEVCACHE_COUNTER_NAME
        DEVCACHE_N_COUNTERS
} devcache_counter_t;

/** Where the bytes of a purge lie; atomic, for store/ring.c. */
typedef struct devcache_ban_place_t {
    apr_uint64_t at;  /* the first of them, in the order of all that were ever written */
    apr_uint64_t len; /* 0: they are not kept */
} devcache_ban_place_t;

typedef struct devcache_shared_head_t {
    apr_uint64_t magic; /* stored last when made */
    apr_uint32_t version;
    apr_uint32_t layout; /* sizes of the structs of this build */
    devcache_geometry_t geometry;
    apr_uint64_t seed; /* of all hashes; random */
    apr_uint64_t id;   /* of the cache, random; stays when its size changes */
    apr_uint64_t sum;  /* over what is above, magic apart */

    apr_uint64_t world; /* in which processes know each other by their numbers: see
                         * devcache_process_world(); set by who is alone */

    pthread_mutex_t alloc;  /* slots, heads, sums; microseconds */
    pthread_mutex_t intern; /* adding a spec */
    pthread_mutex_t evict;  /* who evicts and makes spares; only ever tried */
    pthread_mutex_t bans;   /* entering a purge into the ring; microseconds */

    apr_uint64_t next_serial;    /* alloc; also the next order number */
    apr_uint64_t used;           /* alloc; sum of bytes of slots not free */
    apr_uint64_t filling;        /* alloc; of these, of bodies being filled */
    apr_uint32_t files;          /* alloc; slots not free */
    apr_uint32_t spares;         /* alloc; slots in state SPARE */
    apr_uint64_t evictions;      /* raised whenever a slot was freed */
    apr_uint32_t spec_text_used; /* intern */
    apr_uint32_t write_trouble;  /* 1: the latest write failed, and it was logged */

    apr_uint32_t disk_low;     /* 1: less than min_free is left, and it was logged */
    apr_uint32_t read_trouble; /* 1: files cannot be read, and it was logged */

    apr_uint64_t damage_said; /* relaxed; devcache_clock_allows() */

    apr_uint64_t counters[DEVCACHE_N_COUNTERS]; /* atomic, relaxed */

    devcache_head_t heads[DEVCACHE_QUEUES][DEVCACHE_HEADS];

    apr_uint64_t ban_latest;  /* bans; number of the latest purge, raised last */
    apr_uint64_t ban_written; /* bans; bytes that were ever put into ban_text */
    devcache_ban_place_t ban_ring[DEVCACHE_BANS]; /* by number, modulo */
} devcache_shared_head_t;

/** A process's view. */
typedef struct devcache_shared_t {
    devcache_geometry_t g; /* trusted; what the mapping was laid out by */
    apr_size_t len;
    dev_t device; /* of the file that is mapped */
    ino_t inode;
    int broken; /* atomic; 1: a page could not be had, all of it was given up */
    devcache_shared_head_t *head; /* NULL: nothing is mapped */
    devcache_stripe_t *stripes;
    devcache_slot_t *slots;
    devcache_spec_t *specs;
    char *spec_text;
    apr_uint64_t *ban_text; /* what the latest purges are about; atomic */
    apr_uint32_t *ghosts;   /* fingerprints; relaxed */
    apr_uint32_t *buckets;  /* first entry of each chain */
    devcache_entry_t *entries;
} devcache_shared_t;

/**
 * The geometry for a bound of @a size bytes, segments of @a segment_size and about
 * @a max_objects entries, all of them within the limits that the caller has checked.
 */
void devcache_shared_plan(devcache_geometry_t *g, apr_uint64_t size,
                          apr_uint64_t segment_size, apr_uint64_t max_objects);

/** Bytes of the mapping for @a g. */
apr_size_t devcache_shared_size(const devcache_geometry_t *g);

/**
 * Map the file @a fd, which has devcache_shared_size(g) bytes. A page that cannot be had
 * ends the mapping (sh->broken) rather than the process: see base/bus.h.
 * @return errno
 */
apr_status_t devcache_shared_map(devcache_shared_t *sh, int fd,
                                 const devcache_geometry_t *g);
void devcache_shared_unmap(devcache_shared_t *sh);

/** Give a mapping to another struct, which has none. */
void devcache_shared_hand_over(devcache_shared_t *to, devcache_shared_t *from);

/**
 * Map the file @a fd by the geometry that it states itself.
 * @param writable  0: for reading only; nothing in the mapping may be written, no lock
 *                  there taken
 * @return APR_SUCCESS; APR_ENOTIMPL: an index, but of another version or build;
 *         APR_EGENERAL: not a whole index
 */
apr_status_t devcache_shared_map_file(devcache_shared_t *sh, int fd, int writable);

/** 1 if the mapping was made by this layout and geometry and made to the end. */
int devcache_shared_valid(const devcache_shared_t *sh);

/** Lay out a mapping of zeros. The caller holds the root alone. @a id: of the cache */
void devcache_shared_format(devcache_shared_t *sh, apr_uint64_t seed, apr_uint64_t id,
                            apr_uint64_t first_serial);

/** Make all locks anew. The caller holds the root alone. */
void devcache_shared_renew_locks(devcache_shared_t *sh);

static inline void devcache_shared_count(devcache_shared_t *sh, devcache_counter_t what,
                                         apr_uint64_t n)
{
    __atomic_fetch_add(&sh->head->counters[what], n, __ATOMIC_RELAXED);
}

/** The whole serial of a slot that still is the file that the low bits mean; else 0. */
static inline apr_uint64_t devcache_shared_serial(const devcache_shared_t *sh,
                                                  unsigned slot, apr_uint32_t serial)
{
    apr_uint64_t whole = slot < sh->g.slots
                             ? __atomic_load_n(&sh->slots[slot].serial, __ATOMIC_ACQUIRE)
                             : 0;

    return (apr_uint32_t)whole == serial ? whole : 0;
}

/** Is the file still the one it was? @a serial may be only the low 32 bits. */
static inline int devcache_shared_alive(const devcache_shared_t *sh, unsigned slot,
                                        apr_uint32_t serial)
{
    return slot < sh->g.slots && serial != 0 &&
           (apr_uint32_t)__atomic_load_n(&sh->slots[slot].serial, __ATOMIC_ACQUIRE) ==
               serial;
}

#endif
