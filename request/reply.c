/* SPDX-License-Identifier: Apache-2.0 */
#include "request/reply.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "base/clock.h"
#include "mod_devcache.h"
#include "stats/stats.h"
#include "request/asked.h"
#include "request/compose.h"
#include "purge/order.h"
#include "request/differs.h"
#include "request/head.h"
#include "request/peers.h"
#include "request/tags.h"

static ap_filter_rec_t *reply_filter, *mark_filter;

/* ---- DEVCACHE_MARK: for a cache behind us --------------------------------------- */

/* mod_cache stores what it sees after this filter: with the class in Vary it keeps a copy
 * per class. The client is shown something else. */
static apr_status_t mark_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    const devcache_server_t *server = devcache_conf_server(f->r->server);

    apr_table_mergen(f->r->headers_out, "Vary", server->vary.device_header);
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

/* ---- Vary and hints ------------------------------------------------------------- */

/* Are the fields of the answer those that are known, and no others? */
static int are_known(const request_rec *r, const devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    const devcache_kept_field_t *f = x->answer.known, *end = f + x->answer.count_known;

    if (f == end || all->nelts != end - f || !apr_is_empty_table(r->err_headers_out)) {
        return 0;
    }
    while (f < end && f->name == e->key && f->value == e->val) {
        f++;
        e++;
    }
    return f == end;
}

/* Neither a Vary, nor what needs one? */
static int depends_on_nothing(const request_rec *r, const devcache_exchange_t *x,
                              int known)
{
    unsigned kinds = known ? x->found.stored.kept->kinds : 1u << DEVCACHE_KEPT_ODD;

    if (!(kinds & 1u << DEVCACHE_KEPT_ODD)) { /* which may be one by its name */
        return !(kinds & (1u << DEVCACHE_KEPT_VARY | 1u << DEVCACHE_KEPT_CODING));
    }
    return !apr_table_get(r->err_headers_out, "Vary") &&
           !apr_table_get(r->headers_out, "Vary") &&
           !apr_table_get(r->headers_out, "Content-Encoding");
}

/* Where the cache is on, responses depend on the class if they are split by it;
 * elsewhere, as behind mod_cache's quick handler, which knows no Location yet, if their
 * Vary says so. */
static const char *show_vary(request_rec *r, devcache_exchange_t *x,
                             const devcache_server_t *server, int by_device, int *known)
{
    const apr_table_t *fields = r->headers_out;
    const char *vary;

    if (depends_on_nothing(r, x, *known)) {
        vary = by_device ? server->device_vary : NULL;
        if (vary) {
            devcache_kept_field_t f = {"Vary", vary, 0, 4, DEVCACHE_KEPT_VARY};
            f.value_len = (apr_uint32_t)strlen(vary);
            devcache_request_add_field(r, x, &f);
        }
        return vary;
    }
    *known = 0;
    if (apr_table_get(r->err_headers_out, "Vary")) {
        fields = devcache_request_fields_out(r);
        apr_table_unset(r->err_headers_out, "Vary");
    }
    vary = devcache_vary_outward(&server->vary, fields, by_device, r->pool);
    if (vary) {
        apr_table_setn(r->headers_out, "Vary", vary);
    } else {
        apr_table_unset(r->headers_out, "Vary");
    }
    return vary;
}

/* Does the response depend on hints? Without looking, where all that are split do. */
static int names_hints(const devcache_server_t *server, int by_device, const char *vary)
{
    if (by_device && server->vary.client_hints) {
        return strcmp(vary, "*") != 0;
    }
    return ap_strcasestr(vary, "Sec-CH-UA-Form-Factors") != NULL;
}

/* A browser that knows hints sends Sec-CH-UA with each request, and sends what an earlier
 * answer has asked for (RFC 8942, section 2.2); to all others the field says nothing. */
static int would_hint(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Sec-CH-UA") &&
           !apr_table_get(r->headers_in, "Sec-CH-UA-Form-Factors");
}

static void ask_for_hints(request_rec *r, const devcache_server_t *server)
{
    static const char wanted[] = "Sec-CH-UA-Mobile, Sec-CH-UA-Platform, "
                                 "Sec-CH-UA-Form-Factors";

    apr_table_mergen(r->headers_out, "Accept-CH", wanted);
    if (devcache_server_client_hints(server) == DEVCACHE_HINTS_CRITICAL) {
        apr_table_mergen(r->headers_out, "Critical-CH", wanted);
    }
}

static void show_dependence(request_rec *r, devcache_exchange_t *x, int *known)
{
    const devcache_server_t *server = devcache_conf_server(r->server);
    const devcache_dir_t *dir = devcache_conf_dir(r);
    int by_device = server->device && devcache_dir_enabled(dir) &&
                    devcache_dir_vary_device(dir);
    const char *vary = show_vary(r, x, server, by_device, known);

    x->answer.vary = vary;
    if (vary && would_hint(r) && names_hints(server, by_device, vary)) {
        ask_for_hints(r, server);
        *known = 0;
    }
}

/* ---- Cache-Status, RFC 9211 ----------------------------------------------------- */

/* An sf-string: printable ASCII, with quotes and backslashes escaped. */
static const char *quoted(const char *s, apr_pool_t *p)
{
    char *out = apr_palloc(p, 2 * strlen(s) + 3), *at = out;

    *at++ = '"';
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') {
            *at++ = '\\';
        }
        *at++ = *s >= 0x20 && *s < 0x7f ? *s : '?';
    }
    *at++ = '"';
    *at = '\0';
    return out;
}

static void append(const char **text, const char *what, const char *name, apr_pool_t *p)
{
    *text = apr_pstrcat(p, *text, **text ? ", " : "", what, name, NULL);
}

/* Has the origin's answer been judged, and refused? */
static int is_not_stored(const devcache_exchange_t *x)
{
    return !x->save.stored &&
           devcache_reason_kind(x->answer.reason) == DEVCACHE_REASON_KIND_STORE &&
           (x->answer.outcome == DEVCACHE_OUTCOME_MISS ||
            x->answer.outcome == DEVCACHE_OUTCOME_EXPIRED ||
            x->answer.outcome == DEVCACHE_OUTCOME_REVALIDATED);
}

/* What of the request or of the answer has kept it from the cache; NULL: nothing. */
static const char *hindrance(request_rec *r, const devcache_exchange_t *x)
{
    devcache_reason_e reason = x->answer.reason;
    const char *name = x->asked.req.override, *what = "field ";

    if (!name && reason == DEVCACHE_REASON_ODD_REQUEST) {
        name = x->asked.odd;
    } else if (!name && reason == DEVCACHE_REASON_COOKIE) {
        name = x->asked.cookie;
        what = "cookie ";
    }
    return name                             ? apr_pstrcat(r->pool, what, name, NULL)
           : reason == DEVCACHE_REASON_NONE ? NULL
                                            : devcache_reason_meaning(reason);
}

/* What it was put together from. */
static const char *parts_text(const devcache_exchange_t *x, apr_pool_t *p)
{
    const devcache_compose_t *c = x->composed;

    return c->failed ? apr_psprintf(p, "%d parts, %d failed", c->parts, c->failed)
                     : apr_psprintf(p, "%d parts", c->parts);
}

/* For people: the device class; in what stored ones differ; why it was not stored. */
static const char *detail(request_rec *r, const devcache_exchange_t *x)
{
    const char *text = x->server->device ? x->device.class : "";
    const char *name;

    if (x->answer.outcome == DEVCACHE_OUTCOME_MISS && x->found.variants &&
        !x->piece.hit && (name = devcache_differs_text(x, r->pool))) {
        append(&text, "stored ones differ in ", name, r->pool);
    }
    if (x->answer.outcome == DEVCACHE_OUTCOME_BYPASS && !x->save.stored &&
        (name = hindrance(r, x))) {
        append(&text, "not cached: ", name, r->pool);
    } else if (is_not_stored(x) && (name = hindrance(r, x))) {
        append(&text, "not stored: ", name, r->pool);
    }
    if (x->peers.taken && x->answer.outcome == DEVCACHE_OUTCOME_HIT) {
        text = apr_pstrcat(r->pool, text, *text ? ", " : "", "tier", NULL);
    }
    if (x->composed && x->composed->parts) {
        append(&text, parts_text(x, r->pool), "", r->pool);
    }
    return *text ? apr_pstrcat(r->pool, "; detail=", quoted(text, r->pool), NULL) : "";
}

/* Why the origin was asked, section 2.2. */
static const char *forward_reason(const devcache_exchange_t *x)
{
    switch (x->answer.outcome) {
    case DEVCACHE_OUTCOME_BYPASS:
        return x->asked.req.bypass == DEVCACHE_REASON_METHOD         ? "method"
               : x->asked.req.bypass == DEVCACHE_REASON_REQ_NO_STORE ? "request"
                                                                     : "bypass";
    case DEVCACHE_OUTCOME_MISS:
        return x->piece.hit ? "partial" : x->found.variants ? "vary-miss" : "uri-miss";
    case DEVCACHE_OUTCOME_COLLAPSED:
        return x->collapse.waited == DEVCACHE_REASON_STALE      ? "stale"
               : x->collapse.waited == DEVCACHE_REASON_URI_MISS ? "uri-miss"
                                                                : "vary-miss";
    default:
        return x->answer.asked_by_client ? "request" : "stale";
    }
}

/* Whole seconds, rounded up as Age is cut: together they are the lifetime. */
static apr_int64_t ttl_seconds(apr_interval_time_t ttl)
{
    return ttl > 0 ? apr_time_sec(ttl + APR_USEC_PER_SEC - 1) : apr_time_sec(ttl);
}

static void show_status(request_rec *r, const devcache_exchange_t *x)
{
    int hit = x->answer.outcome == DEVCACHE_OUTCOME_HIT ||
              x->answer.outcome == DEVCACHE_OUTCOME_STALE;
    const char *value = "devcache";
    int has_ttl = hit || x->save.stored ||
                  x->answer.outcome == DEVCACHE_OUTCOME_STALE_ERROR;

    value = hit ? "devcache; hit"
                : apr_pstrcat(r->pool, "devcache; fwd=", forward_reason(x), NULL);
    if (x->answer.outcome == DEVCACHE_OUTCOME_COLLAPSED) {
        value = apr_pstrcat(r->pool, value, "; collapsed", NULL);
        has_ttl = 1;
    }
    if (!hit && x->origin.status) {
        value = apr_psprintf(r->pool, "%s; fwd-status=%d", value, x->origin.status);
    }
    if (has_ttl) {
        value = apr_psprintf(r->pool, "%s; ttl=%" APR_INT64_T_FMT, value,
                             ttl_seconds(x->answer.ttl));
    }
    if (x->save.stored) {
        value = apr_pstrcat(r->pool, value, "; stored", NULL);
    }
    value = apr_pstrcat(
        r->pool, value,
        "; key=", quoted(devcache_vary_key_url(x->asked.key, r->pool), r->pool), NULL);
    value = apr_pstrcat(r->pool, value, detail(r, x), NULL);
    /* A line of its own: merged into the first one it would stand before later ones. */
    apr_table_addn(r->headers_out, "Cache-Status", value);
}

/* ---- invalidation, RFC 9111 section 4.4 ----------------------------------------- */

/* DevCacheTierInvalidate: nobody waits for it. */
static void tell_machines(request_rec *r, const devcache_exchange_t *x,
                          const devcache_order_t *order)
{
    devcache_tier_sent_t sent;
    apr_status_t rv;

    if (!x->server->machines || !devcache_server_tier_invalidate(x->server)) {
        return;
    }
    rv = devcache_tier_publish(x->server->machines, order, 0, &sent, r->pool);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      DCLOGNO(0117) "reply: the other machines could not be told of what "
                                    "%s %d invalidates",
                      r->method, r->status);
    }
}

static void invalidate_key(request_rec *r, devcache_exchange_t *x, devcache_slice_t key)
{
    devcache_order_t order = {DEVCACHE_ORDER_URL};
    devcache_vary_parts_t parts;
    unsigned removed = 0;

    if (devcache_vary_key_parts(key, &parts) && parts.host.data && parts.path.data) {
        order.host = apr_pstrmemdup(r->pool, parts.host.data, parts.host.len);
        order.path = apr_pstrmemdup(r->pool, parts.path.data, parts.path.len);
        order.queries[0] = parts.query.data ? apr_pstrmemdup(r->pool, parts.query.data,
                                                             parts.query.len)
                                            : NULL;
        order.queries[1] = order.queries[0];
        tell_machines(r, x, &order);
    }
    devcache_peers_forget(x, key);
    if (!(x->asked.of_post && x->save.stored) ||
        !devcache_slice_eq(key, x->asked.key)) { /* post.c has done that */
        devcache_store_remove(x->server->store, key, &removed);
    }
    devcache_stats_count(DEVCACHE_COUNT_invalidations);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0116) "reply: %s %d invalidates %s: %u variants removed",
                  r->method, r->status, devcache_vary_key_url(key, r->pool), removed);
}

/* A URL that a field names, if it is one of this site. */
static void invalidate_named(request_rec *r, devcache_exchange_t *x, const char *field,
                             const apr_table_t *fields)
{
    devcache_slice_t key = devcache_asked_key_named(r, x, field, fields);
    devcache_slice_t simple;
    devcache_learnt_t learnt;

    if (!key.data) {
        return;
    }
    invalidate_key(r, x, key);
    simple = devcache_asked_simplified(x, key, &learnt, r->pool);
    if (!devcache_slice_eq(key, simple)) {
        invalidate_key(r, x, simple);
    }
}

/* RFC 9875, section 3: the application names groups. */
static void invalidate_groups(request_rec *r, devcache_exchange_t *x)
{
    devcache_order_t order = {DEVCACHE_ORDER_MANY};
    apr_uint64_t removed = 0;
    const char *error;
    apr_status_t rv;

    if (!devcache_tags_invalidated(x->asked.key, devcache_request_fields_out(r),
                                   &order.ban, &error, r->pool)) {
        if (error) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                          DCLOGNO(0260) "reply: %s: Cache-Group-Invalidation is passed "
                                        "over: %s",
                          devcache_vary_key_url(x->asked.key, r->pool), error);
        }
        return;
    }
    tell_machines(r, x, &order);
    rv = devcache_order_carry_out(x->server->store, &order, NULL, 0, devcache_now(),
                                  &removed, r->pool);
    devcache_stats_count(DEVCACHE_COUNT_invalidations);
    ap_log_rerror(APLOG_MARK, rv == APR_SUCCESS ? APLOG_DEBUG : APLOG_ERR, rv, r,
                  DCLOGNO(0261) "reply: %s %d invalidates groups: %" APR_UINT64_T_FMT
                                " responses removed",
                  r->method, r->status, removed);
}

static void invalidate(request_rec *r, devcache_exchange_t *x)
{
    const apr_table_t *fields;

    if (!x->dir || !x->asked.key.data ||
        !devcache_policy_invalidates(r->method, r->status)) {
        return;
    }
    invalidate_key(r, x, x->asked.whole_key);
    if (!devcache_slice_eq(x->asked.key, x->asked.whole_key)) {
        invalidate_key(r, x, x->asked.key);
    }
    fields = devcache_request_fields_out(r);
    invalidate_named(r, x, "Location", fields);
    invalidate_named(r, x, "Content-Location", fields);
    if (!strcmp(r->method, "COPY") || !strcmp(r->method, "MOVE")) {
        invalidate_named(r, x, "Destination", r->headers_in); /* RFC 4918, section 10.3 */
    }
    invalidate_groups(r, x);
}

/* ---- DEVCACHE_REPLY ------------------------------------------------------------- */

static apr_status_t reply_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    devcache_exchange_t *x = f->ctx;
    apr_bucket *b;
    int known;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b)) {
            ap_remove_output_filter(f);
            return ap_pass_brigade(f->next, bb); /* httpd makes another answer of it */
        }
    }
    if (APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (!x->answer.at) {
        x->answer.at = devcache_now();
    }
    known = are_known(r, x);
    show_dependence(r, x, &known);
    devcache_tags_hide(r, x, known);
    invalidate(r, x);
    /* RFC 9211, section 2: a 504 of our own making is about no stored response. */
    if (x->dir && devcache_dir_status_header(x->dir) && x->asked.key.data &&
        x->answer.outcome != DEVCACHE_OUTCOME_TIMEOUT) {
        show_status(r, x);
        known = 0;
    }
    ap_remove_output_filter(f);
    return x->phase == DEVCACHE_PHASE_SERVED || x->save.stored
               ? devcache_head_pass(r, x, known, f->next, bb)
               : ap_pass_brigade(f->next, bb);
}

void devcache_reply_insert(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    const devcache_dir_t *dir = devcache_conf_dir(r);
    const devcache_server_t *server = devcache_conf_server(r->server);

    if (!x || r->main) {
        return;
    }
    if (server->vary.device_header && !devcache_dir_enabled(dir) &&
        devcache_server_classify(server) == 1 && devcache_dir_vary_device(dir)) {
        ap_add_output_filter_handle(mark_filter, NULL, r, r->connection);
    }
    ap_add_output_filter_handle(reply_filter, x, r, r->connection);
}

void devcache_reply_insert_error(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);

    if (!x || r->main) {
        return;
    }
    if (r->status == HTTP_RANGE_NOT_SATISFIABLE && x->answer.age >= 0 &&
        x->answer.length >= 0) {
        /* RFC 9110, section 15.5.17; httpd's own page does not say it. */
        apr_table_setn(
            r->err_headers_out, "Content-Range",
            apr_psprintf(r->pool, "bytes */%" APR_INT64_T_FMT, x->answer.length));
    }
    ap_add_output_filter_handle(reply_filter, x, r, r->connection);
}

void devcache_reply_register(void)
{
    mark_filter = ap_register_output_filter("DEVCACHE_MARK", mark_out, NULL,
                                            AP_FTYPE_CONTENT_SET);
    reply_filter = ap_register_output_filter("DEVCACHE_REPLY", reply_out, NULL,
                                             AP_FTYPE_PROTOCOL - 1);
}
