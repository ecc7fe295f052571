/*
 * The store: what its parts are for, and the way of a lookup.
 *
 *     request ---> lookup ---> index (shared memory) ---> record (segment) ---> hit
 *                                ^                           ^        \--> body file
 *     response --> fill ---------+--- entry last ------------+ bytes first
 *
 * An object is a key, a variant under a spec, the caller's meta and a body. Small ones
 * are one record in a segment; of large ones the record says in which file the body lies.
 *
 * Truth. The index is a hint and may be wrong in any way: after a crash, a bug, a flipped
 * bit. A lookup believes only the record it reads: magic, full key, spec, variant and
 * checksums, and for a large body the serial of its file. If the file is still the one
 * the index meant, a record that does not fit is damage, counted and forgotten. If the
 * file has been evicted meanwhile, the object is simply gone.
 *
 * Life cycle. The parent opens the store before it forks; mapping, root and lock are
 * inherited. Each child calls child_init once. Nothing needs to be called at the end.
 */
#include "devcache_store.h"

#include <apr_errno.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "devcache_evict.h"
#include "devcache_index.h"
#include "devcache_rebuild.h"
#include "devcache_segment.h"
#include "devcache_spec.h"
#include "devcache_store_int.h"

#define SEGMENT_MIN (64u << 10)
#define SEGMENTS_MIN 8
#define SEGMENTS_MAX 32768
#define OBJECTS_MIN 64
#define OBJECTS_MAX (1u << 28)

void devcache_store_say(const devcache_store_t *s, int level, int tag, apr_status_t rv,
                        const char *fmt, ...)
{
    char msg[1024];
    va_list ap;

    if (s->conf.log) {
        va_start(ap, fmt);
        vsnprintf(msg, sizeof(msg), fmt, ap);
        va_end(ap);
        s->conf.log(level, tag, rv, msg);
    }
}

/* ---- opening -------------------------------------------------------------- */

static apr_uint64_t clamp(apr_uint64_t v, apr_uint64_t low, apr_uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static apr_uint64_t default_segment(apr_uint64_t size)
{
    apr_uint64_t p = 256u << 10;

    while (p * 2 <= clamp(size / 128, 256u << 10, 64u << 20)) {
        p *= 2;
    }
    return p;
}

static const char *choose_sizes(devcache_store_t *s, apr_pool_t *p)
{
    const devcache_store_conf_t *conf = &s->conf;
    apr_uint64_t segment = conf->segment_size & ~(apr_uint64_t)4095; /* whole pages */
    apr_uint64_t objects = conf->max_objects;

    if (conf->segment_size == 0) {
        segment = default_segment(conf->size);
    }
    if (segment < SEGMENT_MIN || segment > DEVCACHE_SEGMENT_MAX) {
        return apr_psprintf(p,
                            "DevCacheSegmentSize: %" APR_UINT64_T_FMT
                            " is not a number of bytes from %u to %u",
                            conf->segment_size, SEGMENT_MIN, DEVCACHE_SEGMENT_MAX);
    }
    if (conf->size / segment < SEGMENTS_MIN || conf->size / segment > SEGMENTS_MAX) {
        return apr_psprintf(p,
                            "DevCacheSize: %" APR_UINT64_T_FMT " is not from %d to %d "
                            "times the segment size of %" APR_UINT64_T_FMT " bytes",
                            conf->size, SEGMENTS_MIN, SEGMENTS_MAX, segment);
    }
    if (objects == 0) {
        objects = clamp(conf->size / 8192, 4096, 16u << 20);
    }
    if (objects < OBJECTS_MIN || objects > OBJECTS_MAX) {
        return apr_psprintf(
            p, "DevCacheMaxObjects: %" APR_UINT64_T_FMT " is not a number from %u to %u",
            objects, OBJECTS_MIN, OBJECTS_MAX);
    }
    devcache_shared_plan(&s->sh.g, conf->size, segment, objects);
    s->record_max = clamp(segment / 16, 0, DEVCACHE_RECORD_MAX);
    s->body_max = conf->size / 4;
    return NULL;
}

/* @param prv  errno where the directory cannot be opened, else APR_EINVAL */
static const char *open_root(devcache_store_t *s, apr_status_t *prv, apr_pool_t *p)
{
    const char *root = s->conf.root;
    char text[120];
    struct stat st;

    *prv = APR_EINVAL;
    s->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->root_fd < 0 || fstat(s->root_fd, &st) != 0) {
        *prv = errno;
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" is not a directory that can be opened: "
                            "%s; create it, not as a symbolic link",
                            root, apr_strerror(*prv, text, sizeof(text)));
    }
    if (st.st_uid != s->conf.uid) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" belongs to user %lu: give it to user "
                            "%lu, as whom the server runs",
                            root, (unsigned long)st.st_uid, (unsigned long)s->conf.uid);
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" can be written by others (mode %03o): "
                            "chmod 700 it",
                            root, (unsigned)st.st_mode & 0777);
    }
    return NULL;
}

apr_status_t devcache_store_check(const devcache_store_conf_t *conf, const char **perror,
                                  apr_pool_t *p)
{
    devcache_store_t s = {0};
    apr_status_t rv = APR_EINVAL;

    s.conf = *conf;
    s.root_fd = -1;
    *perror = choose_sizes(&s, p);
    if (!*perror) {
        *perror = open_root(&s, &rv, p);
    }
    if (s.root_fd >= 0) {
        close(s.root_fd);
    }
    return *perror ? rv : APR_SUCCESS;
}

static const char *open_lock(devcache_store_t *s, apr_pool_t *p)
{
    int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    char text[120];
    struct stat st;

    s->lock_fd = openat(s->root_fd, "lock", flags, 0600);
    if (s->lock_fd < 0 || fstat(s->lock_fd, &st) != 0) {
        return apr_psprintf(p, "DevCacheRoot \"%s\": cannot open the file lock there: %s",
                            s->conf.root, apr_strerror(errno, text, sizeof(text)));
    }
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": lock there is not a plain file of its "
                            "own: remove it",
                            s->conf.root);
    }
    if (geteuid() == 0 && fchown(s->lock_fd, s->conf.uid, s->conf.gid) != 0) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": cannot give the file lock to user %lu",
                            s->conf.root, (unsigned long)s->conf.uid);
    }
    return NULL;
}

static apr_status_t close_store(void *data)
{
    devcache_store_t *s = data;

    devcache_segment_close_all(s);
    devcache_shared_unmap(&s->sh);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    if (s->root_fd >= 0) {
        close(s->root_fd);
    }
    return APR_SUCCESS;
}

apr_status_t devcache_store_open(devcache_store_t **pstore,
                                 const devcache_store_conf_t *conf, const char **perror,
                                 apr_pool_t *p)
{
    devcache_store_t *s = apr_pcalloc(p, sizeof(*s));
    apr_status_t rv;

    *pstore = NULL;
    *perror = NULL;
    s->conf = *conf;
    s->conf.root = apr_pstrdup(p, conf->root);
    s->pool = p;
    s->root_fd = s->lock_fd = -1;
    pthread_mutex_init(&s->open_lock, NULL);
    apr_pool_cleanup_register(p, s, close_store, apr_pool_cleanup_null);
    if ((*perror = choose_sizes(s, p)) != NULL ||
        (*perror = open_root(s, &rv, p)) != NULL || (*perror = open_lock(s, p)) != NULL) {
        rv = APR_EINVAL;
    } else {
        rv = devcache_attach_index(s, perror);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_cleanup_run(p, s, close_store);
        return rv;
    }
    devcache_evict_restock(s);
    *pstore = s;
    return APR_SUCCESS;
}

static apr_status_t end_child(void *data)
{
    devcache_store_t *s = data;

    devcache_rebuild_stop(s);
    devcache_hot_clear(s->hot);
    return APR_SUCCESS;
}

apr_status_t devcache_store_child_init(devcache_store_t *s, apr_size_t memory,
                                       apr_pool_t *pchild)
{
    /* The parent had no threads when it forked, but may have held descriptors. */
    pthread_mutex_init(&s->open_lock, NULL);
    s->hot = devcache_hot_create(memory, s->pool);
    devcache_evict_reclaim(s);
    apr_pool_cleanup_register(pchild, s, end_child, apr_pool_cleanup_null);
    return devcache_rebuild_start(s);
}

/* ---- lookup --------------------------------------------------------------- */

/* What the request has to offer under one spec. */
/* A longer record's body is not read by a lookup but left to sendfile. Measured: at 100
 * KB reading, verifying and copying still costs less, at 1 MB far more. */
#define READ_MAX (256u << 10)

typedef struct offer_t {
    apr_uint16_t spec;
    const char *text;         /* NULL: the index names a spec that does not exist */
    devcache_slice_t variant; /* data NULL: nothing under this spec may be used */
    apr_uint64_t variant_hash;
} offer_t;

typedef struct lookup_t {
    devcache_store_t *s;
    devcache_slice_t key;
    devcache_variant_fn *variant;
    void *baton;
    apr_pool_t *p;
    offer_t offers[DEVCACHE_MATCHES];
    unsigned n_offers;
    int in_memory; /* the record under examination was found there */
} lookup_t;

static const offer_t *offer_for(lookup_t *l, apr_uint16_t spec)
{
    offer_t *o;
    unsigned i;

    for (i = 0; i < l->n_offers; i++) {
        if (l->offers[i].spec == spec) {
            return &l->offers[i];
        }
    }
    o = &l->offers[l->n_offers++];
    o->spec = spec;
    o->text = devcache_spec_text(&l->s->sh, spec);
    o->variant = o->text ? l->variant(l->baton, o->text, l->p) : devcache_slice(NULL, 0);
    if (o->variant.data) {
        o->variant_hash = devcache_index_variant_hash(
            &l->s->sh, devcache_slice_str(o->text), o->variant);
    }
    return o;
}

static int fits(lookup_t *l, const devcache_entry_t *e)
{
    const offer_t *o = offer_for(l, e->spec);

    return o->variant.data && o->variant_hash == e->variant_hash;
}

static int names_in(const char *spec)
{
    int n = spec[0] != '\0';

    for (; *spec; spec++) {
        n += *spec == ' ';
    }
    return n;
}

/* Had a expired when b was stored? Then b is what the origin sent in its place. */
static int superseded(const devcache_entry_t *a, const devcache_entry_t *b)
{
    return b->stored_at > a->stored_at && apr_time_sec(b->stored_at) >= a->fresh_until;
}

/* An answer that depends on less must not hide good ones that depend on more, as an error
 * page without Vary would; but nor may a stale one stay in the way for ever after its
 * origin has changed its Vary. */
static int preferred(lookup_t *l, const devcache_entry_t *a, const devcache_entry_t *b)
{
    int a_names = names_in(offer_for(l, a->spec)->text);
    int b_names = names_in(offer_for(l, b->spec)->text);

    if (superseded(a, b) || superseded(b, a)) {
        return superseded(b, a);
    }
    return a_names != b_names ? a_names > b_names : a->stored_at > b->stored_at;
}

static void forget(devcache_store_t *s, const devcache_entry_t *e)
{
    devcache_drops_t drops;

    if (devcache_index_forget(&s->sh, e, &drops) == APR_SUCCESS) {
        devcache_evict_drop(s, &drops);
    }
}

static void forget_damaged(devcache_store_t *s, const devcache_entry_t *e,
                           const devcache_file_t *file)
{
    char name[DEVCACHE_FILE_NAME];

    devcache_shared_count(&s->sh, DEVCACHE_N_DAMAGED, 1);
    forget(s, e);
    if (__atomic_exchange_n(&s->damaged_serial, file->serial, __ATOMIC_RELAXED) !=
        file->serial) {
        devcache_segment_name(name, file->kind, file->serial);
        devcache_store_say(s, DEVCACHE_LOG_WARNING, 205, APR_SUCCESS,
                           "store: \"%s/%s\" is damaged; what is unreadable there is "
                           "forgotten",
                           s->conf.root, name);
    }
}

static int is_the_one(lookup_t *l, const devcache_entry_t *e,
                      const devcache_record_t *rec)
{
    const offer_t *o = offer_for(l, e->spec);

    return rec->kind == DEVCACHE_RECORD_OBJECT && devcache_slice_eq(rec->key, l->key) &&
           devcache_slice_eq(rec->spec, devcache_slice_str(o->text)) &&
           devcache_slice_eq(rec->variant, o->variant) &&
           (rec->ref_serial != 0) == (e->body_slot != DEVCACHE_NO_SLOT);
}

/* The slot's whole serial if it is still the file that the low bits mean. */
static apr_uint64_t whole_serial(const devcache_store_t *s, unsigned slot,
                                 apr_uint32_t serial)
{
    apr_uint64_t whole = slot < s->sh.g.slots ? __atomic_load_n(&s->sh.slots[slot].serial,
                                                                __ATOMIC_ACQUIRE)
                                              : 0;

    return (apr_uint32_t)whole == serial ? whole : 0;
}

static devcache_hit_t *make_hit(lookup_t *l, const devcache_entry_t *e,
                                const devcache_file_t *segment,
                                const devcache_record_t *rec)
{
    devcache_hit_t *hit = apr_pcalloc(l->p, sizeof(*hit));

    hit->requested_at = rec->requested_at;
    hit->stored_at = rec->stored_at;
    hit->fresh_until = devcache_index_fresh_until(e, rec->fresh_until);
    hit->spec = offer_for(l, e->spec)->text;
    hit->variant = rec->variant;
    hit->meta = rec->meta;
    hit->tags = rec->tags;
    hit->body = rec->body;
    hit->body_len = rec->body_len;
    hit->in_memory = l->in_memory;
    hit->where = apr_pcalloc(l->p, sizeof(*hit->where));
    hit->where->entry = *e;
    hit->where->segment = *segment;
    hit->where->inline_from = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT +
                              rec->head_len;
    if (rec->ref_serial) {
        hit->body = devcache_slice(NULL, 0);
        hit->where->body.serial = rec->ref_serial;
        hit->where->body.kind = DEVCACHE_FILE_BODY;
        hit->where->body.slot = e->body_slot;
        hit->where->body_salt = rec->body_sum;
    }
    return hit;
}

/* From memory, or from disk, where a long body is left to the kernel to send. */
static apr_status_t read_record(lookup_t *l, const devcache_entry_t *e,
                                const devcache_file_t *file, devcache_record_t *rec)
{
    devcache_store_t *s = l->s;
    apr_uint64_t offset = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT;
    apr_status_t rv;

    l->in_memory = 0;
    if (e->length > READ_MAX) {
        return devcache_segment_read_head(s, file, offset, e->length, rec, l->p);
    }
    if (s->hot && devcache_hot_find(s->hot, file->serial, offset, rec, l->p)) {
        l->in_memory = 1;
        return APR_SUCCESS;
    }
    rv = devcache_segment_read(s, file, offset, e->length, rec, l->p);
    if (rv == APR_SUCCESS && s->hot) {
        devcache_hot_offer(s->hot, file->serial, offset, rec);
    }
    return rv;
}

/* One candidate: read and verify. APR_NOTFOUND: it is not, or not any more, there. */
static apr_status_t try_entry(lookup_t *l, const devcache_entry_t *e,
                              devcache_hit_t **phit)
{
    devcache_store_t *s = l->s;
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    devcache_record_t rec;
    apr_status_t rv;

    file.serial = whole_serial(s, e->slot, e->serial);
    if (file.serial == 0) {
        return APR_NOTFOUND;
    }
    rv = read_record(l, e, &file, &rec);
    if (rv == APR_SUCCESS && !is_the_one(l, e, &rec)) {
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS && rec.ref_serial &&
        whole_serial(s, e->body_slot, e->body_serial) != rec.ref_serial) {
        forget(s, e);
        return APR_NOTFOUND;
    }
    if (rv == APR_SUCCESS) {
        *phit = make_hit(l, e, &file, &rec);
        return APR_SUCCESS;
    }
    if (rv == APR_EGENERAL || rv == APR_EOF || rv == APR_NOTFOUND) {
        if (whole_serial(s, e->slot, e->serial) == file.serial) {
            forget_damaged(s, e, &file);
        }
        return APR_NOTFOUND;
    }
    devcache_shared_count(&s->sh, DEVCACHE_N_ERRORS, 1);
    return rv;
}

/* The best of @a n, or @a n if none is left. */
static unsigned best_of(lookup_t *l, const devcache_match_t *found, unsigned n)
{
    unsigned best = n;
    unsigned i;

    for (i = 0; i < n; i++) {
        if (found[i].at &&
            (best == n || preferred(l, &found[i].entry, &found[best].entry))) {
            best = i;
        }
    }
    return best;
}

static apr_status_t look_up(devcache_store_t *s, devcache_slice_t key,
                            devcache_variant_fn *variant, void *baton,
                            devcache_hit_t **phit, int is_use, apr_pool_t *p)
{
    devcache_match_t found[DEVCACHE_MATCHES];
    apr_status_t rv = APR_NOTFOUND;
    lookup_t l;
    unsigned i, n;

    *phit = NULL;
    l.s = s;
    l.key = key;
    l.variant = variant;
    l.baton = baton;
    l.p = p;
    l.n_offers = 0;
    devcache_segment_tidy(s);
    n = devcache_index_find(&s->sh, devcache_index_key_hash(&s->sh, key), found);
    for (i = 0; i < n; i++) {
        if (!fits(&l, &found[i].entry)) {
            found[i].at = NULL; /* not a candidate */
        }
    }
    while ((i = best_of(&l, found, n)) < n) {
        apr_status_t one = try_entry(&l, &found[i].entry, phit);

        if (one == APR_SUCCESS) {
            if (is_use) {
                devcache_index_note_use(&found[i]);
            }
            return APR_SUCCESS;
        }
        rv = one == APR_NOTFOUND ? rv : one;
        found[i].at = NULL;
    }
    return rv;
}

apr_status_t devcache_store_lookup(devcache_store_t *s, devcache_slice_t key,
                                   devcache_variant_fn *variant, void *baton,
                                   devcache_hit_t **phit, apr_pool_t *p)
{
    return look_up(s, key, variant, baton, phit, 1, p);
}

apr_status_t devcache_store_peek(devcache_store_t *s, devcache_slice_t key,
                                 devcache_variant_fn *variant, void *baton,
                                 devcache_hit_t **phit, apr_pool_t *p)
{
    return look_up(s, key, variant, baton, phit, 0, p);
}

/* ---- large bodies --------------------------------------------------------- */

static apr_status_t close_body(void *file)
{
    return apr_file_close(file);
}

static int is_whole_body(const devcache_hit_t *hit, const devcache_file_header_t *header,
                         apr_uint64_t len)
{
    const struct devcache_location_t *where = hit->where;

    if (where->body.serial == 0) {
        return len >= where->inline_from + hit->body_len;
    }
    return header->salt == where->body_salt && header->len == hit->body_len &&
           len >= DEVCACHE_FILE_HEADER + hit->body_len;
}

/* A file of the caller's own for @a fd, closed with the pool, or now on error. */
static apr_status_t as_file(int fd, apr_file_t **pfile, apr_pool_t *p)
{
    apr_status_t rv = apr_os_file_put(pfile, &fd,
                                      APR_FOPEN_READ | APR_FOPEN_SENDFILE_ENABLED, p);

    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    apr_pool_cleanup_register(p, *pfile, close_body, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t devcache_store_open_shared(devcache_store_t *s, const apr_uint64_t where[2],
                                        apr_file_t **pfile, apr_off_t *poffset,
                                        apr_pool_t *p)
{
    devcache_file_t file = {where[1], DEVCACHE_FILE_BODY, (apr_uint16_t)where[0]};
    devcache_file_header_t header;
    apr_uint64_t len;
    int fd;
    apr_status_t rv = devcache_segment_open(s, &file, &fd, &header, &len);

    *poffset = DEVCACHE_FILE_HEADER;
    return rv == APR_SUCCESS ? as_file(fd, pfile, p) : rv;
}

apr_status_t devcache_store_open_body(devcache_store_t *s, const devcache_hit_t *hit,
                                      apr_file_t **pfile, apr_off_t *poffset,
                                      apr_pool_t *p)
{
    const struct devcache_location_t *where = hit->where;
    const devcache_file_t *file = where->body.serial ? &where->body : &where->segment;
    devcache_file_header_t header = {0};
    apr_uint64_t len = 0;
    apr_status_t rv;
    int fd;

    *pfile = NULL;
    rv = devcache_segment_open(s, file, &fd, &header, &len);
    if (rv == APR_SUCCESS && !is_whole_body(hit, &header, len)) {
        close(fd);
        rv = APR_EGENERAL;
    }
    if (rv == APR_EGENERAL) {
        forget_damaged(s, &where->entry, file);
        return APR_NOTFOUND;
    }
    if (rv != APR_SUCCESS) {
        devcache_shared_count(&s->sh, DEVCACHE_N_ERRORS, rv != APR_NOTFOUND);
        return rv;
    }
    if ((rv = as_file(fd, pfile, p)) != APR_SUCCESS) {
        return rv;
    }
    *poffset = (apr_off_t)(where->body.serial ? DEVCACHE_FILE_HEADER
                                              : where->inline_from);
    return APR_SUCCESS;
}

/* ---- statistics ----------------------------------------------------------- */

void devcache_store_stats_of(const devcache_shared_t *sh, devcache_store_stats_t *out)
{
    const devcache_shared_head_t *h = sh->head;
    apr_uint64_t n[DEVCACHE_N_COUNTERS];
    int i;

    for (i = 0; i < DEVCACHE_N_COUNTERS; i++) {
        n[i] = __atomic_load_n(&h->counters[i], __ATOMIC_RELAXED);
    }
    memset(out, 0, sizeof(*out));
    out->bytes = __atomic_load_n(&h->used, __ATOMIC_RELAXED);
    out->segments = __atomic_load_n(&h->files, __ATOMIC_RELAXED);
    out->size = sh->g.size;
    out->objects = devcache_index_objects(sh);
    out->max_objects = (apr_uint64_t)sh->g.stripes * sh->g.entries;
    out->max_files = sh->g.slots;
    out->specs = devcache_spec_count(sh, &out->spec_bytes);
    out->max_specs = DEVCACHE_SPECS;
    out->max_spec_bytes = DEVCACHE_SPEC_TEXT;
    out->published = n[DEVCACHE_N_PUBLISHED];
    out->refreshed = n[DEVCACHE_N_REFRESHED];
    out->removed = n[DEVCACHE_N_REMOVED];
    out->evicted = n[DEVCACHE_N_EVICTED];
    out->requeued = n[DEVCACHE_N_REQUEUED];
    out->damaged = n[DEVCACHE_N_DAMAGED];
    out->errors = n[DEVCACHE_N_ERRORS];
    out->no_room = n[DEVCACHE_N_NO_ROOM];
    out->superseded = n[DEVCACHE_N_SUPERSEDED];
    out->rebuild_done = __atomic_load_n(&h->rebuild_done, __ATOMIC_RELAXED);
    out->rebuild_total = __atomic_load_n(&h->rebuild_total, __ATOMIC_RELAXED);
}

void devcache_store_stats(devcache_store_t *s, devcache_store_stats_t *out)
{
    devcache_store_stats_of(&s->sh, out);
    devcache_slot_totals(&s->sh, &out->bytes, &out->segments);
}
