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

/** Once, when all modules are loaded: finds mod_headers' filter, which runs on hits too.
 */
void devcache_serve_init(void);

/**
 * Put the stored response x->stored into @a r (status, fields, Age) and its body, or a
 * 304 or 412 if the client's preconditions say so, into @a bb.
 * @return OK, or HTTP_PRECONDITION_FAILED with nothing done, or HTTP_NOT_FOUND with
 *         nothing done if the body has gone
 */
int devcache_serve_restore(request_rec *r, devcache_exchange_t *x,
                           apr_bucket_brigade *bb);

/**
 * The same for a body that the caller sends himself, of @a len bytes (-1: not known yet).
 * Content filters are taken off, the phase is SERVED. Where r->status is 304 after it,
 * there is no body.
 * @return OK, or HTTP_PRECONDITION_FAILED with nothing done
 */
int devcache_serve_restore_head(request_rec *r, devcache_exchange_t *x,
                                apr_bucket_brigade *bb, apr_int64_t len);

/**
 * The origin says 304, its fields are in @a r: update the stored fields and restore.
 * @return as devcache_serve_restore(); where the body has gone the phase is RETRY
 */
int devcache_serve_confirm(request_rec *r, devcache_exchange_t *x,
                           apr_bucket_brigade *bb);

/**
 * May the stored response stand in for an origin that failed with @a status?
 * @param unreachable  the status is the proxy's; the origin gave no answer
 */
int devcache_serve_stale_allowed(const devcache_exchange_t *x, int status,
                                 int unreachable);

/** The status for a failed origin: 504 where only a validated copy would have done. */
int devcache_serve_failure(const devcache_exchange_t *x, int status);

#endif
