/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding objects.
 *
 * Names. An object lies under the hash of its key, its spec and its values under that.
 * Who looks for it knows the spec if he has, or had, anything of that URL; else he looks
 * under the one that anybody would try (by device, or none), where its maker has left a
 * hint which one it is, and under those that were right lately. All that in one command,
 * so that it takes one round trip but for the first URL with a spec that is new here.
 *
 * Servers. Each key has one (rendezvous hashing over those that are in use): when one goes
 * only its share of the keys moves. It must be one whose purges this machine's leader
 * reads now, and has read without a gap since the entry that the object names.
 *
 * Time. No machine's clock is compared with another's: an object says how old it was when
 * it was written, and when that was by the server's clock, which is asked in the same
 * round trip.
 */
#include "tier/share.h"

#include <apr_strings.h>
#include <xxhash.h>
#include "base/clock.h"
#include "tier/internal.h"
#include "tier/reply.h"

#define NAMES_MAX DEVCACHE_SHARE_SPECS
#define CLOCK_BACK APR_USEC_PER_SEC /* that a server's clock may have been set back */

int devcache_share_is_on(const devcache_tier_t *t)
{
    return t && t->share;
}

/* ---- which server ----------------------------------------------------------------------- */

static int is_led(const devcache_tier_t *t)
{
    return __atomic_load_n(&t->state->led_until, __ATOMIC_ACQUIRE) >
           (apr_uint64_t)devcache_monotonic();
}

static apr_uint32_t policy_of(const devcache_tier_t *t, unsigned i)
{
    return __atomic_load_n(&t->share->weather->policies[devcache_tier_at(t, i)],
                           __ATOMIC_ACQUIRE);
}

/* NULL: it can be used. */
static const char *why_unusable(const devcache_tier_t *t, unsigned i)
{
    unsigned at = devcache_tier_at(t, i);
    apr_uint32_t policy = policy_of(t, i);

    return !__atomic_load_n(&t->servers[i]->reading, __ATOMIC_ACQUIRE)
               ? "its purges are not read"
           : policy == DEVCACHE_SHARE_EVICTS
               ? "its maxmemory-policy may evict purges (DC0236)"
           : policy == DEVCACHE_SHARE_NOT_KNOWN  ? "its maxmemory-policy is not known yet"
           : !devcache_recent_run(t->recent, at) ? "not all of its purges are known yet"
           : devcache_breaker_is_open(&t->share->weather->breakers[at],
                                      devcache_monotonic())
               ? "it failed again and again, and is left alone for a moment"
               : NULL;
}

int devcache_share_usable(const devcache_tier_t *t, unsigned i)
{
    return !why_unusable(t, i);
}

const char *devcache_share_trouble(const devcache_tier_t *t, unsigned i)
{
    const char *why = is_led(t) ? why_unusable(t, i)
                                : "no process of this machine reads its purges";

    return !why && policy_of(t, i) == DEVCACHE_SHARE_FULL
               ? "nothing more is put there: it is nearly full, and evicts nothing "
                 "(DC0237)"
               : why;
}

/* @return conf.nurls if there is none */
unsigned devcache_share_choose(const devcache_tier_t *t, devcache_slice_t key)
{
    unsigned best = t->conf.nurls, i;
    apr_uint64_t highest = 0;

    for (i = 0; i < t->conf.nurls && is_led(t); i++) {
        apr_uint64_t score = XXH3_64bits_withSeed(key.data, key.len,
                                                  t->servers[i]->url_hash);

        if (devcache_share_usable(t, i) && (best == t->conf.nurls || score > highest)) {
            best = i;
            highest = score;
        }
    }
    return best;
}

const char *devcache_share_server(const devcache_tier_t *t, devcache_slice_t key,
                                  const char **pwhy)
{
    unsigned i = devcache_share_choose(t, key);

    *pwhy = devcache_share_trouble(t, i < t->conf.nurls ? i : 0);
    return i < t->conf.nurls ? t->conf.urls[i].text : NULL;
}

static void note_then(const devcache_tier_t *t, unsigned i, devcache_recent_then_t *then)
{
    devcache_tier_id_t again;

    memset(then, 0, sizeof(*then));
    then->at = devcache_tier_at(t, i);
    then->node = __atomic_load_n(&t->state->node, __ATOMIC_ACQUIRE);
    then->number = __atomic_load_n(&t->state->number, __ATOMIC_ACQUIRE);
    then->run = devcache_recent_run(t->recent, then->at);
    then->position = devcache_tier_state_position(t->servers[i]);
    again = devcache_tier_state_position(t->servers[i]);
    /* Two words that the leader may be changing. */
    if (then->position.ms != again.ms || then->position.seq != again.seq ||
        devcache_recent_run(t->recent, then->at) != then->run) {
        then->run = 0;
    }
}

void devcache_share_note(devcache_tier_t *t, devcache_slice_t key,
                         devcache_recent_then_t *then)
{
    unsigned i = devcache_share_choose(t, key);

    memset(then, 0, sizeof(*then));
    if (i < t->conf.nurls) {
        note_then(t, i, then);
    }
}

void devcache_share_forget(devcache_tier_t *t, devcache_slice_t key)
{
    devcache_recent_note_key(t->recent, key, devcache_monotonic());
}

/* ---- specs ------------------------------------------------------------------------------ */

void devcache_share_remember(devcache_share_t *share, const char *spec)
{
    unsigned i;

    if (strlen(spec) >= DEVCACHE_SHARE_SPEC_MAX || !strcmp(share->specs[0], spec)) {
        return;
    }
    pthread_mutex_lock(&share->lock);
    for (i = 0; i < DEVCACHE_SHARE_KNOWN_SPECS - 1 && strcmp(share->specs[i], spec);
         i++) {
    }
    memmove(share->specs[1], share->specs[0], i * sizeof(share->specs[0]));
    apr_cpystrn(share->specs[0], spec, sizeof(share->specs[0]));
    pthread_mutex_unlock(&share->lock);
}

/* Names that are asked for at once, with the spec of each. */
typedef struct names_t {
    const char *names[NAMES_MAX], *specs[NAMES_MAX];
    unsigned n;
} names_t;

static void add_name(const devcache_tier_t *t, const devcache_share_wanted_t *wanted,
                     const char *spec, names_t *names, apr_pool_t *p)
{
    devcache_slice_t values;
    unsigned i;

    for (i = 0; i < names->n; i++) {
        if (!strcmp(names->specs[i], spec)) {
            return;
        }
    }
    values = wanted->variant(wanted->baton, spec, p);
    if (values.data && names->n < NAMES_MAX) {
        names->specs[names->n] = spec;
        names->names[names->n++] = devcache_tier_object_name(
            t->share->objects, wanted->configuration, wanted->key,
            devcache_slice_str(spec), values, p);
    }
}

static void list_names(const devcache_tier_t *t, const devcache_share_wanted_t *wanted,
                       names_t *names, apr_pool_t *p)
{
    devcache_share_t *share = t->share;
    char known[DEVCACHE_SHARE_KNOWN_SPECS][DEVCACHE_SHARE_SPEC_MAX];
    unsigned i;

    pthread_mutex_lock(&share->lock);
    memcpy(known, share->specs, sizeof(known));
    pthread_mutex_unlock(&share->lock);
    for (i = 0; i < wanted->nspecs; i++) {
        add_name(t, wanted, wanted->specs[i], names, p);
    }
    for (i = 0; i < DEVCACHE_SHARE_KNOWN_SPECS && known[i][0]; i++) {
        if (names->n < NAMES_MAX) {
            add_name(t, wanted, apr_pstrdup(p, known[i]), names, p);
        }
    }
}

unsigned devcache_share_names(const devcache_tier_t *t,
                              const devcache_share_wanted_t *wanted,
                              const char *out[DEVCACHE_SHARE_SPECS], apr_pool_t *p)
{
    names_t names = {{NULL}};

    list_names(t, wanted, &names, p);
    memcpy(out, names.names, names.n * sizeof(*out));
    return names.n;
}

/* ---- one question ------------------------------------------------------------------------ */

typedef struct answer_t {
    redisReply *values;
    apr_time_t clock;    /* of the server, */
    apr_time_t set_back; /* and up to where it says nothing of an age */
    apr_uint64_t run;
} answer_t;

static apr_status_t free_reply(void *reply)
{
    freeReplyObject(reply);
    return APR_SUCCESS;
}

/* @return 0 on failure */
static int say_and_hear(devcache_link_t *link, const names_t *names, apr_time_t began,
                        answer_t *out, apr_pool_t *p)
{
    devcache_slice_t words[NAMES_MAX + 1] = {devcache_slice_str("MGET")};
    redisReply *time;
    unsigned i;

    for (i = 0; i < names->n; i++) {
        words[i + 1] = devcache_slice_str(names->names[i]);
    }
    if (!devcache_link_say(link, (int)names->n + 1, words) ||
        !devcache_link_say_words(link, "TIME", NULL) ||
        !(out->values = devcache_link_hear(link, began - devcache_monotonic()))) {
        return 0;
    }
    apr_pool_cleanup_register(p, out->values, free_reply, apr_pool_cleanup_null);
    time = devcache_link_hear(link, began - devcache_monotonic());
    out->clock = devcache_reply_clock(time);
    freeReplyObject(time);
    out->run = devcache_link_run(link);
    if (!out->clock || out->values->type != REDIS_REPLY_ARRAY ||
        out->values->elements != names->n) {
        devcache_link_close(link); /* no Redis, or one that may not be read by us */
        return 0;
    }
    return 1;
}

/* Once for each time that it is. */
static void say_set_back(const devcache_tier_t *t, unsigned i, apr_pool_t *p)
{
    devcache_tier_say(
        t, DEVCACHE_TIER_WARNING, 239,
        apr_psprintf(p,
                     "tier: %s: its clock was set back: nothing is taken from there that "
                     "was put there before that, until it is restarted",
                     t->conf.urls[i].text));
}

/* By a connection of this child's. @return 0 on failure */
static int ask(devcache_tier_t *t, unsigned i, const names_t *names, apr_time_t began,
               answer_t *out, apr_pool_t *p)
{
    devcache_breaker_t *breaker = &t->share->weather->breakers[devcache_tier_at(t, i)];
    apr_time_t now = devcache_monotonic();
    devcache_link_t *link;
    int fine, news;

    if (!devcache_breaker_lets(breaker, now)) {
        return 0;
    }
    link = devcache_pool_take(t->share->pools[i], t->conf.answer_time - (now - began));
    if (!link) {
        return 0; /* that it cannot be reached the thread finds out that connects */
    }
    fine = say_and_hear(link, names, began, out, p);
    devcache_pool_give(t->share->pools[i], link);
    now = devcache_monotonic();
    if (fine) {
        out->set_back = devcache_recent_set_back(t->recent, devcache_tier_at(t, i),
                                                 out->clock, now - began, &news);
        if (news) {
            say_set_back(t, i, p);
        }
        devcache_breaker_success(breaker);
    } else {
        devcache_breaker_failure(breaker, now);
    }
    return fine;
}

/* ---- what was found ----------------------------------------------------------------------- */

/* Is it what is wanted, and is it of use now? */
static devcache_share_found_e judge(devcache_tier_t *t, unsigned i,
                                    const devcache_share_wanted_t *wanted,
                                    const answer_t *answer, devcache_tier_object_t *o,
                                    devcache_share_object_t *out, apr_pool_t *p)
{
    apr_interval_time_t since = answer->clock - o->written;
    devcache_described_t described = devcache_record_describe(&o->record);
    const char *spec = apr_pstrmemdup(p, o->record.spec.data, o->record.spec.len);
    devcache_slice_t mine = wanted->variant(wanted->baton, spec, p);

    if (!devcache_slice_eq(o->record.key, wanted->key) || !mine.data ||
        !devcache_slice_eq(o->record.variant, mine) ||
        o->record.length > t->conf.max_object) {
        return DEVCACHE_SHARE_DAMAGED;
    }
    if (o->written <= answer->set_back || since < -CLOCK_BACK || o->left <= since ||
        o->left > DEVCACHE_SHARE_LEFT_MAX || o->age > DEVCACHE_SHARE_LEFT_MAX) {
        return DEVCACHE_SHARE_EXPIRED;
    }
    o->then.at = devcache_tier_at(t, i);
    if (o->then.run != answer->run ||
        !devcache_recent_allows(t->recent, &o->then, answer->clock - o->began,
                                devcache_monotonic(), &described, &out->others_purged,
                                p)) {
        return DEVCACHE_SHARE_PURGED;
    }
    out->record = o->record;
    out->spec = spec;
    out->age = o->age + (since > 0 ? since : 0);
    out->left = o->left - (since > 0 ? since : 0);
    return DEVCACHE_SHARE_FOUND;
}

static unsigned words_in(const char *spec)
{
    unsigned n = *spec != '\0';

    while ((spec = strchr(spec, ' ')) != NULL) {
        spec++;
        n++;
    }
    return n;
}

/* The best of what came, as the store would have chosen; and where else to look. */
static devcache_share_found_e take_best(devcache_tier_t *t, unsigned i,
                                        const devcache_share_wanted_t *wanted,
                                        const names_t *names, const answer_t *answer,
                                        devcache_share_object_t *out, const char **phint,
                                        apr_pool_t *p)
{
    devcache_share_found_e best = DEVCACHE_SHARE_NOTHING, this;
    unsigned n;

    for (n = 0; n < names->n; n++) {
        const redisReply *r = devcache_reply_member(answer->values, n,
                                                    REDIS_REPLY_STRING);
        devcache_share_object_t one;
        devcache_tier_object_t o;

        this = DEVCACHE_SHARE_NOTHING;
        switch (r ? devcache_tier_object_read(devcache_slice(r->str, r->len),
                                              names->names[n], wanted->configuration,
                                              &t->key, &o)
                  : DEVCACHE_TIER_READ_HINT) {
        case DEVCACHE_TIER_READ_OBJECT:
            this = judge(t, i, wanted, answer, &o, &one, p);
            if (this == DEVCACHE_SHARE_FOUND &&
                (best != this || words_in(one.spec) > words_in(out->spec))) {
                *out = one;
            }
            break;
        case DEVCACHE_TIER_READ_HINT:
            if (r) {
                *phint = apr_pstrmemdup(p, o.record.spec.data, o.record.spec.len);
            }
            break;
        case DEVCACHE_TIER_READ_NOTHING:
            this = DEVCACHE_SHARE_DAMAGED;
            break;
        }
        best = this > best ? this : best;
    }
    return best;
}

static devcache_share_found_e look(devcache_tier_t *t, unsigned i,
                                   const devcache_share_wanted_t *wanted,
                                   devcache_share_object_t *out, apr_pool_t *p)
{
    apr_time_t began = devcache_monotonic();
    names_t names = {{NULL}}, more = {{NULL}};
    devcache_share_found_e found, there;
    const char *hint = NULL;
    answer_t answer;
    unsigned k;

    list_names(t, wanted, &names, p);
    if (names.n == 0 || !ask(t, i, &names, began, &answer, p)) {
        return DEVCACHE_SHARE_UNASKED;
    }
    found = take_best(t, i, wanted, &names, &answer, out, &hint, p);
    for (k = 0; hint && k < names.n; k++) {
        hint = strcmp(names.specs[k], hint) ? hint : NULL; /* it is not there any more */
    }
    if (found == DEVCACHE_SHARE_FOUND || !hint) {
        return found;
    }
    add_name(t, wanted, hint, &more, p);
    if (more.n == 0) {
        return found;
    }
    if (!ask(t, i, &more, began, &answer, p)) {
        return DEVCACHE_SHARE_UNASKED;
    }
    there = take_best(t, i, wanted, &more, &answer, out, &hint, p);
    return there > found ? there : found;
}

devcache_share_found_e devcache_share_peek(devcache_tier_t *t,
                                           const devcache_share_wanted_t *wanted,
                                           devcache_share_object_t *out, apr_pool_t *p)
{
    unsigned i = devcache_share_choose(t, wanted->key);

    return i < t->conf.nurls ? look(t, i, wanted, out, p) : DEVCACHE_SHARE_UNASKED;
}

static void count(devcache_tier_t *t, devcache_share_found_e found)
{
    devcache_tier_books_t *b = &t->state->books;
    apr_uint64_t *of_no_use = found == DEVCACHE_SHARE_DAMAGED   ? &b->damaged
                              : found == DEVCACHE_SHARE_EXPIRED ? &b->expired
                              : found == DEVCACHE_SHARE_PURGED  ? &b->purged
                                                                : NULL;
    apr_uint64_t *all = found == DEVCACHE_SHARE_UNASKED ? &b->unasked
                        : found == DEVCACHE_SHARE_FOUND ? &b->hits
                                                        : &b->misses;

    __atomic_fetch_add(all, 1, __ATOMIC_RELAXED);
    if (of_no_use) {
        __atomic_fetch_add(of_no_use, 1, __ATOMIC_RELAXED);
    }
}

devcache_share_found_e devcache_share_find(devcache_tier_t *t,
                                           const devcache_share_wanted_t *wanted,
                                           devcache_share_object_t *out, apr_pool_t *p)
{
    apr_time_t began = devcache_monotonic();
    devcache_share_found_e found = devcache_share_peek(t, wanted, out, p);

    count(t, found);
    if (found != DEVCACHE_SHARE_UNASKED) {
        devcache_histogram_count(&t->state->books.answers, devcache_monotonic() - began);
    }
    if (found == DEVCACHE_SHARE_FOUND) {
        __atomic_fetch_add(&t->state->books.bytes_in, out->record.body_len,
                           __ATOMIC_RELAXED);
        devcache_share_remember(t->share, out->spec);
    }
    return found;
}
