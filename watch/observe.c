/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/observe.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "base/clock.h"
#include "http/effect.h"
#include "setup/lint_tree.h"
#include "mod_devcache.h"
#include "request/fields.h"
#include "request/asked.h"
#include "request/decide.h"
#include "http/cookies.h"
#include "http/field.h"
#include "request/judge.h"
#include "request/said.h"
#include "stats/shadow.h"

/* What one world makes of a request. */
typedef struct view_t {
    const devcache_query_t *query;
    const devcache_cookies_t *cookies;
    devcache_vary_conf_t vary;
    apr_table_t *fields; /* with the cookies that count here */
    const char *cookie;  /* the first of them; NULL: there is none */
    devcache_slice_t key, target;
    devcache_decision_e decision;
    devcache_reason_e reason;
    int found;   /* something is stored for it */
    int fetched; /* the origin's answer would be seen, and might be stored */
} view_t;

typedef struct devcache_observed_t {
    devcache_exchange_t x; /* as it would be; the real one is left alone */
    const char *place;
    view_t views[DEVCACHE_WORLD_COUNT];
    int judged, ended;
    devcache_reason_e reason; /* that the answer would not be stored, as configured */
    apr_uint64_t written;     /* body bytes seen */
    int unmeasured;           /* some of it had no length yet */
} devcache_observed_t;

static ap_filter_rec_t *observe_filter;

/* ---- worlds --------------------------------------------------------------------- */

static const devcache_query_t query_rules[] = {
    {DEVCACHE_QUERY_KEEP, NULL},
    {DEVCACHE_QUERY_SORT, NULL},
    {DEVCACHE_QUERY_DENY, &devcache_query_tracking},
    {DEVCACHE_QUERY_IGNORE, NULL}};

static const char *const every_name[] = {"*"};
static const apr_array_header_t every_cookie = {NULL, sizeof(char *), 1, 1,
                                                (char *)every_name};
static const devcache_cookies_t cookie_rules[] = {
    {DEVCACHE_COOKIES_KEEP, NULL},
    {DEVCACHE_COOKIES_DENY, NULL}, /* that is devcache_cookies_default */
    {DEVCACHE_COOKIES_DENY, &every_cookie}};

static const devcache_cookies_t *cookie_rule(devcache_world_e world)
{
    return world == DEVCACHE_WORLD_COOKIES_ANALYTICS
               ? &devcache_cookies_default
               : &cookie_rules[world - DEVCACHE_WORLD_COOKIES_KEEP];
}

/* The configuration of one world. @return 0 if it is as configured */
static int imagine_world(const devcache_observed_t *o, devcache_world_e world, view_t *v)
{
    const devcache_query_t *query = devcache_dir_query(o->x.dir);
    devcache_query_e mode = query ? query->mode : DEVCACHE_QUERY_KEEP;

    v->vary = o->x.vary;
    v->query = query;
    v->cookies = NULL;
    if (world == DEVCACHE_WORLD_DEVICE_ON || world == DEVCACHE_WORLD_DEVICE_OFF) {
        v->vary.by_device = world == DEVCACHE_WORLD_DEVICE_ON && o->x.server->device;
        return v->vary.by_device != o->x.vary.by_device;
    }
    if (world >= DEVCACHE_WORLD_COOKIES_KEEP) {
        v->cookies = cookie_rule(world);
        return v->cookies != devcache_dir_cookies(o->x.dir);
    }
    if (world >= DEVCACHE_WORLD_QUERY_KEEP) {
        v->query = &query_rules[world - DEVCACHE_WORLD_QUERY_KEEP];
        return v->query->mode != mode || mode == DEVCACHE_QUERY_DENY;
    }
    return 0;
}

typedef struct baton_t {
    devcache_observed_t *o;
    const view_t *v;
} baton_t;

static devcache_slice_t values_of(void *baton, const char *spec, apr_pool_t *p)
{
    const baton_t *b = baton;

    b->o->x.found.variants = 1;
    if (!devcache_fields_may_match(&b->o->x, spec)) {
        return devcache_slice(NULL, 0);
    }
    return devcache_vary_values(&b->v->vary, spec, b->v->target, b->o->x.device.class,
                                devcache_fields_compared(&b->o->x, spec, p), p);
}

/* Would the cache see the origin's answer, and might it store that? */
static int is_fetched(const devcache_exchange_t *x, devcache_decision_e decision)
{
    switch (decision) {
    case DEVCACHE_DECISION_MISS:
    case DEVCACHE_DECISION_PASS: /* if the whole comes all the same */
        return x->asked.req.is_get;
    case DEVCACHE_DECISION_VALIDATE:
    case DEVCACHE_DECISION_HIT_REFRESH:
    case DEVCACHE_DECISION_STALE_REFRESH:
        return 1;
    default:
        return 0;
    }
}

/* The header as the origin would be sent it by the world's rule for cookies. */
static void reduce_cookies(request_rec *r, const devcache_exchange_t *x, view_t *v)
{
    const char *all, *kept, *choice;

    v->fields = x->asked.fields;
    v->cookie = x->asked.cookie;
    if (!v->cookies || devcache_said_varies_by(x, "cookie")) {
        return;
    }
    all = devcache_field_combined(x->asked.own_fields, "Cookie", r->pool);
    kept = devcache_cookies_kept(v->cookies, all, r->pool);
    choice = x->device.by_cookie ? x->vary.device_cookie : NULL;
    v->cookie = devcache_cookies_first(kept, choice, r->pool);
    v->fields = apr_table_copy(r->pool, x->asked.fields);
    apr_table_unset(v->fields, "Cookie");
    if (kept) {
        apr_table_setn(v->fields, "Cookie", kept);
    }
}

/* Enter a world, and leave it again: both swap what depends on its cookies. */
static void swap_cookies(devcache_exchange_t *x, view_t *v)
{
    apr_table_t *fields = x->asked.fields;
    const char *cookie = x->asked.cookie;

    x->asked.fields = v->fields;
    x->asked.cookie = v->cookie;
    v->fields = fields;
    v->cookie = cookie;
}

/* What would this world do? Fills the view. @return bytes that it would send */
static apr_uint64_t look_up_world(request_rec *r, devcache_observed_t *o,
                                  devcache_world_e world)
{
    devcache_exchange_t *x = &o->x;
    view_t *v = &o->views[world];
    baton_t baton = {o, v};
    devcache_shadow_copy_t copy = {0};

    reduce_cookies(r, x, v);
    swap_cookies(x, v);
    v->key = devcache_asked_key_of(r, v->query, x->asked.path, x->asked.query, r->pool);
    v->target = devcache_asked_target(r, x, v->query);
    x->found.variants = x->found.for_others = 0;
    v->found = !x->asked.req.bypass &&
               devcache_shadow_find(world, v->key, values_of, &baton, x->now, &copy,
                                    r->pool);
    if (v->found && devcache_fields_needs_own(x, &copy.fresh)) {
        v->found = 0;
        x->found.for_others = 1;
    }
    v->decision = devcache_decide(r, x, v->found ? &copy.fresh : NULL);
    v->reason = x->answer.reason;
    v->fetched = is_fetched(x, v->decision);
    swap_cookies(x, v);
    return devcache_decide_serves(v->decision) ? copy.size : 0;
}

/* ---- a request ------------------------------------------------------------------ */

/* "<Location "/shop"> (file:line)", of the directive in force. */
static const char *place_of(const ap_directive_t *d, apr_pool_t *p)
{
    const ap_directive_t *section = d->parent;

    return apr_psprintf(p, "%s%s%s (%s:%d)", section ? section->directive : "server",
                        section && *section->args != '>' ? " " : "",
                        section ? section->args : "", d->filename, d->line_num);
}

static int is_hit(const view_t *v)
{
    return devcache_decide_serves(v->decision);
}

static void count_request(request_rec *r, devcache_observed_t *o)
{
    const view_t *now = &o->views[DEVCACHE_WORLD_CONFIGURED];
    devcache_shadow_counts_t n = {1};
    unsigned world;

    for (world = 0; world < DEVCACHE_WORLD_COUNT; world++) {
        view_t *v = &o->views[world];
        if (imagine_world(o, world, v) || v == now) {
            apr_uint64_t size = look_up_world(r, o, world);
            n.hits[world] = is_hit(v);
            n.bytes += v == now ? size : 0;
        } else {
            n.hits[world] = is_hit(now);
        }
    }
    n.bypasses = now->decision == DEVCACHE_DECISION_BYPASS;
    apr_table_setn(r->notes, "devcache-observed", devcache_decide_name(now->decision));
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0181) "observe: %s [%s]: would be %s (%s)",
                  devcache_vary_key_url(o->x.asked.key, r->pool), o->x.device.class,
                  devcache_decide_name(now->decision), devcache_reason_text(now->reason));
    devcache_shadow_count(o->place, o->x.device.class, &n);
}

/* The exchange of a request; NULL where nothing is observed at all. */
static devcache_exchange_t *exchange_of(request_rec *r)
{
    return devcache_shadow_exists() ? devcache_request_exchange(r) : NULL;
}

int devcache_observe_handler(request_rec *r)
{
    devcache_exchange_t *x = exchange_of(r);
    apr_table_t *own = r->headers_in;
    devcache_observed_t *o;

    if (!x || devcache_decide_is_ours(r, x) != DEVCACHE_OURS_OBSERVED || x->observed) {
        return DECLINED;
    }
    x->observed = o = apr_pcalloc(r->pool, sizeof *o);
    o->x = *x;
    o->place = place_of(devcache_conf_dir(r)->observe_by, r->pool);
    r->headers_in = apr_table_copy(r->pool, own); /* what follows may change it */
    devcache_asked_prepare(r, &o->x);
    r->headers_in = own;
    count_request(r, o);
    o->x.origin.requested_at = devcache_now();
    return DECLINED;
}

/* ---- its answer ----------------------------------------------------------------- */

/* The status and fields that the cache would have seen: the client's own conditions and
 * ranges would have been kept from the origin. */
static int whole_status(const request_rec *r, devcache_observed_t *o, apr_table_t *fields)
{
    if (r->status == HTTP_NOT_MODIFIED && o->x.asked.req.has_conditional) {
        apr_table_unset(fields, "Content-Length");
        return HTTP_OK;
    }
    if (r->status == HTTP_PARTIAL_CONTENT && o->x.asked.req.has_range &&
        devcache_dir_fetch_whole(o->x.dir) &&
        o->views[DEVCACHE_WORLD_CONFIGURED].fetched) {
        const char *range = apr_table_get(fields, "Content-Range");
        const char *length = range ? strchr(range, '/') : NULL;

        o->unmeasured = 1; /* only a part of it comes by */
        apr_table_unset(fields, "Content-Length");
        apr_table_unset(fields, "Content-Range");
        if (length) {
            apr_table_setn(fields, "Content-Length", length + 1);
        }
        return HTTP_OK;
    }
    return r->status;
}

static void remove_all(request_rec *r, devcache_observed_t *o, int also_unfound)
{
    unsigned world;

    for (world = 0; world < DEVCACHE_WORLD_COUNT; world++) {
        view_t *v = &o->views[world];
        if (imagine_world(o, world, v) || world == DEVCACHE_WORLD_CONFIGURED) {
            if (!v->key.data) {
                v->key = devcache_asked_key_of(r, v->query, o->x.asked.path,
                                               o->x.asked.query, r->pool);
            }
            if (also_unfound || (v->found && v->fetched)) {
                devcache_shadow_remove(world, v->key, o->x.origin.received_at);
            }
        }
    }
}

static void judge_answer(request_rec *r, devcache_observed_t *o)
{
    apr_table_t *fields = devcache_request_fields_out(r);
    const view_t *now = &o->views[DEVCACHE_WORLD_CONFIGURED];
    devcache_shadow_counts_t n = {0};
    devcache_reason_e reason;
    int status = r->status;

    o->judged = 1;
    o->x.origin.received_at = devcache_now();
    if (devcache_policy_invalidates(r->method, status)) {
        remove_all(r, o, 1);
    }
    if (o->x.asked.req.bypass) {
        return;
    }
    if (o->x.asked.req.is_head) { /* it may confirm what is stored, of this size */
        o->unmeasured = 1;
    }
    r->status = whole_status(r, o, fields);
    reason = devcache_judge_storable(r, &o->x, fields);
    r->status = status;
    o->reason = reason;
    if (reason == DEVCACHE_REASON_COOKIE || reason == DEVCACHE_REASON_ODD_REQUEST) {
        devcache_fields_tell(r, &o->x, reason, o->x.asked.odd);
    }
    if (reason != DEVCACHE_REASON_NONE) {
        devcache_answer_t answer = {o->x.asked.req.is_head ? "HEAD" : "GET", status,
                                    reason};

        answer.personal = devcache_request_is_personal(&o->x);
        answer.fresh = is_hit(now);
        if (devcache_effect_of(&answer) == DEVCACHE_EFFECT_END) {
            remove_all(r, o, 0);
        }
    }
    n.not_stored = !is_hit(now) && (reason != DEVCACHE_REASON_NONE ||
                                    (o->x.asked.req.is_head && !now->found));
    devcache_shadow_count(o->place, o->x.device.class, &n);
}

/* Would this world store the answer? They differ only in the cookies that count. */
static int is_storable(const devcache_observed_t *o, const view_t *v)
{
    return (o->reason == DEVCACHE_REASON_NONE || o->reason == DEVCACHE_REASON_COOKIE) &&
           !(v->cookie && (o->x.answer.fresh.flags & DEVCACHE_OWN_LIFETIME));
}

static void store_shadow(request_rec *r, devcache_observed_t *o)
{
    apr_table_t *fields = devcache_request_fields_out(r);
    devcache_shadow_copy_t copy = {o->x.answer.fresh, o->written};
    const char *spec;
    unsigned world;

    o->ended = 1;
    if (o->unmeasured && o->x.save.expect >= 0) {
        copy.size = (apr_uint64_t)o->x.save.expect;
    }
    if ((apr_int64_t)o->written > o->x.policy.max_object_size ||
        (o->x.save.expect >= 0 && !o->unmeasured &&
         o->x.save.expect != (apr_int64_t)o->written)) {
        return;
    }
    for (world = 0; world < DEVCACHE_WORLD_COUNT; world++) {
        view_t *v = &o->views[world];
        baton_t baton = {o, v};
        if (!v->fetched || !is_storable(o, v)) {
            continue;
        }
        swap_cookies(&o->x, v);
        if (devcache_vary_spec(&v->vary, o->x.asked.fields, fields, &spec, r->pool) ==
            DEVCACHE_REASON_NONE) {
            devcache_shadow_put(world, v->key, spec, values_of(&baton, spec, r->pool),
                                &copy, o->x.origin.received_at);
        }
        swap_cookies(&o->x, v);
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
            judge_answer(f->r, o);
        }
        if (APR_BUCKET_IS_EOS(b)) {
            store_shadow(f->r, o);
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
    devcache_exchange_t *x = exchange_of(r);

    if (!x) {
        return;
    }
    if (x->observed) {
        if (!r->prev || ap_is_HTTP_ERROR(r->status)) {
            return;
        }
        x->observed->x.origin.foreseen = devcache_asked_is_foreseen(r, &x->observed->x);
    } else if (devcache_decide_is_ours(r, x) != DEVCACHE_OURS_OBSERVED) {
        return;
    }
    ap_add_output_filter_handle(observe_filter, x, r, r->connection);
}

void devcache_observe_register(void)
{
    observe_filter = ap_register_output_filter("DEVCACHE_OBSERVE", observe_out, NULL,
                                               AP_FTYPE_CONTENT_SET);
}

/* ---- the start ------------------------------------------------------------------ */

static void name_classes(server_rec *s)
{
    const char *class;
    unsigned i;

    for (; s; s = s->next) {
        const devcache_server_t *server = devcache_conf_server(s);
        for (i = 0; server->device && (class = devcache_device_class(server->device, i));
             i++) {
            devcache_shadow_name_class(class);
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
