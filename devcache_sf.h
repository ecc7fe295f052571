/**
 * @file devcache_sf.h
 * Dictionaries of Structured Fields (RFC 9651), parsed strictly.
 *
 * Only what a cache directive can be is handed out with its value; parameters and the
 * other types are checked and passed over.
 * Ownership  Slices point into the value given.
 * Errors     One fault anywhere makes the whole field void: read all members before
 *            using any.
 */
#ifndef DEVCACHE_SF_H
#define DEVCACHE_SF_H

#include <apr.h>
#include "devcache_bytes.h"

typedef enum devcache_sf_e {
    DEVCACHE_SF_TRUE,
    DEVCACHE_SF_FALSE,
    DEVCACHE_SF_INTEGER,
    DEVCACHE_SF_STRING,
    DEVCACHE_SF_OTHER /* Decimal, Token, Byte Sequence, Date, Display String, Inner List
                       */
} devcache_sf_e;

typedef struct devcache_sf_member_t {
    devcache_slice_t key;
    devcache_sf_e type;
    apr_int64_t integer;     /* INTEGER: at most 15 digits */
    devcache_slice_t string; /* STRING: between the quotes, escapes left as they are */
} devcache_sf_member_t;

/**
 * The next member of a dictionary, in the order of the text; of members with the same
 * key the last one counts.
 * @param cursor  at the start of the combined value at first
 * @return 1 *m is set; 0 the end; -1 the value is no dictionary
 */
int devcache_sf_next(const char **cursor, devcache_sf_member_t *m);

#endif
