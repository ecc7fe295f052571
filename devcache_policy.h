/**
 * @file devcache_policy.h
 * What a shared cache may do by the RFCs: may it be stored, is it fresh, what
 * validates it, what does it invalidate.
 *
 * Pure functions over header tables and instants: no I/O, no clock, no httpd. Every
 * refusal is a reason from one list, which reaches the debug log, the access log,
 * Cache-Status and the counters.
 * Units      Instants apr_time_t, durations apr_interval_time_t (microseconds).
 * Ownership  Results point into the tables given or into the pool given.
 * RFCs       9111 unless a comment says otherwise; 9110, 5861, 8246, 9213.
 */
#ifndef DEVCACHE_POLICY_H
#define DEVCACHE_POLICY_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

/* Why something was not stored or not reused: name, text for logs (stable), meaning.
 * Add at the end; counters are indexed by it. */
#define DEVCACHE_REASONS(R)                                                              \
    R(NONE, "-", "nothing stands against it")                                            \
    R(METHOD, "method", "neither GET nor HEAD")                                          \
    R(REQ_BODY, "request-body", "a GET or HEAD with a body")                             \
    R(REQ_NO_STORE, "request-no-store", "the request says no-store")                     \
    R(REQ_RANGE, "range", "a part was asked for, none is stored")                        \
    R(REQ_PRECOND, "precondition", "If-Match or If-Unmodified-Since, none stored")       \
    R(REQ_OVERRIDE, "override-header", "a header that may change what is served")        \
    R(REQ_UPGRADE, "upgrade", "the request asks for another protocol")                   \
    R(AUTHORIZATION, "authorization", "Authorization without permission to share")       \
    R(STATUS, "status", "status not understood or not cacheable")                        \
    R(PARTIAL, "partial", "206 or Content-Range")                                        \
    R(NO_STORE, "no-store", "the response says no-store")                                \
    R(PRIVATE, "private", "the response says private")                                   \
    R(NO_FRESHNESS, "no-freshness", "neither a lifetime nor a validator")                \
    R(SET_COOKIE, "set-cookie", "the response sets a cookie")                            \
    R(VARY_STAR, "vary-star", "Vary: *")                                                 \
    R(VARY_LIMIT, "vary-limit", "Vary too long or too many names")                       \
    R(CONFLICT, "conflicting-fields",                                                    \
      "contradicting or malformed framing or cache fields")                              \
    R(HEADERS_LIMIT, "headers-limit", "response header section too large")               \
    R(TOO_LARGE, "too-large", "larger than DevCacheMaxObjectSize")                       \
    R(INCOMPLETE, "incomplete", "the body ended early or had an error")                  \
    R(EXPIRED, "expired", "stale on arrival, without a validator")                       \
    R(STALE, "stale", "no longer fresh")                                                 \
    R(REQ_NO_CACHE, "request-no-cache", "the request says no-cache or Pragma")           \
    R(REQ_MAX_AGE, "request-max-age", "older than the request allows")                   \
    R(REQ_MIN_FRESH, "request-min-fresh", "not fresh for as long as the request asks")   \
    R(MUST_VALIDATE, "no-cache", "no-cache: validated at each use, if it can be")        \
    R(BYPASS, "bypass", "DevCacheBypass is true")                                        \
    R(STORE_ERROR, "store-error", "the store could not keep it")                         \
    R(REMOVED, "removed", "purged or invalidated during the fetch")                      \
    R(VARY_MISMATCH, "vary", "stored, but not for a request like this")                  \
    R(URI_MISS, "uri-miss", "nothing stored for this URL")                               \
    R(REDIRECTED, "internal-redirect", "an internal redirect led to what is not cached") \
    R(ONLY_IF_CACHED, "only-if-cached", "the client wants no fetch, none stored")        \
    R(TAGS, "tags", "cache tags too many, too long or malformed")                        \
    R(PART, "part", "put together from a part that failed or is not for all")

typedef enum devcache_reason_e {
#define R(name, text, meaning) DEVCACHE_REASON_##name,
    DEVCACHE_REASONS(R)
#undef R
        DEVCACHE_REASON_COUNT
} devcache_reason_e;

/** The stable text of a reason, static. */
const char *devcache_policy_reason(devcache_reason_e reason);

/* The administrator's part, filled by glue from the merged configuration. */
typedef struct devcache_policy_conf_t {
    apr_interval_time_t default_ttl; /* where the origin states none; 0: none */
    const apr_array_header_t
        *default_ttl_status;       /* of int; NULL: those cacheable by default */
    apr_interval_time_t min_ttl;   /* clamps explicit freshness; -1: unset */
    apr_interval_time_t max_ttl;   /* clamps every freshness; -1: unset */
    apr_interval_time_t force_ttl; /* replaces it; -1: unset */
    const apr_array_header_t
        *force_ttl_status; /* of int; NULL: those cacheable by default */
    apr_interval_time_t stale_while_revalidate; /* where the origin states none */
    apr_interval_time_t stale_if_error;         /* where the origin states none */
    apr_interval_time_t stale_if_unreachable;   /* when it gives no answer at all */
    apr_int64_t max_object_size;                /* bytes */
    int ignore_client_control; /* the request's Cache-Control and Pragma do not count */
    int store_set_cookie;
    const apr_array_header_t *key_headers; /* const char *: part of the key, so never a
                                            * reason to bypass; NULL: none */
    const apr_array_header_t
        *targets; /* const char *: targeted fields, RFC 9213, best first */
} devcache_policy_conf_t;

/* What the request says, parsed once. -1: not said. */
typedef struct devcache_request_t {
    const apr_table_t *headers; /* the request's own, as given */
    int is_get;                 /* GET */
    int is_head;                /* HEAD */
    int authorization;          /* has Authorization */
    int no_cache, no_store, only_if_cached, no_transform;
    apr_interval_time_t max_age, min_fresh;
    apr_interval_time_t max_stale;      /* APR_INT64_MAX: any */
    apr_interval_time_t stale_if_error; /* RFC 5861 section 4 allows it in requests too */
    int has_range, has_precondition;    /* Range; If-Match or If-Unmodified-Since */
    int has_conditional;                /* If-None-Match or If-Modified-Since */
    devcache_reason_e bypass; /* why the cache must not be used at all; NONE: it may */
} devcache_request_t;

/**
 * The request's headers that may change what an origin serves under the URL while no Vary
 * names them (X-HTTP-Method-Override, X-Original-URL, X-Forwarded-Host, ...: one table in
 * the source). To be asked while the header is still the client's own.
 * @return a table in @a p, or NULL if there is none
 */
apr_table_t *devcache_policy_overrides(const apr_table_t *headers, apr_pool_t *p);

/**
 * Read the request. @a has_body: Content-Length above 0 or Transfer-Encoding present.
 * bypass is set for: other methods, bodies, upgrades, @a overrides (as from
 * devcache_policy_overrides(), NULL: none) that are not keyed, a Connection that names
 * other fields, request no-store.
 */
void devcache_policy_request(const devcache_policy_conf_t *conf, const char *method,
                             const apr_table_t *headers, const apr_table_t *overrides,
                             int has_body, devcache_request_t *out);

#define DEVCACHE_MUST_REVALIDATE                                                         \
    0x01u /* never stale: must-revalidate, proxy-revalidate, s-maxage */
#define DEVCACHE_NO_CACHE 0x02u  /* validate at each use */
#define DEVCACHE_HEURISTIC 0x04u /* lifetime is a guess */
#define DEVCACHE_IMMUTABLE 0x08u /* RFC 8246 */
#define DEVCACHE_SHAREABLE 0x10u /* may answer requests with Authorization */

/* All that reuse needs, derived once when the response is stored (section 4.2). */
typedef struct devcache_freshness_t {
    apr_time_t requested_at;         /* request sent */
    apr_time_t received_at;          /* response header received */
    apr_interval_time_t initial_age; /* corrected_initial_age of section 4.2.3 */
    apr_interval_time_t lifetime;    /* freshness_lifetime of section 4.2.1, clamped */
    apr_interval_time_t stale_while_revalidate;
    apr_interval_time_t stale_if_error;
    unsigned flags; /* DEVCACHE_MUST_REVALIDATE ... */
} devcache_freshness_t;

/**
 * May a response be stored for reuse by others, and for how long is it fresh?
 * For a HEAD the fields alone are judged; whether there is a body to go with them is
 * the caller's affair. After a 304 it judges the updated fields with the stored status.
 * @param req      as read before the fetch; bypass is passed on
 * @param status   the final status code
 * @param headers  the response's fields, several lines of one name allowed
 * @param has_query the URL has a query (no heuristic by Last-Modified then)
 * @param length   body bytes if known, else -1
 * @param p        for the answer's own scratch; *out needs nothing of it
 * @return NONE and *out filled, or the reason against it
 */
devcache_reason_e devcache_policy_storable(const devcache_policy_conf_t *conf,
                                           const devcache_request_t *req, int status,
                                           const apr_table_t *headers, int has_query,
                                           apr_int64_t length, apr_time_t requested_at,
                                           apr_time_t received_at,
                                           devcache_freshness_t *out, apr_pool_t *p);

/** Who states a lifetime. */
typedef enum devcache_lifetime_by_e {
    DEVCACHE_LIFETIME_FORCED,    /* DevCacheForceTTL */
    DEVCACHE_LIFETIME_S_MAXAGE,  /* the origin, as the next two */
    DEVCACHE_LIFETIME_MAX_AGE,   /* be it an invalid one */
    DEVCACHE_LIFETIME_EXPIRES,   /* likewise */
    DEVCACHE_LIFETIME_DEFAULT,   /* DevCacheDefaultTTL */
    DEVCACHE_LIFETIME_HEURISTIC, /* nobody: a guess by Last-Modified, or 0 */
} devcache_lifetime_by_e;

typedef struct devcache_lifetime_t {
    devcache_lifetime_by_e by;
    int targeted; /* the origin said it in a targeted field, RFC 9213 */
    int raised;   /* by DevCacheMinTTL */
    int lowered;  /* by DevCacheMaxTTL */
    apr_interval_time_t
        lifetime; /* FORCED, DEFAULT: from receipt; else from generation */
} devcache_lifetime_t;

/** Where the lifetime of such a response comes from; for explanations. */
void devcache_policy_lifetime(const devcache_policy_conf_t *conf, int status,
                              const apr_table_t *headers, int has_query,
                              apr_time_t received_at, devcache_lifetime_t *out,
                              apr_pool_t *p);

/** Current age (section 4.2.3) at @a now; never negative, whatever the clocks did. */
apr_interval_time_t devcache_policy_age(const devcache_freshness_t *f, apr_time_t now);

/** End its freshness at @a until, if it would have lasted longer. */
void devcache_policy_expire(devcache_freshness_t *f, apr_time_t until);

typedef enum devcache_use_e {
    DEVCACHE_USE_FRESH,         /* serve */
    DEVCACHE_USE_STALE,         /* serve, allowed by max-stale */
    DEVCACHE_USE_STALE_REFRESH, /* serve and refresh: stale-while-revalidate, RFC 5861 */
    DEVCACHE_USE_VALIDATE       /* ask the origin first */
} devcache_use_e;

/**
 * May a stored response answer this request now (section 4)?
 * @param why  for VALIDATE: STALE, REQ_NO_CACHE, MUST_VALIDATE, ...; NONE else
 * @param ttl  remaining lifetime, negative where stale
 * A stored response without DEVCACHE_SHAREABLE for a request with Authorization is
 * answered like any other: RFC 9111 section 3.5 restricts storing, not reuse.
 */
devcache_use_e devcache_policy_reuse(const devcache_policy_conf_t *conf,
                                     const devcache_request_t *req,
                                     const devcache_freshness_t *f, apr_time_t now,
                                     devcache_reason_e *why, apr_interval_time_t *ttl);

/**
 * May it be served at @a now because the origin failed (RFC 5861 section 4)? A copy that
 * is still fresh may, unless the request or the response insists on validation.
 * @param unreachable  it gave no answer at all, rather than one of status 5xx
 */
int devcache_policy_stale_if_error(const devcache_policy_conf_t *conf,
                                   const devcache_request_t *req,
                                   const devcache_freshness_t *f, int unreachable,
                                   apr_time_t now);

/**
 * Evaluate a GET's or HEAD's preconditions against a stored response, in the order of
 * RFC 9110 section 13.2.2 (If-Range is not judged here). Conditions that do not follow
 * their grammar do not hold.
 * @return 0: serve normally; 304; or 412
 */
int devcache_policy_precondition(const apr_table_t *request, const apr_table_t *stored,
                                 int status);

/**
 * Put the stored response's validators into the request that goes to the origin, in
 * place of all conditional fields there (section 4.3.1). An ETag that a compressing
 * filter has suffixed (-gzip, -br, ...) is sent in both forms.
 * @return 0 if the stored response has no validator
 */
int devcache_policy_set_validators(apr_table_t *request, const apr_table_t *stored,
                                   apr_pool_t *p);

/** Remove If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since, If-Range. */
void devcache_policy_clear_conditionals(apr_table_t *request);

/**
 * Does a 304 with these fields select this stored response (section 4.3.4)?
 * Strong validator equal, or weak equal, or no validator in the 304. An entity tag
 * decides before Last-Modified; a filter's suffix on the stored one does not count.
 */
int devcache_policy_validates(const apr_table_t *fields304, const apr_table_t *stored);

/**
 * The fields worth storing (section 3.1): a table in @a p of the lines of @a headers, not
 * copied, without hop-by-hop fields, those named by Connection, by no-cache="..." or
 * private="...", Age, and Set-Cookie unless allowed. Fields without which the body could
 * not be understood stay, whoever lists them.
 */
apr_table_t *devcache_policy_stored_fields(const devcache_policy_conf_t *conf,
                                           const apr_table_t *headers, apr_pool_t *p);

/**
 * Update stored fields from a 304 or a HEAD's 200 (section 3.2): each field of
 * @a update replaces all stored ones of that name, except those that must not be stored,
 * Content-Encoding, -Length, -Range, -Type, ETag where only a filter's suffix differs,
 * and Set-Cookie where none was stored. Date and Age are the update's or absent after
 * it: judge the result with devcache_policy_storable(), keep what
 * devcache_policy_stored_fields() leaves of it.
 * @param stored  changed; lines are taken over, not copied
 */
void devcache_policy_update_fields(apr_table_t *stored, const apr_table_t *update,
                                   apr_pool_t *p);

/** Does such an answer to such a request make stored copies invalid (section 4.4)? */
int devcache_policy_invalidates(const char *method, int status);

/**
 * The path and query of a Location or Content-Location if it has the same origin as
 * the request (section 4.4), else NULL. Relative references are resolved against
 * @a base_path (RFC 3986 section 5); dot segments removed, fragment dropped, escapes
 * left as they are.
 * @param origin     "scheme://host[:port]" canonical, as in the cache key
 * @param base_path  of the request; may have its query
 */
const char *devcache_policy_same_origin(const char *origin, const char *base_path,
                                        const char *reference, apr_pool_t *p);

#endif
