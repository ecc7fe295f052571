#include "devcache_serve.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_collapse.h"
#include "devcache_head.h"
#include "devcache_log.h"
#include "devcache_part.h"
#include "devcache_quick.h"
#include "devcache_refresh.h"
#include "devcache_restore.h"
#include "devcache_stats.h"
#include "devcache_tee.h"

/* Times that a request looks again for what others fetch before it fetches by itself. */
#define MAX_TRIES 4

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
    int rv = devcache_restore(r, x, bb);

    if (rv != OK) {
        return rv;
    }
    devcache_restore_drop_filters(r, 0);
    devcache_head_take(r, x);
    devcache_request_step(r, x, DEVCACHE_PHASE_SERVED);
    if (x->outcome == DEVCACHE_OUTCOME_STALE) {
        /* The refresh comes after; the client is not to wait for it. */
        APR_BUCKET_INSERT_BEFORE(APR_BRIGADE_LAST(bb),
                                 apr_bucket_flush_create(bb->bucket_alloc));
    }
    return pass(r, bb);
}

/* ---- the origin failed
 * -------------------------------------------------------------------- */

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
    return rv == HTTP_NOT_FOUND ? devcache_restore_failure(x, status) : rv;
}

/* The other handlers returned an error and have sent nothing. */
static int origin_failed(request_rec *r, devcache_exchange_t *x, int status)
{
    /* With ProxyErrorOverride mod_proxy returns the status of an answer that it has read;
     * that one's Date is there. */
    x->unreachable = !apr_table_get(r->headers_out, "Date");
    x->origin_status = status;
    if (x->refreshing || !devcache_restore_allowed(x, status, x->unreachable)) {
        return devcache_restore_failure(x, status);
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
    if ((rv = devcache_restore_confirmed(r, x, bb)) != OK) {
        return rv;
    }
    devcache_restore_drop_filters(r, 1);
    return pass(r, bb);
}

/* Many handlers leave the end of their response to httpd, which adds it when all hooks
 * are done, and what they have written may be held back until then. Here it ends with the
 * handler, while it is known what it is. mod_proxy_fcgi and others say by AP_FILTER_ERROR
 * that their backend broke in the middle of one, and httpd would leave the client waiting
 * for the rest until KeepAliveTimeout. */
static int end_response(request_rec *r, int rv)
{
    apr_bucket_brigade *bb;

    if (rv != OK && rv != AP_FILTER_ERROR) {
        return rv;
    }

    while (r->next) { /* after internal redirects the last one has answered */
        r = r->next;
    }
    if (r->eos_sent || r->connection->aborted) {
        return rv;
    }
    if (rv == AP_FILTER_ERROR) {
        devcache_tee_tear(r, r->output_filters);
        return OK;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return pass(r, bb);
}

/* That an HTTP/2 client has gone is written into its stream's connection by another
 * thread, at any time, and mod_proxy gives up as soon as it sees it. What is being stored
 * may be waited for by others, so the handlers are shown a copy; the tee looks at the
 * real one. */
static void show_copy(request_rec *r, devcache_exchange_t *x)
{
    if (r->connection->master) {
        x->connection = r->connection;
        r->connection = apr_pmemdup(r->pool, x->connection, sizeof *x->connection);
    }
}

static void show_real(request_rec *r, devcache_exchange_t *x)
{
    for (; r && x->connection; r = r->next) {
        r->connection = x->connection;
    }
    x->connection = NULL;
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
    show_copy(r, x);
    rv = ap_run_handler(r);
    show_real(r, x);
    r->headers_in = x->own_fields;
    x->running = 0;
    rv = end_response(r, rv);
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
    int ahead = !stale && is_about_to_expire(x) && !devcache_part_assembles(r);

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
    if (use == DEVCACHE_USE_STALE_REFRESH || ahead) {
        devcache_refresh_run(r, x);
    }
    return rv;
}

/* The origin answers with the part that is asked for; that is not stored. */
static int pass_range(request_rec *r, devcache_exchange_t *x)
{
    int rv = run_handlers(r, x, apr_table_copy(r->pool, x->fields));

    if (rv == OK && !r->next && !r->connection->aborted) {
        devcache_refresh_whole(r, x);
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
        return x->req.has_range && devcache_dir_fetch_whole(x->dir) ? pass_range(r, x)
                                                                    : DECLINED;
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
        if (use == DEVCACHE_USE_STALE_REFRESH && devcache_part_assembles(r)) {
            use =
                DEVCACHE_USE_VALIDATE; /* only a visitor's request can put it together */
            x->reason = DEVCACHE_REASON_STALE;
        }
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

/* Nobody waits for this: does what was served still hold, and if not, what is new? Where
 * only a part was asked for: what is the whole? */
static int refresh(request_rec *r, devcache_exchange_t *x)
{
    lookup(r, x);
    if (!x->refreshes) {
        x->outcome = DEVCACHE_OUTCOME_MISS;
        return x->hit ? OK : fetch(r, x);
    }
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

/* What the quick phase has changed, to be as if it had not been. */
typedef struct undo_t {
    ap_conf_vector_t *config;
    ap_filter_t *output, *input;
    devcache_exchange_t exchange;
} undo_t;

static void undo(request_rec *r, devcache_exchange_t *x, const undo_t *before)
{
    *x = before->exchange;
    r->per_dir_config = before->config;
    r->output_filters = before->output;
    r->input_filters = before->input;
}

/* 1: x->hit is a fresh hit that may be served now; 0: nothing has changed. */
static int quick(request_rec *r, devcache_exchange_t *x, undo_t *before,
                 void (*look)(request_rec *r, devcache_exchange_t *x))
{
    before->config = r->per_dir_config;
    if (!may_be_quick(r, x)) {
        r->per_dir_config = before->config;
        return 0;
    }
    before->output = r->output_filters;
    before->input = r->input_filters;
    before->exchange = *x;
    if (!quick_finds(r, x, look)) {
        undo(r, x, before);
        return 0;
    }
    return 1;
}

int devcache_serve_quick(request_rec *r, int lookup_only)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    undo_t before;
    int rv;

    if (lookup_only || !quick(r, x, &before, lookup)) {
        return DECLINED;
    }
    ap_run_insert_filter(r);
    devcache_stats_count(DEVCACHE_COUNT_requests);
    rv = serve_hit(r, x, DEVCACHE_USE_FRESH);
    if (rv == DECLINED || rv == HTTP_NOT_FOUND) {
        undo(r, x, &before); /* the handler phase decides */
        return DECLINED;
    }
    return rv;
}

int devcache_serve_quick_peek(request_rec *r)
{
    undo_t before;

    return quick(r, devcache_request_exchange(r), &before, devcache_serve_peek);
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
