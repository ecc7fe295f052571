/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each directive's arguments mean, for all that are more than a number or a flag.
 *
 * A setter sees one line of the configuration: it refuses a wrong value with a sentence
 * that names the directive, the value and what is allowed, and sets one field, by SET(),
 * with the line that did it. What only the whole configuration shows is noted, and asked
 * for when all of it has been read: devcache_setters_check().
 */
#include "setup/setters.h"

#include <stddef.h>
#include <apr_strings.h>
#include <http_core.h>
#include "mod_devcache.h"
#include "http/ordinary.h"
#include "setup/conf.h"
#include "http/policy.h"
#include "setup/guard.h"
#include "setup/value.h"

/* Sets a field; to be used where a struct pointer is named conf, and a cmd_parms cmd. */
#define SET(field, v) (conf->field = (v), conf->field##_by = cmd->directive)

/* ---- where a store is needed ------------------------------------------------------ */

typedef struct enabled_t {
    server_rec *server;
    const char *what; /* the directive that needs a store */
    const char *where;
} enabled_t;

static apr_array_header_t *enabled_at; /* of enabled_t; lives in pconf */

void devcache_setters_reset(apr_pool_t *pconf)
{
    enabled_at = apr_array_make(pconf, 4, sizeof(enabled_t));
    devcache_setters_fragments = 0;
}

int devcache_setters_fragments;

const char *devcache_set_fragments(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;
    int on = !ap_cstr_casecmp(arg, "on")    ? 1
             : !ap_cstr_casecmp(arg, "ssi") ? (int)DEVCACHE_SSI
             : !ap_cstr_casecmp(arg, "esi") ? (int)DEVCACHE_ESI
                                            : 0;

    if (!on && ap_cstr_casecmp(arg, "off")) {
        return apr_psprintf(
            cmd->pool, "DevCacheFragments: '%s' is none of On, Off, SSI and ESI", arg);
    }
    devcache_setters_fragments |= on;
    SET(fragments, on);
    return NULL;
}

const char *devcache_setters_check(apr_pool_t *p)
{
    int i;

    for (i = 0; i < enabled_at->nelts; i++) {
        const enabled_t *e = &APR_ARRAY_IDX(enabled_at, i, enabled_t);
        if (!devcache_server_root(devcache_conf_server(e->server))) {
            return apr_psprintf(p,
                                "%s (%s) needs a place to store in: add "
                                "DevCacheRoot with a directory that belongs to the "
                                "server's User",
                                e->what, e->where);
        }
    }
    return NULL;
}

static const char *where(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename,
                        cmd->directive->line_num);
}

static void needs_store(const cmd_parms *cmd)
{
    enabled_t *e = apr_array_push(enabled_at);

    e->server = cmd->server;
    e->what = apr_pstrcat(cmd->pool, cmd->directive->directive, " ", cmd->directive->args,
                          NULL);
    e->where = where(cmd);
}

/* ---- the cache ------------------------------------------------------------------- */

const char *devcache_set_enabled(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;
    int on = !ap_cstr_casecmp(arg, "On"), observe = !ap_cstr_casecmp(arg, "Observe");

    if (!on && !observe && ap_cstr_casecmp(arg, "Off")) {
        return apr_psprintf(cmd->pool, "DevCache: '%s' is not On, Off or Observe", arg);
    }
    SET(enabled, on);
    SET(observe, observe);
    if (on || observe) {
        needs_store(cmd);
    }
    return NULL;
}

const char *devcache_set_root(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    char *path = ap_server_root_relative(cmd->pool, arg);
    apr_size_t len;

    if (!path || !*arg) {
        return apr_psprintf(cmd->pool, "DevCacheRoot: '%s' is not a path", arg);
    }
    for (len = strlen(path); len > 1 && path[len - 1] == '/'; len--) {
        path[len - 1] = '\0';
    }
    SET(root, path);
    return NULL;
}

/* Fields whose meaning belongs to HTTP itself; a class in them would break requests. */
static int is_reserved_field(const char *name)
{
    static const char *const reserved[] = {
        "Host",          "Content-Length",  "Transfer-Encoding",
        "Connection",    "Cookie",          "Authorization",
        "User-Agent",    "Accept-Encoding", "Vary",
        "Cache-Control", "Range",           "TE",
        "Upgrade",       "Expect",          NULL};
    int i;

    for (i = 0; reserved[i] && ap_cstr_casecmp(reserved[i], name); i++) {
    }
    return reserved[i] != NULL;
}

const char *devcache_set_device_header(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);

    if (!ap_cstr_casecmp(arg, "off")) {
        SET(device_header, "");
        return NULL;
    }
    if (!devcache_value_is_token(arg) || is_reserved_field(arg)) {
        return apr_psprintf(cmd->pool,
                            "DevCacheDeviceHeader: '%s' is not a header name "
                            "of its own (such as X-Device-Type), nor 'off'",
                            arg);
    }
    SET(device_header, arg);
    return NULL;
}

const char *devcache_set_device_cookie(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);

    if (!devcache_value_is_token(arg)) {
        return apr_psprintf(cmd->pool, "DevCacheDeviceCookie: '%s' is not a cookie name",
                            arg);
    }
    SET(device_cookie, arg);
    return NULL;
}

static void add_pair(cmd_parms *cmd, apr_array_header_t *to, const char *first,
                     const char *second)
{
    devcache_pair_t *pair = apr_array_push(to);

    pair->first = first;
    pair->second = second;
    pair->where = where(cmd);
}

/* The rule is compiled here once only to refuse a bad one at its own line. */
const char *devcache_set_device_rule(cmd_parms *cmd, void *dirv, const char *class,
                                     const char *regex)
{
    devcache_device_rules_t *probe = devcache_device_create(cmd->temp_pool);
    const char *error = devcache_device_add_rule(probe, class, regex);

    if (error) {
        return apr_psprintf(cmd->pool, "DevCacheDeviceRule: %s", error);
    }
    add_pair(cmd, devcache_conf_server(cmd->server)->rules, class, regex);
    return NULL;
}

/* DevCacheDeviceFold from to [from to ...], or off. */
const char *devcache_set_device_fold(cmd_parms *cmd, void *dirv, int argc,
                                     char *const argv[])
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    devcache_device_rules_t *probe = devcache_device_create(cmd->temp_pool);
    int i;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        add_pair(cmd, conf->folds, "off", "off");
        return NULL;
    }
    if (argc == 0 || argc % 2) {
        return "DevCacheDeviceFold: give pairs of classes (from to [from to ...]), or "
               "'off'";
    }
    for (i = 0; i < argc; i += 2) {
        const char *error = devcache_device_fold(probe, argv[i], argv[i + 1]);
        if (error) {
            return apr_psprintf(cmd->pool, "DevCacheDeviceFold: %s", error);
        }
        add_pair(cmd, conf->folds, apr_pstrdup(cmd->pool, argv[i]),
                 apr_pstrdup(cmd->pool, argv[i + 1]));
    }
    return NULL;
}

const char *devcache_set_client_hints(cmd_parms *cmd, void *dirv, const char *arg)
{
    static const char *const words[] = {"Off", "On", "Critical"};
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    int i;

    for (i = 0; i <= DEVCACHE_HINTS_CRITICAL; i++) {
        if (!ap_cstr_casecmp(arg, words[i])) {
            SET(client_hints, i);
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "DevCacheClientHints: '%s' is not On, Off or Critical",
                        arg);
}

const char *devcache_set_vary_user_agent(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;

    if (ap_cstr_casecmp(arg, "device") && ap_cstr_casecmp(arg, "exact")) {
        return apr_psprintf(cmd->pool,
                            "DevCacheVaryUserAgent: '%s' is not device or exact", arg);
    }
    SET(user_agent_exact, !ap_cstr_casecmp(arg, "exact"));
    return NULL;
}

/* ---- for how long ---------------------------------------------------------------- */

/* The statuses of a DevCacheDefaultTTL or DevCacheForceTTL. NULL, or what is wrong. */
static const char *read_statuses(cmd_parms *cmd, int argc, char *const argv[],
                                 apr_array_header_t *to)
{
    const devcache_slot_t *slot = cmd->info;
    int forces = slot->value == offsetof(devcache_dir_t, force_ttl), i;

    for (i = 0; i < argc; i++) {
        int status = strlen(argv[i]) == 3 ? (int)devcache_value_bytes(argv[i]) : -1;
        if (status < 200 || status > 599) {
            return apr_psprintf(cmd->pool,
                                "%s: '%s' is not a final status code (200 to 599)",
                                cmd->cmd->name, argv[i]);
        }
        if (!devcache_policy_can_store(status, forces)) {
            return apr_psprintf(cmd->pool,
                                "%s: a response of status %d is never stored%s; leave it "
                                "out",
                                cmd->cmd->name, status,
                                devcache_policy_can_store(status, 1)
                                    ? " unless the origin states a lifetime"
                                    : ", whatever its lifetime");
        }
        APR_ARRAY_PUSH(to, int) = status;
    }
    return NULL;
}

/* secs [status ...]. The lines of a section add up, and stand in place of all that come
 * from outside of it. */
const char *devcache_set_ttl(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    const devcache_slot_t *slot = cmd->info;
    apr_array_header_t **ttls = (void *)((char *)dirv + slot->value);
    apr_array_header_t *statuses = apr_array_make(cmd->pool, argc + 1, sizeof(int));
    const char *error;
    devcache_ttl_t *ttl;
    apr_int64_t n;

    if (argc == 0) {
        return apr_psprintf(cmd->pool, "%s: give a number of seconds", cmd->cmd->name);
    }
    if ((error = devcache_value_number(cmd, argv[0], &n)) ||
        (error = read_statuses(cmd, argc - 1, argv + 1, statuses))) {
        return error;
    }
    if (!*ttls) {
        *ttls = apr_array_make(cmd->pool, 2, sizeof(devcache_ttl_t));
    }
    ttl = apr_array_push(*ttls);
    ttl->ttl = n;
    ttl->statuses = argc > 1 ? statuses : NULL;
    ttl->said_by = cmd->directive;
    *(const ap_directive_t **)(void *)((char *)dirv + slot->by) = cmd->directive;
    return NULL;
}

/* A status that a stale copy may stand in for: an error of the moment, or one that a broken
 * application sends in place of its pages. Not those that are about the visitor. */
static int may_be_failure(int status)
{
    return status == 403 || status == 404 || status == 408 || status == 425 ||
           status == 429 || (status >= 500 && status <= 599);
}

/* seconds [status ...] [!] */
const char *devcache_set_window(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_dir_t *conf = dirv;
    int for_errors = !strcmp(cmd->cmd->name, "DevCacheStaleIfError");
    apr_array_header_t *statuses = apr_array_make(cmd->pool, 4, sizeof(int));
    int replaces = argc > 1 && !strcmp(argv[argc - 1], "!"), i;
    const char *error;
    apr_int64_t n;

    if (argc == 0) {
        return apr_psprintf(cmd->pool, "%s: give a number of seconds", cmd->cmd->name);
    }
    if ((error = devcache_value_number(cmd, argv[0], &n))) {
        return error;
    }
    for (i = 1; i < argc - replaces; i++) {
        apr_int64_t status = devcache_value_bytes(argv[i]);

        if (!for_errors || strlen(argv[i]) != 3 || !may_be_failure((int)status)) {
            return apr_psprintf(cmd->pool, "%s: %s is not allowed behind the seconds; %s",
                                cmd->cmd->name, argv[i],
                                for_errors ? "statuses are 403, 404, 408, 425, 429, 500 "
                                             "to 599, and a ! may come last"
                                           : "a ! may come there");
        }
        APR_ARRAY_PUSH(statuses, int) = (int)status;
    }
    if (for_errors) {
        SET(stale_if_error, n);
        SET(sie_replaces, replaces);
        SET(stale_statuses, statuses->nelts ? statuses : NULL);
    } else {
        SET(stale_while_revalidate, n);
        SET(swr_replaces, replaces);
    }
    return NULL;
}

/* percent [max], or off. */
const char *devcache_set_heuristic(cmd_parms *cmd, void *dirv, int argc,
                                   char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_int64_t percent = argc ? devcache_value_bytes(argv[0]) : -1;
    apr_int64_t max = apr_time_from_sec(3600);
    const char *error;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        percent = 0;
    } else if (argc < 1 || argc > 2 || percent < 1 || percent > 100) {
        return "DevCacheHeuristic: give a percentage from 1 to 100 of the time since "
               "Last-Modified, and if you like a bound in seconds (such as 10 1h), or "
               "'off'";
    } else if (argc == 2 && (error = devcache_value_number(cmd, argv[1], &max))) {
        return error;
    }
    SET(heuristic_percent, (int)percent);
    SET(heuristic_max, max);
    return NULL;
}

/* ---- what makes another page ----------------------------------------------------- */

static apr_array_header_t *words(cmd_parms *cmd, int argc, char *const argv[])
{
    apr_array_header_t *list = apr_array_make(cmd->pool, argc, sizeof(const char *));
    int i;

    for (i = 0; i < argc; i++) {
        APR_ARRAY_PUSH(list, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    }
    return list;
}

/* Names, with those of a list of ours where one is named as "@list". NULL: no such list. */
static const apr_array_header_t *expand(cmd_parms *cmd, int argc, char *const argv[],
                                        const char *list, const apr_array_header_t *names)
{
    apr_array_header_t *all = apr_array_make(cmd->pool, argc + names->nelts,
                                             sizeof(const char *));
    int i;

    for (i = 0; i < argc; i++) {
        if (!strcmp(argv[i], list)) {
            apr_array_cat(all, names);
        } else if (*argv[i] == '@') {
            return NULL;
        } else {
            APR_ARRAY_PUSH(all, const char *) = apr_pstrdup(cmd->pool, argv[i]);
        }
    }
    return all;
}

const char *devcache_set_encodings(cmd_parms *cmd, void *dirv, int argc,
                                   char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_array_header_t *names = apr_array_make(cmd->pool, 8, sizeof(const char *));
    int inflate = 0, i;

    if (!argc || argc > 9) {
        return "DevCacheEncodings: give one to eight codings, the dearest first (such as "
               "br gzip), and inflate, or keep";
    }
    if (argc == 1 && !ap_cstr_casecmp(argv[0], "keep")) {
        SET(encodings, names);
        SET(inflate, 0);
        return NULL;
    }
    for (i = 0; i < argc; i++) {
        if (!ap_cstr_casecmp(argv[i], "inflate")) {
            inflate = 1;
            continue;
        }
        if (!devcache_value_is_token(argv[i]) || !ap_cstr_casecmp(argv[i], "identity") ||
            !ap_cstr_casecmp(argv[i], "keep") || names->nelts == 8) {
            return apr_psprintf(cmd->pool,
                                "DevCacheEncodings: '%s' is no coding (such as br, "
                                "gzip), or one too many",
                                argv[i]);
        }
        ap_str_tolower(argv[i]);
        APR_ARRAY_PUSH(names, const char *) = argv[i];
    }
    SET(encodings, names->nelts ? names : NULL);
    SET(inflate, inflate);
    return NULL;
}

const char *devcache_set_cookies(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    static const char *const modes[] = {"keep", "allow", "deny", NULL};
    devcache_dir_t *conf = dirv;
    devcache_cookies_t *cookies = apr_pcalloc(cmd->pool, sizeof *cookies);
    int mode; /* a devcache_cookies_e */

    for (mode = 0; argc && modes[mode] && ap_cstr_casecmp(modes[mode], argv[0]); mode++) {
    }
    if (!argc || !modes[mode] || (mode >= DEVCACHE_COOKIES_ALLOW) != (argc > 1)) {
        return "DevCacheCookies: give keep, allow name..., or deny name... (such as deny "
               "@analytics ROUTEID)";
    }
    cookies->mode = (devcache_cookies_e)mode;
    cookies->names = expand(cmd, argc - 1, argv + 1, "@analytics",
                            devcache_cookies_default.names);
    if (!cookies->names) {
        return "DevCacheCookies: the only list is @analytics";
    }
    SET(cookies, cookies);
    return NULL;
}

const char *devcache_set_query(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    static const char *const modes[] = {"keep", "sort", "ignore", "allow", "deny", NULL};
    devcache_dir_t *conf = dirv;
    devcache_query_t *query = apr_pcalloc(cmd->pool, sizeof *query);
    int mode; /* a devcache_query_e */

    for (mode = 0; argc && modes[mode] && ap_cstr_casecmp(modes[mode], argv[0]); mode++) {
    }
    if (!argc || !modes[mode] || (mode >= DEVCACHE_QUERY_ALLOW) != (argc > 1)) {
        return "DevCacheQuery: give keep, sort, ignore, allow name..., or deny name...";
    }
    query->mode = (devcache_query_e)mode;
    query->names = expand(cmd, argc - 1, argv + 1, "@tracking", &devcache_query_tracking);
    if (!query->names) {
        return "DevCacheQuery: the only list is @tracking";
    }
    SET(query, query);
    return NULL;
}

const char *devcache_set_targets(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_dir_t *conf = dirv;
    int i;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        SET(targets, apr_array_make(cmd->pool, 1, sizeof(const char *)));
        return NULL;
    }
    for (i = 0; i < argc; i++) {
        if (!devcache_value_is_token(argv[i])) {
            return apr_psprintf(cmd->pool, "DevCacheTargets: '%s' is not a header name",
                                argv[i]);
        }
    }
    if (!argc) {
        return "DevCacheTargets: give header names (such as CDN-Cache-Control), or 'off'";
    }
    SET(targets, words(cmd, argc, argv));
    return NULL;
}

const char *devcache_set_key_headers(cmd_parms *cmd, void *dirv, int argc,
                                     char *const argv[])
{
    devcache_dir_t *conf = dirv;
    int i;

    for (i = 0; i < argc; i++) {
        if (!devcache_value_is_token(argv[i])) {
            return apr_psprintf(cmd->pool,
                                "DevCacheKeyHeaders: '%s' is not a header name", argv[i]);
        }
    }
    if (!argc) {
        return "DevCacheKeyHeaders: give header names";
    }
    SET(key_headers, words(cmd, argc, argv));
    return NULL;
}

/* Several lines add up, those of a virtual host to the main server's. */
const char *devcache_set_known_headers(cmd_parms *cmd, void *dirv, int argc,
                                       char *const argv[])
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);
    const apr_array_header_t *list = words(cmd, argc, argv);
    int i;

    for (i = 0; i < argc; i++) {
        apr_size_t len = strlen(argv[i]);
        const char *why = devcache_ordinary_refuses(argv[i]);
        int has_star = len > 1 && argv[i][len - 1] == '*';

        const char *name = strncmp(argv[i], "env:", 4) ? argv[i] : argv[i] + 4;

        if (!devcache_value_is_token(name) ||
            strcspn(argv[i], "*") != len - (apr_size_t)has_star) {
            return apr_psprintf(
                cmd->pool,
                "DevCacheKnownHeaders: '%s' is not a header name, nor env: and the name "
                "of a variable (a * may stand at its end)",
                argv[i]);
        }
        if (why) {
            return apr_psprintf(cmd->pool, "DevCacheKnownHeaders: %s %s", argv[i], why);
        }
    }
    if (!argc) {
        return "DevCacheKnownHeaders: give header names";
    }
    SET(known_headers, conf->known_headers_by
                           ? apr_array_append(cmd->pool, conf->known_headers, list)
                           : list);
    return NULL;
}

/* One directive for each header. Those of a section stand in place of all that come from
 * outside of it. */
const char *devcache_set_normalize(cmd_parms *cmd, void *dirv, int argc,
                                   char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_array_header_t *list = (apr_array_header_t *)conf->normals;
    const char *why = argc ? devcache_normal_refuses(argv[0]) : NULL;
    devcache_normal_t *n;
    int i;

    if (!list) {
        list = apr_array_make(cmd->pool, 2, sizeof(devcache_normal_t));
    }
    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        apr_array_clear(list);
    } else if (argc < 2) {
        return "DevCacheNormalize: give a header and the values to tell apart (such as "
               "Accept-Language de en), or 'off'";
    } else if (!devcache_value_is_token(argv[0])) {
        return apr_psprintf(cmd->pool, "DevCacheNormalize: '%s' is not a header name",
                            argv[0]);
    } else if (why) {
        return apr_psprintf(cmd->pool, "DevCacheNormalize: %s %s", argv[0], why);
    } else {
        for (i = 1; i < argc; i++) {
            if (strpbrk(argv[i], ",; \t\"")) {
                return apr_psprintf(
                    cmd->pool,
                    "DevCacheNormalize: '%s' is not one value; put blanks "
                    "between them",
                    argv[i]);
            }
        }
        n = apr_array_push(list);
        n->header = apr_pstrdup(cmd->pool, argv[0]);
        n->values = words(cmd, argc - 1, argv + 1);
    }
    SET(normals, list);
    return NULL;
}

const char *devcache_set_bypass(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;
    const char *error = NULL;
    ap_expr_info_t *expr = ap_expr_parse_cmd(cmd, arg, AP_EXPR_FLAG_DONT_VARY, &error,
                                             NULL);

    if (error) {
        return apr_psprintf(cmd->pool, "DevCacheBypass: '%s' is not an expression: %s",
                            arg, error);
    }
    SET(bypass, expr);
    return NULL;
}

/* ---- tags and purges -------------------------------------------------------------- */

const char *devcache_set_tag_header(cmd_parms *cmd, void *dirv, int argc,
                                    char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_array_header_t *list = apr_array_make(cmd->pool, argc + 1,
                                              sizeof(devcache_tag_header_t));
    int i;

    for (i = 0; i < argc && (argc > 1 || ap_cstr_casecmp(argv[0], "off")); i++) {
        devcache_tag_header_t *h = apr_array_push(list);

        h->shown = argv[i][0] == '+';
        h->name = apr_pstrdup(cmd->pool, argv[i] + h->shown);
        if (!devcache_value_is_token(h->name)) {
            return apr_psprintf(cmd->pool, "DevCacheTagHeader: '%s' is not a header name",
                                argv[i]);
        }
    }
    if (!argc) {
        return "DevCacheTagHeader: give header names (such as Cache-Tag), or 'off'";
    }
    SET(tag_headers, list);
    return NULL;
}

/* Only a plain <Location "/path"> has a path that can be taken off a URL. */
static int has_path(const cmd_parms *cmd, const ap_directive_t *section)
{
    return section && !ap_cstr_casecmp(section->directive, "<Location") && cmd->path &&
           cmd->path[0] == '/' && section->args && !ap_strchr_c(section->args, '~');
}

const char *devcache_set_head(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;
    int fills = !ap_cstr_casecmp(arg, "get");

    if (!fills && ap_cstr_casecmp(arg, "pass")) {
        return apr_psprintf(cmd->pool, "DevCacheHead: '%s' is neither get nor pass", arg);
    }
    SET(head_fills, fills);
    return NULL;
}

const char *devcache_set_slice(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;

    if (ap_cstr_casecmp(arg, "off")) {
        return devcache_value_set_number(cmd, dirv, arg)
                   ? apr_psprintf(cmd->pool,
                                  "DevCacheSlice: '%s' is neither a size from 64K to 64M "
                                  "nor off",
                                  arg)
                   : NULL;
    }
    SET(slice, 0);
    return NULL;
}

const char *devcache_set_finish(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;

    if (ap_cstr_casecmp(arg, "always")) {
        return devcache_value_set_number(cmd, dirv, arg)
                   ? apr_psprintf(
                         cmd->pool,
                         "DevCacheFinish: '%s' is neither seconds (0 to 3600) nor "
                         "always",
                         arg)
                   : NULL;
    }
    conf->finish = -1;
    conf->finish_by = cmd->directive;
    return NULL;
}

const char *devcache_set_purge(cmd_parms *cmd, void *dirv, const char *arg)
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
    needs_store(cmd);
    return NULL;
}
