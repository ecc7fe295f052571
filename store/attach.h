/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/attach.h
 * A root: attached to, looked after, let go of.
 *
 * Ownership  A root is memory of its own and stays until devcache_attach_end(): threads
 *            may be at work on it that do not know yet that it was let go of.
 * Locks      None of this process. `lock` below the root; see store/attach.c
 */
#ifndef DEVCACHE_STORE_ATTACH_H
#define DEVCACHE_STORE_ATTACH_H

#include "store/internal.h"

/**
 * Attach to the root that @a conf names: as the only server, or beside another.
 * @param perror  set to one sentence in @a p where it fails
 * @return APR_EINVAL: the sizes cannot be; any other: trouble that may pass
 */
apr_status_t devcache_attach(devcache_root_t **proot, const devcache_store_conf_t *conf,
                             const char **perror, apr_pool_t *p);

/** NULL, or one sentence in @a p: sizes that can be nowhere. No file is looked at. */
const char *devcache_attach_refused(const devcache_store_conf_t *conf, apr_pool_t *p);

/** Room for @a memory bytes of records in this process. */
void devcache_attach_make_hot(devcache_root_t *root, apr_size_t memory);

/** A child's own descriptors and locks, once after the fork. */
void devcache_attach_inherit(devcache_root_t *root);

/** NULL if the directory and its index still are what was attached to, else one sentence
 * in @a p. */
const char *devcache_attach_outdated(const devcache_root_t *root, apr_pool_t *p);

/** Others may be alone there from now on. New work is no longer given to it. */
void devcache_attach_let_go(devcache_root_t *root);

/**
 * Let go of what keeps its volume busy as well: mapping, directory, segments. Some time
 * after the above, when nobody can be in the middle of a change.
 * @return 0: somebody may still be; try again later
 */
int devcache_attach_retire(devcache_root_t *root);

/** Free everything. Nobody uses it any more. */
void devcache_attach_end(devcache_root_t *root);

#endif
