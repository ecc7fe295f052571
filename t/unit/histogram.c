/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_histogram: where a duration is counted, and what percentiles are read. */
#include "stats/histogram.h"

#include <math.h>
#include <stdlib.h>
#include "tap.h"

static int near(double got, double want)
{
    return fabs(got - want) < 0.5;
}

static void test_buckets(void)
{
    unsigned i;

    is_int(DEVCACHE_BOUNDS, 19, "19 bounds");
    is_int(devcache_histogram_bound(0), 50, "from 50 us");
    is_int(devcache_histogram_bound(DEVCACHE_BOUNDS - 1), 60000000, "to a minute");
    is_str(devcache_histogram_le(DEVCACHE_BOUNDS), "+Inf", "and beyond");
    for (i = 0; i < DEVCACHE_BOUNDS; i++) {
        apr_interval_time_t bound = devcache_histogram_bound(i);
        ok(fabs(strtod(devcache_histogram_le(i), NULL) * 1e6 - (double)bound) < 1e-3,
           "%s is the same number", devcache_histogram_le(i));
        is_int(devcache_histogram_bucket(bound), i, "a bound belongs to its bucket");
        is_int(devcache_histogram_bucket(bound + 1), i + 1, "what is longer does not");
    }
    is_int(devcache_histogram_bucket(0), 0, "nothing is short");
    is_int(devcache_histogram_bucket(-5), 0, "so is a clock that was set back");
    is_int(devcache_histogram_bucket(APR_INT64_MAX), DEVCACHE_BOUNDS, "for ever is long");
}

static void test_quantiles(void)
{
    devcache_histogram_t h = {{0}, 0}, sum = {{0}, 0};
    int i;

    ok(devcache_histogram_quantile(&h, .5) == -1, "nothing has no median");
    devcache_histogram_count(&h, 300);
    ok(devcache_histogram_quantile(&h, .99) <= 500, "one: not above its bucket");
    ok(devcache_histogram_quantile(&h, .01) >= 250, "nor below it");
    for (i = 0; i < 99; i++) {
        devcache_histogram_count(&h, 300);
    }
    ok(near(devcache_histogram_quantile(&h, .5), 375), "the middle of one bucket");
    ok(near(devcache_histogram_quantile(&h, 1), 500), "its end");
    ok(near(devcache_histogram_quantile(&h, 0), 250), "its beginning");
    for (i = 0; i < 100; i++) {
        devcache_histogram_count(&h, 70000);
    }
    ok(near(devcache_histogram_quantile(&h, .5), 500), "half are in the lower one");
    ok(near(devcache_histogram_quantile(&h, .75), 75000),
       "three quarters: half the other");
    devcache_histogram_count(&h, -7);
    is_int((long long)h.sum, 100 * 300 + 100 * 70000, "the sum, without negative ones");
    devcache_histogram_add(&sum, &h);
    devcache_histogram_add(&sum, &h);
    is_int((long long)devcache_histogram_total(&sum), 402, "added up");
    is_int((long long)sum.sum, 2 * (long long)h.sum, "sums too");
    for (i = 0; i < 100000; i++) {
        devcache_histogram_count(&h, APR_INT64_C(1) << 40);
    }
    ok(near(devcache_histogram_quantile(&h, .99), 60e6),
       "beyond all bounds: the last one");
}

/* Percentiles of a spread that is known: off by the width of a bucket at most. */
static void test_spread(void)
{
    devcache_histogram_t h = {{0}, 0};
    int i, worst = 0;

    for (i = 1; i <= 100000; i++) {
        devcache_histogram_count(&h, i);
    }
    for (i = 1; i < 100; i++) {
        double got = devcache_histogram_quantile(&h, i / 100.0), want = i * 1000.0;
        worst += got < want * 0.99 - 1 || got > want * 1.01 + 1;
    }
    is_int(worst, 0, "even spread: straight lines are exact");
}

int main(void)
{
    test_buckets();
    test_quantiles();
    test_spread();
    return done_testing();
}
