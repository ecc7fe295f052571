/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/sticky.h
 * A balancer's stickysession cookie, where DevCacheCookies leaves it out: the balancer sees
 * it, the application does not.
 *
 * Glue, with mod_proxy where that is loaded.
 */
#ifndef DEVCACHE_REQUEST_STICKY_H
#define DEVCACHE_REQUEST_STICKY_H

#include "request/request.h"

/** Before the handlers run with this header, a copy of x->asked.fields. */
void devcache_sticky_show(request_rec *r, devcache_exchange_t *x, apr_table_t *header);

/** Hook pre_config: all modules are loaded. */
void devcache_sticky_hook(void);

#endif
