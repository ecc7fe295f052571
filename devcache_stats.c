#include "devcache_stats.h"

#include <string.h>
#include "devcache_shm.h"

/* Jobs claimed at once in the whole server. */
#define CLAIMS 64

/* A claim is one word, so that taking it is one compare-and-swap: the job's id in the
 * high half, the second at which it lapses in the low half; 0 is free. */
typedef apr_uint64_t claim_t;

typedef struct shared_t {
    apr_uint64_t counters[DEVCACHE_COUNTER_COUNT];
    apr_uint64_t reasons[DEVCACHE_REASON_COUNT];
    claim_t claims[CLAIMS];
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

static int claim_live(claim_t c, apr_time_t now)
{
    return (apr_time_t)(c & 0xffffffffu) > apr_time_sec(now);
}

apr_uint64_t devcache_stats_claim(apr_uint64_t id, apr_time_t now, apr_time_t until)
{
    claim_t wanted = (id << 32) | ((apr_uint64_t)apr_time_sec(until) & 0xffffffffu);
    unsigned i, start = (unsigned)(id % CLAIMS);

    /* All who want one id probe in the same order, so the second finds the first. */
    for (i = 0; shared && i < CLAIMS; i++) {
        claim_t *c = &shared->claims[(start + i) % CLAIMS];
        claim_t old = __atomic_load_n(c, __ATOMIC_ACQUIRE);
        if (!claim_live(old, now)) {
            return __atomic_compare_exchange_n(c, &old, wanted, 0, __ATOMIC_ACQ_REL,
                                               __ATOMIC_RELAXED)
                       ? wanted
                       : 0;
        }
        if (old >> 32 == wanted >> 32) {
            return 0;
        }
    }
    return 0;
}

unsigned devcache_stats_claims(apr_time_t now, unsigned *pmax)
{
    unsigned i, n = 0;

    for (i = 0; shared && i < CLAIMS; i++) {
        n += claim_live(__atomic_load_n(&shared->claims[i], __ATOMIC_RELAXED), now);
    }
    *pmax = CLAIMS;
    return n;
}

void devcache_stats_release(apr_uint64_t ticket)
{
    unsigned i;

    for (i = 0; shared && ticket && i < CLAIMS; i++) {
        claim_t mine = ticket;
        if (__atomic_compare_exchange_n(&shared->claims[i], &mine, 0, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            return;
        }
    }
}
