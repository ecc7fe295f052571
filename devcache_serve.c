#include "devcache_serve.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_collapse.h"
#include "devcache_field.h"
#include "devcache_head.h"
#include "devcache_log.h"
#include "devcache_quick.h"
#include "devcache_refresh.h"
#include "devcache_stats.h"
#include "devcache_tee.h"

/* Times that a request looks again for what others fetch before it fetches by itself. */
#define MAX_TRIES 4

static ap_filter_rec_t *headers_filter; /* mod_headers' output filter; NULL: not loaded */

void devcache_serve_init(void)
{
    headers_filter = ap_get_output_filter_handle("FIXUP_HEADERS_OUT");
}

/* ---- stored response → request_rec and brigade
 * ------------------------------------------ */

/* Filters that made the stored body what it is must not run on it again. mod_headers
 * must: what is stored is what it was given, so that `Header set X "%t"` is today's. Our
 * own filters stay if the response goes on to be stored (the CONFIRMED phase). */
static void drop_content_filters(request_rec *r, int keep_ours)
{
    ap_filter_t *f = r->output_filters, *next;

    for (; f && f->frec->ftype < AP_FTYPE_PROTOCOL - 1; f = next) {
        int ours = !strncmp(f->frec->name, "devcache_", 9);
        next = f->next;
        if (f->frec != headers_filter && !(ours && keep_ours)) {
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

int devcache_serve_restore(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
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

int devcache_serve_restore_head(request_rec *r, devcache_exchange_t *x,
                                apr_bucket_brigade *bb, apr_int64_t len)
{
    int condition = precondition(x);

    if (condition == HTTP_PRECONDITION_FAILED) {
        return condition;
    }
    restore_head(r, x, bb, condition, len);
    drop_content_filters(r, 0);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    return OK;
}

/* Send, with the handler's result for it; a client that has gone is not an error. */
static int pass(request_rec *r, apr_bucket_brigade *bb)
{
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS || r->connection->aborted
               ? OK
               : AP_FILTER_ERROR;
}

/* Serve x->stored as it is, from the handler. */
static int serve_stored(request_rec *r, devcache_exchange_t *x)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    int rv = devcache_serve_restore(r, x, bb);

    if (rv != OK) {
        return rv;
    }
    drop_content_filters(r, 0);
    devcache_head_take(r, x);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    if (x->outcome == DEVCACHE_OUTCOME_STALE) {
        /* The refresh comes after; the client is not to wait for it. */
        APR_BUCKET_INSERT_BEFORE(APR_BRIGADE_LAST(bb),
                                 apr_bucket_flush_create(bb->bucket_alloc));
    }
    return pass(r, bb);
}

int devcache_serve_confirm(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
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
    if ((rv = devcache_serve_restore(r, x, bb)) != OK) {
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

/* ---- the origin failed
 * -------------------------------------------------------------------- */

int devcache_serve_stale_allowed(const devcache_exchange_t *x, int status,
                                 int unreachable)
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

int devcache_serve_failure(const devcache_exchange_t *x, int status)
{
    /* RFC 9111, section 5.2.2.2: must-revalidate and an origin out of reach make 504. */
    if ((status == HTTP_BAD_GATEWAY || status == HTTP_SERVICE_UNAVAILABLE) &&
        x->stored.fresh.flags & (DEVCACHE_MUST_REVALIDATE | DEVCACHE_NO_CACHE)) {
        devcache_stats_count(DEVCACHE_COUNT_gateway_timeouts);
        return HTTP_GATEWAY_TIME_OUT;
    }
    return status;
}

/* The origin failed with @a status, the stored response may stand in. */
static int serve_stale(request_rec *r, devcache_exchange_t *x, int status)
{
    int rv;

    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0113) "serve: %s: origin failed with %d, stale copy served",
                  devcache_vary_key_url(x->key, r->pool), status);
    apr_table_clear(r->headers_out);
    x->fresh = x->stored.fresh;
    x->outcome = DEVCACHE_OUTCOME_STALE_ERROR;
    devcache_stats_count(DEVCACHE_COUNT_stale_errors);
    rv = serve_stored(r, x);
    return rv == HTTP_NOT_FOUND ? devcache_serve_failure(x, status) : rv;
}

/* The other handlers returned an error and have sent nothing. */
static int origin_failed(request_rec *r, devcache_exchange_t *x, int status)
{
    /* With ProxyErrorOverride mod_proxy returns the status of an answer that it has read;
     * that one's Date is there. */
    x->unreachable = !apr_table_get(r->headers_out, "Date");
    x->origin_status = status;
    if (x->refreshing || !devcache_serve_stale_allowed(x, status, x->unreachable)) {
        return devcache_serve_failure(x, status);
    }
    return serve_stale(r, x, status);
}

/* ---- asking the origin
 * ----------------------------------------------------------------------- */

/* A handler of the site itself answered "304" by return value: nothing was sent yet. */
static int origin_confirmed(request_rec *r, devcache_exchange_t *x)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    int rv;

    x->origin_status = HTTP_NOT_MODIFIED;
    x->received_at = devcache_now();
    if ((rv = devcache_serve_confirm(r, x, bb)) != OK) {
        return rv;
    }
    drop_content_filters(r, 1);
    return pass(r, bb);
}

/* Many handlers leave the end of their response to httpd, which adds it when all hooks
 * are done, and what they have written may be held back until then. Here it ends with the
 * handler, while it is known what it is. */
static int end_response(request_rec *r)
{
    apr_bucket_brigade *bb;

    while (r->next) { /* after internal redirects the last one has answered */
        r = r->next;
    }
    if (r->eos_sent) {
        return OK;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return pass(r, bb);
}

/* Run the handlers that come after ours with the given request header. One may return an
 * error after it has sent one through the filters, as mod_proxy does: if those made an
 * answer of it, httpd must not make another. */
static int run_handlers(request_rec *r, devcache_exchange_t *x, apr_table_t *fields)
{
    int rv;

    x->requested_at = devcache_now();
    x->running = 1;
    r->headers_in = fields;
    rv = ap_run_handler(r);
    r->headers_in = x->fields;
    x->running = 0;
    if (rv == OK) {
        rv = end_response(r);
    }
    return x->answered ? OK : rv;
}

static int fetch(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_copy(r->pool, x->fields);

    devcache_policy_clear_conditionals(fields);
    devcache_request_step(r, x, DEVCACHE_PHASE_FETCH);
    return run_handlers(r, x, fields);
}

static int validate(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields = apr_table_copy(r->pool, x->fields);
    int rv;

    if (!devcache_policy_set_validators(fields, x->stored.fields, r->pool)) {
        devcache_policy_clear_conditionals(fields);
    }
    apr_table_unset(fields, "Range"); /* the stored whole answers it once confirmed */
    devcache_request_step(r, x, DEVCACHE_PHASE_VALIDATE);
    rv = run_handlers(r, x, fields);
    if (x->phase == DEVCACHE_PHASE_VALIDATE && rv == HTTP_NOT_MODIFIED) {
        rv = origin_confirmed(r, x);
    } else if (x->phase == DEVCACHE_PHASE_VALIDATE && ap_is_HTTP_ERROR(rv)) {
        rv = origin_failed(r, x, rv);
    }
    if (x->phase == DEVCACHE_PHASE_RETRY) {
        /* The stored one is no use to this request: RFC 9111, section 4.3.3. */
        apr_table_clear(r->headers_out);
        r->status = HTTP_OK;
        r->status_line = NULL;
        r->eos_sent = 0;
        rv = fetch(r, x);
    }
    return rv;
}

/* ---- looking up
 * -------------------------------------------------------------------------------- */

typedef struct lookup_t {
    request_rec *r;
    devcache_exchange_t *x;
} lookup_t;

static devcache_slice_t variant_of(void *baton, const char *spec, apr_pool_t *p)
{
    lookup_t *l = baton;

    l->x->variants_seen = 1;
    if (!l->x->guess || strlen(spec) > strlen(l->x->guess)) {
        l->x->guess = spec; /* the store's, as long as that is open */
    }
    return devcache_vary_values(&l->x->vary, spec, l->x->target, l->x->device.klass,
                                l->x->fields, p);
}

/* What the store has given. */
static void take(request_rec *r, devcache_exchange_t *x, apr_status_t rv)
{
    if (rv != APR_SUCCESS) {
        x->hit = NULL;
        return;
    }
    if (devcache_response_decode(x->hit->meta, &x->stored, r->pool) != APR_SUCCESS) {
        x->hit = NULL;
        return;
    }
    devcache_policy_expire(&x->stored.fresh, x->hit->fresh_until); /* a soft purge */
    x->fresh = x->stored.fresh;
}

static void lookup(request_rec *r, devcache_exchange_t *x)
{
    lookup_t baton = {r, x};
    apr_status_t rv = devcache_store_lookup(x->server->store, x->key, variant_of, &baton,
                                            &x->hit, r->pool);

    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        devcache_stats_count(DEVCACHE_COUNT_store_errors);
    }
    take(r, x, rv);
}

void devcache_serve_peek(request_rec *r, devcache_exchange_t *x)
{
    lookup_t baton = {r, x};

    take(r, x,
         devcache_store_peek(x->server->store, x->key, variant_of, &baton, &x->hit,
                             r->pool));
}

static void log_decision(request_rec *r, devcache_exchange_t *x, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0110) "serve: %s [%s]: %s (%s), ttl %" APR_TIME_T_FMT " s",
                  devcache_vary_key_url(x->key, r->pool), x->device.klass, what,
                  devcache_policy_reason(x->reason), apr_time_sec(x->ttl));
}

/* DevCacheRefreshAhead, but not in the first half of its life. */
static int is_about_to_expire(const devcache_exchange_t *x)
{
    apr_interval_time_t ahead = devcache_dir_refresh_ahead(x->dir);

    return ahead > 0 && x->ttl < ahead && x->ttl < x->fresh.lifetime / 2 &&
           !x->req.authorization;
}

static int serve_hit(request_rec *r, devcache_exchange_t *x, devcache_use_e use)
{
    int stale = use != DEVCACHE_USE_FRESH, rv;

    x->outcome = stale           ? DEVCACHE_OUTCOME_STALE
                 : x->wait_until ? DEVCACHE_OUTCOME_COLLAPSED
                                 : DEVCACHE_OUTCOME_HIT;
    if ((rv = serve_stored(r, x)) == HTTP_NOT_FOUND) {
        return rv;
    }
    log_decision(r, x, stale ? "stale hit" : "hit");
    devcache_stats_count(stale           ? DEVCACHE_COUNT_stale_hits
                         : x->wait_until ? DEVCACHE_COUNT_collapsed
                                         : DEVCACHE_COUNT_hits);
    if (x->hit->in_memory) {
        devcache_stats_count(DEVCACHE_COUNT_memory_hits);
    }
    if (use == DEVCACHE_USE_STALE_REFRESH ||
        (use == DEVCACHE_USE_FRESH && is_about_to_expire(x))) {
        devcache_refresh_run(r, x);
    }
    return rv;
}

/* Nothing usable is stored: ask the origin for the whole. */
static int miss(request_rec *r, devcache_exchange_t *x)
{
    x->outcome = DEVCACHE_OUTCOME_MISS;
    devcache_stats_count(DEVCACHE_COUNT_misses);
    if (x->req.has_range || x->req.has_precondition) {
        x->reason = x->req.has_range ? DEVCACHE_REASON_REQ_RANGE
                                     : DEVCACHE_REASON_REQ_PRECOND;
        log_decision(r, x, "miss, passed");
        return DECLINED;
    }
    log_decision(r, x, "miss");
    return fetch(r, x);
}

static int bypass(request_rec *r, devcache_exchange_t *x)
{
    x->outcome = DEVCACHE_OUTCOME_BYPASS;
    devcache_stats_count(DEVCACHE_COUNT_bypasses);
    devcache_stats_count_reason(x->reason);
    log_decision(r, x, "bypass");
    return DECLINED;
}

/* Stored, but not usable as it is: does it still hold? */
static int expired(request_rec *r, devcache_exchange_t *x)
{
    x->outcome = DEVCACHE_OUTCOME_EXPIRED;
    x->asked_by_client = x->ttl > 0 && x->reason != DEVCACHE_REASON_MUST_VALIDATE;
    devcache_stats_count(DEVCACHE_COUNT_validations);
    log_decision(r, x, "validate");
    return validate(r, x);
}

/* The client wants nothing that would have to be fetched. */
static int refuse_to_fetch(devcache_exchange_t *x)
{
    if (!x->hit) {
        x->reason = DEVCACHE_REASON_ONLY_IF_CACHED;
    }
    x->outcome = DEVCACHE_OUTCOME_TIMEOUT;
    devcache_stats_count(DEVCACHE_COUNT_gateway_timeouts);
    return HTTP_GATEWAY_TIME_OUT;
}

/* Answer from the store alone. DECLINED: the origin is needed. */
static int from_store(request_rec *r, devcache_exchange_t *x)
{
    devcache_use_e use;
    int rv;

    lookup(r, x);
    if (x->hit) {
        use = devcache_policy_reuse(&x->policy, &x->req, &x->stored.fresh, x->now,
                                    &x->reason, &x->ttl);
        if (use != DEVCACHE_USE_VALIDATE) {
            rv = serve_hit(r, x, use);
            if (rv != HTTP_NOT_FOUND) {
                return rv;
            }
            x->hit = NULL; /* its body was evicted between the lookup and now */
        }
    }
    if (!x->hit) {
        x->reason = x->variants_seen ? DEVCACHE_REASON_VARY_MISMATCH
                                     : DEVCACHE_REASON_URI_MISS;
    }
    return x->req.only_if_cached ? refuse_to_fetch(x) : DECLINED;
}

static int ask_origin(request_rec *r, devcache_exchange_t *x)
{
    return x->hit ? expired(r, x) : miss(r, x);
}

/* Nobody waits for this: does what was served still hold, and if not, what is new? */
static int refresh(request_rec *r, devcache_exchange_t *x)
{
    lookup(r, x);
    if (!x->hit || x->hit->stored_at > x->refreshes) {
        return OK; /* removed, or refreshed by somebody since */
    }
    return expired(r, x);
}

static int answer(request_rec *r, devcache_exchange_t *x)
{
    int tries, rv;

    for (tries = 0; tries < MAX_TRIES; tries++) {
        apr_uint32_t epoch = devcache_collapse_epoch(x);
        if ((rv = from_store(r, x)) != DECLINED) {
            return rv;
        }
        if (!x->fill || tries > 0) { /* a purge may have come while it waited */
            devcache_store_fill_abort(x->fill);
            x->fill = devcache_store_fill_begin(x->server->store, x->key, r->pool);
        }
        switch (devcache_collapse_join(r, x, epoch, &rv)) {
        case DEVCACHE_COLLAPSE_AGAIN:
            continue;
        case DEVCACHE_COLLAPSE_SERVED:
            return rv;
        case DEVCACHE_COLLAPSE_FAILED:
            return serve_stale(r, x, rv);
        case DEVCACHE_COLLAPSE_ASK:
            return ask_origin(r, x);
        }
    }
    return ask_origin(r, x);
}

/* Does httpd see the same path in this spelling as after normalising it? Only then is a
 * Location found for it the one that will count. */
static int is_plain_path(const char *path)
{
    const char *at;

    for (at = path; *at; at++) {
        if (!apr_isalnum(*at) && !strchr("/-._~!$&'()*+,=:@", *at)) {
            return 0;
        }
        if (*at == '/' && (at[1] == '/' || at[1] == '.')) {
            return 0;
        }
    }
    return *path == '/';
}

/* Is there a fresh hit under the configuration of the Location? */
static int quick_finds(request_rec *r, devcache_exchange_t *x,
                       void (*look)(request_rec *r, devcache_exchange_t *x))
{
    x->server = devcache_conf_server(r->server);
    x->dir = devcache_conf_dir(r);
    x->path = r->uri;
    x->query = r->parsed_uri.query;
    if (!devcache_dir_enabled(x->dir) || !devcache_dir_quick(x->dir) ||
        !devcache_request_prepare(r, x)) {
        return 0;
    }
    look(r, x);
    return x->hit && !x->req.has_precondition &&
           devcache_policy_reuse(&x->policy, &x->req, &x->stored.fresh, x->now,
                                 &x->reason, &x->ttl) == DEVCACHE_USE_FRESH;
}

static int may_be_quick(request_rec *r, const devcache_exchange_t *x)
{
    return x && !r->main && !r->prev && r->proxyreq != PROXYREQ_PROXY &&
           devcache_conf_server(r->server)->store && devcache_quick_in_use() &&
           is_plain_path(r->uri) && ap_location_walk(r) == OK;
}

int devcache_serve_quick(request_rec *r, int lookup_only)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    ap_conf_vector_t *config = r->per_dir_config;
    ap_filter_t *output = r->output_filters, *input = r->input_filters;
    devcache_exchange_t before;
    int rv = DECLINED;

    if (lookup_only || !may_be_quick(r, x)) {
        r->per_dir_config = config;
        return DECLINED;
    }
    before = *x;
    if (quick_finds(r, x, lookup)) {
        ap_run_insert_filter(r);
        devcache_stats_count(DEVCACHE_COUNT_requests);
        rv = serve_hit(r, x, DEVCACHE_USE_FRESH);
    }
    if (rv == DECLINED || rv == HTTP_NOT_FOUND) {
        /* As if it had not been: the handler phase decides. */
        *x = before;
        r->per_dir_config = config;
        r->output_filters = output;
        r->input_filters = input;
        return DECLINED;
    }
    return rv;
}

int devcache_serve_quick_peek(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    ap_conf_vector_t *config = r->per_dir_config;
    devcache_exchange_t before;

    if (!may_be_quick(r, x)) {
        r->per_dir_config = config;
        return 0;
    }
    before = *x;
    if (quick_finds(r, x, devcache_serve_peek)) {
        return 1;
    }
    *x = before;
    r->per_dir_config = config;
    return 0;
}

int devcache_serve_handler(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    int rv, status;

    if (!x || x->running || !x->path || r->main || r->prev ||
        r->proxyreq == PROXYREQ_PROXY) {
        return DECLINED;
    }
    x->server = devcache_conf_server(r->server);
    if (!devcache_dir_enabled(devcache_conf_dir(r)) || !x->server->store ||
        (r->handler && !strcmp(r->handler, "devcache-status"))) {
        return DECLINED;
    }
    x->dir = devcache_conf_dir(r);
    if (!x->refreshing) {
        devcache_stats_count(DEVCACHE_COUNT_requests);
        if (!devcache_request_prepare(r, x)) {
            return bypass(r, x);
        }
    }
    rv = x->refreshing ? refresh(r, x) : answer(r, x);
    status = ap_is_HTTP_ERROR(rv) ? rv : x->origin_status;
    devcache_collapse_end(
        x, status >= 500 ? DEVCACHE_FLIGHT_FAILED : DEVCACHE_FLIGHT_PRIVATE, status);
    devcache_tee_end(r, x);
    devcache_store_fill_abort(x->fill); /* nothing, if it was published */
    x->fill = NULL;
    x->saving = 0;
    if (x->phase == DEVCACHE_PHASE_FETCH || x->phase == DEVCACHE_PHASE_VALIDATE) {
        /* An error page that httpd makes now must not be taken for the response. */
        devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    }
    return rv;
}
