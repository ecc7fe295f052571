/* SPDX-License-Identifier: Apache-2.0 */
#include "request/restore.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include "base/clock.h"
#include "request/assemble.h"
#include "request/fragments.h"
#include "request/inflate.h"
#include "stats/stats.h"

/* Output filters of mod_headers and mod_security2; NULL: not loaded. */
static ap_filter_rec_t *headers_filter, *security_filter;
static const char *unknown_status; /* what httpd says for a code that it does not know */

void devcache_restore_init(void)
{
    unknown_status = ap_get_status_line(HTTP_INTERNAL_SERVER_ERROR);
    headers_filter = ap_get_output_filter_handle("FIXUP_HEADERS_OUT");
    security_filter = ap_get_output_filter_handle("MODSECURITY_OUT");
}

/* ---- stored response → request_rec and brigade ---------------------------------- */

/* They must not run on it again. mod_headers must: what is stored is what it was given,
 * so that `Header set X "%t"` is today's. Our own filters stay if the response goes on to
 * be stored (the CONFIRMED phase). */
static void drop_filters(request_rec *r, int keep_ours)
{
    ap_filter_t *f = r->output_filters, *next;

    for (; f && f->frec->ftype < AP_FTYPE_PROTOCOL - 1; f = next) {
        int ours = !strncmp(f->frec->name, "devcache_", 9);
        next = f->next;
        if (f->frec != headers_filter && f->frec != security_filter &&
            !(ours && keep_ours)) {
            ap_remove_output_filter(f);
        }
    }
}

ap_filter_t **devcache_restore_headers_place(request_rec *r)
{
    ap_filter_t **at = &r->output_filters;

    while (*at && (*at)->frec != headers_filter) {
        at = &(*at)->next;
    }
    return *at && headers_filter ? at : NULL;
}

void devcache_restore_add_headers(request_rec *r)
{
    if (headers_filter && !devcache_restore_headers_place(r)) {
        ap_add_output_filter_handle(headers_filter, NULL, r, r->connection);
    }
}

/* Without a line of our own httpd turns a code that it does not know into 500. */
static const char *status_line(request_rec *r, const devcache_response_t *resp)
{
    const char *known = ap_get_status_line(resp->status); /* "200 OK" */
    int is_known = resp->status == HTTP_INTERNAL_SERVER_ERROR || known != unknown_status;
    const char *reason = resp->reason && *resp->reason ? resp->reason
                         : is_known                    ? known + 4
                                                       : "Unknown";

    return is_known && !strcmp(reason, known + 4)
               ? known
               : apr_psprintf(r->pool, "%d %s", resp->status, reason);
}

/* Take away what earlier hooks have set under the names of stored fields. */
static void make_way(apr_table_t *out, const apr_array_header_t *fields)
{
    int i;

    for (i = 0; i < fields->nelts && !apr_is_empty_table(out); i++) {
        apr_table_unset(out, APR_ARRAY_IDX(fields, i, apr_table_entry_t).key);
    }
}

static void add_lines(request_rec *r, const apr_table_t *lines)
{
    const apr_array_header_t *all = apr_table_elts(lines);
    int i;

    make_way(r->headers_out, all);
    make_way(r->err_headers_out, all);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        apr_table_addn(r->headers_out, e->key, e->val);
    }
}

static void add_kept(request_rec *r, const devcache_kept_t *kept)
{
    int i;

    for (i = 0; i < kept->count; i++) {
        apr_table_addn(r->headers_out, kept->field[i].name, kept->field[i].value);
    }
}

/* It does not go out as it is stored. */
static void take_form(request_rec *r, devcache_exchange_t *x)
{
    if (x->found.form == DEVCACHE_FORM_INFLATED) {
        devcache_inflate_fields(r, x);
    } else {
        devcache_fragments_arrange(r, x);
    }
}

/* Put the stored fields in the place of those that earlier hooks have set. */
static void put_stored(request_rec *r, devcache_exchange_t *x)
{
    if (!x->found.stored.lines && apr_is_empty_table(r->headers_out) &&
        apr_is_empty_table(r->err_headers_out)) {
        add_kept(r, x->found.stored.kept);
    } else {
        add_lines(r, devcache_response_fields(&x->found.stored, r->pool));
    }
}

/* ---- the same of a whole page, with all that is known of its fields ---- */

/* As add_number() would write it. */
static int is_number(const devcache_kept_field_t *f, apr_int64_t n)
{
    const char *at = f->value + f->value_len;

    do {
        if (at == f->value || *--at != (char)('0' + n % 10)) {
            return 0;
        }
    } while ((n /= 10) > 0);
    return at == f->value;
}

static inline void add_text(request_rec *r, devcache_exchange_t *x, const char *name,
                            const char *value, apr_size_t len, devcache_kept_e is)
{
    devcache_kept_field_t f = {name, value, (apr_uint32_t)len, (apr_uint16_t)strlen(name),
                               (unsigned char)is};

    devcache_request_add_field(r, x, &f);
}

static void add_number(request_rec *r, devcache_exchange_t *x, const char *name,
                       apr_int64_t n, devcache_kept_e is)
{
    char *end = (char *)apr_palloc(r->pool, 24) + 23, *at = end;
    apr_uint64_t left = n > 0 ? (apr_uint64_t)n : 0;

    *at = '\0';
    do {
        *--at = (char)('0' + left % 10);
    } while ((left /= 10) != 0);
    add_text(r, x, name, at, (apr_size_t)(end - at), is);
}

/* As ap_set_accept_ranges() does. */
static void add_ranges(request_rec *r, devcache_exchange_t *x, const char *name)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    int none = core->max_ranges == AP_MAXRANGES_NORANGES;

    add_text(r, x, name, none ? "none" : "bytes", none ? 4 : 5, DEVCACHE_KEPT_RANGES);
}

/* What each answer gets anew stands where it stood, else at the end. */
static void put_known(request_rec *r, devcache_exchange_t *x)
{
    const devcache_kept_t *kept = x->found.stored.kept;
    apr_int64_t age = apr_time_sec(x->answer.age);
    unsigned there = kept->kinds;
    int i;

    x->answer.room_known = kept->count + DEVCACHE_ADDED_MAX;
    x->answer.known = apr_palloc(r->pool, (apr_size_t)x->answer.room_known *
                                              sizeof *x->answer.known);
    for (i = 0; i < kept->count; i++) {
        const devcache_kept_field_t *f = &kept->field[i];
        if (f->is == DEVCACHE_KEPT_LENGTH && !is_number(f, x->answer.length)) {
            add_number(r, x, f->name, x->answer.length, DEVCACHE_KEPT_LENGTH);
        } else if (f->is == DEVCACHE_KEPT_AGE) {
            add_number(r, x, f->name, age, DEVCACHE_KEPT_AGE);
        } else if (f->is == DEVCACHE_KEPT_RANGES) {
            add_ranges(r, x, f->name);
        } else {
            devcache_request_add_field(r, x, f);
        }
    }
    if (!(there & 1u << DEVCACHE_KEPT_AGE)) {
        add_number(r, x, "Age", age, DEVCACHE_KEPT_AGE);
    }
    if (!(there & 1u << DEVCACHE_KEPT_LENGTH)) {
        add_number(r, x, "Content-Length", x->answer.length, DEVCACHE_KEPT_LENGTH);
    }
    if (!(there & 1u << DEVCACHE_KEPT_RANGES)) {
        add_ranges(r, x, "Accept-Ranges");
    }
    r->clength = (apr_off_t)x->answer.length;
}

/* Is it a page of status 200 that is decoded already, and nothing else set before? */
static int is_known(const request_rec *r, const devcache_exchange_t *x)
{
    return !x->found.form && r->status == HTTP_OK && x->answer.length >= 0 &&
           !x->found.stored.lines && !x->found.stored.kept->repeats &&
           apr_is_empty_table(r->headers_out) && apr_is_empty_table(r->err_headers_out);
}

/* Stored fields replace those of the same name that earlier hooks have set.
 * @return are those that a body brings there, too? */
static int restore_fields(request_rec *r, devcache_exchange_t *x, int has_body)
{
    int known = has_body && is_known(r, x);

    if (known) {
        put_known(r, x);
    } else {
        put_stored(r, x);
        apr_table_setn(r->headers_out, "Age",
                       apr_ltoa(r->pool, (long)apr_time_sec(x->answer.age)));
    }
    if (r->proxyreq == PROXYREQ_NONE && apr_table_get(r->headers_out, "Date")) {
        r->proxyreq = PROXYREQ_REVERSE; /* or httpd would put today's in its place */
    }
    ap_set_content_type(
        r, x->found.stored.content_type); /* NULL takes mod_mime's guess away */
    if (x->found.form) {
        take_form(r, x);
    }
    return known;
}

/* A body in memory. mod_http2 hands what is on the heap from a stream's thread to its
 * connection's as it is, and copies what is in a pool; so there the bucket holds the record.
 * To HTTP/1 the request's pool lives long enough. */
static apr_bucket *memory_bucket(request_rec *r, const devcache_hit_t *hit,
                                 apr_bucket_alloc_t *alloc)
{
    apr_bucket *b;
    char *held;

    if (!r->connection->master || !hit->room) {
        return apr_bucket_pool_create(hit->body.data, hit->body.len, r->pool, alloc);
    }
    held = devcache_store_hold(hit);
    b = apr_bucket_heap_create(held, (apr_size_t)(hit->body.data - held) + hit->body.len,
                               devcache_store_let_go, alloc);
    b->start = hit->body.data - held;
    b->length = hit->body.len;
    return b;
}

static apr_status_t restore_body(request_rec *r, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb, int condition)
{
    apr_bucket_alloc_t *alloc = bb->bucket_alloc;
    apr_file_t *file;
    apr_off_t offset;
    apr_bucket *b;
    apr_status_t rv;

    if (x->found.stored.pieces) {
        return condition == HTTP_NOT_MODIFIED || x->piece.swallow
                   ? APR_SUCCESS
                   : devcache_assemble(r, x, bb);
    }
    if (x->found.hit->body_len == 0) {
        return APR_SUCCESS;
    }
    if (x->found.hit->body.data) {
        APR_BRIGADE_INSERT_TAIL(bb, memory_bucket(r, x->found.hit, alloc));
        return APR_SUCCESS;
    }
    rv = devcache_store_open_body(x->server->store, x->found.hit, &file, &offset,
                                  r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    b = apr_brigade_insert_file(bb, file, offset, (apr_off_t)x->found.hit->body_len,
                                r->pool);
#if APR_HAS_MMAP
    /* Read, never mapped: a file cut short by somebody else must not kill the child. */
    apr_bucket_file_enable_mmap(b, 0);
#endif
    return APR_SUCCESS;
}

/* Who gets no body is not worth the work of one: a HEAD is then without its length, as RFC
 * 9110, section 9.3.2, lets it be. */
static apr_status_t inflate_body(request_rec *r, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb, int condition, apr_int64_t *plen)
{
    if (condition == HTTP_NOT_MODIFIED || x->asked.req.is_head) {
        *plen = -1;
        return APR_SUCCESS;
    }
    return devcache_inflate_body(r, x, bb, plen);
}

static void restore_not_modified(request_rec *r, apr_bucket_brigade *bb)
{
    apr_brigade_cleanup(bb);
    r->status = HTTP_NOT_MODIFIED;
    r->status_line = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_modified);
}

/* Status and fields of x->found.stored, whose body has @a len bytes. */
static void restore_head(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb,
                         int condition, apr_int64_t len)
{
    r->status = x->found.stored.status;
    r->status_line = status_line(r, &x->found.stored);
    x->answer.at = devcache_now();
    x->answer.age = devcache_policy_age(&x->answer.fresh, x->answer.at);
    x->answer.ttl = x->answer.fresh.lifetime - x->answer.age;
    x->answer.length = len;
    if (restore_fields(r, x, condition != HTTP_NOT_MODIFIED)) {
        return;
    }
    if (condition == HTTP_NOT_MODIFIED) {
        restore_not_modified(r, bb);
    } else if (len >= 0 && !AP_STATUS_IS_HEADER_ONLY(r->status)) {
        ap_set_content_length(r, (apr_off_t)len);
        if (r->status == HTTP_OK) {
            ap_set_accept_ranges(r);
        }
    }
}

/* An entity tag that clients may have for it, besides the stored one. */
static const char *shown_etag(request_rec *r, devcache_exchange_t *x)
{
    switch (x->found.form) {
    case DEVCACHE_FORM_INFLATED:
        return devcache_inflate_etag(devcache_response_fields(&x->found.stored, r->pool),
                                     r->pool);
    case DEVCACHE_FORM_FRAGMENTS:
        return NULL;
    default:
        return x->found.stored.etag_shown;
    }
}

/* The client's own conditions, against x->found.stored: 0, 304 or 412. The tag of what is
 * inflated is its own alone: who has the stored one has other bytes. What is put together
 * has no validators at all, and whether it has changed is not known: never a 304. */
static int precondition(request_rec *r, devcache_exchange_t *x)
{
    const apr_table_t *fields;
    apr_table_t *others;
    int rv;

    if (!x->asked.req.has_conditional && !x->asked.req.has_precondition) {
        return 0;
    }
    fields = devcache_response_fields(&x->found.stored, r->pool);
    if (x->found.form) {
        others = apr_table_copy(r->pool, fields);
        apr_table_unset(others, "ETag");
        if (x->found.form == DEVCACHE_FORM_FRAGMENTS) {
            apr_table_unset(others, "Last-Modified");
        }
        fields = others;
    }
    rv = devcache_policy_precondition(x->asked.fields, fields, shown_etag(r, x),
                                      x->found.stored.status);
    return x->found.form == DEVCACHE_FORM_FRAGMENTS && rv == HTTP_NOT_MODIFIED ? 0 : rv;
}

int devcache_restore(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    int condition = precondition(r, x);
    apr_int64_t len;

    if (condition == HTTP_PRECONDITION_FAILED) {
        return condition;
    }
    len = devcache_response_length(&x->found.stored, x->found.hit->body_len);
    if ((x->found.form == DEVCACHE_FORM_INFLATED
             ? inflate_body(r, x, bb, condition, &len)
             : restore_body(r, x, bb, condition)) != APR_SUCCESS) {
        return HTTP_NOT_FOUND;
    }
    restore_head(r, x, bb, condition, len);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return OK;
}

int devcache_restore_head(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb,
                          apr_int64_t len)
{
    int condition = precondition(r, x);

    if (condition == HTTP_PRECONDITION_FAILED) {
        return condition;
    }
    restore_head(r, x, bb, condition, len);
    drop_filters(r, 0);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    return OK;
}

/* ---- out it goes ----------------------------------------------------------------- */

/* With the handler's result for it; a client that has gone is not an error. */
static int send_brigade(request_rec *r, apr_bucket_brigade *bb)
{
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS || r->connection->aborted
               ? OK
               : AP_FILTER_ERROR;
}

int devcache_restore_send(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    drop_filters(r, 0);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    return send_brigade(r, bb);
}

int devcache_restore_send_confirmed(request_rec *r, apr_bucket_brigade *bb)
{
    drop_filters(r, 1);
    return send_brigade(r, bb);
}
