/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/odd.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "base/shm.h"

/*
 * The names of odd fields.
 *
 *   claimed 0 -> 1   by compare-and-swap: one process writes kind and name
 *   hash             stored last, never changed after: the entry can be found
 *
 * Counting what is there is one atomic addition. Two processes that meet the same new name
 * at the same moment may enter it twice; reading adds them up.
 */

#define ROOTS 16 /* more than that share the last table */

typedef struct entry_t {
    apr_uint64_t hash; /* 0: not to be read */
    apr_uint32_t claimed;
    devcache_odd_t odd;
} entry_t;

typedef struct root_t {
    apr_uint64_t hash; /* of its path; 0: free */
    apr_uint64_t others;
    entry_t entry[DEVCACHE_ODD_NAMES];
} root_t;

static root_t *shared; /* ROOTS of them; set once in the parent before it forks */

apr_status_t devcache_odd_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(ROOTS * sizeof(root_t), &rv, p);
    return rv;
}

/* The table of a root, made if it has none. */
static root_t *table_of(const char *path)
{
    apr_uint64_t hash = XXH3_64bits(path, strlen(path)) | 1;
    int i;

    for (i = 0; i < ROOTS - 1; i++) {
        apr_uint64_t was = 0;
        if (__atomic_load_n(&shared[i].hash, __ATOMIC_ACQUIRE) == hash ||
            __atomic_compare_exchange_n(&shared[i].hash, &was, hash, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) ||
            was == hash) {
            return &shared[i];
        }
    }
    return &shared[ROOTS - 1];
}

/* The name as it is kept: printable, letters of fields in lower case as a field's case
 * does not count. */
static void clean(char kind, const char *name, char out[DEVCACHE_ODD_NAME])
{
    apr_size_t i;

    memset(out, 0, DEVCACHE_ODD_NAME);
    for (i = 0; i < DEVCACHE_ODD_NAME - 1 && name[i]; i++) {
        char c = name[i];
        out[i] = c <= ' ' || c >= 0x7f                 ? '?'
                 : kind == 'f' && c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A'))
                                                       : c;
    }
}

static entry_t *find(root_t *root, apr_uint64_t hash)
{
    int i;

    for (i = 0; i < DEVCACHE_ODD_NAMES; i++) {
        if (__atomic_load_n(&root->entry[i].hash, __ATOMIC_ACQUIRE) == hash) {
            return &root->entry[i];
        }
    }
    return NULL;
}

static entry_t *claim(root_t *root)
{
    int i;

    for (i = 0; i < DEVCACHE_ODD_NAMES; i++) {
        apr_uint32_t was = 0;
        if (!__atomic_load_n(&root->entry[i].claimed, __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&root->entry[i].claimed, &was, 1, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return &root->entry[i];
        }
    }
    return NULL;
}

int devcache_odd_note(const char *path, char kind, const char *name, apr_time_t now)
{
    char kept[DEVCACHE_ODD_NAME];
    apr_uint64_t hash;
    root_t *root;
    entry_t *e;

    if (!shared) {
        return 0;
    }
    clean(kind, name, kept);
    hash = XXH3_64bits_withSeed(kept, sizeof kept, (XXH64_hash_t)kind) | 1;
    root = table_of(path);
    if ((e = find(root, hash))) {
        __atomic_fetch_add(&e->odd.times, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&e->odd.last, now, __ATOMIC_RELAXED);
        return 0;
    }
    if (!(e = claim(root))) {
        __atomic_fetch_add(&root->others, 1, __ATOMIC_RELAXED);
        return 0;
    }
    e->odd.kind = kind;
    memcpy(e->odd.name, kept, sizeof kept);
    e->odd.first = e->odd.last = now;
    e->odd.times = 1;
    __atomic_store_n(&e->hash, hash, __ATOMIC_RELEASE);
    return 1;
}

static int by_times(const void *a, const void *b)
{
    const devcache_odd_t *x = a, *y = b;

    return x->times < y->times ? 1 : x->times > y->times ? -1 : strcmp(x->name, y->name);
}

/* Add it to what is listed, or to its like there. */
static void list_entry(apr_array_header_t *list, const devcache_odd_t *odd)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        devcache_odd_t *at = &APR_ARRAY_IDX(list, i, devcache_odd_t);
        if (at->kind == odd->kind && !strcmp(at->name, odd->name)) {
            at->times += odd->times;
            at->first = at->first < odd->first ? at->first : odd->first;
            at->last = at->last > odd->last ? at->last : odd->last;
            return;
        }
    }
    APR_ARRAY_PUSH(list, devcache_odd_t) = *odd;
}

apr_array_header_t *devcache_odd_read(const char *path, apr_uint64_t *pothers,
                                      apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(devcache_odd_t));
    root_t *root = shared ? table_of(path) : NULL;
    int i;

    *pothers = root ? __atomic_load_n(&root->others, __ATOMIC_RELAXED) : 0;
    for (i = 0; root && i < DEVCACHE_ODD_NAMES; i++) {
        if (__atomic_load_n(&root->entry[i].hash, __ATOMIC_ACQUIRE)) {
            list_entry(list, &root->entry[i].odd);
        }
    }
    qsort(list->elts, (size_t)list->nelts, sizeof(devcache_odd_t), by_times);
    return list;
}
