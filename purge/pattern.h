/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file purge/pattern.h
 * Patterns of URLs and hosts, as purgers write them, made into conditions of a ban.
 *
 * Pure functions. A ban compares decoded text: the path as httpd decodes it and the query
 * with its percent-encoding undone. So every pattern is decoded here, once.
 * Ownership  Results live in the pool given.
 */
#ifndef DEVCACHE_PURGE_PATTERN_H
#define DEVCACHE_PURGE_PATTERN_H

#include <apr_pools.h>
#include "purge/ban.h"

/** Where a pattern stood; it decides what a percent-encoded character in it means. */
typedef enum devcache_pattern_from_e {
    DEVCACHE_PATTERN_FIELD, /* in a header field: it stands for itself */
    DEVCACHE_PATTERN_URL    /* in the request's URL: as there, unless a URL cannot hold
                             * that character plainly, as in %5C, %5E or %7C */
} devcache_pattern_from_e;

/**
 * A regular expression as the cheapest condition that means the same.
 * @param anchored  it matches from the beginning, whether or not it says ^
 */
devcache_ban_text_t devcache_pattern_regex(const char *regex, int anchored,
                                           devcache_pattern_from_e from, apr_pool_t *p);

/** As devcache_pattern_regex(), of host names: in any case of letters. */
devcache_ban_text_t devcache_pattern_host(const char *regex, apr_pool_t *p);

/** With percent-encoding undone, but for %00, which stays as it is. */
const char *devcache_pattern_decode(const char *text, apr_pool_t *p);

/**
 * Which of the asterisks in a path are wildcards: those that the client wrote plainly.
 * @param sent  the path as it was sent, or more that ends with it
 * @param path  the same, decoded and normalised
 * @return as many of "*" and "-" as @a path has asterisks; NULL if it cannot be told
 */
const char *devcache_pattern_stars(const char *sent, const char *path, apr_pool_t *p);

/**
 * A URL in which an asterisk stands for anything.
 * @param stars  of devcache_pattern_stars(), for @a path
 * @param query  as sent, where each plain asterisk is a wildcard; NULL: none
 */
devcache_ban_text_t devcache_pattern_wildcard(const char *path, const char *stars,
                                              const char *query, apr_pool_t *p);

#endif
