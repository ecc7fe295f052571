/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/meter.h
 * How requests were answered, and how fast: counted in shared memory by virtual host and
 * device class, and for the last hour by the minute.
 *
 * Created in the parent, inherited by all children, kept over graceful restarts.
 * A cell is one virtual host and device class. Their number is fixed at start; what finds
 * no room is counted in cell 0, "other". Only the parent names cells, before it forks the
 * children that count in them, and a cell keeps its name for ever: a child of an older
 * generation goes on counting in the right one.
 * Locks      None: relaxed atomic additions. A child killed at any instruction leaves
 *            nothing but, at worst, one request half counted.
 * Units      Microseconds, bytes.
 * Before devcache_meter_create(), or if that failed, nothing is counted and all is 0.
 */
#ifndef DEVCACHE_STATS_METER_H
#define DEVCACHE_STATS_METER_H

#include <apr_pools.h>
#include <apr_time.h>
#include "stats/histogram.h"

/* How a request was answered: name, word in logs and metrics (stable), group, meaning. */
#define DEVCACHE_OUTCOMES(O)                                                             \
    O(NONE, "-", BYPASS, "not decided")                                                  \
    O(BYPASS, "bypass", BYPASS, "the cache was not used")                                \
    O(MISS, "miss", MISS, "nothing usable was stored; the origin answered")              \
    O(EXPIRED, "expired", MISS, "stored, asked the origin, it sent a new one")           \
    O(REVALIDATED, "revalidated", MISS, "stored, asked the origin, still good")          \
    O(HIT, "hit", HIT, "served from the cache, fresh")                                   \
    O(STALE, "stale", HIT, "served from the cache, stale and allowed to be")             \
    O(STALE_ERROR, "stale-error", MISS, "the origin failed; the stored one was served")  \
    O(COLLAPSED, "collapsed", MISS, "served what another request was fetching")          \
    O(TIMEOUT, "timeout", MISS, "504 made here")

typedef enum devcache_outcome_e {
#define O(name, word, group, meaning) DEVCACHE_OUTCOME_##name,
    DEVCACHE_OUTCOMES(O)
#undef O
        DEVCACHE_OUTCOME_COUNT
} devcache_outcome_e;

/* What outcomes come down to for those who watch. */
typedef enum devcache_group_e {
    DEVCACHE_GROUP_HIT,    /* answered without asking the origin first */
    DEVCACHE_GROUP_MISS,   /* the origin was asked */
    DEVCACHE_GROUP_BYPASS, /* the cache was not used */
    DEVCACHE_GROUP_ERROR,  /* any of those, answered with a status of 500 or above */
    DEVCACHE_GROUP_COUNT
} devcache_group_e;

/** The outcome's word, static. */
const char *devcache_meter_outcome(devcache_outcome_e outcome);

/** HIT, MISS or BYPASS. */
devcache_group_e devcache_meter_group(devcache_outcome_e outcome);

#define DEVCACHE_VHOST_MAX 120 /* bytes of a virtual host's name, with its NUL */
#define DEVCACHE_CLASS_MAX 40  /* of a device class */

/* A virtual host and device class. The last index: 0 success, 1 failure. */
typedef struct devcache_cell_t {
    char vhost[DEVCACHE_VHOST_MAX];
    char device[DEVCACHE_CLASS_MAX];
    devcache_histogram_t answers[DEVCACHE_OUTCOME_COUNT][2]; /* until the answer began */
    devcache_histogram_t origin[2]; /* until the origin's answer began */
    apr_uint64_t sent_by_cache;     /* body bytes to clients, from stored responses */
    apr_uint64_t sent_by_origin;    /* body bytes to clients, others */
    apr_uint64_t received;          /* body bytes from the origin */
} devcache_cell_t;

/**
 * Make room for @a cells cells, "other" included; all zero. Parent only, before it
 * forks; @a p must outlive the children (the process pool).
 */
apr_status_t devcache_meter_create(unsigned cells, apr_pool_t *p);

/**
 * The number of the cell of that name, which is new if there is none yet. Parent only.
 * Names are cut to their limits. @return 0 if there is no room left
 */
unsigned devcache_meter_name(const char *vhost, const char *device);

typedef struct devcache_sample_t {
    unsigned cell;
    devcache_outcome_e outcome;
    int failed;                   /* answered with a status of 500 or above */
    int origin_failed;            /* the origin did, or gave no answer at all */
    apr_interval_time_t answered; /* until the answer began */
    apr_interval_time_t origin;   /* until the origin's answer began; -1: not asked */
    apr_uint64_t sent_by_cache;
    apr_uint64_t sent_by_origin;
    apr_uint64_t received;
} devcache_sample_t;

/**
 * Count one request. Any process, any thread.
 * @return how many of its group (as ERROR, if it failed) were counted in this minute
 *         before it: what a sampler needs to know how busy it is
 */
apr_uint64_t devcache_meter_count(const devcache_sample_t *s, apr_time_t now);

/**
 * Count only what the sample says of the origin: of a question that no visitor waited
 * for.
 */
void devcache_meter_count_origin(const devcache_sample_t *s);

/** How many cells have a name, "other" included; 0: not created. */
unsigned devcache_meter_cells(void);

/** Add what cell @a i holds to the caller's @a to, and take its name over. */
void devcache_meter_add(devcache_cell_t *to, unsigned i);

#define DEVCACHE_MINUTES 60

typedef struct devcache_minute_t {
    apr_time_t begun;                          /* its first microsecond */
    apr_uint64_t groups[DEVCACHE_GROUP_COUNT]; /* those that failed as ERROR only */
} devcache_minute_t;

/** The last hour, oldest first; the last one is the minute of @a now, not over yet. */
void devcache_meter_minutes(apr_time_t now, devcache_minute_t out[DEVCACHE_MINUTES]);

#endif
