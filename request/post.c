/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST.
 *
 * "Responses to POST requests are only cacheable when they include explicit freshness
 * information and a Content-Location header field that has the same value as the POST's
 * target URI" (RFC 9110 section 9.3.3). Such an answer, if it is a 200 and may be stored as
 * if a GET had got it, is stored for GET and HEAD; a POST always goes to the origin. What was
 * stored of the URL is invalidated by the POST as ever, before this takes its place
 * (devcache_store_fill_clear()), so that a purge that comes meanwhile is heeded.
 *
 * Nothing else about the POST changes: the handlers run as without a cache, and the client
 * gets each byte as it comes.
 */
#include "request/post.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include "base/clock.h"
#include "mod_devcache.h"
#include "request/asked.h"
#include "request/judge.h"
#include "request/part.h"
#include "request/said.h"
#include "stats/stats.h"

void devcache_post_begin(request_rec *r, devcache_exchange_t *x)
{
    x->save.fill = devcache_store_fill_begin(x->server->store, x->asked.key, r->pool);
    x->origin.requested_at = devcache_now();
    /* What is stored is judged and compared as if a GET had got it, which has no body. */
    x->asked.fields = apr_table_copy(r->pool, x->asked.fields);
    apr_table_unset(x->asked.fields, "Content-Type");
    devcache_said_insert(r, x);
}

/* Does it say that it is what the URL's own GET would get? */
static int is_of_target(request_rec *r, const devcache_exchange_t *x,
                        const apr_table_t *fields)
{
    devcache_slice_t key = devcache_asked_key_named(r, x, "Content-Location", fields);

    return key.data && devcache_slice_eq(key, x->asked.whole_key);
}

/* Has somebody stated its lifetime, in the answer itself? */
static int is_explicit(request_rec *r, const devcache_exchange_t *x,
                       const apr_table_t *fields)
{
    devcache_lifetime_t l;

    devcache_policy_lifetime(&x->policy, r->status, fields, devcache_request_has_query(x),
                             x->origin.received_at, &l, r->pool);
    return l.lifetime > 0 &&
           (l.by == DEVCACHE_LIFETIME_S_MAXAGE || l.by == DEVCACHE_LIFETIME_MAX_AGE ||
            l.by == DEVCACHE_LIFETIME_EXPIRES);
}

static void give_up(devcache_exchange_t *x)
{
    devcache_store_fill_abort(x->save.fill);
    x->save.fill = NULL;
    x->save.stored = 0;
}

/* It says that it may be stored, and is not. */
static void refuse(request_rec *r, devcache_exchange_t *x, devcache_reason_e reason)
{
    x->answer.reason = reason;
    devcache_stats_count(DEVCACHE_COUNT_not_stored);
    devcache_stats_count_reason(reason);
    ap_log_rerror(
        APLOG_MARK, APLOG_DEBUG, 0, r,
        DCLOGNO(0134) "post: %s [%s]: its answer is not stored for GET (%s)%s%s",
        devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
        devcache_reason_text(reason), x->asked.odd ? ": " : "",
        x->asked.odd ? x->asked.odd : "");
    give_up(x);
}

/* Once, when its head is known. */
static void judge(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = devcache_request_fields_out(r);
    devcache_reason_e bypass = x->asked.req.bypass, reason;
    unsigned removed;

    if (r->status != HTTP_OK || !x->origin.fields || x->part.any ||
        !is_of_target(r, x, fields) || !is_explicit(r, x, fields)) {
        give_up(x);
        return;
    }
    x->asked.req.bypass = DEVCACHE_REASON_NONE;
    reason = devcache_judge_and_learn(r, x, fields);
    x->asked.req.bypass = bypass;
    if (reason != DEVCACHE_REASON_NONE) {
        refuse(r, x, reason);
        return;
    }
    devcache_judge_describe_answer(r, x);
    devcache_store_fill_clear(x->save.fill, &removed);
    x->save.stored = 1;
    x->answer.ttl = x->answer.fresh.lifetime -
                    devcache_policy_age(&x->answer.fresh, x->origin.received_at);
}

static void end_body(request_rec *r, devcache_exchange_t *x)
{
    devcache_reason_e reason = DEVCACHE_REASON_INCOMPLETE;

    if (x->save.expect < 0 || x->save.expect == x->save.written) {
        reason = devcache_judge_published(
            devcache_store_fill_publish(x->save.fill, &x->save.what));
    }
    if (reason != DEVCACHE_REASON_NONE) {
        refuse(r, x, reason);
        return;
    }
    x->save.fill = NULL;
    devcache_stats_count(DEVCACHE_COUNT_stored);
    ap_log_rerror(
        APLOG_MARK, APLOG_DEBUG, 0, r,
        DCLOGNO(0133) "post: %s [%s]: its answer is stored for GET, %" APR_INT64_T_FMT
                      " bytes",
        devcache_vary_key_url(x->asked.key, r->pool), x->device.class, x->save.written);
}

/* No fill after it: no more of it is stored. */
static void save_bucket(request_rec *r, devcache_exchange_t *x, apr_bucket *b)
{
    const char *data = NULL;
    apr_size_t len = 0;

    if (APR_BUCKET_IS_EOS(b)) {
        end_body(r, x);
    } else if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b) ||
               (!APR_BUCKET_IS_METADATA(b) &&
                apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS)) {
        refuse(r, x, DEVCACHE_REASON_INCOMPLETE);
    } else if (!len) {
        return;
    } else if (x->save.written + (apr_int64_t)len > x->policy.max_object_size) {
        refuse(r, x, DEVCACHE_REASON_TOO_LARGE);
    } else if (devcache_store_fill_write(x->save.fill, data, len, x->save.expect) !=
               APR_SUCCESS) {
        refuse(r, x, DEVCACHE_REASON_STORE_ERROR);
    } else {
        x->save.written += (apr_int64_t)len;
    }
}

apr_status_t devcache_post_save(ap_filter_t *f, devcache_exchange_t *x,
                                apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);

    if (x->save.fill && !x->save.stored) {
        judge(f->r, x);
    }
    for (; x->save.fill && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        save_bucket(f->r, x, b);
    }
    if (!x->save.fill) {
        ap_remove_output_filter(f);
    }
    return ap_pass_brigade(f->next, bb);
}
