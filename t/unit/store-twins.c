/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variants with the same body: what they cost, and that each is still on its own when one
 * is purged, damaged, evicted, refreshed or carried to another size.
 */
#include <malloc.h>
#include <xxhash.h>
#include "store/inspect.h"
#include "store_fixture.h"

#define SIZE (128 * MB)
#define SEGMENT (8 * MB) /* records of 512 KB at most */
#define LONGEST (512 * KB)
#define KEY "style"

static int classes = 64;

static const char *class_of(int i)
{
    static char name[16];

    snprintf(name, sizeof(name), "c%d", i);
    return name;
}

static apr_status_t put_class(fixture_t *f, int class, unsigned version, apr_size_t len,
                              int at)
{
    fixture_put_t put = {KEY, "d", class_of(class), version, len, SEC(at)};

    put.max_variants = 100;
    return fixture_put(f, &put);
}

/* How many of them are there; -1: one is wrong. */
static int ask_classes(fixture_t *f, unsigned version)
{
    int i, n = 0;

    for (i = 0; i < classes; i++) {
        long got = fixture_get(f, KEY, class_of(i));

        if (got != FIXTURE_MISS && got != (long)version) {
            return -1;
        }
        n += got == (long)version;
    }
    return n;
}

static int put_classes(fixture_t *f, unsigned version, apr_size_t len)
{
    int i, n = 0;

    for (i = 0; i < classes; i++) {
        n += put_class(f, i, version, len, 1 + i) == APR_SUCCESS;
    }
    return n;
}

/* Bytes of all records that were written, and of all body files. */
static apr_uint64_t written(const fixture_t *f)
{
    const devcache_shared_t *sh = &f->s->root->sh;
    apr_uint64_t sum = 0;
    unsigned q, i;

    for (q = 0; q < DEVCACHE_QUEUES; q++) {
        for (i = 0; i < sh->g.heads; i++) {
            apr_uint64_t next = sh->head->heads[q][i].next;

            if (next >> 48 < sh->g.slots) {
                sum += (next & 0xffffffffu) * DEVCACHE_RECORD_UNIT;
            }
        }
    }
    for (i = 0; i < sh->g.slots; i++) {
        sum += sh->slots[i].kind == DEVCACHE_FILE_BODY && sh->slots[i].serial
                   ? sh->slots[i].bytes
                   : 0;
    }
    return sum;
}

/* Bytes; 0 under a sanitizer, whose malloc does not say. */
static size_t allocated(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* ---- what it costs ----------------------------------------------------------------- */

static void test_disk(apr_size_t len)
{
    apr_uint64_t before;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    before = written(&f);
    is_int(put_classes(&f, 1, len), classes, "the same for each class");
    ok(written(&f) - before < len + 8 * KB + (apr_size_t)classes * 256,
       "take %.1f KB on disk, not %lu", (double)(written(&f) - before) / KB,
       (unsigned long)((apr_size_t)classes * len / KB));
    is_int(ask_classes(&f, 1), classes, "and all are there");
    is_int((long long)fixture_usage().bodies, len > LONGEST, "one file at most");
    put_class(&f, 3, 2, len, 100);
    is_int(fixture_get(&f, KEY, class_of(3)), 2, "one that changes");
    is_int(fixture_get(&f, KEY, class_of(0)), 1, "leaves the others");
    is_int((long long)fixture_usage().bodies, len > LONGEST ? 2 : 0, "with their body");
    fixture_close(&f);
}

static void test_memory(apr_size_t len)
{
    apr_pool_t *child;
    fixture_t f;
    size_t before, after;
    int i;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    apr_pool_create_unmanaged(&child);
    devcache_store_child_init(f.s, 32 * MB, child);
    put_classes(&f, 1, len);
    ask_classes(&f, 1);
    before = allocated();
    for (i = 0; i < 3; i++) {
        is_int(ask_classes(&f, 1), classes, "asked for again");
    }
    after = allocated();
    ok(!before ||
           (after > before && after - before < 2 * len + ((size_t)classes + 2) * 1500),
       "%d records of %lu bytes take %.1f KB of memory", classes, (unsigned long)len,
       (double)(after - before) / KB);
    apr_pool_destroy(child);
    fixture_close(&f);
}

/* ---- each on its own --------------------------------------------------------------- */

static void purge_class(fixture_t *f, int class)
{
    fixture_put_t put = {KEY, "d", class_of(class), 0, 0, SEC(1)};
    apr_pool_t *p;
    unsigned n;

    apr_pool_create_unmanaged(&p);
    devcache_store_end(f->s, devcache_slice_str(KEY), fixture_offer,
                       (void *)(apr_uintptr_t)put.variant, 0, &n, p);
    is_int(n, 1, "one class is purged");
    apr_pool_destroy(p);
}

static void test_purge(apr_size_t len)
{
    fixture_t f;
    int i;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_classes(&f, 1, len);
    purge_class(&f, 0); /* the one that the body came with */
    is_int(ask_classes(&f, 1), classes - 1, "the others stay");
    purge_class(&f, classes - 1);
    purge_class(&f, 7);
    is_int(ask_classes(&f, 1), classes - 3, "however many go");
    put_class(&f, 7, 1, len, 200);
    is_int(ask_classes(&f, 1), classes - 2, "one comes back");
    is_int((long long)fixture_usage().bodies, len > LONGEST, "to the same body");
    for (i = 1; i < classes - 1; i++) {
        purge_class(&f, i);
    }
    is_int((long long)fixture_usage().bodies, 0, "the last takes its file along");
    is_int(ask_classes(&f, 1), 0, "nothing is left");
    fixture_close(&f);
}

/* The only other variant gives way to the one that takes over its file. */
static void test_handed_on(apr_size_t len)
{
    fixture_put_t put = {KEY, "d", "one", 1, len, SEC(1)};
    fixture_t f;

    put.max_variants = 1;
    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(fixture_put(&f, &put), APR_SUCCESS, "the only variant there may be");
    put.variant = "two";
    is_int(fixture_put(&f, &put), APR_SUCCESS, "gives way to one with the same body");
    is_int(fixture_get(&f, KEY, "one"), FIXTURE_MISS, "it has gone");
    is_int(fixture_get(&f, KEY, "two"), 1, "the other one is there");
    is_int((long long)fixture_usage().bodies, len > LONGEST, "with the body");
    fixture_close(&f);
}

/* Damage the last byte of every body file: of its table. */
static void flip_last(int dir, const char *name, void *baton)
{
    int fd = openat(dir, name, O_RDWR);
    struct stat st;
    char c;

    if (strncmp(name, "body-", 5) == 0 && fstat(fd, &st) == 0 &&
        pread(fd, &c, 1, st.st_size - 1) == 1) {
        c ^= 1;
        (void)!pwrite(fd, &c, 1, st.st_size - 1);
    }
    close(fd);
}

static void test_damaged_table(apr_size_t len)
{
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_class(&f, 0, 1, len, 1);
    fixture_each_file(flip_last, NULL);
    is_int(put_class(&f, 1, 1, len, 2), APR_SUCCESS, "when a table is damaged");
    is_int(fixture_get(&f, KEY, class_of(1)), 1, "the next one does not rely on it");
    fixture_close(&f);
}

/* Flip a byte of every file, at every so many bytes: wrong is nobody. */
static void flip(int dir, const char *name, void *baton)
{
    apr_size_t len = *(apr_size_t *)baton;
    int fd = openat(dir, name, O_RDWR);
    struct stat st;
    off_t at;
    char c;

    if (strncmp(name, "seg-", 4) == 0 || strncmp(name, "body-", 5) == 0) {
        fstat(fd, &st);
        for (at = 64 + 500; at < st.st_size && at < (off_t)(64 + 500 + len); at += 499) {
            if (pread(fd, &c, 1, at) == 1) {
                c ^= 1;
                (void)!pwrite(fd, &c, 1, at);
            }
        }
    }
    close(fd);
}

static void test_damage(apr_size_t len)
{
    apr_size_t some = len - 500;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_classes(&f, 1, len);
    fixture_each_file(flip, &some);
    is_int(put_class(&f, classes, 1, len, 100), APR_SUCCESS,
           "one more class, when the body is damaged");
    is_int(fixture_get(&f, KEY, class_of(classes)), 1, "does not rely on it");
    is_int(ask_classes(&f, 1), 0, "nobody is given the damaged body");
    ok(fixture_stats(&f).damaged > 0, "it is counted");
    is_int(put_classes(&f, 1, len), classes, "stored again");
    is_int(ask_classes(&f, 1), classes, "all are right");
    fixture_close(&f);
}

/* ---- the same sum is not the same body --------------------------------------------- */

/* XXH3 multiplies halves of each eight bytes with a known secret mixed in: where one half
 * becomes zero the other one can be moved from one stripe to the next. */
static void collide(unsigned char *body, apr_uint32_t more)
{
    static const apr_uint32_t zero[2] = {0x396cfeb8u, 0x2c81017cu};
    apr_uint32_t high[2] = {1000 + more, 1000 - more};
    int i;

    for (i = 0; i < 2; i++) {
        memcpy(body + 64 * i, &zero[i], 4);
        memcpy(body + 64 * i + 4, &high[i], 4);
    }
}

static apr_status_t put_bytes(fixture_t *f, int class, const unsigned char *body,
                              apr_size_t len)
{
    fixture_put_t put = {KEY, "d", class_of(class), 1, len, SEC(class + 1)};
    devcache_publish_t what = fixture_what(&put);
    apr_status_t rv;
    devcache_fill_t *fill;
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    fill = devcache_store_fill_begin(f->s, devcache_slice_str(KEY), p);
    devcache_store_fill_write(fill, (const char *)body, len, (apr_int64_t)len);
    rv = devcache_store_fill_publish(fill, &what);
    apr_pool_destroy(p);
    return rv;
}

static int has_bytes(fixture_t *f, int class, const unsigned char *body, apr_size_t len)
{
    devcache_slice_t got = {NULL, 0};
    devcache_hit_t *hit;
    apr_pool_t *p;
    int same;

    apr_pool_create_unmanaged(&p);
    if (devcache_store_lookup(f->s, devcache_slice_str(KEY), fixture_offer,
                              (void *)(apr_uintptr_t)class_of(class), &hit,
                              p) == APR_SUCCESS) {
        got = fixture_read_body(f, hit, p);
    }
    same = devcache_slice_eq(got, devcache_slice(body, len));
    apr_pool_destroy(p);
    return same;
}

static void test_collision(apr_size_t len)
{
    unsigned char *a = calloc(1, len), *b = calloc(1, len);
    apr_size_t block = len < 64 * KB ? len : 64 * KB;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    collide(a, 0);
    collide(b, 77);
    ok(XXH3_64bits(a, block) == XXH3_64bits(b, block) && memcmp(a, b, len) != 0,
       "two bodies of %lu bytes with one sum", (unsigned long)len);
    put_bytes(&f, 0, a, len);
    put_bytes(&f, 1, b, len);
    put_bytes(&f, 2, a, len);
    ok(has_bytes(&f, 0, a, len) && has_bytes(&f, 2, a, len), "the one");
    ok(has_bytes(&f, 1, b, len), "and the other");
    fixture_close(&f);
    free(a);
    free(b);
}

/* ---- eviction, sizes, refreshes ---------------------------------------------------- */

/* Others come and go, so many times the bound; of the classes @a asked are asked for. */
static void pour(fixture_t *f, unsigned times, int asked)
{
    const devcache_geometry_t *g = &f->s->root->sh.g;
    apr_size_t len = g->segment_size / 32;
    int i, j, rounds = (int)(times * g->size / len);
    char key[32];

    for (i = 0; i < rounds; i++) {
        snprintf(key, sizeof(key), "other%d", i);
        fixture_put_simple(f, key, 1, len, SEC(300));
        if (asked == 0) {
            fixture_get(f, key, NULL);
        }
        if (i % 30 == 0) {
            for (j = 0; j < asked; j++) {
                fixture_get(f, KEY, class_of(j));
            }
        }
    }
}

static void test_eviction(apr_size_t len, apr_uint64_t size, apr_uint64_t segment)
{
    fixture_t f;

    fixture_new_root();
    f = fixture_open(size, segment, 65536);
    put_classes(&f, 1, len);
    pour(&f, 2, classes);
    ok(fixture_stats(&f).requeued > 0 && fixture_stats(&f).evicted > 0,
       "a lot was evicted");
    is_int(ask_classes(&f, 1), classes, "but nothing that is asked for");
    purge_class(&f, 0);
    pour(&f, 2, classes);
    is_int(ask_classes(&f, 1), classes - 1, "nor when the first one has gone");
    pour(&f, 2, 2);
    ok(fixture_get(&f, KEY, class_of(1)) == 1, "one that is asked for stays");
    pour(&f, 3, 0);
    is_int(ask_classes(&f, 1), 0, "what is not asked for goes");
    is_int((long long)fixture_usage().bodies, 0, "and its file");
    is_int((long long)fixture_stats(&f).damaged, 0, "nothing was taken for damage");
    fixture_close(&f);
}

static int count_trouble(void *baton, const devcache_found_t *found)
{
    int *n = baton;

    n[0] += found->what == DEVCACHE_FINDING_OBJECT && found->live;
    n[1] += found->what == DEVCACHE_FINDING_DAMAGED;
    return 0;
}

static void verify_root(int objects, int damaged, const char *what)
{
    devcache_inspect_t *in;
    apr_array_header_t *files;
    const char *error;
    int n[2] = {0}, i;
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    if (devcache_inspect_open(&in, fixture_root, &error, p) == APR_SUCCESS) {
        devcache_inspect_files(in, &files, p);
        for (i = 0; i < files->nelts; i++) {
            const devcache_inspect_file_t *file = &APR_ARRAY_IDX(files, i,
                                                                 devcache_inspect_file_t);
            if (file->kind == DEVCACHE_FILE_SEGMENT) {
                devcache_inspect_segment(in, file->serial, 1, count_trouble, n);
            }
        }
    }
    is_int(n[0], objects, what);
    is_int(n[1], damaged, "so much is damaged");
    apr_pool_destroy(p);
}

static void test_sizes(apr_size_t len)
{
    apr_size_t some = len - 500;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_classes(&f, 1, len);
    verify_root(classes, 0, "verified");
    fixture_close(&f);
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(ask_classes(&f, 1), classes, "all are there after a restart");
    fixture_close(&f);
    f = fixture_open(2 * SIZE, SEGMENT, 8192);
    is_int(ask_classes(&f, 1), classes, "and in an index of another size");
    purge_class(&f, 0);
    is_int(ask_classes(&f, 1), classes - 1, "with one body for all");
    verify_root(classes - 1, 0, "and without the first");
    fixture_each_file(flip, &some);
    verify_root(0, classes - 1 + (len <= LONGEST), "when the body is damaged");
    fixture_close(&f);
}

static apr_status_t refresh_class(fixture_t *f, int class, unsigned version,
                                  const char *becomes, int at)
{
    fixture_put_t put = {KEY, "d", becomes, version, 0, SEC(at), 0, 100};
    devcache_publish_t what = fixture_what(&put);
    devcache_fill_t *fill;
    devcache_hit_t *hit;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    fill = devcache_store_fill_begin(f->s, devcache_slice_str(KEY), p);
    rv = devcache_store_lookup(f->s, devcache_slice_str(KEY), fixture_offer,
                               (void *)(apr_uintptr_t)class_of(class), &hit, p);
    if (rv == APR_SUCCESS) {
        rv = devcache_store_refresh(fill, hit, &what);
    }
    apr_pool_destroy(p);
    return rv;
}

static void test_refresh(apr_size_t len)
{
    apr_uint64_t before;
    fixture_t f;
    int i, round, n = 0;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_classes(&f, 1, len);
    before = written(&f);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < classes; i++) {
            char name[16];

            snprintf(name, sizeof(name), "%s", class_of(i));
            n += refresh_class(&f, i, 1, name, 100 + i) == APR_SUCCESS;
        }
    }
    is_int(n, 3 * classes, "each is refreshed three times");
    is_int(ask_classes(&f, 1), classes, "and has its body");
    ok(written(&f) - before < 2 * len + 3 * (apr_size_t)classes * 256,
       "which is not written anew (%.1f KB)", (double)(written(&f) - before) / KB);
    is_int((long long)fixture_usage().bodies, len > LONGEST, "one file at most");
    is_int(refresh_class(&f, 5, 1, "other", 200), APR_SUCCESS,
           "one is another class now");
    is_int(fixture_get(&f, KEY, "other"), 1, "found by its new name");
    is_int(fixture_get(&f, KEY, class_of(5)), FIXTURE_MISS, "not by the old one");
    is_int(ask_classes(&f, 1), classes - 1, "the others are as they were");
    fixture_close(&f);
}

int main(void)
{
    static const apr_size_t len[] = {1 * KB, 30 * KB, 300 * KB, 600 * KB};
    unsigned i;

    apr_initialize();
    for (i = 0; i < 4; i++) {
        test_disk(len[i]);
    }
    test_memory(len[0]);
    test_memory(len[1]);
    test_memory(200 * KB);
    test_damaged_table(600 * KB);
    classes = 9;
    for (i = 0; i < 4; i++) {
        test_purge(len[i]);
        test_handed_on(len[i]);
        test_damage(len[i]);
        test_collision(len[i]);
        test_sizes(len[i]);
        test_refresh(len[i]);
    }
    test_eviction(1 * KB, 4 * MB, 128 * KB);
    test_eviction(6 * KB, 4 * MB, 128 * KB);
    test_eviction(60 * KB, 4 * MB, 128 * KB); /* a file of its own */
    test_eviction(100 * KB, 32 * MB, 2 * MB);
    return done_testing();
}
