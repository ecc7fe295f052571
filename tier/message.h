/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/message.h
 * What machines tell each other: purges and heartbeats, as bytes in a stream's entry.
 *
 * Ownership  Results live in the pool given; a read message points into what was given.
 * Errors     What cannot be read, or is not signed with our key, is no message.
 */
#ifndef DEVCACHE_TIER_MESSAGE_H
#define DEVCACHE_TIER_MESSAGE_H

#include <apr_pools.h>
#include "tier/key.h"

#define DEVCACHE_TIER_MESSAGE_MAX (66 * 1024) /* bytes: an order and what is around it */

typedef struct devcache_tier_purge_t {
    apr_uint64_t node, number; /* who has sent it; they grow with each purge of a node */
    int wanted;                /* its sender waits: say soon that it is applied */
    devcache_slice_t order;    /* of devcache_order_encode() */
} devcache_tier_purge_t;

/** Of another machine: up to which of its purges everything is applied. */
typedef struct devcache_tier_seen_t {
    apr_uint64_t node, number;
} devcache_tier_seen_t;

typedef struct devcache_tier_beat_t {
    apr_uint64_t node, outbox;
    devcache_slice_t name;
    const devcache_tier_seen_t *seen;
    unsigned nseen;
} devcache_tier_beat_t;

devcache_slice_t devcache_tier_message_purge(const devcache_tier_key_t *key,
                                             const devcache_tier_purge_t *purge,
                                             apr_pool_t *p);
devcache_slice_t devcache_tier_message_beat(const devcache_tier_key_t *key,
                                            const devcache_tier_beat_t *beat,
                                            apr_pool_t *p);

/** @return 0 if it is none */
int devcache_tier_message_read_purge(const devcache_tier_key_t *key,
                                     devcache_slice_t bytes, devcache_tier_purge_t *out);
int devcache_tier_message_read_beat(const devcache_tier_key_t *key,
                                    devcache_slice_t bytes, devcache_tier_beat_t *out,
                                    apr_pool_t *p);

#endif
