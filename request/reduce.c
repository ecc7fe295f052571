/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query, as handlers see it.
 *
 * It stands in several places, and each kind of handler reads another one:
 *
 *   r->args            httpd's own handlers, mod_php, QUERY_STRING
 *   r->filename        mod_proxy's URL, made in the hooks translate_name and fixups
 *   r->the_request     REQUEST_URI, as CGI, FastCGI, uWSGI and SSI have it
 *   r->unparsed_uri    mod_lua, refreshes in the background
 *   r->parsed_uri      others
 *
 * All of them are changed when the handler runs: after rewriting, so that its rules and
 * <If> see the client's own query, and only where the cache may answer, so that a request
 * that bypasses it keeps all. Where rewriting has put more before it (QSA), that stays.
 * What rewriting has copied somewhere else stays as well; it is a part of what is
 * compared, so at worst there are more variants.
 *
 * Afterwards all is put back, also in what internal redirects have made, so that %r and
 * %q of the access log are the client's.
 */
#include "request/reduce.h"

#include <string.h>

typedef struct devcache_whole_t {
    char *args, *filename, *unparsed_uri, *parsed;
    char *the_request;
} whole_t;

const char *devcache_reduce_text(const devcache_exchange_t *x,
                                 const devcache_query_t *rule, const char *text,
                                 apr_pool_t *p)
{
    const char *query = x->asked.query;
    const char *reduced = devcache_query_canonical(rule, query, p);

    if (!text || reduced == query) {
        return text;
    }
    text = devcache_query_replace(text, query, reduced, p);
    return *text ? text : NULL;
}

static char *shown(request_rec *r, const devcache_exchange_t *x, const char *text)
{
    return (char *)devcache_reduce_text(x, devcache_dir_query(x->dir), text, r->pool);
}

void devcache_reduce_query(request_rec *r, devcache_exchange_t *x)
{
    const devcache_query_t *rule = devcache_dir_query(x->dir);
    const char *query = x->asked.query;
    whole_t *whole;

    if (!query || !rule || rule->mode == DEVCACHE_QUERY_KEEP ||
        devcache_query_canonical(rule, query, r->pool) == query) {
        return;
    }
    x->asked.whole = whole = apr_palloc(r->pool, sizeof *whole);
    whole->args = r->args;
    whole->filename = r->filename;
    whole->unparsed_uri = r->unparsed_uri;
    whole->the_request = r->the_request;
    whole->parsed = r->parsed_uri.query;
    r->args = shown(r, x, r->args);
    if (r->filename && !strncmp(r->filename, "proxy:", 6)) {
        r->filename = shown(r, x, r->filename);
    }
    r->unparsed_uri = shown(r, x, r->unparsed_uri);
    r->the_request = shown(r, x, r->the_request);
    r->parsed_uri.query = shown(r, x, r->parsed_uri.query);
}

void devcache_reduce_undo(request_rec *r, devcache_exchange_t *x)
{
    const whole_t *whole = x->asked.whole;
    const char *args = r->args, *line = r->the_request;

    if (!whole) {
        return;
    }
    x->asked.whole = NULL;
    r->args = whole->args;
    r->filename = whole->filename;
    r->unparsed_uri = whole->unparsed_uri;
    r->the_request = whole->the_request;
    r->parsed_uri.query = whole->parsed;
    while ((r = r->next)) {
        if (r->the_request == line) {
            r->the_request = whole->the_request;
        }
        if (r->args && args && !strcmp(r->args, args)) {
            r->args = whole->args;
        }
    }
}
