#include "devcache_status_page.h"

#include <stdlib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include "devcache_observe.h"
#include "devcache_report.h"
#include "devcache_status_draw.h"
#include "devcache_top.h"
#include "devcache_trouble.h"

#define URLS_SHOWN 20

static const char style[] =
    ":root{color-scheme:light dark;--fg:#1c2430;--dim:#5b6675;--bg:#f4f6f8;--card:#fff;"
    "--line:#dfe4ea;--ground:#eef1f4;--hit:#12907f;--miss:#e3a127;--byp:#98a3b3;"
    "--err:#cf3f4f;--use:#3c78c8}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e9f0;--dim:#98a3b3;--bg:#12161c;"
    "--card:#1a2028;--line:#2b333e;--ground:#232b35;--hit:#2bb39f;--miss:#d99a2b;"
    "--byp:#6b7787;--err:#ec6372;--use:#5b97e6}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--bg);"
    "color:var(--fg);font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Liberation Sans\",sans-serif}"
    "h1{font-size:1.35rem;margin:0}h2{font-size:1rem;margin:0 0 .6rem}"
    "a{color:var(--use)}p{margin:.3rem 0}"
    "header{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;align-items:baseline;"
    "margin-bottom:.8rem}header p{margin:0;color:var(--dim)}"
    "header nav{margin-left:auto}header a{margin-left:.8rem}"
    "main{display:grid;gap:1rem;grid-template-columns:repeat(12,1fr)}"
    "section{grid-column:span 12;min-width:0;background:var(--card);border:1px solid "
    "var(--line);border-radius:.6rem;padding:1rem}"
    "@media(min-width:60rem){.half,.half.column{grid-column:span "
    "6}.wide{grid-column:span 8}"
    ".slim{grid-column:span 4}}.column{grid-column:span 12;display:grid;gap:1rem;"
    "align-content:start;min-width:0}.column section{grid-column:auto}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));"
    "gap:1rem;margin-top:.8rem}.tiles div{display:flex;flex-direction:column}"
    ".tiles b{font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}"
    ".tiles span,.dim{color:var(--dim)}.tiles span{font-size:.87rem}"
    ".key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.87rem;margin:.5rem 0 0}"
    ".key i{display:inline-block;width:.75rem;height:.75rem;border-radius:.15rem;"
    "margin-right:.35rem;vertical-align:-.05rem}"
    "svg{display:block;width:100%}.share{height:7rem}.volume{height:4.5rem}"
    ".hist{height:2.6rem}rect.ground{fill:var(--ground)}"
    ".axis{display:flex;justify-content:space-between;font-size:.8rem;"
    "color:var(--dim);margin:.4rem 0 .15rem}"
    ".bar{display:flex;height:.75rem;border-radius:.2rem;overflow:hidden;"
    "background:var(--ground);min-width:4rem}"
    ".fill{display:grid;grid-template-columns:1fr auto;gap:.1rem .8rem;margin:.55rem 0}"
    ".fill .bar{grid-column:span 2}.fill span:nth-child(2){color:var(--dim)}"
    "i.hit{background:var(--hit)}i.miss{background:var(--miss)}i.byp{background:"
    "var(--byp)}i.err{background:var(--err)}i.use{background:var(--use)}"
    "rect.hit{fill:var(--hit)}rect.miss{fill:var(--miss)}rect.byp{fill:var(--byp)}"
    "rect.err{fill:var(--err)}rect.use{fill:var(--use)}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-top:1px solid var(--line);"
    "vertical-align:top}th{border-top:0;color:var(--dim);font-weight:500;"
    "font-size:.87rem;vertical-align:bottom}tr>:last-child{padding-right:0}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".url{overflow-wrap:anywhere;min-width:11rem}.mid{vertical-align:middle}"
    ".stack "
    "td{vertical-align:middle}.chart{width:45%;min-width:9rem}.state{border-left:.35rem "
    "solid var(--hit)}"
    ".state.bad{border-left-color:var(--err)}"
    "@media(max-width:40rem){.stack tr{display:grid;grid-template-columns:repeat(4,auto);"
    "gap:.15rem .8rem;padding:.5rem 0;border-top:1px solid var(--line)}.stack tr:"
    "first-child{border:0;padding:0}.stack th:not(.chart){display:none}.stack td,.stack "
    "th{border:0;padding:0}.stack td:first-child{grid-column:1/-1;font-weight:600}"
    ".stack td[data-l]::before{content:attr(data-l);display:block;font-size:.8rem;"
    "color:var(--dim)}.stack .n{text-align:left}.stack .chart,.stack .mid{grid-column:"
    "1/-1;width:auto}}"
    "details{margin-top:.2rem}summary{cursor:pointer}"
    "footer{color:var(--dim);margin:1rem 0;font-size:.87rem}";

/* ---- head ----------------------------------------------------------------------------
 */

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
               "<header><h1>devcache</h1><p>%s, started or reloaded %s ago</p><nav>"
               "<a href=\"%s\">%s</a><a href=\"?json\">JSON</a>"
               "<a href=\"?prometheus\">Prometheus</a><a href=\"?auto\">text</a></nav>"
               "</header>\n<main>\n",
               host, style, host, devcache_draw_span(rep->now - rep->started, r->pool),
               refresh ? "?" : "?refresh", refresh ? "stop refreshing" : "refresh");
}

/* ---- the last hour -------------------------------------------------------------------
 */

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

static void show_readiness(request_rec *r, const devcache_report_t *rep)
{
    int i;

    for (i = 0; i < rep->stores->nelts; i++) {
        const char *why = APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t)
                              .not_ready;
        if (why) {
            ap_rprintf(
                r,
                "<section class=\"state bad\"><p class=\"url\"><b>Not ready.</b> %s. "
                "The origin answers meanwhile.</p></section>\n",
                devcache_draw_text(why, r->pool));
        }
    }
}

static void show_state(request_rec *r, const devcache_report_t *rep)
{
    apr_uint64_t n[DEVCACHE_GROUP_COUNT], all;
    double hit = devcache_histogram_quantile(&rep->answers[DEVCACHE_GROUP_HIT], .99);
    double miss = devcache_histogram_quantile(&rep->answers[DEVCACHE_GROUP_MISS], .99);

    last_hour(rep, DEVCACHE_MINUTES, n);
    all = devcache_draw_sum(n);
    show_readiness(r, rep);
    ap_rputs("<section class=\"state\"><p>", r);
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
    ap_rputs("</p>\n<div class=\"tiles\">\n", r);
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

/* ---- how full ------------------------------------------------------------------------
 */

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
        if (n->rebuild_done < n->rebuild_total) {
            devcache_draw_fill(
                r, "index being rebuilt",
                apr_psprintf(r->pool, "%s of %s segments",
                             devcache_draw_number(n->rebuild_done, r->pool),
                             devcache_draw_number(n->rebuild_total, r->pool)),
                n->rebuild_done, n->rebuild_total, 0);
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

/* ---- how fast ------------------------------------------------------------------------
 */

static void latency_row(request_rec *r, const char *what, const char *klass,
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
    devcache_draw_histogram(r, klass, h);
    ap_rputs("</td></tr>\n", r);
}

static void show_latency(request_rec *r, const devcache_report_t *rep)
{
    static const char *const names[] = {"hits", "misses", "bypassed", "failed"};
    unsigned i;

    ap_rputs("<section><h2>How long it takes until the answer begins</h2><div "
             "class=\"scroll\"><table class=\"stack\"><tr><th></th><th "
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

/* ---- by host and device --------------------------------------------------------------
 */

static void device_row(request_rec *r, const devcache_cell_t *cell)
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
               devcache_draw_text(cell->vhost, r->pool),
               devcache_draw_text(cell->device, r->pool),
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

    ap_rputs("<section><h2>By host and device, in all</h2><div class=\"scroll\"><table "
             "class=\"stack\">"
             "<tr><th>host</th><th>device</th><th class=\"n\">requests</th><th "
             "class=\"n\">hits</th><th></th><th class=\"n\">sent from cache</th><th "
             "class=\"n\">fetched from origin</th></tr>\n",
             r);
    for (i = 0; i < rep->cells->nelts; i++) {
        device_row(r, APR_ARRAY_IDX(rep->cells, i, devcache_cell_t *));
    }
    ap_rputs("</table></div></section>\n", r);
}

/* ---- busiest, reasons, errors --------------------------------------------------------
 */

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
               "class=\"scroll\"><table><tr><th>URL</th><th class=\"n\">requests</th><th "
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

static int by_value(const void *a, const void *b)
{
    const devcache_line_t *x = a, *y = b;

    return x->value < y->value ? 1 : x->value > y->value ? -1 : strcmp(x->name, y->name);
}

static void show_reasons(request_rec *r, const devcache_report_t *rep)
{
    apr_array_header_t *sorted = apr_array_copy(r->pool, rep->reasons);
    int i;

    qsort(sorted->elts, (size_t)sorted->nelts, sizeof(devcache_line_t), by_value);
    ap_rputs("<section><h2>Why not cached, in all</h2><div class=\"scroll\">"
             "<table><tr><th class=\"n\">times</th><th>because</th></tr>\n",
             r);
    for (i = 0; i < sorted->nelts; i++) {
        const devcache_line_t *line = &APR_ARRAY_IDX(sorted, i, devcache_line_t);
        if (line->value) {
            ap_rprintf(r,
                       "<tr><td class=\"n\">%s</td><td>%s <span class=\"dim\">(%s)</span>"
                       "</td></tr>\n",
                       devcache_draw_number(line->value, r->pool),
                       devcache_draw_text(line->meaning, r->pool), line->name);
        }
    }
    ap_rputs("</table></div></section>\n", r);
}

static void show_troubles(request_rec *r, const devcache_report_t *rep)
{
    int i;

    ap_rputs("<section><h2>Last errors</h2>\n", r);
    if (!rep->troubles->nelts) {
        ap_rputs("<p class=\"dim\">None since httpd was started.</p></section>\n", r);
        return;
    }
    ap_rputs(
        "<div class=\"scroll\"><table><tr><th>last</th><th class=\"n\">times</th><th>"
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

/* ---- all numbers ---------------------------------------------------------------------
 */

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

    ap_rputs("<section><details><summary>All counters</summary><div class=\"scroll\">"
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
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                   "form-action 'none'; frame-ancestors 'none'");
    devcache_report_read(&rep, r->pool);
    head(r, &rep);
    show_state(r, &rep);
    show_minutes(r, &rep);
    show_fill(r, &rep);
    show_latency(r, &rep);
    show_devices(r, &rep);
    devcache_observe_page(r);
    show_urls(r, &rep);
    ap_rputs("<div class=\"half column\">\n", r);
    show_troubles(r, &rep);
    show_reasons(r, &rep);
    ap_rputs("</div>\n", r);
    show_numbers(r, &rep);
    ap_rputs(
        "</main><footer>What is said to be in all, and how long it takes, is counted "
        "since httpd was started; reloads keep it. Only requests to places with "
        "DevCache On are counted.</footer></body></html>\n",
        r);
}
