/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recent purges.
 *
 *     slots    one for each purge: whose, its place in each stream, what it is about
 *     bytes    what that is, one after the other, round and round
 *
 * An object says which entry of its server's stream its maker had applied last when it
 * began to fetch (then->position). It is from after a purge if that stands in the same
 * stream at or before that entry, or is its maker's own and has a number that was given by
 * then. Every other purge in the table that is about it makes it useless.
 *
 * The table is bounded, so the entry itself must be in it: then all that came after it are
 * too. If it is not (it was pushed out, or the stream was deleted and begun anew) nothing
 * can be told. That a purge comes late in one of two streams does no harm: as long as it
 * has no place in a stream, objects for that server are from before it. Where such a purge
 * is pushed out, its server is not used until it has come (owed).
 *
 * A server that was restarted has a new run. An object says of which run its position is,
 * so what was in an older run's stream is from before all fetches that are compared: each
 * maker has seen the new run before it began.
 *
 * What one machine removes for itself (a POST invalidated it, an answer has ended it) is
 * kept by hash and instant, in buckets: an object must have been fetched after the latest
 * instant in its key's bucket. These are durations, on one server's clock and on ours.
 *
 * By No-Vary-Search one object answers many URLs, and each of them may have been purged. So
 * of a purge of a URL it is known as well which path it is about.
 */
#include "tier/recent.h"

#include <apr_strings.h>
#include <xxhash.h>
#include "base/lock.h"
#include "base/shm.h"
#include "purge/ban.h"
#include "purge/order.h"
#include "devcache_vary.h"

#define SERVERS DEVCACHE_TIER_SERVERS
#define SLOTS DEVCACHE_RECENT_PURGES
#define BYTES DEVCACHE_RECENT_BYTES
#define BUCKETS 4096
#define OWED DEVCACHE_TIER_NODES /* machines whose purges are awaited, by stream */
#define BANS_MAX 64              /* patterns that one object is compared with */
#define UNSURE                                                                           \
    (APR_USEC_PER_SEC) /* by how much durations may differ, or clocks go back */

typedef enum about_e {
    ABOUT_NOTHING,
    ABOUT_KEYS, /* hashes of URLs, and of their path with any query, */
    ABOUT_TAGS, /* or of tags: 8 bytes each */
    ABOUT_BAN,  /* of devcache_ban_encode() */
    ABOUT_ALL
} about_e;

typedef struct slot_t {
    apr_uint64_t node, number;       /* node 0: no purge */
    devcache_tier_id_t ids[SERVERS]; /* 0-0: not read there yet */
    apr_uint64_t from;               /* of its bytes, counted since ever */
    apr_uint32_t len;
    apr_uint32_t about; /* about_e */
} slot_t;

typedef struct owed_t {
    apr_uint64_t node, number; /* node 0: not in use */
} owed_t;

struct devcache_recent_t {
    pthread_mutex_t lock; /* all but the buckets and runs, which are atomic */
    apr_uint64_t runs[SERVERS];
    apr_uint64_t first, next; /* slots, counted since ever */
    apr_uint64_t bytes_next;  /* bytes likewise */
    owed_t owed[SERVERS][OWED];
    apr_uint64_t gone[BUCKETS]; /* monotonic microseconds */
    /* By a server's clock; atomic, as the buckets are: the latest instant, and that of when
     * it was last set back. */
    apr_uint64_t clocks[SERVERS], set_back[SERVERS];
    slot_t slots[SLOTS];
    char bytes[BYTES];
};

static int compare(devcache_tier_id_t a, devcache_tier_id_t b)
{
    return a.ms != b.ms     ? (a.ms < b.ms ? -1 : 1)
           : a.seq != b.seq ? (a.seq < b.seq ? -1 : 1)
                            : 0;
}

static int is_set(devcache_tier_id_t id)
{
    return id.ms || id.seq;
}

/* In a stream that was another one: before whatever stands there now. */
static const devcache_tier_id_t long_ago = {0, 1};

static slot_t *slot_at(devcache_recent_t *r, apr_uint64_t n)
{
    return &r->slots[n % SLOTS];
}

devcache_recent_t *devcache_recent_open(const char *root, apr_pool_t *lasting)
{
    const char *name = apr_pstrcat(lasting, "devcache-recent ", root, NULL);
    void *known = NULL;
    apr_status_t rv;

    apr_pool_userdata_get(&known, name, lasting);
    if (!known &&
        (known = devcache_shm_create(sizeof(devcache_recent_t), &rv, lasting))) {
        devcache_lock_init(&((devcache_recent_t *)known)->lock);
        apr_pool_userdata_setn(known, name, NULL, lasting);
    }
    return known;
}

static void distrust(devcache_recent_t *r)
{
    unsigned at;

    for (at = 0; at < SERVERS; at++) {
        __atomic_store_n(&r->runs[at], 0, __ATOMIC_RELEASE);
    }
}

static int lock(devcache_recent_t *r)
{
    devcache_locked_e how = devcache_lock_take(&r->lock);

    if (how == DEVCACHE_LOCKED_REPAIR) { /* what is there may be half of something */
        distrust(r);
        r->first = r->next;
        devcache_lock_repaired(&r->lock);
    }
    return how != DEVCACHE_NOT_LOCKED;
}

static void unlock(devcache_recent_t *r)
{
    pthread_mutex_unlock(&r->lock);
}

/* ---- what a purge is about ---------------------------------------------------------- */

static apr_uint64_t hash_url(devcache_slice_t host, devcache_slice_t path,
                             devcache_slice_t query)
{
    apr_uint64_t hash = XXH3_64bits(host.data, host.len);

    hash = XXH3_64bits_withSeed(path.data, path.len, hash);
    return query.data ? XXH3_64bits_withSeed(query.data, query.len, hash + 1) : hash;
}

/* With any query. */
static apr_uint64_t hash_path(devcache_slice_t host, devcache_slice_t path)
{
    return XXH3_64bits_withSeed(path.data, path.len,
                                XXH3_64bits(host.data, host.len) + 2);
}

/* 0: it is no key. */
static apr_uint64_t hash_key(devcache_slice_t key, apr_uint64_t *ppath)
{
    devcache_vary_parts_t parts;

    if (!devcache_vary_key_parts(key, &parts) || !parts.host.data || !parts.path.data) {
        return 0;
    }
    *ppath = hash_path(parts.host, parts.path);
    return hash_url(parts.host, parts.path, parts.query);
}

static about_e describe(const devcache_tier_purge_t *purge, devcache_slice_t *bytes,
                        apr_pool_t *p)
{
    devcache_order_t order;
    devcache_writer_t w;
    int i;

    *bytes = devcache_slice(NULL, 0);
    if (!purge) {
        return ABOUT_NOTHING;
    }
    if (!devcache_order_decode(purge->order, &order, p) ||
        order.kind == DEVCACHE_ORDER_DOUBT) {
        return ABOUT_ALL;
    }
    if (order.kind == DEVCACHE_ORDER_MANY) {
        *bytes = devcache_ban_tags_of(order.ban);
        if (bytes->len > 0) {
            return ABOUT_TAGS; /* its other conditions only make it less */
        }
        *bytes = order.ban;
        return ABOUT_BAN;
    }
    w.buf = apr_palloc(p, 24);
    w.len = 0;
    for (i = 0; i < 2; i++) {
        devcache_put_uint(&w,
                          hash_url(devcache_slice_str(order.host),
                                   devcache_slice_str(order.path),
                                   devcache_slice_str(order.queries[i])),
                          8);
    }
    devcache_put_uint(
        &w, hash_path(devcache_slice_str(order.host), devcache_slice_str(order.path)), 8);
    *bytes = devcache_slice(w.buf, w.len);
    return ABOUT_KEYS;
}

/* ---- noting -------------------------------------------------------------------------- */

static void owe(devcache_recent_t *r, unsigned at, apr_uint64_t node, apr_uint64_t number)
{
    owed_t *o;

    for (o = r->owed[at]; o < r->owed[at] + OWED; o++) {
        if (!o->node || o->node == node || o == r->owed[at] + OWED - 1) {
            /* The last one stands for all that have no place: it is never paid. */
            o->number = o->node && o->node != node ? APR_UINT64_MAX : number;
            o->node = node;
            return;
        }
    }
}

static void pay(devcache_recent_t *r, unsigned at, apr_uint64_t node, apr_uint64_t number)
{
    owed_t *o;

    for (o = r->owed[at]; o < r->owed[at] + OWED; o++) {
        if (o->node == node && o->number <= number) {
            o->node = 0;
        }
    }
}

static void push_out(devcache_recent_t *r)
{
    const slot_t *s = slot_at(r, r->first++);
    unsigned at;

    for (at = 0; s->node && at < SERVERS; at++) {
        if (!is_set(s->ids[at])) {
            owe(r, at, s->node, s->number);
        }
    }
}

/* The slot of a purge that is there already, as it was read in another stream. */
static slot_t *find(devcache_recent_t *r, const devcache_tier_purge_t *purge)
{
    apr_uint64_t n;

    for (n = r->next; purge && n > r->first; n--) {
        slot_t *s = slot_at(r, n - 1);

        if (s->node == purge->node && s->number == purge->number) {
            return s;
        }
    }
    return NULL;
}

static slot_t *append(devcache_recent_t *r, const devcache_tier_purge_t *purge,
                      about_e about, devcache_slice_t bytes)
{
    apr_uint64_t from = r->bytes_next;
    slot_t *s;

    if (from % BYTES + bytes.len > BYTES) {
        from += BYTES - from % BYTES; /* in one piece */
    }
    while (
        r->next - r->first >= SLOTS ||
        (r->next > r->first && slot_at(r, r->first)->from + BYTES < from + bytes.len)) {
        push_out(r);
    }
    s = slot_at(r, r->next);
    memset(s, 0, sizeof(*s));
    s->node = purge ? purge->node : 0;
    s->number = purge ? purge->number : 0;
    s->about = about;
    s->from = from;
    s->len = (apr_uint32_t)bytes.len;
    if (bytes.data && bytes.len) {
        memcpy(r->bytes + from % BYTES, bytes.data, bytes.len);
    }
    r->bytes_next = from + bytes.len;
    r->next++;
    return s;
}

void devcache_recent_note(devcache_recent_t *r, unsigned at, devcache_tier_id_t id,
                          const devcache_tier_purge_t *purge, apr_pool_t *p)
{
    devcache_slice_t bytes;
    about_e about;
    slot_t *s;

    if (!r) {
        return;
    }
    about = describe(purge, &bytes, p);
    if (!lock(r)) { /* who holds it is stopped: nothing is used until all is read anew */
        distrust(r);
        return;
    }
    s = find(r, purge);
    s = s ? s : append(r, purge, about, bytes);
    if (at < SERVERS) {
        s->ids[at] = id;
        if (purge) {
            pay(r, at, purge->node, purge->number);
        }
    }
    unlock(r);
}

void devcache_recent_note_key(devcache_recent_t *r, devcache_slice_t key,
                              apr_time_t monotonic)
{
    apr_uint64_t path = 0, hash = hash_key(key, &path);

    if (r) {
        __atomic_store_n(&r->gone[hash % BUCKETS], (apr_uint64_t)monotonic,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&r->gone[path % BUCKETS], (apr_uint64_t)monotonic,
                         __ATOMIC_RELEASE);
    }
}

/* ---- streams --------------------------------------------------------------------------- */

void devcache_recent_forget(devcache_recent_t *r, unsigned at)
{
    apr_uint64_t n;

    if (!r) {
        return;
    }
    __atomic_store_n(&r->runs[at], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&r->clocks[at], 0, __ATOMIC_RELEASE); /* it may be another one's */
    __atomic_store_n(&r->set_back[at], 0, __ATOMIC_RELEASE);
    if (!lock(r)) {
        return;
    }
    for (n = r->first; n < r->next; n++) {
        if (is_set(slot_at(r, n)->ids[at])) {
            slot_at(r, n)->ids[at] = long_ago;
        }
    }
    unlock(r);
}

void devcache_recent_await(devcache_recent_t *r, unsigned at, apr_uint64_t node,
                           apr_uint64_t number)
{
    if (lock(r)) {
        owe(r, at, node, number);
        unlock(r);
    }
}

void devcache_recent_begin(devcache_recent_t *r, unsigned at, apr_uint64_t run)
{
    __atomic_store_n(&r->runs[at], run, __ATOMIC_RELEASE);
}

apr_uint64_t devcache_recent_run(const devcache_recent_t *r, unsigned at)
{
    return __atomic_load_n(&r->runs[at], __ATOMIC_ACQUIRE);
}

int devcache_recent_has(devcache_recent_t *r, unsigned at)
{
    int has = 0;
    apr_uint64_t n;

    if (!lock(r)) {
        return 0;
    }
    for (n = r->next; n > r->first && !has; n--) {
        has = compare(slot_at(r, n - 1)->ids[at], long_ago) > 0;
    }
    unlock(r);
    return has;
}

/* Whoever finds the clock before an instant that it has shown remembers that, for good. */
apr_time_t devcache_recent_set_back(devcache_recent_t *r, unsigned at, apr_time_t clock,
                                    apr_interval_time_t took, int *pnews)
{
    apr_uint64_t now = (apr_uint64_t)clock;
    apr_uint64_t latest = __atomic_load_n(&r->clocks[at], __ATOMIC_ACQUIRE);

    while (latest < now &&
           !__atomic_compare_exchange_n(&r->clocks[at], &latest, now, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
    }
    *pnews = latest > now + UNSURE + (apr_uint64_t)took &&
             __atomic_exchange_n(&r->set_back[at], latest, __ATOMIC_ACQ_REL) != latest;
    return (apr_time_t)__atomic_load_n(&r->set_back[at], __ATOMIC_ACQUIRE);
}

/* ---- judging ----------------------------------------------------------------------------- */

typedef struct judging_t {
    const devcache_recent_then_t *then;
    const devcache_described_t *object;
    apr_uint64_t key, path;
    int others;                      /* a purge is about its path */
    int anchored;                    /* the entry that its maker has named is there */
    int refused;                     /* a purge is about it, or that cannot be told */
    devcache_slice_t bans[BANS_MAX]; /* copies: patterns that it must be compared with */
    unsigned nbans;
    apr_pool_t *pool;
} judging_t;

static int is_from_before(const slot_t *s, const devcache_recent_then_t *then)
{
    return !(
        (is_set(s->ids[then->at]) && compare(s->ids[then->at], then->position) <= 0) ||
        (s->node == then->node && s->number <= then->number));
}

static int has_hash(devcache_slice_t hashes, apr_uint64_t hash)
{
    devcache_reader_t r = devcache_reader(hashes);

    while (r.pos < r.end && !r.bad) {
        if (devcache_get_uint(&r, 8) == hash) {
            return 1;
        }
    }
    return 0;
}

static int shares_tag(devcache_slice_t purged, devcache_slice_t tags)
{
    devcache_reader_t r = devcache_reader(purged);

    while (tags.len > 0 && r.pos < r.end && !r.bad) {
        if (has_hash(tags, devcache_get_uint(&r, 8))) {
            return 1;
        }
    }
    return 0;
}

static void judge_slot(devcache_recent_t *r, const slot_t *s, judging_t *j)
{
    devcache_slice_t bytes = devcache_slice(r->bytes + s->from % BYTES, s->len);

    j->anchored |= compare(s->ids[j->then->at], j->then->position) == 0;
    if (s->about == ABOUT_NOTHING || !is_from_before(s, j->then)) {
        return;
    }
    switch (s->about) {
    case ABOUT_KEYS:
        j->refused |= has_hash(bytes, j->key);
        j->others |= has_hash(bytes, j->path);
        break;
    case ABOUT_TAGS:
        j->refused |= shares_tag(bytes, j->object->tags);
        break;
    case ABOUT_BAN:
        if (j->nbans == BANS_MAX) {
            j->refused = 1;
        } else {
            j->bans[j->nbans++] = devcache_slice(
                apr_pmemdup(j->pool, bytes.data, bytes.len), bytes.len);
        }
        break;
    default:
        j->refused = 1;
    }
}

static int is_owed(const devcache_recent_t *r, unsigned at)
{
    unsigned i;

    for (i = 0; i < OWED; i++) {
        if (r->owed[at][i].node) {
            return 1;
        }
    }
    return 0;
}

static int matches_any(judging_t *j)
{
    unsigned i;

    for (i = 0; i < j->nbans; i++) {
        void *ban = devcache_ban_open(j->bans[i], j->pool);

        if (!ban || devcache_ban_matches(ban, j->object)) {
            return 1;
        }
    }
    return 0;
}

/* Has this machine removed such a thing since? */
static int was_removed(const devcache_recent_t *r, apr_uint64_t hash,
                       apr_interval_time_t age, apr_time_t now)
{
    apr_uint64_t gone = __atomic_load_n(&r->gone[hash % BUCKETS], __ATOMIC_ACQUIRE);

    return gone && age + UNSURE > now - (apr_time_t)gone;
}

int devcache_recent_allows(devcache_recent_t *r, const devcache_recent_then_t *then,
                           apr_interval_time_t age, apr_time_t now,
                           const devcache_described_t *object, int *pothers,
                           apr_pool_t *p)
{
    judging_t j = {then, object};
    apr_uint64_t n;

    j.key = hash_key(object->key, &j.path);
    if (!r || !j.key || then->at >= SERVERS || !then->run ||
        compare(then->position, long_ago) <= 0) {
        return 0;
    }
    if (was_removed(r, j.key, age, now)) {
        return 0;
    }
    j.others = was_removed(r, j.path, age, now);
    j.pool = p;
    if (!lock(r)) {
        return 0;
    }
    if (devcache_recent_run(r, then->at) != then->run || is_owed(r, then->at)) {
        j.refused = 1;
    }
    for (n = r->next; n > r->first && !j.refused; n--) {
        judge_slot(r, slot_at(r, n - 1), &j);
    }
    unlock(r);
    *pothers = j.others;
    return !j.refused && j.anchored && !matches_any(&j);
}
