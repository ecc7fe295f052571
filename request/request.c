/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange from its beginning to its end: classification, the steps between, the
 * access log.
 *
 *     post_read_request  the client's header is read once, for the device class; what
 *                        clients may not send (our own fields) is taken out of it
 *     translate_name     the URL is noted before anything rewrites it
 *     ...                request/serve.c and the filters: phases, see the table below
 *     log_transaction    the outcome, as variables of the request that has answered
 */
#include "request/request.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include "base/clock.h"
#include "http/field.h"
#include "http/ordinary.h"
#include "mod_devcache.h"
#include "request/reduce.h"
#include "setup/setters.h"
#include "stats/stats.h"

static const char *const viewer_fields[] = {
    "CloudFront-Is-Desktop-Viewer",
    "CloudFront-Is-Mobile-Viewer",
    "CloudFront-Is-Tablet-Viewer",
    "CloudFront-Is-SmartTV-Viewer",
};
static const char *const viewer_classes[] = {"pc", "mobile", "tablet", "tv"};

#define VIEWER_FIELDS (sizeof viewer_fields / sizeof viewer_fields[0])

request_rec *devcache_request_first(request_rec *r)
{
    while (r->main || r->prev) {
        r = r->main ? r->main : r->prev;
    }
    return r;
}

request_rec *devcache_request_last(request_rec *r)
{
    while (r->next) {
        r = r->next;
    }
    return r;
}

devcache_exchange_t *devcache_request_begin(request_rec *r)
{
    devcache_exchange_t *x = apr_pcalloc(r->pool, sizeof *x);

    x->answer.age = x->save.expect = -1;
    x->now = devcache_now();
    ap_set_module_config(r->request_config, &devcache_module, x);
    return x;
}

int devcache_request_is_personal(const devcache_exchange_t *x)
{
    return x->asked.req.authorization || x->asked.cookie;
}

devcache_exchange_t *devcache_request_exchange(request_rec *r)
{
    request_rec *at;

    for (at = r; at; at = at->prev) {
        devcache_exchange_t *x = ap_get_module_config(at->request_config,
                                                      &devcache_module);
        if (x) {
            return x;
        }
    }
    return NULL;
}

/* ---- classification ------------------------------------------------------------- */

/* With what the client's fields begin: a bit for each letter. */
typedef apr_uint32_t letters_t;

static letters_t letter_of(const char *name)
{
    return 1u << (*name & 31);
}

/* Remove every spelling of a field from the client's request. */
static void strip_field(request_rec *r, letters_t letters, const char *name)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);
    apr_size_t size = strlen(name) + 1;
    char first = devcache_field_lower_char(*name);
    int letter = first >= 'a' && first <= 'z'; /* in both spellings; '-' may be '_' */
    int i;

    if (letter && !(letters & letter_of(name))) {
        return;
    }
    for (i = 0; i < all->nelts; i++) {
        const char *key = APR_ARRAY_IDX(all, i, apr_table_entry_t).key;
        if (letter && devcache_field_lower_char(*key) != first) {
            continue;
        }
        if (devcache_field_same_variable(key, name, size)) {
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                          DCLOGNO(0101) "classify: removed the client's own %s", key);
            devcache_stats_count(DEVCACHE_COUNT_spoofed);
            apr_table_unset(r->headers_in, key);
            i = -1; /* the table has moved */
        }
    }
}

/* A client that names our field in Connection would have mod_proxy remove it on its way
 * to the origin: drop that member, keep the others. */
static void protect_from_connection(request_rec *r, const char *name)
{
    const char *value = apr_table_get(r->headers_in, "Connection");
    apr_array_header_t *kept;
    const char *token;

    if (!value) {
        return;
    }
    value = apr_table_getm(r->pool, r->headers_in, "Connection");
    if (!ap_strcasestr(value, name)) {
        return;
    }
    kept = apr_array_make(r->pool, 8, sizeof(const char *));
    while ((token = ap_get_list_item(r->pool, &value))) {
        if (ap_cstr_casecmp(token, name)) {
            APR_ARRAY_PUSH(kept, const char *) = token;
        }
    }
    apr_table_unset(r->headers_in, "Connection");
    if (kept->nelts) {
        apr_table_setn(r->headers_in, "Connection",
                       apr_array_pstrcat(r->pool, kept, ','));
    }
}

static void set_class_field(request_rec *r, letters_t *letters, const char *name,
                            const char *value)
{
    strip_field(r, *letters, name);
    if (*letters & letter_of("Connection")) {
        protect_from_connection(r, name);
    }
    apr_table_addn(r->headers_in, name, value);
    *letters |= letter_of(name);
}

static void tell_environment(request_rec *r, const devcache_exchange_t *x)
{
    apr_table_setn(r->subprocess_env, "DEVCACHE_DEVICE", x->device.class);
}

static void tell_viewer_fields(request_rec *r, letters_t *letters,
                               const devcache_exchange_t *x)
{
    apr_size_t i;

    for (i = 0; i < VIEWER_FIELDS; i++) {
        /* By kind as well: a TV folded to pc is still a TV to who asks for TVs. */
        int is = !strcmp(viewer_classes[i], x->device.class) ||
                 !strcmp(viewer_classes[i], x->device.kind);
        set_class_field(r, letters, viewer_fields[i], is ? "true" : "false");
    }
}

/* What the classifier wants of the client's header, in one walk: browsers send a dozen
 * fields, half of which begin with "Sec-". Of several lines the first counts.
 * @return may one of them forbid the cache? */
static int read_client(const apr_table_t *headers, devcache_device_input_t *in,
                       letters_t *letters)
{
    const apr_array_header_t *all = apr_table_elts(headers);
    const char **wanted;
    int i, stands_out = 0;

    memset(in, 0, sizeof *in);
    *letters = 0;
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        stands_out |= devcache_ordinary_stands_out(e->key);
        *letters |= letter_of(e->key);
        switch (devcache_field_lower_char(*e->key)) {
        case 'u':
            wanted = !strcasecmp(e->key, "User-Agent") ? &in->user_agent : NULL;
            break;
        case 'c':
            wanted = !strcasecmp(e->key, "Cookie") ? &in->cookie : NULL;
            break;
        case 's':
            wanted = strncasecmp(e->key, "Sec-CH-UA-", 10)      ? NULL
                     : !strcasecmp(e->key + 10, "Mobile")       ? &in->ch_mobile
                     : !strcasecmp(e->key + 10, "Platform")     ? &in->ch_platform
                     : !strcasecmp(e->key + 10, "Form-Factors") ? &in->ch_form_factors
                                                                : NULL;
            break;
        default:
            continue;
        }
        if (wanted && !*wanted) {
            *wanted = e->val;
        }
    }
    return stands_out;
}

/* The lines of the header as they are before any hook changes them; fields.c compares. */
static void note_client(request_rec *r, devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);

    x->asked.sent_lines = all->nelts;
    x->asked.sent = apr_pmemdup(r->pool, all->elts,
                                (apr_size_t)all->nelts * sizeof(apr_table_entry_t));
}

int devcache_request_classify(request_rec *r)
{
    devcache_server_t *server = devcache_conf_server(r->server);
    devcache_exchange_t *x;
    devcache_device_input_t in;
    letters_t letters;

    if (!server->device && !server->store) {
        return DECLINED;
    }
    if ((x = devcache_request_exchange(r))) { /* an internal redirect */
        if (server->device) {
            tell_environment(r, x);
        }
        return DECLINED;
    }
    x = devcache_request_begin(r);
    x->asked.stands_out = read_client(r->headers_in, &in, &letters);
    if (!server->device) {
        x->device.class = "-"; /* DevCacheClassify Off: a cache without devices */
        note_client(r, x);
        return DECLINED;
    }
    devcache_device_classify(server->device, &in, &x->device);
    devcache_stats_count(DEVCACHE_COUNT_classified);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0102) "classify: %s (kind %s, by %s)", x->device.class,
                  x->device.kind, x->device.rule);

    if (server->vary.device_header) {
        set_class_field(r, &letters, server->vary.device_header, x->device.class);
    }
    if (devcache_server_viewer_headers(server)) {
        tell_viewer_fields(r, &letters, x);
    }
    note_client(r, x);
    tell_environment(r, x);
    return DECLINED;
}

int devcache_request_capture(request_rec *r)
{
    devcache_exchange_t *x = ap_get_module_config(r->request_config, &devcache_module);

    if (x && !x->asked.path) {
        x->asked.path = apr_pstrdup(r->pool, r->uri);
        x->asked.query = r->parsed_uri.query ? r->parsed_uri.query : r->args;
        if (devcache_setters_fragments) {
            x->asked.read_fields = apr_table_copy(r->pool, r->headers_in);
            x->asked.read_environment = apr_table_copy(r->pool, r->subprocess_env);
        }
    }
    return DECLINED;
}

void devcache_request_show_head(request_rec *r, const devcache_exchange_t *x)
{
    for (; r && x->asked.as_get; r = r->next) {
        r->method = "HEAD";
        r->header_only = 1;
    }
}

/* ---- states --------------------------------------------------------------------- */

/*         to: IDLE    FETCH    VALIDATE  CONFIRMED  RETRY    SERVED
 * IDLE         -       fetch    fetch     -          -        restore (hit, stale, follower)
 * FETCH        judge   -        -         -          -        -
 * VALIDATE     origin  verdict  -         verdict    verdict  origin, restore (stale on error)
 * CONFIRMED    fetch   -        -         -          -        origin
 * RETRY        -       fetch    -         -          -        -
 * The names are of the file whose function takes the step. FETCH to IDLE: judged, the
 * response is on its way (and perhaps to the store); origin and serve take that step, too,
 * when an error has come. CONFIRMED to IDLE: a response in pieces, which is served when the
 * origin's connection is free. SERVED is the end. */
static const unsigned char allowed[][6] = {
    [DEVCACHE_PHASE_IDLE] = {0, 1, 1, 0, 0, 1},
    [DEVCACHE_PHASE_FETCH] = {1, 0, 0, 0, 0, 0},
    [DEVCACHE_PHASE_VALIDATE] = {1, 1, 0, 1, 1, 1},
    [DEVCACHE_PHASE_CONFIRMED] = {1, 0, 0, 0, 0, 1},
    [DEVCACHE_PHASE_RETRY] = {0, 1, 0, 0, 0, 0},
    [DEVCACHE_PHASE_SERVED] = {0, 0, 0, 0, 0, 0},
};

void devcache_request_step(request_rec *r, devcache_exchange_t *x, devcache_phase_e to)
{
    static const char *const names[] = {"IDLE",      "FETCH", "VALIDATE",
                                        "CONFIRMED", "RETRY", "SERVED"};

    ap_assert(allowed[x->phase][to]);
    ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, r, "%s: %s -> %s",
                  devcache_vary_key_url(x->asked.key, r->pool), names[x->phase],
                  names[to]);
    x->phase = to;
}

/* ---- the access log ------------------------------------------------------------- */

int devcache_request_log(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    request_rec *last;

    if (!x || !x->dir) {
        return DECLINED;
    }
    devcache_reduce_undo(r, x);
    last = devcache_request_last(r); /* the log modules read its environment */
    apr_table_setn(last->subprocess_env, "DEVCACHE_STATUS",
                   devcache_meter_outcome(x->answer.outcome));
    apr_table_setn(last->subprocess_env, "DEVCACHE_REASON",
                   devcache_reason_text(x->answer.reason));
    if (x->answer.age >= 0) {
        apr_table_setn(
            last->subprocess_env, "DEVCACHE_AGE",
            apr_psprintf(r->pool, "%" APR_TIME_T_FMT, apr_time_sec(x->answer.age)));
    }
    return DECLINED;
}
