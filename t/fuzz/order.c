/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of another machine, and the bans in them: read, written again, joined, judged. */
#include "purge/order.h"

#include "purge/ban.h"
#include "fuzz.h"

/* A regular expression is bounded in what it may take, so it can be tried. */
static void judge(devcache_slice_t ban, apr_pool_t *p)
{
    static const char key[] = "http://www.example.org:80/a/b?c=d";
    devcache_described_t object = {0};
    devcache_slice_t two[2] = {ban, ban}, both = devcache_ban_join(two, 2, p);
    void *one = devcache_ban_open(ban, p), *joined = devcache_ban_open(both, p);

    must(one && joined);
    object.key = devcache_slice_str(key);
    must(devcache_ban_matches(one, &object) == devcache_ban_matches(joined, &object));
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    devcache_slice_t bytes = devcache_slice(data, len);
    devcache_order_t order;

    if (!devcache_order_decode(bytes, &order, p)) {
        return;
    }
    must(len <= DEVCACHE_ORDER_MAX && order.soft >= 0 && order.soft <= 1);
    must(devcache_slice_eq(devcache_order_encode(&order, p), bytes));
    switch (order.kind) {
    case DEVCACHE_ORDER_URL:
        must(order.host && order.path && order.path[0] == '/');
        break;
    case DEVCACHE_ORDER_MANY:
        must(order.ban.data != NULL);
        break;
    case DEVCACHE_ORDER_DOUBT:
        return;
    }
    if (order.ban.data) {
        judge(order.ban, p);
    }
}
