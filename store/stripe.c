/* SPDX-License-Identifier: Apache-2.0 */
#include "store/stripe.h"

#include <string.h>

int devcache_stripe_plausible(const devcache_shared_t *sh, const devcache_entry_t *e)
{
    return e->used == 1 && e->slot < sh->g.slots && e->spec < DEVCACHE_SPECS &&
           (e->body_slot == DEVCACHE_NO_SLOT || e->body_slot < sh->g.slots);
}

int devcache_stripe_alive(const devcache_shared_t *sh, const devcache_entry_t *e)
{
    return devcache_shared_alive(sh, e->slot, e->serial) &&
           (e->body_slot == DEVCACHE_NO_SLOT ||
            devcache_shared_alive(sh, e->body_slot, e->body_serial));
}

void devcache_stripe_count(devcache_stripe_ref_t r, int by)
{
    __atomic_fetch_add(&r.st->count, (apr_uint32_t)by, __ATOMIC_RELAXED);
}

void devcache_stripe_free(devcache_stripe_ref_t r, apr_uint32_t pos)
{
    devcache_entry_t *e = r.entries + pos;

    __atomic_store_n(&e->words[DEVCACHE_LAST_WORD], 0, __ATOMIC_RELEASE);
    devcache_stripe_store(&e->next, r.st->free);
    r.st->free = pos;
}

void devcache_stripe_relink(const devcache_shared_t *sh, devcache_stripe_ref_t r)
{
    apr_uint32_t i;

    devcache_stripe_begin(r);
    for (i = 0; i < sh->g.buckets; i++) {
        devcache_stripe_store(&r.buckets[i], DEVCACHE_NO_ENTRY);
    }
    r.st->free = DEVCACHE_NO_ENTRY;
    devcache_stripe_store(&r.st->count, 0);
    r.st->hand = 0;
    for (i = sh->g.entries; i-- > 0;) {
        devcache_entry_t *e = r.entries + i;
        apr_uint32_t *bucket = devcache_stripe_bucket(sh, r, e->key_hash);

        if (!devcache_stripe_plausible(sh, e) || !devcache_stripe_alive(sh, e) ||
            devcache_stripe_of(sh, e->key_hash).st != r.st) {
            devcache_stripe_free(r, i);
            continue;
        }
        devcache_stripe_store(&e->next, *bucket);
        devcache_stripe_store(bucket, i);
        devcache_stripe_count(r, 1);
    }
    /* The ring may be half-written: whatever began before now is refused. */
    memset(r.st->ring, 0, sizeof(r.st->ring));
    r.st->floor = r.st->ticket + 1;
    __atomic_store_n(&r.st->ticket, r.st->floor, __ATOMIC_RELEASE);
    devcache_stripe_end(r);
}

int devcache_stripe_lock(const devcache_shared_t *sh, devcache_stripe_ref_t r)
{
    switch (devcache_lock_take(&r.st->lock)) {
    case DEVCACHE_LOCKED_REPAIR:
        devcache_stripe_relink(sh, r);
        devcache_lock_repaired(&r.st->lock);
        return 1;
    case DEVCACHE_LOCKED:
        return 1;
    default:
        return 0;
    }
}

int devcache_stripe_lock_chain(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                               apr_uint64_t key_hash)
{
    apr_uint32_t pos, steps = 0;

    if (!devcache_stripe_lock(sh, r)) {
        return 0;
    }
    pos = *devcache_stripe_bucket(sh, r, key_hash);
    while (pos < sh->g.entries && steps++ < sh->g.entries) {
        pos = r.entries[pos].next;
    }
    if (pos < sh->g.entries) {
        devcache_stripe_relink(sh, r);
    }
    return 1;
}

void devcache_stripe_unlock(devcache_stripe_ref_t r)
{
    pthread_mutex_unlock(&r.st->lock);
}
