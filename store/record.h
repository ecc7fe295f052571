/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/record.h
 * What the store's files contain: the coding of file headers and records.
 *
 * Pure functions over bytes; the parser of everything that is read from disk.
 * Ownership  Decoded slices point into the caller's buffer.
 * Locks      None.
 * Units      Bytes; instants apr_time_t.
 * Errors     0 means "not one of ours", for whatever reason.
 */
#ifndef DEVCACHE_STORE_RECORD_H
#define DEVCACHE_STORE_RECORD_H

#include <apr_time.h>
#include "base/bytes.h"
#include "devcache_store.h"

#define DEVCACHE_RECORD_UNIT 64        /* records begin at multiples of this */
#define DEVCACHE_RECORD_FIXED 96       /* bytes of a record before its key */
#define DEVCACHE_RECORD_MAX (4u << 20) /* no record is longer, in any geometry */
/* A longer record's body is not read by a lookup, but in parts, for which it has sums by
 * block, a table. Measured: at 100 KB reading, verifying and copying all of it costs less. */
#define DEVCACHE_RECORD_WHOLE (256u << 10)
#define DEVCACHE_FILE_HEADER 64 /* bytes before the first record or the body */

typedef enum devcache_file_kind_t {
    DEVCACHE_FILE_SEGMENT = 1,
    DEVCACHE_FILE_BODY = 2
} devcache_file_kind_t;

typedef struct devcache_file_header_t {
    devcache_file_kind_t kind;
    apr_uint64_t serial; /* also in the file's name */
    apr_uint64_t salt;   /* random; never leaves this header and the records */
    apr_uint64_t len;    /* segment: its full size; body: bytes after the header */
} devcache_file_header_t;

void devcache_record_file_encode(unsigned char out[DEVCACHE_FILE_HEADER],
                                 const devcache_file_header_t *h);
int devcache_record_file_decode(const unsigned char in[DEVCACHE_FILE_HEADER],
                                devcache_file_header_t *h);

/**
 * The format version of a file that is ours but was written by another version of this
 * module; 0 if it is not such a file.
 */
apr_uint32_t devcache_record_file_foreign(const unsigned char in[DEVCACHE_FILE_HEADER]);

typedef struct devcache_record_t {
    devcache_slice_t key;
    devcache_slice_t spec;
    devcache_slice_t variant;
    devcache_slice_t meta;
    devcache_slice_t tags;
    devcache_slice_t body;   /* inline; after decoding NULL until checked */
    apr_uint64_t body_len;   /* wherever it is */
    apr_uint64_t ref_serial; /* the file that the body is in; 0: inline */
    apr_uint64_t body_sum;   /* inline: checksum; with a table, inline or in its own file:
                              * the table's root, seeded with that file's salt or 0 */
    apr_time_t requested_at;
    apr_time_t stored_at;
    apr_time_t fresh_until;
    apr_uint32_t head_len; /* bytes before the inline body */
    apr_uint32_t length;   /* bytes in the segment, inline body included */
    /* Where another record has the body, in the segment ref_serial: */
    apr_uint32_t ref_offset; /* that record's place, in units of DEVCACHE_RECORD_UNIT */
    apr_uint32_t ref_head;   /* its head_len; 0: ref_serial is a body file */
    devcache_slice_t table;  /* of a long inline body: its sums, behind it */
} devcache_record_t;

/** The longest head of a record whose body others may refer to. */
#define DEVCACHE_RECORD_REF_HEAD 0xffffu

/** What a record says about itself to those who judge it; slices as in @a rec. */
devcache_described_t devcache_record_describe(const devcache_record_t *rec);

/**
 * Set body_sum of a record with an inline body, and its table if it has one.
 * @param p  the table is allocated here
 */
void devcache_record_sum(devcache_record_t *rec, apr_pool_t *p);

/** How long would a record be whose head is @a head_len long, with an inline body? */
apr_uint64_t devcache_record_length(apr_uint64_t head_len, apr_uint64_t body_len);

/** Bytes of the record that has the body of @a rec, whose ref_head is not 0. */
apr_uint32_t devcache_record_ref_length(const devcache_record_t *rec);

/**
 * Fill in head_len and length from the slices.
 * @return 0 if the record would be longer than DEVCACHE_RECORD_MAX
 */
int devcache_record_measure(devcache_record_t *rec);

/**
 * Write the head (head_len bytes, as measured) for a record that will lie at @a offset
 * of the segment with @a salt. Inline body and table follow it in the file as they are.
 */
void devcache_record_encode(unsigned char *out, const devcache_record_t *rec,
                            apr_uint64_t salt, apr_uint64_t offset);

/**
 * First look at the fixed part: is a record likely here, and how long is it? Sets
 * lengths and times; the slices have lengths but no data.
 */
int devcache_record_peek(const unsigned char fixed[DEVCACHE_RECORD_FIXED],
                         apr_uint64_t salt, devcache_record_t *rec);

/**
 * Verify the head and set the slices of a record that has been peeked at.
 * @param head  rec->head_len bytes
 */
int devcache_record_check_head(const unsigned char *head, apr_uint64_t salt,
                               apr_uint64_t offset, devcache_record_t *rec);

/** Verify the inline body that follows a checked head, and set rec->body and rec->table. */
int devcache_record_check_body(const unsigned char *head, devcache_record_t *rec);

#endif
