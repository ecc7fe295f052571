/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/normal.h
 * A request header as one of few values: what a page can depend on is listed, what a
 * visitor wants is found in the list (DevCacheNormalize).
 *
 * Ownership  Nothing is allocated; results are among the listed values.
 */
#ifndef DEVCACHE_HTTP_NORMAL_H
#define DEVCACHE_HTTP_NORMAL_H

#include <apr_tables.h>

typedef struct devcache_normal_t {
    const char *header;
    const apr_array_header_t *values; /* const char *, the dearest first */
} devcache_normal_t;

/** Why no header of this name can be normalised, to follow its name; NULL: it can. */
const char *devcache_normal_refuses(const char *header);

/**
 * The listed value that a header's value asks for: the one with the highest weight (RFC
 * 9110 section 12.4.2), of equal ones the first in the list. Letters' case does not
 * count. In Accept-Language, "de" is also what "de-AT" asks for, if that is not listed
 * itself (RFC 4647 section 3.4). Wildcards ask for nothing in particular.
 * @return NULL if it asks for none of them, or is longer than one should be
 */
const char *devcache_normal_value(const devcache_normal_t *n, const char *value);

#endif
