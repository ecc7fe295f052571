/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/lock.h
 * Locks in memory that processes share, which outlive the process that held them.
 *
 * Ownership  The memory is the caller's; a lock in it is made once and never destroyed.
 * Locks      pthread mutexes, robust and process-shared: a holder that is killed leaves
 *            the lock to the next, which is told that it has to repair.
 * Processes  Any process that maps the memory, any thread; the thread that took a lock
 *            gives it back, by pthread_mutex_unlock().
 */
#ifndef DEVCACHE_BASE_LOCK_H
#define DEVCACHE_BASE_LOCK_H

#include <pthread.h>

typedef enum devcache_locked_e {
    DEVCACHE_LOCKED,
    DEVCACHE_LOCKED_REPAIR, /* held, and the holder before died: repair what the lock
                             * guards, then devcache_lock_repaired() */
    DEVCACHE_NOT_LOCKED     /* busy for longer than any sane holder takes */
} devcache_locked_e;

/** Make a lock. Nobody may use it yet, or nobody any more. */
void devcache_lock_init(pthread_mutex_t *lock);

/** Wait for a lock, two seconds at most: a stopped process must not stop the others. */
devcache_locked_e devcache_lock_take(pthread_mutex_t *lock);

/** The same without waiting. */
devcache_locked_e devcache_lock_try(pthread_mutex_t *lock);

/** What the lock guards is sound again. The caller still holds it. */
void devcache_lock_repaired(pthread_mutex_t *lock);

/**
 * devcache_lock_try(), which does not wait, and devcache_lock_take(), which waits two seconds
 * at most, for what a killed holder leaves sound: nothing has to be repaired.
 * @return whether the lock is held
 */
int devcache_lock_try_sound(pthread_mutex_t *lock);
int devcache_lock_take_sound(pthread_mutex_t *lock);

#endif
