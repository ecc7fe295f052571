/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, numbers and entity tags. */
#include "http/field.h"

#include "fuzz.h"

static void check_members(const char *data, size_t len)
{
    const char *cursor = data, *end = data;
    devcache_slice_t m;

    while (devcache_field_next(&cursor, &m)) {
        apr_int64_t delta = devcache_field_delta(m);
        must(m.data >= end && m.len > 0 && m.data + m.len <= data + len);
        must(devcache_slice_eq(devcache_field_trim(m), m) && m.data[0] != ',');
        must(delta >= -1 && delta <= DEVCACHE_FIELD_DELTA_MAX);
        end = m.data + m.len;
    }
    must(*cursor == '\0');
}

static void check_etags(const char *data, size_t len)
{
    const char *cursor = data, *end = data;
    devcache_etag_t e;

    while (devcache_field_next_etag(&cursor, &e)) {
        must(e.opaque.data >= end && e.opaque.data + e.opaque.len <= data + len);
        must(e.opaque.len >= 2 && e.opaque.data[0] == '"');
        must(e.opaque.data[e.opaque.len - 1] == '"');
        end = e.opaque.data + e.opaque.len;
    }
    must(*cursor == '\0');
    if (devcache_field_etag(data, &e)) {
        must(e.opaque.len + (e.weak ? 2 : 0) == strlen(data));
    }
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 1);
    apr_int64_t age;

    check_members(data, len);
    check_etags(data, len);
    apr_table_addn(t, "Age", data);
    age = devcache_field_age(t);
    must(age >= -1 && age <= DEVCACHE_FIELD_DELTA_MAX);
}
