/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files.
 *
 * Below the root lie, each with mode 0600:
 *
 *     lock, index               store/attach.c
 *     seg-<serial>              a segment: header, records
 *     body-<serial>             a large body: header, its bytes
 *
 * All are opened relative to the root's descriptor, never through a symbolic link, and
 * believed only if they are plain files with one name, of the right owner, whose header
 * says what the name says. Only the index is mapped: a segment that was truncated behind
 * our back is a short read, never a signal.
 *
 * A process keeps the segments that it uses open, in a small table by slot. The table is
 * the process's own, guarded by a mutex that is never held during I/O: a lease raises a
 * count, and a descriptor in use stays open even if its place is wanted by another. Other
 * processes' evictions are noticed by one counter in shared memory; until then an open
 * descriptor keeps the bytes of an unlinked segment on disk.
 */
#include "store/segment.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/fault.h"
#include "store/say.h"

#define HEAD_GUESS 2048 /* bytes; most heads are shorter */
#define WALK_WINDOW (64 * 1024)
#define WALK_SPARSE (6 * 1024) /* records longer than this are worth a read for each */
#define WALK_HEAD 1024         /* bytes of it */
#define WALK_AHEAD (1024 * 1024)

/* ---- names ---------------------------------------------------------------- */

void devcache_segment_name(char out[DEVCACHE_FILE_NAME], devcache_file_kind_t kind,
                           apr_uint64_t serial)
{
    snprintf(out, DEVCACHE_FILE_NAME, "%s-%016llx",
             kind == DEVCACHE_FILE_SEGMENT ? "seg" : "body", (unsigned long long)serial);
}

int devcache_segment_parse_name(const char *name, devcache_file_kind_t *kind,
                                apr_uint64_t *serial)
{
    char again[DEVCACHE_FILE_NAME];
    const char *dash = strchr(name, '-');

    if (!dash) {
        return 0;
    }
    *kind = name[0] == 's' ? DEVCACHE_FILE_SEGMENT : DEVCACHE_FILE_BODY;
    *serial = strtoull(dash + 1, NULL, 16);
    devcache_segment_name(again, *kind, *serial);
    return *serial != 0 && strcmp(name, again) == 0;
}

void devcache_segment_unlink(devcache_root_t *s, const devcache_file_t *file)
{
    char name[DEVCACHE_FILE_NAME];

    devcache_segment_name(name, file->kind, file->serial);
    unlinkat(s->root_fd, name, 0);
}

/* ---- writing -------------------------------------------------------------- */

static apr_status_t wrote(devcache_root_t *s, apr_status_t rv)
{
    apr_uint32_t *trouble = &s->sh.head->write_trouble;

    if (rv != APR_SUCCESS) {
        devcache_shared_count(&s->sh, DEVCACHE_N_ERRORS, 1);
        if (__atomic_exchange_n(trouble, 1, __ATOMIC_RELAXED) == 0) {
            devcache_store_say(
                &s->conf, DEVCACHE_LOG_ERR, 201, rv,
                "store: cannot write below \"%s\"; nothing is stored until "
                "a write succeeds",
                s->conf.root);
        }
    } else if (__atomic_load_n(trouble, __ATOMIC_RELAXED) != 0 &&
               __atomic_exchange_n(trouble, 0, __ATOMIC_RELAXED) != 0) {
        devcache_store_say(&s->conf, DEVCACHE_LOG_NOTICE, 202, APR_SUCCESS,
                           "store: writing below \"%s\" works again", s->conf.root);
    }
    return rv;
}

/* pwritev() until all is written; changes @a iov. */
static apr_status_t write_all(int fd, struct iovec *iov, int n, apr_uint64_t offset)
{
    while (n > 0) {
        ssize_t done;

        if (iov->iov_len == 0) {
            iov++;
            n--;
            continue;
        }
        if (DEVCACHE_FAULT("write-enospc")) {
            return ENOSPC;
        }
        if (DEVCACHE_FAULT("write-short")) {
            (void)!pwrite(fd, iov->iov_base, iov->iov_len / 2, (off_t)offset);
            return EIO;
        }
        done = pwritev(fd, iov, n, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return errno;
        }
        for (offset += done > 0 ? (apr_uint64_t)done : 0; done > 0 && n > 0;) {
            apr_size_t part = (apr_size_t)done < iov->iov_len ? (apr_size_t)done
                                                              : iov->iov_len;

            iov->iov_base = (char *)iov->iov_base + part;
            iov->iov_len -= part;
            done -= (ssize_t)part;
            if (iov->iov_len == 0) {
                iov++;
                n--;
            }
        }
    }
    return APR_SUCCESS;
}

apr_status_t devcache_segment_write(devcache_root_t *s, int fd, const void *data,
                                    apr_size_t len, apr_uint64_t offset)
{
    struct iovec iov = {(void *)(apr_uintptr_t)data, len};

    return wrote(s, write_all(fd, &iov, 1, offset));
}

apr_status_t devcache_segment_write_header(devcache_root_t *s, int fd,
                                           const devcache_file_t *file, apr_uint64_t salt,
                                           apr_uint64_t len)
{
    unsigned char bytes[DEVCACHE_FILE_HEADER];
    devcache_file_header_t header = {file->kind, file->serial, salt, len};

    devcache_record_file_encode(bytes, &header);
    return devcache_segment_write(s, fd, bytes, sizeof(bytes), 0);
}

apr_status_t devcache_segment_create(devcache_root_t *s, const devcache_file_t *file,
                                     apr_uint64_t len, int *pfd, apr_uint64_t *psalt)
{
    char name[DEVCACHE_FILE_NAME];
    apr_status_t rv = apr_generate_random_bytes((unsigned char *)psalt, sizeof(*psalt));
    int fd;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    devcache_segment_name(name, file->kind, file->serial);
    fd = openat(s->root_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                0600);
    if (fd < 0) {
        return wrote(s, errno);
    }
    if (geteuid() == 0 && fchown(fd, s->conf.uid, s->conf.gid) != 0) {
        rv = wrote(s, errno);
    } else {
        rv = devcache_segment_write_header(s, fd, file, *psalt, len);
    }
    if (rv != APR_SUCCESS) {
        unlinkat(s->root_fd, name, 0);
    }
    if (rv == APR_SUCCESS && pfd) {
        *pfd = fd;
    } else {
        close(fd);
    }
    return rv;
}

/* ---- opening -------------------------------------------------------------- */

/* Say once that files cannot be read, and once that it is over. One process may lack the
 * descriptors that others have, so only who has failed can tell. Files that are gone or
 * damaged are another matter. */
static apr_status_t opened(devcache_root_t *s, apr_status_t rv)
{
    int trouble = rv != APR_SUCCESS && rv != APR_NOTFOUND && rv != APR_EGENERAL;

    if (!s->sh.head || (!trouble && rv != APR_SUCCESS) ||
        __atomic_load_n(&s->read_failed, __ATOMIC_RELAXED) == trouble) {
        return rv;
    }
    __atomic_store_n(&s->read_failed, trouble, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&s->sh.head->read_trouble, (apr_uint32_t)trouble,
                            __ATOMIC_RELAXED) != (apr_uint32_t)trouble) {
        devcache_store_say(&s->conf, trouble ? DEVCACHE_LOG_ERR : DEVCACHE_LOG_NOTICE,
                           trouble ? 208 : 209, rv,
                           trouble
                               ? "store: cannot read below \"%s\"; the origin is asked "
                                 "instead"
                               : "store: reading below \"%s\" works again",
                           s->conf.root);
    }
    return rv;
}

static apr_status_t verify_file(const devcache_root_t *s, const devcache_file_t *file,
                                int fd, devcache_file_header_t *header, apr_uint64_t *len)
{
    unsigned char bytes[DEVCACHE_FILE_HEADER];
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return errno;
    }
    /* No name left is fine: it was evicted between open and now. */
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1 || st.st_uid != s->conf.uid ||
        pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) ||
        !devcache_record_file_decode(bytes, header) || header->kind != file->kind ||
        header->serial != file->serial) {
        return APR_EGENERAL;
    }
    *len = (apr_uint64_t)st.st_size;
    return APR_SUCCESS;
}

apr_status_t devcache_segment_open(devcache_root_t *s, const devcache_file_t *file,
                                   int *pfd, devcache_file_header_t *header,
                                   apr_uint64_t *len)
{
    char name[DEVCACHE_FILE_NAME];
    int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    apr_status_t rv;
    int fd;

    /* Segments are written through the descriptor that reads them, bodies never. */
    flags |= file->kind == DEVCACHE_FILE_SEGMENT ? O_RDWR : O_RDONLY;
    devcache_segment_name(name, file->kind, file->serial);
    fd = openat(s->root_fd, name, flags);
    if (fd < 0) {
        return opened(s, errno == ENOENT  ? APR_NOTFOUND
                         : errno == ELOOP ? APR_EGENERAL /* a symbolic link */
                                          : errno);
    }
    rv = verify_file(s, file, fd, header, len);
    if (rv != APR_SUCCESS) {
        close(fd);
    } else {
        *pfd = fd;
    }
    return opened(s, rv);
}

static int gone(const devcache_root_t *s, unsigned place)
{
    unsigned i;

    for (i = place; i < s->sh.g.slots; i += DEVCACHE_OPEN_FILES) {
        if (__atomic_load_n(&s->sh.slots[i].serial, __ATOMIC_ACQUIRE) ==
            s->open[place].serial) {
            return 0;
        }
    }
    return 1;
}

/* Empty a place that nobody uses. The caller closes what is returned, unlocked. */
static int vacate_locked(devcache_open_t *o)
{
    int fd = -1;

    if (o->serial != 0 && o->refs == 0) {
        fd = o->fd;
        o->serial = 0;
    }
    return fd;
}

void devcache_segment_tidy(devcache_root_t *s)
{
    apr_uint64_t now_there = __atomic_load_n(&s->sh.head->evictions, __ATOMIC_ACQUIRE);
    unsigned i;

    if (__atomic_load_n(&s->evictions_seen, __ATOMIC_RELAXED) == now_there) {
        return;
    }
    __atomic_store_n(&s->evictions_seen, now_there, __ATOMIC_RELAXED);
    for (i = 0; i < DEVCACHE_OPEN_FILES; i++) {
        int fd = -1;

        pthread_mutex_lock(&s->open_lock);
        if (s->open[i].serial != 0 && gone(s, i)) {
            fd = vacate_locked(&s->open[i]);
        }
        pthread_mutex_unlock(&s->open_lock);
        if (fd >= 0) {
            close(fd);
        }
    }
}

void devcache_segment_close_all(devcache_root_t *s)
{
    unsigned i;

    for (i = 0; i < DEVCACHE_OPEN_FILES; i++) {
        int fd = vacate_locked(&s->open[i]);

        if (fd >= 0) {
            close(fd);
        }
    }
}

static int lease_open_one(devcache_root_t *s, const devcache_file_t *file,
                          devcache_open_t *place, devcache_lease_t *lease)
{
    int hit;

    pthread_mutex_lock(&s->open_lock);
    hit = place->serial == file->serial;
    if (hit) {
        place->refs++;
        lease->fd = place->fd;
        lease->salt = place->salt;
        lease->shared = place;
    }
    pthread_mutex_unlock(&s->open_lock);
    return hit;
}

apr_status_t devcache_segment_lease(devcache_root_t *s, const devcache_file_t *file,
                                    devcache_lease_t *lease)
{
    devcache_open_t *place = &s->open[file->slot % DEVCACHE_OPEN_FILES];
    devcache_file_header_t header = {0};
    apr_uint64_t len;
    apr_status_t rv;
    int other = -1;

    lease->fd = -1;
    lease->shared = NULL;
    if (lease_open_one(s, file, place, lease)) {
        return APR_SUCCESS;
    }
    rv = devcache_segment_open(s, file, &lease->fd, &header, &len);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    lease->salt = header.salt;
    pthread_mutex_lock(&s->open_lock);
    if (place->refs == 0) {
        other = vacate_locked(place);
        place->serial = file->serial;
        place->salt = header.salt;
        place->fd = lease->fd;
        place->refs = 1;
        lease->shared = place;
    }
    pthread_mutex_unlock(&s->open_lock);
    if (other >= 0) {
        close(other);
    }
    return APR_SUCCESS;
}

void devcache_segment_release(devcache_root_t *s, devcache_lease_t *lease)
{
    int fd = lease->fd;

    if (lease->shared) {
        fd = -1;
        pthread_mutex_lock(&s->open_lock);
        lease->shared->refs--;
        if (lease->shared->refs == 0 && gone(s, (unsigned)(lease->shared - s->open))) {
            fd = vacate_locked(lease->shared);
        }
        pthread_mutex_unlock(&s->open_lock);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- records -------------------------------------------------------------- */

/* @return bytes read, fewer than @a len only at the end of the file; -1 with errno */
static ssize_t read_up_to(int fd, unsigned char *buf, apr_size_t len, apr_uint64_t offset)
{
    apr_size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, buf + got, len - got, (off_t)(offset + got));

        if (n == 0) {
            break;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        got += (apr_size_t)n;
    }
    return (ssize_t)got;
}

static apr_status_t read_exactly(const devcache_lease_t *lease, apr_uint64_t offset,
                                 apr_size_t len, unsigned char *buf)
{
    ssize_t got = read_up_to(lease->fd, buf, len, offset);

    if (got < 0) {
        return errno;
    }
    return (apr_size_t)got < len ? APR_EOF : APR_SUCCESS;
}

/* One way to read a record through a lease. */
typedef apr_status_t reader_fn(const devcache_lease_t *lease, apr_uint64_t offset,
                               apr_uint32_t len, devcache_record_t *rec, apr_pool_t *p);

static apr_status_t read_whole(const devcache_lease_t *lease, apr_uint64_t offset,
                               apr_uint32_t len, devcache_record_t *rec, apr_pool_t *p)
{
    unsigned char *buf = apr_palloc(p, len);
    apr_status_t rv = read_exactly(lease, offset, len, buf);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!devcache_record_peek(buf, lease->salt, rec) || rec->length != len ||
        !devcache_record_check_head(buf, lease->salt, offset, rec)) {
        return APR_EGENERAL;
    }
    if (rec->ref_serial == 0 && !devcache_record_check_body(buf, rec)) {
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* The head is seldom longer than the first read; if it is, read it again as a whole. */
static apr_status_t read_head(const devcache_lease_t *lease, apr_uint64_t offset,
                              apr_uint32_t len, devcache_record_t *rec, apr_pool_t *p)
{
    apr_size_t guess = len < HEAD_GUESS ? len : HEAD_GUESS;
    unsigned char *buf = apr_palloc(p, guess);
    apr_status_t rv = read_exactly(lease, offset, guess, buf);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!devcache_record_peek(buf, lease->salt, rec) || rec->length != len) {
        return APR_EGENERAL;
    }
    if (rec->head_len > guess) {
        buf = apr_palloc(p, rec->head_len);
        rv = read_exactly(lease, offset, rec->head_len, buf);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (!devcache_record_peek(buf, lease->salt, rec) || rec->length != len) {
            return APR_EGENERAL;
        }
    }
    return devcache_record_check_head(buf, lease->salt, offset, rec) ? APR_SUCCESS
                                                                     : APR_EGENERAL;
}

static apr_status_t read_by(reader_fn *reader, devcache_root_t *s,
                            const devcache_file_t *file, apr_uint64_t offset,
                            apr_uint32_t len, devcache_record_t *rec, apr_pool_t *p)
{
    devcache_lease_t lease = {-1};
    apr_status_t rv;

    if (len < DEVCACHE_RECORD_FIXED || len > DEVCACHE_RECORD_MAX) {
        return APR_EGENERAL;
    }
    rv = devcache_segment_lease(s, file, &lease);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = reader(&lease, offset, len, rec, p);
    devcache_segment_release(s, &lease);
    return rv;
}

apr_status_t devcache_segment_read(devcache_root_t *s, const devcache_file_t *file,
                                   apr_uint64_t offset, apr_uint32_t len,
                                   devcache_record_t *rec, apr_pool_t *p)
{
    return read_by(read_whole, s, file, offset, len, rec, p);
}

apr_status_t devcache_segment_read_head(devcache_root_t *s, const devcache_file_t *file,
                                        apr_uint64_t offset, apr_uint32_t len,
                                        devcache_record_t *rec, apr_pool_t *p)
{
    return read_by(read_head, s, file, offset, len, rec, p);
}

static apr_size_t up_to_unit(apr_size_t len)
{
    return -len % DEVCACHE_RECORD_UNIT;
}

static apr_status_t append_at(devcache_root_t *s, const devcache_record_t *rec,
                              const devcache_range_t *at)
{
    static unsigned char zeros[DEVCACHE_HEAD_CHUNK]; /* never written to */
    unsigned char small[4096];
    unsigned char *head = rec->head_len <= sizeof(small) ? small : malloc(rec->head_len);
    struct iovec iov[4];
    devcache_lease_t lease = {-1};
    apr_status_t rv = head ? devcache_segment_lease(s, &at->file, &lease) : APR_ENOMEM;

    if (rv == APR_SUCCESS) {
        devcache_record_encode(head, rec, lease.salt, at->offset);
        iov[0].iov_base = head;
        iov[0].iov_len = rec->head_len;
        iov[1].iov_base = (void *)(apr_uintptr_t)rec->body.data;
        iov[1].iov_len = rec->body.len;
        iov[2].iov_base = (void *)(apr_uintptr_t)rec->table.data;
        iov[2].iov_len = rec->table.len;
        iov[3].iov_base = zeros;
        iov[3].iov_len = at->zeros ? at->zeros + up_to_unit(rec->length) : 0;
        rv = wrote(s, write_all(lease.fd, iov, 4, at->offset));
        devcache_segment_release(s, &lease);
        DEVCACHE_KILL_HERE("kill-after-append");
    }
    if (head != small) {
        free(head);
    }
    return rv;
}

apr_status_t devcache_segment_append(devcache_root_t *s, devcache_queue_t queue,
                                     devcache_record_t *rec, unsigned keep,
                                     devcache_range_t *at)
{
    apr_status_t rv;

    at->rolled = 0;
    if (!devcache_record_measure(rec) || rec->length > s->record_max) {
        return APR_ENOSPC;
    }
    rv = devcache_slot_reserve(&s->sh, queue, rec->length, keep, at);
    if (rv == APR_SUCCESS) {
        rv = append_at(s, rec, at);
        devcache_head_wrote(at);
    }
    return rv;
}

/* ---- walking -------------------------------------------------------------- */

apr_status_t devcache_segment_walk_begin(devcache_root_t *s, const devcache_file_t *file,
                                         devcache_walk_t *w)
{
    devcache_file_header_t header = {0};
    apr_uint64_t size = 0;
    int fd = -1;
    apr_status_t rv = devcache_segment_open(s, file, &fd, &header, &size);

    if (rv == APR_SUCCESS) {
        rv = devcache_segment_walk_over(w, fd, header.salt, size);
        w->heads_only = 1;
    }
    return rv;
}

apr_status_t devcache_segment_walk_over(devcache_walk_t *w, int fd, apr_uint64_t salt,
                                        apr_uint64_t size)
{
    memset(w, 0, sizeof(*w));
    w->fd = fd;
    w->salt = salt;
    w->size = size;
    w->pos = DEVCACHE_FILE_HEADER;
    w->capacity = WALK_WINDOW;
    w->window = malloc(w->capacity);
    if (!w->window) {
        close(fd);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

/* How much to read at @a pos. Heads among long bodies are read one by one, which the
 * kernel does not take for reading in order: it is told. */
static apr_size_t walk_step(devcache_walk_t *w, apr_uint64_t pos, apr_size_t len)
{
    if (!w->heads_only || w->last_len < WALK_SPARSE) {
        return w->capacity;
    }
    if (pos >= w->asked_to) {
        posix_fadvise(w->fd, (off_t)pos, WALK_AHEAD, POSIX_FADV_WILLNEED);
        w->asked_to = pos + WALK_AHEAD;
    }
    return len > WALK_HEAD ? len : WALK_HEAD;
}

const unsigned char *devcache_segment_walk_look(devcache_walk_t *w, apr_uint64_t pos,
                                                apr_size_t len)
{
    ssize_t got;

    if (pos < w->window_at || pos + len > w->window_at + w->window_len) {
        if (len > w->capacity) {
            unsigned char *larger = realloc(w->window, len);

            if (!larger) {
                return NULL;
            }
            w->window = larger;
            w->capacity = len;
        }
        got = read_up_to(w->fd, w->window, walk_step(w, pos, len), pos);
        w->window_at = pos;
        w->window_len = got > 0 ? (apr_size_t)got : 0;
    }
    return pos + len <= w->window_at + w->window_len ? w->window + (pos - w->window_at)
                                                     : NULL;
}

int devcache_segment_walk_next(devcache_walk_t *w, devcache_record_t *rec)
{
    while (w->pos + DEVCACHE_RECORD_FIXED <= w->size) {
        apr_uint64_t here = w->pos;
        const unsigned char *p = devcache_segment_walk_look(w, here,
                                                            DEVCACHE_RECORD_FIXED);

        if (!p) {
            return 0;
        }
        w->pos += DEVCACHE_RECORD_UNIT;
        if (devcache_record_peek(p, w->salt, rec) && rec->length <= w->size - here &&
            (p = devcache_segment_walk_look(w, here, rec->head_len)) != NULL &&
            devcache_record_check_head(p, w->salt, here, rec)) {
            w->offset = here;
            w->last_len = rec->length;
            w->pos = here + (rec->length + DEVCACHE_RECORD_UNIT - 1) /
                                DEVCACHE_RECORD_UNIT * DEVCACHE_RECORD_UNIT;
            return 1;
        }
    }
    return 0;
}

int devcache_segment_walk_body(devcache_walk_t *w, devcache_record_t *rec)
{
    const unsigned char *p = devcache_segment_walk_look(w, w->offset, rec->length);

    return p && devcache_record_check_head(p, w->salt, w->offset, rec) &&
           devcache_record_check_body(p, rec);
}

void devcache_segment_walk_end(devcache_walk_t *w)
{
    close(w->fd);
    free(w->window);
}
