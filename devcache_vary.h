/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file devcache_vary.h
 * The key of a stored response, the Vary that selects among its variants, and the
 * Vary that clients are shown.
 *
 * Knows HTTP's Vary; does not know httpd nor the store. Keys and variants are
 * sequences of length-prefixed fields, so that no separator can be forged.
 * Ownership  Results live in the pool given.
 *
 * A *spec* is the canonical text of what a variant depends on: names in lower case,
 * sorted, each once, separated by one space. The pseudo-name "@device" stands for the
 * device class, "@coding1=br" for a body that is for all who accept this coding; the digit
 * is its place in DevCacheEncodings. The empty spec is a response that depends on nothing.
 */
#ifndef DEVCACHE_VARY_H
#define DEVCACHE_VARY_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "base/bytes.h"
#include "http/reason.h"

#define DEVCACHE_VARY_MAX_NAMES 32  /* more names than that: not stored */
#define DEVCACHE_VARY_MAX_SPEC 1024 /* bytes of spec text */

/* What the Location's configuration says about variants. */
typedef struct devcache_vary_conf_t {
    const char *device_header; /* as configured, e.g. X-Device-Type; NULL: none is sent */
    int by_device;             /* DevCacheVaryDevice: every response splits by class */
    int user_agent_exact; /* DevCacheVaryUserAgent exact: the string, not the class */
    int client_hints;     /* Sec-CH-UA-Mobile, -Platform, -Form-Factors are read */
    const char *device_cookie; /* name of the visitor's-choice cookie, or NULL */
    const apr_array_header_t *encodings; /* const char *, the dearest first; NULL: keep */
    int inflates; /* a body in gzip is for all: it will be inflated for this request */
} devcache_vary_conf_t;

/**
 * The canonical key. Host lower-cased, one trailing dot dropped; @a path is the decoded,
 * normalised path; "no query" and "empty query" are different.
 */
devcache_slice_t devcache_vary_key(const char *scheme, const char *host, unsigned port,
                                   const char *path, const char *query, apr_pool_t *p);

/**
 * The key of a piece of a response with this key: as that, and which response's it is, and
 * where it begins. A ban that is about the URL is about its pieces as well.
 */
devcache_slice_t devcache_vary_key_piece(devcache_slice_t key, apr_uint64_t id,
                                         apr_int64_t first, apr_pool_t *p);

/** What a key was made of; slices of it. query.data NULL: none. */
typedef struct devcache_vary_parts_t {
    devcache_slice_t scheme;
    devcache_slice_t host;
    unsigned port;
    devcache_slice_t path;
    devcache_slice_t query;
    apr_int64_t first; /* of a piece: where it begins; -1: it is no piece's */
} devcache_vary_parts_t;

/** @return 0 if it is no key */
int devcache_vary_key_parts(devcache_slice_t key, devcache_vary_parts_t *parts);

/** The class in a variant, from devcache_vary_values(); data NULL if it is for all. */
devcache_slice_t devcache_vary_device_of(devcache_slice_t spec, devcache_slice_t variant);

/** A key as a readable URL for logs and Cache-Status; cut to what is printable. */
const char *devcache_vary_key_url(devcache_slice_t key, apr_pool_t *p);

/**
 * The spec of a response, from all its Vary lines and the configuration. Vary members
 * that mean the device (the device header; User-Agent unless exact; Sec-CH-UA-Mobile)
 * become "@device".
 * A body in a coding depends on Accept-Encoding, whether its Vary says so or not.
 * @param request  the request header snapshot; DevCacheEncodings reduces it, as it does what
 *                 the origin is sent
 * @return NONE and *pspec set, or VARY_STAR, VARY_LIMIT, or CONFLICT if a member is no
 *         field name
 */
devcache_reason_e devcache_vary_spec(const devcache_vary_conf_t *conf,
                                     const apr_table_t *request,
                                     const apr_table_t *response, const char **pspec,
                                     apr_pool_t *p);

/**
 * A request's values under a spec: the spec itself, target, class if named, then each
 * header normalised
 * (Accept-Encoding and Accept-Language by meaning; others byte for byte apart from
 * white space around commas and line joins). Absent and empty are different.
 * @param target  what the origin is asked for after all rewriting, compared exactly
 * @param request the frozen request header snapshot
 * @return data == NULL if by_device is on and the spec lacks "@device": a copy stored
 *         before the administrator asked for splitting must not be used
 */
devcache_slice_t devcache_vary_values(const devcache_vary_conf_t *conf, const char *spec,
                                      devcache_slice_t target, const char *device,
                                      const apr_table_t *request, apr_pool_t *p);

#define DEVCACHE_VARY_SHOWN                                                              \
    6 /* parts of a target that may be shown to people; those
                               * behind have values of fields, which may be secret */

/** A stored variant, taken apart for people. Strings in the pool of the call. */
typedef struct devcache_vary_said_t {
    const char *spec;
    const char *target;  /* its first parts, with blanks between; if it has none, as
                          * devcache_vary_values() was given it */
    const char *device;  /* NULL: it does not depend on the device */
    apr_table_t *values; /* the other names of the spec with their values; absent ones
                          * are not there */
} devcache_vary_said_t;

/** The reverse of devcache_vary_values(). @return 0 if the bytes are not of that form */
int devcache_vary_read(devcache_slice_t values, devcache_vary_said_t *out, apr_pool_t *p);

/* One name of a spec under which two variants have other values. */
typedef struct devcache_vary_difference_t {
    const char *name;      /* a field, "@device", or "@target" */
    devcache_slice_t a, b; /* data NULL: absent */
} devcache_vary_difference_t;

/**
 * What two variants of one spec differ in, from devcache_vary_values(). A coding counts as
 * "accept-encoding".
 * @return how many, at most @a max; -1 if they are not of one spec
 */
int devcache_vary_differences(devcache_slice_t a, devcache_slice_t b,
                              devcache_vary_difference_t *out, int max, apr_pool_t *p);

/**
 * The Vary that clients are shown for a response whose own lines are in @a response:
 * device header out, what clients send (User-Agent, hints, Cookie) in, names once, in
 * their first order and spelling; "*" if they are more than 64. NULL: no Vary at all.
 * @param by_device  the response depends on the class; so it does if its Vary names
 *                   the device header
 */
const char *devcache_vary_outward(const devcache_vary_conf_t *conf,
                                  const apr_table_t *response, int by_device,
                                  apr_pool_t *p);

/** Accept-Encoding in canonical form: codings in lower case, sorted by preference then
 * name, q=0 kept apart, x-gzip as gzip; NULL stays NULL; malformed: unchanged. */
const char *devcache_vary_accept_encoding(const char *value, apr_pool_t *p);

/** Accept-Language likewise. */
const char *devcache_vary_accept_language(const char *value, apr_pool_t *p);

#endif
