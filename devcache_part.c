/*
 * What a page is put together from.
 *
 * The parts of a page are subrequests made while its handlers and filters run, one after
 * another. httpd tells nobody how one of them ends, so it is pieced together:
 *
 *   map_to_storage   a part has begun; noted in x->part_asked
 *   fixups           the same one was let in; the note goes
 *   handler          what ran, its return value and its fields
 *
 * A note that is still there when the next part begins, or the page ends, is of one that
 * was refused: the page has an error text in its place, or leaves something out, for this
 * visitor.
 *
 * A part which strangers would not be given is not for all either, though this visitor
 * was: the hits of the page do not come by its Require.
 */
#include "devcache_part.h"

#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_directive.h"
#include "devcache_guard.h"
#include "devcache_log.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

int devcache_part_assembles(const request_rec *r)
{
    const ap_filter_t *f;

    for (f = r->output_filters; f && f->frec->ftype < AP_FTYPE_PROTOCOL; f = f->next) {
        /* AddOutputFilterByType calls it "BYTYPE:INCLUDES". */
        if (ap_strcasestr(f->frec->name, "includes")) {
            return 1;
        }
    }
    return 0;
}

/* The exchange of the page that this is a part of, while it is being fetched. */
static devcache_exchange_t *page_of(request_rec *r)
{
    devcache_exchange_t *x;

    if (!r->main) {
        return NULL;
    }
    x = ap_get_module_config(devcache_request_first(r)->request_config, &devcache_module);
    return x && x->running ? x : NULL;
}

static void spoil(request_rec *r, devcache_exchange_t *x, const char *why)
{
    x->part_spoils = 1;
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0195) "part: %s of %s: %s; the page is not stored", r->uri,
                  devcache_vary_key_url(x->key, r->pool), why);
}

int devcache_part_begins(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);

    if (!x || (x->part_asked && x->part_asked == r->main)) {
        return DECLINED; /* what hooks look at to find the part, as MultiViews does */
    }
    x->part_spoils |= x->part_asked != NULL;
    x->part_asked = r;
    return DECLINED;
}

int devcache_part_fixup(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);

    if (!x || x->part_asked != r) {
        return DECLINED;
    }
    x->part_asked = NULL;
    if (r->per_dir_config != r->main->per_dir_config &&
        (ap_some_authn_required(r) || !devcache_guard_is_open(r))) {
        spoil(r, x, "not for everybody");
    }
    return DECLINED;
}

/* Does the part vary by nothing but what the page does? */
static int varies_alike(request_rec *r, const devcache_exchange_t *x,
                        const apr_table_t *fields)
{
    const char *spec, *bare;

    if (devcache_vary_spec(&x->vary, fields, &spec, r->pool) != DEVCACHE_REASON_NONE ||
        devcache_vary_spec(&x->vary, apr_table_make(r->pool, 1), &bare, r->pool) !=
            DEVCACHE_REASON_NONE) {
        return 0;
    }
    return !strcmp(spec, bare) || (x->spec && !strcmp(spec, x->spec));
}

static const char *why_not_for_all(request_rec *r, const devcache_exchange_t *x, int rv)
{
    apr_table_t *fields = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
    devcache_directives_t said;

    if (ap_is_HTTP_ERROR(rv) || ap_is_HTTP_ERROR(r->status)) {
        return "failed";
    }
    devcache_directive_cache_control(fields, &said, NULL);
    return said.no_store || said.is_private || r->no_cache ? "private"
           : apr_table_get(fields, "Set-Cookie")           ? "sets a cookie"
           : !varies_alike(r, x, fields)                   ? "varies"
                                                           : NULL;
}

int devcache_part_handler(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);
    request_rec *around;
    const char *why;
    int rv;

    if (!x || x->part == r) {
        return DECLINED;
    }
    around = x->part;
    x->part = r;
    x->parts = 1;
    rv = ap_run_handler(r);
    x->part = around;
    if ((why = why_not_for_all(r, x, rv))) {
        spoil(r, x, why);
    }
    return rv;
}

int devcache_part_spoils(const devcache_exchange_t *x)
{
    return x->part_spoils || x->part_asked || (x->refreshing && x->parts);
}
