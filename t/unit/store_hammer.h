/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store_hammer.h
 * Threads that look up, publish and remove at random and check what they get; for tests
 * of one process and of many.
 */
#ifndef STORE_HAMMER_H
#define STORE_HAMMER_H

#include <pthread.h>
#include <sys/mman.h>
#include "store_fixture.h"

#define HAMMER_KEYS 400

/* Seen by all processes of the test. */
typedef struct hammer_board_t {
    unsigned version[HAMMER_KEYS]; /* the latest given out, after fill_begin */
    unsigned removed[HAMMER_KEYS]; /* versions up to this one must not be seen any more */
    unsigned removing[HAMMER_KEYS]; /* raised before it is removed, removed[] behind it */
    unsigned long ops, hits, wrong, zombies, published, refused;
} hammer_board_t;

static hammer_board_t *hammer_board;

static inline void hammer_begin(void)
{
    hammer_board = mmap(NULL, sizeof(*hammer_board), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static inline void hammer_end(void)
{
    munmap(hammer_board, sizeof(*hammer_board));
}

static inline int hammer_slots_agree(fixture_t *f)
{
    const devcache_shared_t *sh = &f->s->root->sh;
    fixture_usage_t disk = fixture_usage();
    apr_uint64_t used = 0;
    unsigned files = 0, filling = 0, i;

    for (i = 0; i < sh->g.slots; i++) {
        if (sh->slots[i].state != DEVCACHE_SLOT_FREE) {
            used += sh->slots[i].bytes;
            files++;
            filling += sh->slots[i].state == DEVCACHE_SLOT_FILLING;
        }
    }
    if (used != sh->head->used || files != sh->head->files || filling ||
        used > sh->g.size || disk.bytes > sh->g.size ||
        disk.segments + disk.bodies != files) {
        printf(
            "#  used %llu of %llu, files %u of %u, on disk %u, %llu bytes, filling %u\n",
            (unsigned long long)used, (unsigned long long)sh->head->used, files,
            sh->head->files, disk.segments + disk.bodies, (unsigned long long)disk.bytes,
            filling);
        return 0;
    }
    return 1;
}

static inline apr_uint64_t hammer_random(apr_uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x >> 20;
}

typedef struct hammer_worker_t {
    fixture_t *f;
    apr_uint64_t seed;
    int progress; /* a byte is written here now and then */
} hammer_worker_t;

static const char *const hammer_class[] = {"0", "1", "2", "3"};

static inline void hammer_one_lookup(hammer_worker_t *w, unsigned k, const char *key,
                                     const char *class)
{
    unsigned floor = __atomic_load_n(&hammer_board->removed[k], __ATOMIC_SEQ_CST);
    long got = fixture_get(w->f, key, class);

    if (got == FIXTURE_WRONG) {
        __atomic_add_fetch(&hammer_board->wrong, 1, __ATOMIC_RELAXED);
    } else if (got != FIXTURE_MISS) {
        __atomic_add_fetch(&hammer_board->hits, 1, __ATOMIC_RELAXED);
        if ((unsigned)got <= floor) {
            __atomic_add_fetch(&hammer_board->zombies, 1, __ATOMIC_RELAXED);
        }
    }
}

/* A body's length follows from its key and version, so that those of two classes with one
 * version are the same. */
static inline apr_size_t hammer_length(unsigned k, unsigned version)
{
    apr_uint64_t x = (k + 1) * 0x9e3779b97f4a7c15ull + version;

    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull >> 20;
    return 1 + x / 10 % (x % 10 == 0 ? 90000 : 6000);
}

/* The latest version for one more class, or a new one if somebody is removing that. To be
 * called when the fill has begun: if what it tells is removed later, the fill is refused. */
static inline unsigned hammer_version(unsigned k, int again)
{
    unsigned version = __atomic_load_n(&hammer_board->version[k], __ATOMIC_SEQ_CST);
    unsigned floor = __atomic_load_n(&hammer_board->removing[k], __ATOMIC_SEQ_CST);

    return again && version > floor
               ? version
               : __atomic_add_fetch(&hammer_board->version[k], 1, __ATOMIC_SEQ_CST);
}

static inline void hammer_one_publish(hammer_worker_t *w, unsigned k, const char *key,
                                      const char *class, int again)
{
    fixture_put_t put = {key, "d", class, 0, 0, SEC(1)};
    devcache_publish_t what;
    devcache_fill_t *fill;
    apr_status_t rv;
    apr_pool_t *p;
    apr_size_t len;
    char *body;

    apr_pool_create_unmanaged(&p);
    fill = devcache_store_fill_begin(w->f->s, devcache_slice_str(key), p);
    put.version = hammer_version(k, again);
    len = hammer_length(k, put.version);
    body = malloc(len);
    what = fixture_what(&put);
    fixture_body(body, len, key, put.version);
    rv = devcache_store_fill_write(fill, body, len / 2, -1);
    if (rv == APR_SUCCESS) {
        rv = devcache_store_fill_write(fill, body + len / 2, len - len / 2, -1);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_store_fill_publish(fill, &what);
    }
    __atomic_add_fetch(rv == APR_SUCCESS ? &hammer_board->published
                                         : &hammer_board->refused,
                       1, __ATOMIC_RELAXED);
    apr_pool_destroy(p);
    free(body);
}

static inline void hammer_raise(unsigned *word, unsigned upto)
{
    unsigned seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);

    while (seen < upto && !__atomic_compare_exchange_n(
                              word, &seen, upto, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

static inline void hammer_one_remove(hammer_worker_t *w, unsigned k, const char *key)
{
    unsigned upto = __atomic_load_n(&hammer_board->version[k], __ATOMIC_SEQ_CST);

    hammer_raise(&hammer_board->removing[k], upto);
    if (devcache_store_remove(w->f->s, devcache_slice_str(key), NULL) != APR_TIMEUP) {
        hammer_raise(&hammer_board->removed[k], upto);
    }
}

static inline void *hammer_work(void *data)
{
    hammer_worker_t *w = data;
    char key[16];

    for (;;) {
        apr_uint64_t r = hammer_random(&w->seed);
        unsigned k = (unsigned)(r % HAMMER_KEYS);
        unsigned what = (unsigned)(r / HAMMER_KEYS % 100);
        const char *class = hammer_class[r / 40000 % 4];

        snprintf(key, sizeof(key), "k%u", k);
        if (what < 65) {
            hammer_one_lookup(w, k, key, class);
        } else if (what < 95) {
            hammer_one_publish(w, k, key, class, what < 85);
        } else {
            hammer_one_remove(w, k, key);
        }
        if (__atomic_add_fetch(&hammer_board->ops, 1, __ATOMIC_RELAXED) % 50 == 0 &&
            write(w->progress, "x", 1) != 1) {
            return NULL; /* whoever reads has had enough */
        }
    }
}

#endif
