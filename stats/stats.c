/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"

#include <string.h>
#include "base/shm.h"

typedef struct shared_t {
    apr_uint64_t counters[DEVCACHE_COUNTER_COUNT];
    apr_uint64_t reasons[DEVCACHE_REASON_COUNT];
} shared_t;

static shared_t *shared; /* set once in the parent before it forks */

static const char *const names[] = {
#define C(name, meaning) #name,
    DEVCACHE_COUNTERS(C)
#undef C
};

static const char *const meanings[] = {
#define C(name, meaning) meaning,
    DEVCACHE_COUNTERS(C)
#undef C
};

apr_status_t devcache_stats_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(sizeof(shared_t), &rv, p);
    return rv;
}

void devcache_stats_add(devcache_counter_e counter, apr_uint64_t n)
{
    if (shared) {
        __atomic_fetch_add(&shared->counters[counter], n, __ATOMIC_RELAXED);
    }
}

void devcache_stats_count(devcache_counter_e counter)
{
    devcache_stats_add(counter, 1);
}

void devcache_stats_count_reason(devcache_reason_e reason)
{
    if (shared) {
        __atomic_fetch_add(&shared->reasons[reason], 1, __ATOMIC_RELAXED);
    }
}

apr_uint64_t devcache_stats_get(devcache_counter_e counter)
{
    return shared ? __atomic_load_n(&shared->counters[counter], __ATOMIC_RELAXED) : 0;
}

apr_uint64_t devcache_stats_get_reason(devcache_reason_e reason)
{
    return shared ? __atomic_load_n(&shared->reasons[reason], __ATOMIC_RELAXED) : 0;
}

const char *devcache_stats_name(devcache_counter_e counter)
{
    return names[counter];
}

const char *devcache_stats_meaning(devcache_counter_e counter)
{
    return meanings[counter];
}
