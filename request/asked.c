/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for: key and target.
 *
 * The key is the URL as the client means it: scheme, host, port, path before any rewriting,
 * and the part of the query that counts. The target is what the origin is asked for in the
 * end: handler, file name or URL after rewriting, virtual host, and what of the request the
 * origin may see besides (an odd Host or spelling, the headers of DevCacheKeyHeaders). It
 * is a part of every variant, so that two requests with one URL that are led to different
 * places never get the same response.
 */
#include "request/asked.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#include "http/media.h"
#include "http/variables.h"
#include "http/variance.h"
#include "request/ahead.h"
#include "request/fields.h"
#include "request/reduce.h"
#include "request/said.h"
#include "request/variables.h"

/* ---- key ------------------------------------------------------------- */

/* The port this connection came in on: virtual hosts are told apart by it, and what the
 * client wrote in Host is not ours to trust. */
static unsigned local_port(request_rec *r)
{
    return r->connection->local_addr ? r->connection->local_addr->port : 0;
}

devcache_slice_t devcache_asked_key_of(request_rec *r, const devcache_query_t *rule,
                                       const char *path, const char *query, apr_pool_t *p)
{
    const char *host = r->hostname ? r->hostname : r->server->server_hostname;

    return devcache_vary_key(ap_http_scheme(r), host, local_port(r), path,
                             devcache_query_canonical(rule, query, p), p);
}

const char *devcache_asked_origin(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host");

    if (!host) {
        host = r->hostname ? r->hostname : r->server->server_hostname;
    }
    host = apr_pstrdup(r->pool, host);
    ap_str_tolower((char *)host);
    return apr_pstrcat(r->pool, ap_http_scheme(r), "://", host, NULL);
}

devcache_slice_t devcache_asked_key_named(request_rec *r, const devcache_exchange_t *x,
                                          const char *field, const apr_table_t *fields)
{
    const char *value = apr_table_get(fields, field), *url = NULL;
    char *path, *query;

    if (value) {
        url = devcache_policy_same_origin(devcache_asked_origin(r), x->asked.path, value,
                                          r->pool);
    }
    if (!url) {
        return devcache_slice(NULL, 0);
    }
    path = apr_pstrdup(r->pool, url);
    if ((query = strchr(path, '?'))) {
        *query++ = '\0';
    }
    return ap_unescape_url(path) == OK
               ? devcache_asked_key_of(r, devcache_dir_query(devcache_conf_dir(r)), path,
                                       query, r->pool)
               : devcache_slice(NULL, 0);
}

/* Exactly this port, as one writes it. */
static int is_port(const char *text, unsigned port)
{
    unsigned n = 0;

    if (*text == '0') {
        return 0;
    }
    for (; *text >= '0' && *text <= '9' && n <= port; text++) {
        n = n * 10 + (unsigned)(*text - '0');
    }
    return *text == '\0' && n == port;
}

/* The Host field where it says more than host and port of the key: a foreign port, none
 * where the scheme's own is not meant, a trailing dot; or where it says nothing, as in
 * HTTP/1.0. Origins put it into links, so it must not be shared. */
static const char *odd_host(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    apr_size_t len = r->hostname ? strlen(r->hostname) : 0;
    unsigned port = local_port(r);
    int is_lower; /* as r->hostname is, as far as that goes */
    char *odd;

    if (!host || !*host) {
        return " "; /* like none that there is */
    }
    is_lower = len && !strncmp(host, r->hostname, len);
    if ((is_lower || (len && !ap_cstr_casecmpn(host, r->hostname, len))) &&
        (host[len] ? host[len] == ':' && is_port(host + len + 1, port)
                   : port == ap_default_port(r))) {
        return "";
    }
    if (is_lower && !host[len]) {
        return host;
    }
    odd = apr_pstrdup(r->pool, host);
    ap_str_tolower(odd);
    return odd;
}

/* Fields of a target, each with its length before it, so that no part can imitate
 * another's end. */
static devcache_slice_t join(const devcache_slice_t *parts, int n, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < n; i++) {
        bytes += 4 + parts[i].len;
    }
    w.buf = apr_palloc(p, bytes);
    for (i = 0; i < n; i++) {
        devcache_put_slice(&w, parts[i]);
    }
    return devcache_slice(w.buf, w.len);
}

/* Values of the headers that the administrator has put into the key. */
static devcache_slice_t key_values(const apr_table_t *fields,
                                   const apr_array_header_t *names, apr_pool_t *p)
{
    devcache_slice_t *values;
    int i;

    if (!names) {
        return devcache_slice(NULL, 0);
    }
    values = apr_palloc(p, (apr_size_t)names->nelts * sizeof *values);
    for (i = 0; i < names->nelts; i++) {
        values[i] = devcache_slice_str(
            apr_table_getm(p, fields, APR_ARRAY_IDX(names, i, const char *)));
    }
    return join(values, names->nelts, p);
}

enum {
    HANDLER,
    FILE_NAME,
    PATH_INFO,
    ARGS,
    VIRTUAL_HOST,
    ODD_HOST,
    KEY_VALUES,
    SPELLING, /* from here on: not there at all where they say nothing, nor any behind */
    AHEAD,
    SET_FIELDS,
    VARIABLES,
    ACCEPTED,
    PARTS
};
_Static_assert(KEY_VALUES == DEVCACHE_VARY_SHOWN, "secrets begin there");

/* The path as the client wrote it, where that is not how the key has it ("//", "%70",
 * "/x/.."). Scripts and applications are given it (REQUEST_URI), and may answer for
 * another page than the one that httpd found. A backend by HTTP sees what is in the file
 * name. */
static devcache_slice_t odd_spelling(const request_rec *r, const char *path,
                                     const char *target)
{
    const char *sent = r->unparsed_uri ? r->unparsed_uri : "";
    apr_size_t len;

    if (!strncmp(target, "proxy:http", 10) || !strncmp(target, "proxy:h2", 8)) {
        return devcache_slice(NULL, 0);
    }
    len = strcspn(sent, "?");
    return len == strlen(path) && !memcmp(sent, path, len) ? devcache_slice(NULL, 0)
                                                           : devcache_slice(sent, len);
}

/* The handler as ap_invoke_handler() will name it when it has run the filters' hook. */
static const char *handler_name(const request_rec *r)
{
    apr_size_t len;

    if (r->handler || !r->content_type || !AP_REQUEST_IS_TRUSTED_CT(r)) {
        return r->handler ? r->handler : AP_DEFAULT_HANDLER_NAME;
    }
    len = strcspn(r->content_type, ";");
    while (len && r->content_type[len] && r->content_type[len - 1] == ' ') {
        len--;
    }
    return apr_pstrmemdup(r->pool, r->content_type, len);
}

void devcache_asked_name_handler(request_rec *r)
{
    r->handler = handler_name(r);
}

/* A text that ends in the query, without what makes no other page. */
static const char *compared(const devcache_exchange_t *x, const devcache_query_t *rule,
                            const char *text, apr_pool_t *p)
{
    const char *query, *simple;

    if (!x->asked.query) {
        return text; /* there is nothing to leave out */
    }
    text = devcache_reduce_text(x, rule, text, p);
    if (!text || !x->asked.learnt.rule) {
        return text;
    }
    query = devcache_query_canonical(rule, x->asked.query, p);
    simple = devcache_variance_simplify(x->asked.learnt.rule, query, p);
    text = query ? devcache_query_replace(text, query, simple, p) : text;
    return *text ? text : NULL;
}

/* The handler and the file or URL that it will ask for, after rewriting: two requests
 * with one URL but different targets (a RewriteCond on a cookie, say) are never one
 * variant. */
static void rewritten(request_rec *r, const devcache_exchange_t *x,
                      const devcache_query_t *rule, devcache_slice_t *out)
{
    const char *filename = r->filename ? r->filename : "";

    if (!strncmp(filename, "proxy:", 6)) {
        filename = compared(x, rule, filename, r->pool);
    }
    out[HANDLER] = devcache_slice_str(handler_name(r));
    out[FILE_NAME] = devcache_slice_str(filename);
    out[PATH_INFO] = devcache_slice_str(r->path_info ? r->path_info : "");
    out[ARGS] = devcache_slice_str(compared(x, rule, r->args, r->pool));
}

/* The same of the request that rewriting in a directory has come to in the end. */
static devcache_slice_t arrived(request_rec *last, const devcache_exchange_t *x,
                                const devcache_query_t *rule)
{
    devcache_slice_t parts[ARGS + 1];

    rewritten(last, x, rule, parts);
    return join(parts, ARGS + 1, last->pool);
}

int devcache_asked_is_foreseen(request_rec *r, const devcache_exchange_t *x)
{
    const devcache_query_t *rule = devcache_dir_query(x->dir);

    return !x->asked.ahead ||
           devcache_slice_eq(arrived(r, x, rule), arrived(x->asked.ahead, x, rule));
}

devcache_slice_t devcache_asked_target(request_rec *r, const devcache_exchange_t *x,
                                       const devcache_query_t *rule)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    request_rec *last = x->asked.ahead ? x->asked.ahead : r;
    devcache_slice_t parts[PARTS] = {{NULL, 0}};
    int n;

    rewritten(r, x, rule, parts);
    parts[VIRTUAL_HOST] = devcache_conf_server(r->server)->identity;
    parts[ODD_HOST] = devcache_slice_str(odd_host(r));
    parts[KEY_VALUES] = key_values(x->asked.fields, devcache_dir_key_headers(dir),
                                   r->pool);
    parts[SPELLING] = odd_spelling(r, x->asked.path, parts[FILE_NAME].data);
    if (x->asked.ahead) {
        parts[AHEAD] = arrived(x->asked.ahead, x, rule);
    }
    parts[SET_FIELDS] = devcache_fields_set_values(r, x);
    parts[VARIABLES] = devcache_variables_values(last, handler_name(last), x);
    /* Few applications that answer some with data say so by Vary. */
    if (devcache_media_is_for_data(apr_table_get(x->asked.fields, "Accept"))) {
        parts[ACCEPTED] = devcache_slice_str("data");
    }
    for (n = PARTS; n > SPELLING && !parts[n - 1].data; n--) {
    }
    return join(parts, n, r->pool);
}

/* The first name whose value is not the same in both; "": they are alike. */
static const char *odd_pair(devcache_slice_t a, devcache_slice_t b, apr_pool_t *p)
{
    devcache_reader_t left = devcache_reader(a), right = devcache_reader(b);

    while (left.pos < left.end || right.pos < right.end) {
        devcache_slice_t x = devcache_get_slice(&left), y = devcache_get_slice(&right);
        devcache_slice_t v = devcache_get_slice(&left), w = devcache_get_slice(&right);

        if (!devcache_slice_eq(x, y) || !devcache_slice_eq(v, w)) {
            devcache_slice_t name = !x.data || (y.data && y.len &&
                                                strncmp(y.data, x.data, y.len) < 0)
                                        ? y
                                        : x;
            return name.data ? apr_pstrmemdup(p, name.data, name.len) : "";
        }
    }
    return "";
}

/* Likewise where the names are those of DevCacheKeyHeaders. */
static const char *odd_key(const apr_array_header_t *names, devcache_slice_t a,
                           devcache_slice_t b)
{
    devcache_reader_t left = devcache_reader(a), right = devcache_reader(b);
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        if (!devcache_slice_eq(devcache_get_slice(&left), devcache_get_slice(&right))) {
            return APR_ARRAY_IDX(names, i, const char *);
        }
    }
    return "";
}

/* In words: what two targets do not have alike in this part. */
static const char *odd_part(int part, const devcache_exchange_t *x, devcache_slice_t a,
                            devcache_slice_t b, apr_pool_t *p)
{
    switch (part) {
    case VIRTUAL_HOST:
        return "virtual host";
    case ODD_HOST:
        return "Host";
    case KEY_VALUES:
        return apr_pstrcat(p, "field ", odd_key(devcache_dir_key_headers(x->dir), a, b),
                           NULL);
    case SPELLING:
        return "spelling of the URL";
    case SET_FIELDS:
        return apr_pstrcat(p, "field ", odd_pair(a, b, p),
                           ", which the configuration sets", NULL);
    case VARIABLES:
        return apr_pstrcat(p, "variable ", devcache_variables_name(odd_pair(a, b, p)),
                           NULL);
    case ACCEPTED:
        return "page or data by Accept";
    default:
        return "handler or file that rewriting leads to";
    }
}

const char *devcache_asked_odd(const devcache_exchange_t *x, devcache_slice_t target,
                               apr_pool_t *p)
{
    devcache_reader_t mine = devcache_reader(x->asked.target);
    devcache_reader_t other = devcache_reader(target);
    int i;

    for (i = HANDLER; i < PARTS; i++) {
        int left = mine.pos < mine.end, right = other.pos < other.end;
        devcache_slice_t a = left ? devcache_get_slice(&mine) : devcache_slice(NULL, 0);
        devcache_slice_t b = right ? devcache_get_slice(&other) : devcache_slice(NULL, 0);

        if (!devcache_slice_eq(a, b)) {
            return odd_part(i, x, a, b, p);
        }
    }
    return NULL;
}

/* Has the client shown a certificate, be it a bad one that is put up with? Then it may be
 * known to the origin, by headers and variables that say so, as a user would be. */
static int shows_certificate(request_rec *r)
{
    const char *verified = ap_ssl_var_lookup(r->pool, r->server, r->connection, r,
                                             "SSL_CLIENT_VERIFY");

    return verified && *verified && strcmp(verified, "NONE");
}

int devcache_asked_shows_certificate(request_rec *r)
{
    return shows_certificate(r);
}

devcache_slice_t devcache_asked_simplified(const devcache_exchange_t *x,
                                           devcache_slice_t key,
                                           devcache_learnt_t *learnt, apr_pool_t *p)
{
    devcache_vary_parts_t parts;

    if (!devcache_dir_no_vary_search(x->dir) || !devcache_vary_key_parts(key, &parts) ||
        !parts.query.data) {
        return key; /* without a query there is nothing to leave out */
    }
    devcache_learnt_find(x->server->store, key, learnt, p);
    return devcache_learnt_key(learnt, key, p);
}

/* Where rewriting in a directory leads; it will see what the origin does. */
static request_rec *look_ahead(request_rec *r, devcache_exchange_t *x)
{
    request_rec *last;

    r->headers_in = x->asked.fields;
    last = devcache_ahead_look(r);
    r->headers_in = x->asked.own_fields;
    return last;
}

int devcache_asked_prepare(request_rec *r, devcache_exchange_t *x)
{
    const devcache_dir_t *dir = x->dir = devcache_conf_dir(r);
    const ap_expr_info_t *bypass = devcache_dir_bypass(dir);
    const devcache_query_t *rule = devcache_dir_query(dir);
    const char *error = NULL;

    x->server = devcache_conf_server(r->server);
    devcache_conf_policy(x->server, dir, &x->policy);
    x->vary = x->server->vary;
    x->vary.by_device = devcache_dir_vary_device(dir) && x->server->device;
    x->vary.user_agent_exact = devcache_dir_user_agent_exact(dir);
    x->vary.encodings = devcache_conf_encodings(dir);
    devcache_policy_request(&x->policy, r->method, r->headers_in,
                            devcache_fields_judge(r, x), &x->asked.req);
    if (r->user || x->asked.certified || shows_certificate(r)) {
        x->asked.req.authorization = 1; /* however they have shown who they are */
    }
    if (!x->asked.req.bypass && bypass && ap_expr_exec(r, bypass, &error) != 0) {
        /* An expression that cannot be evaluated means the origin, as on any doubt. */
        x->asked.req.bypass = DEVCACHE_REASON_BYPASS;
    }
    /* It may go while the server's own requests run: they are about what is there already. */
    if (!x->asked.req.bypass && !x->refresh.running &&
        !devcache_store_usable(x->server->store)) {
        x->asked.req.bypass = DEVCACHE_REASON_STORE_AWAY;
    }
    x->asked.whole_key = devcache_asked_key_of(r, rule, x->asked.path, x->asked.query,
                                               r->pool);
    x->asked.key = devcache_asked_simplified(x, x->asked.whole_key, &x->asked.learnt,
                                             r->pool);
    x->asked.own_fields = r->headers_in;
    devcache_said_note_vary(r, x);
    x->asked.fields = devcache_fields_to_send(r, x);
    if (r->filename && !strncmp(r->filename, "proxy:", 6)) {
        x->asked.address = r->useragent_ip;
        x->asked.protocol = r->protocol;
    }
    if (!x->asked.req.bypass && devcache_ahead_needed(r) &&
        !(x->asked.ahead = look_ahead(r, x))) {
        x->asked.req.bypass = DEVCACHE_REASON_REDIRECTED;
    }
    if (x->asked.req.of_post && devcache_store_usable(x->server->store) &&
        !devcache_ahead_needed(r) && !(bypass && ap_expr_exec(r, bypass, &error) != 0)) {
        x->asked.of_post = 1;
        x->asked.target = devcache_asked_target(r, x, rule);
    }
    if (x->asked.req.bypass) {
        return 0;
    }
    if (x->asked.req.is_head) {
        apr_table_unset(x->asked.fields, "Range"); /* RFC 9110 section 14.2 */
        apr_table_unset(x->asked.own_fields, "Range");
    }
    x->asked.target = devcache_asked_target(r, x, rule);
    return 1;
}
