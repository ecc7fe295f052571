/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables.
 *
 * SetEnvIf, BrowserMatch, RewriteRule with E=, and modules (of geography, of sessions) look
 * at the request, and tell what they find to the application by a variable of the
 * environment. No Vary says so, and no header of the request shows it. So where the
 * environment is passed on, names and values are a part of the target: two visitors whom
 * the configuration tells apart never share a page.
 *
 * A backend by HTTP is not given the environment, nor is a file as it lies there. What
 * <If> and mod_filter make of a variable is not seen.
 */
#include "request/variables.h"

#include <stdlib.h>
#include <apr_strings.h>
#include <http_core.h>
#include "http/ordinary.h"
#include "http/variables.h"
#include "request/part.h"

typedef struct pair_t {
    const char *name, *value;
} pair_t;

static int is_known(const devcache_exchange_t *x, const char *name, apr_pool_t *p)
{
    const apr_array_header_t *known = devcache_server_known_headers(x->server);

    return known && devcache_ordinary_is_among(known, apr_pstrcat(p, "env:", name, NULL));
}

/* The variables that count; NULL: there are none. */
static apr_array_header_t *find(request_rec *r, const devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(r->subprocess_env);
    apr_array_header_t *list = NULL;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        const char *name = devcache_variables_name(e->key);
        pair_t *pair;

        if (devcache_variables_counts(name) && !is_known(x, name, r->pool)) {
            list = list ? list : apr_array_make(r->pool, 4, sizeof(pair_t));
            pair = apr_array_push(list);
            pair->name = e->key;
            pair->value = e->val;
        }
    }
    return list;
}

/* The backend's URL, by ProxyPass or by SetHandler; NULL: there is none. */
static const char *backend_of(const request_rec *r, const char *handler)
{
    const char *name = r->filename && !strncmp(r->filename, "proxy:", 6) ? r->filename
                       : !strncmp(handler, "proxy:", 6)                  ? handler
                                                                         : NULL;
    const char *bar = name && !strncmp(name + 6, "unix:", 5) ? strchr(name, '|') : NULL;

    return !name ? NULL : bar ? bar + 1 : name + 6;
}

/* Does what answers get to see the environment? */
static int is_passed_on(const request_rec *r, const char *handler)
{
    const char *backend = backend_of(r, handler);

    if (devcache_part_assembles(r) || devcache_part_is_programmed(r)) {
        return 1;
    }
    if (backend) {
        return strncmp(backend, "http", 4) != 0 && strncmp(backend, "h2", 2) != 0;
    }
    /* Without a handler of its own a file has its media type for one; so has a script. */
    return strcmp(handler, AP_DEFAULT_HANDLER_NAME) != 0 &&
           (!strchr(handler, '/') || !strncmp(handler, "application/x-httpd-", 20));
}

static int by_name(const void *a, const void *b)
{
    const pair_t *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : strcmp(x->value, y->value);
}

devcache_slice_t devcache_variables_values(request_rec *r, const char *handler,
                                           const devcache_exchange_t *x)
{
    apr_array_header_t *list = is_passed_on(r, handler) ? find(r, x) : NULL;
    devcache_writer_t w = {NULL, 0};
    int pass, i;

    if (!list) {
        return devcache_slice(NULL, 0);
    }
    qsort(list->elts, (size_t)list->nelts, sizeof(pair_t), by_name);
    for (pass = 0; pass < 2; pass++) {
        w.buf = pass ? apr_palloc(r->pool, w.len) : NULL;
        w.len = 0;
        for (i = 0; i < list->nelts; i++) {
            const pair_t *pair = &APR_ARRAY_IDX(list, i, pair_t);

            /* redirects and overlays put some there twice */
            if (!i || by_name(pair, pair - 1)) {
                devcache_put_slice(&w, devcache_slice_str(pair->name));
                devcache_put_slice(&w, devcache_slice_str(pair->value));
            }
        }
    }
    return devcache_slice(w.buf, w.len);
}
