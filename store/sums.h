/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/sums.h
 * Checksums of a long body, block by block, so that a part of it can be verified alone.
 *
 * The table is 8 bytes for each block of 64 KB, XXH3 of its bytes, the last one shorter;
 * the root is XXH3 of the table under a seed. Who knows the root can trust a table, and who
 * trusts the table a block.
 * Ownership  A growing table is malloc()ed; devcache_sums_free() ends it.
 * Example    A body of 150,000 bytes has three blocks (65,536, 65,536, 18,928) and so a
 *            table of 24 bytes.
 */
#ifndef DEVCACHE_STORE_SUMS_H
#define DEVCACHE_STORE_SUMS_H

#include <apr.h>

#define DEVCACHE_SUMS_BLOCK (64u * 1024)
#define DEVCACHE_SUMS_EACH 8 /* bytes of the table for each block */

/** Blocks of a body of @a len bytes. */
static inline apr_size_t devcache_sums_count(apr_uint64_t len)
{
    return (apr_size_t)((len + DEVCACHE_SUMS_BLOCK - 1) / DEVCACHE_SUMS_BLOCK);
}

/** Bytes of the table for it. */
static inline apr_size_t devcache_sums_size(apr_uint64_t len)
{
    return devcache_sums_count(len) * DEVCACHE_SUMS_EACH;
}

/** The table of a body that lies in memory. @param table  devcache_sums_size(len) bytes */
void devcache_sums_make(unsigned char *table, const void *body, apr_size_t len);

/** The root of a table. */
apr_uint64_t devcache_sums_root(const unsigned char *table, apr_size_t size,
                                apr_uint64_t seed);

/** Is block @a i what the table says? */
int devcache_sums_check(const unsigned char *table, apr_size_t i, const void *block,
                        apr_size_t len);

/** A table that grows with its body. All zero: nothing yet. */
typedef struct devcache_sums_t {
    unsigned char *table;
    apr_size_t size, room; /* bytes of it */
    apr_size_t in_block;   /* bytes of the last, unfinished block */
    struct XXH3_state_s *state;
} devcache_sums_t;

/** More of the body. @return 0 without memory */
int devcache_sums_add(devcache_sums_t *sums, const void *data, apr_size_t len);

/** The body has come to its end: sums->table is complete. @return 0 without memory */
int devcache_sums_end(devcache_sums_t *sums);

void devcache_sums_free(devcache_sums_t *sums);

#endif
