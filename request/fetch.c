/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the origin: the handlers that come after ours are run with a request header of
 * our own, and what they return is judged where their answer did not come by the filters.
 *
 *     devcache_fetch()           FETCH     without conditions: the whole
 *     devcache_fetch_validate()  VALIDATE  with the stored validators; FETCH after a 304
 *                                          that is about something else
 *     devcache_fetch_as_asked()  FETCH     what the client has asked for: a part, or under
 *                                          a condition; stored if it is the whole
 *     devcache_fetch_again()     SERVED    the whole, for a client that has its beginning
 *
 * When a function returns here the answer has been sent, or what it returns is for httpd
 * to make an error page of. An error that mod_proxy returns after it has sent one through
 * the filters is not: if those made an answer of it, httpd must not make another.
 */
#include "request/fetch.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "base/clock.h"
#include "request/backend.h"
#include "mod_devcache.h"
#include "request/origin.h"
#include "request/decide.h"
#include "request/fields.h"
#include "request/fragments.h"
#include "request/length.h"
#include "request/piece.h"
#include "request/restore.h"
#include "request/said.h"
#include "request/sticky.h"
#include "request/tee.h"
#include "request/verdict.h"
#include "stats/stats.h"

/* Many handlers leave the end of their response to httpd, which adds it when all hooks
 * are done, and what they have written may be held back until then. Here it ends with the
 * handler, while it is known what it is. mod_proxy_fcgi and others say by AP_FILTER_ERROR
 * that their backend broke in the middle of one, and httpd would leave the client waiting
 * for the rest until KeepAliveTimeout. */
static int end_response(request_rec *r, const devcache_exchange_t *x, int rv)
{
    apr_bucket_brigade *bb;

    if (rv != OK && rv != AP_FILTER_ERROR) {
        return rv;
    }
    r = devcache_request_last(r);
    if (r->eos_sent || r->connection->aborted) {
        return rv;
    }
    if (rv == AP_FILTER_ERROR && !x->save.bodyless) {
        devcache_tee_tear(r, r->output_filters);
        return OK;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS || r->connection->aborted
               ? OK
               : AP_FILTER_ERROR;
}

/* That an HTTP/2 client has gone is written into its stream's connection by another
 * thread, at any time, and mod_proxy gives up as soon as it sees it. What is being stored
 * may be waited for by others, so the handlers are shown a copy; the tee looks at the
 * real one. */
static void show_copy(request_rec *r, devcache_exchange_t *x)
{
    if (r->connection->master) {
        x->origin.connection = r->connection;
        r->connection = apr_pmemdup(r->pool, x->origin.connection,
                                    sizeof *x->origin.connection);
    }
}

static void show_real(request_rec *r, devcache_exchange_t *x)
{
    for (; r && x->origin.connection; r = r->next) {
        r->connection = x->origin.connection;
    }
    x->origin.connection = NULL;
}

/* One try. */
static int run_once(request_rec *r, devcache_exchange_t *x, apr_table_t *fields,
                    int only_new)
{
    int rv;

    x->origin.requested_at = devcache_now();
    x->origin.status = x->origin.misstated = 0;
    x->origin.running = 1;
    x->origin.blank = r->headers_out;
    devcache_backend_begin(only_new);
    r->headers_in = fields;
    if (x->asked.as_get) {
        r->method = "GET";
        r->header_only = 0;
    }
    devcache_length_begin(r, x);
    show_copy(r, x);
    rv = ap_run_handler(r);
    devcache_length_end(r);
    show_real(r, x);
    devcache_request_show_head(r, x);
    r->headers_in = x->asked.own_fields;
    x->origin.running = 0;
    return rv;
}

/* Run the handlers that come after ours with the given request header; once more, on a new
 * connection, where a kept one was closed by the backend just as it was used again.
 * mod_proxy leaves that to the client then, who may have nothing kept and would see 502. */
static int run_handlers(request_rec *r, devcache_exchange_t *x, apr_table_t *fields,
                        int whole)
{
    char *filename = r->filename;
    int no_cache = r->no_cache, rv;

    if (!x->origin.watched && x->phase != DEVCACHE_PHASE_SERVED) { /* not to resume */
        x->origin.watched = 1;
        devcache_origin_watch(r, x);
    }
    devcache_said_insert(r, x);
    devcache_failing_identify(r, x);
    devcache_fields_reduce_codings(x, fields, r->pool);
    devcache_fragments_offer(r, x, fields, whole);
    devcache_fragments_insert(r, x);
    devcache_sticky_show(r, x, fields);
    rv = run_once(r, x, fields, 0);
    if (devcache_origin_may_repeat(x)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0123) "fetch: %s: the backend closed a kept connection; "
                                    "asked once more on a new one",
                      devcache_vary_key_url(x->asked.key, r->pool));
        r->filename = filename; /* a balancer has put its member there */
        r->no_cache = no_cache;
        r->status = HTTP_OK;
        r->status_line = NULL;
        apr_table_unset(r->notes, "error-notes");
        apr_table_unset(r->notes, "verbose-error-to");
        rv = run_once(r, x, fields, 1);
    }
    devcache_backend_begin(0);
    rv = end_response(r, x, rv);
    return x->origin.answered ? OK : rv;
}

/* A handler's return value says what the origin has answered; nothing was sent yet. */
static int answer_status(request_rec *r, devcache_exchange_t *x, int rv)
{
    apr_bucket_brigade *bb;
    int is_error = ap_is_HTTP_ERROR(rv), is_answer;

    if ((x->phase != DEVCACHE_PHASE_FETCH && x->phase != DEVCACHE_PHASE_VALIDATE) ||
        !(is_error || (rv == HTTP_NOT_MODIFIED && x->phase == DEVCACHE_PHASE_VALIDATE))) {
        return rv;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    /* With ProxyErrorOverride mod_proxy returns the status of an answer that it has read;
     * that one's Date is there. */
    is_answer = !is_error || apr_table_get(r->headers_out, "Date");
    switch (devcache_verdict(r, x, rv,
                             is_answer ? DEVCACHE_ANSWERED_STATUS : DEVCACHE_ANSWERED_NOT,
                             bb, &rv)) {
    case DEVCACHE_VERDICT_CONFIRMED:
        return devcache_restore_send_confirmed(r, bb);
    case DEVCACHE_VERDICT_STALE:
        return devcache_restore_send(r, x, bb);
    default:
        if (is_error && (is_answer || !ap_is_HTTP_SERVER_ERROR(rv))) {
            x->answer.reason = DEVCACHE_REASON_ERROR_PAGE;
            devcache_stats_count_reason(x->answer.reason);
        }
        return rv;
    }
}

/* ---- pieces ---------------------------------------------------------------------- */

/* What the hooks have left, before an answer that nobody gets is written over it. */
typedef struct before_t {
    apr_table_t *errors;
    int has_headers; /* mod_headers' filter is there, to run once */
} before_t;

static before_t note_before(request_rec *r, const devcache_exchange_t *x)
{
    before_t before = {NULL, 0};

    if (x->piece.is_asked || (x->found.hit && x->found.stored.pieces)) {
        before.errors = apr_table_copy(r->pool, r->err_headers_out);
        before.has_headers = devcache_restore_headers_place(r) != NULL;
    }
    return before;
}

static void undo_answer(request_rec *r, const before_t *before)
{
    apr_table_clear(r->headers_out);
    r->err_headers_out = before->errors;
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->content_type = NULL;
    r->content_encoding = NULL;
    r->eos_sent = 0;
    if (before->has_headers) {
        devcache_restore_add_headers(r);
    }
}

static const char *own_url(const request_rec *r)
{
    return r->unparsed_uri[0] == '/'
               ? r->unparsed_uri
               : apr_uri_unparse(r->pool, &r->parsed_uri, APR_URI_UNP_OMITSITEPART);
}

/* No piece has come. The request goes through httpd once more, past the cache, as the
 * filters of this one have seen an answer already; the next one of this URL asks for the
 * whole from the beginning, and may be stored. */
static int ask_past_cache(request_rec *r, devcache_exchange_t *x)
{
    devcache_piece_give_up(x, x->answer.reason);
    if (x->collapse.flight && devcache_flight_owned(x->collapse.flight)) {
        devcache_flight_end(x->collapse.flight, DEVCACHE_FLIGHT_BROKEN, 0, 0);
    }
    ap_internal_redirect(own_url(r), r);
    return OK;
}

/* The piece that was asked for in the client's stead is in the store, or is none: answer
 * the client. */
static int answer_from_pieces(request_rec *r, devcache_exchange_t *x,
                              const before_t *before)
{
    apr_bucket_brigade *bb;
    int rv = HTTP_NOT_FOUND, variants = x->found.variants;

    if (x->refresh.running) {
        if (!x->piece.alone && x->piece.result == DEVCACHE_PIECE_USELESS) {
            devcache_piece_give_up(x, x->answer.reason);
        }
        return OK;
    }
    undo_answer(r, before);
    x->piece.has_gap = x->piece.swallow = 0;
    if (x->piece.result == DEVCACHE_PIECE_STORED &&
        devcache_decide_find(r, x, devcache_store_lookup) == APR_SUCCESS) {
        x->found.variants = variants; /* that there were before */
        bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
        rv = devcache_restore(r, x, bb);
        if (rv == OK) {
            return devcache_restore_send(r, x, bb);
        }
    }
    return rv == HTTP_NOT_FOUND ? ask_past_cache(r, x) : rv;
}

/* Run the handlers, and judge what they return. */
static int ask(request_rec *r, devcache_exchange_t *x, apr_table_t *fields)
{
    before_t before = note_before(r, x);
    int rv = answer_status(r, x, run_handlers(r, x, fields, 1));

    return x->piece.swallow ? answer_from_pieces(r, x, &before) : rv;
}

/* ---- what is asked ---------------------------------------------------------------- */

int devcache_fetch(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_copy(r->pool, x->asked.fields);

    devcache_policy_clear_conditionals(fields);
    devcache_piece_ask(x, fields, r->pool);
    devcache_request_step(r, x, DEVCACHE_PHASE_FETCH);
    return ask(r, x, fields);
}

int devcache_fetch_validate(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_copy(r->pool, x->asked.fields);
    int rv;

    /* An unordinary request is no way to confirm what others are given. */
    if (devcache_fields_odd(r, x, x->found.hit->spec) ||
        !devcache_policy_set_validators(
            fields, devcache_response_fields(&x->found.stored, r->pool), r->pool)) {
        devcache_policy_clear_conditionals(fields);
    }
    apr_table_unset(fields, "Range"); /* the stored whole answers it once confirmed */
    devcache_piece_ask(x, fields, r->pool);
    devcache_request_step(r, x, DEVCACHE_PHASE_VALIDATE);
    rv = ask(r, x, fields);
    if (x->phase == DEVCACHE_PHASE_RETRY) {
        /* The stored one is no use to this request: RFC 9111, section 4.3.3. */
        apr_table_clear(r->headers_out);
        r->status = HTTP_OK;
        r->status_line = NULL;
        r->eos_sent = 0;
        rv = devcache_fetch(r, x);
    }
    return rv;
}

int devcache_fetch_again(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_copy(r->pool, x->asked.fields);

    devcache_policy_clear_conditionals(fields);
    apr_table_unset(fields, "Range");
    return run_handlers(r, x, fields, 1);
}

int devcache_fetch_as_asked(request_rec *r, devcache_exchange_t *x)
{
    devcache_request_step(r, x, DEVCACHE_PHASE_FETCH);
    return answer_status(r, x,
                         run_handlers(r, x, apr_table_copy(r->pool, x->asked.fields), 0));
}
