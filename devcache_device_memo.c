#include "devcache_device_memo.h"

#include <string.h>

#include <apr_general.h>

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
 * The hash is SipHash-1-3 with a random key per child, because the strings are the
 * client's: with an unkeyed hash somebody could prepare two User-Agents with one tag and
 * have one classed as the other. The slot comes from the low bits, the tag from the high
 * ones, so a wrong answer needs at least 48 equal bits.
 */

#define VALUE_BITS 16
#define VALUE_MASK (((apr_uint64_t)1 << VALUE_BITS) - 1)
#define SLOTS_MAX (1u << 16) /* keeps slot bits and tag bits apart */

struct devcache_device_memo_t {
    apr_uint64_t key[2]; /* random, per child */
    apr_uint64_t mask;   /* number of slots - 1 */
    apr_uint64_t *slots; /* tag << 16 | value; 0 is empty; atomic access only */
};

static inline apr_uint64_t rotate(apr_uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(apr_uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* In the machine's byte order: the value never leaves the process. */
apr_uint64_t devcache_device_memo_hash(const devcache_device_memo_t *memo,
                                       const void *data, apr_size_t size)
{
    apr_uint64_t v[4] = {
        memo->key[0] ^ 0x736f6d6570736575ULL, memo->key[1] ^ 0x646f72616e646f6dULL,
        memo->key[0] ^ 0x6c7967656e657261ULL, memo->key[1] ^ 0x7465646279746573ULL};
    const unsigned char *s = data;
    apr_uint64_t m;
    apr_size_t left = size;
    for (; left >= sizeof(m); left -= sizeof(m), s += sizeof(m)) {
        memcpy(&m, s, sizeof(m));
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = 0;
    memcpy(&m, s, left);
    m ^= (apr_uint64_t)size << 56;
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

devcache_device_memo_t *devcache_device_memo_create(apr_pool_t *pchild, unsigned slots)
{
    devcache_device_memo_t *memo = apr_pcalloc(pchild, sizeof(*memo));
    unsigned n = 1;
    while (n < slots && n < SLOTS_MAX) {
        n <<= 1;
    }
    if (apr_generate_random_bytes((unsigned char *)memo->key, sizeof(memo->key))) {
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
