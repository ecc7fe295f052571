/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_flight: who owns, who follows, what followers are told, and that neither a
 * full table nor killed processes leave anybody waiting or a flight behind. */
#include "flight/flight.h"
#include "base/clock.h"
#include "flight/avoid.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"

#define FLIGHTS 512
#define HEAD_MAX 16384
#define SOON (APR_USEC_PER_SEC / 100)
#define PATIENCE (20 * APR_USEC_PER_SEC)
#define ALONE DEVCACHE_FLIGHT_ALONE
#define OWNER DEVCACHE_FLIGHT_OWNER
#define FOLLOWER DEVCACHE_FLIGHT_FOLLOWER

/* What processes tell each other. */
typedef struct board_t {
    unsigned ready, owners, followers_done, wrong;
} board_t;

static board_t *board;

static void add(unsigned *n, unsigned by)
{
    __atomic_add_fetch(n, by, __ATOMIC_SEQ_CST);
}

static unsigned read_n(const unsigned *n)
{
    return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

static int wait_for(const unsigned *n, unsigned at_least)
{
    apr_time_t until = apr_time_now() + PATIENCE;

    while (read_n(n) < at_least && apr_time_now() < until) {
        usleep(200);
    }
    return read_n(n) >= at_least;
}

static apr_pool_t *new_pool(void)
{
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    return p;
}

static devcache_flight_role_e join(apr_uint64_t id, apr_uint64_t ticket,
                                   devcache_flight_t **pf, apr_pool_t *p)
{
    return devcache_flight_join(id, ticket, 0, 0, pf, p);
}

static devcache_flight_stats_t stats(void)
{
    devcache_flight_stats_t now;

    devcache_flight_stats(&now);
    return now;
}

/* What a follower that knows nothing sees, without waiting. */
static devcache_flight_view_t look(devcache_flight_t *f)
{
    devcache_flight_view_t view = {0};

    devcache_flight_wait(f, &view, SOON);
    return view;
}

static devcache_flight_head_t head_of(const char *meta)
{
    devcache_flight_head_t head = {devcache_slice_str("key"),
                                   devcache_slice_str("@device"),
                                   devcache_slice_str("pc"),
                                   devcache_slice_str(meta),
                                   10,
                                   3,
                                   {7, 9}};
    return head;
}

/* ---- one process ---------------------------------------------------------- */

static void test_life(void)
{
    apr_pool_t *p = new_pool();
    devcache_flight_head_t head = head_of("meta"), got;
    devcache_flight_t *own, *one, *two, *other;
    devcache_flight_view_t view = {0};
    apr_time_t joined_at;

    is_int(join(1, 0, &own, p), OWNER, "the first one owns");
    is_int(join(1, 0, &one, p), FOLLOWER, "the second one follows");
    joined_at = devcache_flight_joined_at(own);
    while (devcache_monotonic() <= joined_at) {
        ;
    }
    is_int(join(1, 0, &two, p), FOLLOWER, "so does the third");
    ok(devcache_flight_joined_at(own) > joined_at, "which is the latest to join");
    is_int(join(2, 0, &other, p), OWNER, "another id is another flight");
    is_int(devcache_flight_join(1, 0, 1, 0, &other, p), ALONE,
           "who does not want to follow "
           "is alone");
    ok(!other, "without a handle");
    is_int(devcache_flight_followers(own), 2, "two follow");
    is_int(devcache_flight_followers(one), 0, "which only the owner is told");
    is_int(stats().flights, 2, "two flights");
    is_int(stats().followers, 2, "two followers in all");
    ok(devcache_flight_owned(own) && !devcache_flight_owned(one), "one owns it");

    is_int(devcache_flight_wait(one, &view, SOON), APR_SUCCESS, "the first look is news");
    is_int(view.state, DEVCACHE_FLIGHT_FETCHING, "it is being fetched");
    is_int(devcache_flight_wait(one, &view, SOON), APR_TIMEUP, "then nothing happens");
    is_int(view.state, DEVCACHE_FLIGHT_FETCHING, "which changes nothing");

    is_int(devcache_flight_announce(one, &head), APR_EGENERAL,
           "a follower announces nothing");
    is_int(devcache_flight_announce(own, &head), APR_SUCCESS, "the owner does");
    is_int(devcache_flight_wait(one, &view, PATIENCE), APR_SUCCESS, "that is news");
    is_int(view.state, DEVCACHE_FLIGHT_STREAMING, "now it streams");
    is_int((long long)view.written, 3, "and who is woken finds what there is at once");
    is_int(stats().streaming, 1, "and is counted as such");
    is_int(devcache_flight_head(one, &view, &got, p), APR_SUCCESS, "the head");
    ok(devcache_slice_eq(got.key, head.key) && devcache_slice_eq(got.spec, head.spec) &&
           devcache_slice_eq(got.variant, head.variant) &&
           devcache_slice_eq(got.meta, head.meta) && got.expect == 10 &&
           got.file[0] == 7 && got.file[1] == 9,
       "is what was announced");
    devcache_flight_progress(own, 4, 1);
    devcache_flight_wait(one, &view, PATIENCE);
    is_int((long long)view.written, 4, "progress");
    devcache_flight_progress(one, 99, 1);
    devcache_flight_end(one, DEVCACHE_FLIGHT_STORED, 0, 0);
    is_int((long long)look(two).written, 4, "a follower cannot report any");
    is_int(look(two).state, DEVCACHE_FLIGHT_STREAMING, "nor end it");

    devcache_flight_leave(two);
    devcache_flight_leave(two);
    is_int(devcache_flight_followers(own), 1, "one has left, once");
    devcache_flight_leave(own);
    ok(devcache_flight_owned(own), "an owner does not leave");
    devcache_flight_progress(own, 10, 0);
    devcache_flight_end(own, DEVCACHE_FLIGHT_FAILED, 503, 1);
    ok(!devcache_flight_owned(own), "ended: nobody owns it");
    devcache_flight_wait(one, &view, PATIENCE);
    is_int(view.state, DEVCACHE_FLIGHT_ENDED, "the follower sees the end");
    ok(view.result == DEVCACHE_FLIGHT_FAILED && view.status == 503 && view.unreachable,
       "and how it came");
    is_int((long long)view.written, 10, "and all bytes");
    devcache_flight_end(own, DEVCACHE_FLIGHT_STORED, 0, 0);
    is_int(look(one).result, DEVCACHE_FLIGHT_FAILED, "there is one end only");
    is_int(join(1, 0, &other, p), OWNER, "the next one begins anew");
    is_int(look(one).state, DEVCACHE_FLIGHT_ENDED, "and does not disturb the old one");
    apr_pool_destroy(p);
    is_int(stats().flights, 0, "pools end what callers have left");
    is_int(stats().followers, 0, "all of it");
    devcache_flight_leave(NULL);
    devcache_flight_end(NULL, DEVCACHE_FLIGHT_STORED, 0, 0);
    ok(!devcache_flight_owned(NULL) && devcache_flight_followers(NULL) == 0,
       "no flight: nothing happens");
}

static void test_ids(void)
{
    apr_pool_t *p = new_pool();
    devcache_flight_t *own, *f, *newer, *third;

    join(10, 0, &own, p);
    devcache_flight_alias(own, 11);
    is_int(join(11, 0, &f, p), FOLLOWER, "a second id");
    is_int(join(10, 0, &f, p), FOLLOWER, "beside the first");
    join(12, 0, &newer, p);
    devcache_flight_alias(own, 12);
    is_int(join(12, 0, &f, p), FOLLOWER, "one that is taken is not taken over");
    is_int(devcache_flight_followers(newer), 1, "but leads where it led");
    is_int(join(11, 0, &f, p), FOLLOWER, "and the alias is still there");
    devcache_flight_end(own, DEVCACHE_FLIGHT_STORED, 0, 0);
    is_int(join(11, 0, &own, p), OWNER, "it ends with the flight");
    is_int(join(0, 0, &f, p), OWNER, "0 is an id like any other");
    is_int(join(0, 0, &f, p), FOLLOWER, "for the second one too");

    /* Tickets: what was asked for before a removal is of no use after it. */
    join(20, 5, &own, p);
    is_int(join(20, 6, &newer, p), OWNER, "after a removal: a new flight");
    ok(devcache_flight_owned(own), "the old one goes on for its own");
    is_int(join(20, 6, &f, p), FOLLOWER, "newcomers follow the new one");
    is_int(devcache_flight_followers(newer), 1, "that one");
    is_int(join(20, 5, &third, p), FOLLOWER, "who came before the removal may too");
    is_int(join(20, 6, &f, p), FOLLOWER, "and does not replace it");
    is_int(devcache_flight_followers(newer), 3, "all follow one");
    devcache_flight_alias(own, 21);
    is_int(join(21, 5, &f, p), OWNER, "what was replaced gets no second id");
    devcache_flight_end(own, DEVCACHE_FLIGHT_STORED, 0, 0);
    is_int(join(20, 6, &f, p), FOLLOWER, "its end is not the end of the new one");
    apr_pool_destroy(p);
}

static void test_head_limit(void)
{
    apr_pool_t *p = new_pool();
    char *meta = apr_pcalloc(p, HEAD_MAX + 1);
    devcache_flight_head_t head, got;
    devcache_flight_view_t view;
    devcache_flight_t *own, *f;

    memset(meta, 'm', HEAD_MAX);
    head = head_of("");
    join(30, 0, &own, p);
    join(30, 0, &f, p);
    head.meta = devcache_slice(meta, HEAD_MAX - head.key.len - head.spec.len -
                                         head.variant.len + 1);
    is_int(devcache_flight_announce(own, &head), APR_ENOSPC, "a head that is too long");
    is_int(look(f).state, DEVCACHE_FLIGHT_FETCHING, "is not announced");
    head.meta.len--;
    is_int(devcache_flight_announce(own, &head), APR_SUCCESS, "the longest one is");
    view = look(f);
    is_int(devcache_flight_head(f, &view, &got, p), APR_SUCCESS, "and read");
    ok(devcache_slice_eq(got.meta, head.meta), "whole");
    head.key = head.spec = head.variant = head.meta = devcache_slice(NULL, 0);
    is_int(devcache_flight_announce(own, &head), APR_SUCCESS, "an empty one");
    is_int(devcache_flight_head(f, &view, &got, p), APR_SUCCESS, "is read as well");
    is_int((long long)(got.key.len + got.meta.len), 0, "as empty");
    apr_pool_destroy(p);
}

static void test_full(void)
{
    apr_pool_t *p = new_pool(), *q = new_pool();
    devcache_flight_t *own[FLIGHTS], *f, *last;
    devcache_flight_view_t view;
    devcache_flight_head_t head = head_of("meta");
    unsigned i, owners = 0;

    for (i = 0; i < FLIGHTS; i++) {
        owners += join(1000 + i, 0, &own[i], p) == OWNER;
    }
    is_int(owners, FLIGHTS, "as many flights as there is room for");
    is_int(join(1, 0, &f, p), ALONE, "one more is alone");
    is_int(join(1000, 0, &f, q), FOLLOWER, "following needs no room");
    is_int(stats().flights, FLIGHTS, "full");

    /* A follower that is slow to wake, and whose slot is taken again, sees another
     * flight, never the end of its own with the bytes of that one. */
    devcache_flight_announce(own[0], &head);
    devcache_flight_progress(own[0], 10, 1);
    view = look(f);
    devcache_flight_end(own[0], DEVCACHE_FLIGHT_STORED, 0, 0);
    is_int(look(f).state, DEVCACHE_FLIGHT_ENDED, "its result stays");
    is_int(join(1, 0, &last, p), OWNER, "until its slot is needed");
    is_int(look(f).state, DEVCACHE_FLIGHT_GONE, "then it is gone");
    is_int(devcache_flight_head(f, &view, &head, q), APR_NOTFOUND, "with its head");
    ok(!devcache_flight_take_over(f, &view, 0), "and cannot be taken over");
    devcache_flight_leave(f);
    is_int(devcache_flight_followers(last), 0, "leaving it is not leaving the new one");
    apr_pool_destroy(q);
    apr_pool_destroy(p);
    is_int(stats().flights, 0, "all ended");
}

static void test_avoiding(void)
{
    apr_time_t now = apr_time_from_sec(1000000);
    apr_uint64_t id = 0x1234567800000abcull;

    ok(!devcache_avoid_now(id, now), "not avoided");
    devcache_avoid_until(id, now + apr_time_from_sec(60));
    ok(devcache_avoid_now(id, now), "avoided");
    ok(devcache_avoid_now(id, now + apr_time_from_sec(59)), "until then");
    ok(!devcache_avoid_now(id, now + apr_time_from_sec(60)), "not longer");
    ok(!devcache_avoid_now(id ^ (1ull << 40), now), "another id is not");
    ok(!devcache_avoid_now(id, now - apr_time_from_sec(3600)),
       "not for an hour more if the clock is set back");
    ok(devcache_avoid_lately(id), "it was, lately");
    devcache_avoid_until(id, 0);
    ok(!devcache_avoid_now(id, now) && !devcache_avoid_lately(id), "no longer avoided");
}

/* ---- processes ------------------------------------------------------------ */

static pid_t in_child(void (*what)(void *), void *arg)
{
    pid_t pid = fork();

    if (pid == 0) {
        what(arg);
        _exit(0);
    }
    return pid;
}

static void own_and_hang(void *arg)
{
    apr_uint64_t id = *(apr_uint64_t *)arg;
    devcache_flight_t *f;

    if (join(id, 0, &f, new_pool()) == OWNER) {
        if (id & 1) {
            devcache_flight_head_t head = head_of("meta");
            devcache_flight_announce(f, &head);
            devcache_flight_progress(f, 5, 1);
        }
        add(&board->ready, 1);
    }
    pause();
}

/* Follow until somebody has it; take over if need be. */
static void follow_to_the_end(void *arg)
{
    devcache_flight_view_t view = {0};
    devcache_flight_t *f;

    if (join(*(apr_uint64_t *)arg, 0, &f, new_pool()) != FOLLOWER) {
        add(&board->wrong, 1);
    }
    add(&board->ready, 1);
    while (view.state != DEVCACHE_FLIGHT_ENDED) {
        if (devcache_flight_wait(f, &view, PATIENCE) != APR_SUCCESS ||
            view.state == DEVCACHE_FLIGHT_GONE) {
            add(&board->wrong, 1);
            return;
        }
        if (view.state == DEVCACHE_FLIGHT_ORPHANED &&
            devcache_flight_take_over(f, &view, 0)) {
            add(&board->owners, 1);
            usleep(20000); /* so that the others would have the time to do it again */
            devcache_flight_end(f, DEVCACHE_FLIGHT_STORED, 200, 0);
            return;
        }
    }
    add(&board->followers_done, view.result == DEVCACHE_FLIGHT_STORED);
}

static void test_takeover(apr_uint64_t id)
{
    enum { N = 6 };
    pid_t owner, pid[N];
    apr_pool_t *p = new_pool();
    devcache_flight_t *f;
    int i;

    memset(board, 0, sizeof(*board));
    owner = in_child(own_and_hang, &id);
    ok(wait_for(&board->ready, 1), "an owner in another process");
    for (i = 0; i < N; i++) {
        pid[i] = in_child(follow_to_the_end, &id);
    }
    ok(wait_for(&board->ready, N + 1), "whom others follow");
    is_int(stats().followers, N, "all of them");
    kill(owner, SIGKILL); /* and not buried: a zombie is dead enough */
    for (i = 0; i < N; i++) {
        waitpid(pid[i], NULL, 0);
    }
    is_int(board->owners, 1, "killed: one takes over, one only");
    is_int(board->followers_done, N - 1, "the others follow that one to the end");
    is_int(board->wrong, 0, "nobody was let down");
    waitpid(owner, NULL, 0);
    is_int(join(id, 0, &f, p), OWNER, "then a fresh one begins");
    is_int(devcache_flight_followers(f), 0, "that nobody follows");
    apr_pool_destroy(p);
    is_int(stats().flights, 0, "no flight is left");
}

/* Who comes after an owner was killed is told at once if it streamed. */
static void test_late(void)
{
    apr_uint64_t id = 41;
    apr_pool_t *p = new_pool();
    devcache_flight_view_t view = {0};
    devcache_flight_t *f;
    siginfo_t info;
    pid_t owner;

    memset(board, 0, sizeof(*board));
    owner = in_child(own_and_hang, &id);
    wait_for(&board->ready, 1);
    kill(owner, SIGKILL);
    waitid(P_PID, (id_t)owner, &info, WEXITED | WNOWAIT); /* a zombie */
    is_int(join(id, 0, &f, p), FOLLOWER, "late: the flight is there");
    devcache_flight_wait(f, &view, PATIENCE);
    is_int(view.state, DEVCACHE_FLIGHT_ORPHANED, "but nobody flies it");
    is_int(devcache_flight_take_over(f, &view, 0), 1, "so it is taken over");
    is_int(devcache_flight_take_over(f, &view, 0), 0, "once");
    ok(devcache_flight_owned(f), "and owned");
    waitpid(owner, NULL, 0);
    apr_pool_destroy(p);
}

/* A table full of dead owners. */
static void fill_and_die(void *arg)
{
    apr_pool_t *p = new_pool();
    devcache_flight_t *f;
    unsigned i;

    for (i = 0; i < FLIGHTS; i++) {
        join(5000 + i, 0, &f, p);
    }
    raise(SIGKILL);
}

static void test_reclaim(void)
{
    apr_pool_t *p = new_pool();
    devcache_flight_t *f;

    waitpid(in_child(fill_and_die, NULL), NULL, 0);
    is_int(join(1, 0, &f, p), OWNER, "killed with all flights: one is had when needed");
    is_int(stats().flights, 1, "and all of them are reclaimed");
    apr_pool_destroy(p);
    waitpid(in_child(fill_and_die, NULL), NULL, 0);
    is_int(stats().flights, 0, "nor does anybody see the others");
}

/* kill() of nothing is asked with the table locked, whether an owner is alive. */
static int stop_there;

int kill(pid_t pid, int sig)
{
    if (stop_there && sig == 0 && pid != getpid()) {
        stop_there = 0;
        raise(SIGSTOP);
    }
    return (int)syscall(SYS_kill, pid, sig);
}

static void stop_in_lock(void *arg)
{
    devcache_flight_t *f;

    stop_there = 1;
    devcache_flight_join(31, 0, 1, 0, &f, new_pool());
    _exit(0);
}

/* A process is stopped with the table locked when a flight ends. */
static void test_end_without_lock(void)
{
    apr_pool_t *p = new_pool();
    devcache_flight_t *f, *follower, *next;
    devcache_flight_view_t view;
    int status;
    pid_t pid;

    is_int(join(31, 0, &f, p), OWNER, "begun");
    is_int(join(31, 0, &follower, p), FOLLOWER, "followed");
    pid = in_child(stop_in_lock, NULL);
    waitpid(pid, &status, WUNTRACED);
    ok(WIFSTOPPED(status), "a process is stopped with the table locked");
    devcache_flight_end(f, DEVCACHE_FLIGHT_STORED, 200, 0);
    view = look(follower);
    ok(view.state == DEVCACHE_FLIGHT_ENDED && view.result == DEVCACHE_FLIGHT_STORED,
       "who follows is told of the end");
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    is_int(join(31, 0, &next, p), OWNER, "and it is followed no more");
    apr_pool_destroy(p);
    is_int(stats().flights, 0, "all ended");
}

/* ---- many at once, and some killed ---------------------------------------- */

#define WORKERS 4
#define THREADS 4
#define IDS 5
#define SLOTS 6 /* for them; the others are taken */
#define SECONDS 3

static void own_for_a_while(devcache_flight_t *f, unsigned seed)
{
    devcache_flight_head_t head = head_of("hammer");
    unsigned n;

    devcache_flight_alias(f, 9000 + seed % IDS);
    if (seed & 2) {
        devcache_flight_announce(f, &head);
        for (n = 1; n <= 10; n++) {
            devcache_flight_progress(f, n, (int)(seed >> n & 1));
        }
    }
    devcache_flight_end(f, (seed & 4) ? DEVCACHE_FLIGHT_STORED : DEVCACHE_FLIGHT_PRIVATE,
                        200, 0);
}

static void follow_for_a_while(devcache_flight_t *f, apr_pool_t *p)
{
    devcache_flight_view_t view = {0};
    devcache_flight_head_t head;
    apr_uint64_t seen = 0;
    unsigned generation = 0;

    while (devcache_flight_wait(f, &view, PATIENCE) == APR_SUCCESS) {
        if (view.state == DEVCACHE_FLIGHT_GONE) {
            break;
        }
        if (view.state == DEVCACHE_FLIGHT_ORPHANED) {
            if (devcache_flight_take_over(f, &view, 0)) {
                own_for_a_while(f, 6);
                break;
            }
            continue;
        }
        if (view.generation == generation && view.written < seen &&
            view.state == DEVCACHE_FLIGHT_ENDED) {
            add(&board->wrong, 1); /* an end with fewer bytes than were seen */
        }
        if (view.generation != generation) {
            generation = view.generation;
            seen = 0;
        }
        seen = view.written > seen ? view.written : seen;
        if (view.state == DEVCACHE_FLIGHT_STREAMING &&
            devcache_flight_head(f, &view, &head, p) == APR_SUCCESS &&
            !devcache_slice_eq(head.meta, devcache_slice_str("hammer"))) {
            add(&board->wrong, 1);
        }
        if (view.state == DEVCACHE_FLIGHT_ENDED) {
            return;
        }
    }
    if (view.state == DEVCACHE_FLIGHT_FETCHING ||
        view.state == DEVCACHE_FLIGHT_STREAMING) {
        add(&board->wrong, 1); /* waited in vain */
    }
}

static void *hammer_thread(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;

    for (;;) {
        apr_pool_t *p = new_pool();
        devcache_flight_t *f;
        seed = seed * 1664525u + 1013904223u;
        switch (join(8000 + (seed >> 8) % IDS, 0, &f, p)) {
        case OWNER:
            add(&board->owners, 1);
            own_for_a_while(f, seed >> 16);
            break;
        case FOLLOWER:
            follow_for_a_while(f, p);
            add(&board->followers_done, 1);
            break;
        default:
            break;
        }
        apr_pool_destroy(p);
    }
    return NULL;
}

static void hammer(void *arg)
{
    pthread_t t[THREADS];
    unsigned i;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, hammer_thread, (void *)(size_t)(getpid() * 7 + i));
    }
    pause();
}

static void test_hammer(void)
{
    apr_time_t until = apr_time_now() + apr_time_from_sec(SECONDS);
    apr_pool_t *p = new_pool();
    pid_t pid[WORKERS];
    unsigned kills = 0, i, owners = 0;
    devcache_flight_t *f;

    memset(board, 0, sizeof(*board));
    for (i = 0; i < FLIGHTS - SLOTS; i++) { /* so that those left are soon taken again */
        join(20000 + i, 0, &f, p);
    }
    for (i = 0; i < WORKERS; i++) {
        pid[i] = in_child(hammer, NULL);
    }
    srand(1);
    while (apr_time_now() < until) {
        i = (unsigned)rand() % WORKERS;
        usleep(1000 + (unsigned)rand() % 20000);
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
        kills++;
        pid[i] = in_child(hammer, NULL);
    }
    /* Those who are left are not let down by the dead. */
    for (i = 1; i < WORKERS; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }
    owners = read_n(&board->owners);
    ok(wait_for(&board->owners, owners + 1000), "after all others are dead it goes on");
    kill(pid[0], SIGKILL);
    waitpid(pid[0], NULL, 0);
    printf("# %u kills, %u owners, %u followers\n", kills, board->owners,
           board->followers_done);
    is_int(board->wrong, 0, "nobody was told anything wrong, or waited in vain");
    for (i = 0; i < IDS; i++) {
        devcache_flight_view_t view = {0};
        devcache_flight_role_e role = join(8000 + i, 0, &f, p);
        if (role == FOLLOWER) {
            devcache_flight_wait(f, &view, PATIENCE);
            while (view.state == DEVCACHE_FLIGHT_FETCHING) {
                devcache_flight_wait(f, &view, PATIENCE);
            }
            role = devcache_flight_take_over(f, &view, 0) ? OWNER : FOLLOWER;
        }
        is_int(role, OWNER, "a flight that a killed one has left can be had");
        devcache_flight_end(f, DEVCACHE_FLIGHT_STORED, 0, 0);
        is_int(join(8000 + i, 0, &f, p), OWNER, "and then begins anew");
    }
    apr_pool_destroy(p);
}

int main(void)
{
    apr_pool_t *p;
    devcache_flight_t *f;
    apr_uint64_t seed;

    apr_initialize();
    apr_pool_create(&p, NULL);
    is_int(join(1, 0, &f, p), ALONE, "without a table everybody is alone");
    is_int(devcache_flight_epoch(1), 0, "and no epoch is counted");
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    is_int(devcache_flight_create(p), APR_SUCCESS, "a table");
    seed = devcache_flight_seed();
    is_int(devcache_flight_create(p), APR_SUCCESS, "another");
    devcache_avoid_until(1, apr_time_from_sec(60));
    ok(!devcache_avoid_lately(1), "nothing is avoided without memory for it");
    is_int(devcache_avoid_create(p), APR_SUCCESS, "which is a table of its own");
    ok(seed != devcache_flight_seed(), "ids cannot be foretold");
    alarm(150);
    test_life();
    test_ids();
    test_head_limit();
    test_full();
    test_avoiding();
    test_takeover(40);
    test_takeover(43);
    test_late();
    test_reclaim();
    test_end_without_lock();
    test_hammer();
    devcache_flight_advance(5);
    is_int(devcache_flight_epoch(5), 1, "epochs count ends");
    apr_pool_destroy(p);
    return done_testing();
}
