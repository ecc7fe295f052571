/*
 * Purges of many objects.
 *
 * The index knows hashes only, so which objects a purge by tag, prefix or pattern is
 * about is found by reading the heads of their records. A purge is carried out by who
 * asked for it, in full, before it is answered:
 *
 *     1  its record is appended to the log: for a rebuild of the index
 *     2  it is entered into the ring of the latest purges, and their number raised
 *     3  every stripe's entries are copied under its lock; of those that the purge is
 * about the entry is taken out, or its freshness ended
 *
 * What is published meanwhile: whoever puts an entry says which purges it has seen. The
 * index, under the stripe's lock, refuses it if there is a later one
 * (DEVCACHE_OVERTAKEN), and it comes here to have its object judged by those it has not
 * seen. So an entry was put either before the purge came to its stripe, which then finds
 * it, or after step 2, and then it was judged. Only fills that began before are ever
 * judged, and a fill that the ring cannot speak for any more is refused.
 *
 * What is moved meanwhile, by eviction, stays in its stripe; when an entry is not where
 * it was, it is looked for again. A lookup needs to know nothing of all this.
 *
 * A purge of one key that is not about all of its variants, or soft, goes by the removals
 * of the key's stripe instead of step 2, and reads its entries only.
 *
 * Killed in its course, a purge was not answered and has to be asked for again.
 */
#include "devcache_sweep.h"

#include <apr_errno.h>
#include <stdlib.h>
#include "devcache_evict.h"
#include "devcache_fault.h"
#include "devcache_index.h"
#include "devcache_segment.h"
#include "devcache_spec.h"

#define BATCH 65536 /* entries judged at a time, in the order of their places on disk */
#define CHASES 16   /* times an entry is looked for again */

/* ---- the ring ------------------------------------------------------------------ */

apr_uint64_t devcache_sweep_latest(const devcache_shared_t *sh)
{
    return __atomic_load_n(&sh->head->ban_latest, __ATOMIC_ACQUIRE);
}

/* @a where: serial 0 if its record could not be written. */
static apr_status_t enter(devcache_shared_t *sh, const devcache_ban_place_t *where)
{
    devcache_shared_head_t *h = sh->head;
    devcache_ban_place_t *place;
    int i;

    switch (devcache_shared_lock(&h->bans)) {
    case DEVCACHE_LOCKED_REPAIR: /* half entered is not entered: the number says it */
        devcache_shared_repaired(&h->bans);
        break;
    case DEVCACHE_LOCKED:
        break;
    default:
        return APR_TIMEUP;
    }
    place = &h->ban_ring[(h->ban_latest + 1) % DEVCACHE_BANS];
    for (i = 0; i < 3; i++) {
        __atomic_store_n(&place->words[i], where->words[i], __ATOMIC_RELEASE);
    }
    DEVCACHE_KILL_HERE("kill-in-ring");
    __atomic_store_n(&h->ban_latest, h->ban_latest + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&h->bans);
    return APR_SUCCESS;
}

/* Copy the place of a purge; 0 if the ring has gone on. */
static int place_of(const devcache_shared_t *sh, apr_uint64_t number,
                    devcache_ban_place_t *where)
{
    const devcache_ban_place_t *place = &sh->head->ban_ring[number % DEVCACHE_BANS];
    int i;

    for (i = 0; i < 3; i++) {
        where->words[i] = __atomic_load_n(&place->words[i], __ATOMIC_ACQUIRE);
    }
    return devcache_sweep_latest(sh) + 1 < number + DEVCACHE_BANS;
}

devcache_described_t devcache_sweep_describe(const devcache_record_t *rec)
{
    devcache_described_t d = {rec->key, rec->spec, rec->variant, rec->tags};

    return d;
}

/* Is purge @a number about one of them? On any doubt it is. */
static int is_about(devcache_store_t *s, apr_uint64_t number,
                    const devcache_described_t *objects, unsigned n, apr_pool_t *p)
{
    devcache_ban_place_t where;
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, 0};
    devcache_record_t rec;
    void *ban = NULL;
    unsigned i;

    if (!place_of(&s->sh, number, &where) || where.serial == 0) {
        return 1;
    }
    file.serial = where.serial;
    file.slot = (apr_uint16_t)where.slot;
    if (devcache_segment_read(s, &file, (apr_uint64_t)where.offset * DEVCACHE_RECORD_UNIT,
                              where.length, &rec, p) != APR_SUCCESS ||
        rec.kind != DEVCACHE_RECORD_BAN || !s->conf.ban_open ||
        !(ban = s->conf.ban_open(rec.meta, p))) {
        return 1;
    }
    for (i = 0; i < n && !s->conf.ban_matches(ban, &objects[i]); i++) {
    }
    return i < n;
}

apr_status_t devcache_sweep_overtaken(devcache_store_t *s,
                                      const devcache_described_t *objects, unsigned n,
                                      apr_uint64_t *pseen)
{
    apr_uint64_t latest = devcache_sweep_latest(&s->sh);
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *p;

    if (latest - *pseen >= DEVCACHE_BANS) {
        return APR_EGENERAL;
    }
    apr_pool_create_unmanaged(&p);
    while (rv == APR_SUCCESS && *pseen != latest) {
        apr_pool_clear(p);
        *pseen += 1;
        rv = is_about(s, *pseen, objects, n, p) ? APR_EGENERAL : APR_SUCCESS;
    }
    apr_pool_destroy(p);
    return rv;
}

/* ---- one object ---------------------------------------------------------------------
 */

typedef struct sweep_t {
    devcache_store_t *s;
    const devcache_purge_t *purge;
    void *ban;
    apr_pool_t *pool;  /* of the compiled ban */
    apr_pool_t *ptemp; /* for one record */
    apr_uint64_t count;
    apr_time_t newest; /* the latest request for anything that went */
} sweep_t;

typedef enum verdict_t { KEEP, GO, AWAY } verdict_t;

/* Read the record and judge it. AWAY: it does not lie there any more. */
static verdict_t judge(sweep_t *sw, const devcache_entry_t *e)
{
    devcache_store_t *s = sw->s;
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    devcache_described_t object;
    devcache_record_t rec;

    apr_pool_clear(sw->ptemp);
    file.serial = e->slot < s->sh.g.slots
                      ? __atomic_load_n(&s->sh.slots[e->slot].serial, __ATOMIC_ACQUIRE)
                      : 0;
    if (!devcache_shared_alive(&s->sh, e->slot, e->serial)) {
        return AWAY;
    }
    if (devcache_segment_read_head(s, &file,
                                   (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT,
                                   e->length, &rec, sw->ptemp) != APR_SUCCESS ||
        rec.kind != DEVCACHE_RECORD_OBJECT) {
        /* Evicted in between, or unreadable: what cannot be told must not stay. */
        return devcache_shared_alive(&s->sh, e->slot, e->serial) ? GO : AWAY;
    }
    if (sw->purge->key.data && !devcache_slice_eq(rec.key, sw->purge->key)) {
        return KEEP; /* another key of the same hash */
    }
    object = devcache_sweep_describe(&rec);
    if (!s->conf.ban_matches(sw->ban, &object)) {
        return KEEP;
    }
    sw->newest = rec.requested_at > sw->newest ? rec.requested_at : sw->newest;
    return GO;
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
    int i;

    for (i = 0; i < CHASES; i++) {
        verdict_t verdict = judge(sw, &e);
        apr_status_t rv = verdict == GO ? act(sw, &e) : APR_NOTFOUND;

        if (verdict == GO && rv == APR_SUCCESS) {
            sw->count++;
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

/* ---- all of them
 * ------------------------------------------------------------------------ */

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

/* ---- the purge
 * ------------------------------------------------------------------------------ */

/* Its record in the log, as of @a until. */
static apr_status_t write_down(sweep_t *sw, apr_time_t until, devcache_ban_place_t *where)
{
    devcache_store_t *s = sw->s;
    devcache_record_t rec = {0};
    devcache_range_t at;
    apr_status_t rv;

    rec.kind = DEVCACHE_RECORD_BAN;
    rec.key = sw->purge->key.data ? sw->purge->key : devcache_slice("", 0);
    rec.meta = sw->purge->what;
    rec.requested_at = until;
    rec.fresh_until = sw->purge->soft ? sw->purge->now : 0;
    rv = devcache_evict_log(s, &rec, &at);
    memset(where, 0, sizeof(*where));
    if (rv == APR_SUCCESS) {
        where->serial = at.file.serial;
        where->slot = at.file.slot;
        where->offset = (apr_uint32_t)(at.offset / DEVCACHE_RECORD_UNIT);
        where->length = rec.length;
    }
    return rv;
}

/* Its record comes first, as the ring leads to it, and as what it is about may not be in
 * the index yet. The clock may have been set back since: then a second one reaches as far
 * as what went. */
static apr_status_t purge_all(sweep_t *sw)
{
    devcache_ban_place_t where;
    apr_status_t written = write_down(sw, sw->purge->now, &where);
    apr_status_t rv = enter(&sw->s->sh, &where);

    rv = rv == APR_SUCCESS ? sweep_all(sw) : rv;
    if (written == APR_SUCCESS && sw->newest > sw->purge->now) {
        written = write_down(sw, sw->newest, &where);
    }
    return rv == APR_SUCCESS ? written : rv;
}

/* As devcache_store_remove() does it. */
static apr_status_t purge_key(sweep_t *sw)
{
    int unseen = (int)__atomic_load_n(&sw->s->sh.head->rebuild_due, __ATOMIC_ACQUIRE);
    apr_time_t now = sw->purge->now;
    apr_status_t rv, written = APR_SUCCESS;
    devcache_ban_place_t where;

    if (unseen) {
        written = write_down(sw, now, &where);
    }
    rv = sweep_key(sw);
    if (sw->count > 0 && (!unseen || sw->newest > now)) {
        written = write_down(sw, sw->newest > now ? sw->newest : now, &where);
    }
    return rv == APR_SUCCESS ? written : rv;
}

apr_status_t devcache_store_purge(devcache_store_t *s, const devcache_purge_t *purge,
                                  apr_uint64_t *pcount)
{
    sweep_t sw = {s, purge};
    apr_status_t rv = APR_EINVAL;

    devcache_segment_tidy(s);
    apr_pool_create_unmanaged(&sw.pool);
    apr_pool_create(&sw.ptemp, sw.pool);
    sw.ban = s->conf.ban_open ? s->conf.ban_open(purge->what, sw.pool) : NULL;
    if (sw.ban) {
        rv = purge->key.data ? purge_key(&sw) : purge_all(&sw);
    }
    apr_pool_destroy(sw.pool);
    devcache_shared_count(&s->sh, DEVCACHE_N_REMOVED, sw.count);
    *pcount = sw.count;
    return rv;
}
