/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is believed more than the table of slots: a file may have been deleted, a
 * process killed between freeing a slot and unlinking its file, and after a crash of the
 * machine a segment may reach further than the index knows.
 */
#include "store/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "store/segment.h"
#include "store/sums.h"

#define SERIAL_LAST ((apr_uint64_t)1 << 61) /* so that no number ever runs out */

typedef struct listed_t {
    devcache_file_t file; /* slot: 1 once a slot is known to be its own */
    apr_uint64_t counts;  /* bytes against the bound */
    apr_uint64_t len;     /* of the file */
} listed_t;

/* Is it a whole file of ours? */
static int is_whole(devcache_root_t *s, listed_t *f)
{
    devcache_file_header_t header;
    int fd;

    if (f->file.serial > SERIAL_LAST ||
        devcache_segment_open(s, &f->file, &fd, &header, &f->len) != APR_SUCCESS) {
        return 0;
    }
    close(fd);
    if (f->file.kind == DEVCACHE_FILE_SEGMENT) {
        f->counts = f->len > header.len ? f->len : header.len;
        return 1;
    }
    f->counts = (f->len + 4095) & ~(apr_uint64_t)4095;
    return header.len != 0 &&
           f->len >= DEVCACHE_FILE_HEADER + header.len + devcache_sums_size(header.len);
}

static int by_serial(const void *a, const void *b)
{
    const listed_t *x = a, *y = b;

    return x->file.serial < y->file.serial ? -1 : x->file.serial > y->file.serial;
}

apr_status_t devcache_settle_list(devcache_root_t *s, apr_array_header_t **plist,
                                  apr_pool_t *p)
{
    int fd = openat(s->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *de;
    listed_t f = {{0}};

    *plist = apr_array_make(p, 64, sizeof(listed_t));
    if (!dir) {
        return errno;
    }
    while ((de = readdir(dir)) != NULL) {
        if (!devcache_segment_parse_name(de->d_name, &f.file.kind, &f.file.serial)) {
            continue;
        }
        if (is_whole(s, &f)) {
            APR_ARRAY_PUSH(*plist, listed_t) = f;
        } else {
            unlinkat(s->root_fd, de->d_name, 0);
        }
    }
    closedir(dir);
    qsort((*plist)->elts, (apr_size_t)(*plist)->nelts, sizeof(listed_t), by_serial);
    return APR_SUCCESS;
}

apr_uint64_t devcache_settle_next_serial(const apr_array_header_t *list)
{
    return list->nelts ? APR_ARRAY_IDX(list, list->nelts - 1, listed_t).file.serial + 1
                       : 1;
}

static listed_t *find_listed(const apr_array_header_t *list, const devcache_file_t *file)
{
    listed_t key = {*file};
    listed_t *found = list->nelts ? bsearch(&key, list->elts, (apr_size_t)list->nelts,
                                            sizeof(listed_t), by_serial)
                                  : NULL;

    return found && found->file.kind == file->kind ? found : NULL;
}

void devcache_settle_slots(devcache_root_t *s, apr_array_header_t *list)
{
    devcache_shared_t *sh = &s->sh;
    devcache_file_t file;
    devcache_slot_t copy;
    listed_t *found;
    unsigned i;

    devcache_slot_repair(sh);
    for (i = 0; i < sh->g.slots; i++) {
        if (!devcache_slot_get(sh, i, &file, &copy)) {
            continue;
        }
        found = find_listed(list, &file);
        if (copy.state != DEVCACHE_SLOT_FILLING && found) {
            devcache_slot_correct(sh, i, found->counts, found->len);
            found->file.slot = 1;
        } else {
            devcache_slot_free(sh, &file);
        }
    }
    for (i = 0; i < (unsigned)list->nelts; i++) {
        found = &APR_ARRAY_IDX(list, i, listed_t);
        if (!found->file.slot) {
            devcache_segment_unlink(s, &found->file);
        }
    }
    devcache_slot_repair(sh);
}

void devcache_settle_delete(devcache_root_t *s, const apr_array_header_t *list)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        devcache_segment_unlink(s, &APR_ARRAY_IDX(list, i, listed_t).file);
    }
}
