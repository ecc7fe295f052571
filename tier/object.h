/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/object.h
 * A stored object as bytes on a server that anybody may have written to.
 *
 * Pure functions. What is read is believed in nothing: lengths, checksums, the key, and
 * the signature where there is a DevCacheTierKey.
 * Ownership  What is read points into the bytes; what is made lives in the pool given.
 */
#ifndef DEVCACHE_TIER_OBJECT_H
#define DEVCACHE_TIER_OBJECT_H

#include "store/record.h"
#include "tier/key.h"
#include "tier/recent.h"

/** What is said of it beside the record. Microseconds; instants by the server's clock. */
typedef struct devcache_tier_object_t {
    devcache_recent_then_t then; /* `at` is not among the bytes */
    apr_time_t began;            /* its fetch */
    apr_time_t written;          /* to the server, */
    apr_interval_time_t age;     /* when it was so old, */
    apr_interval_time_t left;    /* and was to be fresh for so long */
    devcache_record_t record;    /* spec alone: only a hint where to look */
} devcache_tier_object_t;

/** The name of an object: 32 hexadecimal digits behind @a prefix. */
const char *devcache_tier_object_name(const char *prefix, apr_uint64_t configuration,
                                      devcache_slice_t key, devcache_slice_t spec,
                                      devcache_slice_t variant, apr_pool_t *p);

/** Room for the bytes of an object with this record, which has been measured. */
apr_size_t devcache_tier_object_size(const devcache_record_t *record);

/** Where in that room the record's body belongs. */
char *devcache_tier_object_body(char *room, const devcache_record_t *record);

/** The body is there: put the record around it. @a p: scratch */
void devcache_tier_object_seal(char *room, devcache_record_t *record,
                               apr_uint64_t configuration, apr_pool_t *p);

/** All else, at last. @return how many bytes it is; 0: it cannot be signed */
apr_size_t devcache_tier_object_finish(char *room, const devcache_tier_object_t *object,
                                       const char *name, const devcache_tier_key_t *key);

/** A hint: for such a key and variant look under that spec. */
devcache_slice_t devcache_tier_object_hint(const char *spec, const char *name,
                                           const devcache_tier_key_t *key, apr_pool_t *p);

typedef enum devcache_tier_read_e {
    DEVCACHE_TIER_READ_NOTHING, /* damaged, foreign, of another version */
    DEVCACHE_TIER_READ_OBJECT,
    DEVCACHE_TIER_READ_HINT /* record.spec is set, and nothing else */
} devcache_tier_read_e;

devcache_tier_read_e devcache_tier_object_read(devcache_slice_t bytes, const char *name,
                                               apr_uint64_t configuration,
                                               const devcache_tier_key_t *key,
                                               devcache_tier_object_t *out);

#endif
