/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on disk.
 *
 * A segment is a header and then records, each beginning at a multiple of 64 bytes:
 *
 *     file header   magic 8 | version 4 | kind 4 | serial 8 | salt 8 | len 8 | 0... | sum 8
 *
 *     record   0  magic XOR salt      8      44  tags length     4
 *              8  sum of all of the   8      48  ref_serial      8
 *                 head after itself          56  body_len        8
 *             16  version             2      64  requested_at    8
 *             18  ref_head            2      72  stored_at       8
 *             20  length              4      80  fresh_until     8
 *             24  key length          4      88  body_sum        8
 *             28  spec length         4      96  key, spec, variant, meta,
 *             32  variant length      4          tags, body, if inline
 *             36  meta length         4
 *             40  body length inline,
 *                 or ref_offset       4
 *
 * The salt is random for each segment and not known outside of the store. It goes into
 * the magic and, together with the offset, into the checksum, so that a body which looks
 * like a record, or a record copied elsewhere, is never taken for one by a rebuild.
 * The checksum of the head is verified on every read, the body's whenever the body is.
 *
 * A record of more than 256 KB is followed by a table of sums, one for each 64 KB of its
 * body (store/sums.h), and body_sum is the table's root. It is then read in parts.
 *
 * A large body lies in a file of its own, header, body, table, and its record has the
 * table's root, seeded with the file's salt: neither another file nor another version of
 * this one can be paired with it.
 *
 * Example: GET /a for phones, 3 bytes of body, at offset 64 of a segment:
 *
 *     64  magic  sum | 4  0  length 137 | key 18  spec 6  variant 6  meta 8  body 3  tags 0
 *     128 ref 0  body_len 3 | times | body_sum | key spec variant meta | "abc"
 *
 * The same body for tablets: ref_serial is that segment's, ref_offset 1 (times 64),
 * ref_head 134, and body_sum the same. No record refers to one that refers.
 */
#include "store/record.h"

#include <xxhash.h>
#include "store/sums.h"

#define FORMAT_VERSION 5
#define FILE_MAGIC 0x3145484341435644ull   /* "DVCACHE1" */
#define RECORD_MAGIC 0x4443455245564344ull /* "DCVERECD" */
#define SUM_AT (DEVCACHE_FILE_HEADER - 8)
#define SUMMED_FROM 16
#define LENGTH_MAX                                                                       \
    ((apr_uint64_t)1 << 48) /* bytes; sums with it stay far from overflow */

void devcache_record_file_encode(unsigned char out[DEVCACHE_FILE_HEADER],
                                 const devcache_file_header_t *h)
{
    devcache_writer_t w = {out, 0};

    memset(out, 0, DEVCACHE_FILE_HEADER);
    devcache_put_uint(&w, FILE_MAGIC, 8);
    devcache_put_uint(&w, FORMAT_VERSION, 4);
    devcache_put_uint(&w, h->kind, 4);
    devcache_put_uint(&w, h->serial, 8);
    devcache_put_uint(&w, h->salt, 8);
    devcache_put_uint(&w, h->len, 8);
    w.len = SUM_AT;
    devcache_put_uint(&w, XXH3_64bits(out, SUM_AT), 8);
}

int devcache_record_file_decode(const unsigned char in[DEVCACHE_FILE_HEADER],
                                devcache_file_header_t *h)
{
    devcache_reader_t r = devcache_reader(devcache_slice(in, DEVCACHE_FILE_HEADER));
    devcache_reader_t sum = devcache_reader(devcache_slice(in + SUM_AT, 8));

    if (devcache_get_uint(&r, 8) != FILE_MAGIC ||
        devcache_get_uint(&r, 4) != FORMAT_VERSION) {
        return 0;
    }
    h->kind = (devcache_file_kind_t)devcache_get_uint(&r, 4);
    h->serial = devcache_get_uint(&r, 8);
    h->salt = devcache_get_uint(&r, 8);
    h->len = devcache_get_uint(&r, 8);
    return devcache_get_uint(&sum, 8) == XXH3_64bits(in, SUM_AT) && h->len <= LENGTH_MAX;
}

apr_uint32_t devcache_record_file_foreign(const unsigned char in[DEVCACHE_FILE_HEADER])
{
    devcache_reader_t r = devcache_reader(devcache_slice(in, DEVCACHE_FILE_HEADER));
    int ours = devcache_get_uint(&r, 8) == FILE_MAGIC;
    apr_uint32_t version = (apr_uint32_t)devcache_get_uint(&r, 4);

    return ours && version != FORMAT_VERSION ? version : 0;
}

devcache_described_t devcache_record_describe(const devcache_record_t *rec)
{
    devcache_described_t d = {rec->key, rec->spec, rec->variant, rec->tags, rec->meta};

    return d;
}

static apr_uint64_t table_size(apr_uint64_t head_len, apr_uint64_t body_len)
{
    return head_len + body_len > DEVCACHE_RECORD_WHOLE ? devcache_sums_size(body_len) : 0;
}

apr_uint64_t devcache_record_length(apr_uint64_t head_len, apr_uint64_t body_len)
{
    return head_len + body_len + table_size(head_len, body_len);
}

apr_uint32_t devcache_record_ref_length(const devcache_record_t *rec)
{
    return (apr_uint32_t)devcache_record_length(rec->ref_head, rec->body_len);
}

void devcache_record_sum(devcache_record_t *rec, apr_pool_t *p)
{
    apr_size_t size;
    unsigned char *table;

    devcache_record_measure(rec);
    size = (apr_size_t)table_size(rec->head_len, rec->body.len);
    rec->table = devcache_slice(NULL, 0);
    if (size == 0) {
        rec->body_sum = XXH3_64bits(rec->body.len ? rec->body.data : "", rec->body.len);
        return;
    }
    table = apr_palloc(p, size);
    devcache_sums_make(table, rec->body.data, rec->body.len);
    rec->table = devcache_slice(table, size);
    rec->body_sum = devcache_sums_root(table, size, 0);
}

static apr_uint64_t head_sum(const unsigned char *head, apr_uint32_t head_len,
                             apr_uint64_t salt, apr_uint64_t offset)
{
    return XXH3_64bits_withSeed(head + SUMMED_FROM, head_len - SUMMED_FROM,
                                salt ^ offset);
}

int devcache_record_measure(devcache_record_t *rec)
{
    apr_uint64_t head = DEVCACHE_RECORD_FIXED;

    if (rec->key.len > DEVCACHE_RECORD_MAX || rec->spec.len > DEVCACHE_RECORD_MAX ||
        rec->variant.len > DEVCACHE_RECORD_MAX || rec->meta.len > DEVCACHE_RECORD_MAX ||
        rec->tags.len > DEVCACHE_RECORD_MAX || rec->body.len > DEVCACHE_RECORD_MAX) {
        return 0;
    }
    head += rec->key.len + rec->spec.len + rec->variant.len + rec->meta.len +
            rec->tags.len;
    if (devcache_record_length(head, rec->body.len) > DEVCACHE_RECORD_MAX) {
        return 0;
    }
    rec->head_len = (apr_uint32_t)head;
    rec->length = (apr_uint32_t)devcache_record_length(head, rec->body.len);
    return 1;
}

void devcache_record_encode(unsigned char *out, const devcache_record_t *rec,
                            apr_uint64_t salt, apr_uint64_t offset)
{
    devcache_writer_t w = {out, 0};

    devcache_put_uint(&w, RECORD_MAGIC ^ salt, 8);
    devcache_put_uint(&w, 0, 8);
    devcache_put_uint(&w, FORMAT_VERSION, 2);
    devcache_put_uint(&w, rec->ref_head, 2);
    devcache_put_uint(&w, rec->length, 4);
    devcache_put_uint(&w, rec->key.len, 4);
    devcache_put_uint(&w, rec->spec.len, 4);
    devcache_put_uint(&w, rec->variant.len, 4);
    devcache_put_uint(&w, rec->meta.len, 4);
    devcache_put_uint(&w, rec->ref_serial ? rec->ref_offset : rec->body.len, 4);
    devcache_put_uint(&w, rec->tags.len, 4);
    devcache_put_uint(&w, rec->ref_serial, 8);
    devcache_put_uint(&w, rec->body_len, 8);
    devcache_put_uint(&w, (apr_uint64_t)rec->requested_at, 8);
    devcache_put_uint(&w, (apr_uint64_t)rec->stored_at, 8);
    devcache_put_uint(&w, (apr_uint64_t)rec->fresh_until, 8);
    devcache_put_uint(&w, rec->body_sum, 8);
    devcache_put_bytes(&w, rec->key.data, rec->key.len);
    devcache_put_bytes(&w, rec->spec.data, rec->spec.len);
    devcache_put_bytes(&w, rec->variant.data, rec->variant.len);
    devcache_put_bytes(&w, rec->meta.data, rec->meta.len);
    devcache_put_bytes(&w, rec->tags.data, rec->tags.len);
    w.len = 8;
    devcache_put_uint(&w, head_sum(out, rec->head_len, salt, offset), 8);
}

/* Lengths must add up exactly, so that no later step needs to check one again. */
static int lengths_agree(const devcache_record_t *rec, apr_uint32_t length)
{
    devcache_record_t again = *rec;

    if (!devcache_record_measure(&again) || again.length != length) {
        return 0;
    }
    if (rec->ref_head) {
        return rec->ref_serial && rec->ref_head >= DEVCACHE_RECORD_FIXED &&
               rec->body_len <= DEVCACHE_RECORD_MAX &&
               devcache_record_length(rec->ref_head, rec->body_len) <=
                   DEVCACHE_RECORD_MAX;
    }
    return rec->ref_serial ? rec->ref_offset == 0 && rec->body_len <= LENGTH_MAX
                           : rec->body.len == rec->body_len;
}

int devcache_record_peek(const unsigned char fixed[DEVCACHE_RECORD_FIXED],
                         apr_uint64_t salt, devcache_record_t *rec)
{
    devcache_reader_t r = devcache_reader(devcache_slice(fixed, DEVCACHE_RECORD_FIXED));
    apr_uint32_t length;

    if (devcache_get_uint(&r, 8) != (RECORD_MAGIC ^ salt)) {
        return 0;
    }
    memset(rec, 0, sizeof(*rec));
    devcache_get_bytes(&r, 8);
    if (devcache_get_uint(&r, 2) != FORMAT_VERSION) {
        return 0;
    }
    rec->ref_head = (apr_uint32_t)devcache_get_uint(&r, 2);
    length = (apr_uint32_t)devcache_get_uint(&r, 4);
    rec->key.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->spec.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->variant.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->meta.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->body.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->tags.len = (apr_size_t)devcache_get_uint(&r, 4);
    rec->ref_serial = devcache_get_uint(&r, 8);
    if (rec->ref_serial) {
        rec->ref_offset = (apr_uint32_t)rec->body.len;
        rec->body.len = 0;
    }
    rec->body_len = devcache_get_uint(&r, 8);
    rec->requested_at = (apr_time_t)devcache_get_uint(&r, 8);
    rec->stored_at = (apr_time_t)devcache_get_uint(&r, 8);
    rec->fresh_until = (apr_time_t)devcache_get_uint(&r, 8);
    rec->body_sum = devcache_get_uint(&r, 8);
    return lengths_agree(rec, length) && devcache_record_measure(rec);
}

static devcache_slice_t next_slice(devcache_reader_t *r, apr_size_t len)
{
    const unsigned char *p = devcache_get_bytes(r, len);

    return devcache_slice(p, p ? len : 0);
}

int devcache_record_check_head(const unsigned char *head, apr_uint64_t salt,
                               apr_uint64_t offset, devcache_record_t *rec)
{
    devcache_reader_t r = devcache_reader(devcache_slice(head, rec->head_len));
    apr_uint64_t sum;

    devcache_get_bytes(&r, 8);
    sum = devcache_get_uint(&r, 8);
    if (r.bad || sum != head_sum(head, rec->head_len, salt, offset)) {
        return 0;
    }
    devcache_get_bytes(&r, DEVCACHE_RECORD_FIXED - SUMMED_FROM);
    rec->key = next_slice(&r, rec->key.len);
    rec->spec = next_slice(&r, rec->spec.len);
    rec->variant = next_slice(&r, rec->variant.len);
    rec->meta = next_slice(&r, rec->meta.len);
    rec->tags = next_slice(&r, rec->tags.len);
    return !r.bad;
}

static int blocks_agree(const devcache_record_t *rec)
{
    const unsigned char *table = (const unsigned char *)rec->table.data;
    apr_size_t i, at;

    for (i = at = 0; at < rec->body.len; i++, at += DEVCACHE_SUMS_BLOCK) {
        apr_size_t left = rec->body.len - at;

        if (!devcache_sums_check(table, i, rec->body.data + at,
                                 left < DEVCACHE_SUMS_BLOCK ? left
                                                            : DEVCACHE_SUMS_BLOCK)) {
            return 0;
        }
    }
    return devcache_sums_root(table, rec->table.len, 0) == rec->body_sum;
}

int devcache_record_check_body(const unsigned char *head, devcache_record_t *rec)
{
    apr_size_t table = (apr_size_t)table_size(rec->head_len, rec->body_len);

    rec->body = devcache_slice(head + rec->head_len, (apr_size_t)rec->body_len);
    rec->table = devcache_slice(head + rec->head_len + rec->body.len, table);
    return table ? blocks_agree(rec)
                 : XXH3_64bits(rec->body.data, rec->body.len) == rec->body_sum;
}
