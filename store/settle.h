/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/settle.h
 * What a process that holds the root alone does with the files that it finds there.
 *
 * Locks      None: the caller holds `lock` alone.
 */
#ifndef DEVCACHE_STORE_SETTLE_H
#define DEVCACHE_STORE_SETTLE_H

#include <apr_tables.h>
#include "store/internal.h"

/**
 * All whole segments and bodies below the root, by serial; what bears such a name and is
 * not one is deleted.
 * @param plist  opaque, for the calls below
 */
apr_status_t devcache_settle_list(devcache_root_t *s, apr_array_header_t **plist,
                                  apr_pool_t *p);

/** A serial above those of all listed files. */
apr_uint64_t devcache_settle_next_serial(const apr_array_header_t *list);

/** Make the table of slots agree with the directory: slots without their file and fills
 * that were under way are freed, files without a slot deleted. */
void devcache_settle_slots(devcache_root_t *s, apr_array_header_t *list);

/** Delete all listed files. */
void devcache_settle_delete(devcache_root_t *s, const apr_array_header_t *list);

#endif
