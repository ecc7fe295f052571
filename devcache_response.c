#include "devcache_response.h"

/*
 * Layout of a stored response, little-endian:
 *
 *   version 1 | status 2 | flags 4 | requested_at 8 | received_at 8 | initial_age 8 |
 *   lifetime 8 | stale_while_revalidate 8 | stale_if_error 8 |
 *   reason | content_type | count 4 | name | value | name | value | ...
 *
 * where reason and so on are strings: length 4, bytes, NUL; length 0xffffffff and nothing
 * behind it is "none". The NUL lets a hit hand the bytes out as they lie.
 *
 * Decoding hands out strings only if their NUL is where their length says and nowhere
 * else, durations only if they are not negative, and nothing if a byte is missing or left
 * over. The number of fields is believed only as far as there are bytes for them.
 */

#define VERSION 2
#define NONE 0xffffffffu
#define FIELD_MIN_BYTES 10 /* two lengths, two NULs */

static void put_string(devcache_writer_t *w, const char *s)
{
    apr_size_t len = s ? strlen(s) : 0;

    devcache_put_uint(w, s ? (apr_uint64_t)len : NONE, 4);
    devcache_put_bytes(w, s, s ? len + 1 : 0);
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

/* A string as it lies there, NULL for "none"; another NUL than its own is bad. */
static const char *get_string(devcache_reader_t *r)
{
    apr_size_t len = (apr_size_t)devcache_get_uint(r, 4);
    const char *s;

    if (r->bad || len == NONE) {
        return NULL;
    }
    s = (const char *)devcache_get_bytes(r, len + 1);
    if (!s || memchr(s, '\0', len + 1) != s + len) {
        r->bad = 1;
        return NULL;
    }
    return s;
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
        const char *name = get_string(r);
        const char *value = get_string(r);
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
    out->reason = get_string(&r);
    out->content_type = get_string(&r);
    get_fields(&r, &out->fields, p);
    if (r.bad || r.pos != r.end || out->status < 200 || out->status > 599) {
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}
