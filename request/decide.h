/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/decide.h
 * Is a request for the cache, and what is done with it?
 *
 * Glue, and the only place that says so: request/serve.c acts on it, watch/explain.c
 * prints it, watch/observe.c counts it. None of them decides for itself.
 *
 * Phases  devcache_decide_is_ours() from the hook insert_filter on, when the request's
 *         place is known. devcache_decide() after devcache_asked_prepare(), and when
 *         the request's filters have been inserted, as the chain tells whether a page is
 *         put together from parts.
 */
#ifndef DEVCACHE_REQUEST_DECIDE_H
#define DEVCACHE_REQUEST_DECIDE_H

#include "request/request.h"

/* name, as it is shown and logged */
#define DEVCACHE_DECISIONS(D)                                                            \
    D(OFF, "off")                     /* not for the cache */                            \
    D(BYPASS, "bypass")               /* the request forbids it, or the configuration */ \
    D(HIT, "hit")                     /* fresh: served */                                \
    D(HIT_REFRESH, "hit-refresh")     /* about to expire: served, then refreshed */      \
    D(STALE, "stale")                 /* served, as the request allows it */             \
    D(STALE_REFRESH, "stale-refresh") /* served, then refreshed */                       \
    D(STALE_ERROR, "stale-error")     /* served, as the origin has just failed */        \
    D(VALIDATE, "validate")           /* stored: does it still hold? */                  \
    D(MISS, "miss")                   /* asked for, and stored if that is allowed */     \
    D(PASS, "pass")                   /* asked for as it is; only a whole is stored */   \
    D(TIMEOUT, "timeout")             /* 504: the origin must not be asked */

typedef enum devcache_decision_e {
#define D(name, text) DEVCACHE_DECISION_##name,
    DEVCACHE_DECISIONS(D)
#undef D
} devcache_decision_e;

/**
 * May this request have a stored response as far as its form goes? Notes that; one with gaps
 * is of use where they are filled.
 */
int devcache_decide_has_form(devcache_exchange_t *x, const devcache_response_t *stored);

/** The stable text of a decision, static. */
const char *devcache_decide_name(devcache_decision_e decision);

typedef enum devcache_ours_e {
    DEVCACHE_OURS_NOT,
    DEVCACHE_OURS_ON,      /* DevCache On: served */
    DEVCACHE_OURS_OBSERVED /* DevCache Observe: only watched */
} devcache_ours_e;

/** What its place does with a request of exchange @a x (NULL: OURS_NOT). */
devcache_ours_e devcache_decide_is_ours(request_rec *r, const devcache_exchange_t *x);

/**
 * What is done with a prepared request.
 * @param stored  the freshness of what is stored for it; NULL: nothing that fits
 * @return        never OFF; x->answer.reason and, where @a stored is given,
 *                x->answer.ttl say why
 */
devcache_decision_e devcache_decide(request_rec *r, devcache_exchange_t *x,
                                    const devcache_freshness_t *stored);

/** Is it answered from what is stored, whatever the origin would say? */
int devcache_decide_serves(devcache_decision_e decision);

/**
 * Was such a status said to somebody who had not shown who they are (401, 403), while this
 * request does? Then it is not answered by it.
 */
int devcache_decide_is_refusal(const devcache_exchange_t *x, int status);

/** Is a response that was stored at that instant stored by the rule by which this request's
 * key lacks a part of the query (No-Vary-Search)? */
int devcache_decide_is_by_rule(const devcache_exchange_t *x, devcache_response_t *stored,
                               apr_time_t stored_at, apr_pool_t *p);

/** Fill x->found for a prepared request. @return as @a lookup does */
apr_status_t devcache_decide_find(request_rec *r, devcache_exchange_t *x,
                                  devcache_lookup_fn *lookup);

/** End what is stored for it, as devcache_store_end() does. @return how many went */
unsigned devcache_decide_end(request_rec *r, devcache_exchange_t *x, apr_time_t expire);

#endif
