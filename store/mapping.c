/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index is the only file that is mapped. It is made under the name `index.new`, with
 * all its room allocated, so that a full disk is told of at once and not by a signal
 * later, and gets its name when it is complete: a process killed in between leaves the
 * old index as it was.
 *
 * Its pages are kept in memory: a lookup must not wait for a disk, nor meet one that has
 * died. The parent locks them where it may (mlock); its children's mappings are of the
 * same pages. Where it may not, all are read in once. A page may still fail later, when it
 * is written to for the first time since the kernel has saved it: base/bus.c.
 *
 * An index is believed only if it is a plain file with one name, of the right owner, as
 * long as its geometry says, and if its head was made to the end by this layout.
 */
#include "store/mapping.h"

#include <apr_errno.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fault.h"
#include "store/say.h"

#define NAME "index"
#define NEW_NAME "index.new"

apr_status_t devcache_mapping_open(const devcache_root_t *s, devcache_shared_t *sh,
                                   const char **pwhy)
{
    int fd = openat(s->root_fd, NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    sh->head = NULL;
    *pwhy = fd >= 0           ? NULL
            : errno == ENOENT ? "is missing"
            : errno == ELOOP  ? "is a symbolic link"
                              : "cannot be opened";
    if (fd < 0) {
        return APR_NOTFOUND;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
        st.st_uid != s->conf.uid) {
        *pwhy = "is not a plain file of the server's own";
    } else {
        apr_status_t rv = devcache_shared_map_file(sh, fd, 1);

        *pwhy = rv == APR_SUCCESS    ? NULL
                : rv == APR_ENOTIMPL ? "is of another version"
                                     : "is damaged";
        sh->device = st.st_dev;
        sh->inode = st.st_ino;
    }
    close(fd);
    return *pwhy ? APR_NOTFOUND : APR_SUCCESS;
}

apr_status_t devcache_mapping_create(const devcache_root_t *s, devcache_shared_t *sh,
                                     const devcache_geometry_t *g)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    apr_status_t rv = APR_SUCCESS;
    struct stat st = {0};
    int fd;

    unlinkat(s->root_fd, NEW_NAME, 0);
    fd = openat(s->root_fd, NEW_NAME, flags, 0600);
    if (fd < 0) {
        return errno;
    }
    if ((geteuid() == 0 && fchown(fd, s->conf.uid, s->conf.gid) != 0) ||
        fstat(fd, &st) != 0) {
        rv = errno;
    }
    if (rv == APR_SUCCESS) {
        rv = DEVCACHE_FAULT("fallocate")
                 ? ENOSPC
                 : posix_fallocate(fd, 0, (off_t)devcache_shared_size(g));
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_shared_map(sh, fd, g);
        sh->device = st.st_dev;
        sh->inode = st.st_ino;
    }
    close(fd);
    if (rv != APR_SUCCESS) {
        unlinkat(s->root_fd, NEW_NAME, 0);
    }
    return rv;
}

apr_status_t devcache_mapping_install(const devcache_root_t *s)
{
    return renameat(s->root_fd, NEW_NAME, s->root_fd, NAME) == 0 ? APR_SUCCESS : errno;
}

int devcache_mapping_current(const devcache_root_t *s, const devcache_shared_t *sh)
{
    struct stat st;

    errno = 0;
    return fstatat(s->root_fd, NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_dev == sh->device && st.st_ino == sh->inode &&
           (apr_size_t)st.st_size == sh->len;
}

void devcache_mapping_keep_resident(const devcache_root_t *s)
{
    const volatile char *at = (const char *)s->sh.head;
    char text[120];
    apr_size_t i;
    int error;

    if (!DEVCACHE_FAULT("mlock") && mlock(s->sh.head, s->sh.len) == 0) {
        return;
    }
    error = errno;
    for (i = 0; i < s->sh.len; i += 4096) {
        (void)at[i];
    }
    devcache_store_say(
        &s->conf, DEVCACHE_LOG_NOTICE, 212, APR_SUCCESS,
        "store: the index of \"%s\" (%llu KB) was read into memory, but not "
        "locked there: %s; where memory gets short, lookups may wait for "
        "the disk. To have it locked raise the limit (ulimit -l, or "
        "LimitMEMLOCK= of the service)",
        s->conf.root, (unsigned long long)(s->sh.len / 1024),
        apr_strerror(error, text, sizeof(text)));
}
