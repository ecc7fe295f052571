/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines.
 *
 * One table of numbers for each kind of thing, of a root, of a server and of a machine,
 * drives all three forms: names in ?json, the same with a prefix in ?prometheus.
 */
#include "watch/machines.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include "watch/draw.h"

#define TABLE(array, i, type) APR_ARRAY_IDX(array, i, type)

/* ---- numbers ----------------------------------------------------------------------- */

typedef apr_uint64_t root_fn(const devcache_tier_shown_t *t);
typedef apr_uint64_t server_fn(const devcache_tier_shown_server_t *s);
typedef apr_uint64_t node_fn(const devcache_tier_shown_node_t *n);

static apr_uint64_t nodes_alive(const devcache_tier_shown_t *t)
{
    apr_uint64_t alive = 0;
    unsigned i;

    for (i = 0; i < t->nnodes; i++) {
        alive += t->nodes[i].seen <= DEVCACHE_TIER_ALIVE;
    }
    return alive;
}

#define ROOT_FN(name, expression)                                                        \
    static apr_uint64_t root_##name(const devcache_tier_shown_t *t)                      \
    {                                                                                    \
        return (apr_uint64_t)(expression);                                               \
    }
ROOT_FN(led, t->led)
ROOT_FN(outbox, t->outbox)
ROOT_FN(published, t->published)
ROOT_FN(applied, t->applied)
ROOT_FN(batches, t->batches)
ROOT_FN(foreign, t->foreign)
ROOT_FN(overflows, t->overflows)
ROOT_FN(queued, t->queued)
#define BOOK_FN(name) ROOT_FN(name, t->books.name)
BOOK_FN(hits)
BOOK_FN(misses)
BOOK_FN(unasked)
BOOK_FN(damaged)
BOOK_FN(purged)
BOOK_FN(expired)
BOOK_FN(bytes_in)
BOOK_FN(sent)
BOOK_FN(bytes_out)
BOOK_FN(dropped)
BOOK_FN(too_large)
BOOK_FN(late)
BOOK_FN(locks)
BOOK_FN(waits)
BOOK_FN(marks)

typedef struct root_number_t {
    const char *name;
    root_fn *value;
    int gauge;
    const char *meaning;
} root_number_t;

/* Of purges. */
static const root_number_t root_numbers[] = {
    {"nodes", nodes_alive, 1, "Machines that are there, this one included."},
    {"led", root_led, 1, "Whether a process of this machine reads and sends: 1, else 0."},
    {"outbox", root_outbox, 1, "Purges that a server has not been sent yet."},
    {"published", root_published, 0, "Purges of this machine."},
    {"applied", root_applied, 0, "Purges of others that were carried out here."},
    {"batches", root_batches, 0, "Batches that these came in."},
    {"not_understood", root_foreign, 0, "Purges of others, of a later version."},
    {"overflows", root_overflows, 0,
     "Times that purges in the outbox gave way to one that validates everything."},
};

/* Of objects, where they are shared. */
static const root_number_t object_numbers[] = {
    {"object_hits", root_hits, 0, "Objects that were found in place of the origin's."},
    {"object_misses", root_misses, 0, "Questions to a server that had no such object."},
    {"object_unasked", root_unasked, 0,
     "Times that no server could be asked, or it gave no answer in time."},
    {"object_damaged", root_damaged, 0,
     "Objects found that were none, or not signed with our key."},
    {"object_purged", root_purged, 0,
     "Objects found that were from before a purge, or perhaps were."},
    {"object_expired", root_expired, 0, "Objects found that were too old."},
    {"object_bytes_in", root_bytes_in, 0, "Bytes of bodies that were found."},
    {"object_sent", root_sent, 0, "Objects put on a server."},
    {"object_bytes_out", root_bytes_out, 0, "Bytes of their bodies."},
    {"object_dropped", root_dropped, 0,
     "Objects not put there, as the queue was full or the server did not take them."},
    {"object_too_large", root_too_large, 0,
     "Objects not put there, as they are larger than DevCacheTierMaxObject."},
    {"object_late", root_late, 0,
     "Objects not put there, as they were purged or had expired by then."},
    {"object_queue_bytes", root_queued, 1, "Bytes of objects that wait to be put there."},
    {"locks", root_locks, 0, "Times that this machine was the one that fetches."},
    {"waits", root_waits, 0, "Times that it waited for another machine that did."},
    {"marks", root_marks, 0, "Times that what it fetched was not for all."},
};

#define SERVER_FN(name, expression)                                                      \
    static apr_uint64_t server_##name(const devcache_tier_shown_server_t *s)             \
    {                                                                                    \
        return (apr_uint64_t)(expression);                                               \
    }
SERVER_FN(reachable, s->reading && s->writing)
SERVER_FN(objects, s->objects)
SERVER_FN(waiting, s->waiting)
SERVER_FN(silent, s->silent < 0 ? 0 : s->silent / APR_USEC_PER_SEC)
SERVER_FN(failures, s->failures)
SERVER_FN(gaps, s->gaps)
SERVER_FN(entries, s->entries)
SERVER_FN(refused, s->refused)

static const struct {
    const char *name;
    server_fn *value;
    int gauge;
    const char *meaning;
    devcache_tier_use_e use; /* said to Prometheus from that on; 0: always */
} server_numbers[] = {
    {"reachable", server_reachable, 1, "Whether it is read and written: 1, else 0."},
    {"objects", server_objects, 1, "Whether objects are shared there: 1, else 0.",
     DEVCACHE_TIER_OBJECTS},
    {"waiting_bytes", server_waiting, 1, "Bytes of purges that it was not sent yet."},
    {"silent_seconds", server_silent, 1, "Since it last answered a reader."},
    {"failures", server_failures, 0, "Attempts that failed."},
    {"gaps", server_gaps, 0, "Times that purges may have been missed there."},
    {"entries", server_entries, 0, "Purges read."},
    {"refused", server_refused, 0, "Entries that were none, or not signed with our key."},
};

#define COUNT(table) (sizeof table / sizeof table[0])

static const devcache_tier_shown_t *machines_of(const devcache_report_t *rep, int i)
{
    return TABLE(rep->stores, i, devcache_report_store_t).machines;
}

/* ---- ?json --------------------------------------------------------------------------- */

static void json_server(devcache_json_t *j, const devcache_tier_shown_server_t *s)
{
    unsigned i;

    devcache_json_object(j, NULL);
    devcache_json_string(j, "url", s->url);
    devcache_json_string(j, "trouble", s->trouble);
    devcache_json_string(j, "objects_trouble", s->objects_trouble);
    for (i = 0; i < COUNT(server_numbers); i++) {
        devcache_json_uint(j, server_numbers[i].name, server_numbers[i].value(s));
    }
    devcache_json_end(j);
}

static void json_node(devcache_json_t *j, const devcache_tier_shown_t *t,
                      const devcache_tier_shown_node_t *n)
{
    devcache_json_object(j, NULL);
    devcache_json_string(j, "name", n->name);
    devcache_json_bool(j, "this", n->is_this);
    devcache_json_bool(j, "alive", n->seen <= DEVCACHE_TIER_ALIVE);
    devcache_json_real(j, "seen_seconds", (double)n->seen / APR_USEC_PER_SEC, 1);
    devcache_json_uint(j, "outbox", n->outbox);
    devcache_json_bool(j, "has_all_of_ours", n->is_this || n->applied >= t->number);
    devcache_json_end(j);
}

static const char *use_of(const devcache_tier_shown_t *t)
{
    return t->use == DEVCACHE_TIER_LOCKS     ? "locks"
           : t->use == DEVCACHE_TIER_OBJECTS ? "objects"
                                             : "purge";
}

static void json_numbers(devcache_json_t *j, const devcache_tier_shown_t *t,
                         const root_number_t *numbers, apr_size_t n)
{
    apr_size_t k;

    for (k = 0; k < n; k++) {
        devcache_json_uint(j, numbers[k].name, numbers[k].value(t));
    }
}

static void json_answers(devcache_json_t *j, const devcache_histogram_t *h)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}};
    unsigned k;

    devcache_json_object(j, "object_answer_seconds");
    devcache_json_uint(j, "count", devcache_histogram_total(h));
    for (k = 0; k < COUNT(quantiles) && devcache_histogram_total(h); k++) {
        devcache_json_real(
            j, quantiles[k].name,
            devcache_histogram_quantile(h, quantiles[k].q) / APR_USEC_PER_SEC, 6);
    }
    devcache_json_end(j);
}

void devcache_machines_json(devcache_json_t *j, const devcache_report_t *rep)
{
    unsigned k;
    int i;

    devcache_json_array(j, "machines");
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_tier_shown_t *t = machines_of(rep, i);

        if (!t) {
            continue;
        }
        devcache_json_object(j, NULL);
        devcache_json_string(j, "root",
                             TABLE(rep->stores, i, devcache_report_store_t).root);
        devcache_json_string(j, "name", t->name);
        devcache_json_string(j, "use", use_of(t));
        json_numbers(j, t, root_numbers, COUNT(root_numbers));
        if (t->use >= DEVCACHE_TIER_OBJECTS) {
            json_numbers(j, t, object_numbers, COUNT(object_numbers));
            json_answers(j, &t->books.answers);
        }
        devcache_json_array(j, "servers");
        for (k = 0; k < t->nservers; k++) {
            json_server(j, &t->servers[k]);
        }
        devcache_json_end(j);
        devcache_json_array(j, "machines");
        for (k = 0; k < t->nnodes; k++) {
            json_node(j, t, &t->nodes[k]);
        }
        devcache_json_end(j);
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

/* ---- ?prometheus ----------------------------------------------------------------------- */

static const char *label(const char *value, apr_pool_t *p)
{
    char *out = apr_palloc(p, 2 * strlen(value) + 1), *at = out;

    for (; *value; value++) {
        if (*value == '\\' || *value == '"') {
            *at++ = '\\';
        }
        *at++ = *value;
    }
    *at = '\0';
    return out;
}

static void family(request_rec *r, const char *name, int gauge, const char *meaning)
{
    ap_rprintf(r, "# HELP devcache_tier_%s%s %s\n# TYPE devcache_tier_%s%s %s\n", name,
               gauge ? "" : "_total", meaning, name, gauge ? "" : "_total",
               gauge ? "gauge" : "counter");
}

static int has_any(const devcache_report_t *rep, devcache_tier_use_e use)
{
    int i;

    for (i = 0; i < rep->stores->nelts; i++) {
        if (machines_of(rep, i) && machines_of(rep, i)->use >= use) {
            return 1;
        }
    }
    return 0;
}

static void prometheus_numbers(request_rec *r, const devcache_report_t *rep,
                               const root_number_t *numbers, apr_size_t n,
                               devcache_tier_use_e use)
{
    apr_size_t k;
    int i;

    for (k = 0; k < n; k++) {
        family(r, numbers[k].name, numbers[k].gauge, numbers[k].meaning);
        for (i = 0; i < rep->stores->nelts; i++) {
            const devcache_tier_shown_t *t = machines_of(rep, i);

            if (t && t->use >= use) {
                ap_rprintf(r, "devcache_tier_%s%s{name=\"%s\"} %" APR_UINT64_T_FMT "\n",
                           numbers[k].name, numbers[k].gauge ? "" : "_total", t->name,
                           numbers[k].value(t));
            }
        }
    }
}

static void prometheus_answers(request_rec *r, const devcache_report_t *rep)
{
    static const char name[] = "devcache_tier_object_answer_seconds";
    int i;

    ap_rprintf(r, "# HELP %s Until a server's answer was there.\n# TYPE %s histogram\n",
               name, name);
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_tier_shown_t *t = machines_of(rep, i);
        apr_uint64_t n = 0;
        unsigned k;

        if (!t || t->use < DEVCACHE_TIER_OBJECTS) {
            continue;
        }
        for (k = 0; k < DEVCACHE_BUCKET_COUNT; k++) {
            n += t->books.answers.buckets[k];
            ap_rprintf(r, "%s_bucket{name=\"%s\",le=\"%s\"} %" APR_UINT64_T_FMT "\n",
                       name, t->name, devcache_histogram_le(k), n);
        }
        ap_rprintf(
            r, "%s_sum{name=\"%s\"} %.6f\n%s_count{name=\"%s\"} %" APR_UINT64_T_FMT "\n",
            name, t->name, (double)t->books.answers.sum / APR_USEC_PER_SEC, name, t->name,
            n);
    }
}

static void prometheus_servers(request_rec *r, const devcache_report_t *rep)
{
    unsigned k, s;
    int i;

    for (k = 0; k < COUNT(server_numbers); k++) {
        const char *name = apr_pstrcat(r->pool, "server_", server_numbers[k].name, NULL);

        family(r, name, server_numbers[k].gauge, server_numbers[k].meaning);
        for (i = 0; i < rep->stores->nelts; i++) {
            const devcache_tier_shown_t *t = machines_of(rep, i);

            for (s = 0; t && t->use >= server_numbers[k].use && s < t->nservers; s++) {
                ap_rprintf(r,
                           "devcache_tier_%s%s{name=\"%s\",server=\"%s\"} "
                           "%" APR_UINT64_T_FMT "\n",
                           name, server_numbers[k].gauge ? "" : "_total", t->name,
                           label(t->servers[s].url, r->pool),
                           server_numbers[k].value(&t->servers[s]));
            }
        }
    }
}

static void prometheus_nodes(request_rec *r, const devcache_report_t *rep)
{
    unsigned k;
    int i;

    family(r, "node_behind", 1,
           "Whether a machine that is there lacks a purge of this one: 1, else 0.");
    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_tier_shown_t *t = machines_of(rep, i);

        for (k = 1; t && k < t->nnodes; k++) {
            const devcache_tier_shown_node_t *n = &t->nodes[k];

            if (n->seen <= DEVCACHE_TIER_ALIVE) {
                ap_rprintf(
                    r,
                    "devcache_tier_node_behind{name=\"%s\",node=\"%s\",id=\"%08x\"} "
                    "%d\n",
                    t->name, label(n->name, r->pool), (unsigned)(n->id >> 32),
                    n->applied < t->number);
            }
        }
    }
}

void devcache_machines_prometheus(request_rec *r, const devcache_report_t *rep)
{
    if (has_any(rep, DEVCACHE_TIER_OBJECTS)) {
        prometheus_numbers(r, rep, object_numbers, COUNT(object_numbers),
                           DEVCACHE_TIER_OBJECTS);
        prometheus_answers(r, rep);
    }
    if (has_any(rep, DEVCACHE_TIER_PURGE)) {
        prometheus_numbers(r, rep, root_numbers, COUNT(root_numbers),
                           DEVCACHE_TIER_PURGE);
        prometheus_servers(r, rep);
        prometheus_nodes(r, rep);
    }
}

/* ---- the page ---------------------------------------------------------------------------- */

/* In words. */
static const char *state_of(const devcache_tier_shown_server_t *s, apr_pool_t *p)
{
    if (!s->reading || !s->writing) {
        return *s->trouble ? devcache_draw_text(s->trouble, p) : "not connected";
    }
    return *s->objects_trouble
               ? apr_pstrcat(p, "works; objects: ", s->objects_trouble, NULL)
               : "works";
}

static void page_servers(request_rec *r, const devcache_tier_shown_t *t)
{
    unsigned k;

    ap_rputs(
        "<div class=\"scroll\" tabindex=\"0\"><table><tr><th>Server</th><th>state</th>"
        "<th class=\"n\">purges read</th><th class=\"n\">waiting</th>"
        "<th class=\"n\">gaps</th><th class=\"n\">failures</th></tr>\n",
        r);
    for (k = 0; k < t->nservers; k++) {
        const devcache_tier_shown_server_t *s = &t->servers[k];

        ap_rprintf(
            r,
            "<tr><td>%s</td><td>%s</td><td class=\"n\">%s</td><td "
            "class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
            devcache_draw_text(s->url, r->pool), state_of(s, r->pool),
            devcache_draw_number(s->entries, r->pool),
            devcache_draw_bytes(s->waiting, r->pool),
            devcache_draw_number(s->gaps, r->pool),
            devcache_draw_number(s->failures, r->pool));
    }
    ap_rputs("</table></div>\n", r);
}

static void page_objects(request_rec *r, const devcache_tier_shown_t *t)
{
    const devcache_tier_books_t *b = &t->books;
    apr_uint64_t asked = b->hits + b->misses;

    ap_rprintf(
        r,
        "<p>Objects: of %s that were asked for %s were found (%s), p50 %s, p99 %s; "
        "%s could not be asked for; %s found were of no use (%s purged, %s expired, "
        "%s damaged).<br>%s put there (%s); %s dropped, %s too large, %s too late; "
        "%s wait.</p>\n",
        devcache_draw_number(asked, r->pool), devcache_draw_number(b->hits, r->pool),
        devcache_draw_bytes(b->bytes_in, r->pool),
        devcache_draw_duration(devcache_histogram_quantile(&b->answers, .5), r->pool),
        devcache_draw_duration(devcache_histogram_quantile(&b->answers, .99), r->pool),
        devcache_draw_number(b->unasked, r->pool),
        devcache_draw_number(b->purged + b->expired + b->damaged, r->pool),
        devcache_draw_number(b->purged, r->pool),
        devcache_draw_number(b->expired, r->pool),
        devcache_draw_number(b->damaged, r->pool), devcache_draw_number(b->sent, r->pool),
        devcache_draw_bytes(b->bytes_out, r->pool),
        devcache_draw_number(b->dropped, r->pool),
        devcache_draw_number(b->too_large, r->pool),
        devcache_draw_number(b->late, r->pool), devcache_draw_bytes(t->queued, r->pool));
    if (t->use >= DEVCACHE_TIER_LOCKS) {
        ap_rprintf(r,
                   "<p>Locks: this machine fetched for all %s times, waited for another "
                   "one %s times; %s times it was not for all.</p>\n",
                   devcache_draw_number(b->locks, r->pool),
                   devcache_draw_number(b->waits, r->pool),
                   devcache_draw_number(b->marks, r->pool));
    }
}

static void page_nodes(request_rec *r, const devcache_tier_shown_t *t)
{
    unsigned k;

    ap_rputs("<div class=\"scroll\" tabindex=\"0\"><table><tr><th>Machine</th><th>last "
             "heard of</th>"
             "<th>our purges</th><th class=\"n\">not sent yet</th></tr>\n",
             r);
    for (k = 0; k < t->nnodes; k++) {
        const devcache_tier_shown_node_t *n = &t->nodes[k];

        ap_rprintf(
            r, "<tr><td>%s%s</td><td>%s</td><td>%s</td><td class=\"n\">%s</td></tr>\n",
            devcache_draw_text(n->name, r->pool), n->is_this ? " (this one)" : "",
            n->is_this ? "now" : devcache_draw_span(n->seen, r->pool),
            n->is_this                ? ""
            : n->applied >= t->number ? "has applied all"
                                      : "lacks some",
            devcache_draw_number(n->outbox, r->pool));
    }
    ap_rputs("</table></div>\n", r);
}

void devcache_machines_page(request_rec *r, const devcache_report_t *rep)
{
    int i;

    for (i = 0; i < rep->stores->nelts; i++) {
        const devcache_tier_shown_t *t = machines_of(rep, i);

        if (!t) {
            continue;
        }
        ap_rprintf(
            r,
            "<section><h2>Machines</h2><p class=\"dim\">%s: %s are there; %s purges "
            "sent, %s of others applied%s</p>\n",
            devcache_draw_text(t->name, r->pool),
            devcache_draw_number(nodes_alive(t), r->pool),
            devcache_draw_number(t->published, r->pool),
            devcache_draw_number(t->applied, r->pool),
            t->led ? "" : "; no process of this machine reads and sends at the moment");
        page_servers(r, t);
        if (t->use >= DEVCACHE_TIER_OBJECTS) {
            page_objects(r, t);
        }
        page_nodes(r, t);
        ap_rputs("</section>\n", r);
    }
}
