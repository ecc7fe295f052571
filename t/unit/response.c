/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_response: there and back, and nothing else accepted. */
#include "http/response.h"

#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

static devcache_response_t sample(apr_pool_t *p)
{
    devcache_response_t r = {0};

    r.status = 299;
    r.reason = "Quite so";
    r.fresh.requested_at = apr_time_from_sec(1782777600);
    r.fresh.received_at = r.fresh.requested_at + 123456;
    r.fresh.initial_age = 1;
    r.fresh.lifetime = apr_time_from_sec((apr_int64_t)1 << 31);
    r.fresh.stale_while_revalidate = 2;
    r.fresh.stale_if_error = 3;
    r.fresh.flags = DEVCACHE_NO_CACHE | DEVCACHE_SHAREABLE;
    r.content_type = "text/html";
    r.lines = apr_table_make(p, 4);
    apr_table_addn(r.lines, "ETag", "\"a\"");
    apr_table_addn(r.lines, "Link", "1");
    apr_table_addn(r.lines, "X-Empty", "");
    apr_table_addn(r.lines, "link", "2");
    return r;
}

static apr_status_t free_copy(void *copy)
{
    free(copy);
    return APR_SUCCESS;
}

/* Decode bytes of their exact size on the heap. */
static apr_status_t decode(const char *data, apr_size_t len, devcache_response_t *out,
                           apr_pool_t *p)
{
    char *copy = malloc(len ? len : 1);

    memcpy(copy, data, len);
    apr_pool_cleanup_register(p, copy, free_copy, apr_pool_cleanup_null);
    return devcache_response_decode(devcache_slice(copy, len), out, p);
}

static int same_fields(const apr_table_t *a, const apr_table_t *b)
{
    const apr_array_header_t *x = apr_table_elts(a), *y = apr_table_elts(b);
    const apr_table_entry_t *d = (const apr_table_entry_t *)x->elts;
    const apr_table_entry_t *e = (const apr_table_entry_t *)y->elts;
    int i;

    for (i = 0; x->nelts == y->nelts && i < x->nelts; i++) {
        if (strcmp(d[i].key, e[i].key) != 0 || strcmp(d[i].val, e[i].val) != 0) {
            return 0;
        }
    }
    return x->nelts == y->nelts;
}

static void test_round_trip(apr_pool_t *p)
{
    devcache_response_t r = sample(p), got;
    devcache_slice_t bytes = devcache_response_encode(&r, p);

    is_int(decode(bytes.data, bytes.len, &got, p), APR_SUCCESS, "decoded");
    is_int(got.status, 299, "status");
    is_str(got.reason, "Quite so", "reason");
    is_str(got.content_type, "text/html", "content type");
    is_int(got.fresh.requested_at, r.fresh.requested_at, "requested");
    is_int(got.fresh.received_at, r.fresh.received_at, "received");
    is_int(got.fresh.initial_age, r.fresh.initial_age, "initial age");
    is_int(got.fresh.lifetime, r.fresh.lifetime, "lifetime");
    is_int(got.fresh.stale_while_revalidate, 2, "stale while revalidate");
    is_int(got.fresh.stale_if_error, 3, "stale if error");
    is_int(got.fresh.flags, r.fresh.flags, "flags");
    ok(same_fields(got.lines, r.lines), "fields, in order");

    r.reason = r.content_type = NULL;
    apr_table_clear(r.lines);
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_SUCCESS, "without fields");
    ok(!got.reason && !got.content_type, "nothing is nothing");
    is_int(apr_table_elts(got.lines)->nelts, 0, "no fields");
}

static void test_damage(apr_pool_t *p)
{
    devcache_response_t r = sample(p), got;
    devcache_slice_t bytes = devcache_response_encode(&r, p);
    char *copy = apr_pcalloc(p, bytes.len + 1);
    apr_size_t i;
    int refused = 0, version_refused = 0;

    memcpy(copy, bytes.data, bytes.len);
    for (i = 0; i < bytes.len; i++) {
        refused += decode(bytes.data, i, &got, p) == APR_EINVAL;
    }
    is_int(refused, (long long)bytes.len, "every cut is refused");
    is_int(decode(copy, bytes.len + 1, &got, p), APR_EINVAL, "a byte more is refused");
    is_int(devcache_response_decode(devcache_slice(NULL, 0), &got, p), APR_EINVAL,
           "nothing is refused");
    for (i = 0; i < 256; i++) {
        copy[0] = (char)i;
        version_refused += decode(copy, bytes.len, &got, p) == APR_EINVAL;
    }
    is_int(version_refused, 255, "every other version is refused");
    copy[0] = bytes.data[0];
    for (i = 0; i < bytes.len * 8; i++) {
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << (i % 8)));
        if (decode(copy, bytes.len, &got, p) == APR_SUCCESS && !got.lines) {
            break;
        }
        copy[i / 8] = bytes.data[i / 8];
    }
    is_int((long long)i, (long long)bytes.len * 8, "every flipped bit is survived");
}

static void test_values(apr_pool_t *p)
{
    devcache_response_t r = sample(p), got;
    devcache_slice_t bytes;
    char *nul;

    bytes = devcache_response_encode(&r, p);
    nul = memchr(bytes.data, '"', bytes.len);
    nul[1] = '\0';
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "a NUL inside");
    r.fresh.lifetime = -1;
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "a negative lifetime");
    r = sample(p);
    r.status = 100;
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "no final status");
}

static void test_kept(apr_pool_t *p)
{
    devcache_response_t r = sample(p), got;
    devcache_slice_t bytes;
    void *room = apr_pcalloc(p, DEVCACHE_RESPONSE_ROOM);
    int i;

    apr_table_addn(r.lines, "Date", "today");
    apr_table_addn(r.lines, "vary", "Accept");
    apr_table_addn(r.lines, "Content-encoding", "br");
    apr_table_addn(r.lines, "X-Odd", "a\nb");
    bytes = devcache_response_encode(&r, p);
    is_int(devcache_response_decode_kept(bytes, NULL, &got, p), APR_SUCCESS, "no room");
    ok(got.lines && !got.kept, "then nothing is kept");
    is_int(devcache_response_decode_kept(bytes, room, &got, p), APR_SUCCESS, "first");
    ok(got.lines && !got.kept, "the first one decodes for itself");
    apr_table_set(got.lines, "ETag", "changed");
    is_int(devcache_response_decode_kept(bytes, room, &got, p), APR_SUCCESS, "again");
    ok(!got.lines && got.kept && got.kept->count == 8, "the next is given what was kept");
    is_int(got.status, 299, "status");
    is_str(got.content_type, "text/html", "content type");
    is_int(got.kept->field[0].is, DEVCACHE_KEPT_PLAIN, "ETag is a plain field");
    is_int(got.kept->field[4].is, DEVCACHE_KEPT_DATE, "Date");
    is_int(got.kept->field[5].is, DEVCACHE_KEPT_VARY, "Vary in any case");
    is_int(got.kept->field[6].is, DEVCACHE_KEPT_CODING, "Content-Encoding");
    is_int(got.kept->field[7].is, DEVCACHE_KEPT_ODD, "a line feed is odd");
    ok(!(got.kept->kinds & 1u << DEVCACHE_KEPT_LENGTH) &&
           !(~got.kept->kinds & (1u << DEVCACHE_KEPT_VARY | 1u << DEVCACHE_KEPT_CODING |
                                 1u << DEVCACHE_KEPT_ODD)),
       "which of them are there");
    is_int(got.kept->field[4].value_len, 5, "with its length");
    ok(same_fields(devcache_response_fields(&got, p), r.lines), "as a table if wanted");

    for (i = 0; i < 20; i++) {
        apr_table_addn(r.lines, "X-More", "1");
    }
    bytes = devcache_response_encode(&r, p);
    room = apr_pcalloc(p, DEVCACHE_RESPONSE_ROOM);
    devcache_response_decode_kept(bytes, room, &got, p);
    is_int(devcache_response_decode_kept(bytes, room, &got, p), APR_SUCCESS,
           "many fields");
    ok(got.lines && !got.kept, "too many for the room are decoded each time");
    bytes.len--;
    is_int(devcache_response_decode_kept(bytes, apr_pcalloc(p, DEVCACHE_RESPONSE_ROOM),
                                         &got, p),
           APR_EINVAL, "what is damaged is not kept");
}

static void test_pieces(apr_pool_t *p)
{
    devcache_pieces_t *pieces = apr_pcalloc(p, sizeof *pieces + 3 * sizeof *pieces->span);
    devcache_response_t r = sample(p), got;
    devcache_slice_t bytes;
    apr_size_t len;

    pieces->id = ~(apr_uint64_t)7;
    pieces->length = 100;
    pieces->count = 2;
    pieces->span[0] = (devcache_span_t){0, 9};
    pieces->span[1] = (devcache_span_t){5, 99};
    r.pieces = pieces;
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_SUCCESS, "in pieces");
    ok(got.pieces && got.pieces->id == pieces->id && got.pieces->length == 100 &&
           got.pieces->slice == 0 && got.pieces->count == 2 &&
           got.pieces->span[0].last == 9 && got.pieces->span[1].first == 5 &&
           got.pieces->span[1].last == 99,
       "they are as they were");
    is_int(devcache_response_length(&got, 0), 100, "it is as long as the whole");
    is_int(devcache_response_decode_kept(bytes, apr_pcalloc(p, DEVCACHE_RESPONSE_ROOM),
                                         &got, p),
           APR_SUCCESS, "it is decoded each time");
    ok(got.lines && !got.kept, "and nothing kept");
    for (len = bytes.len - 1; len > bytes.len - 28 - 32; len--) {
        if (decode(bytes.data, len, &got, p) == APR_SUCCESS) {
            break;
        }
    }
    is_int((long long)len, (long long)bytes.len - 28 - 32,
           "cut anywhere it is none, but where it is one without pieces");
    pieces->span[1] = (devcache_span_t){0, 99};
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "one within another");
    pieces->span[1] = (devcache_span_t){50, 100};
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "behind the end");
    pieces->count = 0;
    pieces->length = 0;
    bytes = devcache_response_encode(&r, p);
    is_int(decode(bytes.data, bytes.len, &got, p), APR_EINVAL, "of nothing");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_round_trip(p);
    test_damage(p);
    test_values(p);
    test_kept(p);
    test_pieces(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
