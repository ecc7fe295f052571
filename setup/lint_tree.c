/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/lint_tree.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

enum { SERVER, DIRECTORY, FILES, LOCATION, CONDITION };

static int is_section(const ap_directive_t *d, const char *name)
{
    return !ap_cstr_casecmpn(d->directive, name, strlen(name));
}

static int rank_of(const ap_directive_t *section)
{
    static const struct {
        const char *begin;
        int rank;
    } kinds[] = {{"<If", CONDITION}, {"<Else", CONDITION},      {"<Location", LOCATION},
                 {"<Files", FILES},  {"<Directory", DIRECTORY}, {"<Proxy", DIRECTORY}};
    unsigned i;

    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (is_section(section, kinds[i].begin)) {
            return kinds[i].rank;
        }
    }
    return SERVER;
}

/* What stands between the words of a section and its ">". */
static const char *section_args(const ap_directive_t *section, apr_pool_t *p)
{
    char *args = apr_pstrdup(p, section->args);
    char *end = strrchr(args, '>');

    if (end) {
        *end = '\0';
    }
    return args;
}

/* The path of a Location, if it is no pattern; else NULL. */
static const char *plain_path(const ap_directive_t *section, apr_pool_t *p)
{
    const char *args = section_args(section, p), *path;

    if (ap_cstr_casecmp(section->directive, "<Location")) {
        return NULL;
    }
    path = ap_getword_conf(p, &args);
    return *path == '/' && !apr_fnmatch_test(path) ? path : NULL;
}

static void place(devcache_said_t *s, apr_pool_t *p)
{
    const ap_directive_t *at;

    s->path = "/";
    s->whole = 1;
    for (at = s->d->parent; at; at = at->parent) {
        int rank = rank_of(at);
        if (is_section(at, "<VirtualHost")) {
            s->vhost = at;
            continue;
        }
        if (rank == LOCATION && (s->rank == SERVER || s->rank == CONDITION)) {
            s->path = plain_path(at, p);
            s->whole &= s->path != NULL;
        } else {
            s->path = rank > SERVER && s->rank < rank ? NULL : s->path;
            s->whole = 0;
        }
        s->rank = rank > s->rank ? rank : s->rank;
    }
}

static void add(apr_array_header_t *to, const ap_directive_t *d, apr_pool_t *p)
{
    devcache_said_t *s = apr_array_push(to);

    memset(s, 0, sizeof *s);
    s->d = d;
    s->order = to->nelts;
    place(s, p);
}

apr_array_header_t *devcache_lint_list(const ap_directive_t *tree, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, 256, sizeof(devcache_said_t));
    const ap_directive_t *d = tree;

    while (d) {
        add(all, d, p);
        if (d->first_child) {
            d = d->first_child;
            continue;
        }
        while (d && !d->next) {
            d = d->parent;
        }
        d = d ? d->next : NULL;
    }
    return all;
}

int devcache_lint_is(const devcache_said_t *s, const char *name)
{
    return !ap_cstr_casecmp(s->d->directive, name);
}

const char *devcache_lint_arg(const devcache_lint_t *l, const devcache_said_t *s, int n)
{
    const char *args = *s->d->directive == '<' ? section_args(s->d, l->p) : s->d->args;
    const char *word = "";

    for (; n >= 0; n--) {
        word = ap_getword_conf(l->p, &args);
    }
    return word;
}

const char *devcache_lint_name(const devcache_lint_t *l, const devcache_said_t *s)
{
    return apr_psprintf(l->p, "%s %s (%s:%d)", s->d->directive, s->d->args,
                        s->d->filename, s->d->line_num);
}

int devcache_lint_is_below(const char *path, const char *base)
{
    apr_size_t len = strlen(base);

    return !strncmp(path, base, len) &&
           (base[len - 1] == '/' || path[len] == '/' || path[len] == '\0');
}

int devcache_lint_covers(const devcache_said_t *a, const devcache_said_t *b)
{
    if (a->vhost && a->vhost != b->vhost) {
        return 0;
    }
    if (a->d->parent == b->d->parent) {
        return 1;
    }
    return a->whole && a->path &&
           (!strcmp(a->path, "/") ||
            (b->path && devcache_lint_is_below(b->path, a->path)));
}

int devcache_lint_overlaps(const devcache_said_t *a, const devcache_said_t *b)
{
    return (!a->vhost || !b->vhost || a->vhost == b->vhost) &&
           (!a->path || !b->path || devcache_lint_is_below(a->path, b->path) ||
            devcache_lint_is_below(b->path, a->path));
}

int devcache_lint_is_later(const devcache_said_t *a, const devcache_said_t *b)
{
    if (a->rank != b->rank) {
        return a->rank > b->rank;
    }
    if (!a->vhost != !b->vhost) {
        return a->vhost != NULL;
    }
    return a->order > b->order;
}

const devcache_said_t *devcache_lint_in_force(const devcache_lint_t *l, const char *name,
                                              const devcache_said_t *at)
{
    const devcache_said_t *found = NULL;

    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is(s, name) && devcache_lint_covers(s, at) &&
            (!found || devcache_lint_is_later(s, found))) {
            found = s;
        }
    }
    return found;
}

/* ---- words and servers ---------------------------------------------------------- */

int devcache_lint_is_one_of(const char *word, const char *const *words)
{
    for (; *words && ap_cstr_casecmp(word, *words); words++) {
    }
    return *words != NULL;
}

int devcache_lint_is_of_one_visitor(const char *field)
{
    static const char *const fields[] = {
        "Cookie",          "User-Agent",       "Referer",
        "X-Forwarded-For", "X-Real-IP",        "X-Request-ID",
        "Forwarded",       "CF-Connecting-IP", NULL};

    return devcache_lint_is_one_of(field, fields);
}

/* The paths of CacheEnable and CacheDisable are plain prefixes. */
int devcache_lint_is_prefix(const char *of, const char *path)
{
    return !strncmp(of, path, strlen(of));
}

int devcache_lint_has_section(const devcache_said_t *s)
{
    return s->d->parent && s->d->parent != s->vhost;
}

server_rec *devcache_lint_server_of(const devcache_lint_t *l, const devcache_said_t *s)
{
    server_rec *server = l->main_server;

    for (; s->vhost && server; server = server->next) {
        if (server->defn_name && !strcmp(server->defn_name, s->vhost->filename) &&
            server->defn_line_number == (unsigned)s->vhost->line_num) {
            return server;
        }
    }
    return l->main_server;
}

/* ---- where the cache is on ------------------------------------------------------ */

int devcache_lint_is_on(const devcache_lint_t *l, const devcache_said_t *s)
{
    return devcache_lint_is(s, "DevCache") &&
           ap_cstr_casecmp(devcache_lint_arg(l, s, 0), "Off");
}

/* A `DevCache On` that holds at @a place or for a part of it; NULL: none. */
const devcache_said_t *devcache_lint_cached_at(const devcache_lint_t *l,
                                               const devcache_said_t *place)
{
    const devcache_said_t *found = devcache_lint_in_force(l, "DevCache", place);

    if (found && devcache_lint_is_on(l, found)) {
        return found;
    }
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is_on(l, s) && devcache_lint_covers(place, s)) {
            return s;
        }
    }
    return NULL;
}

/* A `DevCache On` for all of whose URLs @a header counts; NULL: none. */
const devcache_said_t *devcache_lint_on_within(const devcache_lint_t *l,
                                               const devcache_said_t *header)
{
    for (DEVCACHE_LINT_EACH(l, s)) {
        if (devcache_lint_is_on(l, s) && devcache_lint_covers(header, s)) {
            return s;
        }
    }
    return NULL;
}
