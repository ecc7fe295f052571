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
