/* Counters in shared memory, and claims for jobs of the whole server. */
#include "devcache_stats.h"

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

/* How many of four children get the same claim at once? */
static int claims_in_children(apr_time_t now)
{
    int i, status, won = 0;

    for (i = 0; i < 4; i++) {
        if (fork() == 0) {
            _exit(devcache_stats_claim(7, now, now + APR_USEC_PER_SEC) ? 1 : 0);
        }
    }
    while (wait(&status) > 0) {
        won += WEXITSTATUS(status);
    }
    return won;
}

int main(void)
{
    apr_time_t now = apr_time_from_sec(1000000);
    apr_uint64_t ticket, taken = 0;
    apr_pool_t *pool;
    apr_uint64_t i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    devcache_stats_count(DEVCACHE_COUNT_hits);
    is_int((long long)devcache_stats_get(DEVCACHE_COUNT_hits), 0,
           "nothing before create");
    is_int((long long)devcache_stats_claim(1, now, now + 1), 0, "no claim before create");
    is_int(devcache_stats_create(pool), APR_SUCCESS, "create");
    count_in_children();
    is_int((long long)devcache_stats_get(DEVCACHE_COUNT_hits), 4000,
           "children share counters");
    is_int((long long)devcache_stats_get_reason(DEVCACHE_REASON_STALE), 4000,
           "and reasons");
    is_str(devcache_stats_name(DEVCACHE_COUNT_hits), "hits", "names");

    ticket = devcache_stats_claim(42, now, now + apr_time_from_sec(10));
    ok(ticket != 0, "a claim");
    is_int((long long)devcache_stats_claim(42, now, now + apr_time_from_sec(10)), 0,
           "is nobody else's");
    ok(devcache_stats_claim(42, now + apr_time_from_sec(11),
                            now + apr_time_from_sec(20)) != 0,
       "but lapses");
    devcache_stats_release(ticket);
    is_int((long long)devcache_stats_claim(42, now + apr_time_from_sec(11),
                                           now + apr_time_from_sec(20)),
           0, "a lapsed ticket releases nothing");
    is_int(claims_in_children(now), 1, "of four at once, one gets it");
    for (i = 0; i < 200; i++) {
        taken += devcache_stats_claim(1000 + i, now, now + apr_time_from_sec(5)) != 0;
    }
    ok(taken > 40 && taken < 64, "claims are bounded (%d)", (int)taken);
    return done_testing();
}
