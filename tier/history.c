/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking back.
 *
 * Objects on a server are compared with the purges that came after them, also by a machine
 * that has just come. So whoever begins to read a stream first notes what stands there, the
 * latest thousand at least, and then each entry before it is applied. An object from before
 * all that is of no use.
 *
 * What somebody has taken out of the stream nobody can know; an object that names a later
 * entry is from after it as well, so only those are noted.
 *
 * An object names an entry, so there must be one: where there is none a purge of nothing is
 * put.
 *
 * What the server does when it is full is looked at too, every second. If it may evict any
 * key it may evict the stream, which no machine would notice before it reads again.
 */
#include "tier/internal.h"

#include <apr_strings.h>
#include <stdlib.h>
#include "base/clock.h"
#include "tier/reply.h"

#define AT_ONCE "2000"
#define AT_LEAST "100" /* if those are too many bytes: so many never are */
#define PATIENCE (APR_USEC_PER_SEC / 2)
#define LOOK_AGAIN APR_USEC_PER_SEC

/* The latest entries, which come first. */
static int note_all(devcache_tier_worker_t *w, const redisReply *entries)
{
    unsigned at = devcache_tier_at(w->tier, w->at);
    size_t i;

    for (i = entries->elements; i > 0; i--) {
        devcache_tier_purge_t purge;
        devcache_tier_id_t id;
        devcache_slice_t value = devcache_reply_value(entries->element[i - 1], &id);
        int is_one = value.data &&
                     devcache_tier_message_read_purge(&w->tier->key, value, &purge);

        if (id.ms == 0) {
            return 0;
        }
        if (id.ms < w->deleted.ms ||
            (id.ms == w->deleted.ms && id.seq <= w->deleted.seq)) {
            continue;
        }
        devcache_recent_note(w->tier->recent, at, id, is_one ? &purge : NULL, w->pool);
    }
    return 1;
}

/* @return 0 if the server failed */
static int read_back(devcache_tier_worker_t *w)
{
    redisReply *r;

    if (w->coarse > 1) {
        return 1; /* it cannot be read: objects of now on are compared with what comes */
    }
    r = devcache_link_say_words(w->link, "XREVRANGE", w->tier->purges, "+", "-", "COUNT",
                                w->coarse ? AT_LEAST : AT_ONCE, NULL)
            ? devcache_link_hear(w->link, PATIENCE)
            : NULL;
    if (!r) {
        w->coarse += strstr(devcache_link_trouble(w->link), "larger") != NULL;
        return 0;
    }
    if (r->type != REDIS_REPLY_ARRAY || !note_all(w, r)) {
        w->coarse = 2;
    }
    freeReplyObject(r);
    return 1;
}

/* A purge of nothing. */
static void put_marker(devcache_tier_worker_t *w)
{
    devcache_order_t order = {DEVCACHE_ORDER_URL, 0, "devcache.invalid", "/"};
    devcache_tier_sent_t sent;

    devcache_tier_publish(w->tier, &order, 0, &sent, w->pool);
}

/* @return 0 if the server failed */
static int begin(devcache_tier_worker_t *w)
{
    devcache_tier_t *tier = w->tier;
    devcache_tier_server_t *server = tier->servers[w->at];
    unsigned at = devcache_tier_at(tier, w->at);

    if (__atomic_load_n(&server->sent, __ATOMIC_ACQUIRE) !=
        __atomic_load_n(&tier->state->end, __ATOMIC_ACQUIRE)) {
        devcache_recent_await(tier->recent, at, tier->state->node, tier->state->number);
    }
    if (!read_back(w)) {
        return 0;
    }
    if (!devcache_recent_has(tier->recent, at)) {
        put_marker(w);
    }
    devcache_recent_begin(tier->recent, at, devcache_link_run(w->link));
    return 1;
}

/* ---- what kind of server it is --------------------------------------------------------- */

static apr_uint64_t number_in(const char *info, const char *name)
{
    const char *at = strstr(info, name);

    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static devcache_share_policy_e policy_in(const char *info)
{
    const char *at = strstr(info, "maxmemory_policy:");
    apr_uint64_t max = number_in(info, "\nmaxmemory:");
    apr_uint64_t used = number_in(info, "\nused_memory:");

    at = at ? at + strlen("maxmemory_policy:") : "";
    if (!strncmp(at, "volatile-", 9)) {
        return DEVCACHE_SHARE_FINE;
    }
    if (!strncmp(at, "noeviction", 10)) {
        return max > 0 && used > max / 4 * 3 ? DEVCACHE_SHARE_FULL : DEVCACHE_SHARE_FINE;
    }
    return DEVCACHE_SHARE_EVICTS;
}

static void note_policy(devcache_tier_worker_t *w, devcache_share_policy_e policy)
{
    devcache_share_weather_t *weather = w->tier->share->weather;
    unsigned at = devcache_tier_at(w->tier, w->at);
    apr_uint32_t before = __atomic_exchange_n(&weather->policies[at],
                                              (apr_uint32_t)policy, __ATOMIC_ACQ_REL);

    if (before != policy && policy == DEVCACHE_SHARE_EVICTS) {
        devcache_tier_say(
            w->tier, DEVCACHE_TIER_WARNING, 236,
            apr_psprintf(w->pool,
                         "tier: %s: its maxmemory-policy may evict any key, and so the "
                         "stream of purges: no objects are shared there; set "
                         "maxmemory-policy volatile-lfu",
                         w->tier->conf.urls[w->at].text));
    } else if (before != policy && policy == DEVCACHE_SHARE_FULL) {
        devcache_tier_say(
            w->tier, DEVCACHE_TIER_WARNING, 237,
            apr_psprintf(w->pool,
                         "tier: %s: three quarters of its maxmemory are in use, and it "
                         "evicts nothing: no objects are put there, so that it has room "
                         "for purges; set maxmemory-policy volatile-lfu",
                         w->tier->conf.urls[w->at].text));
    } else if (before > DEVCACHE_SHARE_FINE && policy == DEVCACHE_SHARE_FINE) {
        devcache_tier_say(w->tier, DEVCACHE_TIER_NOTICE, 238,
                          apr_psprintf(w->pool,
                                       "tier: %s: objects are shared there again",
                                       w->tier->conf.urls[w->at].text));
    }
}

static int look_at(devcache_tier_worker_t *w)
{
    redisReply *r = devcache_link_say_words(w->link, "INFO", "memory", NULL)
                        ? devcache_link_hear(w->link, 0)
                        : NULL;

    if (r) {
        note_policy(w, r->type == REDIS_REPLY_STRING ? policy_in(r->str)
                                                     : DEVCACHE_SHARE_NOT_KNOWN);
    }
    freeReplyObject(r);
    return r != NULL;
}

int devcache_tier_look_back(devcache_tier_worker_t *w)
{
    devcache_tier_t *tier = w->tier;
    unsigned at = devcache_tier_at(tier, w->at);
    apr_time_t now = devcache_monotonic();
    apr_uint64_t *looked_at;

    if (!tier->share) {
        return 1;
    }
    if (devcache_recent_run(tier->recent, at) != devcache_link_run(w->link) &&
        !begin(w)) {
        return 0;
    }
    looked_at = &tier->share->weather->looked_at[at];
    if ((apr_uint64_t)now - *looked_at < LOOK_AGAIN) {
        return 1;
    }
    *looked_at = (apr_uint64_t)now;
    return look_at(w);
}
