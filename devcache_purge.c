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
#include "devcache_dialect.h"
#include "devcache_guard.h"
#include "devcache_json.h"
#include "devcache_log.h"
#include "devcache_request.h"
#include "devcache_stats.h"
#include "devcache_tags.h"

#define PORTS_MAX 64

/* ---- configuration -------------------------------------------------------- */

void devcache_purge_register_methods(apr_pool_t *pconf)
{
    int i;

    for (i = 0; devcache_dialect_methods[i]; i++) {
        ap_method_register(pconf, devcache_dialect_methods[i]);
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
    apr_status_t rv; /* the first error */
} done_t;

static int report(request_rec *r, const devcache_plan_t *plan, const done_t *done)
{
    const char *json = apr_psprintf(r->pool, "{\"purged\": %" APR_UINT64_T_FMT,
                                    done->purged);

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
    if (done->rv != APR_SUCCESS) {
        json = apr_pstrcat(r->pool, json,
                           ", \"error\": \"it could not be carried out in full: see the "
                           "error log, and repeat it\"",
                           NULL);
    }
    return answer(r, done->rv == APR_SUCCESS ? HTTP_OK : HTTP_INTERNAL_SERVER_ERROR,
                  apr_pstrcat(r->pool, json, "}", NULL));
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

/* The keys that a URL has under any scheme and port, with the query as this Location
 * makes it a part of the key and as it was sent: the page may be under another rule. */
static apr_array_header_t *keys_of(request_rec *r, const devcache_asked_t *a)
{
    const devcache_query_t *rule = devcache_dir_query(devcache_conf_dir(r));
    const char *queries[2] = {devcache_query_canonical(rule, a->query, r->pool),
                              a->query};
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
                    schemes[s], a->host, ports[i], a->path, queries[q], r->pool);
            }
        }
    }
    return keys;
}

static apr_status_t purge_key(devcache_store_t *store, devcache_slice_t key,
                              const devcache_ban_t *ban, int soft, apr_uint64_t *pcount,
                              apr_pool_t *p)
{
    devcache_purge_t purge = {key};
    devcache_ban_t by_device = {{DEVCACHE_BAN_ANY}};
    unsigned n = 0;
    apr_status_t rv;

    if (!soft && !ban->device) {
        rv = devcache_store_remove(store, key, devcache_now(), &n);
        *pcount = n;
        return rv;
    }
    by_device.device = ban->device;
    devcache_ban_encode(&by_device, &purge.what, p); /* without patterns it cannot fail */
    purge.now = devcache_now();
    purge.soft = soft;
    return devcache_store_purge(store, &purge, pcount);
}

static void purge_url(request_rec *r, devcache_store_t *store, const devcache_asked_t *a,
                      const devcache_ban_t *ban, int soft, done_t *done)
{
    apr_array_header_t *keys = keys_of(r, a);
    int i;

    for (i = 0; i < keys->nelts; i++) {
        apr_uint64_t n = 0;
        apr_status_t rv = purge_key(store, APR_ARRAY_IDX(keys, i, devcache_slice_t), ban,
                                    soft, &n, r->pool);

        done->rv = done->rv == APR_SUCCESS ? rv : done->rv;
        *(soft ? &done->expired : &done->purged) += n;
    }
}

/* ---- many ---------------------------------------------------------------------- */

/* @return NULL, or what is wrong with a pattern */
static const char *purge_many(request_rec *r, devcache_store_t *store,
                              const devcache_ban_t *ban, int soft, done_t *done)
{
    devcache_purge_t purge = {{NULL, 0}};
    const char *error = devcache_ban_encode(ban, &purge.what, r->pool);
    apr_uint64_t n = 0;
    apr_status_t rv;

    if (error) {
        return error;
    }
    purge.now = devcache_now();
    purge.soft = soft;
    rv = devcache_store_purge(store, &purge, &n);
    done->rv = done->rv == APR_SUCCESS ? rv : done->rv;
    *(soft ? &done->expired : &done->purged) += n;
    return NULL;
}

static int carry_out(request_rec *r, devcache_server_t *server, const devcache_asked_t *a)
{
    devcache_plan_t plan;
    done_t done = {0};
    int soft, status;
    const char *error = devcache_dialect_read(a, &plan, &status, r->pool);

    if (!error && plan.hard_ban.device &&
        (!server->device ||
         !devcache_device_known(server->device, plan.hard_ban.device))) {
        error = "DevCache-Purge-Device is none of the classes here";
    }
    for (soft = 0; soft < 2 && !error; soft++) {
        const devcache_ban_t *ban = soft ? &plan.soft_ban : &plan.hard_ban;

        if (!(soft ? plan.soft : plan.hard)) {
            continue;
        }
        if (plan.exact) {
            purge_url(r, server->store, a, ban, soft, &done);
        } else {
            error = purge_many(r, server->store, ban, soft, &done);
        }
    }
    return error ? refuse(r, status, error) : report(r, &plan, &done);
}

/* ---- the handler ---------------------------------------------------------------- */

static int is_purge(const request_rec *r)
{
    const char *by_path = devcache_dir_purge_path(devcache_conf_dir(r));
    int i;

    for (i = 0;
         devcache_dialect_methods[i] && strcmp(devcache_dialect_methods[i], r->method);
         i++) {
    }
    return devcache_dialect_methods[i] || (by_path && r->method_number == M_GET);
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
    devcache_asked_t asked;
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
    asked.method = r->method;
    asked.headers = r->headers_in;
    asked.tag_names = devcache_tags_names(dir, r->pool);
    asked.host = host_of(r);
    asked.query = x->query;
    asked.path = devcache_dir_purge_path(dir)
                     ? behind(x->path, devcache_dir_purge_path(dir), r->pool)
                     : x->path;
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
