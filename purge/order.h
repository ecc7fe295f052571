/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file purge/order.h
 * A purge as bytes, and carrying it out: the same for the request that asks for it and for
 * another machine that hears of it.
 *
 * Ownership  Results live in the pool given.
 * Errors     What cannot be read is no order; nothing is done by halves.
 */
#ifndef DEVCACHE_PURGE_ORDER_H
#define DEVCACHE_PURGE_ORDER_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "base/bytes.h"
#include "devcache_store.h"

#define DEVCACHE_ORDER_MAX 65536 /* bytes of an order */

typedef enum devcache_order_e {
    DEVCACHE_ORDER_URL = 1,  /* one URL, of every scheme and port */
    DEVCACHE_ORDER_MANY = 2, /* what a ban is about */
    DEVCACHE_ORDER_DOUBT = 3 /* everything must be validated before it is used again */
} devcache_order_e;

typedef struct devcache_order_t {
    devcache_order_e kind;
    int soft;
    const char *host, *path; /* URL: as in a key */
    const char *queries[2];  /* URL: as keys may have it; the second may be the same */
    devcache_slice_t ban;    /* URL: a condition on variants, data NULL: none; MANY: of
                              * devcache_ban_encode() */
    devcache_gone_fn *gone;  /* called for each object that goes, here; NULL: not */
    void *baton;
} devcache_order_t;

/** @return data NULL if it would be longer than DEVCACHE_ORDER_MAX */
devcache_slice_t devcache_order_encode(const devcache_order_t *order, apr_pool_t *p);

/** @return 0 if it is none. Texts are copied, the ban points into @a bytes. */
int devcache_order_decode(devcache_slice_t bytes, devcache_order_t *order, apr_pool_t *p);

/**
 * Carry it out on a store.
 * @param ports   of keys: those that this server listens on
 * @param now     the instant of a soft purge
 * @param pcount  how many objects went or expired
 * @return as devcache_store_purge() and devcache_store_remove(), the first error
 */
apr_status_t devcache_order_carry_out(devcache_store_t *store,
                                      const devcache_order_t *order,
                                      const unsigned *ports, unsigned nports,
                                      apr_time_t now, apr_uint64_t *pcount,
                                      apr_pool_t *p);

#endif
