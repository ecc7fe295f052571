/**
 * @file devcache_serve.h
 * The handler: look up, serve from the store, or have the origin asked.
 *
 * Glue. Runs before mod_cache and mod_proxy; where the origin is needed it runs the
 * remaining handlers itself, so that it sees how they ended: a proxy that cannot reach
 * its backend returns a status and sends nothing through the filters.
 */
#ifndef DEVCACHE_SERVE_H
#define DEVCACHE_SERVE_H

#include "devcache_request.h"

/** Hook handler. */
int devcache_serve_handler(request_rec *r);

/** Hook quick_handler, before mod_cache's: fresh hits where DevCacheQuick is On. */
int devcache_serve_quick(request_rec *r, int lookup_only);

/**
 * What would be found for the prepared request: x->hit (NULL: nothing), x->stored,
 * x->variants_seen. Neither counted nor a use of what is found.
 */
void devcache_serve_peek(request_rec *r, devcache_exchange_t *x);

/**
 * Would devcache_serve_quick() serve the request? Then its exchange is as after
 * devcache_serve_peek(), else as it was.
 */
int devcache_serve_quick_peek(request_rec *r);

#endif
