/* SPDX-License-Identifier: Apache-2.0 */
#include "http/response.h"

#include "http/field.h"

/*
 * Layout of a stored response, little-endian:
 *
 *   version 1 | status 2 | flags 4 | requested_at 8 | received_at 8 | initial_age 8 |
 *   lifetime 8 | stale_while_revalidate 8 | stale_if_error 8 |
 *   reason | content_type | etag_shown | count 4 | name | value | name | value | ...
 *
 * and, where the body is in pieces,
 *
 *   id 8 | length 8 | slice 8 | count 4 | first 8 | last 8 | first 8 | last 8 | ...
 *
 * where reason and so on are strings: length 4, bytes, NUL; length 0xffffffff and nothing
 * behind it is "none". The NUL lets a hit hand the bytes out as they lie.
 *
 * Decoding hands out strings only if their NUL is where their length says and nowhere
 * else, durations only if they are not negative, and nothing if a byte is missing or left
 * over. The number of fields is believed only as far as there are bytes for them.
 */

#define VERSION 4
#define NONE 0xffffffffu
#define FIELD_MIN_BYTES 10                  /* two lengths, two NULs */
#define FIXED_BYTES (1 + 2 + 4 + 6 * 8 + 4) /* version to stale_if_error, and count */
#define PIECES_BYTES (3 * 8 + 4)            /* of the pieces, without the spans */
#define SPAN_BYTES 16

/* Its length as it is stored. */
static apr_uint32_t length_of(const char *s)
{
    return s ? (apr_uint32_t)strlen(s) : NONE;
}

/* How many bytes stand behind the length: those of the string and its NUL, or none. */
static apr_size_t bytes_of(apr_uint32_t len)
{
    return len == NONE ? 0 : (apr_size_t)len + 1;
}

static void put_string(devcache_writer_t *w, const char *s, apr_uint32_t len)
{
    devcache_put_uint(w, len, 4);
    devcache_put_bytes(w, s, bytes_of(len));
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

static void put_pieces(devcache_writer_t *w, const devcache_pieces_t *pieces)
{
    int i;

    devcache_put_uint(w, pieces->id, 8);
    devcache_put_uint(w, (apr_uint64_t)pieces->length, 8);
    devcache_put_uint(w, (apr_uint64_t)pieces->slice, 8);
    devcache_put_uint(w, (apr_uint64_t)pieces->count, 4);
    for (i = 0; i < pieces->count; i++) {
        devcache_put_uint(w, (apr_uint64_t)pieces->span[i].first, 8);
        devcache_put_uint(w, (apr_uint64_t)pieces->span[i].last, 8);
    }
}

/* The strings that stand before the fields. */
enum { OWN_STRINGS = 3 };

static const char *own_string(const devcache_response_t *r, int i)
{
    return i == 0 ? r->reason : i == 1 ? r->content_type : r->etag_shown;
}

/* Measures each string once: their lengths, in the order in which they are put. Returns the
 * bytes of the whole. */
static apr_size_t measure(const devcache_response_t *r, apr_uint32_t *len)
{
    const apr_array_header_t *lines = apr_table_elts(r->lines);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    apr_size_t bytes = FIXED_BYTES + 4 * (OWN_STRINGS + 2 * (apr_size_t)lines->nelts);
    int i;

    for (i = 0; i < OWN_STRINGS; i++) {
        *len = length_of(own_string(r, i));
        bytes += bytes_of(*len++);
    }
    for (i = 0; i < lines->nelts; i++) {
        len[0] = length_of(e[i].key);
        len[1] = length_of(e[i].val);
        bytes += bytes_of(len[0]) + bytes_of(len[1]);
        len += 2;
    }
    if (r->pieces) {
        bytes += PIECES_BYTES + SPAN_BYTES * (apr_size_t)r->pieces->count;
    }
    return bytes;
}

static void put_response(devcache_writer_t *w, const devcache_response_t *r,
                         const apr_uint32_t *len)
{
    const apr_array_header_t *lines = apr_table_elts(r->lines);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    int i;

    devcache_put_uint(w, VERSION, 1);
    devcache_put_uint(w, (apr_uint64_t)r->status, 2);
    put_freshness(w, &r->fresh);
    for (i = 0; i < OWN_STRINGS; i++) {
        put_string(w, own_string(r, i), *len++);
    }
    devcache_put_uint(w, (apr_uint64_t)lines->nelts, 4);
    for (i = 0; i < lines->nelts; i++) {
        put_string(w, e[i].key, *len++);
        put_string(w, e[i].val, *len++);
    }
    if (r->pieces) {
        put_pieces(w, r->pieces);
    }
}

devcache_slice_t devcache_response_encode(const devcache_response_t *r, apr_pool_t *p)
{
    apr_size_t strings = OWN_STRINGS + 2 * (apr_size_t)apr_table_elts(r->lines)->nelts;
    apr_uint32_t *len = apr_palloc(p, strings * sizeof *len);
    devcache_writer_t w = {NULL, 0};

    w.buf = apr_palloc(p, measure(r, len));
    put_response(&w, r, len);
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

/* Each begins and ends behind the one before it, within the whole. */
static int are_in_order(const devcache_pieces_t *pieces)
{
    devcache_span_t before = {-1, -1};
    int i;

    for (i = 0; i < pieces->count; i++) {
        devcache_span_t span = pieces->span[i];

        if (span.first <= before.first || span.last <= before.last ||
            span.last < span.first || span.last >= pieces->length) {
            return 0;
        }
        before = span;
    }
    return 1;
}

static const devcache_pieces_t *get_pieces(devcache_reader_t *r, apr_pool_t *p)
{
    apr_uint64_t id = devcache_get_uint(r, 8);
    apr_int64_t length = get_positive(r), slice = get_positive(r);
    apr_uint64_t count = devcache_get_uint(r, 4);
    devcache_pieces_t *pieces;
    int i;

    if (r->bad || count > DEVCACHE_PIECES_MAX || length < 1) {
        r->bad = 1;
        return NULL;
    }
    pieces = apr_palloc(p, sizeof(*pieces) + (apr_size_t)count * sizeof(*pieces->span));
    pieces->id = id;
    pieces->length = length;
    pieces->slice = slice;
    pieces->count = (int)count;
    for (i = 0; i < pieces->count; i++) {
        pieces->span[i].first = get_positive(r);
        pieces->span[i].last = get_positive(r);
    }
    r->bad |= !are_in_order(pieces);
    return pieces;
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
    out->etag_shown = get_string(&r);
    get_fields(&r, &out->lines, p);
    if (!r.bad && r.pos != r.end) {
        out->pieces = get_pieces(&r, p);
    }
    if (r.bad || r.pos != r.end || out->status < 200 || out->status > 599) {
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* ---- kept beside the bytes ------------------------------------------------------- */

enum { KEPT_NOT, KEPT_BEING_MADE, KEPT_READY };

#define KEPT_FIELDS                                                                      \
    ((DEVCACHE_RESPONSE_ROOM - sizeof(devcache_kept_t)) / sizeof(devcache_kept_field_t))

static devcache_kept_e kind_of(devcache_slice_t name, const char *value)
{
    return !devcache_field_is_token(name) ||
                   !devcache_field_is_clean(value, strlen(value))
               ? DEVCACHE_KEPT_ODD
           : devcache_field_is(name, "transfer-encoding") ? DEVCACHE_KEPT_ODD
           : devcache_field_is(name, "connection")        ? DEVCACHE_KEPT_ODD
           : devcache_field_is(name, "keep-alive")        ? DEVCACHE_KEPT_ODD
           : devcache_field_is(name, "content-type")      ? DEVCACHE_KEPT_TYPE
           : devcache_field_is(name, "content-length")    ? DEVCACHE_KEPT_LENGTH
           : devcache_field_is(name, "vary")              ? DEVCACHE_KEPT_VARY
           : devcache_field_is(name, "content-encoding")  ? DEVCACHE_KEPT_CODING
           : devcache_field_is(name, "date")              ? DEVCACHE_KEPT_DATE
           : devcache_field_is(name, "server")            ? DEVCACHE_KEPT_SERVER
           : devcache_field_is(name, "age")               ? DEVCACHE_KEPT_AGE
           : devcache_field_is(name, "accept-ranges")     ? DEVCACHE_KEPT_RANGES
                                                          : DEVCACHE_KEPT_PLAIN;
}

/* Few enough, and the type can be sent as it is. */
static int can_be_kept(const devcache_response_t *r)
{
    return !r->pieces && apr_table_elts(r->lines)->nelts <= (int)KEPT_FIELDS &&
           (!r->content_type ||
            devcache_field_is_clean(r->content_type, strlen(r->content_type)));
}

static void keep(devcache_kept_t *kept, const devcache_response_t *r)
{
    const apr_array_header_t *all = apr_table_elts(r->lines);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        devcache_kept_field_t *f = &kept->field[i];
        f->name = e->key;
        f->value = e->val;
        f->name_len = (apr_uint16_t)strlen(e->key);
        f->value_len = (apr_uint32_t)strlen(e->val);
        f->is = (unsigned char)kind_of(devcache_slice_str(e->key), e->val);
        if (f->name_len != strlen(e->key)) {
            f->is = DEVCACHE_KEPT_ODD;
        }
        if (f->is == DEVCACHE_KEPT_TYPE && r->content_type &&
            !strcmp(r->content_type, e->val)) {
            f->value =
                r->content_type; /* by its address httpd sees that it is the same */
        }
        kept->repeats |= f->is >= DEVCACHE_KEPT_LENGTH && f->is <= DEVCACHE_KEPT_RANGES &&
                         (kept->kinds & 1u << f->is);
        kept->kinds |= (apr_uint16_t)(1u << f->is);
    }
    kept->count = all->nelts;
    kept->response = *r;
    kept->response.lines = NULL;
    kept->response.kept = kept;
}

apr_status_t devcache_response_decode_kept(devcache_slice_t bytes, void *room,
                                           devcache_response_t *out, apr_pool_t *p)
{
    devcache_kept_t *kept = room;
    apr_uint32_t not_yet = KEPT_NOT;
    apr_status_t rv;

    if (kept && __atomic_load_n(&kept->state, __ATOMIC_ACQUIRE) == KEPT_READY) {
        *out = kept->response;
        return APR_SUCCESS;
    }
    rv = devcache_response_decode(bytes, out, p);
    if (rv == APR_SUCCESS && kept && can_be_kept(out) &&
        __atomic_compare_exchange_n(&kept->state, &not_yet, KEPT_BEING_MADE, 0,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        keep(kept, out);
        __atomic_store_n(&kept->state, KEPT_READY, __ATOMIC_RELEASE);
    }
    return rv;
}

apr_table_t *devcache_response_fields(devcache_response_t *r, apr_pool_t *p)
{
    int i;

    if (!r->lines) {
        r->lines = apr_table_make(p, r->kept ? r->kept->count : 1);
        for (i = 0; r->kept && i < r->kept->count; i++) {
            apr_table_addn(r->lines, r->kept->field[i].name, r->kept->field[i].value);
        }
    }
    return r->lines;
}
