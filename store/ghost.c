/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ghosts: a table of fingerprints, one word each, written and read without locks. A newer
 * one takes the place of an older; a wrong answer costs a better or worse queue, no more.
 */
#include "store/ghost.h"

static apr_uint32_t *ghost_place(const devcache_shared_t *sh, apr_uint64_t key_hash,
                                 apr_uint64_t variant_hash, apr_uint32_t *pprint)
{
    apr_uint64_t h = key_hash ^ (variant_hash * 0x9e3779b97f4a7c15ull);

    *pprint = (apr_uint32_t)(h >> 32) | 1;
    return &sh->ghosts[h & (sh->g.ghosts - 1)];
}

void devcache_ghost_add(devcache_shared_t *sh, apr_uint64_t key_hash,
                        apr_uint64_t variant_hash)
{
    apr_uint32_t print;
    apr_uint32_t *place = ghost_place(sh, key_hash, variant_hash, &print);

    __atomic_store_n(place, print, __ATOMIC_RELAXED);
}

int devcache_ghost_take(devcache_shared_t *sh, apr_uint64_t key_hash,
                        apr_uint64_t variant_hash)
{
    apr_uint32_t print;
    apr_uint32_t *place = ghost_place(sh, key_hash, variant_hash, &print);

    if (__atomic_load_n(place, __ATOMIC_RELAXED) != print) {
        return 0;
    }
    __atomic_store_n(place, 0, __ATOMIC_RELAXED);
    return 1;
}
