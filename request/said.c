/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who says it.
 *
 * An application that states a lifetime has thought of caches, and what it builds by
 * cookies it marks. Where mod_expires, mod_headers or a directive of ours states it, the
 * application has not, and may well build pages by a session's cookie. Such a lifetime
 * holds for visitors without cookies that count (DEVCACHE_OWN_LIFETIME).
 *
 *   handler -> DEVCACHE_SAID -> MOD_EXPIRES -> DEVCACHE_ORIGIN -> mod_headers -> DEVCACHE_SAVE
 *
 * The first of our filters remembers the fields as the application has sent them. Files of
 * httpd's own handler are nobody's application: they are the same whatever the cookies
 * say, unless INCLUDES makes a page of them. Nor has an application spoken for a program
 * that filters its pages.
 *
 * The other way round, httpd's own <If> and RewriteCond note in Vary what they have looked
 * at, in the response's fields, before there is a response. mod_proxy replaces all fields
 * by the backend's, and the note is gone; so it is kept here and put back.
 */
#include "request/said.h"

#include <string.h>
#include <apr_strings.h>
#include <http_core.h>
#include <util_filter.h>
#include "http/directive.h"
#include "http/field.h"
#include "request/part.h"

static ap_filter_rec_t *said_filter;

/* Is this a file as it lies there? httpd's own handler sends it so, whatever it is called
 * (it takes the place of all that nobody claims); filters that change it do not. */
static int is_file(const request_rec *r, const apr_bucket_brigade *bb)
{
    const apr_bucket *b = APR_BRIGADE_FIRST(bb);
    const char *name;

    /* Without a handler of its own a file has its media type for one. A named handler may
     * have looked at the visitor's cookies before it sent the file. */
    return r->handler &&
           (strchr(r->handler, '/') || !strcmp(r->handler, AP_DEFAULT_HANDLER_NAME)) &&
           APR_BUCKET_IS_FILE(b) && r->filename &&
           apr_file_name_get(&name, ((apr_bucket_file *)b->data)->fd) == APR_SUCCESS &&
           name && !strcmp(name, r->filename);
}

static apr_status_t said_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;

    if (APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (x->phase != DEVCACHE_PHASE_CONFIRMED) { /* else it is what was stored */
        x->origin.said = devcache_request_fields_out(r);
        x->origin.is_file = is_file(r, bb) && !devcache_part_assembles(r);
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

void devcache_said_insert(request_rec *r, devcache_exchange_t *x)
{
    ap_add_output_filter_handle(said_filter, x, r, r->connection);
}

void devcache_said_register(void)
{
    said_filter = ap_register_output_filter("DEVCACHE_SAID", said_out, NULL,
                                            AP_FTYPE_CONTENT_SET - 3);
}

/* ---- Vary ----------------------------------------------------------------------- */

/* Mostly nothing is said yet. */
static const char *vary_in(const apr_table_t *fields, apr_pool_t *p)
{
    return apr_is_empty_table(fields) ? NULL : devcache_field_combined(fields, "Vary", p);
}

void devcache_said_note_vary(request_rec *r, devcache_exchange_t *x)
{
    const char *out, *err;

    if (x->refresh.running) {
        return; /* access control is not asked again; the visitor's request has it all */
    }
    out = vary_in(r->headers_out, r->pool);
    err = vary_in(r->err_headers_out, r->pool);
    x->asked.vary = !out ? err : !err ? out : apr_pstrcat(r->pool, out, ", ", err, NULL);
}

int devcache_said_varies_by(const devcache_exchange_t *x, const char *lower)
{
    const char *line = x->asked.vary;
    devcache_slice_t member;

    while (line && devcache_field_next(&line, &member)) {
        if (devcache_field_is(member, lower)) {
            return 1;
        }
    }
    return 0;
}

void devcache_said_restore_vary(request_rec *r, const devcache_exchange_t *x)
{
    const char *line = x->asked.vary;
    devcache_slice_t member;
    while (line && devcache_field_next(&line, &member)) {
        const char *lower = devcache_field_lower(member.data, member.len, r->pool);
        if (!devcache_field_has(r->headers_out, "Vary", lower) &&
            !devcache_field_has(r->err_headers_out, "Vary", lower)) {
            apr_table_mergen(r->headers_out, "Vary",
                             apr_pstrmemdup(r->pool, member.data, member.len));
        }
    }
}

/* ---- the lifetime --------------------------------------------------------------- */

static int same(const apr_table_t *a, const apr_table_t *b, const char *name,
                apr_pool_t *p)
{
    const char *x = devcache_field_combined(a, name, p);
    const char *y = devcache_field_combined(b, name, p);

    return x == y || (x && y && !strcmp(x, y));
}

/* The very same lines, as where nothing has touched them? */
static int are_same_lines(const apr_table_t *a, const apr_table_t *b)
{
    const apr_array_header_t *x = apr_table_elts(a), *y = apr_table_elts(b);
    int i;

    for (i = 0; i < x->nelts && i < y->nelts; i++) {
        const apr_table_entry_t *one = &APR_ARRAY_IDX(x, i, apr_table_entry_t);
        const apr_table_entry_t *other = &APR_ARRAY_IDX(y, i, apr_table_entry_t);
        if (one->key != other->key || one->val != other->val) {
            return 0;
        }
    }
    return x->nelts == y->nelts;
}

static int says_the_same(const devcache_exchange_t *x, const apr_table_t *fields,
                         apr_pool_t *p)
{
    const apr_array_header_t *targets = x->policy.targets;
    int i;

    if (are_same_lines(x->origin.said, fields)) {
        return 1;
    }

    for (i = 0; targets && i < targets->nelts; i++) {
        if (!same(x->origin.said, fields, APR_ARRAY_IDX(targets, i, const char *), p)) {
            return 0;
        }
    }
    return same(x->origin.said, fields, "Cache-Control", p) &&
           same(x->origin.said, fields, "Expires", p);
}

static apr_interval_time_t stated(request_rec *r, const devcache_exchange_t *x)
{
    devcache_lifetime_t l;

    devcache_policy_lifetime(&x->policy, r->status, x->origin.said, 1,
                             x->origin.received_at, &l, r->pool);
    return l.raised || l.by == DEVCACHE_LIFETIME_FORCED ||
                   l.by == DEVCACHE_LIFETIME_DEFAULT ||
                   l.by == DEVCACHE_LIFETIME_HEURISTIC
               ? 0
               : l.lifetime;
}

void devcache_said_judge_lifetime(request_rec *r, devcache_exchange_t *x,
                                  const apr_table_t *fields)
{
    devcache_freshness_t *fresh = &x->answer.fresh;
    devcache_directives_t said;

    if (devcache_part_is_programmed(r)) {
        fresh->flags |= DEVCACHE_OWN_LIFETIME; /* the filter has not said so */
        return;
    }
    if (x->origin.is_file) {
        fresh->flags &= ~DEVCACHE_OWN_LIFETIME;
        return;
    }
    if (x->phase == DEVCACHE_PHASE_CONFIRMED && !x->origin.said) {
        /* A handler has confirmed it by its return value: as it was stored. */
        fresh->flags = (fresh->flags & ~DEVCACHE_OWN_LIFETIME) |
                       (x->found.stored.fresh.flags & DEVCACHE_OWN_LIFETIME);
        return;
    }
    if ((fresh->flags & DEVCACHE_OWN_LIFETIME) || !x->origin.said ||
        fresh->lifetime <= 0 || says_the_same(x, fields, r->pool)) {
        return;
    }
    devcache_directive_response(x->policy.targets, fields, &said, r->pool);
    if (!said.is_public && said.s_maxage < 0 && fresh->lifetime > stated(r, x)) {
        fresh->flags |= DEVCACHE_OWN_LIFETIME;
    }
}
