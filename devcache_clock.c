#include "devcache_clock.h"

#include <time.h>

#ifdef DEVCACHE_TESTING
#include <stdio.h>
#include <stdlib.h>

/* Seconds that a test adds to the clock; 0 without the file. */
static apr_time_t clock_offset(void)
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
    return apr_time_from_sec(strtol(text, NULL, 10));
}
#else
static apr_time_t clock_offset(void)
{
    return 0;
}
#endif

apr_time_t devcache_now(void)
{
    return apr_time_now() + clock_offset();
}

apr_time_t devcache_monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}
