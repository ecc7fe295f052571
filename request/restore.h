/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/restore.h
 * A stored response becomes the answer: into the request_rec and a brigade.
 *
 * Glue, used by the handler, by those that follow a flight and by the filters; it knows
 * none of them.
 */
#ifndef DEVCACHE_REQUEST_RESTORE_H
#define DEVCACHE_REQUEST_RESTORE_H

#include <util_filter.h>
#include "request/request.h"

/** Once, when all modules are loaded: finds mod_headers' filter, which runs on hits too.
 */
void devcache_restore_init(void);

/**
 * Put the stored response x->found.stored into @a r (status, fields, Age) and its body, or a
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

/**
 * Send what devcache_restore() has made, from the handler, past the filters that made the
 * stored body what it is; the phase is SERVED.
 * @return what the handler has to
 */
int devcache_restore_send(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb);

/** The same in the phase CONFIRMED: our own filters stay, and store the new fields. */
int devcache_restore_send_confirmed(request_rec *r, apr_bucket_brigade *bb);

/** Where mod_headers' filter stands in the chain; NULL: not there. It goes when it has run. */
ap_filter_t **devcache_restore_headers_place(request_rec *r);

/** Put it back, for another answer; nothing if it is there. */
void devcache_restore_add_headers(request_rec *r);

#endif
