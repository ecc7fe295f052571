/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of words, each one id's, whichever came last.
 *
 *     bits 63..32  of the id
 *     bits 31..0   until when, in seconds; 0: not any more
 */
#include "flight/avoid.h"

#include "base/shm.h"

#define IDS 4096    /* a power of two */
#define LONGEST 120 /* seconds */

static apr_uint64_t *table; /* NULL: nothing is remembered */

apr_status_t devcache_avoid_create(apr_pool_t *p)
{
    apr_status_t rv;

    table = devcache_shm_create(IDS * sizeof *table, &rv, p);
    return rv;
}

void devcache_avoid_until(apr_uint64_t id, apr_time_t until)
{
    if (table) {
        apr_uint64_t word = (id & ~(apr_uint64_t)0xffffffffu) |
                            (apr_uint32_t)apr_time_sec(until);
        __atomic_store_n(&table[id & (IDS - 1)], word, __ATOMIC_RELAXED);
    }
}

/* When it is over, seconds; 0: nothing is known about it. */
static apr_uint32_t end_of(apr_uint64_t id)
{
    apr_uint64_t word = table ? __atomic_load_n(&table[id & (IDS - 1)], __ATOMIC_RELAXED)
                              : 0;

    return (word ^ id) >> 32 == 0 ? (apr_uint32_t)word : 0;
}

int devcache_avoid_now(apr_uint64_t id, apr_time_t now)
{
    /* What would hold for longer was written before the clock was set back. */
    apr_uint32_t end = end_of(id);
    apr_uint32_t left = end - (apr_uint32_t)apr_time_sec(now);

    return end && left > 0 && left <= LONGEST;
}

int devcache_avoid_lately(apr_uint64_t id)
{
    return end_of(id) != 0;
}
