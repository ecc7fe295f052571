/**
 * @file devcache_fault.h
 * Named fault points, in builds with DEVCACHE_TESTING only.
 *
 * The environment variable DEVCACHE_FAULT holds "name:n": the n-th passage of this
 * process through the point of that name fails: at DEVCACHE_FAULT the caller acts out
 * the failure, at DEVCACHE_KILL_HERE the process ends by SIGKILL.
 */
#ifndef DEVCACHE_FAULT_H
#define DEVCACHE_FAULT_H

#ifdef DEVCACHE_TESTING
#include <signal.h>

/** 1 if the failure is due now. Safe from any thread; the variable is read anew. */
int devcache_fault_due(const char *name);
#define DEVCACHE_FAULT(name) devcache_fault_due(name)
#define DEVCACHE_KILL_HERE(name) ((void)(devcache_fault_due(name) && raise(SIGKILL)))
#else
#define DEVCACHE_FAULT(name) 0
#define DEVCACHE_KILL_HERE(name) ((void)0)
#endif

#endif
