#include "devcache_response.h"

#include <apr_strings.h>

/*
 * Layout of a stored response, little-endian:
 *
 *   version 1 | status 2 | flags 4 | requested_at 8 | received_at 8 | initial_age 8 |
 *   lifetime 8 | stale_while_revalidate 8 | stale_if_error 8 |
 *   reason | content_type | count 4 | name | value | name | value | ...
 *
 * where reason and so on are slices: length 4, bytes; length 0xffffffff is "none".
 *
 * Decoding hands out strings only if they have no NUL inside, durations only if they are
 * not negative, and nothing if a byte is missing or left over. The number of fields is
 * believed only as far as there are bytes for them.
 */

#define VERSION 1
#define FIELD_MIN_BYTES 8 /* two lengths */

static void put_string(devcache_writer_t *w, const char *s)
{
    devcache_put_slice(w, devcache_slice_str(s));
}

static void put_freshness(devcache_writer_t *w, const devcache_freshness_t *f)
{
    devcache_put_uint(w, f->flags, 4);
    devcache_put_uint(w, (apr_uint64_t)f->requested_at, 8);
    devcache_put_uint(w, (apr_uint64_t)f->received_at, 8);
    devcache_put_uint(w, (apr_uint64_t)f->initial_age, 8);
    devcache_put_uint(w, (apr_uint64_t)f->lifetime, 8);
    devcache_put_uint(w, (apr_uint64_t)f->stale_while_revalidate, 8);
    devcache_put_uint(w, (apr_uint64_t)f->stale_if_error, 8);
}

static void put_response(devcache_writer_t *w, const devcache_response_t *r)
{
    const apr_array_header_t *lines = apr_table_elts(r->fields);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    int i;

    devcache_put_uint(w, VERSION, 1);
    devcache_put_uint(w, (apr_uint64_t)r->status, 2);
    put_freshness(w, &r->fresh);
    put_string(w, r->reason);
    put_string(w, r->content_type);
    devcache_put_uint(w, (apr_uint64_t)lines->nelts, 4);
    for (i = 0; i < lines->nelts; i++) {
        put_string(w, e[i].key);
        put_string(w, e[i].val);
    }
}

devcache_slice_t devcache_response_encode(const devcache_response_t *r, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};

    put_response(&w, r);
    w.buf = apr_palloc(p, w.len);
    w.len = 0;
    put_response(&w, r);
    return devcache_slice(w.buf, w.len);
}

/* A string of its own, NULL for "none"; a NUL inside makes the record bad. */
static const char *get_string(devcache_reader_t *r, apr_pool_t *p)
{
    devcache_slice_t s = devcache_get_slice(r);

    if (!s.data) {
        return NULL;
    }
    if (memchr(s.data, '\0', s.len)) {
        r->bad = 1;
        return NULL;
    }
    return apr_pstrmemdup(p, s.data, s.len);
}

static apr_int64_t get_positive(devcache_reader_t *r)
{
    apr_uint64_t v = devcache_get_uint(r, 8);

    /* Sums of a few of these stay far from overflow. */
    if (v > (apr_uint64_t)APR_INT64_MAX / 8) {
        r->bad = 1;
        return 0;
    }
    return (apr_int64_t)v;
}

static void get_freshness(devcache_reader_t *r, devcache_freshness_t *f)
{
    f->flags = (unsigned)devcache_get_uint(r, 4);
    f->requested_at = get_positive(r);
    f->received_at = get_positive(r);
    f->initial_age = get_positive(r);
    f->lifetime = get_positive(r);
    f->stale_while_revalidate = get_positive(r);
    f->stale_if_error = get_positive(r);
}

static void get_fields(devcache_reader_t *r, apr_table_t **fields, apr_pool_t *p)
{
    apr_uint64_t count = devcache_get_uint(r, 4);

    if (r->bad || count > (apr_uint64_t)(r->end - r->pos) / FIELD_MIN_BYTES) {
        r->bad = 1;
        return;
    }
    *fields = apr_table_make(p, (int)count);
    for (; count && !r->bad; count--) {
        const char *name = get_string(r, p);
        const char *value = get_string(r, p);
        if (!name || !value) {
            r->bad = 1;
            return;
        }
        apr_table_addn(*fields, name, value);
    }
}

apr_status_t devcache_response_decode(devcache_slice_t bytes, devcache_response_t *out,
                                      apr_pool_t *p)
{
    devcache_reader_t r;

    memset(out, 0, sizeof(*out));
    if (!bytes.data) {
        return APR_EINVAL;
    }
    r = devcache_reader(bytes);
    if (devcache_get_uint(&r, 1) != VERSION) {
        return APR_EINVAL;
    }
    out->status = (int)devcache_get_uint(&r, 2);
    get_freshness(&r, &out->fresh);
    out->reason = get_string(&r, p);
    out->content_type = get_string(&r, p);
    get_fields(&r, &out->fields, p);
    if (r.bad || r.pos != r.end || out->status < 200 || out->status > 599) {
        return APR_EINVAL;
    }
    out->etag = apr_table_get(out->fields, "ETag");
    return APR_SUCCESS;
}
