/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purges of many objects.
 *
 * The index knows hashes only, so which objects a purge by tag, prefix or pattern is
 * about is found by reading the heads of their records. A purge is carried out by the
 * process that was asked for it, in full, before it is answered:
 *
 *     1  it is entered into the ring of the latest purges (store/ring.c)
 *     2  every stripe's entries are copied under its lock; of those that the purge is
 *        about the entry is taken out, or its freshness ended
 *
 * What is published meanwhile: whoever puts an entry says which purges it has seen. The
 * index, under the stripe's lock, refuses it if there is a later one
 * (DEVCACHE_OVERTAKEN), and its object is judged by those it has not seen. So an entry
 * was put either before the purge came to its stripe, which then finds it, or after step
 * 1, and then it was judged. Only fills that began before are ever judged, and a fill
 * that the ring cannot speak for any more is refused.
 *
 * What is moved meanwhile, by eviction, stays in its stripe; when an entry is not where
 * it was, it is looked for again. A lookup needs to know nothing of all this.
 *
 * A purge of one key that is not about all of its variants, or soft, goes by the removals
 * of the key's stripe instead of step 1, and reads its entries only.
 *
 * Killed in its course, a purge was not answered and has to be asked for again.
 */
#include "devcache_store.h"

#include <apr_errno.h>
#include <errno.h>
#include <stdlib.h>
#include "store/evict.h"
#include "base/fault.h"
#include "store/index.h"
#include "store/ring.h"
#include "store/segment.h"
#include "store/spec.h"

#define BATCH 65536 /* entries judged at a time, in the order of their places on disk */
#define CHASES 16   /* times an entry is looked for again */

/* ---- one object ------------------------------------------------------------ */

typedef struct sweep_t {
    devcache_root_t *s;
    const devcache_purge_t *purge;
    void *ban;
    apr_pool_t *pool;  /* of the compiled ban */
    apr_pool_t *ptemp; /* for one record */
    apr_uint64_t count;
} sweep_t;

typedef enum verdict_t { KEEP, GO, AWAY } verdict_t;

/* Read the record and judge it. AWAY: it does not lie there any more. @a object: what it
 * says, good until the next one is read */
static verdict_t judge(sweep_t *sw, const devcache_entry_t *e,
                       devcache_described_t *object)
{
    devcache_root_t *s = sw->s;
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    devcache_record_t rec;

    memset(object, 0, sizeof(*object));
    apr_pool_clear(sw->ptemp);
    file.serial = e->slot < s->sh.g.slots
                      ? __atomic_load_n(&s->sh.slots[e->slot].serial, __ATOMIC_ACQUIRE)
                      : 0;
    if (!devcache_shared_alive(&s->sh, e->slot, e->serial)) {
        return AWAY;
    }
    if (devcache_segment_read_head(s, &file,
                                   (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT,
                                   e->length, &rec, sw->ptemp) != APR_SUCCESS) {
        /* Evicted in between, or unreadable: what cannot be told must not stay. */
        return devcache_shared_alive(&s->sh, e->slot, e->serial) ? GO : AWAY;
    }
    if (sw->purge->key.data && !devcache_slice_eq(rec.key, sw->purge->key)) {
        return KEEP; /* another key of the same hash */
    }
    *object = devcache_record_describe(&rec);
    return s->conf.ban_matches(sw->ban, object) ? GO : KEEP;
}

static apr_status_t act(sweep_t *sw, const devcache_entry_t *e)
{
    devcache_drops_t drops;
    apr_status_t rv;

    if (sw->purge->soft) {
        return devcache_index_expire(&sw->s->sh, e, sw->purge->now);
    }
    rv = devcache_index_forget(&sw->s->sh, e, &drops);
    if (rv == APR_SUCCESS) {
        devcache_evict_drop(sw->s, &drops);
    }
    return rv;
}

/* Where the same object lies now; 0 if it is there no more, or is another one by now. */
static int find_again(sweep_t *sw, devcache_entry_t *e)
{
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned n = devcache_index_find(&sw->s->sh, e->key_hash, found);

    while (n-- > 0) {
        const devcache_entry_t *f = &found[n].entry;

        if (f->variant_hash == e->variant_hash && f->stored_at == e->stored_at &&
            devcache_shared_alive(&sw->s->sh, f->slot, f->serial)) {
            *e = *f;
            return 1;
        }
    }
    return 0;
}

static apr_status_t sweep_one(sweep_t *sw, const devcache_entry_t *entry)
{
    devcache_entry_t e = *entry;
    devcache_described_t object;
    int i;

    for (i = 0; i < CHASES; i++) {
        verdict_t verdict = judge(sw, &e, &object);
        apr_status_t rv = verdict == GO ? act(sw, &e) : APR_NOTFOUND;

        if (verdict == GO && rv == APR_SUCCESS) {
            sw->count++;
            if (sw->purge->gone && object.key.data) {
                sw->purge->gone(sw->purge->baton, &object);
            }
            return APR_SUCCESS;
        }
        if (verdict == KEEP || (rv == APR_NOTFOUND && !find_again(sw, &e))) {
            return APR_SUCCESS;
        }
        if (rv != APR_NOTFOUND) {
            return rv;
        }
    }
    return APR_TIMEUP;
}

/* ---- all of them ----------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const devcache_entry_t *x = a, *y = b;

    if (x->slot != y->slot) {
        return x->slot < y->slot ? -1 : 1;
    }
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static apr_status_t sweep_batch(sweep_t *sw, devcache_entry_t *entries, apr_size_t n)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t i;

    if (n > 0) {
        qsort(entries, n, sizeof(*entries), by_place);
    }
    for (i = 0; i < n; i++) {
        apr_status_t one = sweep_one(sw, &entries[i]);

        rv = rv == APR_SUCCESS ? one : rv;
        DEVCACHE_KILL_HERE("kill-in-sweep");
    }
    return rv;
}

static apr_status_t sweep_all(sweep_t *sw)
{
    devcache_shared_t *sh = &sw->s->sh;
    apr_size_t room = sh->g.entries > BATCH ? sh->g.entries : BATCH;
    devcache_entry_t *batch = malloc(room * sizeof(*batch));
    apr_status_t rv = batch ? APR_SUCCESS : APR_ENOMEM;
    apr_status_t all = APR_SUCCESS;
    apr_size_t n = 0;
    apr_uint32_t i;

    for (i = 0; i < sh->g.stripes && batch; i++) {
        apr_size_t more = 0;

        rv = devcache_index_copy(sh, i, batch + n, &more);
        all = all == APR_SUCCESS ? rv : all;
        n += more;
        if (n + sh->g.entries > room || i + 1 == sh->g.stripes) {
            rv = sweep_batch(sw, batch, n);
            all = all == APR_SUCCESS ? rv : all;
            n = 0;
        }
    }
    free(batch);
    return batch ? all : rv;
}

static apr_status_t sweep_key(sweep_t *sw)
{
    devcache_shared_t *sh = &sw->s->sh;
    apr_uint64_t key_hash = devcache_index_key_hash(sh, sw->purge->key);
    devcache_match_t found[DEVCACHE_MATCHES];
    apr_status_t rv = devcache_index_supersede(sh, key_hash);
    unsigned n = rv == APR_SUCCESS ? devcache_index_find(sh, key_hash, found) : 0;

    while (n-- > 0) {
        apr_status_t one = sweep_one(sw, &found[n].entry);

        rv = rv == APR_SUCCESS ? one : rv;
    }
    return rv;
}

/* ---- the purge -------------------------------------------------------------- */

static apr_status_t purge_all(sweep_t *sw)
{
    apr_status_t rv = devcache_ring_enter(&sw->s->sh, sw->purge->what);

    return rv == APR_SUCCESS ? sweep_all(sw) : rv;
}

apr_status_t devcache_store_purge(devcache_store_t *st, const devcache_purge_t *purge,
                                  apr_uint64_t *pcount)
{
    devcache_root_t *s = devcache_store_root(st);
    sweep_t sw = {s, purge};
    apr_status_t rv = APR_EINVAL;

    *pcount = 0;
    if (!s) {
        return ENODEV;
    }
    devcache_segment_tidy(s);
    apr_pool_create_unmanaged(&sw.pool);
    apr_pool_create(&sw.ptemp, sw.pool);
    sw.ban = s->conf.ban_open ? s->conf.ban_open(purge->what, sw.pool) : NULL;
    if (sw.ban) {
        rv = purge->key.data ? sweep_key(&sw) : purge_all(&sw);
    }
    apr_pool_destroy(sw.pool);
    devcache_shared_count(&s->sh, DEVCACHE_N_REMOVED, sw.count);
    *pcount = sw.count;
    return rv;
}
