/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Early hints.
 *
 * Only over HTTP/2: there an answer of status 103 is a frame of its own, while clients of
 * HTTP/1.1 have been seen to take it for the final one. mod_http2 sends it where
 * H2EarlyHints is on, and drops it else, which setup/lint.c says at the start.
 *
 * What is stored for this very request tells the links: of its class, its language, its
 * cookies. Of another variant they would be another device's files.
 */
#include "request/hints.h"

#include <http_log.h>
#include <http_protocol.h>
#include "http/links.h"
#include "mod_devcache.h"

#define EARLY_HINTS 103

void devcache_hints_send(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *shown = r->headers_out;
    const char *line = r->status_line, *links;
    int status = r->status;

    if (!devcache_dir_early_hints(x->dir) || !x->found.hit || !r->connection->master ||
        x->refresh.running ||
        !(links = devcache_links_early(
              devcache_response_fields(&x->found.stored, r->pool), r->pool))) {
        return;
    }
    r->headers_out = apr_table_make(r->pool, 1);
    apr_table_setn(r->headers_out, "Link", links);
    r->status = EARLY_HINTS;
    r->status_line = "103 Early Hints";
    ap_send_interim_response(r, 1);
    r->headers_out = shown;
    r->status = status;
    r->status_line = line;
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, DCLOGNO(0263) "hints: %s: %s",
                  devcache_vary_key_url(x->asked.key, r->pool), links);
}
