/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/failing.h
 * An origin that fails, or has a moment ago, seen from one request: its backend, or this
 * URL. May a stale copy be served in its stead?
 *
 * Glue between an exchange and flight/failure.h.
 */
#ifndef DEVCACHE_REQUEST_FAILING_H
#define DEVCACHE_REQUEST_FAILING_H

#include "flight/failure.h"
#include "request/request.h"

/** How the origin has answered. */
typedef enum devcache_answered_e {
    DEVCACHE_ANSWERED_WHOLE,  /* status, fields and body come through the filters */
    DEVCACHE_ANSWERED_STATUS, /* by a status alone: a handler of this site, or
                               * ProxyErrorOverride */
    DEVCACHE_ANSWERED_NOT     /* the status is what its absence was turned into */
} devcache_answered_e;

/** May x->found stand in for an origin that failed with @a status? */
int devcache_failing_allows_stale(const devcache_exchange_t *x, int status,
                                  devcache_answered_e answered);

/** Note whom this request will ask, before the handlers run. */
void devcache_failing_identify(request_rec *r, devcache_exchange_t *x);

/**
 * Has what would answer this prepared request failed, and may x->found stand in for it?
 * @param pstatus    the status and kind of such a failure, where it is not NONE
 */
devcache_failure_e devcache_failing_now(request_rec *r, devcache_exchange_t *x,
                                        int *pstatus, devcache_answered_e *panswered);

/** Was the origin asked, and its backend gave no answer? */
int devcache_failing_was_silent(const devcache_exchange_t *x);

/** Note what has come of asking the origin. */
void devcache_failing_note(const devcache_exchange_t *x, int status,
                           devcache_answered_e answered);

#endif
