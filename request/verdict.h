/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/verdict.h
 * What the origin's answer means for a request that has asked for it.
 *
 * Glue. The answer comes in three ways: through the filters (request/origin.c), as a
 * handler's return value (request/fetch.c), and as what a fetch for somebody else came to
 * (request/collapse.c). All ask here, and only send what they are told.
 */
#ifndef DEVCACHE_REQUEST_VERDICT_H
#define DEVCACHE_REQUEST_VERDICT_H

#include <util_filter.h>
#include "request/failing.h"

typedef enum devcache_verdict_e {
    DEVCACHE_VERDICT_NEW,       /* its own answer goes out */
    DEVCACHE_VERDICT_CONFIRMED, /* the stored response, which still holds */
    DEVCACHE_VERDICT_STALE,     /* the stored response, in place of an error */
    DEVCACHE_VERDICT_AGAIN,     /* ask again, without a condition; phase RETRY */
    DEVCACHE_VERDICT_FAILED     /* an error: *pstatus */
} devcache_verdict_e;

/**
 * Judge the answer @a status; its fields are in @a r. Steps the phase for NEW, CONFIRMED
 * and AGAIN. In the phase IDLE it is the answer to somebody else, which did not come;
 * otherwise it is noted in x->origin.
 * @param stored   empty; filled where the stored response is what goes out. Its head is in
 *                 @a r then
 * @param pstatus  for FAILED: what the client is told
 */
devcache_verdict_e devcache_verdict(request_rec *r, devcache_exchange_t *x, int status,
                                    devcache_answered_e answered,
                                    apr_bucket_brigade *stored, int *pstatus);

#endif
