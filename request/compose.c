/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composing.
 *
 *     the page's text     goes out as it is
 *     an include          its URL, if it is one of this site, is asked for; else, or if that
 *                         fails, what it names instead; else nothing, or the page is an error
 *
 * No fetch of the page is under way when its parts are asked for, no lock is held and no
 * connection to an origin: two pages that include each other end by their depth, and do not
 * wait for each other.
 */
#include "request/compose.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include "base/clock.h"
#include "http/directive.h"
#include "http/field.h"
#include "mod_devcache.h"
#include "request/account.h"
#include "request/asked.h"
#include "request/background.h"
#include "request/fields.h"
#include "stats/stats.h"

#define PARTS_MAX 64 /* of a page, those of parts too */
#define DEPTH_MAX 4  /* parts of parts */

typedef struct part_t {
    request_rec *own;
    apr_bucket_brigade *body; /* of the page's allocator */
    apr_size_t most, size;
    int status; /* of a failure on its way; 0: none */
    int has_ended;
    int rv; /* of the handlers */
} part_t;

static ap_filter_rec_t *part_filter;

devcache_compose_t *devcache_compose_of(request_rec *r, devcache_exchange_t *x)
{
    devcache_compose_t *c = x->composed;

    if (!c) {
        c = x->composed = apr_pcalloc(r->pool, sizeof *c);
        c->budget = apr_pcalloc(r->pool, sizeof *c->budget);
        c->budget->parts = PARTS_MAX;
        c->budget->bytes = DEVCACHE_COMPOSE_MAX;
    }
    c->url = c->url ? c->url : devcache_request_first(r)->unparsed_uri;
    return c;
}

/* ---- the request for a part --------------------------------------------------------- */

/* Fields about the visitor's copy of the page, or about the message that was the request. */
static int is_about_page(const char *name)
{
    static const char *const names[] = {
        "Accept-Encoding",
        "Cache-Control",
        "Connection",
        "Content-Length",
        "Content-Type",
        "Expect",
        "If-Match",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "Keep-Alive",
        "If-Unmodified-Since",
        "Pragma",
        "Range",
        "TE",
        "Surrogate-Capability",
        "Transfer-Encoding",
        "Upgrade",
    };
    apr_size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (!ap_cstr_casecmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* The lines as the request was read, with what hooks have made of them by then, early
 * RequestHeader and mod_remoteip: these do not see a part. The others do, as its own
 * sections say, and nothing is left of what the page's have set. */
static apr_table_t *visitors_lines(const devcache_exchange_t *x, apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(x->asked.read_fields);
    apr_table_t *lines = apr_table_make(p, all->nelts + 1);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (!is_about_page(e->key)) {
            apr_table_addn(lines, e->key, e->val);
        }
    }
    if (x->asked.req.only_if_cached) {
        apr_table_setn(lines, "Cache-Control", "only-if-cached");
    }
    return lines;
}

/* Which lines of it the visitor has sent: what the configuration has set early is compared,
 * for a part as for a page. */
static void note_sent(request_rec *own, const devcache_exchange_t *x,
                      devcache_exchange_t *nx)
{
    const apr_array_header_t *all = apr_table_elts(own->headers_in);
    apr_table_entry_t *sent = apr_palloc(own->pool,
                                         (apr_size_t)(all->nelts + 1) * sizeof *sent);
    int i, n = 0;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (devcache_fields_was_sent(e, x) || !ap_cstr_casecmp(e->key, "Cache-Control")) {
            sent[n++] = *e;
        }
    }
    nx->asked.sent = sent;
    nx->asked.sent_lines = n;
}

static void exchange_for(request_rec *own, const devcache_exchange_t *x)
{
    devcache_exchange_t *nx = devcache_request_begin(own);
    const devcache_compose_t *around = x->composed;
    devcache_compose_t *c;

    nx->device = x->device;
    nx->asked.stands_out = x->asked.stands_out;
    note_sent(own, x, nx);
    nx->composed = c = apr_pcalloc(own->pool, sizeof *c);
    c->around = around;
    c->url = own->unparsed_uri;
    c->depth = around->depth + 1;
    c->budget = around->budget;
}

/* ---- its answer ------------------------------------------------------------------------ */

static void take(part_t *part, apr_bucket *b)
{
    const char *data;
    apr_size_t len;

    if (AP_BUCKET_IS_ERROR(b)) {
        part->status = ((ap_bucket_error *)b->data)->status;
    } else if (AP_BUCKET_IS_EOC(b)) {
        part->status = HTTP_BAD_GATEWAY;
    } else if (APR_BUCKET_IS_EOS(b)) {
        part->has_ended = 1;
    } else if (!APR_BUCKET_IS_METADATA(b)) {
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            part->status = HTTP_BAD_GATEWAY;
        } else if (len > part->most - part->size) {
            part->status = HTTP_REQUEST_ENTITY_TOO_LARGE;
        } else {
            part->size += len;
            apr_brigade_write(part->body, NULL, NULL, data, len);
        }
    }
}

/* In front of all that would make a message of it; internal redirects keep it. */
static apr_status_t part_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    part_t *part = f->ctx;

    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);

        if (!part->status && !part->has_ended) {
            take(part, b);
        }
        apr_bucket_delete(b);
    }
    return part->status ? APR_ECONNABORTED : APR_SUCCESS;
}

static void insert_filter(request_rec *own, part_t *part)
{
    ap_filter_t *first = own->output_filters;
    ap_filter_t *f = ap_add_output_filter_handle(part_filter, part, own, own->connection);

    if (first != f) { /* it stands behind those of its kind */
        ap_filter_t *at = first;

        while (at->next != f) {
            at = at->next;
        }
        at->next = f->next;
        f->next = first;
    }
    own->output_filters = own->proto_output_filters = f;
}

static void run_part(request_rec *own, void *baton)
{
    part_t *part = baton;
    request_rec *last;
    apr_bucket_brigade *bb;

    part->rv = ap_invoke_handler(own);
    last = devcache_request_last(own);
    if ((part->rv == OK || part->rv == DONE) && !last->eos_sent && !part->status) {
        bb = apr_brigade_create(last->pool, last->connection->bucket_alloc);
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
        ap_pass_brigade(last->output_filters, bb);
    }
    devcache_account_log(own);
}

/* What stands against it; 0: nothing. */
static int failure_of(const part_t *part, const request_rec *last,
                      const apr_table_t *fields)
{
    const char *coding = apr_table_get(fields, "Content-Encoding");

    return part->status                               ? part->status
           : part->rv != OK && part->rv != DONE       ? part->rv
           : !part->has_ended                         ? HTTP_BAD_GATEWAY
           : coding && strcasecmp(coding, "identity") ? HTTP_UNSUPPORTED_MEDIA_TYPE
           : last->status / 100 != 2 || last->status == HTTP_PARTIAL_CONTENT
               ? last->status
               : 0;
}

static int add_cookie(void *page, const char *name, const char *value)
{
    request_rec *r = page;

    apr_table_add(r->headers_out, name, value);
    return 1;
}

/* DevCache may be Off for a part: nothing has judged its request then. */
static int has_credentials(request_rec *own)
{
    return own->user || apr_table_get(own->headers_in, "Authorization") ||
           devcache_request_exchange(own)->asked.req.authorization;
}

/* What it says of itself is said of the page. */
static void join_fields(request_rec *r, const apr_table_t *fields,
                        devcache_fragments_said_t *said)
{
    const char *vary = devcache_field_combined(fields, "Vary", r->pool);

    devcache_fragments_join(said, fields, devcache_now(), r->pool);
    if (vary) {
        apr_table_merge(r->headers_out, "Vary", vary);
    }
    if (apr_table_get(fields, "Set-Cookie")) {
        said->is_private = 1;
        apr_table_do(add_cookie, r, fields, "Set-Cookie", NULL);
    }
}

/* ---- one include ----------------------------------------------------------------------- */

typedef struct page_t {
    request_rec *r; /* whose answer it is, behind redirects */
    devcache_exchange_t *x;
    devcache_compose_t *c;
    apr_bucket_brigade *out;
    devcache_fragments_said_t said;
    int has_credentials; /* it, or a part, was asked for with such */
} page_t;

static void tell(const page_t *page, const char *url, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, page->r,
                  DCLOGNO(0320) "compose: %s: the part %s cannot be had: %s",
                  page->c->url, ap_escape_logitem(page->r->pool, url), why);
}

static int includes_itself(const devcache_compose_t *c, const char *url)
{
    for (; c; c = c->around) {
        if (!strcmp(c->url, url)) {
            return 1;
        }
    }
    return 0;
}

/* By scheme and host the site is ours in a page by https also where a part is by http: it
 * is not asked for over the network. */
static const char *in_our_scheme(const char *origin, const char *url, apr_pool_t *p)
{
    return !strncmp(origin, "https:", 6) && !ap_cstr_casecmpn(url, "http:", 5)
               ? apr_pstrcat(p, "https", url + 4, NULL)
               : url;
}

/* The path of a part of this site; NULL: why not, in *pwhy. */
static const char *path_of(const page_t *page, const char *url, const char **pwhy)
{
    devcache_compose_t *c = page->c;
    const char *base = *c->url == '/'
                           ? apr_pstrndup(page->r->pool, c->url, strcspn(c->url, "?"))
                           : ap_escape_uri(page->r->pool, page->x->asked.path);
    const char *origin = devcache_asked_origin(page->r);
    const char *path = *url ? devcache_policy_same_origin(
                                  origin, base, in_our_scheme(origin, url, page->r->pool),
                                  page->r->pool)
                            : NULL;

    *pwhy = !path                      ? "it is no URL of this site"
            : c->depth >= DEPTH_MAX    ? "parts of parts are too deep"
            : includes_itself(c, path) ? "it includes itself"
                                       : NULL;
    return *pwhy ? NULL : path;
}

/* Why no part at all can be had any more; NULL: they can. */
static const char *is_spent(const devcache_compose_budget_t *budget)
{
    return budget->visitor->aborted               ? "the visitor has gone"
           : budget->parts <= 0                   ? "the page has too many"
           : devcache_monotonic() > budget->until ? "all of them took longer than Timeout"
                                                  : NULL;
}

static int ask(page_t *page, const char *path, apr_pool_t *p)
{
    request_rec *r = devcache_request_first(page->r);
    devcache_compose_budget_t *budget = page->c->budget;
    part_t part = {NULL};
    request_rec *last;
    apr_table_t *fields;
    int rv;

    part.own = devcache_background_part(r, budget->visitor, path,
                                        visitors_lines(page->x, p),
                                        page->x->asked.read_environment, p);
    exchange_for(part.own, page->x);
    part.body = apr_brigade_create(page->r->pool, page->out->bucket_alloc);
    part.most = budget->bytes;
    insert_filter(part.own, &part);
    if ((rv = devcache_background_prepare(part.own)) != OK) {
        return rv;
    }
    devcache_request_exchange(part.own)->asked.certified =
        devcache_asked_shows_certificate(part.own); /* its connection is detached now */
    devcache_background_run_here(part.own, run_part, &part);
    last = devcache_request_last(part.own);
    fields = devcache_request_fields_out(last);
    rv = failure_of(&part, last, fields);
    if (rv == 0) {
        budget->bytes = part.most - part.size; /* with those of its own parts */
        page->has_credentials |= has_credentials(part.own);
        join_fields(page->r, fields, &page->said);
        APR_BRIGADE_CONCAT(page->out, part.body);
    }
    apr_brigade_destroy(part.body);
    return rv;
}

/* 1: it is in the page. */
static int fetch(page_t *page, const char *url)
{
    devcache_compose_budget_t *budget = page->c->budget;
    const char *why = is_spent(budget), *path;
    apr_pool_t *p;
    int rv;

    if (why) {
        if (!budget->told++ && !budget->visitor->aborted) {
            tell(page, url, why);
        }
        return 0;
    }
    if ((path = path_of(page, url, &why))) {
        budget->parts--;
        apr_pool_create(&p, page->r->pool);
        apr_pool_tag(p, "devcache_part");
        rv = ask(page, path, p);
        apr_pool_destroy(p);
        if (rv == 0) {
            return 1;
        }
        why = apr_psprintf(page->r->pool, "%d", rv);
    }
    tell(page, url, why);
    return 0;
}

static int include(page_t *page, const devcache_fragment_t *f)
{
    page->c->parts++;
    devcache_stats_count(DEVCACHE_COUNT_parts);
    if (fetch(page, f->url) || (f->alt && fetch(page, f->alt))) {
        return OK;
    }
    page->c->failed++;
    page->said.no_store = 1; /* what lacks it is nobody's copy */
    devcache_stats_count(DEVCACHE_COUNT_parts_failed);
    return f->is_dispensable ? OK : HTTP_BAD_GATEWAY;
}

/* ---- the whole ---------------------------------------------------------------------- */

static void forget(request_rec *r, const char *name)
{
    apr_table_unset(r->headers_out, name);
    apr_table_unset(r->err_headers_out, name);
}

/* What was said of the page alone, to caches and about its bytes. */
static void forget_page(request_rec *r)
{
    static const char *const names[] = {
        "Accept-Ranges", "Age",     "Content-Digest", "Content-Length", "Content-MD5",
        "Digest",        "ETag",    "Expires",        "Last-Modified",  "No-Vary-Search",
        "Repr-Digest",   "Warning", "Cache-Control",
    };
    const apr_array_header_t *all = apr_table_elts(devcache_request_fields_out(r));
    apr_size_t n;
    int i;

    for (n = 0; n < sizeof names / sizeof *names; n++) {
        forget(r, names[n]);
    }
    for (i = 0; i < all->nelts; i++) {
        const char *name = APR_ARRAY_IDX(all, i, apr_table_entry_t).key;

        if (devcache_directive_is_targeted(name)) {
            forget(r, name);
        }
    }
}

/* Nobody may put together ranges of two of them. */
static void answer_whole(request_rec *r)
{
    r->headers_in = apr_table_copy(r->pool, r->headers_in);
    apr_table_unset(r->headers_in, "Range");
    apr_table_unset(r->headers_in, "If-Range");
}

static void finish(page_t *page)
{
    request_rec *r = page->r;
    char *date = apr_palloc(r->pool, APR_RFC822_DATE_LEN);
    apr_off_t length = 0;

    forget_page(r);
    answer_whole(r);
    page->said.is_private |= page->has_credentials && !page->said.is_shareable;
    apr_table_setn(r->headers_out, "Cache-Control",
                   devcache_fragments_cache_control(&page->said, r->pool));
    apr_rfc822_date(date, devcache_now());
    apr_table_setn(r->headers_out, "Date", date);
    if (!r->header_only) {
        apr_brigade_length(page->out, 1, &length);
        ap_set_content_length(r, length);
    }
}

int devcache_compose(request_rec *r, devcache_exchange_t *x, devcache_slice_t text,
                     apr_bucket_brigade *out)
{
    page_t page = {r, x, devcache_compose_of(r, x), out, {0}, 0};
    devcache_fragments_t reader = {text, page.c->dialects, 0, 0};
    devcache_fragment_e what;
    devcache_fragment_t f;
    int rv = OK;

    if (!page.c->around) {
        page.c->budget->visitor = devcache_request_first(r)->connection;
        page.c->budget->until = devcache_monotonic() + r->server->timeout;
    }
    devcache_fragments_join(&page.said, devcache_request_fields_out(r), devcache_now(),
                            r->pool);
    page.has_credentials = x->asked.req.authorization;
    page.said.no_cache |= r->header_only && !text.len; /* what parts say is not known */
    while (rv == OK && (what = devcache_fragments_next(&reader, &f, r->pool)) !=
                           DEVCACHE_FRAGMENT_END) {
        if (what == DEVCACHE_FRAGMENT_INCLUDE) {
            rv = include(&page, &f);
        } else {
            APR_BRIGADE_INSERT_TAIL(out,
                                    apr_bucket_pool_create(f.text.data, f.text.len,
                                                           r->pool, out->bucket_alloc));
        }
    }
    finish(&page);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0321) "compose: %s: put together from %d parts, %d failed",
                  page.c->url, page.c->parts, page.c->failed);
    return rv;
}

void devcache_compose_register(void)
{
    part_filter = ap_register_output_filter("DEVCACHE_PART", part_out, NULL,
                                            AP_FTYPE_PROTOCOL);
}
