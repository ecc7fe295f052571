/* SPDX-License-Identifier: Apache-2.0 */
/* Cache-Control, the lines of the input being its lines. */
#include "http/directive.h"

#include <apr_strings.h>

#include "http/field.h"
#include "fuzz.h"

static void check_delta(apr_int64_t v)
{
    must(v >= -1 && v <= DEVCACHE_FIELD_DELTA_MAX);
}

static void check(const devcache_directives_t *d)
{
    devcache_slice_t name;
    int i;

    check_delta(d->max_age);
    check_delta(d->s_maxage);
    check_delta(d->stale_while_revalidate);
    check_delta(d->stale_if_error);
    check_delta(d->min_fresh);
    check_delta(d->max_stale);
    for (i = 0; d->listed && i < d->listed->nelts; i++) {
        const char *list = APR_ARRAY_IDX(d->listed, i, const char *);
        int names = 0;
        for (; devcache_field_next(&list, &name); names++) {
            must(devcache_field_is_token(name));
        }
        must(names > 0);
    }
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 4);
    devcache_directives_t with, without;

    for (;;) {
        size_t line = strcspn(data, "\n");
        apr_table_addn(t, "Cache-Control", apr_pstrmemdup(p, data, line));
        if (!data[line]) {
            break;
        }
        data += line + 1;
    }
    devcache_directive_cache_control(t, &with, p);
    check(&with);
    devcache_directive_cache_control(t, &without, NULL);
    check(&without);
    must(without.no_cache >= with.no_cache && without.is_private >= with.is_private);
    must(without.no_store == with.no_store && without.max_age == with.max_age);
}
