/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/coding.h
 * Codings of bodies (RFC 9110 section 8.4): which a request accepts, and which of them the
 * origin is asked for (DevCacheEncodings).
 *
 * Ownership  Results are what was given, or live in the pool given.
 */
#ifndef DEVCACHE_HTTP_CODING_H
#define DEVCACHE_HTTP_CODING_H

#include <apr_tables.h>
#include "base/bytes.h"

/** Old names of the same codings: x-gzip is gzip (section 8.4.1.3). */
devcache_slice_t devcache_coding_alias(devcache_slice_t name);

/**
 * Does a value of Accept-Encoding accept a coding (section 12.5.3)? @a value NULL: without
 * the field anything may be sent, but nobody does, so it accepts "identity" alone.
 */
int devcache_coding_accepted(const char *value, devcache_slice_t coding);

/**
 * Accept-Encoding as the origin is sent it: the codings of a list that it accepts, in the
 * list's order, without weights.
 * @param known  const char *, lower case, the dearest first; NULL: all
 * @return @a value itself where it says just that, where it refuses bodies without a
 *         coding, or where all are kept; NULL if it accepts none of them
 */
const char *devcache_coding_reduced(const apr_array_header_t *known, const char *value,
                                    apr_pool_t *p);

/**
 * The same of a request's header. Codings that need a dictionary (RFC 9842: dcb, dcz) stay
 * as well where the request names the one that it has.
 */
const char *devcache_coding_sent(const apr_array_header_t *known,
                                 const apr_table_t *request, apr_pool_t *p);

/** Is a body in this coding for those alone who have the same dictionary (RFC 9842)? */
int devcache_coding_needs_dictionary(devcache_slice_t coding);

#endif
