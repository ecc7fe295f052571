/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a configuration that has been read to stores that are open.
 *
 * httpd reads its configuration twice before it serves. The check hook runs each time, and
 * for httpd -t: what can be seen to be wrong ends the start here, before anything is
 * touched, so that `apachectl graceful` never kills a server that runs. post_config of the
 * first reading is a rehearsal; at the second the stores are opened.
 *
 * What is wrong with a cache's directory is no error of the configuration: it may be full,
 * not mounted, or in use, now and not later. The server starts and reloads all the same,
 * serves without the cache, says so, and tries again by itself.
 *
 * Stores are kept over graceful restarts, in the process pool, each by its root: two
 * generations of children use one at once. So a changed size takes effect at the next full
 * start, while a changed DevCacheMemory does at each child's.
 */
#include "setup/start.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <http_core.h>
#include <unistd.h>
#include <unixd.h>
#include "mod_devcache.h"
#include "purge/ban.h"
#include "setup/conf.h"
#include "setup/lint.h"
#include "setup/log.h"
#include "setup/machines.h"
#include "setup/setters.h"

/* A store that is open, with the configuration it was opened with. */
typedef struct opened_t {
    devcache_store_t *store;
    devcache_store_conf_t conf;
    apr_int64_t memory; /* of each child, as the latest configuration has it */
} opened_t;

/* By root; in the process pool, so that a graceful restart finds them again. */
static apr_hash_t *stores;

int devcache_start_is_rehearsal(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

/* ---- what a store is told -------------------------------------------------------- */

static void store_conf(const devcache_server_t *server, devcache_store_conf_t *conf,
                       apr_pool_t *p)
{
    int root = geteuid() == 0;

    memset(conf, 0, sizeof *conf);
    conf->root = apr_pstrdup(p, devcache_server_root(server));
    conf->size = (apr_uint64_t)devcache_server_size(server);
    conf->segment_size = (apr_uint64_t)devcache_server_segment_size(server);
    conf->max_objects = (apr_uint64_t)devcache_server_max_objects(server);
    conf->min_free = (apr_uint64_t)devcache_server_min_free(server);
    conf->uid = root ? ap_unixd_config.user_id : geteuid();
    conf->gid = root ? ap_unixd_config.group_id : getegid();
    conf->volumes = ap_runtime_dir_relative(p, "devcache-volumes");
    conf->log = devcache_log_core;
    conf->ban_open = devcache_ban_open;
    conf->ban_matches = devcache_ban_matches;
}

static int same_geometry(const devcache_store_conf_t *a, const devcache_store_conf_t *b)
{
    return a->size == b->size && a->segment_size == b->segment_size &&
           a->max_objects == b->max_objects && a->min_free == b->min_free;
}

/* ---- checking, for httpd -t as well --------------------------------------------- */

/* Build the classifier of a server. NULL, or what is wrong. */
static const char *build_device(apr_pool_t *p, server_rec *s, devcache_server_t *server)
{
    apr_array_header_t *warnings = apr_array_make(p, 2, sizeof(const char *));
    const char *error = NULL;
    int i;

    server->device = devcache_device_create(p);
    for (i = 0; i < server->rules->nelts && !error; i++) {
        const devcache_pair_t *rule = &APR_ARRAY_IDX(server->rules, i, devcache_pair_t);
        error = devcache_device_add_rule(server->device, rule->first, rule->second);
    }
    for (i = 0; i < server->folds->nelts && !error; i++) {
        const devcache_pair_t *fold = &APR_ARRAY_IDX(server->folds, i, devcache_pair_t);
        error = devcache_device_fold(server->device, fold->first, fold->second);
    }
    if (!error && server->vary.device_cookie) {
        error = devcache_device_set_cookie(server->device, server->vary.device_cookie);
    }
    devcache_device_use_hints(server->device, server->vary.client_hints);
    if (!error) {
        error = devcache_device_compile(server->device, p, warnings);
    }
    for (i = 0; i < warnings->nelts && !devcache_start_is_rehearsal(); i++) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, DCLOGNO(0004) "conf: %s",
                     APR_ARRAY_IDX(warnings, i, const char *));
    }
    return error;
}

/* What a classifier is made of, as one text. */
static const char *device_text(const devcache_server_t *server, apr_pool_t *p)
{
    const apr_array_header_t *lists[] = {server->rules, server->folds};
    const char *cookie = server->vary.device_cookie;
    const char *text = apr_psprintf(p, "%d %s", server->vary.client_hints,
                                    cookie ? cookie : "");
    int k, i;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < lists[k]->nelts; i++) {
            const devcache_pair_t *pair = &APR_ARRAY_IDX(lists[k], i, devcache_pair_t);
            text = apr_psprintf(p, "%s\n%c%" APR_SIZE_T_FMT " %s %s", text, "rf"[k],
                                strlen(pair->first), pair -> first, pair -> second);
        }
    }
    return text;
}

/* Servers that say the same share a classifier. @a known: by what it is made of; its pool
 * is gone when they are open. */
static const char *share_device(apr_pool_t *p, server_rec *s, devcache_server_t *server,
                                apr_hash_t *known)
{
    const char *text = device_text(server, apr_hash_pool_get(known)), *error;

    server->device = apr_hash_get(known, text, APR_HASH_KEY_STRING);
    if (server->device) {
        return NULL;
    }
    error = build_device(p, s, server);
    apr_hash_set(known, text, APR_HASH_KEY_STRING, server->device);
    return error;
}

/* Classification is on where it is asked for, and unless it is refused, where there is
 * a store to split by it. */
static int classifies(const devcache_server_t *server)
{
    int said = devcache_server_classify(server);

    return said == -1 ? devcache_server_root(server) != NULL : said;
}

/* A virtual host without a word about caching has the main server's struct. */
static int says_nothing(const server_rec *s, const devcache_server_t *main_conf)
{
    return devcache_conf_server(s) == main_conf;
}

/* What needs no file: for httpd -t as well. */
static int check_server(apr_pool_t *p, server_rec *s, apr_hash_t *devices)
{
    devcache_server_t *server = devcache_conf_server(s);
    const char *header = devcache_server_device_header(server), *error;

    server->vary.device_header = *header ? header : NULL;
    server->vary.device_cookie = devcache_server_device_cookie(server);
    server->vary.client_hints = devcache_server_client_hints(server) !=
                                DEVCACHE_HINTS_OFF;
    if (classifies(server) && (error = share_device(p, s, server, devices))) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, DCLOGNO(0005) "conf: %s", error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Sizes end a start. Could the directory be used? That is asked by httpd -t alone, which a
 * reload by apachectl runs first, and only warned of. Who is not root may be somebody else
 * than who starts the server, and is told only what holds for both. */
static int check_root(server_rec *s, devcache_store_conf_t *conf, apr_pool_t *p)
{
    int is_test = ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
    const char *error;
    apr_status_t rv = devcache_store_check(conf, &error, p);

    if (rv == APR_EINVAL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, DCLOGNO(0001) "conf: %s", error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (rv != APR_SUCCESS && is_test && geteuid() != 0 &&
        ap_unixd_config.user_id != (uid_t)-1) {
        conf->uid = ap_unixd_config.user_id;
        rv = devcache_store_check(conf, &error, p);
        rv = APR_STATUS_IS_EACCES(rv) ? APR_SUCCESS : rv;
    }
    if (rv != APR_SUCCESS && is_test) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     DCLOGNO(0010) "conf: the server would start, but serve without the "
                                   "cache until this is mended: %s",
                     error);
    }
    return OK;
}

/* @a seen: by root, what this reading of the configuration has said so far, to tell two
 * servers that disagree from a changed configuration. */
static int check_store(server_rec *s, apr_hash_t *seen)
{
    apr_pool_t *ptemp = apr_hash_pool_get(seen);
    devcache_store_conf_t *conf = apr_palloc(ptemp, sizeof *conf);
    const devcache_store_conf_t *other;

    if (!devcache_server_root(devcache_conf_server(s))) {
        return OK;
    }
    store_conf(devcache_conf_server(s), conf, ptemp);
    other = apr_hash_get(seen, conf->root, APR_HASH_KEY_STRING);
    if (!other) {
        apr_hash_set(seen, conf->root, APR_HASH_KEY_STRING, conf);
        return check_root(s, conf, ptemp);
    }
    if (same_geometry(other, conf)) {
        return OK;
    }
    ap_log_error(
        APLOG_MARK, APLOG_EMERG, 0, s,
        DCLOGNO(0002) "conf: DevCacheRoot \"%s\" is used by two servers with "
                      "different DevCacheSize, DevCacheSegmentSize, "
                      "DevCacheMaxObjects or DevCacheMinFree: give them the same "
                      "values, or roots of their own",
        conf->root);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int devcache_start_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                         server_rec *main_server)
{
    const char *error = devcache_setters_check(ptemp);
    apr_hash_t *seen = apr_hash_make(ptemp), *devices = apr_hash_make(ptemp);
    server_rec *s;
    int rv = OK;

    if (error) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, DCLOGNO(0006) "conf: %s",
                     error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    for (s = main_server; s && rv == OK; s = s->next) {
        if (s == main_server || !says_nothing(s, devcache_conf_server(main_server))) {
            rv = check_server(pconf, s, devices);
            rv = rv == OK ? check_store(s, seen) : rv;
        }
    }
    if (rv == OK && (error = devcache_machines_check(main_server, ptemp))) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, DCLOGNO(0011) "conf: %s",
                     error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!devcache_start_is_rehearsal()) {
        devcache_lint_warn(main_server, 0, ptemp);
    }
    return rv;
}

void devcache_start_test(apr_pool_t *pconf, server_rec *main_server)
{
    devcache_lint_warn(main_server, 1, pconf);
}

/* ---- opening --------------------------------------------------------------------- */

static opened_t *open_anew(server_rec *s, const devcache_store_conf_t *conf)
{
    apr_pool_t *p = s->process->pool;
    opened_t *opened = apr_pcalloc(p, sizeof *opened);
    const char *error;
    apr_status_t rv;

    opened->conf = *conf;
    opened->conf.root = apr_pstrdup(p, conf->root);
    rv = devcache_store_open(&opened->store, conf, &error, p);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, DCLOGNO(0014) "conf: %s", error);
        return NULL;
    }
    apr_hash_set(stores, opened->conf.root, APR_HASH_KEY_STRING, opened);
    return opened;
}

/* Open this server's store, or share the one that is open. @a seen: by root, what this
 * reading of the configuration has said so far. */
static int open_store(server_rec *s, devcache_server_t *server, apr_hash_t *seen)
{
    apr_pool_t *ptemp = apr_hash_pool_get(seen);
    devcache_store_conf_t *conf = apr_palloc(ptemp, sizeof *conf);
    int first;
    opened_t *opened;

    store_conf(server, conf, ptemp);
    first = !apr_hash_get(seen, conf->root, APR_HASH_KEY_STRING);
    opened = apr_hash_get(stores, conf->root, APR_HASH_KEY_STRING);
    if (opened && first) {
        devcache_store_tend(opened->store); /* a reload looks at once */
    }
    if (!opened && !(opened = open_anew(s, conf))) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (first && !same_geometry(&opened->conf, conf)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     DCLOGNO(0003) "conf: DevCacheRoot \"%s\": the new DevCacheSize, "
                                   "DevCacheSegmentSize, DevCacheMaxObjects or "
                                   "DevCacheMinFree takes effect when the server is "
                                   "stopped and started",
                     conf->root);
    }
    if (first || opened->memory < devcache_server_memory(server)) {
        opened->memory = devcache_server_memory(server);
    }
    apr_hash_set(seen, conf->root, APR_HASH_KEY_STRING, conf);
    server->store = opened->store;
    return OK;
}

/* What requests need of the configuration and would else make anew each time. Two virtual
 * hosts may have the same names on different addresses; one that says nothing about
 * caching has the main server's struct until it gets its own here. */
static devcache_server_t *derive(apr_pool_t *p, server_rec *s)
{
    devcache_server_t *server = apr_pmemdup(p, devcache_conf_server(s), sizeof *server);
    const server_addr_rec *addr = s->addrs;

    /* Of the main server there is one; without ServerName it has each machine's own. */
    server->identity = devcache_slice_str(apr_psprintf(
        p, "%s %s:%d", s->is_virtual && s->server_hostname ? s->server_hostname : "-",
        s->is_virtual && addr ? addr->virthost : "-", addr ? addr->host_port : 0));
    server->device_vary = devcache_vary_outward(&server->vary, apr_table_make(p, 0), 1,
                                                p);
    ap_set_module_config(s->module_config, &devcache_module, server);
    return server;
}

int devcache_start_open(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server)
{
    const devcache_server_t *said = devcache_conf_server(main_server);
    apr_hash_t *seen = apr_hash_make(ptemp);
    server_rec *s;
    int rv = OK;

    if (!stores) {
        stores = apr_hash_make(main_server->process->pool);
    }
    for (s = main_server; s && rv == OK; s = s->next) {
        int like_main = s != main_server && says_nothing(s, said);
        devcache_server_t *server = derive(pconf, s);
        if (like_main) {
            server->store = devcache_conf_server(main_server)->store;
        } else if (devcache_server_root(server)) {
            rv = open_store(s, server, seen);
        }
    }
    return rv == OK ? devcache_machines_open(main_server, pconf) : rv;
}

int devcache_start_monitor(apr_pool_t *p, server_rec *s)
{
    apr_hash_index_t *at = stores ? apr_hash_first(p, stores) : NULL;

    for (; at; at = apr_hash_next(at)) {
        void *opened;
        apr_hash_this(at, NULL, NULL, &opened);
        devcache_store_tend(((opened_t *)opened)->store);
    }
    return OK;
}

void devcache_start_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_hash_index_t *at = stores ? apr_hash_first(pchild, stores) : NULL;

    for (; at; at = apr_hash_next(at)) {
        void *value;
        opened_t *opened;
        apr_status_t rv;
        apr_hash_this(at, NULL, NULL, &value);
        opened = value;
        rv = devcache_store_child_init(opened->store, (apr_size_t)opened->memory, pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                         DCLOGNO(0008) "conf: a child has no thread to look after "
                                       "DevCacheRoot \"%s\"; if that goes away, it asks "
                                       "the origin for everything until it ends",
                         opened->conf.root);
        }
    }
    devcache_machines_child_init(pchild, s);
}
