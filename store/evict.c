/* SPDX-License-Identifier: Apache-2.0 */
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
 * Progress: what was used leaves probation for good, of one of main's segments at most half
 * is appended again, and a body's credit runs out.
 *
 * The record of a large body is always carried on, whatever its use, as that body is
 * judged in its own turn.
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
#include "store/evict.h"

#include <apr_errno.h>
#include <apr_tables.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fault.h"
#include "store/ghost.h"
#include "store/say.h"
#include "store/segment.h"

#define VICTIMS_MAX 1000 /* evictions for one need, bounds its time */

/* ---- freeing -------------------------------------------------------------- */

apr_status_t devcache_evict_free(devcache_root_t *s, const devcache_file_t *file)
{
    apr_status_t rv = devcache_slot_free(&s->sh, file);

    if (rv == APR_SUCCESS) {
        devcache_segment_unlink(s, file);
    }
    return rv;
}

void devcache_evict_drop(devcache_root_t *s, const devcache_drops_t *drops)
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

void devcache_evict_forget(devcache_root_t *s, const devcache_entry_t *e)
{
    devcache_drops_t drops;

    if (devcache_index_forget(&s->sh, e, &drops) == APR_SUCCESS) {
        devcache_evict_drop(s, &drops);
    }
}

/* A disk that goes bad has thousands of damaged files. All processes together name
 * DAMAGE_LINES of them a minute; the rest is in the counter. */
#define DAMAGE_LINES 8

void devcache_evict_damaged(devcache_root_t *s, const devcache_entry_t *e,
                            const devcache_file_t *file)
{
    char name[DEVCACHE_FILE_NAME];

    devcache_shared_count(&s->sh, DEVCACHE_N_DAMAGED, 1);
    devcache_evict_forget(s, e);
    if (__atomic_exchange_n(&s->damaged_serial, file->serial, __ATOMIC_RELAXED) !=
            file->serial &&
        devcache_clock_allows(&s->sh.head->damage_said, DAMAGE_LINES)) {
        devcache_segment_name(name, file->kind, file->serial);
        devcache_store_say(&s->conf, DEVCACHE_LOG_WARNING, 205, APR_SUCCESS,
                           "store: \"%s/%s\" is damaged; what is unreadable there is "
                           "forgotten (at most %d such lines a minute; all are counted "
                           "in store_damaged)",
                           s->conf.root, name, DAMAGE_LINES);
    }
}

static void free_fills_of_the_dead(devcache_root_t *s)
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
static void unlink_unknown(devcache_root_t *s, DIR *dir)
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

void devcache_evict_reclaim(devcache_root_t *s)
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

/* ---- a segment ------------------------------------------------------------ */

typedef struct eviction_t {
    devcache_root_t *s;
    devcache_file_t file;
    devcache_queue_t queue;
    apr_uint64_t budget; /* bytes of objects that may still be appended again */
    apr_pool_t *pool;    /* for one record */
} eviction_t;

/* The entries of the victim's record at @a offset: its own, and those of which it has the
 * body. */
typedef struct entries_t {
    devcache_match_t all[DEVCACHE_MATCHES]; /* of the key */
    unsigned n;
    const devcache_entry_t *own; /* among them, or NULL */
    unsigned referring[DEVCACHE_MATCHES];
    unsigned n_referring;
} entries_t;

static int is_in_victim(const eviction_t *ev, unsigned slot, apr_uint32_t serial)
{
    return slot == ev->file.slot && serial == (apr_uint32_t)ev->file.serial;
}

/* The record of an entry whose body lies in the victim. */
static int read_referring(eviction_t *ev, const devcache_entry_t *e,
                          devcache_record_t *out)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};

    file.serial = devcache_shared_serial(&ev->s->sh, e->slot, e->serial);
    return file.serial &&
           devcache_segment_read_head(ev->s, &file,
                                      (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT,
                                      e->length, out, ev->pool) == APR_SUCCESS;
}

static void find_entries(eviction_t *ev, const devcache_record_t *rec,
                         apr_uint64_t offset, entries_t *out)
{
    devcache_shared_t *sh = &ev->s->sh;
    apr_uint32_t at = (apr_uint32_t)(offset / DEVCACHE_RECORD_UNIT);
    devcache_record_t other;
    unsigned i;

    out->own = NULL;
    out->n_referring = 0;
    out->n = devcache_index_find(sh, devcache_index_key_hash(sh, rec->key), out->all);
    for (i = 0; i < out->n; i++) {
        const devcache_entry_t *e = &out->all[i].entry;

        if (is_in_victim(ev, e->slot, e->serial) && e->offset == at) {
            out->own = e;
        } else if (!rec->ref_serial && is_in_victim(ev, e->body_slot, e->body_serial) &&
                   read_referring(ev, e, &other) && other.ref_offset == at) {
            out->referring[out->n_referring++] = i;
        }
    }
}

/* Let an entry follow its record. @a body: NULL, or where that of another is by now */
static apr_status_t move_entry(eviction_t *ev, const devcache_entry_t *from,
                               const devcache_range_t *at, const devcache_range_t *body,
                               unsigned char use)
{
    devcache_entry_t to = *from;
    apr_status_t rv;

    DEVCACHE_KILL_HERE("kill-in-evict");
    to.slot = at->file.slot;
    to.serial = (apr_uint32_t)at->file.serial;
    to.offset = (apr_uint32_t)(at->offset / DEVCACHE_RECORD_UNIT);
    if (body) {
        to.body_slot = body->file.slot;
        to.body_serial = (apr_uint32_t)body->file.serial;
    }
    to.use = use;
    rv = devcache_index_move(&ev->s->sh, from, &to);
    devcache_shared_count(&ev->s->sh, DEVCACHE_N_REQUEUED, rv == APR_SUCCESS);
    return rv; /* replaced or removed while it was copied: nothing leads to the copy */
}

/* Append it again and let the entry follow. */
static apr_status_t carry_on(eviction_t *ev, devcache_record_t *rec,
                             const devcache_entry_t *from, const devcache_range_t *body,
                             unsigned char use)
{
    devcache_range_t at;
    apr_status_t rv;

    rec->fresh_until = devcache_index_fresh_until(from, rec->fresh_until);
    rv = devcache_segment_append(ev->s, DEVCACHE_MAIN, rec, 0, &at);
    return rv == APR_SUCCESS ? move_entry(ev, from, &at, body, use) : rv;
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

    if (rec->ref_serial &&
        !devcache_shared_alive(&ev->s->sh, e->body_slot, e->body_serial)) {
        return 0;
    }
    if (rec->ref_serial && !rec->ref_head) { /* its file has a place of its own */
        return 1;
    }
    if (e->use == 0 || rec->length > ev->budget) {
        return 0;
    }
    ev->budget -= rec->length;
    rv = devcache_segment_read(ev->s, &ev->file, offset, rec->length, rec, ev->pool);
    return rv == APR_SUCCESS;
}

/* Of the use that it had, so much is left for the next round. */
static unsigned char use_left(const eviction_t *ev, const devcache_entry_t *e)
{
    return ev->queue == DEVCACHE_MAIN && e->use > 0 ? (unsigned char)(e->use - 1) : 0;
}

static void evict_alone(eviction_t *ev, devcache_record_t *rec, apr_uint64_t offset,
                        const devcache_entry_t *e)
{
    int has_file = rec->ref_serial && !rec->ref_head;

    if (!earns_another_round(ev, rec, offset, e) ||
        carry_on(ev, rec, e, NULL, has_file ? e->use : use_left(ev, e)) != APR_SUCCESS) {
        drop_object(ev, e);
    }
}

/* One that has followed its body. In the main queue it goes if nobody has asked for it. */
static void carry_referring(eviction_t *ev, const devcache_entry_t *e,
                            const devcache_range_t *body)
{
    devcache_record_t rec;

    if ((ev->queue == DEVCACHE_MAIN && e->use == 0) || e->length > ev->budget ||
        !read_referring(ev, e, &rec)) {
        drop_object(ev, e);
        return;
    }
    ev->budget -= e->length;
    rec.ref_serial = body->file.serial;
    rec.ref_offset = (apr_uint32_t)(body->offset / DEVCACHE_RECORD_UNIT);
    if (carry_on(ev, &rec, e, body, use_left(ev, e)) != APR_SUCCESS) {
        drop_object(ev, e);
    }
}

/* A body that several have stays if one of them is used, whether or not the one that it
 * came with still is wanted. */
static void evict_shared(eviction_t *ev, const devcache_record_t *rec,
                         apr_uint64_t offset, const entries_t *found)
{
    int is_used = found->own && found->own->use > 0;
    devcache_record_t whole;
    devcache_range_t at;
    unsigned i;

    for (i = 0; i < found->n_referring; i++) {
        is_used |= found->all[found->referring[i]].entry.use > 0;
    }
    if (is_used && rec->length <= ev->budget &&
        devcache_segment_read(ev->s, &ev->file, offset, rec->length, &whole, ev->pool) ==
            APR_SUCCESS &&
        devcache_segment_append(ev->s, DEVCACHE_MAIN, &whole, 0, &at) == APR_SUCCESS) {
        ev->budget -= rec->length;
        if (found->own) {
            move_entry(ev, found->own, &at, NULL, use_left(ev, found->own));
        }
        for (i = 0; i < found->n_referring; i++) {
            carry_referring(ev, &found->all[found->referring[i]].entry, &at);
        }
        return;
    }
    if (found->own) {
        drop_object(ev, found->own);
    }
    for (i = 0; i < found->n_referring; i++) {
        drop_object(ev, &found->all[found->referring[i]].entry);
    }
}

static void evict_object(eviction_t *ev, devcache_record_t *rec, apr_uint64_t offset,
                         entries_t *found)
{
    apr_pool_clear(ev->pool);
    find_entries(ev, rec, offset, found);
    if (found->n_referring) {
        evict_shared(ev, rec, offset, found);
    } else if (found->own) {
        evict_alone(ev, rec, offset, found->own);
    }
}

/* @return 0 if it cannot be read now, but might be later */
static int evict_segment(eviction_t *ev)
{
    devcache_record_t rec;
    devcache_walk_t walk;
    entries_t found;
    apr_status_t rv = devcache_segment_walk_begin(ev->s, &ev->file, &walk);

    if (rv != APR_SUCCESS) {
        return rv != EMFILE && rv != ENFILE && rv != APR_ENOMEM;
    }
    apr_pool_create_unmanaged(&ev->pool);
    while (devcache_segment_walk_next(&walk, &rec)) {
        evict_object(ev, &rec, walk.offset, &found);
    }
    apr_pool_destroy(ev->pool);
    devcache_segment_walk_end(&walk);
    return 1;
}

/* ---- a body --------------------------------------------------------------- */

/* @return 1 if it stays, at the end of the main queue, as one of those that have it was
 * used */
static int evict_body(eviction_t *ev, apr_uint64_t key_hash)
{
    devcache_shared_t *sh = &ev->s->sh;
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned i, n = devcache_index_find(sh, key_hash, found);
    int stays = 0;

    for (i = 0; i < n; i++) {
        stays |= is_in_victim(ev, found[i].entry.body_slot, found[i].entry.body_serial) &&
                 found[i].entry.use > 0;
    }
    stays = stays && devcache_slot_requeue(sh, &ev->file) == APR_SUCCESS;
    devcache_shared_count(sh, DEVCACHE_N_REQUEUED, (apr_uint64_t)stays);
    for (i = 0; i < n; i++) {
        const devcache_entry_t *e = &found[i].entry;
        devcache_entry_t less = *e;

        if (!is_in_victim(ev, e->body_slot, e->body_serial)) {
            continue;
        }
        less.use = use_left(ev, e);
        if (!stays) {
            drop_object(ev, e);
        } else if (less.use != e->use) {
            devcache_index_move(sh, e, &less);
        }
    }
    return stays;
}

/* ---- room ----------------------------------------------------------------- */

static int lock_evict(devcache_root_t *s)
{
    switch (devcache_lock_try(&s->sh.head->evict)) {
    case DEVCACHE_LOCKED_REPAIR: /* a victim half walked is still a whole victim */
        devcache_lock_repaired(&s->sh.head->evict);
        return 1;
    case DEVCACHE_LOCKED:
        return 1;
    default:
        return 0;
    }
}

static void unlock_evict(devcache_root_t *s)
{
    pthread_mutex_unlock(&s->sh.head->evict);
}

int devcache_evict_idle(devcache_root_t *s)
{
    int idle = lock_evict(s);

    if (idle) {
        unlock_evict(s);
    }
    return idle;
}

static apr_status_t evict_one_locked(devcache_root_t *s)
{
    eviction_t ev = {s};
    devcache_slot_t copy;
    apr_status_t rv = devcache_slot_victim(&s->sh, &ev.file, &copy);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    ev.queue = copy.queue == DEVCACHE_MAIN ? DEVCACHE_MAIN : DEVCACHE_PROBATION;
    ev.budget = ev.queue == DEVCACHE_MAIN ? copy.bytes / 2 : copy.bytes;
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

static int disk_has(const devcache_root_t *s, apr_uint64_t bytes)
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
        devcache_store_say(&s->conf, low ? DEVCACHE_LOG_WARNING : DEVCACHE_LOG_NOTICE,
                           low ? 206 : 207, APR_SUCCESS,
                           low ? "store: the disk of \"%s\" is short of the room to be "
                                 "left free; the store shrinks"
                               : "store: the disk of \"%s\" has room again",
                           s->conf.root);
    }
    return !low;
}

/* One try to get what is wanted: a new slot (file->serial 0), or more bytes for one. */
static apr_status_t try_get(devcache_root_t *s, apr_uint64_t more, apr_uint64_t bytes,
                            devcache_file_t *file)
{
    if (!disk_has(s, more)) {
        return APR_ENOSPC;
    }
    return file->serial == 0
               ? devcache_slot_take(&s->sh, bytes, devcache_process_self(), file)
               : devcache_slot_resize(&s->sh, file, bytes);
}

/* One more spare, if there is room for it as it is. APR_ENOSPC: within the bound there is
 * not; a disk that is full is another matter, against which evicting does not help. */
static apr_status_t make_spare(devcache_root_t *s)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, 0};
    apr_uint64_t size = s->sh.g.segment_size;
    apr_uint64_t salt;
    apr_status_t rv = try_get(s, size, size, &file);

    if (rv == APR_SUCCESS) {
        rv = devcache_segment_create(s, &file, size, NULL, &salt);
        if (rv == APR_SUCCESS) {
            rv = devcache_slot_spare(&s->sh, &file);
        }
        if (rv != APR_SUCCESS) {
            devcache_evict_free(s, &file);
            rv = APR_EGENERAL;
        }
    }
    return rv;
}

/* Evict one file. What of it is carried on needs a segment to go to: the room that the
 * one before has left is for that first. */
static apr_status_t evict_next_locked(devcache_root_t *s)
{
    if (devcache_slot_spares(&s->sh) == 0) {
        make_spare(s);
    }
    return evict_one_locked(s);
}

static apr_status_t get_locked(devcache_root_t *s, apr_uint64_t more, apr_uint64_t bytes,
                               devcache_file_t *file)
{
    apr_status_t rv = try_get(s, more, bytes, file);
    int i;

    for (i = 0; i < VICTIMS_MAX && rv == APR_ENOSPC; i++) {
        if (evict_next_locked(s) != APR_SUCCESS) {
            break;
        }
        if (devcache_slot_spares(&s->sh) > 0 || make_spare(s) == APR_SUCCESS) {
            rv = try_get(s, more, bytes, file);
        }
    }
    return rv;
}

static apr_status_t get(devcache_root_t *s, apr_uint64_t more, apr_uint64_t bytes,
                        devcache_file_t *file)
{
    apr_status_t rv = try_get(s, more, bytes, file);

    if (rv == APR_ENOSPC && lock_evict(s)) {
        rv = get_locked(s, more, bytes, file);
        unlock_evict(s);
    }
    return rv;
}

apr_status_t devcache_evict_take(devcache_root_t *s, apr_uint64_t bytes,
                                 devcache_file_t *file)
{
    file->kind = DEVCACHE_FILE_BODY;
    file->serial = 0;
    return get(s, bytes, bytes, file);
}

apr_status_t devcache_evict_resize(devcache_root_t *s, const devcache_file_t *file,
                                   apr_uint64_t bytes, apr_uint64_t more)
{
    devcache_file_t same = *file;

    return get(s, more, bytes, &same);
}

static apr_status_t make_spare_locked(devcache_root_t *s)
{
    apr_status_t rv = make_spare(s);
    int i;

    for (i = 0; i < VICTIMS_MAX && rv == APR_ENOSPC; i++) {
        if (evict_one_locked(s) != APR_SUCCESS) {
            break;
        }
        rv = make_spare(s);
    }
    return rv;
}

/* One to leave to the evictor, and one to take, or two where that is little. */
static unsigned spares_wanted(const devcache_root_t *s)
{
    return s->sh.g.size / s->sh.g.segment_size < 32 ? 2 : 3;
}

void devcache_evict_restock(devcache_root_t *s)
{
    int i;

    if (lock_evict(s)) {
        while (devcache_slot_spares(&s->sh) < spares_wanted(s) &&
               make_spare_locked(s) == APR_SUCCESS) {
            ;
        }
        for (i = 0; i < VICTIMS_MAX && devcache_slot_is_tight(&s->sh); i++) {
            if (evict_next_locked(s) != APR_SUCCESS) {
                break;
            }
        }
        unlock_evict(s);
    }
}
