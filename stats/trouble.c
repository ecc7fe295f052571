/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/trouble.h"

#include <stdlib.h>
#include <string.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "base/lock.h"
#include "base/shm.h"

typedef struct entry_t {
    apr_uint64_t hash; /* of what; 0: free, or being replaced */
    devcache_trouble_t trouble;
} entry_t;

typedef struct shared_t {
    pthread_mutex_t lock; /* of all but when and how often */
    entry_t entries[DEVCACHE_TROUBLES];
} shared_t;

static shared_t *shared; /* set once in the parent before it forks */

apr_status_t devcache_trouble_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(sizeof(shared_t), &rv, p);
    if (rv == APR_SUCCESS) {
        devcache_lock_init(&shared->lock);
    }
    return rv;
}

static entry_t *find(apr_uint64_t hash)
{
    int i;

    for (i = 0; i < DEVCACHE_TROUBLES; i++) {
        if (__atomic_load_n(&shared->entries[i].hash, __ATOMIC_ACQUIRE) == hash) {
            return &shared->entries[i];
        }
    }
    return NULL;
}

static void again(entry_t *e, apr_time_t now)
{
    __atomic_fetch_add(&e->trouble.times, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&e->trouble.last, now, __ATOMIC_RELAXED);
}

/* Under the lock. Killed in its midst it leaves a free entry. */
static void add(apr_uint64_t hash, const char *what, const char *example, apr_time_t now)
{
    entry_t *all = shared->entries, *e = all;
    int i;

    for (i = 1; i < DEVCACHE_TROUBLES && e->hash; i++) {
        if (!all[i].hash || all[i].trouble.last < e->trouble.last) {
            e = &all[i];
        }
    }
    __atomic_store_n(&e->hash, 0, __ATOMIC_RELEASE);
    apr_cpystrn(e->trouble.what, what, sizeof e->trouble.what);
    apr_cpystrn(e->trouble.example, example ? example : "", sizeof e->trouble.example);
    e->trouble.first = e->trouble.last = now;
    e->trouble.times = 1;
    __atomic_store_n(&e->hash, hash, __ATOMIC_RELEASE);
}

void devcache_trouble_note(const char *what, const char *example, apr_time_t now)
{
    apr_uint64_t hash = XXH3_64bits(what, strlen(what)) | 1; /* 0 means none */
    entry_t *e;

    if (!shared) {
        return;
    }
    if ((e = find(hash))) {
        again(e, now);
    } else if (devcache_lock_try_sound(&shared->lock)) {
        if (!find(hash)) {
            add(hash, what, example, now);
        }
        pthread_mutex_unlock(&shared->lock);
    }
}

static int by_last(const void *a, const void *b)
{
    const devcache_trouble_t *x = a, *y = b;

    return x->last < y->last ? 1 : x->last > y->last ? -1 : strcmp(x->what, y->what);
}

apr_array_header_t *devcache_trouble_read(apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, DEVCACHE_TROUBLES,
                                              sizeof(devcache_trouble_t));
    int i;

    if (!shared || !devcache_lock_take_sound(&shared->lock)) {
        return list;
    }
    for (i = 0; i < DEVCACHE_TROUBLES; i++) {
        if (shared->entries[i].hash) {
            APR_ARRAY_PUSH(list, devcache_trouble_t) = shared->entries[i].trouble;
        }
    }
    pthread_mutex_unlock(&shared->lock);
    qsort(list->elts, (size_t)list->nelts, sizeof(devcache_trouble_t), by_last);
    return list;
}
