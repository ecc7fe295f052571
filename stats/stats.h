/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats/stats.h
 * Counters in shared memory: one list names them, says what they mean, and orders them.
 *
 * Created in the parent, inherited by all children, kept over graceful restarts.
 * Locks      None: relaxed atomic additions.
 * Processes  Any child, any thread; before devcache_stats_create() counting does nothing.
 */
#ifndef DEVCACHE_STATS_STATS_H
#define DEVCACHE_STATS_STATS_H

#include <apr_pools.h>
#include "http/reason.h"

/* name (stable, as shown by devcache-status), what it means */
#define DEVCACHE_COUNTERS(C)                                                             \
    C(requests, "requests in a Location with DevCache On")                               \
    C(hits, "answered from the cache, fresh")                                            \
    C(stale_hits, "answered from the cache, stale and allowed to be")                    \
    C(memory_hits, "of these two, found in the child's memory: see DevCacheMemory")      \
    C(misses, "nothing usable stored; asked the origin")                                 \
    C(validations, "stored but not fresh; asked the origin whether it still holds")      \
    C(revalidated, "of those, confirmed by a 304")                                       \
    C(bypasses, "the cache was not used at all; see reason_...")                         \
    C(stored, "responses stored")                                                        \
    C(not_stored, "responses from the origin not stored; see reason_...")                \
    C(not_modified, "conditional requests answered 304 by the cache")                    \
    C(stale_errors, "stale responses served because the origin failed")                  \
    C(gateway_timeouts,                                                                  \
      "504 in place of a copy that must be validated, or by only-if-cached")             \
    C(invalidations, "URLs invalidated by unsafe requests")                              \
    C(refreshes, "times that the origin was asked in the background")                    \
    C(refreshes_failed, "of these, the stored response could not be renewed")            \
    C(refills, "responses that purges had fetched again: DevCache-Purge-Refill")         \
    C(refills_left, "of such purges, those that were not: over the limit, or personal")  \
    C(collapsed, "answered by what another request was fetching")                        \
    C(collapse_timeouts, "waited for that in vain, and asked the origin")                \
    C(collapse_limited, "did not wait: DevCacheCollapseMax")                             \
    C(collapse_torn, "cut off, as the fetch they followed broke in its middle")          \
    C(takeovers, "fetches taken over from a child that died")                            \
    C(clients_gone, "fetches that went on after their client had left")                  \
    C(store_errors, "lookups that failed with an I/O error; served by the origin")       \
    C(parts, "parts of pages asked for: DevCacheFragments")                              \
    C(parts_failed, "of these, left out of their pages, or the page was an error")       \
    C(classified, "requests classified")                                                 \
    C(spoofed, "client-sent device headers removed")                                     \
    C(purges, "purge requests carried out")                                              \
    C(purged, "stored responses that they removed or made stale")                        \
    C(purges_refused, "purge requests refused: not allowed, or not understood")

typedef enum devcache_counter_e {
#define C(name, meaning) DEVCACHE_COUNT_##name,
    DEVCACHE_COUNTERS(C)
#undef C
        DEVCACHE_COUNTER_COUNT
} devcache_counter_e;

/**
 * Create the shared counters, all zero. Parent only, before it forks; @a p must outlive
 * the children (the process pool).
 */
apr_status_t devcache_stats_create(apr_pool_t *p);

void devcache_stats_count(devcache_counter_e counter);
void devcache_stats_add(devcache_counter_e counter, apr_uint64_t n);

/** One more response not stored, or request that bypassed, for this reason. */
void devcache_stats_count_reason(devcache_reason_e reason);

apr_uint64_t devcache_stats_get(devcache_counter_e counter);
apr_uint64_t devcache_stats_get_reason(devcache_reason_e reason);

const char *devcache_stats_name(devcache_counter_e counter);
const char *devcache_stats_meaning(devcache_counter_e counter);

#endif
