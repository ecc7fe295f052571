/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/inspect.h
 * A store's directory seen from outside: every record, read and verified, nothing
 * changed.
 *
 * For tools. Works beside a running server and on what a stopped one has left: no file is
 * made, written or locked, the index is mapped for reading only, and what the server
 * deletes or adds meanwhile is tolerated. Nothing is read through a symbolic link below
 * the root, nor what does not belong to the root's owner.
 * Ownership  A handle and what it gives out live in the pool of devcache_inspect_open().
 * Locks      None, not even those of the index.
 * Processes  One thread of any process that may read the directory: its owner, or root.
 * Units      Bytes.
 * Errors     APR_ENOTIMPL: of another version. APR_EGENERAL: not a store's directory.
 *            Anything else: errno.
 */
#ifndef DEVCACHE_STORE_INSPECT_H
#define DEVCACHE_STORE_INSPECT_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "store/record.h"
#include "devcache_store.h"

typedef struct devcache_inspect_t devcache_inspect_t;

/**
 * Look at the directory @a root and note which records the index leads to now.
 * @param perror  one sentence when not APR_SUCCESS
 */
apr_status_t devcache_inspect_open(devcache_inspect_t **pin, const char *root,
                                   const char **perror, apr_pool_t *p);

/** NULL, or a phrase: why it is not known which records are in use. */
const char *devcache_inspect_no_index(const devcache_inspect_t *in);

/** As devcache_store_stats(), from the index. @return 0 without one */
int devcache_inspect_stats(const devcache_inspect_t *in, devcache_store_stats_t *out);

#define DEVCACHE_INSPECT_NAME 24 /* bytes of a file's name with its NUL */

/** The name of a file: "seg-00000000000000a7" or "body-00000000000000a8". */
void devcache_inspect_file_name(char out[DEVCACHE_INSPECT_NAME],
                                devcache_file_kind_t kind, apr_uint64_t serial);

typedef struct devcache_inspect_file_t {
    devcache_file_kind_t kind;
    apr_uint64_t serial;
    apr_uint64_t len; /* of the file now */
} devcache_inspect_file_t;

/** The files that bear a name of ours, oldest first, and behind them the segments that
 * the index leads to and that are missing, as an array of the above in @a p. */
apr_status_t devcache_inspect_files(const devcache_inspect_t *in,
                                    apr_array_header_t **pfiles, apr_pool_t *p);

typedef enum devcache_finding_e {
    DEVCACHE_FINDING_OBJECT,
    DEVCACHE_FINDING_UNFINISHED, /* being written now, or its writer was killed */
    DEVCACHE_FINDING_DAMAGED
} devcache_finding_e;

/** What lies somewhere in a segment. Valid during the call that it is given to. */
typedef struct devcache_found_t {
    devcache_finding_e what;
    apr_uint64_t serial; /* of the segment */
    apr_uint64_t offset; /* in it */
    apr_uint64_t len;
    devcache_record_t rec; /* objects: head verified */
    int live;              /* the index leads to it; -1: not known */
    unsigned use;          /* of a live one: uses since its segment began, 3 at most */
    const char *why;       /* DAMAGED: what is wrong, a phrase */
} devcache_found_t;

/** @return other than 0 to end the walk */
typedef int devcache_found_fn(void *baton, const devcache_found_t *found);

/**
 * Give everything in a segment to @a fn, in order. Gaps of zeros are not given.
 * @param bodies  also verify bodies: all their checksums
 * @return what @a fn returned, 0 at the end
 */
int devcache_inspect_segment(devcache_inspect_t *in, apr_uint64_t serial, int bodies,
                             devcache_found_fn *fn, void *baton);

/**
 * Give all live objects of a key to @a fn, by the index.
 * @return what @a fn returned, 0 at the end
 */
int devcache_inspect_key(devcache_inspect_t *in, devcache_slice_t key,
                         devcache_found_fn *fn, void *baton);

#endif
