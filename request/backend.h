/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/backend.h
 * Connections to backends by HTTP/1: what mod_proxy would mend before the cache can see
 * it, and what it does not say.
 *
 * mod_proxy rewrites the dates of a response while it reads them, and takes some that
 * RFC 9110 does not allow (another time zone, a missing comma) for good: an Expires that
 * means "expired" would become one in the future. A filter on connections to backends
 * replaces such a value by "0", which means the same and stays what it is.
 *
 * Glue.
 */
#ifndef DEVCACHE_REQUEST_BACKEND_H
#define DEVCACHE_REQUEST_BACKEND_H

#include <apr_time.h>
#include <apr_errno.h>

/**
 * In the thread that is about to run the handlers, or has: what it read before is
 * forgotten.
 * @param only_new  from now on mod_proxy finds that kept connections are closed
 */
void devcache_backend_begin(int only_new);

/**
 * Did a kept connection turn out to be closed, when it was used again and before a byte
 * of an answer had come?
 */
int devcache_backend_was_closed(void);

/**
 * Wait until the backend that this thread reads a response from (by HTTP/1) has more, or
 * httpd has read more from it already.
 * @param p  for as long as the call lasts
 * @return APR_SUCCESS if there is more, or if it is not known; APR_TIMEUP
 */
apr_status_t devcache_backend_wait(apr_interval_time_t timeout, apr_pool_t *p);

/** Register the filter and its hook. */
void devcache_backend_register(void);

#endif
