/*
 * Purges in the log, for a rebuild.
 *
 * A purge that was asked for again and again (the same front page, the same tag) counts
 * once, with its latest instant. Beyond BANS_MAX the oldest are given up, and with them
 * every object that was requested before the latest of those: losing a cached copy is
 * cheap, serving a purged one is not.
 *
 * Purges of one key are judged for that key only; they are found by its hash.
 */
#include "devcache_bans.h"

#include <stdlib.h>
#include "devcache_index.h"
#include "devcache_sweep.h"

#define BANS_MAX 1024 /* about all keys, judged for every object of the log */

typedef struct ban_t {
    apr_uint64_t key_hash; /* 0: about all keys */
    apr_uint64_t what_hash;
    apr_time_t until;
    apr_time_t expires; /* soft: since when at the earliest it is stale; 0: hard */
    char *bytes;        /* key and what */
    apr_size_t key_len, what_len;
    void *opened; /* NULL: not yet, or */
    int unclear;  /* 1: cannot be read, and so matches all */
} ban_t;

struct devcache_bans_t {
    devcache_store_t *s;
    apr_pool_t *pool;
    ban_t *list; /* sorted by key hash once ready, those about all keys first */
    apr_size_t n, room;
    apr_size_t n_wide; /* about all keys */
    apr_time_t flood;  /* what was requested until then is gone */
};

devcache_bans_t *devcache_bans_make(devcache_store_t *s)
{
    devcache_bans_t *bans = calloc(1, sizeof(*bans));

    if (bans) {
        bans->s = s;
        apr_pool_create_unmanaged(&bans->pool);
    }
    return bans;
}

void devcache_bans_free(devcache_bans_t *bans)
{
    if (bans) {
        free(bans->list);
        apr_pool_destroy(bans->pool);
        free(bans);
    }
}

static int by_identity(const void *a, const void *b)
{
    const ban_t *x = a, *y = b;

    if (x->key_hash != y->key_hash) {
        return x->key_hash < y->key_hash ? -1 : 1;
    }
    if (x->what_hash != y->what_hash) {
        return x->what_hash < y->what_hash ? -1 : 1;
    }
    if ((x->expires == 0) != (y->expires == 0)) {
        return x->expires == 0 ? -1 : 1;
    }
    return x->until > y->until ? -1 : x->until < y->until;
}

static int is_same(const ban_t *x, const ban_t *y)
{
    return x->key_hash == y->key_hash && x->what_hash == y->what_hash &&
           (x->expires == 0) == (y->expires == 0);
}

/* Each once, with its latest instant; of soft ones the first counts as well: what was
 * requested before it is stale since then, what came later since it was requested. */
static void unite(devcache_bans_t *bans)
{
    apr_size_t i, kept = 0;

    if (bans->n) {
        qsort(bans->list, bans->n, sizeof(ban_t), by_identity);
    }
    for (i = 0; i < bans->n; i++) {
        if (kept > 0 && is_same(&bans->list[kept - 1], &bans->list[i])) {
            if (bans->list[i].expires < bans->list[kept - 1].expires) {
                bans->list[kept - 1].expires = bans->list[i].expires;
            }
        } else {
            bans->list[kept++] = bans->list[i];
        }
    }
    bans->n = kept;
}

/* Key and what it is about, one behind the other. The pool keeps what is given up later:
 * it is small beside the log that it comes from. */
static char *copy_bytes(const devcache_bans_t *bans, const devcache_record_t *rec)
{
    char *bytes = apr_palloc(bans->pool, rec->key.len + rec->meta.len + 1);

    memcpy(bytes, rec->key.data, rec->key.len);
    memcpy(bytes + rec->key.len, rec->meta.data, rec->meta.len);
    return bytes;
}

static int make_room(devcache_bans_t *bans)
{
    apr_size_t room;
    ban_t *larger;

    if (bans->n < bans->room) {
        return 1;
    }
    unite(bans);
    room = bans->n * 2 + 64;
    larger = realloc(bans->list, room * sizeof(ban_t));
    if (larger) {
        bans->list = larger;
        bans->room = room;
    }
    return larger != NULL;
}

int devcache_bans_add(devcache_bans_t *bans, const devcache_record_t *rec)
{
    const devcache_shared_t *sh = &bans->s->sh;
    ban_t ban = {0};

    ban.key_len = rec->key.len;
    ban.what_len = rec->meta.len;
    ban.key_hash = rec->key.len ? devcache_index_key_hash(sh, rec->key) : 0;
    ban.what_hash = devcache_index_key_hash(sh, rec->meta);
    ban.until = rec->requested_at;
    ban.expires = rec->fresh_until;
    if (!make_room(bans)) {
        return 0;
    }
    ban.bytes = copy_bytes(bans, rec);
    bans->list[bans->n++] = ban;
    return 1;
}

static int by_latest(const void *a, const void *b)
{
    const ban_t *x = a, *y = b;

    return x->until > y->until ? -1 : x->until < y->until;
}

/* Of those about all keys the latest stay, and what the others were about goes. */
static void flood(devcache_bans_t *bans)
{
    apr_size_t gone = bans->n_wide > BANS_MAX ? bans->n_wide - BANS_MAX : 0;
    ban_t *first = bans->list + BANS_MAX;
    apr_size_t i;

    for (i = 0; i < gone; i++) {
        bans->flood = first[i].until > bans->flood ? first[i].until : bans->flood;
    }
    if (gone) {
        memmove(first, first + gone, (bans->n - bans->n_wide) * sizeof(*first));
        bans->n_wide -= gone;
        bans->n -= gone;
    }
}

void devcache_bans_ready(devcache_bans_t *bans)
{
    unite(bans);
    while (bans->n_wide < bans->n && bans->list[bans->n_wide].key_hash == 0) {
        bans->n_wide++;
    }
    if (bans->n_wide) {
        qsort(bans->list, bans->n_wide, sizeof(ban_t), by_latest);
    }
    flood(bans);
}

/* Compiled when first asked for: many are about keys that have nothing stored. */
static int is_about(devcache_bans_t *bans, ban_t *b, const devcache_described_t *object)
{
    const devcache_store_conf_t *conf = &bans->s->conf;

    if (!b->opened && !b->unclear) {
        b->opened = conf->ban_open ? conf->ban_open(devcache_slice(b->bytes + b->key_len,
                                                                   b->what_len),
                                                    bans->pool)
                                   : NULL;
        b->unclear = b->opened == NULL;
    }
    return b->unclear || conf->ban_matches(b->opened, object);
}

/* 0 if it is gone. */
static int apply(devcache_bans_t *bans, ban_t *b, const devcache_described_t *object,
                 devcache_record_t *rec)
{
    apr_time_t expires;

    if (rec->requested_at > b->until || !is_about(bans, b, object)) {
        return 1;
    }
    if (b->expires == 0) {
        return 0;
    }
    expires = b->expires > rec->requested_at ? b->expires : rec->requested_at;
    rec->fresh_until = expires < rec->fresh_until ? expires : rec->fresh_until;
    return 1;
}

/* The first of those about this key. */
static apr_size_t seek(const devcache_bans_t *bans, apr_uint64_t key_hash)
{
    apr_size_t low = bans->n_wide, high = bans->n;

    while (low < high) {
        apr_size_t mid = low + (high - low) / 2;

        if (bans->list[mid].key_hash < key_hash) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

int devcache_bans_spare(devcache_bans_t *bans, devcache_record_t *rec)
{
    devcache_described_t object = devcache_sweep_describe(rec);
    apr_uint64_t key_hash = devcache_index_key_hash(&bans->s->sh, rec->key);
    apr_size_t i;

    if (rec->requested_at <= bans->flood) {
        return 0;
    }
    for (i = 0; i < bans->n_wide; i++) {
        if (!apply(bans, &bans->list[i], &object, rec)) {
            return 0;
        }
    }
    for (i = seek(bans, key_hash); i < bans->n && bans->list[i].key_hash == key_hash;
         i++) {
        if (!apply(bans, &bans->list[i], &object, rec)) {
            return 0;
        }
    }
    return 1;
}
