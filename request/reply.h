/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/reply.h
 * What the client gets to see of the cache: Vary, Cache-Status, Accept-CH. And, as it
 * is the last to see an answer before it leaves: invalidation by unsafe requests.
 *
 * Glue. DEVCACHE_REPLY stands after all content filters and before httpd writes the
 * header, for hits and misses, of this cache or of mod_cache.
 */
#ifndef DEVCACHE_REQUEST_REPLY_H
#define DEVCACHE_REQUEST_REPLY_H

#include "request/request.h"

void devcache_reply_register(void);

/** Hooks insert_filter (after mod_headers) and insert_error_filter. */
void devcache_reply_insert(request_rec *r);
void devcache_reply_insert_error(request_rec *r);

#endif
