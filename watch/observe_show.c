/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/observe.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include "stats/shadow.h"

/* What is told of a place and class, and of all together. */
static const char *const totals[] = {"requests", "bypasses", "not_stored",
                                     "bytes_from_cache"};

static apr_uint64_t total_of(const devcache_shadow_counts_t *n, unsigned i)
{
    const apr_uint64_t all[] = {n->requests, n->bypasses, n->not_stored, n->bytes};

    return all[i];
}

#define TOTALS (sizeof totals / sizeof totals[0])

static devcache_shadow_counts_t sum(unsigned place)
{
    devcache_shadow_counts_t n = {0};
    unsigned k;

    for (k = 0; k < DEVCACHE_PLACE_CLASSES; k++) {
        devcache_shadow_add(&n, place, k);
    }
    return n;
}

void devcache_observe_auto(request_rec *r)
{
    devcache_shadow_counts_t all = {0};
    unsigned i, k;

    if (!devcache_shadow_exists()) {
        return;
    }
    for (i = 0; i < DEVCACHE_PLACES; i++) {
        for (k = 0; k < DEVCACHE_PLACE_CLASSES; k++) {
            devcache_shadow_add(&all, i, k);
        }
    }
    for (i = 0; i < TOTALS; i++) {
        ap_rprintf(r, "observe_%s: %" APR_UINT64_T_FMT "\n", totals[i],
                   total_of(&all, i));
    }
    for (i = 0; i < DEVCACHE_WORLD_COUNT; i++) {
        ap_rprintf(r, "observe_%s: %" APR_UINT64_T_FMT "\n",
                   devcache_shadow_world_name(i), all.hits[i]);
    }
    ap_rprintf(r,
               "observe_bytes_stored: %" APR_UINT64_T_FMT
               "\nobserve_evicted: %" APR_UINT64_T_FMT "\n",
               devcache_shadow_bytes(), devcache_shadow_evicted());
}

/* ---- ?json ---------------------------------------------------------------------- */

static void json_counts(devcache_json_t *j, const devcache_shadow_counts_t *n)
{
    unsigned i;

    for (i = 0; i < TOTALS; i++) {
        devcache_json_uint(j, totals[i], total_of(n, i));
    }
    for (i = 0; i < DEVCACHE_WORLD_COUNT; i++) {
        devcache_json_uint(j, devcache_shadow_world_name(i), n->hits[i]);
    }
}

static void json_place(devcache_json_t *j, unsigned place)
{
    devcache_shadow_counts_t all = sum(place);
    unsigned k;

    devcache_json_object(j, NULL);
    devcache_json_string(j, "location", devcache_shadow_place(place));
    json_counts(j, &all);
    devcache_json_array(j, "by_device");
    for (k = 0; k < DEVCACHE_PLACE_CLASSES; k++) {
        devcache_shadow_counts_t n = {0};
        devcache_shadow_add(&n, place, k);
        if (n.requests) {
            devcache_json_object(j, NULL);
            devcache_json_string(j, "device", devcache_shadow_class(k));
            json_counts(j, &n);
            devcache_json_end(j);
        }
    }
    devcache_json_end(j);
    devcache_json_end(j);
}

void devcache_observe_json(devcache_json_t *j)
{
    unsigned i;

    if (!devcache_shadow_exists()) {
        return;
    }
    devcache_json_object(j, "observe");
    devcache_json_uint(j, "bytes_stored", devcache_shadow_bytes());
    devcache_json_uint(j, "evicted", devcache_shadow_evicted());
    devcache_json_array(j, "by_location");
    for (i = 0; i < DEVCACHE_PLACES; i++) {
        if (devcache_shadow_place(i) && sum(i).requests) {
            json_place(j, i);
        }
    }
    devcache_json_end(j);
    devcache_json_end(j);
}

/* ---- the page ------------------------------------------------------------------- */

static void show_row(request_rec *r, const char *place, const char *class,
                     const devcache_shadow_counts_t *n)
{
    unsigned i;

    ap_rprintf(r, "<tr><td>%s</td><td>%" APR_UINT64_T_FMT "</td><td>%s</td>",
               ap_escape_html(r->pool, place), n->requests,
               ap_escape_html(r->pool, class));
    for (i = 0; i < DEVCACHE_WORLD_COUNT; i++) {
        ap_rprintf(r, "<td>%.1f %%</td>",
                   100. * (double)n->hits[i] / (double)n->requests);
    }
    ap_rputs("</tr>\n", r);
}

static void show_place(request_rec *r, unsigned place)
{
    devcache_shadow_counts_t all = sum(place);
    const char *name = devcache_shadow_place(place);
    unsigned k;

    if (!name || !all.requests) {
        return;
    }
    show_row(r, name, "all", &all);
    for (k = 0; k < DEVCACHE_PLACE_CLASSES; k++) {
        devcache_shadow_counts_t n = {0};
        devcache_shadow_add(&n, place, k);
        if (n.requests) {
            show_row(r, name, devcache_shadow_class(k), &n);
        }
    }
}

void devcache_observe_page(request_rec *r)
{
    unsigned i;

    if (!devcache_shadow_exists()) {
        return;
    }
    ap_rprintf(
        r,
        "<section id=\"observe\"><h2>DevCache Observe: the hit ratio that it would "
        "have had</h2><p>It would hold %" APR_UINT64_T_FMT
        " bytes now.</p><div style=\"overflow-x:auto\"><table>\n"
        "<tr><th>Location</th><th>requests</th><th>device</th>",
        devcache_shadow_bytes());
    for (i = 0; i < DEVCACHE_WORLD_COUNT; i++) {
        ap_rprintf(r, "<th>%s</th>",
                   ap_escape_html(r->pool, devcache_shadow_world_change(i)));
    }
    ap_rputs("</tr>\n", r);
    for (i = 0; i < DEVCACHE_PLACES; i++) {
        show_place(r, i);
    }
    ap_rputs("</table></div></section>\n", r);
}
