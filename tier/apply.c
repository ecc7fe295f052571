/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying.
 *
 * A purge comes by every server's stream, so its number tells whether it is applied here
 * already: each machine's purges stand in each stream in the order of their numbers. It is
 * noted after it was carried out, and the position moves after that: a process killed in
 * between makes the next one apply it again, which does no harm.
 *
 * Purges of many cost a sweep each, so all that were read together become two, one hard and
 * one soft: a flood is applied at the pace of sweeps, however many purges are in it. Purges
 * of URLs cost little and are carried out one by one. Between purges the order does not
 * matter: what any of them is about goes.
 *
 * A doubt is noted in the state before it is carried out and until that is done, so that
 * whoever leads next does it again if this process is killed within.
 */
#include "tier/internal.h"

#include <apr_strings.h>
#include "base/clock.h"
#include "base/fault.h"
#include "purge/ban.h"

/* What a batch comes to. */
typedef struct collected_t {
    devcache_slice_t *bans[2]; /* hard, soft */
    unsigned nbans[2];
    int doubt, failed, wanted;
    apr_uint64_t count;
} collected_t;

static void carry_out(devcache_tier_t *tier, const devcache_order_t *order,
                      collected_t *all, apr_pool_t *p)
{
    apr_uint64_t n = 0;
    apr_status_t rv = devcache_order_carry_out(tier->conf.store, order, tier->conf.ports,
                                               tier->conf.nports, devcache_now(), &n, p);

    all->count += n;
    all->failed |= rv != APR_SUCCESS;
}

/* One purge: carried out, or put to its like. */
static void take(devcache_tier_t *tier, const devcache_tier_purge_t *purge,
                 collected_t *all, apr_pool_t *p)
{
    devcache_order_t order;

    if (!devcache_order_decode(purge->order, &order, p)) {
        /* Signed, or taken on trust, and not understood: of a later version. */
        __atomic_fetch_add(&tier->state->foreign, 1, __ATOMIC_RELAXED);
        all->doubt = 1;
        return;
    }
    switch (order.kind) {
    case DEVCACHE_ORDER_URL:
        carry_out(tier, &order, all, p);
        break;
    case DEVCACHE_ORDER_MANY:
        all->bans[order.soft][all->nbans[order.soft]++] = order.ban;
        break;
    case DEVCACHE_ORDER_DOUBT:
        all->doubt = 1;
        break;
    }
}

static void sweep(devcache_tier_t *tier, collected_t *all, apr_pool_t *p)
{
    int soft;

    for (soft = 0; soft < 2; soft++) {
        devcache_order_t order = {DEVCACHE_ORDER_MANY, soft};

        if (all->nbans[soft] > 0) {
            order.ban = all->nbans[soft] == 1
                            ? all->bans[soft][0]
                            : devcache_ban_join(all->bans[soft], all->nbans[soft], p);
            carry_out(tier, &order, all, p);
        }
    }
}

static void doubt_locked(devcache_tier_t *tier, apr_pool_t *p)
{
    devcache_order_t order = {DEVCACHE_ORDER_DOUBT};
    collected_t all = {{NULL, NULL}};

    __atomic_store_n(&tier->state->doubt_due, 1, __ATOMIC_SEQ_CST);
    DEVCACHE_KILL_HERE("kill-in-doubt");
    carry_out(tier, &order, &all, p);
    if (!all.failed) {
        __atomic_store_n(&tier->state->doubt_due, 0, __ATOMIC_SEQ_CST);
    }
}

void devcache_tier_doubt(devcache_tier_t *tier, apr_pool_t *p)
{
    pthread_mutex_lock(&tier->apply);
    doubt_locked(tier, p);
    pthread_mutex_unlock(&tier->apply);
}

/* Is it ours, or applied? */
static int is_known(devcache_tier_t *tier, const devcache_tier_purge_t *purge)
{
    devcache_tier_state_t *state = tier->state;

    if (purge->node != __atomic_load_n(&state->node, __ATOMIC_ACQUIRE)) {
        return purge->number <= devcache_tier_state_latest(state, purge->node);
    }
    if (purge->number <= __atomic_load_n(&state->number, __ATOMIC_ACQUIRE)) {
        return 1;
    }
    /* Our id, and not from here: a copy of our directory runs on another machine. */
    devcache_tier_say(
        tier, DEVCACHE_TIER_WARNING, 230,
        "tier: another machine has the same id, as if DevCacheRoot had been "
        "copied; this one takes a new one");
    devcache_tier_state_rename(state);
    return 0;
}

int devcache_tier_apply(devcache_tier_t *tier, const devcache_tier_batch_t *batch,
                        apr_pool_t *p)
{
    collected_t all = {{NULL, NULL}};
    unsigned i, n = 0;

    all.bans[0] = apr_palloc(p, (batch->n + 1) * sizeof(devcache_slice_t));
    all.bans[1] = apr_palloc(p, (batch->n + 1) * sizeof(devcache_slice_t));
    pthread_mutex_lock(&tier->apply);
    for (i = 0; i < batch->n; i++) {
        if (!is_known(tier, &batch->purges[i])) {
            take(tier, &batch->purges[i], &all, p);
            all.wanted |= batch->purges[i].wanted;
            n++;
        }
    }
    sweep(tier, &all, p);
    DEVCACHE_KILL_HERE("kill-in-apply");
    if (all.doubt) {
        doubt_locked(tier, p);
    }
    for (i = 0; i < batch->n && !all.failed; i++) {
        const devcache_tier_purge_t *purge = &batch->purges[i];

        if (purge->node != tier->state->node &&
            purge->number > devcache_tier_state_latest(tier->state, purge->node)) {
            devcache_tier_state_note(tier->state, purge->node, purge->number);
        }
    }
    pthread_mutex_unlock(&tier->apply);
    __atomic_fetch_add(&tier->state->applied, n, __ATOMIC_RELAXED);
    __atomic_fetch_add(&tier->state->batches, n > 0, __ATOMIC_RELAXED);
    if (all.wanted && !all.failed) {
        __atomic_fetch_add(&tier->state->beat_due, 1, __ATOMIC_RELEASE);
        devcache_tier_state_raise(&tier->state->queued);
    }
    return !all.failed;
}
