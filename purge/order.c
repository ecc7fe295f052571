/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders.
 *
 *     order   version 1 | kind 1 | soft 1 | host | path | query | query | ban
 *
 * where the last five are slices. A URL is an order of its own, without scheme and port,
 * as machines listen on different ports; each makes its own keys of it.
 */
#include "purge/order.h"

#include <apr_strings.h>
#include "http/policy.h"
#include "purge/ban.h"
#include "purge/learnt.h"
#include "devcache_vary.h"

#define VERSION 1

static void put_order(devcache_writer_t *w, const devcache_order_t *order)
{
    devcache_put_uint(w, VERSION, 1);
    devcache_put_uint(w, order->kind, 1);
    devcache_put_uint(w, order->soft != 0, 1);
    devcache_put_slice(w, devcache_slice_str(order->host));
    devcache_put_slice(w, devcache_slice_str(order->path));
    devcache_put_slice(w, devcache_slice_str(order->queries[0]));
    devcache_put_slice(w, devcache_slice_str(order->queries[1]));
    devcache_put_slice(w, order->ban);
}

devcache_slice_t devcache_order_encode(const devcache_order_t *order, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};

    put_order(&w, order);
    if (w.len > DEVCACHE_ORDER_MAX) {
        return devcache_slice(NULL, 0);
    }
    w.buf = apr_palloc(p, w.len);
    w.len = 0;
    put_order(&w, order);
    return devcache_slice(w.buf, w.len);
}

/* A text without a NUL in it; NULL for none. */
static const char *get_text(devcache_reader_t *r, apr_pool_t *p)
{
    devcache_slice_t s = devcache_get_slice(r);

    if (s.data && memchr(s.data, '\0', s.len)) {
        r->bad = 1;
    }
    return s.data && !r->bad ? apr_pstrmemdup(p, s.data, s.len) : NULL;
}

int devcache_order_decode(devcache_slice_t bytes, devcache_order_t *order, apr_pool_t *p)
{
    devcache_reader_t r;

    if (!bytes.data || bytes.len > DEVCACHE_ORDER_MAX) {
        return 0;
    }
    r = devcache_reader(bytes);
    if (devcache_get_uint(&r, 1) != VERSION) {
        return 0;
    }
    memset(order, 0,
           sizeof *order); /* what others do not say: nobody is told what goes */
    order->kind = (devcache_order_e)devcache_get_uint(&r, 1);
    order->soft = (int)devcache_get_uint(&r, 1);
    order->host = get_text(&r, p);
    order->path = get_text(&r, p);
    order->queries[0] = get_text(&r, p);
    order->queries[1] = get_text(&r, p);
    order->ban = devcache_get_slice(&r);
    if (r.bad || r.pos != r.end || order->soft > 1) {
        return 0;
    }
    switch (order->kind) {
    case DEVCACHE_ORDER_URL:
        return order->host && order->path && order->path[0] == '/' &&
               (!order->ban.data || devcache_ban_open(order->ban, p));
    case DEVCACHE_ORDER_MANY:
        return order->ban.data && devcache_ban_open(order->ban, p);
    case DEVCACHE_ORDER_DOUBT:
        return 1;
    default:
        return 0;
    }
}

/* ---- carrying out ------------------------------------------------------------------- */

static apr_status_t purge_key(devcache_store_t *store, const devcache_order_t *order,
                              devcache_slice_t key, apr_time_t now, apr_uint64_t *pcount,
                              apr_pool_t *p)
{
    devcache_purge_t purge = {key,         order->ban,  now,
                              order->soft, order->gone, order->baton};
    devcache_ban_t all = {{DEVCACHE_BAN_ANY}};
    unsigned n = 0;
    apr_status_t rv;

    if (!order->soft && !order->ban.data && !order->gone) {
        rv = devcache_store_remove(store, key, &n);
        *pcount = n;
        return rv;
    }
    if (!order->ban.data) {
        devcache_ban_encode(&all, &purge.what, p); /* without patterns it cannot fail */
    }
    return devcache_store_purge(store, &purge, pcount);
}

static apr_status_t purge_url(devcache_store_t *store, const devcache_order_t *order,
                              const unsigned *ports, unsigned nports, apr_time_t now,
                              apr_uint64_t *pcount, apr_pool_t *p)
{
    static const char *const schemes[] = {"http", "https"};
    const char *const *q = order->queries;
    int same = q[0] == q[1] || (q[0] && q[1] && !strcmp(q[0], q[1]));
    apr_status_t all = APR_SUCCESS;
    unsigned i;

    for (i = 0; i < nports * 2 * (2 - (unsigned)same); i++) {
        devcache_slice_t key = devcache_vary_key(schemes[i % 2], order->host,
                                                 ports[i / 2 % nports], order->path,
                                                 q[i / 2 / nports], p);
        devcache_learnt_t learnt;
        devcache_slice_t simple;
        apr_uint64_t n = 0;
        apr_status_t rv = purge_key(store, order, key, now, &n, p);

        all = all == APR_SUCCESS ? rv : all;
        *pcount += n;
        devcache_learnt_find(store, key, &learnt, p);
        simple = devcache_learnt_key(&learnt, key, p);
        if (!devcache_slice_eq(simple, key)) {
            rv = purge_key(store, order, simple, now, &n, p);
            all = all == APR_SUCCESS ? rv : all;
            *pcount += n;
        }
    }
    return all;
}

apr_status_t devcache_order_carry_out(devcache_store_t *store,
                                      const devcache_order_t *order,
                                      const unsigned *ports, unsigned nports,
                                      apr_time_t now, apr_uint64_t *pcount, apr_pool_t *p)
{
    devcache_purge_t purge = {{NULL, 0},   order->ban,  now,
                              order->soft, order->gone, order->baton};
    devcache_ban_t all = {{DEVCACHE_BAN_ANY}};

    *pcount = 0;
    if (order->kind == DEVCACHE_ORDER_URL) {
        return purge_url(store, order, ports, nports, now, pcount, p);
    }
    if (order->kind == DEVCACHE_ORDER_DOUBT) {
        devcache_ban_encode(&all, &purge.what, p);
        purge.now = DEVCACHE_POLICY_DOUBT;
        purge.soft = 1;
    }
    return devcache_store_purge(store, &purge, pcount);
}
