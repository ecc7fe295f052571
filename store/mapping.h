/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/mapping.h
 * The file `index`: made, found again, mapped.
 *
 * Ownership  A mapping belongs to the devcache_shared_t that it was made for.
 * Locks      None; the callers hold `lock` alone where the index is made or replaced.
 */
#ifndef DEVCACHE_STORE_MAPPING_H
#define DEVCACHE_STORE_MAPPING_H

#include "store/internal.h"

/**
 * Map the index that is there, by the geometry that it states itself.
 * @param pwhy  set where it cannot be used: what is the matter with it, a phrase that
 *              follows "the index"
 * @return APR_SUCCESS; APR_NOTFOUND: there is none, or not one to be used
 */
apr_status_t devcache_mapping_open(const devcache_root_t *s, devcache_shared_t *sh,
                                   const char **pwhy);

/**
 * Make an index of zeros, all its room allocated, and map it. It bears a name of its own
 * until devcache_mapping_install().
 * @return errno, and nothing is left behind
 */
apr_status_t devcache_mapping_create(const devcache_root_t *s, devcache_shared_t *sh,
                                     const devcache_geometry_t *g);

/** What was made is the index from now on, in place of another. */
apr_status_t devcache_mapping_install(const devcache_root_t *s);

/** Is what is mapped still what the directory has? 0 with errno, which is 0 if it could be
 * looked at. */
int devcache_mapping_current(const devcache_root_t *s, const devcache_shared_t *sh);

/** Lock it into memory, or at least have all of it there now; says which. */
void devcache_mapping_keep_resident(const devcache_root_t *s);

#endif
