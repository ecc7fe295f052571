/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

#ifdef DEVCACHE_TESTING
#include <stdio.h>
#include <stdlib.h>

apr_time_t devcache_now(void)
{
    const char *path = getenv("DEVCACHE_CLOCK");
    char text[32] = "";
    FILE *f = path ? fopen(path, "r") : NULL;

    if (f) {
        if (!fgets(text, sizeof text, f)) {
            text[0] = '\0';
        }
        fclose(f);
    }
    if (text[0] == '=') {
        return apr_time_from_sec(strtol(text + 1, NULL, 10));
    }
    return apr_time_now() + apr_time_from_sec(strtol(text, NULL, 10));
}
#else
apr_time_t devcache_now(void)
{
    return apr_time_now();
}
#endif

apr_time_t devcache_monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

int devcache_clock_allows(apr_uint64_t *word, unsigned most)
{
    apr_uint64_t minute = (apr_uint64_t)(apr_time_sec(devcache_monotonic()) / 60) << 8;
    apr_uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
    apr_uint64_t next;

    do {
        next = (was & ~(apr_uint64_t)0xff) == minute ? was + 1 : minute + 1;
        if ((next & 0xff) > most) {
            return 0;
        }
    } while (!__atomic_compare_exchange_n(word, &was, next, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return 1;
}
