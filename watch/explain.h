/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/explain.h
 * Why a request would be answered as it would be: devcache-status?explain=URL.
 *
 * Glue. The question goes through httpd's own phases as a request of its own, up to where
 * our handler would begin, so that whatever decides about real ones decides about it.
 * Nothing is asked of the origin, nothing is sent or stored, no counter but that of
 * classifications moves. A server of DevCacheTier is asked what it has.
 */
#ifndef DEVCACHE_WATCH_EXPLAIN_H
#define DEVCACHE_WATCH_EXPLAIN_H

#include <httpd.h>

/** Does the status page's query ask for an explanation? */
int devcache_explain_asked(const request_rec *r);

/**
 * Answer in JSON. The query: explain=URL, header=Name:%20value (any number of them), and
 * address=IP, the one that the visitor's connection comes to, if it is not this one's.
 * Refused where httpd would let strangers ask.
 */
int devcache_explain_answer(request_rec *r);

#endif
