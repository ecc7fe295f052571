#include "devcache_restore.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_field.h"
#include "devcache_stats.h"

/* Output filters of mod_headers and mod_security2; NULL: not loaded. */
static ap_filter_rec_t *headers_filter, *security_filter;

void devcache_restore_init(void)
{
    headers_filter = ap_get_output_filter_handle("FIXUP_HEADERS_OUT");
    security_filter = ap_get_output_filter_handle("MODSECURITY_OUT");
}

/* ---- stored response → request_rec and brigade
 * ------------------------------------------ */

/* They must not run on it again. mod_headers must: what is stored is what it was given,
 * so that `Header set X "%t"` is today's. Our own filters stay if the response goes on to
 * be stored (the CONFIRMED phase). */
void devcache_restore_drop_filters(request_rec *r, int keep_ours)
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

/* Without a line of our own httpd turns a code that it does not know into 500. */
static const char *status_line(request_rec *r, const devcache_response_t *resp)
{
    const char *known = ap_get_status_line(resp->status); /* "200 OK" */
    int is_known = resp->status == HTTP_INTERNAL_SERVER_ERROR ||
                   known != ap_get_status_line(HTTP_INTERNAL_SERVER_ERROR);
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

/* Stored fields replace those of the same name that earlier hooks have set. */
static void restore_fields(request_rec *r, const devcache_exchange_t *x)
{
    const apr_array_header_t *all = apr_table_elts(x->stored.fields);
    int i;

    make_way(r->headers_out, all);
    make_way(r->err_headers_out, all);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        apr_table_addn(r->headers_out, e->key, e->val);
    }
    if (r->proxyreq == PROXYREQ_NONE && apr_table_get(r->headers_out, "Date")) {
        r->proxyreq = PROXYREQ_REVERSE; /* or httpd would put today's in its place */
    }
    ap_set_content_type(r, x->stored.content_type); /* NULL takes mod_mime's guess away */
    apr_table_setn(r->headers_out, "Age", apr_ltoa(r->pool, (long)apr_time_sec(x->age)));
}

static apr_status_t restore_body(request_rec *r, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb)
{
    apr_bucket_alloc_t *alloc = bb->bucket_alloc;
    apr_file_t *file;
    apr_off_t offset;
    apr_bucket *b;
    apr_status_t rv;

    if (x->hit->body_len == 0) {
        return APR_SUCCESS;
    }
    if (x->hit->body.data) {
        b = apr_bucket_pool_create(x->hit->body.data, x->hit->body.len, r->pool, alloc);
        APR_BRIGADE_INSERT_TAIL(bb, b);
        return APR_SUCCESS;
    }
    rv = devcache_store_open_body(x->server->store, x->hit, &file, &offset, r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    b = apr_brigade_insert_file(bb, file, offset, (apr_off_t)x->hit->body_len, r->pool);
#if APR_HAS_MMAP
    /* Read, never mapped: a file cut short by somebody else must not kill the child. */
    apr_bucket_file_enable_mmap(b, 0);
#endif
    return APR_SUCCESS;
}

static void restore_not_modified(request_rec *r, apr_bucket_brigade *bb)
{
    apr_brigade_cleanup(bb);
    r->status = HTTP_NOT_MODIFIED;
    r->status_line = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_modified);
}

/* Status and fields of x->stored, whose body has @a len bytes. */
static void restore_head(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb,
                         int condition, apr_int64_t len)
{
    r->status = x->stored.status;
    r->status_line = status_line(r, &x->stored);
    x->answered_at = devcache_now();
    x->age = devcache_policy_age(&x->fresh, x->answered_at);
    x->ttl = x->fresh.lifetime - x->age;
    restore_fields(r, x);
    if (condition == HTTP_NOT_MODIFIED) {
        restore_not_modified(r, bb);
    } else if (len >= 0 && !AP_STATUS_IS_HEADER_ONLY(r->status)) {
        ap_set_content_length(r, (apr_off_t)len);
        if (r->status == HTTP_OK) {
            ap_set_accept_ranges(r);
        }
    }
}

/* The client's own conditions, against x->stored: 0, 304 or 412. */
static int precondition(const devcache_exchange_t *x)
{
    return x->req.has_conditional || x->req.has_precondition
               ? devcache_policy_precondition(x->fields, x->stored.fields,
                                              x->stored.status)
               : 0;
}

int devcache_restore(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    int condition = precondition(x);

    if (condition == HTTP_PRECONDITION_FAILED) {
        return condition;
    }
    if (restore_body(r, x, bb) != APR_SUCCESS) {
        return HTTP_NOT_FOUND;
    }
    restore_head(r, x, bb, condition, (apr_int64_t)x->hit->body_len);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return OK;
}

int devcache_restore_head(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb,
                          apr_int64_t len)
{
    int condition = precondition(x);

    if (condition == HTTP_PRECONDITION_FAILED) {
        return condition;
    }
    restore_head(r, x, bb, condition, len);
    devcache_restore_drop_filters(r, 0);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    return OK;
}

/* ---- in the origin's stead
 * ------------------------------------------------------------------------ */

int devcache_restore_confirmed(request_rec *r, devcache_exchange_t *x,
                               apr_bucket_brigade *bb)
{
    apr_table_t *update = apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
    apr_int64_t age;
    int rv;

    devcache_policy_update_fields(x->stored.fields, update, r->pool);
    age = devcache_field_age(update);
    /* Judged anew by the filter that stores it; until then it has just been validated. */
    x->fresh = x->stored.fresh;
    x->fresh.requested_at = x->requested_at;
    x->fresh.received_at = x->received_at;
    x->fresh.initial_age = age > 0 ? apr_time_from_sec(age) : 0;
    apr_table_clear(r->headers_out);
    if ((rv = devcache_restore(r, x, bb)) != OK) {
        if (rv == HTTP_NOT_FOUND) {
            devcache_request_step(r, x, DEVCACHE_PHASE_RETRY);
        }
        return rv;
    }
    x->origin_fields = x->stored.fields;
    x->origin_type = x->stored.content_type;
    x->outcome = DEVCACHE_OUTCOME_REVALIDATED;
    devcache_stats_count(DEVCACHE_COUNT_revalidated);
    devcache_request_step(r, x, DEVCACHE_PHASE_CONFIRMED);
    return OK;
}

int devcache_restore_allowed(const devcache_exchange_t *x, int status, int unreachable)
{
    if (status != HTTP_BAD_GATEWAY && status != HTTP_SERVICE_UNAVAILABLE &&
        status != HTTP_GATEWAY_TIME_OUT) {
        unreachable = 0;
        if (status != HTTP_INTERNAL_SERVER_ERROR) {
            return 0;
        }
    }
    return devcache_policy_stale_if_error(&x->policy, &x->req, &x->stored.fresh,
                                          unreachable, x->now);
}

int devcache_restore_failure(const devcache_exchange_t *x, int status)
{
    /* RFC 9111, section 5.2.2.2: must-revalidate and an origin out of reach make 504. */
    if ((status == HTTP_BAD_GATEWAY || status == HTTP_SERVICE_UNAVAILABLE) &&
        x->stored.fresh.flags & (DEVCACHE_MUST_REVALIDATE | DEVCACHE_NO_CACHE)) {
        devcache_stats_count(DEVCACHE_COUNT_gateway_timeouts);
        return HTTP_GATEWAY_TIME_OUT;
    }
    return status;
}
