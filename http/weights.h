/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/weights.h
 * Lists whose members may have a weight: Accept-Encoding, Accept-Language, Accept (RFC
 * 9110 section 12.4.2).
 *
 * Ownership  Slices point into the value given; texts live in the pool given.
 */
#ifndef DEVCACHE_HTTP_WEIGHTS_H
#define DEVCACHE_HTTP_WEIGHTS_H

#include <apr_pools.h>
#include "base/bytes.h"

typedef struct devcache_weighted_t {
    devcache_slice_t name; /* before the first ';', spelled as it came */
    int weight;            /* thousandths; -1: malformed, or said twice */
    int has_parameters;    /* something besides the weight */
} devcache_weighted_t;

/**
 * The next member of such a list, with a weight of 1000 where none is said.
 * @param cursor  moved behind the member
 * @return 0 at the end
 */
int devcache_weights_next(const char **cursor, devcache_weighted_t *out);

/**
 * Members sorted by weight, then by name, in lower case: their order has no meaning (RFC
 * 9110 section 12.4.2). What is malformed, contradicts itself or is too long stays as it
 * came, and so can equal no canonical form. NULL stays NULL.
 * @param alias  another name for the same, or NULL
 */
const char *devcache_weights_canonical(const char *value,
                                       devcache_slice_t (*alias)(devcache_slice_t),
                                       apr_pool_t *p);

#endif
