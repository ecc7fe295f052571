/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* The process @a pid as it is now; 0 if there is none. */
static int look_at(apr_uint32_t pid, devcache_process_t *out)
{
    char text[1024];
    char *field;
    ssize_t n;
    int fd, i;

    out->pid = pid;
    out->start = 0;
    if (pid == 0 || (kill((pid_t)pid, 0) != 0 && errno == ESRCH)) {
        return 0;
    }
    snprintf(text, sizeof(text), "/proc/%u/stat", pid);
    fd = open(text, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    /* "pid (name) state ..."; the name may contain anything, the start is field 22. */
    field = strrchr(text, ')');
    if (field && (field[2] == 'Z' || field[2] == 'X')) {
        return 0; /* killed, and not yet looked after by its parent */
    }
    for (i = 2; field && i < 22; i++) {
        field = strchr(field + 1, ' ');
    }
    out->start = field ? strtoull(field + 1, NULL, 10) : 0;
    return 1;
}

/* ---- this one --------------------------------------------------------------- */

static devcache_process_t me; /* pid 0: not known yet */
static pthread_once_t knows_forks = PTHREAD_ONCE_INIT;

static void forget_me(void)
{
    __atomic_store_n(&me.pid, 0, __ATOMIC_RELEASE);
}

static void know_forks(void)
{
    pthread_atfork(NULL, NULL, forget_me);
}

const devcache_process_t *devcache_process_self(void)
{
    if (!__atomic_load_n(&me.pid, __ATOMIC_ACQUIRE)) {
        devcache_process_t now;

        pthread_once(&knows_forks, know_forks);
        look_at((apr_uint32_t)getpid(), &now);
        me.start = now.start; /* threads that come here at once all write the same */
        __atomic_store_n(&me.pid, now.pid, __ATOMIC_RELEASE);
    }
    return &me;
}

/* ---- others ----------------------------------------------------------------- */

int devcache_process_lives(const devcache_process_t *p)
{
    devcache_process_t now;

    return look_at(p->pid, &now) &&
           (p->start == 0 || now.start == 0 || now.start == p->start);
}

int devcache_process_has_memory(apr_uint32_t pid)
{
    char text[32];
    int fd, n;

    snprintf(text, sizeof(text), "/proc/%u/statm", pid);
    fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno != ENOENT && errno != ESRCH;
    }
    n = (int)read(fd, text, 2);
    close(fd);
    return n < 0 ? errno != ESRCH : n < 2 || memcmp(text, "0 ", 2) != 0;
}

/* ---- where numbers mean something ------------------------------------------- */

apr_uint64_t devcache_process_world(void)
{
    char boot[64] = "";
    struct stat ns;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, boot, sizeof(boot) - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0 || stat("/proc/self/ns/pid", &ns) != 0) {
        return 0;
    }
    return XXH3_64bits_withSeed(boot, (size_t)n, (XXH64_hash_t)ns.st_ino) | 1;
}

void devcache_process_mask_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, before);
}
