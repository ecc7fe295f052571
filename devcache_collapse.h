/**
 * @file devcache_collapse.h
 * One fetch for all who want the same: who asks the origin, and who waits for it.
 *
 * Glue between an exchange and its flight (devcache_flight.h). The first request that
 * needs a variant owns the flight and goes on as if it were alone; what becomes of its
 * response is reported here by the filters. The others wait in their handlers.
 */
#ifndef DEVCACHE_COLLAPSE_H
#define DEVCACHE_COLLAPSE_H

#include "devcache_request.h"

typedef enum devcache_collapse_e {
    DEVCACHE_COLLAPSE_ASK,    /* ask the origin; perhaps as the owner of a flight */
    DEVCACHE_COLLAPSE_AGAIN,  /* something was stored: look it up */
    DEVCACHE_COLLAPSE_SERVED, /* answered; see *prv */
    DEVCACHE_COLLAPSE_FAILED  /* the origin failed for another, stale would do: *prv is
                               * the status */
} devcache_collapse_e;

/** The id of the flight for what @a x asks for: x->hit, or what was not found; 0: none.
 */
apr_uint64_t devcache_collapse_id(const devcache_exchange_t *x, apr_pool_t *p);

/** To be read before a lookup, and given to the join that may follow. */
apr_uint32_t devcache_collapse_epoch(const devcache_exchange_t *x);

/**
 * The store has no answer: wait for somebody else's, or be the one who asks. x->fill has
 * been begun. Waits for DevCacheCollapseWait at most, over all calls for one request.
 */
devcache_collapse_e devcache_collapse_join(request_rec *r, devcache_exchange_t *x,
                                           apr_uint32_t epoch, int *prv);

/* ---- what becomes of the response; nothing for those who own no flight ---- */

/** It may be stored (NONE), or not. x->what is set where it may. */
void devcache_collapse_decided(devcache_exchange_t *x, devcache_reason_e reason,
                               int status);

/** It was complete and could not be kept: let nobody wait for the next one, for a while.
 * To be called before the end that tells others to look again. */
void devcache_collapse_avoid(const devcache_exchange_t *x, devcache_reason_e reason,
                             int status);

/** More of it was stored. @a pause: the origin has no more at hand. */
void devcache_collapse_flow(devcache_exchange_t *x, int pause);

/** Do followers read what is being stored, so that it should go on to its end? */
int devcache_collapse_is_read(const devcache_exchange_t *x);

/** The end. @a status: the origin's, where it FAILED. */
void devcache_collapse_end(devcache_exchange_t *x, devcache_flight_result_e result,
                           int status);

#endif
