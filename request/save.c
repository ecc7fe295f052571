/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEVCACHE_SAVE: the answer as it goes out, copied into the store on its way.
 *
 *     nothing decided yet    request/judge.c decides by status and fields
 *     it is not stored       the filter goes, the answer passes
 *     it is stored           each bucket is read, written to the fill, and passed on by
 *                            request/tee.c as the client takes it
 *     and has no client      (a 304 has gone out, or it is a refresh) only written
 *     end of the body        published, if it was whole; those who follow are told
 *
 * What has been read is passed on before the origin is waited for, and before it becomes
 * much. An error in the middle ends the fill, not the answer.
 */
#include "request/save.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include "request/asked.h"
#include "request/collapse.h"
#include "base/clock.h"
#include "request/finish.h"
#include "request/judge.h"
#include "mod_devcache.h"
#include "request/origin.h"
#include "request/part.h"
#include "request/partial.h"
#include "request/peers.h"
#include "request/post.h"
#include "stats/stats.h"
#include "request/tee.h"

#define HELD_MAX (64 << 10) /* bytes read of a response before they are passed on */
#define VALIDATED_LIFETIME apr_time_from_sec(60) /* of what is validated at each use */

static ap_filter_rec_t *save_filter;

/* ---- the store's part ---------------------------------------------------- */

/* Which it can turn out to be where no length is announced. */
static int is_too_large(const devcache_exchange_t *x, apr_size_t more)
{
    return x->save.written + (apr_int64_t)more > x->policy.max_object_size;
}

/* Under way for longer than it is fresh, and no end in sight: events of some kind. */
static int is_endless(const devcache_exchange_t *x)
{
    apr_interval_time_t lifetime = x->answer.fresh.lifetime;

    lifetime = lifetime > 0 ? lifetime : VALIDATED_LIFETIME;
    return x->save.expect < 0 && devcache_now() - x->origin.received_at > lifetime;
}

/* It turns out not to be storable. Those who read it already get the rest, as if from the
 * origin: for them the fill goes on. */
static void stop_storing(request_rec *r, devcache_exchange_t *x, devcache_reason_e reason)
{
    if (devcache_collapse_is_read(x) &&
        devcache_store_fill_detach(x->save.fill) == APR_SUCCESS) {
        x->save.only_lent = reason;
        devcache_collapse_close(x, reason, r->status);
    } else {
        devcache_judge_refuse(r, x, reason);
    }
}

/* All of it has come; x->save.fill is NULL then if it was published. */
static devcache_reason_e publish(request_rec *r, devcache_exchange_t *x)
{
    devcache_reason_e reason = x->save.only_lent;

    devcache_tee_settle(r, x);
    if (reason == DEVCACHE_REASON_NONE) {
        reason = devcache_judge_whole(r, x);
    }
    if (reason == DEVCACHE_REASON_NONE) {
        if (x->piece.into || x->piece.swallow) {
            reason = devcache_partial_publish(r, x);
        } else {
            devcache_peers_copy(r, x);
            reason = devcache_judge_published(
                devcache_store_fill_publish(x->save.fill, &x->save.what));
            devcache_peers_settle(r, x, reason == DEVCACHE_REASON_NONE);
        }
    }
    if (reason == DEVCACHE_REASON_NONE) {
        devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
        x->save.fill = NULL;
    } else {
        devcache_collapse_avoid(x, reason, r->status);
        devcache_collapse_end(x, DEVCACHE_FLIGHT_COMPLETE, 0);
    }
    return reason;
}

static void end_body(request_rec *r, devcache_exchange_t *x)
{
    devcache_reason_e reason = DEVCACHE_REASON_INCOMPLETE;

    if (x->save.expect < 0 || x->save.expect == x->save.written) {
        reason = publish(r, x);
    }
    if (reason != DEVCACHE_REASON_NONE) {
        devcache_judge_refuse(r, x, reason);
        /* httpd would correct the length of a short one: half a page, called whole. */
        x->tee.torn |= x->save.expect > x->save.written;
        return;
    }
    devcache_stats_count(DEVCACHE_COUNT_stored);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0112) "save: %s [%s]: stored, %" APR_INT64_T_FMT
                                " bytes, fresh for %" APR_TIME_T_FMT
                                " s, varies by \"%s\"",
                  devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                  x->save.written, apr_time_sec(x->answer.ttl), x->save.what.spec);
}

static void save_bytes(request_rec *r, devcache_exchange_t *x, const char *data,
                       apr_size_t len)
{
    apr_status_t rv;

    if (x->save.only_lent) {
        if (!devcache_collapse_is_read(x)) {
            devcache_judge_refuse(r, x, x->save.only_lent);
        }
    } else if (is_too_large(x, len)) {
        stop_storing(r, x, DEVCACHE_REASON_TOO_LARGE);
    } else if (is_endless(x)) {
        stop_storing(r, x, DEVCACHE_REASON_ENDLESS);
    }
    if (!devcache_request_is_saving(x)) {
        return;
    }
    rv = devcache_store_fill_write(x->save.fill, data, len, x->save.expect);
    if (rv != APR_SUCCESS && !x->save.only_lent) {
        stop_storing(r, x, DEVCACHE_REASON_STORE_ERROR);
        if (!devcache_request_is_saving(x)) {
            return;
        }
        rv = devcache_store_fill_write(x->save.fill, data, len, x->save.expect);
    }
    if (rv != APR_SUCCESS) {
        devcache_judge_refuse(r, x, DEVCACHE_REASON_STORE_ERROR);
        return;
    }
    x->save.written += (apr_int64_t)len;
}

/* Store one bucket. APR_EAGAIN: its data is not there yet. */
static apr_status_t save_bucket(request_rec *r, devcache_exchange_t *x, apr_bucket *b,
                                apr_read_type_e block)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv;

    if (devcache_part_spoils(x)) {
        devcache_judge_refuse(r, x, DEVCACHE_REASON_PART);
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_EOS(b)) {
        end_body(r, x);
        return APR_SUCCESS;
    }
    if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
        devcache_judge_refuse(r, x, DEVCACHE_REASON_INCOMPLETE);
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
    return x->save.expect >= 0 && x->save.expect <= HELD_MAX && !x->save.incremental &&
           devcache_store_fill_in_memory(x->save.fill);
}

/* Give a brigade to the store and on to the client: what has been read goes on before
 * anything is waited for, and before it becomes much. */
static apr_status_t copy_and_pass(ap_filter_t *f, devcache_exchange_t *x,
                                  apr_bucket_brigade *bb)
{
    apr_read_type_e block = APR_NONBLOCK_READ;
    apr_int64_t passed = x->save.written;
    apr_status_t rv = APR_SUCCESS;

    if (!x->tee.held) {
        x->tee.held = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    }
    while (devcache_request_is_saving(x) && rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        int pause = APR_BUCKET_IS_FLUSH(b);

        rv = save_bucket(f->r, x, b, block);
        if (APR_STATUS_IS_EAGAIN(rv) && block == APR_NONBLOCK_READ) {
            block = APR_BLOCK_READ;
            pause = 1;
        } else if (rv != APR_SUCCESS) {
            devcache_judge_refuse(f->r, x, DEVCACHE_REASON_INCOMPLETE);
            break; /* whoever sends it will meet the same error */
        } else if (devcache_request_is_saving(x)) {
            block = APR_NONBLOCK_READ;
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(x->tee.held, b);
        }
        rv = APR_SUCCESS;
        if (devcache_request_is_saving(x) &&
            (pause || x->save.written - passed > HELD_MAX)) {
            passed = x->save.written;
            rv = devcache_tee_pass(f, x, pause);
            devcache_collapse_flow(x, pause);
            if (pause) {
                devcache_finish_pause(f->r, x);
            }
        }
    }
    if (devcache_request_is_saving(x) && devcache_finish_is_due(f->r, x)) {
        devcache_judge_refuse(f->r, x, DEVCACHE_REASON_ABANDONED);
    }
    if (!devcache_request_is_saving(x)) {
        return devcache_tee_finish(f, x, bb);
    }
    if (rv == APR_SUCCESS && is_short(x)) {
        devcache_tee_hold(x);
    } else if (rv == APR_SUCCESS) {
        rv = devcache_tee_pass(f, x, x->save.incremental);
    }
    devcache_collapse_flow(x, x->save.incremental);
    return devcache_tee_client_gone(f->r, x) ? APR_SUCCESS : rv;
}

/* An answer without a body takes no FLUSH through the header filter. */
static void push_out(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    ap_pass_brigade(r->connection->output_filters, bb);
}

/* Store, and send no body: the client has it (304), it will be served from what is stored
 * (a piece), or there is no client (refresh). */
static apr_status_t save_only(ap_filter_t *f, devcache_exchange_t *x,
                              apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb), *next;
    int pause = 0, ended = 0;

    for (; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        if (devcache_request_is_saving(x) &&
            save_bucket(f->r, x, b, APR_BLOCK_READ) != APR_SUCCESS) {
            devcache_judge_refuse(f->r, x, DEVCACHE_REASON_INCOMPLETE);
        }
        next = APR_BUCKET_NEXT(b);
        pause |= APR_BUCKET_IS_FLUSH(b);
        ended |= APR_BUCKET_IS_EOS(b);
        if (!APR_BUCKET_IS_METADATA(b)) {
            apr_bucket_delete(b);
        }
    }
    devcache_collapse_flow(x, 1);
    if (x->refresh.running || x->piece.swallow) {
        apr_brigade_cleanup(bb);
    } else if (!APR_BRIGADE_EMPTY(bb) && !devcache_tee_client_gone(f->r, x) &&
               ap_pass_brigade(f->next, bb) != APR_SUCCESS) {
        f->r->connection->aborted = 1;
    }
    if (pause && x->asked.as_get) {
        push_out(f->r);
    }
    if (pause && devcache_request_is_saving(x)) {
        devcache_finish_pause(f->r, x);
    }
    if (devcache_request_is_saving(x) && devcache_finish_is_due(f->r, x)) {
        devcache_judge_refuse(f->r, x, DEVCACHE_REASON_ABANDONED);
    }
    if (devcache_request_is_saving(x) || ended) {
        return APR_SUCCESS;
    }
    f->r->connection->aborted |= x->refresh.running;
    return APR_ECONNABORTED; /* more of what nobody wants may never end */
}

/* A HEAD was asked as GET, and its answer is not stored: of the body nothing is wanted. */
static apr_status_t pass_head(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    rv = ap_pass_brigade(f->next, bb);
    return rv == APR_SUCCESS ? APR_ECONNABORTED : rv;
}

/* The same, and it is stored: the client need not wait for the body. */
static void begin_head(devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    x->save.bodyless = 1;
    APR_BRIGADE_INSERT_HEAD(bb, apr_bucket_flush_create(bb->bucket_alloc));
}

static apr_status_t save(ap_filter_t *f, apr_bucket_brigade *bb)
{
    devcache_exchange_t *x = f->ctx;

    if (APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (x->save.head_passed) {
        apr_brigade_cleanup(bb);
        return APR_ECONNABORTED;
    }
    if (x->asked.of_post) {
        return devcache_post_save(f, x, bb);
    }
    devcache_request_show_head(f->r, x);
    if (x->phase != DEVCACHE_PHASE_IDLE && !devcache_origin_error(bb) &&
        !devcache_partial_judge(f->r, x)) {
        devcache_judge_answer(f->r, x, bb);
    }
    if (x->asked.as_get && !x->save.bodyless && !x->piece.swallow &&
        !devcache_origin_error(bb)) {
        if (!devcache_request_is_saving(x)) {
            x->save.head_passed = 1;
            return pass_head(f, bb);
        }
        begin_head(x, bb);
    }
    if (x->piece.keep && x->piece.swallow) {
        return devcache_partial_keep(x, bb);
    }
    if (x->save.bodyless || x->refresh.running || x->piece.swallow) {
        return save_only(f, x, bb);
    }
    if (!devcache_request_is_saving(x)) {
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

    f->r->connection = x->origin.connection ? x->origin.connection : shown;
    rv = save(f, bb);
    f->r->connection = shown;
    return rv;
}

/* ---- into the chain -------------------------------------------------------------- */

void devcache_save_insert(request_rec *r)
{
    devcache_exchange_t *x = devcache_origin_watched(r);

    if (x) {
        /* Now, while the request is what the hooks have made it: its handler, which comes
         * next, may change that, or redirect further by itself as Action does. */
        x->origin.foreseen = r->prev && ((r->prev->prev && x->origin.foreseen) ||
                                         devcache_asked_is_foreseen(r, x));
        ap_add_output_filter_handle(save_filter, x, r, r->connection);
    }
}

void devcache_save_register(void)
{
    save_filter = ap_register_output_filter("DEVCACHE_SAVE", save_out, NULL,
                                            AP_FTYPE_CONTENT_SET);
}
