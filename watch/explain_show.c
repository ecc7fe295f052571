/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/explain_show.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include "http/field.h"
#include "http/cookies.h"
#include "request/differs.h"
#include "request/fields.h"
#include "request/piece.h"
#include "request/said.h"

/* ---- configuration -------------------------------------------------------------- */

/* A directive as it stands in its file. */
static void put_directive(devcache_json_t *j, const char *name, const ap_directive_t *d,
                          apr_pool_t *p)
{
    if (!d) {
        return;
    }
    devcache_json_object(j, name);
    devcache_json_string(j, "directive",
                         apr_pstrcat(p, d->directive, " ", d->args, NULL));
    devcache_json_string(j, "at", apr_psprintf(p, "%s:%d", d->filename, d->line_num));
    devcache_json_end(j);
}

/* The lines of a directive that add up, but the last, which put_directives() has. */
static void put_earlier(devcache_json_t *j, const apr_array_header_t *ttls, apr_pool_t *p)
{
    int i;

    for (i = 0; ttls && i < ttls->nelts - 1; i++) {
        put_directive(j, NULL, APR_ARRAY_IDX(ttls, i, devcache_ttl_t).said_by, p);
    }
}

/* Every directive of ours that has a say at this place, once. */
static void put_directives(devcache_json_t *j, const devcache_server_t *server,
                           const devcache_dir_t *dir, apr_pool_t *p)
{
#define F(type, name, def) server->name##_by,
#define G(type, name, def) dir->name##_by,
    const ap_directive_t *const all[] = {DEVCACHE_SERVER_FIELDS(F)
                                             DEVCACHE_DIR_FIELDS(G)};
#undef F
#undef G
#define F(type, name, def) +1
    const int n = 0 DEVCACHE_SERVER_FIELDS(F) DEVCACHE_DIR_FIELDS(F);
#undef F
    int i, k;

    devcache_json_array(j, "directives");
    for (i = 0; i < n; i++) {
        for (k = 0; k < i && all[k] != all[i]; k++) {
        }
        if (k == i) { /* one directive may set two fields */
            put_directive(j, NULL, all[i], p);
        }
    }
    put_earlier(j, devcache_dir_default_ttl(dir), p);
    put_earlier(j, devcache_dir_force_ttl(dir), p);
    devcache_json_end(j);
}

/* Does the virtual host bear the name that was asked for? Else it is there as the default
 * one of its address. */
static int is_named(const server_rec *s, const char *host)
{
    int i;

    if (!host || !s->server_hostname) {
        return 0;
    }
    for (i = 0; s->names && i < s->names->nelts; i++) {
        if (!strcasecmp(host, APR_ARRAY_IDX(s->names, i, const char *))) {
            return 1;
        }
    }
    for (i = 0; s->wild_names && i < s->wild_names->nelts; i++) {
        if (!ap_strcasecmp_match(host, APR_ARRAY_IDX(s->wild_names, i, const char *))) {
            return 1;
        }
    }
    return !strcasecmp(host, s->server_hostname);
}

static void put_server(devcache_json_t *j, request_rec *r)
{
    const server_rec *s = r->server;

    devcache_json_object(j, "vhost");
    devcache_json_string(j, "name", s->server_hostname ? s->server_hostname : "-");
    if (s->defn_name) {
        devcache_json_string(
            j, "at", apr_psprintf(r->pool, "%s:%u", s->defn_name, s->defn_line_number));
    }
    devcache_json_bool(j, "named", is_named(s, r->hostname));
    devcache_json_end(j);
}

static void put_device(devcache_json_t *j, const devcache_exchange_t *x,
                       const devcache_server_t *server)
{
    int i;

    if (!x || !server->device) {
        devcache_json_null(j, "device");
        return;
    }
    devcache_json_object(j, "device");
    devcache_json_string(j, "class", x->device.class);
    devcache_json_string(j, "kind", x->device.kind);
    devcache_json_string(j, "rule", x->device.rule);
    devcache_json_bool(j, "by_cookie", x->device.by_cookie);
    devcache_json_bool(j, "by_hints", x->device.by_hints);
    for (i = 0; i < server->rules->nelts; i++) {
        const devcache_pair_t *own = &APR_ARRAY_IDX(server->rules, i, devcache_pair_t);

        if (!strcmp(own->second, x->device.rule)) {
            devcache_json_string(j, "at", own->where);
            break;
        }
    }
    devcache_json_end(j);
}

/* ---- what is stored ------------------------------------------------------------- */

static apr_int64_t seconds(apr_interval_time_t t)
{
    return (t < 0 ? t - APR_USEC_PER_SEC + 1 : t) / APR_USEC_PER_SEC;
}

static void put_field(devcache_json_t *j, const char *name, const char *value)
{
    devcache_json_object(j, NULL);
    devcache_json_string(j, "name", name);
    devcache_json_string(j, "value", devcache_field_is_secret(name) ? "present" : value);
    devcache_json_end(j);
}

/* Stored fields that decide about caching. */
static void put_cache_fields(devcache_json_t *j, const devcache_exchange_t *x)
{
    static const char *const names[] = {"Cache-Control", "Expires", "Date",  "ETag",
                                        "Last-Modified", "Vary",    "Pragma"};
    const apr_array_header_t *targets = x->policy.targets;
    int i;

    devcache_json_array(j, "headers");
    for (i = 0; i < targets->nelts; i++) {
        const char *name = APR_ARRAY_IDX(targets, i, const char *);
        const char *value = apr_table_get(x->found.stored.lines, name);
        if (value) {
            put_field(j, name, value);
        }
    }
    for (i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        const char *value = apr_table_get(x->found.stored.lines, names[i]);
        if (value) {
            put_field(j, names[i], value);
        }
    }
    devcache_json_end(j);
}

/* The field in which the origin states the lifetime, as it stands there. */
static const char *stating_field(const devcache_exchange_t *x,
                                 const devcache_lifetime_t *l, apr_pool_t *p)
{
    const char *name = l->by == DEVCACHE_LIFETIME_EXPIRES ? "Expires" : "Cache-Control";
    const apr_array_header_t *targets = x->policy.targets;
    const char *value;
    int i;

    for (i = 0; l->targeted && i < targets->nelts; i++) {
        if (apr_table_get(x->found.stored.lines,
                          APR_ARRAY_IDX(targets, i, const char *))) {
            name = APR_ARRAY_IDX(targets, i, const char *);
            break;
        }
    }
    value = apr_table_getm(p, x->found.stored.lines, name);
    return apr_pstrcat(p, name, ": ", value ? value : "", NULL);
}

/* Who stated the lifetime: by the rules that hold now. Where they give another one than
 * the stored response has, they have changed since, or mod_headers changes the fields. */
static void put_lifetime(devcache_json_t *j, request_rec *r, const devcache_exchange_t *x)
{
    const devcache_freshness_t *f = &x->found.stored.fresh;
    devcache_lifetime_t l;
    apr_interval_time_t now_gives;
    int own;

    devcache_policy_lifetime(&x->policy, x->found.stored.status, x->found.stored.lines,
                             devcache_request_has_query(x), f->received_at, &l, r->pool);
    own = l.by == DEVCACHE_LIFETIME_FORCED || l.by == DEVCACHE_LIFETIME_DEFAULT;
    now_gives = l.lifetime + (own ? f->initial_age : 0);
    devcache_json_object(j, "lifetime");
    if (now_gives != f->lifetime) {
        devcache_json_int(j, "seconds", seconds(f->lifetime));
        devcache_json_string(j, "by", "unknown");
        devcache_json_int(j, "now", seconds(l.lifetime));
        devcache_json_end(j);
        return;
    }
    devcache_json_int(j, "seconds", seconds(l.lifetime));
    if (own) {
        devcache_json_string(j, "by", "directive");
        put_directive(j, "directive", l.said_by, r->pool);
    } else if (l.by == DEVCACHE_LIFETIME_HEURISTIC) {
        devcache_json_string(j, "by", "guess");
        devcache_json_int(j, "percent", x->policy.heuristic_percent);
        devcache_json_int(j, "at_most", seconds(x->policy.heuristic_max));
        put_directive(j, "directive", x->dir->heuristic_percent_by, r->pool);
    } else if (l.by == DEVCACHE_LIFETIME_NONE) {
        devcache_json_string(j, "by", "nobody");
    } else {
        devcache_json_string(j, "by", "origin");
        devcache_json_string(j, "field", stating_field(x, &l, r->pool));
    }
    put_directive(j, "raised", l.raised ? x->dir->min_ttl_by : NULL, r->pool);
    put_directive(j, "lowered", l.lowered ? x->dir->max_ttl_by : NULL, r->pool);
    devcache_json_end(j);
}

static void put_variant(devcache_json_t *j, request_rec *r, const devcache_exchange_t *x)
{
    const apr_array_header_t *all;
    devcache_vary_said_t said;
    int i;

    devcache_json_string(j, "varies_by", x->found.hit->spec);
    devcache_json_array(j, "variant");
    if (devcache_vary_read(x->found.hit->variant, &said, r->pool)) {
        if (said.device) {
            put_field(j, "@device", said.device);
        }
        all = apr_table_elts(said.values);
        for (i = 0; i < all->nelts; i++) {
            const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
            put_field(j, e->key, e->val);
        }
    }
    devcache_json_end(j);
}

static void put_stored(devcache_json_t *j, request_rec *r, const devcache_exchange_t *x)
{
    const devcache_freshness_t *f = &x->found.stored.fresh;
    apr_interval_time_t age = devcache_policy_age(f, x->now);

    devcache_json_object(j, "stored");
    devcache_json_int(j, "status", x->found.stored.status);
    put_variant(j, r, x);
    devcache_json_uint(
        j, "size",
        (apr_uint64_t)devcache_response_length(&x->found.stored, x->found.hit->body_len));
    devcache_json_int(j, "stored_at", apr_time_sec(x->found.hit->stored_at));
    devcache_json_int(j, "age", seconds(age));
    devcache_json_int(j, "ttl", seconds(f->lifetime - age));
    devcache_json_int(j, "fresh_until", apr_time_sec(x->now + f->lifetime - age));
    put_lifetime(j, r, x);
    devcache_json_bool(j, "never_stale", devcache_policy_never_stale(f));
    devcache_json_bool(j, "always_validated", (f->flags & DEVCACHE_NO_CACHE) != 0);
    devcache_json_int(j, "stale_while_revalidate", seconds(f->stale_while_revalidate));
    devcache_json_int(j, "stale_if_error", seconds(f->stale_if_error));
    put_cache_fields(j, x);
    devcache_json_end(j);
}

/* ---- the whole ------------------------------------------------------------------ */

static const devcache_cookies_t all_cookies = {DEVCACHE_COOKIES_KEEP, NULL};

static void put_reason(devcache_json_t *j, const char *name, devcache_reason_e reason)
{
    if (reason != DEVCACHE_REASON_NONE) {
        devcache_json_object(j, name);
        devcache_json_string(j, "reason", devcache_reason_text(reason));
        devcache_json_string(j, "meaning", devcache_reason_meaning(reason));
        devcache_json_end(j);
    }
}

/* The field that keeps the request from the cache, or its answer from being stored, and
 * the line that would mend that. */
static void put_odd(devcache_json_t *j, request_rec *r, devcache_exchange_t *x)
{
    devcache_reason_e reason = x->answer.reason;
    const char *name = x->asked.req.override, *advice;

    if (!name && x->asked.key.data && !x->asked.req.bypass) {
        name = devcache_fields_odd(r, x,
                                   x->found.hit ? x->found.hit->spec : x->found.guess);
        reason = name ? DEVCACHE_REASON_ODD_REQUEST : reason;
    }
    if (!name && reason == DEVCACHE_REASON_COOKIE) {
        name = x->asked.cookie;
    }
    if (!name) {
        return;
    }
    advice = devcache_fields_advice(r, x, reason, name);
    devcache_json_object(j,
                         reason == DEVCACHE_REASON_COOKIE ? "odd_cookie" : "odd_field");
    devcache_json_string(j, "name", name);
    devcache_json_string(j, "why",
                         reason == DEVCACHE_REASON_COOKIE
                             ? "pages may depend on it, and the application has not "
                               "stated the lifetime"
                             : devcache_fields_why(r, x, name));
    if (advice) {
        devcache_json_string(j, "write", advice);
    }
    devcache_json_end(j);
}

/* What the nearest variant has not as the request has it. */
static void put_differs(devcache_json_t *j, const devcache_exchange_t *x)
{
    const apr_array_header_t *list = x->found.differs;
    int i;

    if (!list || !list->nelts) {
        return;
    }
    devcache_json_array(j, "differs");
    for (i = 0; i < list->nelts; i++) {
        const devcache_differs_t *d = &APR_ARRAY_IDX(list, i, devcache_differs_t);

        devcache_json_object(j, NULL);
        devcache_json_string(j, "name", d->what);
        if (d->stored || d->asked) { /* else they are not to be shown */
            devcache_json_string(j, "stored", d->stored ? d->stored : "absent");
            devcache_json_string(j, "asked", d->asked ? d->asked : "absent");
        }
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

static void put_names(devcache_json_t *j, const char *name,
                      const apr_array_header_t *names)
{
    int i;

    devcache_json_array(j, name);
    for (i = 0; i < names->nelts; i++) {
        devcache_json_string(j, NULL, APR_ARRAY_IDX(names, i, const char *));
    }
    devcache_json_end(j);
}

/* Which of the request's cookies pages may depend on, whether or not anything is stored
 * yet, and the line by which they would not count. */
static void put_cookies(devcache_json_t *j, request_rec *r, const devcache_exchange_t *x)
{
    const char *value = devcache_field_combined(x->asked.own_fields, "Cookie", r->pool);
    const devcache_cookies_t *rule = devcache_dir_cookies(x->dir);
    apr_array_header_t *counting, *left_out;
    int looked_at = devcache_said_varies_by(x, "cookie");

    if (!value) {
        return;
    }
    counting = devcache_cookies_names(looked_at ? &all_cookies : rule, value, 1, r->pool);
    left_out = devcache_cookies_names(looked_at ? &all_cookies : rule, value, 0, r->pool);
    devcache_json_object(j, "cookies");
    put_names(j, "counting", counting);
    put_names(j, "left_out", left_out);
    devcache_json_bool(j, "looked_at", looked_at);
    if (x->asked.cookie && !looked_at) {
        devcache_json_string(
            j, "write",
            devcache_fields_advice(r, x, DEVCACHE_REASON_COOKIE,
                                   apr_array_pstrcat(r->pool, counting, ' ')));
    }
    put_directive(j, "by", x->dir->cookies_by, r->pool);
    devcache_json_end(j);
}

/* In what the origin is asked for it, and whether it is just now. */
static void put_slices(devcache_json_t *j, const devcache_exchange_t *x, apr_pool_t *p)
{
    if (!devcache_dir_slice(x->dir)) {
        return;
    }
    devcache_json_object(j, "slices");
    devcache_json_int(j, "bytes", devcache_dir_slice(x->dir));
    devcache_json_bool(j, "avoided", devcache_piece_is_avoided(x));
    put_directive(j, "by", x->dir->slice_by, p);
    devcache_json_end(j);
}

/* The directive behind the answer, where it is one. */
static const ap_directive_t *decisive(const devcache_explained_t *o)
{
    const devcache_exchange_t *x = o->x;

    if (!strcmp(o->answer, "off")) {
        return x->dir ? x->dir->enabled_by : NULL;
    }
    return !strcmp(o->answer, "bypass") && x->answer.reason == DEVCACHE_REASON_BYPASS
               ? x->dir->bypass_by
               : NULL;
}

static void put_if(devcache_json_t *j, const char *name, const char *value)
{
    if (value) {
        devcache_json_string(j, name, value);
    }
}

/* What servers of DevCacheTier have to do with it. */
static void put_tier(devcache_json_t *j, const devcache_explained_t *o)
{
    static const char *const holds[] = {"unknown", "nothing", "damaged",
                                        "expired", "purged",  "object"};
    const devcache_peers_told_t *t = &o->tier;

    if (!o->shares) {
        return;
    }
    devcache_json_object(j, "tier");
    devcache_json_bool(j, "asked", !t->not_asked);
    put_if(j, "not_asked", t->not_asked);
    put_if(j, "server", t->server);
    put_if(j, "trouble", t->trouble);
    devcache_json_string(j, "holds", holds[t->found]);
    if (t->found == DEVCACHE_SHARE_FOUND) {
        devcache_json_int(j, "age", seconds(t->object.age));
        devcache_json_int(j, "ttl", seconds(t->object.left));
        devcache_json_uint(j, "size", t->object.record.body_len);
        devcache_json_bool(j, "fits", !t->is_unfit);
    }
    put_if(j, "not_put", t->not_put);
    devcache_json_end(j);
}

static void put_answer(devcache_json_t *j, request_rec *r, const devcache_explained_t *o)
{
    const devcache_exchange_t *x = o->x;
    const request_rec *last = x && x->asked.ahead ? x->asked.ahead : r;

    devcache_json_string(j, "answer", o->answer);
    if (o->status != OK) {
        devcache_json_int(j, "status", o->status);
    }
    if (!x || !x->dir) {
        return;
    }
    put_directive(j, "decided_by", decisive(o), r->pool);
    put_reason(j, "because", x->answer.reason);
    put_odd(j, r, o->x);
    put_tier(j, o);
    if (!x->asked.key.data) {
        return;
    }
    devcache_json_string(j, "key", devcache_vary_key_url(x->asked.key, r->pool));
    put_directive(j, "query_by", x->dir->query_by, r->pool);
    devcache_json_bool(j, "splits_by_device", x->vary.by_device);
    if (!x->asked.req.bypass) {
        put_cookies(j, r, x);
    }
    put_slices(j, x, r->pool);
    devcache_json_string(j, "handler", last->handler ? last->handler : "-");
    devcache_json_string(j, "filename", last->filename ? last->filename : "-");
    if (x->found.hit) {
        put_stored(j, r, x);
    } else {
        devcache_json_bool(j, "other_variants", x->found.variants);
        put_differs(j, x);
        put_reason(j, "stored_only_if_shareable",
                   x->asked.req.authorization ? DEVCACHE_REASON_AUTHORIZATION
                                              : DEVCACHE_REASON_NONE);
    }
}

void devcache_explain_show(devcache_json_t *j, request_rec *about,
                           const devcache_explained_t *o)
{
    const devcache_server_t *server = devcache_conf_server(about->server);

    put_server(j, about);
    put_device(j, o->x, server);
    put_answer(j, about, o);
    put_directives(j, server, devcache_conf_dir(about), about->pool);
}
