/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shm.h"

#include <apr_shm.h>

void *devcache_shm_create(apr_size_t len, apr_status_t *prv, apr_pool_t *p)
{
    apr_shm_t *shm;

    *prv = apr_shm_create(&shm, len, NULL, p);
    return *prv == APR_SUCCESS ? apr_shm_baseaddr_get(shm) : NULL; /* fresh, so zero */
}
