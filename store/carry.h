/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/carry.h
 * From an index of one size to an index of another.
 */
#ifndef DEVCACHE_STORE_CARRY_H
#define DEVCACHE_STORE_CARRY_H

#include "store/internal.h"

/**
 * Enter into the new, empty index @a to what s->sh, which is settled, leads to, as far as
 * it fits. Nothing of the old one changes, and no file is touched: those that @a to does
 * not know are deleted when the caller settles it. The caller holds the root alone.
 * @return APR_SUCCESS; APR_ENOMEM, and @a to is of no use
 */
apr_status_t devcache_carry_over(devcache_root_t *s, devcache_shared_t *to);

#endif
