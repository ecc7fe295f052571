#include "devcache_status.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include "devcache_stats.h"

/* One number: its name, its value, what it means. */
typedef struct line_t {
    const char *name;
    apr_uint64_t value;
    const char *meaning;
} line_t;

static void add(apr_array_header_t *to, const char *name, apr_uint64_t value,
                const char *meaning)
{
    line_t *line = apr_array_push(to);

    line->name = name;
    line->value = value;
    line->meaning = meaning;
}

static void add_counters(apr_array_header_t *to)
{
    int i;

    for (i = 0; i < DEVCACHE_COUNTER_COUNT; i++) {
        add(to, devcache_stats_name(i), devcache_stats_get(i), devcache_stats_meaning(i));
    }
}

static void add_reasons(apr_array_header_t *to, apr_pool_t *p)
{
    static const char *const meanings[] = {
#define R(name, text, meaning) meaning,
        DEVCACHE_REASONS(R)
#undef R
    };
    int i;

    for (i = DEVCACHE_REASON_NONE + 1; i < DEVCACHE_REASON_COUNT; i++) {
        add(to, apr_pstrcat(p, "reason_", devcache_policy_reason(i), NULL),
            devcache_stats_get_reason(i), meanings[i]);
    }
}

static void add_store(apr_array_header_t *to, devcache_store_t *store)
{
    devcache_store_stats_t s;

    devcache_store_stats(store, &s);
    add(to, "store_bytes", s.bytes, "bytes held by files now");
    add(to, "store_size", s.size, "their bound: DevCacheSize");
    add(to, "store_objects", s.objects, "stored responses");
    add(to, "store_max_objects", s.max_objects, "their bound");
    add(to, "store_files", s.segments, "segments and large bodies");
    add(to, "store_published", s.published, "responses made visible");
    add(to, "store_refreshed", s.refreshed, "given new fields by a 304");
    add(to, "store_removed", s.removed, "removed by purge or invalidation");
    add(to, "store_evicted", s.evicted, "dropped for want of room");
    add(to, "store_requeued", s.requeued, "in use, and so kept when their segment went");
    add(to, "store_damaged", s.damaged, "records that failed verification");
    add(to, "store_io_errors", s.errors, "reads and writes that failed");
    add(to, "store_no_room", s.no_room, "responses not stored for want of room");
    add(to, "store_superseded", s.superseded, "not stored: removed while being fetched");
    add(to, "store_rebuild_done", s.rebuild_done, "segments read by the index rebuild");
    add(to, "store_rebuild_total", s.rebuild_total, "segments it has to read");
}

static void show_text(request_rec *r, const apr_array_header_t *lines)
{
    int i;

    ap_set_content_type(r, "text/plain; charset=utf-8");
    for (i = 0; i < lines->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(lines, i, line_t);
        ap_rprintf(r, "%s: %" APR_UINT64_T_FMT "\n", line->name, line->value);
    }
}

static void show_page(request_rec *r, const apr_array_header_t *lines)
{
    int i;

    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width\">"
             "<title>devcache</title><style>body{font:1em sans-serif;margin:1em}"
             "td{padding:.1em 1em .1em 0}td:nth-child(2){text-align:right;"
             "font-variant-numeric:tabular-nums}</style></head><body>"
             "<h1>devcache</h1><p>For programs: <a href=\"?auto\">?auto</a></p><table>\n",
             r);
    for (i = 0; i < lines->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(lines, i, line_t);
        ap_rprintf(r, "<tr><td>%s</td><td>%" APR_UINT64_T_FMT "</td><td>%s</td></tr>\n",
                   line->name, line->value, ap_escape_html(r->pool, line->meaning));
    }
    ap_rputs("</table></body></html>\n", r);
}

int devcache_status_handler(request_rec *r)
{
    devcache_server_t *server = devcache_conf_server(r->server);
    apr_array_header_t *lines;

    if (!r->handler || strcmp(r->handler, "devcache-status")) {
        return DECLINED;
    }
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    lines = apr_array_make(r->pool, 96, sizeof(line_t));
    add_counters(lines);
    if (server->store) {
        add_store(lines, server->store);
    }
    add_reasons(lines, r->pool);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (r->args && !strcmp(r->args, "auto")) {
        show_text(r, lines);
    } else {
        show_page(r, lines);
    }
    return OK;
}
