/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments.
 *
 *     asked       the origin is told Surrogate-Capability, and no coding
 *     answered    DEVCACHE_GAPS, in front of all filters, looks whether it has gaps for us. If
 *                 so those that work on bodies leave the chain, and DEVCACHE_FRAGMENTS stands
 *                 behind all that stores; if not the client's Accept-Encoding is there again
 *     held        until the page has come, and, where the origin was asked, until its handler
 *                 has ended: then nobody waits for the page, nor does it keep a connection
 *     composed    and sent on, through the filters that had to leave
 *     passed by   where the configuration says that pages have gaps whoever asks, those that
 *                 come past the cache are filled likewise, in the filter
 *
 * A page on its way to the store alone, as in a refresh, is not held.
 */
#include "request/fragments.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include "http/field.h"
#include "mod_devcache.h"
#include "request/compose.h"

static ap_filter_rec_t *gaps_filter, *fragments_filter;

/* ---- the chain ---------------------------------------------------------------------- */

/* Is it one that does not work on bodies? */
static int stays(const ap_filter_t *f)
{
    return !strncmp(f->frec->name, "devcache_", 9) ||
           !strcmp(f->frec->name, "fixup_headers_out");
}

/* mod_include would look for the same gaps once more. */
static int is_needed_later(const ap_filter_t *f)
{
    return !ap_strcasestr(f->frec->name, "includes");
}

/* Those that work on bodies are put aside; httpd's own, for messages, are behind all. */
static void put_aside(request_rec *r, devcache_compose_t *c)
{
    ap_filter_t **at = &r->output_filters, **last = &c->later;

    c->later = NULL;
    while (*at && (*at)->frec->ftype < AP_FTYPE_PROTOCOL - 1) {
        ap_filter_t *f = *at;

        if (stays(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        f->next = NULL;
        *last = f;
        last = &f->next;
    }
}

/* Behind what stores, in front of what clients see of an answer. */
static void put_filter(request_rec *r, devcache_exchange_t *x, devcache_compose_t *c)
{
    ap_filter_t *f = ap_add_output_filter_handle(fragments_filter, x, r, r->connection);
    ap_filter_t **at = &r->output_filters;

    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
    at = &r->output_filters;
    while (*at && (*at)->frec->ftype < AP_FTYPE_PROTOCOL - 1) {
        at = &(*at)->next;
    }
    f->next = *at;
    *at = f;
    c->filter = f;
}

static void arrange(request_rec *r, devcache_exchange_t *x, unsigned dialects)
{
    devcache_compose_t *c = devcache_compose_of(r, x);

    c->dialects = dialects;
    if (!c->filter || c->filter->r != r) {
        put_aside(r, c);
        put_filter(r, x, c);
    }
}

void devcache_fragments_arrange(request_rec *r, devcache_exchange_t *x)
{
    arrange(r, x, x->found.stored.fresh.flags & DEVCACHE_FRAGMENTS);
}

/* Those that were put aside stand behind the filter now, which goes. */
static apr_status_t go_on(ap_filter_t *f, devcache_compose_t *c, apr_bucket_brigade *bb)
{
    ap_filter_t **last = &c->later;
    ap_filter_t *next;

    while (*last) {
        if (c->dialects && !is_needed_later(*last)) {
            *last = (*last)->next;
        } else {
            last = &(*last)->next;
        }
    }
    *last = f->next;
    f->next = next = c->later;
    c->later = NULL;
    c->filter = NULL;
    ap_remove_output_filter(f);
    return ap_pass_brigade(next, bb);
}

/* ---- asked -------------------------------------------------------------------------- */

void devcache_fragments_wait(request_rec *r, devcache_exchange_t *x)
{
    if (devcache_dir_fragments(x->dir)) {
        devcache_compose_of(r, x)->waits = 1;
    }
}

/* In which dialects does the configuration say that pages have gaps, whoever asks? */
static unsigned dialects_set(const devcache_exchange_t *x)
{
    return (unsigned)devcache_dir_fragments(x->dir) & DEVCACHE_FRAGMENTS;
}

void devcache_fragments_offer(request_rec *r, devcache_exchange_t *x, apr_table_t *fields,
                              int whole)
{
    devcache_compose_t *c;

    if (!devcache_dir_fragments(x->dir)) {
        return;
    }
    c = devcache_compose_of(r, x);
    c->is_offered = whole || dialects_set(x);
    c->codings = NULL;
    if (whole) {
        c->codings = apr_table_get(fields, "Accept-Encoding");
        apr_table_setn(fields, "Accept-Encoding", "identity");
        apr_table_setn(fields, "Surrogate-Capability", "devcache=\"SSI/1.0 ESI/1.0\"");
    }
}

void devcache_fragments_insert(request_rec *r, devcache_exchange_t *x)
{
    if (x->composed && x->composed->is_offered) {
        ap_add_output_filter_handle(gaps_filter, x, r, r->connection);
    }
}

void devcache_fragments_pass(request_rec *r, devcache_exchange_t *x)
{
    devcache_compose_t *c;

    if (dialects_set(x)) {
        c = devcache_compose_of(r, x);
        c->is_passing = 1;
        c->codings = apr_table_get(r->headers_in, "Accept-Encoding");
        apr_table_setn(r->headers_in, "Accept-Encoding", "identity");
        ap_add_output_filter_handle(gaps_filter, x, r, r->connection);
    }
}

void devcache_fragments_follow(request_rec *r)
{
    devcache_exchange_t *x = r->prev && !r->main ? devcache_request_exchange(r) : NULL;

    if (x && x->composed && x->composed->is_passing && r->prev->status == HTTP_OK) {
        ap_add_output_filter_handle(gaps_filter, x, r, r->connection);
    }
}

int devcache_fragments_spoil(const devcache_exchange_t *x)
{
    const devcache_compose_t *c = x->composed;

    return c && devcache_dir_fragments(x->dir) &&
           (!c->is_offered || (c->filter && !c->dialects));
}

unsigned devcache_fragments_of(const devcache_exchange_t *x)
{
    return x->composed ? x->composed->dialects : 0;
}

/* ---- answered ------------------------------------------------------------------------- */

static int has_error(const apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
            return 1;
        }
    }
    return 0;
}

static int is_html(const char *type)
{
    return type && (!ap_cstr_casecmpn(type, "text/html", 9) ||
                    !ap_cstr_casecmpn(type, "application/xhtml+xml", 21));
}

/* An answer that says anything about it is taken at its word. */
static unsigned dialects_of(request_rec *r, const devcache_exchange_t *x,
                            const apr_table_t *fields)
{
    return dialects_set(x) && is_html(r->content_type) &&
                   !devcache_field_combined(fields, "Surrogate-Control", r->pool)
               ? dialects_set(x)
               : devcache_fragments_dialects(fields, r->pool);
}

/* The gaps of an answer; 0: it has none that can be filled. */
static unsigned gaps_of(request_rec *r, const devcache_exchange_t *x)
{
    const apr_table_t *fields = devcache_request_fields_out(r);
    devcache_compose_t *c = x->composed;
    unsigned dialects = dialects_of(r, x, fields);
    const char *coding = apr_table_get(fields, "Content-Encoding");

    if (!dialects || r->status == HTTP_NOT_MODIFIED) {
        return 0;
    }
    if (r->status == HTTP_PARTIAL_CONTENT || (coding && strcasecmp(coding, "identity"))) {
        c->is_offered = 0;
        if (dialects_set(x) && r->status == HTTP_PARTIAL_CONTENT) {
            return 0; /* a part was asked for */
        }
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            DCLOGNO(0322) "fragments: %s: the answer has gaps for parts, and is "
                          "%s, though the whole was asked for, in no coding; it "
                          "goes out as it is, and is not stored",
            c->url, coding ? coding : "a part");
        return 0;
    }
    return dialects;
}

/* The handler has asked: DEFLATE, which comes after it, may see them again. */
static void show_codings(request_rec *r, const devcache_compose_t *c)
{
    if (c->codings) {
        apr_table_setn(r->headers_in, "Accept-Encoding", c->codings);
    } else {
        apr_table_unset(r->headers_in, "Accept-Encoding");
    }
}

/* May the stored page, which has gaps, go out in place of the answer? */
static int may_be_replaced(const request_rec *r, const devcache_exchange_t *x)
{
    return x->found.hit && x->found.form == DEVCACHE_FORM_FRAGMENTS &&
           r->status != HTTP_OK;
}

static apr_status_t gaps_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;
    devcache_compose_t *c = x->composed;
    request_rec *r = f->r;

    if (APR_BRIGADE_EMPTY(bb) || has_error(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    c->dialects = gaps_of(r, x);
    if (x->refresh.running && c->dialects) {
        put_aside(r, c); /* each hit goes through them */
        c->later = NULL;
    } else if (!x->refresh.running && (c->dialects || may_be_replaced(r, x))) {
        arrange(r, x, c->dialects);
    }
    if (c->is_passing || (!c->dialects && x->origin.running)) {
        show_codings(r, c);
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

/* ---- held ------------------------------------------------------------------------------ */

static apr_status_t fail(ap_filter_t *f, devcache_compose_t *c, apr_bucket_brigade *bb,
                         int status)
{
    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(
        bb, ap_bucket_error_create(status, NULL, f->r->pool, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    c->later = NULL;
    return go_on(f, c, bb);
}

static apr_status_t hold(ap_filter_t *f, devcache_compose_t *c, apr_bucket_brigade *bb)
{
    apr_status_t rv = APR_SUCCESS;

    if (!c->held) {
        c->held = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    }
    while (!APR_BRIGADE_EMPTY(bb) && rv == APR_SUCCESS) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            c->has_ended = 1;
        } else if (!APR_BUCKET_IS_METADATA(b) && !c->has_ended) {
            rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
            if (rv == APR_SUCCESS && c->size + len > DEVCACHE_COMPOSE_MAX) {
                rv = APR_ENOSPC;
            } else if (rv == APR_SUCCESS) {
                c->size += len;
                apr_brigade_write(c->held, NULL, NULL, data, len);
            }
        }
        apr_bucket_delete(b);
    }
    return rv;
}

static apr_status_t send_whole(ap_filter_t *f, devcache_exchange_t *x,
                               apr_bucket_brigade *bb)
{
    devcache_compose_t *c = x->composed;
    apr_size_t len;
    char *text;
    int rv;

    apr_brigade_cleanup(bb);
    if (apr_brigade_pflatten(c->held, &text, &len, f->r->pool) != APR_SUCCESS) {
        return fail(f, c, bb, HTTP_INTERNAL_SERVER_ERROR);
    }
    apr_brigade_cleanup(c->held);
    rv = devcache_compose(f->r, x, devcache_slice(text, len), bb);
    if (rv != OK) {
        return fail(f, c, bb, rv);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return go_on(f, c, bb);
}

static apr_status_t fragments_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;
    devcache_compose_t *c = x->composed;
    apr_status_t rv;

    if (!c->dialects) { /* it has taken the place of one that had gaps */
        return go_on(f, c, bb);
    }
    if (has_error(bb)) {
        return fail(f, c, bb, HTTP_BAD_GATEWAY);
    }
    if ((rv = hold(f, c, bb)) != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, f->r,
                      DCLOGNO(0323) "fragments: %s: the page cannot be put together, "
                                    "as it did not come, or is larger than 8 MB",
                      c->url);
        return fail(f, c, bb, HTTP_BAD_GATEWAY);
    }
    return c->has_ended && !c->waits ? send_whole(f, x, bb) : APR_SUCCESS;
}

int devcache_fragments_finish(request_rec *r, devcache_exchange_t *x, int rv)
{
    devcache_compose_t *c = x->composed;
    ap_filter_t *f = c ? c->filter : NULL;
    apr_bucket_brigade *bb;

    if (!c) {
        return rv;
    }
    c->waits = 0;
    if (!f || !c->has_ended || ap_is_HTTP_ERROR(rv)) {
        return rv;
    }
    bb = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    return send_whole(f, x, bb) == APR_SUCCESS || r->connection->aborted
               ? OK
               : AP_FILTER_ERROR;
}

void devcache_fragments_register(void)
{
    devcache_compose_register();
    gaps_filter = ap_register_output_filter("DEVCACHE_GAPS", gaps_out, NULL,
                                            AP_FTYPE_RESOURCE - 5);
    fragments_filter = ap_register_output_filter("DEVCACHE_FRAGMENTS", fragments_out,
                                                 NULL, AP_FTYPE_PROTOCOL - 1);
}
