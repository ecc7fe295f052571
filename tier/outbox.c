/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox.
 *
 *     file   any number of: length 4 | checksum 8 | bytes
 *
 * A purge is in the file before it is applied here and answered, so that no death of a
 * process loses it for the others. Offsets are counted since ever: state->base is what the
 * file's first byte is, state->end is behind the last purge. What lies behind that is what
 * a killed process began, and is cut off by the next one.
 *
 * When all servers have all of it the file is emptied: first the file, then base. A process
 * killed in between leaves an empty file and an old base, which is seen by the file being
 * shorter than it should be, and mended by the next one. After a power failure the state
 * may be newer than the file: what is missing then is skipped, and said to be lost by
 * whoever meets it, as any other gap.
 *
 * Numbers are the microseconds of the clock, or one more than the latest: they grow even
 * when this file and the state are lost, unless the clock was set back meanwhile; then the
 * machine's id is new as well.
 */
#include "tier/outbox.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/fault.h"
#include "tier/message.h"

#define HEAD 12 /* bytes before each purge */

struct devcache_outbox_t {
    devcache_tier_state_t *state;
    pthread_mutex_t mutex; /* the file's lock is this process's, not a thread's */
    int fd;
};

static apr_status_t close_outbox(void *data)
{
    devcache_outbox_t *o = data;

    close(o->fd);
    pthread_mutex_destroy(&o->mutex);
    return APR_SUCCESS;
}

apr_status_t devcache_outbox_open(devcache_outbox_t **poutbox,
                                  devcache_tier_state_t *state, const char *root,
                                  int make, apr_uint32_t uid, apr_uint32_t gid,
                                  apr_pool_t *p)
{
    devcache_outbox_t *o = apr_pcalloc(p, sizeof(*o));
    const char *path = apr_pstrcat(p, root, "/tier-outbox", NULL);

    o->state = state;
    o->fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    if (o->fd < 0 || (make && geteuid() == 0 && fchown(o->fd, uid, gid) != 0)) {
        apr_status_t rv = errno;

        if (o->fd >= 0) {
            close(o->fd);
        }
        return rv;
    }
    pthread_mutex_init(&o->mutex, NULL);
    apr_pool_cleanup_register(p, o, close_outbox, apr_pool_cleanup_null);
    *poutbox = o;
    return APR_SUCCESS;
}

/* ---- under the lock --------------------------------------------------------------- */

static apr_status_t lock(devcache_outbox_t *o)
{
    int rc;

    pthread_mutex_lock(&o->mutex);
    do {
        rc = flock(o->fd, LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        rc = errno;
        pthread_mutex_unlock(&o->mutex);
    }
    return rc;
}

static void unlock(devcache_outbox_t *o)
{
    flock(o->fd, LOCK_UN);
    pthread_mutex_unlock(&o->mutex);
}

/* Nothing is in it any more. */
static apr_status_t empty(devcache_outbox_t *o)
{
    if (ftruncate(o->fd, 0) != 0) {
        return errno;
    }
    DEVCACHE_KILL_HERE("kill-in-outbox");
    __atomic_store_n(&o->state->waiting, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&o->state->base, o->state->end, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

/* The file as the state has it. */
static apr_status_t mend(devcache_outbox_t *o)
{
    off_t size = lseek(o->fd, 0, SEEK_END);
    apr_uint64_t want = o->state->end - o->state->base;

    if (size < 0) {
        return errno;
    }
    if ((apr_uint64_t)size < want) {
        return empty(o);
    }
    return (apr_uint64_t)size > want && ftruncate(o->fd, (off_t)want) != 0 ? errno
                                                                           : APR_SUCCESS;
}

static apr_status_t append(devcache_outbox_t *o, devcache_slice_t bytes)
{
    unsigned char buf[HEAD + DEVCACHE_TIER_MESSAGE_MAX];
    devcache_writer_t w = {buf, 0};
    devcache_tier_state_t *state = o->state;
    ssize_t n;

    devcache_put_uint(&w, bytes.len, 4);
    devcache_put_uint(&w, XXH3_64bits(bytes.data, bytes.len), 8);
    devcache_put_bytes(&w, bytes.data, bytes.len);
    do {
        n = DEVCACHE_FAULT("outbox-full")
                ? (errno = ENOSPC, -1)
                : pwrite(o->fd, buf, w.len, (off_t)(state->end - state->base));
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)w.len) {
        return n < 0 ? errno : ENOSPC;
    }
    DEVCACHE_KILL_HERE("kill-in-append");
    __atomic_fetch_add(&state->waiting, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&state->end, state->end + w.len, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

static apr_status_t add_locked(devcache_outbox_t *o, apr_uint64_t number,
                               devcache_outbox_make_fn *make,
                               devcache_outbox_make_fn *instead, void *baton)
{
    devcache_slice_t bytes = make(baton, number);
    apr_status_t rv = mend(o);

    if (rv != APR_SUCCESS || !bytes.data || bytes.len > DEVCACHE_TIER_MESSAGE_MAX) {
        return rv == APR_SUCCESS ? APR_EINVAL : rv;
    }
    if (o->state->end - o->state->base + bytes.len + HEAD > DEVCACHE_OUTBOX_MAX) {
        bytes = instead(baton, number);
        rv = empty(o);
        __atomic_fetch_add(&o->state->overflows, 1, __ATOMIC_RELAXED);
    }
    return rv == APR_SUCCESS ? append(o, bytes) : rv;
}

apr_status_t devcache_outbox_add(devcache_outbox_t *o, apr_time_t now,
                                 devcache_outbox_make_fn *make,
                                 devcache_outbox_make_fn *instead, void *baton,
                                 apr_uint64_t *pnumber, apr_uint64_t *pend)
{
    devcache_tier_state_t *state = o->state;
    apr_status_t rv = lock(o);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    *pnumber = state->number + 1 > (apr_uint64_t)now ? state->number + 1
                                                     : (apr_uint64_t)now;
    __atomic_store_n(&state->number, *pnumber, __ATOMIC_RELEASE);
    rv = add_locked(o, *pnumber, make, instead, baton);
    *pend = state->end;
    unlock(o);
    if (rv == APR_SUCCESS) {
        __atomic_fetch_add(&state->published, 1, __ATOMIC_RELAXED);
        devcache_tier_state_raise(&state->queued);
    }
    return rv;
}

void devcache_outbox_tidy(devcache_outbox_t *o, apr_uint64_t sent)
{
    devcache_tier_state_t *state = o->state;

    if (sent < __atomic_load_n(&state->end, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&state->base, __ATOMIC_ACQUIRE) == sent ||
        lock(o) != APR_SUCCESS) {
        return;
    }
    if (state->end == sent) {
        empty(o);
    }
    unlock(o);
}

/* ---- reading ----------------------------------------------------------------------- */

/* Whole purges at the beginning of what was read. */
static unsigned split(char *buf, apr_size_t len, devcache_slice_t *out, unsigned max,
                      apr_size_t *pused)
{
    unsigned n = 0;

    *pused = 0;
    while (n < max && len - *pused >= HEAD) {
        devcache_reader_t r = devcache_reader(devcache_slice(buf + *pused, HEAD));
        apr_size_t size = (apr_size_t)devcache_get_uint(&r, 4);
        apr_uint64_t sum = devcache_get_uint(&r, 8);

        if (size > DEVCACHE_TIER_MESSAGE_MAX || size > len - *pused - HEAD ||
            XXH3_64bits(buf + *pused + HEAD, size) != sum) {
            break;
        }
        out[n++] = devcache_slice(buf + *pused + HEAD, size);
        *pused += HEAD + size;
    }
    return n;
}

unsigned devcache_outbox_read(devcache_outbox_t *o, apr_uint64_t *from, char *buf,
                              apr_size_t room, devcache_slice_t *out, unsigned max,
                              apr_uint64_t *pnext)
{
    devcache_tier_state_t *state = o->state;
    apr_uint64_t base = __atomic_load_n(&state->base, __ATOMIC_ACQUIRE);
    apr_uint64_t end = __atomic_load_n(&state->end, __ATOMIC_ACQUIRE);
    apr_size_t used = 0;
    unsigned n = 0;
    ssize_t len;

    if (*from < base || *from > end) {
        *from = base;
    }
    if (end - *from < room) {
        room = (apr_size_t)(end - *from);
    }
    len = pread(o->fd, buf, room, (off_t)(*from - base));
    /* Emptied meanwhile: these bytes may be others'. */
    if (base != __atomic_load_n(&state->base, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    if (len > 0) {
        n = split(buf, (apr_size_t)len, out, max, &used);
    }
    if (n == 0 && room > 0 && end - *from > 0) {
        *from = end; /* damaged, or not there: after a power failure */
        __atomic_fetch_add(&state->overflows, 1, __ATOMIC_RELAXED);
    }
    *pnext = *from + used;
    return n;
}
