/* SPDX-License-Identifier: Apache-2.0 */
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
 * A removal or purge that comes between begin and the entry wins: the entry is refused,
 * and the record, which nothing points at, is evicted with its segment.
 */
#include "store/internal.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/fault.h"
#include "store/body.h"
#include "store/evict.h"
#include "store/ghost.h"
#include "store/segment.h"
#include "store/ring.h"
#include "store/spec.h"
#include "store/sums.h"
#include "store/twin.h"

#define GRANULE (1u << 20) /* a body of unknown length reserves this much at a time */

struct devcache_fill_t {
    devcache_root_t *s;
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
    int detached;          /* only for those who read it; not counted any more */
    devcache_sums_t sums;  /* of what the file has */
};

/* ---- beginning and ending ------------------------------------------------- */

static void forget_file(devcache_fill_t *f)
{
    devcache_sums_free(&f->sums);
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

static void forget_body(devcache_fill_t *f)
{
    if (f->file.serial) {
        forget_file(f);
    }
    forget_memory(f);
}

static apr_status_t end_with_pool(void *data)
{
    devcache_fill_t *f = data;

    f->ended = 1;
    f->lent = 0;
    forget_body(f);
    return APR_SUCCESS;
}

/* It will not be stored: its file counts for nothing, and has no name, from now on. What
 * was written stays as long as the descriptor: somebody may still be owed it. */
static void give_up_slot(devcache_fill_t *f)
{
    if (f->file.serial) {
        devcache_evict_free(f->s, &f->file);
        f->reserved = 0;
    }
}

static apr_status_t fail(devcache_fill_t *f, apr_status_t rv)
{
    give_up_slot(f);
    f->failed = rv;
    f->ended = 1;
    return rv;
}

static apr_status_t no_room(devcache_fill_t *f)
{
    devcache_shared_count(&f->s->sh, DEVCACHE_N_NO_ROOM, 1);
    return fail(f, APR_ENOSPC);
}

devcache_fill_t *devcache_store_fill_begin(devcache_store_t *st, devcache_slice_t key,
                                           apr_pool_t *p)
{
    devcache_fill_t *f = apr_pcalloc(p, sizeof(*f));
    devcache_root_t *s = devcache_store_root(st);

    f->s = s;
    f->pool = p;
    if (!s) {
        f->failed = ENODEV;
        f->ended = 1;
        return f;
    }
    f->key = devcache_slice(apr_pmemdup(p, key.data, key.len), key.len);
    f->key_hash = devcache_index_key_hash(&s->sh, key);
    f->ticket = devcache_index_ticket(&s->sh, f->key_hash);
    f->bans = devcache_ring_latest(&s->sh);
    apr_pool_cleanup_register(p, f, end_with_pool, apr_pool_cleanup_null);
    return f;
}

void devcache_store_fill_abort(devcache_fill_t *f)
{
    if (f && !f->ended) {
        fail(f, APR_EGENERAL);
    }
    if (f) {
        forget_body(f);
    }
}

/* ---- body bytes ----------------------------------------------------------- */

static apr_uint64_t on_disk(apr_uint64_t body_len)
{
    apr_uint64_t len = DEVCACHE_FILE_HEADER + body_len + devcache_sums_size(body_len);

    return (len + 4095) & ~(apr_uint64_t)4095;
}

/* Count for a body of @a len bytes, some more if its end is not in sight. */
static apr_status_t reserve(devcache_fill_t *f, apr_uint64_t len, int known)
{
    apr_uint64_t want = on_disk(len);
    apr_uint64_t step = f->s->sh.g.segment_size < GRANULE ? f->s->sh.g.segment_size
                                                          : GRANULE;
    apr_status_t rv;

    if (want <= f->reserved || f->detached) {
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
    if (rv == APR_SUCCESS &&
        !devcache_sums_add(&f->sums, f->memory, (apr_size_t)f->len)) {
        rv = APR_ENOMEM;
    }
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
    if (rv == APR_SUCCESS && !f->detached && !devcache_sums_add(&f->sums, data, len)) {
        rv = APR_ENOMEM;
    }
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
    if (total > f->s->body_max && !f->detached) {
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
    if (!f->file.serial) {
        return APR_EGENERAL;
    }
    n = pread(f->fd, buf, len, (off_t)(DEVCACHE_FILE_HEADER + offset));
    return n == (ssize_t)len ? APR_SUCCESS : n < 0 ? errno : APR_EOF;
}

apr_status_t devcache_store_fill_detach(devcache_fill_t *f)
{
    if (!f->file.serial || (f->ended && f->failed != APR_ENOSPC)) {
        return APR_EGENERAL;
    }
    give_up_slot(f);
    f->ended = 0;
    f->detached = 1;
    return APR_SUCCESS;
}

apr_status_t devcache_store_fill_open(const devcache_fill_t *f, apr_file_t **pfile,
                                      apr_off_t *pbase, apr_pool_t *p)
{
    int fd = f->file.serial ? fcntl(f->fd, F_DUPFD_CLOEXEC, 0) : -1;

    *pbase = DEVCACHE_FILE_HEADER;
    return fd >= 0          ? devcache_store_as_file(fd, pfile, p)
           : f->file.serial ? errno
                            : APR_NOTFOUND;
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

/* Has it ended, or was its root let go of? */
static int is_over(devcache_fill_t *f)
{
    if (!f->ended && (__atomic_load_n(&f->s->gone, __ATOMIC_ACQUIRE) ||
                      __atomic_load_n(&f->s->sh.broken, __ATOMIC_ACQUIRE))) {
        fail(f, ENODEV);
    }
    return f->ended;
}

/* Append with one more try after making room, as the spares may be used up. */
static apr_status_t append(devcache_root_t *s, devcache_queue_t queue,
                           devcache_record_t *rec, devcache_range_t *at)
{
    apr_status_t rv = devcache_segment_append(s, queue, rec, 1, at);

    if (rv == APR_EAGAIN) {
        devcache_evict_restock(s);
        rv = devcache_segment_append(s, queue, rec, 1, at);
    }
    return rv;
}

static devcache_slice_t value_or_empty(devcache_slice_t v)
{
    return v.data ? v : devcache_slice("", 0);
}

static void describe(devcache_record_t *rec, const devcache_fill_t *f,
                     const devcache_publish_t *what)
{
    memset(rec, 0, sizeof(*rec));
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
    devcache_described_t objects[2] = {devcache_record_describe(rec),
                                       devcache_record_describe(rec)};
    unsigned n = f->old_tags.data ? 2 : 1;
    apr_status_t rv;

    objects[1].tags = f->old_tags;
    put->bans = f->bans;
    do {
        rv = devcache_index_put(&f->s->sh, put, drops);
    } while (rv == DEVCACHE_OVERTAKEN &&
             (rv = devcache_ring_overtaken(f->s, objects, n, &put->bans)) == APR_SUCCESS);
    return rv;
}

/* Append the record and put its entry. @a body: the file with its body, serial 0 if it is
 * inline. */
static apr_status_t publish_record(devcache_fill_t *f, const devcache_publish_t *what,
                                   devcache_record_t *rec, devcache_queue_t queue,
                                   const devcache_file_t *body, devcache_put_t *put)
{
    devcache_root_t *s = f->s;
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

    forget_body(f);
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

/* The body file is complete: its table, its header, its size, its place in the queue. */
static apr_status_t seal_body(devcache_fill_t *f, const devcache_entry_t *e,
                              devcache_queue_t queue)
{
    devcache_root_t *s = f->s;
    apr_status_t rv = devcache_segment_write(s, f->fd, f->sums.table, f->sums.size,
                                             DEVCACHE_FILE_HEADER + f->len);

    if (rv == APR_SUCCESS) {
        rv = devcache_segment_write_header(s, f->fd, &f->file, f->salt, f->len);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_slot_resize(&s->sh, &f->file, on_disk(f->len));
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_slot_claim(&s->sh, &f->file, e->key_hash);
    }
    return rv == APR_SUCCESS ? devcache_slot_seal(&s->sh, &f->file, queue) : rv;
}

/* A body that is small enough for a record: in this one, unless another has the same. */
static apr_status_t publish_inline(devcache_fill_t *f, const devcache_publish_t *what,
                                   devcache_record_t *rec, devcache_queue_t queue,
                                   devcache_put_t *put)
{
    devcache_file_t body = {0};

    devcache_record_sum(rec, f->pool);
    devcache_twin_find(f->s, rec, &put->entry, &body, f->pool);
    return publish_record(f, what, rec, queue, &body, put);
}

/* In the file that another variant has already. APR_NOTFOUND: there is none. */
static apr_status_t publish_twin(devcache_fill_t *f, const devcache_publish_t *what,
                                 devcache_record_t *rec, devcache_queue_t queue,
                                 devcache_put_t *put)
{
    devcache_file_t body;
    apr_status_t rv = APR_NOTFOUND;

    if (devcache_twin_find_file(f->s, rec, &put->entry, f->fd, f->sums.table,
                                f->sums.size, &body, f->pool)) {
        put->needs_body = 1;
        rv = publish_record(f, what, rec, queue, &body, put);
        put->needs_body = 0;
    }
    if (rv == APR_SUCCESS) {
        forget_file(f);
    }
    return rv;
}

static apr_status_t publish_file(devcache_fill_t *f, const devcache_publish_t *what,
                                 devcache_record_t *rec, devcache_queue_t queue,
                                 devcache_put_t *put)
{
    apr_status_t rv;

    if (!devcache_sums_end(&f->sums)) {
        return APR_ENOMEM;
    }
    rv = publish_twin(f, what, rec, queue, put);
    if (rv != APR_NOTFOUND) {
        return rv;
    }
    rec->ref_serial = f->file.serial;
    rec->body_sum = devcache_sums_root(f->sums.table, f->sums.size, f->salt);
    rv = seal_body(f, &put->entry, queue);
    return rv == APR_SUCCESS ? publish_record(f, what, rec, queue, &f->file, put) : rv;
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
        return publish_file(f, what, rec, queue, put);
    }
    rec->body = devcache_slice(f->memory, (apr_size_t)f->len);
    return publish_inline(f, what, rec, queue, put);
}

apr_status_t devcache_store_fill_publish(devcache_fill_t *f,
                                         const devcache_publish_t *what)
{
    devcache_put_t put = {0};
    devcache_record_t rec;
    apr_status_t rv;

    if (is_over(f) || f->detached) {
        return f->ended ? f->failed : APR_ENOSPC;
    }
    devcache_segment_tidy(f->s);
    describe(&rec, f, what);
    if (!devcache_record_measure(&rec) || rec.length > f->s->record_max) {
        return no_room(f);
    }
    if (devcache_record_length(rec.length, f->len) > f->s->record_max) {
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
        devcache_sums_free(&f->sums);
        close(f->fd); /* the file is the index's from now on */
        f->file.serial = 0;
    }
    return conclude(f, rv, DEVCACHE_N_PUBLISHED);
}

/* ---- refreshing ----------------------------------------------------------- */

/* An inline body, to be copied: what the lookup has left where it lies is read now. One in
 * a file of its own is referred to, and verified. */
static apr_status_t body_of(devcache_fill_t *f, const devcache_hit_t *hit,
                            devcache_slice_t *body)
{
    const struct devcache_location_t *where = hit->where;
    devcache_record_t old;
    apr_status_t rv;

    *body = hit->body;
    if (where->body.serial) { /* nothing damaged is to live on for another lifetime */
        return devcache_body_verify(f->s, hit, f->pool);
    }
    if (hit->body.data || hit->body_len == 0) {
        return APR_SUCCESS;
    }
    rv = devcache_twin_read(f->s, &where->entry, &old, f->pool);
    if (rv == APR_SUCCESS && (old.ref_serial || old.body_sum != where->body_sum)) {
        rv = APR_NOTFOUND;
    }
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

    if (where->root != f->s) {
        return APR_NOTFOUND;
    }
    describe(&rec, f, what);
    rec.body_len = hit->body_len;
    rec.ref_serial = where->body.serial;
    rv = body_of(f, hit, &rec.body);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = identify(f, &rec, &put->entry);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    put->entry.use = where->entry.use;
    f->old_tags = hit->tags; /* its body goes on, and with it what it was tagged */
    if (where->body.serial) {
        put->needs_body = 1;
        rec.body_sum = where->body_sum;
        rv = publish_record(f, what, &rec, DEVCACHE_PROBATION, &where->body, put);
    } else {
        rv = publish_inline(f, what, &rec, DEVCACHE_PROBATION, put);
    }
    /* If it became another variant, the one that was refreshed is not left behind. */
    if (rv == APR_SUCCESS && put->entry.variant_hash != where->entry.variant_hash &&
        devcache_index_forget(&f->s->sh, &where->entry, &drops) == APR_SUCCESS) {
        devcache_evict_drop(f->s, &drops);
    }
    return rv;
}

apr_status_t devcache_store_refresh(devcache_fill_t *f, const devcache_hit_t *hit,
                                    const devcache_publish_t *what)
{
    devcache_put_t put = {0};

    if (is_over(f)) {
        return f->failed;
    }
    devcache_segment_tidy(f->s);
    return conclude(f, refresh(f, hit, what, &put), DEVCACHE_N_REFRESHED);
}

/* ---- removing ------------------------------------------------------------- */

static apr_status_t remove_key(devcache_root_t *s, apr_uint64_t key_hash,
                               apr_uint64_t *pticket, unsigned *pcount)
{
    devcache_drops_t drops;
    unsigned count = 0;
    apr_status_t rv;

    devcache_segment_tidy(s);
    do {
        unsigned n;

        rv = devcache_index_remove(&s->sh, key_hash, pticket, &drops, &n);
        count += n;
        devcache_evict_drop(s, &drops);
    } while (rv == APR_INCOMPLETE);
    if (pcount) {
        *pcount = count;
    }
    devcache_shared_count(&s->sh, DEVCACHE_N_REMOVED, count);
    return rv;
}

apr_status_t devcache_store_remove(devcache_store_t *st, devcache_slice_t key,
                                   unsigned *pcount)
{
    devcache_root_t *s = devcache_store_root(st);

    if (pcount) {
        *pcount = 0;
    }
    return s ? remove_key(s, devcache_index_key_hash(&s->sh, key), NULL, pcount) : ENODEV;
}

apr_status_t devcache_store_fill_clear(devcache_fill_t *f, unsigned *pcount)
{
    *pcount = 0;
    return is_over(f) ? f->failed : remove_key(f->s, f->key_hash, &f->ticket, pcount);
}
