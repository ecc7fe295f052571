/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/clock.h
 * The one place that asks what time it is.
 *
 * Glue calls devcache_now() once per request and hands the instant down; core
 * code takes it as a parameter, so that a decision never mixes two instants and
 * unit tests can choose theirs. In builds with DEVCACHE_TESTING the environment
 * variable DEVCACHE_CLOCK names a file whose text, a number of seconds, is added: a
 * test makes hours pass in a running server without waiting. With "=" before it the
 * number is the time, in seconds since the epoch, and the clock stands still.
 */
#ifndef DEVCACHE_BASE_CLOCK_H
#define DEVCACHE_BASE_CLOCK_H

#include <apr_time.h>

/** Microseconds since the epoch. Safe from any thread. */
apr_time_t devcache_now(void);

/** Microseconds of a clock that nobody sets, for waiting. Tests do not move it. */
apr_time_t devcache_monotonic(void);

/**
 * For what is worth a line in the log, and could be worth thousands.
 * @param word  which minute, and how often in it; 0 at first, and nobody else's
 * @param most  a minute, below 256
 * @return 0: that is enough for this minute
 */
int devcache_clock_allows(apr_uint64_t *word, unsigned most);

#endif
