/**
 * @file devcache_record.h
 * What the store's files contain: the coding of file headers and records.
 *
 * Pure functions over bytes; the parser of everything that is read from disk.
 * Ownership  Decoded slices point into the caller's buffer.
 * Locks      None.
 * Units      Bytes; instants apr_time_t.
 * Errors     0 means "not one of ours", for whatever reason.
 */
#ifndef DEVCACHE_RECORD_H
#define DEVCACHE_RECORD_H

#include <apr_time.h>
#include "devcache_bytes.h"

#define DEVCACHE_RECORD_UNIT 64        /* records begin at multiples of this */
#define DEVCACHE_RECORD_FIXED 96       /* bytes of a record before its key */
#define DEVCACHE_RECORD_MAX (4u << 20) /* no record is longer, in any geometry */
#define DEVCACHE_FILE_HEADER 64        /* bytes before the first record or the body */

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

typedef enum devcache_record_kind_t {
    DEVCACHE_RECORD_OBJECT = 1,
    DEVCACHE_RECORD_TOMBSTONE = 2, /* a key was removed */
    DEVCACHE_RECORD_BAN = 3        /* a purge of many, or of a part of a key */
} devcache_record_kind_t;

typedef struct devcache_record_t {
    devcache_record_kind_t kind;
    devcache_slice_t key;  /* of a ban: empty if it is about all keys */
    devcache_slice_t spec; /* objects only, as are the next four but meta */
    devcache_slice_t variant;
    devcache_slice_t meta; /* of a ban: what it is about */
    devcache_slice_t tags;
    devcache_slice_t body;   /* inline; after decoding NULL until checked */
    apr_uint64_t body_len;   /* inline or in its own file */
    apr_uint64_t ref_serial; /* object: its body file, 0 if inline; tombstone and ban:
                              * no segment from this serial on needs it */
    apr_uint64_t body_sum;   /* inline: checksum; own file: that file's salt */
    apr_time_t requested_at; /* tombstone, ban: about what was requested until then */
    apr_time_t stored_at;
    apr_time_t fresh_until; /* ban: 0, or expires what it is about instead */
    apr_uint32_t head_len;  /* bytes before the inline body */
    apr_uint32_t length;    /* bytes in the segment, inline body included */
} devcache_record_t;

/** The checksum that belongs into body_sum of an inline body. */
apr_uint64_t devcache_record_body_sum(devcache_slice_t body);

/**
 * Fill in head_len and length from the slices.
 * @return 0 if the record would be longer than DEVCACHE_RECORD_MAX
 */
int devcache_record_measure(devcache_record_t *rec);

/**
 * Write the head (head_len bytes, as measured) for a record that will lie at @a offset
 * of the segment with @a salt. The inline body follows it in the file as it is.
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

/** Verify the inline body that follows a checked head, and set rec->body. */
int devcache_record_check_body(const unsigned char *head, devcache_record_t *rec);

#endif
