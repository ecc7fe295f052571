/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/reply.h
 * What is taken out of a server's replies, which may be anything.
 *
 * Pure functions. Results point into the reply.
 */
#ifndef DEVCACHE_TIER_REPLY_H
#define DEVCACHE_TIER_REPLY_H

#include <hiredis/hiredis.h>
#include "base/bytes.h"
#include "tier/state.h"

/** Member @a i of an array, if it has that type; else NULL. */
const redisReply *devcache_reply_member(const redisReply *r, size_t i, int type);

/** The id of a stream's entry, as text. @return 0 if it is none */
int devcache_reply_id(const redisReply *r, devcache_tier_id_t *id);

/** An entry of a stream: its id (0-0 if it has none), and the value of its only field "d";
 * data NULL: it is none of ours. */
devcache_slice_t devcache_reply_value(const redisReply *entry, devcache_tier_id_t *id);

/** The server's clock, from an answer to TIME: microseconds; 0: it is none. */
apr_time_t devcache_reply_clock(const redisReply *r);

#endif
