/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/inflate.h
 * A stored body in gzip, for a client that does not take it (DevCacheEncodings … inflate).
 *
 * Glue.
 */
#ifndef DEVCACHE_REQUEST_INFLATE_H
#define DEVCACHE_REQUEST_INFLATE_H

#include <util_filter.h>
#include "request/request.h"

/** The entity tag of the inflated body: as mod_deflate's INFLATE makes it; NULL: none. */
const char *devcache_inflate_etag(const apr_table_t *stored, apr_pool_t *p);

/**
 * Append the body of x->found, inflated, to @a bb.
 * @param plen  its bytes
 * @return an error, with @a bb as it was, if it is no gzip, or too long to be held
 */
apr_status_t devcache_inflate_body(request_rec *r, devcache_exchange_t *x,
                                   apr_bucket_brigade *bb, apr_int64_t *plen);

/** The fields of the stored response in @a r, made those of the inflated one. */
void devcache_inflate_fields(request_rec *r, const devcache_exchange_t *x);

#endif
