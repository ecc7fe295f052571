/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/top.h"

#include <stdlib.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "base/lock.h"
#include "base/shm.h"

#define WINDOW apr_time_from_sec(300)

#define FEW 2000 /* requests of a minute that are counted one by one */
#define SAMPLE_BITS 6

typedef struct entry_t {
    apr_uint64_t requests, over, hits;
    char url[DEVCACHE_TOP_URL];
} entry_t;

typedef struct window_t {
    apr_uint64_t epoch;                     /* number of the window it is about */
    apr_uint64_t hashes[DEVCACHE_TOP_URLS]; /* 0: free, or being replaced */
    entry_t entries[DEVCACHE_TOP_URLS];
} window_t;

typedef struct shared_t {
    apr_time_t begun;
    pthread_mutex_t lock; /* of all but the counts of what is in a table */
    window_t windows[2];  /* by epoch, modulo */
} shared_t;

static shared_t *shared; /* set once in the parent before it forks */

apr_status_t devcache_top_create(apr_time_t now, apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(sizeof(shared_t), &rv, p);
    if (rv == APR_SUCCESS) {
        shared->begun = now;
        devcache_lock_init(&shared->lock);
    }
    return rv;
}

/* ---- counting ------------------------------------------------------------------- */

unsigned devcache_top_weight(apr_uint64_t so_far, apr_time_t now)
{
    /* The instant, spread by an odd multiplier, is as good as a die here. */
    apr_uint64_t die = (apr_uint64_t)now * 0x9e3779b97f4a7c15ull;

    if (so_far < FEW) {
        return 1;
    }
    return die >> (64 - SAMPLE_BITS) ? 0 : 1u << SAMPLE_BITS;
}

static apr_uint64_t load(const apr_uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(apr_uint64_t *word, apr_uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void add(apr_uint64_t *word, apr_uint64_t n)
{
    __atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

static int find(const window_t *w, apr_uint64_t hash)
{
    int i;

    for (i = 0; i < DEVCACHE_TOP_URLS; i++) {
        if (__atomic_load_n(&w->hashes[i], __ATOMIC_RELAXED) == hash) {
            return i;
        }
    }
    return -1;
}

/* A free entry, or the one that was counted least. */
static int find_least(const window_t *w)
{
    int i, least = 0;

    for (i = 0; i < DEVCACHE_TOP_URLS; i++) {
        if (load(&w->hashes[i]) == 0) {
            return i;
        }
        if (load(&w->entries[i].requests) < load(&w->entries[least].requests)) {
            least = i;
        }
    }
    return least;
}

/* Under the lock. Killed in its midst it leaves a free entry. */
static void replace(window_t *w, int i, apr_uint64_t hash, const char *url,
                    unsigned weight, int hit)
{
    entry_t *e = &w->entries[i];
    apr_uint64_t over = load(&w->hashes[i]) ? load(&e->requests) : 0;

    store(&w->hashes[i], 0);
    apr_cpystrn(e->url, url, sizeof e->url);
    store(&e->requests, over + weight);
    store(&e->over, over);
    store(&e->hits, hit ? weight : 0);
    store(&w->hashes[i], hash);
}

/* The window of @a epoch, emptied if it was about an older one. NULL: the lock is busy. */
static window_t *window_of(apr_uint64_t epoch)
{
    window_t *w = &shared->windows[epoch % 2];
    int i;

    if (load(&w->epoch) == epoch) {
        return w;
    }
    if (!devcache_lock_try_sound(&shared->lock)) {
        return NULL;
    }
    for (i = 0; load(&w->epoch) != epoch && i < DEVCACHE_TOP_URLS; i++) {
        store(&w->hashes[i], 0);
    }
    store(&w->epoch, epoch);
    pthread_mutex_unlock(&shared->lock);
    return w;
}

void devcache_top_count(devcache_slice_t key,
                        const char *(*url)(devcache_slice_t key, apr_pool_t *p),
                        unsigned weight, int hit, apr_time_t now, apr_pool_t *p)
{
    apr_uint64_t hash = XXH3_64bits(key.data, key.len) | 1; /* 0 means none */
    window_t *w;
    int i;

    if (!shared || !(w = window_of((apr_uint64_t)(now / WINDOW)))) {
        return;
    }
    if ((i = find(w, hash)) >= 0) {
        add(&w->entries[i].requests, weight);
        add(&w->entries[i].hits, hit ? weight : 0);
        return;
    }
    if (devcache_lock_try_sound(&shared->lock)) {
        if (find(w, hash) < 0) {
            replace(w, find_least(w), hash, url(key, p), weight, hit);
        }
        pthread_mutex_unlock(&shared->lock);
    }
}

/* ---- reading -------------------------------------------------------------------- */

/* One entry into the list, together with what the other window has of it. */
static void collect(apr_array_header_t *list, const window_t *w, int i)
{
    const entry_t *e = &w->entries[i];
    devcache_top_t seen = {load(&w->hashes[i]), load(&e->requests), load(&e->over),
                           load(&e->hits), ""};
    devcache_top_t *to;
    int k;

    if (!seen.hash) {
        return;
    }
    apr_cpystrn(seen.url, e->url, sizeof seen.url);
    for (k = 0; k < list->nelts; k++) {
        to = &APR_ARRAY_IDX(list, k, devcache_top_t);
        if (to->hash == seen.hash) {
            to->requests += seen.requests;
            to->over += seen.over;
            to->hits += seen.hits;
            return;
        }
    }
    APR_ARRAY_PUSH(list, devcache_top_t) = seen;
}

static int by_requests(const void *a, const void *b)
{
    const devcache_top_t *x = a, *y = b;

    return x->requests != y->requests ? (x->requests < y->requests ? 1 : -1)
                                      : strcmp(x->url, y->url);
}

apr_array_header_t *devcache_top_read(apr_time_t now, apr_interval_time_t *plasted,
                                      apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, DEVCACHE_TOP_URLS,
                                              sizeof(devcache_top_t));
    apr_uint64_t epoch = (apr_uint64_t)(now / WINDOW), back;
    apr_time_t since = (apr_time_t)(epoch - 1) * WINDOW;
    int i;

    *plasted = 0;
    if (!shared || !devcache_lock_take_sound(&shared->lock)) {
        return list;
    }
    for (back = 0; back < 2; back++) {
        const window_t *w = &shared->windows[(epoch - back) % 2];
        for (i = 0; load(&w->epoch) == epoch - back && i < DEVCACHE_TOP_URLS; i++) {
            collect(list, w, i);
        }
    }
    pthread_mutex_unlock(&shared->lock);
    qsort(list->elts, (size_t)list->nelts, sizeof(devcache_top_t), by_requests);
    *plasted = now - (since > shared->begun ? since : shared->begun);
    return list;
}
