#include "devcache_refresh.h"

#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_background.h"
#include "devcache_clock.h"
#include "devcache_collapse.h"
#include "devcache_log.h"
#include "devcache_stats.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

/* The visitor's header as it was when the page was looked for, without what was about
 * this visitor's copy of it. */
static apr_table_t *fields_of(const devcache_exchange_t *x, apr_pool_t *p)
{
    apr_table_t *fields = apr_table_clone(p, x->fields);

    devcache_policy_clear_conditionals(fields);
    apr_table_unset(fields, "Range");
    apr_table_unset(fields, "Cache-Control");
    apr_table_unset(fields, "Pragma");
    return fields;
}

/* The exchange of the server's own request: nothing of it is the visitor's. */
static devcache_exchange_t *exchange_for(request_rec *own, const devcache_exchange_t *x)
{
    devcache_exchange_t *nx = apr_pcalloc(own->pool, sizeof *nx);

    nx->now = devcache_now();
    nx->age = nx->expect = -1;
    nx->device = x->device;
    nx->server = x->server;
    nx->refreshing = 1;
    nx->refreshes = x->hit->stored_at;
    ap_set_module_config(own->request_config, &devcache_module, nx);
    return nx;
}

/* Is what the hooks made of it the same that they made of the visitor's request? */
static int asks_the_same(request_rec *own, devcache_exchange_t *nx,
                         const devcache_exchange_t *x)
{
    nx->dir = devcache_conf_dir(own);
    return nx->path && devcache_dir_enabled(nx->dir) &&
           devcache_request_prepare(own, nx) && devcache_slice_eq(nx->key, x->key) &&
           devcache_slice_eq(nx->target, x->target);
}

/* In a background thread. */
static void refresh(request_rec *own, void *baton)
{
    devcache_exchange_t *nx = baton;
    int rv = HTTP_SERVICE_UNAVAILABLE;

    if (!devcache_background_is_ending()) {
        rv = ap_invoke_handler(own);
        devcache_stats_count(DEVCACHE_COUNT_refreshes);
    }
    devcache_collapse_end(nx, DEVCACHE_FLIGHT_PRIVATE, 0); /* if it was not begun */
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, own,
                  DCLOGNO(0120) "refresh: %s [%s]: origin answered %d (%d)%s",
                  devcache_vary_key_url(nx->key, own->pool), nx->device.klass,
                  nx->origin_status, rv, nx->stored_ok ? ", stored" : "");
}

/* An answer without a body takes no FLUSH through the header filter: push it out. */
static void send_out(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    ap_pass_brigade(r->connection->output_filters, bb);
}

/* Make the request and hand it over. 0: that was not possible, all is the caller's. */
static int begin(request_rec *r, const devcache_exchange_t *x, devcache_fill_t *fill,
                 devcache_flight_t *flight, apr_pool_t *p)
{
    request_rec *own = devcache_background_request(r, fields_of(x, p), p);
    devcache_exchange_t *nx = exchange_for(own, x);

    if (devcache_background_prepare(own) != OK) {
        return 0;
    }
    own->headers_in = fields_of(x, own->pool); /* hooks have set some a second time */
    if (!asks_the_same(own, nx, x)) {
        return 0;
    }
    nx->fill = fill;
    nx->flight = flight;
    nx->flight_id = devcache_collapse_id(nx, x->hit->spec, own->pool);
    return devcache_background_run(own, refresh, nx);
}

void devcache_refresh_run(request_rec *r, const devcache_exchange_t *x)
{
    apr_pool_t *p = devcache_background_pool();
    devcache_flight_t *flight;
    devcache_fill_t *fill;

    if (!p) {
        return;
    }
    fill = devcache_store_fill_begin(x->server->store, x->key, p);
    if (devcache_flight_join(devcache_collapse_id(x, x->hit->spec, p),
                             devcache_store_fill_ticket(fill), 1, &flight,
                             p) == DEVCACHE_FLIGHT_OWNER) {
        send_out(r);
        if (begin(r, x, fill, flight, p)) {
            return;
        }
    }
    apr_pool_destroy(p); /* ends the flight, if it was ours */
}
