/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/pool.h"

#include <time.h>
#include "base/clock.h"

#define IDLE apr_time_from_sec(60)

struct devcache_pool_t {
    pthread_mutex_t lock;
    pthread_cond_t change;
    devcache_link_t *open[DEVCACHE_POOL_LINKS];   /* the one used last at the end */
    devcache_link_t *closed[DEVCACHE_POOL_LINKS]; /* all the others but those lent */
    unsigned nopen, nclosed, lent, waiting;
    apr_time_t short_at; /* monotonic; when there was last none to spare */
    void (*needed)(void *baton);
    void *baton;
};

devcache_pool_t *devcache_pool_create(const devcache_link_conf_t *conf, int wake,
                                      void (*needed)(void *baton), void *baton,
                                      apr_pool_t *p)
{
    devcache_pool_t *pool = apr_pcalloc(p, sizeof(*pool));
    pthread_condattr_t attr;

    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->change, &attr);
    pthread_condattr_destroy(&attr);
    pool->needed = needed;
    pool->baton = baton;
    while (pool->nclosed < DEVCACHE_POOL_LINKS) {
        pool->closed[pool->nclosed++] = devcache_link_create(conf, wake, p);
    }
    return pool;
}

static int wait_locked(devcache_pool_t *pool, const struct timespec *until)
{
    int rc;

    pool->waiting++;
    rc = pthread_cond_timedwait(&pool->change, &pool->lock, until);
    pool->waiting--;
    return rc == 0;
}

/* The one used last whose server has not closed it; NULL: none. */
static devcache_link_t *pop_locked(devcache_pool_t *pool)
{
    while (pool->nopen > 0) {
        devcache_link_t *link = pool->open[--pool->nopen];

        if (devcache_link_is_alive(link)) {
            return link;
        }
        pool->closed[pool->nclosed++] = link;
    }
    return NULL;
}

devcache_link_t *devcache_pool_take(devcache_pool_t *pool, apr_interval_time_t patience)
{
    devcache_link_t *link = NULL;
    struct timespec until;
    int asked = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->nopen <= 1) {
        pool->short_at = devcache_monotonic();
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += patience * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (;;) {
        if ((link = pop_locked(pool)) != NULL) {
            pool->lent++;
            break;
        }
        if (!asked && pool->nclosed > 0) {
            asked = 1;
            pool->needed(pool->baton);
        }
        if (!wait_locked(pool, &until)) {
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return link;
}

static void put_locked(devcache_pool_t *pool, devcache_link_t *link)
{
    if (devcache_link_is_open(link)) {
        pool->open[pool->nopen++] = link;
        pthread_cond_signal(&pool->change);
    } else {
        pool->closed[pool->nclosed++] = link;
    }
}

void devcache_pool_give(devcache_pool_t *pool, devcache_link_t *link)
{
    int broken = !devcache_link_is_open(link);

    pthread_mutex_lock(&pool->lock);
    pool->lent--;
    put_locked(pool, link);
    while (broken && pool->nopen > 0) { /* the others have lost their server as well */
        link = pool->open[--pool->nopen];
        devcache_link_close(link);
        pool->closed[pool->nclosed++] = link;
    }
    pthread_mutex_unlock(&pool->lock);
    if (broken) {
        pool->needed(pool->baton);
    }
}

/* One to be opened; NULL: there are enough. */
static devcache_link_t *next_to_open(devcache_pool_t *pool)
{
    devcache_link_t *link = NULL;

    pthread_mutex_lock(&pool->lock);
    if (pool->nclosed > 0 &&
        (pool->waiting > pool->nopen || pool->nopen + pool->lent == 0)) {
        link = pool->closed[--pool->nclosed];
    }
    pthread_mutex_unlock(&pool->lock);
    return link;
}

static void close_idle(devcache_pool_t *pool)
{
    apr_time_t now = devcache_monotonic();

    pthread_mutex_lock(&pool->lock);
    if (pool->nopen > 1 && now - pool->short_at > IDLE) {
        devcache_link_t *link = pool->open[0];

        pool->open[0] = pool->open[--pool->nopen];
        devcache_link_close(link);
        pool->closed[pool->nclosed++] = link;
        pool->short_at = now;
    }
    pthread_mutex_unlock(&pool->lock);
}

int devcache_pool_tend(devcache_pool_t *pool)
{
    devcache_link_t *link;
    int fine = 1;

    close_idle(pool);
    while (fine && (link = next_to_open(pool)) != NULL) {
        fine = devcache_link_open(link);
        pthread_mutex_lock(&pool->lock);
        put_locked(pool, link);
        pthread_mutex_unlock(&pool->lock);
    }
    return fine;
}
