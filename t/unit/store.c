/* SPDX-License-Identifier: Apache-2.0 */
/* The store as its callers see it: publish, look up, refresh, remove, bounds. */
#include "store_fixture.h"
#include "store/head.h"

static void test_basics(void)
{
    fixture_t f;
    devcache_hit_t *hit;
    apr_pool_t *p;
    fixture_put_t put = {"a", "", "", 7, 1000, SEC(100)};

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    is_int(f.rv, APR_SUCCESS, "opens a new root");
    is_int(fixture_get(&f, "a", NULL), FIXTURE_MISS, "an empty store has nothing");
    put.requested_at = SEC(99);
    is_int(fixture_put(&f, &put), APR_SUCCESS, "publishes");
    is_int(fixture_get(&f, "a", NULL), 7, "and finds it again");
    is_int(fixture_get(&f, "b", NULL), FIXTURE_MISS, "but nothing else");
    apr_pool_create_unmanaged(&p);
    devcache_store_lookup(f.s, devcache_slice_str("a"), fixture_offer, NULL, &hit, p);
    ok(hit && hit->requested_at == SEC(99) && hit->stored_at == SEC(100) &&
           hit->fresh_until == SEC(160) && hit->body_len == 1000,
       "times and length are as given");
    is_str(hit ? hit->spec : NULL, "", "the spec too");
    apr_pool_destroy(p);
    put.version = 8;
    put.len = 0;
    is_int(fixture_put(&f, &put), APR_SUCCESS, "an empty body replaces it");
    is_int(fixture_get(&f, "a", NULL), 8, "and is found");
    is_int((long long)fixture_stats(&f).objects, 1, "one object remains");
    is_int((long long)fixture_stats(&f).published, 2, "two were published");
    fixture_close(&f);
}

static void note_longest(int dir, const char *name, void *baton)
{
    long long *longest = baton;
    struct stat st;

    if (strncmp(name, "seg-", 4) == 0 &&
        fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > *longest) {
        *longest = st.st_size;
    }
}

/* Four records of 10 KB end in the second chunk. */
static void test_chunk(void)
{
    fixture_t f;
    fixture_put_t put = {NULL, "", "", 7, 10240, SEC(100)};
    static const char *const keys[] = {"a", "b", "c", "d"};
    long long longest = 0;
    int i, found = 0;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    for (i = 0; i < 4; i++) {
        put.key = keys[i];
        put.len++;
        fixture_put(&f, &put);
    }
    for (i = 0; i < 4; i++) {
        found += fixture_get(&f, keys[i], NULL) == 7;
    }
    is_int(found, 4, "records side by side in a chunk");
    fixture_each_file(note_longest, &longest);
    is_int(longest, 2LL * DEVCACHE_HEAD_CHUNK, "which is there to its end");
    fixture_close(&f);
}

static void test_variants(void)
{
    fixture_t f;
    fixture_put_t put = {"k", "device", "phone", 1, 100, SEC(1)};
    fixture_put_t many = {"m", "ua", NULL, 0, 10, 0};
    char agent[16];
    unsigned i;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    fixture_put(&f, &put);
    put.variant = "tablet";
    put.version = 2;
    fixture_put(&f, &put);
    put.spec = "";
    put.variant = "";
    put.version = 3;
    put.at = SEC(2);
    fixture_put(&f, &put);
    is_int(fixture_get(&f, "k", "phone"), 1, "the variant that fits");
    is_int(fixture_get(&f, "k", "tablet"), 2, "the other one");
    is_int(fixture_get(&f, "k", "tv"), 3, "else the one that fits everybody");
    is_int(fixture_get(&f, "k", NULL), 3, "also for who may use nothing else");
    many.max_variants = 3;
    many.variant = agent;
    for (i = 0; i < 10; i++) {
        snprintf(agent, sizeof(agent), "ua%u", i);
        many.version = i;
        many.at = SEC(100 - (long)i); /* the first one is the newest */
        fixture_put(&f, &many);
    }
    is_int((long long)fixture_stats(&f).objects, 3 + 3, "variants of a key are bounded");
    is_int(fixture_get(&f, "m", "ua0"), 0, "the newest stays");
    is_int(fixture_get(&f, "m", "ua9"), 9, "the one just published stays");
    is_int(fixture_get(&f, "m", "ua5"), FIXTURE_MISS, "an old one gave way");
    fixture_close(&f);
}

static void test_specs(void)
{
    fixture_t f;
    char spec[32];
    fixture_put_t put = {"s", spec, "x", 0, 10, SEC(1)};
    apr_status_t rv = APR_SUCCESS;
    int n = 0;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    while (rv == APR_SUCCESS && n < 5000) {
        snprintf(spec, sizeof(spec), "spec %d", n);
        rv = fixture_put(&f, &put);
        n += rv == APR_SUCCESS;
    }
    is_int(n, DEVCACHE_SPECS, "that many specs are known");
    is_int(rv, APR_ENOSPC, "and one more is refused");
    snprintf(spec, sizeof(spec), "spec %d", 17);
    is_int(fixture_put(&f, &put), APR_SUCCESS, "a known one still works");
    fixture_close(&f);
}

static void test_removal(void)
{
    fixture_t f;
    fixture_put_t put = {"r", "device", "phone", 1, 100, SEC(5)};
    devcache_publish_t what = fixture_what(&put);
    devcache_fill_t *before, *other, *after;
    unsigned count;
    apr_pool_t *p;
    char key[16];
    int i;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    apr_pool_create_unmanaged(&p);
    fixture_put(&f, &put);
    put.variant = "pc";
    fixture_put(&f, &put);
    before = devcache_store_fill_begin(f.s, devcache_slice_str("r"), p);
    other = devcache_store_fill_begin(f.s, devcache_slice_str("other"), p);
    is_int(devcache_store_remove(f.s, devcache_slice_str("r"), &count), 0, "removes");
    is_int(count, 2, "all variants");
    is_int(fixture_get(&f, "r", "pc"), FIXTURE_MISS, "gone at once");
    after = devcache_store_fill_begin(f.s, devcache_slice_str("r"), p);
    is_int(devcache_store_fill_publish(before, &what), APR_EGENERAL,
           "a fill begun before is refused");
    is_int(devcache_store_fill_publish(other, &what), APR_SUCCESS,
           "one of another key is not");
    is_int(devcache_store_fill_publish(after, &what), APR_SUCCESS,
           "one begun after is not");
    is_int((long long)fixture_stats(&f).superseded, 1, "counted");
    before = devcache_store_fill_begin(f.s, devcache_slice_str("r"), p);
    devcache_store_remove(f.s, devcache_slice_str("r"), NULL);
    for (i = 0; i < 2000; i++) { /* enough to overflow every stripe's memory */
        snprintf(key, sizeof(key), "x%d", i);
        devcache_store_remove(f.s, devcache_slice_str(key), &count);
    }
    is_int(count, 0, "removing nothing counts nothing");
    is_int(devcache_store_fill_publish(before, &what), APR_EGENERAL,
           "refused even when the removal itself is forgotten");
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* What one request would be given ends, and nothing else. */
static void test_end(void)
{
    char pc[] = "pc", phone[] = "phone", tv[] = "tv";
    fixture_put_t put = {"r", "dev", "pc", 1, 100, SEC(100)};
    fixture_t f;
    devcache_publish_t what = fixture_what(&put);
    devcache_slice_t key = devcache_slice_str("r");
    devcache_fill_t *before;
    devcache_hit_t *hit;
    unsigned count;
    apr_pool_t *p;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    apr_pool_create_unmanaged(&p);
    fixture_put(&f, &put);
    put.variant = "phone";
    put.version = 2;
    fixture_put(&f, &put);
    put.spec = NULL;
    put.variant = NULL;
    put.version = 3;
    put.len = 600 * KB;
    fixture_put(&f, &put);
    put.key = "other";
    fixture_put(&f, &put);

    is_int(devcache_store_end(f.s, key, fixture_offer, pc, SEC(110), &count, p), 0,
           "expires");
    is_int(count, 2, "what fits: the variant, and the one for all");
    is_int(devcache_store_peek(f.s, key, fixture_offer, phone, &hit, p), 0, "another");
    is_int((long long)hit->fresh_until, SEC(160), "is as fresh as before");
    is_int(devcache_store_peek(f.s, key, fixture_offer, pc, &hit, p), 0, "this one");
    is_int((long long)hit->fresh_until, SEC(110), "is not");

    before = devcache_store_fill_begin(f.s, key, p);
    is_int(devcache_store_end(f.s, key, fixture_offer, pc, 0, &count, p), 0, "removes");
    is_int(count, 2, "the same two");
    is_int(fixture_get(&f, "r", "pc"), FIXTURE_MISS, "nothing older comes to light");
    is_int(fixture_get(&f, "r", "phone"), 2, "another variant stays");
    is_int(fixture_get(&f, "other", "pc"), 3, "so does another key");
    is_int(devcache_store_fill_publish(before, &what), APR_EGENERAL,
           "what was under way is refused");
    is_int(devcache_store_end(f.s, key, fixture_offer, tv, 0, &count, p), 0, "nothing");
    is_int(count, 0, "fits, nothing goes");
    apr_pool_destroy(p);
    fixture_close(&f);
}

static void test_fill_ends(void)
{
    fixture_t f;
    fixture_put_t put = {"e", "", "", 0, 0, SEC(5)};
    devcache_publish_t what = fixture_what(&put);
    devcache_fill_t *fill;
    apr_uint64_t bytes;
    apr_pool_t *p;
    char data[64 * KB] = "";

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    apr_pool_create_unmanaged(&p);
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("e"), p);
    is_int(devcache_store_fill_publish(fill, &what), APR_SUCCESS, "published once");
    ok(devcache_store_fill_publish(fill, &what) != APR_SUCCESS, "not twice");
    ok(devcache_store_fill_write(fill, "x", 1, -1) != APR_SUCCESS,
       "nor written to after");
    bytes = fixture_stats(&f).bytes;
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("e"), p);
    is_int(devcache_store_fill_write(fill, data, sizeof(data), -1), 0, "a large body");
    is_int(fixture_usage().bodies, 1, "has a file");
    devcache_store_fill_abort(fill);
    is_int(fixture_usage().bodies, 0, "abort deletes it");
    ok(devcache_store_fill_publish(fill, &what) != APR_SUCCESS, "and ends the fill");
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("e"), p);
    devcache_store_fill_write(fill, "x", 1, 100 * KB);
    is_int(fixture_usage().bodies, 1, "a body known to be large has its file at once");
    apr_pool_destroy(p);
    is_int(fixture_usage().bodies, 0, "the pool's end deletes it");
    is_int((long long)fixture_stats(&f).bytes, (long long)bytes,
           "all room is given back");
    devcache_store_fill_abort(NULL);
    fixture_close(&f);
}

/* What a client is still owed of a body in memory, whatever becomes of the fill. */
static void test_lend(void)
{
    fixture_t f;
    fixture_put_t put = {"lend", "", "", 0, 0, SEC(5)};
    devcache_publish_t what = fixture_what(&put);
    static char data[64 * KB], back[KB];
    apr_uint64_t where[2];
    devcache_fill_t *fill;
    const char *lent;
    apr_pool_t *p;

    memset(data, 'd', sizeof(data));
    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    apr_pool_create_unmanaged(&p);
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("lend"), p);
    ok(devcache_store_fill_in_memory(fill), "nothing is in memory");
    devcache_store_fill_write(fill, data, 500, KB);
    ok(!devcache_store_fill_lend(fill, 1, 500), "not more is lent than there is");
    devcache_store_fill_write(fill, data, KB - 500, KB);
    lent = devcache_store_fill_lend(fill, 1, KB - 1);
    is_int(devcache_store_fill_publish(fill, &what), APR_SUCCESS, "published");
    ok(lent && memcmp(lent, data, KB - 1) == 0, "what was lent outlives that");
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("lend"), p);
    is_int(devcache_store_fill_write(fill, data, sizeof(data), -1), 0, "a long body");
    ok(!devcache_store_fill_in_memory(fill) && !devcache_store_fill_lend(fill, 0, 1),
       "is not in memory");
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("lend"), p);
    devcache_store_fill_write(fill, data, KB, 2 * KB);
    is_int(devcache_store_fill_share(fill, where), APR_SUCCESS, "a shared one");
    setenv("DEVCACHE_FAULT", "write-short:1", 1);
    is_int(devcache_store_fill_write(fill, data, KB, 2 * KB), EIO,
           "meets a failing disk");
    unsetenv("DEVCACHE_FAULT");
    is_int(devcache_store_fill_read(fill, 0, back, KB), APR_SUCCESS,
           "what was written before can be read back");
    ok(memcmp(back, data, KB) == 0, "unchanged");
    devcache_store_fill_abort(fill);
    ok(devcache_store_fill_read(fill, 0, back, KB) != APR_SUCCESS, "until it is aborted");
    apr_pool_destroy(p);
    fixture_close(&f);
}

static void test_large(void)
{
    fixture_t f;
    devcache_fill_t *fill;
    devcache_hit_t *hit;
    apr_pool_t *p;
    int i, right = 0;
    unsigned count;

    fixture_new_root();
    f = fixture_open(16 * MB, 0, 0);
    is_int(fixture_put_simple(&f, "big", 1, 300 * KB, SEC(1)), APR_SUCCESS,
           "a large body of unknown length");
    is_int(fixture_get(&f, "big", NULL), 1, "is found whole");
    is_int(fixture_usage().bodies, 1, "in a file of its own");
    is_int(fixture_put_simple(&f, "big", 2, 3 * MB, SEC(2)), APR_SUCCESS, "replaced");
    is_int(fixture_get(&f, "big", NULL), 2, "by the new one");
    is_int(fixture_usage().bodies, 1, "the old file is gone");
    apr_pool_create_unmanaged(&p);
    devcache_store_lookup(f.s, devcache_slice_str("big"), fixture_offer, NULL, &hit, p);
    ok(hit && !hit->body.data && hit->body_len == 3 * MB, "the hit says large");
    for (i = 0; i < 20; i++) { /* several segments' limits around the switch to a file */
        apr_size_t len = 15 * KB + (apr_size_t)i * 100;

        fixture_put_simple(&f, "edge", (unsigned)i, len, SEC(3 + i));
        right += fixture_get(&f, "edge", NULL) == i;
    }
    is_int(right, 20, "sizes around the limit of a record");
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("huge"), p);
    is_int(devcache_store_fill_write(fill, "x", 1, 15 * MB), APR_ENOSPC,
           "one that cannot fit is refused at once");
    is_int((long long)fixture_stats(&f).no_room, 1, "counted");
    is_int(devcache_store_remove(f.s, devcache_slice_str("big"), &count), 0,
           "removing a large one");
    is_int(count, 1, "counts it");
    is_int(fixture_usage().bodies, 1, "and deletes its file; edge's remains");
    {
        apr_file_t *file;
        apr_off_t offset;

        is_int(devcache_store_open_body(f.s, hit, &file, &offset, p), APR_NOTFOUND,
               "an old hit cannot open it any more");
    }
    apr_pool_destroy(p);
    fixture_close(&f);
}

static apr_status_t refresh(fixture_t *f, const char *key, const char *offer,
                            fixture_put_t *put, int removed_between)
{
    devcache_publish_t what = fixture_what(put);
    devcache_hit_t *hit;
    devcache_fill_t *fill;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    rv = devcache_store_lookup(f->s, devcache_slice_str(key), fixture_offer,
                               (void *)(apr_uintptr_t)offer, &hit, p);
    if (rv == APR_SUCCESS) {
        fill = devcache_store_fill_begin(f->s, devcache_slice_str(key), p);
        if (removed_between) {
            devcache_store_remove(f->s, devcache_slice_str(key), NULL);
        }
        rv = devcache_store_refresh(fill, hit, &what);
    }
    apr_pool_destroy(p);
    return rv;
}

static void test_refresh(void)
{
    fixture_t f;
    fixture_put_t put = {"f", "", "", 4, 0, SEC(50)};
    devcache_hit_t *hit;
    apr_pool_t *p;
    apr_size_t len;

    for (len = 2000; len <= 200000; len *= 100) {
        fixture_new_root();
        f = fixture_open(8 * MB, 0, 0);
        fixture_put_simple(&f, "f", 4, len, SEC(1));
        is_int(refresh(&f, "f", NULL, &put, 0), APR_SUCCESS, "refreshes");
        is_int(fixture_get(&f, "f", NULL), 4, "the body is the old one");
        apr_pool_create_unmanaged(&p);
        devcache_store_lookup(f.s, devcache_slice_str("f"), fixture_offer, NULL, &hit, p);
        ok(hit && hit->stored_at == SEC(50), "its times are new");
        apr_pool_destroy(p);
        is_int((long long)fixture_stats(&f).objects, 1, "one object");
        put.spec = "device";
        put.variant = "pc";
        is_int(refresh(&f, "f", NULL, &put, 0), APR_SUCCESS, "to another variant");
        is_int(fixture_get(&f, "f", "pc"), 4, "it is found as that");
        is_int(fixture_get(&f, "f", NULL), FIXTURE_MISS, "and no longer as before");
        is_int((long long)fixture_stats(&f).objects, 1, "still one object");
        is_int(fixture_usage().bodies, len > 16000, "and one body");
        is_int((long long)fixture_stats(&f).refreshed, 2, "counted");
        ok(refresh(&f, "f", "pc", &put, 1) != APR_SUCCESS, "refused after a removal");
        is_int(fixture_get(&f, "f", "pc"), FIXTURE_MISS, "which holds");
        put.spec = put.variant = "";
        fixture_close(&f);
    }
}

static void cut_segments(int dir, const char *name, void *baton)
{
    int fd = strncmp(name, "seg-", 4) ? -1 : openat(dir, name, O_WRONLY);

    if (fd >= 0) {
        ok(ftruncate(fd, 40 * KB) == 0, "cut %s", name);
        close(fd);
    }
}

/* Long, but still a record: not read by the lookup, sent from its segment. */
static void test_left_in_place(void)
{
    fixture_t f;
    fixture_put_t put = {"long", "", "", 7, 0, SEC(50)};
    devcache_hit_t *hit;
    apr_pool_t *p;
    apr_file_t *file;
    apr_off_t offset;

    fixture_new_root();
    f = fixture_open(256 * MB, 16 * MB, 0);
    fixture_put_simple(&f, "before", 1, 30 * KB, SEC(1));
    is_int(fixture_put_simple(&f, "long", 7, 500 * KB, SEC(1)), APR_SUCCESS,
           "a long body");
    is_int(fixture_usage().bodies, 0, "has no file of its own");
    apr_pool_create_unmanaged(&p);
    devcache_store_lookup(f.s, devcache_slice_str("long"), fixture_offer, NULL, &hit, p);
    ok(hit && !hit->body.data && hit->body_len == 500 * KB, "its hit comes without it");
    is_int(fixture_get(&f, "long", NULL), 7, "it is read from where it lies");
    is_int(refresh(&f, "long", NULL, &put, 0), APR_SUCCESS, "refreshed");
    is_int(fixture_get(&f, "long", NULL), 7, "it is still the same body");
    fixture_each_file(cut_segments, NULL);
    is_int(devcache_store_open_body(f.s, hit, &file, &offset, p), APR_NOTFOUND,
           "a segment cut short below it is noticed");
    is_int(fixture_get(&f, "long", NULL), FIXTURE_MISS, "and it is a miss");
    is_int(fixture_get(&f, "before", NULL), 1, "what lies before the cut is not");
    apr_pool_destroy(p);
    fixture_close(&f);
}

static void test_bound(apr_uint64_t size, apr_uint64_t segment, unsigned large_every)
{
    fixture_t f;
    apr_uint64_t worst_disk = 0, worst_counted = 0;
    int published = 0, wrong = 0, found = 0;
    char key[16];
    int i;

    fixture_new_root();
    f = fixture_open(size, segment, 5000);
    for (i = 0; i < 20000; i++) {
        apr_uint64_t disk, counted;
        apr_size_t len = large_every && (unsigned)i % large_every == 0 ? 100 * KB
                                                                       : 2 * KB;

        snprintf(key, sizeof(key), "b%d", i);
        published += fixture_put_simple(&f, key, (unsigned)i, len, SEC(i + 1)) ==
                     APR_SUCCESS;
        counted = fixture_stats(&f).bytes;
        worst_counted = counted > worst_counted ? counted : worst_counted;
        if (i % 16 == 0) {
            disk = fixture_usage().bytes;
            worst_disk = disk > worst_disk ? disk : worst_disk;
        }
    }
    is_int(published, 20000, "20000 objects are published");
    ok(worst_counted <= size, "never more is counted than the bound");
    ok(worst_disk <= size, "never more lies on disk than the bound");
    for (i = 0; i < 20000; i++) {
        long got;

        snprintf(key, sizeof(key), "b%d", i);
        got = fixture_get(&f, key, NULL);
        found += got == i;
        wrong += got != i && got != FIXTURE_MISS;
    }
    is_int(wrong, 0, "none is found with wrong bytes");
    ok(found > 1000 && found <= 5120, "a good part is found: %d", found);
    is_int(fixture_get(&f, "b19999", NULL), 19999, "the last one too");
    is_int((long long)fixture_stats(&f).damaged, 0, "nothing was damaged");
    is_int((long long)fixture_usage().segments + fixture_usage().bodies,
           (long long)fixture_stats(&f).segments, "the table and the directory agree");
    fixture_close(&f);
}

/* Of @a n objects the first @a n_hot are asked for all the time. */
static void test_used_stay(int n, int n_hot, apr_size_t len, const char *prefix)
{
    fixture_t f;
    char key[4096];
    int i, hot = 0, cold = 0;

    fixture_new_root();
    f = fixture_open(8 * MB, 256 * KB, 50000);
    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%sn%d", prefix, i);
        fixture_put_simple(&f, key, 1, len, SEC(1));
        if (i % 3 == 0 && i / 3 < n_hot) {
            snprintf(key, sizeof(key), "%shot%d", prefix, i / 3);
            fixture_put_simple(&f, key, 2, len, SEC(1));
        }
        snprintf(key, sizeof(key), "%shot%d", prefix, i % n_hot);
        hot += fixture_get(&f, key, NULL) == 2 && i >= n - n_hot;
    }
    for (i = 0; i < n_hot; i++) {
        snprintf(key, sizeof(key), "%sn%d", prefix, i);
        cold += fixture_get(&f, key, NULL) == 1;
    }
    is_int(hot, n_hot, "objects in use survive 5 times the store's size of others");
    is_int(cold, 0, "unused ones of the same age do not");
    ok(fixture_stats(&f).requeued > 0 && fixture_stats(&f).evicted > 0, "as counted");
    fixture_close(&f);
}

static void test_large_used_stay(void)
{
    fixture_t f;
    char key[16];
    int i;

    fixture_new_root();
    f = fixture_open(16 * MB, 256 * KB, 5000);
    fixture_put_simple(&f, "hot", 2, 200 * KB, SEC(1));
    fixture_put_simple(&f, "cold", 3, 200 * KB, SEC(1));
    for (i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "l%d", i);
        fixture_put_simple(&f, key, 1, 150 * KB, SEC(1));
        fixture_get(&f, "hot", NULL);
    }
    is_int(fixture_get(&f, "hot", NULL), 2, "a large body in use stays");
    is_int(fixture_get(&f, "cold", NULL), FIXTURE_MISS, "an unused one goes");
    fixture_close(&f);
}

/* A flood of objects that nobody asks for again, through probation. */
static void flood(fixture_t *f, const char *prefix, int n)
{
    char key[24];
    int i;

    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%s%d", prefix, i);
        fixture_put_simple(f, key, 1, 2000, SEC(1));
    }
}

static void test_ghosts(void)
{
    int kept = 0, control = 0;
    fixture_t f;
    char key[16];
    int i;

    fixture_new_root();
    f = fixture_open(4 * MB, 256 * KB, 50000);
    flood(&f, "g", 20);
    flood(&f, "o", 3000);
    is_int(fixture_get(&f, "g0", NULL), FIXTURE_MISS, "unused objects are evicted");
    flood(&f, "g", 20);
    flood(&f, "c", 20);
    flood(&f, "p", 2500);
    for (i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "g%d", i);
        kept += fixture_get(&f, key, NULL) == 1;
        snprintf(key, sizeof(key), "c%d", i);
        control += fixture_get(&f, key, NULL) == 1;
    }
    /* The ghost table is direct-mapped: a few of them have been overwritten. */
    ok(kept >= 12, "what comes back soon goes to main and stays: %d of 20", kept);
    is_int(control, 0, "what was never seen before does not");
    fixture_close(&f);
}

static void test_refusals(void)
{
    char other[300];
    fixture_t f;

    fixture_new_root();
    f = fixture_open(1 * MB, 256 * KB, 0);
    ok(f.rv != APR_SUCCESS && strstr(f.error, "DevCacheSize"), "too few segments");
    fixture_close(&f);
    f = fixture_open(8 * MB, 1 * KB, 0);
    ok(f.rv != APR_SUCCESS && strstr(f.error, "DevCacheSegmentSize"), "tiny segments");
    fixture_close(&f);
    f = fixture_open(8 * MB, 0, 3);
    ok(f.rv != APR_SUCCESS && strstr(f.error, "DevCacheMaxObjects"), "too few objects");
    fixture_close(&f);
    chmod(fixture_root, 0777);
    f = fixture_open(8 * MB, 0, 0);
    ok(f.rv == FIXTURE_AWAY && strstr(f.error, "chmod"), "a root that others can write");
    fixture_close(&f);
    chmod(fixture_root, 0700);
    snprintf(other, sizeof(other), "%s.link", fixture_root);
    ok(symlink(fixture_root, other) == 0, "a symbolic link");
    {
        devcache_store_conf_t conf = {other, 8 * MB};
        const char *error;
        apr_pool_t *p;

        conf.uid = geteuid();
        apr_pool_create_unmanaged(&p);
        ok(devcache_store_open(&f.s, &conf, &error, p) == APR_SUCCESS && error,
           "as root is not used");
        conf.root = fixture_root;
        conf.uid = geteuid() + 1;
        ok(devcache_store_open(&f.s, &conf, &error, p) == APR_SUCCESS &&
               strstr(error, "belongs to"),
           "nor a root of somebody else");
        conf.root = "/nonexistent/devcache";
        ok(devcache_store_open(&f.s, &conf, &error, p) == APR_SUCCESS &&
               strstr(error, "/nonexistent/devcache"),
           "nor a missing one, which is named");
        apr_pool_destroy(p);
    }
    unlink(other);
}

static void test_faults(void)
{
    fixture_t f;
    int i, errors = 0;

    fixture_new_root();
    f = fixture_open(8 * MB, 0, 0);
    fixture_put_simple(&f, "w", 1, 1000, SEC(1));
    memset(fixture_logged, 0, sizeof(fixture_logged));
    setenv("DEVCACHE_FAULT", "write-enospc:1", 1);
    is_int(fixture_put_simple(&f, "w", 2, 1000, SEC(2)), ENOSPC,
           "a full disk is an error");
    is_int(fixture_logged[1], 1, "logged");
    is_int(fixture_get(&f, "w", NULL), 1, "and leaves what was there");
    is_int(fixture_put_simple(&f, "w", 3, 1000, SEC(3)), APR_SUCCESS, "later it works");
    is_int(fixture_logged[2], 1, "logged");
    unsetenv("DEVCACHE_FAULT");
    for (i = 1; i <= 12; i++) { /* each write of a large fill in its turn */
        char fault[32];

        snprintf(fault, sizeof(fault), "write-short:%d", i + 1);
        setenv("DEVCACHE_FAULT", fault, 1);
        errors += fixture_put_simple(&f, "l", (unsigned)i, 60 * KB, SEC(i)) !=
                  APR_SUCCESS;
        unsetenv("DEVCACHE_FAULT");
        if (fixture_get(&f, "l", NULL) == FIXTURE_WRONG) {
            errors = -1000;
        }
    }
    ok(errors >= 1, "short writes fail fills (%d) and never yield wrong bytes", errors);
    is_int((long long)fixture_stats(&f).damaged, 0, "nor damaged records");
    fixture_close(&f);
}

static void test_min_free(void)
{
    devcache_store_conf_t conf = {fixture_root, 8 * MB};
    fixture_t f = {0};

    fixture_new_root();
    memset(fixture_logged, 0, sizeof(fixture_logged));
    conf.min_free = ~(apr_uint64_t)0;
    conf.uid = geteuid();
    conf.log = fixture_log;
    apr_pool_create_unmanaged(&f.pool);
    is_int(devcache_store_open(&f.s, &conf, &f.error, f.pool), APR_SUCCESS,
           "a disk that is short of room does not hinder the start");
    is_int(fixture_put_simple(&f, "a", 1, 1000, SEC(1)), APR_ENOSPC, "nothing is stored");
    is_int(fixture_put_simple(&f, "a", 1, 100 * KB, SEC(1)), APR_ENOSPC, "large neither");
    is_int(fixture_usage().segments + fixture_usage().bodies, 0, "no file is made");
    is_int(fixture_logged[6], 1, "logged once");
    fixture_close(&f);
}

/* Two objects find a place beside each other wherever their keys' hashes lead. */
static void test_few_objects(void)
{
    char key[16];
    int i, kept = 0;

    for (i = 0; i < 100; i++) {
        fixture_t f;

        fixture_new_root();
        f = fixture_open(4 * MB, 256 * KB, 64);
        snprintf(key, sizeof(key), "few%d", i);
        fixture_put_simple(&f, "one", 1, 100, SEC(1));
        fixture_put_simple(&f, key, 2, 100, SEC(1));
        kept += fixture_get(&f, "one", NULL) == 1 && fixture_get(&f, key, NULL) == 2;
        fixture_close(&f);
    }
    is_int(kept, 100, "a store for 64 objects has room for two, a hundred times");
}

int main(void)
{
    static char long_key[3000];

    apr_initialize();
    test_basics();
    test_chunk();
    test_variants();
    test_specs();
    test_removal();
    test_end();
    test_fill_ends();
    test_lend();
    test_large();
    test_refresh();
    test_left_in_place();
    test_bound(12 * MB, 256 * KB, 0);
    test_bound(24 * MB, 256 * KB, 50);
    test_used_stay(20000, 200, 2000, "");
    /* Bodies that eviction skips, heads that it reads in two steps. */
    memset(long_key, 'k', sizeof(long_key) - 1);
    test_used_stay(3500, 50, 9000, long_key);
    test_large_used_stay();
    test_ghosts();
    test_refusals();
    test_faults();
    test_min_free();
    test_few_objects();
    return done_testing();
}
