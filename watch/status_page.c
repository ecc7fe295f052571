/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/status_page.h"

#include <stdlib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include "base/version.h"
#include "watch/machines.h"
#include "watch/observe.h"
#include "watch/hurts.h"
#include "watch/report.h"
#include "watch/draw.h"
#include "http/ordinary.h"
#include "stats/odd.h"
#include "stats/stats.h"
#include "stats/top.h"
#include "stats/trouble.h"

#define URLS_SHOWN 20

static const char style[] =
#include "page_css.h"
    ;

/* ---- head ----------------------------------------------------------------------- */

static void head(request_rec *r, const devcache_report_t *rep)
{
    int refresh = r->args && !strcmp(r->args, "refresh");
    const char *host = devcache_draw_text(ap_get_server_name(r), r->pool);

    ap_rputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
             "<meta name=\"robots\" content=\"noindex\">",
             r);
    if (refresh) {
        ap_rputs("<meta http-equiv=\"refresh\" content=\"10\">", r);
    }
    ap_rprintf(r,
               "<title>devcache on %s</title><style>%s</style></head><body>\n"
               "<header><h1>devcache <small>" DEVCACHE_VERSION
               "</small></h1><p>%s, started or reloaded %s ago</p><nav>"
               "<a href=\"%s\">%s</a><a href=\"?json\">JSON</a>"
               "<a href=\"?prometheus\">Prometheus</a><a href=\"?auto\">text</a></nav>"
               "</header>\n<main>\n",
               host, style, host, devcache_draw_span(rep->now - rep->started, r->pool),
               refresh ? "?" : "?refresh", refresh ? "stop refreshing" : "refresh");
}

/* ---- the last hour -------------------------------------------------------------- */

static void last_hour(const devcache_report_t *rep, unsigned minutes,
                      apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    unsigned i, group;

    memset(n, 0, DEVCACHE_GROUP_COUNT * sizeof n[0]);
    for (i = DEVCACHE_MINUTES - minutes; i < DEVCACHE_MINUTES; i++) {
        for (group = 0; group < DEVCACHE_GROUP_COUNT; group++) {
            n[group] += rep->minutes[i].groups[group];
        }
    }
}

static void tile(request_rec *r, const char *value, const char *what)
{
    ap_rprintf(r, "<div><b>%s</b><span>%s</span></div>\n", value, what);
}

/* The colour of the edge. Green is said only where it is good: requests came, few failed,
 * and most of them were hits. */
static const char *mood(const apr_uint64_t n[DEVCACHE_GROUP_COUNT], apr_uint64_t all,
                        int bad)
{
    return bad                                  ? "bad"
           : !all                               ? "idle"
           : n[DEVCACHE_GROUP_ERROR] * 20 > all ? "bad"
           : n[DEVCACHE_GROUP_HIT] * 2 < all    ? "fair"
                                                : "good";
}

static void show_state(request_rec *r, const devcache_report_t *rep)
{
    apr_uint64_t n[DEVCACHE_GROUP_COUNT], all;
    double hit = devcache_histogram_quantile(&rep->answers[DEVCACHE_GROUP_HIT], .99);
    double miss = devcache_histogram_quantile(&rep->answers[DEVCACHE_GROUP_MISS], .99);

    last_hour(rep, DEVCACHE_MINUTES, n);
    all = devcache_draw_sum(n);
    ap_rprintf(r, "<section class=\"state %s\"><p>",
               mood(n, all, devcache_report_not_ready(r->pool) != NULL));
    if (all) {
        ap_rprintf(r,
                   "Of <b>%s</b> requests in the last hour <b>%s</b> were answered from "
                   "the cache at once; for %s the origin was asked, %s bypassed the "
                   "cache, %s failed.",
                   devcache_draw_number(all, r->pool),
                   devcache_draw_share(n[DEVCACHE_GROUP_HIT], all, r->pool),
                   devcache_draw_number(n[DEVCACHE_GROUP_MISS], r->pool),
                   devcache_draw_number(n[DEVCACHE_GROUP_BYPASS], r->pool),
                   devcache_draw_number(n[DEVCACHE_GROUP_ERROR], r->pool));
    } else {
        ap_rputs("In the last hour no request has come to a place with DevCache On.", r);
    }
    ap_rputs("</p>\n", r);
    devcache_hurts_page(r, rep, n);
    ap_rputs("<div class=\"tiles\">\n", r);
    tile(r, devcache_draw_share(n[DEVCACHE_GROUP_HIT], all, r->pool),
         "hits, of all in the last hour");
    tile(r, devcache_draw_share(n[DEVCACHE_GROUP_ERROR], all, r->pool),
         "failed, of all in the last hour");
    last_hour(rep, 1, n);
    tile(r, devcache_draw_number(devcache_draw_sum(n), r->pool),
         "requests in this minute so far");
    tile(r, devcache_draw_duration(hit, r->pool), "at most for 99 % of hits");
    tile(r, devcache_draw_duration(miss, r->pool), "at most for 99 % of misses");
    tile(r, devcache_draw_bytes(rep->total.sent_by_cache, r->pool),
         "sent from the cache, in all");
    ap_rputs("</div></section>\n", r);
}

static void show_key(request_rec *r)
{
    static const char *const meanings[] = {
        "hit: answered from the cache at once", "miss: the origin was asked",
        "bypassed: the cache was not used", "failed: answered with 500 or above"};
    unsigned i;

    ap_rputs("<p class=\"key\">", r);
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        ap_rprintf(r, "<span><i class=\"%s\"></i>%s</span>", devcache_draw_group_class(i),
                   meanings[i]);
    }
    ap_rputs("</p>\n", r);
}

static void show_minutes(request_rec *r, const devcache_report_t *rep)
{
    ap_rputs("<section class=\"wide\"><h2>The last hour</h2>\n", r);
    devcache_draw_minutes(r, rep->minutes);
    show_key(r);
    ap_rputs("</section>\n", r);
}

/* ---- how full ------------------------------------------------------------------- */

/* The first two of the report's lines: flights, and their bound. */
static void show_flights(request_rec *r, const devcache_report_t *rep)
{
    apr_uint64_t n = APR_ARRAY_IDX(rep->flights, 0, devcache_line_t).value;
    apr_uint64_t max = APR_ARRAY_IDX(rep->flights, 1, devcache_line_t).value;

    devcache_draw_fill(r, "fetches that others may follow",
                       apr_psprintf(r->pool, "%s of %s", devcache_draw_number(n, r->pool),
                                    devcache_draw_number(max, r->pool)),
                       n, max, 1);
}

static void show_fill(request_rec *r, const devcache_report_t *rep)
{
    int i;

    ap_rputs("<section class=\"slim\"><h2>How full it is</h2>\n", r);
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_report_store_t *s = &APR_ARRAY_IDX(rep->stores, i,
                                                          devcache_report_store_t);
        const devcache_store_stats_t *n = &s->stats;
        ap_rprintf(r, "<p class=\"dim url\">%s</p>\n",
                   devcache_draw_text(s->root, r->pool));
        devcache_draw_fill(r, "bytes",
                           apr_psprintf(r->pool, "%s of %s",
                                        devcache_draw_bytes(n->bytes, r->pool),
                                        devcache_draw_bytes(n->size, r->pool)),
                           n->bytes, n->size, 0);
        devcache_draw_fill(r, "objects",
                           apr_psprintf(r->pool, "%s of %s",
                                        devcache_draw_number(n->objects, r->pool),
                                        devcache_draw_number(n->max_objects, r->pool)),
                           n->objects, n->max_objects, 0);
        if (n->specs * 2 > n->max_specs || n->spec_bytes * 2 > n->max_spec_bytes) {
            devcache_draw_fill(r, "kinds of Vary",
                               apr_psprintf(r->pool, "%s of %s, with %s of names",
                                            devcache_draw_number(n->specs, r->pool),
                                            devcache_draw_number(n->max_specs, r->pool),
                                            devcache_draw_bytes(n->spec_bytes, r->pool)),
                               n->specs, n->max_specs, 1);
        }
    }
    show_flights(r, rep);
    devcache_draw_fill(
        r, "threads of httpd that serve",
        apr_psprintf(r->pool, "%u of %u", rep->threads_busy, rep->threads_max),
        rep->threads_busy, rep->threads_max, 1);
    ap_rputs(
        "<p class=\"dim\">Bytes and objects may well be near their bound: what is used "
        "least gives way to what is new.</p></section>\n",
        r);
}

/* ---- how fast ------------------------------------------------------------------- */

static void latency_row(request_rec *r, const char *what, const char *class,
                        const devcache_histogram_t *h)
{
    static const double quantiles[] = {.5, .9, .99};
    static const char *const labels[] = {"half within", "90 % within", "99 % within"};
    unsigned i;

    if (!devcache_histogram_total(h)) {
        return;
    }
    ap_rprintf(r, "<tr><td>%s</td><td class=\"n\" data-l=\"requests\">%s</td>", what,
               devcache_draw_number(devcache_histogram_total(h), r->pool));
    for (i = 0; i < 3; i++) {
        ap_rprintf(r, "<td class=\"n\" data-l=\"%s\">%s</td>", labels[i],
                   devcache_draw_duration(devcache_histogram_quantile(h, quantiles[i]),
                                          r->pool));
    }
    ap_rputs("<td class=\"chart\">", r);
    devcache_draw_histogram(r, class, h);
    ap_rputs("</td></tr>\n", r);
}

static void show_latency(request_rec *r, const devcache_report_t *rep)
{
    static const char *const names[] = {"hits", "misses", "bypassed", "failed"};
    unsigned i;

    ap_rputs(
        "<section><h2>How long it takes until the answer begins</h2><div "
        "class=\"scroll\" tabindex=\"0\"><table class=\"stack\"><tr><th>answer</th><th "
        "class=\"n\">requests</th><th "
        "class=\"n\">half within</th><th class=\"n\">90 % within</th><th "
        "class=\"n\">99 % within</th><th class=\"chart\"><span class=\"axis\"><span>"
        "50 \xc2\xb5s</span><span>2.5 ms</span><span>100 ms</span><span>5 s</span>"
        "<span>over</span></span></th></tr>\n",
        r);
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        latency_row(r, names[i], devcache_draw_group_class(i), &rep->answers[i]);
    }
    latency_row(r, "the origin, of these", "use", &rep->total.origin[0]);
    latency_row(r, "the origin, failing", "err", &rep->total.origin[1]);
    ap_rputs("</table></div></section>\n", r);
}

/* ---- why not from the cache ------------------------------------------------------ */

typedef struct why_t {
    devcache_reason_e reason;
    apr_uint64_t times;
} why_t;

static int more_often(const void *a, const void *b)
{
    const why_t *x = a, *y = b;

    return x->times < y->times ? 1 : x->times > y->times ? -1 : 0;
}

/* The reasons of one kind that were met, most frequent first. */
static void show_why(request_rec *r, devcache_reason_kind_e kind, const char *title)
{
    why_t met[DEVCACHE_REASON_COUNT];
    unsigned i, n = 0;
    apr_uint64_t all = 0;

    for (i = DEVCACHE_REASON_NONE + 1; i < DEVCACHE_REASON_COUNT; i++) {
        apr_uint64_t times = devcache_stats_get_reason(i);
        if (times && devcache_reason_kind(i) == kind) {
            met[n].reason = i;
            met[n++].times = times;
            all += times;
        }
    }
    if (!n) {
        return;
    }
    qsort(met, n, sizeof met[0], more_often);
    ap_rprintf(r,
               "<tr><th>%s</th><th class=\"n\">times</th><th class=\"n\">share</th>"
               "<th>what to do</th></tr>\n",
               title);
    for (i = 0; i < n; i++) {
        ap_rprintf(
            r,
            "<tr><td>%s <span class=\"dim\">(%s)</span></td><td class=\"n\">%s</td>"
            "<td class=\"n\">%s</td><td class=\"dim\">%s</td></tr>\n",
            devcache_reason_meaning(met[i].reason), devcache_reason_text(met[i].reason),
            devcache_draw_number(met[i].times, r->pool),
            devcache_draw_share(met[i].times, all, r->pool),
            devcache_reason_advice(met[i].reason));
    }
}

/* The line that mends it where all requests have such a field, or pages do not depend on
 * such a cookie. */
static const char *line_for(const devcache_odd_t *odd, apr_pool_t *p)
{
    const char *directive = odd->kind == 'c' ? "DevCacheCookies deny @analytics"
                                             : devcache_ordinary_advice(odd->name, "");

    return !strcasecmp(odd->name, "Origin") ? "Header merge Vary Origin"
           : directive
               ? devcache_draw_text(apr_pstrcat(p, directive, " ", odd->name, NULL), p)
               : "nothing: it may tell another device than the class";
}

/* By which fields and cookies of requests. */
static void show_odd(request_rec *r, const devcache_report_t *rep)
{
    int i, k;

    for (i = 0; i < rep->stores->nelts; i++) {
        const char *root = APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t).root;
        apr_uint64_t others;
        apr_array_header_t *list = devcache_odd_read(root, &others, r->pool);

        if (list->nelts) {
            ap_rprintf(r,
                       "<tr><th>fields and cookies, %s</th><th class=\"n\">times</th>"
                       "<td></td><th>line to write</th></tr>\n",
                       devcache_draw_text(root, r->pool));
        }
        for (k = 0; k < list->nelts; k++) {
            const devcache_odd_t *odd = &APR_ARRAY_IDX(list, k, devcache_odd_t);
            ap_rprintf(r,
                       "<tr><td class=\"url\">%s %s</td><td class=\"n\">%s</td><td></td>"
                       "<td class=\"url\">%s</td></tr>\n",
                       odd->kind == 'c' ? "cookie" : "field",
                       devcache_draw_text(odd->name, r->pool),
                       devcache_draw_number(odd->times, r->pool), line_for(odd, r->pool));
        }
        if (others) {
            ap_rprintf(r, "<tr><td>others</td><td class=\"n\">%s</td></tr>\n",
                       devcache_draw_number(others, r->pool));
        }
    }
}

static void show_reasons(request_rec *r, const devcache_report_t *rep)
{
    ap_rputs("<section><h2>Why not from the cache</h2><div class=\"scroll\" "
             "tabindex=\"0\"><table class=\"why\">\n",
             r);
    show_why(r, DEVCACHE_REASON_KIND_LOOKUP, "the origin was asked");
    show_why(r, DEVCACHE_REASON_KIND_STORE, "its answer was not stored");
    show_why(r, DEVCACHE_REASON_KIND_BYPASS, "the cache was not used");
    show_odd(r, rep);
    ap_rputs("</table></div></section>\n", r);
}

/* ---- by host and device --------------------------------------------------------- */

static void device_row(request_rec *r, const devcache_cell_t *cell, const char *host,
                       const char *device)
{
    apr_uint64_t n[DEVCACHE_GROUP_COUNT] = {0};
    unsigned outcome;

    for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
        n[devcache_meter_group(outcome)] += devcache_histogram_total(
            &cell->answers[outcome][0]);
        n[DEVCACHE_GROUP_ERROR] += devcache_histogram_total(&cell->answers[outcome][1]);
    }
    ap_rprintf(r,
               "<tr><td class=\"url\">%s</td><td data-l=\"device\">%s</td>"
               "<td class=\"n\" data-l=\"requests\">%s</td>"
               "<td class=\"n\" data-l=\"hits\">%s</td><td class=\"mid\">",
               devcache_draw_text(host, r->pool), devcache_draw_text(device, r->pool),
               devcache_draw_number(devcache_draw_sum(n), r->pool),
               devcache_draw_share(n[DEVCACHE_GROUP_HIT], devcache_draw_sum(n), r->pool));
    devcache_draw_shares(r, n);
    ap_rprintf(r,
               "</td><td class=\"n\" data-l=\"sent from cache\">%s</td><td class=\"n\" "
               "data-l=\"fetched from origin\">%s</td></tr>\n",
               devcache_draw_bytes(cell->sent_by_cache, r->pool),
               devcache_draw_bytes(cell->received, r->pool));
}

static void show_devices(request_rec *r, const devcache_report_t *rep)
{
    int i;

    ap_rputs(
        "<section><h2>By host and device, in all</h2><div class=\"scroll\" "
        "tabindex=\"0\"><table "
        "class=\"stack\">"
        "<tr><th>host</th><th>device</th><th class=\"n\">requests</th><th "
        "class=\"n\">hits</th><th>shares</th><th class=\"n\">sent from cache</th><th "
        "class=\"n\">fetched from origin</th></tr>\n",
        r);
    for (i = 0; i < rep->cells->nelts; i++) {
        const devcache_cell_t *cell = APR_ARRAY_IDX(rep->cells, i, devcache_cell_t *);
        device_row(r, cell, cell->vhost, cell->device);
    }
    if (rep->cells->nelts > 1) {
        device_row(r, &rep->total, "all of them", "");
    }
    ap_rputs("</table></div></section>\n", r);
}

/* ---- busiest, reasons, errors --------------------------------------------------- */

static void show_urls(request_rec *r, const devcache_report_t *rep)
{
    int i;

    if (!rep->urls->nelts) {
        ap_rputs("<section class=\"half\"><h2>Busiest URLs</h2><p class=\"dim\">No "
                 "requests in the last minutes.</p></section>\n",
                 r);
        return;
    }
    ap_rprintf(r,
               "<section class=\"half\"><h2>Busiest in the last %s</h2><div "
               "class=\"scroll\" tabindex=\"0\"><table><tr><th>URL</th><th "
               "class=\"n\">requests</th><th "
               "class=\"n\">hits</th></tr>\n",
               devcache_draw_span(rep->urls_lasted, r->pool));
    for (i = 0; i < rep->urls->nelts && i < URLS_SHOWN; i++) {
        const devcache_top_t *t = &APR_ARRAY_IDX(rep->urls, i, devcache_top_t);
        ap_rprintf(
            r,
            "<tr><td class=\"url\">%s</td><td class=\"n\">%s%s</td><td class=\"n\">"
            "%s</td></tr>\n",
            devcache_draw_text(t->url, r->pool),
            t->over > t->requests / 2 ? "at most " : "",
            devcache_draw_number(t->requests, r->pool),
            devcache_draw_share(t->hits, t->requests - t->over, r->pool));
    }
    ap_rputs("</table></div></section>\n", r);
}

static void show_troubles(request_rec *r, const devcache_report_t *rep)
{
    int i;

    ap_rputs("<section class=\"half\"><h2>Last errors</h2>\n", r);
    if (!rep->troubles->nelts) {
        ap_rputs("<p class=\"dim\">None since httpd was started.</p></section>\n", r);
        return;
    }
    ap_rputs("<div class=\"scroll\" tabindex=\"0\"><table><tr><th>last</th><th "
             "class=\"n\">times</th><th>"
             "what</th></tr>\n",
             r);
    for (i = 0; i < rep->troubles->nelts; i++) {
        const devcache_trouble_t *t = &APR_ARRAY_IDX(rep->troubles, i,
                                                     devcache_trouble_t);
        ap_rprintf(r, "<tr><td>%s ago</td><td class=\"n\">%s</td><td class=\"url\">%s",
                   devcache_draw_span(rep->now - t->last, r->pool),
                   devcache_draw_number(t->times, r->pool),
                   devcache_draw_text(t->what, r->pool));
        if (*t->example) {
            ap_rprintf(r, "<br><span class=\"dim\">such as %s</span>",
                       devcache_draw_text(t->example, r->pool));
        }
        ap_rputs("</td></tr>\n", r);
    }
    ap_rputs("</table></div></section>\n", r);
}

/* ---- all numbers ---------------------------------------------------------------- */

static void number_rows(request_rec *r, const char *prefix,
                        const apr_array_header_t *lines)
{
    int i;

    for (i = 0; i < lines->nelts; i++) {
        const devcache_line_t *line = &APR_ARRAY_IDX(lines, i, devcache_line_t);
        ap_rprintf(r,
                   "<tr><td>%s%s</td><td class=\"n\">%s</td><td class=\"dim\">%s</td>"
                   "</tr>\n",
                   prefix, line->name, devcache_draw_number(line->value, r->pool),
                   devcache_draw_text(line->meaning, r->pool));
    }
}

static void show_numbers(request_rec *r, const devcache_report_t *rep)
{
    int i;

    ap_rputs("<section><details><summary>All counters</summary><div class=\"scroll\" "
             "tabindex=\"0\">"
             "<table>\n",
             r);
    number_rows(r, "", rep->counters);
    number_rows(r, "", rep->flights);
    for (i = 0; i < rep->stores->nelts; i++) {
        number_rows(r, "store_",
                    APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t).lines);
    }
    number_rows(r, "reason_", rep->reasons);
    ap_rputs("</table></div></details></section>\n", r);
}

void devcache_status_page(request_rec *r)
{
    devcache_report_t rep;

    ap_set_content_type(r, "text/html; charset=utf-8");
    devcache_report_read(&rep, r->pool);
    head(r, &rep);
    show_state(r, &rep);
    show_reasons(r, &rep);
    show_minutes(r, &rep);
    show_fill(r, &rep);
    show_latency(r, &rep);
    show_devices(r, &rep);
    devcache_machines_page(r, &rep);
    devcache_observe_page(r);
    show_urls(r, &rep);
    show_troubles(r, &rep);
    show_numbers(r, &rep);
    ap_rputs(
        "</main><footer>What is said to be in all, and how long it takes, is counted "
        "since httpd was started; reloads keep it. Only requests to places with "
        "DevCache On are counted.</footer></body></html>\n",
        r);
}
