/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long body is not read by the lookup that finds it, and is sent by the kernel, which
 * looks at no checksum. So it is verified before: its table of sums against the root in the
 * record, which the lookup has verified, then each block against the table. That costs a
 * megabyte about 0.15 ms, and leaves its pages where the kernel will find them. What is
 * damaged is forgotten, and the origin is asked as if nothing had been stored.
 *
 *     own file   header | body | table        root seeded with the header's salt
 *     record     head | body | table          root seeded with 0
 *
 * Verifying while sending would need memory and a thread for each slow client, as httpd
 * puts aside nothing but files without waiting. So that parts of a long film do not have
 * all of it verified again and again, a process remembers what it has verified within the
 * last minute, in one word for each: half a hash of the place and of the instant when the
 * file was changed last, and the second.
 */
#include "store/body.h"

#include <apr_errno.h>
#include <apr_portable.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/clock.h"
#include "store/evict.h"
#include "store/segment.h"
#include "store/sums.h"

#define VERIFIED_FOR 60 /* seconds */
#define SECONDS 0xffffffffu

typedef struct body_t {
    devcache_root_t *root;
    const struct devcache_location_t *where;
    int fd;
    apr_uint64_t at; /* where in the file it begins */
    apr_uint64_t len;
    unsigned char *table;
} body_t;

static const devcache_file_t *file_of(const struct devcache_location_t *where)
{
    return where->body.serial ? &where->body : &where->segment;
}

/* ---- what was verified lately ------------------------------------------------------- */

/* A file that was written to since has another instant: then it is verified again. */
static apr_uint64_t *word_of(const body_t *b, apr_uint64_t *pword)
{
    apr_uint64_t place[4] = {file_of(b->where)->serial, b->at};
    struct stat st;
    apr_uint64_t hash;

    if (fstat(b->fd, &st) == 0) {
        place[2] = (apr_uint64_t)st.st_ctim.tv_sec;
        place[3] = (apr_uint64_t)st.st_ctim.tv_nsec;
    }
    hash = XXH3_64bits(place, sizeof(place));
    *pword = (hash & ~(apr_uint64_t)SECONDS) |
             (apr_uint32_t)apr_time_sec(devcache_monotonic());
    return &b->root->verified[hash % DEVCACHE_VERIFIED];
}

static int is_verified(const apr_uint64_t *word, apr_uint64_t now)
{
    apr_uint64_t then = __atomic_load_n(word, __ATOMIC_RELAXED);

    return (then ^ now) <= SECONDS &&
           (apr_uint32_t)now - (apr_uint32_t)then <= VERIFIED_FOR;
}

/* ---- verifying -------------------------------------------------------------------------- */

/* As much as was asked for, or it is not what it should be. */
static apr_status_t read_at(int fd, void *buf, apr_size_t len, apr_uint64_t at)
{
    apr_size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, (char *)buf + got, len - got, (off_t)(at + got));

        if (n == 0) {
            return APR_EGENERAL;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        got += n > 0 ? (apr_size_t)n : 0;
    }
    return APR_SUCCESS;
}

/* Counted, and forgotten if it is damaged. */
static apr_status_t failed(devcache_root_t *s, const struct devcache_location_t *where,
                           apr_status_t rv)
{
    if (rv == APR_EGENERAL) {
        devcache_evict_damaged(s, &where->entry, file_of(where));
        return APR_NOTFOUND;
    }
    devcache_shared_count(&s->sh, DEVCACHE_N_ERRORS,
                          rv != APR_SUCCESS && rv != APR_NOTFOUND);
    return rv;
}

/* Its table, if that is the very one. */
static apr_status_t read_table(body_t *b, apr_uint64_t salt, apr_pool_t *p)
{
    apr_size_t size = devcache_sums_size(b->len);
    apr_status_t rv;

    b->table = apr_palloc(p, size);
    rv = read_at(b->fd, b->table, size, b->at + b->len);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return devcache_sums_root(b->table, size, salt) == b->where->body_sum ? APR_SUCCESS
                                                                          : APR_EGENERAL;
}

static apr_status_t verify_blocks(const body_t *b)
{
    char *block = malloc(DEVCACHE_SUMS_BLOCK);
    apr_status_t rv = block ? APR_SUCCESS : APR_ENOMEM;
    apr_uint64_t from;
    apr_size_t i;

    for (i = 0, from = 0; rv == APR_SUCCESS && from < b->len;
         i++, from += DEVCACHE_SUMS_BLOCK) {
        apr_uint64_t left = b->len - from;
        apr_size_t len = left < DEVCACHE_SUMS_BLOCK ? (apr_size_t)left
                                                    : DEVCACHE_SUMS_BLOCK;

        rv = read_at(b->fd, block, len, b->at + from);
        if (rv == APR_SUCCESS && !devcache_sums_check(b->table, i, block, len)) {
            rv = APR_EGENERAL;
        }
    }
    free(block);
    return rv;
}

static apr_status_t verify(body_t *b, const devcache_file_header_t *header,
                           apr_uint64_t size, apr_pool_t *p)
{
    int own = b->where->body.serial != 0;
    apr_status_t rv = APR_EGENERAL;

    if (size >= b->at + b->len + devcache_sums_size(b->len) &&
        (!own || header->len == b->len)) {
        rv = read_table(b, own ? header->salt : 0, p);
    }
    return rv == APR_SUCCESS ? verify_blocks(b) : rv;
}

/* Open and verify; @a anew: whatever is remembered. The caller closes b->fd on success. */
static apr_status_t open_body(body_t *b, const devcache_hit_t *hit, int anew,
                              apr_pool_t *p)
{
    const struct devcache_location_t *where = hit->where;
    devcache_file_header_t header = {0};
    apr_uint64_t size = 0, now, *word;
    apr_status_t rv;

    b->where = where;
    b->len = hit->body_len;
    b->at = where->body.serial ? DEVCACHE_FILE_HEADER : where->inline_from;
    rv = devcache_segment_open(b->root, file_of(where), &b->fd, &header, &size);
    if (rv != APR_SUCCESS) {
        return failed(b->root, where, rv);
    }
    word = word_of(b, &now); /* as it is before it is read */
    if (anew || !is_verified(word, now) || size < b->at + b->len) {
        rv = verify(b, &header, size, p);
    }
    if (rv == APR_SUCCESS) {
        __atomic_store_n(word, now, __ATOMIC_RELAXED);
    } else {
        close(b->fd);
    }
    return failed(b->root, where, rv);
}

apr_status_t devcache_store_open_body(devcache_store_t *st, const devcache_hit_t *hit,
                                      apr_file_t **pfile, apr_off_t *poffset,
                                      apr_pool_t *p)
{
    body_t b = {hit->where->root};
    apr_status_t rv;

    *pfile = NULL;
    if (devcache_store_root(st) != b.root) {
        return APR_NOTFOUND; /* let go of since */
    }
    rv = open_body(&b, hit, 0, p);
    *poffset = (apr_off_t)b.at;
    return rv == APR_SUCCESS ? devcache_store_as_file(b.fd, pfile, p) : rv;
}

apr_status_t devcache_body_verify(devcache_root_t *s, const devcache_hit_t *hit,
                                  apr_pool_t *p)
{
    body_t b = {s};
    apr_status_t rv = open_body(&b, hit, 1, p);

    if (rv == APR_SUCCESS) {
        close(b.fd);
    }
    return rv;
}

/* ---- what is being written ------------------------------------------------------- */

static apr_status_t close_file(void *file)
{
    return apr_file_close(file);
}

apr_status_t devcache_store_as_file(int fd, apr_file_t **pfile, apr_pool_t *p)
{
    apr_status_t rv = apr_os_file_put(pfile, &fd,
                                      APR_FOPEN_READ | APR_FOPEN_SENDFILE_ENABLED, p);

    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    apr_pool_cleanup_register(p, *pfile, close_file, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t devcache_store_open_shared(devcache_store_t *st, const apr_uint64_t where[2],
                                        apr_file_t **pfile, apr_off_t *poffset,
                                        apr_pool_t *p)
{
    devcache_file_t file = {where[1], DEVCACHE_FILE_BODY, (apr_uint16_t)where[0]};
    devcache_root_t *s = devcache_store_root(st);
    devcache_file_header_t header;
    apr_uint64_t len;
    int fd;
    apr_status_t rv = s ? devcache_segment_open(s, &file, &fd, &header, &len)
                        : APR_NOTFOUND;

    *poffset = DEVCACHE_FILE_HEADER;
    return rv == APR_SUCCESS ? devcache_store_as_file(fd, pfile, p) : rv;
}
