/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store_fixture.h
 * What the store's unit tests share: a root that is thrown away, bodies that say what
 * they are, and one-line publish and lookup.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <apr_general.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "purge/ban.h"
#include "store/segment.h"
#include "devcache_store.h"
#include "tap.h"

#define KB 1024u
#define MB (1024u * 1024u)
#define SEC(n) ((apr_time_t)(n)*APR_USEC_PER_SEC)

static char fixture_root[256];
static int fixture_logged[100]; /* by tag - 200 */

static inline void fixture_log(int level, int tag, apr_status_t rv, const char *msg)
{
    if (tag >= 200 && tag < 300) {
        fixture_logged[tag - 200]++;
    }
    if (getenv("STORE_VERBOSE")) {
        fprintf(stderr, "# [%d] DC0%d: (%d) %s\n", level, tag, rv, msg);
    }
}

static inline void fixture_each_file(void (*fn)(int dir, const char *name, void *baton),
                                     void *baton)
{
    DIR *dir = opendir(fixture_root);
    struct dirent *de;

    while (dir && (de = readdir(dir)) != NULL) {
        if (de->d_name[0] != '.') {
            fn(dirfd(dir), de->d_name, baton);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static inline void fixture_unlink(int dir, const char *name, void *baton)
{
    const char *prefix = baton;

    if (!prefix || strncmp(name, prefix, strlen(prefix)) == 0) {
        unlinkat(dir, name, 0);
    }
}

static inline void fixture_remove_root(void)
{
    fixture_each_file(fixture_unlink, NULL);
    rmdir(fixture_root);
}

static inline void fixture_new_root(void)
{
    const char *tmp = getenv("TMPDIR");

    if (fixture_root[0]) {
        fixture_remove_root();
    } else {
        atexit(fixture_remove_root);
    }
    snprintf(fixture_root, sizeof(fixture_root), "%s/devcache-store-XXXXXX",
             tmp ? tmp : "/tmp");
    if (!mkdtemp(fixture_root)) {
        perror("mkdtemp");
        exit(1);
    }
}

typedef struct fixture_usage_t {
    apr_uint64_t bytes; /* that the disk holds for segments and bodies */
    unsigned segments, bodies;
} fixture_usage_t;

static inline void fixture_add(int dir, const char *name, void *baton)
{
    fixture_usage_t *u = baton;
    struct stat st;
    int segment = strncmp(name, "seg-", 4) == 0;
    int body = strncmp(name, "body-", 5) == 0;

    if ((segment || body) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        u->bytes += (apr_uint64_t)st.st_blocks * 512;
        u->segments += segment;
        u->bodies += body;
    }
}

static inline fixture_usage_t fixture_usage(void)
{
    fixture_usage_t u = {0};

    fixture_each_file(fixture_add, &u);
    return u;
}

/* A store and the pool that it, and nothing else, lives in. */
typedef struct fixture_t {
    devcache_store_t *s;
    apr_pool_t *pool;
    apr_status_t rv;
    const char *error;
} fixture_t;

#define FIXTURE_AWAY ENODEV /* opened, but it cannot be used now */

static inline fixture_t fixture_open(apr_uint64_t size, apr_uint64_t segment,
                                     apr_uint64_t objects)
{
    devcache_store_conf_t conf = {fixture_root, size, segment, objects};
    fixture_t f = {0};

    conf.uid = geteuid();
    conf.gid = getegid();
    conf.log = fixture_log;
    conf.ban_open = devcache_ban_open;
    conf.ban_matches = devcache_ban_matches;
    apr_pool_create_unmanaged(&f.pool);
    f.rv = devcache_store_open(&f.s, &conf, &f.error, f.pool);
    if (f.error && getenv("STORE_VERBOSE")) {
        fprintf(stderr, "# away: %s\n", f.error);
    }
    if (f.error && f.rv == APR_SUCCESS) {
        f.rv = FIXTURE_AWAY;
    }
    return f;
}

static inline void fixture_close(fixture_t *f)
{
    apr_pool_destroy(f->pool);
    f->s = NULL;
}

/* What the next child does when it starts: it removes what killed ones have left. */
static inline void fixture_new_child(fixture_t *f)
{
    apr_pool_t *child;

    apr_pool_create_unmanaged(&child);
    devcache_store_child_init(f->s, 0, child);
    apr_pool_destroy(child);
}

/* Bytes that follow from @a key and @a version alone. */
static inline void fixture_body(char *out, apr_size_t len, const char *key,
                                unsigned version)
{
    apr_uint64_t x = 0x9e3779b97f4a7c15ull ^ version;
    apr_size_t i;

    for (; *key; key++) {
        x = (x ^ (unsigned char)*key) * 0x100000001b3ull;
    }
    x |= 1;
    for (i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (char)(x >> 32);
    }
}

typedef struct fixture_put_t {
    const char *key;
    const char *spec;
    const char *variant;
    unsigned version;
    apr_size_t len;
    apr_time_t at;
    apr_time_t requested_at; /* 0: at */
    unsigned max_variants;   /* 0: 64 */
} fixture_put_t;

static inline devcache_publish_t fixture_what(const fixture_put_t *put)
{
    devcache_publish_t what = {put->spec ? put->spec : ""};

    what.variant = devcache_slice_str(put->variant ? put->variant : "");
    what.meta = devcache_slice(&put->version, sizeof(put->version));
    what.requested_at = put->requested_at ? put->requested_at : put->at;
    what.stored_at = put->at;
    what.fresh_until = put->at + SEC(60);
    what.max_variants = put->max_variants ? put->max_variants : 64;
    return what;
}

static inline apr_status_t fixture_put(fixture_t *f, const fixture_put_t *put)
{
    devcache_publish_t what = fixture_what(put);
    apr_size_t at, part;
    devcache_fill_t *fill;
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *p;
    char *body = malloc(put->len + 1);

    apr_pool_create_unmanaged(&p);
    fixture_body(body, put->len, put->key, put->version);
    fill = devcache_store_fill_begin(f->s, devcache_slice_str(put->key), p);
    for (at = 0; at < put->len && rv == APR_SUCCESS; at += part) {
        part = put->len - at < 8000 ? put->len - at : 8000;
        rv = devcache_store_fill_write(fill, body + at, part, -1);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_store_fill_publish(fill, &what);
    }
    apr_pool_destroy(p);
    free(body);
    return rv;
}

static inline apr_status_t fixture_put_simple(fixture_t *f, const char *key,
                                              unsigned version, apr_size_t len,
                                              apr_time_t at)
{
    fixture_put_t put = {key, NULL, NULL, version, len, at};

    return fixture_put(f, &put);
}

/* Offers @a baton, a string, under every spec but "". A NULL baton fits "" only. */
static inline devcache_slice_t fixture_offer(void *baton, const char *spec, apr_pool_t *p)
{
    return spec[0] == '\0' ? devcache_slice("", 0) : devcache_slice_str(baton);
}

/* Reads a large body into @a p. */
static inline devcache_slice_t fixture_read_body(fixture_t *f, const devcache_hit_t *hit,
                                                 apr_pool_t *p)
{
    apr_file_t *file;
    apr_off_t offset;
    char *bytes = apr_palloc(p, hit->body_len + 1);
    apr_size_t got = 0;

    if (hit->body.data) {
        return hit->body;
    }
    if (devcache_store_open_body(f->s, hit, &file, &offset, p) != APR_SUCCESS ||
        apr_file_seek(file, APR_SET, &offset) != APR_SUCCESS ||
        apr_file_read_full(file, bytes, hit->body_len, &got) != APR_SUCCESS) {
        return devcache_slice(NULL, 0);
    }
    return devcache_slice(bytes, got);
}

#define FIXTURE_MISS (-1)
#define FIXTURE_WRONG (-2)

/* @return the version found, FIXTURE_MISS, or FIXTURE_WRONG if its bytes are not its own
 */
static inline long fixture_get(fixture_t *f, const char *key, const char *offer)
{
    devcache_hit_t *hit;
    devcache_slice_t body;
    long result = FIXTURE_MISS;
    unsigned version;
    apr_pool_t *p;
    char *want;

    apr_pool_create_unmanaged(&p);
    if (devcache_store_lookup(f->s, devcache_slice_str(key), fixture_offer,
                              (void *)(apr_uintptr_t)offer, &hit, p) == APR_SUCCESS) {
        body = fixture_read_body(f, hit, p);
        result = FIXTURE_WRONG;
        if (!body.data) {
            result = FIXTURE_MISS;
        } else if (hit->meta.len == sizeof(version)) {
            memcpy(&version, hit->meta.data, sizeof(version));
            want = apr_palloc(p, body.len + 1);
            fixture_body(want, body.len, key, version);
            if (body.len == hit->body_len && memcmp(want, body.data, body.len) == 0) {
                result = (long)version;
            }
        }
    }
    apr_pool_destroy(p);
    return result;
}

static inline devcache_store_stats_t fixture_stats(fixture_t *f)
{
    devcache_store_stats_t st;

    devcache_store_stats(f->s, &st);
    return st;
}

/* Objects d0, d1, …; each twentieth one is large. */
static inline void fixture_put_many(fixture_t *f, int objects)
{
    char key[16];
    int i;

    for (i = 0; i < objects; i++) {
        snprintf(key, sizeof(key), "d%d", i);
        fixture_put_simple(f, key, (unsigned)i, i % 20 ? 500 : 40 * KB, SEC(i + 1));
    }
}

/* How many of them are found; counts every wrong one as a thousand too few. */
static inline int fixture_count(fixture_t *f, int objects)
{
    char key[16];
    int i, n = 0;

    for (i = 0; i < objects; i++) {
        long got;

        snprintf(key, sizeof(key), "d%d", i);
        got = fixture_get(f, key, NULL);
        n += got == i ? 1 : got == FIXTURE_MISS ? 0 : -1000;
    }
    return n;
}

#endif
