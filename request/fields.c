/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a field is.
 *
 * The client's header is remembered as it came, as a copy of the lines' pointers. When the
 * handler runs, hooks may have changed it: RequestHeader, mod_remoteip, authentication.
 * What is not as it came has the configuration set. That is no reason to leave the cache;
 * but pages may be made from it, so it is compared: name and value go into the target of
 * every variant, but for the kind that is known.
 *
 * What is the client's own has its kind from http/ordinary.h:
 *
 *   override  the cache is not used             unless DevCacheKeyHeaders names it
 *   form      only variants whose Vary names it match, and it fetches for itself alone
 *             until a response's Vary names it   likewise
 *   unknown   what it fetches is not stored,     likewise, or unless the Vary of the
 *             nor does it say anything about     response names it
 *             what is stored
 *
 * On a hit all of this is one comparison of memory and one bit, unless a field stands out.
 */
#include "request/fields.h"

#include <stdlib.h>
#include <apr_strings.h>
#include <http_log.h>
#include "http/coding.h"
#include "http/cookies.h"
#include "http/field.h"
#include "http/ordinary.h"
#include "mod_devcache.h"
#include "request/said.h"
#include "stats/odd.h"

typedef apr_table_entry_t line_t;

/* ---- whose it is ---------------------------------------------------------------- */

static int is_as_sent(const apr_array_header_t *all, const devcache_exchange_t *x)
{
    return all->nelts == x->asked.sent_lines &&
           !memcmp(all->elts, x->asked.sent, (apr_size_t)all->nelts * sizeof(line_t));
}

static int was_sent(const line_t *line, const devcache_exchange_t *x)
{
    int i;

    for (i = 0; i < x->asked.sent_lines; i++) {
        const line_t *sent = &x->asked.sent[i];
        if ((sent->val == line->val || !strcmp(sent->val, line->val)) &&
            !strcasecmp(sent->key, line->key)) {
            return 1;
        }
    }
    return 0;
}

int devcache_fields_was_sent(const apr_table_entry_t *line, const devcache_exchange_t *x)
{
    return was_sent(line, x);
}

/* The class, as we tell it to the origin. */
static int is_ours(const devcache_server_t *server, const char *name)
{
    const char *own = server->vary.device_header;

    return (own && !((name[0] ^ own[0]) & 31) && !strcasecmp(name, own)) ||
           (devcache_server_viewer_headers(server) &&
            !strncasecmp(name, "CloudFront-Is-", 14));
}

static int is_keyed(const devcache_exchange_t *x, const char *name)
{
    return devcache_ordinary_is_among(devcache_dir_key_headers(x->dir), name);
}

static devcache_field_kind_e kind_of(const devcache_exchange_t *x, const line_t *line)
{
    return is_ours(x->server, line->key)
               ? DEVCACHE_FIELD_KNOWN
               : devcache_ordinary_kind(devcache_server_known_headers(x->server),
                                        line->key, line->val, NULL);
}

/* ---- before the decision -------------------------------------------------------- */

static void push(apr_array_header_t **list, const void *item, request_rec *r)
{
    if (!*list) {
        *list = apr_array_make(r->pool, 2, sizeof(void *));
    }
    APR_ARRAY_PUSH(*list, const void *) = item;
}

static int by_name(const void *a, const void *b)
{
    const line_t *x = *(const line_t *const *)a, *y = *(const line_t *const *)b;
    int c = strcasecmp(x->key, y->key);

    return c ? c : strcmp(x->val, y->val);
}

/* What fills gaps here is us, whoever else says so. */
static int is_capability(const devcache_exchange_t *x, const line_t *line)
{
    return devcache_dir_fragments(x->dir) &&
           !strcasecmp(line->key, "Surrogate-Capability");
}

const char *devcache_fields_judge(request_rec *r, devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);
    int as_sent = is_as_sent(all, x), is_capable = 0, i;
    const char *override = NULL;

    if (as_sent && !x->asked.stands_out) {
        return NULL;
    }
    for (i = 0; i < all->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(all, i, line_t);
        int is_set = !as_sent && !was_sent(line, x);
        devcache_field_kind_e kind;

        if (!is_set && !devcache_ordinary_stands_out(line->key)) {
            continue;
        }
        kind = kind_of(x, line);
        if (is_capability(x, line)) {
            is_capable = 1;
            continue;
        }
        if (kind == DEVCACHE_FIELD_KNOWN || is_keyed(x, line->key)) {
            continue;
        }
        if (is_set) {
            push(&x->asked.set, apr_pmemdup(r->pool, line, sizeof *line), r);
        } else if (kind == DEVCACHE_FIELD_OVERRIDE) {
            override = override ? override : line->key;
        } else if (kind == DEVCACHE_FIELD_FORM) {
            push(&x->asked.forms, line->key, r);
        }
    }
    if (is_capable) {
        apr_table_unset(r->headers_in, "Surrogate-Capability");
    }
    if (x->asked.set) {
        qsort(x->asked.set->elts, (size_t)x->asked.set->nelts, sizeof(void *), by_name);
    }
    return override;
}

devcache_slice_t devcache_fields_set_values(request_rec *r, const devcache_exchange_t *x)
{
    const apr_array_header_t *set = x->asked.set;
    devcache_writer_t w = {NULL, 0};
    int pass, i;

    if (!set) {
        return devcache_slice(NULL, 0);
    }
    for (pass = 0; pass < 2; pass++) {
        w.buf = pass ? apr_palloc(r->pool, w.len) : NULL;
        w.len = 0;
        for (i = 0; i < set->nelts; i++) {
            const line_t *line = APR_ARRAY_IDX(set, i, const line_t *);
            devcache_put_slice(&w, devcache_slice_str(devcache_field_lower(
                                       line->key, strlen(line->key), r->pool)));
            devcache_put_slice(&w, devcache_slice_str(line->val));
        }
    }
    return devcache_slice(w.buf, w.len);
}

/* ---- what the origin is sent ---------------------------------------------------- */

/* DevCacheNormalize: the origin sees no more of these headers than the key does. */
static void normalise(apr_table_t *fields, const apr_array_header_t *rules, apr_pool_t *p)
{
    int i;

    for (i = 0; i < rules->nelts; i++) {
        const devcache_normal_t *n = &APR_ARRAY_IDX(rules, i, devcache_normal_t);
        const char *value = apr_table_getm(p, fields, n->header);

        if (value && (value = devcache_normal_value(n, value))) {
            apr_table_setn(fields, n->header, value);
        } else {
            apr_table_unset(fields, n->header);
        }
    }
}

apr_table_t *devcache_fields_to_send(request_rec *r, devcache_exchange_t *x)
{
    const apr_array_header_t *rules = devcache_dir_normals(x->dir);
    const char *cookies = apr_table_get(r->headers_in, "Cookie"), *kept = NULL;
    apr_table_t *fields = r->headers_in;

    if (rules && rules->nelts) {
        fields = apr_table_copy(r->pool, fields);
        normalise(fields, rules, r->pool);
    }
    if (cookies && !devcache_said_varies_by(x, "cookie")) {
        cookies = devcache_field_combined(r->headers_in, "Cookie", r->pool);
        kept = devcache_cookies_kept(devcache_dir_cookies(x->dir), cookies, r->pool);
    } else {
        kept = cookies; /* the configuration has looked at all of them */
    }
    if (cookies) {
        /* The visitor's own choice of a class is compared as that. */
        const char *choice = x->device.by_cookie ? x->vary.device_cookie : NULL;
        x->asked.cookie = devcache_cookies_first(kept, choice, r->pool);
    }
    if (devcache_said_varies_by(x, "accept-encoding")) {
        x->vary.encodings = NULL; /* likewise */
    }
    if (apr_table_get(fields, "Connection") &&
        devcache_field_has(fields, "Connection", "accept-encoding")) {
        fields = fields == r->headers_in ? apr_table_copy(r->pool, fields) : fields;
        apr_table_unset(fields, "Accept-Encoding"); /* mod_proxy does not send it on */
    }
    if (kept != cookies) {
        fields = fields == r->headers_in ? apr_table_copy(r->pool, fields) : fields;
        if (kept) {
            apr_table_setn(fields, "Cookie", kept);
        } else {
            apr_table_unset(fields, "Cookie");
        }
    }
    return fields;
}

void devcache_fields_reduce_codings(const devcache_exchange_t *x, apr_table_t *fields,
                                    apr_pool_t *p)
{
    const char *some = devcache_coding_sent(x->vary.encodings, fields, p);

    if (some) {
        apr_table_setn(fields, "Accept-Encoding", some);
    } else {
        apr_table_unset(fields, "Accept-Encoding");
    }
}

/* ---- is it ordinary? ------------------------------------------------------------ */

int devcache_fields_in_spec(const char *spec, const char *name)
{
    apr_size_t len = strlen(name);

    while (spec && *spec) {
        apr_size_t n = strcspn(spec, " ");
        if (n == len && !strncasecmp(spec, name, n)) {
            return 1;
        }
        spec += n + (spec[n] == ' ');
    }
    return 0;
}

const apr_table_t *devcache_fields_compared(const devcache_exchange_t *x,
                                            const char *spec, apr_pool_t *p)
{
    int for_whom = 0, by_what = 0;
    apr_table_t *fields;
    const char *name;
    apr_size_t len;

    if (!x->asked.address) {
        return x->asked.fields;
    }
    for (name = spec; *name; name += len + (name[len] == ' ')) {
        len = strcspn(name, " ");
        for_whom |= len == 15 && !memcmp(name, "x-forwarded-for", 15);
        by_what |= len == 3 && !memcmp(name, "via", 3);
    }
    if (!for_whom && !by_what) {
        return x->asked.fields;
    }
    fields = apr_table_copy(p, x->asked.fields);
    if (for_whom) {
        apr_table_mergen(fields, "X-Forwarded-For", x->asked.address);
    }
    if (by_what) {
        apr_table_mergen(fields, "Via", x->asked.protocol);
    }
    return fields;
}

int devcache_fields_may_match(const devcache_exchange_t *x, const char *spec)
{
    int i;

    for (i = 0; x->asked.forms && i < x->asked.forms->nelts; i++) {
        if (!devcache_fields_in_spec(spec,
                                     APR_ARRAY_IDX(x->asked.forms, i, const char *))) {
            return 0;
        }
    }
    return 1;
}

/* Are all lines of a field the configuration's? RequestHeader add puts one beside the
 * client's own, whose value is compared nowhere. */
static int is_all_set(const devcache_exchange_t *x, const char *name)
{
    const apr_array_header_t *all = apr_table_elts(x->asked.own_fields);
    int i, set = 0, lines = 0;

    for (i = 0; x->asked.set && i < x->asked.set->nelts; i++) {
        set += !strcasecmp(APR_ARRAY_IDX(x->asked.set, i, const line_t *)->key, name);
    }
    for (i = 0; set && i < all->nelts; i++) {
        lines += !strcasecmp(APR_ARRAY_IDX(all, i, line_t).key, name);
    }
    return set && set >= lines;
}

static int is_compared(const devcache_exchange_t *x, const char *name, const char *spec)
{
    return is_all_set(x, name) || devcache_fields_in_spec(spec, name) ||
           is_keyed(x, name);
}

static const char *contradicting_hint(request_rec *r, const devcache_exchange_t *x)
{
    const apr_table_t *fields = x->asked.fields;
    devcache_device_input_t in = {NULL};

    if (!x->server->device) {
        return NULL;
    }
    in.ch_mobile = devcache_field_combined(fields, "Sec-CH-UA-Mobile", r->pool);
    in.ch_platform = devcache_field_combined(fields, "Sec-CH-UA-Platform", r->pool);
    in.ch_form_factors = devcache_field_combined(fields, "Sec-CH-UA-Form-Factors",
                                                 r->pool);
    return devcache_device_contradiction(&in, &x->device);
}

/* Names of fields that make it unordinary unless they are compared. */
static void find_suspects(request_rec *r, devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(x->asked.fields);
    const char *hint;
    int hints = 0, i;

    x->asked.suspects_known = 1;
    for (i = 0; i < all->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(all, i, line_t);
        hints |= (*line->key & 31) == ('s' & 31) &&
                 !strncasecmp(line->key, "Sec-CH-UA-", 10);
        if (kind_of(x, line) != DEVCACHE_FIELD_KNOWN) {
            push(&x->asked.suspects, line->key, r);
        }
    }
    if (hints && (hint = contradicting_hint(r, x))) {
        push(&x->asked.suspects, hint, r);
    }
}

const char *devcache_fields_odd(request_rec *r, devcache_exchange_t *x, const char *spec)
{
    const apr_array_header_t *suspects;
    int i;

    if (!x->asked.suspects_known) {
        find_suspects(r, x);
    }
    suspects = x->asked.suspects;
    for (i = 0; suspects && i < suspects->nelts; i++) {
        const char *name = APR_ARRAY_IDX(suspects, i, const char *);
        if (!is_compared(x, name, spec)) {
            return name;
        }
    }
    return NULL;
}

void devcache_fields_make_ordinary(request_rec *r, devcache_exchange_t *x,
                                   apr_table_t *header)
{
    const char *spec = x->found.hit ? x->found.hit->spec : x->found.guess;
    int i;

    if (devcache_fields_odd(r, x, spec)) {
        for (i = 0; i < x->asked.suspects->nelts; i++) {
            const char *name = APR_ARRAY_IDX(x->asked.suspects, i, const char *);
            if (!is_compared(x, name, spec)) {
                apr_table_unset(header, name);
            }
        }
    }
}

/* A response that names whom it is for, without saying Vary: Origin, is for him alone. */
static const char *is_for_origin(const devcache_exchange_t *x, const char *spec,
                                 const apr_table_t *response)
{
    const char *allowed = apr_table_get(response, "Access-Control-Allow-Origin");

    return allowed && strcmp(allowed, "*") && apr_table_get(x->asked.fields, "Origin") &&
                   !is_compared(x, "Origin", spec)
               ? "Origin"
               : NULL;
}

/* The visitor has chosen another class than his browser's, and the response says that it
 * goes by the browser, and not by our field: then it is not the page of that class. */
static const char *is_by_browser(request_rec *r, const devcache_exchange_t *x,
                                 const apr_table_t *response)
{
    const char *own = x->vary.device_header;

    if (!x->device.by_cookie || x->vary.user_agent_exact ||
        !devcache_field_has(response, "Vary", "user-agent")) {
        return NULL;
    }
    return own && devcache_field_has(response, "Vary",
                                     devcache_field_lower(own, strlen(own), r->pool))
               ? NULL
               : "User-Agent";
}

devcache_reason_e devcache_fields_judge_answer(request_rec *r, devcache_exchange_t *x,
                                               const char *spec,
                                               const apr_table_t *response)
{
    const char *odd = devcache_fields_odd(r, x, spec);

    odd = odd ? odd : is_for_origin(x, spec, response);
    odd = odd ? odd : is_by_browser(r, x, response);
    x->asked.odd = odd;
    if (odd) {
        return DEVCACHE_REASON_ODD_REQUEST;
    }
    if (devcache_fields_needs_own(x, &x->answer.fresh)) {
        x->asked.odd = x->asked.cookie;
        return DEVCACHE_REASON_COOKIE;
    }
    return DEVCACHE_REASON_NONE;
}

/* ---- telling the administrator --------------------------------------------------- */

const char *devcache_fields_advice(request_rec *r, const devcache_exchange_t *x,
                                   devcache_reason_e reason, const char *name)
{
    const char *value = apr_table_get(x->asked.own_fields, name), *directive;

    if (reason == DEVCACHE_REASON_COOKIE) {
        const ap_directive_t *own = x->dir->cookies_by;
        const char *deny = own && !strncasecmp(own->args, "deny", 4) ? own->args
                                                                     : "deny @analytics";

        return own && !strncasecmp(own->args, "allow", 5)
                   ? apr_pstrcat(r->pool, "DevCacheCookies ", own->args, " without ",
                                 name, NULL)
                   : apr_pstrcat(r->pool, "DevCacheCookies ", deny, " ", name, NULL);
    }
    if (!strcasecmp(name, "Origin")) {
        return "Header merge Vary Origin";
    }
    directive = devcache_ordinary_advice(name, value);
    return directive ? apr_pstrcat(r->pool, directive, " ", name, NULL) : NULL;
}

const char *devcache_fields_why(request_rec *r, const devcache_exchange_t *x,
                                const char *name)
{
    const char *text;

    switch (devcache_ordinary_kind(NULL, name, apr_table_get(x->asked.own_fields, name),
                                   &text)) {
    case DEVCACHE_FIELD_KNOWN:
        return !strcasecmp(name, "Origin")
                   ? "the response names an origin, and no Vary: Origin"
                   : "it may tell the origin another device than the class";
    default:
        return text ? text : "what applications make of it is not known";
    }
}

void devcache_fields_tell(request_rec *r, devcache_exchange_t *x,
                          devcache_reason_e reason, const char *name)
{
    const char *root = devcache_server_root(x->server);
    int is_cookie = reason == DEVCACHE_REASON_COOKIE;
    const char *advice;

    if (!name || !root || !devcache_odd_note(root, is_cookie ? 'c' : 'f', name, x->now)) {
        return;
    }
    advice = devcache_fields_advice(r, x, reason, name);
    if (is_cookie) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      DCLOGNO(0119) "fields: %s: not cached for visitors with the cookie "
                                    "\"%s\", as the application does not say for how "
                                    "long; where pages do not depend on it: %s",
                      devcache_vary_key_url(x->asked.key, r->pool), name, advice);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                  DCLOGNO(0118) "fields: %s: %s as the request has the field \"%s\" "
                                "(%s)%s%s",
                  devcache_vary_key_url(x->asked.key, r->pool),
                  reason == DEVCACHE_REASON_REQ_OVERRIDE ? "the cache is not used,"
                                                         : "not stored,",
                  name, devcache_fields_why(r, x, name),
                  !advice ? "" : "; where all requests have it: ", advice ? advice : "");
}
