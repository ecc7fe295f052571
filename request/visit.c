/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection is a copy of the client's that says it came to the URL's port, and leads
 * nowhere. Hooks count on what modules keep with the connection; but neither the TLS session
 * nor the HTTP/2 stream that the client has come by is that of what is asked.
 */
#include "request/visit.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_vhost.h>
#include "mod_devcache.h"
#include "request/asked.h"
#include "request/background.h"

static void forget(conn_rec *c, const char *name)
{
    module *m = ap_find_linked_module(name);

    if (m) {
        ap_set_module_config(c->conn_config, m, NULL);
    }
}

static conn_rec *make_connection(request_rec *r, const devcache_visit_t *visit,
                                 apr_pool_t *p)
{
    conn_rec *c = devcache_background_connection(r->connection, p);
    const char *ip = visit->ip ? visit->ip : r->connection->local_ip;

    if (apr_sockaddr_info_get(&c->local_addr, ip, APR_UNSPEC, visit->port, 0, p) !=
        APR_SUCCESS) {
        return NULL;
    }
    c->local_ip = apr_pstrdup(p, ip);
    c->master = NULL;
    c->log = visit->log;
    forget(c, "mod_ssl.c");
    forget(c, "mod_http2.c");
    if (visit->as_named) {
        ap_set_module_config(c->conn_config, &devcache_module, NULL);
    } else {
        devcache_background_pretend(c, visit->tls);
    }
    c->base_server = ap_server_conf;
    ap_update_vhost_given_ip(c);
    return c;
}

request_rec *devcache_visit_make(request_rec *r, const devcache_visit_t *visit,
                                 apr_pool_t *p)
{
    conn_rec *c = make_connection(r, visit, p);
    const apr_array_header_t *all = apr_table_elts(visit->headers);
    request_rec *own;
    int i;

    if (!c) {
        return NULL;
    }
    own = ap_create_request(c);
    own->log = visit->log;
    own->request_time = apr_time_now();
    own->the_request = apr_pstrcat(own->pool, "GET ", visit->uri, " HTTP/1.1", NULL);
    apr_table_set(own->headers_in, "Host", visit->host);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        apr_table_add(own->headers_in, e->key, e->val);
    }
    apr_table_compress(own->headers_in, APR_OVERLAP_TABLES_MERGE);
    return own;
}

int devcache_visit_prepare(request_rec *own)
{
    int status;

    if (!ap_parse_request_line(own) || !ap_check_request_header(own)) {
        return own->status == HTTP_OK ? HTTP_BAD_REQUEST : own->status;
    }
    own->per_dir_config = own->server->lookup_defaults;
    if ((status = ap_post_read_request(own)) != OK) {
        return status;
    }
    if ((status = ap_process_request_internal(own)) != OK) {
        return status;
    }
    devcache_asked_name_handler(own);
    return OK;
}
