/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/account.h
 * What becomes of each request, put into the books: counters, latencies, bytes, busiest
 * URLs, trouble.
 *
 * Glue. Between the exchange, which knows how one request went, and the shared memory of
 * stats/stats.h, stats/meter.h, stats/top.h and stats/trouble.h.
 */
#ifndef DEVCACHE_REQUEST_ACCOUNT_H
#define DEVCACHE_REQUEST_ACCOUNT_H

#include "request/request.h"

/**
 * Make the shared memory, sized for the servers and device classes configured. Once, in
 * the parent; without it the server runs, counts nothing, and says so.
 */
void devcache_account_create(server_rec *main_server);

/**
 * After each reading of the configuration, when stores and classes are known: where each
 * server's requests are counted.
 */
void devcache_account_name(server_rec *main_server, apr_pool_t *pconf, apr_pool_t *ptemp);

/**
 * A refresh is over: counted, and with the origin's durations, bytes and errors. Nothing
 * where it turned out that there was nothing to ask.
 */
void devcache_account_refresh(request_rec *r, const devcache_exchange_t *x);

/** Hook log_transaction: count, and the variables about the origin for the access log. */
int devcache_account_log(request_rec *r);

#endif
