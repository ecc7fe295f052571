/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEVCACHE_ORIGIN: the answer as it comes from the origin.
 *
 * It notes the fields before mod_headers changes them, as they are replayed through that
 * on every hit, and asks for the verdict. Where the stored response goes out in the
 * answer's stead, that is sent down the chain from here and the rest of the answer is
 * swallowed; where an error does, httpd is told by an error bucket. The filter goes when a
 * new answer has begun.
 *
 * On a client connection that is not new mod_proxy closes the connection without an answer
 * when the backend has failed, for the client to try again; an answer is better. The error
 * page that httpd makes is not the response to this URL: nothing of it is stored.
 */
#include "request/origin.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_protocol.h>
#include "base/clock.h"
#include "request/backend.h"
#include "request/decide.h"
#include "request/fragments.h"
#include "request/length.h"
#include "request/part.h"
#include "request/restore.h"
#include "request/said.h"
#include "request/verdict.h"

static ap_filter_rec_t *origin_filter;

int devcache_origin_error(const apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b)) {
            return ((ap_bucket_error *)b->data)->status;
        }
        if (AP_BUCKET_IS_EOC(b)) {
            return HTTP_BAD_GATEWAY;
        }
    }
    return 0;
}

int devcache_origin_may_repeat(const devcache_exchange_t *x)
{
    return devcache_backend_was_closed() && !x->part.any && !x->origin.status &&
           (x->asked.req.is_get || x->asked.req.is_head);
}

/* mod_proxy_http takes what begins with no status line for the body of an HTTP/0.9
 * answer, and the head of any other one into a table of its own. Of a status it reads three
 * digits, however many there are. */
static int is_headless(const request_rec *r, const devcache_exchange_t *x)
{
    if (r->status_line && strspn(r->status_line, "0123456789") > 3) {
        return 1;
    }
    return r->headers_out == x->origin.blank && r->filename &&
           !strncmp(r->filename, "proxy:http", 10);
}

static void note_answer(request_rec *r, devcache_exchange_t *x)
{
    x->origin.headless = is_headless(r, x);
    x->origin.fields = devcache_request_fields_out(r);
    x->origin.type = r->content_type;
    if (r->content_languages) {
        apr_table_setn(x->origin.fields, "Content-Language",
                       apr_array_pstrcat(r->pool, r->content_languages, ','));
    }
}

/* An error of our own in place of what the origin sends. */
static apr_status_t pass_error(ap_filter_t *f, apr_bucket_brigade *bb, int status)
{
    devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;

    x->origin.answered = 1;
    devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    apr_brigade_cleanup(bb);
    if (x->refresh.running) {
        return APR_SUCCESS; /* nobody is to be told */
    }
    APR_BRIGADE_INSERT_TAIL(
        bb, ap_bucket_error_create(status, NULL, r->pool, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(f->next, bb);
}

/* The stored response in place of what the origin sends. */
static apr_status_t pass_stored(ap_filter_t *f, apr_bucket_brigade *bb,
                                apr_bucket_brigade *stored)
{
    devcache_exchange_t *x = f->ctx;
    apr_status_t rv;

    x->origin.answered = 1;
    apr_brigade_cleanup(bb);
    rv = ap_pass_brigade(f->next, stored);
    devcache_request_step(f->r, x,
                          x->piece.swallow ? DEVCACHE_PHASE_IDLE : DEVCACHE_PHASE_SERVED);
    return rv;
}

/* What puts the page together goes on to look at the request, and must find the cookies
 * that are compared, not all that the client has sent. */
static apr_status_t pass_begun(ap_filter_t *f, apr_bucket_brigade *bb, apr_table_t *sent)
{
    const devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    if (x->origin.running && devcache_part_assembles(r)) {
        r->headers_in = sent;
    }
    return rv;
}

static apr_status_t origin_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;
    int error = devcache_origin_error(bb), status;
    apr_table_t *sent = r->headers_in;
    apr_bucket_brigade *stored;

    if (x->phase == DEVCACHE_PHASE_SERVED || x->phase == DEVCACHE_PHASE_RETRY ||
        (error && x->origin.running && devcache_origin_may_repeat(x))) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    if (x->phase == DEVCACHE_PHASE_IDLE || APR_BRIGADE_EMPTY(bb)) {
        if (x->asked.of_post && !error && !APR_BRIGADE_EMPTY(bb)) {
            x->origin.status = r->status;
            x->origin.received_at = devcache_now();
            note_answer(r, x);
            ap_remove_output_filter(f);
        }
        return ap_pass_brigade(f->next, bb);
    }
    r->headers_in = x->asked
                        .own_fields; /* BYTERANGE and the logs want the client's own */
    stored = apr_brigade_create(r->pool, bb->bucket_alloc);
    switch (devcache_verdict(r, x, error ? error : r->status,
                             error ? DEVCACHE_ANSWERED_NOT : DEVCACHE_ANSWERED_WHOLE,
                             stored, &status)) {
    case DEVCACHE_VERDICT_CONFIRMED:
    case DEVCACHE_VERDICT_STALE:
        return pass_stored(f, bb, stored);
    case DEVCACHE_VERDICT_AGAIN:
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    case DEVCACHE_VERDICT_FAILED:
        return pass_error(f, bb, status);
    case DEVCACHE_VERDICT_NEW:
        break;
    }
    devcache_said_restore_vary(r, x);
    note_answer(r, x);
    ap_remove_output_filter(f);
    return pass_begun(f, bb, sent);
}

/* Not on a bypass, an error document or a subrequest of another module's. Where the answer
 * that comes is that to a request of ours (an internal redirect of one under way, or a
 * refresh), but not where httpd makes an error page of an answer that has been judged. Who
 * sends the request itself, but to the next handler, has the filters put in then. */
devcache_exchange_t *devcache_origin_watched(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    int is;

    if (!x || r->main) {
        return NULL;
    }
    is = x->origin.running
             ? x->phase == DEVCACHE_PHASE_FETCH || x->phase == DEVCACHE_PHASE_VALIDATE
             : r->method_number == M_POST &&
                   devcache_decide_is_ours(r, x) == DEVCACHE_OURS_ON;
    return is ? x : NULL;
}

void devcache_origin_insert(request_rec *r)
{
    devcache_exchange_t *x = devcache_origin_watched(r);

    if (x) {
        x->origin.blank = r->headers_out; /* of an internal redirect */
        if (x->origin.running) {
            devcache_length_begin(r, x);
            devcache_said_insert(r, x);
            devcache_fragments_insert(r, x);
        }
        ap_add_output_filter_handle(origin_filter, x, r, r->connection);
    }
}

/* In the place that the hook would give it. */
static void put_before_headers(request_rec *r, devcache_exchange_t *x)
{
    ap_filter_t **at = devcache_restore_headers_place(r), *f;

    if (!at) {
        ap_add_output_filter_handle(origin_filter, x, r, r->connection);
        return;
    }
    f = apr_pcalloc(r->pool, sizeof *f);
    f->frec = origin_filter;
    f->ctx = x;
    f->next = *at;
    f->r = r;
    f->c = r->connection;
    *at = f;
}

void devcache_origin_watch(request_rec *r, devcache_exchange_t *x)
{
    put_before_headers(r, x);
    ap_add_output_filter("DEVCACHE_SAVE", x, r, r->connection); /* behind mod_headers */
}

void devcache_origin_register(void)
{
    origin_filter = ap_register_output_filter("DEVCACHE_ORIGIN", origin_out, NULL,
                                              AP_FTYPE_CONTENT_SET);
}
