/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a store's directory without taking part in it.
 *
 * What is in use is asked of the index once, when the directory is opened: a snapshot,
 * sorted by place, of (segment, offset, entry). A segment is then walked beside it.
 *
 *     segment    [header][record A][record B][?????????][record D]  ...
 *     snapshot             A                  C           D
 *                          live    not live   damaged     live
 *
 * A record that the snapshot has and that does not verify is damage only if the index
 * still leads there at that moment: a running server evicts, moves and replaces. Bytes
 * reach a segment before the entry that leads to them, so a live record is never half
 * written; bytes that nothing leads to may be, now or since their writer was killed.
 * Those are told from damage by their end: a write that was cut off leaves zeros there.
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
#include "store/sums.h"

#define UNLESS_TORN DEVCACHE_RECORD_UNIT /* that many zeros end a write cut off */
#define LOOK (32 * 1024)                 /* bytes of a gap looked at in one go */

/* One entry of the index, as it was when the directory was opened. */
typedef struct placed_t {
    apr_uint64_t serial; /* of the segment, whole */
    apr_uint64_t key_hash;
    apr_uint64_t offset; /* bytes */
    apr_uint32_t at;     /* which entry */
    apr_uint32_t length;
    unsigned char use;
} placed_t;

struct devcache_inspect_t {
    const char *root;
    int fd;
    uid_t owner;
    devcache_shared_t sh; /* head NULL: no index */
    const char *no_index; /* why */
    placed_t *live;       /* sorted by serial, then offset */
    apr_size_t n_live;
};

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

/* Open a file below the root and read its header.
 * @return NULL and *pfd, or what is wrong with it; *pgone: it is not there at all */
static const char *open_file(const devcache_inspect_t *in, devcache_file_kind_t kind,
                             apr_uint64_t serial, int *pfd,
                             devcache_file_header_t *header, apr_uint64_t *plen,
                             int *pgone)
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
static const char *open_segment(const devcache_inspect_t *in, apr_uint64_t serial,
                                int *pfd, devcache_file_header_t *header,
                                apr_uint64_t *plen, int *pgone)
{
    const char *wrong = open_file(in, DEVCACHE_FILE_SEGMENT, serial, pfd, header, plen,
                                  pgone);

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

static placed_t placed(const devcache_shared_t *sh, apr_size_t at)
{
    devcache_entry_t e = sh->entries[at];
    placed_t out = {0};

    out.serial = serial_of(sh, &e);
    out.key_hash = e.key_hash;
    out.offset = (apr_uint64_t)e.offset * DEVCACHE_RECORD_UNIT;
    out.at = (apr_uint32_t)at;
    out.length = e.length;
    out.use = e.use;
    return out;
}

/* Does the index still lead there? */
static int still_there(const devcache_inspect_t *in, const placed_t *was)
{
    placed_t is = placed(&in->sh, was->at);

    return is.serial == was->serial && is.key_hash == was->key_hash &&
           is.offset == was->offset;
}

static int by_place(const void *a, const void *b)
{
    const placed_t *x = a, *y = b;

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

    in->live = malloc(room * sizeof(placed_t));
    if (!in->live) {
        return APR_ENOMEM;
    }
    for (i = 0; i < all; i++) {
        placed_t one = placed(&in->sh, i);

        if (one.serial == 0) {
            continue;
        }
        if (in->n_live == room) {
            placed_t *larger = realloc(in->live, (room *= 2) * sizeof(placed_t));

            if (!larger) {
                return APR_ENOMEM;
            }
            in->live = larger;
        }
        in->live[in->n_live++] = one;
    }
    qsort(in->live, in->n_live, sizeof(placed_t), by_place);
    return APR_SUCCESS;
}

/* The first of the snapshot that is not before this place. */
static apr_size_t seek(const devcache_inspect_t *in, apr_uint64_t serial,
                       apr_uint64_t offset)
{
    placed_t wanted = {serial, 0, offset};
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

/* How many entries lead into a range, and still do. */
static unsigned count_live(const devcache_inspect_t *in, apr_uint64_t serial,
                           apr_uint64_t from, apr_uint64_t to)
{
    apr_size_t i = seek(in, serial, from);
    unsigned n = 0;

    for (; i < in->n_live && in->live[i].serial == serial && in->live[i].offset < to;
         i++) {
        n += (unsigned)still_there(in, &in->live[i]);
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

/* ---- walking -------------------------------------------------------------- */

typedef struct visit_t {
    devcache_inspect_t *in;
    apr_uint64_t serial;
    devcache_walk_t w;
    int bodies;
    devcache_found_fn *fn;
    void *baton;
} visit_t;

static int report(visit_t *v, devcache_finding_e what, apr_uint64_t from, apr_uint64_t to,
                  int live, const char *why)
{
    devcache_found_t found = {what, v->serial, from, to - from};

    found.live = live;
    found.why = why;
    return v->fn(v->baton, &found);
}

static int is_zero(const unsigned char *p, apr_size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Nothing or zeros in this range of the file? */
static int is_empty(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    while (from < to) {
        apr_size_t len = to - from < LOOK ? (apr_size_t)(to - from) : LOOK;
        const unsigned char *p = devcache_segment_walk_look(&v->w, from, len);

        if (p && !is_zero(p, len)) {
            return 0;
        }
        from += len;
    }
    return 1;
}

/* Is this how a write ends that was cut off? At the end of the file, or in zeros. Bytes
 * in a segment that is still written to get the benefit of the doubt. */
static int looks_torn(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    const devcache_shared_t *sh = &v->in->sh;
    const unsigned char *p;
    devcache_record_t rec;
    unsigned i;

    for (i = 0; sh->head && i < sh->g.slots; i++) {
        if (sh->slots[i].serial == v->serial &&
            sh->slots[i].state != DEVCACHE_SLOT_SEALED) {
            return 1;
        }
    }
    p = devcache_segment_walk_look(&v->w, from, DEVCACHE_RECORD_FIXED);
    if (!p || (to == v->w.size && devcache_record_peek(p, v->w.salt, &rec) &&
               rec.length > to - from)) {
        return 1;
    }
    return to - from > UNLESS_TORN && is_empty(v, to - UNLESS_TORN, to);
}

/* What lies between two records. */
static int visit_gap(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    unsigned live = from < to ? count_live(v->in, v->serial, from, to) : 0;

    if (live) {
        return report(v, DEVCACHE_FINDING_DAMAGED, from, to, 1,
                      "what the index leads to is not a whole record");
    }
    if (is_empty(v, from, to)) {
        return 0;
    }
    if (looks_torn(v, from, to)) {
        return report(v, DEVCACHE_FINDING_UNFINISHED, from, to, 0, NULL);
    }
    return report(v, DEVCACHE_FINDING_DAMAGED, from, to, 0, "not a whole record");
}

/* Compare a body in a file of its own with its sums. @a root: of their table */
static const char *file_trouble(int fd, const devcache_file_header_t *header,
                                apr_uint64_t root)
{
    apr_size_t size = devcache_sums_size(header->len), i;
    unsigned char *table = malloc(size + DEVCACHE_SUMS_BLOCK);
    const char *wrong = table ? NULL : "there is not enough memory to verify its body";
    apr_uint64_t at = DEVCACHE_FILE_HEADER;

    if (table && (pread(fd, table, size, (off_t)(at + header->len)) != (ssize_t)size ||
                  devcache_sums_root(table, size, header->salt) != root)) {
        wrong = "the file of its body is another one, or its checksums are damaged";
    }
    for (i = 0; !wrong && i < devcache_sums_count(header->len); i++) {
        apr_uint64_t left = header->len - i * DEVCACHE_SUMS_BLOCK;
        apr_size_t len = left < DEVCACHE_SUMS_BLOCK ? (apr_size_t)left
                                                    : DEVCACHE_SUMS_BLOCK;
        unsigned char *block = table + size;

        if (pread(fd, block, len, (off_t)(at + i * DEVCACHE_SUMS_BLOCK)) !=
                (ssize_t)len ||
            !devcache_sums_check(table, i, block, len)) {
            wrong = "a checksum of the body differs";
        }
    }
    free(table);
    return wrong;
}

/* What is wrong with the record that has the body of @a rec. @a fd: of its segment */
static const char *other_trouble(const devcache_record_t *rec, int fd, apr_uint64_t salt)
{
    apr_uint64_t at = (apr_uint64_t)rec->ref_offset * DEVCACHE_RECORD_UNIT;
    apr_uint32_t len = devcache_record_ref_length(rec);
    unsigned char *bytes = malloc(len);
    const char *wrong = bytes ? NULL : "there is not enough memory to verify its body";
    devcache_record_t other;

    if (bytes && (pread(fd, bytes, len, (off_t)at) != (ssize_t)len ||
                  !devcache_record_peek(bytes, salt, &other) || other.length != len ||
                  other.ref_serial || other.body_sum != rec->body_sum ||
                  !devcache_record_check_head(bytes, salt, at, &other) ||
                  !devcache_slice_eq(other.key, rec->key))) {
        wrong = "the record that has its body is another one, or is damaged";
    } else if (bytes && !devcache_record_check_body(bytes, &other)) {
        wrong = "the checksum of the body differs";
    }
    free(bytes);
    return wrong;
}

/* What is wrong with an object's body; NULL: nothing. */
static const char *body_trouble(visit_t *v, devcache_record_t *rec)
{
    devcache_file_header_t header = {0};
    const char *wrong;
    apr_uint64_t len;
    int fd, gone;

    if (rec->ref_serial == 0) {
        return devcache_segment_walk_body(&v->w, rec)
                   ? NULL
                   : "the checksum of the body differs";
    }
    wrong = open_file(v->in, rec->ref_head ? DEVCACHE_FILE_SEGMENT : DEVCACHE_FILE_BODY,
                      rec->ref_serial, &fd, &header, &len, &gone);
    if (wrong) {
        return gone ? "the file of its body is missing"
                    : "the file of its body is damaged";
    }
    if (rec->ref_head) {
        wrong = other_trouble(rec, fd, header.salt);
    } else if (header.len != rec->body_len) {
        wrong = "the file of its body is another one";
    } else if (len < DEVCACHE_FILE_HEADER + header.len + devcache_sums_size(header.len)) {
        wrong = "the file of its body is short";
    } else {
        wrong = file_trouble(fd, &header, rec->body_sum);
    }
    close(fd);
    return wrong;
}

/* The snapshot's entry of a record, NULL if it has none. */
static const placed_t *entry_of(const visit_t *v, const devcache_record_t *rec)
{
    const devcache_inspect_t *in = v->in;
    apr_size_t i = seek(in, v->serial, v->w.offset);
    const placed_t *e = &in->live[i];

    return i < in->n_live && e->serial == v->serial && e->offset == v->w.offset &&
                   e->length == rec->length &&
                   e->key_hash == devcache_index_key_hash(&in->sh, rec->key)
               ? e
               : NULL;
}

/* Nobody asks for it (any more), so that a body of its own may have gone with another
 * record, and a small one may be half written. */
static void excuse(visit_t *v, devcache_found_t *found)
{
    found->live = found->live < 0 ? -1 : 0;
    if (found->rec.ref_serial) {
        found->why = NULL;
    } else if (looks_torn(v, found->offset, found->offset + found->len)) {
        found->why = NULL;
        found->what = DEVCACHE_FINDING_UNFINISHED;
    }
}

static int visit_object(visit_t *v, devcache_record_t *rec)
{
    const placed_t *e = v->in->sh.head ? entry_of(v, rec) : NULL;
    devcache_found_t found = {DEVCACHE_FINDING_OBJECT, v->serial, v->w.offset,
                              rec->length};

    found.live = !v->in->sh.head ? -1 : e != NULL;
    found.use = e ? e->use : 0;
    found.why = v->bodies ? body_trouble(v, rec) : NULL;
    found.rec = *rec;
    if (found.why && (found.live <= 0 || !still_there(v->in, e))) {
        excuse(v, &found);
    }
    if (found.why) {
        found.what = DEVCACHE_FINDING_DAMAGED;
    }
    return v->fn(v->baton, &found);
}

/* Entries that lead into the midst of a record, or to one of other key or length. */
static int visit_strays(visit_t *v, const devcache_record_t *rec)
{
    apr_uint64_t from = v->w.offset + (entry_of(v, rec) != NULL);

    return count_live(v->in, v->serial, from, v->w.pos)
               ? report(v, DEVCACHE_FINDING_DAMAGED, v->w.offset, v->w.pos, 1,
                        "the index leads to another record than it means")
               : 0;
}

static int visit_record(visit_t *v, devcache_record_t *rec)
{
    int end = visit_object(v, rec);

    return end || !v->in->sh.head ? end : visit_strays(v, rec);
}

/* A segment that cannot be read at all. */
static int visit_unreadable(visit_t *v, const char *wrong, int gone, apr_uint64_t len)
{
    unsigned live = count_live(v->in, v->serial, 0, APR_UINT64_MAX);

    if (live == 0 && (gone || len < DEVCACHE_FILE_HEADER)) {
        return 0; /* evicted, or not begun */
    }
    return report(v, DEVCACHE_FINDING_DAMAGED, 0, len, live > 0, wrong);
}

static int walk(visit_t *v)
{
    apr_uint64_t at = DEVCACHE_FILE_HEADER;
    devcache_record_t rec;
    int end = 0;

    while (!end && devcache_segment_walk_next(&v->w, &rec)) {
        end = visit_gap(v, at, v->w.offset);
        if (!end) {
            /* Looking at the gap may have moved the window. */
            const unsigned char *p = devcache_segment_walk_look(&v->w, v->w.offset,
                                                                rec.head_len);
            end = p && devcache_record_check_head(p, v->w.salt, v->w.offset, &rec)
                      ? visit_record(v, &rec)
                      : 0;
        }
        at = v->w.pos;
    }
    return end ? end : visit_gap(v, at, v->w.size);
}

int devcache_inspect_segment(devcache_inspect_t *in, apr_uint64_t serial, int bodies,
                             devcache_found_fn *fn, void *baton)
{
    visit_t v = {in, serial, {0}, bodies, fn, baton};
    devcache_file_header_t header = {0};
    const char *wrong;
    apr_uint64_t len;
    int fd, gone, end;

    wrong = open_segment(in, serial, &fd, &header, &len, &gone);
    if (!wrong && devcache_segment_walk_over(&v.w, fd, header.salt, len) != APR_SUCCESS) {
        wrong = "there is not enough memory to read it";
    }
    if (wrong) {
        return visit_unreadable(&v, wrong, gone, len);
    }
    end = walk(&v);
    devcache_segment_walk_end(&v.w);
    return end;
}

static int visit_one(visit_t *v, const placed_t *e)
{
    devcache_file_header_t header = {0};
    devcache_record_t rec;
    apr_uint64_t len;
    int fd, gone, end = 0;

    v->serial = e->serial;
    if (open_segment(v->in, e->serial, &fd, &header, &len, &gone) ||
        devcache_segment_walk_over(&v->w, fd, header.salt, len) != APR_SUCCESS) {
        return 0;
    }
    v->w.pos = e->offset;
    if (devcache_segment_walk_next(&v->w, &rec) && v->w.offset == e->offset) {
        end = visit_object(v, &rec);
    }
    devcache_segment_walk_end(&v->w);
    return end;
}

int devcache_inspect_key(devcache_inspect_t *in, devcache_slice_t key,
                         devcache_found_fn *fn, void *baton)
{
    visit_t v = {in, 0, {0}, 0, fn, baton};
    apr_uint64_t hash;
    apr_size_t i;
    int end = 0;

    if (!in->sh.head) {
        return 0;
    }
    hash = devcache_index_key_hash(&in->sh, key);
    for (i = 0; i < in->n_live && !end; i++) {
        end = in->live[i].key_hash == hash ? visit_one(&v, &in->live[i]) : 0;
    }
    return end;
}
