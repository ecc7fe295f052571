/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a volume is not mounted, the directory that it is mounted on is there all the
 * same, most often empty: nothing in it tells. What tells lies outside:
 *
 *     /etc/fstab    says that there ought to be a volume, also after the machine was
 *                   started anew
 *     the memory    says that the last time there was one, also where something else
 *                   than fstab has mounted it; lost with the runtime directory
 *
 * against /proc/self/mounts, which says what is mounted. A root may be used without its
 * volume if the very cache lies there that was used last (it was moved), or, as far as
 * fstab goes, if any does: somebody has used it so before.
 */
#include "store/volume.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 8500 /* two paths, escaped at worst in part */

/* Does @a path lie at or below the directory @a dir? */
static int is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/') {
        len--;
    }
    return len == 1 ||
           (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

/* The innermost mount point above @a path that the table names; "/" if it names none, NULL
 * if it cannot be read. */
static const char *mount_point(const char *table, const char *path, apr_pool_t *p)
{
    FILE *f = setmntent(table, "re");
    const char *best = "/";
    struct mntent *m, one;
    char line[LINE_MAX_LEN];

    while (f && (m = getmntent_r(f, &one, line, sizeof(line))) != NULL) {
        if (m->mnt_dir[0] == '/' && is_below(path, m->mnt_dir) &&
            strlen(m->mnt_dir) >= strlen(best)) {
            best = apr_pstrdup(p, m->mnt_dir);
        }
    }
    if (f) {
        endmntent(f);
    }
    return f ? best : NULL;
}

/* As the mount tables have it: the path without symbolic links, as far as it exists. */
static const char *real_path(const char *path, apr_pool_t *p)
{
    char *real = realpath(path, NULL);
    const char *out = real ? apr_pstrdup(p, real) : path;

    free(real);
    return out;
}

/* Where the root's volume was mounted the last time; NULL: nothing is known. */
static const char *remembered(const devcache_volume_t *v, apr_uint64_t *pid,
                              apr_pool_t *p)
{
    FILE *f = v->memory ? setmntent(v->memory, "re") : NULL;
    const char *found = NULL;
    struct mntent *m, one;
    char line[LINE_MAX_LEN];

    /* The same fields, the same escapes: name, directory, type. */
    while (f && (m = getmntent_r(f, &one, line, sizeof(line))) != NULL) {
        if (strcmp(m->mnt_type, v->root) == 0) {
            found = apr_pstrdup(p, m->mnt_dir);
            *pid = strtoull(m->mnt_fsname, NULL, 16);
        }
    }
    if (f) {
        endmntent(f);
    }
    return found;
}

static const char *mounted_now(const devcache_volume_t *v, apr_pool_t *p)
{
    return mount_point(v->mounts ? v->mounts : "/proc/self/mounts", real_path(v->root, p),
                       p);
}

const char *devcache_volume_away(const devcache_volume_t *v, apr_uint64_t id,
                                 apr_pool_t *p)
{
    const char *now = mounted_now(v, p);
    apr_uint64_t last_id = 0;
    const char *last = remembered(v, &last_id, p);
    const char *due = mount_point(v->table ? v->table : "/etc/fstab",
                                  real_path(v->root, p), p);

    if (!now) {
        return NULL; /* nothing can be told */
    }
    if (last && strlen(last) > strlen(now) && (id == 0 || id != last_id)) {
        return apr_psprintf(
            p,
            "DevCacheRoot \"%s\": the volume on which it was the last "
            "time is not mounted at \"%s\": mount it; or, if the cache is "
            "to begin anew without it, remove its line from \"%s\"",
            v->root, last, v->memory);
    }
    if (due && strlen(due) > strlen(now) && id == 0 && !last) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": /etc/fstab names a volume for \"%s\", "
                            "and it is not mounted: mount it, or remove it from there",
                            v->root, due);
    }
    return NULL;
}

/* ---- remembering -------------------------------------------------------------- */

static int write_line(FILE *f, apr_uint64_t id, const char *mount, const char *root)
{
    char hex[20];
    struct mntent m = {hex, (char *)mount, (char *)root, (char *)"-", 0, 0};

    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)id);
    return addmntent(f, &m) == 0;
}

/* All lines but the root's. */
static void copy_others(const devcache_volume_t *v, FILE *to)
{
    FILE *from = setmntent(v->memory, "re");
    struct mntent *m, one;
    char line[LINE_MAX_LEN];

    while (from && (m = getmntent_r(from, &one, line, sizeof(line))) != NULL) {
        if (strcmp(m->mnt_type, v->root) != 0) {
            write_line(to, strtoull(m->mnt_fsname, NULL, 16), m->mnt_dir, m->mnt_type);
        }
    }
    if (from) {
        endmntent(from);
    }
}

void devcache_volume_remember(const devcache_volume_t *v, apr_uint64_t id, apr_pool_t *p)
{
    const char *now = mounted_now(v, p), *last, *new_name;
    apr_uint64_t last_id = 0;
    int fd, fine;
    FILE *f;

    if (!v->memory || !now) {
        return;
    }
    last = remembered(v, &last_id, p);
    if (last ? last_id == id && strcmp(last, now) == 0 : strcmp(now, "/") == 0) {
        return;
    }
    new_name = apr_pstrcat(p, v->memory, ".new", NULL);
    unlink(new_name);
    fd = open(new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    copy_others(v, f);
    fine = write_line(f, id, now, v->root);
    fine = fclose(f) == 0 && fine;
    if (!fine || rename(new_name, v->memory) != 0) {
        unlink(new_name);
    }
}
