/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/asked.h
 * What is asked for: key and target of a request.
 *
 * Glue. Once per request that is for the cache, before anything is looked up, with the
 * header as the hooks have left it.
 */
#ifndef DEVCACHE_REQUEST_ASKED_H
#define DEVCACHE_REQUEST_ASKED_H

#include "request/request.h"

/**
 * Fill key, target, configuration; judge the request.
 * @return 1 where the cache may be used, else 0 with x->asked.req.bypass set
 */
int devcache_asked_prepare(request_rec *r, devcache_exchange_t *x);

/** What the origin is asked for in @a r: a part of every variant. */
devcache_slice_t devcache_asked_target(request_rec *r, const devcache_exchange_t *x,
                                       const devcache_query_t *rule);

/** In words, what another target has not as x->asked.target has it; NULL: nothing. */
const char *devcache_asked_odd(const devcache_exchange_t *x, devcache_slice_t target,
                               apr_pool_t *p);

/**
 * Is what internal redirects have led to that which was looked at before? To be asked
 * before the handler of @a r runs: many change the file name, mod_proxy to a URL.
 */
int devcache_asked_is_foreseen(request_rec *r, const devcache_exchange_t *x);

/** Name the handler as ap_invoke_handler() will, for who runs the handlers without it. */
void devcache_asked_name_handler(request_rec *r);

/** Has the client shown a certificate? Only its own connection tells. */
int devcache_asked_shows_certificate(request_rec *r);

/** The key of another URL of the same site, for invalidation. */
devcache_slice_t devcache_asked_key_of(request_rec *r, const devcache_query_t *rule,
                                       const char *path, const char *query,
                                       apr_pool_t *p);

/**
 * A key without what makes no other page, where DevCacheNoVarySearch is on.
 * @param learnt  by what; set only where there is something to leave out
 */
devcache_slice_t devcache_asked_simplified(const devcache_exchange_t *x,
                                           devcache_slice_t key,
                                           devcache_learnt_t *learnt, apr_pool_t *p);

/** "scheme://host[:port]" as the client sees this server. */
const char *devcache_asked_origin(request_rec *r);

/** The key of the URL in a field of the answer (Location, Content-Location), if it is one of
 * this site; else data NULL. */
devcache_slice_t devcache_asked_key_named(request_rec *r, const devcache_exchange_t *x,
                                          const char *field, const apr_table_t *fields);

#endif
