/**
 * @file devcache_refresh.h
 * stale-while-revalidate (RFC 5861, section 3): fetch anew after a stale answer.
 *
 * Glue. The visitor has been answered; the refresh runs on a subrequest in the same
 * worker thread, whose output goes nowhere but into the store. One refresh of a variant
 * is under way in the whole server.
 */
#ifndef DEVCACHE_REFRESH_H
#define DEVCACHE_REFRESH_H

#include "devcache_request.h"

/** Refresh what @a x has just served, unless somebody else does. */
void devcache_refresh_run(request_rec *r, devcache_exchange_t *x);

/** Register the filter that a refresh's output ends in. */
void devcache_refresh_register(void);

#endif
