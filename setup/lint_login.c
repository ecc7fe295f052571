/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DevCacheDefaultTTL on "/" is what the README shows, and right for a site that is the same
 * for everybody: visitors with a cookie that counts are left out. Where people log in, pages
 * may be made for one of them in other ways, too, or the cookie be one that somebody has
 * said not to count. So it is a warning where a login can be seen: in a section or a rule
 * that names its path, or in a file below DocumentRoot; and not where the configuration says
 * itself who is somebody, or what of the path is not to be stored.
 */
#include "setup/lint_login.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include "setup/conf.h"

/* Segments of paths; and of those which are files or folders of well-known applications. */
static const char *const words[] = {
    "login",     "log-in",    "signin",     "sign-in", "logon",        "account",
    "accounts",  "myaccount", "my-account", "konto",   "admin",        "administrator",
    "user",      "users",     "member",     "members", "customer",     "checkout",
    "cart",      "basket",    "dashboard",  "profile", "wp-login.php", "wp-admin",
    "login.php", "admin.php", "user.php",   "typo3",   "backend"};
static const char *const files[] = {"wp-login.php", "wp-admin",  "administrator",
                                    "typo3",        "login.php", "admin.php"};

#define N_OF(array) (sizeof(array) / sizeof *(array))

static int is_of_word(char c)
{
    return apr_isalnum(c) || c == '-' || c == '.' || c == '_';
}

/* Has a path, or an expression for one, this segment? */
static int names(const char *path, const char *word)
{
    apr_size_t len = strlen(word);
    const char *at = path;

    while ((at = ap_strcasestr(at, word))) {
        if ((at == path || !is_of_word(at[-1])) && !is_of_word(at[len])) {
            return 1;
        }
        at += len;
    }
    return 0;
}

/* Backslashes of expressions taken away. */
static const char *plain(const char *path, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, path), *out = copy;

    for (; *path; path++) {
        if (*path != '\\') {
            *out++ = *path;
        }
    }
    *out = '\0';
    return copy;
}

/* Does the directive name the path of something, as its first argument? */
static int has_path(const devcache_said_t *by)
{
    static const char *const list[] = {"<Location",   "<LocationMatch", "<Files",
                                       "<FilesMatch", "ProxyPass",      "ProxyPassMatch",
                                       "RewriteRule", "Alias",          NULL};

    return devcache_lint_is_one_of(by->d->directive, list);
}

static int says_private(const devcache_lint_t *l, const devcache_said_t *by)
{
    static const char *const ours[] = {"DevCacheBypass", "DevCacheCookies", "SetHandler",
                                       NULL};

    return devcache_lint_is_one_of(by->d->directive, ours) ||
           (devcache_lint_is(by, "Require") &&
            ap_cstr_casecmp(devcache_lint_arg(l, by, 0), "all")) ||
           (devcache_lint_is(by, "DevCache") && !devcache_lint_is_on(l, by)) ||
           (devcache_lint_is(by, "DevCacheDefaultTTL") &&
            !strcmp(devcache_lint_arg(l, by, 0), "0")) ||
           (devcache_lint_is(by, "Header") &&
            ap_strcasestr(by->d->args, "cache-control") &&
            (ap_strcasestr(by->d->args, "private") ||
             ap_strcasestr(by->d->args, "no-store")));
}

/* Is something said in this section that keeps its pages apart? */
static int is_minded(const devcache_lint_t *l, const devcache_said_t *section)
{
    for (DEVCACHE_LINT_EACH(l, by)) {
        if (by->d->parent == section->d && says_private(l, by)) {
            return 1;
        }
    }
    return 0;
}

/* A directive of the same server that names this word; *pminded: one keeps it apart. */
static const devcache_said_t *named(const devcache_lint_t *l, const devcache_said_t *s,
                                    const char *word, int *pminded)
{
    const devcache_said_t *found = NULL;

    *pminded = 0;
    for (DEVCACHE_LINT_EACH(l, by)) {
        if (has_path(by) && (by->vhost == s->vhost || !by->vhost) &&
            names(plain(devcache_lint_arg(l, by, 0), l->p), word)) {
            found = found ? found : by;
            *pminded |= is_minded(l, by);
        }
    }
    return found;
}

/* A file of that name below the server's DocumentRoot; NULL: there is none. */
static const char *lies_there(const devcache_lint_t *l, const devcache_said_t *s,
                              const char *name)
{
    const devcache_said_t *root = devcache_lint_in_force(l, "DocumentRoot", s);
    const char *path = root ? apr_pstrcat(l->p, devcache_lint_arg(l, root, 0), "/", name,
                                          NULL)
                            : NULL;
    apr_finfo_t info;

    return path && apr_stat(&info, path, APR_FINFO_TYPE, l->p) == APR_SUCCESS ? path
                                                                              : NULL;
}

/* How a login is seen; NULL: none is, or all are kept apart. *pword: its segment. */
static const char *login(const devcache_lint_t *l, const devcache_said_t *s,
                         const char **pword)
{
    const char *path;
    unsigned i;
    int minded;

    for (i = 0; i < N_OF(words); i++) {
        const devcache_said_t *by = named(l, s, *pword = words[i], &minded);

        if (by && !minded) {
            return devcache_lint_name(l, by);
        }
    }
    for (i = 0; i < N_OF(files); i++) {
        named(l, s, *pword = files[i], &minded);
        if (!minded && (path = lies_there(l, s, files[i]))) {
            return path;
        }
    }
    return NULL;
}

/* Is a response with a body and a good status among those of a DevCacheDefaultTTL? */
static int is_for_pages(const devcache_lint_t *l, const devcache_said_t *s)
{
    int i;

    for (i = 1; *devcache_lint_arg(l, s, i); i++) {
        if (*devcache_lint_arg(l, s, i) == '2') {
            return 1;
        }
    }
    return i == 1;
}

const char *devcache_lint_beside_a_login(const devcache_lint_t *l,
                                         const devcache_said_t *s)
{
    const char *word, *seen;

    /* Told by httpd -t alone: at each start it would be noise. */
    if (!l->is_trial || !s->whole || !s->path || strcmp(s->path, "/") ||
        !strcmp(devcache_lint_arg(l, s, 0), "0") || !is_for_pages(l, s) ||
        !devcache_lint_cached_at(l, s) ||
        devcache_lint_in_force(l, "DevCacheBypass", s) ||
        devcache_lint_in_force(l, "DevCacheCookies", s) || !(seen = login(l, s, &word))) {
        return NULL;
    }
    return apr_psprintf(l->p,
                        "%s holds for the whole site, and people log in there (%s): what "
                        "is made for one of them, not marked private, and not told apart "
                        "by a cookie is stored for all; say DevCache Off in a <Location> "
                        "of %s, and by DevCacheCookies which cookies count",
                        devcache_lint_name(l, s), seen, word);
}
