/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/refill.h
 * What a purge has taken out is fetched again, variant by variant, before visitors come.
 *
 * Glue. Bounded per child; what is not fetched is counted, and said in the answer.
 * Ownership  A list lives in the pool of the purge's request.
 */
#ifndef DEVCACHE_REQUEST_REFILL_H
#define DEVCACHE_REQUEST_REFILL_H

#include <httpd.h>
#include "devcache_store.h"

typedef struct devcache_refill_t devcache_refill_t;

devcache_refill_t *devcache_refill_begin(request_rec *r);

/** A devcache_gone_fn: an object went, or is stale now. @param baton  the list */
void devcache_refill_note(void *baton, const devcache_described_t *object);

/**
 * Settle how many are fetched: as many as there is room for in this child.
 * @return members of the answer's JSON, with a comma in front
 */
const char *devcache_refill_settle(devcache_refill_t *list);

/** When the answer has been written: send it off, and begin. */
void devcache_refill_run(devcache_refill_t *list);

#endif
