/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/shadow.h
 * What would be stored if the cache were on: an index without bodies, for Observe mode,
 * and the counts made with it.
 *
 * Several *worlds* are kept side by side: the configuration as it is, and it with one
 * thing changed. They share one table in shared memory, of a fixed size, in which the
 * entry used longest ago gives way; nothing is on disk. A forecast, so a collision of
 * 64-bit hashes or an entry lost to a race costs one wrong count and no more.
 *
 * Locks      None. An entry has a check word; one that was torn by two writers, or by a
 *            killed one, is as good as absent.
 * Processes  Created in the parent, used by any child and thread, kept over graceful
 *            restarts. Before devcache_shadow_create() nothing is found nor counted.
 * Units      Microseconds, bytes.
 */
#ifndef DEVCACHE_STATS_SHADOW_H
#define DEVCACHE_STATS_SHADOW_H

#include <apr_pools.h>
#include "base/bytes.h"
#include "http/policy.h"

/* name (stable, as shown), what is changed */
#define DEVCACHE_WORLDS(W)                                                               \
    W(CONFIGURED, "hits", "as configured")                                               \
    W(DEVICE_ON, "hits_vary_device_on", "DevCacheVaryDevice On")                         \
    W(DEVICE_OFF, "hits_vary_device_off", "DevCacheVaryDevice Off")                      \
    W(QUERY_KEEP, "hits_query_keep", "DevCacheQuery keep")                               \
    W(QUERY_SORT, "hits_query_sort", "DevCacheQuery sort")                               \
    W(QUERY_DENY, "hits_query_deny_tracking", "DevCacheQuery deny utm_* gclid ...")      \
    W(QUERY_IGNORE, "hits_query_ignore", "DevCacheQuery ignore")                         \
    W(COOKIES_KEEP, "hits_cookies_keep", "DevCacheCookies keep")                         \
    W(COOKIES_ANALYTICS, "hits_cookies_deny_analytics",                                  \
      "DevCacheCookies deny @analytics")                                                 \
    W(COOKIES_NONE, "hits_cookies_deny_all", "DevCacheCookies deny *")

typedef enum devcache_world_e {
#define W(name, word, change) DEVCACHE_WORLD_##name,
    DEVCACHE_WORLDS(W)
#undef W
        DEVCACHE_WORLD_COUNT
} devcache_world_e;

const char *devcache_shadow_world_name(devcache_world_e world);
const char *devcache_shadow_world_change(devcache_world_e world);

/**
 * Make the shared memory. Parent only, before it forks; @a p must outlive the children.
 * Pages are taken as they are used, up to 128 MB.
 */
apr_status_t devcache_shadow_create(apr_pool_t *p);

/** Is there one? */
int devcache_shadow_exists(void);

/* ---- the index ------------------------------------------------------------------- */

/** A request's values for a variant spec: see devcache_variant_fn. */
typedef devcache_slice_t devcache_shadow_values_fn(void *baton, const char *spec,
                                                   apr_pool_t *p);

typedef struct devcache_shadow_copy_t {
    devcache_freshness_t fresh; /* requested_at is not kept */
    apr_uint64_t size;          /* of the body */
} devcache_shadow_copy_t;

/** Would anything be stored for this request? @return 1 and @a out filled, or 0 */
int devcache_shadow_find(devcache_world_e world, devcache_slice_t key,
                         devcache_shadow_values_fn *values, void *baton, apr_time_t now,
                         devcache_shadow_copy_t *out, apr_pool_t *p);

/** It would be stored now. @a variant: the request's values for @a spec. */
void devcache_shadow_put(devcache_world_e world, devcache_slice_t key, const char *spec,
                         devcache_slice_t variant, const devcache_shadow_copy_t *copy,
                         apr_time_t now);

/** All variants of the key would be removed now. */
void devcache_shadow_remove(devcache_world_e world, devcache_slice_t key, apr_time_t now);

/* ---- the counts ------------------------------------------------------------------ */

#define DEVCACHE_PLACES 64        /* the last is for what finds no room */
#define DEVCACHE_PLACE_CLASSES 32 /* likewise */

typedef struct devcache_shadow_counts_t {
    apr_uint64_t requests;
    apr_uint64_t bypasses;   /* the cache would not be used */
    apr_uint64_t not_stored; /* answers that would not be stored */
    apr_uint64_t bytes;      /* of bodies that would come from the cache */
    apr_uint64_t hits[DEVCACHE_WORLD_COUNT];
} devcache_shadow_counts_t;

/** Give a place, or a device class, a name. Parent only; the same name twice is once. */
void devcache_shadow_name_place(const char *name);
void devcache_shadow_name_class(const char *name);

/** NULL: no such number is in use. */
const char *devcache_shadow_place(unsigned i);
const char *devcache_shadow_class(unsigned i);

/** Add @a n to the counts of a place and class; unknown names are "other". */
void devcache_shadow_count(const char *place, const char *class,
                           const devcache_shadow_counts_t *n);

/** Add what was counted for place @a i and class @a k to the caller's @a to. */
void devcache_shadow_add(devcache_shadow_counts_t *to, unsigned i, unsigned k);

/** Bytes of bodies that would be stored now, and entries that gave way for want of room.
 */
apr_uint64_t devcache_shadow_bytes(void);
apr_uint64_t devcache_shadow_evicted(void);

#endif
