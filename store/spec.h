/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/spec.h
 * Variant specs, each kept once in shared memory and named by a small number.
 *
 * Ownership  A text lives as long as the mapping and never changes.
 * Locks      Adding takes the intern lock, finding takes none.
 */
#ifndef DEVCACHE_STORE_SPEC_H
#define DEVCACHE_STORE_SPEC_H

#include "store/shared.h"

/**
 * The number of @a text, added if it is new.
 * @return APR_ENOSPC if there is no room for another one; APR_TIMEUP if the lock cannot
 *         be had
 */
apr_status_t devcache_spec_intern(devcache_shared_t *sh, devcache_slice_t text,
                                  apr_uint16_t *pid);

/** The text with number @a id, NUL-terminated; NULL if there is none. */
const char *devcache_spec_text(const devcache_shared_t *sh, unsigned id);

/** How many there are, of DEVCACHE_SPECS, with how many bytes of text. No lock. */
unsigned devcache_spec_count(const devcache_shared_t *sh, apr_uint64_t *pbytes);

/** Is every spec what its hash says? To be asked before an old index is believed. */
int devcache_spec_sound(const devcache_shared_t *sh);

#endif
