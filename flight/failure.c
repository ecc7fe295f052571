/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures: a table of words, each one id's, whichever came last.
 *
 *     bits 63..36  of the id
 *     bits 35..32  how often in a row, counted to the longest time
 *     bits 31..0   when it is over, in eighths of a second
 *
 * A clock that is set back would make a word hold for long; what lies further ahead than
 * the longest time is none.
 */
#include "flight/failure.h"

#include "base/shm.h"

#define FAILURES 4096 /* a power of two */
#define TICK 125000   /* microseconds */
#define SECOND 8      /* ticks */
#define DOUBLINGS 5   /* 1 s, 2, 4, 8, 16, and then */
#define LONGEST 30    /* seconds */
#define REMEMBERED 60 /* seconds after it is over */

static apr_uint64_t *table; /* NULL: nothing is remembered */

apr_status_t devcache_failure_create(apr_pool_t *p)
{
    apr_status_t rv;

    table = devcache_shm_create(FAILURES * sizeof *table, &rv, p);
    return rv;
}

static apr_uint64_t *word_of(apr_uint64_t id)
{
    return &table[id & (FAILURES - 1)];
}

static int is_about(apr_uint64_t word, apr_uint64_t id)
{
    return word && (word ^ id) >> 36 == 0;
}

/* Ticks until it is over; negative: since. */
static apr_int32_t left(apr_uint64_t word, apr_time_t now)
{
    return (apr_int32_t)((apr_uint32_t)word - (apr_uint32_t)(now / TICK));
}

static devcache_failure_e state_of(apr_uint64_t word, apr_uint64_t id, apr_time_t now)
{
    apr_int32_t ticks = left(word, now);

    if (!is_about(word, id) || ticks > LONGEST * SECOND || ticks < -REMEMBERED * SECOND) {
        return DEVCACHE_FAILURE_NONE;
    }
    return ticks > 0 ? DEVCACHE_FAILURE_NOW : DEVCACHE_FAILURE_LATELY;
}

void devcache_failure_note(apr_uint64_t id, apr_time_t now)
{
    apr_uint64_t word, times = 0, until;

    if (!table || !id) {
        return;
    }
    word = __atomic_load_n(word_of(id), __ATOMIC_RELAXED);
    switch (state_of(word, id, now)) {
    case DEVCACHE_FAILURE_NOW:
        return; /* the same trouble, seen by another */
    case DEVCACHE_FAILURE_LATELY:
        times = word >> 32 & 15;
        times += times < DOUBLINGS;
        break;
    case DEVCACHE_FAILURE_NONE:
        break;
    }
    until = (apr_uint64_t)(now / TICK) +
            (times < DOUBLINGS ? SECOND << times : LONGEST * SECOND);
    __atomic_store_n(word_of(id), id >> 36 << 36 | times << 32 | (apr_uint32_t)until,
                     __ATOMIC_RELAXED);
}

void devcache_failure_clear(apr_uint64_t id)
{
    if (table && is_about(__atomic_load_n(word_of(id), __ATOMIC_RELAXED), id)) {
        __atomic_store_n(word_of(id), 0, __ATOMIC_RELAXED);
    }
}

devcache_failure_e devcache_failure_of(apr_uint64_t id, apr_time_t now)
{
    return table && id ? state_of(__atomic_load_n(word_of(id), __ATOMIC_RELAXED), id, now)
                       : DEVCACHE_FAILURE_NONE;
}
