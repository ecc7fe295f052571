/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/collapse.h
 * One fetch for all who want the same: who asks the origin, and who waits for it.
 *
 * Glue between an exchange and its flight (flight/flight.h). The first request that
 * needs a variant owns the flight and goes on as if it were alone; what becomes of its
 * response is reported here by the filters. The others wait in their handlers.
 */
#ifndef DEVCACHE_REQUEST_COLLAPSE_H
#define DEVCACHE_REQUEST_COLLAPSE_H

#include "request/request.h"

typedef enum devcache_collapse_e {
    DEVCACHE_COLLAPSE_ASK,    /* ask the origin; perhaps as the owner of a flight */
    DEVCACHE_COLLAPSE_AGAIN,  /* something was stored: look it up */
    DEVCACHE_COLLAPSE_SERVED, /* answered; see *prv */
    DEVCACHE_COLLAPSE_FAILED  /* the origin failed for another, stale would do: *prv is
                               * the status */
} devcache_collapse_e;

/** The id of the flight for what @a x asks for: x->found.hit, or what was not found; 0: none.
 */
apr_uint64_t devcache_collapse_id(devcache_exchange_t *x, apr_pool_t *p);

/** The values of this request under a spec: under the one that its id was made by the same
 * bytes, not new ones. */
devcache_slice_t devcache_collapse_variant(const devcache_exchange_t *x, const char *spec,
                                           apr_pool_t *p);

/** Why what this request fetches is not for all who want it; static text, NULL: it is. After
 * devcache_decide(). */
const char *devcache_collapse_apart(request_rec *r, devcache_exchange_t *x);

/** To be read before a lookup, and given to the join that may follow. */
apr_uint32_t devcache_collapse_epoch(devcache_exchange_t *x);

/**
 * The store has no answer: wait for somebody else's, or be the one who asks. x->save.fill has
 * been begun. Waits for DevCacheCollapseWait at most, over all calls for one request.
 */
devcache_collapse_e devcache_collapse_join(request_rec *r, devcache_exchange_t *x,
                                           apr_uint32_t epoch, int *prv);

/** May one more thread of this child wait, for a flight or another machine? If so it has to
 * say when it does no longer. */
int devcache_collapse_begin_wait(const devcache_exchange_t *x);
void devcache_collapse_end_wait(void);

/** Does the client want the origin's own word, or more freshness than others? What has come
 * for somebody else is not for it then. */
int devcache_collapse_insists(const devcache_exchange_t *x);

/** Does the request own a flight now? */
int devcache_collapse_is_owner(const devcache_exchange_t *x);

/* ---- what becomes of the response; nothing for those who own no flight ---- */

/** It may be stored (NONE), or not. x->save.what is set where it may. */
void devcache_collapse_decided(devcache_exchange_t *x, devcache_reason_e reason,
                               int status);

/** It was complete and could not be kept: let nobody wait for the next one, for a while.
 * To be called before the end that tells others to look again. */
void devcache_collapse_avoid(devcache_exchange_t *x, devcache_reason_e reason,
                             int status);

/** More of it was stored. @a pause: the origin has no more at hand. */
void devcache_collapse_flow(devcache_exchange_t *x, int pause);

/** Does anybody follow? */
int devcache_collapse_is_followed(const devcache_exchange_t *x);

/** Do followers read what is being stored, so that it should go on to its end? */
int devcache_collapse_is_read(const devcache_exchange_t *x);

/** It will not be stored: nobody else is to follow, or to wait for the next one. */
void devcache_collapse_close(devcache_exchange_t *x, devcache_reason_e reason,
                             int status);

/** The end. @a status: the origin's, where it FAILED. */
void devcache_collapse_end(devcache_exchange_t *x, devcache_flight_result_e result,
                           int status);

#endif
