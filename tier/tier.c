/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several machines.
 *
 *     a purge  ->  outbox  ->  applied here  ->  answered
 *                    |
 *                 writers   ->  a stream on each server  ->  readers of the others
 *                                                            ->  applied there
 *
 * Requests do no network I/O at all. They put a purge into the outbox, a file below the
 * store's root, and wait a moment to be told that a server has it. All connections belong
 * to one process of the machine, the leader: two threads for each server, a reader and a
 * writer. It is the process that holds the lock on the file tier-lock. The kernel takes the
 * lock from whoever dies, however it dies, and a thread in each child asks for it twice a
 * second; so another one leads within a second. The state (tier/state.h) is in a file that
 * all have mapped, and the next leader goes on where the last one was.
 *
 * A reload starts new children with a new configuration while old ones still serve. Each
 * configuration has a number; a leader that sees a higher one gives up the lock, and those
 * of an older one do not ask for it so soon. Two servers on one DevCacheRoot are one
 * machine: whichever leads does it for both.
 *
 * Failures. A server that cannot be reached, or that answers nonsense, costs its two
 * threads an attempt every half second (the first one comes at once: a machine that is busy
 * is late now and then), and nobody else anything: requests look at a word
 * that says whether a writer works, and do not wait if none does. That word is the breaker;
 * there is no longer pause between attempts, as nobody waits for them and as what was
 * missed must be applied within a second of a partition's end.
 *
 * Without DevCacheTier there is none of this: no file, no thread.
 */
#include "tier/tier.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/clock.h"
#include "base/process.h"
#include "base/shm.h"
#include "tier/internal.h"

#define TRY_AGAIN apr_time_from_msec(10)     /* to connect, the first time */
#define ASK_AGAIN (APR_USEC_PER_SEC / 2)     /* for the lock */
#define ASK_LATER (APR_USEC_PER_SEC * 3 / 2) /* the same, of an older configuration */

/* ---- opening -------------------------------------------------------------------------- */

static apr_uint64_t hash_of(const char *url, const char *name, apr_pool_t *p)
{
    const char *all = apr_pstrcat(p, url, " ", name, NULL);

    return XXH3_64bits(all, strlen(all)) | 1;
}

static apr_status_t open_share(devcache_tier_t *t, apr_pool_t *p)
{
    const devcache_tier_conf_t *conf = &t->conf;
    apr_status_t rv = APR_SUCCESS;

    if (!conf->lasting) {
        return APR_SUCCESS;
    }
    t->recent = devcache_recent_open(conf->root, conf->lasting);
    if (!t->recent) {
        return APR_ENOMEM;
    }
    if (conf->use >= DEVCACHE_TIER_OBJECTS) {
        t->share = apr_pcalloc(p, sizeof(*t->share));
        t->share->objects = apr_pstrcat(p, conf->name, ":o:", NULL);
        t->share->locks = apr_pstrcat(p, conf->name, ":l:", NULL);
        t->share->weather = devcache_shm_create(sizeof(*t->share->weather), &rv, p);
    }
    return rv;
}

apr_status_t devcache_tier_open(devcache_tier_t **ptier, const devcache_tier_conf_t *conf,
                                const char **perror, apr_pool_t *p)
{
    devcache_tier_t *t = apr_pcalloc(p, sizeof(*t));
    apr_uint64_t hashes[DEVCACHE_TIER_SERVERS];
    devcache_outbox_t *outbox;
    apr_pool_t *ptemp;
    apr_status_t rv;
    unsigned i;

    t->conf = *conf;
    t->key.secret = conf->key;
    t->key.name = conf->name;
    t->purges = apr_pstrcat(p, conf->name, ":purges", NULL);
    t->beats = apr_pstrcat(p, conf->name, ":nodes", NULL);
    t->lock_path = apr_pstrcat(p, conf->root, "/tier-lock", NULL);
    rv = devcache_tier_state_open(&t->state, conf->root, conf->uid, conf->gid, perror, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_create(&ptemp, p);
    rv = devcache_outbox_open(&outbox, t->state, conf->root, 1, conf->uid, conf->gid,
                              ptemp);
    apr_pool_destroy(ptemp);
    if (rv != APR_SUCCESS) {
        *perror = apr_psprintf(p, "DevCacheTier: the file %s/tier-outbox cannot be used",
                               conf->root);
        return rv;
    }
    for (i = 0; i < conf->nurls; i++) {
        hashes[i] = hash_of(conf->urls[i].text, conf->name, p);
    }
    for (i = 0; i < conf->nurls; i++) {
        t->servers[i] = devcache_tier_state_server(t->state, hashes[i], hashes,
                                                   conf->nurls);
    }
    rv = open_share(t, p);
    if (rv != APR_SUCCESS) {
        *perror = "DevCacheTier: no memory to share";
        return rv;
    }
    t->generation = __atomic_add_fetch(&t->state->generation, 1, __ATOMIC_SEQ_CST);
    *ptier = t;
    return APR_SUCCESS;
}

/* ---- the leader ------------------------------------------------------------------------- */

void devcache_tier_say(const devcache_tier_t *t, int level, int tag, const char *text)
{
    if (t->conf.log) {
        t->conf.log(level, tag, APR_SUCCESS, text);
    }
}

static int is_outdated(const devcache_tier_t *t)
{
    return __atomic_load_n(&t->state->generation, __ATOMIC_ACQUIRE) != t->generation;
}

int devcache_tier_goes_on(const devcache_tier_t *t)
{
    return !__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&t->resigned, __ATOMIC_ACQUIRE);
}

/* For so long, unless the child ends. */
static void rest(const devcache_tier_t *t, apr_interval_time_t time)
{
    struct pollfd end = {t->wake[0], POLLIN, 0};

    poll(&end, 1, (int)(time / 1000));
}

/* What a server's two threads say of it: the same sentence is said by one of them. Only the
 * leader has such threads, so a lock of the process will do. */
static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;

/* Is this the first to say so? */
static int note_trouble(devcache_tier_server_t *server, const char *why, int say)
{
    int is_new;

    pthread_mutex_lock(&saying);
    is_new = say && strncmp(server->said, why, sizeof(server->said) - 1) != 0;
    if (say) {
        apr_cpystrn(server->said, why, sizeof(server->said));
    }
    apr_cpystrn(server->trouble, why, sizeof(server->trouble));
    pthread_mutex_unlock(&saying);
    return is_new;
}

static void note_works(devcache_tier_server_t *server)
{
    pthread_mutex_lock(&saying);
    server->trouble[0] = server->said[0] = '\0';
    pthread_mutex_unlock(&saying);
}

void devcache_tier_failed(devcache_tier_worker_t *w, apr_uint32_t *flag, const char *what)
{
    devcache_tier_t *t = w->tier;
    devcache_tier_server_t *server = t->servers[w->at];
    const char *why = what ? what : devcache_link_trouble(w->link);
    int is_new;

    devcache_link_close(w->link);
    if (!devcache_tier_goes_on(t)) {
        return;
    }
    __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
    __atomic_fetch_add(&server->failures, 1, __ATOMIC_RELAXED);
    /* A connection that breaks and comes back at once is nobody's concern. */
    w->failed++;
    is_new = note_trouble(server, why, w->failed > 1);
    if (!w->said && is_new) {
        devcache_tier_say(
            t, DEVCACHE_TIER_WARNING, 234,
            apr_psprintf(w->pool,
                         "tier: %s: %s; purges wait here until it works, and "
                         "those of others come late",
                         t->conf.urls[w->at].text, why));
    }
    if (w->failed > 1) {
        w->said = 1;
    }
    devcache_tier_state_raise(&t->state->sent);
    rest(t, w->failed > 1 ? DEVCACHE_TIER_PROBE : TRY_AGAIN);
}

void devcache_tier_works(devcache_tier_worker_t *w, apr_uint32_t *flag)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];

    if (__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
        return;
    }
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
    if (w->said && server->reading && server->writing) {
        devcache_tier_say(w->tier, DEVCACHE_TIER_NOTICE, 235,
                          apr_psprintf(w->pool, "tier: %s works again",
                                       w->tier->conf.urls[w->at].text));
    }
    w->said = w->failed = 0;
    if (server->reading && server->writing) {
        note_works(server);
    }
}

int devcache_tier_start_thread(pthread_t *thread, void *(*run)(void *), void *baton)
{
    sigset_t before;
    int rc;

    devcache_process_mask_signals(&before);
    rc = pthread_create(thread, NULL, run, baton);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

static void start_worker(devcache_tier_worker_t *w, devcache_tier_t *t, unsigned at,
                         void *(*run)(void *))
{
    devcache_link_conf_t link = {t->conf.urls[at], t->conf.password, t->conf.tls,
                                 t->conf.connect_time, t->conf.answer_time};

    w->tier = t;
    w->at = at;
    /* A pool of its own for each thread: pools are not shared by threads. */
    apr_pool_create_unmanaged(&w->pool);
    w->link = devcache_link_create(&link, t->wake[0], w->pool);
    w->started = devcache_tier_start_thread(&w->thread, run, w);
}

/* Until the child ends, or a newer configuration wants to lead. */
static void lead(devcache_tier_t *t)
{
    devcache_tier_worker_t workers[2 * DEVCACHE_TIER_SERVERS];
    apr_time_t until = is_outdated(t) ? devcache_monotonic() + apr_time_from_sec(5) : 0;
    unsigned n = 2 * t->conf.nurls, i;
    apr_pool_t *p;

    memset(workers, 0, sizeof(workers));
    __atomic_store_n(&t->resigned, 0, __ATOMIC_RELEASE);
    for (i = 0; i < t->conf.nurls; i++) {
        t->servers[i]->reading = t->servers[i]->writing = 0;
        t->servers[i]->trouble[0] = t->servers[i]->said[0] = '\0';
    }
    apr_pool_create_unmanaged(&p);
    if (__atomic_load_n(&t->state->doubt_due, __ATOMIC_ACQUIRE)) {
        devcache_tier_doubt(t, p); /* whoever led before was killed within */
    }
    for (i = 0; i < n; i++) {
        start_worker(&workers[i], t, i / 2,
                     i % 2 ? devcache_tier_write : devcache_tier_read);
    }
    while (!__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE)) {
        apr_time_t now = devcache_monotonic();

        __atomic_store_n(&t->state->led_until, (apr_uint64_t)(now + DEVCACHE_TIER_LEAD),
                         __ATOMIC_RELEASE);
        if (is_outdated(t) && now > until) {
            break;
        }
        if (__atomic_load_n(&t->state->doubt_due, __ATOMIC_ACQUIRE)) {
            apr_pool_clear(p);
            devcache_tier_doubt(t, p);
        }
        rest(t, ASK_AGAIN);
    }
    __atomic_store_n(&t->resigned, 1, __ATOMIC_RELEASE);
    for (i = 0; i < n; i++) {
        if (workers[i].started) {
            pthread_join(workers[i].thread, NULL);
        }
        apr_pool_destroy(workers[i].pool);
    }
    __atomic_store_n(&t->state->led_until, 0, __ATOMIC_RELEASE);
    apr_pool_destroy(p);
}

static void *lead_or_wait(void *tier)
{
    devcache_tier_t *t = tier;
    int fd = -1;

    while (!__atomic_load_n(&t->ending, __ATOMIC_ACQUIRE)) {
        if (fd < 0) {
            fd = open(t->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        }
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            lead(t);
            flock(fd, LOCK_UN);
        }
        rest(t, is_outdated(t) ? ASK_LATER : ASK_AGAIN);
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

/* ---- a child ------------------------------------------------------------------------------ */

static apr_status_t end_thread(void *tier)
{
    devcache_tier_t *t = tier;

    __atomic_store_n(&t->ending, 1, __ATOMIC_SEQ_CST);
    close(t->wake[1]);
    devcache_tier_state_raise(&t->state->queued); /* writers wait on it */
    devcache_send_end(t);
    pthread_join(t->leading, NULL);
    close(t->wake[0]);
    t->outbox = NULL;
    return APR_SUCCESS;
}

apr_status_t devcache_tier_child_init(devcache_tier_t *t, apr_pool_t *pchild)
{
    apr_status_t rv = devcache_outbox_open(&t->outbox, t->state, t->conf.root, 0, 0, 0,
                                           pchild);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    pthread_mutex_init(&t->apply, NULL);
    if (pipe2(t->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        return errno;
    }
    t->ending = 0;
    if (!devcache_tier_start_thread(&t->leading, lead_or_wait, t)) {
        close(t->wake[0]);
        close(t->wake[1]);
        return APR_ENOMEM;
    }
    if (t->share && !devcache_send_start(t, pchild)) {
        end_thread(t);
        return APR_ENOMEM;
    }
    apr_pool_pre_cleanup_register(pchild, t, end_thread);
    return APR_SUCCESS;
}

/* ---- publishing ----------------------------------------------------------------------------- */

typedef struct publishing_t {
    devcache_tier_t *tier;
    devcache_slice_t order;
    int wanted;
    apr_pool_t *pool;
} publishing_t;

static devcache_slice_t make_purge(void *baton, apr_uint64_t number)
{
    publishing_t *b = baton;
    devcache_tier_purge_t purge = {b->tier->state->node, number, b->wanted, b->order};

    return devcache_tier_message_purge(&b->tier->key, &purge, b->pool);
}

/* What stands for all when too much waits. */
static devcache_slice_t make_doubt(void *baton, apr_uint64_t number)
{
    publishing_t *b = baton;
    devcache_order_t doubt = {DEVCACHE_ORDER_DOUBT};

    b->order = devcache_order_encode(&doubt, b->pool);
    return make_purge(b, number);
}

apr_status_t devcache_tier_publish(devcache_tier_t *t, const devcache_order_t *order,
                                   int wanted, devcache_tier_sent_t *sent, apr_pool_t *p)
{
    publishing_t baton = {t, devcache_order_encode(order, p), wanted, p};
    devcache_tier_id_t nowhere = {0, 0};
    apr_status_t rv;

    if (!baton.order.data) {
        return APR_EINVAL;
    }
    if (!t->outbox) {
        return APR_EGENERAL;
    }
    rv = devcache_outbox_add(t->outbox, devcache_now(), make_purge, make_doubt, &baton,
                             &sent->number, &sent->end);
    if (rv == APR_SUCCESS) {
        devcache_tier_purge_t purge = {t->state->node, sent->number, wanted, baton.order};

        devcache_recent_note(t->recent, DEVCACHE_RECENT_NOWHERE, nowhere, &purge, p);
    }
    return rv;
}

/* Servers that have it, and whether any may yet take it. */
static unsigned count_sent(const devcache_tier_t *t, const devcache_tier_sent_t *sent,
                           int *phope)
{
    apr_uint64_t now = (apr_uint64_t)devcache_monotonic();
    int led = __atomic_load_n(&t->state->led_until, __ATOMIC_ACQUIRE) > now;
    unsigned n = 0, i;

    *phope = 0;
    for (i = 0; i < t->conf.nurls; i++) {
        const devcache_tier_server_t *s = t->servers[i];

        n += __atomic_load_n(&s->sent, __ATOMIC_ACQUIRE) >= sent->end;
        *phope |= led && __atomic_load_n(&s->writing, __ATOMIC_ACQUIRE);
    }
    return n;
}

unsigned devcache_tier_wait_sent(devcache_tier_t *t, const devcache_tier_sent_t *sent)
{
    apr_time_t deadline = devcache_monotonic() + t->conf.connect_time +
                          t->conf.answer_time;
    unsigned n;
    int hope;

    for (;;) {
        apr_uint32_t seen = __atomic_load_n(&t->state->sent, __ATOMIC_ACQUIRE);
        apr_interval_time_t left = deadline - devcache_monotonic();

        n = count_sent(t, sent, &hope);
        if (n > 0 || !hope || left <= 0) {
            return n;
        }
        devcache_tier_state_wait(&t->state->sent, seen, left);
    }
}

static int is_alive(const devcache_tier_node_t *node, apr_time_t now)
{
    apr_time_t seen = (apr_time_t)__atomic_load_n(&node->seen, __ATOMIC_ACQUIRE);

    return node->id && seen > 0 && seen <= now && now - seen <= DEVCACHE_TIER_ALIVE;
}

unsigned devcache_tier_nodes(const devcache_tier_t *t)
{
    apr_time_t now = devcache_monotonic();
    unsigned n = 1, i;

    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        n += is_alive(&t->state->nodes[i], now);
    }
    return n;
}

static void look_around(devcache_tier_t *t, const devcache_tier_sent_t *sent,
                        devcache_tier_reach_t *reach, apr_pool_t *p)
{
    apr_time_t now = devcache_monotonic();
    unsigned i;

    reach->nodes = reach->applied = 1;
    reach->missing = apr_array_make(p, 4, sizeof(const char *));
    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        const devcache_tier_node_t *node = &t->state->nodes[i];

        if (!is_alive(node, now)) {
            continue;
        }
        reach->nodes++;
        if (__atomic_load_n(&node->applied, __ATOMIC_ACQUIRE) >= sent->number) {
            reach->applied++;
        } else {
            APR_ARRAY_PUSH(reach->missing, const char *) = apr_pstrndup(
                p, node->name, sizeof(node->name));
        }
    }
}

void devcache_tier_wait_applied(devcache_tier_t *t, const devcache_tier_sent_t *sent,
                                apr_interval_time_t timeout, devcache_tier_reach_t *reach,
                                apr_pool_t *p)
{
    apr_time_t deadline = devcache_monotonic() + timeout;
    apr_pool_t *once;

    apr_pool_create(&once, p);
    for (;;) {
        apr_uint32_t seen = __atomic_load_n(&t->state->heard, __ATOMIC_ACQUIRE);
        apr_interval_time_t left = deadline - devcache_monotonic();

        apr_pool_clear(once);
        look_around(t, sent, reach, once);
        if (reach->applied == reach->nodes || left <= 0) {
            break;
        }
        devcache_tier_state_wait(&t->state->heard, seen, left);
    }
    look_around(t, sent, reach, p);
    apr_pool_destroy(once);
}

/* ---- to be seen ------------------------------------------------------------------------------- */

static apr_interval_time_t since(apr_time_t now, apr_uint64_t then)
{
    return then == 0 || (apr_time_t)then > now ? -1 : now - (apr_time_t)then;
}

static void show_server(const devcache_tier_t *t, unsigned i, apr_time_t now, int led,
                        devcache_tier_shown_server_t *out, apr_pool_t *p)
{
    const devcache_tier_server_t *s = t->servers[i];
    apr_uint64_t end = __atomic_load_n(&t->state->end, __ATOMIC_ACQUIRE);
    const char *trouble;

    out->url = t->conf.urls[i].text;
    out->trouble = apr_pstrndup(p, s->trouble, sizeof(s->trouble));
    out->reading = led && s->reading;
    out->writing = led && s->writing;
    trouble = t->share ? devcache_share_trouble(t, i) : NULL;
    out->objects = led && t->share && devcache_share_usable(t, i);
    out->objects_trouble = trouble ? trouble : "";
    out->silent = since(now, s->last_read);
    out->waiting = end > s->sent ? end - s->sent : 0;
    out->failures = s->failures;
    out->gaps = s->gaps;
    out->entries = s->entries;
    out->refused = s->refused;
}

static void show_books(const devcache_tier_t *t, apr_time_t now,
                       devcache_tier_shown_t *out)
{
    unsigned i;

    out->use = t->share ? t->conf.use : DEVCACHE_TIER_PURGE;
    out->books = t->state->books;
    for (i = 0; i < DEVCACHE_TIER_QUEUES; i++) {
        const devcache_tier_queue_t *q = &out->books.queues[i];
        apr_interval_time_t silent = since(now, q->at);

        out->queued += silent >= 0 && silent < DEVCACHE_TIER_ALIVE ? q->bytes : 0;
    }
}

void devcache_tier_show(const devcache_tier_t *t, devcache_tier_shown_t *out,
                        apr_pool_t *p)
{
    const devcache_tier_state_t *state = t->state;
    apr_time_t now = devcache_monotonic();
    unsigned i;

    memset(out, 0, sizeof(*out));
    out->name = t->conf.name;
    show_books(t, now, out);
    out->led = state->led_until > (apr_uint64_t)now;
    out->outbox = state->waiting;
    out->number = state->number;
    out->published = state->published;
    out->applied = state->applied;
    out->batches = state->batches;
    out->foreign = state->foreign;
    out->overflows = state->overflows;
    out->nservers = t->conf.nurls;
    for (i = 0; i < t->conf.nurls; i++) {
        show_server(t, i, now, out->led, &out->servers[i], p);
    }
    out->nodes[out->nnodes].is_this = 1;
    out->nodes[out->nnodes].name = t->conf.host;
    out->nodes[out->nnodes].applied = state->number;
    out->nodes[out->nnodes].outbox = state->waiting;
    out->nodes[out->nnodes++].id = state->node;
    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        const devcache_tier_node_t *n = &state->nodes[i];
        apr_interval_time_t seen = since(now, n->seen);

        if (n->id && seen >= 0 && seen < apr_time_from_sec(86400)) {
            devcache_tier_shown_node_t *to = &out->nodes[out->nnodes++];

            to->name = apr_pstrndup(p, n->name, sizeof(n->name));
            to->id = n->id;
            to->seen = seen;
            to->outbox = n->outbox;
            to->applied = n->applied;
        }
    }
}
