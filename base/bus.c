/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways lead out of a SIGBUS: to jump out of the access that failed, or to make it
 * succeed. A jump would leave locks taken and lists half changed in a hundred places.
 * So memory is put under the access, zeros, by mmap(MAP_FIXED): one system call, which may
 * be made from a signal handler, and which is atomic for all threads of the process. What
 * they find from then on is nonsense, but nonsense that any reader of shared memory has to
 * bear anyway, and nobody else sees what they write there. The owner of the range looks at
 * its note before each new piece of work and lets the range go.
 *
 * The whole range goes, not the page: half an index that is shared and half that is
 * private would carry the nonsense to the other processes. A lock that a thread of this
 * process holds in the range stays taken for the others; they do without after two
 * seconds (base/lock.c), and have most likely met the same signal by then.
 *
 * The table is small and never locked: a place is taken by its length, set last, and
 * given back by clearing that first. The handler only reads it.
 */
#include "base/bus.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define RANGES 64

typedef struct range_t {
    uintptr_t from;
    size_t len; /* atomic; 0: free */
    int *hit;
} range_t;

static range_t ranges[RANGES];
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* never in the handler */
static struct sigaction before;

int devcache_bus_guard(void *from, size_t len, int *phit)
{
    int i, done = 0;

    pthread_mutex_lock(&changing);
    for (i = 0; i < RANGES && !done; i++) {
        if (__atomic_load_n(&ranges[i].len, __ATOMIC_ACQUIRE) == 0) {
            ranges[i].from = (uintptr_t)from;
            ranges[i].hit = phit;
            __atomic_store_n(&ranges[i].len, len, __ATOMIC_RELEASE);
            done = 1;
        }
    }
    pthread_mutex_unlock(&changing);
    return done;
}

void devcache_bus_release(void *from)
{
    int i;

    pthread_mutex_lock(&changing);
    for (i = 0; i < RANGES; i++) {
        if (ranges[i].from == (uintptr_t)from) {
            __atomic_store_n(&ranges[i].len, 0, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&changing);
}

void devcache_bus_blank(void *from, size_t len)
{
    void *blank = mmap(from, len, PROT_READ | PROT_WRITE,
                       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)blank; /* if even that fails, the next access ends the process */
}

/* @return 1 if the address was in a guarded range, which was given up */
static int give_up(uintptr_t at)
{
    int i;

    for (i = 0; i < RANGES; i++) {
        size_t len = __atomic_load_n(&ranges[i].len, __ATOMIC_ACQUIRE);

        if (len > 0 && at - ranges[i].from < len) {
            devcache_bus_blank((void *)ranges[i].from, len);
            __atomic_store_n(ranges[i].hit, 1, __ATOMIC_RELEASE);
            return 1;
        }
    }
    return 0;
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
    /* Sent by kill() it has no address. */
    if (info && info->si_code > 0 && give_up((uintptr_t)info->si_addr)) {
        return;
    }
    if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction) {
        before.sa_sigaction(sig, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(sig);
    } else {
        signal(sig, SIG_DFL); /* the access is tried again, and ends the process */
        if (!info || info->si_code <= 0) {
            raise(sig);
        }
    }
}

void devcache_bus_begin(void)
{
    struct sigaction now, mine;

    sigaction(SIGBUS, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus) {
        return;
    }
    before = now;
    sigemptyset(&mine.sa_mask);
    mine.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    mine.sa_sigaction = on_bus;
    sigaction(SIGBUS, &mine, NULL);
}
