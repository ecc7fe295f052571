/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/purge.h
 * Purging over HTTP: what a PURGE asks for, whether it may, and the answer.
 *
 * Glue. The request comes by all access control of httpd first; see setup/guard.h for
 * what happens where there is none. What goes, goes from the store that the request's
 * virtual host uses.
 */
#ifndef DEVCACHE_REQUEST_PURGE_H
#define DEVCACHE_REQUEST_PURGE_H

#include <httpd.h>
#include <http_config.h>

/** Make httpd know the methods, so that <Limit> and `Require method` can name them. */
void devcache_purge_register_methods(apr_pool_t *pconf);

/** Hook handler, ahead of everything else. */
int devcache_purge_handler(request_rec *r);

/** Hook log_transaction: count purges that were refused, by whomever. */
int devcache_purge_log(request_rec *r);

#endif
