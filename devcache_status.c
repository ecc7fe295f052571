#include "devcache_status.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include "devcache_explain.h"
#include "devcache_observe.h"
#include "devcache_report.h"
#include "devcache_status_text.h"

static void show_lines(request_rec *r, const char *prefix,
                       const apr_array_header_t *lines)
{
    int i;

    for (i = 0; i < lines->nelts; i++) {
        const devcache_line_t *line = &APR_ARRAY_IDX(lines, i, devcache_line_t);
        ap_rprintf(r, "<tr><td>%s%s</td><td>%" APR_UINT64_T_FMT "</td><td>%s</td></tr>\n",
                   prefix, line->name, line->value,
                   ap_escape_html(r->pool, line->meaning));
    }
}

static void show_page(request_rec *r)
{
    const devcache_server_t *server = devcache_conf_server(r->server);
    devcache_store_stats_t stats;

    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width\">"
             "<title>devcache</title><style>body{font:1em sans-serif;margin:1em}"
             "td{padding:.1em 1em .1em 0}td:nth-child(2){text-align:right;"
             "font-variant-numeric:tabular-nums}</style></head><body>"
             "<h1>devcache</h1><p>For programs: <a href=\"?auto\">?auto</a></p><table>\n",
             r);
    show_lines(r, "", devcache_report_counters(r->pool));
    show_lines(r, "", devcache_report_flights(r->pool));
    if (server->store) {
        devcache_store_stats(server->store, &stats);
        show_lines(r, "store_", devcache_report_store(&stats, r->pool));
    }
    show_lines(r, "reason_", devcache_report_reasons(r->pool));
    ap_rputs("</table>\n", r);
    devcache_observe_page(r);
    ap_rputs("</body></html>\n", r);
}

int devcache_status_handler(request_rec *r)
{
    static const struct {
        const char *query;
        void (*show)(request_rec *r);
    } forms[] = {{"auto", devcache_status_auto},
                 {"json", devcache_status_json},
                 {"prometheus", devcache_status_prometheus}};
    unsigned i;

    if (!r->handler || strcmp(r->handler, "devcache-status")) {
        return DECLINED;
    }
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (devcache_explain_asked(r)) {
        return devcache_explain_answer(r);
    }
    for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (r->args && !strcmp(r->args, forms[i].query)) {
            forms[i].show(r);
            return OK;
        }
    }
    show_page(r);
    return OK;
}
