/*
 * Fills: from the first byte of a response to its entry in the index, or to nothing.
 *
 * A fill belongs to one thread at a time and to a pool. It collects the body in memory
 * and, once that is longer than a record may be, in a file of its own:
 *
 *     begin --write--> in memory --write--> in a file --publish--> published
 *        \____________________\________________\___abort, error, pool's end--> nothing
 *
 * A fill that others read while it is written has its bytes in both, until they are too
 * many for memory: if in the end they fit into a record, the file has done its service.
 *
 * Publishing writes bytes first and the entry last. For a body file: its header with the
 * final length, its slot sealed, its record appended, the entry put. Killed in between,
 * nothing points at what was written: a file that was being filled is freed by the next
 * child, a sealed one and a record are evicted in their turn.
 *
 * A removal or purge that comes between begin and the entry wins: it is refused. The
 * record is on disk by then, so a tombstone follows it, for a rebuild.
 */
#include "devcache_store_int.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <unistd.h>
#include "devcache_evict.h"
#include "devcache_fault.h"
#include "devcache_ghost.h"
#include "devcache_segment.h"
#include "devcache_spec.h"
#include "devcache_sweep.h"

#define GRANULE (1u << 20) /* a body of unknown length reserves this much at a time */

struct devcache_fill_t {
    devcache_store_t *s;
    apr_pool_t *pool;
    devcache_slice_t key;
    apr_uint64_t key_hash;
    apr_uint64_t ticket;       /* of the key's stripe when it began */
    apr_uint64_t bans;         /* the latest purge when it began */
    devcache_slice_t old_tags; /* of what is being refreshed */
    int ended;                 /* published, failed or aborted; nothing is held */
    apr_status_t failed;       /* why it ended, for later calls */

    char *memory;        /* malloc()ed; NULL once in a file that is not shared */
    int lent;            /* memory is used elsewhere, until the pool's end */
    apr_size_t capacity; /* of memory */
    apr_uint64_t len;    /* body bytes so far */

    devcache_file_t file; /* serial 0: in memory */
    int fd;
    apr_uint64_t salt;
    apr_uint64_t reserved; /* bytes the slot counts for */
};

/* ---- beginning and ending ------------------------------------------------- */

static void forget_file(devcache_fill_t *f)
{
    close(f->fd);
    devcache_evict_free(f->s, &f->file);
    f->file.serial = 0;
    f->reserved = 0;
}

static void forget_memory(devcache_fill_t *f)
{
    if (!f->lent) {
        free(f->memory);
        f->memory = NULL;
    }
}

/* What is in memory stays: a client may still be owed it. */
static void let_go(devcache_fill_t *f)
{
    if (f->file.serial) {
        forget_file(f);
    }
    f->ended = 1;
}

static apr_status_t end_with_pool(void *data)
{
    devcache_fill_t *f = data;

    if (!f->ended) {
        let_go(f);
    }
    f->lent = 0;
    forget_memory(f);
    return APR_SUCCESS;
}

static apr_status_t fail(devcache_fill_t *f, apr_status_t rv)
{
    f->failed = rv;
    let_go(f);
    return rv;
}

static apr_status_t no_room(devcache_fill_t *f)
{
    devcache_shared_count(&f->s->sh, DEVCACHE_N_NO_ROOM, 1);
    return fail(f, APR_ENOSPC);
}

devcache_fill_t *devcache_store_fill_begin(devcache_store_t *s, devcache_slice_t key,
                                           apr_pool_t *p)
{
    devcache_fill_t *f = apr_pcalloc(p, sizeof(*f));

    f->s = s;
    f->pool = p;
    f->key = devcache_slice(apr_pmemdup(p, key.data, key.len), key.len);
    f->key_hash = devcache_index_key_hash(&s->sh, key);
    f->ticket = devcache_index_ticket(&s->sh, f->key_hash);
    f->bans = devcache_sweep_latest(&s->sh);
    apr_pool_cleanup_register(p, f, end_with_pool, apr_pool_cleanup_null);
    return f;
}

void devcache_store_fill_abort(devcache_fill_t *f)
{
    if (f && !f->ended) {
        fail(f, APR_EGENERAL);
    }
    if (f) {
        forget_memory(f);
    }
}

/* ---- body bytes ----------------------------------------------------------- */

static apr_uint64_t on_disk(apr_uint64_t body_len)
{
    return (DEVCACHE_FILE_HEADER + body_len + 4095) & ~(apr_uint64_t)4095;
}

/* Count for a body of @a len bytes, some more if its end is not in sight. */
static apr_status_t reserve(devcache_fill_t *f, apr_uint64_t len, int known)
{
    apr_uint64_t want = on_disk(len);
    apr_uint64_t step = f->s->sh.g.segment_size < GRANULE ? f->s->sh.g.segment_size
                                                          : GRANULE;
    apr_status_t rv;

    if (want <= f->reserved) {
        return APR_SUCCESS;
    }
    want = known ? want : (want + step - 1) / step * step;
    rv = f->file.serial == 0
             ? devcache_evict_take(f->s, want, &f->file)
             : devcache_evict_resize(f->s, &f->file, want, want - f->reserved);
    if (rv == APR_SUCCESS) {
        f->reserved = want;
    }
    return rv;
}

/* A file of its own, with what is in memory. On error it is as if nothing had been. */
static apr_status_t open_file(devcache_fill_t *f, apr_uint64_t expect, int known)
{
    apr_status_t rv = reserve(f, expect, known);

    if (rv != APR_SUCCESS) {
        f->file.serial = 0;
        return APR_ENOSPC;
    }
    rv = devcache_segment_create(f->s, &f->file, 0, &f->fd, &f->salt);
    if (rv != APR_SUCCESS) {
        devcache_evict_free(f->s, &f->file);
        f->file.serial = 0;
        f->reserved = 0;
        return rv;
    }
    DEVCACHE_KILL_HERE("kill-in-body");
    rv = devcache_segment_write(f->s, f->fd, f->memory, (apr_size_t)f->len,
                                DEVCACHE_FILE_HEADER);
    if (rv != APR_SUCCESS) {
        forget_file(f);
    }
    return rv;
}

/* From memory to a file. On error the fill has ended. */
static apr_status_t spill(devcache_fill_t *f, apr_uint64_t expect, int known)
{
    apr_status_t rv = open_file(f, expect, known);

    return rv == APR_ENOSPC ? no_room(f) : rv == APR_SUCCESS ? rv : fail(f, rv);
}

static apr_status_t write_to_memory(devcache_fill_t *f, const char *data, apr_size_t len,
                                    apr_int64_t expect)
{
    apr_size_t need = (apr_size_t)f->len + len;

    if (!f->memory || need > f->capacity) {
        apr_size_t more = f->capacity * 2 > need ? f->capacity * 2 : need;
        char *larger;

        if (expect > 0 && (apr_size_t)expect > more) {
            more = (apr_size_t)expect;
        }
        larger = realloc(f->memory, more);
        if (!larger) {
            return fail(f, APR_ENOMEM);
        }
        f->memory = larger;
        f->capacity = more;
    }
    memcpy(f->memory + f->len, data, len);
    return APR_SUCCESS;
}

static apr_status_t write_to_file(devcache_fill_t *f, const char *data, apr_size_t len)
{
    apr_status_t rv;

    if (reserve(f, f->len + len, 0) != APR_SUCCESS) {
        return no_room(f);
    }
    rv = devcache_segment_write(f->s, f->fd, data, len, DEVCACHE_FILE_HEADER + f->len);
    return rv == APR_SUCCESS ? rv : fail(f, rv);
}

apr_status_t devcache_store_fill_write(devcache_fill_t *f, const char *data,
                                       apr_size_t len, apr_int64_t expect)
{
    apr_uint64_t total = f->len + len;
    apr_status_t rv = APR_SUCCESS;

    if (f->ended) {
        return f->failed;
    }
    if (expect > 0 && (apr_uint64_t)expect > total) {
        total = (apr_uint64_t)expect;
    }
    if (total > f->s->body_max) {
        return no_room(f);
    }
    if (total > f->s->record_max) {
        if (f->file.serial == 0) {
            rv = spill(f, total, expect > 0);
        }
        if (rv == APR_SUCCESS) {
            forget_memory(f);
        }
    }
    if (rv == APR_SUCCESS && len > 0 && f->file.serial) {
        rv = write_to_file(f, data, len);
    }
    if (rv == APR_SUCCESS && len > 0 && total <= f->s->record_max) {
        rv = write_to_memory(f, data, len, expect);
    }
    f->len += rv == APR_SUCCESS ? len : 0;
    return rv;
}

/* ---- reading while it is written ------------------------------------------ */

apr_uint64_t devcache_store_fill_ticket(const devcache_fill_t *f)
{
    return f->ticket + f->bans; /* each only grows */
}

apr_status_t devcache_store_fill_share(devcache_fill_t *f, apr_uint64_t where[2])
{
    apr_status_t rv = APR_SUCCESS;

    if (f->ended) {
        return f->failed;
    }
    if (f->file.serial == 0) {
        rv = open_file(f, f->len, 0);
    }
    where[0] = f->file.slot;
    where[1] = f->file.serial;
    return rv;
}

apr_status_t devcache_store_fill_read(devcache_fill_t *f, apr_uint64_t offset, char *buf,
                                      apr_size_t len)
{
    ssize_t n;

    if (offset + len > f->len) {
        return APR_EGENERAL;
    }
    if (f->memory) {
        memcpy(buf, f->memory + offset, len);
        return APR_SUCCESS;
    }
    if (f->ended) {
        return APR_EGENERAL;
    }
    n = pread(f->fd, buf, len, (off_t)(DEVCACHE_FILE_HEADER + offset));
    return n == (ssize_t)len ? APR_SUCCESS : n < 0 ? errno : APR_EOF;
}

int devcache_store_fill_in_memory(const devcache_fill_t *f)
{
    return f->memory || f->len == 0;
}

const char *devcache_store_fill_lend(devcache_fill_t *f, apr_uint64_t offset,
                                     apr_size_t len)
{
    if (!f->memory || offset + len > f->len) {
        return NULL;
    }
    f->lent = 1;
    return f->memory + offset;
}

/* ---- publishing ----------------------------------------------------------- */

/* Append with one more try after making room, as the spares may be used up. */
static apr_status_t append(devcache_store_t *s, devcache_queue_t queue,
                           devcache_record_t *rec, devcache_range_t *at)
{
    apr_status_t rv = devcache_segment_append(s, queue, rec, 1, at);

    if (rv == APR_EAGAIN) {
        devcache_evict_restock(s);
        rv = devcache_segment_append(s, queue, rec, 1, at);
    }
    return rv;
}

static apr_status_t bury(devcache_store_t *s, devcache_slice_t key, apr_time_t until)
{
    devcache_record_t rec = {0};
    devcache_range_t at;

    rec.kind = DEVCACHE_RECORD_TOMBSTONE;
    rec.key = key;
    rec.requested_at = until;
    return devcache_evict_log(s, &rec, &at);
}

static devcache_slice_t value_or_empty(devcache_slice_t v)
{
    return v.data ? v : devcache_slice("", 0);
}

static void describe(devcache_record_t *rec, const devcache_fill_t *f,
                     const devcache_publish_t *what)
{
    memset(rec, 0, sizeof(*rec));
    rec->kind = DEVCACHE_RECORD_OBJECT;
    rec->key = f->key;
    rec->spec = devcache_slice_str(what->spec ? what->spec : "");
    rec->variant = value_or_empty(what->variant);
    rec->meta = value_or_empty(what->meta);
    rec->tags = value_or_empty(what->tags);
    rec->requested_at = what->requested_at;
    rec->stored_at = what->stored_at;
    rec->fresh_until = what->fresh_until;
}

static unsigned variants_allowed(const devcache_publish_t *what)
{
    return what->max_variants == 0                 ? 1
           : what->max_variants > DEVCACHE_MATCHES ? DEVCACHE_MATCHES
                                                   : what->max_variants;
}

/* Put the entry; the purges that came since the fill began are asked first. */
static apr_status_t put_entry(devcache_fill_t *f, const devcache_record_t *rec,
                              devcache_put_t *put, devcache_drops_t *drops)
{
    devcache_described_t objects[2] = {devcache_sweep_describe(rec),
                                       devcache_sweep_describe(rec)};
    unsigned n = f->old_tags.data ? 2 : 1;
    apr_status_t rv;

    objects[1].tags = f->old_tags;
    put->bans = f->bans;
    do {
        rv = devcache_index_put(&f->s->sh, put, drops);
    } while (rv == DEVCACHE_OVERTAKEN &&
             (rv = devcache_sweep_overtaken(f->s, objects, n, &put->bans)) ==
                 APR_SUCCESS);
    return rv;
}

/* Append the record and put its entry. @a body: its file, serial 0 if inline. */
static apr_status_t publish_record(devcache_fill_t *f, const devcache_publish_t *what,
                                   devcache_record_t *rec, devcache_queue_t queue,
                                   const devcache_file_t *body, devcache_put_t *put)
{
    devcache_store_t *s = f->s;
    devcache_drops_t drops;
    devcache_range_t at;
    apr_status_t rv = append(s, queue, rec, &at);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    devcache_index_point_at(&put->entry, rec, &at.file, at.offset, body);
    put->ticket = f->ticket;
    put->max_variants = variants_allowed(what);
    rv = put_entry(f, rec, put, &drops);
    if (rv == APR_SUCCESS) {
        devcache_evict_drop(s, &drops);
    } else if (rv != APR_NOTFOUND) { /* a record without its body needs no grave */
        bury(s, f->key, rec->requested_at);
    }
    if (at.rolled || (body->serial && devcache_slot_is_tight(&s->sh))) {
        devcache_evict_restock(s);
    }
    return rv;
}

/* Hashes and spec number; APR_EAGAIN if there are too many specs. */
static apr_status_t identify(devcache_fill_t *f, const devcache_record_t *rec,
                             devcache_entry_t *e)
{
    apr_status_t rv;

    memset(e, 0, sizeof(*e));
    e->key_hash = f->key_hash;
    e->variant_hash = devcache_index_variant_hash(&f->s->sh, rec->spec, rec->variant);
    rv = devcache_spec_intern(&f->s->sh, rec->spec, &e->spec);
    return rv == APR_ENOSPC ? APR_EAGAIN : rv;
}

/* Ends the fill with what its publication came to. I/O errors are counted by then. */
static apr_status_t conclude(devcache_fill_t *f, apr_status_t rv,
                             devcache_counter_t success)
{
    devcache_shared_t *sh = &f->s->sh;

    forget_memory(f);
    if (rv == APR_SUCCESS) {
        devcache_shared_count(sh, success, 1);
        fail(f, APR_EGENERAL); /* nothing more may be done with it */
        return APR_SUCCESS;
    }
    if (rv == APR_EAGAIN) {
        return no_room(f);
    }
    devcache_shared_count(sh, DEVCACHE_N_SUPERSEDED, rv == APR_EGENERAL);
    return fail(f, rv);
}

/* The body file is complete: its header, its size, its place in the queue. */
static apr_status_t seal_body(devcache_fill_t *f, const devcache_entry_t *e,
                              devcache_queue_t queue)
{
    devcache_store_t *s = f->s;
    apr_status_t rv = devcache_segment_write_header(s, f->fd, &f->file, f->salt, f->len);

    if (rv == APR_SUCCESS) {
        rv = devcache_slot_resize(&s->sh, &f->file, on_disk(f->len));
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_slot_claim(&s->sh, &f->file, e->key_hash, e->variant_hash);
    }
    return rv == APR_SUCCESS ? devcache_slot_seal(&s->sh, &f->file, queue) : rv;
}

static apr_status_t publish(devcache_fill_t *f, const devcache_publish_t *what,
                            devcache_record_t *rec, devcache_put_t *put)
{
    devcache_queue_t queue;
    apr_status_t rv = identify(f, rec, &put->entry);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    queue = devcache_ghost_take(&f->s->sh, f->key_hash, put->entry.variant_hash)
                ? DEVCACHE_MAIN
                : DEVCACHE_PROBATION;
    if (f->file.serial) {
        rec->ref_serial = f->file.serial;
        rec->body_sum = f->salt;
        rv = seal_body(f, &put->entry, queue);
    } else {
        rec->body = devcache_slice(f->memory, (apr_size_t)f->len);
        rec->body_sum = devcache_record_body_sum(rec->body);
    }
    return rv == APR_SUCCESS ? publish_record(f, what, rec, queue, &f->file, put) : rv;
}

apr_status_t devcache_store_fill_publish(devcache_fill_t *f,
                                         const devcache_publish_t *what)
{
    devcache_put_t put = {0};
    devcache_record_t rec;
    apr_status_t rv;

    if (f->ended) {
        return f->failed;
    }
    devcache_segment_tidy(f->s);
    describe(&rec, f, what);
    if (!devcache_record_measure(&rec) || rec.length > f->s->record_max) {
        return no_room(f);
    }
    if (rec.length + f->len > f->s->record_max) {
        rv = f->file.serial ? APR_SUCCESS : spill(f, f->len, 1);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    } else if (f->file.serial && (f->memory || f->len == 0)) {
        forget_file(f);
    }
    rec.body_len = f->len;
    rv = publish(f, what, &rec, &put);
    if (rv == APR_SUCCESS && f->file.serial) {
        close(f->fd); /* the file is the index's from now on */
        f->file.serial = 0;
    }
    return conclude(f, rv, DEVCACHE_N_PUBLISHED);
}

/* ---- refreshing ----------------------------------------------------------- */

/* An inline body, to be copied: what the lookup has left where it lies is read now. */
static apr_status_t body_of(devcache_fill_t *f, const devcache_hit_t *hit,
                            devcache_slice_t *body)
{
    const struct devcache_location_t *where = hit->where;
    devcache_record_t old;
    apr_status_t rv;

    *body = hit->body;
    if (where->body.serial || hit->body.data || hit->body_len == 0) {
        return APR_SUCCESS;
    }
    rv = devcache_segment_read(f->s, &where->segment,
                               (apr_uint64_t)where->entry.offset * DEVCACHE_RECORD_UNIT,
                               where->entry.length, &old, f->pool);
    *body = old.body;
    return rv == APR_EGENERAL || rv == APR_EOF ? APR_NOTFOUND : rv;
}

static apr_status_t refresh(devcache_fill_t *f, const devcache_hit_t *hit,
                            const devcache_publish_t *what, devcache_put_t *put)
{
    const struct devcache_location_t *where = hit->where;
    devcache_record_t rec;
    devcache_drops_t drops;
    apr_status_t rv;

    describe(&rec, f, what);
    rec.body_len = hit->body_len;
    rec.ref_serial = where->body.serial;
    rv = body_of(f, hit, &rec.body);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rec.body_sum = where->body.serial ? where->body_salt
                                      : devcache_record_body_sum(rec.body);
    rv = identify(f, &rec, &put->entry);
    put->needs_body = where->body.serial != 0;
    f->old_tags = hit->tags; /* its body goes on, and with it what it was tagged */
    if (rv == APR_SUCCESS) {
        rv = publish_record(f, what, &rec, DEVCACHE_PROBATION, &where->body, put);
    }
    if (rv != APR_SUCCESS || put->entry.variant_hash == where->entry.variant_hash) {
        return rv;
    }
    /* It became another variant: the one that was refreshed is not left behind. */
    if (where->body.serial) {
        devcache_slot_claim(&f->s->sh, &where->body, f->key_hash,
                            put->entry.variant_hash);
    } else if (devcache_index_forget(&f->s->sh, &where->entry, &drops) == APR_SUCCESS) {
        devcache_evict_drop(f->s, &drops);
    }
    return rv;
}

apr_status_t devcache_store_refresh(devcache_fill_t *f, const devcache_hit_t *hit,
                                    const devcache_publish_t *what)
{
    devcache_put_t put = {0};

    if (f->ended) {
        return f->failed;
    }
    devcache_segment_tidy(f->s);
    return conclude(f, refresh(f, hit, what, &put), DEVCACHE_N_REFRESHED);
}

/* ---- removing ------------------------------------------------------------- */

static apr_status_t remove_entries(devcache_store_t *s, devcache_slice_t key,
                                   unsigned *pcount, apr_time_t *pnewest)
{
    apr_uint64_t key_hash = devcache_index_key_hash(&s->sh, key);
    devcache_drops_t drops;
    apr_status_t rv;

    do {
        unsigned n;

        rv = devcache_index_remove(&s->sh, key_hash, &drops, &n, pnewest);
        *pcount += n;
        devcache_evict_drop(s, &drops);
    } while (rv == APR_INCOMPLETE);
    return rv;
}

/*
 * While a rebuild is due, what is removed may not be in the index yet, so a tombstone is
 * written in any case, and before the removal is noted: a rebuild that takes its tickets
 * in between either reads the tombstone or is refused by the index.
 *
 * The clock may have been set back since the objects were stored: the tombstone reaches
 * as far as the latest of them.
 */
apr_status_t devcache_store_remove(devcache_store_t *s, devcache_slice_t key,
                                   apr_time_t now, unsigned *pcount)
{
    int unseen = (int)__atomic_load_n(&s->sh.head->rebuild_due, __ATOMIC_ACQUIRE);
    apr_time_t until = now;
    unsigned count = 0;
    apr_status_t rv, buried = APR_SUCCESS;

    devcache_segment_tidy(s);
    if (unseen) {
        buried = bury(s, key, now);
    }
    rv = remove_entries(s, key, &count, &until);
    if (count > 0 && (!unseen || until > now)) {
        buried = bury(s, key, until);
    }
    if (pcount) {
        *pcount = count;
    }
    devcache_shared_count(&s->sh, DEVCACHE_N_REMOVED, count);
    return rv == APR_SUCCESS ? buried : rv;
}
