/* SPDX-License-Identifier: Apache-2.0 */
/* The body that bench-drip sends and bench-load -u expects: no two places of it look
 * alike for long, so that bytes of the wrong place are seen. Its first byte is the letter
 * of the visitor's class. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stddef.h>
#include <stdint.h>

static inline void pattern_fill(char *body, size_t len)
{
    uint64_t x = 88172645463325252u;
    size_t i;

    for (i = 0; i < len; i++) {
        if (i % 8 == 0) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        body[i] = (char)(x >> (i % 8 * 8));
    }
}

#endif
