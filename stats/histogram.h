/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/histogram.h
 * Latencies in fixed buckets, counted without locks, from which percentiles are read.
 *
 * Buckets are wide steps of about 1, 2.5, 5: a percentile read from them is right to a
 * factor of two or so, and counts of several servers can be added, which percentiles
 * cannot.
 *
 * Locks      None: relaxed atomic additions, and a reader may be one behind.
 * Units      Microseconds inside; bounds are also named in seconds, for people and
 *            Prometheus.
 */
#ifndef DEVCACHE_STATS_HISTOGRAM_H
#define DEVCACHE_STATS_HISTOGRAM_H

#include <apr.h>
#include <apr_time.h>

/* upper bound in microseconds (inclusive), the same in seconds as text; the last bucket,
 * of what is longer, has no bound */
#define DEVCACHE_BUCKETS(B)                                                              \
    B(50, "5e-05")                                                                       \
    B(100, "0.0001")                                                                     \
    B(250, "0.00025")                                                                    \
    B(500, "0.0005")                                                                     \
    B(1000, "0.001")                                                                     \
    B(2500, "0.0025")                                                                    \
    B(5000, "0.005")                                                                     \
    B(10000, "0.01")                                                                     \
    B(25000, "0.025")                                                                    \
    B(50000, "0.05")                                                                     \
    B(100000, "0.1")                                                                     \
    B(250000, "0.25")                                                                    \
    B(500000, "0.5")                                                                     \
    B(1000000, "1.0")                                                                    \
    B(2500000, "2.5")                                                                    \
    B(5000000, "5.0")                                                                    \
    B(10000000, "10.0")                                                                  \
    B(30000000, "30.0")                                                                  \
    B(60000000, "60.0")

#define B(usec, text) +1
enum { DEVCACHE_BOUNDS = 0 DEVCACHE_BUCKETS(B), DEVCACHE_BUCKET_COUNT };
#undef B

typedef struct devcache_histogram_t {
    apr_uint64_t buckets[DEVCACHE_BUCKET_COUNT]; /* each its own, not cumulative */
    apr_uint64_t sum;                            /* microseconds */
} devcache_histogram_t;

/** The number of the bucket for @a usec; what is negative (a clock set back) is 0. */
unsigned devcache_histogram_bucket(apr_interval_time_t usec);

/** Upper bound of bucket @a i below DEVCACHE_BOUNDS, microseconds. */
apr_interval_time_t devcache_histogram_bound(unsigned i);

/** The same in seconds, as Prometheus writes numbers; "+Inf" for the last bucket. */
const char *devcache_histogram_le(unsigned i);

/** Count one. Any process, any thread, on shared memory. */
void devcache_histogram_count(devcache_histogram_t *h, apr_interval_time_t usec);

/** Add what @a from, which may be counted into meanwhile, holds to @a to, the caller's.
 */
void devcache_histogram_add(devcache_histogram_t *to, const devcache_histogram_t *from);

/** How many were counted. @a h is the caller's own. */
apr_uint64_t devcache_histogram_total(const devcache_histogram_t *h);

/**
 * The duration that a share of @a q (0 to 1) of all did not exceed, microseconds, read by
 * straight lines through the buckets. What lies beyond the last bound is that bound.
 * @return -1 if nothing was counted
 */
double devcache_histogram_quantile(const devcache_histogram_t *h, double q);

#endif
