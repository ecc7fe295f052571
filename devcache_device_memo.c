#include "devcache_device_memo.h"

#include <apr_general.h>
#include <xxhash.h>

/*
 * The memo of the classifier.
 *
 * A slot is one 64-bit word: the upper 48 bits of the hash, and 16 bits of answer. A word
 * is read and written in one piece, so that a reader sees an old pair or a new pair and
 * never half of each; there is nothing to lock, to age or to free. A slot holds one pair,
 * the newest wins: a flood of random strings can take slots over but cannot grow the
 * table, and costs the honest visitors one classification each, which is what they would
 * cost without a memo.
 *
 * The hash is XXH3 with a secret of random bytes per child, because the strings are the
 * client's: with an unkeyed hash somebody could prepare two User-Agents with one tag and
 * have one classed as the other. Below 240 bytes it adds up products of the input and the
 * secret, so that nobody who does not know the secret can say which inputs collide, and
 * nobody is ever shown a hash. (SipHash, which promises more, took three times as long
 * and was the largest part of what a hit spent on its class.) The slot comes from the low
 * bits, the tag from the high ones, so a wrong answer needs at least 48 equal bits.
 */

#define VALUE_BITS 16
#define VALUE_MASK (((apr_uint64_t)1 << VALUE_BITS) - 1)
#define SECRET 192           /* bytes; XXH3 wants 136 at least */
#define SLOTS_MAX (1u << 16) /* keeps slot bits and tag bits apart */

struct devcache_device_memo_t {
    unsigned char secret[SECRET]; /* random, per child */
    apr_uint64_t mask;            /* number of slots - 1 */
    apr_uint64_t *slots;          /* tag << 16 | value; 0 is empty; atomic access only */
};

apr_uint64_t devcache_device_memo_hash(const devcache_device_memo_t *memo,
                                       const void *data, apr_size_t size)
{
    return XXH3_64bits_withSecret(data, size, memo->secret, sizeof(memo->secret));
}

devcache_device_memo_t *devcache_device_memo_create(apr_pool_t *pchild, unsigned slots)
{
    devcache_device_memo_t *memo = apr_pcalloc(pchild, sizeof(*memo));
    unsigned n = 1;
    while (n < slots && n < SLOTS_MAX) {
        n <<= 1;
    }
    if (apr_generate_random_bytes(memo->secret, sizeof(memo->secret))) {
        return NULL;
    }
    memo->mask = n - 1;
    memo->slots = apr_pcalloc(pchild, n * sizeof(*memo->slots));
    return memo;
}

unsigned devcache_device_memo_get(const devcache_device_memo_t *memo, apr_uint64_t hash)
{
    apr_uint64_t slot = __atomic_load_n(&memo->slots[hash & memo->mask],
                                        __ATOMIC_RELAXED);
    return ((slot ^ hash) & ~VALUE_MASK) ? 0 : (unsigned)(slot & VALUE_MASK);
}

void devcache_device_memo_put(devcache_device_memo_t *memo, apr_uint64_t hash,
                              unsigned value)
{
    apr_uint64_t slot = (hash & ~VALUE_MASK) | (value & VALUE_MASK);
    __atomic_store_n(&memo->slots[hash & memo->mask], slot, __ATOMIC_RELAXED);
}
