/* SPDX-License-Identifier: Apache-2.0 */
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
 * Life cycle. The parent opens the store before it forks; what it has attached is
 * inherited. Each child calls child_init once. Nothing needs to be called at the end.
 * Whether there is anything to work on at all is the business of store/tend.c: each call
 * asks it once, and without a root nothing is found.
 */
#include "devcache_store.h"

#include <apr_errno.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/evict.h"
#include "store/index.h"
#include "store/segment.h"
#include "store/spec.h"
#include "store/say.h"
#include "store/twin.h"

/* ---- lookup --------------------------------------------------------------- */

/* What the request has to offer under one spec. */
typedef struct offer_t {
    apr_uint16_t spec;
    const char *text;         /* NULL: the index names a spec that does not exist */
    devcache_slice_t variant; /* data NULL: nothing under this spec may be used */
    apr_uint64_t variant_hash;
} offer_t;

typedef struct lookup_t {
    devcache_root_t *s;
    devcache_slice_t key;
    devcache_variant_fn *variant;
    void *baton;
    apr_pool_t *p;
    offer_t offers[DEVCACHE_MATCHES];
    unsigned n_offers;
    void *room; /* of the record under examination, if it is in memory */
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
    if (a_names == b_names && offer_for(l, a->spec)->text[0] == '@') {
        /* Names with "@" are ranked: "@coding1=br" before "@coding2=gzip". */
        int order = strcmp(offer_for(l, a->spec)->text, offer_for(l, b->spec)->text);
        if (order && offer_for(l, b->spec)->text[0] == '@') {
            return order < 0;
        }
    }
    return a_names != b_names ? a_names > b_names : a->stored_at > b->stored_at;
}

static int is_the_one(lookup_t *l, const devcache_entry_t *e,
                      const devcache_record_t *rec)
{
    const offer_t *o = offer_for(l, e->spec);

    return devcache_slice_eq(rec->key, l->key) &&
           devcache_slice_eq(rec->spec, devcache_slice_str(o->text)) &&
           devcache_slice_eq(rec->variant, o->variant) &&
           (rec->ref_serial != 0) == (e->body_slot != DEVCACHE_NO_SLOT);
}

/* Its body lies elsewhere: in a file of its own, or in another record. */
static __attribute__((noinline)) void
refer(devcache_hit_t *hit, const devcache_entry_t *e, const devcache_record_t *rec)
{
    struct devcache_location_t *where = hit->where;

    if (rec->ref_head) {
        where->segment.serial = rec->ref_serial;
        where->segment.slot = e->body_slot;
        where->inline_from = (apr_uint64_t)rec->ref_offset * DEVCACHE_RECORD_UNIT +
                             rec->ref_head;
        return;
    }
    hit->body = devcache_slice(NULL, 0);
    where->body.serial = rec->ref_serial;
    where->body.kind = DEVCACHE_FILE_BODY;
    where->body.slot = e->body_slot;
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
    hit->room = l->room;
    hit->where = apr_pcalloc(l->p, sizeof(*hit->where));
    hit->where->root = l->s;
    hit->where->entry = *e;
    hit->where->segment = *segment;
    hit->where->inline_from = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT +
                              rec->head_len;
    if (rec->ref_serial) {
        refer(hit, e, rec);
    }
    hit->where->body_sum = rec->body_sum;
    return hit;
}

/* On error @a file is the one that is to blame. */
static __attribute__((noinline)) apr_status_t read_from_disk(lookup_t *l,
                                                             const devcache_entry_t *e,
                                                             devcache_file_t *file,
                                                             devcache_record_t *rec)
{
    devcache_root_t *s = l->s;
    apr_uint64_t offset = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT;
    void *base_room = NULL;
    int keep = s->hot != NULL;
    apr_status_t rv = devcache_segment_read(s, file, offset, e->length, rec, l->p);

    if (rv == APR_SUCCESS && rec->ref_head) {
        rv = devcache_twin_body(s, rec, e->body_slot, &base_room, l->p);
        keep = base_room != NULL;
        if (rv != APR_SUCCESS) {
            file->serial = rec->ref_serial;
            file->slot = e->body_slot;
        }
    }
    if (rv == APR_SUCCESS && keep) {
        devcache_hot_offer(s->hot, file->serial, offset, rec, base_room);
    }
    return rv;
}

/* From memory, or from disk, where a long body is left to the kernel to send. */
static apr_status_t read_record(lookup_t *l, const devcache_entry_t *e,
                                devcache_file_t *file, devcache_record_t *rec)
{
    devcache_root_t *s = l->s;
    apr_uint64_t offset = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT;

    l->room = NULL;
    if (e->length > DEVCACHE_RECORD_WHOLE) {
        return devcache_segment_read_head(s, file, offset, e->length, rec, l->p);
    }
    if (s->hot && devcache_hot_find(s->hot, file->serial, offset, rec, &l->room, l->p)) {
        return APR_SUCCESS;
    }
    return read_from_disk(l, e, file, rec);
}

/* One candidate: read and verify. APR_NOTFOUND: it is not, or not any more, there. */
static apr_status_t try_entry(lookup_t *l, const devcache_entry_t *e,
                              devcache_hit_t **phit)
{
    devcache_root_t *s = l->s;
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    devcache_record_t rec;
    apr_status_t rv;

    file.serial = devcache_shared_serial(&s->sh, e->slot, e->serial);
    if (file.serial == 0) {
        return APR_NOTFOUND;
    }
    rv = read_record(l, e, &file, &rec);
    if (rv == APR_SUCCESS && !is_the_one(l, e, &rec)) {
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS && rec.ref_serial &&
        devcache_shared_serial(&s->sh, e->body_slot, e->body_serial) != rec.ref_serial) {
        devcache_evict_forget(s, e);
        return APR_NOTFOUND;
    }
    if (rv == APR_SUCCESS) {
        *phit = make_hit(l, e, &file, &rec);
        return APR_SUCCESS;
    }
    if (rv == APR_EGENERAL || rv == APR_EOF || rv == APR_NOTFOUND) {
        if (devcache_shared_alive(&s->sh, e->slot, e->serial) &&
            (e->body_slot == DEVCACHE_NO_SLOT ||
             devcache_shared_alive(&s->sh, e->body_slot, e->body_serial))) {
            devcache_evict_damaged(s, e, &file);
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

/* The entries of a key; those that do not fit have no place. */
static unsigned find_fitting(lookup_t *l, apr_uint64_t key_hash, devcache_match_t *found)
{
    unsigned n = devcache_index_find(&l->s->sh, key_hash, found), i;

    for (i = 0; i < n; i++) {
        if (!fits(l, &found[i].entry)) {
            found[i].at = NULL;
        }
    }
    return n;
}

static apr_status_t look_up(devcache_store_t *st, devcache_slice_t key,
                            devcache_variant_fn *variant, void *baton,
                            devcache_hit_t **phit, int is_use, apr_pool_t *p)
{
    devcache_root_t *s = devcache_store_root(st);
    devcache_match_t found[DEVCACHE_MATCHES];
    apr_status_t rv = APR_NOTFOUND;
    lookup_t l;
    unsigned i, n;

    *phit = NULL;
    if (!s) {
        return APR_NOTFOUND;
    }
    l.s = s;
    l.key = key;
    l.variant = variant;
    l.baton = baton;
    l.p = p;
    l.n_offers = 0;
    devcache_segment_tidy(s);
    n = find_fitting(&l, devcache_index_key_hash(&s->sh, key), found);
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

apr_status_t devcache_store_lookup(devcache_store_t *st, devcache_slice_t key,
                                   devcache_variant_fn *variant, void *baton,
                                   devcache_hit_t **phit, apr_pool_t *p)
{
    return look_up(st, key, variant, baton, phit, 1, p);
}

void *devcache_store_hold(const devcache_hit_t *hit)
{
    return devcache_hot_hold(hit->room);
}

void devcache_store_let_go(void *held)
{
    devcache_hot_let_go(held);
}

apr_status_t devcache_store_peek(devcache_store_t *st, devcache_slice_t key,
                                 devcache_variant_fn *variant, void *baton,
                                 devcache_hit_t **phit, apr_pool_t *p)
{
    return look_up(st, key, variant, baton, phit, 0, p);
}

/* ---- showing what there is ------------------------------------------------ */

static int by_age(const void *a, const void *b)
{
    const devcache_match_t *x = a, *y = b;

    return (x->entry.stored_at < y->entry.stored_at) -
           (x->entry.stored_at > y->entry.stored_at);
}

/* 1: it is a variant of this key, and was shown. */
static int show_entry(devcache_root_t *s, const devcache_entry_t *e, devcache_slice_t key,
                      devcache_variant_seen_fn *seen, void *baton, apr_pool_t *p)
{
    devcache_file_t file = {devcache_shared_serial(&s->sh, e->slot, e->serial),
                            DEVCACHE_FILE_SEGMENT, e->slot};
    devcache_record_t rec;

    if (!file.serial ||
        devcache_segment_read_head(s, &file,
                                   (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT,
                                   e->length, &rec, p) != APR_SUCCESS ||
        !devcache_slice_eq(rec.key, key)) {
        return 0;
    }
    seen(baton, apr_pstrmemdup(p, rec.spec.data, rec.spec.len), rec.variant);
    return 1;
}

void devcache_store_show_variants(devcache_store_t *st, devcache_slice_t key,
                                  devcache_variant_seen_fn *seen, void *baton,
                                  unsigned max, apr_pool_t *p)
{
    devcache_root_t *s = devcache_store_root(st);
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned n, i, shown = 0;

    if (!s) {
        return;
    }
    devcache_segment_tidy(s);
    n = devcache_index_find(&s->sh, devcache_index_key_hash(&s->sh, key), found);
    qsort(found, n, sizeof *found, by_age);
    for (i = 0; i < n && shown < max; i++) {
        shown += (unsigned)show_entry(s, &found[i].entry, key, seen, baton, p);
    }
}

/* ---- ending what fits ----------------------------------------------------- */

#define CHASES 16 /* times that entries are looked for again, as eviction moves them */

static apr_status_t end_entry(devcache_root_t *s, const devcache_entry_t *e,
                              apr_time_t expire)
{
    devcache_drops_t drops;
    apr_status_t rv;

    if (expire) {
        return devcache_index_expire(&s->sh, e, expire);
    }
    rv = devcache_index_forget(&s->sh, e, &drops);
    if (rv == APR_SUCCESS) {
        devcache_evict_drop(s, &drops);
    }
    return rv;
}

apr_status_t devcache_store_end(devcache_store_t *st, devcache_slice_t key,
                                devcache_variant_fn *variant, void *baton,
                                apr_time_t expire, unsigned *pcount, apr_pool_t *p)
{
    devcache_root_t *s = devcache_store_root(st);
    lookup_t l = {s, key, variant, baton, p};
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned count = 0, left = 1, chases, i;
    apr_uint64_t key_hash;
    apr_status_t rv;

    if (pcount) {
        *pcount = 0;
    }
    if (!s) {
        return ENODEV;
    }
    key_hash = devcache_index_key_hash(&s->sh, key);
    rv = expire ? APR_SUCCESS : devcache_index_supersede(&s->sh, key_hash);
    for (chases = 0; rv == APR_SUCCESS && left && chases < CHASES; chases++) {
        unsigned n = find_fitting(&l, key_hash, found);

        for (i = left = 0; rv == APR_SUCCESS && i < n; i++) {
            if (found[i].at) {
                rv = end_entry(s, &found[i].entry, expire);
                left += rv == APR_NOTFOUND;
                count += rv == APR_SUCCESS;
                rv = rv == APR_NOTFOUND ? APR_SUCCESS : rv;
            }
        }
    }
    if (!expire) {
        devcache_shared_count(&s->sh, DEVCACHE_N_REMOVED, count);
    }
    if (pcount) {
        *pcount = count;
    }
    return rv;
}

/* ---- statistics ----------------------------------------------------------- */

void devcache_store_stats(devcache_store_t *st, devcache_store_stats_t *out)
{
    devcache_root_t *s = devcache_store_root(st);

    memset(out, 0, sizeof(*out));
    if (!s) {
        out->size = st->conf.size;
        return;
    }
    devcache_store_stats_of(&s->sh, out);
    devcache_slot_totals(&s->sh, &out->bytes, &out->segments);
}
