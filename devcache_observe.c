#include "devcache_observe.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_lint_tree.h"
#include "devcache_log.h"
#include "devcache_save.h"
#include "devcache_shadow.h"

/* What one world makes of a request. */
typedef struct view_t {
    const devcache_query_t *query;
    devcache_vary_conf_t vary;
    devcache_slice_t key, target;
    int found;   /* something is stored for it */
    int hit;     /* and may be used */
    int fetched; /* the origin's answer would be seen, and might be stored */
} view_t;

typedef struct devcache_observed_t {
    devcache_exchange_t x; /* as it would be; the real one is left alone */
    const char *place;
    view_t views[DEVCACHE_WORLD_COUNT];
    int judged, storable, ended;
    apr_uint64_t written; /* body bytes seen */
    int unmeasured;       /* some of it had no length yet */
} devcache_observed_t;

static ap_filter_rec_t *observe_filter;

/* ---- worlds -------------------------------------------------------------------------
 */

/* Parameters by which links are followed; pages do not depend on them. */
static const char *const tracking_names[] = {"utm_*",  "gclid",   "gbraid", "wbraid",
                                             "fbclid", "msclkid", "dclid",  "mc_cid",
                                             "mc_eid", "yclid",   "twclid", "ttclid"};
static const apr_array_header_t tracking = {
    NULL, sizeof(char *), sizeof tracking_names / sizeof tracking_names[0],
    sizeof tracking_names / sizeof tracking_names[0], (char *)tracking_names};

static const devcache_query_t query_rules[] = {{DEVCACHE_QUERY_KEEP, NULL},
                                               {DEVCACHE_QUERY_SORT, NULL},
                                               {DEVCACHE_QUERY_DENY, &tracking},
                                               {DEVCACHE_QUERY_IGNORE, NULL}};

/* The configuration of one world. @return 0 if it is as configured */
static int imagine(const devcache_observed_t *o, devcache_world_e world, view_t *v)
{
    const devcache_query_t *query = devcache_dir_query(o->x.dir);
    devcache_query_e mode = query ? query->mode : DEVCACHE_QUERY_KEEP;

    v->vary = o->x.vary;
    v->query = query;
    if (world == DEVCACHE_WORLD_DEVICE_ON || world == DEVCACHE_WORLD_DEVICE_OFF) {
        v->vary.by_device = world == DEVCACHE_WORLD_DEVICE_ON && o->x.server->device;
        return v->vary.by_device != o->x.vary.by_device;
    }
    if (world >= DEVCACHE_WORLD_QUERY_KEEP) {
        v->query = &query_rules[world - DEVCACHE_WORLD_QUERY_KEEP];
        return v->query->mode != mode || mode == DEVCACHE_QUERY_DENY;
    }
    return 0;
}

typedef struct baton_t {
    const devcache_observed_t *o;
    const view_t *v;
} baton_t;

static devcache_slice_t values_of(void *baton, const char *spec, apr_pool_t *p)
{
    const baton_t *b = baton;

    return devcache_vary_values(&b->v->vary, spec, b->v->target, b->o->x.device.klass,
                                b->o->x.fields, p);
}

/* Would this world have it? Fills the view. @return bytes that it would send */
static apr_uint64_t look_up(request_rec *r, devcache_observed_t *o,
                            devcache_world_e world)
{
    devcache_exchange_t *x = &o->x;
    view_t *v = &o->views[world];
    baton_t baton = {o, v};
    devcache_shadow_copy_t copy;
    devcache_reason_e why;
    devcache_use_e use = DEVCACHE_USE_VALIDATE;

    v->key = devcache_request_key_of(r, v->query, x->path, x->query, r->pool);
    v->target = devcache_request_target(r, x, v->query);
    v->found = devcache_shadow_find(world, v->key, values_of, &baton, x->now, &copy,
                                    r->pool);
    if (v->found) {
        use = devcache_policy_reuse(&x->policy, &x->req, &copy.fresh, x->now, &why,
                                    &x->ttl);
    }
    v->hit = use != DEVCACHE_USE_VALIDATE;
    v->fetched = (v->found
                      ? !v->hit || use == DEVCACHE_USE_STALE_REFRESH
                      : x->req.is_get && !x->req.has_range && !x->req.has_precondition) &&
                 (v->hit || !x->req.only_if_cached);
    return v->hit ? copy.size : 0;
}

/* ---- a request ----------------------------------------------------------------------
 */

/* "<Location "/shop"> (file:line)", of the directive in force. */
static const char *place_of(const ap_directive_t *d, apr_pool_t *p)
{
    const ap_directive_t *section = d->parent;

    return apr_psprintf(p, "%s%s%s (%s:%d)", section ? section->directive : "server",
                        section && *section->args != '>' ? " " : "",
                        section ? section->args : "", d->filename, d->line_num);
}

static void count_request(request_rec *r, devcache_observed_t *o)
{
    devcache_shadow_counts_t n = {1};
    const char *what = "miss";
    unsigned world;

    if (o->x.reason) {
        n.bypasses = 1;
        what = "bypass";
    }
    for (world = 0; world < DEVCACHE_WORLD_COUNT && !o->x.reason; world++) {
        view_t *v = &o->views[world];
        if (imagine(o, world, v) || world == DEVCACHE_WORLD_CONFIGURED) {
            apr_uint64_t size = look_up(r, o, world);
            n.hits[world] = v->hit;
            n.bytes += world == DEVCACHE_WORLD_CONFIGURED ? size : 0;
        } else {
            n.hits[world] = o->views[DEVCACHE_WORLD_CONFIGURED].hit;
        }
    }
    if (n.hits[DEVCACHE_WORLD_CONFIGURED]) {
        what = "hit";
    }
    apr_table_setn(r->notes, "devcache-observed", what);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0181) "observe: %s [%s]: would be a %s",
                  devcache_vary_key_url(o->x.key, r->pool), o->x.device.klass, what);
    devcache_shadow_count(o->place, o->x.device.klass, &n);
}

static int is_observed(request_rec *r, const devcache_exchange_t *x)
{
    return x && x->path && !r->main && r->proxyreq != PROXYREQ_PROXY &&
           devcache_conf_server(r->server)->store &&
           !(r->handler && !strcmp(r->handler, "devcache-status"));
}

int devcache_observe_handler(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    apr_table_t *own = r->headers_in;
    devcache_observed_t *o;

    if (!is_observed(r, x) || r->prev || x->observed ||
        !devcache_dir_observe(devcache_conf_dir(r))) {
        return DECLINED;
    }
    x->observed = o = apr_pcalloc(r->pool, sizeof *o);
    o->x = *x;
    o->x.server = devcache_conf_server(r->server);
    o->x.dir = devcache_conf_dir(r);
    o->place = place_of(o->x.dir->observe_by, r->pool);
    r->headers_in = apr_table_copy(r->pool, own); /* what follows may change it */
    devcache_request_prepare(r, &o->x);
    r->headers_in = own;
    count_request(r, o);
    o->x.requested_at = devcache_now();
    return DECLINED;
}

/* ---- its answer ---------------------------------------------------------------------
 */

/* The status and fields that the cache would have seen: the client's own conditions and
 * ranges would have been kept from the origin. */
static int whole_status(const request_rec *r, const devcache_observed_t *o,
                        apr_table_t *fields)
{
    if (r->status == HTTP_NOT_MODIFIED && o->x.req.has_conditional) {
        apr_table_unset(fields, "Content-Length");
        return HTTP_OK;
    }
    if (r->status == HTTP_PARTIAL_CONTENT && o->x.req.has_range &&
        o->views[DEVCACHE_WORLD_CONFIGURED].fetched) {
        apr_table_unset(fields, "Content-Length");
        apr_table_unset(fields, "Content-Range");
        return HTTP_OK;
    }
    return r->status;
}

static void remove_all(request_rec *r, devcache_observed_t *o, int also_unfound)
{
    unsigned world;

    for (world = 0; world < DEVCACHE_WORLD_COUNT; world++) {
        view_t *v = &o->views[world];
        if (imagine(o, world, v) || world == DEVCACHE_WORLD_CONFIGURED) {
            if (!v->key.data) {
                v->key = devcache_request_key_of(r, v->query, o->x.path, o->x.query,
                                                 r->pool);
            }
            if (also_unfound || (v->found && v->fetched)) {
                devcache_shadow_remove(world, v->key, o->x.received_at);
            }
        }
    }
}

static void judge(request_rec *r, devcache_observed_t *o)
{
    apr_table_t *fields = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
    const view_t *now = &o->views[DEVCACHE_WORLD_CONFIGURED];
    devcache_shadow_counts_t n = {0};
    devcache_reason_e reason;
    int status = r->status;

    o->judged = 1;
    o->x.received_at = devcache_now();
    if (devcache_policy_invalidates(r->method, status)) {
        remove_all(r, o, 1);
    }
    if (o->x.reason) {
        return;
    }
    if (o->x.req.is_head) { /* it may confirm what is stored, of this size */
        o->unmeasured = 1;
    }
    r->status = whole_status(r, o, fields);
    reason = devcache_save_judge(r, &o->x, fields);
    r->status = status;
    o->storable = reason == DEVCACHE_REASON_NONE;
    if (!o->storable && reason != DEVCACHE_REASON_AUTHORIZATION && status < 400) {
        remove_all(r, o, 0);
    }
    n.not_stored = !now->hit && (!o->storable || (o->x.req.is_head && !now->found));
    devcache_shadow_count(o->place, o->x.device.klass, &n);
}

static void publish(request_rec *r, devcache_observed_t *o)
{
    apr_table_t *fields = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
    devcache_shadow_copy_t copy = {o->x.fresh, o->written};
    const char *spec;
    unsigned world;

    o->ended = 1;
    if (o->unmeasured && o->x.expect >= 0) {
        copy.size = (apr_uint64_t)o->x.expect;
    }
    if (!o->storable || (apr_int64_t)o->written > o->x.policy.max_object_size ||
        (o->x.expect >= 0 && !o->unmeasured && o->x.expect != (apr_int64_t)o->written)) {
        return;
    }
    for (world = 0; world < DEVCACHE_WORLD_COUNT; world++) {
        view_t *v = &o->views[world];
        baton_t baton = {o, v};
        if (v->fetched && devcache_vary_spec(&v->vary, fields, &spec, r->pool) ==
                              DEVCACHE_REASON_NONE) {
            devcache_shadow_put(world, v->key, spec, values_of(&baton, spec, r->pool),
                                &copy, o->x.received_at);
        }
    }
}

/* Only looks; everything passes as it is. What would be stored is noted before the end of
 * the body goes on: who has read that finds it stored. */
static apr_status_t observe_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    const devcache_exchange_t *x = f->ctx;
    devcache_observed_t *o = x->observed;
    apr_bucket *b;

    if (!o || o->ended) {
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, bb);
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
            o->ended = 1;
            break;
        }
        if (!o->judged) {
            judge(f->r, o);
        }
        if (APR_BUCKET_IS_EOS(b)) {
            publish(f->r, o);
            break;
        }
        o->unmeasured |= b->length == (apr_size_t)-1;
        o->written += b->length == (apr_size_t)-1 ? 0 : b->length;
    }
    return ap_pass_brigade(f->next, bb);
}

/* The handler comes after this hook, so a first request is not known to be observed. An
 * error page that httpd makes would not be stored. */
void devcache_observe_insert(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);

    if (is_observed(r, x) && (r->prev ? x->observed && !ap_is_HTTP_ERROR(r->status)
                                      : devcache_dir_observe(devcache_conf_dir(r)))) {
        ap_add_output_filter_handle(observe_filter, x, r, r->connection);
    }
}

void devcache_observe_register(void)
{
    observe_filter = ap_register_output_filter("DEVCACHE_OBSERVE", observe_out, NULL,
                                               AP_FTYPE_CONTENT_SET);
}

/* ---- the start ----------------------------------------------------------------------
 */

static void name_classes(server_rec *s)
{
    const char *klass;
    unsigned i;

    for (; s; s = s->next) {
        const devcache_server_t *server = devcache_conf_server(s);
        for (i = 0; server->device && (klass = devcache_device_class(server->device, i));
             i++) {
            devcache_shadow_name_class(klass);
        }
    }
    devcache_shadow_name_class("-");
}

void devcache_observe_start(server_rec *main_server, apr_pool_t *ptemp)
{
    apr_array_header_t *all = devcache_lint_list(ap_conftree, ptemp);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const devcache_said_t *s = &APR_ARRAY_IDX(all, i, devcache_said_t);
        if (!devcache_lint_is(s, "DevCache") ||
            ap_cstr_casecmp(ap_getword_conf(ptemp, &(const char *){s->d->args}),
                            "Observe")) {
            continue;
        }
        if (!devcache_shadow_exists()) {
            apr_status_t rv = devcache_shadow_create(main_server->process->pool);
            if (rv != APR_SUCCESS) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, rv, main_server,
                             DCLOGNO(0182) "conf: no shared memory for DevCache Observe; "
                                           "nothing is observed");
                return;
            }
        }
        devcache_shadow_name_place(place_of(s->d, ptemp));
        name_classes(main_server);
    }
}
