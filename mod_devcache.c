/*
 * mod_devcache: device-aware shared HTTP caching.
 *
 * The module record and the hooks; what they do is in the files named after it.
 *
 *   post_read_request   classify, before everybody else             devcache_request.c
 *   translate_name      note the URL before it is rewritten         devcache_request.c
 *   quick_handler       fresh hits where DevCacheQuick is On        devcache_serve.c
 *   map_to_storage,     parts of pages                              devcache_part.c
 *   fixups, handler
 *   handler             PURGE                                       devcache_purge.c
 *                       look up; serve, or have the origin asked    devcache_serve.c
 *                       what it would do, where it only observes    devcache_observe.c
 *   filters             ORIGIN, mod_headers, SAVE (, MARK)          devcache_save.c
 *                       REPLY                                       devcache_reply.c
 *                       DATES, on connections to backends           devcache_backend.c
 *   log_transaction     variables for the access log                devcache_request.c
 *                       counted, with times and bytes               devcache_account.c
 *
 * Processes: the parent opens the stores and makes the counters in post_config, before it
 * forks; children inherit the mappings. Both are kept over graceful restarts, when two
 * generations of children use them at once. They live in the process pool, and so must
 * this code: the module is linked with -z nodelete and stays at its address when httpd
 * reloads its configuration. A new version of the module takes a full restart.
 */
#include "httpd.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_status.h>
#include <unistd.h>
#include <unixd.h>
#include "devcache_account.h"
#include "devcache_ahead.h"
#include "devcache_backend.h"
#include "devcache_background.h"
#include "devcache_ban.h"
#include "devcache_clock.h"
#include "devcache_conf.h"
#include "devcache_explain.h"
#include "devcache_head.h"
#include "devcache_lint.h"
#include "devcache_log.h"
#include "devcache_observe.h"
#include "devcache_logjson.h"
#include "devcache_part.h"
#include "devcache_purge.h"
#include "devcache_quick.h"
#include "devcache_refresh.h"
#include "devcache_reply.h"
#include "devcache_request.h"
#include "devcache_restore.h"
#include "devcache_save.h"
#include "devcache_serve.h"
#include "devcache_stats.h"
#include "devcache_status.h"
#include "devcache_trouble.h"

/* A store that is open, with the configuration it was opened with. */
typedef struct opened_t {
    devcache_store_t *store;
    devcache_store_conf_t conf;
    apr_int64_t memory; /* of each child, as the latest configuration has it */
} opened_t;

/* By root; in the process pool, so that a graceful restart finds them again. */
static apr_hash_t *stores;

/* ---- start
 * ------------------------------------------------------------------------------- */

static void log_store(int level, int tag, apr_status_t rv, const char *msg)
{
    if (level <= APLOG_WARNING) {
        devcache_trouble_note(msg, NULL, devcache_now());
    }
    ap_log_error(APLOG_MARK, level, rv, ap_server_conf, "DC%04d: %s", tag, msg);
}

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
    conf->log = log_store;
    conf->ban_open = devcache_ban_open;
    conf->ban_matches = devcache_ban_matches;
}

static int same_geometry(const devcache_store_conf_t *a, const devcache_store_conf_t *b)
{
    return a->size == b->size && a->segment_size == b->segment_size &&
           a->max_objects == b->max_objects && a->min_free == b->min_free;
}

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
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, DCLOGNO(0001) "conf: %s", error);
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

/* The first reading of the configuration at start, which httpd repeats. */
static int is_rehearsal(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

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
    for (i = 0; i < warnings->nelts && !is_rehearsal(); i++) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, DCLOGNO(0004) "conf: %s",
                     APR_ARRAY_IDX(warnings, i, const char *));
    }
    return error;
}

/* Classification is on where it is asked for, and unless it is refused, where there is
 * a store to split by it. */
static int classifies(const devcache_server_t *server)
{
    int said = devcache_server_classify(server);

    return said == -1 ? devcache_server_root(server) != NULL : said;
}

/* What needs no file: for httpd -t as well. */
static int check_server(apr_pool_t *p, server_rec *s)
{
    devcache_server_t *server = devcache_conf_server(s);
    const char *header = devcache_server_device_header(server), *error;

    server->vary.device_header = *header ? header : NULL;
    server->vary.device_cookie = devcache_server_device_cookie(server);
    server->vary.client_hints = devcache_server_client_hints(server) !=
                                DEVCACHE_HINTS_OFF;
    if (classifies(server) && (error = build_device(p, s, server))) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, DCLOGNO(0005) "conf: %s", error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Would the start take the directory? Asked by httpd -t alone, which a reload by
 * apachectl runs first: a start opens it. Who is not root may be somebody else than who
 * starts the server, and is told only what holds for both. */
static int check_root(server_rec *s, devcache_store_conf_t *conf, apr_pool_t *p)
{
    const char *error;
    apr_status_t rv;

    if (ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST) {
        return OK;
    }
    rv = devcache_store_check(conf, &error, p);
    if (rv != APR_SUCCESS && geteuid() != 0 && ap_unixd_config.user_id != (uid_t)-1) {
        conf->uid = ap_unixd_config.user_id;
        rv = devcache_store_check(conf, &error, p);
        rv = APR_STATUS_IS_EACCES(rv) ? APR_SUCCESS : rv;
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     DCLOGNO(0010) "conf: the server would not start: %s", error);
    }
    return rv == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
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

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                        server_rec *main_server)
{
    const char *error = devcache_conf_check(ptemp);
    apr_hash_t *seen = apr_hash_make(ptemp);
    server_rec *s;
    int rv = OK;

    if (error) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, DCLOGNO(0006) "conf: %s",
                     error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    for (s = main_server; s && rv == OK; s = s->next) {
        rv = check_server(pconf, s);
        rv = rv == OK ? check_store(s, seen) : rv;
    }
    if (!is_rehearsal()) {
        devcache_lint_warn(main_server, 0, ptemp);
    }
    return rv;
}

/* httpd -t reads the configuration only once. */
static void test_config(apr_pool_t *pconf, server_rec *main_server)
{
    devcache_lint_warn(main_server, 1, pconf);
}

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    devcache_conf_reset(pconf);
    devcache_quick_reset();
    devcache_logjson_register(pconf);
    return OK;
}

/* What requests need of the configuration and would else make anew each time. Two virtual
 * hosts may have the same names on different addresses; one that says nothing about
 * caching has the main server's struct until it gets its own here. */
static devcache_server_t *derive(apr_pool_t *p, server_rec *s)
{
    devcache_server_t *server = apr_pmemdup(p, devcache_conf_server(s), sizeof *server);
    const server_addr_rec *addr = s->addrs;

    server->identity = devcache_slice_str(apr_psprintf(
        p, "%s %s:%d", s->server_hostname ? s->server_hostname : "-",
        s->is_virtual && addr ? addr->virthost : "-", addr ? addr->host_port : 0));
    server->device_vary = devcache_vary_outward(&server->vary, apr_table_make(p, 0), 1,
                                                p);
    ap_set_module_config(s->module_config, &devcache_module, server);
    return server;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *main_server)
{
    apr_pool_t *process = main_server->process->pool;
    apr_hash_t *seen = apr_hash_make(ptemp);
    server_rec *s;
    int rv = OK;

    devcache_restore_init();
    devcache_head_init();
    if (is_rehearsal()) {
        return OK;
    }
    if (!stores) {
        stores = apr_hash_make(process);
        devcache_account_create(main_server);
        if (devcache_flight_create(process) != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                         DCLOGNO(0170) "conf: no shared memory for flights; requests are "
                                       "not collapsed");
        }
    }
    for (s = main_server; s && rv == OK; s = s->next) {
        devcache_server_t *server = derive(pconf, s);
        rv = devcache_server_root(server) ? open_store(s, server, seen) : OK;
    }
    devcache_account_name(main_server, pconf);
    devcache_observe_start(main_server, ptemp);
    return rv;
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_hash_index_t *at;

    devcache_request_child_init(pchild);
    devcache_background_child_init(pchild, s);
    for (at = stores ? apr_hash_first(pchild, stores) : NULL; at;
         at = apr_hash_next(at)) {
        void *value;
        opened_t *opened;
        apr_status_t rv;
        apr_hash_this(at, NULL, NULL, &value);
        opened = value;
        rv = devcache_store_child_init(opened->store, (apr_size_t)opened->memory, pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                         DCLOGNO(0008) "conf: a child cannot use DevCacheRoot \"%s\"; it "
                                       "asks the origin "
                                       "for everything",
                         opened->conf.root);
        }
    }
}

/* ---- hooks
 * ---------------------------------------------------------------------------------- */

static void register_hooks(apr_pool_t *p)
{
    static const char *const before_caches[] = {"mod_cache.c", "mod_proxy.c", NULL};
    static const char *const mod_headers[] = {"mod_headers.c", NULL};
    static const char *const log_modules[] = {"mod_log_config.c", NULL};

    devcache_purge_register_methods(p);
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    devcache_explain_hooks();
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(devcache_request_classify, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(devcache_request_capture, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_check_authn(devcache_ahead_authn, NULL, NULL, APR_HOOK_REALLY_FIRST,
                        AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_access_ex(devcache_refresh_access, NULL, NULL, APR_HOOK_REALLY_FIRST,
                            AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_map_to_storage(devcache_part_begins, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(devcache_part_fixup, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_handler(devcache_part_handler, NULL, before_caches,
                    APR_HOOK_REALLY_FIRST - 1);
    /* Ahead of the next one, which would have the origin asked. */
    ap_hook_handler(devcache_purge_handler, NULL, before_caches,
                    APR_HOOK_REALLY_FIRST - 1);
    ap_hook_handler(devcache_observe_handler, NULL, before_caches, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(devcache_serve_handler, NULL, before_caches, APR_HOOK_REALLY_FIRST);
    ap_hook_quick_handler(devcache_serve_quick, NULL, before_caches,
                          APR_HOOK_REALLY_FIRST);
    ap_hook_handler(devcache_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(devcache_save_insert_origin, NULL, mod_headers, APR_HOOK_LAST);
    ap_hook_insert_filter(devcache_save_insert_save, mod_headers, NULL,
                          APR_HOOK_REALLY_LAST);
    ap_hook_insert_filter(devcache_observe_insert, mod_headers, NULL,
                          APR_HOOK_REALLY_LAST);
    ap_hook_insert_filter(devcache_reply_insert, mod_headers, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_insert_error_filter(devcache_reply_insert_error, NULL, NULL, APR_HOOK_LAST);
    ap_hook_log_transaction(devcache_request_log, NULL, log_modules,
                            APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(devcache_purge_log, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(devcache_account_log, NULL, log_modules,
                            APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(ap, status_hook, devcache_status_section, NULL, NULL,
                      APR_HOOK_MIDDLE);
    devcache_save_register();
    devcache_reply_register();
    devcache_head_register();
    devcache_observe_register();
    devcache_background_register();
    devcache_backend_register();
}

module AP_MODULE_DECLARE_DATA devcache_module = {
    STANDARD20_MODULE_STUFF,
    devcache_conf_create_dir,
    devcache_conf_merge_dir,
    devcache_conf_create_server,
    devcache_conf_merge_server,
    devcache_conf_directives,
    register_hooks,
};
