/**
 * @file devcache_restore.h
 * A stored response becomes the answer: into the request_rec and a brigade.
 *
 * Glue, used by the handler, by those that follow a flight and by the filters; it knows
 * none of them.
 */
#ifndef DEVCACHE_RESTORE_H
#define DEVCACHE_RESTORE_H

#include "devcache_request.h"

/** Once, when all modules are loaded: finds mod_headers' filter, which runs on hits too.
 */
void devcache_restore_init(void);

/**
 * Put the stored response x->stored into @a r (status, fields, Age) and its body, or a
 * 304 or 412 if the client's preconditions say so, into @a bb.
 * @return OK, or HTTP_PRECONDITION_FAILED with nothing done, or HTTP_NOT_FOUND with
 *         nothing done if the body has gone
 */
int devcache_restore(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb);

/**
 * The same for a body that the caller sends himself, of @a len bytes (-1: not known yet).
 * Content filters are taken off, the phase is SERVED. Where r->status is 304 after it,
 * there is no body.
 * @return OK, or HTTP_PRECONDITION_FAILED with nothing done
 */
int devcache_restore_head(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb,
                          apr_int64_t len);

/** Take off the filters that made the stored body what it is; our own stay if
 *  @a keep_ours. */
void devcache_restore_drop_filters(request_rec *r, int keep_ours);

/**
 * The origin says 304, its fields are in @a r: update the stored fields and restore.
 * @return as devcache_restore(); where the body has gone the phase is RETRY
 */
int devcache_restore_confirmed(request_rec *r, devcache_exchange_t *x,
                               apr_bucket_brigade *bb);

/**
 * May the stored response stand in for an origin that failed with @a status?
 * @param unreachable  the status is the proxy's; the origin gave no answer
 */
int devcache_restore_allowed(const devcache_exchange_t *x, int status, int unreachable);

/** The status for a failed origin: 504 where only a validated copy would have done. */
int devcache_restore_failure(const devcache_exchange_t *x, int status);

#endif
