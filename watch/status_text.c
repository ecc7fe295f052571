/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/status_text.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include "base/json.h"
#include "base/version.h"
#include "watch/machines.h"
#include "watch/observe.h"
#include "watch/report.h"
#include "stats/top.h"
#include "stats/trouble.h"

#define TABLE(array, i, type) APR_ARRAY_IDX(array, i, type)

static const char *const group_names[] = {"hit", "miss", "bypass", "error"};
static const char *const results[] = {"success", "failure"};

static double seconds(double usec)
{
    return usec < 0 ? 0 : usec / APR_USEC_PER_SEC;
}

/* ---- ?auto ---------------------------------------------------------------------- */

static void show_lines(request_rec *r, const char *prefix,
                       const apr_array_header_t *lines)
{
    int i;

    for (i = 0; i < lines->nelts; i++) {
        const devcache_line_t *line = &TABLE(lines, i, devcache_line_t);
        ap_rprintf(r, "%s%s: %" APR_UINT64_T_FMT "\n", prefix, line->name, line->value);
    }
}

void devcache_status_auto(request_rec *r)
{
    const devcache_server_t *server = devcache_conf_server(r->server);
    devcache_store_stats_t stats;

    ap_set_content_type(r, "text/plain; charset=utf-8");
    show_lines(r, "", devcache_report_counters(r->pool));
    show_lines(r, "", devcache_report_flights(r->pool));
    if (server->store) {
        devcache_store_stats(server->store, &stats);
        show_lines(r, "store_", devcache_report_store(&stats, r->pool));
    }
    show_lines(r, "reason_", devcache_report_reasons(r->pool));
    devcache_observe_auto(r);
}

/* ---- ?json ---------------------------------------------------------------------- */

static void put_response(void *r, const char *text, apr_size_t len)
{
    ap_rwrite(text, (int)len, r);
}

static void json_lines(devcache_json_t *j, const char *name,
                       const apr_array_header_t *lines)
{
    int i;

    devcache_json_object(j, name);
    for (i = 0; i < lines->nelts; i++) {
        const devcache_line_t *line = &TABLE(lines, i, devcache_line_t);
        devcache_json_uint(j, line->name, line->value);
    }
    devcache_json_end(j);
}

static void json_latency(devcache_json_t *j, const char *name,
                         const devcache_histogram_t *h)
{
    apr_uint64_t count = devcache_histogram_total(h);

    devcache_json_object(j, name);
    devcache_json_uint(j, "count", count);
    devcache_json_real(j, "sum_seconds", seconds((double)h->sum), 6);
    if (count) {
        devcache_json_real(j, "p50", seconds(devcache_histogram_quantile(h, .5)), 6);
        devcache_json_real(j, "p90", seconds(devcache_histogram_quantile(h, .9)), 6);
        devcache_json_real(j, "p99", seconds(devcache_histogram_quantile(h, .99)), 6);
    }
    devcache_json_end(j);
}

static void json_totals(devcache_json_t *j, const devcache_report_t *rep)
{
    apr_uint64_t n[DEVCACHE_GROUP_COUNT], all = 0;
    unsigned i;

    devcache_json_object(j, "totals");
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        n[i] = devcache_histogram_total(&rep->answers[i]);
        all += n[i];
    }
    devcache_json_uint(j, "requests", all);
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        devcache_json_uint(j, group_names[i], n[i]);
    }
    devcache_json_uint(j, "bytes_sent_from_cache", rep->total.sent_by_cache);
    devcache_json_uint(j, "bytes_sent_from_origin", rep->total.sent_by_origin);
    devcache_json_uint(j, "bytes_received_from_origin", rep->total.received);
    devcache_json_end(j);
}

static void json_latencies(devcache_json_t *j, const devcache_report_t *rep)
{
    unsigned i;

    devcache_json_object(j, "latency");
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        json_latency(j, group_names[i], &rep->answers[i]);
    }
    json_latency(j, "origin", &rep->total.origin[0]);
    json_latency(j, "origin_error", &rep->total.origin[1]);
    devcache_json_end(j);
}

static void json_cell(devcache_json_t *j, const devcache_cell_t *cell)
{
    unsigned outcome, failed;

    devcache_json_object(j, NULL);
    devcache_json_string(j, "vhost", cell->vhost);
    devcache_json_string(j, "device", cell->device);
    for (failed = 0; failed < 2; failed++) {
        devcache_json_object(j, results[failed]);
        for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
            apr_uint64_t n = devcache_histogram_total(&cell->answers[outcome][failed]);
            if (n) {
                devcache_json_uint(j, devcache_meter_outcome(outcome), n);
            }
        }
        devcache_json_end(j);
    }
    devcache_json_uint(j, "bytes_sent_from_cache", cell->sent_by_cache);
    devcache_json_uint(j, "bytes_sent_from_origin", cell->sent_by_origin);
    devcache_json_uint(j, "bytes_received_from_origin", cell->received);
    devcache_json_end(j);
}

static void json_cells(devcache_json_t *j, const devcache_report_t *rep)
{
    int i;

    devcache_json_array(j, "by_device");
    for (i = 0; i < rep->cells->nelts; i++) {
        json_cell(j, TABLE(rep->cells, i, devcache_cell_t *));
    }
    devcache_json_end(j);
}

static void json_stores(devcache_json_t *j, const devcache_report_t *rep)
{
    int i, k;

    devcache_json_array(j, "stores");
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_report_store_t *s = &TABLE(rep->stores, i,
                                                  devcache_report_store_t);
        devcache_json_object(j, NULL);
        devcache_json_string(j, "root", s->root);
        devcache_json_bool(j, "ready", !s->not_ready);
        if (s->not_ready) {
            devcache_json_string(j, "not_ready", s->not_ready);
        }
        for (k = 0; k < s->lines->nelts; k++) {
            const devcache_line_t *line = &TABLE(s->lines, k, devcache_line_t);
            devcache_json_uint(j, line->name, line->value);
        }
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

static void json_minutes(devcache_json_t *j, const devcache_report_t *rep)
{
    unsigned i, group;

    devcache_json_array(j, "minutes");
    for (i = 0; i < DEVCACHE_MINUTES; i++) {
        devcache_json_object(j, NULL);
        devcache_json_int(j, "time", apr_time_sec(rep->minutes[i].begun));
        for (group = 0; group < DEVCACHE_GROUP_COUNT; group++) {
            devcache_json_uint(j, group_names[group], rep->minutes[i].groups[group]);
        }
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

static void json_urls(devcache_json_t *j, const devcache_report_t *rep)
{
    int i;

    devcache_json_object(j, "busiest");
    devcache_json_real(j, "seconds", seconds((double)rep->urls_lasted), 3);
    devcache_json_array(j, "urls");
    for (i = 0; i < rep->urls->nelts; i++) {
        const devcache_top_t *t = &TABLE(rep->urls, i, devcache_top_t);
        devcache_json_object(j, NULL);
        devcache_json_string(j, "url", t->url);
        devcache_json_uint(j, "requests", t->requests);
        devcache_json_uint(j, "over", t->over);
        devcache_json_uint(j, "hits", t->hits);
        devcache_json_end(j);
    }
    devcache_json_end(j);
    devcache_json_end(j);
}

static void json_troubles(devcache_json_t *j, const devcache_report_t *rep)
{
    int i;

    devcache_json_array(j, "errors");
    for (i = 0; i < rep->troubles->nelts; i++) {
        const devcache_trouble_t *t = &TABLE(rep->troubles, i, devcache_trouble_t);
        devcache_json_object(j, NULL);
        devcache_json_string(j, "what", t->what);
        devcache_json_string(j, "example", t->example);
        devcache_json_uint(j, "times", t->times);
        devcache_json_int(j, "first", apr_time_sec(t->first));
        devcache_json_int(j, "last", apr_time_sec(t->last));
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

void devcache_status_json(request_rec *r)
{
    devcache_report_t rep;
    devcache_json_t j;

    ap_set_content_type(r, "application/json");
    devcache_report_read(&rep, r->pool);
    devcache_json_init(&j, put_response, r);
    devcache_json_object(&j, NULL);
    devcache_json_string(&j, "version", DEVCACHE_VERSION);
    devcache_json_real(&j, "time", seconds((double)rep.now), 3);
    devcache_json_int(&j, "started", apr_time_sec(rep.started));
    json_totals(&j, &rep);
    json_latencies(&j, &rep);
    json_cells(&j, &rep);
    json_lines(&j, "counters", rep.counters);
    json_lines(&j, "reasons", rep.reasons);
    json_lines(&j, "flights", rep.flights);
    json_stores(&j, &rep);
    devcache_machines_json(&j, &rep);
    devcache_observe_json(&j);
    devcache_json_object(&j, "threads");
    devcache_json_uint(&j, "busy", rep.threads_busy);
    devcache_json_uint(&j, "max", rep.threads_max);
    devcache_json_end(&j);
    json_urls(&j, &rep);
    json_troubles(&j, &rep);
    json_minutes(&j, &rep);
    devcache_json_end(&j);
}

/* ---- ?prometheus ---------------------------------------------------------------- */

/* Counters that devcache_requests_total tells with labels. */
static int is_told_by_requests(const char *name)
{
    static const char *const told[] = {"requests",     "hits",        "stale_hits",
                                       "misses",       "revalidated", "bypasses",
                                       "stale_errors", "collapsed"};
    unsigned i;

    for (i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (!strcmp(told[i], name)) {
            return 1;
        }
    }
    return 0;
}

/* Names for Prometheus: with their unit, and "total" for counters alone. */
static const char *metric(const char *prefix, const devcache_line_t *line, apr_pool_t *p)
{
    static const char *const other[][2] = {{"size", "size_bytes"}};
    const char *name = line->name;
    unsigned i;

    for (i = 0; i < sizeof other / sizeof other[0]; i++) {
        name = strcmp(other[i][0], line->name) ? name : other[i][1];
    }
    return apr_pstrcat(p, prefix, name, line->gauge ? "" : "_total", NULL);
}

/* The value of a label: backslash, quote and line feed are escaped. Names of hosts,
 * classes and paths come from the configuration. */
static const char *label(const char *value, apr_pool_t *p)
{
    char *out = apr_palloc(p, 2 * strlen(value) + 1), *at = out;

    for (; *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            *at++ = '\\';
        }
        *at++ = *value == '\n' ? 'n' : *value;
    }
    *at = '\0';
    return out;
}

static void family(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP devcache_%s %s\n# TYPE devcache_%s %s\n", name, help, name,
               type);
}

static void single(request_rec *r, const char *name, const char *type, const char *help,
                   apr_uint64_t value)
{
    family(r, name, type, help);
    ap_rprintf(r, "devcache_%s %" APR_UINT64_T_FMT "\n", name, value);
}

static const char *cell_labels(const devcache_cell_t *cell, apr_pool_t *p)
{
    return apr_psprintf(p, "vhost=\"%s\",device=\"%s\"", label(cell->vhost, p),
                        label(cell->device, p));
}

static void histogram(request_rec *r, const char *name, const char *labels,
                      const devcache_histogram_t *h)
{
    apr_uint64_t n = 0;
    unsigned i;

    if (devcache_histogram_total(h) == 0) {
        return;
    }
    for (i = 0; i < DEVCACHE_BUCKET_COUNT; i++) {
        n += h->buckets[i];
        ap_rprintf(r, "devcache_%s_bucket{%s,le=\"%s\"} %" APR_UINT64_T_FMT "\n", name,
                   labels, devcache_histogram_le(i), n);
    }
    ap_rprintf(r, "devcache_%s_sum{%s} %" APR_UINT64_T_FMT ".%06" APR_UINT64_T_FMT "\n",
               name, labels, h->sum / APR_USEC_PER_SEC, h->sum % APR_USEC_PER_SEC);
    ap_rprintf(r, "devcache_%s_count{%s} %" APR_UINT64_T_FMT "\n", name, labels, n);
}

/* What a walk through all cells, outcomes and results writes. */
typedef void answer_fn(request_rec *r, const char *labels, const devcache_histogram_t *h);

static void answer_count(request_rec *r, const char *labels,
                         const devcache_histogram_t *h)
{
    apr_uint64_t n = devcache_histogram_total(h);

    if (n) {
        ap_rprintf(r, "devcache_requests_total{%s} %" APR_UINT64_T_FMT "\n", labels, n);
    }
}

static void answer_duration(request_rec *r, const char *labels,
                            const devcache_histogram_t *h)
{
    histogram(r, "answer_duration_seconds", labels, h);
}

static void each_answer(request_rec *r, const devcache_report_t *rep, answer_fn *write)
{
    unsigned outcome, failed;
    int i;

    for (i = 0; i < rep->cells->nelts; i++) {
        const devcache_cell_t *cell = TABLE(rep->cells, i, devcache_cell_t *);
        const char *of_cell = cell_labels(cell, r->pool);
        for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
            for (failed = 0; failed < 2; failed++) {
                write(r,
                      apr_psprintf(r->pool, "%s,status=\"%s\",result=\"%s\"", of_cell,
                                   devcache_meter_outcome(outcome), results[failed]),
                      &cell->answers[outcome][failed]);
            }
        }
    }
}

static void prometheus_requests(request_rec *r, const devcache_report_t *rep)
{
    unsigned failed;
    int i;

    family(r, "requests_total", "counter",
           "Requests answered where the cache is on, by how (status) and whether with a "
           "status code below 500 (result).");
    each_answer(r, rep, answer_count);
    family(r, "answer_duration_seconds", "histogram",
           "Time from the request's header to the beginning of its answer.");
    each_answer(r, rep, answer_duration);
    family(r, "origin_duration_seconds", "histogram",
           "Time from asking the origin to the beginning of its answer.");
    for (i = 0; i < rep->cells->nelts; i++) {
        const devcache_cell_t *cell = TABLE(rep->cells, i, devcache_cell_t *);
        for (failed = 0; failed < 2; failed++) {
            histogram(r, "origin_duration_seconds",
                      apr_pstrcat(r->pool, cell_labels(cell, r->pool), ",result=\"",
                                  results[failed], "\"", NULL),
                      &cell->origin[failed]);
        }
    }
}

static void prometheus_bytes(request_rec *r, const devcache_report_t *rep)
{
    int i;

    family(r, "sent_bytes_total", "counter",
           "Bytes of bodies sent to clients, by where they came from.");
    for (i = 0; i < rep->cells->nelts; i++) {
        const devcache_cell_t *cell = TABLE(rep->cells, i, devcache_cell_t *);
        const char *labels = cell_labels(cell, r->pool);
        ap_rprintf(r,
                   "devcache_sent_bytes_total{%s,source=\"cache\"} %" APR_UINT64_T_FMT
                   "\ndevcache_sent_bytes_total{%s,source=\"origin\"} %" APR_UINT64_T_FMT
                   "\n",
                   labels, cell->sent_by_cache, labels, cell->sent_by_origin);
    }
    family(r, "origin_received_bytes_total", "counter",
           "Bytes of bodies received from the origin.");
    for (i = 0; i < rep->cells->nelts; i++) {
        const devcache_cell_t *cell = TABLE(rep->cells, i, devcache_cell_t *);
        ap_rprintf(r, "devcache_origin_received_bytes_total{%s} %" APR_UINT64_T_FMT "\n",
                   cell_labels(cell, r->pool), cell->received);
    }
}

/* The same number of each store together, as the format wants it. */
static void prometheus_stores(request_rec *r, const devcache_report_t *rep)
{
    int i, k,
        n = rep->stores->nelts
                ? TABLE(rep->stores, 0, devcache_report_store_t).lines->nelts
                : 0;

    family(r, "store_ready", "gauge", "Whether it can be read and written: 1, else 0.");
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_report_store_t *s = &TABLE(rep->stores, i,
                                                  devcache_report_store_t);
        ap_rprintf(r, "devcache_store_ready{root=\"%s\"} %d\n", label(s->root, r->pool),
                   !s->not_ready);
    }
    for (k = 0; k < n; k++) {
        for (i = 0; i < rep->stores->nelts; i++) {
            const devcache_report_store_t *s = &TABLE(rep->stores, i,
                                                      devcache_report_store_t);
            const devcache_line_t *line = &TABLE(s->lines, k, devcache_line_t);
            const char *name = metric("store_", line, r->pool);
            if (i == 0) {
                family(r, name, line->gauge ? "gauge" : "counter", line->meaning);
            }
            ap_rprintf(r, "devcache_%s{root=\"%s\"} %" APR_UINT64_T_FMT "\n", name,
                       label(s->root, r->pool), line->value);
        }
    }
}

static void prometheus_lines(request_rec *r, const apr_array_header_t *lines)
{
    int i;

    for (i = 0; i < lines->nelts; i++) {
        const devcache_line_t *line = &TABLE(lines, i, devcache_line_t);
        if (!is_told_by_requests(line->name)) {
            single(r, metric("", line, r->pool), line->gauge ? "gauge" : "counter",
                   line->meaning, line->value);
        }
    }
}

static void prometheus_refusals(request_rec *r, const devcache_report_t *rep)
{
    int i;

    family(r, "refusals_total", "counter",
           "Requests that bypassed the cache and responses not stored, by reason.");
    for (i = 0; i < rep->reasons->nelts; i++) {
        const devcache_line_t *line = &TABLE(rep->reasons, i, devcache_line_t);
        ap_rprintf(r, "devcache_refusals_total{reason=\"%s\"} %" APR_UINT64_T_FMT "\n",
                   line->name, line->value);
    }
}

void devcache_status_prometheus(request_rec *r)
{
    devcache_report_t rep;

    ap_set_content_type(r, "text/plain; version=0.0.4; charset=utf-8");
    devcache_report_read(&rep, r->pool);
    family(r, "build_info", "gauge", "Always 1; the version is its label.");
    ap_rputs("devcache_build_info{version=\"" DEVCACHE_VERSION "\"} 1\n", r);
    prometheus_requests(r, &rep);
    prometheus_bytes(r, &rep);
    prometheus_stores(r, &rep);
    devcache_machines_prometheus(r, &rep);
    prometheus_lines(r, rep.counters);
    prometheus_lines(r, rep.flights);
    prometheus_refusals(r, &rep);
    single(r, "threads_busy", "gauge", "Threads of httpd that are serving a request.",
           rep.threads_busy);
    single(r, "threads_max", "gauge", "Their bound: MaxRequestWorkers.", rep.threads_max);
}
