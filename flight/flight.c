/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flights: a table in shared memory, made by the parent, inherited by all children.
 *
 *     FREE --join--> FETCHING --announce--> STREAMING --end--> ENDED --join--> ...
 *                       ^  \________________ end _______________/^
 *                       |_________ take over, its owner dead ____|
 *
 * A slot's `word` holds its serial, generation, state and result, and is stored as one.
 * Whoever reads a slot without the lock reads the word, then what he wants, then the word
 * again: if serial and generation are the same, what he has is of that flight, as
 * everything but `written` is set before the word that tells of it and then stays, and
 * whoever takes a slot changes the word before anything else.
 *
 * The lock is held to find and take slots and to change owners, never while waiting. It
 * is robust; if its holder died, a slot may be half taken. Then all flights are
 * forgotten: their followers go to the origin, their owners find that they own nothing.
 *
 * Waiting is a futex on the slot's `event`, in slices of a quarter of a second, between
 * which a follower looks whether the owner's process is still the one it was. A condition
 * variable will not do: a process killed while it waits on one can stop the others.
 *
 * A slot that ended keeps its result until it is taken again; the oldest are taken first,
 * so a follower that is slow to wake finds it. If not, it sees another serial, and looks
 * into the store as if it had come anew.
 *
 * `followers` is only counted up and down, beside the serial of the flight they follow: a
 * killed process leaves its part behind until the slot is taken again. The owner then
 * spills a body that nobody reads.
 */
#include "flight/flight.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "base/clock.h"
#include "base/lock.h"
#include "base/process.h"
#include "base/shm.h"

#define FLIGHTS 512    /* under way at once in the whole server */
#define HEAD_MAX 16384 /* bytes of key, spec, variant and meta together */
#define EPOCHS 1024    /* a power of two */
#define CROWDS 4096    /* a power of two */
#define SLICE (APR_USEC_PER_SEC / 4)
#define ABANDONED apr_time_from_sec(5)     /* many slices */
#define WAKE_BYTES 65536                   /* progress that wakes followers, */
#define WAKE_AFTER (APR_USEC_PER_SEC / 50) /* or so long after the last time */

typedef struct slot_t {
    apr_uint64_t word;
    apr_uint64_t followers; /* high half: serial, low half: how many */
    apr_uint32_t event;     /* futex; raised when something has happened */
    apr_uint32_t owner_pid;
    apr_uint32_t status; /* of the result; bit 31: unreachable */
    apr_uint64_t owner_start;
    apr_uint64_t moved_at;  /* monotonic */
    apr_uint64_t joined_at; /* monotonic; the latest follower did */
    apr_uint64_t ticket;
    apr_uint64_t written;
    apr_int64_t expect;
    apr_uint64_t file[2];
    apr_uint32_t key_len, spec_len, variant_len, meta_len;
    char head[HEAD_MAX];
} slot_t;

typedef struct table_t {
    pthread_mutex_t lock;
    apr_uint64_t seed;
    apr_uint32_t next;             /* where to look for a slot first */
    apr_uint64_t ids[2 * FLIGHTS]; /* two for each slot; 0: none */
    apr_uint16_t crowd[CROWDS];    /* how many ids have these low bits */
    apr_uint32_t epochs[EPOCHS];
    slot_t slots[FLIGHTS];
} table_t;

struct devcache_flight_t {
    slot_t *slot;
    apr_uint64_t word; /* serial and generation that this handle is about */
    devcache_flight_role_e role;
    apr_uint64_t woken; /* bytes that followers were last woken for */
    apr_time_t woken_at;
};

static table_t *table; /* NULL: everybody is alone */

/* ---- words -------------------------------------------------------------- */

#define STATE(word) ((unsigned)((word) >> 8 & 0xff))
#define RESULT(word) ((unsigned)((word)&0xff))
#define GENERATION(word) ((unsigned)((word) >> 16 & 0xffff))
#define SAME_FLIGHT(a, b) (((a) ^ (b)) >> 32 == 0) /* the same serial */
#define SAME_OWNER(a, b) (((a) ^ (b)) >> 16 == 0)  /* the same generation as well */

static apr_uint64_t make_word(apr_uint64_t serial, unsigned generation, unsigned state,
                              unsigned result)
{
    return serial << 32 | (apr_uint64_t)(generation & 0xffff) << 16 | state << 8 | result;
}

static apr_uint64_t load_word(const slot_t *s)
{
    return __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);
}

static void store_word(slot_t *s, apr_uint64_t word)
{
    __atomic_store_n(&s->word, word, __ATOMIC_RELEASE);
}

/* A slot is another's from now on: seen by whoever sees what is written there next. */
static void store_first(slot_t *s, apr_uint64_t word)
{
    __atomic_store_n(&s->word, word, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* The same flight in another state. */
static apr_uint64_t with_state(apr_uint64_t word, unsigned state, unsigned result)
{
    return (word & ~(apr_uint64_t)0xffff) | state << 8 | result;
}

static void wake_all(slot_t *s)
{
    __atomic_fetch_add(&s->event, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &s->event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The same, without the system call where nobody follows. Who joins counts himself first
 * and looks at the state then, in this order for all to see, and here what has happened
 * is stored before the count is looked at: one of the two sees the other. */
static void wake(slot_t *s)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((apr_uint32_t)__atomic_load_n(&s->followers, __ATOMIC_SEQ_CST)) {
        wake_all(s);
    }
}

static unsigned count_followers(const slot_t *s)
{
    return (unsigned)__atomic_load_n(&s->followers, __ATOMIC_RELAXED);
}

/* @a by 1 or -1, if the slot is still the flight of @a word. */
static void change_followers(slot_t *s, apr_uint64_t word, int by)
{
    apr_uint64_t now = __atomic_load_n(&s->followers, __ATOMIC_RELAXED);

    while (SAME_FLIGHT(now, word) && (by > 0 || (apr_uint32_t)now > 0) &&
           !__atomic_compare_exchange_n(&s->followers, &now, now + (apr_uint64_t)by, 1,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
}

/* ---- the lock ------------------------------------------------------------- */

static void unlock(void)
{
    pthread_mutex_unlock(&table->lock);
}

/* Its holder died: nobody knows how far it was. */
static void forget_all(void)
{
    unsigned i;

    memset(table->ids, 0, sizeof(table->ids));
    memset(table->crowd, 0, sizeof(table->crowd));
    for (i = 0; i < FLIGHTS; i++) {
        slot_t *s = &table->slots[i];
        apr_uint64_t word = load_word(s);
        store_word(s, make_word((word >> 32) + 1, 0, DEVCACHE_FLIGHT_ENDED,
                                DEVCACHE_FLIGHT_PRIVATE));
        wake_all(s);
    }
    devcache_lock_repaired(&table->lock);
}

static int lock(void)
{
    switch (devcache_lock_take(&table->lock)) {
    case DEVCACHE_LOCKED:
        return 1;
    case DEVCACHE_LOCKED_REPAIR:
        forget_all();
        return 1;
    default:
        return 0;
    }
}

/* ---- joining ---------------------------------------------------------------- */

apr_status_t devcache_flight_create(apr_pool_t *p)
{
    apr_status_t rv;

    table = devcache_shm_create(sizeof(table_t), &rv, p);
    if (rv == APR_SUCCESS) {
        devcache_lock_init(&table->lock);
        rv = apr_generate_random_bytes((unsigned char *)&table->seed,
                                       sizeof(table->seed));
    }
    return rv;
}

apr_uint64_t devcache_flight_seed(void)
{
    return table ? table->seed : 0;
}

/* The only way to change an id, 0 for none. */
static void set_id(unsigned at, apr_uint64_t id)
{
    apr_uint64_t old = table->ids[at];

    table->crowd[old % CROWDS] -= old != 0;
    table->crowd[id % CROWDS] += id != 0;
    table->ids[at] = id;
}

static void clear_ids(unsigned i)
{
    set_id(2 * i, 0);
    set_id(2 * i + 1, 0);
}

static int find(apr_uint64_t id)
{
    unsigned i;

    if (!table->crowd[id % CROWDS]) {
        return -1; /* nearly always, so that a miss need not look at all ids */
    }
    for (i = 0; i < 2 * FLIGHTS; i++) {
        if (table->ids[i] == id) {
            return (int)(i / 2);
        }
    }
    return -1;
}

/* A slot that nobody has any use for; one that ended longest ago, as they are taken in
 * turn. Those that still have followers only if there is no other. -1: none. */
static int find_free(void)
{
    int second = -1;
    unsigned n;

    for (n = 0; n < FLIGHTS; n++) {
        unsigned i = (table->next + n) % FLIGHTS;
        const slot_t *s = &table->slots[i];
        unsigned state = STATE(load_word(s));
        if (state == DEVCACHE_FLIGHT_FETCHING || state == DEVCACHE_FLIGHT_STREAMING) {
            continue;
        }
        if (count_followers(s) == 0) {
            table->next = i + 1;
            return (int)i;
        }
        second = second < 0 ? (int)i : second;
    }
    return second;
}

static int has_owner(const slot_t *s)
{
    devcache_process_t owner = {s->owner_pid, s->owner_start};

    return devcache_process_lives(&owner);
}

/* End it for everybody if its owner was killed. The lock is held. */
static int end_dead(int i)
{
    slot_t *s = &table->slots[i];

    if (has_owner(s)) {
        return 0;
    }
    clear_ids((unsigned)i);
    store_word(s,
               with_state(load_word(s), DEVCACHE_FLIGHT_ENDED, DEVCACHE_FLIGHT_PRIVATE));
    wake(s);
    return 1;
}

/* All slots are taken: those of killed owners that had no followers are nobody's. */
static int reclaim(void)
{
    int i, found = -1;

    for (i = 0; i < FLIGHTS; i++) {
        found = end_dead(i) ? i : found;
    }
    return found;
}

static void own(slot_t *s, apr_uint64_t ticket)
{
    s->owner_pid = devcache_process_self()->pid;
    s->owner_start = devcache_process_self()->start;
    s->ticket = ticket;
    __atomic_store_n(&s->moved_at, (apr_uint64_t)devcache_monotonic(), __ATOMIC_RELAXED);
    __atomic_store_n(&s->written, 0, __ATOMIC_RELAXED);
}

static apr_status_t let_go(void *data)
{
    devcache_flight_t *f = data;

    devcache_flight_end(f, DEVCACHE_FLIGHT_PRIVATE, 0, 0);
    devcache_flight_leave(f);
    return APR_SUCCESS;
}

static devcache_flight_t *handle(slot_t *s, devcache_flight_role_e role, apr_pool_t *p)
{
    devcache_flight_t *f = apr_pcalloc(p, sizeof(*f));

    f->slot = s;
    f->word = load_word(s);
    f->role = role;
    apr_pool_cleanup_register(p, f, let_go, apr_pool_cleanup_null);
    return f;
}

static apr_time_t moved_at(const slot_t *s)
{
    return (apr_time_t)__atomic_load_n(&s->moved_at, __ATOMIC_RELAXED);
}

/* May it be joined or respected? Not if it has ended without the lock, nor if its key was
 * purged since: what is under way is old; the other way round it is as good. Nor if it
 * stands still: those who come now collapse among themselves. Nor, by
 * those who would not notice later, if its owner is dead; they ask often, so the process
 * number has to do here. */
static int is_worth_joining(const slot_t *s, apr_uint64_t ticket, int only_own,
                            apr_interval_time_t patience)
{
    return STATE(load_word(s)) != DEVCACHE_FLIGHT_ENDED &&
           (apr_int64_t)(ticket - s->ticket) <= 0 &&
           (patience == 0 || devcache_monotonic() - moved_at(s) < patience) &&
           !(only_own && kill((pid_t)s->owner_pid, 0) != 0 && errno == ESRCH);
}

static devcache_flight_t *begin(apr_uint64_t id, apr_uint64_t ticket, apr_pool_t *p)
{
    int i = find_free(), waited;
    apr_uint64_t word;
    slot_t *s;

    if (i < 0 && (i = reclaim()) < 0) {
        return NULL;
    }
    s = &table->slots[i];
    clear_ids((unsigned)i);
    word = make_word((load_word(s) >> 32) + 1, 0, DEVCACHE_FLIGHT_FETCHING, 0);
    store_first(s, word);
    waited = (apr_uint32_t)__atomic_exchange_n(
                 &s->followers, word & ~(apr_uint64_t)0xffffffffu, __ATOMIC_SEQ_CST) != 0;
    own(s, ticket);
    set_id(2 * (unsigned)i, id);
    if (waited) {
        wake_all(s); /* who still waits for the one before it */
    }
    return handle(s, DEVCACHE_FLIGHT_OWNER, p);
}

devcache_flight_role_e devcache_flight_join(apr_uint64_t id, apr_uint64_t ticket,
                                            int only_own, apr_interval_time_t patience,
                                            devcache_flight_t **pf, apr_pool_t *p)
{
    devcache_flight_t *f = NULL;
    int i;

    *pf = NULL;
    if (!table || !lock()) {
        return DEVCACHE_FLIGHT_ALONE;
    }
    id += id == 0;
    i = find(id);
    if (i >= 0 && !is_worth_joining(&table->slots[i], ticket, only_own, patience)) {
        clear_ids((unsigned)i);
        i = -1;
    }
    if (i < 0) {
        f = only_own < 0 ? NULL : begin(id, ticket, p);
    } else if (only_own <= 0) {
        change_followers(&table->slots[i], load_word(&table->slots[i]), 1);
        __atomic_store_n(&table->slots[i].joined_at, (apr_uint64_t)devcache_monotonic(),
                         __ATOMIC_RELAXED);
        f = handle(&table->slots[i], DEVCACHE_FLIGHT_FOLLOWER, p);
    }
    unlock();
    *pf = f;
    return f ? f->role : DEVCACHE_FLIGHT_ALONE;
}

/* ---- owning ----------------------------------------------------------------- */

int devcache_flight_owned(const devcache_flight_t *f)
{
    return f && f->role == DEVCACHE_FLIGHT_OWNER &&
           SAME_OWNER(load_word(f->slot), f->word);
}

void devcache_flight_alias(devcache_flight_t *f, apr_uint64_t id)
{
    unsigned i;

    id += id == 0;
    if (!devcache_flight_owned(f) || !lock()) {
        return;
    }
    i = (unsigned)(f->slot - table->slots);
    /* Without its first id it was replaced; under the other there may be one already. */
    if (devcache_flight_owned(f) && table->ids[2 * i] && table->ids[2 * i] != id &&
        find(id) < 0) {
        set_id(2 * i + 1, id);
    }
    unlock();
}

void devcache_flight_close(devcache_flight_t *f)
{
    if (devcache_flight_owned(f) && lock()) {
        if (devcache_flight_owned(f)) {
            clear_ids((unsigned)(f->slot - table->slots));
        }
        unlock();
    }
}

unsigned devcache_flight_followers(const devcache_flight_t *f)
{
    return devcache_flight_owned(f) ? count_followers(f->slot) : 0;
}

static apr_uint32_t append(char **at, devcache_slice_t part)
{
    if (part.len) {
        memcpy(*at, part.data, part.len);
        *at += part.len;
    }
    return (apr_uint32_t)part.len;
}

apr_status_t devcache_flight_announce(devcache_flight_t *f,
                                      const devcache_flight_head_t *head)
{
    slot_t *s;
    char *at;

    if (!devcache_flight_owned(f)) {
        return APR_EGENERAL;
    }
    if (head->key.len + head->spec.len + head->variant.len + head->meta.len > HEAD_MAX) {
        return APR_ENOSPC;
    }
    s = f->slot;
    at = s->head;
    s->key_len = append(&at, head->key);
    s->spec_len = append(&at, head->spec);
    s->variant_len = append(&at, head->variant);
    s->meta_len = append(&at, head->meta);
    s->expect = head->expect;
    memcpy(s->file, head->file, sizeof(s->file));
    __atomic_store_n(&s->written, head->written, __ATOMIC_RELAXED);
    f->woken = head->written;
    f->woken_at = devcache_monotonic();
    store_word(s, with_state(f->word, DEVCACHE_FLIGHT_STREAMING, 0));
    wake(s);
    return APR_SUCCESS;
}

void devcache_flight_progress(devcache_flight_t *f, apr_uint64_t written, int pause)
{
    apr_time_t now;

    if (!devcache_flight_owned(f)) {
        return;
    }
    __atomic_store_n(&f->slot->written, written, __ATOMIC_RELEASE);
    now = devcache_monotonic();
    if (written > f->woken &&
        (pause || written - f->woken >= WAKE_BYTES || now - f->woken_at >= WAKE_AFTER)) {
        f->woken = written;
        f->woken_at = now;
        wake(f->slot);
    }
}

void devcache_flight_moved(devcache_flight_t *f)
{
    if (devcache_flight_owned(f)) {
        __atomic_store_n(&f->slot->moved_at, (apr_uint64_t)devcache_monotonic(),
                         __ATOMIC_RELAXED);
    }
}

apr_time_t devcache_flight_joined_at(const devcache_flight_t *f)
{
    return (apr_time_t)__atomic_load_n(&f->slot->joined_at, __ATOMIC_RELAXED);
}

apr_time_t devcache_flight_moved_at(const devcache_flight_t *f)
{
    return moved_at(f->slot);
}

void devcache_flight_end(devcache_flight_t *f, devcache_flight_result_e result,
                         int status, int unreachable)
{
    apr_uint64_t word;
    int locked;

    if (!devcache_flight_owned(f)) {
        return;
    }
    locked = lock();
    word = load_word(f->slot);
    if (SAME_OWNER(word, f->word)) {
        if (locked) {
            clear_ids((unsigned)(f->slot - table->slots));
        } /* else who finds them sees that it has ended */
        f->slot->status = (apr_uint32_t)status | (unreachable ? 1u << 31 : 0);
        __atomic_compare_exchange_n(&f->slot->word, &word,
                                    with_state(word, DEVCACHE_FLIGHT_ENDED, result), 0,
                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
    if (locked) {
        unlock();
    }
    wake(f->slot); /* not before: some of them may want the lock at once */
    f->role = DEVCACHE_FLIGHT_ALONE;
}

/* ---- following ---------------------------------------------------------------- */

static void look(const devcache_flight_t *f, devcache_flight_view_t *view)
{
    apr_uint64_t word = load_word(f->slot);
    apr_uint32_t status = f->slot->status;

    memset(view, 0, sizeof(*view));
    view->written = __atomic_load_n(&f->slot->written, __ATOMIC_ACQUIRE);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!SAME_FLIGHT(word, f->word) || !SAME_OWNER(word, load_word(f->slot))) {
        view->state = DEVCACHE_FLIGHT_GONE;
        return;
    }
    view->state = STATE(word);
    view->result = RESULT(word);
    view->generation = GENERATION(word);
    view->status = (int)(status & ~(1u << 31));
    view->unreachable = (int)(status >> 31);
}

static int is_news(const devcache_flight_view_t *known, const devcache_flight_view_t *now)
{
    return known->state != now->state || known->generation != now->generation ||
           known->written != now->written;
}

/* Sleep until the event is no longer @a seen, a slice at most. 1: the time is over. */
static int sleep_on(slot_t *s, apr_uint32_t seen, apr_interval_time_t timeout)
{
    struct timespec t = {timeout / APR_USEC_PER_SEC, timeout % APR_USEC_PER_SEC * 1000};

    return syscall(SYS_futex, &s->event, FUTEX_WAIT, seen, &t, NULL, 0) != 0 &&
           errno == ETIMEDOUT;
}

apr_status_t devcache_flight_wait(devcache_flight_t *f, devcache_flight_view_t *view,
                                  apr_interval_time_t timeout)
{
    apr_time_t until = devcache_monotonic() + timeout;
    devcache_flight_view_t now;

    for (;;) {
        apr_uint32_t seen = __atomic_load_n(&f->slot->event, __ATOMIC_ACQUIRE);
        apr_interval_time_t left = until - devcache_monotonic();

        look(f, &now);
        if (is_news(view, &now)) {
            /* A follower that has sent nothing yet must not start a body whose owner is
             * already dead. */
            if (view->state == 0 && now.state == DEVCACHE_FLIGHT_STREAMING &&
                !devcache_process_has_memory(f->slot->owner_pid)) {
                now.state = DEVCACHE_FLIGHT_ORPHANED;
            }
            *view = now;
            return APR_SUCCESS;
        }
        if (left <= 0) {
            return APR_TIMEUP;
        }
        if (sleep_on(f->slot, seen, left < SLICE ? left : SLICE) && !has_owner(f->slot)) {
            look(f, &now);
            if (!is_news(view, &now)) {
                now.state = DEVCACHE_FLIGHT_ORPHANED;
            }
            *view = now;
            return APR_SUCCESS;
        }
    }
}

static devcache_slice_t cut(const char **at, apr_uint32_t len)
{
    devcache_slice_t part = devcache_slice(*at, len);

    *at += len;
    return part;
}

apr_status_t devcache_flight_head(devcache_flight_t *f,
                                  const devcache_flight_view_t *view,
                                  devcache_flight_head_t *head, apr_pool_t *p)
{
    const slot_t *s = f->slot;
    apr_uint64_t word = load_word(s);
    apr_uint32_t lens[4] = {s->key_len, s->spec_len, s->variant_len, s->meta_len};
    const char *copy = apr_pmemdup(p, s->head, HEAD_MAX);

    head->expect = s->expect;
    memcpy(head->file, s->file, sizeof(head->file));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!SAME_OWNER(word, load_word(s)) || !SAME_FLIGHT(word, f->word) ||
        GENERATION(word) != view->generation ||
        (apr_uint64_t)lens[0] + lens[1] + lens[2] + lens[3] > HEAD_MAX) {
        return APR_NOTFOUND;
    }
    head->key = cut(&copy, lens[0]);
    head->spec = cut(&copy, lens[1]);
    head->variant = cut(&copy, lens[2]);
    head->meta = cut(&copy, lens[3]);
    return APR_SUCCESS;
}

int devcache_flight_take_over(devcache_flight_t *f, const devcache_flight_view_t *view,
                              apr_uint64_t ticket)
{
    slot_t *s = f->slot;
    apr_uint64_t word;
    int taken = 0;

    if (!lock()) {
        return 0;
    }
    word = load_word(s);
    if (SAME_FLIGHT(word, f->word) && GENERATION(word) == view->generation &&
        STATE(word) != DEVCACHE_FLIGHT_ENDED && !has_owner(s)) {
        f->word = make_word(word >> 32, GENERATION(word) + 1, DEVCACHE_FLIGHT_FETCHING,
                            0);
        store_first(s, f->word);
        own(s, ticket);
        set_id(2 * (unsigned)(s - table->slots) + 1, 0);
        change_followers(s, word, -1);
        f->role = DEVCACHE_FLIGHT_OWNER;
        f->woken = 0;
        taken = 1;
    }
    unlock();
    if (taken) {
        wake(s);
    }
    return taken;
}

void devcache_flight_leave(devcache_flight_t *f)
{
    if (!f || f->role != DEVCACHE_FLIGHT_FOLLOWER) {
        return;
    }
    f->role = DEVCACHE_FLIGHT_ALONE;
    change_followers(f->slot, f->word, -1);
}

/* ---- epochs -------------------------------------------------------------------- */

apr_uint32_t devcache_flight_epoch(apr_uint64_t key_hash)
{
    return table ? __atomic_load_n(&table->epochs[key_hash & (EPOCHS - 1)],
                                   __ATOMIC_ACQUIRE)
                 : 0;
}

void devcache_flight_advance(apr_uint64_t key_hash)
{
    if (table) {
        __atomic_fetch_add(&table->epochs[key_hash & (EPOCHS - 1)], 1, __ATOMIC_RELEASE);
    }
}

void devcache_flight_stats(devcache_flight_stats_t *out)
{
    int i;

    *out = (devcache_flight_stats_t){.max_flights = FLIGHTS};
    for (i = 0; table && i < FLIGHTS; i++) {
        slot_t *s = &table->slots[i];
        unsigned state = STATE(load_word(s));
        if (state != DEVCACHE_FLIGHT_FETCHING && state != DEVCACHE_FLIGHT_STREAMING) {
            continue;
        }
        /* A follower that lives takes over at once: later, those were killed as well. */
        if ((count_followers(s) == 0 || devcache_monotonic() - moved_at(s) > ABANDONED) &&
            !has_owner(s) && lock()) {
            state = end_dead(i) ? DEVCACHE_FLIGHT_ENDED : state;
            unlock();
        }
        if (state != DEVCACHE_FLIGHT_ENDED) {
            out->flights++;
            out->streaming += state == DEVCACHE_FLIGHT_STREAMING;
            out->followers += count_followers(s);
        }
    }
}
