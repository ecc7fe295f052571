/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/response.h
 * A stored response's own part of a record: status, freshness, fields, as bytes.
 *
 * Versioned and fixed-width; decoding trusts nothing (the store has checked a
 * checksum, which does not make an older build's layout ours).
 * Ownership  The strings of a decoded response are those in the bytes it was decoded
 *            from, which must outlive it; its table lives in the pool given.
 *
 * Bytes that stay in memory need to be decoded once only: what was made of them is kept in
 * a room beside them, and handed out again to each request, in any thread.
 */
#ifndef DEVCACHE_HTTP_RESPONSE_H
#define DEVCACHE_HTTP_RESPONSE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "base/bytes.h"
#include "http/policy.h"
#include "http/range.h"

/* Where the body is of a response whose record has none: in pieces, objects of their own.
 * The id, which no other response has, is in their keys. */
typedef struct devcache_pieces_t {
    apr_uint64_t id;
    apr_int64_t length; /* of the whole body */
    apr_int64_t
        slice; /* each piece has so many bytes, but the last; 0: they are listed */
    int count; /* listed, by their positions; none lies within another */
    devcache_span_t span[];
} devcache_pieces_t;

#define DEVCACHE_PIECES_MAX 32 /* that are listed */

typedef struct devcache_response_t {
    int status;
    const char *reason; /* reason phrase as it came, or NULL */
    devcache_freshness_t fresh;
    apr_table_t *lines; /* to be replayed; several lines of a name in order. Read them by
                         * devcache_response_fields(): NULL while kept has them */
    const char *content_type;        /* NULL: none; not among the lines */
    const char *etag_shown;          /* the ETag that clients see; NULL: the lines' own */
    const devcache_pieces_t *pieces; /* NULL: the body is in the record */
    struct devcache_kept_t *kept;    /* NULL: was decoded for this request alone */
} devcache_response_t;

/** Bytes of the whole body, of which @a body_len are in the record. */
static inline apr_int64_t devcache_response_length(const devcache_response_t *r,
                                                   apr_uint64_t body_len)
{
    return r->pieces ? r->pieces->length : (apr_int64_t)body_len;
}

/* What a field is to the one who writes it to a client. */
typedef enum devcache_kept_e {
    DEVCACHE_KEPT_PLAIN,
    DEVCACHE_KEPT_DATE,
    DEVCACHE_KEPT_SERVER,
    DEVCACHE_KEPT_VARY,
    DEVCACHE_KEPT_CODING, /* Content-Encoding */
    DEVCACHE_KEPT_LENGTH,
    DEVCACHE_KEPT_TYPE,
    DEVCACHE_KEPT_AGE,
    DEVCACHE_KEPT_RANGES, /* Accept-Ranges */
    DEVCACHE_KEPT_ODD /* about the connection, no token as a name, a control character */
} devcache_kept_e;

typedef struct devcache_kept_field_t {
    const char *name, *value;
    apr_uint32_t value_len;
    apr_uint16_t name_len;
    unsigned char is; /* devcache_kept_e */
} devcache_kept_field_t;

/* A decoded response that others use as well; once it is handed out nothing changes but what
 * is noted. */
typedef struct devcache_kept_t {
    apr_uint32_t state; /* atomic */
    apr_uint32_t tags;  /* relaxed; noted by request/tags.c. 0: nothing yet */
    int count;
    apr_uint16_t kinds;           /* a bit for each devcache_kept_e that is there */
    apr_uint16_t repeats;         /* one that there should be once is there twice */
    devcache_response_t response; /* lines: NULL */
    devcache_kept_field_t field[];
} devcache_kept_t;

#define DEVCACHE_RESPONSE_ROOM 512 /* bytes; longer responses are decoded each time */

/** Encode; the bytes live in @a p. */
devcache_slice_t devcache_response_encode(const devcache_response_t *r, apr_pool_t *p);

/** Decode; APR_EINVAL if the bytes are not one whole response of this version. */
apr_status_t devcache_response_decode(devcache_slice_t bytes, devcache_response_t *out,
                                      apr_pool_t *p);

/**
 * Decode, or take what an earlier call has kept in @a room.
 * @param room  DEVCACHE_RESPONSE_ROOM bytes that live as long as @a bytes and were zero in
 *              the beginning; NULL: nothing is kept
 * Locks: none that anybody waits for; any number of threads may share a room.
 */
apr_status_t devcache_response_decode_kept(devcache_slice_t bytes, void *room,
                                           devcache_response_t *out, apr_pool_t *p);

/** The fields as a table, which the caller may change; made in @a p if they were kept. */
apr_table_t *devcache_response_fields(devcache_response_t *r, apr_pool_t *p);

#endif
