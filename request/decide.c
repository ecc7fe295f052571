/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision.
 *
 *   is it ours?        DevCache On, a store, the request that the client has sent itself
 *     no                                                                OFF
 *   is it forbidden?   method, header, DevCacheBypass, where it is led  BYPASS
 *   what is stored for it (RFC 9111, section 4)?
 *     fresh                                                             HIT
 *     about to expire, DevCacheRefreshAhead                             HIT_REFRESH
 *     stale, the client takes it (max-stale)                            STALE
 *     stale, the response allows it (RFC 5861)                          STALE_REFRESH
 *     else, and the origin failed a moment ago                          STALE_ERROR
 *     else                                                              VALIDATE
 *     nothing                                                           MISS
 *     nothing, and a part is asked for, or If-Match                     PASS
 *     pieces, and what is wanted can be had by another                  MISS
 *   VALIDATE, MISS or PASS, but only-if-cached                          TIMEOUT
 *
 * A page that a filter puts together from parts is never refreshed in the background: its
 * parts are for a visitor with a connection. Where others would be refreshed the visitor
 * waits for the origin, or, as long as the page is fresh, nothing happens.
 */
#include "request/decide.h"

#include <string.h>
#include "http/variance.h"
#include "http/coding.h"
#include "http/field.h"
#include "request/failing.h"
#include "request/fields.h"
#include "request/part.h"
#include "request/piece.h"

const char *devcache_decide_name(devcache_decision_e decision)
{
    static const char *const names[] = {
#define D(name, text) text,
        DEVCACHE_DECISIONS(D)
#undef D
    };

    return names[decision];
}

devcache_ours_e devcache_decide_is_ours(request_rec *r, const devcache_exchange_t *x)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);

    if (!x || !x->asked.path || r->main || r->prev || r->proxyreq == PROXYREQ_PROXY ||
        !devcache_conf_server(r->server)->store ||
        (r->handler && *r->handler == 'd' && !strcmp(r->handler, "devcache-status"))) {
        return DEVCACHE_OURS_NOT;
    }
    return devcache_dir_enabled(dir)   ? DEVCACHE_OURS_ON
           : devcache_dir_observe(dir) ? DEVCACHE_OURS_OBSERVED
                                       : DEVCACHE_OURS_NOT;
}

/* ---- what is stored for it ---------------------------------------------------------- */

static devcache_slice_t variant_of(void *baton, const char *spec, apr_pool_t *p)
{
    devcache_exchange_t *x = baton;

    x->found.variants = 1;
    if (!x->found.guess || strlen(spec) > strlen(x->found.guess)) {
        x->found.guess = spec; /* the store's, as long as that is open */
    }
    if (x->asked.forms && !devcache_fields_may_match(x, spec)) {
        return devcache_slice(NULL, 0);
    }
    return devcache_vary_values(&x->vary, spec, x->asked.target, x->device.class,
                                devcache_fields_compared(x, spec, p), p);
}

int devcache_decide_is_refusal(const devcache_exchange_t *x, int status)
{
    return (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN ||
            status == HTTP_PROXY_AUTHENTICATION_REQUIRED) &&
           devcache_request_is_personal(x);
}

int devcache_decide_is_by_rule(const devcache_exchange_t *x, devcache_response_t *stored,
                               apr_time_t stored_at, apr_pool_t *p)
{
    const char *rule;

    if (!x->asked.learnt.rule) {
        return 1;
    }
    rule = devcache_variance_read(devcache_response_fields(stored, p), p);
    return rule && !strcmp(rule, x->asked.learnt.rule) &&
           stored_at >= x->asked.learnt.since;
}

_Static_assert(DEVCACHE_RESPONSE_ROOM <= DEVCACHE_STORE_ROOM,
               "what is decoded is kept in the room beside the record");

#define NOT_FOR_ALL (DEVCACHE_OWN_LIFETIME | DEVCACHE_FRAGMENTS)

int devcache_decide_has_form(devcache_exchange_t *x, const devcache_response_t *stored)
{
    int has_gaps = (stored->fresh.flags & DEVCACHE_FRAGMENTS) != 0;

    x->found.form = has_gaps ? DEVCACHE_FORM_FRAGMENTS : DEVCACHE_FORM_STORED;
    return !has_gaps || devcache_dir_fragments(x->dir);
}

static int is_for_this_one(devcache_exchange_t *x)
{
    if (devcache_fields_needs_own(x, &x->found.stored.fresh)) {
        x->found.for_others = 1;
        return 0;
    }
    return devcache_decide_has_form(x, &x->found.stored);
}

static apr_status_t find(request_rec *r, devcache_exchange_t *x,
                         devcache_lookup_fn *lookup)
{
    apr_status_t rv = lookup(x->server->store, x->asked.key, variant_of, x, &x->found.hit,
                             r->pool);

    if (rv != APR_SUCCESS ||
        devcache_response_decode_kept(x->found.hit->meta, x->found.hit->room,
                                      &x->found.stored, r->pool) != APR_SUCCESS) {
        x->found.hit = NULL;
        return rv;
    }
    if (x->asked.learnt.rule &&
        !devcache_decide_is_by_rule(x, &x->found.stored, x->found.hit->stored_at,
                                    r->pool)) {
        x->found.hit = NULL;
        return APR_NOTFOUND;
    }
    if (devcache_decide_is_refusal(x, x->found.stored.status)) {
        x->found.hit = NULL;
        return APR_NOTFOUND;
    }
    if ((x->found.stored.fresh.flags & NOT_FOR_ALL) && !is_for_this_one(x)) {
        x->found.hit = NULL;
        return APR_NOTFOUND;
    }
    if (x->found.stored.pieces && !devcache_piece_serves(r, x, &x->found.stored)) {
        x->piece.hit = x->found.hit;
        x->piece.stored = x->found.stored;
        x->found.hit = NULL;
        return APR_NOTFOUND;
    }
    /* A soft purge ends its freshness. */
    devcache_policy_expire(&x->found.stored.fresh, x->found.hit->fresh_until);
    x->answer.fresh = x->found.stored.fresh;
    return APR_SUCCESS;
}

/* A copy in gzip for who does not take that: fresh, in one piece, and the origin has nothing
 * against it (RFC 9111 section 5.2.2.6). */
static int may_inflate(request_rec *r, devcache_exchange_t *x)
{
    const apr_table_t *fields = devcache_response_fields(&x->found.stored, r->pool);
    const char *coding = apr_table_get(fields, "Content-Encoding");

    return coding && x->found.stored.status == HTTP_OK && !x->found.stored.pieces &&
           devcache_field_is(devcache_coding_alias(devcache_slice_str(coding)), "gzip") &&
           !devcache_field_has(fields, "Cache-Control", "no-transform") &&
           devcache_policy_reuse(&x->policy, &x->asked.req, &x->found.stored.fresh,
                                 x->now, &x->answer.reason,
                                 &x->answer.ttl) == DEVCACHE_USE_FRESH;
}

/* Nothing is stored for it; but perhaps what is can be inflated for it. */
static apr_status_t find_inflatable(request_rec *r, devcache_exchange_t *x,
                                    devcache_lookup_fn *lookup)
{
    const char *accepted = devcache_field_combined(x->asked.fields, "Accept-Encoding",
                                                   r->pool);
    apr_status_t rv;

    if (x->refresh.running || x->piece.hit || x->asked.req.no_transform ||
        devcache_coding_accepted(accepted, devcache_slice_str("gzip")) ||
        !devcache_coding_accepted(accepted, devcache_slice_str("identity"))) {
        return APR_NOTFOUND;
    }
    x->vary.inflates = 1;
    rv = find(r, x, lookup);
    x->vary.inflates = 0; /* whatever is stored for it is not */
    if (rv == APR_SUCCESS && !may_inflate(r, x)) {
        rv = APR_NOTFOUND;
    }
    x->found.form = rv == APR_SUCCESS ? DEVCACHE_FORM_INFLATED : DEVCACHE_FORM_STORED;
    x->found.hit = rv == APR_SUCCESS ? x->found.hit : NULL;
    return rv;
}

apr_status_t devcache_decide_find(request_rec *r, devcache_exchange_t *x,
                                  devcache_lookup_fn *lookup)
{
    apr_status_t rv = find(r, x, lookup);

    return rv == APR_NOTFOUND && devcache_dir_inflate(x->dir)
               ? find_inflatable(r, x, lookup)
               : rv;
}

unsigned devcache_decide_end(request_rec *r, devcache_exchange_t *x, apr_time_t expire)
{
    unsigned n = 0;

    devcache_store_end(x->server->store, x->asked.key, variant_of, x, expire, &n,
                       r->pool);
    return n;
}

/* ---- what is done ------------------------------------------------------------------- */

/* DevCacheRefreshAhead, but not in the first half of its life. */
static int is_about_to_expire(const devcache_exchange_t *x,
                              const devcache_freshness_t *stored)
{
    apr_interval_time_t ahead = devcache_dir_refresh_ahead(x->dir);

    return ahead > 0 && x->found.form != DEVCACHE_FORM_INFLATED &&
           x->answer.ttl < ahead && x->answer.ttl < stored->lifetime / 2 &&
           !x->asked.req.authorization;
}

/* Would the origin be asked in vain? Not where nothing is stored but what is observed. */
static int has_failed(request_rec *r, devcache_exchange_t *x)
{
    devcache_answered_e answered;
    int status;

    return x->found.hit && !x->refresh.running &&
           devcache_failing_now(r, x, &status, &answered) == DEVCACHE_FAILURE_NOW;
}

/* From the cache; VALIDATE: not without asking the origin. */
static devcache_decision_e decide_stored(request_rec *r, devcache_exchange_t *x,
                                         const devcache_freshness_t *stored)
{
    switch (devcache_policy_reuse(&x->policy, &x->asked.req, stored, x->now,
                                  &x->answer.reason, &x->answer.ttl)) {
    case DEVCACHE_USE_FRESH:
        return is_about_to_expire(x, stored) && !devcache_part_assembles(r)
                   ? DEVCACHE_DECISION_HIT_REFRESH
                   : DEVCACHE_DECISION_HIT;
    case DEVCACHE_USE_STALE:
        return DEVCACHE_DECISION_STALE;
    case DEVCACHE_USE_STALE_REFRESH:
        if (!devcache_part_assembles(r)) {
            return DEVCACHE_DECISION_STALE_REFRESH;
        }
        x->answer.reason = DEVCACHE_REASON_STALE;
        break;
    case DEVCACHE_USE_VALIDATE:
        break;
    }
    return x->asked.req.only_if_cached ? DEVCACHE_DECISION_TIMEOUT
           : has_failed(r, x)          ? DEVCACHE_DECISION_STALE_ERROR
                                       : DEVCACHE_DECISION_VALIDATE;
}

static devcache_decision_e decide_missing(devcache_exchange_t *x)
{
    const devcache_request_t *req = &x->asked.req;

    if (req->only_if_cached) {
        x->answer.reason = DEVCACHE_REASON_ONLY_IF_CACHED;
        return DEVCACHE_DECISION_TIMEOUT;
    }
    if ((req->has_range && !devcache_piece_wanted(x)) || req->has_precondition) {
        x->answer.reason = x->piece.hit     ? DEVCACHE_REASON_PARTIAL
                           : req->has_range ? DEVCACHE_REASON_REQ_RANGE
                                            : DEVCACHE_REASON_REQ_PRECOND;
        return DEVCACHE_DECISION_PASS;
    }
    x->answer.reason = x->found.for_others ? DEVCACHE_REASON_COOKIE
                       : x->piece.hit      ? DEVCACHE_REASON_PARTIAL
                       : x->found.variants ? DEVCACHE_REASON_VARY_MISMATCH
                                           : DEVCACHE_REASON_URI_MISS;
    return DEVCACHE_DECISION_MISS;
}

devcache_decision_e devcache_decide(request_rec *r, devcache_exchange_t *x,
                                    const devcache_freshness_t *stored)
{
    if (x->asked.req.bypass) {
        x->answer.reason = x->asked.req.bypass;
        return DEVCACHE_DECISION_BYPASS;
    }
    return stored ? decide_stored(r, x, stored) : decide_missing(x);
}

int devcache_decide_serves(devcache_decision_e decision)
{
    return decision == DEVCACHE_DECISION_HIT ||
           decision == DEVCACHE_DECISION_HIT_REFRESH ||
           decision == DEVCACHE_DECISION_STALE ||
           decision == DEVCACHE_DECISION_STALE_REFRESH;
}
