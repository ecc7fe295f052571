/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/stripe.h
 * A stripe of the index: its entries, how they are read and changed, its lock, and how it
 * is put together again after a holder of the lock was killed.
 *
 * For store/index.c, whose head explains all this, and its sweeps.
 */
#ifndef DEVCACHE_STORE_STRIPE_H
#define DEVCACHE_STORE_STRIPE_H

#include "base/fault.h"
#include "store/shared.h"

/** A stripe together with what it owns. */
typedef struct devcache_stripe_ref_t {
    devcache_stripe_t *st;
    apr_uint32_t *buckets;
    devcache_entry_t *entries;
} devcache_stripe_ref_t;

static inline devcache_stripe_ref_t devcache_stripe_at(const devcache_shared_t *sh,
                                                       apr_size_t i)
{
    devcache_stripe_ref_t r;

    r.st = sh->stripes + i;
    r.buckets = sh->buckets + i * sh->g.buckets;
    r.entries = sh->entries + i * sh->g.entries;
    return r;
}

static inline devcache_stripe_ref_t devcache_stripe_of(const devcache_shared_t *sh,
                                                       apr_uint64_t key_hash)
{
    return devcache_stripe_at(sh, (apr_size_t)(key_hash >> 32) & (sh->g.stripes - 1));
}

static inline apr_uint32_t *devcache_stripe_bucket(const devcache_shared_t *sh,
                                                   devcache_stripe_ref_t r,
                                                   apr_uint64_t key_hash)
{
    return r.buckets + (key_hash & (sh->g.buckets - 1));
}

static inline apr_uint32_t devcache_stripe_load(const apr_uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void devcache_stripe_store(apr_uint32_t *p, apr_uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* ---- entries, word by word ------------------------------------------------ */

#define DEVCACHE_LAST_WORD (sizeof(devcache_entry_t) / sizeof(apr_uint64_t) - 1)

static inline void devcache_stripe_entry_load(devcache_entry_t *out,
                                              const devcache_entry_t *e)
{
    unsigned i;

    for (i = 0; i <= DEVCACHE_LAST_WORD; i++) {
        out->words[i] = __atomic_load_n(&e->words[i], __ATOMIC_ACQUIRE);
    }
}

static inline void devcache_stripe_entry_store(devcache_entry_t *e,
                                               const devcache_entry_t *from)
{
    unsigned i;

    __atomic_store_n(&e->words[DEVCACHE_LAST_WORD], 0, __ATOMIC_RELEASE);
    for (i = 0; i < DEVCACHE_LAST_WORD; i++) {
        __atomic_store_n(&e->words[i], from->words[i], __ATOMIC_RELEASE);
    }
    DEVCACHE_KILL_HERE("kill-in-stripe");
    __atomic_store_n(&e->words[DEVCACHE_LAST_WORD], from->words[DEVCACHE_LAST_WORD],
                     __ATOMIC_RELEASE);
}

/** Could this be an entry? */
int devcache_stripe_plausible(const devcache_shared_t *sh, const devcache_entry_t *e);

/** Is what it points at still there? */
int devcache_stripe_alive(const devcache_shared_t *sh, const devcache_entry_t *e);

/* ---- changing: the lock is held, and the generation odd -------------------- */

static inline void devcache_stripe_begin(devcache_stripe_ref_t r)
{
    devcache_stripe_store(&r.st->generation, r.st->generation | 1);
}

static inline void devcache_stripe_end(devcache_stripe_ref_t r)
{
    devcache_stripe_store(&r.st->generation, (r.st->generation | 1) + 1);
}

/** How many entries there are; atomic only for statistics, which take no lock. */
void devcache_stripe_count(devcache_stripe_ref_t r, int by);

/** An entry is free from now on. */
void devcache_stripe_free(devcache_stripe_ref_t r, apr_uint32_t pos);

/** Chains and free list from nothing but the entries. Also what makes a new stripe. */
void devcache_stripe_relink(const devcache_shared_t *sh, devcache_stripe_ref_t r);

/** Take the lock, and repair what a killed holder has left. @return 0 if it is not to be
 * had */
int devcache_stripe_lock(const devcache_shared_t *sh, devcache_stripe_ref_t r);

/** The same to go through the chain of a key, which is linked anew if damage has made a
 * ring of it. */
int devcache_stripe_lock_chain(const devcache_shared_t *sh, devcache_stripe_ref_t r,
                               apr_uint64_t key_hash);

void devcache_stripe_unlock(devcache_stripe_ref_t r);

#endif
