/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index.
 *
 * Nouns. An entry is one stored variant. A stripe owns a part of the entries, its own
 * buckets and its own list of free entries; the key's hash chooses stripe and bucket, so
 * that all variants of a key are in one chain and no operation needs two stripes.
 *
 *     key_hash -> stripe (bits 32 up) -> bucket (low bits) -> entry -> entry -> ...
 *
 * Readers take no lock. They note the stripe's generation, walk the chain a bounded
 * number of steps copying words, and believe the copies only if the generation is even
 * and has not changed. Every word is loaded with acquire and stored with release, which
 * keeps the words between the two looks at the generation without fences. A reader that
 * is outrun again and again takes the lock.
 *
 * Writers hold the stripe's lock and make the generation odd while they change anything.
 * One that is killed there leaves it odd and the lock owned by a dead thread; whoever
 * takes the lock next links the stripe anew. An entry's last word, which says whether it
 * is in use, is cleared before and set after its other words, so a half-written entry is
 * a free one.
 *
 * Liveness. An entry is dead once its segment's slot (or its body's) carries another
 * serial. Nobody hunts for dead entries: eviction makes thousands of them by one store.
 * They are taken out when met in a chain or when a stripe needs a free entry.
 *
 * Removals. A stripe counts them, and remembers the last few with their number (ticket).
 * A fill that began before a removal of its key must not be published. When the ring has
 * forgotten removals that came after the fill began, the fill is refused although it may
 * be innocent: losing a cached copy is cheap, serving a purged one is not.
 *
 * Purges of many are numbered in the whole store; store/sweep.c tells how the number
 * keeps what they are about from being published.
 */
#include "store/index.h"

#include <apr_errno.h>
#include <limits.h>
#include <xxhash.h>
#include "store/stripe.h"

#define READ_TRIES 32
#define SWEEP_STEPS 64 /* entries looked at for a free one: bounds the lock's hold */

/* ---- hashes and places ---------------------------------------------------- */

apr_uint64_t devcache_index_key_hash(const devcache_shared_t *sh, devcache_slice_t key)
{
    return XXH3_64bits_withSeed(key.len ? key.data : "", key.len, sh->head->seed);
}

apr_uint64_t devcache_index_variant_hash(const devcache_shared_t *sh,
                                         devcache_slice_t spec, devcache_slice_t variant)
{
    apr_uint64_t seed = devcache_index_key_hash(sh, spec);

    return XXH3_64bits_withSeed(variant.len ? variant.data : "", variant.len, seed);
}

static int same_place(const devcache_entry_t *a, const devcache_entry_t *b)
{
    return a->key_hash == b->key_hash && a->variant_hash == b->variant_hash &&
           a->slot == b->slot && a->serial == b->serial && a->offset == b->offset;
}

/* Is the body of an entry in a file of its own? */
static int has_file(const devcache_shared_t *sh, const devcache_entry_t *e)
{
    return e->body_slot < sh->g.slots &&
           sh->slots[e->body_slot].kind == DEVCACHE_FILE_BODY;
}

static int same_file(const devcache_shared_t *sh, const devcache_entry_t *a,
                     const devcache_entry_t *b)
{
    return has_file(sh, a) && a->body_slot == b->body_slot &&
           a->body_serial == b->body_serial;
}

static apr_uint32_t seconds_of(apr_time_t t)
{
    apr_int64_t sec = t / APR_USEC_PER_SEC;

    return sec <= 0 ? 0 : sec > UINT_MAX ? UINT_MAX : (apr_uint32_t)sec;
}

void devcache_index_point_at(devcache_entry_t *e, const devcache_record_t *rec,
                             const devcache_file_t *segment, apr_uint64_t offset,
                             const devcache_file_t *body)
{
    e->stored_at = rec->stored_at;
    e->fresh_until = seconds_of(rec->fresh_until);
    e->slot = segment->slot;
    e->serial = (apr_uint32_t)segment->serial;
    e->offset = (apr_uint32_t)(offset / DEVCACHE_RECORD_UNIT);
    e->length = rec->length;
    e->body_slot = body->serial ? body->slot : DEVCACHE_NO_SLOT;
    e->body_serial = (apr_uint32_t)body->serial;
}

apr_time_t devcache_index_fresh_until(const devcache_entry_t *e, apr_time_t recorded)
{
    return e->fresh_until < seconds_of(recorded) ? apr_time_from_sec(e->fresh_until)
                                                 : recorded;
}

void devcache_index_relink_all(devcache_shared_t *sh)
{
    apr_uint32_t i;

    for (i = 0; i < sh->g.stripes; i++) {
        devcache_stripe_relink(sh, devcache_stripe_at(sh, i));
    }
}

/* ---- finding -------------------------------------------------------------- */

/* The chain as it looks now; right only if nobody changes it meanwhile. */
static unsigned copy_chain(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                           apr_uint64_t key_hash, devcache_match_t *out)
{
    apr_uint32_t pos = devcache_stripe_load(devcache_stripe_bucket(sh, r, key_hash));
    apr_uint32_t steps = 0;
    unsigned n = 0;

    while (pos < sh->g.entries && steps++ < sh->g.entries && n < DEVCACHE_MATCHES) {
        devcache_entry_t *e = r.entries + pos;

        if (__atomic_load_n(&e->key_hash, __ATOMIC_ACQUIRE) == key_hash) {
            devcache_stripe_entry_load(&out[n].entry, e);
            out[n].at = e;
            n += devcache_stripe_plausible(sh, &out[n].entry);
        }
        pos = devcache_stripe_load(&e->next);
    }
    return n;
}

unsigned devcache_index_find(devcache_shared_t *sh, apr_uint64_t key_hash,
                             devcache_match_t out[DEVCACHE_MATCHES])
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, key_hash);
    unsigned n = 0;
    int tries;

    for (tries = 0; tries < READ_TRIES; tries++) {
        apr_uint32_t before = devcache_stripe_load(&r.st->generation);

        if ((before & 1) == 0) {
            n = copy_chain(sh, r, key_hash, out);
            if (devcache_stripe_load(&r.st->generation) == before) {
                return n;
            }
        }
    }
    if (!devcache_stripe_lock(sh, r)) {
        return 0;
    }
    n = copy_chain(sh, r, key_hash, out);
    devcache_stripe_unlock(r);
    return n;
}

void devcache_index_note_use(const devcache_match_t *m)
{
    unsigned char use = __atomic_load_n(&m->at->use, __ATOMIC_RELAXED);

    if (use < 3) {
        __atomic_store_n(&m->at->use, (unsigned char)(use + 1), __ATOMIC_RELAXED);
    }
}

/* ---- changing, all with the stripe's lock and the generation odd ---------- */

/* The next entry of the key from @a link on, as the pointer that leads to it. */
static apr_uint32_t *seek_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                                 apr_uint32_t *link, apr_uint64_t key_hash)
{
    apr_uint32_t steps = 0; /* the mapping may be given up under our hands: base/bus.c */

    while (*link < sh->g.entries && r.entries[*link].key_hash != key_hash) {
        if (steps++ >= sh->g.entries) {
            return NULL;
        }
        link = &r.entries[*link].next;
    }
    return *link < sh->g.entries ? link : NULL;
}

/* Has another entry of the key the same file for its body? */
static int is_shared_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                            const devcache_entry_t *e)
{
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, e->key_hash);

    while ((link = seek_locked(sh, r, link, e->key_hash)) != NULL) {
        const devcache_entry_t *other = r.entries + *link;

        if (other != e && same_file(sh, other, e)) {
            return 1;
        }
        link = &r.entries[*link].next;
    }
    return 0;
}

/* Unlink by the chain pointer that leads to it; the file of its body goes to @a drops
 * unless others have it as well. */
static void drop_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                        apr_uint32_t *link, devcache_drops_t *drops)
{
    apr_uint32_t pos = *link;
    devcache_entry_t *e = r.entries + pos;

    if (has_file(sh, e) && drops->n < DEVCACHE_MATCHES && !is_shared_locked(sh, r, e)) {
        drops->body[drops->n].slot = e->body_slot;
        drops->body[drops->n].serial = e->body_serial;
        drops->n++;
    }
    devcache_stripe_store(link, e->next);
    devcache_stripe_free(r, pos);
    devcache_stripe_count(r, -1);
}

static apr_uint32_t *link_to_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                                    apr_uint32_t pos)
{
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, r.entries[pos].key_hash);
    apr_uint32_t steps = 0;

    while (*link != pos) {
        if (*link >= sh->g.entries || steps++ >= sh->g.entries) {
            return NULL;
        }
        link = &r.entries[*link].next;
    }
    return link;
}

/* Free the dead among the next few entries, or else the oldest of them. */
static void sweep_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                         devcache_drops_t *drops)
{
    apr_uint32_t oldest = DEVCACHE_NO_ENTRY;
    apr_uint32_t *link;
    int i;

    for (i = 0; i < SWEEP_STEPS && drops->n < DEVCACHE_MATCHES; i++) {
        apr_uint32_t pos = r.st->hand % sh->g.entries;
        devcache_entry_t *e = r.entries + pos;

        r.st->hand = pos + 1;
        if (!e->used) {
            continue;
        }
        link = devcache_stripe_alive(sh, e) ? NULL : link_to_locked(sh, r, pos);
        if (link) {
            drop_locked(sh, r, link, drops);
        } else if (oldest == DEVCACHE_NO_ENTRY ||
                   e->stored_at < r.entries[oldest].stored_at) {
            oldest = pos;
        }
    }
    if (r.st->free == DEVCACHE_NO_ENTRY && oldest != DEVCACHE_NO_ENTRY) {
        link = link_to_locked(sh, r, oldest);
        if (link) {
            drop_locked(sh, r, link, drops);
        }
    }
}

static int was_removed_since(const devcache_stripe_t *st, apr_uint64_t key_hash,
                             apr_uint64_t ticket)
{
    int i;

    if (st->floor > ticket) {
        return 1;
    }
    for (i = 0; i < DEVCACHE_RING; i++) {
        if (st->ring[i].key_hash == key_hash && st->ring[i].ticket > ticket) {
            return 1;
        }
    }
    return 0;
}

/* What is there of the same variant. */
static apr_status_t may_put_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                                   const devcache_put_t *put)
{
    const devcache_entry_t *new = &put->entry;
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, new->key_hash);
    int body_there = 0;

    if (was_removed_since(r.st, new->key_hash, put->ticket)) {
        return APR_EGENERAL;
    }
    if (__atomic_load_n(&sh->head->ban_latest, __ATOMIC_ACQUIRE) != put->bans) {
        return DEVCACHE_OVERTAKEN;
    }
    while ((link = seek_locked(sh, r, link, new->key_hash)) != NULL) {
        const devcache_entry_t *e = r.entries + *link;

        body_there |= same_file(sh, e, new) && devcache_stripe_alive(sh, e);
        link = &r.entries[*link].next;
    }
    return put->needs_body && !body_there ? APR_NOTFOUND : APR_SUCCESS;
}

/* Take out the dead and those that the new one replaces; it inherits their use, so that
 * an object which is refreshed often is not evicted as unused.
 * @return how many others of the key are left; *pleast is the least used of them, of
 *         equal ones the oldest: visitors may make up as many variants as they like (a
 *         cookie of their own), but hits only those get that many ask for */
static unsigned make_way_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                                devcache_entry_t *new, apr_uint32_t *pleast,
                                devcache_drops_t *drops)
{
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, new->key_hash);
    unsigned least = 0, left = 0;

    *pleast = DEVCACHE_NO_ENTRY;
    while ((link = seek_locked(sh, r, link, new->key_hash)) != NULL) {
        devcache_entry_t *e = r.entries + *link;
        unsigned char use = __atomic_load_n(&e->use, __ATOMIC_RELAXED);

        if (e->variant_hash == new->variant_hash) {
            new->use = use > new->use ? use : new->use;
        }
        if (e->variant_hash == new->variant_hash || !devcache_stripe_alive(sh, e)) {
            if (same_file(sh, e, new)) { /* its body is handed on, not dropped */
                __atomic_store_n(&e->body_slot, DEVCACHE_NO_SLOT, __ATOMIC_RELEASE);
            }
            drop_locked(sh, r, link, drops);
            continue;
        }
        left++;
        if (*pleast == DEVCACHE_NO_ENTRY || use < least ||
            (use == least && e->stored_at < r.entries[*pleast].stored_at)) {
            *pleast = *link;
            least = use;
        }
        link = &e->next;
    }
    return left;
}

/* Make room for one more of a key whose variants are as many as there may be. Where all
 * of them have been used, each counts as used once less from now on, so that none stays
 * for what it was long ago. @return 0: there is none to drop */
static int drop_least_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                             apr_uint32_t least, devcache_drops_t *drops)
{
    apr_uint32_t *link = link_to_locked(sh, r, least);
    apr_uint64_t key_hash;

    if (!link) {
        return 0;
    }
    key_hash = r.entries[least].key_hash;
    if (__atomic_load_n(&r.entries[least].use, __ATOMIC_RELAXED)) {
        apr_uint32_t *at = devcache_stripe_bucket(sh, r, key_hash);

        while ((at = seek_locked(sh, r, at, key_hash)) != NULL) {
            devcache_entry_t *e = r.entries + *at;
            unsigned char use = __atomic_load_n(&e->use, __ATOMIC_RELAXED);

            __atomic_store_n(&e->use, (unsigned char)(use ? use - 1 : 0),
                             __ATOMIC_RELAXED);
            at = &e->next;
        }
    }
    drop_locked(sh, r, link, drops);
    return 1;
}

static apr_status_t insert_locked(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                                  const devcache_entry_t *new, devcache_drops_t *drops)
{
    apr_uint32_t *bucket = devcache_stripe_bucket(sh, r, new->key_hash);
    devcache_entry_t e = *new;
    apr_uint32_t pos;

    if (r.st->free == DEVCACHE_NO_ENTRY) {
        sweep_locked(sh, r, drops);
    }
    pos = r.st->free;
    if (pos >= sh->g.entries) {
        return APR_ENOSPC; /* only with a damaged list */
    }
    r.st->free = r.entries[pos].next;
    e.next = *bucket;
    e.used = 1;
    devcache_stripe_entry_store(&r.entries[pos], &e);
    devcache_stripe_store(bucket, pos);
    devcache_stripe_count(r, 1);
    return APR_SUCCESS;
}

/* The file that the new one refers to stays, though who had it has given way. */
static void keep_file(devcache_drops_t *drops, const devcache_entry_t *new)
{
    unsigned i, n = 0;

    for (i = 0; i < drops->n; i++) {
        if (drops->body[i].slot != new->body_slot ||
            drops->body[i].serial != new->body_serial) {
            drops->body[n++] = drops->body[i];
        }
    }
    drops->n = n;
}

apr_status_t devcache_index_put(devcache_shared_t *sh, const devcache_put_t *put,
                                devcache_drops_t *drops)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, put->entry.key_hash);
    devcache_entry_t new = put->entry;
    apr_uint32_t least;
    apr_status_t rv;

    drops->n = 0;
    if (!devcache_stripe_lock_chain(sh, r, new.key_hash)) {
        return APR_TIMEUP;
    }
    rv = may_put_locked(sh, r, put);
    if (rv == APR_SUCCESS) {
        devcache_stripe_begin(r);
        while (make_way_locked(sh, r, &new, &least, drops) >= put->max_variants &&
               drop_least_locked(sh, r, least, drops)) {
        }
        rv = insert_locked(sh, r, &new, drops);
        if (rv == APR_SUCCESS) {
            keep_file(drops, &new);
        }
        devcache_stripe_end(r);
    }
    devcache_stripe_unlock(r);
    return rv;
}

apr_uint64_t devcache_index_ticket(const devcache_shared_t *sh, apr_uint64_t key_hash)
{
    return __atomic_load_n(&devcache_stripe_of(sh, key_hash).st->ticket,
                           __ATOMIC_ACQUIRE);
}

static void note_removal_locked(devcache_stripe_t *st, apr_uint64_t key_hash)
{
    apr_uint64_t ticket = st->ticket + 1;
    devcache_removal_t *place = &st->ring[ticket % DEVCACHE_RING];

    if (place->ticket > st->floor) {
        st->floor = place->ticket;
    }
    place->key_hash = key_hash;
    place->ticket = ticket;
    __atomic_store_n(&st->ticket, ticket, __ATOMIC_RELEASE);
}

apr_status_t devcache_index_remove(devcache_shared_t *sh, apr_uint64_t key_hash,
                                   apr_uint64_t *pticket, devcache_drops_t *drops,
                                   unsigned *pcount)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, key_hash);
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, key_hash);
    apr_status_t rv = APR_SUCCESS;

    drops->n = 0;
    *pcount = 0;
    if (!devcache_stripe_lock_chain(sh, r, key_hash)) {
        return APR_TIMEUP;
    }
    devcache_stripe_begin(r);
    if (pticket && was_removed_since(r.st, key_hash, *pticket)) {
        pticket = NULL;
    }
    note_removal_locked(r.st, key_hash);
    if (pticket) {
        *pticket = r.st->ticket;
    }
    while ((link = seek_locked(sh, r, link, key_hash)) != NULL) {
        const devcache_entry_t *e = r.entries + *link;

        if (drops->n == DEVCACHE_MATCHES) {
            rv = APR_INCOMPLETE;
            break;
        }
        *pcount += (unsigned)devcache_stripe_alive(sh, e);
        drop_locked(sh, r, link, drops);
    }
    devcache_stripe_end(r);
    devcache_stripe_unlock(r);
    return rv;
}

apr_status_t devcache_index_supersede(devcache_shared_t *sh, apr_uint64_t key_hash)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, key_hash);

    if (!devcache_stripe_lock(sh, r)) {
        return APR_TIMEUP;
    }
    note_removal_locked(r.st, key_hash);
    devcache_stripe_unlock(r);
    return APR_SUCCESS;
}

/* The entry at the same place as @a e, or NULL. */
static apr_uint32_t *seek_place_locked(const devcache_shared_t *sh,
                                       devcache_stripe_ref_t r, const devcache_entry_t *e)
{
    apr_uint32_t *link = devcache_stripe_bucket(sh, r, e->key_hash);

    while ((link = seek_locked(sh, r, link, e->key_hash)) != NULL &&
           !same_place(r.entries + *link, e)) {
        link = &r.entries[*link].next;
    }
    return link;
}

/* The same, with the stripe locked, unless *prv says why not: then it is not. */
static apr_uint32_t *lock_place(devcache_shared_t *sh, devcache_stripe_ref_t r,
                                const devcache_entry_t *e, apr_status_t *prv)
{
    apr_uint32_t *link = NULL;

    *prv = APR_TIMEUP;
    if (devcache_stripe_lock_chain(sh, r, e->key_hash)) {
        link = seek_place_locked(sh, r, e);
        *prv = link ? APR_SUCCESS : APR_NOTFOUND;
        if (!link) {
            devcache_stripe_unlock(r);
        }
    }
    return link;
}

static void replace_locked(devcache_stripe_ref_t r, devcache_entry_t *old,
                           const devcache_entry_t *e)
{
    devcache_stripe_begin(r);
    devcache_stripe_entry_store(old, e);
    devcache_stripe_end(r);
}

apr_status_t devcache_index_move(devcache_shared_t *sh, const devcache_entry_t *from,
                                 const devcache_entry_t *to)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, from->key_hash);
    apr_status_t rv;
    apr_uint32_t *link = lock_place(sh, r, from, &rv);

    if (link) {
        const devcache_entry_t *old = &r.entries[*link];
        devcache_entry_t e = *to;

        /* A soft purge may have come since it was copied. */
        e.fresh_until = e.fresh_until < old->fresh_until ? e.fresh_until
                                                         : old->fresh_until;
        e.next = old->next;
        e.used = 1;
        replace_locked(r, &r.entries[*link], &e);
        devcache_stripe_unlock(r);
    }
    return rv;
}

apr_status_t devcache_index_forget(devcache_shared_t *sh, const devcache_entry_t *gone,
                                   devcache_drops_t *drops)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, gone->key_hash);
    apr_status_t rv;
    apr_uint32_t *link = lock_place(sh, r, gone, &rv);

    drops->n = 0;
    if (link) {
        devcache_stripe_begin(r);
        drop_locked(sh, r, link, drops);
        devcache_stripe_end(r);
        devcache_stripe_unlock(r);
    }
    return rv;
}

apr_status_t devcache_index_expire(devcache_shared_t *sh, const devcache_entry_t *which,
                                   apr_time_t fresh_until)
{
    devcache_stripe_ref_t r = devcache_stripe_of(sh, which->key_hash);
    apr_status_t rv;
    apr_uint32_t *link = lock_place(sh, r, which, &rv);

    if (link) {
        devcache_entry_t e = r.entries[*link];
        apr_uint32_t until = seconds_of(fresh_until);

        e.fresh_until = until < e.fresh_until ? until : e.fresh_until;
        replace_locked(r, &r.entries[*link], &e);
        devcache_stripe_unlock(r);
    }
    return rv;
}

/* ---- all of them ---------------------------------------------------------- */

apr_status_t devcache_index_copy(devcache_shared_t *sh, apr_uint32_t stripe,
                                 devcache_entry_t *out, apr_size_t *pn)
{
    devcache_stripe_ref_t r = devcache_stripe_at(sh, stripe);
    apr_uint32_t i;

    *pn = 0;
    if (!devcache_stripe_lock(sh, r)) {
        return APR_TIMEUP;
    }
    for (i = 0; i < sh->g.entries; i++) {
        const devcache_entry_t *e = r.entries + i;

        if (devcache_stripe_plausible(sh, e) && devcache_stripe_alive(sh, e)) {
            out[(*pn)++] = *e;
        }
    }
    devcache_stripe_unlock(r);
    return APR_SUCCESS;
}

apr_uint64_t devcache_index_objects(const devcache_shared_t *sh)
{
    apr_uint64_t n = 0;
    apr_uint32_t i;

    for (i = 0; i < sh->g.stripes; i++) {
        n += __atomic_load_n(&sh->stripes[i].count, __ATOMIC_RELAXED);
    }
    return n;
}
