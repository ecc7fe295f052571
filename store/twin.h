/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/twin.h
 * One body for all variants of a key that have the same.
 *
 * Locks      None: what is found may be evicted at any moment, as all that is stored.
 * Units      Bytes.
 */
#ifndef DEVCACHE_STORE_TWIN_H
#define DEVCACHE_STORE_TWIN_H

#include "store/internal.h"

/**
 * Look for another variant of the key whose body is the same, byte for byte.
 * @param rec  to be stored: its inline body, with its sum. If there is a twin, it refers to
 *             the record that has the body, and has none itself
 * @param own  its hashes
 * @param body set to the segment of that record
 * @return 1 if there is one
 */
int devcache_twin_find(devcache_root_t *s, devcache_record_t *rec,
                       const devcache_entry_t *own, devcache_file_t *body, apr_pool_t *p);

/**
 * The same for a body in a file of its own.
 * @param fd     of the file, for reading
 * @param table  of its sums, @a size bytes
 * @param rec    if there is a twin, ref_serial and body_sum are set to its
 */
int devcache_twin_find_file(devcache_root_t *s, devcache_record_t *rec,
                            const devcache_entry_t *own, int fd,
                            const unsigned char *table, apr_size_t size,
                            devcache_file_t *body, apr_pool_t *p);

/**
 * The body of a record that was read and verified, and that refers to another: rec->body is
 * set, but where it is to be read in parts (longer than DEVCACHE_RECORD_WHOLE).
 * @param slot  of the segment rec->ref_serial
 * @param room  set if it is in this process's memory: of the record that has the body
 * @return as devcache_segment_read()
 */
apr_status_t devcache_twin_body(devcache_root_t *s, devcache_record_t *rec,
                                apr_uint16_t slot, void **room, apr_pool_t *p);

/** The record of an entry, or the one that has its body, whole, from disk. */
apr_status_t devcache_twin_read(devcache_root_t *s, const devcache_entry_t *e,
                                devcache_record_t *rec, apr_pool_t *p);

#endif
