/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A try makes the file `probe` below the root, writes some bytes, reads them back and
 * removes it: what storing a response needs. One that a killed process left behind is
 * removed by the next.
 *
 * What is known of a store is in shared memory: when the latest try began, and what the
 * latest one that came back has found. Whoever has the lock may try; the others go by
 * what is known. A process that is killed in a try leaves the lock to the next.
 */
#include "store/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <apr_errno.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "base/fault.h"
#include "base/lock.h"
#include "base/shm.h"
#include "store/say.h"

#define STORES                                                                           \
    64 /* known at once; a server with more tries the others at each question */
#define LASTS apr_time_from_sec(1)
#define PATIENCE apr_time_from_sec(5) /* a try that takes longer is a failure */

#define NAME "probe"

typedef enum step_e { STEP_NONE, STEP_INDEX, STEP_CREATE, STEP_WRITE, STEP_READ } step_e;

typedef struct known_t {
    apr_uint64_t root; /* hash of its path; 0: free */
    pthread_mutex_t lock;
    apr_int64_t begun;
    apr_uint64_t found; /* step that failed << 32 | errno; 0: none */
} known_t;

static known_t *shared; /* set once in the parent before it forks */

apr_status_t devcache_probe_create(apr_pool_t *p)
{
    apr_status_t rv;
    int i;

    shared = devcache_shm_create(STORES * sizeof(known_t), &rv, p);
    for (i = 0; rv == APR_SUCCESS && i < STORES; i++) {
        devcache_lock_init(&shared[i].lock);
    }
    return rv;
}

/* ---- trying --------------------------------------------------------------------- */

static apr_uint64_t failed(step_e step, int error)
{
    return (apr_uint64_t)step << 32 | (apr_uint32_t)error;
}

static apr_uint64_t write_and_read(int fd, apr_uint64_t stamp)
{
    apr_uint64_t back = 0;
    ssize_t n = write(fd, &stamp, sizeof stamp);

    if (n != (ssize_t)sizeof stamp) {
        return failed(STEP_WRITE, n < 0 ? errno : ENOSPC);
    }
    n = pread(fd, &back, sizeof back, 0);
    if (n != (ssize_t)sizeof back || back != stamp) {
        return failed(STEP_READ, n < 0 ? errno : EIO);
    }
    return 0;
}

static apr_uint64_t try_it(devcache_root_t *s, apr_time_t now)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    apr_uint64_t found;
    int fd;

    if (!devcache_shared_valid(&s->sh)) {
        return failed(STEP_INDEX, 0);
    }
    unlinkat(s->root_fd, NAME, 0);
    fd = openat(s->root_fd, NAME, flags, 0600);
    DEVCACHE_KILL_HERE("probe");
    if (fd < 0) {
        return failed(STEP_CREATE, errno);
    }
    found = write_and_read(fd, (apr_uint64_t)now);
    close(fd);
    unlinkat(s->root_fd, NAME, 0);
    return found;
}

static const char *sentence(const devcache_root_t *s, apr_uint64_t found, apr_pool_t *p)
{
    static const char *const steps[] = {
        [STEP_CREATE] = "no file can be made there",
        [STEP_WRITE] = "a file there cannot be written",
        [STEP_READ] = "what was written there cannot be read back",
    };
    char text[120];

    if (!found) {
        return NULL;
    }
    if (found >> 32 == STEP_INDEX) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": its index is damaged; stop the server, "
                            "remove the file index there, start it",
                            s->conf.root);
    }
    return apr_psprintf(
        p, "DevCacheRoot \"%s\": %s: %s", s->conf.root, steps[found >> 32],
        apr_strerror((apr_status_t)(found & 0xffffffffu), text, sizeof text));
}

/* ---- what is known -------------------------------------------------------------- */

static known_t *known_of(const devcache_root_t *s)
{
    apr_uint64_t root = XXH3_64bits(s->conf.root, strlen(s->conf.root)) | 1;
    unsigned i;

    for (i = 0; shared && i < STORES; i++) {
        apr_uint64_t old = 0;
        if (__atomic_load_n(&shared[i].root, __ATOMIC_ACQUIRE) == root ||
            __atomic_compare_exchange_n(&shared[i].root, &old, root, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) ||
            old == root) {
            return &shared[i];
        }
    }
    return NULL;
}

/* Under the lock. */
static const char *try_and_tell(devcache_root_t *s, known_t *k, apr_time_t now,
                                apr_pool_t *p)
{
    apr_uint64_t found, before;

    __atomic_store_n(&k->begun, now, __ATOMIC_RELEASE);
    found = try_it(s, now);
    before = __atomic_exchange_n(&k->found, found, __ATOMIC_ACQ_REL);
    if (found && !before) {
        devcache_store_say(&s->conf, DEVCACHE_LOG_ERR, 150, APR_SUCCESS,
                           "probe: not ready: %s", sentence(s, found, p));
    } else if (before && !found) {
        devcache_store_say(&s->conf, DEVCACHE_LOG_NOTICE, 151, APR_SUCCESS,
                           "probe: ready again: \"%s\"", s->conf.root);
    }
    return sentence(s, found, p);
}

/* Somebody else has the lock, and tries. */
static const char *tell_meanwhile(devcache_root_t *s, const known_t *k, apr_time_t now,
                                  apr_pool_t *p)
{
    apr_interval_time_t since = now - __atomic_load_n(&k->begun, __ATOMIC_ACQUIRE);

    if (since >= PATIENCE) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": a try to write there has not come back "
                            "for %d seconds",
                            s->conf.root, (int)apr_time_sec(since));
    }
    return sentence(s, __atomic_load_n(&k->found, __ATOMIC_ACQUIRE), p);
}

const char *devcache_probe_store(devcache_store_t *st, apr_time_t now, apr_pool_t *p)
{
    devcache_root_t *s = devcache_store_root(st);
    apr_interval_time_t since;
    const char *why;
    known_t *k;

    if (!s) {
        return devcache_store_trouble(st, p);
    }
    k = known_of(s);
    if (!k) {
        return sentence(s, try_it(s, now), p);
    }
    since = now - __atomic_load_n(&k->begun, __ATOMIC_ACQUIRE);
    switch (devcache_lock_try(&k->lock)) {
    case DEVCACHE_NOT_LOCKED:
        return tell_meanwhile(s, k, now, p);
    case DEVCACHE_LOCKED_REPAIR:
        devcache_lock_repaired(&k->lock);
        since = LASTS;
        break;
    case DEVCACHE_LOCKED:
        break;
    }
    why = since >= 0 && since < LASTS ? sentence(s, k->found, p)
                                      : try_and_tell(s, k, now, p);
    pthread_mutex_unlock(&k->lock);
    return why;
}
