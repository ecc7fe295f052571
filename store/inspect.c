/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a store's directory without taking part in it: its files, and what the index leads
 * to. The segments themselves are read by store/verify.c.
 *
 * What is in use is asked of the index once, when the directory is opened: a snapshot,
 * sorted by place, of (segment, offset, entry). A segment is then walked beside it.
 *
 * Mutexes in the index are not touched. Everything copied from it is a hint, checked
 * against the record, as the store itself does.
 */
#include "store/inspect.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/say.h"
#include "store/segment.h"
#include "store/snapshot.h"

/* ---- files ---------------------------------------------------------------- */

/* Reading must not show in the file's times either, where we may ask for that. */
static int open_quietly(int dir, const char *name)
{
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(dir, name, flags | O_NOATIME);

    return fd < 0 && errno == EPERM ? openat(dir, name, flags) : fd;
}

/* A plain file of the root's owner that has no second name elsewhere. */
static const char *not_ours(const devcache_inspect_t *in, const struct stat *st)
{
    return !S_ISREG(st->st_mode)     ? "not a plain file"
           : st->st_uid != in->owner ? "belongs to somebody else than the directory"
           : st->st_nlink > 1        ? "has a second name"
                                     : NULL;
}

const char *devcache_inspect_open_file(const devcache_inspect_t *in,
                                       devcache_file_kind_t kind, apr_uint64_t serial,
                                       int *pfd, devcache_file_header_t *header,
                                       apr_uint64_t *plen, int *pgone)
{
    unsigned char bytes[DEVCACHE_FILE_HEADER];
    char name[DEVCACHE_FILE_NAME];
    const char *wrong;
    struct stat st;
    int fd;

    *plen = 0;
    devcache_segment_name(name, kind, serial);
    fd = open_quietly(in->fd, name);
    *pgone = fd < 0 && errno == ENOENT;
    if (fd < 0) {
        return *pgone           ? "the file is missing"
               : errno == ELOOP ? "the file is a symbolic link"
                                : "the file cannot be opened";
    }
    wrong = fstat(fd, &st) != 0 ? "the file cannot be examined" : not_ours(in, &st);
    if (!wrong) {
        *plen = (apr_uint64_t)st.st_size;
        if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) ||
            !devcache_record_file_decode(bytes, header) || header->kind != kind ||
            header->serial != serial) {
            wrong = "the file's header is damaged";
        }
    }
    if (wrong) {
        close(fd);
    } else {
        *pfd = fd;
    }
    return wrong;
}

/* One that is longer than any segment would be walked for hours. */
const char *devcache_inspect_open_segment(const devcache_inspect_t *in,
                                          apr_uint64_t serial, int *pfd,
                                          devcache_file_header_t *header,
                                          apr_uint64_t *plen, int *pgone)
{
    const char *wrong = devcache_inspect_open_file(in, DEVCACHE_FILE_SEGMENT, serial, pfd,
                                                   header, plen, pgone);

    if (!wrong && *plen > DEVCACHE_SEGMENT_MAX) {
        close(*pfd);
        wrong = "the file is longer than any segment";
    }
    return wrong;
}

static int by_age(const void *a, const void *b)
{
    const devcache_inspect_file_t *x = a, *y = b;

    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* Segments that the index leads to and that are not in the (sorted) list. */
static void add_missing(const devcache_inspect_t *in, apr_array_header_t *files)
{
    int listed = files->nelts;
    apr_size_t i;

    for (i = 0; i < in->n_live; i++) {
        devcache_inspect_file_t file = {DEVCACHE_FILE_SEGMENT, in->live[i].serial, 0};

        if ((i == 0 || in->live[i - 1].serial != file.serial) &&
            (listed == 0 ||
             !bsearch(&file, files->elts, (apr_size_t)listed, sizeof(file), by_age))) {
            APR_ARRAY_PUSH(files, devcache_inspect_file_t) = file;
        }
    }
}

apr_status_t devcache_inspect_files(const devcache_inspect_t *in,
                                    apr_array_header_t **pfiles, apr_pool_t *p)
{
    int fd = open_quietly(in->fd, ".");
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    devcache_inspect_file_t file;
    struct dirent *de;
    struct stat st;

    *pfiles = apr_array_make(p, 64, sizeof(file));
    if (!dir) {
        return errno;
    }
    while ((de = readdir(dir)) != NULL) {
        if (devcache_segment_parse_name(de->d_name, &file.kind, &file.serial) &&
            fstatat(in->fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            file.len = (apr_uint64_t)st.st_size;
            APR_ARRAY_PUSH(*pfiles, devcache_inspect_file_t) = file;
        }
    }
    closedir(dir);
    qsort((*pfiles)->elts, (apr_size_t)(*pfiles)->nelts, sizeof(file), by_age);
    add_missing(in, *pfiles);
    return APR_SUCCESS;
}

/* ---- the snapshot --------------------------------------------------------- */

/* The file that an entry's record is in; 0: the entry is free or dead. */
static apr_uint64_t serial_of(const devcache_shared_t *sh, const devcache_entry_t *e)
{
    apr_uint64_t serial;

    if (!e->used || e->slot >= sh->g.slots ||
        (e->body_slot != DEVCACHE_NO_SLOT &&
         !devcache_shared_alive(sh, e->body_slot, e->body_serial))) {
        return 0;
    }
    serial = __atomic_load_n(&sh->slots[e->slot].serial, __ATOMIC_ACQUIRE);
    return (apr_uint32_t)serial == e->serial ? serial : 0;
}

static devcache_placed_t placed(const devcache_shared_t *sh, apr_size_t at)
{
    devcache_entry_t e = sh->entries[at];
    devcache_placed_t out = {0};

    out.serial = serial_of(sh, &e);
    out.key_hash = e.key_hash;
    out.offset = (apr_uint64_t)e.offset * DEVCACHE_RECORD_UNIT;
    out.at = (apr_uint32_t)at;
    out.length = e.length;
    out.use = e.use;
    return out;
}

int devcache_inspect_still_there(const devcache_inspect_t *in,
                                 const devcache_placed_t *was)
{
    devcache_placed_t is = placed(&in->sh, was->at);

    return is.serial == was->serial && is.key_hash == was->key_hash &&
           is.offset == was->offset;
}

static int by_place(const void *a, const void *b)
{
    const devcache_placed_t *x = a, *y = b;

    if (x->serial != y->serial) {
        return x->serial < y->serial ? -1 : 1;
    }
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static apr_status_t free_snapshot(void *data)
{
    devcache_inspect_t *in = data;

    free(in->live);
    devcache_shared_unmap(&in->sh);
    close(in->fd);
    return APR_SUCCESS;
}

static apr_status_t take_snapshot(devcache_inspect_t *in)
{
    apr_size_t all = (apr_size_t)in->sh.g.stripes * in->sh.g.entries;
    apr_uint64_t told = devcache_index_objects(&in->sh); /* a hint, as all that is read */
    apr_size_t room = (told < all ? (apr_size_t)told : all) + 1024;
    apr_size_t i;

    in->live = malloc(room * sizeof(devcache_placed_t));
    if (!in->live) {
        return APR_ENOMEM;
    }
    for (i = 0; i < all; i++) {
        devcache_placed_t one = placed(&in->sh, i);

        if (one.serial == 0) {
            continue;
        }
        if (in->n_live == room) {
            devcache_placed_t *larger = realloc(in->live,
                                                (room *= 2) * sizeof(devcache_placed_t));

            if (!larger) {
                return APR_ENOMEM;
            }
            in->live = larger;
        }
        in->live[in->n_live++] = one;
    }
    qsort(in->live, in->n_live, sizeof(devcache_placed_t), by_place);
    return APR_SUCCESS;
}

apr_size_t devcache_inspect_seek(const devcache_inspect_t *in, apr_uint64_t serial,
                                 apr_uint64_t offset)
{
    devcache_placed_t wanted = {serial, 0, offset};
    apr_size_t low = 0, high = in->n_live;

    while (low < high) {
        apr_size_t mid = low + (high - low) / 2;

        if (by_place(&in->live[mid], &wanted) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

unsigned devcache_inspect_count_live(const devcache_inspect_t *in, apr_uint64_t serial,
                                     apr_uint64_t from, apr_uint64_t to)
{
    apr_size_t i = devcache_inspect_seek(in, serial, from);
    unsigned n = 0;

    for (; i < in->n_live && in->live[i].serial == serial && in->live[i].offset < to;
         i++) {
        n += (unsigned)devcache_inspect_still_there(in, &in->live[i]);
    }
    return n;
}

/* ---- opening -------------------------------------------------------------- */

/* Version of the first file that another version has written; 0: none. *pours: how many
 * whole files of ours there are, as far as needs to be looked. */
static apr_uint32_t foreign_version(devcache_inspect_t *in, int *pours, apr_pool_t *p)
{
    unsigned char bytes[DEVCACHE_FILE_HEADER];
    devcache_file_header_t header;
    apr_array_header_t *files;
    char name[DEVCACHE_FILE_NAME];
    apr_uint32_t version = 0;
    int i, fd;

    *pours = 0;
    devcache_inspect_files(in, &files, p);
    for (i = 0; i < files->nelts && !*pours && !version; i++) {
        const devcache_inspect_file_t *f = &APR_ARRAY_IDX(files, i,
                                                          devcache_inspect_file_t);
        devcache_segment_name(name, f->kind, f->serial);
        fd = open_quietly(in->fd, name);
        if (fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes)) {
            version = devcache_record_file_foreign(bytes);
            *pours += devcache_record_file_decode(bytes, &header);
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return version;
}

static apr_status_t map_index(devcache_inspect_t *in)
{
    int fd = open_quietly(in->fd, "index");
    apr_status_t rv = APR_EGENERAL;
    struct stat st;

    if (fd < 0) {
        in->no_index = errno == ENOENT ? "there is no index"
                                       : "the index cannot be "
                                         "opened";
        return APR_EGENERAL;
    }
    in->no_index = fstat(fd, &st) == 0 ? not_ours(in, &st) : "the index cannot be read";
    if (!in->no_index) {
        rv = devcache_shared_map_file(&in->sh, fd, 0);
        in->no_index = rv == APR_SUCCESS ? NULL : "the index is damaged";
    }
    close(fd);
    return rv;
}

static const char *look_around(devcache_inspect_t *in, apr_status_t *prv, apr_pool_t *p)
{
    apr_uint32_t foreign;
    apr_status_t index = map_index(in);
    int ours;

    foreign = foreign_version(in, &ours, p);
    *prv = APR_ENOTIMPL;
    if (index == APR_ENOTIMPL || foreign) {
        return apr_psprintf(p,
                            "\"%s\" is a cache of another version of mod_devcache than "
                            "this program: use the one that came with the module",
                            in->root);
    }
    *prv = APR_EGENERAL;
    if (index != APR_SUCCESS && !ours) {
        return apr_psprintf(p,
                            "\"%s\" is not a cache: mod_devcache has stored nothing "
                            "in it",
                            in->root);
    }
    *prv = index == APR_SUCCESS ? take_snapshot(in) : APR_SUCCESS;
    return *prv == APR_SUCCESS ? NULL : "not enough memory for a list of all objects";
}

apr_status_t devcache_inspect_open(devcache_inspect_t **pin, const char *root,
                                   const char **perror, apr_pool_t *p)
{
    devcache_inspect_t *in = apr_pcalloc(p, sizeof(*in));
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char text[120];
    apr_status_t rv;
    struct stat st;

    *pin = NULL;
    in->root = apr_pstrdup(p, root);
    in->fd = open(root, flags);
    if (in->fd < 0 || fstat(in->fd, &st) != 0) {
        rv = errno;
        *perror = apr_psprintf(p, "\"%s\" cannot be opened as a directory: %s%s", root,
                               apr_strerror(rv, text, sizeof(text)),
                               APR_STATUS_IS_ENOTDIR(rv) ? ", or a symbolic link" : "");
        return rv;
    }
    in->owner = st.st_uid;
    apr_pool_cleanup_register(p, in, free_snapshot, apr_pool_cleanup_null);
    *perror = look_around(in, &rv, p);
    if (*perror) {
        apr_pool_cleanup_run(p, in, free_snapshot);
        return rv;
    }
    *pin = in;
    return APR_SUCCESS;
}

const char *devcache_inspect_no_index(const devcache_inspect_t *in)
{
    return in->no_index;
}

void devcache_inspect_file_name(char out[DEVCACHE_INSPECT_NAME],
                                devcache_file_kind_t kind, apr_uint64_t serial)
{
    devcache_segment_name(out, kind, serial);
}

int devcache_inspect_stats(const devcache_inspect_t *in, devcache_store_stats_t *out)
{
    if (!in->sh.head) {
        return 0;
    }
    devcache_store_stats_of(&in->sh, out);
    return 1;
}
