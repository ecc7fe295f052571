/*
 * A try makes the file `probe` below the root, writes some bytes, reads them back and
 * removes it: what storing a response needs. One that a killed process left behind is
 * removed by the next.
 *
 * What is known of a store is three words in shared memory. `begun` is when the latest
 * try began: who replaces it by compare-and-swap does the try. `ended` is the begin of
 * the latest one that came back, so the two are equal unless one is under way. `found` is
 * what that one found.
 */
#include "devcache_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <apr_errno.h>
#include <apr_strings.h>
#include <xxhash.h>
#include "devcache_fault.h"
#include "devcache_shm.h"
#include "devcache_store_int.h"

#define STORES                                                                           \
    64 /* known at once; a server with more tries the others at each question */
#define LASTS apr_time_from_sec(1)
#define PATIENCE apr_time_from_sec(5)  /* a try that takes longer is a failure */
#define GIVEN_UP apr_time_from_sec(60) /* and now its process is taken for dead */

#define NAME "probe"

typedef enum step_e { STEP_NONE, STEP_INDEX, STEP_CREATE, STEP_WRITE, STEP_READ } step_e;

typedef struct known_t {
    apr_uint64_t root; /* hash of its path; 0: free */
    apr_int64_t begun, ended;
    apr_uint64_t found; /* step that failed << 32 | errno; 0: none */
} known_t;

static known_t *shared; /* set once in the parent before it forks */

apr_status_t devcache_probe_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(STORES * sizeof(known_t), &rv, p);
    return rv;
}

/* ---- trying -------------------------------------------------------------------------
 */

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

static apr_uint64_t try_it(devcache_store_t *s, apr_time_t now)
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

static const char *sentence(const devcache_store_t *s, apr_uint64_t found, apr_pool_t *p)
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

/* ---- what is known ------------------------------------------------------------------
 */

static known_t *known_of(const devcache_store_t *s)
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

/* The try is ours. */
static const char *try_and_tell(devcache_store_t *s, known_t *k, apr_time_t now,
                                apr_pool_t *p)
{
    apr_uint64_t found = try_it(s, now), before;

    before = __atomic_exchange_n(&k->found, found, __ATOMIC_ACQ_REL);
    __atomic_store_n(&k->ended, now, __ATOMIC_RELEASE);
    if (found && !before) {
        devcache_store_say(s, DEVCACHE_LOG_ERR, 150, APR_SUCCESS, "probe: not ready: %s",
                           sentence(s, found, p));
    } else if (before && !found) {
        devcache_store_say(s, DEVCACHE_LOG_NOTICE, 151, APR_SUCCESS,
                           "probe: ready again: \"%s\"", s->conf.root);
    }
    return sentence(s, found, p);
}

const char *devcache_probe_store(devcache_store_t *s, apr_time_t now, apr_pool_t *p)
{
    known_t *k = known_of(s);
    apr_int64_t begun, ended, since;

    if (!k) {
        return sentence(s, try_it(s, now), p);
    }
    begun = __atomic_load_n(&k->begun, __ATOMIC_ACQUIRE);
    ended = __atomic_load_n(&k->ended, __ATOMIC_ACQUIRE);
    since = now - begun;
    if (since >= 0 && since < GIVEN_UP && begun != ended && since >= PATIENCE) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": a try to write there has not come back "
                            "for %d seconds",
                            s->conf.root, (int)apr_time_sec(since));
    }
    if (since >= 0 && since < (begun == ended ? LASTS : GIVEN_UP)) {
        return sentence(s, __atomic_load_n(&k->found, __ATOMIC_ACQUIRE), p);
    }
    if (!__atomic_compare_exchange_n(&k->begun, &begun, now, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        return sentence(s, __atomic_load_n(&k->found, __ATOMIC_ACQUIRE), p);
    }
    return try_and_tell(s, k, now, p);
}
