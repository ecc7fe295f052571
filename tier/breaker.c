/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/breaker.h"

#define WINDOW APR_USEC_PER_SEC
#define FAILURES 5
#define PAUSE APR_USEC_PER_SEC
#define PAUSE_MAX apr_time_from_sec(30)

int devcache_breaker_is_open(const devcache_breaker_t *b, apr_time_t now)
{
    return __atomic_load_n(&b->until, __ATOMIC_ACQUIRE) > (apr_uint64_t)now;
}

int devcache_breaker_lets(devcache_breaker_t *b, apr_time_t now)
{
    apr_uint64_t until = __atomic_load_n(&b->until, __ATOMIC_ACQUIRE);

    if (until == 0) {
        return 1;
    }
    /* Whoever moves the end is the one who tries; the others wait for what it finds. */
    return until <= (apr_uint64_t)now &&
           __atomic_compare_exchange_n(&b->until, &until,
                                       (apr_uint64_t)now +
                                           __atomic_load_n(&b->pause, __ATOMIC_RELAXED),
                                       0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

void devcache_breaker_success(devcache_breaker_t *b)
{
    if (__atomic_load_n(&b->failures, __ATOMIC_RELAXED) ||
        __atomic_load_n(&b->until, __ATOMIC_RELAXED)) {
        __atomic_store_n(&b->failures, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->pause, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->until, 0, __ATOMIC_RELEASE);
    }
}

void devcache_breaker_failure(devcache_breaker_t *b, apr_time_t now)
{
    apr_uint64_t pause = __atomic_load_n(&b->pause, __ATOMIC_RELAXED);
    apr_uint64_t since = __atomic_load_n(&b->since, __ATOMIC_RELAXED);

    if (pause == 0) {
        if ((apr_uint64_t)now - since > WINDOW) {
            __atomic_store_n(&b->since, (apr_uint64_t)now, __ATOMIC_RELAXED);
            __atomic_store_n(&b->failures, 0, __ATOMIC_RELAXED);
        }
        if (__atomic_add_fetch(&b->failures, 1, __ATOMIC_RELAXED) < FAILURES) {
            return;
        }
        pause = PAUSE;
    } else {
        pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
    }
    __atomic_store_n(&b->pause, pause, __ATOMIC_RELAXED);
    __atomic_store_n(&b->until, (apr_uint64_t)now + pause, __ATOMIC_RELEASE);
}
