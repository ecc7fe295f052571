/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file devcache_store.h
 * Stored objects: records in append-only segments, published in a shared index.
 *
 * Knows keys, variants, bytes and instants. Does not know HTTP or httpd.
 * Ownership  A hit and a fill live in the pool given; what they hold is released
 *            when that pool dies, or earlier by the call that ends them.
 * Locks      None held on return. Publishing takes one index stripe for microseconds
 *            and never during I/O; a lookup takes no shared lock.
 * Processes  Any child, any thread may call anything, except where stated. A process
 *            killed at any instruction leaves nothing that needs it.
 * Units      Sizes in bytes, instants apr_time_t.
 * Errors     Every error means "serve without the cache"; the store counts it, and
 *            reports it through conf.log once per change of condition.
 */
#ifndef DEVCACHE_STORE_H
#define DEVCACHE_STORE_H

#include <apr_pools.h>
#include <apr_time.h>
#include <apr_file_io.h>
#include "base/bytes.h"

typedef struct devcache_store_t devcache_store_t;

/** Levels and numbers are httpd's APLOG_ levels; @a tag is the number of a DCnnnn. */
typedef void devcache_store_log_fn(int level, int tag, apr_status_t rv, const char *msg);

/** What an object says about itself to those who judge it. */
typedef struct devcache_described_t {
    devcache_slice_t key;
    devcache_slice_t spec;
    devcache_slice_t variant;
    devcache_slice_t tags;
    devcache_slice_t meta;
} devcache_described_t;

typedef struct devcache_store_conf_t {
    const char *root;  /* absolute path of an existing directory, no slash at its end */
    apr_uint64_t size; /* bound of all segment and body files together, bytes */
    apr_uint64_t segment_size;  /* bytes; 0: chosen from size */
    apr_uint64_t max_objects;   /* 0: chosen from size */
    apr_uint64_t min_free;      /* leave this much free on the file system, bytes */
    apr_uint32_t uid;           /* who the children run as; the root must be theirs, */
    apr_uint32_t gid;           /* and files made by root are given to them */
    const char *volumes;        /* a file outside of all roots, in which is remembered on
                                 * which volume each lies: store/volume.h; NULL: none */
    devcache_store_log_fn *log; /* NULL: silent */
    /* What devcache_store_purge() is given: compile it, NULL on failure; is an object
     * what it is about? NULL: nothing can be purged by it, and what was goes whole. */
    void *(*ban_open)(devcache_slice_t what, apr_pool_t *p);
    int (*ban_matches)(void *ban, const devcache_described_t *object);
} devcache_store_conf_t;

/**
 * Would devcache_store_open() take these sizes, and could it use this directory? Nothing
 * is made there.
 * @param perror  one sentence
 * @return APR_SUCCESS; APR_EINVAL: the sizes cannot be; any other: the directory cannot be
 *         used as it is now
 */
apr_status_t devcache_store_check(const devcache_store_conf_t *conf, const char **perror,
                                  apr_pool_t *p);

/**
 * Open the store below conf->root. Called in the parent before it forks; what it attaches
 * to is inherited by its children.
 * The directory must exist, belong to conf->uid, not be writable by others and not be
 * a symbolic link. The first server on a root holds it alone while it repairs the index
 * (locks anew, chains relinked, leftovers of killed fills removed); later ones attach to
 * the same index if it has the same geometry, and cannot use it otherwise.
 * A missing or damaged index is made anew, and what was stored is deleted; one of another
 * size is replaced by one that has what fits.
 * Where the directory cannot be used now, the store is opened all the same: it is away,
 * finds nothing and stores nothing, until devcache_store_tend() or a child's thread has
 * been able to attach to it. The log is told.
 * @param perror  set to one sentence for the administrator if the store is away or is not
 *                opened: what is wrong with which path and what to do
 * @param p       the store lives as long as this pool
 * @return APR_EINVAL if the sizes cannot be: it is not opened
 */
apr_status_t devcache_store_open(devcache_store_t **pstore,
                                 const devcache_store_conf_t *conf, const char **perror,
                                 apr_pool_t *p);

/**
 * In the parent, now and then: look whether what is attached still is what lies below
 * conf->root, let go of it if not, and attach to what does. Children have a thread that
 * does it. May take as long as the disk does.
 */
void devcache_store_tend(devcache_store_t *s);

/** 0: the store is away, and every call would be in vain. */
int devcache_store_usable(const devcache_store_t *s);

/** NULL, or one sentence in @a p: why the store is away, in this process, now. */
const char *devcache_store_trouble(devcache_store_t *s, apr_pool_t *p);

/**
 * Once per child process, after fork, before any other call there: the child's own
 * descriptors; removes what killed children left; starts the thread that tends the store
 * (ended when @a pchild dies).
 * @param memory  bytes in this process for records that are looked up often; 0: none
 * @return the thread could not be started: the store works, but does not come back if it
 *         goes away
 */
apr_status_t devcache_store_child_init(devcache_store_t *s, apr_size_t memory,
                                       apr_pool_t *pchild);

/**
 * The request's values for a variant spec, as bytes to be compared with the stored ones.
 * Called during lookup, without locks, at most once per distinct spec.
 * @return a slice with data == NULL if nothing stored under this spec may be used
 */
typedef devcache_slice_t devcache_variant_fn(void *baton, const char *spec,
                                             apr_pool_t *p);

/** What was found. Everything is in the pool of the lookup and is never changed. */
#define DEVCACHE_STORE_ROOM 512

typedef struct devcache_hit_t {
    apr_time_t requested_at; /* as given at publication */
    apr_time_t stored_at;
    apr_time_t fresh_until; /* earlier than was given, after a soft purge */
    const char *spec;       /* its variant spec */
    devcache_slice_t variant;
    devcache_slice_t meta; /* the caller's own bytes, checksum verified */
    devcache_slice_t tags; /* as given at publication */
    devcache_slice_t body; /* a small body, checksum verified; data NULL if large */
    apr_uint64_t body_len; /* bytes, small or large */
    void *room;            /* NULL: a file was read for it. Else it was found in this
                            * process's memory, and here are DEVCACHE_STORE_ROOM bytes that
                            * stay with it: zero at first, shared by all who find it */
    struct devcache_location_t
        *where; /* the store's own: where it lies, for refresh, drop */
} devcache_hit_t;

/**
 * Find the stored variant of @a key that fits. Of several, one that had expired when
 * another was stored gives way to that; then the spec with most names (words with a
 * space between them) is preferred, then the newest stored_at.
 * Magic, full key, spec, variant and checksums are verified when a record is read; a
 * damaged one is forgotten and counts as not found. A found object's use is noted for
 * eviction.
 * @param key  full canonical key bytes
 * @return APR_SUCCESS   *phit is set; it may be stale, that is the caller's to judge
 *         APR_NOTFOUND  nothing fits
 *         other         I/O error, counted; treat as not found
 */
apr_status_t devcache_store_lookup(devcache_store_t *s, devcache_slice_t key,
                                   devcache_variant_fn *variant, void *baton,
                                   devcache_hit_t **phit, apr_pool_t *p);

/**
 * Hold the bytes of a hit that was found in memory (room is set) for longer than its pool.
 * @return an address at or before all its slices, for devcache_store_let_go()
 */
void *devcache_store_hold(const devcache_hit_t *hit);

/** Give them back, in any thread. */
void devcache_store_let_go(void *held);

/** As devcache_store_lookup(), but it does not count as a use of what is found. */
apr_status_t devcache_store_peek(devcache_store_t *s, devcache_slice_t key,
                                 devcache_variant_fn *variant, void *baton,
                                 devcache_hit_t **phit, apr_pool_t *p);

/** A stored variant of a key. The bytes are good during the call. */
typedef void devcache_variant_seen_fn(void *baton, const char *spec,
                                      devcache_slice_t variant);

/**
 * For explanations: show the variants that a key has, the newest first, @a max at most.
 * Each is read from disk. It does not count as a use.
 */
void devcache_store_show_variants(devcache_store_t *s, devcache_slice_t key,
                                  devcache_variant_seen_fn *seen, void *baton,
                                  unsigned max, apr_pool_t *p);

/**
 * The body of a hit that has none in memory, because it is long, as a file of the caller's
 * own (own descriptor and position, closed with @a p); bytes *poffset .. *poffset +
 * hit->body_len belong to the body. All of it is verified before this returns, unless this
 * process has done so within the last minute and nobody has written to it since. It can be cut short behind our back at any
 * time: do not map it.
 * @return APR_NOTFOUND if it has gone, or is damaged and forgotten
 */
apr_status_t devcache_store_open_body(devcache_store_t *s, const devcache_hit_t *hit,
                                      apr_file_t **pfile, apr_off_t *poffset,
                                      apr_pool_t *p);

typedef struct devcache_fill_t devcache_fill_t;

/**
 * Begin to store a response for @a key. Remembers the instant in the store's own order,
 * so that a removal of the key from now on makes the publication fail.
 * To be called before the request goes to the origin.
 */
devcache_fill_t *devcache_store_fill_begin(devcache_store_t *s, devcache_slice_t key,
                                           apr_pool_t *p);

/**
 * Add body bytes (copied). Small bodies stay in memory; beyond the store's limit they go
 * to a file of their own. @a expect is the whole length if known, else -1: a known large
 * one goes to its file at once, one of over a quarter of the bound is refused at once.
 * Any error ends the fill: further writes and the publication fail too. What was written
 * before can be read until the fill is aborted.
 */
apr_status_t devcache_store_fill_write(devcache_fill_t *f, const char *data,
                                       apr_size_t len, apr_int64_t expect);

/** Two fills of one key with the same ticket: between their beginnings the key was not
 * removed, nor was there a purge of many. */
apr_uint64_t devcache_store_fill_ticket(const devcache_fill_t *f);

/**
 * Let others read the body while it is being written: from now on its bytes also go to a
 * file, those written before included.
 * @param where  opaque, for devcache_store_open_shared() in any process
 * @return an error if there is no room; the fill goes on as before
 */
apr_status_t devcache_store_fill_share(devcache_fill_t *f, apr_uint64_t where[2]);

/**
 * Open what a fill shares, as a file of the caller's own (own descriptor and position,
 * closed with @a p), whose body begins at *poffset. It may be cut short behind our back: do
 * not map it. APR_NOTFOUND: the fill has ended, or is not to be stored any more.
 */
apr_status_t devcache_store_open_shared(devcache_store_t *s, const apr_uint64_t where[2],
                                        apr_file_t **pfile, apr_off_t *poffset,
                                        apr_pool_t *p);

/**
 * Read back @a len bytes of what was written, from @a offset on. What is in memory can be
 * had until the fill is published or aborted, even if a write has failed meanwhile.
 */
apr_status_t devcache_store_fill_read(devcache_fill_t *f, apr_uint64_t offset, char *buf,
                                      apr_size_t len);

/** Is all that was written in memory (and maybe in a shared file as well)? */
int devcache_store_fill_in_memory(const devcache_fill_t *f);

/**
 * It will not be published, but those who read it already are to get the rest: its bytes
 * go on to be written to its file, and count for nothing. Also where a write has failed
 * with APR_ENOSPC as the store has no room for it: that can be repeated then.
 * @return an error if it has no file of its own
 */
apr_status_t devcache_store_fill_detach(devcache_fill_t *f);

/**
 * The fill's file for the caller, closed with @a p and good after the fill has ended; the
 * body begins at *pbase. Also of a fill that has failed, until it is aborted.
 * @return APR_NOTFOUND if it has none
 */
apr_status_t devcache_store_fill_open(const devcache_fill_t *f, apr_file_t **pfile,
                                      apr_off_t *pbase, apr_pool_t *p);

/**
 * As fill_read without copying, of what is in memory: NULL if it is not. It stays where
 * they are until the fill's pool is cleared; nothing more may be written.
 */
const char *devcache_store_fill_lend(devcache_fill_t *f, apr_uint64_t offset,
                                     apr_size_t len);

typedef struct devcache_publish_t {
    const char *spec;         /* variant spec, opaque text; "" matches every request */
    devcache_slice_t variant; /* the request's values under that spec */
    devcache_slice_t meta;    /* opaque */
    devcache_slice_t tags;    /* opaque, for conf.ban_matches; data NULL: none */
    apr_time_t requested_at;  /* when the request for it was sent */
    apr_time_t stored_at;
    apr_time_t fresh_until; /* a hint for eviction and listings */
    unsigned max_variants;  /* of this key, 128 at most; the one stored first gives way */
} devcache_publish_t;

/**
 * Make the filled object visible, in place of an older one of the same key, spec and
 * variant. All or nothing; ends the fill.
 * @return APR_SUCCESS, APR_EGENERAL if the key was removed since fill_begin,
 *         APR_ENOSPC if no room could be had, or an I/O error
 */
apr_status_t devcache_store_fill_publish(devcache_fill_t *f,
                                         const devcache_publish_t *what);

/** End a fill without publishing. Also done by the pool's cleanup. NULL is allowed. */
void devcache_store_fill_abort(devcache_fill_t *f);

/**
 * Give a stored object new meta and times and keep its body (a 304). The fill @a f was
 * begun before the request for the 304 was sent and is ended by this.
 * @return as devcache_store_fill_publish(); APR_NOTFOUND if the body has gone
 */
apr_status_t devcache_store_refresh(devcache_fill_t *f, const devcache_hit_t *hit,
                                    const devcache_publish_t *what);

/**
 * Remove every variant of @a key, now and for every fill that has begun before now.
 * @param pcount  how many were removed; may be NULL
 * @return APR_TIMEUP if not all were removed, as the index could not be locked
 */
apr_status_t devcache_store_remove(devcache_store_t *s, devcache_slice_t key,
                                   unsigned *pcount);

/**
 * Remove every variant of the fill's key, as devcache_store_remove() does, but for this fill:
 * what it brings takes their place.
 */
apr_status_t devcache_store_fill_clear(devcache_fill_t *f, unsigned *pcount);

/**
 * End what a request would be given: every variant of @a key that fits, and no other.
 * @param expire  0: they are removed, and what was being fetched for the key is not
 *                published; else their freshness ends at this instant, and they stay
 * @param pcount  how many; may be NULL
 * @return APR_TIMEUP if that could not be done in full, as the index could not be locked
 */
apr_status_t devcache_store_end(devcache_store_t *s, devcache_slice_t key,
                                devcache_variant_fn *variant, void *baton,
                                apr_time_t expire, unsigned *pcount, apr_pool_t *p);

/** An object that went, or is stale now. What it says is good during the call. */
typedef void devcache_gone_fn(void *baton, const devcache_described_t *object);

typedef struct devcache_purge_t {
    devcache_slice_t key;  /* of this key only; data NULL: of all keys */
    devcache_slice_t what; /* for conf.ban_open */
    apr_time_t now;
    int soft;               /* end its freshness now rather than remove it */
    devcache_gone_fn *gone; /* called for each; NULL: not */
    void *baton;
} devcache_purge_t;

/**
 * Purge what purge->what is about, now and for every fill that has begun before now:
 * those are not published if it is about them.
 * Reads the head of every record there is, or of the key's; when it returns all is done.
 * @param pcount  how many objects went or expired
 * @return APR_EINVAL if conf.ban_open cannot read it; any other error means that it was
 *         not carried out in full: it should be repeated
 */
apr_status_t devcache_store_purge(devcache_store_t *s, const devcache_purge_t *purge,
                                  apr_uint64_t *pcount);

typedef struct devcache_store_stats_t {
    apr_uint64_t bytes;   /* held by files now */
    apr_uint64_t size;    /* the bound */
    apr_uint64_t objects; /* entries in the index */
    apr_uint64_t max_objects;
    apr_uint64_t segments; /* files now, large bodies included */
    apr_uint64_t max_files;
    apr_uint64_t specs, max_specs; /* for the life of the index */
    apr_uint64_t spec_bytes, max_spec_bytes;
    apr_uint64_t published, refreshed, removed, evicted, requeued;
    apr_uint64_t damaged;    /* records that failed verification */
    apr_uint64_t errors;     /* I/O errors */
    apr_uint64_t no_room;    /* fills given up for want of room */
    apr_uint64_t superseded; /* fills given up because of a removal */
} devcache_store_stats_t;

/** A consistent enough snapshot; counters only grow during the life of the index. */
void devcache_store_stats(devcache_store_t *s, devcache_store_stats_t *out);

#endif
