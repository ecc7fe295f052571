/**
 * @file devcache_refresh.h
 * Fetch anew what was served: stale-while-revalidate (RFC 5861, section 3), and what is
 * about to expire (DevCacheRefreshAhead).
 *
 * Glue. The visitor has been answered; a request of the server's own
 * (devcache_background.h) asks the origin whether the stored response still holds. It
 * owns a flight: one refresh of a variant is under way in the whole server, and who needs
 * the variant meanwhile and may not have it stale follows it. Then a variant is left
 * alone for a second, whatever came of it.
 */
#ifndef DEVCACHE_REFRESH_H
#define DEVCACHE_REFRESH_H

#include "devcache_request.h"

/** Hook access_checker_ex: a refresh goes where its visitor has just been let in. */
int devcache_refresh_access(request_rec *r);

/** Refresh what @a x has just served, unless somebody is asking for it already. */
void devcache_refresh_run(request_rec *r, const devcache_exchange_t *x);

/**
 * @a r was answered by the origin with a part of what is not stored: fetch the whole, if
 * it may be stored and nobody is fetching it (DevCacheFetchWhole).
 */
void devcache_refresh_whole(request_rec *r, const devcache_exchange_t *x);

#endif
