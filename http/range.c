/* SPDX-License-Identifier: Apache-2.0 */
#include "http/range.h"

#include <string.h>
#include "http/field.h"

/*
 * Ranges are read as strictly as httpd's own filter reads them, which cuts parts out of what
 * is stored: what it would take for no range is none here.
 */

#define CLOCKS_APART apr_time_from_sec(60) /* RFC 9110 section 8.8.2.2 */

/* Digits at the cursor; -1: none, or more than a position can be. */
static apr_int64_t get_number(const char **at)
{
    const apr_int64_t limit = (APR_INT64_MAX - 9) / 10;
    apr_int64_t n = 0;

    if (**at < '0' || **at > '9') {
        return -1;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (n > limit) {
            return -1;
        }
        n = n * 10 + (**at - '0');
    }
    return n;
}

int devcache_range_single(const char *value, devcache_span_t *span)
{
    const char *at = value;

    if (!value || strncasecmp(value, "bytes=", 6)) {
        return 0;
    }
    at += 6;
    if (*at == '-') {
        at++;
        span->first = -1;
        span->last = get_number(&at);
        return span->last >= 0 && !*at;
    }
    span->first = get_number(&at);
    if (span->first < 0 || *at++ != '-') {
        return 0;
    }
    span->last = *at ? get_number(&at) : APR_INT64_MAX;
    return span->last >= span->first && !*at;
}

int devcache_range_resolve(devcache_span_t *span, apr_int64_t length)
{
    if (span->first < 0) {
        if (span->last == 0) {
            return 0;
        }
        span->first = span->last < length ? length - span->last : 0;
        span->last = length - 1;
    }
    if (span->last >= length) {
        span->last = length - 1;
    }
    return length > 0 && span->first < length;
}

int devcache_range_content(const char *value, devcache_span_t *span, apr_int64_t *length)
{
    const char *at = value;

    if (!value || strncasecmp(value, "bytes ", 6)) {
        return 0;
    }
    at += 6;
    span->first = get_number(&at);
    if (span->first < 0 || *at++ != '-') {
        return 0;
    }
    span->last = get_number(&at);
    if (span->last < span->first || *at++ != '/') {
        return 0;
    }
    *length = get_number(&at);
    return *length > span->last && !*at;
}

/* The instant that a response was last modified, where that is a strong validator. */
static int get_strong_date(const apr_table_t *fields, apr_time_t *modified)
{
    const char *last = devcache_field_single(fields, "Last-Modified");
    const char *said = devcache_field_single(fields, "Date");
    apr_time_t date;

    return last && said && devcache_field_date(said, 0, &date) &&
           devcache_field_date(last, date, modified) && date - *modified >= CLOCKS_APART;
}

const char *devcache_range_validator(const apr_table_t *fields)
{
    devcache_etag_t etag;
    apr_time_t modified;

    if (apr_table_get(fields, "ETag")) {
        const char *tag = devcache_field_single(fields, "ETag");

        return devcache_field_etag(tag, &etag) && !etag.weak ? tag : NULL;
    }
    return get_strong_date(fields, &modified) ? apr_table_get(fields, "Last-Modified")
                                              : NULL;
}

int devcache_range_if(const char *if_range, const apr_table_t *fields)
{
    devcache_etag_t asked, ours;
    apr_time_t date, modified;

    if (!if_range) {
        return 1;
    }
    if (devcache_field_etag(if_range, &asked)) {
        return !asked.weak &&
               devcache_field_etag(devcache_field_single(fields, "ETag"), &ours) &&
               !ours.weak && devcache_slice_eq(asked.opaque, ours.opaque);
    }
    return get_strong_date(fields, &modified) &&
           devcache_field_date(if_range, 0, &date) && date == modified;
}
