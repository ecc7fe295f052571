/* SPDX-License-Identifier: Apache-2.0 */
/* The shadow index of Observe mode: what is put is found, in its own world only, until it
 * is removed or gives way. */
#include "stats/shadow.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

#define NOW (apr_time_from_sec(1700000000))

static apr_pool_t *pool;

/* The request's values: the spec and the class, as devcache_vary_values() joins them. */
static devcache_slice_t values(void *baton, const char *spec, apr_pool_t *p)
{
    return devcache_slice_str(apr_pstrcat(p, spec, "|", (const char *)baton, NULL));
}

static devcache_slice_t variant(const char *spec, const char *class)
{
    return values((void *)(apr_uintptr_t) class, spec, pool);
}

static devcache_shadow_copy_t copy_of(apr_uint64_t size)
{
    devcache_shadow_copy_t c = {{0}, size};

    c.fresh.received_at = NOW;
    c.fresh.initial_age = 1234;
    c.fresh.lifetime = apr_time_from_sec(60) + 7;
    c.fresh.stale_while_revalidate = apr_time_from_sec(5);
    c.fresh.stale_if_error = apr_time_from_sec(9);
    c.fresh.flags = DEVCACHE_MUST_REVALIDATE | DEVCACHE_SHAREABLE;
    return c;
}

static int find(devcache_world_e world, const char *key, const char *class,
                devcache_shadow_copy_t *out)
{
    return devcache_shadow_find(world, devcache_slice_str(key), values,
                                (void *)(apr_uintptr_t) class, NOW, out, pool);
}

static void put(devcache_world_e world, const char *key, const char *spec,
                const char *class, apr_uint64_t size)
{
    devcache_shadow_copy_t c = copy_of(size);

    devcache_shadow_put(world, devcache_slice_str(key), spec, variant(spec, class), &c,
                        NOW);
}

static void test_index(void)
{
    devcache_shadow_copy_t out, was = copy_of(1000);

    ok(!find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out), "nothing at first");
    put(DEVCACHE_WORLD_CONFIGURED, "k", "@device", "pc", 1000);
    ok(find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out), "what was put is found");
    ok(out.size == 1000 && out.fresh.received_at == NOW &&
           out.fresh.initial_age == was.fresh.initial_age &&
           out.fresh.lifetime == was.fresh.lifetime &&
           out.fresh.stale_while_revalidate == was.fresh.stale_while_revalidate &&
           out.fresh.stale_if_error == was.fresh.stale_if_error &&
           out.fresh.flags == was.fresh.flags,
       "as it was");
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "k", "mobile", &out), "not for another class");
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "j", "pc", &out), "nor another key");
    ok(!find(DEVCACHE_WORLD_DEVICE_OFF, "k", "pc", &out), "nor in another world");
    put(DEVCACHE_WORLD_CONFIGURED, "k", "", "pc", 10);
    ok(find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out) && out.size == 1000,
       "the more specific one is preferred");
    put(DEVCACHE_WORLD_DEVICE_OFF, "k", "", "pc", 5);
    ok(devcache_shadow_bytes() == 1010, "bytes of the configured world are summed");
    put(DEVCACHE_WORLD_CONFIGURED, "k", "@device", "pc", 2000);
    ok(devcache_shadow_bytes() == 2010, "what is replaced is taken off");
    devcache_shadow_remove(DEVCACHE_WORLD_CONFIGURED, devcache_slice_str("k"), NOW);
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out), "removed");
    ok(find(DEVCACHE_WORLD_DEVICE_OFF, "k", "pc", &out), "but not in another world");
    put(DEVCACHE_WORLD_CONFIGURED, "k", "@device", "tv", 1);
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out),
       "a new variant does not bring removed ones back");
}

static void test_specs(void)
{
    devcache_shadow_copy_t out;
    int i, found = 0;

    for (i = 0; i < 20; i++) {
        put(DEVCACHE_WORLD_CONFIGURED, "many", apr_psprintf(pool, "x-%d", i), "pc", 1);
        found += find(DEVCACHE_WORLD_CONFIGURED, "many", "pc", &out);
    }
    ok(found == 20, "twenty specs of one key: the latest ones count");
    for (i = 0; i < 300; i++) {
        put(DEVCACHE_WORLD_CONFIGURED, apr_psprintf(pool, "s%d", i),
            apr_psprintf(pool, "y-%d", i), "pc", 1);
    }
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "s299", "pc", &out),
       "more specs than there is room for are left out");
}

static void test_room(void)
{
    devcache_shadow_copy_t out;
    unsigned i, found = 0;
    apr_pool_t *p;
    char key[32];

    for (i = 0; i < 1100000; i++) {
        apr_snprintf(key, sizeof key, "/page/%u", i);
        put(DEVCACHE_WORLD_QUERY_KEEP, key, "", "pc", 1);
        if (i % 1000 == 0) {
            apr_pool_clear(pool);
        }
    }
    apr_pool_create(&p, NULL);
    for (i = 0; i < 1100000; i++) {
        apr_snprintf(key, sizeof key, "/page/%u", i);
        found += (unsigned)devcache_shadow_find(
            DEVCACHE_WORLD_QUERY_KEEP, devcache_slice_str(key), values,
            (void *)(apr_uintptr_t) "pc", NOW, &out, p);
        if (i % 1000 == 0) {
            apr_pool_clear(p);
        }
    }
    apr_pool_destroy(p);
    ok(found > 400000 && found < 1048577, "a full table holds what it can: %u", found);
    ok(devcache_shadow_evicted() > 0, "and tells what gave way");
}

static void test_counts(void)
{
    devcache_shadow_counts_t n = {1, 0, 0, 500, {1}}, sum = {0}, other = {0};
    unsigned i;

    devcache_shadow_name_class("pc");
    for (i = 0; i < 100; i++) {
        devcache_shadow_name_place(apr_psprintf(pool, "place %u", i % 80));
    }
    ok(!strcmp(devcache_shadow_place(0), "place 0"), "places have names");
    ok(!strcmp(devcache_shadow_place(DEVCACHE_PLACES - 1), "other"), "the last is other");
    devcache_shadow_count("place 3", "pc", &n);
    devcache_shadow_count("place 3", "pc", &n);
    devcache_shadow_count("place 79", "kiosk", &n);
    devcache_shadow_add(&sum, 3, 0);
    devcache_shadow_add(&other, DEVCACHE_PLACES - 1, DEVCACHE_PLACE_CLASSES - 1);
    ok(sum.requests == 2 && sum.bytes == 1000 && sum.hits[0] == 2, "counted");
    ok(other.requests == 1, "what has no name is counted as other");
}

int main(void)
{
    devcache_shadow_counts_t none = {1};
    devcache_shadow_copy_t out;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    ok(!find(DEVCACHE_WORLD_CONFIGURED, "k", "pc", &out), "before it is made, nothing");
    put(DEVCACHE_WORLD_CONFIGURED, "k", "", "pc", 1);
    devcache_shadow_count("p", "pc", &none);
    ok(devcache_shadow_bytes() == 0 && !devcache_shadow_place(0), "... is kept");
    ok(devcache_shadow_create(pool) == APR_SUCCESS && devcache_shadow_exists(), "made");
    test_index();
    test_specs();
    test_counts();
    apr_pool_create(&pool, NULL);
    test_room();
    return done_testing();
}
