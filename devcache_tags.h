/**
 * @file devcache_tags.h
 * The fields in which applications put tags on their responses: DevCacheTagHeader.
 *
 * Glue. They are read when a response is stored, name what is to be purged in a purge
 * request, and are not for the client's eyes unless asked for.
 */
#ifndef DEVCACHE_TAGS_H
#define DEVCACHE_TAGS_H

#include <httpd.h>
#include <http_config.h>
#include "devcache_conf.h"

/** Setter of DevCacheTagHeader name...|off. */
const char *devcache_tags_set(cmd_parms *cmd, void *dirv, int argc, char *const argv[]);

/** The names, of const char *; none where it is off. */
const apr_array_header_t *devcache_tags_names(const devcache_dir_t *dir, apr_pool_t *p);

/**
 * The tags of a response, from its fields as the origin sent them and as mod_headers has
 * made them: both count.
 * @param origin  NULL: only the latter are known
 * @param ptags  data NULL: it has none
 * @return 0 if they cannot be used, and so the response must not be stored
 */
int devcache_tags_read(const devcache_dir_t *dir, const apr_table_t *origin,
                       const apr_table_t *fields, devcache_slice_t *ptags, apr_pool_t *p);

/** Where the cache is on, take them, and Surrogate-Control, out of what is sent. */
void devcache_tags_hide(request_rec *r);

#endif
