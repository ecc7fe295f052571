/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/report.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>
#include <scoreboard.h>
#include "base/clock.h"
#include "flight/flight.h"
#include "store/probe.h"
#include "stats/stats.h"
#include "stats/top.h"
#include "stats/trouble.h"

static void add(apr_array_header_t *to, const char *name, apr_uint64_t value,
                const char *meaning)
{
    devcache_line_t *line = apr_array_push(to);

    line->name = name;
    line->value = value;
    line->meaning = meaning;
    line->gauge = 0;
}

static void add_gauge(apr_array_header_t *to, const char *name, apr_uint64_t value,
                      const char *meaning)
{
    add(to, name, value, meaning);
    APR_ARRAY_IDX(to, to->nelts - 1, devcache_line_t).gauge = 1;
}

apr_array_header_t *devcache_report_counters(apr_pool_t *p)
{
    apr_array_header_t *lines = apr_array_make(p, DEVCACHE_COUNTER_COUNT,
                                               sizeof(devcache_line_t));
    int i;

    for (i = 0; i < DEVCACHE_COUNTER_COUNT; i++) {
        add(lines, devcache_stats_name(i), devcache_stats_get(i),
            devcache_stats_meaning(i));
    }
    return lines;
}

apr_array_header_t *devcache_report_reasons(apr_pool_t *p)
{
    apr_array_header_t *lines = apr_array_make(p, DEVCACHE_REASON_COUNT,
                                               sizeof(devcache_line_t));
    int i;

    for (i = DEVCACHE_REASON_NONE + 1; i < DEVCACHE_REASON_COUNT; i++) {
        add(lines, devcache_reason_text(i), devcache_stats_get_reason(i),
            devcache_reason_meaning(i));
    }
    return lines;
}

apr_array_header_t *devcache_report_flights(apr_pool_t *p)
{
    apr_array_header_t *to = apr_array_make(p, 6, sizeof(devcache_line_t));
    devcache_flight_stats_t s;

    devcache_flight_stats(&s);
    add_gauge(to, "flights", s.flights, "fetches under way that others may follow");
    add_gauge(to, "flights_max", s.max_flights, "their bound");
    add_gauge(to, "flights_streaming", s.streaming,
              "of these, read by followers already");
    add_gauge(to, "flight_followers", s.followers, "requests that wait for one of them");
    return to;
}

apr_array_header_t *devcache_report_store(const devcache_store_stats_t *s, apr_pool_t *p)
{
    apr_array_header_t *to = apr_array_make(p, 28, sizeof(devcache_line_t));

    add_gauge(to, "bytes", s->bytes, "bytes held by files now");
    add_gauge(to, "size", s->size, "their bound: DevCacheSize");
    add_gauge(to, "objects", s->objects, "stored responses");
    add_gauge(to, "max_objects", s->max_objects, "their bound");
    add_gauge(to, "files", s->segments, "segments and large bodies");
    add_gauge(to, "max_files", s->max_files, "their bound");
    add_gauge(to, "specs", s->specs, "different sets of fields that responses vary by");
    add_gauge(to, "max_specs", s->max_specs,
              "their bound; what brings another one is not stored");
    add_gauge(to, "spec_bytes", s->spec_bytes, "bytes of the names of these fields");
    add_gauge(to, "max_spec_bytes", s->max_spec_bytes, "their bound");
    add(to, "published", s->published, "responses made visible");
    add(to, "refreshed", s->refreshed, "given new fields by a 304");
    add(to, "removed", s->removed, "removed by purge or invalidation");
    add(to, "evicted", s->evicted, "dropped for want of room");
    add(to, "requeued", s->requeued, "in use, and so kept when their segment went");
    add(to, "damaged", s->damaged, "records that failed verification");
    add(to, "io_errors", s->errors, "reads and writes that failed");
    add(to, "no_room", s->no_room, "responses not stored for want of room");
    add(to, "superseded", s->superseded, "not stored: removed while being fetched");
    return to;
}

apr_array_header_t *devcache_report_stores(apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 2, sizeof(devcache_report_store_t));
    server_rec *s;
    int i;

    for (s = ap_server_conf; s; s = s->next) {
        const devcache_server_t *server = devcache_conf_server(s);
        devcache_report_store_t *to;
        for (i = 0; i < list->nelts; i++) {
            if (APR_ARRAY_IDX(list, i, devcache_report_store_t).store == server->store) {
                break;
            }
        }
        if (!server->store || i < list->nelts) {
            continue;
        }
        to = apr_array_push(list);
        to->store = server->store;
        to->root = devcache_server_root(server);
        devcache_store_stats(to->store, &to->stats);
        to->not_ready = devcache_probe_store(to->store, devcache_now(), p);
        to->lines = devcache_report_store(&to->stats, p);
        to->machines = NULL;
        if (server->machines) {
            to->machines = apr_palloc(p, sizeof *to->machines);
            devcache_tier_show(server->machines, to->machines, p);
        }
    }
    return list;
}

const char *devcache_report_not_ready(apr_pool_t *p)
{
    apr_array_header_t *stores = devcache_report_stores(p);
    int i;

    for (i = 0; i < stores->nelts; i++) {
        const char *why = APR_ARRAY_IDX(stores, i, devcache_report_store_t).not_ready;
        if (why) {
            return why;
        }
    }
    return stores->nelts ? NULL : "no DevCacheRoot is configured";
}

/* ---- what was counted ----------------------------------------------------------- */

static int is_used(const devcache_cell_t *cell)
{
    unsigned outcome, failed;

    for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
        for (failed = 0; failed < 2; failed++) {
            if (devcache_histogram_total(&cell->answers[outcome][failed])) {
                return 1;
            }
        }
    }
    return 0;
}

static void read_cells(devcache_report_t *out, apr_pool_t *p)
{
    devcache_cell_t *cell = apr_pcalloc(p, sizeof *cell);
    unsigned i;

    out->cells = apr_array_make(p, 8, sizeof(devcache_cell_t *));
    memset(&out->total, 0, sizeof out->total);
    for (i = 0; i < devcache_meter_cells(); i++) {
        devcache_meter_add(cell, i);
        if (is_used(cell)) {
            APR_ARRAY_PUSH(out->cells, devcache_cell_t *) = cell;
            devcache_meter_add(&out->total, i);
            cell = apr_pcalloc(p, sizeof *cell);
        }
    }
}

static void read_answers(devcache_report_t *out)
{
    unsigned outcome;

    memset(out->answers, 0, sizeof out->answers);
    for (outcome = 0; outcome < DEVCACHE_OUTCOME_COUNT; outcome++) {
        devcache_histogram_add(&out->answers[devcache_meter_group(outcome)],
                               &out->total.answers[outcome][0]);
        devcache_histogram_add(&out->answers[DEVCACHE_GROUP_ERROR],
                               &out->total.answers[outcome][1]);
    }
}

/* ---- httpd's threads ------------------------------------------------------------ */

static int is_busy(int status)
{
    return status != SERVER_DEAD && status != SERVER_STARTING && status != SERVER_READY &&
           status != SERVER_IDLE_KILL;
}

static void read_threads(devcache_report_t *out)
{
    int servers = 0, threads = 0, max_servers = 0, max_threads = 0, i, k;

    out->threads_busy = out->threads_max = 0;
    if (!ap_exists_scoreboard_image()) {
        return;
    }
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &servers);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &max_servers);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &max_threads);
    /* Without threads the two limits of threads are 0. */
    threads = threads > 0 ? threads : 1;
    max_threads = max_threads > 0 ? max_threads : 1;
    out->threads_max = (unsigned)(max_servers * max_threads);
    for (i = 0; i < servers; i++) {
        for (k = 0; k < threads; k++) {
            const worker_score *ws = ap_get_scoreboard_worker_from_indexes(i, k);
            out->threads_busy += ws && is_busy(ws->status);
        }
    }
}

void devcache_report_read(devcache_report_t *out, apr_pool_t *p)
{
    out->now = devcache_now();
    out->started = ap_exists_scoreboard_image()
                       ? ap_scoreboard_image->global->restart_time
                       : 0;
    out->counters = devcache_report_counters(p);
    out->flights = devcache_report_flights(p);
    out->reasons = devcache_report_reasons(p);
    out->stores = devcache_report_stores(p);
    read_cells(out, p);
    read_answers(out);
    devcache_meter_minutes(out->now, out->minutes);
    out->urls = devcache_top_read(out->now, &out->urls_lasted, p);
    out->troubles = devcache_trouble_read(p);
    read_threads(out);
}
