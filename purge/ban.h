/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file purge/ban.h
 * What a purge of many is about: conditions on stored responses, and their tags.
 *
 * A ban is a set of conditions that must all hold. It is written once as bytes, lies in
 * the store's log, and is judged by whoever meets it there: another process, or a rebuild
 * years later. Knows keys and variants (devcache_vary.h); no I/O, no httpd.
 * Ownership  Results live in the pool given.
 * Limits     See the constants. A regular expression that exceeds its limits on one
 *            object counts as matching it: what is purged too much is fetched again.
 */
#ifndef DEVCACHE_PURGE_BAN_H
#define DEVCACHE_PURGE_BAN_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "base/bytes.h"
#include "devcache_store.h"

#define DEVCACHE_TAGS_MAX 1000    /* of one response, or in one purge */
#define DEVCACHE_TAG_MAX 1024     /* bytes of one tag */
#define DEVCACHE_PATTERN_MAX 2048 /* bytes of a regular expression */

typedef enum devcache_ban_how_e {
    DEVCACHE_BAN_ANY,    /* no condition */
    DEVCACHE_BAN_IS,     /* equal */
    DEVCACHE_BAN_PREFIX, /* begins with */
    DEVCACHE_BAN_REGEX   /* PCRE2, anywhere unless it says ^ or $ */
} devcache_ban_how_e;

typedef struct devcache_ban_text_t {
    devcache_ban_how_e how;
    const char *text;
} devcache_ban_text_t;

/* A field of responses as they are stored, and a regular expression over its value. */
typedef struct devcache_ban_field_t {
    const char *name, *regex;
} devcache_ban_field_t;

typedef struct devcache_ban_t {
    devcache_ban_text_t host; /* in lower case */
    devcache_ban_text_t url;  /* path and "?query" if there is one, both decoded */
    const char *device;       /* responses that this class may be given; NULL: all */
    devcache_slice_t tags;    /* has one of these, as from devcache_ban_tags_end(); len
                               * 0: has any; data NULL: no condition */
    const apr_array_header_t *fields; /* devcache_ban_field_t, all of which must match: a
                                       * response without the field does not; NULL: none */
} devcache_ban_t;

/**
 * Write a ban as bytes.
 * @return NULL, or one sentence about what is wrong with a regular expression
 */
const char *devcache_ban_encode(const devcache_ban_t *ban, devcache_slice_t *out,
                                apr_pool_t *p);

/** Several bans as one, which is about what any of them is about. */
devcache_slice_t devcache_ban_join(const devcache_slice_t *bans, unsigned n,
                                   apr_pool_t *p);

/** The tags that a ban asks for; data NULL: it has no such condition, or is several. */
devcache_slice_t devcache_ban_tags_of(devcache_slice_t bytes);

/** Read and compile; for devcache_store_conf_t. NULL if it cannot be understood. */
void *devcache_ban_open(devcache_slice_t bytes, apr_pool_t *p);

/** Do all conditions hold? For devcache_store_conf_t; not for two threads at once. */
int devcache_ban_matches(void *opened, const devcache_described_t *object);

/** Tags on their way into bytes. */
typedef struct devcache_tags_t {
    apr_array_header_t *hashes; /* of apr_uint64_t, as read; may have some twice */
    const char *error;          /* why they cannot be used; NULL: nothing is wrong */
    int all;                    /* a pattern was ".*": whatever has a tag */
} devcache_tags_t;

void devcache_ban_tags_begin(devcache_tags_t *tags, apr_pool_t *p);

/**
 * Add the groups of a Cache-Groups or Cache-Group-Invalidation field (RFC 9875, section 2),
 * as tags that are none of the same name elsewhere.
 * @param key  of the response; its scheme, host and port are the origin
 */
void devcache_ban_tags_groups(devcache_tags_t *tags, devcache_slice_t key,
                              const char *groups, apr_pool_t *p);

/** Add the tags of a list, separated by commas, semicolons, blanks or tabs. */
void devcache_ban_tags_list(devcache_tags_t *tags, const char *list);

/**
 * Add the tags of a regular expression as purgers write them: literals with | between,
 * perhaps in parentheses between (^|,) and (,|$) or their like. Any other is an error.
 */
void devcache_ban_tags_pattern(devcache_tags_t *tags, const char *pattern, apr_pool_t *p);

/** Sorted, each once; data NULL if there are none or something was wrong; for
 * tags->all an empty slice with data. */
devcache_slice_t devcache_ban_tags_end(devcache_tags_t *tags, apr_pool_t *p);

/** All tags of both, as one; of those of responses, which are never "all". */
devcache_slice_t devcache_ban_tags_join(devcache_slice_t a, devcache_slice_t b,
                                        apr_pool_t *p);

#endif
