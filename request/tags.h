/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/tags.h
 * The fields in which applications put tags on their responses: DevCacheTagHeader.
 *
 * Glue. They are read when a response is stored, name what is to be purged in a purge
 * request, and are not for the client's eyes unless asked for.
 */
#ifndef DEVCACHE_REQUEST_TAGS_H
#define DEVCACHE_REQUEST_TAGS_H

#include <httpd.h>
#include <http_config.h>
#include "request/request.h"

/** The names, of const char *; none where it is off. */
const apr_array_header_t *devcache_tags_names(const devcache_dir_t *dir, apr_pool_t *p);

/**
 * The tags of a response, from its fields as the origin sent them and as mod_headers has
 * made them: both count.
 * Groups (Cache-Groups, RFC 9875) are tags of the origin that @a key is of.
 * @param origin  NULL: only the latter are known
 * @param ptags  data NULL: it has none
 * @return 0 if they cannot be used, and so the response must not be stored
 */
int devcache_tags_read(const devcache_dir_t *dir, devcache_slice_t key,
                       const apr_table_t *origin, const apr_table_t *fields,
                       devcache_slice_t *ptags, apr_pool_t *p);

/**
 * What the answer to an unsafe request invalidates by Cache-Group-Invalidation (RFC 9875,
 * section 3), as a ban.
 * @return 0 where there is nothing, or the field is none that can be used: *perror
 */
int devcache_tags_invalidated(devcache_slice_t key, const apr_table_t *fields,
                              devcache_slice_t *pban, const char **perror, apr_pool_t *p);

/**
 * Where the cache is on, take them, and Surrogate-Control, out of what is sent.
 * @param known  x->answer.known has all fields there are
 */
void devcache_tags_hide(request_rec *r, const devcache_exchange_t *x, int known);

#endif
