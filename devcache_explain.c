/*
 * Explaining.
 *
 * A request is made as the core of httpd makes one, on a copy of the connection that says
 * it came to the URL's port, and is taken through the host's own phases: virtual host,
 * post_read_request (where devices are classified), Location, rewriting, access control,
 * fixups. There it stops. What our handler would do then is done step by step with the
 * same functions, but for the lookup, which leaves no trace.
 *
 * No handler and no filter is run, so nothing is written to the client's connection, of
 * which the copy shares the filters. Nothing is logged about it.
 */
#include "devcache_explain.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <arpa/inet.h>
#include <http_config.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#include <http_vhost.h>
#include "devcache_background.h"
#include "devcache_explain_show.h"
#include "devcache_field.h"
#include "devcache_guard.h"
#include "devcache_request.h"
#include "devcache_serve.h"

#define HEADERS_MAX 100

/* ---- the question ----------------------------------------------------------------- */

typedef struct asked_t {
    apr_uri_t url;
    apr_port_t port;
    int tls;             /* by https */
    const char *address; /* NULL: where this request has come to */
    apr_table_t *headers;
} asked_t;

int devcache_explain_asked(const request_rec *r)
{
    return r->args && !strncmp(r->args, "explain=", 8);
}

static int is_visible(const char *s)
{
    for (; *s; s++) {
        if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f) {
            return 0;
        }
    }
    return 1;
}

static const char *take_url(asked_t *a, const char *value, apr_pool_t *p)
{
    if (!is_visible(value) || strchr(value, ' ') ||
        apr_uri_parse(p, value, &a->url) != APR_SUCCESS || !a->url.scheme ||
        !a->url.hostname || !*a->url.hostname || a->url.user ||
        (strcmp(a->url.scheme, "http") && strcmp(a->url.scheme, "https"))) {
        return "explain= takes a URL such as http://www.example.org/page, with %XX for "
               "what is not ASCII";
    }
    a->tls = !strcmp(a->url.scheme, "https");
    a->port = a->url.port_str && *a->url.port_str ? a->url.port
                                                  : apr_uri_port_of_scheme(a->url.scheme);
    return NULL;
}

static const char *take_header(asked_t *a, char *value)
{
    char *colon = strchr(value, ':');

    if (!colon || !is_visible(value)) {
        return "header= takes a request header such as 'Accept-Encoding: gzip'";
    }
    *colon++ = '\0';
    if (!devcache_field_is_token(devcache_slice_str(value))) {
        return "header= has a name that is none";
    }
    if (!ap_cstr_casecmp(value, "Host")) {
        return "header= cannot be Host: that comes from the URL";
    }
    if (apr_table_elts(a->headers)->nelts >= HEADERS_MAX) {
        return "there are too many header=";
    }
    apr_table_addn(a->headers, value, colon + strspn(colon, " \t"));
    return NULL;
}

static const char *take_address(asked_t *a, const char *value)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET, value, bytes) != 1 && inet_pton(AF_INET6, value, bytes) != 1) {
        return "address= takes an IP address of this server";
    }
    a->address = value;
    return NULL;
}

/* NULL, or what is wrong with the question. */
static const char *read_question(request_rec *r, asked_t *a)
{
    const char *rest = r->args, *error = NULL;

    memset(a, 0, sizeof *a);
    a->headers = apr_table_make(r->pool, 8);
    while (*rest && !error) {
        const char *pair = ap_getword(r->pool, &rest, '&');
        char *name = ap_getword(r->pool, &pair, '=');
        char *value = apr_pstrdup(r->pool, pair);

        if (ap_unescape_urlencoded(value) != OK) {
            return "the question has a % that is no escape";
        }
        error = !strcmp(name, "explain")   ? take_url(a, value, r->pool)
                : !strcmp(name, "header")  ? take_header(a, value)
                : !strcmp(name, "address") ? take_address(a, value)
                                           : "the question takes explain=, header= and "
                                             "address= only";
    }
    return error;
}

/* ---- the request that it is about -------------------------------------------------- */

static const struct ap_logconf silent = {NULL, -1};

/* Noted on a copy of a connection that a request for https would have come by: mod_ssl
 * itself asks for the session, which the copy has not. */
static const char over_tls[] = "devcache-explain-tls";

static const char *scheme_of(const request_rec *r)
{
    return apr_table_get(r->connection->notes, over_tls) ? "https" : NULL;
}

static apr_port_t default_port(const request_rec *r)
{
    return apr_table_get(r->connection->notes, over_tls) ? DEFAULT_HTTPS_PORT : 0;
}

static int is_tls(conn_rec *c)
{
    return apr_table_get(c->notes, over_tls) ? OK : DECLINED;
}

void devcache_explain_hooks(void)
{
    ap_hook_http_scheme(scheme_of, NULL, NULL, APR_HOOK_LAST);
    ap_hook_default_port(default_port, NULL, NULL, APR_HOOK_LAST);
    ap_hook_ssl_conn_is_ssl(is_tls, NULL, NULL, APR_HOOK_LAST);
}

static void forget(conn_rec *c, const char *name)
{
    module *m = ap_find_linked_module(name);

    if (m) {
        ap_set_module_config(c->conn_config, m, NULL);
    }
}

static conn_rec *make_connection(request_rec *r, const asked_t *a)
{
    const conn_rec *own = r->connection;
    conn_rec *c = apr_pmemdup(r->pool, own, sizeof *c);
    const char *ip = a->address ? a->address : own->local_ip;

    if (apr_sockaddr_info_get(&c->local_addr, ip, APR_UNSPEC, a->port, 0, r->pool) !=
        APR_SUCCESS) {
        return NULL;
    }
    c->local_ip = (char *)ip;
    c->pool = r->pool;
    c->master = NULL;
    c->log = &silent;
    c->notes = apr_table_make(r->pool, 1);
    if (a->tls) {
        apr_table_setn(c->notes, over_tls, "1");
    }
    /* Hooks count on what modules keep with the connection; but neither the TLS session
     * nor the HTTP/2 stream that the question has come by is that of what is asked. */
    c->conn_config = devcache_background_copy_config(own->conn_config, r->pool);
    forget(c, "mod_ssl.c");
    forget(c, "mod_http2.c");
    c->base_server = ap_server_conf;
    ap_update_vhost_given_ip(c);
    return c;
}

static request_rec *make_request(conn_rec *c, const asked_t *a)
{
    request_rec *r = ap_create_request(c);
    const apr_array_header_t *all = apr_table_elts(a->headers);
    const char *host = a->url.hostinfo;
    int i;

    r->log = &silent;
    r->request_time = apr_time_now();
    r->the_request = apr_psprintf(
        r->pool, "GET %s%s%s HTTP/1.1", a->url.path && *a->url.path ? a->url.path : "/",
        a->url.query ? "?" : "", a->url.query ? a->url.query : "");
    apr_table_setn(r->headers_in, "Host", host);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        apr_table_addn(r->headers_in, e->key, e->val);
    }
    apr_table_compress(r->headers_in, APR_OVERLAP_TABLES_MERGE);
    return r;
}

/* Through the phases. @return OK, or the status that ends it */
static int process(request_rec *r, int *pquick)
{
    int status;

    *pquick = 0;
    if (!ap_parse_request_line(r) || !ap_check_request_header(r)) {
        return r->status == HTTP_OK ? HTTP_BAD_REQUEST : r->status;
    }
    r->per_dir_config = r->server->lookup_defaults;
    if ((status = ap_post_read_request(r)) != OK) {
        return status;
    }
    *pquick = devcache_serve_quick_peek(r);
    if (*pquick || (status = ap_process_request_internal(r)) != OK) {
        return status;
    }
    devcache_request_name_handler(r);
    return OK;
}

/* ---- what our handler would do ------------------------------------------------------
 */

static const char *judge_hit(devcache_exchange_t *x)
{
    switch (devcache_policy_reuse(&x->policy, &x->req, &x->stored.fresh, x->now,
                                  &x->reason, &x->ttl)) {
    case DEVCACHE_USE_FRESH:
        return "hit";
    case DEVCACHE_USE_STALE:
        return "stale";
    case DEVCACHE_USE_STALE_REFRESH:
        return "stale-refresh";
    default:
        return x->req.only_if_cached ? "timeout" : "validate";
    }
}

static const char *judge_miss(devcache_exchange_t *x)
{
    if (x->req.only_if_cached) {
        x->reason = DEVCACHE_REASON_ONLY_IF_CACHED;
        return "timeout";
    }
    if (x->req.has_range || x->req.has_precondition) {
        x->reason = x->req.has_range ? DEVCACHE_REASON_REQ_RANGE
                                     : DEVCACHE_REASON_REQ_PRECOND;
        return "pass";
    }
    x->reason = x->variants_seen ? DEVCACHE_REASON_VARY_MISMATCH
                                 : DEVCACHE_REASON_URI_MISS;
    return "miss";
}

static const char *judge(request_rec *r, devcache_exchange_t *x)
{
    x->server = devcache_conf_server(r->server);
    x->dir = devcache_conf_dir(r);
    if (!x->path || r->proxyreq == PROXYREQ_PROXY || !devcache_dir_enabled(x->dir) ||
        !x->server->store || (r->handler && !strcmp(r->handler, "devcache-status"))) {
        return "off";
    }
    if (!devcache_request_prepare(r, x)) {
        return "bypass";
    }
    devcache_serve_peek(r, x);
    return x->hit ? judge_hit(x) : judge_miss(x);
}

static void find_outcome(request_rec *r, devcache_explained_t *o)
{
    memset(o, 0, sizeof *o);
    o->status = process(r, &o->quick);
    o->x = devcache_request_exchange(r);
    if (o->quick) {
        o->status = OK;
        o->answer = "hit";
    } else if (o->status != OK) {
        o->answer = "httpd";
    } else {
        o->answer = o->x ? judge(r, o->x) : "off";
    }
}

/* ---- telling -----------------------------------------------------------------------
 */

static void put_to_client(void *baton, const char *text, apr_size_t len)
{
    ap_rwrite(text, (int)len, baton);
}

static void tell(request_rec *r, request_rec *about, const asked_t *a,
                 const devcache_explained_t *o)
{
    devcache_json_t j;

    devcache_json_init(&j, put_to_client, r);
    devcache_json_object(&j, NULL);
    devcache_json_string(&j, "url", apr_uri_unparse(r->pool, &a->url, 0));
    devcache_explain_show(&j, about, o);
    devcache_json_end(&j);
}

static int refuse(request_rec *r, int status, const char *why)
{
    devcache_json_t j;

    r->status = status;
    devcache_json_init(&j, put_to_client, r);
    devcache_json_object(&j, NULL);
    devcache_json_string(&j, "error", why);
    devcache_json_end(&j);
    return OK;
}

int devcache_explain_answer(request_rec *r)
{
    request_rec *about;
    const char *error;
    devcache_explained_t outcome;
    asked_t asked;
    conn_rec *c;

    ap_set_content_type(r, "application/json");
    if (devcache_guard_is_open(r)) {
        return refuse(r, HTTP_FORBIDDEN,
                      "everybody may see this page, but explanations are for "
                      "administrators: put a Require (such as 'Require local') into its "
                      "Location");
    }
    if ((error = read_question(r, &asked))) {
        return refuse(r, HTTP_BAD_REQUEST, error);
    }
    if (!(c = make_connection(r, &asked))) {
        return refuse(r, HTTP_BAD_REQUEST, "this is no address of this server");
    }
    about = make_request(c, &asked);
    find_outcome(about, &outcome);
    tell(r, about, &asked, &outcome);
    apr_pool_destroy(about->pool);
    return OK;
}
