/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/partial.h
 * Parts that come from the origin (206), stored as pieces of a response.
 *
 * Glue; between DEVCACHE_SAVE and the store. RFC 9111, sections 3.3 and 3.4.
 */
#ifndef DEVCACHE_REQUEST_PARTIAL_H
#define DEVCACHE_REQUEST_PARTIAL_H

#include "request/request.h"

/**
 * In the phase FETCH, when the head of an answer is known: is it a part, or was one asked
 * for in the client's stead? Then what is stored of it is decided here, and whether the
 * client gets these bytes (x->piece.swallow: it does not).
 * @return 0: it is a whole answer to be judged like any
 */
int devcache_partial_judge(request_rec *r, devcache_exchange_t *x);

/**
 * Put the bytes of a piece where x->piece.keep says, and drop @a bb. When all have come
 * x->piece.result is DEVCACHE_PIECE_STORED.
 * @return APR_ECONNABORTED: no more is wanted
 */
apr_status_t devcache_partial_keep(devcache_exchange_t *x, apr_bucket_brigade *bb);

/** All of it has come: publish piece and response. Ends both fills if it succeeds. */
devcache_reason_e devcache_partial_publish(request_rec *r, devcache_exchange_t *x);

#endif
