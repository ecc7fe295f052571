/**
 * @file devcache_response.h
 * A stored response's own part of a record: status, freshness, fields, as bytes.
 *
 * Versioned and fixed-width; decoding trusts nothing (the store has checked a
 * checksum, which does not make an older build's layout ours).
 * Ownership  The strings of a decoded response are those in the bytes it was decoded
 *            from, which must outlive it; its table lives in the pool given.
 */
#ifndef DEVCACHE_RESPONSE_H
#define DEVCACHE_RESPONSE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "devcache_bytes.h"
#include "devcache_policy.h"

typedef struct devcache_response_t {
    int status;
    const char *reason; /* reason phrase as it came, or NULL */
    devcache_freshness_t fresh;
    apr_table_t *fields;      /* to be replayed; several lines of a name in order */
    const char *content_type; /* NULL: none; not among the fields */
} devcache_response_t;

/** Encode; the bytes live in @a p. */
devcache_slice_t devcache_response_encode(const devcache_response_t *r, apr_pool_t *p);

/** Decode; APR_EINVAL if the bytes are not one whole response of this version. */
apr_status_t devcache_response_decode(devcache_slice_t bytes, devcache_response_t *out,
                                      apr_pool_t *p);

#endif
