/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/draw.h
 * What the status page is drawn with: numbers as people read them, bars and charts.
 *
 * Glue. Everything is inline: no script, no outside resource. Text that is given is
 * escaped here, whoever it came from.
 * Ownership  Texts are in the request's pool.
 */
#ifndef DEVCACHE_WATCH_DRAW_H
#define DEVCACHE_WATCH_DRAW_H

#include <httpd.h>
#include "stats/meter.h"

/** How many requests of all groups. */
apr_uint64_t devcache_draw_sum(const apr_uint64_t n[DEVCACHE_GROUP_COUNT]);

/** 1234567 → "1,234,567". */
const char *devcache_draw_number(apr_uint64_t n, apr_pool_t *p);

/** Microseconds → "74 µs", "2.1 ms", "3.5 s"; "–" if negative: none. */
const char *devcache_draw_duration(double usec, apr_pool_t *p);

/** Seconds → "12 s", "5 min", "3 h", "4 days". */
const char *devcache_draw_span(apr_interval_time_t usec, apr_pool_t *p);

/** Bytes → "512 B", "3.4 KB", "1.2 GB". */
const char *devcache_draw_bytes(apr_uint64_t n, apr_pool_t *p);

/** "97.3 %"; "–" of nothing. */
const char *devcache_draw_share(apr_uint64_t part, apr_uint64_t of, apr_pool_t *p);

/** Any text, for an element or a quoted attribute. */
const char *devcache_draw_text(const char *s, apr_pool_t *p);

/** The group as the page calls it, and its class in the style sheet. */
const char *devcache_draw_group(unsigned group);
const char *devcache_draw_group_class(unsigned group);

/** A bar that shows the groups' shares of their sum. */
void devcache_draw_shares(request_rec *r, const apr_uint64_t n[DEVCACHE_GROUP_COUNT]);

/** A bar that shows how much of a bound is in use; from 90 % on in another colour if
 * @a tight: being full is not what it is meant for. */
void devcache_draw_fill(request_rec *r, const char *what, const char *text,
                        apr_uint64_t part, apr_uint64_t of, int tight);

/** The last hour: shares of each minute, and how many requests. */
void devcache_draw_minutes(request_rec *r, const devcache_minute_t m[DEVCACHE_MINUTES]);

/** One line of the latency chart: a bar for each bucket, as high as its share. */
void devcache_draw_histogram(request_rec *r, const char *class,
                             const devcache_histogram_t *h);

#endif
