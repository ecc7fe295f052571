#include "devcache_conf.h"

#include <stddef.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <util_cfgtree.h>
#include "devcache_log.h"
#include "devcache_purge.h"
#include "devcache_quick.h"
#include "devcache_tags.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

/* Longest duration a directive takes. */
#define TTL_MAX (10 * 365 * 86400)

/* ---- create and merge: made from the field lists --------------------------------- */

#define MERGE(type, name, def)                                                           \
    to->name = add->name##_by ? add->name : base->name;                                  \
    to->name##_by = add->name##_by ? add->name##_by : base->name##_by;

void *devcache_conf_create_server(apr_pool_t *p, server_rec *s)
{
    devcache_server_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->rules = apr_array_make(p, 4, sizeof(devcache_pair_t));
    conf->folds = apr_array_make(p, 4, sizeof(devcache_pair_t));
    return conf;
}

void *devcache_conf_merge_server(apr_pool_t *p, void *basev, void *addv)
{
    const devcache_server_t *base = basev, *add = addv;
    devcache_server_t *to = apr_pcalloc(p, sizeof *to);

    DEVCACHE_SERVER_FIELDS(MERGE)
    /* First match wins, so the virtual host's own rules stand before the main server's.
     */
    to->rules = apr_array_append(p, add->rules, base->rules);
    to->folds = apr_array_append(p, base->folds, add->folds);
    return to;
}

void *devcache_conf_create_dir(apr_pool_t *p, char *dir)
{
    return apr_pcalloc(p, sizeof(devcache_dir_t));
}

void *devcache_conf_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const devcache_dir_t *base = basev, *add = addv;
    devcache_dir_t *to = apr_pcalloc(p, sizeof *to);

    DEVCACHE_DIR_FIELDS(MERGE)
    return to;
}

devcache_server_t *devcache_conf_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &devcache_module);
}

const devcache_dir_t *devcache_conf_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &devcache_module);
}

static const char *const default_target_names[] = {"CDN-Cache-Control"};
static const apr_array_header_t default_targets = {NULL, sizeof(char *), 1, 1,
                                                   (char *)default_target_names};

void devcache_conf_policy(const devcache_dir_t *dir, devcache_policy_conf_t *out)
{
    out->default_ttl = devcache_dir_default_ttl(dir);
    out->default_ttl_status = devcache_dir_default_ttl_status(dir);
    out->min_ttl = devcache_dir_min_ttl(dir);
    out->max_ttl = devcache_dir_max_ttl(dir);
    out->force_ttl = devcache_dir_force_ttl(dir);
    out->force_ttl_status = devcache_dir_force_ttl_status(dir);
    out->stale_while_revalidate = devcache_dir_stale_while_revalidate(dir);
    out->stale_if_error = devcache_dir_stale_if_error(dir);
    out->stale_if_unreachable = devcache_dir_stale_if_unreachable(dir);
    out->max_object_size = devcache_dir_max_object_size(dir);
    out->ignore_client_control = devcache_dir_ignore_client_control(dir);
    out->store_set_cookie = devcache_dir_store_set_cookie(dir);
    out->key_headers = devcache_dir_key_headers(dir);
    out->targets = devcache_dir_targets(dir) ? devcache_dir_targets(dir)
                                             : &default_targets;
}

/* ---- what only the whole configuration shows ------------------------------------- */

typedef struct enabled_t {
    server_rec *server;
    const char *what; /* the directive that needs a store */
    const char *where;
} enabled_t;

static apr_array_header_t *enabled_at; /* of enabled_t; lives in pconf */

void devcache_conf_reset(apr_pool_t *pconf)
{
    enabled_at = apr_array_make(pconf, 4, sizeof(enabled_t));
}

const char *devcache_conf_check(apr_pool_t *p)
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

void devcache_conf_needs_store(const cmd_parms *cmd)
{
    enabled_t *e = apr_array_push(enabled_at);

    e->server = cmd->server;
    e->what = apr_pstrcat(cmd->pool, cmd->directive->directive, " ", cmd->directive->args,
                          NULL);
    e->where = where(cmd);
}

/* ---- numbers: one setter, driven by a slot ---------------------------------------- */

typedef enum unit_e { UNIT_BYTES, UNIT_SECONDS, UNIT_COUNT } unit_e;

typedef struct slot_t {
    unit_e unit;
    int per_dir;          /* which struct the offsets are in */
    size_t value;         /* offset of an apr_int64_t, or of an int for UNIT_COUNT */
    size_t by;            /* offset of its _by pointer */
    apr_int64_t min, max; /* in the unit as written */
} slot_t;

#define SLOT(unit, conf, per_dir, field, min, max)                                       \
    {                                                                                    \
        unit, per_dir, offsetof(devcache_##conf##_t, field),                             \
            offsetof(devcache_##conf##_t, field##_by), min, max                          \
    }
#define DIR_SLOT(unit, field, min, max) SLOT(unit, dir, 1, field, min, max)
#define SERVER_SLOT(unit, field, min, max) SLOT(unit, server, 0, field, min, max)

#define TERA (APR_INT64_C(1) << 40)

static const slot_t slot_size = SERVER_SLOT(UNIT_BYTES, size, 512 << 10, 256 * TERA);
static const slot_t slot_min_free = SERVER_SLOT(UNIT_BYTES, min_free, 0, 256 * TERA);
static const slot_t slot_memory = SERVER_SLOT(UNIT_BYTES, memory, 0, TERA);
static const slot_t slot_segment = SERVER_SLOT(UNIT_BYTES, segment_size, 64 << 10,
                                               1 << 30);
static const slot_t slot_max_objects = SERVER_SLOT(UNIT_BYTES, max_objects, 64, 1 << 30);
static const slot_t slot_max_object = DIR_SLOT(UNIT_BYTES, max_object_size, 1, TERA);
static const slot_t slot_max_variants = DIR_SLOT(UNIT_COUNT, max_variants, 1, 1024);
static const slot_t slot_default_ttl = DIR_SLOT(UNIT_SECONDS, default_ttl, 0, TTL_MAX);
static const slot_t slot_min_ttl = DIR_SLOT(UNIT_SECONDS, min_ttl, 0, TTL_MAX);
static const slot_t slot_max_ttl = DIR_SLOT(UNIT_SECONDS, max_ttl, 0, TTL_MAX);
static const slot_t slot_force_ttl = DIR_SLOT(UNIT_SECONDS, force_ttl, 0, TTL_MAX);
static const slot_t slot_swr = DIR_SLOT(UNIT_SECONDS, stale_while_revalidate, 0, TTL_MAX);
static const slot_t slot_siu = DIR_SLOT(UNIT_SECONDS, stale_if_unreachable, 0, TTL_MAX);
static const slot_t slot_ahead = DIR_SLOT(UNIT_SECONDS, refresh_ahead, 0, TTL_MAX);
static const slot_t slot_collapse_wait = DIR_SLOT(UNIT_SECONDS, collapse_wait, 0, 3600);
static const slot_t slot_collapse_max = SERVER_SLOT(UNIT_BYTES, collapse_max, 0, 1 << 20);
static const slot_t slot_sie = DIR_SLOT(UNIT_SECONDS, stale_if_error, 0, TTL_MAX);

/* "10M" and the like; -1 if it is no such number. */
static apr_int64_t parse_bytes(const char *arg)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;
    apr_int64_t n;
    int shift = 0;

    if (!apr_isdigit(*arg)) {
        return -1;
    }
    n = apr_strtoi64(arg, &end, 10);
    if (*end && (unit = strchr(units, apr_toupper(*end)))) {
        shift = 10 * (int)(unit - units + 1);
        end++;
    }
    return *end || n > APR_INT64_MAX >> shift ? -1 : n << shift;
}

/* Seconds, or with httpd's units (500ms, 5min, 1h); microseconds out, -1 if neither. */
static apr_int64_t parse_seconds(const char *arg)
{
    apr_interval_time_t t;

    if (!apr_isdigit(*arg) || strlen(arg) > 12 ||
        ap_timeout_parameter_parse(arg, &t, "s") != APR_SUCCESS || t < 0) {
        return -1;
    }
    return t;
}

static const char *set_number(cmd_parms *cmd, void *dirv, const char *arg)
{
    static const char *const what[] = {"a number of bytes (K, M, G, T may follow)",
                                       "a number of seconds (or with ms, s, min, h)",
                                       "a number"};
    const slot_t *slot = cmd->info;
    char *conf = slot->per_dir ? dirv : (char *)devcache_conf_server(cmd->server);
    apr_int64_t factor = slot->unit == UNIT_SECONDS ? APR_USEC_PER_SEC : 1;
    apr_int64_t n = slot->unit == UNIT_SECONDS ? parse_seconds(arg) : parse_bytes(arg);

    if (n < slot->min * factor || n > slot->max * factor) {
        return apr_psprintf(cmd->pool,
                            "%s: '%s' is not %s from %" APR_INT64_T_FMT
                            " to %" APR_INT64_T_FMT,
                            cmd->cmd->name, arg, what[slot->unit], slot->min, slot->max);
    }
    if (slot->unit == UNIT_COUNT) {
        *(int *)(conf + slot->value) = (int)n;
    } else {
        *(apr_int64_t *)(conf + slot->value) = n;
    }
    *(const ap_directive_t **)(void *)(conf + slot->by) = cmd->directive;
    return NULL;
}

/* ---- words ------------------------------------------------------------------------- */

/* Sets a field; to be used where a struct pointer is named conf, and a cmd_parms cmd. */
#define SET(field, v) (conf->field = (v), conf->field##_by = cmd->directive)

typedef struct flag_slot_t {
    int per_dir;
    size_t value, by; /* offsets of an int and of its _by pointer */
} flag_slot_t;

#define DIR_FLAG(field)                                                                  \
    {                                                                                    \
        1, offsetof(devcache_dir_t, field), offsetof(devcache_dir_t, field##_by)         \
    }
#define SERVER_FLAG(field)                                                               \
    {                                                                                    \
        0, offsetof(devcache_server_t, field), offsetof(devcache_server_t, field##_by)   \
    }

static const flag_slot_t flag_classify = SERVER_FLAG(classify);
static const flag_slot_t flag_viewer = SERVER_FLAG(viewer_headers);
static const flag_slot_t flag_vary_device = DIR_FLAG(vary_device);
static const flag_slot_t flag_client_control = DIR_FLAG(ignore_client_control);
static const flag_slot_t flag_set_cookie = DIR_FLAG(store_set_cookie);
static const flag_slot_t flag_collapse = DIR_FLAG(collapse);
static const flag_slot_t flag_fetch_whole = DIR_FLAG(fetch_whole);
static const flag_slot_t flag_status_header = DIR_FLAG(status_header);

static const char *set_flag(cmd_parms *cmd, void *dirv, int on)
{
    const flag_slot_t *slot = cmd->info;
    char *conf = slot->per_dir ? dirv : (char *)devcache_conf_server(cmd->server);

    *(int *)(conf + slot->value) = on;
    *(const ap_directive_t **)(void *)(conf + slot->by) = cmd->directive;
    return NULL;
}

static const char *set_enabled(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;
    int on = !ap_cstr_casecmp(arg, "On"), observe = !ap_cstr_casecmp(arg, "Observe");

    if (!on && !observe && ap_cstr_casecmp(arg, "Off")) {
        return apr_psprintf(cmd->pool, "DevCache: '%s' is not On, Off or Observe", arg);
    }
    SET(enabled, on);
    SET(observe, observe);
    if (on || observe) {
        devcache_conf_needs_store(cmd);
    }
    return NULL;
}

static const char *set_root(cmd_parms *cmd, void *dirv, const char *arg)
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

int devcache_conf_is_token(const char *s)
{
    const char *at = s;

    while (*at && (apr_isalnum(*at) || strchr("!#$%&'*+-.^_`|~", *at))) {
        at++;
    }
    return at != s && *at == '\0' && at - s <= 64;
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

static const char *set_device_header(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);

    if (!ap_cstr_casecmp(arg, "off")) {
        SET(device_header, "");
        return NULL;
    }
    if (!devcache_conf_is_token(arg) || is_reserved_field(arg)) {
        return apr_psprintf(cmd->pool,
                            "DevCacheDeviceHeader: '%s' is not a header name "
                            "of its own (such as X-Device-Type), nor 'off'",
                            arg);
    }
    SET(device_header, arg);
    return NULL;
}

static const char *set_device_cookie(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_server_t *conf = devcache_conf_server(cmd->server);

    if (!devcache_conf_is_token(arg)) {
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
static const char *add_rule(cmd_parms *cmd, void *dirv, const char *class,
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
static const char *set_fold(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
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

static const char *set_client_hints(cmd_parms *cmd, void *dirv, const char *arg)
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

static const char *set_vary_user_agent(cmd_parms *cmd, void *dirv, const char *arg)
{
    devcache_dir_t *conf = dirv;

    if (ap_cstr_casecmp(arg, "device") && ap_cstr_casecmp(arg, "exact")) {
        return apr_psprintf(cmd->pool,
                            "DevCacheVaryUserAgent: '%s' is not device or exact", arg);
    }
    SET(user_agent_exact, !ap_cstr_casecmp(arg, "exact"));
    return NULL;
}

/* secs [status ...], for DevCacheDefaultTTL and DevCacheForceTTL. */
static const char *set_ttl(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_array_header_t *statuses = apr_array_make(cmd->pool, 4, sizeof(int));
    int i;
    const char *error;

    if (argc == 0) {
        return apr_psprintf(cmd->pool, "%s: give a number of seconds", cmd->cmd->name);
    }
    if ((error = set_number(cmd, dirv, argv[0]))) {
        return error;
    }
    for (i = 1; i < argc; i++) {
        apr_int64_t status = parse_bytes(argv[i]);
        if (status < 200 || status > 599 || strlen(argv[i]) != 3) {
            return apr_psprintf(cmd->pool,
                                "%s: '%s' is not a final status code "
                                "(200 to 599)",
                                cmd->cmd->name, argv[i]);
        }
        APR_ARRAY_PUSH(statuses, int) = (int)status;
    }
    if (cmd->info == &slot_default_ttl) {
        SET(default_ttl_status, argc > 1 ? statuses : NULL);
    } else {
        SET(force_ttl_status, argc > 1 ? statuses : NULL);
    }
    return NULL;
}

static apr_array_header_t *words(cmd_parms *cmd, int argc, char *const argv[])
{
    apr_array_header_t *list = apr_array_make(cmd->pool, argc, sizeof(const char *));
    int i;

    for (i = 0; i < argc; i++) {
        APR_ARRAY_PUSH(list, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    }
    return list;
}

static const char *set_query(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
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
    query->names = words(cmd, argc - 1, argv + 1);
    SET(query, query);
    return NULL;
}

static const char *set_targets(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_dir_t *conf = dirv;
    int i;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        SET(targets, apr_array_make(cmd->pool, 1, sizeof(const char *)));
        return NULL;
    }
    for (i = 0; i < argc; i++) {
        if (!devcache_conf_is_token(argv[i])) {
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

static const char *set_key_headers(cmd_parms *cmd, void *dirv, int argc,
                                   char *const argv[])
{
    devcache_dir_t *conf = dirv;
    int i;

    for (i = 0; i < argc; i++) {
        if (!devcache_conf_is_token(argv[i])) {
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

/* One directive for each header. Those of a section stand in place of all that come from
 * outside of it. */
static const char *set_normalize(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
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
    } else if (!devcache_conf_is_token(argv[0])) {
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

static const char *set_bypass(cmd_parms *cmd, void *dirv, const char *arg)
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

/* ---- the table -----------------------------------------------------------------------
 */

#define S RSRC_CONF
#define L (RSRC_CONF | ACCESS_CONF)

const command_rec devcache_conf_directives[] = {
    AP_INIT_TAKE1("DevCacheRoot", set_root, NULL, S,
                  "directory for stored responses; must exist and belong to User"),
    AP_INIT_TAKE1("DevCacheSize", set_number, (void *)&slot_size, S,
                  "bound of the disk tier, bytes; K, M, G, T may follow"),
    AP_INIT_TAKE1("DevCacheMinFree", set_number, (void *)&slot_min_free, S,
                  "leave at least this many bytes free on the file system"),
    AP_INIT_TAKE1("DevCacheMemory", set_number, (void *)&slot_memory, S,
                  "memory of each child for what is asked for most, bytes; 0: none"),
    AP_INIT_TAKE1("DevCacheMaxObjects", set_number, (void *)&slot_max_objects, S,
                  "bound on the number of stored responses"),
    AP_INIT_TAKE1("DevCacheSegmentSize", set_number, (void *)&slot_segment, S,
                  "size of one segment file, bytes"),
    AP_INIT_TAKE1(
        "DevCache", set_enabled, NULL, L,
        "On, Off or Observe: use the cache here, or only count what it would do"),
    AP_INIT_TAKE1("DevCacheMaxObjectSize", set_number, (void *)&slot_max_object, L,
                  "store no response body larger than this, bytes"),
    AP_INIT_FLAG("DevCacheClassify", set_flag, (void *)&flag_classify, S,
                 "On or Off: classify devices, also without caching"),
    AP_INIT_TAKE1("DevCacheDeviceHeader", set_device_header, NULL, S,
                  "request header that tells the origin the class, or off"),
    AP_INIT_TAKE2("DevCacheDeviceRule", add_rule, NULL, S,
                  "class and regular expression for the User-Agent"),
    AP_INIT_TAKE_ARGV("DevCacheDeviceFold", set_fold, NULL, S,
                      "from to [from to ...]: show a class as another, or off"),
    AP_INIT_TAKE1("DevCacheDeviceCookie", set_device_cookie, NULL, S,
                  "cookie by which a visitor chooses a class"),
    AP_INIT_TAKE1("DevCacheClientHints", set_client_hints, NULL, S,
                  "On, Off or Critical: let Client Hints refine the class"),
    AP_INIT_FLAG("DevCacheViewerHeaders", set_flag, (void *)&flag_viewer, S,
                 "On or Off: send CloudFront-Is-*-Viewer to the origin"),
    AP_INIT_FLAG("DevCacheVaryDevice", set_flag, (void *)&flag_vary_device, L,
                 "On or Off: split every response by device class"),
    AP_INIT_TAKE1("DevCacheVaryUserAgent", set_vary_user_agent, NULL, L,
                  "device or exact: what an origin's Vary: User-Agent means"),
    AP_INIT_TAKE1("DevCacheMaxVariants", set_number, (void *)&slot_max_variants, L,
                  "variants stored per URL"),
    AP_INIT_TAKE_ARGV("DevCacheDefaultTTL", set_ttl, (void *)&slot_default_ttl, L,
                      "seconds [status ...]: freshness where the origin states none"),
    AP_INIT_TAKE1("DevCacheMinTTL", set_number, (void *)&slot_min_ttl, L,
                  "lower bound of explicit freshness, seconds"),
    AP_INIT_TAKE1("DevCacheMaxTTL", set_number, (void *)&slot_max_ttl, L,
                  "upper bound of freshness, seconds"),
    AP_INIT_TAKE_ARGV("DevCacheForceTTL", set_ttl, (void *)&slot_force_ttl, L,
                      "seconds [status ...]: replace the origin's freshness"),
    AP_INIT_TAKE1(
        "DevCacheStaleWhileRevalidate", set_number, (void *)&slot_swr, L,
        "seconds to serve stale while refreshing, where the origin states none"),
    AP_INIT_TAKE1("DevCacheStaleIfError", set_number, (void *)&slot_sie, L,
                  "seconds to serve stale on errors, where the origin states none"),
    AP_INIT_TAKE1("DevCacheStaleIfUnreachable", set_number, (void *)&slot_siu, L,
                  "seconds to serve stale when the origin gives no answer at all"),
    AP_INIT_FLAG("DevCacheIgnoreClientControl", set_flag, (void *)&flag_client_control, L,
                 "On or Off: ignore the request's Cache-Control and Pragma"),
    AP_INIT_FLAG("DevCacheStoreSetCookie", set_flag, (void *)&flag_set_cookie, L,
                 "On or Off: store responses that set cookies"),
    AP_INIT_TAKE_ARGV(
        "DevCacheQuery", set_query, NULL, L,
        "keep, sort, ignore, allow names or deny names: the query in the key"),
    AP_INIT_TAKE_ARGV("DevCacheTargets", set_targets, NULL, L,
                      "targeted cache-control fields (RFC 9213), best first, or off"),
    AP_INIT_TAKE_ARGV("DevCacheNormalize", set_normalize, NULL, L,
                      "a request header and the values of it that make another page"),
    AP_INIT_TAKE_ARGV("DevCacheKeyHeaders", set_key_headers, NULL, L,
                      "request headers whose values make another page each"),
    AP_INIT_FLAG("DevCacheQuick", devcache_quick_set, NULL, L,
                 "On or Off: serve hits before access control, rewriting and fixups"),
    AP_INIT_TAKE1("DevCacheBypass", set_bypass, NULL, L,
                  "expression; where true the cache is not used"),
    AP_INIT_TAKE1("DevCacheRefreshAhead", set_number, (void *)&slot_ahead, L,
                  "refresh in the background what is asked for so many seconds before it "
                  "expires; 0: not"),
    AP_INIT_FLAG("DevCacheFetchWhole", set_flag, (void *)&flag_fetch_whole, L,
                 "On or Off: fetch in the background what a part of was asked for"),
    AP_INIT_FLAG("DevCacheCollapse", set_flag, (void *)&flag_collapse, L,
                 "On or Off: ask the origin once for all who want the same now"),
    AP_INIT_TAKE1("DevCacheCollapseWait", set_number, (void *)&slot_collapse_wait, L,
                  "seconds to wait for another request's answer, then ask the origin"),
    AP_INIT_TAKE1("DevCacheCollapseMax", set_number, (void *)&slot_collapse_max, S,
                  "threads of one child that may wait so at once; 0: all of them"),
    AP_INIT_FLAG("DevCacheStatusHeader", set_flag, (void *)&flag_status_header, L,
                 "On or Off: send Cache-Status (RFC 9211)"),
    AP_INIT_TAKE_ARGV("DevCacheTagHeader", devcache_tags_set, NULL, L,
                      "response headers with tags to purge by, or off; + before one that "
                      "clients are sent, too"),
    AP_INIT_TAKE1("DevCachePurge", devcache_purge_set, NULL, L,
                  "On, Off or Path: let PURGE requests remove what is stored"),
    {NULL}};
