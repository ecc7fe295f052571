/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process can be killed anywhere, so a lock in shared memory must not die with its
 * holder: the kernel marks a robust mutex when a thread that holds it ends, and the next
 * taker is told by EOWNERDEAD. A process that is only stopped (SIGSTOP, a debugger) keeps
 * what it holds; so every wait has an end, after which the caller does without.
 */
#include "base/lock.h"

#include <errno.h>
#include <time.h>

#define PATIENCE_SEC 2

void devcache_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

static devcache_locked_e outcome(int rc)
{
    return rc == 0            ? DEVCACHE_LOCKED
           : rc == EOWNERDEAD ? DEVCACHE_LOCKED_REPAIR
                              : DEVCACHE_NOT_LOCKED;
}

devcache_locked_e devcache_lock_try(pthread_mutex_t *lock)
{
    return outcome(pthread_mutex_trylock(lock));
}

devcache_locked_e devcache_lock_take(pthread_mutex_t *lock)
{
    struct timespec until;
    int rc = pthread_mutex_trylock(lock);

    if (rc == EBUSY) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += PATIENCE_SEC;
        rc = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
    }
    return outcome(rc);
}

void devcache_lock_repaired(pthread_mutex_t *lock)
{
    pthread_mutex_consistent(lock);
}

static int is_held(pthread_mutex_t *lock, devcache_locked_e how)
{
    if (how == DEVCACHE_LOCKED_REPAIR) {
        devcache_lock_repaired(lock);
    }
    return how != DEVCACHE_NOT_LOCKED;
}

int devcache_lock_try_sound(pthread_mutex_t *lock)
{
    return is_held(lock, devcache_lock_try(lock));
}

int devcache_lock_take_sound(pthread_mutex_t *lock)
{
    return is_held(lock, devcache_lock_take(lock));
}
