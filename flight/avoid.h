/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file flight/avoid.h
 * Which flights are not worth having for a while: what they bring is not for all.
 *
 * Knows ids and times; does not know HTTP, httpd nor the store.
 * Locks      None. A note that is lost to a race is made again by the next answer.
 * Processes  Any child, any thread. Without shared memory nothing is remembered.
 */
#ifndef DEVCACHE_FLIGHT_AVOID_H
#define DEVCACHE_FLIGHT_AVOID_H

#include <apr_pools.h>
#include <apr_time.h>

/** Create the table. Parent only, before it forks; @a p must outlive the children. */
apr_status_t devcache_avoid_create(apr_pool_t *p);

/** Do not collapse this id before the instant @a until, two minutes from now at most. */
void devcache_avoid_until(apr_uint64_t id, apr_time_t until);

int devcache_avoid_now(apr_uint64_t id, apr_time_t now);

/** Is it avoided, or was it the last time? Nothing else may have taken its place. */
int devcache_avoid_lately(apr_uint64_t id);

#endif
