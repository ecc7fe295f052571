/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/json.h
 * Writing JSON (RFC 8259), whatever the strings hold.
 *
 * Knows bytes and numbers. A writer keeps track of commas and of what is open, and hands
 * out text piece by piece; it allocates nothing.
 * Ownership  The writer is the caller's; strings are read during the call only.
 * Errors     None: bytes that are no UTF-8 become U+FFFD, each one; a real number that is
 *            none, or of 1e12 or more, becomes null.
 */
#ifndef DEVCACHE_BASE_JSON_H
#define DEVCACHE_BASE_JSON_H

#include <apr_pools.h>
#include "base/bytes.h"

/** Takes the text as it comes, in pieces of any length. */
typedef void devcache_json_put_fn(void *baton, const char *text, apr_size_t len);

#define DEVCACHE_JSON_DEPTH 64 /* deeper than this must not be nested */

typedef struct devcache_json_t {
    devcache_json_put_fn *put;
    void *baton;
    apr_uint64_t arrays; /* bit d: what is open at depth d is an array */
    unsigned depth;      /* how much is open */
    int begun;           /* what is open has a member already */
} devcache_json_t;

void devcache_json_init(devcache_json_t *j, devcache_json_put_fn *put, void *baton);

/* In all of these @a name is the member's name in an object, NULL in an array and for the
 * outermost value. */

void devcache_json_object(devcache_json_t *j, const char *name);
void devcache_json_array(devcache_json_t *j, const char *name);

/** Close what was opened last; after the outermost a newline ends the text. */
void devcache_json_end(devcache_json_t *j);

void devcache_json_string(devcache_json_t *j, const char *name, const char *value);
void devcache_json_bytes(devcache_json_t *j, const char *name, devcache_slice_t value);
void devcache_json_int(devcache_json_t *j, const char *name, apr_int64_t value);
void devcache_json_uint(devcache_json_t *j, const char *name, apr_uint64_t value);
void devcache_json_bool(devcache_json_t *j, const char *name, int value);
void devcache_json_null(devcache_json_t *j, const char *name);

/** With up to @a decimals (0 to 6) places behind the point. */
void devcache_json_real(devcache_json_t *j, const char *name, double value, int decimals);

/** What stands between the quotes of a JSON string, in @a p. */
const char *devcache_json_escape(devcache_slice_t value, apr_pool_t *p);

#endif
