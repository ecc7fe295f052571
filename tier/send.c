/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending objects.
 *
 * What is offered waits in a queue of the child that has stored it, bounded in bytes; what
 * finds no room is dropped and counted. A thread of the child's sends it, many in one go,
 * and connects for the child's requests, which never wait for that.
 *
 * Just before it is sent an object is compared with the latest purges once more, as by
 * everybody who will find it: what is useless already need not travel. It lives there for
 * as long as it is fresh, so memory comes back by itself.
 */
#include "tier/share.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "tier/internal.h"
#include "tier/reply.h"

#define AT_ONCE 32                      /* objects sent before their answers are read */
#define ROOM (2u << 20)                 /* bytes of them */
#define PATIENCE (APR_USEC_PER_SEC / 5) /* nobody waits for it */
#define LIFE_MAX apr_time_from_sec(30 * 86400) /* on a server */
#define LIFE_MIN apr_time_from_sec(1)          /* less than that is not worth it */

#define COUNT(tier, what, n)                                                             \
    __atomic_fetch_add(&(tier)->state->books.what, n, __ATOMIC_RELAXED)

struct devcache_share_item_t {
    devcache_share_item_t *next;
    unsigned i;                    /* of conf.urls */
    devcache_tier_object_t object; /* slices of its record point into room or texts */
    apr_time_t at;                 /* monotonic; when age and left were so */
    apr_time_t began;              /* monotonic */
    const char *name, *hint_name;  /* hint_name NULL: none */
    const char *spec;
    apr_uint64_t configuration;
    apr_size_t size; /* of all */
    char *room;      /* for the object's bytes */
};

/* ---- the queue ---------------------------------------------------------------------------- */

/* Of its server's number; conf.nurls if that is none any more. */
static unsigned server_of(const devcache_tier_t *t, unsigned at)
{
    unsigned i;

    for (i = 0; i < t->conf.nurls && devcache_tier_at(t, i) != at; i++) {
    }
    return i;
}

static void describe(devcache_record_t *rec, const devcache_share_offer_t *offer)
{
    const devcache_publish_t *what = offer->what;

    memset(rec, 0, sizeof(*rec));
    rec->key = offer->key;
    rec->spec = devcache_slice_str(what->spec ? what->spec : "");
    rec->variant = what->variant.data ? what->variant : devcache_slice("", 0);
    rec->meta = what->meta.data ? what->meta : devcache_slice("", 0);
    rec->tags = what->tags.data ? what->tags : devcache_slice("", 0);
    rec->body = devcache_slice("", (apr_size_t)offer->body_len);
    rec->body_len = offer->body_len;
}

static void name_it(devcache_share_item_t *item, const devcache_tier_t *t,
                    const devcache_share_offer_t *offer, const devcache_record_t *rec,
                    char *text, apr_pool_t *p)
{
    const char *name = devcache_tier_object_name(t->share->objects, offer->configuration,
                                                 rec->key, rec->spec, rec->variant, p);
    const char *first = offer->first_spec ? offer->first_spec : "";
    apr_size_t len = strlen(name) + 1;

    item->name = memcpy(text, name, len);
    item->spec = memcpy(text + 2 * len, rec->spec.data, rec->spec.len);
    text[2 * len + rec->spec.len] = '\0';
    if (strcmp(first, item->spec) && offer->first_variant.data) {
        name = devcache_tier_object_name(t->share->objects, offer->configuration,
                                         rec->key, devcache_slice_str(first),
                                         offer->first_variant, p);
        item->hint_name = memcpy(text + len, name, len);
    }
}

static const char too_large[] = "it is larger than DevCacheTierMaxObject";

/* Why it is not wanted; NULL: it is, and has been measured. */
static const char *measure(devcache_tier_t *t, const devcache_share_offer_t *offer,
                           devcache_record_t *rec)
{
    unsigned i = server_of(t, offer->then.at);

    if (i == t->conf.nurls || !offer->then.run) {
        return "no server can be used";
    }
    if (offer->left < LIFE_MIN || offer->left > DEVCACHE_SHARE_LEFT_MAX ||
        offer->age < 0) {
        return "it is not fresh for a second, or for more than ten years";
    }
    if (offer->body_len > t->conf.max_object) {
        return too_large;
    }
    describe(rec, offer);
    return !devcache_record_measure(rec) || rec->length > t->conf.max_object
               ? too_large
               : devcache_share_trouble(t, i);
}

const char *devcache_share_refuses(devcache_tier_t *t,
                                   const devcache_share_offer_t *offer)
{
    devcache_record_t rec;

    return measure(t, offer, &rec);
}

/* Count for so many bytes of the queue. @return 0 if there is no room */
static int reserve(devcache_share_t *share, apr_size_t size, apr_size_t max)
{
    int fine;

    pthread_mutex_lock(&share->lock);
    fine = share->queued + size <= max;
    share->queued += fine ? size : 0;
    pthread_mutex_unlock(&share->lock);
    return fine;
}

static void release(devcache_share_t *share, devcache_share_item_t *item)
{
    pthread_mutex_lock(&share->lock);
    share->queued -= item->size;
    pthread_mutex_unlock(&share->lock);
    free(item);
}

devcache_share_item_t *devcache_share_begin(devcache_tier_t *t,
                                            const devcache_share_offer_t *offer,
                                            apr_pool_t *p, char **body)
{
    devcache_share_item_t *item = NULL;
    devcache_record_t rec;
    apr_size_t texts, size;
    const char *unwanted = measure(t, offer, &rec);

    if (unwanted == too_large) {
        COUNT(t, too_large, 1);
        return NULL;
    }
    if (unwanted) {
        COUNT(t, dropped, offer->left >= LIFE_MIN);
        return NULL;
    }
    texts = 2 * (strlen(t->share->objects) + 33) + rec.spec.len + 1;
    size = sizeof(*item) + texts + devcache_tier_object_size(&rec);
    if (!reserve(t->share, size, t->conf.queue)) {
        COUNT(t, dropped, 1);
        return NULL;
    }
    item = calloc(1, size);
    if (!item) {
        pthread_mutex_lock(&t->share->lock);
        t->share->queued -= size;
        pthread_mutex_unlock(&t->share->lock);
        return NULL;
    }
    item->size = size;
    item->i = server_of(t, offer->then.at);
    item->room = (char *)(item + 1) + texts;
    item->object.record = rec;
    item->object.then = offer->then;
    item->object.age = offer->age;
    item->object.left = offer->left;
    item->at = devcache_monotonic();
    item->began = offer->began;
    item->configuration = offer->configuration;
    name_it(item, t, offer, &rec, (char *)(item + 1), p);
    *body = devcache_tier_object_body(item->room, &rec);
    return item;
}

/* Slices of the caller's pool become those of the room. */
static void point_into_room(devcache_share_item_t *item)
{
    devcache_record_t *rec = &item->object.record;
    char *at = devcache_tier_object_body(item->room, rec) - rec->head_len +
               DEVCACHE_RECORD_FIXED;
    devcache_slice_t *all[] = {&rec->key, &rec->spec, &rec->variant, &rec->meta,
                               &rec->tags};
    unsigned i;

    for (i = 0; i < 5; i++) {
        all[i]->data = at;
        at += all[i]->len;
    }
    rec->table = devcache_slice(NULL, 0);
}

void devcache_share_send(devcache_tier_t *t, devcache_share_item_t *item, apr_pool_t *p)
{
    devcache_share_t *share = t->share;

    devcache_tier_object_seal(item->room, &item->object.record, item->configuration, p);
    point_into_room(item);
    devcache_share_remember(share, item->spec);
    pthread_mutex_lock(&share->lock);
    if (share->last) {
        share->last->next = item;
    } else {
        share->first = item;
    }
    share->last = item;
    share->queued_items++;
    share->due = 1;
    pthread_cond_signal(&share->wake);
    pthread_mutex_unlock(&share->lock);
}

void devcache_share_drop(devcache_tier_t *t, devcache_share_item_t *item)
{
    if (item) {
        release(t->share, item);
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

/* The first of the queue and those behind it that go to the same server. */
static unsigned take_batch(devcache_share_t *share, devcache_share_item_t **batch)
{
    apr_size_t bytes = 0;
    unsigned n = 0;

    pthread_mutex_lock(&share->lock);
    while (share->first && n < AT_ONCE && bytes < ROOM &&
           (n == 0 || share->first->i == batch[0]->i)) {
        batch[n] = share->first;
        share->first = batch[n]->next;
        bytes += batch[n++]->size;
    }
    if (!share->first) {
        share->last = NULL;
    }
    pthread_mutex_unlock(&share->lock);
    return n;
}

static int say_set(devcache_link_t *link, const char *name, devcache_slice_t bytes,
                   apr_interval_time_t life, apr_pool_t *p)
{
    devcache_slice_t words[] = {
        devcache_slice_str("SET"), devcache_slice_str(name), bytes,
        devcache_slice_str("PX"),
        devcache_slice_str(apr_psprintf(p, "%" APR_INT64_T_FMT,
                                        (life < LIFE_MAX ? life : LIFE_MAX) / 1000))};

    return devcache_link_say(link, 5, words);
}

/* Queue the commands for one object. @return how many answers will come; -1: failure */
static int say_object(devcache_tier_t *t, devcache_link_t *link,
                      devcache_share_item_t *item, apr_time_t clock, apr_time_t now,
                      apr_pool_t *p)
{
    devcache_tier_object_t *o = &item->object;
    devcache_described_t described = devcache_record_describe(&o->record);
    apr_interval_time_t waited = now - item->at;
    apr_size_t size;
    int others; /* who takes it sees that for itself */

    o->age += waited;
    o->left -= waited;
    o->written = clock;
    o->began = clock - (now - item->began);
    if (o->left < LIFE_MIN || o->then.run != devcache_link_run(link) ||
        !devcache_recent_allows(t->recent, &o->then, now - item->began, now, &described,
                                &others, p)) {
        COUNT(t, late, 1);
        return 0;
    }
    size = devcache_tier_object_finish(item->room, o, item->name, &t->key);
    if (!size ||
        !say_set(link, item->name, devcache_slice(item->room, size), o->left, p)) {
        return -1;
    }
    if (item->hint_name) {
        devcache_slice_t hint = devcache_tier_object_hint(item->spec, item->hint_name,
                                                          &t->key, p);

        return say_set(link, item->hint_name, hint, o->left, p) ? 2 : -1;
    }
    return 1;
}

/* @return 0 if the server failed */
static int hear_answers(devcache_tier_t *t, devcache_link_t *link,
                        const devcache_share_item_t *item, int n)
{
    int k;

    for (k = 0; k < n; k++) {
        redisReply *r = devcache_link_hear(link, PATIENCE);
        int fine = r && r->type == REDIS_REPLY_STATUS;

        if (k == 0 && fine) {
            COUNT(t, sent, 1);
            COUNT(t, bytes_out, item->object.record.body_len);
        } else if (k == 0) {
            COUNT(t, dropped, 1);
        }
        freeReplyObject(r);
        if (!r) {
            return 0;
        }
    }
    return 1;
}

/* @return 0 if the server failed; what was not sent is dropped */
static int send_batch(devcache_tier_t *t, devcache_share_item_t **batch, unsigned n,
                      apr_pool_t *p)
{
    devcache_link_t *link = t->share->writers[batch[0]->i];
    int answers[AT_ONCE], fine;
    apr_time_t clock = 0, now;
    unsigned k, said = 0, heard = 0;

    fine = devcache_link_ready(link) &&
           (clock = devcache_link_clock(link, PATIENCE)) != 0;
    now = devcache_monotonic();
    for (k = 0; k < n && fine; k++) {
        answers[k] = say_object(t, link, batch[k], clock, now, p);
        fine = answers[k] >= 0;
        said += fine;
    }
    for (; heard < said && fine; heard++) {
        fine = hear_answers(t, link, batch[heard], answers[heard]);
    }
    if (!fine) {
        COUNT(t, dropped, n - heard);
        devcache_link_close(link);
    }
    return fine;
}

static void send_queue(devcache_tier_t *t, apr_pool_t *p)
{
    devcache_share_item_t *batch[AT_ONCE];
    unsigned n, k;

    while (!__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE) &&
           (n = take_batch(t->share, batch)) > 0) {
        apr_pool_clear(p);
        if (!devcache_share_usable(t, batch[0]->i)) {
            COUNT(t, dropped, n);
        } else if (!send_batch(t, batch, n, p)) {
            devcache_breaker_failure(
                &t->share->weather->breakers[devcache_tier_at(t, batch[0]->i)],
                devcache_monotonic());
        }
        for (k = 0; k < n; k++) {
            release(t->share, batch[k]);
        }
        __atomic_fetch_add(&t->share->sent_items, n, __ATOMIC_RELEASE);
        devcache_locks_tend(t, p);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void tend_pools(devcache_tier_t *t)
{
    unsigned i;

    for (i = 0; i < t->conf.nurls; i++) {
        devcache_breaker_t *b = &t->share->weather->breakers[devcache_tier_at(t, i)];

        if (!devcache_breaker_is_open(b, devcache_monotonic()) &&
            !devcache_pool_tend(t->share->pools[i]) &&
            !__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE)) {
            devcache_breaker_failure(b, devcache_monotonic());
        }
    }
}

static void wait_for_work(devcache_tier_t *t)
{
    devcache_share_t *share = t->share;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += DEVCACHE_TIER_PROBE * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&share->lock);
    while (!share->due &&
           pthread_cond_timedwait(&share->wake, &share->lock, &until) == 0) {
    }
    share->due = 0;
    pthread_mutex_unlock(&share->lock);
}

static void report_queue(devcache_tier_t *t)
{
    devcache_tier_queue_t *q = &t->state->books
                                    .queues[(unsigned)getpid() % DEVCACHE_TIER_QUEUES];

    __atomic_store_n(&q->bytes, t->share->queued, __ATOMIC_RELAXED);
    __atomic_store_n(&q->at, (apr_uint64_t)devcache_monotonic(), __ATOMIC_RELAXED);
}

static void *work(void *tier)
{
    devcache_tier_t *t = tier;
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    while (!__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE)) {
        report_queue(t);
        tend_pools(t);
        send_queue(t, p);
        devcache_locks_tend(t, p);
        wait_for_work(t);
    }
    apr_pool_destroy(p);
    return NULL;
}

static void wake(void *tier)
{
    devcache_share_t *share = ((devcache_tier_t *)tier)->share;

    pthread_mutex_lock(&share->lock);
    share->due = 1;
    pthread_cond_signal(&share->wake);
    pthread_mutex_unlock(&share->lock);
}

int devcache_send_start(devcache_tier_t *t, apr_pool_t *pchild)
{
    devcache_share_t *share = t->share;
    pthread_condattr_t attr;
    unsigned i;

    pthread_mutex_init(&share->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&share->wake, &attr);
    pthread_condattr_destroy(&attr);
    for (i = 0; i < t->conf.nurls; i++) {
        devcache_link_conf_t conf = {t->conf.urls[i], t->conf.password, t->conf.tls,
                                     t->conf.connect_time, t->conf.answer_time};

        share->pools[i] = devcache_pool_create(&conf, t->wake[0], wake, t, pchild);
        share->writers[i] = devcache_link_create(&conf, t->wake[0], pchild);
    }
    if (!devcache_tier_start_thread(&share->thread, work, t)) {
        share->pools[0] = NULL;
        return 0;
    }
    return 1;
}

void devcache_send_end(devcache_tier_t *t)
{
    devcache_share_item_t *item;

    if (!t->share || !t->share->pools[0]) {
        return;
    }
    wake(t);
    pthread_join(t->share->thread, NULL);
    while ((item = t->share->first) != NULL) {
        t->share->first = item->next;
        free(item);
    }
}
