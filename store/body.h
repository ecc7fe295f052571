/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/body.h
 * Bodies that a lookup leaves where they lie: verified, opened.
 *
 * devcache_store_open_body() is in devcache_store.h.
 */
#ifndef DEVCACHE_STORE_BODY_H
#define DEVCACHE_STORE_BODY_H

#include "store/internal.h"

/**
 * Read and verify all of a body.
 * @return APR_SUCCESS; APR_NOTFOUND if it is damaged, and forgotten by now, or has gone
 */
apr_status_t devcache_body_verify(devcache_root_t *s, const devcache_hit_t *hit,
                                  apr_pool_t *p);

#endif
