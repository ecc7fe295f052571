/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page is put together from.
 *
 * The parts of a page are subrequests made while its handlers and filters run, one after
 * another. httpd tells nobody how one of them ends, so it is pieced together:
 *
 *   map_to_storage   a part has begun; noted in x->part.asked
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
#include "request/part.h"

#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <util_filter.h>
#include "base/clock.h"
#include "http/directive.h"
#include "http/field.h"
#include "purge/ban.h"
#include "request/length.h"
#include "request/tags.h"
#include "setup/guard.h"
#include "mod_devcache.h"

int devcache_part_assembles(const request_rec *r)
{
    const ap_filter_t *f;

    for (f = r->output_filters; f && f->frec->ftype < AP_FTYPE_PROTOCOL; f = f->next) {
        /* AddOutputFilterByType calls it "BYTYPE:INCLUDES". Most are our own. */
        if (strncmp(f->frec->name, "devcache_", 9) &&
            ap_strcasestr(f->frec->name, "includes")) {
            return 1;
        }
    }
    return 0;
}

/* ---- filters that are programs -------------------------------------------------- */

/* Names, of this configuration. Both modules find their definition by the filter's name, so
 * that none can be a provider of mod_filter under another one. */
static const apr_array_header_t *programs;

static void collect(const ap_directive_t *d, apr_array_header_t *names)
{
    for (; d; d = d->next) {
        const char *args = d->args;

        if (!ap_cstr_casecmp(d->directive, "ExtFilterDefine") ||
            !ap_cstr_casecmp(d->directive, "LuaOutputFilter")) {
            APR_ARRAY_PUSH(names, const char *) = ap_getword_conf(names->pool, &args);
        }
        collect(d->first_child, names);
    }
}

void devcache_part_find_programs(apr_pool_t *pconf)
{
    apr_array_header_t *names = apr_array_make(pconf, 1, sizeof(const char *));

    collect(ap_conftree, names);
    programs = names;
}

int devcache_part_is_programmed(const request_rec *r)
{
    const ap_filter_t *f;
    int i;

    for (i = 0; i < programs->nelts; i++) {
        const char *name = APR_ARRAY_IDX(programs, i, const char *);

        for (f = r->output_filters; f && f->frec->ftype < AP_FTYPE_PROTOCOL;
             f = f->next) {
            if (!ap_cstr_casecmp(f->frec->name, name)) {
                return 1;
            }
        }
    }
    return 0;
}

/* ---- parts ---------------------------------------------------------------------- */

/* The exchange of the page that this is a part of, while it is being fetched. */
static devcache_exchange_t *page_of(request_rec *r)
{
    devcache_exchange_t *x;

    if (!r->main) {
        return NULL;
    }
    x = ap_get_module_config(devcache_request_first(r)->request_config, &devcache_module);
    return x && x->origin.running ? x : NULL;
}

static void spoil(request_rec *r, devcache_exchange_t *x, const char *why)
{
    x->part.spoils = 1;
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0195) "part: %s of %s: %s; the page is not stored", r->uri,
                  devcache_vary_key_url(x->asked.key, r->pool), why);
}

int devcache_part_begins(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);

    if (!x || (x->part.asked && x->part.asked == r->main)) {
        return DECLINED; /* what hooks look at to find the part, as MultiViews does */
    }
    x->part.spoils |= x->part.asked != NULL;
    x->part.asked = r;
    return DECLINED;
}

int devcache_part_fixup(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);

    if (!x || x->part.asked != r) {
        return DECLINED;
    }
    x->part.asked = NULL;
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

    if (devcache_vary_spec(&x->vary, x->asked.fields, fields, &spec, r->pool) !=
            DEVCACHE_REASON_NONE ||
        devcache_vary_spec(&x->vary, x->asked.fields, apr_table_make(r->pool, 1), &bare,
                           r->pool) != DEVCACHE_REASON_NONE) {
        return 0;
    }
    return !strcmp(spec, bare) || (x->save.what.spec && !strcmp(spec, x->save.what.spec));
}

/* Until when the part may be used, as far as it says so itself; 0: it does not. */
static apr_time_t expires(request_rec *r, const devcache_exchange_t *x,
                          const devcache_directives_t *said, const apr_table_t *fields)
{
    apr_time_t now = devcache_now();
    apr_int64_t age = devcache_field_age(fields);
    devcache_lifetime_t stated;

    devcache_policy_lifetime(&x->policy, r->status, fields, r->args != NULL, now, &stated,
                             r->pool);
    if (said->no_cache) {
        return now;
    }
    return stated.by == DEVCACHE_LIFETIME_S_MAXAGE ||
                   stated.by == DEVCACHE_LIFETIME_MAX_AGE ||
                   stated.by == DEVCACHE_LIFETIME_EXPIRES
               ? now + stated.lifetime - apr_time_from_sec(age > 0 ? age : 0)
               : 0;
}

/* The page is no longer fresh than any of its parts, and goes with the tags of each. */
static const char *join_page(request_rec *r, devcache_exchange_t *x,
                             const devcache_directives_t *said, const apr_table_t *fields)
{
    apr_pool_t *p = devcache_request_first(r)->pool;
    apr_time_t until = expires(r, x, said, fields);
    devcache_slice_t tags;

    if (until && (!x->part.until || until < x->part.until)) {
        x->part.until = until;
    }
    if (!devcache_tags_read(x->dir, x->asked.key, NULL, fields, &tags, p)) {
        return "has tags that cannot be used";
    }
    x->part.tags = devcache_ban_tags_join(x->part.tags, tags, p);
    return NULL;
}

static const char *why_not_for_all(request_rec *r, devcache_exchange_t *x, int rv)
{
    apr_table_t *fields = devcache_request_fields_out(r);
    const apr_array_header_t *targets = x->policy.targets;
    devcache_directives_t said;
    int targeted;

    if (ap_is_HTTP_ERROR(rv) || ap_is_HTTP_ERROR(r->status)) {
        return "failed";
    }
    targeted = devcache_directive_response(targets, fields, &said, r->pool);
    return said.no_store || said.is_private || r->no_cache ||
                   (!targeted &&
                    devcache_directive_forbidden_by(targets, fields, devcache_now()))
               ? "private"
           : apr_table_get(fields, "Set-Cookie") ? "sets a cookie"
           : !varies_alike(r, x, fields)         ? "varies"
                                                 : join_page(r, x, &said, fields);
}

int devcache_part_handler(request_rec *r)
{
    devcache_exchange_t *x = page_of(r);
    request_rec *around;
    const char *why;
    int rv;

    if (!x || x->part.running == r) {
        return DECLINED;
    }
    around = x->part.running;
    x->part.running = r;
    x->part.any = 1;
    devcache_length_begin(r, x);
    rv = ap_run_handler(r);
    devcache_length_end(r);
    x->part.running = around;
    if ((why = why_not_for_all(r, x, rv))) {
        spoil(r, x, why);
    }
    return rv;
}

int devcache_part_spoils(const devcache_exchange_t *x)
{
    return x->part.spoils || x->part.asked || (x->refresh.running && x->part.any);
}
