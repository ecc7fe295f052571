/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared part is anonymous memory: a ring of minutes, the cells' names, and the cells, of
 * which only those that something was counted in ever take pages. Even to read one would
 * take a page, so beside its name stands whether it is in use. By name they are found in a
 * table of the parent's own.
 *
 * The ring needs nobody to turn it. Each of its words has the minute it is about in its
 * upper 24 bits (which last for 31 years) and the count in its lower 40. Whoever counts
 * in a newer minute than the word's replaces it; whoever reads takes a word of another
 * minute for 0. So there is no moment at which a killed process or a missed turn could
 * leave an old count where a new one belongs.
 */
#include "stats/meter.h"

#include <string.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "base/shm.h"

#define RING 64 /* minutes; more than DEVCACHE_MINUTES, a power of two */
#define COUNT_BITS 40
#define COUNT_MASK (((apr_uint64_t)1 << COUNT_BITS) - 1)
#define STAMP_MASK (((apr_uint64_t)1 << (64 - COUNT_BITS)) - 1)

typedef struct name_t {
    char vhost[DEVCACHE_VHOST_MAX];
    char device[DEVCACHE_CLASS_MAX];
    apr_uint64_t used; /* relaxed; something was counted */
} name_t;

typedef struct shared_t {
    apr_uint64_t ring[RING][DEVCACHE_GROUP_COUNT];
    unsigned named; /* cells in use; grows only, set by the parent */
    unsigned max;
    name_t names[]; /* max, and behind them the cells */
} shared_t;

static shared_t *shared; /* these are set once in the parent before it forks */
static devcache_cell_t *cells;
static unsigned *slots, slots_mask; /* 1 + number of a name, by its hash; 0: free */

static const char *const words[] = {
#define O(name, word, group, meaning) word,
    DEVCACHE_OUTCOMES(O)
#undef O
};

static const unsigned char groups[] = {
#define O(name, word, group, meaning) DEVCACHE_GROUP_##group,
    DEVCACHE_OUTCOMES(O)
#undef O
};

const char *devcache_meter_outcome(devcache_outcome_e outcome)
{
    return words[outcome];
}

devcache_group_e devcache_meter_group(devcache_outcome_e outcome)
{
    return (devcache_group_e)groups[outcome];
}

/* ---- cells ---------------------------------------------------------------------- */

apr_status_t devcache_meter_create(unsigned n, apr_pool_t *p)
{
    apr_size_t names = sizeof(shared_t) + n * sizeof(name_t);
    apr_status_t rv;

    shared = devcache_shm_create(names + n * sizeof(devcache_cell_t), &rv, p);
    if (rv == APR_SUCCESS) {
        shared->max = n;
        cells = (devcache_cell_t *)(void *)((char *)shared + names);
        for (slots_mask = 1; slots_mask < 2 * n; slots_mask = 2 * slots_mask + 1) {
        }
        slots = apr_pcalloc(p, (slots_mask + 1) * sizeof *slots);
        devcache_meter_name("other", "other");
    }
    return rv;
}

unsigned devcache_meter_name(const char *vhost, const char *device)
{
    name_t name = {{0}};
    unsigned *slot;
    apr_uint64_t at;

    if (!shared) {
        return 0;
    }
    apr_cpystrn(name.vhost, vhost, sizeof name.vhost);
    apr_cpystrn(name.device, device, sizeof name.device);
    at = XXH3_64bits(name.vhost, sizeof name.vhost + sizeof name.device);
    for (; *(slot = &slots[at & slots_mask]); at++) {
        const name_t *other = &shared->names[*slot - 1];
        if (!strcmp(other->vhost, name.vhost) && !strcmp(other->device, name.device)) {
            return *slot - 1;
        }
    }
    if (shared->named == shared->max) {
        return 0;
    }
    shared->names[shared->named] = name;
    *slot = shared->named + 1;
    __atomic_store_n(&shared->named, *slot, __ATOMIC_RELEASE);
    return *slot - 1;
}

unsigned devcache_meter_cells(void)
{
    return shared ? __atomic_load_n(&shared->named, __ATOMIC_ACQUIRE) : 0;
}

static void add_to(apr_uint64_t *to, apr_uint64_t n)
{
    if (n) {
        __atomic_fetch_add(to, n, __ATOMIC_RELAXED);
    }
}

void devcache_meter_add(devcache_cell_t *to, unsigned i)
{
    const devcache_cell_t *from = &cells[i];
    unsigned outcome, failed;

    memcpy(to->vhost, shared->names[i].vhost, sizeof to->vhost);
    memcpy(to->device, shared->names[i].device, sizeof to->device);
    if (!__atomic_load_n(&shared->names[i].used, __ATOMIC_RELAXED)) {
        return;
    }
    for (failed = 0; failed < 2; failed++) {
        for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
            devcache_histogram_add(&to->answers[outcome][failed],
                                   &from->answers[outcome][failed]);
        }
        devcache_histogram_add(&to->origin[failed], &from->origin[failed]);
    }
    to->sent_by_cache += __atomic_load_n(&from->sent_by_cache, __ATOMIC_RELAXED);
    to->sent_by_origin += __atomic_load_n(&from->sent_by_origin, __ATOMIC_RELAXED);
    to->received += __atomic_load_n(&from->received, __ATOMIC_RELAXED);
}

/* ---- minutes -------------------------------------------------------------------- */

static apr_uint64_t minute_of(apr_time_t now)
{
    return (apr_uint64_t)(now / apr_time_from_sec(60));
}

/* Is the minute of this word before @a minute? Both are known to 24 bits. A word that was
 * never used is 0. */
static int is_older(apr_uint64_t word, apr_uint64_t minute)
{
    apr_uint64_t ahead = (minute - (word >> COUNT_BITS)) & STAMP_MASK;

    return word == 0 || (ahead != 0 && ahead <= STAMP_MASK / 2);
}

static apr_uint64_t count_minute(devcache_group_e group, apr_time_t now)
{
    apr_uint64_t minute = minute_of(now);
    apr_uint64_t *word = &shared->ring[minute % RING][group];
    apr_uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

    while (is_older(old, minute)) {
        apr_uint64_t first = ((minute & STAMP_MASK) << COUNT_BITS) | 1;
        if (__atomic_compare_exchange_n(word, &old, first, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return 0;
        }
    }
    if (old >> COUNT_BITS != (minute & STAMP_MASK)) {
        return 0; /* the clock was set back by more than an hour: not in the chart */
    }
    return __atomic_fetch_add(word, 1, __ATOMIC_RELAXED) & COUNT_MASK;
}

void devcache_meter_minutes(apr_time_t now, devcache_minute_t out[DEVCACHE_MINUTES])
{
    unsigned i, group;

    for (i = 0; i < DEVCACHE_MINUTES; i++) {
        apr_uint64_t minute = minute_of(now) - (DEVCACHE_MINUTES - 1 - i);
        out[i].begun = (apr_time_t)minute * apr_time_from_sec(60);
        for (group = 0; group < DEVCACHE_GROUP_COUNT; group++) {
            apr_uint64_t word = shared
                                    ? __atomic_load_n(&shared->ring[minute % RING][group],
                                                      __ATOMIC_RELAXED)
                                    : 0;
            out[i].groups[group] = word >> COUNT_BITS == (minute & STAMP_MASK)
                                       ? word & COUNT_MASK
                                       : 0;
        }
    }
}

/* ---- counting ------------------------------------------------------------------- */

static devcache_cell_t *cell_of(const devcache_sample_t *s)
{
    unsigned i = s->cell < shared->max ? s->cell : 0;

    if (!__atomic_load_n(&shared->names[i].used, __ATOMIC_RELAXED)) {
        __atomic_store_n(&shared->names[i].used, 1, __ATOMIC_RELAXED);
    }
    return &cells[i];
}

void devcache_meter_count_origin(const devcache_sample_t *s)
{
    devcache_cell_t *cell;

    if (!shared) {
        return;
    }
    cell = cell_of(s);
    if (s->origin >= 0) {
        devcache_histogram_count(&cell->origin[s->origin_failed], s->origin);
    }
    add_to(&cell->received, s->received);
}

apr_uint64_t devcache_meter_count(const devcache_sample_t *s, apr_time_t now)
{
    devcache_cell_t *cell;

    if (!shared) {
        return 0;
    }
    cell = cell_of(s);
    devcache_histogram_count(&cell->answers[s->outcome][s->failed], s->answered);
    devcache_meter_count_origin(s);
    add_to(&cell->sent_by_cache, s->sent_by_cache);
    add_to(&cell->sent_by_origin, s->sent_by_origin);
    return count_minute(
        s->failed ? DEVCACHE_GROUP_ERROR : devcache_meter_group(s->outcome), now);
}
