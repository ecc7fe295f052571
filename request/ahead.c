/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at where an internal redirect leads.
 *
 * The request is made as httpd makes one, http_request.c: it comes after the first one,
 * with that one's environment renamed, so that rules see what they will see
 * (REDIRECT_STATUS above all). It differs in that it is not entered as the next one, has
 * copies of the tables that it would share, and logs nothing: the real one will.
 */
#include "request/ahead.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include "mod_devcache.h"

#define HANDED_OVER                                                                      \
    "redirect-handler" /* mod_rewrite's, with "redirect:" before the URL */

int devcache_ahead_needed(const request_rec *r)
{
    return r->handler && !strcmp(r->handler, HANDED_OVER) && r->filename &&
           !strncmp(r->filename, "redirect:", 9);
}

static apr_table_t *renamed(const apr_table_t *env, apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(env);
    apr_table_t *to = apr_table_make(p, all->nelts + 1);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        if (e->key) {
            apr_table_setn(to, apr_pstrcat(p, "REDIRECT_", e->key, NULL), e->val);
        }
    }
    return to;
}

static void copy_message(request_rec *to, request_rec *r)
{
    to->the_request = r->the_request;
    to->assbackwards = r->assbackwards;
    to->header_only = r->header_only;
    to->protocol = r->protocol;
    to->proto_num = r->proto_num;
    to->hostname = r->hostname;
    to->request_time = r->request_time;
    to->status = r->status;
    to->allowed = r->allowed;
    to->headers_in = apr_table_copy(to->pool, r->headers_in);
    to->trailers_in = r->trailers_in;
    to->headers_out = apr_table_make(to->pool, 4);
    to->err_headers_out = apr_table_copy(to->pool, r->err_headers_out);
    to->trailers_out = apr_table_make(to->pool, 1);
    to->subprocess_env = renamed(r->subprocess_env, to->pool);
    apr_table_setn(to->subprocess_env, "REDIRECT_STATUS", apr_itoa(to->pool, r->status));
    to->notes = apr_table_make(to->pool, 4);
    to->no_cache = r->no_cache;
    to->no_local_copy = r->no_local_copy;
}

/* A pool of its own: in that of the request mod_rewrite notes that a rule has the flag
 * END, and would not rewrite the real one any more. One that was there before counts here
 * too. */
static apr_pool_t *pool_below(request_rec *r)
{
    static const char end[] = "rewrite_really_last";
    void *is_set = NULL;
    apr_pool_t *p;

    apr_pool_create(&p, r->pool);
    apr_pool_tag(p, "devcache_ahead");
    apr_pool_userdata_get(&is_set, end, r->pool);
    if (is_set) {
        apr_pool_userdata_setn(is_set, end, NULL, p);
    }
    return p;
}

/* The request that comes after @a r; after its first hook. NULL: it ends here. */
static request_rec *next_of(request_rec *r)
{
    static const struct ap_logconf silent = {NULL, -1};
    request_rec *to;
    apr_pool_t *p;

    if (ap_is_recursion_limit_exceeded(r)) {
        return NULL;
    }
    p = pool_below(r);
    to = apr_pcalloc(p, sizeof *to);
    to->pool = p;
    to->connection = r->connection;
    to->server = r->server;
    to->log = &silent;
    to->method = r->method;
    to->method_number = r->method_number;
    to->allowed_methods = ap_make_method_list(p, 2);
    ap_parse_uri(to,
                 apr_pstrcat(p, r->filename + 9, r->args ? "?" : NULL, r->args, NULL));
    to->parsed_uri.port_str = r->parsed_uri.port_str;
    to->parsed_uri.port = r->parsed_uri.port;
    to->request_config = ap_create_request_config(p);
    to->per_dir_config = r->server->lookup_defaults;
    to->prev = r;
    to->useragent_addr = r->useragent_addr;
    to->useragent_ip = r->useragent_ip;
    copy_message(to, r);
    ap_run_create_request(to);
    to->proto_output_filters = to->output_filters = r->proto_output_filters;
    to->proto_input_filters = to->input_filters = r->proto_input_filters;
    to->used_path_info = AP_REQ_DEFAULT_PATH_INFO;
    to->invoke_mtx = r->invoke_mtx;
    return ap_post_read_request(to) == OK ? to : NULL;
}

request_rec *devcache_ahead_look(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    int rv = OK;

    x->asked.looking_ahead = 1;
    while (r && rv == OK && devcache_ahead_needed(r)) {
        r = next_of(r);
        rv = r ? ap_process_request_internal(r) : DECLINED;
    }
    x->asked.looking_ahead = 0;
    return r && rv == OK && !devcache_ahead_is_guarded(r) ? r : NULL;
}

int devcache_ahead_authn(request_rec *r)
{
    const devcache_exchange_t *x = r->main ? NULL : devcache_request_exchange(r);

    return x && x->asked.looking_ahead ? HTTP_UNAUTHORIZED : DECLINED;
}

int devcache_ahead_is_guarded(request_rec *r)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);

    return (!devcache_dir_enabled(dir) && !devcache_dir_observe(dir)) ||
           ap_some_authn_required(r) || r->user;
}

int devcache_ahead_was_sent(const request_rec *r)
{
    const request_rec *at;

    for (at = r->prev; at; at = at->prev) {
        if (!devcache_ahead_needed(at) &&
            (at->proxyreq || !apr_is_empty_table(at->headers_out))) {
            return 1;
        }
    }
    return 0;
}
