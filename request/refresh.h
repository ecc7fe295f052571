/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/refresh.h
 * Fetch anew what was served: stale-while-revalidate (RFC 5861, section 3), and what is
 * about to expire (DevCacheRefreshAhead).
 *
 * Glue. The visitor has been answered; a request of the server's own
 * (request/background.h) asks the origin whether the stored response still holds. It
 * owns a flight: one refresh of a variant is under way in the whole server, and who needs
 * the variant meanwhile and may not have it stale follows it. Then a variant is left
 * alone for a second, whatever came of it.
 */
#ifndef DEVCACHE_REQUEST_REFRESH_H
#define DEVCACHE_REQUEST_REFRESH_H

#include "request/request.h"

/** Hook access_checker_ex: a refresh goes where its visitor has just been let in. */
int devcache_refresh_access(request_rec *r);

/** Refresh what @a x has just served, unless somebody is asking for it already. */
void devcache_refresh_run(request_rec *r, devcache_exchange_t *x);

/**
 * @a r was answered by the origin with a part of what is not stored: fetch the whole, if
 * it may be stored and nobody is fetching it (DevCacheFetchWhole).
 */
void devcache_refresh_whole(request_rec *r, devcache_exchange_t *x);

/**
 * Fetch a piece of a stored response into the store, in this thread, by a request of the
 * server's own that is as the visitor's; or wait for somebody who does. Of another version
 * by now, the stored response has to be validated before it is used again.
 * @param keep not NULL: for this visitor alone, into this memory, which has room for it
 * @return APR_SUCCESS: look for it; APR_EAGAIN: it can be had, but could not, or may not, be
 *         stored; else it cannot be had
 */
apr_status_t devcache_refresh_piece(request_rec *r, devcache_exchange_t *x,
                                    const devcache_hit_t *of,
                                    const devcache_response_t *stored,
                                    devcache_span_t span, char *keep);

/** Push what was written of an answer out to the client. */
void devcache_refresh_send_out(request_rec *r);

/**
 * Fetch or validate what a request of the server's own is about, unless somebody is at it or
 * it is there, fresh. In a background thread.
 * @param own  made and prepared; nx->refresh.running is set
 * @return of its handler
 */
int devcache_refresh_now(request_rec *own, devcache_exchange_t *nx);

#endif
