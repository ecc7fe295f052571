/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/segment.h
 * The files below the root: their names, descriptors and bytes.
 *
 * Knows files and records; what is evicted and what is published is decided elsewhere.
 * Locks      None held on return, none held during I/O.
 * Processes  Any, any thread.
 * Errors     errno as apr_status_t, counted and, for writes, logged once per change.
 *            APR_NOTFOUND: the file is gone. APR_EGENERAL: it is not what it should be.
 */
#ifndef DEVCACHE_STORE_SEGMENT_H
#define DEVCACHE_STORE_SEGMENT_H

#include "store/internal.h"

#define DEVCACHE_FILE_NAME 24 /* bytes of a name with its NUL */

/** "seg-<16 hex digits>" or "body-<16 hex digits>". */
void devcache_segment_name(char out[DEVCACHE_FILE_NAME], devcache_file_kind_t kind,
                           apr_uint64_t serial);

/** The reverse; 0 if @a name is not exactly such a name. */
int devcache_segment_parse_name(const char *name, devcache_file_kind_t *kind,
                                apr_uint64_t *serial);

/** Unlink a file whose slot was freed. */
void devcache_segment_unlink(devcache_root_t *s, const devcache_file_t *file);

/**
 * Make the file of a slot that is being filled, with its header.
 * @param len    for the header
 * @param pfd    descriptor for reading and writing; NULL: closed
 * @param psalt  the file's salt
 */
apr_status_t devcache_segment_create(devcache_root_t *s, const devcache_file_t *file,
                                     apr_uint64_t len, int *pfd, apr_uint64_t *psalt);

/** Write a file's header; a body's once more when it is complete. */
apr_status_t devcache_segment_write_header(devcache_root_t *s, int fd,
                                           const devcache_file_t *file, apr_uint64_t salt,
                                           apr_uint64_t len);

/** Write all of it at @a offset. */
apr_status_t devcache_segment_write(devcache_root_t *s, int fd, const void *data,
                                    apr_size_t len, apr_uint64_t offset);

/**
 * Open a file and verify that it is a plain one, ours, and what its name says.
 * @param len  set to the file's size, header included
 */
apr_status_t devcache_segment_open(devcache_root_t *s, const devcache_file_t *file,
                                   int *pfd, devcache_file_header_t *header,
                                   apr_uint64_t *len);

/** A segment's descriptor, shared by the process's threads. */
typedef struct devcache_lease_t {
    int fd;
    apr_uint64_t salt;
    devcache_open_t *shared; /* NULL: fd is the lease's own */
} devcache_lease_t;

apr_status_t devcache_segment_lease(devcache_root_t *s, const devcache_file_t *file,
                                    devcache_lease_t *lease);
void devcache_segment_release(devcache_root_t *s, devcache_lease_t *lease);

/** Close what other processes have evicted. Cheap if there is nothing new. */
void devcache_segment_tidy(devcache_root_t *s);

/** Close all. Nobody may be using one. */
void devcache_segment_close_all(devcache_root_t *s);

/**
 * Read and verify the record at @a range of @a len bytes, inline body included.
 * @param p  the bytes are allocated here
 * @return APR_EGENERAL if it is damaged or another one; APR_EOF if the file is too short
 */
apr_status_t devcache_segment_read(devcache_root_t *s, const devcache_file_t *file,
                                   apr_uint64_t offset, apr_uint32_t len,
                                   devcache_record_t *rec, apr_pool_t *p);

/**
 * As devcache_segment_read(), but an inline body is neither read nor verified: rec->body
 * has no data. Where it begins is @a offset + rec->head_len.
 */
apr_status_t devcache_segment_read_head(devcache_root_t *s, const devcache_file_t *file,
                                        apr_uint64_t offset, apr_uint32_t len,
                                        devcache_record_t *rec, apr_pool_t *p);

/**
 * Append a record. Its length is measured here.
 * @param keep  as devcache_slot_reserve()
 * @param at    where it lies
 * @return APR_EAGAIN  there is no segment to append to now; APR_ENOSPC: no record may be
 *         that long, or the disk is full
 */
apr_status_t devcache_segment_append(devcache_root_t *s, devcache_queue_t queue,
                                     devcache_record_t *rec, unsigned keep,
                                     devcache_range_t *at);

/** Going through the records of a segment. */
typedef struct devcache_walk_t {
    int fd;
    apr_uint64_t salt;
    apr_uint64_t size;     /* of the file */
    apr_uint64_t pos;      /* where to look next */
    apr_uint64_t offset;   /* of the record found */
    unsigned char *window; /* bytes of the file from window_at on */
    apr_size_t capacity;
    apr_uint64_t window_at;
    apr_size_t window_len;
    int heads_only;        /* long bodies are not read unless they are asked for */
    apr_uint64_t last_len; /* of the record found */
    apr_uint64_t asked_to; /* the kernel was asked to have the file ready up to here */
} devcache_walk_t;

apr_status_t devcache_segment_walk_begin(devcache_root_t *s, const devcache_file_t *file,
                                         devcache_walk_t *w);

/**
 * The same over a segment that the caller has opened and whose header he has verified, of
 * which bodies will be asked for as well as heads.
 * @param fd    for reading; closed by devcache_segment_walk_end(), on failure here
 * @param size  of the file, bytes
 */
apr_status_t devcache_segment_walk_over(devcache_walk_t *w, int fd, apr_uint64_t salt,
                                        apr_uint64_t size);

/**
 * The next record whose head is whole; what is not a record is skipped.
 * @param rec  its slices are valid until the next call; the body is not read
 * @return 0 at the end
 */
int devcache_segment_walk_next(devcache_walk_t *w, devcache_record_t *rec);

/**
 * Read and verify the inline body of the record just found.
 * @param rec  its slices, the body's too, are valid until the next call
 */
int devcache_segment_walk_body(devcache_walk_t *w, devcache_record_t *rec);

/** @a len bytes of the file from @a pos on, valid until the next call; NULL if there are
 * not so many. */
const unsigned char *devcache_segment_walk_look(devcache_walk_t *w, apr_uint64_t pos,
                                                apr_size_t len);

void devcache_segment_walk_end(devcache_walk_t *w);

#endif
