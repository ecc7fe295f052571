#include "devcache_refresh.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include <xxhash.h>
#include "devcache_clock.h"
#include "devcache_log.h"
#include "devcache_stats.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

/* A refresh that takes longer is taken for dead, and another may begin. */
#define REFRESH_LIMIT apr_time_from_sec(60)

static ap_filter_rec_t *sink_filter;

/* Whatever a subrequest still sends: the client has its answer already. */
static apr_status_t sink(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_brigade_cleanup(bb);
    return APR_SUCCESS;
}

void devcache_refresh_register(void)
{
    sink_filter = ap_register_output_filter("DEVCACHE_SINK", sink, NULL,
                                            AP_FTYPE_RESOURCE);
}

static apr_uint64_t variant_id(const devcache_exchange_t *x)
{
    return XXH3_64bits_withSeed(x->hit->variant.data, x->hit->variant.len,
                                XXH3_64bits(x->key.data, x->key.len));
}

/* A subrequest's EOS is kept from the filters behind this one, as its parent goes on.
 * Here the parent is done, and the store needs to see the end. */
static void let_end_through(request_rec *sub)
{
    ap_filter_t *f = sub->output_filters;

    while (f && f->frec != ap_subreq_core_filter_handle) {
        f = f->next;
    }
    if (f) {
        ap_remove_output_filter(f);
    }
}

/* The subrequest's own exchange: the same request, without the client's conditions. */
static devcache_exchange_t *exchange_for(request_rec *sub, const devcache_exchange_t *x)
{
    devcache_exchange_t *nx = apr_pmemdup(sub->pool, x, sizeof *x);

    nx->phase = DEVCACHE_PHASE_IDLE;
    nx->hit = NULL;
    nx->fill = devcache_store_fill_begin(x->server->store, x->key, sub->pool);
    nx->running = nx->refreshing = 1;
    nx->req.is_get = 1;
    nx->req.is_head = nx->req.has_conditional = 0;
    nx->requested_at = devcache_now();
    nx->outcome = DEVCACHE_OUTCOME_NONE;
    ap_set_module_config(sub->request_config, &devcache_module, nx);
    sub->headers_in = apr_table_copy(sub->pool, x->fields);
    devcache_policy_clear_conditionals(sub->headers_in);
    apr_table_unset(sub->headers_in, "Range");
    apr_table_unset(sub->headers_in, "Cache-Control");
    apr_table_unset(sub->headers_in, "Pragma");
    nx->fields = sub->headers_in;
    devcache_request_step(sub, nx, DEVCACHE_PHASE_FETCH);
    return nx;
}

/* As ap_run_sub_req() does it, but without the end of an answer where a handler has
 * failed: that would look like an empty one of status 200. */
static int run(request_rec *sub, devcache_exchange_t *x)
{
    int rv = ap_invoke_handler(sub);

    /* A client that went away makes mod_proxy stop in the middle, and say DONE: what it
     * has sent is not to get an end. */
    if (rv == OK && !sub->connection->aborted) {
        ap_finalize_sub_req_protocol(sub);
    } else {
        x->origin_status = rv;
    }
    return rv;
}

/* Rewriting can tell a subrequest from the request it stands for. */
static int asks_the_same(request_rec *sub, const devcache_exchange_t *x)
{
    return devcache_dir_enabled(devcache_conf_dir(sub)) &&
           devcache_slice_eq(devcache_request_target(sub), x->target);
}

static devcache_slice_t same_variant(void *baton, const char *spec, apr_pool_t *p)
{
    const devcache_hit_t *served = baton;

    return strcmp(spec, served->spec) ? devcache_slice(NULL, 0) : served->variant;
}

/* Has somebody who had the claim before stored a newer one since ours was looked up? */
static int is_refreshed(request_rec *r, const devcache_exchange_t *x)
{
    devcache_hit_t *now;

    return devcache_store_lookup(x->server->store, x->key, same_variant, x->hit, &now,
                                 r->pool) == APR_SUCCESS &&
           now->stored_at > x->hit->stored_at;
}

/* An answer without a body takes no FLUSH through the header filter: push it out. */
static void send_out(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    ap_pass_brigade(r->connection->output_filters, bb);
}

void devcache_refresh_run(request_rec *r, devcache_exchange_t *x)
{
    apr_time_t now = devcache_now();
    apr_uint64_t ticket = r->connection->aborted
                              ? 0
                              : devcache_stats_claim(variant_id(x), now,
                                                     now + REFRESH_LIMIT);
    const char *uri = apr_pstrcat(r->pool, r->parsed_uri.path,
                                  r->parsed_uri.query ? "?" : NULL, r->parsed_uri.query,
                                  NULL);
    ap_filter_t *end;
    request_rec *sub;

    if (!ticket) {
        return;
    }
    if (is_refreshed(r, x)) {
        devcache_stats_release(ticket);
        return;
    }
    send_out(r);
    end = ap_add_output_filter_handle(sink_filter, NULL, r, r->connection);
    sub = ap_sub_req_method_uri("GET", uri, r, end);
    if (sub->status == HTTP_OK && asks_the_same(sub, x)) {
        devcache_exchange_t *nx = exchange_for(sub, x);
        int rv;
        let_end_through(sub);
        rv = run(sub, nx);
        devcache_store_fill_abort(nx->fill);
        devcache_stats_count(DEVCACHE_COUNT_refreshes);
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0120) "refresh: %s [%s]: origin answered %d (%d)%s",
                      devcache_vary_key_url(x->key, r->pool), x->device.klass,
                      nx->origin_status, rv, nx->stored_ok ? ", stored" : "");
    }
    ap_destroy_sub_req(sub);
    ap_remove_output_filter(end);
    devcache_stats_release(ticket);
}
