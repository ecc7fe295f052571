#include "devcache_refresh.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_account.h"
#include "devcache_background.h"
#include "devcache_clock.h"
#include "devcache_collapse.h"
#include "devcache_log.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

/* A variant is left alone so long after a refresh: an origin that is down, or whose
 * answer is about to expire already, is not asked by each hit. In whole seconds: one to
 * two. */
#define PAUSE apr_time_from_sec(2)

/* Long fetches must not keep all of a child's threads from refreshing pages. */
#define WHOLES_MAX 2

/* ---- access control ------------------------------------------------------------ */

/* The visitor has been let in: asking anew who it is would be a second login for those
 * who count, and what mod_auth_digest read of the header is in the visitor's request.
 * DevCacheQuick did not ask, so that nothing may be taken from it here. */
int devcache_refresh_access(request_rec *r)
{
    const devcache_exchange_t *x = ap_get_module_config(
        devcache_request_first(r)->request_config, &devcache_module);

    if (!x || !x->refreshing) {
        return DECLINED;
    }
    if (!x->running && !devcache_dir_quick(devcache_conf_dir(r))) {
        return OK;
    }
    return ap_auth_type(r) && !strcasecmp(ap_auth_type(r), "Digest") ? HTTP_UNAUTHORIZED
                                                                     : DECLINED;
}

/* ---- one refresh ---------------------------------------------------------------- */

/* The mark of flights that is about refreshes alone. */
static apr_uint64_t mark_of(apr_uint64_t flight_id)
{
    return ~flight_id;
}

static void pause_after(apr_uint64_t flight_id)
{
    devcache_flight_avoid(mark_of(flight_id), devcache_now() + PAUSE);
}

/* The visitor's header as it was when the page was looked for, without what was about
 * this visitor's copy of it. */
static apr_table_t *fields_of(const devcache_exchange_t *x, apr_pool_t *p)
{
    apr_table_t *fields = apr_table_clone(p, x->own_fields);

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
    nx->refreshes = x->hit ? x->hit->stored_at : 0;
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
        pause_after(nx->flight_id);
        devcache_account_refresh(own, nx);
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

/* Make the request and hand it over. NULL, or why not: all is the caller's then. */
static const char *begin(request_rec *r, const devcache_exchange_t *x, apr_uint64_t id,
                         devcache_fill_t *fill, devcache_flight_t *flight, apr_pool_t *p)
{
    request_rec *own = devcache_background_request(r, fields_of(x, p), p);
    devcache_exchange_t *nx = exchange_for(own, x);
    int rv = devcache_background_prepare(own);

    if (rv != OK) {
        return apr_psprintf(r->pool, "the hooks say %d", rv);
    }
    own->headers_in = fields_of(x, own->pool); /* hooks have set some a second time */
    if (!asks_the_same(own, nx, x)) {
        return "it would ask for something else";
    }
    nx->fill = fill;
    nx->flight = flight;
    nx->flight_id = id;
    return devcache_background_run(own, refresh, nx) ? NULL : "too many wait";
}

static void run(request_rec *r, const devcache_exchange_t *x, apr_uint64_t id,
                apr_pool_t *p)
{
    devcache_fill_t *fill = devcache_store_fill_begin(x->server->store, x->key, p);
    devcache_flight_t *flight;
    const char *why;

    if (devcache_flight_join(id, devcache_store_fill_ticket(fill), 1, &flight, p) ==
        DEVCACHE_FLIGHT_OWNER) {
        pause_after(id);
        send_out(r);
        if (!(why = begin(r, x, id, fill, flight, p))) {
            return;
        }
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0122) "refresh: %s [%s]: not begun: %s",
                      devcache_vary_key_url(x->key, r->pool), x->device.klass, why);
    }
    apr_pool_destroy(p); /* ends the flight, if it was ours */
}

void devcache_refresh_run(request_rec *r, const devcache_exchange_t *x)
{
    apr_uint64_t id = devcache_collapse_id(x, r->pool);
    apr_pool_t *p;

    if (id && !devcache_flight_avoided(mark_of(id), x->now) &&
        (p = devcache_background_pool())) {
        run(r, x, id, p);
    }
}

/* ---- the whole of what a part was asked of ------------------------------------- */

static apr_uint32_t wholes; /* that this child fetches, or is about to */

static apr_status_t one_less(void *unused)
{
    __atomic_sub_fetch(&wholes, 1, __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

/* Was the answer a part of something that may be stored? */
static int is_part_of_storable(request_rec *r, const devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
    const char *range = apr_table_get(fields, "Content-Range");
    const char *slash = range ? strchr(range, '/') : NULL;
    devcache_freshness_t fresh;
    apr_off_t length;

    if (r->status != HTTP_PARTIAL_CONTENT || !slash ||
        !ap_parse_strict_length(&length, slash + 1)) {
        return 0;
    }
    apr_table_unset(fields, "Content-Range");
    apr_table_unset(fields, "Content-Length");
    return devcache_policy_storable(
               &x->policy, &x->req, HTTP_OK, fields, x->query != NULL, length,
               x->requested_at, devcache_now(), &fresh, r->pool) == DEVCACHE_REASON_NONE;
}

void devcache_refresh_whole(request_rec *r, const devcache_exchange_t *x)
{
    apr_uint64_t id = is_part_of_storable(r, x) ? devcache_collapse_id(x, r->pool) : 0;
    apr_pool_t *p;

    if (!id || devcache_flight_avoided(id, x->now) ||
        devcache_flight_avoided(mark_of(id), x->now) ||
        !(p = devcache_background_pool())) {
        return;
    }
    apr_pool_cleanup_register(p, NULL, one_less, apr_pool_cleanup_null);
    if (__atomic_add_fetch(&wholes, 1, __ATOMIC_RELAXED) > WHOLES_MAX) {
        apr_pool_destroy(p); /* the next part that is asked for will do */
    } else {
        run(r, x, id, p);
    }
}
