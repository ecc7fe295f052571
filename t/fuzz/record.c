/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read from disk: file headers and records, with salt and offset 0. A fuzzer does
 * not guess checksums, so a record that looks like one has its own put right first.
 */
#include "store/record.h"

#include <xxhash.h>

#include "fuzz.h"

#define SUM_AT 8
#define SUMMED_FROM 16

static void check_file_header(const unsigned char *bytes)
{
    unsigned char again[DEVCACHE_FILE_HEADER];
    devcache_file_header_t h;

    if (devcache_record_file_decode(bytes, &h)) {
        devcache_record_file_encode(again, &h);
        must(devcache_record_file_decode(again, &h));
    }
}

static void put_sum_right(unsigned char *head, apr_uint32_t head_len)
{
    devcache_writer_t w = {head, SUM_AT};

    devcache_put_uint(
        &w, XXH3_64bits_withSeed(head + SUMMED_FROM, head_len - SUMMED_FROM, 0), 8);
}

static void check_inside(devcache_slice_t v, const unsigned char *head, apr_size_t len)
{
    const unsigned char *data = (const unsigned char *)v.data;

    must(data >= head && v.len <= len && (apr_size_t)(data - head) <= len - v.len);
}

static void check_again(const unsigned char *head, const devcache_record_t *rec)
{
    unsigned char *again = malloc(rec->head_len);

    devcache_record_encode(again, rec, 0, 0);
    must(memcmp(again, head, rec->head_len) == 0);
    free(again);
}

static void check_record(unsigned char *bytes, apr_size_t len)
{
    devcache_record_t rec;

    if (!devcache_record_peek(bytes, 0, &rec)) {
        return;
    }
    must(rec.head_len >= DEVCACHE_RECORD_FIXED && rec.head_len <= rec.length);
    must(rec.length <= DEVCACHE_RECORD_MAX);
    if (len < rec.head_len) {
        return;
    }
    put_sum_right(bytes, rec.head_len);
    must(devcache_record_check_head(bytes, 0, 0, &rec));
    check_inside(rec.key, bytes, rec.head_len);
    check_inside(rec.spec, bytes, rec.head_len);
    check_inside(rec.variant, bytes, rec.head_len);
    check_inside(rec.meta, bytes, rec.head_len);
    if (rec.ref_serial) {
        must(rec.length == rec.head_len);
        must(!rec.ref_head || devcache_record_ref_length(&rec) <= DEVCACHE_RECORD_MAX);
    } else if (len >= rec.length && devcache_record_check_body(bytes, &rec)) {
        must(rec.body.len + rec.table.len == rec.length - rec.head_len);
    } else {
        rec.body = devcache_slice(NULL, (apr_size_t)rec.body_len);
    }
    check_again(bytes, &rec);
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    unsigned char *bytes = malloc(len ? len : 1);

    memcpy(bytes, data, len);
    if (len >= DEVCACHE_FILE_HEADER) {
        check_file_header(bytes);
    }
    if (len >= DEVCACHE_RECORD_FIXED) {
        check_record(bytes, len);
    }
    free(bytes);
}
