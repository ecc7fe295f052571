/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages.
 *
 *     purge   'P' 1 | node 8 | number 8 | wanted 1 | order, a slice | signature
 *     beat    'B' 1 | node 8 | outbox 8 | name, a slice | n 2 | n times: node 8, number 8
 *             | signature
 *
 * The signature is that of tier/key.h over all that stands before it, 32 bytes; nothing
 * without DevCacheTierKey. It keeps who can write to the server, but has not the key, from
 * emptying caches. Who repeats an old purge achieves little: its number says
 * that it is applied already.
 */
#include "tier/message.h"

#include <string.h>
#include "tier/state.h"

#define SIGNATURE DEVCACHE_TIER_SIGNATURE

/* Room for a message of so many bytes, and its signature behind them. */
static devcache_slice_t finish(const devcache_tier_key_t *key, const devcache_writer_t *w)
{
    devcache_slice_t message = devcache_slice(w->buf, w->len);

    if (!key->secret.data) {
        return message;
    }
    return devcache_tier_key_sign(key, &message, 1, w->buf + w->len)
               ? devcache_slice(w->buf, w->len + SIGNATURE)
               : devcache_slice(NULL, 0);
}

devcache_slice_t devcache_tier_message_purge(const devcache_tier_key_t *key,
                                             const devcache_tier_purge_t *purge,
                                             apr_pool_t *p)
{
    devcache_writer_t w = {
        apr_palloc(p, 1 + 8 + 8 + 1 + 4 + purge->order.len + SIGNATURE), 0};

    devcache_put_uint(&w, 'P', 1);
    devcache_put_uint(&w, purge->node, 8);
    devcache_put_uint(&w, purge->number, 8);
    devcache_put_uint(&w, purge->wanted != 0, 1);
    devcache_put_slice(&w, purge->order);
    return finish(key, &w);
}

devcache_slice_t devcache_tier_message_beat(const devcache_tier_key_t *key,
                                            const devcache_tier_beat_t *beat,
                                            apr_pool_t *p)
{
    devcache_writer_t w = {
        apr_palloc(p, 1 + 8 + 8 + 4 + beat->name.len + 2 + beat->nseen * 16 + SIGNATURE),
        0};
    unsigned i;

    devcache_put_uint(&w, 'B', 1);
    devcache_put_uint(&w, beat->node, 8);
    devcache_put_uint(&w, beat->outbox, 8);
    devcache_put_slice(&w, beat->name);
    devcache_put_uint(&w, beat->nseen, 2);
    for (i = 0; i < beat->nseen; i++) {
        devcache_put_uint(&w, beat->seen[i].node, 8);
        devcache_put_uint(&w, beat->seen[i].number, 8);
    }
    return finish(key, &w);
}

/* ---- reading ------------------------------------------------------------------------- */

/* What is before the signature, if that is right; data NULL else. */
static devcache_slice_t verified(const devcache_tier_key_t *key, devcache_slice_t bytes)
{
    devcache_slice_t none = {NULL, 0}, message = bytes;

    if (!bytes.data || bytes.len > DEVCACHE_TIER_MESSAGE_MAX) {
        return none;
    }
    if (!key->secret.data) {
        return bytes;
    }
    if (bytes.len < SIGNATURE) {
        return none;
    }
    message.len -= SIGNATURE;
    return devcache_tier_key_matches(key, &message, 1, bytes.data + message.len) ? message
                                                                                 : none;
}

int devcache_tier_message_read_purge(const devcache_tier_key_t *key,
                                     devcache_slice_t bytes, devcache_tier_purge_t *out)
{
    devcache_slice_t all = verified(key, bytes);
    devcache_reader_t r;
    int kind;

    if (!all.data) {
        return 0;
    }
    r = devcache_reader(all);
    kind = (int)devcache_get_uint(&r, 1);
    out->node = devcache_get_uint(&r, 8);
    out->number = devcache_get_uint(&r, 8);
    out->wanted = (int)devcache_get_uint(&r, 1);
    out->order = devcache_get_slice(&r);
    return !r.bad && r.pos == r.end && kind == 'P' && out->node && out->order.data;
}

int devcache_tier_message_read_beat(const devcache_tier_key_t *key,
                                    devcache_slice_t bytes, devcache_tier_beat_t *out,
                                    apr_pool_t *p)
{
    devcache_slice_t all = verified(key, bytes);
    devcache_tier_seen_t *seen;
    devcache_reader_t r;
    unsigned i;
    int kind;

    if (!all.data) {
        return 0;
    }
    r = devcache_reader(all);
    kind = (int)devcache_get_uint(&r, 1);
    out->node = devcache_get_uint(&r, 8);
    out->outbox = devcache_get_uint(&r, 8);
    out->name = devcache_get_slice(&r);
    out->nseen = (unsigned)devcache_get_uint(&r, 2);
    if (r.bad || kind != 'B' || out->nseen > DEVCACHE_TIER_NODES) {
        return 0;
    }
    out->seen = seen = apr_palloc(p, (out->nseen + 1) * sizeof(*seen));
    for (i = 0; i < out->nseen; i++) {
        seen[i].node = devcache_get_uint(&r, 8);
        seen[i].number = devcache_get_uint(&r, 8);
    }
    return !r.bad && r.pos == r.end && out->node && out->name.data;
}
