/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handle that the public calls are given, and what keeps it leading to a root.
 *
 *              attach                    outdated: let go of
 *     AWAY -----------------> ATTACHED -----------------------> AWAY
 *      ^ `--- failed: later ---'                (some time after: retired)
 *
 * A cache's volume can be full, read-only, not mounted, replaced, in another server's
 * hands, or dying, when the server starts and at any time after. None of it is a reason
 * not to serve: without its root the store finds nothing and stores nothing.
 *
 * Each process looks for itself, every TICK: is what it has attached still what lies
 * below the path, and if it has nothing, can it attach? A child has a thread for that, so
 * that no request waits for a disk and an idle child lets go as well; the parent is asked
 * by devcache_store_tend() now and then. A root can be repaired only when everybody has
 * let go of it, so each process holds its `lock` by a descriptor of its own. Tries come
 * farther and farther apart, up to TRY_LAST, so that all is well again within half a
 * minute after the trouble has ended.
 *
 * What is let go of is not unmapped: a thread may be in the middle of a lookup, and a fill
 * may live for hours. New calls do not see it any more. A tick later, when nobody can be
 * changing anything there, zeros are put in place of the mapping and nothing in place of
 * the directory, so that the volume can be unmounted; the struct stays.
 *
 * What is the matter is said once for the whole server: `said`, in memory that all its
 * processes share, knows the sentences that the log had last. The processes meet the same
 * trouble, and its end, one after the other; for SAID_FOR that is nothing new.
 */
#include "devcache_store.h"

#include <apr_strings.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>
#include "base/bus.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/shm.h"
#include "store/attach.h"
#include "store/evict.h"
#include "store/say.h"

#define TICK apr_time_from_sec(2)
#define TRY_FIRST apr_time_from_sec(2)
#define TRY_LAST apr_time_from_sec(16)
#define SAID_FOR apr_time_from_sec(60)
#define PEER_TRIES 4       /* so often others may be about to let go as well */
#define STACK (256 * 1024) /* bytes; for a thread that seldom does anything */

/* ---- telling ------------------------------------------------------------------ */

/* The sentence takes the place of the one that was said longest ago. Whoever meets the same
 * trouble at the same time fails to, and finds it there. */
static int is_news(devcache_said_t *said, const char *sentence)
{
    apr_uint64_t what = XXH3_64bits(sentence, strlen(sentence)) | (apr_uint64_t)1 << 63;
    apr_uint64_t before;
    apr_time_t now = devcache_monotonic();
    unsigned i, oldest;

    do {
        for (i = oldest = 0; i < DEVCACHE_SAID; i++) {
            if (__atomic_load_n(&said->what[i], __ATOMIC_ACQUIRE) == what) {
                return now - __atomic_exchange_n(&said->at[i], now, __ATOMIC_RELAXED) >
                       SAID_FOR;
            }
            if (__atomic_load_n(&said->at[i], __ATOMIC_RELAXED) <
                __atomic_load_n(&said->at[oldest], __ATOMIC_RELAXED)) {
                oldest = i;
            }
        }
        before = __atomic_load_n(&said->what[oldest], __ATOMIC_RELAXED);
        __atomic_store_n(&said->at[oldest], now, __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(&said->what[oldest], &before, what, 0,
                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    return 1;
}

static void note_trouble(devcache_store_t *st, const char *sentence)
{
    pthread_mutex_lock(&st->telling);
    apr_cpystrn(st->trouble, sentence ? sentence : "", sizeof(st->trouble));
    pthread_mutex_unlock(&st->telling);
    if (sentence && is_news(st->said, sentence)) {
        __atomic_store_n(&st->said->stands, 1, __ATOMIC_RELAXED);
        devcache_store_say(&st->conf, DEVCACHE_LOG_ERR, 213, APR_SUCCESS,
                           "store: serving without the cache until this is mended: %s",
                           sentence);
    } else if (!sentence && __atomic_exchange_n(&st->said->stands, 0, __ATOMIC_RELAXED)) {
        devcache_store_say(&st->conf, DEVCACHE_LOG_NOTICE, 214, APR_SUCCESS,
                           "store: \"%s\" can be used again", st->conf.root);
    }
}

int devcache_store_usable(const devcache_store_t *st)
{
    return devcache_store_root(st) != NULL;
}

const char *devcache_store_trouble(devcache_store_t *st, apr_pool_t *p)
{
    const devcache_root_t *root = __atomic_load_n(&st->root, __ATOMIC_ACQUIRE);
    const char *text;

    if (root) {
        return devcache_store_root(st) ? NULL : devcache_attach_outdated(root, p);
    }
    pthread_mutex_lock(&st->telling);
    text = apr_pstrdup(p, st->trouble);
    pthread_mutex_unlock(&st->telling);
    return *text ? text : "the cache's directory cannot be used";
}

/* ---- tending, by one at a time --------------------------------------------------- */

static void try_attach(devcache_store_t *st, apr_pool_t *p)
{
    devcache_root_t *root;
    const char *error;
    apr_status_t rv = devcache_attach(&root, &st->conf, &error, p);

    if (rv != APR_SUCCESS) {
        st->patience = st->patience < TRY_FIRST      ? TRY_FIRST
                       : st->patience * 2 < TRY_LAST ? st->patience * 2
                                                     : TRY_LAST;
        if (rv != APR_EBUSY || !*st->trouble || ++st->failures >= PEER_TRIES) {
            note_trouble(st, error);
        }
        return;
    }
    devcache_attach_make_hot(root, st->memory);
    st->patience = 0;
    st->failures = 0;
    __atomic_store_n(&st->root, root, __ATOMIC_RELEASE);
    note_trouble(st, NULL);
}

static void retire(devcache_store_t *st)
{
    devcache_root_t **link = &st->past;

    while (*link) {
        devcache_root_t *root = *link;

        if (devcache_attach_retire(root)) {
            *link = root->next; /* the struct itself stays as long as the process */
        } else {
            link = &root->next;
        }
    }
}

static void let_go_of_root(devcache_store_t *st, devcache_root_t *root, const char *why)
{
    __atomic_store_n(&st->root, NULL, __ATOMIC_RELEASE);
    devcache_attach_let_go(root);
    root->next = st->past;
    st->past = root;
    note_trouble(st, why);
}

static void tend_locked(devcache_store_t *st)
{
    apr_time_t now = devcache_monotonic();
    devcache_root_t *root = st->root;
    const char *why;
    apr_pool_t *p;

    devcache_bus_begin();
    apr_pool_create_unmanaged(&p);
    retire(st);
    if (root && (why = devcache_attach_outdated(root, p)) != NULL) {
        let_go_of_root(st, root, why);
        st->patience = 0;
    }
    if (!st->root && (st->patience == 0 || now - st->tried_at >= st->patience)) {
        st->tried_at = now;
        try_attach(st, p);
    }
    apr_pool_destroy(p);
}

void devcache_store_tend(devcache_store_t *st)
{
    if (pthread_mutex_trylock(&st->tending) == 0) {
        tend_locked(st);
        pthread_mutex_unlock(&st->tending);
    }
}

/* ---- a child's thread --------------------------------------------------------------- */

static void *tender(void *data)
{
    devcache_store_t *st = data;
    struct timespec until;

    pthread_mutex_lock(&st->sleeping);
    while (!st->ending) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += apr_time_sec(TICK);
        if (pthread_cond_clockwait(&st->wake, &st->sleeping, CLOCK_MONOTONIC, &until) ==
            0) {
            continue;
        }
        pthread_mutex_unlock(&st->sleeping);
        devcache_store_tend(st);
        pthread_mutex_lock(&st->sleeping);
    }
    pthread_mutex_unlock(&st->sleeping);
    return NULL;
}

static apr_status_t start_tender(devcache_store_t *st)
{
    pthread_attr_t attr;
    sigset_t before;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    devcache_process_mask_signals(&before);
    rc = pthread_create(&st->tender, &attr, tender, st);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    st->has_tender = rc == 0;
    return rc;
}

/* A thread that hangs in a system call on a dead disk is left behind: the process ends. */
static void end_tender(devcache_store_t *st)
{
    struct timespec until;

    if (!st->has_tender) {
        return;
    }
    pthread_mutex_lock(&st->sleeping);
    st->ending = 1;
    pthread_cond_signal(&st->wake);
    pthread_mutex_unlock(&st->sleeping);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    st->has_tender = pthread_clockjoin_np(st->tender, NULL, CLOCK_MONOTONIC, &until) != 0;
}

static apr_status_t end_child(void *data)
{
    devcache_store_t *st = data;
    devcache_root_t *root = __atomic_load_n(&st->root, __ATOMIC_ACQUIRE);

    end_tender(st);
    if (root) {
        devcache_hot_clear(root->hot);
    }
    return APR_SUCCESS;
}

apr_status_t devcache_store_child_init(devcache_store_t *st, apr_size_t memory,
                                       apr_pool_t *pchild)
{
    devcache_root_t *root = st->root;

    pthread_mutex_init(&st->tending, NULL);
    pthread_mutex_init(&st->telling, NULL);
    pthread_mutex_init(&st->sleeping, NULL);
    pthread_cond_init(&st->wake, NULL);
    st->ending = st->has_tender = 0;
    st->memory = memory;
    devcache_bus_begin();
    if (root) {
        devcache_attach_inherit(root);
        devcache_attach_make_hot(root, memory);
        devcache_evict_reclaim(root);
    }
    apr_pool_cleanup_register(pchild, st, end_child, apr_pool_cleanup_null);
    return start_tender(st);
}

/* ---- the handle ----------------------------------------------------------------------- */

/* A thread that was left behind may still be in there: then all stays as it is. */
static apr_status_t close_store(void *data)
{
    devcache_store_t *st = data;

    if (!st->has_tender && st->root) {
        devcache_attach_end(st->root);
        st->root = NULL;
    }
    return APR_SUCCESS;
}

apr_status_t devcache_store_open(devcache_store_t **pstore,
                                 const devcache_store_conf_t *conf, const char **perror,
                                 apr_pool_t *p)
{
    devcache_store_t *st = apr_pcalloc(p, sizeof(*st));
    apr_status_t rv;

    *pstore = NULL;
    st->conf = *conf;
    st->conf.root = apr_pstrdup(p, conf->root);
    st->conf.volumes = conf->volumes ? apr_pstrdup(p, conf->volumes) : NULL;
    st->pool = p;
    if ((*perror = devcache_attach_refused(conf, p)) != NULL) {
        return APR_EINVAL;
    }
    st->said = devcache_shm_create(sizeof(*st->said), &rv, p);
    if (!st->said) {
        *perror = "no shared memory";
        return rv;
    }
    pthread_mutex_init(&st->tending, NULL);
    pthread_mutex_init(&st->telling, NULL);
    apr_pool_cleanup_register(p, st, close_store, apr_pool_cleanup_null);
    devcache_store_tend(st);
    *perror = devcache_store_trouble(st, p);
    *pstore = st;
    return APR_SUCCESS;
}
