/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks: one fetch for all machines.
 *
 *     name:l:HASH    a token     somebody fetches; gone after three seconds, unless renewed
 *                    -INSTANT    what he fetched was not for all: until then, by the
 *                                server's clock, everybody fetches for himself
 *
 * A lock saves fetches and guards nothing: two who fetch at once do no harm. So it is never
 * compared when it is renewed or given back. That is done only as long as the lease cannot
 * have ended, reckoned from the moment the last renewal was sent; after that it is left to
 * whoever has it by now. Who dies leaves it for what is left of the lease.
 *
 * It is given back behind the object that it was about: who waits polls for the object and
 * for the lock, and must not find neither.
 */
#include "tier/share.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "tier/internal.h"
#include "tier/reply.h"

#define LEASE_MS "3000"
#define SURE apr_time_from_sec(2) /* of the lease: nobody else can have it yet */
#define RENEW APR_USEC_PER_SEC    /* after so long */
#define AVOID_MAX apr_time_from_sec(120)

#define COUNT(tier, what)                                                                \
    __atomic_fetch_add(&(tier)->state->books.what, 1, __ATOMIC_RELAXED)

struct devcache_share_lock_t {
    devcache_share_lock_t *next;
    unsigned i;                /* of conf.urls */
    apr_uint64_t behind;       /* items of the queue that must be sent first */
    apr_time_t renewed;        /* monotonic; it was sent then, or was asked for */
    apr_interval_time_t avoid; /* how long it is to be avoided; 0: not */
    char token[64];
    char name[1];
};

int devcache_share_locks(const devcache_tier_t *t)
{
    return devcache_share_is_on(t) && t->conf.use >= DEVCACHE_TIER_LOCKS;
}

void devcache_share_count_wait(devcache_tier_t *t)
{
    COUNT(t, waits);
}

/* ---- taking ------------------------------------------------------------------------------ */

static void make_token(devcache_tier_t *t, char *token, apr_size_t size)
{
    apr_uint64_t n = __atomic_add_fetch(&t->share->tokens, 1, __ATOMIC_RELAXED);

    apr_snprintf(token, (int)size, "%016" APR_UINT64_T_HEX_FMT "-%d-%" APR_UINT64_T_FMT,
                 t->state->node, (int)getpid(), n);
}

/* How long it is still to be avoided, by the value that is there; 0: it is a lock. */
static apr_interval_time_t avoided_for(const redisReply *value, apr_time_t clock)
{
    apr_int64_t until = value->str[0] == '-' ? apr_strtoi64(value->str + 1, NULL, 10) : 0;
    apr_interval_time_t left = until - clock;

    return until > 0 && left > 0 ? (left < AVOID_MAX ? left : AVOID_MAX) : 0;
}

/* A question and what was answered. */
typedef struct asked_t {
    const char *name, *token;
    const char *list[DEVCACHE_SHARE_SPECS + 2]; /* EXISTS, and the object's names */
    apr_interval_time_t avoided;
    int is_there; /* one of them exists */
} asked_t;

static devcache_share_locked_e judge(const redisReply *set, const redisReply *get,
                                     const redisReply *exists, const redisReply *time,
                                     asked_t *a)
{
    apr_time_t clock = devcache_reply_clock(time);

    if (!clock || (set->type != REDIS_REPLY_STATUS && set->type != REDIS_REPLY_NIL)) {
        return DEVCACHE_SHARE_UNLOCKED;
    }
    if (set->type == REDIS_REPLY_STATUS) {
        a->is_there = exists->type == REDIS_REPLY_INTEGER && exists->integer > 0;
        return DEVCACHE_SHARE_OURS;
    }
    a->avoided = get->type == REDIS_REPLY_STRING ? avoided_for(get, clock) : 0;
    return a->avoided ? DEVCACHE_SHARE_AVOIDED : DEVCACHE_SHARE_THEIRS;
}

static devcache_share_locked_e say_and_hear(devcache_link_t *link, apr_time_t began,
                                            asked_t *a)
{
    devcache_share_locked_e locked = DEVCACHE_SHARE_UNLOCKED;
    redisReply *r[4] = {NULL};
    int n = 0;

    if (devcache_link_say_words(link, "SET", a->name, a->token, "NX", "PX", LEASE_MS,
                                NULL) &&
        devcache_link_say_words(link, "GET", a->name, NULL) &&
        devcache_link_say_list(link, a->list) &&
        devcache_link_say_words(link, "TIME", NULL)) {
        while (n < 4 && (r[n] = devcache_link_hear(link, began - devcache_monotonic()))) {
            n++;
        }
    }
    if (n == 4) {
        locked = judge(r[0], r[1], r[2], r[3], a);
    }
    while (n > 0) {
        freeReplyObject(r[--n]);
    }
    return locked;
}

static devcache_share_locked_e ask(devcache_tier_t *t, unsigned i, asked_t *asked)
{
    devcache_breaker_t *breaker = &t->share->weather->breakers[devcache_tier_at(t, i)];
    apr_time_t began = devcache_monotonic();
    devcache_share_locked_e locked;
    devcache_link_t *link;
    int fine;

    if (!devcache_breaker_lets(breaker, began) ||
        !(link = devcache_pool_take(t->share->pools[i], t->conf.answer_time))) {
        return DEVCACHE_SHARE_UNLOCKED;
    }
    locked = say_and_hear(link, began, asked);
    fine = devcache_link_is_open(link);
    devcache_pool_give(t->share->pools[i], link);
    if (fine) {
        devcache_breaker_success(breaker);
    } else {
        devcache_breaker_failure(breaker, devcache_monotonic());
    }
    return locked;
}

/* NULL: no memory. */
static devcache_share_lock_t *make_lock(devcache_tier_t *t, unsigned i, const char *name)
{
    devcache_share_lock_t *lock = calloc(1, sizeof(*lock) + strlen(name));

    if (lock) {
        lock->i = i;
        lock->renewed = devcache_monotonic();
        apr_cpystrn(lock->name, name, strlen(name) + 1);
        make_token(t, lock->token, sizeof(lock->token));
    }
    return lock;
}

static void hold(devcache_tier_t *t, devcache_share_lock_t *lock)
{
    COUNT(t, locks);
    pthread_mutex_lock(&t->share->lock);
    lock->next = t->share->held;
    t->share->held = lock;
    pthread_mutex_unlock(&t->share->lock);
}

devcache_share_locked_e
devcache_share_lock(devcache_tier_t *t, const devcache_share_wanted_t *wanted,
                    const char *spec, devcache_share_lock_t **plock,
                    apr_interval_time_t *pfor, int *pthere, apr_pool_t *p)
{
    unsigned i = devcache_share_choose(t, wanted->key);
    devcache_slice_t values = wanted->variant(wanted->baton, spec, p);
    devcache_share_locked_e locked = DEVCACHE_SHARE_UNLOCKED;
    devcache_share_lock_t *lock = NULL;
    asked_t asked = {NULL};

    if (i < t->conf.nurls && values.data) {
        asked.name = devcache_tier_object_name(t->share->locks, wanted->configuration,
                                               wanted->key, devcache_slice_str(spec),
                                               values, p);
        lock = make_lock(t, i, asked.name);
    }
    if (!lock) {
        return DEVCACHE_SHARE_UNLOCKED;
    }
    asked.token = lock->token;
    asked.list[0] = "EXISTS";
    devcache_share_names(t, wanted, asked.list + 1, p);
    locked = ask(t, i, &asked);
    *pfor = asked.avoided;
    *pthere = asked.is_there;
    if (locked == DEVCACHE_SHARE_OURS) {
        hold(t, lock);
        *plock = lock;
    } else {
        free(lock);
    }
    return locked;
}

void devcache_share_unlock(devcache_tier_t *t, devcache_share_lock_t *lock,
                           apr_interval_time_t avoid)
{
    devcache_share_t *share = t->share;
    devcache_share_lock_t **at;

    pthread_mutex_lock(&share->lock);
    for (at = &share->held; *at && *at != lock; at = &(*at)->next) {
    }
    if (*at) {
        *at = lock->next;
        lock->avoid = avoid < AVOID_MAX ? avoid : AVOID_MAX;
        lock->behind = share->queued_items;
        lock->next = share->returned;
        share->returned = lock;
        share->due = 1;
        pthread_cond_signal(&share->wake);
    }
    pthread_mutex_unlock(&share->lock);
}

/* ---- the child's thread -------------------------------------------------------------------- */

/* One command whose answer does not matter. @return 0 if the server failed */
static int tell(devcache_tier_t *t, unsigned i, const char *const words[])
{
    devcache_link_t *link = t->share->writers[i];
    redisReply *r = NULL;

    if (devcache_link_ready(link) && devcache_link_say_list(link, words)) {
        r = devcache_link_hear(link, 0);
    }
    freeReplyObject(r);
    return r != NULL;
}

static apr_time_t ask_clock(devcache_tier_t *t, unsigned i)
{
    devcache_link_t *link = t->share->writers[i];

    return devcache_link_ready(link) ? devcache_link_clock(link, 0) : 0;
}

static void give_back(devcache_tier_t *t, const devcache_share_lock_t *lock,
                      apr_pool_t *p)
{
    apr_time_t clock;

    if (devcache_monotonic() - lock->renewed > SURE ||
        !devcache_share_usable(t, lock->i)) {
        return; /* it may be somebody else's */
    }
    if (lock->avoid > 0 && (clock = ask_clock(t, lock->i)) != 0) {
        const char *until = apr_psprintf(p, "-%" APR_INT64_T_FMT, clock + lock->avoid);
        const char *life = apr_psprintf(p, "%" APR_INT64_T_FMT, lock->avoid / 1000 + 1);

        COUNT(t, marks);
        tell(t, lock->i,
             (const char *const[]){"SET", lock->name, until, "PX", life, NULL});
    } else {
        tell(t, lock->i, (const char *const[]){"DEL", lock->name, NULL});
    }
}

/* One that is due, taken out of the list; NULL: none. */
static devcache_share_lock_t *next_returned(devcache_share_t *share)
{
    apr_uint64_t sent = __atomic_load_n(&share->sent_items, __ATOMIC_ACQUIRE);
    devcache_share_lock_t **at, *lock;

    pthread_mutex_lock(&share->lock);
    for (at = &share->returned; *at && (*at)->behind > sent; at = &(*at)->next) {
    }
    lock = *at;
    if (lock) {
        *at = lock->next;
    }
    pthread_mutex_unlock(&share->lock);
    return lock;
}

/* One that should be renewed: a copy, as it may be given back and freed meanwhile. */
static int next_to_renew(devcache_share_t *share, apr_time_t now, unsigned *i,
                         const char **pname, const char **ptoken, apr_pool_t *p)
{
    devcache_share_lock_t *lists[2], *lock = NULL;
    int k;

    pthread_mutex_lock(&share->lock);
    lists[0] = share->held;
    lists[1] = share->returned;
    for (k = 0; k < 2 && !lock; k++) {
        for (lock = lists[k];
             lock && (now - lock->renewed < RENEW || now - lock->renewed > SURE);
             lock = lock->next) {
        }
    }
    if (lock) {
        lock->renewed = now;
        *i = lock->i;
        *pname = apr_pstrdup(p, lock->name);
        *ptoken = apr_pstrdup(p, lock->token);
    }
    pthread_mutex_unlock(&share->lock);
    return lock != NULL;
}

void devcache_locks_tend(devcache_tier_t *t, apr_pool_t *p)
{
    apr_time_t now = devcache_monotonic();
    devcache_share_lock_t *lock;
    const char *name, *token;
    unsigned i;

    if (t->conf.use < DEVCACHE_TIER_LOCKS) {
        return;
    }
    apr_pool_clear(p);
    while ((lock = next_returned(t->share)) != NULL) {
        give_back(t, lock, p);
        free(lock);
    }
    while (next_to_renew(t->share, now, &i, &name, &token, p)) {
        if (devcache_share_usable(t, i)) {
            tell(t, i,
                 (const char *const[]){"SET", name, token, "XX", "PX", LEASE_MS, NULL});
        }
    }
}
