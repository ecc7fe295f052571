/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/bytes.h
 * Slices of bytes, and the fixed-width little-endian coding of everything that
 * reaches the disk.
 *
 * A slice does not own its bytes; whoever made it says where they live. Writing goes
 * through devcache_writer_t into a buffer measured beforehand, reading through
 * devcache_reader_t, which cannot run past its end: after the first overrun every
 * further get returns 0 or an empty slice and `bad` stays set, so a parser checks once
 * at the end.
 */
#ifndef DEVCACHE_BASE_BYTES_H
#define DEVCACHE_BASE_BYTES_H

#include <endian.h>
#include <string.h>
#include <apr.h>

typedef struct devcache_slice_t {
    const char *data; /* not NUL-terminated unless its maker says so; NULL: no value */
    apr_size_t len;   /* bytes */
} devcache_slice_t;

static inline devcache_slice_t devcache_slice(const void *data, apr_size_t len)
{
    devcache_slice_t s = {data, len};
    return s;
}

static inline devcache_slice_t devcache_slice_str(const char *s)
{
    return devcache_slice(s, s ? strlen(s) : 0);
}

static inline int devcache_slice_eq(devcache_slice_t a, devcache_slice_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

typedef struct devcache_writer_t {
    unsigned char *buf; /* NULL: only count, to learn the size */
    apr_size_t len;     /* bytes written or counted so far */
} devcache_writer_t;

static inline void devcache_put_bytes(devcache_writer_t *w, const void *data,
                                      apr_size_t len)
{
    if (w->buf && len) {
        memcpy(w->buf + w->len, data, len);
    }
    w->len += len;
}

static inline void devcache_put_uint(devcache_writer_t *w, apr_uint64_t v, int width)
{
    apr_uint64_t le = htole64(v);
    devcache_put_bytes(w, &le, (apr_size_t)width);
}

/** A slice as a 32-bit length and its bytes; "no value" is kept apart from empty. */
static inline void devcache_put_slice(devcache_writer_t *w, devcache_slice_t s)
{
    devcache_put_uint(w, s.data ? (apr_uint64_t)s.len : 0xffffffffu, 4);
    devcache_put_bytes(w, s.data, s.data ? s.len : 0);
}

typedef struct devcache_reader_t {
    const unsigned char *pos;
    const unsigned char *end;
    int bad; /* set by the first read past the end; never cleared */
} devcache_reader_t;

static inline devcache_reader_t devcache_reader(devcache_slice_t s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    devcache_reader_t r = {p, p + s.len, 0};
    return r;
}

static inline const unsigned char *devcache_get_bytes(devcache_reader_t *r,
                                                      apr_size_t len)
{
    const unsigned char *p = r->pos;
    if (r->bad || (apr_size_t)(r->end - r->pos) < len) {
        r->bad = 1;
        return NULL;
    }
    r->pos += len;
    return p;
}

static inline apr_uint64_t devcache_get_uint(devcache_reader_t *r, int width)
{
    const unsigned char *p = devcache_get_bytes(r, (apr_size_t)width);
    apr_uint64_t le = 0;
    if (p) {
        memcpy(&le, p, (apr_size_t)width);
    }
    return le64toh(le);
}

static inline devcache_slice_t devcache_get_slice(devcache_reader_t *r)
{
    apr_uint64_t len = devcache_get_uint(r, 4);
    const unsigned char *p;
    if (r->bad || len == 0xffffffffu) {
        return devcache_slice(NULL, 0);
    }
    p = devcache_get_bytes(r, (apr_size_t)len);
    return p ? devcache_slice(p, (apr_size_t)len) : devcache_slice(NULL, 0);
}

#endif
