/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/fault.h
 * Named fault points, in builds with DEVCACHE_TESTING only.
 *
 * The environment variable DEVCACHE_FAULT holds "name:n": the n-th passage of this
 * process through the point of that name fails; with "name:n+" each does from the n-th on.
 * At DEVCACHE_FAULT the caller acts out the failure, at DEVCACHE_KILL_HERE the process ends
 * by SIGKILL, or with "name:n:stop" stops by SIGSTOP.
 */
#ifndef DEVCACHE_BASE_FAULT_H
#define DEVCACHE_BASE_FAULT_H

#ifdef DEVCACHE_TESTING
#include <signal.h>

/** 1 if the failure is due now. Safe from any thread; the variable is read anew. */
int devcache_fault_due(const char *name);

/** The signal for a process at a point that is due. */
int devcache_fault_signal(void);
#define DEVCACHE_FAULT(name) devcache_fault_due(name)
#define DEVCACHE_KILL_HERE(name)                                                         \
    ((void)(devcache_fault_due(name) && raise(devcache_fault_signal())))
#else
#define DEVCACHE_FAULT(name) 0
#define DEVCACHE_KILL_HERE(name) ((void)0)
#endif

#endif
