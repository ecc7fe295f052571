/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges. The first line of the input is a Range and a Content-Range, the others are the
 * ETag, Last-Modified and Date of a response, and an If-Range about it.
 *
 * What is read lies within what it is said to be of, and written again it is read as the
 * same. A validator is one of the response's own fields, and matches itself alone.
 */
#include "http/range.h"

#include <apr_strings.h>
#include "fuzz.h"

#define N "%" APR_INT64_T_FMT

static void must_be_within(devcache_span_t span, apr_int64_t length)
{
    must(span.first >= 0 && span.first <= span.last && span.last < length);
    must(devcache_range_size(span) >= 1 && devcache_range_size(span) <= length);
}

static void check_asked(const char *value, apr_pool_t *p)
{
    static const apr_int64_t lengths[] = {0, 1, 100, 65536, APR_INT64_MAX};
    devcache_span_t span, again;
    const char *text;
    size_t i;

    if (!devcache_range_single(value, &span)) {
        return;
    }
    must(span.first < 0 ? span.first == -1 && span.last >= 0 : span.last >= span.first);
    text = span.first < 0 ? apr_psprintf(p, "bytes=-" N, span.last)
           : span.last == APR_INT64_MAX
               ? apr_psprintf(p, "bytes=" N "-", span.first)
               : apr_psprintf(p, "bytes=" N "-" N, span.first, span.last);
    must(devcache_range_single(text, &again));
    must(again.first == span.first && again.last == span.last);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        again = span;
        if (devcache_range_resolve(&again, lengths[i])) {
            must_be_within(again, lengths[i]);
            must(span.first < 0 || again.first == span.first);
        } else {
            must(span.first >= lengths[i] || !lengths[i] ||
                 (span.first < 0 && !span.last));
        }
    }
}

static void check_content(const char *value, apr_pool_t *p)
{
    devcache_span_t span, again;
    apr_int64_t length, as_long;

    if (!devcache_range_content(value, &span, &length)) {
        return;
    }
    must_be_within(span, length);
    must(devcache_range_content(
        apr_psprintf(p, "bytes " N "-" N "/" N, span.first, span.last, length), &again,
        &as_long));
    must(again.first == span.first && again.last == span.last && as_long == length);
}

static void check_validator(apr_table_t *fields, const char *if_range)
{
    const char *ours = devcache_range_validator(fields);

    must(devcache_range_if(NULL, fields));
    if (ours) {
        must(ours == apr_table_get(fields, "ETag") ||
             ours == apr_table_get(fields, "Last-Modified"));
        must(devcache_range_if(ours, fields));
    }
    if (devcache_range_if(if_range, fields)) {
        must(strncmp(if_range, "W/", 2) != 0);
        must(devcache_range_validator(fields) != NULL ||
             apr_table_get(fields, "ETag") != NULL);
    }
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    static const char *const names[] = {"ETag", "Last-Modified", "Date"};
    apr_table_t *fields = apr_table_make(p, 3);
    char *rest = apr_pstrmemdup(p, data, len);
    char *value = strsep(&rest, "\n");
    size_t i;

    check_asked(value, p);
    check_content(value, p);
    for (i = 0; rest && i < sizeof names / sizeof *names; i++) {
        value = strsep(&rest, "\n");
        if (*value) {
            apr_table_addn(fields, names[i], value);
        }
    }
    check_validator(fields, rest ? rest : "");
}
