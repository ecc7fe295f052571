/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of checks below: which directive each looks at, and a function that returns a
 * sentence or NULL. A check speaks up only where the files themselves show the mistake; a
 * warning that is wrong once is not read again. What depends on a request (patterns,
 * conditions, directories) is taken to be right.
 */
#include "setup/lint.h"

#include <ap_listen.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include "setup/conf.h"
#include "setup/lint_login.h"
#include "setup/lint_peers.h"
#include "setup/value.h"
#include "mod_devcache.h"

/* ---- a copy for each visitor ---------------------------------------------------- */

static const char *exact_user_agent(const devcache_lint_t *l, const devcache_said_t *s)
{
    return ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "exact")
               ? NULL
               : apr_psprintf(
                     l->p,
                     "%s keeps a copy for each version of each browser where the "
                     "application says Vary: User-Agent, and hits become rare; "
                     "'device' keeps one for each device class",
                     devcache_lint_name(l, s));
}

static const char *keyed_by_visitor(const devcache_lint_t *l, const devcache_said_t *s)
{
    int i;

    for (i = 0; *devcache_lint_arg(l, s, i); i++) {
        if (devcache_lint_is_of_one_visitor(devcache_lint_arg(l, s, i))) {
            return apr_psprintf(l->p,
                                "%s: %s differs from visitor to visitor, so nearly every "
                                "request gets a copy of its own; take it away",
                                devcache_lint_name(l, s), devcache_lint_arg(l, s, i));
        }
    }
    return NULL;
}

/* ---- without effect ------------------------------------------------------------- */

/* Lines of these in one section add up; but all of a section stand in place of those from
 * outside of it. */
static int adds_up(const devcache_said_t *s)
{
    static const char *const names[] = {"DevCacheDefaultTTL", "DevCacheForceTTL",
                                        "DevCacheNormalize", NULL};

    return devcache_lint_is_one_of(s->d->directive, names);
}

static const char *overridden(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_said_t *by;

    if (ap_cstr_casecmpn(s->d->directive, "DevCache", 8) ||
        !devcache_lint_has_section(s)) {
        return NULL;
    }
    by = devcache_lint_in_force(l, s->d->directive, s);
    if (by->d->parent == s->d->parent && adds_up(s)) {
        return NULL;
    }
    if (by == s || by->vhost != s->vhost || !ap_cstr_casecmp(by->d->args, s->d->args)) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s has no effect, as %s holds there too and comes later; httpd "
                        "merges sections in their order, whatever the length of their "
                        "paths: put the narrower one last",
                        devcache_lint_name(l, s), devcache_lint_name(l, by));
}

static int holds_ours(const ap_directive_t *section)
{
    const ap_directive_t *d = section->first_child;

    for (; d && ap_cstr_casecmpn(d->directive, "DevCache", 8); d = d->next) {
    }
    return d != NULL;
}

static const char *unreachable(const devcache_lint_t *l, const devcache_said_t *s)
{
    const char *path = devcache_lint_arg(l, s, 0), *query = strchr(path, '?');
    apr_size_t len = strlen(path);
    const char *why = NULL;

    if (!holds_ours(s->d) || !strcmp(path, "~") || !len) {
        return NULL;
    }
    if (*path != '/' && strcmp(path, "*") && !strstr(path, "://")) {
        why = "is never reached, as paths begin with \"/\"; for endings there is "
              "<LocationMatch \"\\.css$\">";
    } else if (query && strchr(query, '=')) {
        why = "is never reached, as a Location sees the path without its query; there is "
              "<If \"%{QUERY_STRING} =~ /.../\">";
    } else if (len > 2 && !strcmp(path + len - 2, "/*")) {
        why = "reaches one level only, as \"*\" does not match \"/\"; without it, "
              "everything below is meant";
    }
    return why ? apr_psprintf(l->p, "%s %s> (%s:%d) %s", s->d->directive, path,
                              s->d->filename, s->d->line_num, why)
               : NULL;
}

/* Is a request for the Location of @a s proxied by the ProxyPass @a by? */
static int passes(const devcache_lint_t *l, const devcache_said_t *by,
                  const devcache_said_t *s)
{
    if (!devcache_lint_is(by, "ProxyPass") || by->vhost != s->vhost) {
        return 0;
    }
    return devcache_lint_has_section(by)
               ? devcache_lint_covers(by, s)
               : devcache_lint_is_prefix(devcache_lint_arg(l, by, 0), s->path);
}

/* The ProxyPass that decides for the Location of @a s: the last in a Location, else the
 * first of the server. NULL: none. */
static const devcache_said_t *proxied_by(const devcache_lint_t *l,
                                         const devcache_said_t *s)
{
    const devcache_said_t *found = NULL;

    for (DEVCACHE_LINT_EACH(l, by)) {
        if (passes(l, by, s) && (devcache_lint_has_section(by) || !found)) {
            found = by;
        }
    }
    return found;
}

/* A way around ProxyPass that is not followed here? */
static int may_be_exempt(const devcache_lint_t *l)
{
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is(s, "ProxyPassMatch") || strstr(s->d->args, "no-proxy")) {
            return 1;
        }
    }
    return 0;
}

static const char *hidden_status(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_said_t *by;

    if (ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "devcache-status") ||
        !devcache_lint_has_section(s) || !s->path || !s->whole ||
        !(by = proxied_by(l, s)) || may_be_exempt(l) ||
        !strcmp(devcache_lint_arg(l, by, devcache_lint_has_section(by) ? 0 : 1), "!")) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s is never reached, as %s sends its URL to the origin; put "
                        "'ProxyPass !' beside it",
                        devcache_lint_name(l, s), devcache_lint_name(l, by));
}

static int is_loopback(apr_sockaddr_t *addr)
{
    char ip[64];

    return apr_sockaddr_ip_getbuf(ip, sizeof ip, addr) == APR_SUCCESS &&
           devcache_value_is_loopback(ip);
}

/* Can nobody reach this server but from its own machine? */
static int is_local(const server_rec *s)
{
    const ap_listen_rec *at = s->is_virtual ? NULL : ap_listeners;
    const server_addr_rec *addr = s->is_virtual ? s->addrs : NULL;

    while (addr && is_loopback(addr->host_addr)) {
        addr = addr->next;
    }
    while (at && is_loopback(at->bind_addr)) {
        at = at->next;
    }
    return !addr && !at;
}

/* Does it keep somebody out, or may it? "all granted" does not, "all denied" is said of
 * other directories and files, and what stands in <Limit PURGE> of another method. */
static int limits_access(const devcache_lint_t *l, const devcache_said_t *s)
{
    static const char *const names[] = {"Require",    "Allow",           "Deny",
                                        "SSLRequire", "SSLVerifyClient", NULL};

    return devcache_lint_is_one_of(s->d->directive, names) &&
           !(s->d->parent && !ap_cstr_casecmp(s->d->parent->directive, "<Limit")) &&
           ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "all");
}

static const char *open_status(const devcache_lint_t *l, const devcache_said_t *s)
{
    if (ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "devcache-status") ||
        !devcache_lint_has_section(s) || is_local(devcache_lint_server_of(l, s))) {
        return NULL;
    }
    for (DEVCACHE_LINT_EACH(l, by)) {
        if (limits_access(l, by) && devcache_lint_overlaps(by, s)) {
            return NULL;
        }
    }
    return apr_psprintf(l->p,
                        "%s shows URLs, hosts and errors to everybody; put 'Require "
                        "local', or whom it is for, beside it",
                        devcache_lint_name(l, s));
}

static const ap_directive_t *beside(const ap_directive_t *section, const char *name)
{
    const ap_directive_t *d = section->first_child;

    while (d && ap_cstr_casecmp(d->directive, name)) {
        d = d->next;
    }
    return d;
}

/* Does it keep somebody out by a Require that httpd merges? */
static int is_restriction(const devcache_lint_t *l, const devcache_said_t *s)
{
    return devcache_lint_is(s, "Require") &&
           (limits_access(l, s) ||
            (!ap_cstr_casecmp(s->d->args, "all denied") && s->d->parent &&
             !ap_cstr_casecmpn(s->d->parent->directive, "<Files", 6)));
}

/* A section's Require takes the place of all from sections before it, for every method,
 * though it stands in <Limit PURGE>: a GET is let in where they would keep it out. */
static const char *lets_in(const devcache_lint_t *l, const devcache_said_t *s)
{
    const ap_directive_t *section = s->d->parent, *merging;

    if (!section || !beside(section, "DevCachePurge") || beside(section, "Require")) {
        return NULL;
    }
    merging = beside(section, "AuthMerging");
    if (merging && ap_cstr_casecmp(merging->args, "off")) {
        return NULL;
    }
    for (DEVCACHE_LINT_EACH(l, by)) {
        if (is_restriction(l, by) && devcache_lint_overlaps(by, s) &&
            devcache_lint_is_later(s, by)) {
            return apr_psprintf(
                l->p,
                "%s %s (%s:%d): the Require in it takes the place of %s for "
                "all methods, so that everybody is let in; put "
                "'AuthMerging And' beside it",
                s->d->directive, s->d->args, s->d->filename, s->d->line_num,
                devcache_lint_name(l, by));
        }
    }
    return NULL;
}

static const char *unused(const devcache_lint_t *l, const devcache_said_t *s)
{
    for (DEVCACHE_LINT_EACH(l, other)) {
        if (devcache_lint_is_on(l, other) ||
            devcache_lint_is(other, "DevCacheClassify")) {
            return NULL;
        }
    }
    return apr_psprintf(l->p,
                        "%s: nothing is cached, as DevCache is On nowhere; put it into a "
                        "<Location>, or say DevCacheClassify On if only the device class "
                        "is wanted",
                        devcache_lint_name(l, s));
}

/* ---- numbers -------------------------------------------------------------------- */

#define DAY 86400

/* A number without a unit; -1 if it has one. */
static apr_int64_t bare(const char *text)
{
    char *end;
    apr_int64_t n = apr_strtoi64(text, &end, 10);

    return *text && !*end ? n : -1;
}

/* More than a year; or a round number of minutes in milliseconds, while no whole number
 * of days in seconds. */
static int looks_like_milliseconds(apr_int64_t n)
{
    return n > 366 * DAY || (n >= 300000 && n % 60000 == 0 && n % DAY != 0);
}

static const char *seconds(const devcache_lint_t *l, const devcache_said_t *s)
{
    apr_int64_t n = bare(devcache_lint_arg(l, s, 0));

    if (!looks_like_milliseconds(n)) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s is in seconds, and means %" APR_INT64_T_FMT
                        " days; if milliseconds are meant, say %" APR_INT64_T_FMT,
                        devcache_lint_name(l, s), n / DAY, n / 1000);
}

static const char *bytes(const devcache_lint_t *l, const devcache_said_t *s)
{
    static const struct {
        const char *directive;
        apr_int64_t least;
    } bounds[] = {{"DevCacheMaxObjectSize", 1000},
                  {"DevCacheMinFree", 64 << 10},
                  {"DevCacheMemory", 64 << 10}};
    apr_int64_t n = bare(devcache_lint_arg(l, s, 0));
    unsigned i;

    for (i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        if (devcache_lint_is(s, bounds[i].directive) && n > 0 && n < bounds[i].least) {
            return apr_psprintf(l->p,
                                "%s is in bytes, and too little to be of use; is "
                                "%" APR_INT64_T_FMT "M meant?",
                                devcache_lint_name(l, s), n);
        }
    }
    return NULL;
}

static const char *above_max(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_said_t *max = devcache_lint_in_force(l, "DevCacheMaxTTL", s);
    apr_interval_time_t least = devcache_value_time(devcache_lint_arg(l, s, 0), "s");
    apr_interval_time_t most = max ? devcache_value_time(devcache_lint_arg(l, max, 0),
                                                         "s")
                                   : -1;

    if (most < 0 || least <= most) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s is more than %s allows, which counts: nothing is fresh for "
                        "longer; make the one smaller or the other larger",
                        devcache_lint_name(l, s), devcache_lint_name(l, max));
}

static const char *shares_cookies(const devcache_lint_t *l, const devcache_said_t *s)
{
    if (ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "On") ||
        devcache_lint_in_force(l, "DevCacheBypass", s)) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s gives the cookie that one visitor was set to everybody, "
                        "sessions included; add a DevCacheBypass for those whose cookies "
                        "are their own, or take it away",
                        devcache_lint_name(l, s));
}

/* ---- the disk ------------------------------------------------------------------- */

static const char *network_name(const char *path)
{
    static const struct {
        unsigned long magic; /* as statfs(2) lists them */
        const char *name;
    } kinds[] = {{0x6969, "NFS"},     {0x517b, "SMB"},      {0xff534d42, "CIFS"},
                 {0xfe534d42, "SMB"}, {0x00c36400, "Ceph"}, {0x5346414f, "AFS"}};
    struct statfs fs;
    unsigned i;

    for (i = 0; statfs(path, &fs) == 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (((unsigned long)fs.f_type & 0xffffffffu) == kinds[i].magic) {
            return kinds[i].name;
        }
    }
    return NULL;
}

static const char *root_kind(const devcache_lint_t *l, const devcache_said_t *s)
{
    const char *root = devcache_server_root(
        devcache_conf_server(devcache_lint_server_of(l, s)));
    const char *network = root ? network_name(root) : NULL;

    if (network) {
        return apr_psprintf(l->p,
                            "%s is on a network file system (%s), where the index in "
                            "shared memory and its locks cannot be relied on, and hits "
                            "wait for the network; use a local disk",
                            devcache_lint_name(l, s), network);
    }
    if (root && l->is_trial &&
        (devcache_lint_is_below(root, "/tmp") ||
         devcache_lint_is_below(root, "/var/tmp"))) {
        return apr_psprintf(l->p,
                            "%s: what lies there is cleaned away at times, and a server "
                            "started by systemd (PrivateTmp) has another one; use "
                            "/var/cache/apache2/devcache",
                            devcache_lint_name(l, s));
    }
    return NULL;
}

/* A size as one would write it, rounded down. */
static const char *size(const devcache_lint_t *l, apr_uint64_t n)
{
    return n >> 30   ? apr_psprintf(l->p, "%" APR_UINT64_T_FMT "G", n >> 30)
           : n >> 20 ? apr_psprintf(l->p, "%" APR_UINT64_T_FMT "M", n >> 20)
                     : apr_psprintf(l->p, "%" APR_UINT64_T_FMT "K", n >> 10);
}

static const char *root_size(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_server_t *server = devcache_conf_server(devcache_lint_server_of(l, s));
    const devcache_said_t *said = devcache_lint_in_force(l, "DevCacheSize", s);
    const char *root = devcache_server_root(server);
    apr_uint64_t wanted = (apr_uint64_t)devcache_server_size(server), room;
    struct statvfs fs;

    if (!root || statvfs(root, &fs) != 0) {
        return NULL; /* the start says so */
    }
    room = (apr_uint64_t)fs.f_blocks * fs.f_frsize;
    if (room >= wanted) {
        return NULL;
    }
    return apr_psprintf(
        l->p,
        "%s: its file system holds %s, less than %s; say a smaller "
        "DevCacheSize, or the disk fills up first and nothing new is stored",
        devcache_lint_name(l, s), size(l, room),
        said ? devcache_lint_name(l, said) : "DevCacheSize, which is 1G if not said");
}

/* ---- several machines ----------------------------------------------------------- */

/* Who can write to the server can purge everything; on this machine it is who could stop
 * it as well. */
static const char *unsigned_purges(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_server_t *server = devcache_conf_server(devcache_lint_server_of(l, s));
    devcache_url_t url;
    int i;

    for (i = 0; *devcache_lint_arg(l, s, i) && !devcache_server_tier_key(server); i++) {
        if (!devcache_url_parse(devcache_lint_arg(l, s, i), &url, l->p) &&
            !devcache_url_is_local(&url)) {
            return apr_psprintf(
                l->p,
                "%s without DevCacheTierKey: whoever can write to %s, or to what comes "
                "from there on the network, can %sempty the caches of all machines "
                "whenever he likes, and the application then answers every visitor; make "
                "a key "
                "with openssl rand -hex 32, and name its file, mode 600 and the same on "
                "all machines, in DevCacheTierKey",
                devcache_lint_name(l, s), url.text,
                devcache_server_tier_use(server) >= DEVCACHE_TIER_OBJECTS
                    ? "show your visitors pages of his own, and "
                    : "");
        }
    }
    return NULL;
}

/* mod_http2 drops answers of status 103 else, by the server that the connection is of. */
static const char *lacks_early_hints(const devcache_lint_t *l, const devcache_said_t *d)
{
    int on = 0, here = 0;

    if (ap_cstr_casecmp(devcache_lint_arg(l, d, 0), "On")) {
        return NULL;
    }
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is(s, "H2EarlyHints") && (s->vhost == d->vhost || !s->vhost) &&
            (s->vhost || !here)) {
            on = !ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "on");
            here |= s->vhost != NULL;
        }
    }
    return on ? NULL
              : apr_psprintf(l->p,
                             "%s sends nothing, as mod_http2 drops answers of status 103 "
                             "without 'H2EarlyHints on' in the server: add that line",
                             devcache_lint_name(l, d));
}

/* ---- the table ------------------------------------------------------------------ */

static const struct {
    const char *directive; /* NULL: all of them */
    devcache_lint_check_fn *check;
} checks[] = {
    {"CacheEnable", devcache_lint_beside_mod_cache},
    {"DevCacheVaryUserAgent", exact_user_agent},
    {"DevCacheKeyHeaders", keyed_by_visitor},
    {"Header", devcache_lint_headers},
    {"RequestHeader", devcache_lint_overwrites_class},
    {"FilterDeclare", devcache_lint_behind_the_store},
    {"BrowserMatch", devcache_lint_forces_gzip},
    {"BrowserMatchNoCase", devcache_lint_forces_gzip},
    {"SetEnvIf", devcache_lint_forces_gzip},
    {"SetEnvIfNoCase", devcache_lint_forces_gzip},
    {"DeflateAlterETag", devcache_lint_drops_etag},
    {"BrotliAlterETag", devcache_lint_drops_etag},
    {NULL, overridden},
    {"<Location", unreachable},
    {"SetHandler", hidden_status},
    {"SetHandler", open_status},
    {"<Limit", lets_in},
    {"DevCacheRoot", unused},
    {"DevCacheRoot", root_kind},
    {"DevCacheRoot", root_size},
    {"DevCacheDefaultTTL", seconds},
    {"DevCacheMinTTL", seconds},
    {"DevCacheMaxTTL", seconds},
    {"DevCacheForceTTL", seconds},
    {"DevCacheStaleWhileRevalidate", seconds},
    {"DevCacheStaleIfError", seconds},
    {"DevCacheStaleIfUnreachable", seconds},
    {"DevCacheDefaultTTL", devcache_lint_beside_a_login},
    {"DevCacheForceTTL", devcache_lint_beside_a_login},
    {"DevCacheDefaultTTL", above_max},
    {"DevCacheMinTTL", above_max},
    {"DevCacheForceTTL", above_max},
    {NULL, bytes},
    {"DevCacheEarlyHints", lacks_early_hints},
    {"DevCacheStoreSetCookie", shares_cookies},
    {"DevCacheTier", unsigned_purges},
};

void devcache_lint_warn(server_rec *main_server, int is_trial, apr_pool_t *p)
{
    devcache_lint_t lint = {main_server, devcache_lint_list(ap_conftree, p), is_trial, p};
    unsigned i;

    for (DEVCACHE_LINT_EACH(&lint, s)) {
        for (i = 0; i < sizeof checks / sizeof checks[0]; i++) {
            const char *sentence = !checks[i].directive ||
                                           devcache_lint_is(s, checks[i].directive)
                                       ? checks[i].check(&lint, s)
                                       : NULL;
            if (sentence) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                             DCLOGNO(0180) "conf: %s", sentence);
            }
        }
    }
}
