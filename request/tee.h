/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/tee.h
 * The client of a response that is being stored: it gets what it takes, when it takes it.
 *
 * Glue. What is stored is x->save.written bytes long, what the client was given x->tee.sent. The
 * origin is never read more slowly because a client reads slowly: what it does not take
 * now it gets later out of the fill. A client that goes away does not stop the fill.
 */
#ifndef DEVCACHE_REQUEST_TEE_H
#define DEVCACHE_REQUEST_TEE_H

#include <util_filter.h>
#include "request/request.h"

/**
 * Pass on what x->tee.held has, all of which was stored, as far as the client takes it
 * without delay; x->tee.held is empty then.
 * @param flush  nothing more is at hand: the client is to have it now
 * @return an error only if nothing is being stored any more
 */
apr_status_t devcache_tee_pass(ap_filter_t *f, devcache_exchange_t *x, int flush);

/**
 * Keep back what x->tee.held has, as the rest is near: it goes out with that, and when there
 * is something to flush. x->tee.held is empty then.
 */
void devcache_tee_hold(devcache_exchange_t *x);

/**
 * Before the fill ends: put what the client still lacks into x->tee.held, in front of what is
 * there. What cannot be had leaves x->tee.torn set.
 */
void devcache_tee_settle(request_rec *r, devcache_exchange_t *x);

/** The rest, after the fill has ended: x->tee.held and then @a bb, whatever time it takes. */
apr_status_t devcache_tee_finish(ap_filter_t *f, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb);

/**
 * The rest of a body cannot be had: end it so that the client sees that it is not whole.
 * @param to  the filter that the error and the end go to
 */
void devcache_tee_tear(request_rec *r, ap_filter_t *to);

/** Has the client gone? Where something is being stored the handlers are not told. */
int devcache_tee_client_gone(request_rec *r, devcache_exchange_t *x);

/** When the handlers are done: tell httpd what they were not told. */
void devcache_tee_end(request_rec *r, devcache_exchange_t *x);

#endif
