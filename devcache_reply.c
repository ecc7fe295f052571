#include "devcache_reply.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_log.h"
#include "devcache_stats.h"
#include "devcache_tags.h"

static ap_filter_rec_t *reply_filter, *mark_filter;

/* ---- DEVCACHE_MARK: for a cache behind us
 * -------------------------------------------------- */

/* mod_cache stores what it sees after this filter: with the class in Vary it keeps a copy
 * per class. The client is shown something else. */
static apr_status_t mark_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    const devcache_server_t *server = devcache_conf_server(f->r->server);

    apr_table_mergen(f->r->headers_out, "Vary", server->vary.device_header);
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

/* ---- Vary and hints
 * -------------------------------------------------------------------------- */

/* Where the cache is on, responses depend on the class if they are split by it;
 * elsewhere, as behind mod_cache's quick handler, which knows no Location yet, if their
 * Vary says so. */
static const char *show_vary(request_rec *r, const devcache_server_t *server,
                             int by_device)
{
    int in_errors = apr_table_get(r->err_headers_out, "Vary") != NULL;
    const apr_table_t *fields = r->headers_out;
    const char *vary;

    if (!in_errors && !apr_table_get(fields, "Vary")) {
        vary = by_device ? server->device_vary : NULL;
    } else {
        if (in_errors) {
            fields = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
            apr_table_unset(r->err_headers_out, "Vary");
        }
        vary = devcache_vary_outward(&server->vary, fields, by_device, r->pool);
    }
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

static void ask_for_hints(request_rec *r, const devcache_server_t *server)
{
    static const char wanted[] = "Sec-CH-UA-Mobile, Sec-CH-UA-Platform, "
                                 "Sec-CH-UA-Form-Factors";

    apr_table_mergen(r->headers_out, "Accept-CH", wanted);
    if (devcache_server_client_hints(server) == DEVCACHE_HINTS_CRITICAL) {
        apr_table_mergen(r->headers_out, "Critical-CH", wanted);
    }
}

static void show_dependence(request_rec *r, devcache_exchange_t *x)
{
    const devcache_server_t *server = devcache_conf_server(r->server);
    const devcache_dir_t *dir = devcache_conf_dir(r);
    int by_device = server->device && devcache_dir_enabled(dir) &&
                    devcache_dir_vary_device(dir);
    const char *vary = show_vary(r, server, by_device);

    x->vary_shown = vary;
    if (vary && names_hints(server, by_device, vary)) {
        ask_for_hints(r, server);
    }
}

/* ---- Cache-Status, RFC 9211
 * ----------------------------------------------------------------------- */

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

/* Why the origin was asked, section 2.2. */
static const char *forward_reason(const devcache_exchange_t *x)
{
    switch (x->outcome) {
    case DEVCACHE_OUTCOME_BYPASS:
        return x->req.bypass == DEVCACHE_REASON_METHOD         ? "method"
               : x->req.bypass == DEVCACHE_REASON_REQ_NO_STORE ? "request"
                                                               : "bypass";
    case DEVCACHE_OUTCOME_MISS:
        return x->variants_seen ? "vary-miss" : "uri-miss";
    case DEVCACHE_OUTCOME_COLLAPSED:
        return x->waited == DEVCACHE_REASON_STALE      ? "stale"
               : x->waited == DEVCACHE_REASON_URI_MISS ? "uri-miss"
                                                       : "vary-miss";
    default:
        return x->asked_by_client ? "request" : "stale";
    }
}

/* Whole seconds, rounded up as Age is cut: together they are the lifetime. */
static apr_int64_t ttl_seconds(apr_interval_time_t ttl)
{
    return ttl > 0 ? apr_time_sec(ttl + APR_USEC_PER_SEC - 1) : apr_time_sec(ttl);
}

static void show_status(request_rec *r, const devcache_exchange_t *x)
{
    int hit = x->outcome == DEVCACHE_OUTCOME_HIT || x->outcome == DEVCACHE_OUTCOME_STALE;
    const char *value = "devcache";
    int has_ttl = hit || x->stored_ok || x->outcome == DEVCACHE_OUTCOME_STALE_ERROR;

    value = hit ? "devcache; hit"
                : apr_pstrcat(r->pool, "devcache; fwd=", forward_reason(x), NULL);
    if (x->outcome == DEVCACHE_OUTCOME_COLLAPSED) {
        value = apr_pstrcat(r->pool, value, "; collapsed", NULL);
        has_ttl = 1;
    }
    if (!hit && x->origin_status) {
        value = apr_psprintf(r->pool, "%s; fwd-status=%d", value, x->origin_status);
    }
    if (has_ttl) {
        value = apr_psprintf(r->pool, "%s; ttl=%" APR_INT64_T_FMT, value,
                             ttl_seconds(x->ttl));
    }
    if (x->stored_ok) {
        value = apr_pstrcat(r->pool, value, "; stored", NULL);
    }
    value = apr_pstrcat(r->pool, value,
                        "; key=", quoted(devcache_vary_key_url(x->key, r->pool), r->pool),
                        NULL);
    if (x->server->device) {
        value = apr_pstrcat(r->pool, value, "; detail=", quoted(x->device.klass, r->pool),
                            NULL);
    }
    /* A line of its own: merged into the first one it would stand before later ones. */
    apr_table_addn(r->headers_out, "Cache-Status", value);
}

/* ---- invalidation, RFC 9111 section 4.4
 * ------------------------------------------------------------- */

static void invalidate_key(request_rec *r, devcache_exchange_t *x, devcache_slice_t key)
{
    unsigned removed = 0;

    devcache_store_remove(x->server->store, key, devcache_now(), &removed);
    devcache_stats_count(DEVCACHE_COUNT_invalidations);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0116) "reply: %s %d invalidates %s: %u variants removed",
                  r->method, r->status, devcache_vary_key_url(key, r->pool), removed);
}

/* A URL that the answer names, if it is one of this site. */
static void invalidate_named(request_rec *r, devcache_exchange_t *x, const char *field)
{
    const char *value = apr_table_get(r->headers_out, field);
    const char *url = NULL;
    char *path, *query;

    if (!value) {
        value = apr_table_get(r->err_headers_out, field);
    }
    if (value) {
        url = devcache_policy_same_origin(devcache_request_origin(r), x->path, value,
                                          r->pool);
    }
    if (!url) {
        return;
    }
    path = apr_pstrdup(r->pool, url);
    if ((query = strchr(path, '?'))) {
        *query++ = '\0';
    }
    if (ap_unescape_url(path) == OK) {
        invalidate_key(r, x,
                       devcache_request_key_of(r,
                                               devcache_dir_query(devcache_conf_dir(r)),
                                               path, query, r->pool));
    }
}

static void invalidate(request_rec *r, devcache_exchange_t *x)
{
    if (!x->dir || !x->key.data || !devcache_policy_invalidates(r->method, r->status)) {
        return;
    }
    invalidate_key(r, x, x->key);
    invalidate_named(r, x, "Location");
    invalidate_named(r, x, "Content-Location");
}

/* ---- DEVCACHE_REPLY
 * --------------------------------------------------------------------------------- */

static apr_status_t reply_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    devcache_exchange_t *x = f->ctx;
    apr_bucket *b;

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
    if (!x->answered_at) {
        x->answered_at = devcache_now();
    }
    show_dependence(r, x);
    devcache_tags_hide(r);
    invalidate(r, x);
    /* RFC 9211, section 2: a 504 of our own making is about no stored response. */
    if (x->dir && devcache_dir_status_header(x->dir) && x->key.data &&
        x->outcome != DEVCACHE_OUTCOME_TIMEOUT) {
        show_status(r, x);
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
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
    if (r->status == HTTP_RANGE_NOT_SATISFIABLE && x->age >= 0) {
        /* RFC 9110, section 15.5.17; httpd's own page does not say it. */
        apr_table_setn(r->err_headers_out, "Content-Range",
                       apr_psprintf(r->pool, "bytes */%" APR_UINT64_T_FMT,
                                    (apr_uint64_t)x->hit->body_len));
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
