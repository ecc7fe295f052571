/* SPDX-License-Identifier: Apache-2.0 */
#include "http/policy.h"

#include "http/directive.h"
#include "http/field.h"

/*
 * What a request may have from the cache.
 *
 * The policy is five files under one header, along the life of a response:
 *   http/storable.c       may it be stored, how long is it fresh
 *   http/stored_fields.c  what of it is kept, how a 304 renews that
 *   http/reuse.c          does the request allow the cache, is a copy fresh for it
 *   http/conditional.c    conditional requests, the clients' and our own
 *   http/invalidation.c   what an unsafe request makes invalid
 *
 * Each decision is a list of small questions in a fixed order; the first that stands
 * against it is the answer, as a reason. Nothing here keeps state or asks for the time:
 * equal arguments give equal answers, which is what the tests rest on.
 *
 * Times. A response is described once, when it is stored, by devcache_freshness_t:
 *
 *   generated     received_at                                       now
 *   |-- initial_age --|------------------ resident ------------------|
 *   |------------ lifetime ------------|-- stale_while_revalidate --|
 *                                      |------ stale_if_error ------------|
 *
 * Clocks jump. Every difference of instants is taken as 0 where it would be negative,
 * so that an age never is. Only a copy that was stored well after now is not new: the
 * clock has been set back since, nobody knows how old it is, and it counts as stale.
 */

/* --- the request ------------------------------------------------------------------ */

/* Most fields that matter here are absent, which the first two letters tell. */
typedef struct sent_t {
    const apr_table_t *headers;
    apr_uint64_t letters; /* with which names begin: a bit for each pair, modulo 64 */
} sent_t;

/* In either case of them. A name has one letter at least. */
static inline unsigned pair_of(const char *name)
{
    return ((*name & 31u) + 5 * (name[1] & 31u)) & 63;
}

static sent_t read_letters(const apr_table_t *headers)
{
    const apr_array_header_t *all = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts,
                            *end = e + all->nelts;
    sent_t sent = {headers, 0};

    for (; e < end; e++) {
        sent.letters |= (apr_uint64_t)1 << pair_of(e->key);
    }
    return sent;
}

static const char *get(const sent_t *sent, const char *name)
{
    return sent->letters >> pair_of(name) & 1 ? apr_table_get(sent->headers, name) : NULL;
}

static int has(const sent_t *sent, const char *name)
{
    return get(sent, name) != NULL;
}

static int is_harmless(devcache_slice_t option)
{
    static const char *const harmless[] = {"close", "keep-alive", "te", "upgrade",
                                           "http2-settings"};
    apr_size_t i;

    for (i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
        if (strlen(harmless[i]) == option.len &&
            !strncasecmp(harmless[i], option.data, option.len)) {
            return 1;
        }
    }
    return 0;
}

/* A field named in Connection does not reach the origin, which then answers something
 * else than that field asks for: a client could choose what others get for theirs. */
static int names_fields_away(const sent_t *sent)
{
    const char *line;
    devcache_slice_t option;
    int index = 0;

    if (!has(sent, "Connection")) {
        return 0; /* sooner than by a walk */
    }
    while ((line = devcache_field_line(sent->headers, "Connection", &index)) != NULL) {
        while (devcache_field_next(&line, &option)) {
            if (!is_harmless(option)) {
                return 1;
            }
        }
    }
    return 0;
}

static apr_interval_time_t interval(apr_int64_t seconds)
{
    return seconds < 0 ? -1 : apr_time_from_sec(seconds);
}

static void read_client_control(const sent_t *sent, devcache_request_t *out)
{
    devcache_directives_t said;

    if (!has(sent, "Cache-Control")) {
        /* RFC 9111 section 5.4: Pragma is for those who know no Cache-Control. */
        out->no_cache = has(sent, "Pragma") &&
                        devcache_field_has(sent->headers, "Pragma", "no-cache");
        return;
    }
    devcache_directive_cache_control(sent->headers, &said, NULL);
    out->no_cache = said.no_cache;
    out->no_store = said.no_store;
    out->only_if_cached = said.only_if_cached;
    out->no_transform = said.no_transform;
    out->max_age = interval(said.max_age);
    out->min_fresh = interval(said.min_fresh);
    out->max_stale = interval(said.max_stale);
    if (said.max_stale == DEVCACHE_FIELD_DELTA_MAX) {
        out->max_stale = APR_INT64_MAX;
    }
    out->stale_if_error = interval(said.stale_if_error);
}

/* But for the method and the body. */
static devcache_reason_e why_not_header(const devcache_request_t *req, const sent_t *sent)
{
    if (has(sent, "Upgrade")) {
        return DEVCACHE_REASON_REQ_UPGRADE;
    }
    if (req->override || names_fields_away(sent)) {
        return DEVCACHE_REASON_REQ_OVERRIDE;
    }
    if (req->no_store) {
        return DEVCACHE_REASON_REQ_NO_STORE; /* RFC 9111 section 5.2.1.5 */
    }
    return DEVCACHE_REASON_NONE;
}

static int has_body(const sent_t *sent)
{
    const char *length = get(sent, "Content-Length");

    return has(sent, "Transfer-Encoding") || (length && strcmp(length, "0"));
}

static devcache_reason_e why_bypass(const devcache_request_t *req, const sent_t *sent)
{
    if (!req->is_get && !req->is_head) {
        return DEVCACHE_REASON_METHOD;
    }
    return has_body(sent) ? DEVCACHE_REASON_REQ_BODY : why_not_header(req, sent);
}

void devcache_policy_request(const devcache_policy_conf_t *conf, const char *method,
                             const apr_table_t *headers, const char *override,
                             devcache_request_t *out)
{
    sent_t sent = read_letters(headers);

    memset(out, 0, sizeof(*out));
    out->max_age = out->min_fresh = out->max_stale = out->stale_if_error = -1;
    out->headers = headers;
    out->is_get = strcmp(method, "GET") == 0;
    out->is_head = !out->is_get && strcmp(method, "HEAD") == 0;
    out->authorization = has(&sent, "Authorization");
    out->has_range = out->is_get && has(&sent, "Range"); /* RFC 9110 section 14.2 */
    out->has_precondition = has(&sent, "If-Match") || has(&sent, "If-Unmodified-Since");
    out->has_conditional = has(&sent, "If-None-Match") || has(&sent, "If-Modified-Since");
    if (!conf->ignore_client_control) {
        read_client_control(&sent, out);
    }
    out->override = override;
    out->bypass = why_bypass(out, &sent);
    out->of_post = out->bypass == DEVCACHE_REASON_METHOD && !strcmp(method, "POST") &&
                   why_not_header(out, &sent) == DEVCACHE_REASON_NONE;
}

/* --- reuse ------------------------------------------------------------------------ */

void devcache_policy_expire(devcache_freshness_t *f, apr_time_t until)
{
    apr_interval_time_t lifetime = until - f->received_at + f->initial_age;

    if (lifetime < f->lifetime) {
        f->lifetime = lifetime > 0 ? lifetime : 0;
    }
    if (until <= DEVCACHE_POLICY_DOUBT) {
        f->lifetime = 0;
        f->stale_while_revalidate = f->stale_if_error = 0;
        f->flags |= DEVCACHE_MUST_REVALIDATE;
    }
}

/* A request may have waited so long for somebody else's response, which was received
 * after the request's own now. */
#define AHEAD_MAX apr_time_from_sec(300)

apr_interval_time_t devcache_policy_age(const devcache_freshness_t *f, apr_time_t now)
{
    if (f->received_at - now > AHEAD_MAX && f->initial_age < f->lifetime) {
        return f->lifetime;
    }
    /* RFC 9111 section 4.2.3: current_age. */
    return f->initial_age + (now > f->received_at ? now - f->received_at : 0);
}

/* Why a copy must be validated however fresh it is; NONE if nothing asks for it. */
static devcache_reason_e why_validate(const devcache_request_t *req,
                                      const devcache_freshness_t *f,
                                      apr_interval_time_t age, apr_interval_time_t ttl)
{
    /* RFC 8246 section 2: a fresh immutable response has nothing new to show to a plain
     * reload, which asks by max-age=0; a forced one says no-cache. */
    int reload_is_idle = (f->flags & DEVCACHE_IMMUTABLE) && ttl > 0;

    if (f->flags & DEVCACHE_NO_CACHE) {
        return DEVCACHE_REASON_MUST_VALIDATE; /* RFC 9111 section 5.2.2.4 */
    }
    if (req->no_cache) {
        return DEVCACHE_REASON_REQ_NO_CACHE; /* section 5.2.1.4 */
    }
    if (!reload_is_idle &&
        (req->max_age == 0 || (req->max_age > 0 && age > req->max_age))) {
        return DEVCACHE_REASON_REQ_MAX_AGE; /* section 5.2.1.1 */
    }
    if (req->min_fresh >= 0 && ttl < req->min_fresh) {
        return DEVCACHE_REASON_REQ_MIN_FRESH; /* section 5.2.1.3 */
    }
    return DEVCACHE_REASON_NONE;
}

devcache_use_e devcache_policy_reuse(const devcache_policy_conf_t *conf,
                                     const devcache_request_t *req,
                                     const devcache_freshness_t *f, apr_time_t now,
                                     devcache_reason_e *why, apr_interval_time_t *ttl)
{
    apr_interval_time_t age = devcache_policy_age(f, now);

    *ttl = f->lifetime - age;
    *why = why_validate(req, f, age, *ttl);
    if (*why != DEVCACHE_REASON_NONE) {
        return DEVCACHE_USE_VALIDATE;
    }
    if (*ttl > 0) {
        return DEVCACHE_USE_FRESH; /* section 4.2: freshness_lifetime > current_age */
    }
    if (-*ttl < f->stale_while_revalidate) {
        return DEVCACHE_USE_STALE_REFRESH; /* RFC 5861 section 3 */
    }
    if (!(f->flags & DEVCACHE_MUST_REVALIDATE) && -*ttl <= req->max_stale) {
        return DEVCACHE_USE_STALE; /* RFC 9111 sections 4.2.4 and 5.2.1.2 */
    }
    *why = DEVCACHE_REASON_STALE;
    return DEVCACHE_USE_VALIDATE;
}

int devcache_policy_is_failure(const devcache_policy_conf_t *conf, int status)
{
    int i;

    if (!conf->stale_statuses) {
        return status == 500 || (status >= 502 && status <= 504);
    }
    for (i = 0; i < conf->stale_statuses->nelts; i++) {
        if (APR_ARRAY_IDX(conf->stale_statuses, i, int) == status) {
            return 1;
        }
    }
    return 0;
}

int devcache_policy_stale_if_error(const devcache_policy_conf_t *conf,
                                   const devcache_request_t *req,
                                   const devcache_freshness_t *f, int unreachable,
                                   apr_time_t now)
{
    apr_interval_time_t staleness = devcache_policy_age(f, now) - f->lifetime;

    if ((f->flags & DEVCACHE_NO_CACHE) || req->no_cache) {
        return 0;
    }
    if (staleness < 0) {
        return 1; /* still fresh: only this request had it validated */
    }
    if (staleness < f->stale_if_error) {
        return 1; /* RFC 5861 section 4 */
    }
    if (f->flags & DEVCACHE_MUST_REVALIDATE) {
        return 0; /* RFC 9111 section 5.2.2.2 */
    }
    /* RFC 9111 section 4.2.4 allows stale answers while disconnected. */
    if (unreachable && staleness < conf->stale_if_unreachable) {
        return 1;
    }
    /* RFC 5861 section 4: the directive may come with either message. */
    return staleness < req->stale_if_error || staleness <= req->max_stale;
}
