/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/snapshot.h
 * What the index of a directory led to when that was opened, for store/inspect.c, which takes
 * it, and store/verify.c, which reads the segments beside it.
 *
 * Ownership, locks and errors as in store/inspect.h. Units: bytes.
 */
#ifndef DEVCACHE_STORE_SNAPSHOT_H
#define DEVCACHE_STORE_SNAPSHOT_H

#include <sys/types.h>
#include "store/inspect.h"
#include "store/internal.h"

/* One entry of the index, as it was when the directory was opened. */
typedef struct devcache_placed_t {
    apr_uint64_t serial; /* of the segment, whole */
    apr_uint64_t key_hash;
    apr_uint64_t offset; /* bytes */
    apr_uint32_t at;     /* which entry */
    apr_uint32_t length;
    unsigned char use;
} devcache_placed_t;

struct devcache_inspect_t {
    const char *root;
    int fd;
    uid_t owner;
    devcache_shared_t sh;    /* head NULL: no index */
    const char *no_index;    /* why */
    devcache_placed_t *live; /* sorted by serial, then offset */
    apr_size_t n_live;
    int looks; /* second looks so far */
};

/**
 * Open a file below the root and read its header.
 * @param pfd    closed by the caller, if NULL is returned
 * @param pgone  it is not there at all
 * @return NULL, or what is wrong with it
 */
const char *devcache_inspect_open_file(const devcache_inspect_t *in,
                                       devcache_file_kind_t kind, apr_uint64_t serial,
                                       int *pfd, devcache_file_header_t *header,
                                       apr_uint64_t *plen, int *pgone);

/** The same of a segment. */
const char *devcache_inspect_open_segment(const devcache_inspect_t *in,
                                          apr_uint64_t serial, int *pfd,
                                          devcache_file_header_t *header,
                                          apr_uint64_t *plen, int *pgone);

/** Does the index still lead there? */
int devcache_inspect_still_there(const devcache_inspect_t *in,
                                 const devcache_placed_t *was);

/** The first of the snapshot that is not before this place. */
apr_size_t devcache_inspect_seek(const devcache_inspect_t *in, apr_uint64_t serial,
                                 apr_uint64_t offset);

/** How many entries lead into a range, and still do. */
unsigned devcache_inspect_count_live(const devcache_inspect_t *in, apr_uint64_t serial,
                                     apr_uint64_t from, apr_uint64_t to);

#endif
