/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read from a stream: purges and heartbeats, without a key and with one. A fuzzer
 * does not guess signatures, so what it has made is signed first, too.
 */
#include "tier/message.h"

#include "fuzz.h"

static const devcache_tier_key_t no_key = {{NULL, 0}, "shop"};
static const devcache_tier_key_t key = {{"0123456789abcdef", 16}, "shop"};

static devcache_slice_t sign(devcache_slice_t bytes, apr_pool_t *p)
{
    unsigned char *all = apr_palloc(p, bytes.len + DEVCACHE_TIER_SIGNATURE);

    memcpy(all, bytes.data, bytes.len);
    must(devcache_tier_key_sign(&key, &bytes, 1, all + bytes.len));
    return devcache_slice(all, bytes.len + DEVCACHE_TIER_SIGNATURE);
}

static void must_be_inside(devcache_slice_t part, devcache_slice_t all)
{
    must(part.data >= all.data && part.len <= all.len &&
         (apr_size_t)(part.data - all.data) <= all.len - part.len);
}

/* What is read says all that is there. */
static void check_purge(devcache_slice_t bytes, devcache_slice_t wrapped, apr_pool_t *p)
{
    devcache_tier_purge_t purge, other;
    devcache_slice_t again;
    int is_one = devcache_tier_message_read_purge(&no_key, bytes, &purge);

    must(!devcache_tier_message_read_purge(&key, bytes, &other));
    if (wrapped.len <= DEVCACHE_TIER_MESSAGE_MAX) {
        must(is_one == devcache_tier_message_read_purge(&key, wrapped, &other));
    }
    if (!is_one) {
        return;
    }
    must(purge.node != 0);
    must_be_inside(purge.order, bytes);
    again = devcache_tier_message_purge(&no_key, &purge, p);
    must(again.len == bytes.len);
    must(purge.wanted > 1 || devcache_slice_eq(again, bytes));
}

static void check_beat(devcache_slice_t bytes, devcache_slice_t wrapped, apr_pool_t *p)
{
    devcache_tier_beat_t beat, other;
    int is_one = devcache_tier_message_read_beat(&no_key, bytes, &beat, p);

    must(!devcache_tier_message_read_beat(&key, bytes, &other, p));
    if (wrapped.len <= DEVCACHE_TIER_MESSAGE_MAX) {
        must(is_one == devcache_tier_message_read_beat(&key, wrapped, &other, p));
    }
    if (is_one) {
        must_be_inside(beat.name, bytes);
        must(devcache_slice_eq(devcache_tier_message_beat(&no_key, &beat, p), bytes));
    }
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    devcache_slice_t bytes = devcache_slice(data, len), wrapped;

    if (len > DEVCACHE_TIER_MESSAGE_MAX) {
        return;
    }
    wrapped = sign(bytes, p);
    check_purge(bytes, wrapped, p);
    check_beat(bytes, wrapped, p);
}
