/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/visit.h
 * A request that no visitor has sent, made as httpd makes one, for a URL of this server.
 *
 * Glue. It is made by the thread of a request that a client has sent, and taken through the
 * host's own phases there, up to its handler: virtual host, classification, rewriting, access
 * control (as for that client's address).
 */
#ifndef DEVCACHE_REQUEST_VISIT_H
#define DEVCACHE_REQUEST_VISIT_H

#include <httpd.h>

typedef struct devcache_visit_t {
    const char *uri;  /* path and query, encoded */
    const char *host; /* as in a Host field */
    apr_port_t port;  /* that it comes to */
    int tls;          /* by TLS; there is no session, though */
    int as_named;     /* by what its ServerName says: TLS ends elsewhere; not with tls */
    const char *ip;   /* of this server; NULL: where the client's request has come to */
    const apr_table_t *headers;   /* others than Host */
    const struct ap_logconf *log; /* NULL: the server's */
} devcache_visit_t;

/**
 * @param r  the client's request
 * @param p  all of it lives there
 * @return NULL: there is no such address
 */
request_rec *devcache_visit_make(request_rec *r, const devcache_visit_t *visit,
                                 apr_pool_t *p);

/** Run the hooks before the handler. @return OK or their status */
int devcache_visit_prepare(request_rec *own);

#endif
