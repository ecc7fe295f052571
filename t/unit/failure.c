/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_failure: what has failed is remembered for a second, doubling to thirty. */
#include "flight/failure.h"

#include <apr_general.h>
#include "tap.h"

static const apr_uint64_t id = APR_UINT64_C(0xfedcba9876543210);

static apr_time_t later(apr_time_t now, int ms)
{
    return now + apr_time_from_msec(ms);
}

static void test_doubling(void)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 30, 30};
    apr_time_t now = apr_time_from_sec(1700000000);
    unsigned i;

    is_int(devcache_failure_of(id, now), DEVCACHE_FAILURE_NONE, "nothing is known");
    for (i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        devcache_failure_note(id, now);
        devcache_failure_note(id, later(now, 500));
        is_int(devcache_failure_of(id, later(now, seconds[i] * 1000 - 200)),
               DEVCACHE_FAILURE_NOW, "failed, and for so long");
        now = later(now, seconds[i] * 1000 + 200);
        is_int(devcache_failure_of(id, now), DEVCACHE_FAILURE_LATELY, "and lately after");
    }
    is_int(devcache_failure_of(id, later(now, 59000)), DEVCACHE_FAILURE_LATELY,
           "for a minute");
    is_int(devcache_failure_of(id, later(now, 61000)), DEVCACHE_FAILURE_NONE,
           "and not longer");
    devcache_failure_note(id, later(now, 62000));
    is_int(devcache_failure_of(id, later(now, 63500)), DEVCACHE_FAILURE_LATELY,
           "then it begins with a second again");
}

static void test_others(void)
{
    apr_time_t now = apr_time_from_sec(1700001000);

    devcache_failure_note(id, now);
    is_int(devcache_failure_of(id ^ APR_UINT64_C(1) << 40, now), DEVCACHE_FAILURE_NONE,
           "another id is another");
    is_int(devcache_failure_of(id, now - apr_time_from_sec(3600)), DEVCACHE_FAILURE_NONE,
           "a clock that was set back");
    devcache_failure_clear(id ^ APR_UINT64_C(1) << 40);
    is_int(devcache_failure_of(id, now), DEVCACHE_FAILURE_NOW, "another one answers");
    devcache_failure_clear(id);
    is_int(devcache_failure_of(id, now), DEVCACHE_FAILURE_NONE, "it answers");
    devcache_failure_note(0, now);
    is_int(devcache_failure_of(0, now), DEVCACHE_FAILURE_NONE, "no id: nothing");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    devcache_failure_note(id, 0);
    is_int(devcache_failure_of(id, 0), DEVCACHE_FAILURE_NONE, "without a table: nothing");
    is_int(devcache_failure_create(p), APR_SUCCESS, "a table");
    test_doubling();
    test_others();
    return done_testing();
}
