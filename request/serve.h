/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/serve.h
 * The handler: look up, serve from the store, or have the origin asked.
 *
 * Glue. Runs before mod_cache and mod_proxy; where the origin is needed it runs the
 * remaining handlers itself, so that it sees how they ended: a proxy that cannot reach
 * its backend returns a status and sends nothing through the filters.
 */
#ifndef DEVCACHE_REQUEST_SERVE_H
#define DEVCACHE_REQUEST_SERVE_H

#include "request/request.h"

/** Hook handler. */
int devcache_serve_handler(request_rec *r);

#endif
