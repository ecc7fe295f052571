/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/field.h
 * The syntax of HTTP field values: lines and lists, numbers, dates, entity tags.
 *
 * Knows grammar, not meaning. Everything reads from left to right once, whatever the
 * value; nothing allocates unless a pool is given.
 * Ownership  Slices point into the values given.
 * Units      Ages and deltas in whole seconds, instants apr_time_t.
 * Errors     A value that does not follow its grammar is reported as such, never
 *            guessed at; the caller knows which way is safe.
 */
#ifndef DEVCACHE_HTTP_FIELD_H
#define DEVCACHE_HTTP_FIELD_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include "base/bytes.h"

/** The largest age or delta: more is taken as this (RFC 9111 section 1.2.2). */
#define DEVCACHE_FIELD_DELTA_MAX ((apr_int64_t)1 << 31)

/**
 * The lines of one name in a table, in order.
 * @param index  0 at first; moved behind the line returned
 * @return the value, or NULL behind the last line
 */
const char *devcache_field_line(const apr_table_t *headers, const char *name, int *index);

/** All lines of a name as one value: joined by ", ", Cookie by "; "; NULL if absent. */
const char *devcache_field_combined(const apr_table_t *headers, const char *name,
                                    apr_pool_t *p);

/**
 * The value of a field that is not a list. Lines that repeat the same value count once.
 * @return NULL if absent; "" if the lines contradict each other
 */
const char *devcache_field_single(const apr_table_t *headers, const char *name);

/** Is @a c a character of a token (RFC 9110 section 5.6.2)? */
static inline int devcache_field_tchar(char c)
{
    extern const unsigned char devcache_field_tchars[256];

    return devcache_field_tchars[(unsigned char)c];
}

/** Is a value without control characters other than tab (RFC 9110 section 5.5)? */
int devcache_field_is_clean(const char *value, apr_size_t len);

/** Is the slice a token, that is a possible field name or method? */
int devcache_field_is_token(devcache_slice_t s);

/** Equal but for ASCII case. */
int devcache_field_is(devcache_slice_t s, const char *lower);

/** A letter in lower case (ASCII), whatever the locale. */
static inline char devcache_field_lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/** A copy in lower case (ASCII). */
char *devcache_field_lower(const char *data, apr_size_t len, apr_pool_t *p);

/** Without white space (space, tab) at its ends. */
devcache_slice_t devcache_field_trim(devcache_slice_t s);

/**
 * The next member of a comma-separated list (RFC 9110 section 5.6.1): white space around
 * it removed, empty members skipped, commas inside quoted strings no separators. A
 * quoted string that does not end reaches to the end of the value.
 * @param cursor  moved behind the member
 * @return 0 at the end
 */
int devcache_field_next(const char **cursor, devcache_slice_t *member);

/** Is the token among the list members of all lines of @a name? Case does not matter. */
int devcache_field_has(const apr_table_t *headers, const char *name, const char *lower);

/**
 * Do two field names begin with the same @a len bytes to an origin that makes CGI
 * variables of them, where case does not matter, nor "_" or "-"? With a length that
 * includes the NUL: are they the same?
 */
int devcache_field_same_variable(const char *a, const char *b, apr_size_t len);

/** Digits only, cut to DEVCACHE_FIELD_DELTA_MAX; -1 for anything else. */
apr_int64_t devcache_field_delta(devcache_slice_t s);

/** A qvalue (RFC 9110 section 12.4.2) in thousandths; -1 if it is none. */
int devcache_field_qvalue(devcache_slice_t s);

/** The Age of a response in seconds: its first member; -1 if absent or invalid. */
apr_int64_t devcache_field_age(const apr_table_t *headers);

/**
 * A date in one of the three forms of RFC 9110 section 5.6.7, letters in any case and
 * nothing else different from the grammar. The weekday is not compared with the date.
 * @param near  two-digit years lie at most 50 years after this
 * @return 0 and *out untouched if it is none
 */
int devcache_field_date(const char *value, apr_time_t near, apr_time_t *out);

/** An entity tag: RFC 9110 section 8.8.3. */
typedef struct devcache_etag_t {
    int weak;
    devcache_slice_t opaque; /* with its quotes */
} devcache_etag_t;

/** A value that is exactly one entity tag; 0 if it is not (or NULL). */
int devcache_field_etag(const char *value, devcache_etag_t *out);

/**
 * The next entity tag of If-Match or If-None-Match. Members that are no entity tags
 * are passed over, and cannot match anything.
 */
int devcache_field_next_etag(const char **cursor, devcache_etag_t *out);

/** Has a name one of @a parts (NULL ends them) between its hyphens and underscores? */
int devcache_field_has_part(const char *name, const char *const parts[]);

/**
 * Does a request field of that name hold what must not be shown to others: cookies,
 * credentials, keys, tokens? By its name; Surrogate-Key and its like are none.
 */
int devcache_field_is_secret(const char *name);

#endif
