/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several machines: the configuration.
 *
 * A tier belongs to a DevCacheRoot, as the store does: purges of one root are carried out
 * by the same root of each machine. So servers with one root have to agree about it, and
 * two roots have to differ in DevCacheTierName, or each would carry out the other's purges.
 *
 * Unlike the store it is opened anew at each reload, which costs nothing: what has to last
 * is in files below the root. Secrets are read while httpd is root, from files that nobody
 * else can read.
 */
#include "setup/machines.h"

#include <ap_listen.h>
#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <unistd.h>
#include <unixd.h>
#include "mod_devcache.h"
#include "setup/conf.h"
#include "setup/log.h"
#include "setup/value.h"

#define PORTS_MAX 64
#define TIME_MAX apr_time_from_sec(10)

#define SET(field, v) (conf->field = (v), conf->field##_by = cmd->directive)

/* By root, of this configuration; devcache_tier_t *. */
static apr_hash_t *tiers;

/* ---- directives ------------------------------------------------------------------------ */

const char *devcache_set_tier(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    apr_array_header_t *urls = apr_array_make(cmd->pool, argc + 1, sizeof(const char *));
    int i, j;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        SET(tier, urls);
        return NULL;
    }
    if (argc == 0 || argc > DEVCACHE_TIER_SERVERS) {
        return "DevCacheTier: give one to eight servers (such as "
               "redis://192.0.2.5:6379/0), or 'off'";
    }
    for (i = 0; i < argc; i++) {
        devcache_url_t url;
        const char *error = devcache_url_parse(argv[i], &url, cmd->temp_pool);

        if (error) {
            /* What may have a password in it is not repeated. */
            return apr_psprintf(cmd->pool, "DevCacheTier: '%s' %s",
                                strchr(argv[i], '@') ? "the URL" : argv[i], error);
        }
        for (j = 0; j < i; j++) {
            if (!strcmp(argv[i], argv[j])) {
                return apr_psprintf(cmd->pool, "DevCacheTier: '%s' is named twice",
                                    argv[i]);
            }
        }
        APR_ARRAY_PUSH(urls, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    }
    SET(tier, urls);
    return NULL;
}

const char *devcache_set_tier_file(cmd_parms *cmd, void *dirv, const char *arg)
{
    const devcache_tier_file_t *at = cmd->info;
    char *conf = (char *)devcache_conf_server(cmd->server);
    const char *path = *arg ? ap_server_root_relative(cmd->pool, arg) : NULL;

    if (!path) {
        return apr_psprintf(cmd->pool, "%s: '%s' is not a path", cmd->cmd->name, arg);
    }
    *(const char **)(void *)(conf + at->value) = path;
    *(const ap_directive_t **)(void *)(conf + at->by) = cmd->directive;
    return NULL;
}

const char *devcache_set_tier_name(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    const char *at = arg;

    while (apr_isalnum(*at) || (*at && strchr("-_.", *at))) {
        at++;
    }
    if (*at || at == arg || at - arg > 64) {
        return apr_psprintf(cmd->pool,
                            "DevCacheTierName: '%s' is not 1 to 64 letters, digits, "
                            "dots, - and _",
                            arg);
    }
    SET(tier_name, arg);
    return NULL;
}

const char *devcache_set_tier_use(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);

    static const char *const uses[] = {"purge", "objects", "locks"};
    int i;

    for (i = 0; i < 3 && ap_cstr_casecmp(arg, uses[i]); i++) {
    }
    if (i == 3) {
        return apr_psprintf(cmd->pool,
                            "DevCacheTierUse: '%s' is not purge, objects or locks", arg);
    }
    SET(tier_use, DEVCACHE_TIER_PURGE + i);
    return NULL;
}

static apr_interval_time_t parse_time(const char *arg)
{
    apr_interval_time_t t = devcache_value_time(arg, "ms");

    return t >= 1000 && t <= TIME_MAX ? t : -1;
}

const char *devcache_set_tier_timeout(cmd_parms *cmd, void *dirv, const char *connect,
                                      const char *answer)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    apr_interval_time_t c = parse_time(connect), a = answer ? parse_time(answer) : 20000;

    if (c < 0 || a < 0) {
        return apr_psprintf(cmd->pool,
                            "DevCacheTierTimeout: '%s' is not a number of milliseconds "
                            "(or with s) from 1 to 10000",
                            c < 0 ? connect : answer);
    }
    SET(tier_connect_time, c);
    SET(tier_answer_time, a);
    return NULL;
}

static int has_tier(const devcache_server_t *server)
{
    const apr_array_header_t *urls = devcache_server_tier(server);

    return urls && urls->nelts > 0;
}

static int has_tls(const devcache_server_t *server)
{
    const apr_array_header_t *urls = devcache_server_tier(server);
    int i;

    for (i = 0; urls && i < urls->nelts; i++) {
        if (!strncmp(APR_ARRAY_IDX(urls, i, const char *), "rediss:", 7)) {
            return 1;
        }
    }
    return 0;
}

/* ---- secrets ----------------------------------------------------------------------------- */

/* Fill conf->password, key and tls from their files. @return NULL or a sentence */
static const char *read_secrets(const devcache_server_t *server,
                                devcache_tier_conf_t *conf, apr_pool_t *p)
{
    const char *path = devcache_server_tier_secret(server), *error = NULL;
    devcache_slice_t password = {NULL, 0};

    if (path && (error = devcache_tier_key_read(path, &password, p))) {
        return apr_psprintf(p, "DevCacheTierSecret: the file %s %s", path, error);
    }
    conf->password = password.data;
    if (has_tls(server) &&
        (error = devcache_wire_tls_make(&conf->tls, devcache_server_tier_ca(server),
                                        devcache_server_tier_certificate(server), p))) {
        return error;
    }
    path = devcache_server_tier_key(server);
    if (path && (error = devcache_tier_key_read(path, &conf->key, p))) {
        return apr_psprintf(p, "DevCacheTierKey: the file %s %s", path, error);
    }
    return path && conf->key.len < DEVCACHE_TIER_KEY_MIN
               ? apr_psprintf(p,
                              "DevCacheTierKey: the first line of the file %s is shorter "
                              "than 16 bytes: openssl rand -hex 32 makes a good one",
                              path)
               : NULL;
}

/* ---- checking ------------------------------------------------------------------------------ */

/* All that two servers with one root have to agree about. */
static const char *signature_of(const devcache_server_t *server, apr_pool_t *p)
{
    const char *secret = devcache_server_tier_secret(server);
    const char *key = devcache_server_tier_key(server);
    const char *ca = devcache_server_tier_ca(server);
    const char *own = devcache_server_tier_certificate(server);

    return has_tier(server)
               ? apr_psprintf(p,
                              "%s|%s|%s|%s|%s|%s|%" APR_TIME_T_FMT "|%" APR_TIME_T_FMT
                              "|%d|%" APR_INT64_T_FMT "|%" APR_INT64_T_FMT,
                              apr_array_pstrcat(p, devcache_server_tier(server), ' '),
                              secret ? secret : "", key ? key : "", ca ? ca : "",
                              own ? own : "", devcache_server_tier_name(server),
                              devcache_server_tier_connect_time(server),
                              devcache_server_tier_answer_time(server),
                              (int)devcache_server_tier_use(server),
                              devcache_server_tier_max_object(server),
                              devcache_server_tier_queue(server))
               : "";
}

/* A directive that does nothing, as there is no DevCacheTier. */
static const ap_directive_t *idle_directive(const devcache_server_t *server)
{
    return server->tier_secret_by        ? server->tier_secret_by
           : server->tier_key_by         ? server->tier_key_by
           : server->tier_ca_by          ? server->tier_ca_by
           : server->tier_certificate_by ? server->tier_certificate_by
           : server->tier_name_by        ? server->tier_name_by
           : server->tier_use_by         ? server->tier_use_by
           : server->tier_max_object_by  ? server->tier_max_object_by
           : server->tier_queue_by       ? server->tier_queue_by
           : server->tier_invalidate_by  ? server->tier_invalidate_by
                                         : server->tier_connect_time_by;
}

static const char *check_one(const devcache_server_t *server, apr_hash_t *by_root,
                             apr_hash_t *by_name, apr_pool_t *p)
{
    const ap_directive_t *idle = idle_directive(server);
    const char *root = devcache_server_root(server);
    const char *signature = signature_of(server, p), *other;
    devcache_tier_conf_t files = {NULL};

    if (!has_tier(server) && idle && !server->tier_by) {
        return apr_psprintf(p,
                            "%s (%s:%d) does nothing without DevCacheTier: add that, or "
                            "remove the line",
                            idle->directive, idle->filename, idle->line_num);
    }
    idle = server->tier_ca_by ? server->tier_ca_by : server->tier_certificate_by;
    if (has_tier(server) && !has_tls(server) && idle) {
        return apr_psprintf(p,
                            "%s (%s:%d) is for TLS, and no server of DevCacheTier begins "
                            "with rediss://: write so, or remove the line",
                            idle->directive, idle->filename, idle->line_num);
    }
    if (has_tier(server) && !root) {
        return "DevCacheTier needs a place to keep purges in: add DevCacheRoot";
    }
    if (!root) {
        return NULL;
    }
    other = apr_hash_get(by_root, root, APR_HASH_KEY_STRING);
    if (other) {
        return strcmp(other, signature)
                   ? apr_psprintf(p,
                                  "DevCacheRoot \"%s\" is used by two servers with "
                                  "different DevCacheTier, or with one that has it and "
                                  "one that has not: give them the same",
                                  root)
                   : NULL;
    }
    apr_hash_set(by_root, root, APR_HASH_KEY_STRING, signature);
    if (!has_tier(server)) {
        return NULL;
    }
    other = apr_hash_get(by_name, devcache_server_tier_name(server), APR_HASH_KEY_STRING);
    if (other) {
        return apr_psprintf(p,
                            "DevCacheTierName %s is used by DevCacheRoot \"%s\" and "
                            "\"%s\": each would carry out the other's purges; give them "
                            "names of their own",
                            devcache_server_tier_name(server), other, root);
    }
    apr_hash_set(by_name, devcache_server_tier_name(server), APR_HASH_KEY_STRING, root);
    if (geteuid() != 0 && ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        return NULL; /* who tests may be somebody else than who starts the server */
    }
    return read_secrets(server, &files, p);
}

const char *devcache_machines_check(server_rec *main_server, apr_pool_t *p)
{
    apr_hash_t *by_root = apr_hash_make(p), *by_name = apr_hash_make(p);
    const char *error = NULL;
    server_rec *s;

    for (s = main_server; s && !error; s = s->next) {
        error = check_one(devcache_conf_server(s), by_root, by_name, p);
    }
    return error;
}

/* ---- opening --------------------------------------------------------------------------------- */

static unsigned list_ports(unsigned *ports)
{
    const ap_listen_rec *l;
    unsigned n = 0, i;

    for (l = ap_listeners; l && n < PORTS_MAX; l = l->next) {
        unsigned port = l->bind_addr ? l->bind_addr->port : 0;

        for (i = 0; i < n && ports[i] != port; i++) {
        }
        if (port && i == n) {
            ports[n++] = port;
        }
    }
    return n;
}

/* What people call this machine: its name, or the address that the server is bound to; one
 * of loopback, where a status page may be, only if there is no other. */
static const char *name_of_host(apr_pool_t *p)
{
    const ap_listen_rec *l;
    char host[APRMAXHOSTLEN + 1];
    const char *name = NULL;
    int is_far = 0;

    for (l = ap_listeners; l; l = l->next) {
        char *address = NULL;

        if (!l->bind_addr || apr_sockaddr_ip_get(&address, l->bind_addr) != APR_SUCCESS ||
            !strcmp(address, "0.0.0.0") || !strcmp(address, "::")) {
            name = NULL;
            break;
        }
        if (!name || (!is_far && !devcache_value_is_loopback(address))) {
            name = apr_psprintf(p, "%s:%d", address, l->bind_addr->port);
            is_far = !devcache_value_is_loopback(address);
        }
    }
    if (name) {
        return name;
    }
    return apr_gethostname(host, sizeof host, p) == APR_SUCCESS ? apr_pstrdup(p, host)
                                                                : "unnamed";
}

static const char *fill_conf(const devcache_server_t *server, devcache_tier_conf_t *conf,
                             apr_pool_t *p)
{
    const apr_array_header_t *urls = devcache_server_tier(server);
    unsigned *ports = apr_palloc(p, PORTS_MAX * sizeof *ports);
    int root = geteuid() == 0, i;
    const char *error = NULL;

    memset(conf, 0, sizeof *conf);
    conf->root = devcache_server_root(server);
    conf->uid = root ? ap_unixd_config.user_id : geteuid();
    conf->gid = root ? ap_unixd_config.group_id : getegid();
    conf->name = devcache_server_tier_name(server);
    conf->host = name_of_host(p);
    conf->connect_time = devcache_server_tier_connect_time(server);
    conf->answer_time = devcache_server_tier_answer_time(server);
    conf->nports = list_ports(ports);
    conf->ports = ports;
    conf->store = server->store;
    conf->log = devcache_log_core;
    conf->use = devcache_server_tier_use(server);
    conf->max_object = (apr_size_t)devcache_server_tier_max_object(server);
    conf->queue = (apr_size_t)devcache_server_tier_queue(server);
    conf->lasting = ap_server_conf->process->pool;
    for (i = 0; urls && i < urls->nelts && !error; i++) {
        error = devcache_url_parse(APR_ARRAY_IDX(urls, i, const char *),
                                   &conf->urls[conf->nurls++], p);
    }
    return error ? error : read_secrets(server, conf, p);
}

/* A volume in trouble does not keep httpd from starting: then there are no other machines,
 * and purges are answered with an error, as they were told to nobody. */
static const char *open_tier(server_rec *s, devcache_server_t *server, apr_pool_t *pconf)
{
    devcache_tier_conf_t conf;
    const char *error = fill_conf(server, &conf, pconf);
    apr_status_t rv;

    if (error) {
        return error;
    }
    rv = devcache_tier_open(&server->machines, &conf, &error, pconf);
    if (rv == APR_SUCCESS) {
        apr_hash_set(tiers, conf.root, APR_HASH_KEY_STRING, server->machines);
    } else {
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, rv, s,
            DCLOGNO(0015) "conf: %s; purges cannot be told to other machines until "
                          "a restart",
            error);
    }
    return NULL;
}

int devcache_machines_open(server_rec *main_server, apr_pool_t *pconf)
{
    server_rec *s;

    tiers = apr_hash_make(pconf);
    for (s = main_server; s; s = s->next) {
        devcache_server_t *server = devcache_conf_server(s);
        const char *error = NULL;

        if (!has_tier(server) || !server->store) {
            continue;
        }
        server->machines = apr_hash_get(tiers, devcache_server_root(server),
                                        APR_HASH_KEY_STRING);
        if (!server->machines) {
            error = open_tier(s, server, pconf);
        }
        server->tier_lost = !server->machines;
        if (error) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, DCLOGNO(0012) "conf: %s", error);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

void devcache_machines_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_hash_index_t *at = tiers ? apr_hash_first(pchild, tiers) : NULL;

    for (; at; at = apr_hash_next(at)) {
        apr_status_t rv;
        void *tier;

        apr_hash_this(at, NULL, NULL, &tier);
        rv = devcache_tier_child_init(tier, pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                         DCLOGNO(0013) "conf: a child cannot tell other machines of its "
                                       "purges");
        }
    }
}
