/**
 * @file devcache_sum.h
 * The checksum of bodies: XXH3, 64 bits, by the vectors that the processor has.
 */
#ifndef DEVCACHE_SUM_H
#define DEVCACHE_SUM_H

#include <apr.h>
#include <xxhash.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DEVCACHE_SUM_AVX2 1

/** XXH3_64bits() for processors that have AVX2. */
apr_uint64_t devcache_sum_avx2(const void *data, apr_size_t len);
#endif

/** XXH3_64bits() of @a len bytes, whatever computes it. */
static inline apr_uint64_t devcache_sum(const void *data, apr_size_t len)
{
#ifdef DEVCACHE_SUM_AVX2
    if (__builtin_cpu_supports("avx2")) {
        return devcache_sum_avx2(data, len);
    }
#endif
    return XXH3_64bits(data, len);
}

#endif
