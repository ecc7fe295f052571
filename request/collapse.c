/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collapsing: requests, flights, and what may be shared between them.
 *
 * Requests that take part: GET without a range for what is not stored, without
 * Authorization, and without preconditions. A client that insists on the origin's own word (no-cache,
 * max-age) may own a flight but does not follow one.
 *
 * The id is a hash of root, key, and the request's values under a variant spec: that of
 * what is stored, or if nothing is, of the device class alone. When the response tells
 * its own spec, the flight gets the id that belongs to it as well, and a follower whose
 * values under it are others leaves, to look for the flight of its own variant.
 *
 * What is shared: a follower compares key, spec and variant byte for byte before it takes
 * anything, and judges freshness for itself. Where the flight ended with a stored
 * response it looks that up, like anybody.
 *
 * What is not: as soon as a response is known not to be storable, or not to be usable
 * without asking again, all followers go to the origin at once, and the id is avoided for
 * a while, so that the next ones do not queue at all. What was said to somebody in
 * particular (credentials, a cookie that counts) does not concern those who are nobody in
 * particular: they collapse again, among themselves, and each of both kinds avoids only
 * what was said to its own. Who insisted on the origin's own word keeps nobody else from
 * collapsing.
 *
 * How long: a request waits for DevCacheCollapseWait at most, then asks by itself; less
 * where the last answer was not for all, and not at all for a fetch that has not moved for
 * so long. One that has begun to send a body waits for more of it as long as the server's
 * Timeout, as if it were the origin that was slow. If no more can come because it could not
 * be written down, the origin is asked for the rest (request/resume.c); if the owner's
 * process died or the origin broke off, the connection is closed, for the client to see.
 *
 * A body is shared through the fill's file, and only if there are followers: most
 * responses are complete before it comes to that, but for those whose length says that they
 * will not be. Each gets a first piece at once, and the rest when nobody has joined for a
 * moment: what has come so far may be much, and while it is sent to those who are here,
 * those who have just asked get no processor.
 */
#include "request/collapse.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <unistd.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <xxhash.h>
#include "base/clock.h"
#include "flight/avoid.h"
#include "http/effect.h"
#include "http/sf.h"
#include "request/fields.h"
#include "mod_devcache.h"
#include "request/decide.h"
#include "request/piece.h"
#include "request/restore.h"
#include "request/stream.h"
#include "stats/stats.h"
#include "request/tee.h"
#include "request/failing.h"

#define AVOID_PRIVATE apr_time_from_sec(60) /* a page that is not for all stays so */
#define AVOID_ERROR apr_time_from_sec(1)    /* an error may be over soon */
#define DOUBTFUL_WAIT apr_time_from_sec(1)  /* for what was not for all the last time */
#define SHARE_AFTER (256 << 10) /* stored without a pause: do not let followers wait */

static apr_uint32_t waiting; /* threads of this child that follow */

/* ---- ids ------------------------------------------------------------------ */

static apr_uint64_t key_hash(devcache_exchange_t *x)
{
    if (!x->collapse.key) {
        x->collapse.key = XXH3_64bits_withSeed(x->asked.key.data, x->asked.key.len,
                                               devcache_flight_seed());
    }
    return x->collapse.key;
}

devcache_slice_t devcache_collapse_variant(const devcache_exchange_t *x, const char *spec,
                                           apr_pool_t *p)
{
    return x->collapse.spec && !strcmp(x->collapse.spec, spec)
               ? x->collapse.variant
               : devcache_vary_values(&x->vary, spec, x->asked.target, x->device.class,
                                      devcache_fields_compared(x, spec, p), p);
}

static apr_uint64_t id_of(devcache_exchange_t *x, devcache_slice_t variant)
{
    const char *root = devcache_server_root(x->server); /* there is a store */
    apr_uint64_t id = XXH3_64bits_withSeed(root, root ? strlen(root) : 0, key_hash(x));

    id = XXH3_64bits_withSeed(variant.data, variant.len, id);
    return id ? id : 1;
}

apr_uint64_t devcache_collapse_id(devcache_exchange_t *x, apr_pool_t *p)
{
    const char *spec = x->found.hit        ? x->found.hit->spec
                       : x->found.guess    ? x->found.guess
                       : x->vary.by_device ? "@device"
                                           : "";
    x->collapse.variant = devcache_collapse_variant(x, spec, p);
    x->collapse.spec = spec;
    return x->collapse.variant.data ? id_of(x, x->collapse.variant) : 0;
}

apr_uint32_t devcache_collapse_epoch(devcache_exchange_t *x)
{
    return devcache_flight_epoch(key_hash(x));
}

/* What an unordinary request fetches is for itself. */
static int takes_part(request_rec *r, devcache_exchange_t *x)
{
    const char *spec = x->found.hit ? x->found.hit->spec : x->found.guess;

    return devcache_dir_collapse(x->dir) && x->asked.req.is_get &&
           !x->asked.req.authorization && !x->asked.req.has_precondition &&
           (x->found.hit ? x->answer.reason == DEVCACHE_REASON_STALE
                         : !x->asked.req.has_range || devcache_piece_wanted(x)) &&
           !devcache_fields_odd(r, x, spec);
}

/* The id under which is remembered what was said to somebody in particular. */
static apr_uint64_t personal_id(const devcache_exchange_t *x)
{
    return x->collapse.id ^ 0x9e3779b97f4a7c15ull;
}

static int is_avoided(const devcache_exchange_t *x, apr_time_t now)
{
    return devcache_avoid_now(x->collapse.id, now) ||
           (devcache_request_is_personal(x) && devcache_avoid_now(personal_id(x), now));
}

int devcache_collapse_insists(const devcache_exchange_t *x)
{
    return x->asked.req.no_cache || x->asked.req.max_age >= 0 ||
           x->asked.req.min_fresh >= 0;
}

/* RFC 10036: who asks for bytes as they come does not wait behind somebody's fetch. */
static int follows_nobody(const devcache_exchange_t *x)
{
    return devcache_collapse_insists(x) ||
           devcache_sf_is_true(x->asked.own_fields, "Incremental");
}

const char *devcache_collapse_apart(request_rec *r, devcache_exchange_t *x)
{
    if (!devcache_dir_collapse(x->dir)) {
        return "DevCacheCollapse is Off";
    }
    if (!takes_part(r, x)) {
        return "the request is not one of those that fetch a whole page for all";
    }
    x->collapse.id = devcache_collapse_id(x, r->pool);
    return x->collapse.id && !is_avoided(x, devcache_now())
               ? NULL
               : "the last answer to such a request was not for all";
}

/* ---- a follower is served from the owner's fill ------------------------------ */

/* May this request have what the flight brings? If so x->found.stored is that. */
static devcache_collapse_e accept_head(request_rec *r, devcache_exchange_t *x,
                                       const devcache_flight_view_t *view,
                                       devcache_flight_head_t *head)
{
    devcache_form_e before = x->found.form;
    devcache_response_t resp;
    devcache_reason_e why;
    devcache_slice_t mine;
    const char *spec;

    if (devcache_flight_head(x->collapse.flight, view, head, r->pool) != APR_SUCCESS) {
        return DEVCACHE_COLLAPSE_AGAIN;
    }
    if (!devcache_slice_eq(head->key, x->asked.key)) {
        return DEVCACHE_COLLAPSE_ASK; /* another URL with the same hash */
    }
    spec = apr_pstrmemdup(r->pool, head->spec.data, head->spec.len);
    mine = devcache_collapse_variant(x, spec, r->pool);
    if (!mine.data || !devcache_slice_eq(head->variant, mine)) {
        x->found
            .guess = spec; /* another variant: that has, or will have, its own flight */
        return DEVCACHE_COLLAPSE_AGAIN;
    }
    if (devcache_response_decode(head->meta, &resp, r->pool) != APR_SUCCESS ||
        devcache_fields_needs_own(x, &resp.fresh) ||
        !devcache_decide_has_form(x, &resp) ||
        (x->found.form == DEVCACHE_FORM_FRAGMENTS && x->asked.req.has_range) ||
        !devcache_decide_is_by_rule(x, &resp, resp.fresh.received_at, r->pool) ||
        devcache_decide_is_refusal(x, resp.status) ||
        devcache_policy_reuse(&x->policy, &x->asked.req, &resp.fresh, devcache_now(),
                              &why, &x->answer.ttl) != DEVCACHE_USE_FRESH) {
        x->found.form = before; /* that of what is stored, if anything is */
        return DEVCACHE_COLLAPSE_ASK;
    }
    x->found.stored = resp;
    x->answer.fresh = resp.fresh;
    return DEVCACHE_COLLAPSE_SERVED;
}

static apr_status_t free_sum(void *sum)
{
    XXH3_freeState(sum);
    return APR_SUCCESS;
}

/* Its file has gone, as a short body is stored beside its head: the owner is about to put
 * the entry. Who looks it up before that finds nothing, and would ask the origin. */
static void await_entry(devcache_exchange_t *x, devcache_flight_view_t view)
{
    apr_interval_time_t left;

    while (view.state == DEVCACHE_FLIGHT_STREAMING &&
           (left = x->collapse.wait_until - devcache_monotonic()) > 0) {
        (void)devcache_flight_wait(x->collapse.flight, &view, left);
    }
}

static devcache_collapse_e follow_stream(request_rec *r, devcache_exchange_t *x,
                                         const devcache_flight_view_t *view, int *prv)
{
    devcache_stream_t s = {r, x, *view};
    devcache_flight_head_t head;
    devcache_collapse_e what;
    apr_file_t *file;

    what = accept_head(r, x, view, &head);
    if (what != DEVCACHE_COLLAPSE_SERVED) {
        return what;
    }
    if (devcache_store_open_shared(x->server->store, head.file, &file, &s.base,
                                   r->pool) != APR_SUCCESS ||
        apr_os_file_get(&s.fd, file) != APR_SUCCESS || !(s.sum = XXH3_createState())) {
        await_entry(x, *view);
        x->found.hit = NULL; /* x->found.stored is no longer what was found */
        return DEVCACHE_COLLAPSE_AGAIN;
    }
    apr_pool_cleanup_register(r->pool, s.sum, free_sum, apr_pool_cleanup_null);
    XXH3_64bits_reset(s.sum);
    s.expect = head.expect;
    if (x->asked.req.has_range && !devcache_piece_wanted(x) &&
        !devcache_stream_wants(&s)) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    s.begun = devcache_monotonic();
    s.bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    x->answer.outcome = DEVCACHE_OUTCOME_COLLAPSED;
    *prv = devcache_restore_head(r, x, s.bb, head.expect);
    if (*prv != OK) {
        return DEVCACHE_COLLAPSE_SERVED;
    }
    devcache_stream_show_range(&s);
    devcache_stats_count(DEVCACHE_COUNT_collapsed);
    if (r->status == HTTP_NOT_MODIFIED || r->header_only) {
        APR_BRIGADE_INSERT_TAIL(s.bb, apr_bucket_eos_create(s.bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, s.bb);
        return DEVCACHE_COLLAPSE_SERVED;
    }
    if (s.view.written <= s.pos) { /* the header at least */
        APR_BRIGADE_INSERT_TAIL(s.bb, apr_bucket_flush_create(s.bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, s.bb);
        apr_brigade_cleanup(s.bb);
    }
    *prv = devcache_stream_body(&s);
    return DEVCACHE_COLLAPSE_SERVED;
}

/* ---- waiting ------------------------------------------------------------------- */

static devcache_collapse_e result_of_flight(const devcache_exchange_t *x,
                                            const devcache_flight_view_t *view, int *prv)
{
    switch (view->result) {
    case DEVCACHE_FLIGHT_STORED:
    case DEVCACHE_FLIGHT_COMPLETE: /* not kept: if that will be so again it is avoided */
    case DEVCACHE_FLIGHT_BROKEN:   /* one of those who waited may have more luck */
        return DEVCACHE_COLLAPSE_AGAIN;
    case DEVCACHE_FLIGHT_FAILED:
        *prv = view->status;
        return x->found.hit && devcache_failing_allows_stale(
                                   x, view->status,
                                   view->unreachable ? DEVCACHE_ANSWERED_NOT
                                                     : DEVCACHE_ANSWERED_STATUS)
                   ? DEVCACHE_COLLAPSE_FAILED
                   : DEVCACHE_COLLAPSE_ASK;
    case DEVCACHE_FLIGHT_PERSONAL:
        return devcache_request_is_personal(x) ? DEVCACHE_COLLAPSE_ASK
                                               : DEVCACHE_COLLAPSE_AGAIN;
    default:
        return DEVCACHE_COLLAPSE_ASK;
    }
}

static devcache_collapse_e follow_flight(request_rec *r, devcache_exchange_t *x, int *prv)
{
    devcache_flight_view_t view = {0};

    for (;;) {
        apr_time_t now = devcache_monotonic();
        apr_interval_time_t own = x->collapse.wait_until - now;
        apr_interval_time_t idle = devcache_flight_moved_at(x->collapse.flight) +
                                   devcache_dir_collapse_wait(x->dir) - now;
        apr_interval_time_t left = own < idle ? own : idle;

        if (left <= 0) {
            devcache_stats_count(DEVCACHE_COUNT_collapse_timeouts);
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          DCLOGNO(0172) "collapse: %s: no answer for another request in "
                                        "time, asking the origin",
                          devcache_vary_key_url(x->asked.key, r->pool));
            /* One that stands still is not joined any more: all that leave it collapse. */
            return own > 0 ? DEVCACHE_COLLAPSE_AGAIN : DEVCACHE_COLLAPSE_ASK;
        }
        if (devcache_flight_wait(x->collapse.flight, &view, left) != APR_SUCCESS) {
            continue; /* it may have moved */
        }
        switch (view.state) {
        case DEVCACHE_FLIGHT_FETCHING:
            continue;
        case DEVCACHE_FLIGHT_STREAMING:
            return follow_stream(r, x, &view, prv);
        case DEVCACHE_FLIGHT_ENDED:
            return result_of_flight(x, &view, prv);
        case DEVCACHE_FLIGHT_GONE:
            return DEVCACHE_COLLAPSE_AGAIN;
        case DEVCACHE_FLIGHT_ORPHANED:
            if (devcache_flight_take_over(x->collapse.flight, &view,
                                          devcache_store_fill_ticket(x->save.fill))) {
                devcache_stats_count(DEVCACHE_COUNT_takeovers);
                ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                              DCLOGNO(0173) "collapse: %s: taken over from a child that "
                                            "died",
                              devcache_vary_key_url(x->asked.key, r->pool));
                return DEVCACHE_COLLAPSE_ASK;
            }
        }
    }
}

int devcache_collapse_begin_wait(const devcache_exchange_t *x)
{
    apr_int64_t max = devcache_server_collapse_max(x->server);

    if (__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED) > max && max > 0) {
        devcache_stats_count(DEVCACHE_COUNT_collapse_limited);
        devcache_collapse_end_wait();
        return 0;
    }
    return 1;
}

void devcache_collapse_end_wait(void)
{
    __atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
}

static devcache_collapse_e wait_for_owner(request_rec *r, devcache_exchange_t *x,
                                          int *prv)
{
    devcache_collapse_e what = DEVCACHE_COLLAPSE_ASK;

    if (devcache_collapse_begin_wait(x)) {
        what = follow_flight(r, x, prv);
        devcache_collapse_end_wait();
    }
    return what;
}

/* How long to wait. What was not for all the last time may be a long poll. */
static apr_interval_time_t patience(const devcache_exchange_t *x)
{
    apr_interval_time_t wait = devcache_dir_collapse_wait(x->dir);

    return wait > DOUBTFUL_WAIT && devcache_avoid_lately(x->collapse.id) ? DOUBTFUL_WAIT
                                                                         : wait;
}

/* A range of what is not stored: somebody may be fetching the whole. Nobody waits for that
 * for long, nor begins it. */
static devcache_collapse_e join_for_range(request_rec *r, devcache_exchange_t *x,
                                          int *prv)
{
    devcache_collapse_e what;
    apr_uint64_t id;

    if (!devcache_dir_collapse(x->dir) || !x->asked.req.has_range || x->found.hit ||
        x->piece.hit || x->asked.req.authorization || x->asked.req.has_precondition ||
        follows_nobody(x) || devcache_fields_odd(r, x, x->found.guess) ||
        !(id = devcache_collapse_id(x, r->pool)) ||
        devcache_flight_join(id, devcache_store_fill_ticket(x->save.fill), -1,
                             devcache_dir_collapse_wait(x->dir), &x->collapse.flight,
                             r->pool) != DEVCACHE_FLIGHT_FOLLOWER) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    x->collapse.wait_until = devcache_monotonic() + DOUBTFUL_WAIT;
    x->collapse.waited = DEVCACHE_REASON_URI_MISS;
    what = wait_for_owner(r, x, prv);
    devcache_flight_leave(x->collapse.flight);
    if (what != DEVCACHE_COLLAPSE_SERVED) { /* taken over it is of no use to others */
        devcache_flight_end(x->collapse.flight, DEVCACHE_FLIGHT_BROKEN, 0, 0);
        x->collapse.flight = NULL;
        x->collapse.wait_until = 0; /* it goes on as if it had not waited */
        x->found.hit = NULL;
    }
    return what;
}

devcache_collapse_e devcache_collapse_join(request_rec *r, devcache_exchange_t *x,
                                           apr_uint32_t epoch, int *prv)
{
    devcache_collapse_e what;
    devcache_answered_e answered;
    int lately;

    if (!takes_part(r, x)) {
        return join_for_range(r, x, prv);
    }
    x->collapse.id = devcache_collapse_id(x, r->pool);
    if (!x->collapse.id || is_avoided(x, x->now)) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    lately = x->found.hit &&
             devcache_failing_now(r, x, prv, &answered) == DEVCACHE_FAILURE_LATELY;
    switch (devcache_flight_join(x->collapse.id, devcache_store_fill_ticket(x->save.fill),
                                 follows_nobody(x) || lately,
                                 devcache_dir_collapse_wait(x->dir), &x->collapse.flight,
                                 r->pool)) {
    case DEVCACHE_FLIGHT_ALONE: /* one who asks an origin that failed is enough */
        return lately ? DEVCACHE_COLLAPSE_FAILED : DEVCACHE_COLLAPSE_ASK;
    case DEVCACHE_FLIGHT_OWNER:
        if (devcache_collapse_epoch(x) != epoch) {
            /* A flight for this key has ended since the lookup. */
            devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
            return DEVCACHE_COLLAPSE_AGAIN;
        }
        return DEVCACHE_COLLAPSE_ASK;
    case DEVCACHE_FLIGHT_FOLLOWER:
        break;
    }
    if (!x->collapse.wait_until) {
        x->collapse.wait_until = devcache_monotonic() + patience(x);
        x->collapse.waited = x->found.hit        ? DEVCACHE_REASON_STALE
                             : x->found.variants ? DEVCACHE_REASON_VARY_MISMATCH
                                                 : DEVCACHE_REASON_URI_MISS;
    }
    what = wait_for_owner(r, x, prv);
    devcache_flight_leave(x->collapse.flight); /* nothing, if it was taken over */
    return what;
}

/* ---- the owner's response -------------------------------------------------------- */

int devcache_collapse_is_owner(const devcache_exchange_t *x)
{
    return x->collapse.flight && devcache_flight_owned(x->collapse.flight);
}

void devcache_collapse_end(devcache_exchange_t *x, devcache_flight_result_e result,
                           int status)
{
    if (!devcache_collapse_is_owner(x)) {
        return;
    }
    devcache_flight_progress(x->collapse.flight, (apr_uint64_t)x->save.written, 0);
    devcache_flight_advance(key_hash(x));
    devcache_flight_end(x->collapse.flight, result, status, x->origin.unreachable);
}

/* Will others be able to use it without asking the origin themselves? */
static int is_for_others(const devcache_exchange_t *x)
{
    return !(x->answer.fresh.flags & DEVCACHE_NO_CACHE) &&
           x->answer.fresh.lifetime >
               devcache_policy_age(&x->answer.fresh, x->origin.received_at);
}

/* How long others should not wait for such a response, as it will not be for them. */
static apr_interval_time_t not_for_others(const devcache_exchange_t *x,
                                          devcache_reason_e reason, int status)
{
    if (reason == DEVCACHE_REASON_REMOVED || reason == DEVCACHE_REASON_QUERY_RULE) {
        return 0; /* what was asked for before a purge; the next one will be kept */
    }
    if (status >= 500 || reason == DEVCACHE_REASON_STORE_ERROR) {
        return AVOID_ERROR;
    }
    if ((reason == DEVCACHE_REASON_NONE || reason == DEVCACHE_REASON_EXPIRED) &&
        x->answer.fresh.lifetime > 0 && !(x->answer.fresh.flags & DEVCACHE_NO_CACHE)) {
        return AVOID_ERROR; /* fresh when it was made, only late */
    }
    return AVOID_PRIVATE;
}

/* Does it say nothing about what others would get? */
static int is_for_owner_alone(const devcache_exchange_t *x, devcache_reason_e reason)
{
    return devcache_effect_may_be_personal(reason) &&
           (devcache_request_is_personal(x) || devcache_collapse_insists(x) ||
            x->refresh.running);
}

void devcache_collapse_avoid(devcache_exchange_t *x, devcache_reason_e reason, int status)
{
    apr_interval_time_t how_long = not_for_others(x, reason, status);

    if (!x->collapse.id || how_long <= 0) {
        return;
    }
    if (!is_for_owner_alone(x, reason)) {
        x->collapse.avoided = how_long;
        devcache_avoid_until(x->collapse.id, x->origin.received_at + how_long);
    } else if (devcache_request_is_personal(x)) {
        devcache_avoid_until(personal_id(x), x->origin.received_at + how_long);
    }
}

void devcache_collapse_decided(devcache_exchange_t *x, devcache_reason_e reason,
                               int status)
{
    if (!x->collapse.id) {
        return;
    }
    if (reason == DEVCACHE_REASON_NONE && is_for_others(x)) {
        if (devcache_avoid_lately(x->collapse.id)) {
            devcache_avoid_until(x->collapse.id, 0);
        }
        if (devcache_avoid_lately(personal_id(x))) {
            devcache_avoid_until(personal_id(x), 0);
        }
        /* Under the values that it was looked for by it is known already. */
        if (devcache_collapse_is_owner(x) &&
            x->save.what.variant.data != x->collapse.variant.data) {
            devcache_flight_alias(x->collapse.flight, id_of(x, x->save.what.variant));
        }
        return;
    }
    devcache_collapse_avoid(x, reason, status);
    devcache_collapse_end(x,
                          is_for_owner_alone(x, reason) ? DEVCACHE_FLIGHT_PERSONAL
                                                        : DEVCACHE_FLIGHT_PRIVATE,
                          0);
}

/* What comes is a piece, which others look for in the store; or for whom it is will be
 * known at its end. */
static int is_unshared(const devcache_exchange_t *x)
{
    return x->piece.into != NULL || x->save.unsettled;
}

static void share_body(devcache_exchange_t *x)
{
    devcache_flight_head_t head = {x->asked.key,
                                   devcache_slice_str(x->save.what.spec),
                                   x->save.what.variant,
                                   x->save.what.meta,
                                   x->save.expect,
                                   (apr_uint64_t)x->save.written,
                                   {0, 0}};

    if (devcache_store_fill_share(x->save.fill, head.file) == APR_SUCCESS &&
        devcache_flight_announce(x->collapse.flight, &head) == APR_SUCCESS) {
        x->collapse.shared = 1;
    }
}

void devcache_collapse_flow(devcache_exchange_t *x, int pause)
{
    if (!devcache_request_is_saving(x) || !devcache_collapse_is_owner(x)) {
        return;
    }
    devcache_flight_moved(x->collapse.flight);
    if (!x->collapse.shared && !is_unshared(x) &&
        (pause || x->save.written > SHARE_AFTER || x->save.expect > SHARE_AFTER) &&
        devcache_flight_followers(x->collapse.flight) > 0) {
        share_body(x);
    }
    if (x->collapse.shared) {
        devcache_flight_progress(x->collapse.flight, (apr_uint64_t)x->save.written,
                                 pause);
    }
}

int devcache_collapse_is_followed(const devcache_exchange_t *x)
{
    return devcache_collapse_is_owner(x) &&
           devcache_flight_followers(x->collapse.flight) > 0;
}

int devcache_collapse_is_read(const devcache_exchange_t *x)
{
    return x->collapse.shared && devcache_collapse_is_followed(x);
}

void devcache_collapse_close(devcache_exchange_t *x, devcache_reason_e reason, int status)
{
    devcache_collapse_avoid(x, reason, status);
    devcache_flight_close(x->collapse.flight);
}
