/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/assemble.h
 * The body of a response in pieces, as one bucket of known length.
 *
 * Glue. Filters cut it and copy it like any; what is read of it is taken from the store,
 * piece by piece, and what is not there is fetched then.
 */
#ifndef DEVCACHE_REQUEST_ASSEMBLE_H
#define DEVCACHE_REQUEST_ASSEMBLE_H

#include <util_filter.h>
#include "request/request.h"

/**
 * Fetches a piece of x->found into the store, or waits for somebody who does; or, if @a keep
 * is not NULL, for this request alone into the memory there.
 * @return APR_SUCCESS: look again, or it is kept; APR_EAGAIN: it can be had, but not stored;
 *         else it cannot be had
 */
typedef apr_status_t devcache_assemble_fetch_fn(request_rec *r, devcache_exchange_t *x,
                                                const devcache_hit_t *of,
                                                const devcache_response_t *stored,
                                                devcache_span_t span, char *keep);

/** Once: who fetches. */
void devcache_assemble_register(devcache_assemble_fetch_fn *fetch);

/**
 * Append the body of x->found, which is in pieces, to @a bb. The piece that the client will
 * be sent first is there when this returns.
 * @return APR_NOTFOUND if it cannot be had
 */
apr_status_t devcache_assemble(request_rec *r, devcache_exchange_t *x,
                               apr_bucket_brigade *bb);

#endif
