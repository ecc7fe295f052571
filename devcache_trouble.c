#include "devcache_trouble.h"

#include <stdlib.h>
#include <string.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "devcache_shm.h"
#include "devcache_stats.h"

#define CLAIM_LASTS apr_time_from_sec(2)
#define CLAIM_ID 0x74726f75626c65ull /* any number of our own */

typedef struct entry_t {
    apr_uint64_t hash;  /* of what; 0: free, or being replaced */
    apr_uint64_t check; /* of both texts */
    devcache_trouble_t trouble;
} entry_t;

static entry_t *shared; /* set once in the parent before it forks */

apr_status_t devcache_trouble_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(DEVCACHE_TROUBLES * sizeof(entry_t), &rv, p);
    return rv;
}

static apr_uint64_t check_of(const devcache_trouble_t *t)
{
    return XXH3_64bits_withSeed(
        t->what, strnlen(t->what, sizeof t->what),
        XXH3_64bits(t->example, strnlen(t->example, sizeof t->example)));
}

static entry_t *find(apr_uint64_t hash)
{
    int i;

    for (i = 0; i < DEVCACHE_TROUBLES; i++) {
        if (__atomic_load_n(&shared[i].hash, __ATOMIC_ACQUIRE) == hash) {
            return &shared[i];
        }
    }
    return NULL;
}

static void again(entry_t *e, apr_time_t now)
{
    __atomic_fetch_add(&e->trouble.times, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&e->trouble.last, now, __ATOMIC_RELAXED);
}

/* The claim is held. */
static void add(apr_uint64_t hash, const char *what, const char *example, apr_time_t now)
{
    entry_t *e = shared;
    int i;

    for (i = 1; i < DEVCACHE_TROUBLES && e->hash; i++) {
        if (!shared[i].hash || shared[i].trouble.last < e->trouble.last) {
            e = &shared[i];
        }
    }
    __atomic_store_n(&e->hash, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&e->check, 0, __ATOMIC_RELEASE);
    apr_cpystrn(e->trouble.what, what, sizeof e->trouble.what);
    apr_cpystrn(e->trouble.example, example ? example : "", sizeof e->trouble.example);
    e->trouble.first = e->trouble.last = now;
    e->trouble.times = 1;
    __atomic_store_n(&e->check, check_of(&e->trouble), __ATOMIC_RELEASE);
    __atomic_store_n(&e->hash, hash, __ATOMIC_RELEASE);
}

void devcache_trouble_note(const char *what, const char *example, apr_time_t now)
{
    apr_uint64_t hash = XXH3_64bits(what, strlen(what)) | 1; /* 0 means none */
    apr_uint64_t ticket;
    entry_t *e;

    if (!shared) {
        return;
    }
    if ((e = find(hash))) {
        again(e, now);
    } else if ((ticket = devcache_stats_claim(CLAIM_ID, now, now + CLAIM_LASTS))) {
        if (!find(hash)) {
            add(hash, what, example, now);
        }
        devcache_stats_release(ticket);
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

    for (i = 0; shared && i < DEVCACHE_TROUBLES; i++) {
        apr_uint64_t hash = __atomic_load_n(&shared[i].hash, __ATOMIC_ACQUIRE);
        apr_uint64_t check = __atomic_load_n(&shared[i].check, __ATOMIC_ACQUIRE);
        devcache_trouble_t t = shared[i].trouble;
        if (hash && check_of(&t) == check) {
            t.what[sizeof t.what - 1] = t.example[sizeof t.example - 1] = '\0';
            APR_ARRAY_PUSH(list, devcache_trouble_t) = t;
        }
    }
    qsort(list->elts, (size_t)list->nelts, sizeof(devcache_trouble_t), by_last);
    return list;
}
