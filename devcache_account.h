/**
 * @file devcache_account.h
 * What becomes of each request, put into the books: counters, latencies, bytes, busiest
 * URLs, trouble.
 *
 * Glue. Between the exchange, which knows how one request went, and the shared memory of
 * devcache_stats.h, devcache_meter.h, devcache_top.h and devcache_trouble.h.
 */
#ifndef DEVCACHE_ACCOUNT_H
#define DEVCACHE_ACCOUNT_H

#include "devcache_request.h"

/**
 * Make the shared memory, sized for the servers and device classes configured. Once, in
 * the parent; without it the server runs, counts nothing, and says so.
 */
void devcache_account_create(server_rec *main_server);

/**
 * After each reading of the configuration, when stores and classes are known: where each
 * server's requests are counted.
 */
void devcache_account_name(server_rec *main_server, apr_pool_t *pconf);

/**
 * A refresh is over: counted, and with the origin's durations, bytes and errors. Nothing
 * where it turned out that there was nothing to ask.
 */
void devcache_account_refresh(request_rec *r, const devcache_exchange_t *x);

/** Hook log_transaction: count, and the variables about the origin for the access log. */
int devcache_account_log(request_rec *r);

#endif
