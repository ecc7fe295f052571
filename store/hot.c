/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot records.
 *
 * A hit from disk costs a system call, a copy and two checksums, each time the same. For
 * what is asked for most the result is kept: a record as it was verified, in memory that
 * requests send from without copying it.
 *
 * The table is direct-mapped: a place on disk has one slot. A slot is guarded by a word
 * that is held for a few instructions; who finds it taken tries again a few times and
 * then does without. A record is counted: one for the slot, one for each pool that uses
 * it; the last one frees it, so that dropping a record never waits for those who send it.
 *
 * Who comes in: a record is taken at the second reading from disk of which a small table
 * of fingerprints still knows the first, so that a crawler who asks for everything once
 * displaces nothing. Who goes: a hand goes round the slots and drops what has not been
 * found since it last came by. A slot's record gives way to another in the same manner.
 *
 * A record that refers to another for its body leans on that one: it has no copy of the
 * body, and the other one keeps its slot, and its place in the sum, until those who lean on
 * it have left theirs. Those that are still being sent hold it, as they hold themselves.
 */
#include "store/hot.h"

#include <stddef.h>
#include <stdlib.h>

#define SLOTS_MIN 64
#define SLOTS_MAX 65536
#define BYTES_PER_SLOT 1024
#define SEEN_PER_SLOT 2
#define TRIES 100  /* for a slot that is taken */
#define STEPS 1024 /* of the hand, for one record */
#define SHARE 8    /* a record takes this part of the room at most */

typedef struct held_t {
    apr_uint64_t serial;
    apr_uint64_t offset;
    struct held_t *base;  /* the one with the body; itself if it refers to none */
    apr_uint32_t leaning; /* atomic; how many others in slots have it for their base */
    apr_uint32_t refs;    /* atomic; of slots, pools, and of those that lean on it */
    apr_uint32_t used;    /* relaxed; found since the hand was here */
    devcache_record_t rec;
    apr_uint64_t room[DEVCACHE_HOT_ROOM / sizeof(apr_uint64_t)];
    unsigned char bytes[];
} held_t;

typedef struct slot_t {
    apr_uint32_t taken; /* atomic; guards the pointer */
    apr_uint32_t print; /* relaxed; of the record that was put there last, 0: none yet */
    held_t *held;
} slot_t;

struct devcache_hot_t {
    apr_size_t bound; /* bytes */
    apr_size_t bytes; /* relaxed; held by slots or about to be */
    apr_uint32_t mask;
    apr_uint32_t hand; /* relaxed */
    slot_t *slots;
    apr_uint32_t *seen; /* relaxed; fingerprints of what was read lately */
};

devcache_hot_t *devcache_hot_create(apr_size_t bytes, apr_pool_t *p)
{
    devcache_hot_t *hot;
    apr_uint32_t n = SLOTS_MIN;

    if (bytes == 0) {
        return NULL;
    }
    while (n < SLOTS_MAX && n < bytes / BYTES_PER_SLOT) {
        n *= 2;
    }
    hot = apr_pcalloc(p, sizeof(*hot));
    hot->bound = bytes;
    hot->mask = n - 1;
    hot->slots = apr_pcalloc(p, n * sizeof(*hot->slots));
    hot->seen = apr_pcalloc(p, n * SEEN_PER_SLOT * sizeof(*hot->seen));
    return hot;
}

/* Where a place belongs; nobody outside chooses these numbers. */
static apr_uint64_t place_hash(apr_uint64_t serial, apr_uint64_t offset)
{
    apr_uint64_t h = (serial * 0x9e3779b97f4a7c15u) ^ (offset * 0xc2b2ae3d27d4eb4fu);

    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ (h >> 32);
}

/* What tells places of one slot apart, mostly. */
static apr_uint32_t print_of(apr_uint64_t hash)
{
    return (apr_uint32_t)(hash >> 32) | 1; /* 0 is nothing */
}

static int take(slot_t *slot)
{
    int i;

    for (i = 0; i < TRIES; i++) {
        if (!__atomic_load_n(&slot->taken, __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(&slot->taken, 1, __ATOMIC_ACQUIRE)) {
            return 1;
        }
    }
    return 0;
}

static void give_back(slot_t *slot)
{
    __atomic_store_n(&slot->taken, 0, __ATOMIC_RELEASE);
}

/* What a record takes of the bound. */
static apr_size_t size_of(const devcache_record_t *rec)
{
    return DEVCACHE_HOT_ROOM + rec->length;
}

static apr_status_t let_go(void *data);

/* Nobody uses it any more. */
static __attribute__((noinline)) void end_held(held_t *held)
{
    if (held->base != held) {
        let_go(held->base);
    }
    free(held);
}

static apr_status_t let_go(void *data)
{
    held_t *held = data;

    if (__atomic_sub_fetch(&held->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        end_held(held);
    }
    return APR_SUCCESS;
}

/* Empty a slot that the caller has taken. */
static void drop(devcache_hot_t *hot, slot_t *slot)
{
    held_t *held = slot->held;

    if (held) {
        slot->held = NULL;
        __atomic_sub_fetch(&hot->bytes, size_of(&held->rec), __ATOMIC_RELAXED);
        if (held->base != held) {
            __atomic_sub_fetch(&held->base->leaning, 1, __ATOMIC_RELEASE);
        }
        let_go(held);
    }
}

/* The same, unless it was found since somebody last tried this, or is leant on. */
static int drop_idle(devcache_hot_t *hot, slot_t *slot)
{
    if (slot->held && (__atomic_load_n(&slot->held->leaning, __ATOMIC_ACQUIRE) ||
                       __atomic_exchange_n(&slot->held->used, 0, __ATOMIC_RELAXED))) {
        return 0;
    }
    drop(hot, slot);
    return 1;
}

void devcache_hot_clear(devcache_hot_t *hot)
{
    apr_uint32_t i;

    for (i = 0; hot && i <= hot->mask; i++) {
        if (take(&hot->slots[i])) {
            drop(hot, &hot->slots[i]);
            give_back(&hot->slots[i]);
        }
    }
}

int devcache_hot_find(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                      devcache_record_t *rec, void **proom, apr_pool_t *p)
{
    apr_uint64_t hash = place_hash(serial, offset);
    slot_t *slot = &hot->slots[hash & hot->mask];
    held_t *held;

    /* Nearly all that is not here is known by that, without touching another's record. */
    if (__atomic_load_n(&slot->print, __ATOMIC_RELAXED) != print_of(hash) ||
        !take(slot)) {
        return 0;
    }
    held = slot->held;
    if (held && held->serial == serial && held->offset == offset) {
        __atomic_add_fetch(&held->refs, 1, __ATOMIC_RELAXED);
        if (!__atomic_load_n(&held->used, __ATOMIC_RELAXED)) {
            __atomic_store_n(&held->used, 1, __ATOMIC_RELAXED);
        }
    } else {
        held = NULL;
    }
    give_back(slot);
    if (!held) {
        return 0;
    }
    apr_pool_cleanup_register(p, held, let_go, apr_pool_cleanup_null);
    memcpy(rec, &held->rec, offsetof(devcache_record_t, table));
    rec->table = devcache_slice(NULL, 0);
    *proom = held->room;
    return 1;
}

static held_t *held_of(void *room)
{
    return (held_t *)((char *)room - offsetof(held_t, room));
}

void *devcache_hot_hold(void *room)
{
    held_t *held = held_of(room)->base;

    __atomic_add_fetch(&held->refs, 1,
                       __ATOMIC_RELAXED); /* the caller holds one already */
    return held->bytes;
}

void devcache_hot_let_go(void *first)
{
    let_go((char *)first - offsetof(held_t, bytes));
}

/* Was this hash here not long ago? It is from now on. */
static int seen_before(devcache_hot_t *hot, apr_uint64_t hash)
{
    apr_uint32_t print = print_of(hash);
    apr_uint32_t n = (hot->mask + 1) * SEEN_PER_SLOT;
    apr_uint32_t *at = &hot->seen[hash & (n - 1)];

    if (__atomic_load_n(at, __ATOMIC_RELAXED) == print) {
        return 1;
    }
    __atomic_store_n(at, print, __ATOMIC_RELAXED);
    return 0;
}

/* Count @a size bytes in, if need be in place of what has not been used. */
static int make_room(devcache_hot_t *hot, apr_size_t size)
{
    int i;

    __atomic_add_fetch(&hot->bytes, size, __ATOMIC_RELAXED);
    for (i = 0; i < STEPS && __atomic_load_n(&hot->bytes, __ATOMIC_RELAXED) > hot->bound;
         i++) {
        apr_uint32_t hand = __atomic_fetch_add(&hot->hand, 1, __ATOMIC_RELAXED);
        slot_t *slot = &hot->slots[hand & hot->mask];

        if (take(slot)) {
            drop_idle(hot, slot);
            give_back(slot);
        }
    }
    if (__atomic_load_n(&hot->bytes, __ATOMIC_RELAXED) <= hot->bound) {
        return 1;
    }
    __atomic_sub_fetch(&hot->bytes, size, __ATOMIC_RELAXED);
    return 0;
}

static devcache_slice_t moved(devcache_slice_t s, const unsigned char *from,
                              const unsigned char *to)
{
    return s.data ? devcache_slice(to + ((const unsigned char *)s.data - from), s.len)
                  : s;
}

static held_t *copy_of(apr_uint64_t serial, apr_uint64_t offset,
                       const devcache_record_t *rec)
{
    const unsigned char *from = (const unsigned char *)rec->key.data;
    held_t *held = malloc(sizeof(*held) + rec->length - DEVCACHE_RECORD_FIXED);

    if (!held) {
        return NULL;
    }
    held->serial = serial;
    held->offset = offset;
    held->base = held;
    held->leaning = 0;
    held->refs = 1;
    held->used = 0;
    held->rec = *rec;
    memset(held->room, 0, sizeof(held->room));
    memcpy(held->bytes, from, rec->length - DEVCACHE_RECORD_FIXED);
    held->rec.key = moved(rec->key, from, held->bytes);
    held->rec.spec = moved(rec->spec, from, held->bytes);
    held->rec.variant = moved(rec->variant, from, held->bytes);
    held->rec.meta = moved(rec->meta, from, held->bytes);
    held->rec.tags = moved(rec->tags, from, held->bytes);
    held->rec.body = rec->ref_serial ? rec->body : moved(rec->body, from, held->bytes);
    return held;
}

/* Let @a base, which the caller holds, stay for one more record. @return 0: it has gone
 * from here */
static int lean_on(devcache_hot_t *hot, held_t *base)
{
    slot_t *slot = &hot->slots[place_hash(base->serial, base->offset) & hot->mask];
    int there;

    if (!take(slot)) {
        return 0;
    }
    there = slot->held == base;
    if (there) {
        __atomic_add_fetch(&base->leaning, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&base->refs, 1, __ATOMIC_RELAXED);
    }
    give_back(slot);
    return there;
}

/* A record for its slot. */
static held_t *make_held(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                         const devcache_record_t *rec, void *room)
{
    held_t *base = room ? held_of(room) : NULL;
    held_t *held;

    if (base && !lean_on(hot, base)) {
        return NULL;
    }
    held = copy_of(serial, offset, rec);
    if (base && held) {
        held->base = base;
    } else if (base) {
        __atomic_sub_fetch(&base->leaning, 1, __ATOMIC_RELEASE);
        let_go(base);
    }
    return held;
}

void devcache_hot_offer(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                        const devcache_record_t *rec, void *room)
{
    apr_uint64_t hash = place_hash(serial, offset);
    slot_t *slot = &hot->slots[hash & hot->mask];
    held_t *held = NULL;

    if (rec->length > hot->bound / SHARE || !seen_before(hot, hash) ||
        !make_room(hot, size_of(rec))) {
        return;
    }
    if (take(slot)) {
        if (drop_idle(hot, slot) &&
            (held = make_held(hot, serial, offset, rec, room)) != NULL) {
            slot->held = held;
            __atomic_store_n(&slot->print, print_of(hash), __ATOMIC_RELAXED);
        }
        give_back(slot);
    }
    if (!held) {
        __atomic_sub_fetch(&hot->bytes, size_of(rec), __ATOMIC_RELAXED);
    }
}
