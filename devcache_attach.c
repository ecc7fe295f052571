/*
 * Opening a root: alone or beside another server.
 *
 * The file `lock` tells. A process that gets it exclusively is alone: no mutex is held,
 * no fill is under way, nobody maps the index. It may therefore make all locks anew,
 * link the index anew, believe the directory more than the table of slots, or throw the
 * index away. It then holds the lock shared, as all its children do through the inherited
 * descriptor, until the last of them has gone. A process that does not get it exclusively
 * waits for it shared and takes the index as it is.
 *
 * The step from exclusive to shared is not atomic. Somebody may get in between, be alone
 * in turn and replace the index; so whoever was alone looks whether the index it mapped
 * is still the one in the directory, and starts over if not.
 *
 * What a lone process does with the directory:
 *
 *     index good    slots whose file is not there any more, or not what it should be, and
 *                   unfinished fills are freed; files that no slot knows are deleted
 *     index bad     a new one; the files written last that fit get slots, the others are
 *                   deleted; what they contain is found by devcache_rebuild.c
 */
#include "devcache_store_int.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "devcache_evict.h"
#include "devcache_fault.h"
#include "devcache_index.h"
#include "devcache_segment.h"
#include "devcache_spec.h"

#define LOCK_TRIES 500
#define LOCK_PAUSE (20 * 1000) /* microseconds; 10 s in all */

/* Serials beyond the highest on disk that may have been given to files since deleted. */
#define SERIAL_GAP ((apr_uint64_t)1 << 24)
#define SERIAL_LAST ((apr_uint64_t)1 << 61) /* so that no number ever runs out */

static apr_status_t refuse(devcache_store_t *s, const char **perror, apr_status_t rv,
                           const char *sentence)
{
    char text[120];

    *perror = apr_psprintf(s->pool, sentence, s->conf.root,
                           apr_strerror(rv, text, sizeof(text)));
    return rv;
}

/* ---- the directory -------------------------------------------------------- */

typedef struct found_t {
    devcache_file_t file;
    apr_uint64_t counts; /* bytes against the bound */
    apr_uint64_t len;    /* of the file */
    apr_time_t written;  /* to it, the last time */
} found_t;

/* Is it a whole file of ours? */
static int inspect(devcache_store_t *s, found_t *f)
{
    devcache_file_header_t header;
    struct stat st;
    int fd;

    if (f->file.serial > SERIAL_LAST ||
        devcache_segment_open(s, &f->file, &fd, &header, &f->len) != APR_SUCCESS) {
        return 0;
    }
    f->written = fstat(fd, &st) == 0
                     ? apr_time_from_sec(st.st_mtim.tv_sec) + st.st_mtim.tv_nsec / 1000
                     : 0;
    close(fd);
    if (f->file.kind == DEVCACHE_FILE_SEGMENT) {
        f->counts = f->len > header.len ? f->len : header.len;
        return 1;
    }
    f->counts = (f->len + 4095) & ~(apr_uint64_t)4095;
    return header.len != 0 && f->len >= DEVCACHE_FILE_HEADER + header.len;
}

/* All files that bear a name of ours; what is not a whole file is deleted. */
static apr_status_t list_root(devcache_store_t *s, apr_array_header_t **plist,
                              apr_pool_t *p)
{
    int fd = openat(s->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *de;
    found_t f = {{0}};

    *plist = apr_array_make(p, 64, sizeof(found_t));
    if (!dir) {
        return errno;
    }
    while ((de = readdir(dir)) != NULL) {
        if (!devcache_segment_parse_name(de->d_name, &f.file.kind, &f.file.serial)) {
            continue;
        }
        if (inspect(s, &f)) {
            APR_ARRAY_PUSH(*plist, found_t) = f;
        } else {
            unlinkat(s->root_fd, de->d_name, 0);
        }
    }
    closedir(dir);
    return APR_SUCCESS;
}

static int by_serial(const void *a, const void *b)
{
    const found_t *x = a, *y = b;

    return x->file.serial < y->file.serial ? -1 : x->file.serial > y->file.serial;
}

static int is_listed(const apr_array_header_t *list, const devcache_file_t *file,
                     found_t **pfound)
{
    found_t key = {*file};

    *pfound = list->nelts ? bsearch(&key, list->elts, (apr_size_t)list->nelts,
                                    sizeof(found_t), by_serial)
                          : NULL;
    return *pfound && (*pfound)->file.kind == file->kind;
}

/* ---- alone ---------------------------------------------------------------- */

static void settle_slots(devcache_store_t *s, apr_array_header_t *list)
{
    devcache_shared_t *sh = &s->sh;
    devcache_file_t file;
    devcache_slot_t copy;
    found_t *found;
    unsigned i;

    devcache_slot_repair(sh);
    for (i = 0; i < sh->g.slots; i++) {
        if (!devcache_slot_get(sh, i, &file, &copy)) {
            continue;
        }
        if (copy.state != DEVCACHE_SLOT_FILLING && is_listed(list, &file, &found)) {
            devcache_slot_correct(sh, i, found->counts, found->len);
            found->file.slot = 1; /* known */
        } else {
            devcache_slot_free(sh, &file);
        }
    }
    for (i = 0; i < (unsigned)list->nelts; i++) {
        found = &APR_ARRAY_IDX(list, i, found_t);
        if (!found->file.slot) {
            devcache_segment_unlink(s, &found->file);
        }
    }
    devcache_slot_repair(sh);
}

static int by_last_write(const void *a, const void *b)
{
    const found_t *x = a, *y = b;

    return x->written != y->written ? (x->written < y->written ? -1 : 1)
                                    : by_serial(a, b);
}

/* A segment that does not fit may tell of removals, of what was requested before it was
 * written to the last time. In whole seconds, as files' times are a little late. */
static void leave_out(devcache_store_t *s, const found_t *found)
{
    apr_uint32_t until = (apr_uint32_t)apr_time_sec(found->written) + 1;

    if (found->file.kind == DEVCACHE_FILE_SEGMENT && found->len > DEVCACHE_FILE_HEADER &&
        until > s->sh.head->rebuild_from) {
        s->sh.head->rebuild_from = until;
    }
    devcache_segment_unlink(s, &found->file);
}

/* The files of one kind that were written to last and fit get slots, the others are
 * deleted. */
static unsigned adopt_kind(devcache_store_t *s, apr_array_header_t *list,
                           devcache_file_kind_t kind)
{
    devcache_shared_t *sh = &s->sh;
    apr_uint64_t keep = 5 * sh->g.segment_size; /* heads and spares */
    unsigned adopted = 0;
    int i;

    for (i = list->nelts - 1; i >= 0; i--) {
        found_t *found = &APR_ARRAY_IDX(list, i, found_t);

        if (found->file.kind != kind) {
            continue;
        }
        if (found->len <= DEVCACHE_FILE_HEADER || /* a spare */
            sh->head->used + found->counts + keep > sh->g.size ||
            devcache_slot_adopt(sh, found->counts, &found->file) != APR_SUCCESS) {
            leave_out(s, found);
        } else {
            adopted++;
        }
    }
    return adopted;
}

/* Segments come first: a body is nothing without the record that names it. The head of
 * the main queue can be the oldest file and has the latest removals, so age is not told
 * by serials. */
static void adopt_files(devcache_store_t *s, apr_array_header_t *list)
{
    devcache_shared_head_t *h = s->sh.head;
    unsigned segments;

    qsort(list->elts, (apr_size_t)list->nelts, sizeof(found_t), by_last_write);
    segments = adopt_kind(s, list, DEVCACHE_FILE_SEGMENT);
    adopt_kind(s, list, DEVCACHE_FILE_BODY);
    h->rebuild_below = h->next_serial;
    h->rebuild_total = segments;
    h->rebuild_due = segments > 0;
}

static apr_status_t create_index(devcache_store_t *s, const devcache_geometry_t *g,
                                 const char **perror)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    apr_size_t size = devcache_shared_size(g);
    apr_status_t rv;
    int fd;

    unlinkat(s->root_fd, "index", 0);
    fd = openat(s->root_fd, "index", flags, 0600);
    if (fd < 0 || (geteuid() == 0 && fchown(fd, s->conf.uid, s->conf.gid) != 0)) {
        rv = errno;
        if (fd >= 0) {
            close(fd);
        }
        return refuse(s, perror, rv,
                      "DevCacheRoot \"%s\": cannot create the file index "
                      "there: %s; check the directory's owner and room");
    }
    /* All of it now: a page that the disk has no room for later would be a SIGBUS. */
    rv = DEVCACHE_FAULT("fallocate") ? ENOSPC : posix_fallocate(fd, 0, (off_t)size);
    if (rv == APR_SUCCESS) {
        rv = devcache_shared_map(&s->sh, fd, g);
    }
    close(fd);
    if (rv != APR_SUCCESS) {
        unlinkat(s->root_fd, "index", 0);
        return refuse(
            s, perror, rv,
            apr_psprintf(s->pool,
                         "DevCacheRoot \"%%s\": no room for the index of %" APR_SIZE_T_FMT
                         " bytes: %%s; free some or lower DevCacheMaxObjects",
                         size));
    }
    return APR_SUCCESS;
}

/* Map the index that is there. APR_NOTFOUND: none, or not one to be used. */
static apr_status_t open_index(devcache_store_t *s, const devcache_geometry_t *g)
{
    int fd = openat(s->root_fd, "index", O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    apr_status_t rv = APR_NOTFOUND;
    struct stat st;

    if (fd < 0) {
        return APR_NOTFOUND;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
        st.st_uid == s->conf.uid && (apr_size_t)st.st_size == devcache_shared_size(g)) {
        rv = devcache_shared_map(&s->sh, fd, g);
    }
    close(fd);
    if (rv == APR_SUCCESS && !devcache_shared_valid(&s->sh)) {
        devcache_shared_unmap(&s->sh);
        rv = APR_NOTFOUND;
    }
    return rv;
}

static apr_status_t make_anew(devcache_store_t *s, const devcache_geometry_t *g,
                              apr_array_header_t *list, const char **perror)
{
    apr_uint64_t first = SERIAL_GAP;
    apr_uint64_t seed;
    apr_status_t rv = create_index(s, g, perror);

    if (rv == APR_SUCCESS) {
        rv = apr_generate_random_bytes((unsigned char *)&seed, sizeof(seed));
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (list->nelts) {
        first += APR_ARRAY_IDX(list, list->nelts - 1, found_t).file.serial;
    }
    devcache_shared_format(&s->sh, seed, first);
    devcache_shared_renew_locks(&s->sh);
    adopt_files(s, list);
    return APR_SUCCESS;
}

static apr_status_t attach_alone(devcache_store_t *s, const devcache_geometry_t *g,
                                 const char **perror)
{
    apr_array_header_t *list;
    apr_status_t rv = list_root(s, &list, s->pool);

    if (rv != APR_SUCCESS) {
        return refuse(s, perror, rv, "DevCacheRoot \"%s\": cannot read it: %s");
    }
    qsort(list->elts, (apr_size_t)list->nelts, sizeof(found_t), by_serial);
    if (open_index(s, g) == APR_SUCCESS && devcache_spec_sound(&s->sh)) {
        devcache_shared_renew_locks(&s->sh);
        settle_slots(s, list);
    } else {
        devcache_shared_unmap(&s->sh);
        rv = make_anew(s, g, list, perror);
    }
    if (rv == APR_SUCCESS) {
        devcache_index_relink_all(&s->sh);
    }
    return rv;
}

/* ---- either way ----------------------------------------------------------- */

static apr_status_t attach_as_peer(devcache_store_t *s, const devcache_geometry_t *g,
                                   const char **perror)
{
    apr_status_t rv = open_index(s, g);

    return rv == APR_SUCCESS
               ? rv
               : refuse(s, perror, rv == APR_NOTFOUND ? APR_EBUSY : rv,
                        "DevCacheRoot \"%s\" is in use by another server with other "
                        "sizes or of another version: give both the same DevCacheSize, "
                        "DevCacheSegmentSize and DevCacheMaxObjects, or stop it");
}

/* Is what was mapped still what the directory has? By a mark only this mapping has. */
static int still_there(const devcache_store_t *s, const devcache_geometry_t *g)
{
    devcache_store_t other = {{0}};
    int same;

    other.conf = s->conf;
    other.root_fd = s->root_fd;
    if (open_index(&other, g) != APR_SUCCESS) {
        return 0;
    }
    same = other.sh.head->seed == s->sh.head->seed;
    devcache_shared_unmap(&other.sh);
    return same;
}

apr_status_t devcache_attach_index(devcache_store_t *s, const char **perror)
{
    devcache_geometry_t g = s->sh.g;
    apr_status_t rv;
    int tries;

    for (tries = 0; tries < LOCK_TRIES; tries++) {
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0) {
            rv = attach_alone(s, &g, perror);
            flock(s->lock_fd, LOCK_SH);
            if (rv != APR_SUCCESS || still_there(s, &g)) {
                return rv;
            }
            devcache_shared_unmap(&s->sh);
        } else if (flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0) {
            return attach_as_peer(s, &g, perror);
        } else {
            apr_sleep(LOCK_PAUSE); /* somebody is alone and repairs */
        }
    }
    return refuse(s, perror, APR_TIMEUP,
                  "DevCacheRoot \"%s\" is being repaired by another server and not ready "
                  "in time: try again later");
}
