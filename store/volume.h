/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/volume.h
 * Is the volume there that a root lies on? A cache is never begun in the empty mount
 * point of one that is away.
 *
 * Format     The memory is a text file outside of all roots, a line for each root that
 *            was ever used on a mounted volume: id of its cache, where the volume is
 *            mounted, the root, as the first three fields of a line of /proc/mounts:
 *
 *                5f0c2a9be81d7734 /srv/cache /srv/cache/www - 0 0
 */
#ifndef DEVCACHE_STORE_VOLUME_H
#define DEVCACHE_STORE_VOLUME_H

#include <apr_pools.h>

typedef struct devcache_volume_t {
    const char *root;   /* absolute path */
    const char *memory; /* file as above; NULL: there is none */
    const char *mounts; /* NULL: /proc/self/mounts */
    const char *table;  /* NULL: /etc/fstab */
} devcache_volume_t;

/**
 * @param id  of the cache that lies in the root now; 0: none
 * @return NULL if the root may be used, else one sentence: which volume is not mounted and
 *         what to do
 */
const char *devcache_volume_away(const devcache_volume_t *v, apr_uint64_t id,
                                 apr_pool_t *p);

/** The cache @a id is in use in the root: remember on which volume. Errors are ignored:
 * only who may write the memory keeps it. */
void devcache_volume_remember(const devcache_volume_t *v, apr_uint64_t id, apr_pool_t *p);

#endif
