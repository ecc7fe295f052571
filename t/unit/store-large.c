/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies: what they may cost the others, and damage in them. */
#include "store/inspect.h"
#include "store/sums.h"
#include "store_fixture.h"
#include <sys/stat.h>

#define PAGES 1000

static long page_len(int i)
{
    return 2000 + i * 7 % 6000;
}

/* Asked for often enough to be popular; how many are there. */
static int ask_pages(fixture_t *f)
{
    char key[32];
    int i, n = 0;

    for (i = 0; i < PAGES; i++) {
        snprintf(key, sizeof(key), "p%d", i);
        n += fixture_get(f, key, NULL) == i;
    }
    return n;
}

static void store_pages(fixture_t *f)
{
    char key[32];
    int i;

    for (i = 0; i < PAGES; i++) {
        snprintf(key, sizeof(key), "p%d", i);
        fixture_put_simple(f, key, (unsigned)i, (apr_size_t)page_len(i), SEC(1));
    }
}

/* Many large bodies at once, which never end or end one after the other. */
static void test_crowd(apr_uint64_t size, apr_size_t len, int finish)
{
    static char piece[64 * 1024];
    devcache_fill_t *fill[16];
    fixture_t f;
    apr_uint64_t most = 0;
    apr_size_t at;
    apr_pool_t *p;
    int i, stored = 0, before;

    fixture_new_root();
    f = fixture_open(size, 256 * KB, 8192);
    store_pages(&f);
    before = ask_pages(&f);
    ok(before >= PAGES * 99 / 100, "%d popular pages", before);
    apr_pool_create_unmanaged(&p);
    for (i = 0; i < 16; i++) {
        char key[32];

        snprintf(key, sizeof(key), "large%d", i);
        fill[i] = devcache_store_fill_begin(f.s, devcache_slice_str(key), p);
    }
    for (at = 0; at < len; at += sizeof(piece)) {
        for (i = 0; i < 16; i++) {
            devcache_store_fill_write(fill[i], piece, sizeof(piece), -1);
        }
        most = f.s->root->sh.head->filling > most ? f.s->root->sh.head->filling : most;
        if (at % (1 * MB) == 0) {
            ask_pages(&f);
        }
    }
    ok(most > 0 && most <= size / 4 + 256 * KB, "they hold %.1f of %.1f MB at most",
       (double)most / MB, (double)size / MB);
    for (i = 0; i < 16; i++) {
        fixture_put_t put = {"large", "", "", 1, len, SEC(1)};
        devcache_publish_t what = fixture_what(&put);

        if (finish) {
            stored += devcache_store_fill_publish(fill[i], &what) == APR_SUCCESS;
        } else {
            devcache_store_fill_abort(fill[i]);
        }
    }
    if (finish) {
        ok(stored > 0, "those that fit are stored: %d", stored);
    }
    is_int((long long)f.s->root->sh.head->filling, 0,
           "nothing is counted as being filled");
    i = ask_pages(&f);
    ok(i * 100 >= before * 98, "%d of %d popular pages are still there", i, before);
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* One after the other, each stored: a crawler that downloads everything. */
static void test_one_by_one(void)
{
    fixture_t f;
    char key[32];
    int i, before, stored = 0;

    fixture_new_root();
    f = fixture_open(32 * MB, 256 * KB, 8192);
    store_pages(&f);
    before = ask_pages(&f);
    for (i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "l%d", i);
        stored += fixture_put_simple(&f, key, 1, 5 * MB, SEC(1)) == APR_SUCCESS;
        ask_pages(&f);
    }
    ok(stored >= 28, "%d large bodies are stored, one after the other", stored);
    i = ask_pages(&f);
    ok(i * 100 >= before * 98, "%d of %d popular pages are still there", i, before);
    fixture_close(&f);
}

/* ---- sums --------------------------------------------------------------------------- */

/* However a body comes in pieces, its table is the same. */
static void test_sums(void)
{
    static char body[300000];
    unsigned char table[5 * DEVCACHE_SUMS_EACH];
    apr_size_t piece, at, len;
    int same = 1;

    fixture_body(body, sizeof(body), "sums", 1);
    is_int((long long)devcache_sums_size(sizeof(body)), sizeof(table), "five blocks");
    devcache_sums_make(table, body, sizeof(body));
    for (piece = 1000; piece < sizeof(body); piece = piece * 3 + 1) {
        devcache_sums_t sums = {0};

        for (at = 0; at < sizeof(body); at += len) {
            len = sizeof(body) - at < piece ? sizeof(body) - at : piece;
            devcache_sums_add(&sums, body + at, len);
        }
        devcache_sums_end(&sums);
        same &= sums.size == sizeof(table) && memcmp(sums.table, table, sums.size) == 0;
        devcache_sums_free(&sums);
    }
    ok(same, "in pieces or at once");
    ok(devcache_sums_check(table, 4, body + 4 * DEVCACHE_SUMS_BLOCK,
                           sizeof(body) - 4 * DEVCACHE_SUMS_BLOCK),
       "the last block, which is shorter");
    body[200000] ^= 1;
    ok(!devcache_sums_check(table, 3, body + 3 * DEVCACHE_SUMS_BLOCK,
                            DEVCACHE_SUMS_BLOCK),
       "a bit flips in one");
    ok(devcache_sums_check(table, 2, body + 2 * DEVCACHE_SUMS_BLOCK, DEVCACHE_SUMS_BLOCK),
       "the others are not concerned");
}

/* ---- damage ---------------------------------------------------------------------------- */

static const char *with_body; /* "body-" or "seg-": where the longest file is */
static char longest[256];
static off_t longest_len;

static void find_longest(int dir, const char *name, void *baton)
{
    struct stat st;

    if (strncmp(name, with_body, strlen(with_body)) == 0 &&
        fstatat(dir, name, &st, 0) == 0 && st.st_size > longest_len) {
        snprintf(longest, sizeof(longest), "%s", name);
        longest_len = st.st_size;
    }
}

static int open_longest(void)
{
    char path[600];

    longest_len = 0;
    fixture_each_file(find_longest, NULL);
    snprintf(path, sizeof(path), "%s/%s", fixture_root, longest);
    return open(path, O_RDWR);
}

static void flip(int fd, off_t at)
{
    char c;

    if (pread(fd, &c, 1, at) == 1) {
        c ^= 4;
        (void)!pwrite(fd, &c, 1, at);
    }
}

static int count_damage(void *baton, const devcache_found_t *found)
{
    *(int *)baton += found->what == DEVCACHE_FINDING_DAMAGED && found->live > 0;
    return 0;
}

/* What devcachectl verify finds. */
static int verified(fixture_t *f)
{
    devcache_inspect_t *in;
    apr_array_header_t *files;
    const char *error;
    int i, damaged = 0;

    devcache_inspect_open(&in, fixture_root, &error, f->pool);
    devcache_inspect_files(in, &files, f->pool);
    for (i = 0; i < files->nelts; i++) {
        const devcache_inspect_file_t *file = &APR_ARRAY_IDX(files, i,
                                                             devcache_inspect_file_t);
        if (file->kind == DEVCACHE_FILE_SEGMENT) {
            devcache_inspect_segment(in, file->serial, 1, count_damage, &damaged);
        }
    }
    return damaged;
}

static apr_status_t refresh_it(fixture_t *f, const char *key)
{
    fixture_put_t put = {key, "", "", 3, 0, SEC(9)};
    devcache_publish_t what = fixture_what(&put);
    devcache_hit_t *hit;
    apr_pool_t *p;
    apr_status_t rv;

    apr_pool_create_unmanaged(&p);
    rv = devcache_store_lookup(f->s, devcache_slice_str(key), fixture_offer, NULL, &hit,
                               p);
    if (rv == APR_SUCCESS) {
        rv = devcache_store_refresh(
            devcache_store_fill_begin(f->s, devcache_slice_str(key), p), hit, &what);
    }
    apr_pool_destroy(p);
    return rv;
}

/* A bit flips anywhere in a large body: never served, not prolonged, found by verify. */
static void test_flips(apr_uint64_t size, apr_uint64_t segment, apr_size_t len,
                       const char *where)
{
    int wrong = 0, served = 0, prolonged = 0, unseen = 0, n = 0, fd;
    fixture_t f;
    off_t back;

    fixture_new_root();
    f = fixture_open(size, segment, 0);
    with_body = where;
    fixture_put_simple(&f, "big", 3, len, SEC(1));
    fd = open_longest();
    ok(fd >= 0 && longest_len > (off_t)len, "%s has it: %s", where, longest);
    is_int(verified(&f), 0, "whole: verify finds nothing");
    is_int(refresh_it(&f, "big"), APR_SUCCESS, "whole: it can be prolonged");
    for (back = 1; back < (off_t)len + 100; back += 30011, n++) {
        long got;

        close(fd);
        fixture_put_simple(&f, "big", 3, len, SEC(2 + n));
        fd = open_longest();
        flip(fd, longest_len - back); /* the newest lies at the end */
        unseen += verified(&f) == 0;
        if (n % 2) {
            prolonged += refresh_it(&f, "big") == APR_SUCCESS;
        }
        got = fixture_get(&f, "big", NULL);
        wrong += got == FIXTURE_WRONG;
        served += got == 3;
    }
    close(fd);
    ok(n > 10, "flipped at %d places", n);
    is_int(wrong, 0, "nothing wrong is served");
    is_int(served, 0, "nothing damaged is served");
    is_int(prolonged, 0, "nor prolonged by a 304");
    is_int(unseen, 0, "verify sees each");
    fixture_close(&f);
}

int main(void)
{
    apr_initialize();
    test_crowd(64 * MB, 15 * MB, 0);
    test_crowd(64 * MB, 15 * MB, 1);
    test_crowd(16 * MB, 3 * MB, 1);
    test_crowd(12 * MB, 1 * MB, 1);
    test_one_by_one();
    test_sums();
    test_flips(16 * MB, 256 * KB, 600 * KB, "body-");
    test_flips(256 * MB, 16 * MB, 600 * KB, "seg-");
    return done_testing();
}
