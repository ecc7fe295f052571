/*
 * Eviction: S3-FIFO at the grain of segments.
 *
 * New objects are appended to the probation queue's head, and those whose eviction is
 * fresh in memory (ghosts) to the main queue's. When room is needed, the oldest file of
 * probation goes if probation holds more than a tenth of the bound, else the oldest of
 * main. From a segment that goes, objects that were used since are appended to the main
 * head again with less credit, the others are dropped; from probation they leave a ghost.
 * A large body that was used moves to the end of the main queue without being copied.
 *
 *     new --> [ probation ] --used--> [ main ] --used--> (back to its end)
 *     ghost ------------------------->   |
 *                  `--unused--> ghost    `--unused--> gone
 *
 * Progress: of a segment at most half is appended again, and a body's credit runs out.
 *
 * Two things are always carried on, whatever their use: the record of a large body, as
 * that body is judged in its own turn; and a tombstone or ban, as long as there is a
 * segment older than the removal. They are needed only after the loss of the index, but
 * then they are all that keeps a purged object from coming back.
 *
 * Spares. Two or three empty segments are kept ready. Publishers may take one when a head
 * is full, but leave the last to the evictor, who may need a new main head in the middle
 * of its work. Whoever took one restocks afterwards; the others meanwhile fill the new
 * head. A sixty-fourth of the bound is kept free likewise, so that large bodies find room
 * while somebody else evicts.
 *
 * The slot's serial is cleared first, so all entries that name the file are dead at once,
 * and then the file is unlinked. A process killed between the two leaves a file that no
 * slot knows, deleted by the next child that starts.
 */
#include "devcache_evict.h"

#include <apr_errno.h>
#include <apr_tables.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "devcache_fault.h"
#include "devcache_ghost.h"
#include "devcache_segment.h"

#define LOG_TRIES 200    /* to get a removal written down, */
#define LOG_PAUSE 1000   /* with so many microseconds between */
#define VICTIMS_MAX 1000 /* evictions for one need, bounds its time */

/* ---- freeing -------------------------------------------------------------- */

apr_status_t devcache_evict_free(devcache_store_t *s, const devcache_file_t *file)
{
    apr_status_t rv = devcache_slot_free(&s->sh, file);

    if (rv == APR_SUCCESS) {
        devcache_segment_unlink(s, file);
    }
    return rv;
}

void devcache_evict_drop(devcache_store_t *s, const devcache_drops_t *drops)
{
    devcache_slot_t copy;
    devcache_file_t file;
    unsigned i;

    for (i = 0; i < drops->n; i++) {
        if (devcache_slot_get(&s->sh, drops->body[i].slot, &file, &copy) &&
            file.kind == DEVCACHE_FILE_BODY &&
            (apr_uint32_t)file.serial == drops->body[i].serial) {
            devcache_evict_free(s, &file);
        }
    }
}

static void free_fills_of_the_dead(devcache_store_t *s)
{
    devcache_slot_t copy;
    devcache_file_t file;
    devcache_process_t owner;
    unsigned i;

    for (i = 0; i < s->sh.g.slots; i++) {
        if (devcache_slot_get(&s->sh, i, &file, &copy) &&
            copy.state == DEVCACHE_SLOT_FILLING) {
            owner.pid = copy.owner_pid;
            owner.start = copy.owner_start;
            if (!devcache_process_lives(&owner)) {
                devcache_evict_free(s, &file);
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    apr_uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

/* Whoever makes a file has a slot for it first, so a file that was there before the slots
 * were looked at and is in none of them was freed by somebody who did not live to unlink
 * it, or is just being unlinked. */
static void unlink_unknown(devcache_store_t *s, DIR *dir)
{
    apr_uint64_t *known = malloc(s->sh.g.slots * sizeof(*known));
    apr_array_header_t *files;
    apr_pool_t *p;
    struct dirent *de;
    devcache_file_t f = {0};
    unsigned i;

    if (!known) {
        return;
    }
    apr_pool_create_unmanaged(&p);
    files = apr_array_make(p, 64, sizeof(f));
    while ((de = readdir(dir)) != NULL) {
        if (devcache_segment_parse_name(de->d_name, &f.kind, &f.serial)) {
            APR_ARRAY_PUSH(files, devcache_file_t) = f;
        }
    }
    for (i = 0; i < s->sh.g.slots; i++) {
        known[i] = __atomic_load_n(&s->sh.slots[i].serial, __ATOMIC_ACQUIRE);
    }
    qsort(known, s->sh.g.slots, sizeof(*known), by_value);
    for (i = 0; i < (unsigned)files->nelts; i++) {
        f = APR_ARRAY_IDX(files, i, devcache_file_t);
        if (!bsearch(&f.serial, known, s->sh.g.slots, sizeof(*known), by_value)) {
            devcache_segment_unlink(s, &f);
        }
    }
    free(known);
    apr_pool_destroy(p);
}

void devcache_evict_reclaim(devcache_store_t *s)
{
    int fd = openat(s->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    free_fills_of_the_dead(s);
    if (dir) {
        unlink_unknown(s, dir);
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
}

/* ---- removals ----------------------------------------------------------- */

apr_status_t devcache_evict_log(devcache_store_t *s, devcache_record_t *rec,
                                devcache_range_t *at)
{
    apr_status_t rv;
    int i;

    rec->ref_serial = devcache_slot_barrier(&s->sh);
    rv = devcache_segment_append(s, DEVCACHE_MAIN, rec, 1, at);
    /* Not found: the segment filled up and was evicted before it could be written to. */
    for (i = 0; i < LOG_TRIES && (rv == APR_EAGAIN || rv == APR_NOTFOUND); i++) {
        devcache_evict_restock(s);
        rv = devcache_segment_append(s, DEVCACHE_MAIN, rec, 0, at);
        if (rv == APR_EAGAIN) {
            apr_sleep(LOG_PAUSE); /* somebody else is making room */
        }
    }
    if (at->rolled) {
        devcache_evict_restock(s);
    }
    return rv;
}

/* ---- a segment ------------------------------------------------------------ */

typedef struct eviction_t {
    devcache_store_t *s;
    devcache_file_t file;
    devcache_queue_t queue;
    apr_uint64_t budget; /* bytes of objects that may still be appended again */
    apr_pool_t *pool;    /* for one record */
} eviction_t;

/* The index's entry for the record at @a offset of the victim. */
static int find_entry(eviction_t *ev, const devcache_record_t *rec, apr_uint64_t offset,
                      devcache_entry_t *out)
{
    devcache_shared_t *sh = &ev->s->sh;
    devcache_match_t found[DEVCACHE_MATCHES];
    apr_uint64_t key_hash = devcache_index_key_hash(sh, rec->key);
    unsigned n = devcache_index_find(sh, key_hash, found);

    while (n-- > 0) {
        const devcache_entry_t *e = &found[n].entry;

        if (e->slot == ev->file.slot && e->serial == (apr_uint32_t)ev->file.serial &&
            e->offset == offset / DEVCACHE_RECORD_UNIT) {
            *out = *e;
            return 1;
        }
    }
    return 0;
}

/* Append it again and let the entry follow. */
static apr_status_t carry_on(eviction_t *ev, devcache_record_t *rec,
                             const devcache_entry_t *from, unsigned char use)
{
    devcache_store_t *s = ev->s;
    devcache_entry_t to = *from;
    devcache_range_t at;
    apr_status_t rv;

    rec->fresh_until = devcache_index_fresh_until(from, rec->fresh_until);
    rv = devcache_segment_append(s, DEVCACHE_MAIN, rec, 0, &at);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    DEVCACHE_KILL_HERE("kill-in-evict");
    to.slot = at.file.slot;
    to.serial = (apr_uint32_t)at.file.serial;
    to.offset = (apr_uint32_t)(at.offset / DEVCACHE_RECORD_UNIT);
    to.use = use;
    rv = devcache_index_move(&s->sh, from, &to);
    if (rv == APR_SUCCESS) {
        devcache_shared_count(&s->sh, DEVCACHE_N_REQUEUED, 1);
    } else {
        /* Replaced or removed while it was copied: the copy must not outlive that. */
        devcache_record_t grave = {DEVCACHE_RECORD_TOMBSTONE, rec->key};

        grave.requested_at = rec->requested_at;
        grave.ref_serial = devcache_slot_barrier(&s->sh);
        devcache_segment_append(s, DEVCACHE_MAIN, &grave, 0, &at);
    }
    return rv;
}

static void drop_object(eviction_t *ev, const devcache_entry_t *e)
{
    devcache_shared_t *sh = &ev->s->sh;
    devcache_drops_t drops;

    if (devcache_index_forget(sh, e, &drops) == APR_SUCCESS) {
        if (ev->queue == DEVCACHE_PROBATION) {
            devcache_ghost_add(sh, e->key_hash, e->variant_hash);
        }
        devcache_shared_count(sh, DEVCACHE_N_EVICTED, 1);
        devcache_evict_drop(ev->s, &drops);
    }
}

static int earns_another_round(eviction_t *ev, devcache_record_t *rec,
                               apr_uint64_t offset, const devcache_entry_t *e)
{
    apr_status_t rv;

    if (rec->ref_serial) {
        return devcache_shared_alive(&ev->s->sh, e->body_slot, e->body_serial);
    }
    if (e->use == 0 || rec->length > ev->budget) {
        return 0;
    }
    ev->budget -= rec->length;
    apr_pool_clear(ev->pool);
    rv = devcache_segment_read(ev->s, &ev->file, offset, rec->length, rec, ev->pool);
    return rv == APR_SUCCESS;
}

static void evict_object(eviction_t *ev, devcache_record_t *rec, apr_uint64_t offset)
{
    devcache_entry_t e;
    unsigned char use = 0;

    if (!find_entry(ev, rec, offset, &e)) {
        return;
    }
    if (rec->ref_serial) {
        use = e.use;
    } else if (ev->queue == DEVCACHE_MAIN && e.use > 0) {
        use = (unsigned char)(e.use - 1);
    }
    if (!earns_another_round(ev, rec, offset, &e) ||
        carry_on(ev, rec, &e, use) != APR_SUCCESS) {
        drop_object(ev, &e);
    }
}

/* @return 0 if it cannot be read now, but might be later */
static int evict_segment(eviction_t *ev)
{
    apr_uint64_t lowest = devcache_slot_lowest(&ev->s->sh, ev->file.serial);
    devcache_record_t rec;
    devcache_range_t at;
    devcache_walk_t walk;
    apr_status_t rv = devcache_segment_walk_begin(ev->s, &ev->file, &walk);

    if (rv != APR_SUCCESS) {
        return rv != EMFILE && rv != ENFILE && rv != APR_ENOMEM;
    }
    apr_pool_create_unmanaged(&ev->pool);
    while (devcache_segment_walk_next(&walk, &rec)) {
        if (rec.kind == DEVCACHE_RECORD_OBJECT) {
            evict_object(ev, &rec, walk.offset);
        } else if (lowest < rec.ref_serial) { /* as it is, tombstone or ban */
            devcache_segment_append(ev->s, DEVCACHE_MAIN, &rec, 0, &at);
        }
    }
    apr_pool_destroy(ev->pool);
    devcache_segment_walk_end(&walk);
    return 1;
}

/* ---- a body --------------------------------------------------------------- */

/* @return 1 if it stays, at the end of the main queue */
static int evict_body(eviction_t *ev, apr_uint64_t key_hash)
{
    devcache_shared_t *sh = &ev->s->sh;
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned n = devcache_index_find(sh, key_hash, found);

    while (n-- > 0) {
        devcache_entry_t *e = &found[n].entry;
        devcache_entry_t less = *e;

        if (e->body_slot != ev->file.slot ||
            e->body_serial != (apr_uint32_t)ev->file.serial) {
            continue;
        }
        less.use = ev->queue == DEVCACHE_MAIN && e->use > 0 ? e->use - 1 : 0;
        if (e->use > 0 && devcache_slot_requeue(sh, &ev->file) == APR_SUCCESS) {
            devcache_index_move(sh, e, &less);
            devcache_shared_count(sh, DEVCACHE_N_REQUEUED, 1);
            return 1;
        }
        drop_object(ev, e);
        break;
    }
    return 0;
}

/* ---- room ----------------------------------------------------------------- */

static int lock_evict(devcache_store_t *s)
{
    switch (devcache_shared_trylock(&s->sh.head->evict)) {
    case DEVCACHE_LOCKED_REPAIR: /* a victim half walked is still a whole victim */
        devcache_shared_repaired(&s->sh.head->evict);
        return 1;
    case DEVCACHE_LOCKED:
        return 1;
    default:
        return 0;
    }
}

static void unlock_evict(devcache_store_t *s)
{
    pthread_mutex_unlock(&s->sh.head->evict);
}

static apr_status_t evict_one_locked(devcache_store_t *s)
{
    eviction_t ev = {s};
    devcache_slot_t copy;
    apr_status_t rv = devcache_slot_victim(&s->sh, &ev.file, &copy);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    ev.queue = copy.queue == DEVCACHE_MAIN ? DEVCACHE_MAIN : DEVCACHE_PROBATION;
    ev.budget = copy.bytes / 2;
    if (ev.file.kind == DEVCACHE_FILE_BODY) {
        if (evict_body(&ev, copy.key_hash)) {
            return APR_SUCCESS;
        }
    } else if (!evict_segment(&ev)) {
        return APR_EAGAIN;
    }
    rv = devcache_evict_free(s, &ev.file);
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

static int disk_has(const devcache_store_t *s, apr_uint64_t bytes)
{
    apr_uint64_t wanted = s->conf.min_free;
    apr_uint64_t left;
    apr_uint32_t low;
    struct statvfs vfs;

    if (wanted == 0 || fstatvfs(s->root_fd, &vfs) != 0) {
        return 1;
    }
    left = (apr_uint64_t)vfs.f_bavail * vfs.f_frsize;
    low = left < wanted || left - wanted < bytes;
    if (__atomic_exchange_n(&s->sh.head->disk_low, low, __ATOMIC_RELAXED) != low) {
        devcache_store_say(s, low ? DEVCACHE_LOG_WARNING : DEVCACHE_LOG_NOTICE,
                           low ? 206 : 207, APR_SUCCESS,
                           low ? "store: the disk of \"%s\" is short of the room to be "
                                 "left free; the store shrinks"
                               : "store: the disk of \"%s\" has room again",
                           s->conf.root);
    }
    return !low;
}

/* One try to get what is wanted: a new slot (file->serial 0), or more bytes for one. */
static apr_status_t try_get(devcache_store_t *s, apr_uint64_t more, apr_uint64_t bytes,
                            devcache_file_t *file)
{
    if (!disk_has(s, more)) {
        return APR_ENOSPC;
    }
    return file->serial == 0
               ? devcache_slot_take(&s->sh, bytes, devcache_process_self(), file)
               : devcache_slot_resize(&s->sh, file, bytes);
}

static apr_status_t get_locked(devcache_store_t *s, apr_uint64_t more, apr_uint64_t bytes,
                               devcache_file_t *file)
{
    apr_status_t rv = try_get(s, more, bytes, file);
    int i;

    for (i = 0; i < VICTIMS_MAX && rv == APR_ENOSPC; i++) {
        if (evict_one_locked(s) != APR_SUCCESS) {
            break;
        }
        rv = try_get(s, more, bytes, file);
    }
    return rv;
}

static apr_status_t get(devcache_store_t *s, apr_uint64_t more, apr_uint64_t bytes,
                        devcache_file_t *file)
{
    apr_status_t rv = try_get(s, more, bytes, file);

    if (rv == APR_ENOSPC && lock_evict(s)) {
        rv = get_locked(s, more, bytes, file);
        unlock_evict(s);
    }
    return rv;
}

apr_status_t devcache_evict_take(devcache_store_t *s, apr_uint64_t bytes,
                                 devcache_file_t *file)
{
    file->kind = DEVCACHE_FILE_BODY;
    file->serial = 0;
    return get(s, bytes, bytes, file);
}

apr_status_t devcache_evict_resize(devcache_store_t *s, const devcache_file_t *file,
                                   apr_uint64_t bytes, apr_uint64_t more)
{
    devcache_file_t same = *file;

    return get(s, more, bytes, &same);
}

static apr_status_t make_spare_locked(devcache_store_t *s)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, 0};
    apr_uint64_t size = s->sh.g.segment_size;
    apr_uint64_t salt;
    apr_status_t rv = get_locked(s, size, size, &file);

    if (rv == APR_SUCCESS) {
        rv = devcache_segment_create(s, &file, size, NULL, &salt);
        if (rv == APR_SUCCESS) {
            rv = devcache_slot_spare(&s->sh, &file);
        }
        if (rv != APR_SUCCESS) {
            devcache_evict_free(s, &file);
        }
    }
    return rv;
}

/* One to leave to the evictor, and one to take, or two where that is little. */
static unsigned spares_wanted(const devcache_store_t *s)
{
    return s->sh.g.size / s->sh.g.segment_size < 32 ? 2 : 3;
}

void devcache_evict_restock(devcache_store_t *s)
{
    int i;

    if (lock_evict(s)) {
        while (devcache_slot_spares(&s->sh) < spares_wanted(s) &&
               make_spare_locked(s) == APR_SUCCESS) {
            ;
        }
        for (i = 0; i < VICTIMS_MAX && devcache_slot_is_tight(&s->sh); i++) {
            if (evict_one_locked(s) != APR_SUCCESS) {
                break;
            }
        }
        unlock_evict(s);
    }
}
