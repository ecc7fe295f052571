/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/range.h
 * Parts of a representation (RFC 9110 section 14): which are asked for, which has come,
 * and what tells that two of them are of one representation.
 *
 * Pure functions; positions are bytes from 0, ends included.
 */
#ifndef DEVCACHE_HTTP_RANGE_H
#define DEVCACHE_HTTP_RANGE_H

#include <apr_tables.h>
#include <apr_time.h>

typedef struct devcache_span_t {
    apr_int64_t first, last;
} devcache_span_t;

/** How many of its bytes there are. */
static inline apr_int64_t devcache_range_size(devcache_span_t span)
{
    return span.last - span.first + 1;
}

/**
 * A Range as asked, before the length is known: is it one range of bytes?
 * @param span  first -1: the last so many (last) bytes; last APR_INT64_MAX: to the end
 * @return 0 if it is several, another unit, or none by the grammar
 */
int devcache_range_single(const char *value, devcache_span_t *span);

/**
 * Where it lies in a representation of @a length bytes.
 * @return 0 if it cannot be satisfied
 */
int devcache_range_resolve(devcache_span_t *span, apr_int64_t length);

/**
 * A Content-Range of bytes whose length is known (section 14.4).
 * @return 0 if it is no such one, or contradicts itself
 */
int devcache_range_content(const char *value, devcache_span_t *span, apr_int64_t *length);

/**
 * The strong validator of a response (sections 8.8.1 to 8.8.3), as If-Range would have it:
 * its entity tag, if that is not weak; without one its Last-Modified, if that is a minute
 * older than its Date at least. NULL: it has none.
 */
const char *devcache_range_validator(const apr_table_t *fields);

/**
 * Does an If-Range (section 13.1.5) let the range be answered from this response?
 * NULL, no If-Range: yes.
 */
int devcache_range_if(const char *if_range, const apr_table_t *fields);

#endif
