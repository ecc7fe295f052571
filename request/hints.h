/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/hints.h
 * 103 Early Hints (RFC 8297): while the origin is asked, the client may fetch what the page
 * has named before.
 *
 * Glue. DevCacheEarlyHints.
 */
#ifndef DEVCACHE_REQUEST_HINTS_H
#define DEVCACHE_REQUEST_HINTS_H

#include "request/request.h"

/** Where the client has to wait for the origin, tell it what the stored response links to,
 * which cannot be used as it is. Nothing in @a r is changed. */
void devcache_hints_send(request_rec *r, devcache_exchange_t *x);

#endif
