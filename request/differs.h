/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/differs.h
 * Why what is stored for a URL is not for this request: in what the nearest variant differs.
 *
 * Glue. Reads records, so it is for explanations and for DevCacheStatusHeader.
 */
#ifndef DEVCACHE_REQUEST_DIFFERS_H
#define DEVCACHE_REQUEST_DIFFERS_H

#include "request/request.h"

typedef struct devcache_differs_t {
    const char *what;   /* such as "accept-language", "cookie session", "device class" */
    const char *stored; /* its value there; NULL: absent, or not to be shown */
    const char *asked;  /* and here */
} devcache_differs_t;

/**
 * After a lookup that has found nothing that fits: set x->found.differs to what the stored
 * variant that is nearest has not as the request has it. Empty if there is none.
 */
void devcache_differs_find(request_rec *r, devcache_exchange_t *x);

/** The same in a few words, without values; NULL: nothing is known. */
const char *devcache_differs_text(const devcache_exchange_t *x, apr_pool_t *p);

#endif
