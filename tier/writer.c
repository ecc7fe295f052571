/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: one thread of the leader for each server.
 *
 * It sends what is in the outbox, many purges in one go, and says every three seconds that
 * this machine is there, and at once when somebody waits to hear what is applied here. A
 * server has a purge when it has said so; the outbox keeps it until all servers have. What
 * was on its way when a connection broke is sent again, and is known by its number where it
 * arrives twice.
 *
 * Its heartbeats go by the same connection, so that a server which takes no entries, as it
 * is full or not ours, is found out within seconds.
 */
#include "tier/internal.h"

#include <apr_strings.h>
#include <string.h>
#include "base/clock.h"

#define AT_ONCE 128         /* purges sent before their answers are read */
#define ROOM (256 * 1024)   /* bytes of them */
#define STREAM_MAX "100000" /* purges that a server keeps */
#define BEATS_MAX "2000"    /* heartbeats that a server keeps */

/* An entry's id in answer. @return 0 on failure, which is said */
static int is_taken(devcache_tier_worker_t *w, redisReply *reply)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];
    int fine = reply && reply->type == REDIS_REPLY_STRING;

    if (reply && !fine) {
        const char *why = reply->type == REDIS_REPLY_ERROR ? reply->str : "no id";

        devcache_tier_failed(w, &server->writing,
                             apr_psprintf(w->pool, "it takes no entries: %.120s", why));
    } else if (!reply) {
        devcache_tier_failed(w, &server->writing, NULL);
    }
    freeReplyObject(reply);
    return fine;
}

static int say_entry(devcache_tier_worker_t *w, const char *stream, const char *max,
                     devcache_slice_t bytes)
{
    devcache_slice_t words[] = {
        devcache_slice_str("XADD"),   devcache_slice_str(stream),
        devcache_slice_str("MAXLEN"), devcache_slice_str("~"),
        devcache_slice_str(max),      devcache_slice_str("*"),
        devcache_slice_str("d"),      bytes,
    };

    return devcache_link_say(w->link, sizeof(words) / sizeof(*words), words);
}

/* The lowest of what the servers have been sent. */
static apr_uint64_t sent_by_all(const devcache_tier_t *tier)
{
    apr_uint64_t lowest = __atomic_load_n(&tier->state->end, __ATOMIC_ACQUIRE);
    unsigned i;

    for (i = 0; i < tier->conf.nurls; i++) {
        apr_uint64_t sent = __atomic_load_n(&tier->servers[i]->sent, __ATOMIC_ACQUIRE);

        lowest = sent < lowest ? sent : lowest;
    }
    return lowest;
}

/* Purges were lost on their way: the others must not trust what they have. */
static void publish_doubt(devcache_tier_worker_t *w)
{
    devcache_order_t doubt = {DEVCACHE_ORDER_DOUBT};
    devcache_tier_sent_t sent;

    devcache_tier_say(w->tier, DEVCACHE_TIER_WARNING, 231,
                      "tier: purges that waited to be sent are lost with their file; the "
                      "other machines validate everything");
    devcache_tier_publish(w->tier, &doubt, 0, &sent, w->pool);
}

/* @return 0 on failure */
static int send_purges(devcache_tier_worker_t *w)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];
    devcache_slice_t purges[AT_ONCE];
    char *buf = apr_palloc(w->pool, ROOM);
    apr_uint64_t from = server->sent, next = 0, before = from;
    unsigned n = devcache_outbox_read(w->tier->outbox, &from, buf, ROOM, purges, AT_ONCE,
                                      &next),
             i, done = 0;

    if (n == 0 && from > before && server->sent >= w->tier->state->base) {
        __atomic_store_n(&server->sent, from, __ATOMIC_RELEASE);
        publish_doubt(w);
        return 1;
    }
    for (i = 0; i < n; i++) {
        if (!say_entry(w, w->tier->purges, STREAM_MAX, purges[i])) {
            devcache_tier_failed(w, &server->writing, NULL);
            return 0;
        }
    }
    while (done < n && is_taken(w, devcache_link_hear(w->link, 0))) {
        from += 12 + purges[done++].len; /* as tier/outbox.c has them */
    }
    if (done > 0 || n == 0) {
        __atomic_store_n(&server->sent, from, __ATOMIC_RELEASE);
        devcache_tier_state_raise(&w->tier->state->sent);
        devcache_outbox_tidy(w->tier->outbox, sent_by_all(w->tier));
    }
    if (done < n) {
        devcache_link_close(w->link); /* the answers of the others are not read */
    }
    return done == n;
}

static int send_beat(devcache_tier_worker_t *w)
{
    devcache_tier_state_t *state = w->tier->state;
    devcache_tier_seen_t seen[DEVCACHE_TIER_NODES];
    devcache_tier_beat_t beat = {state->node, state->waiting,
                                 devcache_slice_str(w->tier->conf.host), seen, 0};
    unsigned i;

    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        if (state->latest[i].id) {
            seen[beat.nseen].node = state->latest[i].id;
            seen[beat.nseen++].number = state->latest[i].number;
        }
    }
    if (!say_entry(w, w->tier->beats, BEATS_MAX,
                   devcache_tier_message_beat(&w->tier->key, &beat, w->pool))) {
        devcache_tier_failed(w, &w->tier->servers[w->at]->writing, NULL);
        return 0;
    }
    return is_taken(w, devcache_link_hear(w->link, 0));
}

void *devcache_tier_write(void *worker)
{
    devcache_tier_worker_t *w = worker;
    devcache_tier_state_t *state = w->tier->state;
    devcache_tier_server_t *server = w->tier->servers[w->at];
    apr_pool_t *whole = w->pool;
    apr_uint32_t due = 0;
    apr_time_t beaten = 0;

    apr_pool_create(&w->pool, whole);
    while (devcache_tier_goes_on(w->tier)) {
        apr_uint32_t queued = __atomic_load_n(&state->queued, __ATOMIC_ACQUIRE);
        apr_uint32_t due_now = __atomic_load_n(&state->beat_due, __ATOMIC_ACQUIRE);
        apr_time_t now = devcache_monotonic();

        apr_pool_clear(w->pool);
        if (!devcache_link_is_open(w->link) && !devcache_link_open(w->link)) {
            devcache_tier_failed(w, &server->writing, NULL);
            continue;
        }
        if (server->sent != __atomic_load_n(&state->end, __ATOMIC_ACQUIRE)) {
            if (send_purges(w)) {
                devcache_tier_works(w, &server->writing);
            }
        } else if (!beaten || due_now != due || now - beaten > DEVCACHE_TIER_BEAT) {
            if (send_beat(w)) {
                beaten = now;
                due = due_now;
                devcache_tier_works(w, &server->writing);
            }
        } else {
            devcache_tier_state_wait(&state->queued, queued, DEVCACHE_TIER_PROBE);
        }
    }
    __atomic_store_n(&server->writing, 0, __ATOMIC_RELEASE);
    return NULL;
}
