/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/report.h
 * All that is known of how the cache is doing, read once for one page of any form.
 *
 * Glue. A snapshot of shared memory, good enough for people and programs: its parts are
 * read one after the other, while requests go on.
 * Ownership  Everything is in the pool given.
 */
#ifndef DEVCACHE_WATCH_REPORT_H
#define DEVCACHE_WATCH_REPORT_H

#include <httpd.h>
#include "setup/conf.h"
#include "stats/meter.h"
#include "devcache_store.h"

/* One number: its name (stable), its value, what it means. */
typedef struct devcache_line_t {
    const char *name;
    apr_uint64_t value;
    const char *meaning;
    int gauge; /* it may fall again */
} devcache_line_t;

typedef struct devcache_report_store_t {
    const char *root;
    devcache_store_t *store;
    apr_array_header_t *lines; /* of devcache_line_t; names without "store_" */
    devcache_store_stats_t stats;
    const char *not_ready;           /* NULL: it can be read and written; else why not */
    devcache_tier_shown_t *machines; /* NULL: no DevCacheTier */
} devcache_report_store_t;

typedef struct devcache_report_t {
    apr_time_t now;
    apr_time_t started;           /* the server, or its last restart */
    apr_array_header_t *counters; /* of devcache_line_t */
    apr_array_header_t *flights;  /* of devcache_line_t */
    apr_array_header_t *reasons;  /* of devcache_line_t; names without "reason_" */
    apr_array_header_t *stores;   /* of devcache_report_store_t: each root once */
    apr_array_header_t *cells;    /* of devcache_cell_t *: those with anything counted */
    devcache_cell_t total;        /* of all cells */
    /* Successful ones by how they were answered; ERROR: those that failed. */
    devcache_histogram_t answers[DEVCACHE_GROUP_COUNT];
    devcache_minute_t minutes[DEVCACHE_MINUTES];
    apr_array_header_t *urls;           /* of devcache_top_t, busiest first */
    apr_interval_time_t urls_lasted;    /* how long those were counted */
    apr_array_header_t *troubles;       /* of devcache_trouble_t, latest first */
    unsigned threads_busy, threads_max; /* both 0: not known */
} devcache_report_t;

/** Counters alone: those of ?auto and server-status. */
apr_array_header_t *devcache_report_counters(apr_pool_t *p);
apr_array_header_t *devcache_report_reasons(apr_pool_t *p);
apr_array_header_t *devcache_report_flights(apr_pool_t *p);

/** The numbers of one store. */
apr_array_header_t *devcache_report_store(const devcache_store_stats_t *s, apr_pool_t *p);

/** Each store of the whole server once, with its numbers. */
apr_array_header_t *devcache_report_stores(apr_pool_t *p);

/** NULL if every store can be used; else a sentence: what is wrong with the first. */
const char *devcache_report_not_ready(apr_pool_t *p);

/** Everything. */
void devcache_report_read(devcache_report_t *out, apr_pool_t *p);

#endif
