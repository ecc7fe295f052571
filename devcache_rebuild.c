/*
 * Rebuilding the index.
 *
 * Due when a new index was made beside old segments; they are in the table of slots by
 * then, all sealed, and rebuild_below is above all their serials. One thread in one
 * child does it, the others see only that more and more is found. If it is killed, the
 * next child that starts begins again; everything done twice has the same outcome.
 *
 *     1  remember every stripe's ticket
 *     2  read all segments for tombstones and purges; of each the latest instant is kept
 *     3  read the old segments for objects; put those requested after tombstones and
 *        purges about them, unless something stored later is there
 *     4  free old bodies that no record has claimed
 *
 * Removals meanwhile: the tickets of step 1 make the index refuse what was removed after
 * it, and whoever removes while a rebuild is due writes a tombstone first, even if
 * nothing is found. A stripe that has seen many removals refuses everything that is
 * older, guilty or not; if that has happened, steps 1 to 3 are done again, with the new
 * tombstones.
 */
#include "devcache_rebuild.h"

#include <apr_errno.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "devcache_bans.h"
#include "devcache_evict.h"
#include "devcache_fault.h"
#include "devcache_segment.h"
#include "devcache_spec.h"
#include "devcache_sweep.h"

#define PASSES 3
#define SHORTAGE_PAUSE 100000 /* microseconds, before it is tried again */

typedef struct grave_t {
    apr_uint64_t key_hash;
    apr_time_t until;
} grave_t;

typedef struct rebuild_t {
    devcache_store_t *s;
    apr_uint64_t *tickets; /* by stripe */
    apr_uint64_t seen;     /* the latest purge when they were taken */
    devcache_bans_t *bans;
    grave_t *graves; /* sorted by key hash once complete */
    apr_size_t n_graves, room;
    devcache_file_t *files; /* old segments and bodies, sorted by serial */
    unsigned n_files;
    apr_uint64_t refused; /* because of removals in its course */
} rebuild_t;

static int stopping(const devcache_store_t *s)
{
    return __atomic_load_n(&s->stopping, __ATOMIC_RELAXED);
}

static int by_key_then_latest(const void *a, const void *b)
{
    const grave_t *x = a, *y = b;

    if (x->key_hash != y->key_hash) {
        return x->key_hash < y->key_hash ? -1 : 1;
    }
    return x->until > y->until ? -1 : x->until < y->until;
}

static int by_serial(const void *a, const void *b)
{
    const devcache_file_t *x = a, *y = b;

    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* Descriptors and memory may be short for a while, as when a busy server starts: that is
 * waited for, so that nothing is taken for absent that is not. */
static apr_status_t walk_begin(const rebuild_t *rb, const devcache_file_t *file,
                               devcache_walk_t *walk)
{
    apr_status_t rv;

    while (((rv = devcache_segment_walk_begin(rb->s, file, walk)) == EMFILE ||
            rv == ENFILE || rv == APR_ENOMEM) &&
           !stopping(rb->s)) {
        apr_sleep(SHORTAGE_PAUSE);
    }
    return rv;
}

/* ---- step 2: tombstones --------------------------------------------------- */

static void sort_graves(rebuild_t *rb)
{
    apr_size_t i, kept = 0;

    if (rb->n_graves) {
        qsort(rb->graves, rb->n_graves, sizeof(grave_t), by_key_then_latest);
    }
    for (i = 0; i < rb->n_graves; i++) {
        if (kept == 0 || rb->graves[kept - 1].key_hash != rb->graves[i].key_hash) {
            rb->graves[kept++] = rb->graves[i];
        }
    }
    rb->n_graves = kept;
}

static int add_grave(rebuild_t *rb, const devcache_record_t *rec)
{
    if (rb->n_graves == rb->room) {
        apr_size_t room;
        grave_t *larger;

        sort_graves(rb);
        room = rb->n_graves * 2 + 256;
        larger = realloc(rb->graves, room * sizeof(grave_t));
        if (!larger) {
            return 0;
        }
        rb->graves = larger;
        rb->room = room;
    }
    rb->graves[rb->n_graves].key_hash = devcache_index_key_hash(&rb->s->sh, rec->key);
    rb->graves[rb->n_graves].until = rec->requested_at;
    rb->n_graves++;
    return 1;
}

static int collect_graves_of(rebuild_t *rb, const devcache_file_t *file)
{
    devcache_record_t rec;
    devcache_walk_t walk;
    int fine = 1;
    apr_status_t rv = walk_begin(rb, file, &walk);

    if (rv != APR_SUCCESS) { /* gone or damaged; else it may still tell of removals */
        return rv == APR_NOTFOUND || rv == APR_EGENERAL;
    }
    while (fine && !stopping(rb->s) && devcache_segment_walk_next(&walk, &rec)) {
        if (rec.kind == DEVCACHE_RECORD_TOMBSTONE) {
            fine = add_grave(rb, &rec);
        } else if (rec.kind == DEVCACHE_RECORD_BAN) {
            fine = devcache_bans_add(rb->bans, &rec);
        }
    }
    devcache_segment_walk_end(&walk);
    return fine;
}

static int collect_graves(rebuild_t *rb)
{
    devcache_slot_t copy;
    devcache_file_t file;
    unsigned i;
    int fine = 1;

    for (i = 0; fine && i < rb->s->sh.g.slots; i++) {
        if (devcache_slot_get(&rb->s->sh, i, &file, &copy) &&
            file.kind == DEVCACHE_FILE_SEGMENT) {
            fine = collect_graves_of(rb, &file);
        }
    }
    sort_graves(rb);
    devcache_bans_ready(rb->bans);
    return fine;
}

static int is_buried(const rebuild_t *rb, apr_uint64_t key_hash, apr_time_t requested_at)
{
    apr_size_t low = 0, high = rb->n_graves;

    while (low < high) {
        apr_size_t mid = low + (high - low) / 2;

        if (rb->graves[mid].key_hash < key_hash) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return apr_time_sec(requested_at) <= rb->s->sh.head->rebuild_from ||
           (low < rb->n_graves && rb->graves[low].key_hash == key_hash &&
            requested_at <= rb->graves[low].until);
}

/* ---- step 3: objects ------------------------------------------------------ */

/* The old body that a record names, if it is whole and the very one. */
static int find_body(const rebuild_t *rb, const devcache_record_t *rec,
                     devcache_file_t *body)
{
    devcache_file_t wanted = {rec->ref_serial, DEVCACHE_FILE_BODY, 0};
    devcache_file_header_t header;
    devcache_file_t *found = bsearch(&wanted, rb->files, rb->n_files, sizeof(wanted),
                                     by_serial);
    apr_uint64_t len;
    int fd;

    if (!found || found->kind != DEVCACHE_FILE_BODY ||
        devcache_segment_open(rb->s, found, &fd, &header, &len) != APR_SUCCESS) {
        return 0;
    }
    close(fd);
    *body = *found;
    return header.salt == rec->body_sum && header.len == rec->body_len &&
           len >= DEVCACHE_FILE_HEADER + header.len;
}

/* As a fill that began with this pass. */
static apr_status_t put_entry(rebuild_t *rb, const devcache_record_t *rec,
                              devcache_put_t *put, devcache_drops_t *drops)
{
    devcache_described_t object = devcache_sweep_describe(rec);
    apr_status_t rv;

    put->bans = rb->seen;
    do {
        rv = devcache_index_put(&rb->s->sh, put, drops);
    } while (rv == DEVCACHE_OVERTAKEN &&
             (rv = devcache_sweep_overtaken(rb->s, &object, 1, &put->bans)) ==
                 APR_SUCCESS);
    rb->refused += rv == APR_EGENERAL;
    return rv;
}

static void put_object(rebuild_t *rb, devcache_record_t *rec, const devcache_file_t *file,
                       apr_uint64_t offset)
{
    devcache_shared_t *sh = &rb->s->sh;
    devcache_put_t put = {0};
    devcache_entry_t *e = &put.entry;
    devcache_file_t body = {0};
    devcache_drops_t drops;

    e->key_hash = devcache_index_key_hash(sh, rec->key);
    if (is_buried(rb, e->key_hash, rec->requested_at) ||
        !devcache_bans_spare(rb->bans, rec) ||
        (rec->ref_serial && !find_body(rb, rec, &body)) ||
        devcache_spec_intern(sh, rec->spec, &e->spec) != APR_SUCCESS) {
        return;
    }
    e->variant_hash = devcache_index_variant_hash(sh, rec->spec, rec->variant);
    devcache_index_point_at(e, rec, file, offset, &body);
    put.ticket = rb->tickets[devcache_index_stripe(sh, e->key_hash)];
    put.max_variants = DEVCACHE_MATCHES;
    put.only_newer = 1;
    if (put_entry(rb, rec, &put, &drops) == APR_SUCCESS) {
        devcache_evict_drop(rb->s, &drops);
        if (body.serial) {
            devcache_slot_claim(sh, &body, e->key_hash, e->variant_hash);
        }
    }
}

static void put_objects_of(rebuild_t *rb, const devcache_file_t *file)
{
    devcache_record_t rec;
    devcache_walk_t walk;

    if (walk_begin(rb, file, &walk) != APR_SUCCESS) {
        return;
    }
    while (!stopping(rb->s) && devcache_segment_walk_next(&walk, &rec)) {
        if (rec.kind == DEVCACHE_RECORD_OBJECT) {
            put_object(rb, &rec, file, walk.offset);
        }
        DEVCACHE_KILL_HERE("kill-in-rebuild");
    }
    devcache_segment_walk_end(&walk);
}

/* ---- all steps ------------------------------------------------------------ */

/* Old files in the order of their serials, that is roughly of their writing. */
static unsigned list_files(rebuild_t *rb)
{
    devcache_shared_head_t *h = rb->s->sh.head;
    devcache_slot_t copy;
    devcache_file_t file;
    unsigned segments = 0;
    unsigned i;

    for (i = 0; i < rb->s->sh.g.slots; i++) {
        if (devcache_slot_get(&rb->s->sh, i, &file, &copy) &&
            file.serial < h->rebuild_below) {
            rb->files[rb->n_files++] = file;
            segments += file.kind == DEVCACHE_FILE_SEGMENT;
        }
    }
    qsort(rb->files, rb->n_files, sizeof(file), by_serial);
    return segments;
}

static void free_unclaimed(rebuild_t *rb)
{
    devcache_slot_t copy;
    devcache_file_t file;
    unsigned i;

    for (i = 0; i < rb->n_files; i++) {
        if (rb->files[i].kind == DEVCACHE_FILE_BODY &&
            devcache_slot_get(&rb->s->sh, rb->files[i].slot, &file, &copy) &&
            file.serial == rb->files[i].serial && copy.key_hash == 0 &&
            copy.variant_hash == 0) {
            devcache_evict_free(rb->s, &file);
        }
    }
}

/* Steps 1 to 3. @return 1 if it came to the end */
static int pass(rebuild_t *rb)
{
    devcache_shared_head_t *h = rb->s->sh.head;
    unsigned i;

    devcache_bans_free(rb->bans);
    rb->bans = devcache_bans_make(rb->s);
    rb->refused = rb->n_graves = 0;
    rb->seen = devcache_sweep_latest(&rb->s->sh);
    __atomic_store_n(&h->rebuild_done, 0, __ATOMIC_RELAXED);
    for (i = 0; i < rb->s->sh.g.stripes; i++) {
        rb->tickets[i] = __atomic_load_n(&rb->s->sh.stripes[i].ticket, __ATOMIC_ACQUIRE);
    }
    if (!rb->bans || !collect_graves(rb)) {
        return 0;
    }
    for (i = 0; i < rb->n_files && !stopping(rb->s); i++) {
        if (rb->files[i].kind == DEVCACHE_FILE_SEGMENT) {
            put_objects_of(rb, &rb->files[i]);
            __atomic_fetch_add(&h->rebuild_done, 1, __ATOMIC_RELAXED);
        }
    }
    return !stopping(rb->s);
}

static int run(rebuild_t *rb)
{
    unsigned segments = list_files(rb);
    int i;

    __atomic_store_n(&rb->s->sh.head->rebuild_total, segments, __ATOMIC_RELAXED);
    devcache_store_say(rb->s, DEVCACHE_LOG_NOTICE, 203, APR_SUCCESS,
                       "store: rebuilding the index of \"%s\" from %u segments",
                       rb->s->conf.root, segments);
    for (i = 0; i < PASSES; i++) {
        if (!pass(rb)) {
            return 0;
        }
        if (rb->refused == 0) {
            break;
        }
    }
    free_unclaimed(rb);
    return 1;
}

static void rebuild_locked(devcache_store_t *s)
{
    devcache_shared_head_t *h = s->sh.head;
    rebuild_t rb = {s};

    rb.tickets = malloc(s->sh.g.stripes * sizeof(*rb.tickets));
    rb.files = malloc(s->sh.g.slots * sizeof(*rb.files));
    if (rb.tickets && rb.files && run(&rb)) {
        __atomic_store_n(&h->rebuild_due, 0, __ATOMIC_RELEASE);
        devcache_store_say(s, DEVCACHE_LOG_NOTICE, 204, APR_SUCCESS,
                           "store: rebuilt the index of \"%s\": %llu objects",
                           s->conf.root,
                           (unsigned long long)devcache_index_objects(&s->sh));
    }
    free(rb.tickets);
    free(rb.files);
    free(rb.graves);
    devcache_bans_free(rb.bans);
}

/* The lock is robust: it must be taken by the thread that holds it. */
static void *rebuild_thread(void *data)
{
    devcache_store_t *s = data;
    pthread_mutex_t *lock = &s->sh.head->rebuild;
    devcache_locked_t locked = devcache_shared_trylock(lock);

    if (locked == DEVCACHE_NOT_LOCKED) {
        return NULL;
    }
    if (locked == DEVCACHE_LOCKED_REPAIR) {
        devcache_shared_repaired(lock);
    }
    if (__atomic_load_n(&s->sh.head->rebuild_due, __ATOMIC_ACQUIRE)) {
        rebuild_locked(s);
    }
    pthread_mutex_unlock(lock);
    return NULL;
}

apr_status_t devcache_rebuild_start(devcache_store_t *s)
{
    sigset_t all, before;
    int rc;

    if (!__atomic_load_n(&s->sh.head->rebuild_due, __ATOMIC_ACQUIRE)) {
        return APR_SUCCESS;
    }
    s->stopping = 0;
    /* Signals are the business of the server's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->rebuilder, NULL, rebuild_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->rebuilding = rc == 0;
    return rc;
}

void devcache_rebuild_stop(devcache_store_t *s)
{
    if (s->rebuilding) {
        __atomic_store_n(&s->stopping, 1, __ATOMIC_RELAXED);
        pthread_join(s->rebuilder, NULL);
        s->rebuilding = 0;
    }
}
