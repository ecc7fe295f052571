/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verdict.
 *
 *     the origin says          something is stored      nothing is, or it was not asked about
 *     304, about what we have  CONFIRMED                -
 *     304, about another       AGAIN                    -
 *     5xx, or nothing at all   STALE where allowed,     FAILED where it is only a status,
 *                              else as on the right     else NEW
 *     anything else            NEW                      NEW
 *
 * STALE is what RFC 5861, section 4, and DevCacheStaleIfError and ...IfUnreachable allow.
 * Where must-revalidate or no-cache forbid it an origin out of reach makes 504 (RFC 9111,
 * section 5.2.2.2). A refresh has nobody to be given a stale copy.
 *
 * CONFIRMED and STALE put the stored response into the request; if its body has been
 * evicted meanwhile that comes to AGAIN or FAILED. What the answer does to what is stored
 * is decided later, when mod_headers has had its word: request/judge.c.
 */
#include "request/verdict.h"

#include <string.h>
#include <http_log.h>
#include "base/clock.h"
#include "http/field.h"
#include "mod_devcache.h"
#include "request/restore.h"
#include "stats/stats.h"

/* What the client is told of a failed origin. */
static int failure_status(const devcache_exchange_t *x, int status)
{
    if ((status == HTTP_BAD_GATEWAY || status == HTTP_SERVICE_UNAVAILABLE) &&
        x->found.hit &&
        x->found.stored.fresh.flags & (DEVCACHE_MUST_REVALIDATE | DEVCACHE_NO_CACHE)) {
        devcache_stats_count(DEVCACHE_COUNT_gateway_timeouts);
        return HTTP_GATEWAY_TIME_OUT;
    }
    return status;
}

/* The stored response in place of an error; no field of that may be left. */
static devcache_verdict_e stand_in(request_rec *r, devcache_exchange_t *x, int status,
                                   apr_bucket_brigade *stored, int *pstatus)
{
    apr_table_t *fields = r->headers_out;
    int rv;

    x->answer.fresh = x->found.stored.fresh;
    r->headers_out = apr_table_make(r->pool, 16);
    rv = devcache_restore(r, x, stored);
    if (rv != OK) {
        r->headers_out = fields;
        *pstatus = rv == HTTP_NOT_FOUND ? failure_status(x, status) : rv;
        return DEVCACHE_VERDICT_FAILED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0113) "verdict: %s: origin failed with %d, stale copy served",
                  devcache_vary_key_url(x->asked.key, r->pool), status);
    x->answer.outcome = DEVCACHE_OUTCOME_STALE_ERROR;
    devcache_stats_count(DEVCACHE_COUNT_stale_errors);
    return DEVCACHE_VERDICT_STALE;
}

static int has_line(const apr_table_t *fields, const char *name, const char *wanted)
{
    const char *line;
    int index = 0;

    while ((line = devcache_field_line(fields, name, &index)) && strcmp(line, wanted)) {
    }
    return line != NULL;
}

/* What the 304 sets is for the visitor who has asked, and not stored, unless it took the
 * place of cookies that DevCacheStoreSetCookie has let be stored. A script's cookies are
 * among the fields that also go with errors, and still there. */
static void give_cookies(request_rec *r, const apr_table_t *update,
                         const apr_table_t *stored)
{
    static const char *const names[] = {"Set-Cookie", "Set-Cookie2", "Clear-Site-Data"};
    const char *line;
    int i;

    for (i = 0; i < 3; i++) {
        int index = 0;

        while (!apr_table_get(stored, names[i]) &&
               (line = devcache_field_line(update, names[i], &index))) {
            if (!has_line(r->err_headers_out, names[i], line)) {
                apr_table_addn(r->headers_out, names[i], line);
            }
        }
    }
}

/* Pieces are sent when the connection to the origin is free, as one may have to be fetched:
 * until then the answer has no body, and is swallowed. */
static int restore_confirmed(request_rec *r, devcache_exchange_t *x,
                             apr_bucket_brigade *stored)
{
    int rv;

    if (!x->found.stored.pieces) {
        return devcache_restore(r, x, stored);
    }
    x->piece.swallow = 1;
    x->piece.result = DEVCACHE_PIECE_STORED;
    rv = devcache_restore(r, x, stored);
    x->piece.swallow = rv == OK;
    return rv;
}

/* 304 to our own condition: the stored response with the fields updated. */
static devcache_verdict_e confirm(request_rec *r, devcache_exchange_t *x,
                                  apr_bucket_brigade *stored, int *pstatus)
{
    apr_table_t *update = devcache_request_fields_out(r);
    apr_table_t *lines = devcache_response_fields(&x->found.stored, r->pool);
    devcache_freshness_t *fresh = &x->answer.fresh;
    apr_int64_t age;

    if (!devcache_policy_validates(update, lines)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0115) "verdict: %s: 304 for another representation, asking "
                                    "again",
                      devcache_vary_key_url(x->asked.key, r->pool));
        devcache_request_step(r, x, DEVCACHE_PHASE_RETRY);
        return DEVCACHE_VERDICT_AGAIN;
    }
    devcache_policy_update_fields(lines, update, r->pool);
    age = devcache_field_age(update);
    /* Judged anew by the filter that stores it; until then it has just been validated. */
    *fresh = x->found.stored.fresh;
    fresh->requested_at = x->origin.requested_at;
    fresh->received_at = x->origin.received_at;
    fresh->initial_age = age > 0 ? apr_time_from_sec(age) : 0;
    apr_table_clear(r->headers_out);
    *pstatus = restore_confirmed(r, x, stored);
    if (*pstatus == OK) {
        give_cookies(r, update, lines);
    }
    if (*pstatus == HTTP_NOT_FOUND) {
        devcache_request_step(r, x, DEVCACHE_PHASE_RETRY);
        return DEVCACHE_VERDICT_AGAIN;
    }
    if (*pstatus != OK) {
        return DEVCACHE_VERDICT_FAILED;
    }
    x->origin.fields = lines;
    x->origin.type = x->found.stored.content_type;
    x->answer.outcome = DEVCACHE_OUTCOME_REVALIDATED;
    devcache_stats_count(DEVCACHE_COUNT_revalidated);
    devcache_request_step(r, x, DEVCACHE_PHASE_CONFIRMED);
    return DEVCACHE_VERDICT_CONFIRMED;
}

devcache_verdict_e devcache_verdict(request_rec *r, devcache_exchange_t *x, int status,
                                    devcache_answered_e answered,
                                    apr_bucket_brigade *stored, int *pstatus)
{
    if (x->phase != DEVCACHE_PHASE_IDLE) { /* it was asked for this request */
        x->origin.status = status;
        x->origin.received_at = devcache_now();
        x->origin.unreachable = answered == DEVCACHE_ANSWERED_NOT;
        devcache_failing_note(x, status, answered);
    }
    if (x->phase != DEVCACHE_PHASE_FETCH && !x->refresh.running &&
        devcache_failing_allows_stale(x, status, answered)) {
        return stand_in(r, x, status, stored, pstatus);
    }
    if (x->phase == DEVCACHE_PHASE_VALIDATE && status == HTTP_NOT_MODIFIED) {
        return confirm(r, x, stored, pstatus);
    }
    if (answered != DEVCACHE_ANSWERED_WHOLE) {
        *pstatus = failure_status(x, status);
        return DEVCACHE_VERDICT_FAILED;
    }
    if (x->phase == DEVCACHE_PHASE_VALIDATE) {
        devcache_request_step(r, x, DEVCACHE_PHASE_FETCH);
    }
    return DEVCACHE_VERDICT_NEW;
}
