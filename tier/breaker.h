/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/breaker.h
 * Leave a server alone that keeps failing: in memory that all processes share.
 *
 * Five failures within a second open it for one second, and each failed probe after that
 * for twice as long, thirty seconds at most. When the time is over one caller may try.
 * Locks      None: atomic words, and it does no harm if two threads count at once.
 * Units      Microseconds, of the monotonic clock.
 */
#ifndef DEVCACHE_TIER_BREAKER_H
#define DEVCACHE_TIER_BREAKER_H

#include <apr_time.h>

typedef struct devcache_breaker_t {
    apr_uint64_t until;    /* 0: closed */
    apr_uint64_t pause;    /* how long it was opened for */
    apr_uint64_t since;    /* the first of these failures */
    apr_uint64_t failures; /* without a success since */
} devcache_breaker_t;

/** May the server be asked? Where it is open, and time is up, the first who asks may. */
int devcache_breaker_lets(devcache_breaker_t *b, apr_time_t now);

/** Would it, without being the one who tries. */
int devcache_breaker_is_open(const devcache_breaker_t *b, apr_time_t now);

void devcache_breaker_success(devcache_breaker_t *b);
void devcache_breaker_failure(devcache_breaker_t *b, apr_time_t now);

#endif
