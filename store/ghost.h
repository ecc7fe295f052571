/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/ghost.h
 * What was evicted unused not long ago, by its hashes.
 *
 * Locks      None.
 * Processes  Any, any thread.
 */
#ifndef DEVCACHE_STORE_GHOST_H
#define DEVCACHE_STORE_GHOST_H

#include "store/shared.h"

/** Note an object that was evicted unused, by its hashes. */
void devcache_ghost_add(devcache_shared_t *sh, apr_uint64_t key_hash,
                        apr_uint64_t variant_hash);

/** Was it evicted unused not long ago? Forgets it. */
int devcache_ghost_take(devcache_shared_t *sh, apr_uint64_t key_hash,
                        apr_uint64_t variant_hash);

#endif
