/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/head.h
 * The head of a hit, or of what is being stored, written in one piece.
 *
 * httpd's own filter checks each field, takes Vary apart and joins it again, and appends
 * piece by piece: a quarter of all instructions of a hit (docs/bench.md). So the ordinary
 * head (status 200, HTTP/1, a body of known length) is checked and copied in one go, byte
 * for byte what httpd would send. Whatever is not ordinary is left to httpd's filter.
 *
 * Glue.
 */
#ifndef DEVCACHE_REQUEST_HEAD_H
#define DEVCACHE_REQUEST_HEAD_H

#include <util_filter.h>
#include "request/request.h"

/**
 * Send an answer from the store, or one that is being stored; its fields are as clients are to
 * see them.
 * @param known  x->answer.known has all fields there are
 * @param next  the filter behind the one that calls; what stands there may be left out
 */
apr_status_t devcache_head_pass(request_rec *r, devcache_exchange_t *x, int known,
                                ap_filter_t *next, apr_bucket_brigade *bb);

/** Once, when all modules are loaded. */
void devcache_head_init(void);

#endif
