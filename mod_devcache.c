/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_devcache: device-aware shared HTTP caching.
 *
 * A request on its way through httpd, and where each step is:
 *
 *   post_read_request   classify the device, before everybody else   request/request.c
 *   translate_name      note the URL before it is rewritten          request/request.c
 *        :              access control, rewriting, fixups: httpd's, for hits as well
 *   handler             PURGE and its like                           request/purge.c
 *        |              count what would be done (Observe)           watch/observe.c
 *        |              look up, and then:                           request/serve.c
 *        |
 *        +-- found ---> serve it                                     request/restore.c
 *        +-- stale ---> serve it, and refresh it in the background   request/refresh.c
 *        +-- others --> somebody fetches it already: follow          request/collapse.c
 *        +-- no ------> run the other handlers: the origin           request/fetch.c
 *                         |
 *   filters               ORIGIN   the answer as it came             request/origin.c
 *                         (mod_headers)
 *                         SAVE     store it, or not                  request/save.c
 *                         REPLY    what clients are to see of it     request/reply.c
 *   log_transaction     count, and name it for the access log        request/account.c
 *
 * The start: directives (setup/directives.c), checks and stores (setup/start.c). The parent
 * opens the stores and makes the counters in post_config, before it forks; children
 * inherit the mappings. Both are kept over graceful restarts, when two generations of
 * children use them at once. They live in the process pool, and so must this code: the
 * module is linked with -z nodelete and stays at its address when httpd reloads its
 * configuration. A new version of the module takes a full restart.
 */
#include "mod_devcache.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_status.h>
#include <mpm_common.h>
#include "base/version.h"
#include "device/memo.h"
#include "flight/avoid.h"
#include "flight/failure.h"
#include "flight/flight.h"
#include "request/account.h"
#include "request/ahead.h"
#include "request/assemble.h"
#include "request/backend.h"
#include "request/background.h"
#include "request/canon.h"
#include "request/fragments.h"
#include "request/head.h"
#include "request/length.h"
#include "request/origin.h"
#include "request/part.h"
#include "request/purge.h"
#include "request/refresh.h"
#include "request/reply.h"
#include "request/request.h"
#include "request/restore.h"
#include "request/resume.h"
#include "request/said.h"
#include "request/save.h"
#include "request/sections.h"
#include "request/serve.h"
#include "request/sticky.h"
#include "http/ordinary.h"
#include "setup/conf.h"
#include "setup/directives.h"
#include "setup/setters.h"
#include "setup/start.h"
#include "watch/explain.h"
#include "watch/logjson.h"
#include "watch/observe.h"
#include "watch/status.h"

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    devcache_setters_reset(pconf);
    devcache_logjson_register(pconf);
    devcache_sticky_hook();
    devcache_canon_hook();
    return OK;
}

/* Once in the life of the parent: graceful restarts find all of it again. */
static void make_shared_memory(server_rec *main_server)
{
    static int made;

    if (made++) {
        return;
    }
    devcache_account_create(main_server);
    if (devcache_flight_create(main_server->process->pool) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     DCLOGNO(0170) "conf: no shared memory for flights; requests are "
                                   "not collapsed");
    }
    devcache_avoid_create(main_server->process->pool);   /* without it: not remembered */
    devcache_failure_create(main_server->process->pool); /* likewise */
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *main_server)
{
    int rv;

    ap_add_version_component(pconf, "mod_devcache/" DEVCACHE_VERSION);
    devcache_restore_init();
    devcache_head_init();
    if (devcache_start_is_rehearsal()) {
        return OK;
    }
    devcache_background_start(main_server);
    make_shared_memory(main_server);
    devcache_part_find_programs(pconf);
    rv = devcache_start_open(pconf, ptemp, main_server);
    devcache_account_name(main_server, pconf, ptemp);
    devcache_observe_start(main_server, ptemp);
    return rv;
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    devcache_background_child_init(pchild, s);
    devcache_canon_child_init();
    devcache_device_memo_start();
    devcache_start_child_init(pchild, s);
}

/* clang-format off */
static void register_hooks(apr_pool_t *p)
{
    static const char *const caches[] = {"mod_cache.c", "mod_proxy.c", NULL};
    static const char *const headers[] = {"mod_headers.c", NULL};
    static const char *const dir[] = {"mod_dir.c", NULL};
    static const char *const logs[] = {"mod_log_config.c", NULL};
    const int first = APR_HOOK_REALLY_FIRST, last = APR_HOOK_REALLY_LAST;
    const int middle = APR_HOOK_MIDDLE, auth = AP_AUTH_INTERNAL_PER_CONF;

    /* the start                                            after    before  when */
    ap_hook_pre_config(pre_config,                          NULL,    NULL,   middle);
    ap_hook_check_config(devcache_start_check,              NULL,    NULL,   middle);
    ap_hook_test_config(devcache_start_test,                NULL,    NULL,   middle);
    ap_hook_post_config(post_config,                        NULL,    NULL,   middle);
    ap_hook_child_init(child_init,                          NULL,    NULL,   middle);
    ap_hook_monitor(devcache_start_monitor,                 NULL,    NULL,   middle);

    /* a request */
    ap_hook_post_read_request(devcache_request_classify,    NULL,    NULL,   first);
    ap_hook_translate_name(devcache_request_capture,        NULL,    NULL,   first);
    ap_hook_map_to_storage(devcache_part_begins,            NULL,    NULL,   first);
    ap_hook_check_access_ex(devcache_refresh_access,        NULL,    NULL,   first, auth);
    ap_hook_check_authn(devcache_ahead_authn,               NULL,    NULL,   first, auth);
    ap_hook_type_checker(devcache_sections_note,            NULL,    NULL,   first);
    ap_hook_fixups(devcache_sections_keep,                  dir,     NULL,   last);
    ap_hook_fixups(devcache_part_fixup,                     NULL,    NULL,   last);
    ap_hook_handler(devcache_part_handler,                  NULL,    caches, first - 1);
    ap_hook_handler(devcache_purge_handler,                 NULL,    caches, first - 1);
    ap_hook_handler(devcache_observe_handler,               NULL,    caches, first);
    ap_hook_handler(devcache_serve_handler,                 NULL,    caches, first);
    ap_hook_handler(devcache_status_handler,                NULL,    NULL,   middle);

    /* its answer */
    ap_hook_insert_filter(devcache_origin_insert,           NULL,    headers, APR_HOOK_LAST);
    ap_hook_insert_filter(devcache_fragments_follow,        NULL,    NULL,   last);
    ap_hook_insert_filter(devcache_save_insert,             headers, NULL,   last);
    ap_hook_insert_filter(devcache_observe_insert,          headers, NULL,   last);
    ap_hook_insert_filter(devcache_reply_insert,            headers, NULL,   last);
    ap_hook_insert_error_filter(devcache_reply_insert_error, NULL,   NULL,   APR_HOOK_LAST);
    ap_hook_log_transaction(devcache_request_log,           NULL,    logs,   first);
    ap_hook_log_transaction(devcache_account_log,           NULL,    logs,   first);
    ap_hook_log_transaction(devcache_purge_log,             NULL,    NULL,   middle);
    APR_OPTIONAL_HOOK(ap, status_hook, devcache_status_section, NULL, NULL,  middle);

    /* filters and methods by name; hooks about requests that no client has sent */
    devcache_ordinary_init();
    devcache_purge_register_methods(p);
    devcache_assemble_register(devcache_refresh_piece);
    devcache_origin_register();
    devcache_save_register();
    devcache_resume_register();
    devcache_said_register();
    devcache_length_register();
    devcache_fragments_register();
    devcache_reply_register();
    devcache_observe_register();
    devcache_backend_register();
    devcache_background_register();
}
/* clang-format on */

__attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA devcache_module = {
    STANDARD20_MODULE_STUFF,
    devcache_conf_create_dir,
    devcache_conf_merge_dir,
    devcache_conf_create_server,
    devcache_conf_merge_server,
    devcache_directives,
    register_hooks,
};
