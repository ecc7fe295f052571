/* SPDX-License-Identifier: Apache-2.0 */
/* Dictionaries of structured fields, and what a targeted field makes of them. */
#include "http/sf.h"

#include "http/directive.h"
#include "http/field.h"
#include "fuzz.h"

static int check_members(const char *data, size_t len)
{
    const char *cursor = data;
    devcache_sf_member_t m;
    int more;

    while ((more = devcache_sf_next(&cursor, &m)) > 0) {
        must(m.key.len > 0 && m.key.data >= data && m.key.data + m.key.len <= cursor);
        must(devcache_field_is_token(m.key));
        must(cursor <= data + len);
        if (m.type == DEVCACHE_SF_INTEGER) {
            must(m.integer > -1000000000000000LL && m.integer < 1000000000000000LL);
        }
        if (m.type == DEVCACHE_SF_STRING) {
            must(m.string.data > m.key.data && m.string.data + m.string.len < cursor);
        }
    }
    return more == 0;
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    apr_array_header_t *targets = apr_array_make(p, 1, sizeof(const char *));
    apr_table_t *t = apr_table_make(p, 1);
    int valid = check_members(data, len);
    devcache_directives_t d;

    APR_ARRAY_PUSH(targets, const char *) = "CDN-Cache-Control";
    apr_table_addn(t, "CDN-Cache-Control", data);
    must(!devcache_directive_response(targets, t, &d, p) || valid);
    must(d.max_age >= -1 && d.max_age <= DEVCACHE_FIELD_DELTA_MAX);
}
