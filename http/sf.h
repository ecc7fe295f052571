/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/sf.h
 * Dictionaries and lists of Structured Fields (RFC 9651), parsed strictly.
 *
 * Only what a cache directive can be is handed out with its value; parameters and the
 * other types are checked and passed over.
 * Ownership  Slices point into the value given.
 * Errors     One fault anywhere makes the whole field void: read all members before
 *            using any.
 */
#ifndef DEVCACHE_HTTP_SF_H
#define DEVCACHE_HTTP_SF_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "base/bytes.h"

typedef enum devcache_sf_e {
    DEVCACHE_SF_TRUE,
    DEVCACHE_SF_FALSE,
    DEVCACHE_SF_INTEGER,
    DEVCACHE_SF_STRING,
    DEVCACHE_SF_INNER_LIST,
    DEVCACHE_SF_OTHER /* Decimal, Token, Byte Sequence, Date, Display String */
} devcache_sf_e;

typedef struct devcache_sf_member_t {
    devcache_slice_t key;
    devcache_sf_e type;
    apr_int64_t integer;     /* INTEGER: at most 15 digits */
    devcache_slice_t string; /* STRING: between the quotes, escapes left as they are */
    const char *items;       /* INNER_LIST: for devcache_sf_item() */
} devcache_sf_member_t;

/**
 * The next member of a dictionary, in the order of the text; of members with the same
 * key the last one counts.
 * @param cursor  at the start of the combined value at first
 * @return 1 *m is set; 0 the end; -1 the value is no dictionary
 */
int devcache_sf_next(const char **cursor, devcache_sf_member_t *m);

/** The next member of a list; it has no key. @return as devcache_sf_next() */
int devcache_sf_member(const char **cursor, devcache_sf_member_t *m);

/**
 * The next item of an inner list that devcache_sf_next() has found right.
 * @param items  m->items at first
 * @return 0: there is none any more
 */
int devcache_sf_item(const char **items, devcache_sf_member_t *m);

/** The text of a string, without its escapes; in @a p. */
const char *devcache_sf_text(devcache_slice_t string, apr_pool_t *p);

/** Is a field that is one Boolean there, and true? */
int devcache_sf_is_true(const apr_table_t *fields, const char *name);

#endif
