/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/histogram.h"

static const apr_interval_time_t bounds[] = {
#define B(usec, text) usec,
    DEVCACHE_BUCKETS(B)
#undef B
};

static const char *const texts[] = {
#define B(usec, text) text,
    DEVCACHE_BUCKETS(B)
#undef B
        "+Inf"};

unsigned devcache_histogram_bucket(apr_interval_time_t usec)
{
    unsigned i = 0;

    /* Hits end in the first few steps, and who has waited longer can wait for the rest.
     */
    while (i < DEVCACHE_BOUNDS && usec > bounds[i]) {
        i++;
    }
    return i;
}

apr_interval_time_t devcache_histogram_bound(unsigned i)
{
    return bounds[i];
}

const char *devcache_histogram_le(unsigned i)
{
    return texts[i];
}

void devcache_histogram_count(devcache_histogram_t *h, apr_interval_time_t usec)
{
    __atomic_fetch_add(&h->buckets[devcache_histogram_bucket(usec)], 1, __ATOMIC_RELAXED);
    if (usec > 0) {
        __atomic_fetch_add(&h->sum, (apr_uint64_t)usec, __ATOMIC_RELAXED);
    }
}

void devcache_histogram_add(devcache_histogram_t *to, const devcache_histogram_t *from)
{
    unsigned i;

    for (i = 0; i < DEVCACHE_BUCKET_COUNT; i++) {
        to->buckets[i] += __atomic_load_n(&from->buckets[i], __ATOMIC_RELAXED);
    }
    to->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
}

apr_uint64_t devcache_histogram_total(const devcache_histogram_t *h)
{
    apr_uint64_t total = 0;
    unsigned i;

    for (i = 0; i < DEVCACHE_BUCKET_COUNT; i++) {
        total += h->buckets[i];
    }
    return total;
}

double devcache_histogram_quantile(const devcache_histogram_t *h, double q)
{
    double rank = q * (double)devcache_histogram_total(h), below = 0;
    unsigned i;

    if (!(devcache_histogram_total(h) > 0)) {
        return -1;
    }
    for (i = 0; i < DEVCACHE_BOUNDS; i++) {
        double here = (double)h->buckets[i];
        if (here > 0 && below + here >= rank) {
            double low = i ? (double)bounds[i - 1] : 0;
            double part = rank > below ? (rank - below) / here : 0;
            return low + part * ((double)bounds[i] - low);
        }
        below += here;
    }
    return (double)bounds[DEVCACHE_BOUNDS - 1];
}
