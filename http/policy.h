/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/policy.h
 * What a shared cache may do by the RFCs: may it be stored, is it fresh, what
 * validates it, what does it invalidate.
 *
 * Pure functions over header tables and instants: no I/O, no clock, no httpd. Every
 * refusal is a reason from one list, which reaches the debug log, the access log,
 * Cache-Status and the counters.
 *
 * Units      Instants apr_time_t, durations apr_interval_time_t (microseconds).
 * Ownership  Results point into the tables given or into the pool given.
 * RFCs       9111 unless a comment says otherwise; 9110, 5861, 8246, 9213.
 */
#ifndef DEVCACHE_HTTP_POLICY_H
#define DEVCACHE_HTTP_POLICY_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include "http/reason.h"

/* A lifetime that the administrator gives, and what it is for. Several add up: see
 * devcache_policy_conf_t. */
typedef struct devcache_ttl_t {
    apr_interval_time_t ttl;
    const apr_array_header_t *statuses; /* of int; NULL: those cacheable by default */
    const void *said_by; /* the caller's; devcache_lifetime_t has it again */
} devcache_ttl_t;

/* The administrator's part, filled by glue from the merged configuration. */
typedef struct devcache_policy_conf_t {
    /* Of devcache_ttl_t; NULL: none. The last one that names the status counts, else the
     * last one that names none. */
    const apr_array_header_t *default_ttl; /* where the origin states no lifetime */
    const apr_array_header_t *force_ttl;   /* in place of what it states */
    apr_interval_time_t min_ttl;           /* clamps explicit freshness; -1: unset */
    apr_interval_time_t max_ttl;           /* clamps every freshness; -1: unset */
    int heuristic_percent;             /* of the time since Last-Modified; 0: no guess */
    apr_interval_time_t heuristic_max; /* bound of such a guess */
    apr_interval_time_t stale_while_revalidate; /* where the origin states none */
    apr_interval_time_t stale_if_error;         /* where the origin states none */
    int swr_replaces, sie_replaces; /* they count as if the origin stated these */
    const apr_array_header_t *stale_statuses; /* int: failures; NULL: RFC 5861's */
    apr_interval_time_t stale_if_unreachable; /* when it gives no answer at all */
    apr_int64_t max_object_size;              /* bytes */
    int ignore_client_control; /* the request's Cache-Control and Pragma do not count */
    int store_set_cookie;
    const apr_array_header_t
        *targets; /* const char *: targeted fields, RFC 9213, best first */
    const apr_array_header_t *known_headers; /* const char *: no answer is about them */
} devcache_policy_conf_t;

/* In which nothing is said: to begin with, where the values do not come from directives. */
#define DEVCACHE_POLICY_CONF_EMPTY                                                       \
    {                                                                                    \
        .min_ttl = -1, .max_ttl = -1                                                     \
    }

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
    const char *override;     /* the field that is a reason to bypass, or NULL */
    devcache_reason_e bypass; /* why the cache must not be used at all; NONE: it may */
    int of_post; /* POST, and but for that and its body nothing is against the cache */
} devcache_request_t;

/**
 * Read the request. bypass is set for: other methods, bodies (Content-Length other than 0,
 * or Transfer-Encoding), upgrades, a field that takes the origin
 * somewhere else (@a override is its name, NULL: none), a Connection that names other
 * fields, request no-store.
 */
void devcache_policy_request(const devcache_policy_conf_t *conf, const char *method,
                             const apr_table_t *headers, const char *override,
                             devcache_request_t *out);

#define DEVCACHE_MUST_REVALIDATE                                                         \
    0x01u /* never stale but within its own windows: must-revalidate, proxy-revalidate,  \
             which leave it none; s-maxage; what was never fresh without being asked */
#define DEVCACHE_NO_CACHE 0x02u  /* validate at each use */
#define DEVCACHE_HEURISTIC 0x04u /* lifetime is a guess */
#define DEVCACHE_IMMUTABLE 0x08u /* RFC 8246 */
#define DEVCACHE_SHAREABLE 0x10u /* may answer requests with Authorization */
#define DEVCACHE_OWN_LIFETIME                                                            \
    0x20u /* not stated by the application: for visitors without cookies that count */
#define DEVCACHE_SSI 0x40u /* it has gaps for parts, as http/fragments.h knows them */
#define DEVCACHE_ESI 0x80u /* likewise */
#define DEVCACHE_FRAGMENTS (DEVCACHE_SSI | DEVCACHE_ESI)

/* All that reuse needs, derived once when the response is stored (section 4.2). */
typedef struct devcache_freshness_t {
    apr_time_t requested_at;         /* request sent */
    apr_time_t received_at;          /* response header received */
    apr_interval_time_t initial_age; /* corrected_initial_age of section 4.2.3 */
    apr_interval_time_t lifetime;    /* freshness_lifetime of section 4.2.1, clamped */
    apr_interval_time_t stale_while_revalidate; /* the windows: 0 where not allowed */
    apr_interval_time_t stale_if_error;
    unsigned flags; /* DEVCACHE_MUST_REVALIDATE ... */
} devcache_freshness_t;

/** Must nobody ever be shown it stale? */
static inline int devcache_policy_never_stale(const devcache_freshness_t *f)
{
    return (f->flags & DEVCACHE_MUST_REVALIDATE) && !f->stale_while_revalidate &&
           !f->stale_if_error;
}

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

/** Is a response of this Content-Type (NULL: none) one that goes on for as long as somebody
 *  listens: text/event-stream, multipart/x-mixed-replace? */
int devcache_policy_is_endless(const char *content_type);

/** Who states a lifetime. */
typedef enum devcache_lifetime_by_e {
    DEVCACHE_LIFETIME_FORCED,    /* DevCacheForceTTL */
    DEVCACHE_LIFETIME_S_MAXAGE,  /* the origin, as the next two */
    DEVCACHE_LIFETIME_MAX_AGE,   /* be it an invalid one */
    DEVCACHE_LIFETIME_EXPIRES,   /* likewise */
    DEVCACHE_LIFETIME_DEFAULT,   /* DevCacheDefaultTTL */
    DEVCACHE_LIFETIME_HEURISTIC, /* nobody: a guess from Last-Modified */
    DEVCACHE_LIFETIME_NONE       /* nobody, and there is nothing to guess from */
} devcache_lifetime_by_e;

typedef struct devcache_lifetime_t {
    devcache_lifetime_by_e by;
    const void *said_by; /* FORCED, DEFAULT: of the devcache_ttl_t that counts */
    int targeted;        /* the origin said it in a targeted field, RFC 9213 */
    int raised;          /* by DevCacheMinTTL */
    int lowered;         /* by DevCacheMaxTTL */
    apr_interval_time_t
        lifetime; /* FORCED, DEFAULT: from receipt; else from generation */
} devcache_lifetime_t;

/**
 * Can a response of this status be stored at all?
 * @param stated  the origin states a lifetime; else the administrator gives one
 */
int devcache_policy_can_store(int status, int stated);

/** Where the lifetime of such a response comes from; for explanations. */
void devcache_policy_lifetime(const devcache_policy_conf_t *conf, int status,
                              const apr_table_t *headers, int has_query,
                              apr_time_t received_at, devcache_lifetime_t *out,
                              apr_pool_t *p);

/** Current age (section 4.2.3) at @a now; never negative, whatever the clocks did. */
apr_interval_time_t devcache_policy_age(const devcache_freshness_t *f, apr_time_t now);

/** An end of freshness that means: it may be wrong, so it is validated before any use. */
#define DEVCACHE_POLICY_DOUBT apr_time_from_sec(1)

/**
 * End its freshness at @a until, if it would have lasted longer. At DEVCACHE_POLICY_DOUBT
 * no stale window applies to it any more either.
 */
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

/** Is this status one that a stale copy may stand in for: 500, 502, 503, 504 (RFC 5861
 * section 4) or those of DevCacheStaleIfError? */
int devcache_policy_is_failure(const devcache_policy_conf_t *conf, int status);

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
 * @param shown  another entity tag of it, that clients may have been shown; NULL: none
 * @return 0: serve normally; 304; or 412
 */
int devcache_policy_precondition(const apr_table_t *request, const apr_table_t *stored,
                                 const char *shown, int status);

/**
 * Put the stored response's validators into the request that goes to the origin, in
 * place of all conditional fields there (section 4.3.1). An ETag that a compressing
 * filter has suffixed (-gzip, -br, ...) is sent in both forms.
 * @return 0 if the stored response has no validator
 */
int devcache_policy_set_validators(apr_table_t *request, const apr_table_t *stored,
                                   apr_pool_t *p);

/** Remove If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since, If-Range, A-IM. */
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
