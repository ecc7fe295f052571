/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two kinds of lines: what the numbers say now, by bounds like those of the alert rules, and
 * what went wrong within the last hour. Older trouble is in the page's list of last errors.
 */
#include "watch/hurts.h"

#include <stdarg.h>
#include <string.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include "stats/trouble.h"
#include "watch/draw.h"

#define TROUBLES_SHOWN 5

typedef struct list_t {
    request_rec *r;
    int lines;
} list_t;

/* @param section  of docs/monitoring.md; NULL: there is none
 * @param fmt      HTML */
static void line(list_t *l, const char *section, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void line(list_t *l, const char *section, const char *fmt, ...)
{
    va_list ap;

    ap_rputs(l->lines++ ? "<li>" : "<ul class=\"hurts\">\n<li>", l->r);
    va_start(ap, fmt);
    ap_rputs(apr_pvsprintf(l->r->pool, fmt, ap), l->r);
    va_end(ap);
    if (section) {
        ap_rprintf(l->r,
                   " <span class=\"dim\">What to do: docs/monitoring.md, %s.</span>",
                   section);
    }
    ap_rputs("</li>\n", l->r);
}

static void store_lines(list_t *l, const devcache_report_store_t *s)
{
    const devcache_store_stats_t *n = &s->stats;
    const char *root = devcache_draw_text(s->root, l->r->pool);

    if (s->not_ready) {
        line(l, "DevCacheStoreNotReady",
             "<b>Not ready.</b> %s. The origin answers meanwhile.",
             devcache_draw_text(s->not_ready, l->r->pool));
    }
    if (n->objects * 100 > n->max_objects * 98 && n->bytes * 10 < n->size * 9) {
        line(l, "DevCacheObjectsBoundFirst",
             "%s is full of objects, while %s of its %s are free: raise "
             "DevCacheMaxObjects.",
             root, devcache_draw_bytes(n->size - n->bytes, l->r->pool),
             devcache_draw_bytes(n->size, l->r->pool));
    }
    if (n->specs * 10 > n->max_specs * 9 || n->spec_bytes * 10 > n->max_spec_bytes * 9) {
        line(l, "DevCacheVaryKinds",
             "%s hardly has room for further kinds of Vary; responses with new ones will "
             "not be stored.",
             root);
    }
}

/* Which section of the manual is about it, by the beginning that the log gives it. */
static const char *section_of(const char *what)
{
    return strstr(what, "the origin failed")        ? "DevCacheOriginFailing"
           : !strncmp(what, "probe: not ready", 16) ? "DevCacheStoreNotReady"
           : !strncmp(what, "store: ", 7)           ? "DevCacheStoreErrors"
           : !strncmp(what, "tier: ", 6)            ? "DevCacheTierUnreachable"
                                                    : NULL;
}

static void trouble_lines(list_t *l, const devcache_report_t *rep)
{
    int i, shown = 0;

    for (i = 0; i < rep->troubles->nelts && shown < TROUBLES_SHOWN; i++) {
        const devcache_trouble_t *t = &APR_ARRAY_IDX(rep->troubles, i,
                                                     devcache_trouble_t);

        if (rep->now - t->last < apr_time_from_sec(3600)) {
            line(l, section_of(t->what), "%s: %s, last %s ago.",
                 devcache_draw_text(t->what, l->r->pool),
                 t->times == 1
                     ? "once"
                     : apr_pstrcat(l->r->pool, devcache_draw_number(t->times, l->r->pool),
                                   " times", NULL),
                 devcache_draw_span(rep->now - t->last, l->r->pool));
            shown++;
        }
    }
}

void devcache_hurts_page(request_rec *r, const devcache_report_t *rep,
                         const apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    list_t l = {r, 0};
    apr_uint64_t all = devcache_draw_sum(n);
    int i;

    for (i = 0; i < rep->stores->nelts; i++) {
        store_lines(&l, &APR_ARRAY_IDX(rep->stores, i, devcache_report_store_t));
    }
    if (n[DEVCACHE_GROUP_ERROR] * 100 > all) {
        line(&l, "DevCacheErrors", "%s of the requests of the last hour failed.",
             devcache_draw_share(n[DEVCACHE_GROUP_ERROR], all, r->pool));
    }
    if (rep->threads_busy * 10 > rep->threads_max * 9) {
        line(&l, "DevCacheThreadsBusy",
             "%u of httpd's %u threads are busy; soon visitors will queue.",
             rep->threads_busy, rep->threads_max);
    }
    trouble_lines(&l, rep);
    ap_rputs(l.lines ? "</ul>\n" : "<p class=\"dim\">No trouble in the last hour.</p>\n",
             r);
}
