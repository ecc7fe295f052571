/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explaining.
 *
 * A request is made (request/visit.c) and taken through the host's own phases: virtual host,
 * post_read_request (where devices are classified), Location, rewriting, access control,
 * fixups, output filters. There it stops. What our handler would do then request/decide.c
 * says, after a lookup that leaves no trace.
 *
 * No handler and no filter is run, and the copy of the connection leads to no client.
 * Nothing is logged about it.
 */
#include "watch/explain.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <arpa/inet.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include "request/asked.h"
#include "request/decide.h"
#include "request/differs.h"
#include "request/visit.h"
#include "watch/explain_show.h"
#include "http/field.h"
#include "setup/guard.h"

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

/* ---- what our handler would do -------------------------------------------------- */

static devcache_decision_e decide_answer(request_rec *r, devcache_exchange_t *x)
{
    if (devcache_decide_is_ours(r, x) != DEVCACHE_OURS_ON) {
        if (x) {
            x->dir = devcache_conf_dir(r); /* where it is told to be off */
        }
        return DEVCACHE_DECISION_OFF;
    }
    ap_run_insert_filter(r); /* they say whether it is put together from parts */
    if (devcache_asked_prepare(r, x)) {
        devcache_decide_find(r, x, devcache_store_peek);
        if (x->found.hit) {
            devcache_response_fields(&x->found.stored, r->pool); /* all of it is shown */
        } else if (x->found.variants) {
            devcache_differs_find(r, x);
        }
    }
    return devcache_decide(r, x, x->found.hit ? &x->found.stored.fresh : NULL);
}

static void find_outcome(request_rec *r, devcache_explained_t *o)
{
    devcache_decision_e decision;

    memset(o, 0, sizeof *o);
    o->status = devcache_visit_prepare(r);
    o->x = devcache_request_exchange(r);
    o->answer = "httpd";
    if (o->status == OK) {
        decision = decide_answer(r, o->x);
        o->answer = devcache_decide_name(decision);
        o->shares = o->x && devcache_peers_tell(r, o->x, decision, &o->tier);
    }
}

/* ---- telling -------------------------------------------------------------------- */

static void put_to_client(void *baton, const char *text, apr_size_t len)
{
    ap_rwrite(text, (int)len, baton);
}

static void write_answer(request_rec *r, request_rec *about, const asked_t *a,
                         const devcache_explained_t *o)
{
    devcache_json_t j;

    devcache_json_init(&j, put_to_client, r);
    devcache_json_object(&j, NULL);
    devcache_json_string(&j, "url", apr_uri_unparse(r->pool, &a->url, 0));
    devcache_explain_show(&j, about, o);
    devcache_json_end(&j);
}

static int refuse_question(request_rec *r, int status, const char *why)
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
    devcache_visit_t visit = {NULL};
    asked_t asked;

    ap_set_content_type(r, "application/json");
    if (devcache_guard_is_open(r)) {
        return refuse_question(
            r, HTTP_FORBIDDEN,
            "everybody may see this page, but explanations are for "
            "administrators: put a Require (such as 'Require local') into its "
            "Location");
    }
    if ((error = read_question(r, &asked))) {
        return refuse_question(r, HTTP_BAD_REQUEST, error);
    }
    visit.uri = apr_pstrcat(
        r->pool, asked.url.path && *asked.url.path ? asked.url.path : "/",
        asked.url.query ? "?" : NULL, asked.url.query ? asked.url.query : NULL, NULL);
    visit.host = asked.url.hostinfo;
    visit.port = asked.port;
    visit.tls = asked.tls;
    visit.ip = asked.address;
    visit.headers = asked.headers;
    visit.log = &silent;
    if (!(about = devcache_visit_make(r, &visit, r->pool))) {
        return refuse_question(r, HTTP_BAD_REQUEST, "this is no address of this server");
    }
    find_outcome(about, &outcome);
    write_answer(r, about, &asked, &outcome);
    apr_pool_destroy(about->pool);
    return OK;
}
