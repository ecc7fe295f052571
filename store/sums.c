/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sum over a body of a gigabyte could be told only after the last byte, when the first
 * ones are long with the client. So each block has its own, and is verified when it is read
 * to be sent: 64 KB cost about 10 us, a hundredth of what a network takes for them.
 */
#include "store/sums.h"

#include <stdlib.h>
#include <xxhash.h>
#include "base/bytes.h"

static void put_sum(unsigned char *at, apr_uint64_t sum)
{
    devcache_writer_t w = {at, 0};

    devcache_put_uint(&w, sum, DEVCACHE_SUMS_EACH);
}

void devcache_sums_make(unsigned char *table, const void *body, apr_size_t len)
{
    const char *at = body;

    while (len > 0) {
        apr_size_t part = len < DEVCACHE_SUMS_BLOCK ? len : DEVCACHE_SUMS_BLOCK;

        put_sum(table, XXH3_64bits(at, part));
        table += DEVCACHE_SUMS_EACH;
        at += part;
        len -= part;
    }
}

apr_uint64_t devcache_sums_root(const unsigned char *table, apr_size_t size,
                                apr_uint64_t seed)
{
    return XXH3_64bits_withSeed(table, size, seed);
}

int devcache_sums_check(const unsigned char *table, apr_size_t i, const void *block,
                        apr_size_t len)
{
    devcache_reader_t r = devcache_reader(
        devcache_slice(table + i * DEVCACHE_SUMS_EACH, DEVCACHE_SUMS_EACH));

    return devcache_get_uint(&r, DEVCACHE_SUMS_EACH) == XXH3_64bits(block, len);
}

/* ---- growing ------------------------------------------------------------------ */

static int close_block(devcache_sums_t *sums)
{
    if (sums->size + DEVCACHE_SUMS_EACH > sums->room) {
        apr_size_t room = sums->room ? sums->room * 2 : 256;
        unsigned char *larger = realloc(sums->table, room);

        if (!larger) {
            return 0;
        }
        sums->table = larger;
        sums->room = room;
    }
    put_sum(sums->table + sums->size, XXH3_64bits_digest(sums->state));
    sums->size += DEVCACHE_SUMS_EACH;
    sums->in_block = 0;
    XXH3_64bits_reset(sums->state);
    return 1;
}

int devcache_sums_add(devcache_sums_t *sums, const void *data, apr_size_t len)
{
    const char *at = data;

    if (!sums->state) {
        sums->state = XXH3_createState();
        if (!sums->state) {
            return 0;
        }
        XXH3_64bits_reset(sums->state);
    }
    while (len > 0) {
        apr_size_t part = DEVCACHE_SUMS_BLOCK - sums->in_block;

        part = len < part ? len : part;
        XXH3_64bits_update(sums->state, at, part);
        sums->in_block += part;
        at += part;
        len -= part;
        if (sums->in_block == DEVCACHE_SUMS_BLOCK && !close_block(sums)) {
            return 0;
        }
    }
    return 1;
}

int devcache_sums_end(devcache_sums_t *sums)
{
    return sums->in_block == 0 || close_block(sums);
}

void devcache_sums_free(devcache_sums_t *sums)
{
    XXH3_freeState(sums->state);
    free(sums->table);
    memset(sums, 0, sizeof(*sums));
}
