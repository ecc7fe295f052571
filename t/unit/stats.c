/* SPDX-License-Identifier: Apache-2.0 */
/* Counters in shared memory. */
#include "stats/stats.h"

#include <sys/wait.h>
#include <unistd.h>
#include <apr_general.h>
#include "tap.h"

/* Count a thousand times in each of four children at once. */
static void count_in_children(void)
{
    int i, n;

    for (i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (n = 0; n < 1000; n++) {
                devcache_stats_count(DEVCACHE_COUNT_hits);
                devcache_stats_count_reason(DEVCACHE_REASON_STALE);
            }
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
    }
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    devcache_stats_count(DEVCACHE_COUNT_hits);
    is_int((long long)devcache_stats_get(DEVCACHE_COUNT_hits), 0,
           "nothing before create");
    is_int(devcache_stats_create(pool), APR_SUCCESS, "create");
    count_in_children();
    is_int((long long)devcache_stats_get(DEVCACHE_COUNT_hits), 4000,
           "children share counters");
    is_int((long long)devcache_stats_get_reason(DEVCACHE_REASON_STALE), 4000,
           "and reasons");
    is_str(devcache_stats_name(DEVCACHE_COUNT_hits), "hits", "names");
    return done_testing();
}
