/* SPDX-License-Identifier: Apache-2.0 */
/* Stored responses: what decodes is, encoded again, the same bytes. */
#include "http/response.h"

#include "fuzz.h"

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    devcache_response_t r;

    if (devcache_response_decode(devcache_slice(data, len), &r, p) == APR_SUCCESS) {
        must(r.fresh.lifetime >= 0 && r.fresh.initial_age >= 0 && r.lines != NULL);
        must(devcache_slice_eq(devcache_response_encode(&r, p),
                               devcache_slice(data, len)));
    }
}
