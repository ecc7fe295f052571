/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects.
 *
 *     object   'O' version 1 | run 8 | position 8 8 | node 8 | number 8
 *              | began 8 | written 8 | age 8 | left 8 | record | signature
 *     hint     'S' version 1 | spec, a slice | signature
 *
 * The record is the store's own, as it would lie at offset 0 of a segment whose salt is
 * the hash of the configuration: its checksums are wrong for whoever has another one. The
 * signature is over the name as well, so that nothing can be moved to another one.
 */
#include "tier/object.h"

#include <apr_strings.h>
#include <xxhash.h>
#include "devcache_vary.h"

#define VERSION 1
#define FRONT (2 + 9 * 8)

const char *devcache_tier_object_name(const char *prefix, apr_uint64_t configuration,
                                      devcache_slice_t key, devcache_slice_t spec,
                                      devcache_slice_t variant, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};
    XXH128_hash_t hash;
    int again;

    for (again = 0; again < 2; again++) {
        w.buf = again ? apr_palloc(p, w.len) : NULL;
        w.len = 0;
        devcache_put_slice(&w, key);
        devcache_put_slice(&w, spec);
        devcache_put_slice(&w, variant);
    }
    hash = XXH3_128bits_withSeed(w.buf, w.len, configuration);
    return apr_psprintf(p, "%s%016" APR_UINT64_T_HEX_FMT "%016" APR_UINT64_T_HEX_FMT,
                        prefix, (apr_uint64_t)hash.high64, (apr_uint64_t)hash.low64);
}

apr_size_t devcache_tier_object_size(const devcache_record_t *record)
{
    return FRONT + record->length + DEVCACHE_TIER_SIGNATURE;
}

char *devcache_tier_object_body(char *room, const devcache_record_t *record)
{
    return room + FRONT + record->head_len;
}

void devcache_tier_object_seal(char *room, devcache_record_t *record,
                               apr_uint64_t configuration, apr_pool_t *p)
{
    record->body = devcache_slice(devcache_tier_object_body(room, record),
                                  (apr_size_t)record->body_len);
    devcache_record_sum(record, p);
    devcache_record_encode((unsigned char *)room + FRONT, record, configuration, 0);
    if (record->table.len) {
        memcpy(room + FRONT + record->head_len + record->body.len, record->table.data,
               record->table.len);
    }
}

static int sign(devcache_slice_t bytes, const char *kind, const char *name,
                const devcache_tier_key_t *key, char *out)
{
    devcache_slice_t parts[] = {devcache_slice_str(kind), devcache_slice_str(name),
                                bytes};

    return !key->secret.data ||
           devcache_tier_key_sign(key, parts, 3, (unsigned char *)out);
}

apr_size_t devcache_tier_object_finish(char *room, const devcache_tier_object_t *o,
                                       const char *name, const devcache_tier_key_t *key)
{
    devcache_writer_t w = {(unsigned char *)room, 0};

    devcache_put_uint(&w, 'O', 1);
    devcache_put_uint(&w, VERSION, 1);
    devcache_put_uint(&w, o->then.run, 8);
    devcache_put_uint(&w, o->then.position.ms, 8);
    devcache_put_uint(&w, o->then.position.seq, 8);
    devcache_put_uint(&w, o->then.node, 8);
    devcache_put_uint(&w, o->then.number, 8);
    devcache_put_uint(&w, (apr_uint64_t)o->began, 8);
    devcache_put_uint(&w, (apr_uint64_t)o->written, 8);
    devcache_put_uint(&w, (apr_uint64_t)o->age, 8);
    devcache_put_uint(&w, (apr_uint64_t)o->left, 8);
    w.len += o->record.length;
    return sign(devcache_slice(room, w.len), "object", name, key, room + w.len)
               ? w.len + (key->secret.data ? DEVCACHE_TIER_SIGNATURE : 0)
               : 0;
}

devcache_slice_t devcache_tier_object_hint(const char *spec, const char *name,
                                           const devcache_tier_key_t *key, apr_pool_t *p)
{
    devcache_writer_t w = {apr_palloc(p, 2 + 4 + strlen(spec) + DEVCACHE_TIER_SIGNATURE),
                           0};

    devcache_put_uint(&w, 'S', 1);
    devcache_put_uint(&w, VERSION, 1);
    devcache_put_slice(&w, devcache_slice_str(spec));
    return sign(devcache_slice(w.buf, w.len), "hint", name, key, (char *)w.buf + w.len)
               ? devcache_slice(w.buf,
                                w.len + (key->secret.data ? DEVCACHE_TIER_SIGNATURE : 0))
               : devcache_slice(NULL, 0);
}

/* ---- reading ------------------------------------------------------------------------- */

/* Take the signature off. @return 0 if it is wrong */
static int verify(devcache_slice_t *bytes, const char *kind, const char *name,
                  const devcache_tier_key_t *key)
{
    devcache_slice_t parts[] = {devcache_slice_str(kind), devcache_slice_str(name),
                                *bytes};

    if (!key->secret.data) {
        return 1;
    }
    if (bytes->len < DEVCACHE_TIER_SIGNATURE) {
        return 0;
    }
    bytes->len -= DEVCACHE_TIER_SIGNATURE;
    parts[2] = *bytes;
    return devcache_tier_key_matches(key, parts, 3, bytes->data + bytes->len);
}

/* Specs come from outside here, and go into decisions as text. */
static int is_spec(devcache_slice_t spec)
{
    apr_size_t i;

    for (i = 0; i < spec.len; i++) {
        if (spec.data[i] < 0x20 || spec.data[i] > 0x7e) {
            return 0;
        }
    }
    return spec.data && spec.len <= DEVCACHE_VARY_MAX_SPEC;
}

static int read_record(devcache_slice_t bytes, apr_uint64_t configuration,
                       devcache_record_t *rec)
{
    const unsigned char *at = (const unsigned char *)bytes.data;

    return bytes.len >= DEVCACHE_RECORD_FIXED &&
           devcache_record_peek(at, configuration, rec) && rec->length == bytes.len &&
           !rec->ref_serial && devcache_record_check_head(at, configuration, 0, rec) &&
           devcache_record_check_body(at, rec) && is_spec(rec->spec);
}

static int read_object(devcache_slice_t bytes, const char *name,
                       apr_uint64_t configuration, const devcache_tier_key_t *key,
                       devcache_tier_object_t *out)
{
    devcache_reader_t r;

    if (!verify(&bytes, "object", name, key) || bytes.len < FRONT) {
        return 0;
    }
    r = devcache_reader(bytes);
    devcache_get_uint(&r, 2);
    out->then.run = devcache_get_uint(&r, 8);
    out->then.position.ms = devcache_get_uint(&r, 8);
    out->then.position.seq = devcache_get_uint(&r, 8);
    out->then.node = devcache_get_uint(&r, 8);
    out->then.number = devcache_get_uint(&r, 8);
    out->began = (apr_time_t)devcache_get_uint(&r, 8);
    out->written = (apr_time_t)devcache_get_uint(&r, 8);
    out->age = (apr_interval_time_t)devcache_get_uint(&r, 8);
    out->left = (apr_interval_time_t)devcache_get_uint(&r, 8);
    return out->began > 0 && out->written >= out->began && out->age >= 0 &&
           out->left > 0 &&
           read_record(devcache_slice(bytes.data + FRONT, bytes.len - FRONT),
                       configuration, &out->record);
}

static int read_hint(devcache_slice_t bytes, const char *name,
                     const devcache_tier_key_t *key, devcache_tier_object_t *out)
{
    devcache_reader_t r;

    if (!verify(&bytes, "hint", name, key)) {
        return 0;
    }
    r = devcache_reader(bytes);
    devcache_get_uint(&r, 2);
    out->record.spec = devcache_get_slice(&r);
    return !r.bad && r.pos == r.end && is_spec(out->record.spec);
}

devcache_tier_read_e devcache_tier_object_read(devcache_slice_t bytes, const char *name,
                                               apr_uint64_t configuration,
                                               const devcache_tier_key_t *key,
                                               devcache_tier_object_t *out)
{
    memset(out, 0, sizeof(*out));
    if (bytes.len < 2 || bytes.data[1] != VERSION) {
        return DEVCACHE_TIER_READ_NOTHING;
    }
    if (bytes.data[0] == 'O' && read_object(bytes, name, configuration, key, out)) {
        return DEVCACHE_TIER_READ_OBJECT;
    }
    if (bytes.data[0] == 'S' && read_hint(bytes, name, key, out)) {
        return DEVCACHE_TIER_READ_HINT;
    }
    return DEVCACHE_TIER_READ_NOTHING;
}
