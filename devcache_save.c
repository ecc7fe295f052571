#include "devcache_save.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "devcache_ahead.h"
#include "devcache_clock.h"
#include "devcache_collapse.h"
#include "devcache_log.h"
#include "devcache_part.h"
#include "devcache_restore.h"
#include "devcache_stats.h"
#include "devcache_tags.h"
#include "devcache_tee.h"

#define HELD_MAX (64 << 10) /* bytes read of a response before they are passed on */

static ap_filter_rec_t *origin_filter, *save_filter;

/* ---- DEVCACHE_ORIGIN
 * ------------------------------------------------------------------- */

/* The first error in a brigade; mod_proxy reports a backend that broke this way, before
 * or in the middle of a response. 0: none. */
static int error_in(const apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b)) {
            return ((ap_bucket_error *)b->data)->status;
        }
        if (AP_BUCKET_IS_EOC(b)) {
            return HTTP_BAD_GATEWAY;
        }
    }
    return 0;
}

static apr_table_t *all_fields(request_rec *r)
{
    return apr_table_overlay(r->pool, r->err_headers_out, r->headers_out);
}

/* What mod_headers has not touched yet, to be replayed through it on every hit. */
static void note_origin(request_rec *r, devcache_exchange_t *x)
{
    x->origin_fields = all_fields(r);
    x->origin_type = r->content_type;
    if (r->content_encoding) {
        apr_table_setn(x->origin_fields, "Content-Encoding", r->content_encoding);
    }
    if (r->content_languages) {
        apr_table_setn(x->origin_fields, "Content-Language",
                       apr_array_pstrcat(r->pool, r->content_languages, ','));
    }
}

/* Replace what the origin sends by an error of our own making. */
static apr_status_t pass_error(ap_filter_t *f, apr_bucket_brigade *bb, int status)
{
    devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;

    x->answered = 1;
    apr_brigade_cleanup(bb);
    if (x->refreshing) {
        return APR_SUCCESS; /* nobody is to be told */
    }
    APR_BRIGADE_INSERT_TAIL(
        bb, ap_bucket_error_create(status, NULL, r->pool, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(f->next, bb);
}

/* The stored response instead of what the origin sends; swallow the rest of that. */
static apr_status_t pass_stored(ap_filter_t *f, devcache_exchange_t *x,
                                apr_bucket_brigade *bb, apr_bucket_brigade *stored)
{
    apr_status_t rv;

    x->answered = 1;
    apr_brigade_cleanup(bb);
    rv = ap_pass_brigade(f->next, stored);
    devcache_request_step(f->r, x, DEVCACHE_PHASE_SERVED);
    return rv;
}

/* The origin failed while validating: stale if allowed, else an error. */
static apr_status_t validation_failed(ap_filter_t *f, devcache_exchange_t *x,
                                      apr_bucket_brigade *bb, int status, int unreachable)
{
    request_rec *r = f->r;
    apr_bucket_brigade *stored = apr_brigade_create(r->pool, bb->bucket_alloc);
    apr_table_t *fields = r->headers_out;

    x->unreachable = unreachable;
    if (!x->refreshing && devcache_restore_allowed(x, status, unreachable)) {
        x->fresh = x->stored.fresh;
        r->headers_out = apr_table_make(r->pool, 16);
        if (devcache_restore(r, x, stored) == OK) {
            ap_log_rerror(
                APLOG_MARK, APLOG_DEBUG, 0, r,
                DCLOGNO(0114) "save: %s: origin failed with %d, stale copy served",
                devcache_vary_key_url(x->key, r->pool), status);
            x->outcome = DEVCACHE_OUTCOME_STALE_ERROR;
            devcache_stats_count(DEVCACHE_COUNT_stale_errors);
            return pass_stored(f, x, bb, stored);
        }
        r->headers_out = fields;
    }
    devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    return pass_error(f, bb, devcache_restore_failure(x, status));
}

/* 304 to our own condition. */
static apr_status_t validation_confirmed(ap_filter_t *f, devcache_exchange_t *x,
                                         apr_bucket_brigade *bb)
{
    apr_bucket_brigade *stored = apr_brigade_create(f->r->pool, bb->bucket_alloc);
    int rv;

    if (!devcache_policy_validates(all_fields(f->r), x->stored.fields)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_DEBUG, 0, f->r,
            DCLOGNO(0115) "save: %s: 304 for another representation, asking again",
            devcache_vary_key_url(x->key, f->r->pool));
        devcache_request_step(f->r, x, DEVCACHE_PHASE_RETRY);
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    rv = devcache_restore_confirmed(f->r, x, stored);
    if (rv == OK) {
        return pass_stored(f, x, bb, stored);
    }
    if (x->phase == DEVCACHE_PHASE_RETRY) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    devcache_request_step(f->r, x, DEVCACHE_PHASE_IDLE);
    return pass_error(f, bb, rv);
}

static apr_status_t origin_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;
    request_rec *r = f->r;
    int error = error_in(bb);

    if (x->phase == DEVCACHE_PHASE_SERVED || x->phase == DEVCACHE_PHASE_RETRY) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    if (x->phase == DEVCACHE_PHASE_IDLE || APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    r->headers_in = x->own_fields; /* BYTERANGE and the logs want the client's own */
    x->received_at = devcache_now();
    x->origin_status = error ? error : r->status;
    if (x->phase == DEVCACHE_PHASE_VALIDATE) {
        if (error) {
            return validation_failed(f, x, bb, error, 1);
        }
        if (devcache_restore_allowed(x, r->status, 0)) {
            return validation_failed(f, x, bb, r->status, 0);
        }
        if (r->status == HTTP_NOT_MODIFIED) {
            return validation_confirmed(f, x, bb);
        }
        devcache_request_step(r, x, DEVCACHE_PHASE_FETCH);
    }
    if (error) {
        /* On a client connection that is not new mod_proxy would close it without an
         * answer, for the client to try again; an answer is better. The error page that
         * httpd makes is not the response to this URL: nothing more to store. */
        x->unreachable = 1;
        devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
        return pass_error(f, bb, error);
    }
    note_origin(r, x);
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

/* ---- DEVCACHE_SAVE: the decision
 * --------------------------------------------------------- */

static void not_stored(request_rec *r, devcache_exchange_t *x, devcache_reason_e reason)
{
    devcache_tee_settle(r, x);
    if (reason == DEVCACHE_REASON_INCOMPLETE) {
        devcache_collapse_end(x, DEVCACHE_FLIGHT_BROKEN, 0);
    } else {
        devcache_collapse_decided(x, reason, r->status);
    }
    x->reason = reason;
    x->saving = 0;
    x->stored_ok = 0;
    devcache_store_fill_abort(x->fill);
    x->fill = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_stored);
    devcache_stats_count_reason(reason);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0111) "save: %s [%s]: not stored (%s)",
                  devcache_vary_key_url(x->key, r->pool), x->device.klass,
                  devcache_policy_reason(reason));
}

static apr_int64_t announced_length(const apr_table_t *fields)
{
    const char *value = apr_table_get(fields, "Content-Length");
    apr_off_t length;

    return value && ap_parse_strict_length(&length, value) ? (apr_int64_t)length : -1;
}

/* Has an internal redirect led to what is not for all? A hit would not come by there. */
static int is_led_astray(request_rec *r, const devcache_exchange_t *x)
{
    return devcache_ahead_is_guarded(r) || devcache_ahead_was_sent(r) ||
           !devcache_request_is_foreseen(r, x);
}

/* Has the application left the answer to mod_xsendfile? Whom it gives which file is
 * between it and the visitor; the file's date, which comes later, says nothing about
 * that. */
static int is_file_sent_for(const devcache_exchange_t *x)
{
    return x->origin_fields && (apr_table_get(x->origin_fields, "X-Sendfile") ||
                                apr_table_get(x->origin_fields, "X-Sendfile-Temporary"));
}

devcache_reason_e devcache_save_judge(request_rec *r, devcache_exchange_t *x,
                                      const apr_table_t *fields)
{
    devcache_reason_e reason;

    if (r->no_cache) {
        return DEVCACHE_REASON_NO_STORE; /* another module's word */
    }
    if ((r->prev && is_led_astray(r, x)) || is_file_sent_for(x)) {
        return DEVCACHE_REASON_REDIRECTED;
    }
    if (devcache_part_spoils(x)) {
        return DEVCACHE_REASON_PART;
    }
    if (x->origin_type && *ap_scan_http_field_content(x->origin_type)) {
        return DEVCACHE_REASON_CONFLICT; /* not among the fields yet; httpd refuses it */
    }
    x->expect = announced_length(fields);
    reason = devcache_policy_storable(&x->policy, &x->req, r->status, fields,
                                      x->query != NULL, x->expect, x->requested_at,
                                      x->received_at, &x->fresh, r->pool);
    if (reason == DEVCACHE_REASON_NONE) {
        reason = devcache_vary_spec(&x->vary, fields, &x->spec, r->pool);
    }
    if (reason == DEVCACHE_REASON_NONE &&
        !devcache_tags_read(x->dir, x->origin_fields, fields, &x->tags, r->pool)) {
        reason = DEVCACHE_REASON_TAGS;
    }
    return reason;
}

/* The phrase to be replayed; a 304 or a HEAD's answer has none for the stored response.
 */
static const char *reason_phrase(request_rec *r, const devcache_exchange_t *x)
{
    if (x->phase == DEVCACHE_PHASE_CONFIRMED || x->req.is_head) {
        return x->stored.reason;
    }
    return r->status_line && strlen(r->status_line) > 4 ? r->status_line + 4 : NULL;
}

static void describe(request_rec *r, devcache_exchange_t *x)
{
    devcache_publish_t *what = &x->what;
    devcache_response_t resp = {0};

    resp.status = r->status;
    resp.reason = reason_phrase(r, x);
    resp.fresh = x->fresh;
    resp.fields = devcache_policy_stored_fields(&x->policy, x->origin_fields, r->pool);
    if (x->req.authorization &&
        r->status != HTTP_UNAUTHORIZED) { /* the last step of this visitor's login */
        apr_table_unset(resp.fields, "Authentication-Info");
        apr_table_unset(resp.fields, "WWW-Authenticate");
    }
    resp.content_type = x->origin_type;
    what->spec = x->spec;
    what->variant = devcache_vary_values(&x->vary, x->spec, x->target, x->device.klass,
                                         x->fields, r->pool);
    what->meta = devcache_response_encode(&resp, r->pool);
    what->tags = x->tags;
    what->requested_at = x->requested_at;
    what->stored_at = x->received_at;
    what->fresh_until = x->received_at + x->fresh.lifetime - x->fresh.initial_age;
    what->max_variants = (unsigned)devcache_dir_max_variants(x->dir);
}

/* The store's answer to a publication, as a reason. */
static devcache_reason_e published(apr_status_t rv)
{
    return rv == APR_SUCCESS    ? DEVCACHE_REASON_NONE
           : rv == APR_EGENERAL ? DEVCACHE_REASON_REMOVED
                                : DEVCACHE_REASON_STORE_ERROR;
}

/* The 304 has been turned into the stored response: keep its new fields and lifetime. */
static void refresh(request_rec *r, devcache_exchange_t *x, const apr_table_t *fields)
{
    int status = r->status;
    devcache_reason_e reason;

    r->status = x->stored.status; /* a 304 for the client is still about this one */
    reason = devcache_save_judge(r, x, fields);
    if (reason == DEVCACHE_REASON_NONE) {
        describe(r, x);
        devcache_collapse_decided(x, reason, r->status);
        reason = published(devcache_store_refresh(x->fill, x->hit, &x->what));
        x->fill = NULL;
    } else if (reason != DEVCACHE_REASON_AUTHORIZATION) {
        /* The origin no longer allows it to be kept. */
        devcache_store_remove(x->server->store, x->key, x->received_at, NULL);
    }
    r->status = status;
    if (reason != DEVCACHE_REASON_NONE) {
        not_stored(r, x, reason);
        return;
    }
    devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
    x->stored_ok = 1;
    x->ttl = x->fresh.lifetime - devcache_policy_age(&x->fresh, x->received_at);
}

/* A new answer that may not be stored takes the place of the old one all the same. */
static void forget_old(request_rec *r, devcache_exchange_t *x)
{
    if ((x->hit || x->refreshing) && r->status < 400) {
        devcache_store_remove(x->server->store, x->key, x->received_at, NULL);
    }
}

static int has_validator(const apr_table_t *fields)
{
    return apr_table_get(fields, "ETag") || apr_table_get(fields, "Last-Modified");
}

/* Is the answer to a HEAD about the stored response (RFC 9111, section 4.3.5)? */
static int is_about_stored(devcache_exchange_t *x)
{
    apr_int64_t length = announced_length(x->origin_fields);

    if (length < 0) { /* nothing to tell one body from another but validators */
        return has_validator(x->origin_fields) && has_validator(x->stored.fields) &&
               devcache_policy_validates(x->origin_fields, x->stored.fields);
    }
    return devcache_policy_validates(x->origin_fields, x->stored.fields) &&
           length == (apr_int64_t)x->hit->body_len;
}

/* The origin answered a HEAD for something stored and stale: that has new fields now, or
 * is no longer what the origin has. */
static void answered_head(request_rec *r, devcache_exchange_t *x,
                          const apr_table_t *fields)
{
    if (r->status != x->stored.status || !is_about_stored(x)) {
        forget_old(r, x);
        not_stored(r, x, DEVCACHE_REASON_METHOD);
        return;
    }
    devcache_policy_update_fields(x->stored.fields, x->origin_fields, r->pool);
    x->origin_fields = x->stored.fields;
    x->origin_type = x->stored.content_type;
    refresh(r, x, fields);
}

/* A whole new response: begin to store it if that is allowed. */
static void begin(request_rec *r, devcache_exchange_t *x, const apr_table_t *fields)
{
    devcache_reason_e reason = DEVCACHE_REASON_METHOD;

    devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    if (x->req.is_head && x->hit) {
        answered_head(r, x, fields);
        return;
    }
    if (x->req.is_get) {
        reason = devcache_save_judge(r, x, fields);
    }
    if (reason != DEVCACHE_REASON_NONE) {
        not_stored(r, x, reason);
        if (reason != DEVCACHE_REASON_AUTHORIZATION) { /* that is the client's doing */
            forget_old(r, x);
        }
        return;
    }
    describe(r, x);
    devcache_collapse_decided(x, reason, r->status);
    x->saving = x->stored_ok = 1;
    x->ttl = x->fresh.lifetime - devcache_policy_age(&x->fresh, x->received_at);
}

/* The client's own If-None-Match, which the origin was not shown. */
static void answer_condition(request_rec *r, devcache_exchange_t *x,
                             const apr_table_t *fields)
{
    if (x->req.has_conditional && r->status == HTTP_OK && !x->refreshing &&
        devcache_policy_precondition(x->fields, fields, r->status) == HTTP_NOT_MODIFIED) {
        x->answered_304 = 1;
    }
}

/* ---- DEVCACHE_SAVE: the body
 * -------------------------------------------------------------- */

/* A body without a Content-Length can turn out so while others read it already. */
static int is_too_large(const devcache_exchange_t *x, apr_size_t more)
{
    return x->written + (apr_int64_t)more > x->policy.max_object_size;
}

static void publish(request_rec *r, devcache_exchange_t *x)
{
    devcache_reason_e reason = DEVCACHE_REASON_INCOMPLETE;

    if (x->expect < 0 || x->expect == x->written) {
        devcache_tee_settle(r, x);
        reason = is_too_large(x, 0)
                     ? DEVCACHE_REASON_TOO_LARGE
                     : published(devcache_store_fill_publish(x->fill, &x->what));
        if (reason != DEVCACHE_REASON_NONE) {
            devcache_collapse_avoid(x, reason, r->status);
        }
        devcache_collapse_end(x,
                              reason == DEVCACHE_REASON_NONE ? DEVCACHE_FLIGHT_STORED
                                                             : DEVCACHE_FLIGHT_COMPLETE,
                              0);
        x->fill = reason == DEVCACHE_REASON_TOO_LARGE ? x->fill : NULL;
    }
    if (reason != DEVCACHE_REASON_NONE) {
        not_stored(r, x, reason);
        /* httpd would correct the length of a short one: half a page, called whole. */
        x->torn |= x->expect > x->written;
        return;
    }
    x->saving = 0;
    devcache_stats_count(DEVCACHE_COUNT_stored);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0112) "save: %s [%s]: stored, %" APR_INT64_T_FMT
                                " bytes, fresh for %" APR_TIME_T_FMT
                                " s, varies by \"%s\"",
                  devcache_vary_key_url(x->key, r->pool), x->device.klass, x->written,
                  apr_time_sec(x->ttl), x->spec);
}

static void save_bytes(request_rec *r, devcache_exchange_t *x, const char *data,
                       apr_size_t len)
{
    apr_status_t rv;

    if (is_too_large(x, len) && !devcache_collapse_is_read(x)) {
        not_stored(r, x, DEVCACHE_REASON_TOO_LARGE);
        return;
    }
    rv = devcache_store_fill_write(x->fill, data, len, x->expect);
    if (rv != APR_SUCCESS) {
        not_stored(r, x, DEVCACHE_REASON_STORE_ERROR);
        return;
    }
    x->written += (apr_int64_t)len;
}

/* Store one bucket. APR_EAGAIN: its data is not there yet. */
static apr_status_t save_bucket(request_rec *r, devcache_exchange_t *x, apr_bucket *b,
                                apr_read_type_e block)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv;

    if (devcache_part_spoils(x)) {
        not_stored(r, x, DEVCACHE_REASON_PART);
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_EOS(b)) {
        publish(r, x);
        return APR_SUCCESS;
    }
    if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
        not_stored(r, x, DEVCACHE_REASON_INCOMPLETE);
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_METADATA(b)) {
        return APR_SUCCESS;
    }
    rv = apr_bucket_read(b, &data, &len, block);
    if (rv == APR_SUCCESS && len) {
        save_bytes(r, x, data, len);
    }
    return rv;
}

/* A body whose end is near goes to the client as a whole, in one system call: whoever has
 * to wait for the rest of it says so by a flush bucket. */
static int is_short(const devcache_exchange_t *x)
{
    return x->expect >= 0 && x->expect <= HELD_MAX &&
           devcache_store_fill_in_memory(x->fill);
}

/* Give a brigade to the store and on to the client: what has been read goes on before
 * anything is waited for, and before it becomes much. */
static apr_status_t copy_and_pass(ap_filter_t *f, devcache_exchange_t *x,
                                  apr_bucket_brigade *bb)
{
    apr_read_type_e block = APR_NONBLOCK_READ;
    apr_int64_t passed = x->written;
    apr_status_t rv = APR_SUCCESS;

    if (!x->held) {
        x->held = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    }
    while (x->saving && rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        int pause = APR_BUCKET_IS_FLUSH(b);

        rv = save_bucket(f->r, x, b, block);
        if (APR_STATUS_IS_EAGAIN(rv) && block == APR_NONBLOCK_READ) {
            block = APR_BLOCK_READ;
            pause = 1;
        } else if (rv != APR_SUCCESS) {
            not_stored(f->r, x, DEVCACHE_REASON_INCOMPLETE);
            break; /* whoever sends it will meet the same error */
        } else if (x->saving) {
            block = APR_NONBLOCK_READ;
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(x->held, b);
        }
        rv = APR_SUCCESS;
        if (x->saving && (pause || x->written - passed > HELD_MAX)) {
            passed = x->written;
            rv = devcache_tee_pass(f, x, pause);
            devcache_collapse_flow(x, pause);
        }
    }
    if (!x->saving) {
        return devcache_tee_finish(f, x, bb);
    }
    if (rv == APR_SUCCESS && is_short(x)) {
        devcache_tee_hold(x);
    } else if (rv == APR_SUCCESS) {
        rv = devcache_tee_pass(f, x, 0);
    }
    devcache_collapse_flow(x, 0);
    return devcache_tee_client_gone(f->r, x) ? APR_SUCCESS : rv;
}

/* Store, and send no body: the client has it (304), or there is no client (refresh). */
static apr_status_t save_only(ap_filter_t *f, devcache_exchange_t *x,
                              apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb), *next;

    for (; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        if (x->saving && save_bucket(f->r, x, b, APR_BLOCK_READ) != APR_SUCCESS) {
            not_stored(f->r, x, DEVCACHE_REASON_INCOMPLETE);
        }
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b)) {
            apr_bucket_delete(b);
        }
    }
    devcache_collapse_flow(x, 1);
    if (x->refreshing && !x->stored_ok &&
        !(!APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb)))) {
        f->r->connection->aborted = 1; /* more of what nobody wants: it may never end */
    }
    if (x->refreshing || devcache_tee_client_gone(f->r, x)) {
        apr_brigade_cleanup(bb);
        return x->refreshing && f->r->connection->aborted ? APR_ECONNABORTED
                                                          : APR_SUCCESS;
    }
    if (!APR_BRIGADE_EMPTY(bb) && ap_pass_brigade(f->next, bb) != APR_SUCCESS) {
        f->r->connection->aborted = 1;
    }
    return devcache_tee_client_gone(f->r, x) || !f->r->connection->aborted
               ? APR_SUCCESS
               : APR_ECONNABORTED;
}

static void turn_into_304(request_rec *r, apr_bucket_brigade *bb)
{
    r->status = HTTP_NOT_MODIFIED;
    r->status_line = NULL;
    devcache_stats_count(DEVCACHE_COUNT_not_modified);
    /* Now, not when the body has come: the client need not wait for that. */
    APR_BRIGADE_INSERT_HEAD(bb, apr_bucket_flush_create(bb->bucket_alloc));
}

/* The first brigade of a response: decide. */
static void decide(request_rec *r, devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    apr_table_t *fields = all_fields(r);

    if (x->phase == DEVCACHE_PHASE_CONFIRMED) {
        refresh(r, x, fields);
    } else if (x->phase == DEVCACHE_PHASE_FETCH) {
        begin(r, x, fields);
        answer_condition(r, x, fields);
        if (x->answered_304) {
            turn_into_304(r, bb);
        }
    }
}

static apr_status_t save(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;

    if (APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (x->phase != DEVCACHE_PHASE_IDLE && !error_in(bb)) {
        decide(f->r, x, bb);
    }
    if (x->answered_304 || x->refreshing) {
        return save_only(f, x, bb);
    }
    if (!x->saving) {
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, bb);
    }
    return copy_and_pass(f, x, bb);
}

/* Handlers are kept from seeing that the client has gone, what is below them is not. */
static apr_status_t save_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    const devcache_exchange_t *x = f->ctx;
    conn_rec *shown = f->r->connection;
    apr_status_t rv;

    f->r->connection = x->connection ? x->connection : shown;
    rv = save(f, bb);
    f->r->connection = shown;
    return rv;
}

/* ---- into the chain
 * --------------------------------------------------------------------------- */

/* Filters are needed where our handler may ask the origin: not on a bypass, an error
 * document or a subrequest of somebody else's. The handler comes after this hook, so its
 * decision is not known yet on a first request. */
static devcache_exchange_t *wanted(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);

    if (!x || r->main) {
        return NULL;
    }
    if (x->running) {
        /* An internal redirect of a request under way, or a refresh; not the error page
         * that a filter makes of an answer which has been decided about. */
        return (x->phase == DEVCACHE_PHASE_FETCH || x->phase == DEVCACHE_PHASE_VALIDATE)
                   ? x
                   : NULL;
    }
    return !r->prev && (r->method_number == M_GET) &&
                   devcache_dir_enabled(devcache_conf_dir(r))
               ? x
               : NULL;
}

void devcache_save_insert_origin(request_rec *r)
{
    devcache_exchange_t *x = wanted(r);

    if (x) {
        ap_add_output_filter_handle(origin_filter, x, r, r->connection);
    }
}

void devcache_save_insert_save(request_rec *r)
{
    devcache_exchange_t *x = wanted(r);

    if (x) {
        ap_add_output_filter_handle(save_filter, x, r, r->connection);
    }
}

void devcache_save_register(void)
{
    origin_filter = ap_register_output_filter("DEVCACHE_ORIGIN", origin_out, NULL,
                                              AP_FTYPE_CONTENT_SET);
    save_filter = ap_register_output_filter("DEVCACHE_SAVE", save_out, NULL,
                                            AP_FTYPE_CONTENT_SET);
}
