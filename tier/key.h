/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/key.h
 * DevCacheTierKey: what machines sign with, so that who can write to a server, but has not
 * the key, is passed over.
 *
 * Ownership  What is read lives in the pool given; a key points to what its maker has.
 * Locks      None; any thread may sign.
 */
#ifndef DEVCACHE_TIER_KEY_H
#define DEVCACHE_TIER_KEY_H

#include <apr_pools.h>
#include "base/bytes.h"

#define DEVCACHE_TIER_KEY_MIN 16        /* bytes */
#define DEVCACHE_TIER_KEY_FILE_MAX 1024 /* bytes of a file with a secret */
#define DEVCACHE_TIER_SIGNATURE 32      /* bytes */

typedef struct devcache_tier_key_t {
    devcache_slice_t secret; /* data NULL: nothing is signed */
    const char *name;        /* DevCacheTierName: what another one signs is not ours */
} devcache_tier_key_t;

/**
 * The first line of a file that only its owner can read: a key, or a password.
 * @return NULL and *pbytes, with a NUL behind; or what is wrong, to follow the file's name
 */
const char *devcache_tier_key_read(const char *path, devcache_slice_t *pbytes,
                                   apr_pool_t *p);

/** Can nobody but its owner read the file? @return NULL, or what is wrong, as above */
const char *devcache_tier_key_guarded(const char *path, apr_pool_t *p);

/**
 * Sign what @a parts say in this order: HMAC-SHA-256 over the name and each part, all with
 * their lengths, so that nothing can be moved from one part to the next.
 * @param parts  the first one says of what kind it is, and no two uses have the same
 * @return 0 if it cannot be: there is no memory, or no secret
 */
int devcache_tier_key_sign(const devcache_tier_key_t *key, const devcache_slice_t *parts,
                           unsigned n, unsigned char out[DEVCACHE_TIER_SIGNATURE]);

/** Is this the signature of these parts? In constant time. */
int devcache_tier_key_matches(const devcache_tier_key_t *key,
                              const devcache_slice_t *parts, unsigned n,
                              const void *signature);

#endif
