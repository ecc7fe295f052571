/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/ahead.h
 * Where rewriting in a directory leads.
 *
 * mod_rewrite in a Directory or an .htaccess file hands a request over by an internal
 * redirect, which happens when handlers run: after the cache has been asked. What is
 * there may be kept from this visitor, or may rewrite once more, by what this visitor is.
 * So the cache goes there first: through the hooks, and not further.
 *
 * Glue. Everything lives in the request's pool.
 */
#ifndef DEVCACHE_REQUEST_AHEAD_H
#define DEVCACHE_REQUEST_AHEAD_H

#include "request/request.h"

/** Is this request only to be handed over? */
int devcache_ahead_needed(const request_rec *r);

/**
 * The request that will be answered in the end, as its hooks leave it, with a copy of the
 * header; nothing can be sent by it.
 * @return NULL if it is refused on its way, kept from the cache, or asks who the user is
 */
request_rec *devcache_ahead_look(request_rec *r);

/** Hook check_authn, first: nobody logs in for a look. */
int devcache_ahead_authn(request_rec *r);

/** Is this place kept from the cache, or from those who are not logged in? */
int devcache_ahead_is_guarded(request_rec *r);

/**
 * Has a program answered by an internal redirect (Location: /path)? Whom it sends where
 * is between it and the visitor.
 */
int devcache_ahead_was_sent(const request_rec *r);

#endif
