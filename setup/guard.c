/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/guard.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <util_cfgtree.h>

/* ---- in the configuration -------------------------------------------------- */

typedef struct found_t {
    int keeps_out; /* a Require that says whom to let in */
    int lets_all;  /* one that lets in everybody, where one is enough */
} found_t;

static void look_at_require(const ap_directive_t *d, int all_needed, found_t *found)
{
    if (!ap_cstr_casecmp(d->args, "all granted")) {
        found->lets_all |= !all_needed;
    } else if (ap_cstr_casecmpn(d->args, "method", 6) &&
               ap_cstr_casecmpn(d->args, "not ", 4)) {
        found->keeps_out = 1;
    }
}

static void look_at(const ap_directive_t *d, int all_needed, found_t *found)
{
    for (; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, "Require")) {
            look_at_require(d, all_needed, found);
        } else if (!ap_cstr_casecmp(d->directive, "<RequireAll")) {
            look_at(d->first_child, 1, found);
        } else if (!ap_cstr_casecmp(d->directive, "<RequireAny") ||
                   !ap_cstr_casecmpn(d->directive, "<Limit", 6)) {
            look_at(d->first_child, 0, found);
        }
    }
}

int devcache_guard_section(const ap_directive_t *section)
{
    found_t found = {0};

    look_at(section ? section->first_child : NULL, 0, &found);
    return found.keeps_out && !found.lets_all;
}

/* ---- at a request ----------------------------------------------------------- */

/* The limited broadcast address: no client has it, and no list of clients names it, but
 * those that name all addresses. */
#define NOBODY "255.255.255.255"

/* Nothing of what the client has said, and nothing that hooks wrote down about it. */
static void forget_client(request_rec *r)
{
    r->user = NULL;
    r->ap_auth_type = NULL;
    r->args = NULL;
    r->unparsed_uri = r->uri;
    r->the_request = apr_pstrcat(r->pool, r->method, " / HTTP/1.1", NULL);
    r->parsed_uri.query = NULL;
    r->headers_in = apr_table_make(r->pool, 1);
    r->headers_out = apr_table_make(r->pool, 1);
    r->err_headers_out = apr_table_make(r->pool, 1);
    r->subprocess_env = apr_table_make(r->pool, 1);
    r->notes = apr_table_make(r->pool, 1);
    r->request_config = ap_create_request_config(r->pool);
}

int devcache_guard_is_open(request_rec *r)
{
    static const struct ap_logconf silent = {NULL,
                                             -1}; /* that it is refused is no news */
    request_rec stranger = *r;
    conn_rec c = *r->connection;
    apr_sockaddr_t *nobody;

    if (apr_sockaddr_info_get(&nobody, NOBODY, APR_INET, 0, 0, r->pool) != APR_SUCCESS) {
        return 1;
    }
    c.client_addr = nobody;
    c.client_ip = (char *)NOBODY;
    c.remote_host = (char *)""; /* looked up, and found to have no name */
    c.double_reverse = -1;
    c.remote_logname = (char *)"";
    c.log = &silent;
    stranger.connection = &c;
    stranger.useragent_addr = nobody;
    stranger.useragent_ip = (char *)NOBODY;
    stranger.useragent_host = NULL;
    stranger.log = &silent;
    forget_client(&stranger);
    if (ap_satisfies(&stranger) == SATISFY_ANY &&
        ap_run_access_checker(&stranger) == OK) {
        return 1;
    }
    return ap_run_access_checker_ex(&stranger) == OK;
}
