/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/status.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <mod_status.h>
#include "watch/explain.h"
#include "watch/report.h"
#include "watch/draw.h"
#include "watch/status_page.h"
#include "watch/status_text.h"

/* For load balancers and probes: 200 only while every store can be read and written. */
static void show_ready(request_rec *r)
{
    const char *why = devcache_report_not_ready(r->pool);

    ap_set_content_type(r, "text/plain; charset=utf-8");
    if (why) {
        r->status = HTTP_SERVICE_UNAVAILABLE;
    }
    ap_rprintf(r, "%s\n", why ? why : "ready");
}

/* Is it this form's query, alone? Some clients send it as a form's field without value.
 */
static int asks_for(const request_rec *r, const char *form)
{
    apr_size_t len = strlen(form);

    return r->args && !strncmp(r->args, form, len) &&
           (!r->args[len] || !strcmp(r->args + len, "="));
}

int devcache_status_handler(request_rec *r)
{
    static const struct {
        const char *query;
        void (*show)(request_rec *r);
    } forms[] = {{"auto", devcache_status_auto},
                 {"json", devcache_status_json},
                 {"prometheus", devcache_status_prometheus},
                 {"ready", show_ready}};
    void (*show)(request_rec * r) = devcache_status_page;
    unsigned i;

    if (!r->handler || strcmp(r->handler, "devcache-status")) {
        return DECLINED;
    }
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    /* Nothing of it is a program or comes from elsewhere, whatever a URL on it says. */
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                   "form-action 'none'; frame-ancestors 'none'");
    if (devcache_explain_asked(r)) {
        return devcache_explain_answer(r);
    }
    for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        show = asks_for(r, forms[i].query) ? forms[i].show : show;
    }
    show(r);
    return OK;
}

/* ---- server-status -------------------------------------------------------------- */

static void section_short(request_rec *r, const devcache_report_t *rep,
                          const apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    static const char *const names[] = {"Hits", "Misses", "Bypasses", "Errors"};
    apr_uint64_t bytes = 0, size = 0, objects = 0;
    int i;

    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        ap_rprintf(r, "DevCache%s: %" APR_UINT64_T_FMT "\n", names[i], n[i]);
    }
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_store_stats_t
            *s = &APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t).stats;
        bytes += s->bytes;
        size += s->size;
        objects += s->objects;
    }
    ap_rprintf(r,
               "DevCacheStoreBytes: %" APR_UINT64_T_FMT
               "\nDevCacheStoreSize: %" APR_UINT64_T_FMT
               "\nDevCacheStoreObjects: %" APR_UINT64_T_FMT "\n",
               bytes, size, objects);
}

static void section_store(request_rec *r, const devcache_report_store_t *s)
{
    ap_rprintf(r, "<dt>%s: %s of %s, %s of %s objects%s%s</dt>\n",
               devcache_draw_text(s->root, r->pool),
               devcache_draw_bytes(s->stats.bytes, r->pool),
               devcache_draw_bytes(s->stats.size, r->pool),
               devcache_draw_number(s->stats.objects, r->pool),
               devcache_draw_number(s->stats.max_objects, r->pool),
               s->not_ready ? "; not ready: " : "",
               s->not_ready ? devcache_draw_text(s->not_ready, r->pool) : "");
}

static void section_page(request_rec *r, const devcache_report_t *rep,
                         const apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    const devcache_histogram_t *hits = &rep->answers[DEVCACHE_GROUP_HIT];
    const devcache_histogram_t *misses = &rep->answers[DEVCACHE_GROUP_MISS];
    apr_uint64_t all = n[0] + n[1] + n[2] + n[3];
    int i;

    ap_rprintf(
        r,
        "<hr>\n<h2>devcache</h2>\n<dl><dt>%s requests: %s hits (%s), %s misses, %s "
        "bypassed, %s failed</dt>\n<dt>99 %% of hits begin within %s, of misses "
        "within %s</dt>\n",
        devcache_draw_number(all, r->pool), devcache_draw_number(n[0], r->pool),
        devcache_draw_share(n[0], all, r->pool), devcache_draw_number(n[1], r->pool),
        devcache_draw_number(n[2], r->pool), devcache_draw_number(n[3], r->pool),
        devcache_draw_duration(devcache_histogram_quantile(hits, .99), r->pool),
        devcache_draw_duration(devcache_histogram_quantile(misses, .99), r->pool));
    for (i = 0; i < rep->stores->nelts; i++) {
        section_store(r, &APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t));
    }
    ap_rputs("</dl>\n", r);
}

int devcache_status_section(request_rec *r, int flags)
{
    apr_uint64_t n[DEVCACHE_GROUP_COUNT];
    devcache_report_t rep;
    unsigned i;

    devcache_report_read(&rep, r->pool);
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        n[i] = devcache_histogram_total(&rep.answers[i]);
    }
    (flags & AP_STATUS_SHORT ? section_short : section_page)(r, &rep, n);
    return OK;
}
