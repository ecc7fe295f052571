/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/cookies.h
 * Which of a visitor's cookies the application is sent, and so which of them count
 * (DevCacheCookies).
 *
 * Ownership  Results live in the pool given, or are the value given.
 * Bounds     Everything is linear in the value, but for sorting, which leaves a value of
 *            more than 1024 pairs as it stands.
 */
#ifndef DEVCACHE_HTTP_COOKIES_H
#define DEVCACHE_HTTP_COOKIES_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef enum devcache_cookies_e {
    DEVCACHE_COOKIES_KEEP,  /* all */
    DEVCACHE_COOKIES_ALLOW, /* only the named ones */
    DEVCACHE_COOKIES_DENY   /* all but the named ones */
} devcache_cookies_e;

typedef struct devcache_cookies_t {
    devcache_cookies_e mode;
    const apr_array_header_t *names; /* const char *; a "*" takes anything */
} devcache_cookies_t;

/** What holds without a directive: deny what analytics and consent scripts set. */
extern const devcache_cookies_t devcache_cookies_default;

/**
 * A Cookie field without the pairs that the rule leaves out; the others as they stand.
 * A name ends at the first "="; without one the whole pair is it. Letters' case counts.
 * @param rule   NULL: devcache_cookies_default
 * @param value  all lines, joined by ";" or by "," as httpd joins them; NULL: no field
 * @return @a value itself if nothing is left out; NULL if no pair is left
 */
const char *devcache_cookies_kept(const devcache_cookies_t *rule, const char *value,
                                  apr_pool_t *p);

/** The name of the first pair, but one of the name @a except (NULL: any); NULL: none. */
const char *devcache_cookies_first(const char *value, const char *except, apr_pool_t *p);

/**
 * The names of the pairs that a rule keeps, or leaves out; each once, 32 at most.
 * @param rule  NULL: devcache_cookies_default
 * @return const char *
 */
apr_array_header_t *devcache_cookies_names(const devcache_cookies_t *rule,
                                           const char *value, int kept, apr_pool_t *p);

/**
 * The form in which two Cookie fields are compared: pairs sorted by name, those of one
 * name in their order, white space around them gone. NULL: no pair.
 */
const char *devcache_cookies_canonical(const char *value, apr_pool_t *p);

/** The name of the first pair that one value has and the other lacks; NULL: none. */
const char *devcache_cookies_difference(const char *a, const char *b, apr_pool_t *p);

#endif
