/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file flight/failure.h
 * Who has failed a moment ago: backends that gave no answer, URLs that were answered with
 * an error. Whoever has a stale copy need not ask them again at once.
 *
 * Knows ids and times; does not know HTTP, httpd nor the store.
 * Locks      None. A note that is lost to a race is made again by the next failure.
 * Processes  Any child, any thread. Without shared memory nothing is remembered.
 */
#ifndef DEVCACHE_FLIGHT_FAILURE_H
#define DEVCACHE_FLIGHT_FAILURE_H

#include <apr_pools.h>
#include <apr_time.h>

typedef enum devcache_failure_e {
    DEVCACHE_FAILURE_NONE,
    DEVCACHE_FAILURE_LATELY, /* let one ask, and nobody wait for that */
    DEVCACHE_FAILURE_NOW     /* do not ask */
} devcache_failure_e;

/** Create the table. Parent only, before it forks; @a p must outlive the children. */
apr_status_t devcache_failure_create(apr_pool_t *p);

/**
 * It has failed: NOW for a second, and for twice as long each time that it fails again
 * within a minute, up to half a minute.
 * @param id   a hash of what has failed; 0: nothing is noted
 * @param now  wall clock
 */
void devcache_failure_note(apr_uint64_t id, apr_time_t now);

/** It has answered. */
void devcache_failure_clear(apr_uint64_t id);

devcache_failure_e devcache_failure_of(apr_uint64_t id, apr_time_t now);

#endif
