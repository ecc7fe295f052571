/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/origin.h
 * The filter that sees the origin's answer as it came: DEVCACHE_ORIGIN.
 *
 * Glue. It stands after the filters that make the content (DEFLATE and the like) and
 * before mod_headers, and sends what request/verdict.c makes of the answer.
 */
#ifndef DEVCACHE_REQUEST_ORIGIN_H
#define DEVCACHE_REQUEST_ORIGIN_H

#include <util_filter.h>
#include "request/request.h"

void devcache_origin_register(void);

/**
 * Hook insert_filter, after content filters and before mod_headers: where the answer will
 * come to an internal redirect, or of the next handler alone (POST).
 */
void devcache_origin_insert(request_rec *r);

/** Put it, and DEVCACHE_SAVE, into the same places now that the origin is asked: hits never
 * need them. */
void devcache_origin_watch(request_rec *r, devcache_exchange_t *x);

/**
 * The exchange whose answer our filters have to see in this request; NULL: none. For the
 * hook insert_filter, which comes before our handler.
 */
devcache_exchange_t *devcache_origin_watched(request_rec *r);

/**
 * Has the answer to a GET or HEAD not come because a kept connection was closed, so that
 * it can be asked for once more? Parts of pages have backends of their own.
 */
int devcache_origin_may_repeat(const devcache_exchange_t *x);

/** The first error in a brigade, as mod_proxy reports a backend that broke; 0: none. */
int devcache_origin_error(const apr_bucket_brigade *bb);

#endif
