/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler.
 *
 *     is it ours, and may the cache be used?    request/decide.c; else the next handler
 *     look it up                                what can be served is
 *     wait for somebody who fetches the same    request/collapse.c; then look again, or
 *                                               follow what is being fetched
 *     ask the origin                            request/fetch.c; the filters store it
 *
 * A refresh (request/refresh.c) comes by here too. It has its flight already and waits for
 * nobody; it asks only if what it is about is still there and nobody has refreshed it.
 *
 * The store is asked to remember the moment (a fill) before the origin is asked, so that
 * what is purged during the fetch is not stored; after a wait it is asked anew.
 */
#include "request/serve.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "base/clock.h"
#include "request/asked.h"
#include "request/collapse.h"
#include "request/decide.h"
#include "request/differs.h"
#include "request/fields.h"
#include "request/hints.h"
#include "request/reduce.h"
#include "request/fetch.h"
#include "request/fragments.h"
#include "request/peers.h"
#include "request/post.h"
#include "mod_devcache.h"
#include "request/refresh.h"
#include "request/restore.h"
#include "request/verdict.h"
#include "stats/stats.h"
#include "request/tee.h"

/* Times that a request looks again for what others fetch before it fetches by itself. */
#define MAX_TRIES 4

/* Serve x->found as it is. HTTP_NOT_FOUND: its body was evicted after it was found. */
static int serve_stored(request_rec *r, devcache_exchange_t *x)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    int rv = devcache_restore(r, x, bb);

    if (rv == OK && x->answer.outcome == DEVCACHE_OUTCOME_STALE) {
        /* The refresh comes after; the client is not to wait for it. */
        APR_BUCKET_INSERT_BEFORE(APR_BRIGADE_LAST(bb),
                                 apr_bucket_flush_create(bb->bucket_alloc));
    }
    return rv == OK ? devcache_restore_send(r, x, bb) : rv;
}

/* The origin failed for somebody else. */
static int serve_stale(request_rec *r, devcache_exchange_t *x, int status,
                       devcache_answered_e answered)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    return devcache_verdict(r, x, status, answered, bb, &status) == DEVCACHE_VERDICT_STALE
               ? devcache_restore_send(r, x, bb)
               : status;
}

/* ---- looking up ----------------------------------------------------------------- */

static devcache_decision_e decide_found(request_rec *r, devcache_exchange_t *x)
{
    return devcache_decide(r, x, x->found.hit ? &x->found.stored.fresh : NULL);
}

static void look_up(request_rec *r, devcache_exchange_t *x)
{
    apr_status_t rv = devcache_decide_find(r, x, devcache_store_lookup);

    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        devcache_stats_count(DEVCACHE_COUNT_store_errors);
    }
}

static void log_decision(request_rec *r, devcache_exchange_t *x,
                         devcache_decision_e decision)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0110) "serve: %s [%s]: %s (%s), ttl %" APR_TIME_T_FMT " s",
                  devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                  devcache_decide_name(decision), devcache_reason_text(x->answer.reason),
                  apr_time_sec(x->answer.ttl));
}

static int serve_hit(request_rec *r, devcache_exchange_t *x, devcache_decision_e decision)
{
    int stale = decision == DEVCACHE_DECISION_STALE ||
                decision == DEVCACHE_DECISION_STALE_REFRESH;
    int rv;

    x->answer.outcome = stale                    ? DEVCACHE_OUTCOME_STALE
                        : x->collapse.wait_until ? DEVCACHE_OUTCOME_COLLAPSED
                                                 : DEVCACHE_OUTCOME_HIT;
    if ((rv = serve_stored(r, x)) == HTTP_NOT_FOUND) {
        return rv;
    }
    log_decision(r, x, decision);
    devcache_stats_count(stale                    ? DEVCACHE_COUNT_stale_hits
                         : x->collapse.wait_until ? DEVCACHE_COUNT_collapsed
                                                  : DEVCACHE_COUNT_hits);
    if (x->found.hit->room) {
        devcache_stats_count(DEVCACHE_COUNT_memory_hits);
    }
    if (decision == DEVCACHE_DECISION_HIT_REFRESH ||
        decision == DEVCACHE_DECISION_STALE_REFRESH) {
        devcache_refresh_run(r, x);
    }
    return rv;
}

/* Nothing usable is stored: ask the origin for the whole. */
static int fetch_missing(request_rec *r, devcache_exchange_t *x)
{
    x->answer.outcome = DEVCACHE_OUTCOME_MISS;
    devcache_stats_count(DEVCACHE_COUNT_misses);
    devcache_stats_count_reason(x->answer.reason);
    log_decision(r, x, DEVCACHE_DECISION_MISS);
    if (x->found.variants && devcache_dir_status_header(x->dir)) {
        devcache_differs_find(r, x); /* now, before this one is stored beside them */
    }
    return devcache_fetch(r, x);
}

/* Let the origin answer what is asked: a part, or under a condition. If it answers with
 * the whole all the same, that is stored. */
static int pass_on(request_rec *r, devcache_exchange_t *x)
{
    int rv;

    x->answer.outcome = DEVCACHE_OUTCOME_MISS;
    devcache_stats_count(DEVCACHE_COUNT_misses);
    devcache_stats_count_reason(x->answer.reason);
    log_decision(r, x, DEVCACHE_DECISION_PASS);
    rv = devcache_fetch_as_asked(r, x);
    if (rv == OK && !r->next && !r->connection->aborted && x->asked.req.has_range &&
        devcache_dir_fetch_whole(x->dir)) {
        devcache_refresh_whole(r, x);
    }
    return rv;
}

static int go_past(request_rec *r, devcache_exchange_t *x)
{
    devcache_decision_e decision = decide_found(r, x);

    x->answer.outcome = DEVCACHE_OUTCOME_BYPASS;
    devcache_stats_count(DEVCACHE_COUNT_bypasses);
    devcache_stats_count_reason(x->answer.reason);
    if (x->answer.reason == DEVCACHE_REASON_REQ_OVERRIDE) {
        devcache_fields_tell(r, x, x->answer.reason, x->asked.req.override);
    }
    log_decision(r, x, decision);
    if (x->asked.of_post) {
        devcache_post_begin(r, x);
    }
    devcache_fragments_pass(r, x);
    return DECLINED;
}

/* Stored, but not usable as it is: does it still hold? */
static int validate_stored(request_rec *r, devcache_exchange_t *x)
{
    x->answer.outcome = DEVCACHE_OUTCOME_EXPIRED;
    x->answer.asked_by_client = x->answer.ttl > 0 &&
                                x->answer.reason != DEVCACHE_REASON_MUST_VALIDATE;
    devcache_stats_count(DEVCACHE_COUNT_validations);
    log_decision(r, x, DEVCACHE_DECISION_VALIDATE);
    return devcache_fetch_validate(r, x);
}

/* The client wants nothing that would have to be fetched. */
static int refuse_to_fetch(request_rec *r, devcache_exchange_t *x)
{
    x->answer.outcome = DEVCACHE_OUTCOME_TIMEOUT;
    devcache_stats_count(DEVCACHE_COUNT_gateway_timeouts);
    log_decision(r, x, DEVCACHE_DECISION_TIMEOUT);
    return HTTP_GATEWAY_TIME_OUT;
}

/* The origin failed a moment ago. */
static int serve_remembered(request_rec *r, devcache_exchange_t *x)
{
    devcache_answered_e answered;
    int status;

    devcache_failing_now(r, x, &status, &answered);
    log_decision(r, x, DEVCACHE_DECISION_STALE_ERROR);
    return serve_stale(r, x, status, answered);
}

/* Answer from the store alone. DECLINED: the origin is needed. */
static int from_store(request_rec *r, devcache_exchange_t *x)
{
    devcache_decision_e decision;

    look_up(r, x);
    decision = decide_found(r, x);
    if (devcache_decide_serves(decision)) {
        int rv = serve_hit(r, x, decision);
        if (rv != HTTP_NOT_FOUND) {
            return rv;
        }
        x->found.hit = NULL;
        x->found.form = DEVCACHE_FORM_STORED;
        decision = decide_found(r, x);
    }
    return decision == DEVCACHE_DECISION_TIMEOUT       ? refuse_to_fetch(r, x)
           : decision == DEVCACHE_DECISION_STALE_ERROR ? serve_remembered(r, x)
                                                       : DECLINED;
}

static int ask(request_rec *r, devcache_exchange_t *x)
{
    devcache_peers_note(x);
    switch (decide_found(r, x)) {
    case DEVCACHE_DECISION_MISS:
        return fetch_missing(r, x);
    case DEVCACHE_DECISION_PASS:
        return pass_on(r, x);
    default:
        return validate_stored(r, x);
    }
}

/* The handler has ended: tell those who wait, and give back what was taken for the fetch. */
static void end_fetch(request_rec *r, devcache_exchange_t *x, int rv)
{
    int status = ap_is_HTTP_ERROR(rv) ? rv : x->origin.status;

    devcache_collapse_end(
        x, status >= 500 ? DEVCACHE_FLIGHT_FAILED : DEVCACHE_FLIGHT_PRIVATE, status);
    devcache_peers_release(x);
    devcache_tee_end(r, x);
}

/* Parts are asked for when nothing is held any more that others may wait for. */
static int ask_origin(request_rec *r, devcache_exchange_t *x)
{
    int rv;

    devcache_fragments_wait(r, x);
    rv = ask(r, x);
    if (x->composed) {
        end_fetch(r, x, rv);
        rv = devcache_fragments_finish(r, x, rv);
    }
    return rv;
}

/* Nobody waits for this: does what was served still hold, and if not, what is new? Where
 * only a part was asked for: what is the whole? */
static int answer_refresh(request_rec *r, devcache_exchange_t *x)
{
    if (x->piece.alone) {
        return devcache_fetch(r, x);
    }
    devcache_peers_note(x);
    look_up(r, x);
    if (!x->refresh.stored_at) {
        x->answer.outcome = DEVCACHE_OUTCOME_MISS;
        return x->found.hit ? OK : devcache_fetch(r, x);
    }
    if (!x->found.hit || x->found.hit->stored_at > x->refresh.stored_at) {
        return OK; /* removed, or refreshed by somebody since */
    }
    if (devcache_peers_take(r, x)) {
        return OK;
    }
    devcache_peers_note(x);
    return validate_stored(r, x);
}

/* Nothing is stored for a HEAD: where DevCacheHead says so the origin is asked as by GET,
 * and what it gives is stored; the client gets the head of it. */
static void ask_as_get(devcache_exchange_t *x)
{
    if (x->asked.req.is_head && !x->found.hit && devcache_dir_head_fills(x->dir)) {
        x->asked.as_get = 1;
        x->asked.req.is_head = 0;
        x->asked.req.is_get = 1;
    }
}

static int answer_request(request_rec *r, devcache_exchange_t *x)
{
    int tries, rv;

    for (tries = 0; tries < MAX_TRIES; tries++) {
        apr_uint32_t epoch = devcache_collapse_epoch(x);
        x->piece.hit = NULL;
        x->piece.has_gap = 0;
        x->found.form = DEVCACHE_FORM_STORED;
        if ((rv = from_store(r, x)) != DECLINED) {
            return rv;
        }
        ask_as_get(x);
        if (tries == 0) {
            devcache_hints_send(r, x);
        }
        if (!x->save.fill || tries > 0) { /* a purge may have come while it waited */
            devcache_store_fill_abort(x->save.fill);
            x->save.fill = devcache_store_fill_begin(x->server->store, x->asked.key,
                                                     r->pool);
        }
        switch (devcache_collapse_join(r, x, epoch, &rv)) {
        case DEVCACHE_COLLAPSE_AGAIN:
            continue;
        case DEVCACHE_COLLAPSE_SERVED:
            return rv;
        case DEVCACHE_COLLAPSE_FAILED:
            return serve_stale(r, x, rv, DEVCACHE_ANSWERED_NOT);
        case DEVCACHE_COLLAPSE_ASK:
            if (tries < MAX_TRIES - 1 && devcache_peers_take(r, x)) {
                continue;
            }
            return ask_origin(r, x);
        }
    }
    return ask_origin(r, x);
}

int devcache_serve_handler(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    int rv;

    if (devcache_decide_is_ours(r, x) != DEVCACHE_OURS_ON || x->origin.running) {
        return DECLINED;
    }
    if (!x->refresh.running) {
        devcache_stats_count(DEVCACHE_COUNT_requests);
        if (!devcache_asked_prepare(r, x)) {
            return go_past(r, x);
        }
        devcache_reduce_query(r, x);
    }
    rv = x->refresh.running ? answer_refresh(r, x) : answer_request(r, x);
    end_fetch(r, x, rv);
    devcache_store_fill_abort(x->save.fill); /* nothing, if it was published */
    x->save.fill = NULL;
    if (x->phase == DEVCACHE_PHASE_FETCH || x->phase == DEVCACHE_PHASE_VALIDATE) {
        /* An error page that httpd makes now must not be taken for the response. */
        devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    }
    return rv;
}
