/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging: what has come, with the fields that mod_headers has left, is stored or not.
 *
 *     a new response        may it be stored, for whom, how long? Then it begins to be
 *     a confirmed one       the same of its new fields; they are stored with the old body
 *     the answer to a HEAD  as a confirmed one, if it is about what is stored
 *
 * Where it may not be stored everybody is told why: log, counters, Cache-Status, and those
 * who wait for the same. What that does to the copies which are there http/effect.c says,
 * and nobody else.
 */
#include "request/judge.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include "request/ahead.h"
#include "base/clock.h"
#include "http/effect.h"
#include "http/field.h"
#include "http/media.h"
#include "http/variance.h"
#include "http/sf.h"
#include "request/collapse.h"
#include "request/decide.h"
#include "request/fields.h"
#include "request/fragments.h"
#include "mod_devcache.h"
#include "purge/ban.h"
#include "request/part.h"
#include "request/peers.h"
#include "request/said.h"
#include "stats/stats.h"
#include "request/tags.h"
#include "request/tee.h"

/* Carry out what an answer of this status does to what is stored for its request. */
static void settle_copies(request_rec *r, devcache_exchange_t *x,
                          devcache_reason_e reason, int status, int confirms)
{
    const devcache_freshness_t *stored = &x->found.stored.fresh;
    devcache_answer_t answer = {x->asked.req.is_head ? "HEAD" : "GET", status, reason,
                                confirms};
    devcache_effect_e effect;

    if (!x->found.hit || x->asked.odd) {
        return;
    }
    answer.fresh = devcache_policy_age(stored, x->now) < stored->lifetime;
    answer.personal = devcache_request_is_personal(x);
    answer.background = x->refresh.running;
    effect = devcache_effect_of(&answer);
    if (effect == DEVCACHE_EFFECT_END || effect == DEVCACHE_EFFECT_EXPIRE) {
        apr_time_t expire = effect == DEVCACHE_EFFECT_EXPIRE ? x->now : 0;
        unsigned n;

        devcache_peers_forget(x, x->asked.key);
        n = devcache_decide_end(r, x, expire);

        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0128) "judge: %s [%s]: %d (%s) %s %u stored for it",
                      devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                      status, devcache_reason_text(reason), expire ? "expires" : "ends",
                      n);
    }
}

/* @a status and @a confirms are about the answer; a 304 may have been made of it. */
static void refuse(request_rec *r, devcache_exchange_t *x, devcache_reason_e reason,
                   int status, int confirms)
{
    devcache_tee_settle(r, x);
    settle_copies(r, x, reason, status, confirms);
    if (reason == DEVCACHE_REASON_INCOMPLETE || reason == DEVCACHE_REASON_ABANDONED) {
        devcache_collapse_end(x, DEVCACHE_FLIGHT_BROKEN, 0);
    } else {
        devcache_collapse_decided(x, reason, r->status);
    }
    devcache_peers_release(x);
    x->answer.reason = reason;
    x->save.stored = 0;
    devcache_store_fill_abort(x->save.fill);
    x->save.fill = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_stored);
    devcache_stats_count_reason(reason);
    if (reason == DEVCACHE_REASON_ODD_REQUEST || reason == DEVCACHE_REASON_COOKIE) {
        devcache_fields_tell(r, x, reason, x->asked.odd);
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0111) "save: %s [%s]: not stored (%s)",
                  devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                  devcache_reason_text(reason));
}

void devcache_judge_refuse(request_rec *r, devcache_exchange_t *x,
                           devcache_reason_e reason)
{
    refuse(r, x, reason, x->origin.status, 0);
}

#define FEW_DIGITS 18 /* of a number that is no overflow, whatever they are */

static apr_int64_t announced_length(const apr_table_t *fields)
{
    const char *value = apr_table_get(fields, "Content-Length"), *at = value;
    apr_off_t length = 0;

    if (!value) {
        return -1;
    }
    for (; at - value < FEW_DIGITS && *at >= '0' && *at <= '9'; at++) {
        length = length * 10 + (*at - '0');
    }
    return (at > value && !*at) || ap_parse_strict_length(&length, value)
               ? (apr_int64_t)length
               : -1;
}

/* Has an internal redirect led to what is not for all? A hit would not come by there. */
static int is_led_astray(request_rec *r, const devcache_exchange_t *x)
{
    return devcache_ahead_is_guarded(r) || devcache_ahead_was_sent(r) ||
           !x->origin.foreseen;
}

/* Has the application left the answer to mod_xsendfile? Whom it gives which file is
 * between it and the visitor; the file's date, which comes later, says nothing about
 * that. */
static int is_file_sent_for(const devcache_exchange_t *x)
{
    return x->origin.fields && (apr_table_get(x->origin.fields, "X-Sendfile") ||
                                apr_table_get(x->origin.fields, "X-Sendfile-Temporary"));
}

/* A page for /account/x.css? Where the application itself says that it is for all, it is. */
static int is_disguised(request_rec *r, const devcache_exchange_t *x)
{
    return (x->answer.fresh.flags & DEVCACHE_OWN_LIFETIME) && r->status < 300 &&
           devcache_media_belies(x->asked.path,
                                 x->origin.type ? x->origin.type : r->content_type);
}

/* Events as they come? Nobody has said that they are for all. */
static int is_running(request_rec *r, const devcache_exchange_t *x)
{
    return (x->answer.fresh.flags & DEVCACHE_OWN_LIFETIME) && x->save.expect < 0 &&
           devcache_media_may_be_events(x->origin.type ? x->origin.type
                                                       : r->content_type);
}

/* Has the answer no body of its own, but confirms the stored one? */
static int is_about_stored(const devcache_exchange_t *x)
{
    return x->phase == DEVCACHE_PHASE_CONFIRMED || x->asked.req.is_head;
}

devcache_reason_e devcache_judge_storable(request_rec *r, devcache_exchange_t *x,
                                          const apr_table_t *fields)
{
    devcache_reason_e reason, odd;

    if (r->no_cache) {
        return DEVCACHE_REASON_NO_STORE; /* another module's word */
    }
    if ((r->prev && is_led_astray(r, x)) || is_file_sent_for(x)) {
        return DEVCACHE_REASON_REDIRECTED;
    }
    if (devcache_part_spoils(x) || devcache_fragments_spoil(x)) {
        return DEVCACHE_REASON_PART;
    }
    if (devcache_policy_is_endless(x->origin.type) ||
        (r->content_type != x->origin.type &&
         devcache_policy_is_endless(r->content_type))) {
        return DEVCACHE_REASON_ENDLESS;
    }
    if (x->origin.headless ||
        (x->origin.type && *ap_scan_http_field_content(x->origin.type))) {
        return DEVCACHE_REASON_CONFLICT; /* not among the fields yet; httpd refuses it */
    }
    /* A 204 ends with its head, whatever that says. */
    x->save.expect = r->status == HTTP_NO_CONTENT ? -1 : announced_length(fields);
    x->save.judged = fields;
    reason = devcache_policy_storable(&x->policy, &x->asked.req, r->status, fields,
                                      devcache_request_has_query(x), x->save.expect,
                                      x->origin.requested_at, x->origin.received_at,
                                      &x->answer.fresh, r->pool);
    if (reason == DEVCACHE_REASON_NONE) {
        reason = devcache_vary_spec(&x->vary, x->asked.fields, fields, &x->save.what.spec,
                                    r->pool);
    }
    if (reason == DEVCACHE_REASON_NONE &&
        !devcache_tags_read(x->dir, x->asked.key, x->origin.fields, fields,
                            &x->save.what.tags, r->pool)) {
        reason = DEVCACHE_REASON_TAGS;
    }
    if (reason == DEVCACHE_REASON_NONE) {
        devcache_said_judge_lifetime(r, x, fields);
        reason = is_disguised(r, x) ? DEVCACHE_REASON_DISGUISED
                 : is_running(r, x) ? DEVCACHE_REASON_ENDLESS
                                    : DEVCACHE_REASON_NONE;
    }
    x->answer.fresh.flags |= is_about_stored(x)
                                 ? x->found.stored.fresh.flags & DEVCACHE_FRAGMENTS
                                 : devcache_fragments_of(x);
    odd = devcache_fields_judge_answer(r, x, x->save.what.spec, fields);
    return reason == DEVCACHE_REASON_NONE ? odd : reason;
}

/* Which parameters of the query make no other page, as this response says? It must be what
 * the key was made by; where it is not, the next one will be stored. */
static devcache_reason_e learn(request_rec *r, devcache_exchange_t *x,
                               const apr_table_t *fields)
{
    const char *rule = devcache_variance_read(fields, r->pool);
    devcache_learnt_t known = x->asked.learnt;
    apr_status_t rv;

    if (!known.rule) { /* without a query nobody has looked */
        devcache_learnt_find(x->server->store, x->asked.key, &known, r->pool);
    }
    if (rule ? known.rule && !strcmp(rule, known.rule) : !known.rule) {
        return DEVCACHE_REASON_NONE;
    }
    rv = devcache_learnt_keep(x->server->store, x->asked.key, rule, x->origin.received_at,
                              r->pool);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r,
                  DCLOGNO(0262) "judge: %s: No-Vary-Search is \"%s\" now",
                  devcache_vary_key_url(x->asked.key, r->pool), rule ? rule : "");
    return x->asked.learnt.rule ? DEVCACHE_REASON_QUERY_RULE : DEVCACHE_REASON_NONE;
}

devcache_reason_e devcache_judge_and_learn(request_rec *r, devcache_exchange_t *x,
                                           const apr_table_t *fields)
{
    devcache_reason_e reason = devcache_judge_storable(r, x, fields);

    return reason == DEVCACHE_REASON_NONE && devcache_dir_no_vary_search(x->dir)
               ? learn(r, x, fields)
               : reason;
}

/* The phrase to be replayed; a 304 or a HEAD's answer has none for the stored response.
 */
static const char *reason_phrase(request_rec *r, const devcache_exchange_t *x)
{
    if (is_about_stored(x)) {
        return x->found.stored.reason;
    }
    return r->status_line && strlen(r->status_line) > 4 ? r->status_line + 4 : NULL;
}

/* The entity tag that clients are shown, where mod_headers makes another of it. */
static const char *etag_shown(request_rec *r, const apr_table_t *stored)
{
    const char *shown = apr_table_get(r->headers_out, "ETag");
    const char *ours = apr_table_get(stored, "ETag");

    return shown && ours && strcmp(shown, ours) ? shown : NULL;
}

void devcache_judge_describe(const devcache_exchange_t *x,
                             const devcache_response_t *resp, devcache_publish_t *what,
                             apr_pool_t *p)
{
    what->variant = devcache_collapse_variant(x, what->spec, p);
    what->meta = devcache_response_encode(resp, p);
    what->requested_at = x->origin.requested_at;
    what->stored_at = x->origin.received_at;
    what->fresh_until = x->origin.received_at + x->answer.fresh.lifetime -
                        x->answer.fresh.initial_age;
    what->max_variants = (unsigned)devcache_dir_max_variants(x->dir);
}

void devcache_judge_describe_answer(request_rec *r, devcache_exchange_t *x)
{
    devcache_response_t resp = {0};

    resp.status = r->status;
    resp.reason = reason_phrase(r, x);
    resp.fresh = x->answer.fresh;
    resp.lines = devcache_policy_stored_fields(&x->policy, x->origin.fields, r->pool);
    if (x->asked.req.authorization &&
        r->status != HTTP_UNAUTHORIZED) { /* the last step of this visitor's login */
        apr_table_unset(resp.lines, "Authentication-Info");
        apr_table_unset(resp.lines, "WWW-Authenticate");
    }
    resp.content_type = x->origin.type;
    resp.etag_shown = etag_shown(r, resp.lines);
    if (is_about_stored(x)) {
        resp.pieces = x->found.stored.pieces;
    }
    devcache_judge_describe(x, &resp, &x->save.what, r->pool);
}

/* Is it in a list, as our own filter has shown it to the client? */
static int was_shown(const char *vary, devcache_slice_t name, apr_pool_t *p)
{
    const char *lower = devcache_field_lower(name.data, name.len, p);
    devcache_slice_t member;

    while (vary && devcache_field_next(&vary, &member)) {
        if (devcache_field_is(member, lower)) {
            return 1;
        }
    }
    return 0;
}

/* The fields with what has come into Vary since they were judged; NULL: nothing has.
 * Expressions of mod_include note there what they look at, when they come to it; the header
 * has gone out by then. */
static apr_table_t *with_late_vary(request_rec *r, const devcache_exchange_t *x)
{
    const char *now = apr_table_get(r->headers_out, "Vary");
    apr_table_t *fields = NULL;
    devcache_slice_t name;

    if (!now || !x->save.judged || now == apr_table_get(x->save.judged, "Vary") ||
        (x->answer.vary && !strcmp(now, x->answer.vary))) {
        return NULL;
    }
    now = devcache_field_combined(r->headers_out, "Vary", r->pool);
    while (devcache_field_next(&now, &name)) {
        if (!devcache_field_has(x->save.judged, "Vary",
                                devcache_field_lower(name.data, name.len, r->pool)) &&
            !was_shown(x->answer.vary, name, r->pool)) {
            fields = fields ? fields : apr_table_copy(r->pool, x->save.judged);
            apr_table_mergen(fields, "Vary",
                             apr_pstrmemdup(r->pool, name.data, name.len));
        }
    }
    return fields;
}

/* What the parts of a page say about it. */
static devcache_reason_e join_parts(request_rec *r, devcache_exchange_t *x)
{
    devcache_freshness_t *fresh = &x->answer.fresh;

    if (x->part.until) {
        devcache_policy_expire(fresh, x->part.until);
        if (fresh->lifetime <= devcache_policy_age(fresh, devcache_now())) {
            return DEVCACHE_REASON_PART;
        }
    }
    x->save.what.tags = devcache_ban_tags_join(x->save.what.tags, x->part.tags, r->pool);
    return DEVCACHE_REASON_NONE;
}

devcache_reason_e devcache_judge_whole(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = with_late_vary(r, x);
    devcache_reason_e reason = DEVCACHE_REASON_NONE;
    int status = r->status;

    if (x->origin.misstated) {
        return DEVCACHE_REASON_INCOMPLETE;
    }
    if (!fields && !x->part.any) {
        return reason;
    }
    if (fields) {
        reason = devcache_vary_spec(&x->vary, x->asked.fields, fields, &x->save.what.spec,
                                    r->pool);
    }
    if (reason == DEVCACHE_REASON_NONE && x->part.any) {
        reason = join_parts(r, x);
    }
    if (reason == DEVCACHE_REASON_NONE) {
        r->status = x->origin.status; /* the client may have got a 304 */
        devcache_judge_describe_answer(r, x);
        r->status = status;
    }
    return reason;
}

devcache_reason_e devcache_judge_published(apr_status_t rv)
{
    return rv == APR_SUCCESS    ? DEVCACHE_REASON_NONE
           : rv == APR_EGENERAL ? DEVCACHE_REASON_REMOVED
                                : DEVCACHE_REASON_STORE_ERROR;
}

/* The stored response has been confirmed: keep its new fields and lifetime. */
static void keep_confirmed(request_rec *r, devcache_exchange_t *x, apr_table_t *fields)
{
    int status = r->status;
    devcache_reason_e reason;

    fields = apr_table_copy(r->pool, fields);
    apr_table_unset(fields, "Clear-Site-Data"); /* the 304's are the visitor's own */
    if (!x->policy.store_set_cookie) {
        apr_table_unset(fields, "Set-Cookie");
        apr_table_unset(fields, "Set-Cookie2");
    }
    r->status = x->found.stored.status; /* a 304 for the client is still about this one */
    reason = devcache_judge_and_learn(r, x, fields);
    if (reason == DEVCACHE_REASON_NONE) {
        devcache_judge_describe_answer(r, x);
        devcache_collapse_decided(x, reason, r->status);
        devcache_peers_confirm(r, x);
        reason = devcache_judge_published(
            devcache_store_refresh(x->save.fill, x->found.hit, &x->save.what));
        devcache_peers_settle(r, x, reason == DEVCACHE_REASON_NONE);
        x->save.fill = NULL;
    }
    r->status = status;
    if (reason != DEVCACHE_REASON_NONE) {
        refuse(r, x, reason, x->found.stored.status, 1);
        return;
    }
    devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
    x->save.stored = 1;
    x->answer.ttl = x->answer.fresh.lifetime -
                    devcache_policy_age(&x->answer.fresh, x->origin.received_at);
}

static int has_validator(const apr_table_t *fields)
{
    return apr_table_get(fields, "ETag") || apr_table_get(fields, "Last-Modified");
}

/* In the same coding? A filter that compresses bodies leaves the answer to a HEAD, which
 * has none, as it is; then its length says nothing about the stored one. */
static int is_coded_alike(const apr_table_t *a, const apr_table_t *b)
{
    const char *one = apr_table_get(a, "Content-Encoding");
    const char *other = apr_table_get(b, "Content-Encoding");

    return one && other ? !ap_cstr_casecmp(one, other) : one == other;
}

/* Is the answer to a HEAD about the stored response (RFC 9111, section 4.3.5)? */
static int tells_of_stored(request_rec *r, devcache_exchange_t *x)
{
    apr_int64_t length = announced_length(x->origin.fields);
    const apr_table_t *stored = devcache_response_fields(&x->found.stored, r->pool);

    if (length < 0 || !is_coded_alike(x->origin.fields, stored)) {
        /* nothing to tell one body from another but validators */
        return has_validator(x->origin.fields) && has_validator(stored) &&
               devcache_policy_validates(x->origin.fields, stored);
    }
    return devcache_policy_validates(x->origin.fields, stored) &&
           length == devcache_response_length(&x->found.stored, x->found.hit->body_len);
}

/* The origin answered a HEAD for something stored and stale: that has new fields now, or
 * is no longer what the origin has. */
static void judge_head(request_rec *r, devcache_exchange_t *x, apr_table_t *fields)
{
    const char *coding;

    if (devcache_fields_odd(r, x, x->found.hit->spec)) {
        devcache_judge_refuse(r, x, DEVCACHE_REASON_HEAD);
        return;
    }
    if (r->status != x->found.stored.status || !tells_of_stored(r, x)) {
        devcache_judge_refuse(r, x, DEVCACHE_REASON_HEAD);
        return;
    }
    devcache_policy_update_fields(x->found.stored.lines, x->origin.fields, r->pool);
    x->origin.fields = x->found.stored.lines;
    x->origin.type = x->found.stored.content_type;
    /* Filters leave a HEAD alone: the body that is kept has the coding that it had. */
    fields = apr_table_copy(r->pool, fields);
    coding = apr_table_get(x->found.stored.lines, "Content-Encoding");
    if (coding) {
        apr_table_setn(fields, "Content-Encoding", coding);
    } else {
        apr_table_unset(fields, "Content-Encoding");
    }
    keep_confirmed(r, x, fields);
}

/* Does the origin say once more that one has to log in, or go elsewhere? */
static int repeats_stored(request_rec *r, devcache_exchange_t *x,
                          const apr_table_t *fields)
{
    const char *now = apr_table_get(fields, "Location"), *then;

    if (!x->found.hit || r->status != x->found.stored.status) {
        return 0;
    }
    then = apr_table_get(devcache_response_fields(&x->found.stored, r->pool), "Location");
    return then && now ? !strcmp(then, now) : then == now;
}

/* A whole new response: begin to store it if that is allowed. */
static void judge_new(request_rec *r, devcache_exchange_t *x, apr_table_t *fields)
{
    devcache_reason_e reason = DEVCACHE_REASON_HEAD;

    devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    if (x->asked.req.is_head && x->found.hit) {
        judge_head(r, x, fields);
        return;
    }
    if (x->asked.req.is_get) {
        reason = devcache_judge_and_learn(r, x, fields);
    }
    if (reason == DEVCACHE_REASON_NONE && x->refresh.running &&
        devcache_effect_sends_to_login(r->status) && !repeats_stored(r, x, fields)) {
        reason = DEVCACHE_REASON_STATUS;
    }
    if (reason != DEVCACHE_REASON_NONE) {
        devcache_judge_refuse(r, x, reason);
        return;
    }
    devcache_judge_describe_answer(r, x);
    devcache_collapse_decided(x, reason, r->status);
    x->save.stored = 1;
    x->save.incremental = devcache_sf_is_true(fields, "Incremental");
    x->save.unsettled = devcache_part_assembles(r);
    x->answer.ttl = x->answer.fresh.lifetime -
                    devcache_policy_age(&x->answer.fresh, x->origin.received_at);
}

/* The client's own If-None-Match, which the origin was not shown. */
static void answer_condition(request_rec *r, devcache_exchange_t *x,
                             const apr_table_t *fields)
{
    const devcache_request_t *req = &x->asked.req;

    if (devcache_fragments_of(x)) {
        return; /* what goes out has other validators: none */
    }
    if (req->has_conditional && !req->has_range && !req->has_precondition &&
        r->status == HTTP_OK && !x->refresh.running &&
        devcache_policy_precondition(x->asked.fields, fields,
                                     apr_table_get(x->origin.fields, "ETag"),
                                     r->status) == HTTP_NOT_MODIFIED) {
        x->save.bodyless = 1;
    }
}

static void turn_into_304(request_rec *r, apr_bucket_brigade *bb)
{
    r->status = HTTP_NOT_MODIFIED;
    r->status_line = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_modified);
    /* Now, not when the body has come: the client need not wait for that. */
    APR_BRIGADE_INSERT_HEAD(bb, apr_bucket_flush_create(bb->bucket_alloc));
}

void devcache_judge_answer(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    apr_table_t *fields = devcache_request_fields_out(r);

    if (x->phase == DEVCACHE_PHASE_CONFIRMED) {
        keep_confirmed(r, x, fields);
    } else if (x->phase == DEVCACHE_PHASE_FETCH) {
        judge_new(r, x, fields);
        answer_condition(r, x, fields);
        if (x->save.bodyless) {
            turn_into_304(r, bb);
        }
    }
}
