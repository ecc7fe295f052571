/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/post.h
 * Answers to POST that are stored for GET (RFC 9110, section 9.3.3).
 *
 * Glue. POSTs bypass the cache; of their answers this looks at those that say, by
 * Content-Location, that they are what a GET would get.
 */
#ifndef DEVCACHE_REQUEST_POST_H
#define DEVCACHE_REQUEST_POST_H

#include <util_filter.h>
#include "request/request.h"

/** Before the origin is asked by a POST with x->asked.of_post. */
void devcache_post_begin(request_rec *r, devcache_exchange_t *x);

/** In DEVCACHE_SAVE, for such a request: store what may be stored, and pass it on. */
apr_status_t devcache_post_save(ap_filter_t *f, devcache_exchange_t *x,
                                apr_bucket_brigade *bb);

#endif
