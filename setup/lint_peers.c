/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/lint_peers.h"

#include <apr_strings.h>
#include "setup/conf.h"

/* ---- beside mod_cache ----------------------------------------------------------- */

static const char *cache_path(const devcache_lint_t *l, const devcache_said_t *s, int n)
{
    const char *path = devcache_lint_arg(l, s, n);

    return *path ? path : s->path;
}

static int is_cache_disabled(const devcache_lint_t *l, const devcache_said_t *on)
{
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is(s, "CacheDisable") && (!s->vhost || s->vhost == on->vhost)) {
            const char *path = devcache_lint_arg(l, s, 0);
            path = ap_cstr_casecmp(path, "on") ? path : s->path;
            if (path && *path == '/' && devcache_lint_is_prefix(path, on->path)) {
                return 1;
            }
        }
    }
    return 0;
}

const char *devcache_lint_beside_mod_cache(const devcache_lint_t *l,
                                           const devcache_said_t *s)
{
    const char *path = cache_path(l, s, 1);

    if (!path || *path != '/') {
        return NULL; /* a pattern, or for a forward proxy */
    }
    for (DEVCACHE_LINT_EACH(l, on)) {
        if (devcache_lint_is_on(l, on) && on->path &&
            (!s->vhost || !on->vhost || s->vhost == on->vhost) &&
            (devcache_lint_is_prefix(path, on->path) ||
             devcache_lint_is_prefix(on->path, path)) &&
            !is_cache_disabled(l, on)) {
            return apr_psprintf(
                l->p,
                "%s has mod_cache store the same URLs as %s: pages are "
                "kept twice, and mod_cache's copies answer first, whatever "
                "is purged or expires here; take one of the two away",
                devcache_lint_name(l, s), devcache_lint_name(l, on));
        }
    }
    return NULL;
}

/* ---- mod_headers ---------------------------------------------------------------- */

/* Header [always|onsuccess] action field value [condition]. */
typedef struct header_t {
    const char *action, *field, *value;
    int conditional;
} header_t;

static header_t read_header(const devcache_lint_t *l, const devcache_said_t *s)
{
    const char *first = devcache_lint_arg(l, s, 0);
    int at = !ap_cstr_casecmp(first, "always") || !ap_cstr_casecmp(first, "onsuccess");
    header_t h = {devcache_lint_arg(l, s, at), devcache_lint_arg(l, s, at + 1),
                  devcache_lint_arg(l, s, at + 2),
                  *devcache_lint_arg(l, s, at + 3) != '\0'};
    apr_size_t len = strlen(h.field);

    if (len && h.field[len - 1] == ':') {
        h.field = apr_pstrmemdup(l->p, h.field, len - 1);
    }
    return h;
}

static int gives(const header_t *h)
{
    static const char *const actions[] = {"set", "add", "append", "merge", NULL};

    return devcache_lint_is_one_of(h->action, actions) && !h->conditional &&
           ap_cstr_casecmpn(h->value, "expr=", 5);
}

static int has_word(const devcache_lint_t *l, const char *list, const char *word)
{
    return ap_find_token(l->p, list, word);
}

/* Does another Header after this one have to do with the same field? */
static int is_amended(const devcache_lint_t *l, const devcache_said_t *header,
                      const char *field)
{
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is(s, "Header") && s != header &&
            !ap_cstr_casecmp(read_header(l, s).field, field) &&
            devcache_lint_overlaps(s, header)) {
            return 1;
        }
    }
    return 0;
}

static const char *forbids_storing(const devcache_lint_t *l, const devcache_said_t *s,
                                   const header_t *h)
{
    const devcache_said_t *on = devcache_lint_on_within(l, s);
    const char *word = has_word(l, h->value, "no-store")   ? "no-store"
                       : has_word(l, h->value, "private")  ? "private"
                       : has_word(l, h->value, "no-cache") ? "no-cache"
                                                           : NULL;

    if (!word || !on || !gives(h) || is_amended(l, s, h->field) ||
        is_amended(l, s, "CDN-Cache-Control")) {
        return NULL;
    }
    return apr_psprintf(
        l->p,
        "%s makes every response %s, so that %s %s; take one of the two away, or tell "
        "browsers apart from this cache by CDN-Cache-Control",
        devcache_lint_name(l, s), word, devcache_lint_name(l, on),
        strcmp(word, "no-cache") ? "stores none of them" : "asks the origin each time");
}

static const char *sets_cookie(const devcache_lint_t *l, const devcache_said_t *s,
                               const header_t *h)
{
    const devcache_said_t *on = devcache_lint_on_within(l, s), *store;

    store = on ? devcache_lint_in_force(l, "DevCacheStoreSetCookie", on) : NULL;
    if (!on || !gives(h) ||
        (store && !ap_cstr_casecmp(devcache_lint_arg(l, store, 0), "On"))) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s makes every response set a cookie, and %s stores none that "
                        "do; take one of the two away",
                        devcache_lint_name(l, s), devcache_lint_name(l, on));
}

static int is_compressor(const char *args)
{
    return ap_strcasestr(args, "DEFLATE") || ap_strcasestr(args, "BROTLI_COMPRESS");
}

static int is_compressed(const devcache_lint_t *l)
{
    static const char *const directives[] = {"SetOutputFilter", "AddOutputFilter",
                                             "AddOutputFilterByType", "FilterProvider",
                                             NULL};
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is_one_of(s->d->directive, directives) &&
            is_compressor(s->d->args)) {
            return 1;
        }
    }
    return 0;
}

static const char *changes_vary(const devcache_lint_t *l, const devcache_said_t *s,
                                const header_t *h)
{
    const devcache_said_t *on = devcache_lint_cached_at(l, s);
    const char *value = h->value, *word;

    if (!on) {
        return NULL;
    }
    if (!ap_cstr_casecmp(h->action, "unset") ||
        (!ap_cstr_casecmp(h->action, "set") && gives(h) && is_compressed(l) &&
         !has_word(l, value, "Accept-Encoding") && !has_word(l, value, "*"))) {
        return apr_psprintf(
            l->p,
            "%s takes away what responses differ by before they are stored "
            "(%s), such as Accept-Encoding of compressed ones, so visitors "
            "may get one that is not for them; use 'append', or take it "
            "away",
            devcache_lint_name(l, s), devcache_lint_name(l, on));
    }
    while (gives(h) && (word = ap_get_list_item(l->p, &value))) {
        if (!strcmp(word, "*") || (ap_cstr_casecmp(word, "User-Agent") &&
                                   devcache_lint_is_of_one_visitor(word))) {
            return apr_psprintf(
                l->p,
                "%s has every response differ by %s, so that %s can hardly "
                "ever serve one twice; take it away",
                devcache_lint_name(l, s), strcmp(word, "*") ? word : "everything",
                devcache_lint_name(l, on));
        }
    }
    return NULL;
}

const char *devcache_lint_headers(const devcache_lint_t *l, const devcache_said_t *s)
{
    header_t h = read_header(l, s);

    return !ap_cstr_casecmp(h.field, "Cache-Control") ? forbids_storing(l, s, &h)
           : !ap_cstr_casecmp(h.field, "Set-Cookie")  ? sets_cookie(l, s, &h)
           : !ap_cstr_casecmp(h.field, "Vary")        ? changes_vary(l, s, &h)
                                                      : NULL;
}

const char *devcache_lint_overwrites_class(const devcache_lint_t *l,
                                           const devcache_said_t *s)
{
    const devcache_server_t *server = devcache_conf_server(devcache_lint_server_of(l, s));
    header_t h = read_header(l, s);

    if (!server->device || !server->vary.device_header ||
        ap_cstr_casecmp(h.field, server->vary.device_header) ||
        !ap_cstr_casecmp(h.action, "setifempty")) {
        return NULL;
    }
    return apr_psprintf(
        l->p,
        "%s comes after the device class was put there: the application is "
        "told another class than the one that its pages are kept for; take "
        "it away (DevCacheDeviceRule corrects classes)",
        devcache_lint_name(l, s));
}

/* ---- compression ---------------------------------------------------------------- */

/* Filters of these kinds run behind the store. */
const char *devcache_lint_behind_the_store(const devcache_lint_t *l,
                                           const devcache_said_t *s)
{
    static const char *const kinds[] = {"PROTOCOL", "TRANSCODE", "CONNECTION", "NETWORK",
                                        NULL};

    if (!devcache_lint_is_one_of(devcache_lint_arg(l, s, 1), kinds)) {
        return NULL;
    }
    for (DEVCACHE_LINT_EACH(l, f)) {
        if (devcache_lint_is(f, "FilterProvider") &&
            is_compressor(devcache_lint_arg(l, f, 1)) &&
            !strcmp(devcache_lint_arg(l, f, 0), devcache_lint_arg(l, s, 0)) &&
            (!s->vhost || s->vhost == f->vhost) && devcache_lint_on_within(l, s)) {
            return apr_psprintf(l->p,
                                "%s puts %s (%s:%d) behind the store, so each hit is "
                                "compressed again; declare it CONTENT_SET, and what is "
                                "stored is compressed already",
                                devcache_lint_name(l, s), devcache_lint_arg(l, f, 1),
                                f->d->filename, f->d->line_num);
        }
    }
    return NULL;
}

const char *devcache_lint_forces_gzip(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_said_t *on = devcache_lint_cached_at(l, s);

    if (!on || !is_compressed(l) || !ap_strcasestr(s->d->args, "force-gzip")) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s has responses compressed without Vary: Accept-Encoding, and "
                        "%s gives those to browsers that cannot read them; take it away",
                        devcache_lint_name(l, s), devcache_lint_name(l, on));
}

const char *devcache_lint_drops_etag(const devcache_lint_t *l, const devcache_said_t *s)
{
    const devcache_said_t *on = devcache_lint_on_within(l, s);

    if (!on || ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "Remove")) {
        return NULL;
    }
    return apr_psprintf(
        l->p,
        "%s leaves what %s stores without an ETag, so that stale copies "
        "are fetched whole rather than confirmed by a 304; AddSuffix, the "
        "default, is understood here",
        devcache_lint_name(l, s), devcache_lint_name(l, on));
}
