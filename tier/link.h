/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/link.h
 * One connection to a server, with deadlines: commands out, replies in.
 *
 * Belongs to one thread.
 * Errors     After any error the connection is closed, and the link says why in words.
 * Units      Microseconds.
 */
#ifndef DEVCACHE_TIER_LINK_H
#define DEVCACHE_TIER_LINK_H

#include <apr_pools.h>
#include <apr_time.h>
#include <hiredis/hiredis.h>
#include "base/bytes.h"
#include "tier/url.h"
#include "tier/wire.h"

#define DEVCACHE_LINK_REPLY_MAX (8u << 20) /* bytes of one reply */

typedef struct devcache_link_conf_t {
    devcache_url_t url;
    const char *password;     /* NULL: none */
    devcache_wire_tls_t *tls; /* if the URL says so */
    apr_interval_time_t connect_time, answer_time;
} devcache_link_conf_t;

typedef struct devcache_link_t devcache_link_t;

/** @param wake  a descriptor that becomes readable when this process ends; -1: none */
devcache_link_t *devcache_link_create(const devcache_link_conf_t *conf, int wake,
                                      apr_pool_t *p);

/**
 * Connect, say who we are, choose the database, and look at what kind of server it is.
 * Resolves the host's name, which may take as long as the resolver likes.
 * @return 0 on failure
 */
int devcache_link_open(devcache_link_t *link);
int devcache_link_is_open(const devcache_link_t *link);

/** Is it open still, as far as can be told without waiting? To be asked before a link that
 * was idle is used: a server that ends, or that closes idle connections, says so here. If
 * not, it is closed. */
int devcache_link_is_alive(devcache_link_t *link);

/** It is alive, or can be opened anew. */
int devcache_link_ready(devcache_link_t *link);
void devcache_link_close(devcache_link_t *link);

/** Hash of the server's run_id: another one after each of its starts. */
apr_uint64_t devcache_link_run(const devcache_link_t *link);

/** What was wrong at the last failure; "" before the first one. */
const char *devcache_link_trouble(const devcache_link_t *link);

/** Queue a command of @a n words. */
int devcache_link_say(devcache_link_t *link, int n, const devcache_slice_t *words);

/** As that, of strings that end with NULL; and the same with the strings as arguments. */
int devcache_link_say_list(devcache_link_t *link, const char *const list[]);
#define devcache_link_say_words(link, ...)                                               \
    devcache_link_say_list(link, (const char *const[]){__VA_ARGS__})

/**
 * Send what is queued, and read one reply.
 * @param patience  how long the server may think about it, beyond the time for an answer
 * @return to be freed by freeReplyObject(); NULL on failure. A reply that is an error is
 *         a reply.
 */
redisReply *devcache_link_hear(devcache_link_t *link, apr_interval_time_t patience);

/** Ask the server for its clock. @return microseconds; 0 on failure */
apr_time_t devcache_link_clock(devcache_link_t *link, apr_interval_time_t patience);

#endif
