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
#include "devcache_purge.h"

#include <ap_listen.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_cfgtree.h>
#include "devcache_clock.h"
#include "devcache_conf.h"
#include "devcache_guard.h"
#include "devcache_log.h"
#include "devcache_request.h"
#include "devcache_stats.h"

#define PORTS_MAX 64

static const char *const methods[] = {"PURGE", NULL};

/* ---- configuration -------------------------------------------------------- */

void devcache_purge_register_methods(apr_pool_t *pconf)
{
    int i;

    for (i = 0; methods[i]; i++) {
        ap_method_register(pconf, methods[i]);
    }
}

/* Only a plain <Location "/path"> has a path that can be taken off a URL. */
static int has_path(const cmd_parms *cmd, const ap_directive_t *section)
{
    return section && !ap_cstr_casecmp(section->directive, "<Location") && cmd->path &&
           cmd->path[0] == '/' && section->args && !ap_strchr_c(section->args, '~');
}

const char *devcache_purge_set(cmd_parms *cmd, void *dirv, const char *arg)
{
    const ap_directive_t *section = cmd->directive->parent;
    devcache_dir_t *conf = dirv;
    int by_path = !ap_cstr_casecmp(arg, "Path");

    conf->purge_path_by = conf->purge_by = cmd->directive;
    conf->purge_path = by_path ? cmd->path : NULL;
    conf->purge = by_path || !ap_cstr_casecmp(arg, "On");
    if (!conf->purge) {
        return ap_cstr_casecmp(arg, "Off")
                   ? apr_psprintf(cmd->pool, "DevCachePurge: '%s' is not On, Off or Path",
                                  arg)
                   : NULL;
    }
    if (by_path && !has_path(cmd, section)) {
        return "DevCachePurge Path: put it into a <Location \"/purge\">, whose path is "
               "what is taken off the URL";
    }
    if (!devcache_guard_section(section)) {
        return apr_psprintf(cmd->pool,
                            "DevCachePurge %s: anybody could purge: put a Require (such "
                            "as 'Require local' or 'Require ip 192.0.2.1'; not 'all "
                            "granted') into the same section",
                            arg);
    }
    devcache_conf_needs_store(cmd);
    return NULL;
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

/* @a why has nothing in it that a client sent, and so needs no escapes. */
static int refuse(request_rec *r, int status, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, DCLOGNO(0141) "purge: %s refused: %s",
                  r->method, why);
    return answer(r, status, apr_psprintf(r->pool, "{\"error\": \"%s\"}", why));
}

static int report(request_rec *r, apr_status_t rv, apr_uint64_t count)
{
    devcache_stats_count(DEVCACHE_COUNT_purges);
    devcache_stats_add(DEVCACHE_COUNT_purged, count);
    ap_log_rerror(APLOG_MARK, rv == APR_SUCCESS ? APLOG_INFO : APLOG_ERR, rv, r,
                  DCLOGNO(0142) "purge: %s %s: %" APR_UINT64_T_FMT " responses went",
                  r->method, r->uri, count);
    if (rv != APR_SUCCESS) {
        return answer(r, HTTP_INTERNAL_SERVER_ERROR,
                      apr_psprintf(r->pool,
                                   "{\"purged\": %" APR_UINT64_T_FMT
                                   ", \"error\": \"not all of it could be done; see the "
                                   "error log and repeat it\"}",
                                   count));
    }
    return answer(r, HTTP_OK,
                  apr_psprintf(r->pool, "{\"purged\": %" APR_UINT64_T_FMT "}", count));
}

/* ---- one URL ------------------------------------------------------------------ */

typedef struct target_t {
    const char *host;
    const char *path; /* decoded */
    const char *query;
} target_t;

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

/* The keys that a URL has under any scheme and port, with the query as this Location
 * makes it a part of the key and as it was sent: the page may be under another rule. */
static apr_array_header_t *keys_of(request_rec *r, const target_t *t)
{
    const devcache_query_t *rule = devcache_dir_query(devcache_conf_dir(r));
    const char *queries[2] = {devcache_query_canonical(rule, t->query, r->pool),
                              t->query};
    static const char *const schemes[] = {"http", "https"};
    apr_array_header_t *keys = apr_array_make(r->pool, 8, sizeof(devcache_slice_t));
    unsigned ports[PORTS_MAX], n = list_ports(r, ports), i;
    int same = queries[0] == queries[1] ||
               (queries[0] && queries[1] && !strcmp(queries[0], queries[1]));
    int q, s;

    for (q = 0; q < 2 - same; q++) {
        for (s = 0; s < 2; s++) {
            for (i = 0; i < n; i++) {
                APR_ARRAY_PUSH(keys, devcache_slice_t) = devcache_vary_key(
                    schemes[s], t->host, ports[i], t->path, queries[q], r->pool);
            }
        }
    }
    return keys;
}

static int purge_url(request_rec *r, devcache_store_t *store, const target_t *t)
{
    apr_array_header_t *keys = keys_of(r, t);
    apr_uint64_t count = 0;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < keys->nelts; i++) {
        unsigned n = 0;
        apr_status_t one = devcache_store_remove(
            store, APR_ARRAY_IDX(keys, i, devcache_slice_t), devcache_now(), &n);

        rv = rv == APR_SUCCESS ? one : rv;
        count += n;
    }
    return report(r, rv, count);
}

/* ---- the handler ---------------------------------------------------------------- */

static int is_purge(const request_rec *r)
{
    const char *by_path = devcache_dir_purge_path(devcache_conf_dir(r));
    int i;

    for (i = 0; methods[i] && strcmp(methods[i], r->method); i++) {
    }
    return methods[i] || (by_path && r->method_number == M_GET);
}

/* The URL behind the Location's own path. */
static const char *behind(const char *path, const char *prefix, apr_pool_t *p)
{
    apr_size_t len = strlen(prefix);

    path = strncmp(path, prefix, len) ? path : path + len;
    return *path == '/' ? path : apr_pstrcat(p, "/", path, NULL);
}

int devcache_purge_handler(request_rec *r)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    devcache_exchange_t *x = devcache_request_exchange(r);
    devcache_server_t *server = devcache_conf_server(r->server);
    target_t t;
    int rv;

    if (!devcache_dir_purge(dir) || !is_purge(r) || r->main || r->prev || !x ||
        !x->path || !server->store || x->running || r->proxyreq == PROXYREQ_PROXY) {
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
    t.host = r->hostname ? r->hostname : r->server->server_hostname;
    t.query = x->query;
    t.path = devcache_dir_purge_path(dir)
                 ? behind(x->path, devcache_dir_purge_path(dir), r->pool)
                 : x->path;
    if (*t.path != '/') {
        return refuse(r, HTTP_BAD_REQUEST, "there is no such URL to be purged");
    }
    return purge_url(r, server->store, &t);
}

int devcache_purge_log(request_rec *r)
{
    if (devcache_dir_purge(devcache_conf_dir(r)) && is_purge(r) &&
        ap_is_HTTP_CLIENT_ERROR(r->status)) {
        devcache_stats_count(DEVCACHE_COUNT_purges_refused);
    }
    return DECLINED;
}
