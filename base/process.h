/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/process.h
 * Processes, told apart from later ones with the same number: who may have left something
 * half done in shared memory.
 *
 * Locks      None. Any thread; what is asked of /proc takes some microseconds.
 */
#ifndef DEVCACHE_BASE_PROCESS_H
#define DEVCACHE_BASE_PROCESS_H

#include <apr.h>
#include <signal.h>

typedef struct devcache_process_t {
    apr_uint32_t pid;
    apr_uint64_t start; /* clock ticks since boot; 0: not known */
} devcache_process_t;

/** This process; the kernel is asked once. */
const devcache_process_t *devcache_process_self(void);

/** Is it still the one it was? Without knowing, yes. A killed one that nobody has waited
 * for is not. */
int devcache_process_lives(const devcache_process_t *p);

/**
 * Has a process still memory? That is soon known, also of one that was killed and is not
 * buried yet; when it began takes a sum over all its threads.
 */
int devcache_process_has_memory(apr_uint32_t pid);

/**
 * Where the numbers of processes mean what they mean here: this boot of this machine, this
 * PID namespace, as a hash; 0: not known.
 */
apr_uint64_t devcache_process_world(void);

/**
 * Before a thread is started: it gets none of the signals that are the business of the
 * server's own threads. SIGBUS is of whoever causes it (base/bus.h).
 * @param before  what the caller had, for pthread_sigmask(SIG_SETMASK) afterwards
 */
void devcache_process_mask_signals(sigset_t *before);

#endif
