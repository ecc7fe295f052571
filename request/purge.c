/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PURGE.
 *
 * Where DevCachePurge is On the methods below are answered here and never reach the
 * origin; elsewhere they are as unknown as any other.
 *
 * Which URL. A key has scheme and local port in it, as virtual hosts are told apart by
 * them. Who purges is often a program on the same machine that speaks plain HTTP to port
 * 80, for pages that visitors see on 443. So a purge is about the host that it names and
 * its path and query, whatever the scheme, on every port that this server listens on.
 * Whether the client may purge is decided where its request arrives: by the Location, in
 * the virtual host, that httpd has found for it.
 */
#include "request/purge.h"

#include <ap_listen.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include "base/clock.h"
#include "setup/conf.h"
#include "http/field.h"
#include "purge/dialect.h"
#include "purge/order.h"
#include "setup/guard.h"
#include "base/json.h"
#include "mod_devcache.h"
#include "request/refill.h"
#include "request/request.h"
#include "stats/stats.h"
#include "request/tags.h"

#define PORTS_MAX 64

/* ---- configuration -------------------------------------------------------- */

void devcache_purge_register_methods(apr_pool_t *pconf)
{
    int i;

    for (i = 0; devcache_dialect_methods[i]; i++) {
        ap_method_register(pconf, devcache_dialect_methods[i]);
    }
}

/* ---- the answer ------------------------------------------------------------ */

static int answer(request_rec *r, int status, const char *json)
{
    r->status = status;
    ap_set_content_type(r, "application/json");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_set_content_length(r, (apr_off_t)strlen(json) + 1);
    if (!r->header_only) {
        ap_rputs(json, r);
        ap_rputs("\n", r);
    }
    return OK;
}

static int refuse(request_rec *r, int status, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, DCLOGNO(0141) "purge: %s refused: %s",
                  r->method, why);
    return answer(r, status,
                  apr_pstrcat(r->pool, "{\"error\": \"",
                              devcache_json_escape(devcache_slice_str(why), r->pool),
                              "\"}", NULL));
}

/* What a purge comes to. */
typedef struct done_t {
    apr_uint64_t purged, expired;
    apr_status_t rv;           /* the first error */
    apr_status_t told;         /* the first error of telling the other machines */
    devcache_tier_sent_t sent; /* the last that was told them */
} done_t;

/* The names of machines, as members of a JSON array. */
static const char *names_of(const apr_array_header_t *names, apr_pool_t *p)
{
    const char *all = "";
    int i;

    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        all = apr_pstrcat(p, all, i ? ", \"" : "\"",
                          devcache_json_escape(devcache_slice_str(name), p), "\"", NULL);
    }
    return all;
}

/* What is said of the other machines, and the status: 202 while one does not have it. */
static const char *of_machines(request_rec *r, const devcache_plan_t *plan,
                               const done_t *done, int *pstatus)
{
    devcache_tier_t *tier = devcache_conf_server(r->server)->machines;
    devcache_tier_reach_t reach = {1, 1, apr_array_make(r->pool, 1, sizeof(char *))};
    int pending = 0;

    if (tier && plan->wait >= 0 && done->told == APR_SUCCESS) {
        devcache_tier_wait_applied(tier, &done->sent, plan->wait, &reach, r->pool);
    }
    /* What they have all applied is on a server, whatever became of the server's answer. */
    if (tier && done->told == APR_SUCCESS &&
        (reach.nodes == 1 || reach.applied < reach.nodes)) {
        pending = devcache_tier_wait_sent(tier, &done->sent) == 0;
    }
    *pstatus = pending || reach.applied < reach.nodes ? HTTP_ACCEPTED : HTTP_OK;
    if (plan->wait < 0) {
        return tier
                   ? apr_psprintf(r->pool, ", \"nodes\": %u%s", devcache_tier_nodes(tier),
                                  pending ? ", \"pending\": true" : "")
                   : "";
    }
    return apr_psprintf(r->pool, ", \"nodes\": %u, \"applied\": %u%s%s%s%s", reach.nodes,
                        reach.applied, reach.missing->nelts ? ", \"missing\": [" : "",
                        names_of(reach.missing, r->pool), reach.missing->nelts ? "]" : "",
                        pending ? ", \"pending\": true" : "");
}

static int report(request_rec *r, const devcache_plan_t *plan, const done_t *done,
                  devcache_refill_t *refill)
{
    const char *json = apr_psprintf(r->pool, "{\"purged\": %" APR_UINT64_T_FMT,
                                    done->purged);
    int status;

    devcache_stats_count(DEVCACHE_COUNT_purges);
    devcache_stats_add(DEVCACHE_COUNT_purged, done->purged + done->expired);
    ap_log_rerror(APLOG_MARK, done->rv == APR_SUCCESS ? APLOG_INFO : APLOG_ERR, done->rv,
                  r,
                  DCLOGNO(0142) "purge: %s %s: %" APR_UINT64_T_FMT
                                " responses went, %" APR_UINT64_T_FMT " expired",
                  r->method, r->uri, done->purged, done->expired);
    if (plan->soft) {
        json = apr_psprintf(r->pool, "%s, \"expired\": %" APR_UINT64_T_FMT, json,
                            done->expired);
    }
    json = apr_pstrcat(r->pool, json, of_machines(r, plan, done, &status),
                       refill ? devcache_refill_settle(refill) : NULL, NULL);
    if (done->told != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, done->told, r,
                      DCLOGNO(0143) "purge: it could not be written down for the other "
                                    "machines, which keep what they have");
        json = apr_pstrcat(r->pool, json,
                           ", \"error\": \"the other machines could not be told: see the "
                           "error log, and repeat it\"",
                           NULL);
        status = HTTP_INTERNAL_SERVER_ERROR;
    } else if (done->rv != APR_SUCCESS) {
        json = apr_pstrcat(r->pool, json,
                           ", \"error\": \"it could not be carried out in full: see the "
                           "error log, and repeat it\"",
                           NULL);
        status = HTTP_INTERNAL_SERVER_ERROR;
    }
    return answer(r, status, apr_pstrcat(r->pool, json, "}", NULL));
}

/* ---- one URL ------------------------------------------------------------------ */

/* Ports of keys: those listened on, each once. */
static unsigned list_ports(request_rec *r, unsigned ports[PORTS_MAX])
{
    const ap_listen_rec *l;
    unsigned n = 0, i;

    if (r->connection->local_addr) {
        ports[n++] = r->connection->local_addr->port;
    }
    for (l = ap_listeners; l && n < PORTS_MAX; l = l->next) {
        unsigned port = l->bind_addr ? l->bind_addr->port : 0;

        for (i = 0; i < n && ports[i] != port; i++) {
        }
        if (i == n) {
            ports[n++] = port;
        }
    }
    return n;
}

/* With the query as this Location makes it a part of the key and as it was sent: the page
 * may be under another rule. */
static void order_url(request_rec *r, const devcache_asked_t *a,
                      const devcache_ban_t *ban, devcache_order_t *order)
{
    const devcache_query_t *rule = devcache_dir_query(devcache_conf_dir(r));
    devcache_ban_t by_device = {{DEVCACHE_BAN_ANY}};

    order->kind = DEVCACHE_ORDER_URL;
    order->host = a->host;
    order->path = a->path;
    order->queries[0] = devcache_query_canonical(rule, a->query, r->pool);
    order->queries[1] = a->query;
    if (ban->device) {
        by_device.device = ban->device;
        devcache_ban_encode(&by_device, &order->ban, r->pool); /* it has no patterns */
    }
}

/* ---- carrying out --------------------------------------------------------------- */

/* The other machines are told first: a purge that is answered must not be lost to them,
 * one that was not will be asked for again. */
static void carry_out_one(request_rec *r, devcache_server_t *server,
                          const devcache_order_t *order, int wanted, done_t *done)
{
    unsigned ports[PORTS_MAX], nports = list_ports(r, ports);
    apr_uint64_t n = 0;
    apr_status_t rv;

    if (server->tier_lost) {
        done->told = APR_EGENERAL;
    } else if (server->machines) {
        rv = devcache_tier_publish(server->machines, order, wanted, &done->sent, r->pool);
        done->told = done->told == APR_SUCCESS ? rv : done->told;
    }
    rv = devcache_order_carry_out(server->store, order, ports, nports, devcache_now(), &n,
                                  r->pool);
    done->rv = done->rv == APR_SUCCESS ? rv : done->rv;
    *(order->soft ? &done->expired : &done->purged) += n;
}

static int carry_out(request_rec *r, devcache_server_t *server, const devcache_asked_t *a)
{
    devcache_order_t orders[2] = {{DEVCACHE_ORDER_MANY, 0}, {DEVCACHE_ORDER_MANY, 1}};
    devcache_plan_t plan;
    done_t done = {0};
    devcache_refill_t *refill = NULL;
    int soft, status;
    const char *error = devcache_dialect_read(a, &plan, &status, r->pool);

    if (!error && plan.hard_ban.device &&
        (!server->device ||
         !devcache_device_known(server->device, plan.hard_ban.device))) {
        error = "DevCache-Purge-Device is none of the classes here";
    }
    for (soft = 0; soft < 2 && !error; soft++) {
        const devcache_ban_t *ban = soft ? &plan.soft_ban : &plan.hard_ban;

        if (plan.exact) {
            order_url(r, a, ban, &orders[soft]);
        } else {
            error = devcache_ban_encode(ban, &orders[soft].ban, r->pool);
        }
    }
    if (!error && plan.refill) {
        refill = devcache_refill_begin(r);
    }
    for (soft = 0; soft < 2 && !error; soft++) {
        if (soft ? plan.soft : plan.hard) {
            orders[soft].gone = refill ? devcache_refill_note : NULL;
            orders[soft].baton = refill;
            carry_out_one(r, server, &orders[soft], plan.wait >= 0, &done);
        }
    }
    if (error) {
        return refuse(r, status, error);
    }
    status = report(r, &plan, &done, refill);
    if (refill) {
        devcache_refill_run(refill);
    }
    return status;
}

/* ---- from where ------------------------------------------------------------------ */

/*
 * A page of any site can make a visitor's browser send a GET or a POST to a Location with
 * DevCachePurge Path: by an image, a link, a form. Its address is then one that may purge.
 * Browsers say where a request comes from, in Sec-Fetch-Site (W3C Fetch Metadata), Origin
 * or Referer; a browser that says it nowhere is taken for one that was told not to. The
 * methods of purging themselves need a preflight request, which nobody answers.
 */

/* Is this URL's scheme, host and port the ones that the request was sent to? */
static int is_own_origin(request_rec *r, const char *url)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    apr_uri_t theirs, ours;

    /* Two lines of a field are one by now, with a comma and a blank between them. */
    return host && !strpbrk(url, " \t\\") &&
           apr_uri_parse(r->pool, url, &theirs) == APR_SUCCESS && theirs.scheme &&
           theirs.hostname && !theirs.user && !theirs.password &&
           apr_uri_parse_hostinfo(r->pool, host, &ours) == APR_SUCCESS && ours.hostname &&
           !ap_cstr_casecmp(theirs.scheme, ap_http_scheme(r)) &&
           !ap_cstr_casecmp(theirs.hostname, ours.hostname) &&
           (theirs.port_str && *theirs.port_str ? theirs.port : ap_default_port(r)) ==
               (ours.port_str && *ours.port_str ? ours.port : ap_default_port(r));
}

/* Why a request that is a purge by its path only may come from a page of another site;
 * NULL: it does not. */
static const char *is_from_elsewhere(request_rec *r)
{
    const char *value, *agent = apr_table_get(r->headers_in, "User-Agent");
    int index, said = 0;

    for (index = 0;
         (value = devcache_field_line(r->headers_in, "Sec-Fetch-Site", &index));
         said = 1) {
        if (strcmp(value, "same-origin") && strcmp(value, "none")) {
            return "Sec-Fetch-Site says that another site sent it";
        }
    }
    for (index = 0; (value = devcache_field_line(r->headers_in, "Origin", &index));
         said = 1) {
        if (!is_own_origin(r, value)) {
            return "its Origin is another site";
        }
    }
    for (index = 0; (value = devcache_field_line(r->headers_in, "Referer", &index));
         said = 1) {
        if (!is_own_origin(r, value)) {
            return "its Referer is another site";
        }
    }
    return !said && agent && !strncmp(agent, "Mozilla/", 8)
               ? "it comes from a browser that does not say from which page"
               : NULL;
}

/* ---- the handler ---------------------------------------------------------------- */

static int is_purge_method(const char *method)
{
    int i;

    for (i = 0; devcache_dialect_methods[i]; i++) {
        if (!strcmp(devcache_dialect_methods[i], method)) {
            return 1;
        }
    }
    return 0;
}

static int is_purge(const request_rec *r)
{
    return is_purge_method(r->method) ||
           (devcache_dir_purge_path(devcache_conf_dir(r)) &&
            (r->method_number == M_GET || r->method_number == M_POST));
}

/* The path as the client has sent it, still encoded. */
static const char *sent_path(request_rec *r)
{
    const char *uri = r->unparsed_uri, *at = ap_strstr_c(uri, "://");

    if (*uri != '/') {
        at = at ? ap_strchr_c(at + 3, '/') : NULL;
        uri = at ? at : "/";
    }
    return apr_pstrmemdup(r->pool, uri, strcspn(uri, "?#"));
}

/* The URL behind the Location's own path. */
static const char *behind(const char *path, const char *prefix, apr_pool_t *p)
{
    apr_size_t len = strlen(prefix);

    path = strncmp(path, prefix, len) ? path : path + len;
    return *path == '/' ? path : apr_pstrcat(p, "/", path, NULL);
}

/* As in a key. */
static const char *host_of(request_rec *r)
{
    char *host = apr_pstrdup(r->pool,
                             r->hostname ? r->hostname : r->server->server_hostname);
    apr_size_t len = strlen(host);

    if (len > 1 && host[len - 1] == '.') {
        host[len - 1] = '\0';
    }
    ap_str_tolower(host);
    return host;
}

int devcache_purge_handler(request_rec *r)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    devcache_exchange_t *x = devcache_request_exchange(r);
    devcache_server_t *server = devcache_conf_server(r->server);
    const char *elsewhere;
    devcache_asked_t asked;
    int rv;

    if (!devcache_dir_purge(dir) || !is_purge(r) || r->main || r->prev || !x ||
        !x->asked.path || !server->store || x->origin.running ||
        r->proxyreq == PROXYREQ_PROXY) {
        return DECLINED;
    }
    if ((rv = ap_discard_request_body(r)) != OK) {
        return rv;
    }
    if (devcache_guard_is_open(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      DCLOGNO(0140) "purge: refused: DevCachePurge is On for %s, but the "
                                    "access control in force there lets anybody in: see "
                                    "which section's Require comes last",
                      r->uri);
        return HTTP_FORBIDDEN;
    }
    if (!is_purge_method(r->method) && (elsewhere = is_from_elsewhere(r)) != NULL) {
        return refuse(r, HTTP_FORBIDDEN,
                      apr_pstrcat(r->pool, elsewhere,
                                  ", and a page must not purge by its visitors; a "
                                  "program can send the method PURGE",
                                  NULL));
    }
    asked.method = is_purge_method(r->method) ? r->method : "PURGE";
    asked.headers = r->headers_in;
    asked.tag_names = devcache_tags_names(dir, r->pool);
    asked.host = host_of(r);
    asked.query = x->asked.query;
    asked.own = server->vary.device_header;
    asked.path = devcache_dir_purge_path(dir)
                     ? behind(x->asked.path, devcache_dir_purge_path(dir), r->pool)
                     : x->asked.path;
    asked.sent = devcache_dir_purge_path(dir)
                     ? behind(sent_path(r), devcache_dir_purge_path(dir), r->pool)
                     : sent_path(r);
    if (devcache_dir_purge_path(dir) &&
        strncmp(sent_path(r), devcache_dir_purge_path(dir),
                strlen(devcache_dir_purge_path(dir))) != 0) {
        return refuse(r, HTTP_BAD_REQUEST,
                      "the path of this Location must be written as it is configured");
    }
    if (*asked.path != '/') {
        return refuse(r, HTTP_BAD_REQUEST, "there is no such URL to be purged");
    }
    return carry_out(r, server, &asked);
}

int devcache_purge_log(request_rec *r)
{
    if (devcache_dir_purge(devcache_conf_dir(r)) && is_purge(r) &&
        ap_is_HTTP_CLIENT_ERROR(r->status)) {
        devcache_stats_count(DEVCACHE_COUNT_purges_refused);
    }
    return DECLINED;
}
