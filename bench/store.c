/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store costs by itself: build/bench-store DIRECTORY
 *
 * Nanoseconds per lookup of a 1 KB object, found and not found, with 1,000 and with
 * 1,000,000 objects stored; per publication of 10 KB into an empty and into a full store,
 * where each one pays its share of eviction; bytes of the index per object. DIRECTORY has
 * to be empty and the caller's own; what is made there is deleted.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "store/shared.h"
#include "devcache_store.h"
#include "scratch.h"

#define MB ((apr_uint64_t)1 << 20)

static const char *root;

static devcache_store_t *open_store(apr_uint64_t size, apr_uint64_t objects,
                                    apr_pool_t *p)
{
    devcache_store_conf_t conf = {root, size, 0, objects};

    return scratch_open(&conf, p);
}

static devcache_slice_t key_of(unsigned i)
{
    static char key[64];

    snprintf(key, sizeof(key), "http|www.example.com|80|/some/page/%u|", i);
    return devcache_slice_str(key);
}

static int publish(devcache_store_t *s, unsigned i, apr_size_t len, apr_pool_t *p)
{
    static char body[64 * 1024];
    static char meta[400];
    devcache_publish_t what = {"X-Device-Type"};
    devcache_fill_t *f = devcache_store_fill_begin(s, key_of(i), p);

    what.variant = devcache_slice_str("mobile");
    what.meta = devcache_slice(meta, sizeof(meta));
    what.requested_at = what.stored_at = apr_time_from_sec(1) + i;
    what.fresh_until = apr_time_from_sec(100);
    what.max_variants = 64;
    return devcache_store_fill_write(f, body, len, (apr_int64_t)len) == APR_SUCCESS &&
           devcache_store_fill_publish(f, &what) == APR_SUCCESS;
}

static devcache_slice_t mobile(void *baton, const char *spec, apr_pool_t *p)
{
    return devcache_slice_str("mobile");
}

static double lookups(devcache_store_t *s, unsigned n, unsigned from, unsigned among,
                      unsigned *pfound)
{
    devcache_hit_t *hit;
    apr_pool_t *p;
    double began;
    unsigned i, x = 1;

    apr_pool_create(&p, NULL);
    *pfound = 0;
    began = scratch_seconds();
    for (i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        *pfound += devcache_store_lookup(s, key_of(from + (x >> 8) % among), mobile, NULL,
                                         &hit, p) == APR_SUCCESS;
        apr_pool_clear(p);
    }
    began = scratch_seconds() - began;
    apr_pool_destroy(p);
    return began * 1e9 / n;
}

static void bench_lookups(unsigned objects)
{
    devcache_store_t *s;
    apr_pool_t *p, *q;
    unsigned i, found;
    double ns;

    apr_pool_create(&p, NULL);
    apr_pool_create(&q, NULL);
    s = open_store(objects > 100000 ? 2048 * MB : 64 * MB, objects * 5 / 4 + 4096, p);
    for (i = 0; i < objects; i++) {
        publish(s, i, 1024, q);
        apr_pool_clear(q);
    }
    lookups(s, 200000, 0, objects, &found);
    ns = lookups(s, 500000, 0, objects, &found);
    printf("lookup of 1 KB among %7u: %6.0f ns, %u of 500000 found\n", objects, ns,
           found);
    ns = lookups(s, 500000, objects, objects, &found);
    printf("lookup, not there, among %7u: %6.0f ns\n", objects, ns);
    apr_pool_destroy(q);
    apr_pool_destroy(p);
    scratch_clear(root);
}

static void bench_publish(void)
{
    devcache_store_stats_t st;
    devcache_store_t *s;
    apr_pool_t *p, *q;
    double began, empty, full;
    unsigned i, n = 0;

    apr_pool_create(&p, NULL);
    apr_pool_create(&q, NULL);
    s = open_store(256 * MB, 0, p);
    began = scratch_seconds();
    for (i = 0; i < 15000; i++) {
        n += (unsigned)publish(s, i, 10240, q);
        apr_pool_clear(q);
    }
    empty = (scratch_seconds() - began) * 1e9 / 15000;
    for (; i < 30000; i++) {
        publish(s, i, 10240, q);
        apr_pool_clear(q);
    }
    began = scratch_seconds();
    for (; i < 60000; i++) {
        n += (unsigned)publish(s, i, 10240, q);
        apr_pool_clear(q);
    }
    full = (scratch_seconds() - began) * 1e9 / 30000;
    devcache_store_stats(s, &st);
    printf(
        "publication of 10 KB into an empty store: %6.0f ns, into a full one: %6.0f ns\n"
        "    (%u of 45000 published; %llu evicted, %llu requeued)\n",
        empty, full, n, (unsigned long long)st.evicted, (unsigned long long)st.requeued);
    apr_pool_destroy(q);
    apr_pool_destroy(p);
    scratch_clear(root);
}

static void show_index_size(void)
{
    devcache_geometry_t g;

    devcache_shared_plan(&g, 1024 * MB, 16 * MB, 1000000);
    printf("index for 1000000 objects: %.1f bytes for each\n",
           (double)devcache_shared_size(&g) / 1e6);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-DIRECTORY\n", argv[0]);
        return 2;
    }
    root = argv[1];
    apr_initialize();
    show_index_size();
    bench_lookups(1000);
    bench_lookups(1000000);
    bench_publish();
    return 0;
}
