/* SPDX-License-Identifier: Apache-2.0 */
#include "request/account.h"

#include <apr_strings.h>
#include <http_log.h>
#include "base/clock.h"
#include "mod_devcache.h"
#include "stats/meter.h"
#include "stats/odd.h"
#include "store/probe.h"
#include "stats/stats.h"
#include "stats/top.h"
#include "stats/trouble.h"

#define CELLS_MIN 64
#define CELLS_MAX 4096 /* 3.5 KB each, once used */

/* ---- the books ------------------------------------------------------------------ */

static unsigned classes_of(const devcache_server_t *server)
{
    unsigned n = 0;

    while (server->device && devcache_device_class(server->device, n)) {
        n++;
    }
    return n ? n : 1;
}

/* Servers and classes that a later reading of the configuration adds find room too, up to
 * as many again. */
static unsigned cells_for(server_rec *s)
{
    unsigned n = 0;

    for (; s; s = s->next) {
        n += classes_of(devcache_conf_server(s));
    }
    n = 2 * n + 1;
    return n < CELLS_MIN ? CELLS_MIN : n > CELLS_MAX ? CELLS_MAX : n;
}

void devcache_account_create(server_rec *main_server)
{
    apr_pool_t *process = main_server->process->pool;
    apr_status_t rv = devcache_stats_create(process);

    if (rv == APR_SUCCESS) {
        rv = devcache_meter_create(cells_for(main_server), process);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_top_create(devcache_now(), process);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_trouble_create(process);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_odd_create(process);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_probe_create(process);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, main_server,
                     DCLOGNO(0007) "conf: no shared memory for counters; devcache-status "
                                   "shows 0");
    }
}

/* As server-status names it. */
static const char *name_of(server_rec *s, apr_pool_t *p)
{
    const char *host = s->server_hostname ? s->server_hostname : "-";
    int port = s->is_virtual && s->addrs ? s->addrs->host_port : s->port;

    return port ? apr_psprintf(p, "%s:%d", host, port) : host;
}

void devcache_account_name(server_rec *main_server, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    server_rec *s;

    for (s = main_server; s; s = s->next) {
        devcache_server_t *server = devcache_conf_server(s);
        unsigned n = classes_of(server), i;
        devcache_cell_ref_t *cells = apr_pcalloc(pconf, (n + 1) * sizeof *cells);
        const char *name = name_of(s, ptemp);
        for (i = 0; i < n && (server->device || server->store); i++) {
            cells[i].class = server->device ? devcache_device_class(server->device, i)
                                            : "-";
            cells[i].cell = devcache_meter_name(name, cells[i].class);
        }
        server->cells = cells;
    }
}

/* ---- one request ---------------------------------------------------------------- */

static unsigned cell_of(const devcache_exchange_t *x)
{
    const devcache_cell_ref_t *ref = x->server->cells;

    if (!x->server->device) {
        return ref->cell;
    }
    while (ref->class && ref->class != x->device.class) {
        ref++;
    }
    return ref->cell;
}

static int is_from_cache(devcache_outcome_e outcome)
{
    return outcome == DEVCACHE_OUTCOME_HIT || outcome == DEVCACHE_OUTCOME_STALE ||
           outcome == DEVCACHE_OUTCOME_REVALIDATED ||
           outcome == DEVCACHE_OUTCOME_COLLAPSED ||
           outcome == DEVCACHE_OUTCOME_STALE_ERROR;
}

static int asked_origin(const devcache_exchange_t *x)
{
    return x->answer.outcome != DEVCACHE_OUTCOME_HIT &&
           x->answer.outcome != DEVCACHE_OUTCOME_STALE &&
           x->answer.outcome != DEVCACHE_OUTCOME_COLLAPSED &&
           x->answer.outcome != DEVCACHE_OUTCOME_TIMEOUT;
}

/* The origin's part. Where no filter of ours has seen its answer (a bypass), that began
 * when ours did, and the question was asked when the request came. */
static void account_origin(const devcache_exchange_t *x, devcache_sample_t *s)
{
    apr_time_t asked = x->origin.requested_at ? x->origin.requested_at : x->now;
    apr_time_t told = x->origin.received_at ? x->origin.received_at
                                            : x->now + s->answered;
    apr_uint64_t stored = (apr_uint64_t)x->save.written;

    s->origin = told > asked ? told - asked : 0;
    s->origin_failed = x->origin.status ? x->origin.status >= 500 : s->failed;
    /* What went to the store, or past it to the client, whichever is more: one of them is
     * all of it, unless both gave up early. */
    s->received = stored > s->sent_by_origin ? stored : s->sent_by_origin;
}

static void tell_origin(request_rec *last, const devcache_sample_t *s)
{
    apr_table_setn(last->subprocess_env, "DEVCACHE_ORIGIN_TIME",
                   apr_psprintf(last->pool, "%" APR_TIME_T_FMT, s->origin));
    apr_table_setn(last->subprocess_env, "DEVCACHE_ORIGIN_BYTES",
                   apr_psprintf(last->pool, "%" APR_UINT64_T_FMT, s->received));
}

static void note_trouble(const request_rec *last, const devcache_exchange_t *x,
                         const devcache_sample_t *s)
{
    const char *what = x->answer.outcome == DEVCACHE_OUTCOME_STALE_ERROR ||
                               x->refresh.running
                           ? "; visitors got the stored copy"
                           : "";
    int status = x->origin.status ? x->origin.status : last->status;

    devcache_trouble_note(apr_psprintf(last->pool, "%s: the origin failed with %d%s",
                                       name_of(last->server, last->pool), status, what),
                          devcache_vary_key_url(x->asked.key, last->pool),
                          devcache_now());
}

static void sample_url(request_rec *r, const devcache_exchange_t *x, apr_uint64_t so_far)
{
    unsigned weight = devcache_top_weight(so_far, x->now);

    if (weight && x->asked.key.data) {
        devcache_top_count(x->asked.key, devcache_vary_key_url, weight,
                           devcache_meter_group(x->answer.outcome) == DEVCACHE_GROUP_HIT,
                           x->now, r->pool);
    }
}

int devcache_account_log(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    devcache_sample_t s = {0};
    request_rec *last;
    apr_uint64_t sent;

    if (!x || !x->dir || x->answer.outcome == DEVCACHE_OUTCOME_NONE) {
        return DECLINED;
    }
    last = devcache_request_last(r);
    s.cell = cell_of(x);
    s.outcome = x->answer.outcome;
    s.failed = last->status >= 500;
    s.answered = (x->answer.at ? x->answer.at : devcache_now()) - x->now;
    s.origin = -1;
    sent = last->sent_bodyct ? (apr_uint64_t)last->bytes_sent : 0;
    if (is_from_cache(x->answer.outcome)) {
        s.sent_by_cache = sent;
    } else {
        s.sent_by_origin = sent;
    }
    if (asked_origin(x)) {
        account_origin(x, &s);
        tell_origin(last, &s);
        if (s.origin_failed) {
            note_trouble(last, x, &s);
        }
    }
    sample_url(r, x, devcache_meter_count(&s, x->now));
    return DECLINED;
}

void devcache_account_refresh(request_rec *r, const devcache_exchange_t *x)
{
    devcache_sample_t s = {0};

    if (!x->origin.requested_at) {
        return;
    }
    devcache_stats_count(DEVCACHE_COUNT_refreshes);
    if (!x->save.stored) {
        devcache_stats_count(DEVCACHE_COUNT_refreshes_failed);
    }
    s.cell = cell_of(x);
    s.answered = devcache_now() - x->now; /* where it gave no answer, so long */
    s.failed = !x->origin.status;
    account_origin(x, &s);
    devcache_meter_count_origin(&s);
    if (s.origin_failed) {
        note_trouble(r, x, &s);
    }
}
