/* SPDX-License-Identifier: Apache-2.0 */
#include "request/refresh.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include <xxhash.h>
#include "request/asked.h"
#include "request/account.h"
#include "request/background.h"
#include "base/clock.h"
#include "flight/avoid.h"
#include "request/collapse.h"
#include "request/decide.h"
#include "request/fields.h"
#include "request/piece.h"
#include "mod_devcache.h"
#include "stats/stats.h"

/* A variant is left alone so long after a refresh: an origin that is down, or whose
 * answer is about to expire already, is not asked by each hit. In whole seconds: one to
 * two. */
#define PAUSE apr_time_from_sec(2)

/* Long fetches must not keep all of a child's threads from refreshing pages. */
#define WHOLES_MAX 2

/* ---- access control ------------------------------------------------------------ */

/* The visitor has been let in: asking anew who it is would be a second login for those
 * who count, and what mod_auth_digest read of the header is in the visitor's request. */
int devcache_refresh_access(request_rec *r)
{
    const devcache_exchange_t *x = ap_get_module_config(
        devcache_request_first(r)->request_config, &devcache_module);

    if (!x || !x->refresh.running) {
        return DECLINED;
    }
    if (!x->origin.running) {
        return OK;
    }
    return ap_auth_type(r) && !strcasecmp(ap_auth_type(r), "Digest") ? HTTP_UNAUTHORIZED
                                                                     : DECLINED;
}

/* ---- one refresh ---------------------------------------------------------------- */

/* The mark of flights that is about refreshes alone. */
static apr_uint64_t mark_of(apr_uint64_t flight_id)
{
    return ~flight_id;
}

static void pause_after(apr_uint64_t flight_id)
{
    devcache_avoid_until(mark_of(flight_id), devcache_now() + PAUSE);
}

static const char *const personal[] = {"Cookie", "Authorization"};

#define N_PERSONAL (sizeof personal / sizeof *personal)

/* Does the variant that is to be refreshed compare this field? */
static int is_compared(const devcache_exchange_t *x, const char *name)
{
    return x->found.hit && devcache_fields_in_spec(x->found.hit->spec, name);
}

/* The visitor's header as it was when the page was looked for, without what was about
 * this visitor's copy of it. */
static apr_table_t *visitors_fields(const devcache_exchange_t *x, apr_pool_t *p)
{
    apr_table_t *fields = apr_table_clone(p, x->asked.own_fields);

    devcache_policy_clear_conditionals(fields);
    apr_table_unset(fields, "Range");
    apr_table_unset(fields, "Cache-Control");
    apr_table_unset(fields, "Pragma");
    return fields;
}

/* The same, and of nobody: who the visitor is does not go along, unless the variant
 * compares it. Then it is the value compared. */
static apr_table_t *nobodys_fields(const devcache_exchange_t *x, apr_pool_t *p)
{
    apr_table_t *fields = visitors_fields(x, p);
    apr_size_t i;

    for (i = 0; i < N_PERSONAL; i++) {
        const char *value = is_compared(x, personal[i])
                                ? apr_table_getm(p, x->asked.fields, personal[i])
                                : NULL;

        apr_table_unset(fields, personal[i]);
        if (value) {
            apr_table_setn(fields, personal[i], value);
        }
    }
    return fields;
}

/* What the configuration itself sets (RequestHeader set Authorization ...) is nobody's,
 * and stays: it is what the hooks have made where there was nothing. */
static void keep_configured(apr_table_t *fields, const apr_table_t *after_hooks,
                            const devcache_exchange_t *x, apr_pool_t *p)
{
    apr_size_t i;

    for (i = 0; i < N_PERSONAL; i++) {
        const char *value = is_compared(x, personal[i])
                                ? NULL
                                : apr_table_getm(p, after_hooks, personal[i]);
        if (value) {
            apr_table_setn(fields, personal[i], value);
        }
    }
}

/* The exchange of the server's own request: nothing of it is the visitor's. */
static devcache_exchange_t *exchange_for(request_rec *own, const devcache_exchange_t *x)
{
    devcache_exchange_t *nx = devcache_request_begin(own);

    nx->device = x->device;
    nx->asked.sent = x->asked.sent; /* the hooks set the same fields again */
    nx->asked.sent_lines = x->asked.sent_lines;
    nx->asked.stands_out = x->asked.stands_out;
    nx->asked.certified = x->asked.certified;
    nx->asked.vary = x->asked.vary ? apr_pstrdup(own->pool, x->asked.vary) : NULL;
    nx->refresh.running = 1;
    nx->refresh.stored_at = x->found.hit ? x->found.hit->stored_at : 0;
    return nx;
}

/* Is what the hooks made of it the same that they made of the visitor's request? */
static int asks_the_same(request_rec *own, devcache_exchange_t *nx,
                         const devcache_exchange_t *x)
{
    return devcache_decide_is_ours(own, nx) == DEVCACHE_OURS_ON &&
           devcache_asked_prepare(own, nx) &&
           devcache_slice_eq(nx->asked.key, x->asked.key) &&
           devcache_slice_eq(nx->asked.target, x->asked.target);
}

/* In a background thread. */
static void run_refresh(request_rec *own, void *baton)
{
    devcache_exchange_t *nx = baton;
    int rv = HTTP_SERVICE_UNAVAILABLE;

    if (!devcache_background_is_ending()) {
        rv = ap_invoke_handler(own);
        pause_after(nx->collapse.id);
        devcache_account_refresh(own, nx);
    }
    devcache_collapse_end(nx, DEVCACHE_FLIGHT_PRIVATE, 0); /* if it was not begun */
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, own,
                  DCLOGNO(0120) "refresh: %s [%s]: origin answered %d (%d)%s",
                  devcache_vary_key_url(nx->asked.key, own->pool), nx->device.class,
                  nx->origin.status, rv, nx->save.stored ? ", stored" : "");
}

/* An answer without a body takes no FLUSH through the header filter: push it out. */
void devcache_refresh_send_out(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    ap_pass_brigade(r->connection->output_filters, bb);
}

/* The request, whose hooks see @a shown and whose origin will see @a sent. NULL: it comes
 * to something else, *pwhy. */
static request_rec *make_request(request_rec *r, devcache_exchange_t *x,
                                 const apr_table_t *shown, apr_table_t *sent,
                                 int configured, const char **pwhy, apr_pool_t *p)
{
    request_rec *own = devcache_background_request(r, shown, p);
    devcache_exchange_t *nx = exchange_for(own, x);
    int rv = devcache_background_prepare(own);

    if (rv != OK) {
        *pwhy = apr_psprintf(r->pool, "the hooks say %d", rv);
        return NULL;
    }
    if (configured) {
        keep_configured(sent, own->headers_in, x, p);
    }
    own->headers_in = apr_table_clone(own->pool, sent); /* hooks set some twice */
    devcache_fields_make_ordinary(r, x, own->headers_in);
    *pwhy = "it would ask for something else";
    return asks_the_same(own, nx, x) ? own : NULL;
}

/* Make the request and hand it over. NULL, or why not: all is the caller's then. Its
 * hooks are run as for nobody. Where that leads elsewhere, as rewriting looks at a cookie,
 * they are run as for the visitor; the origin still sees nobody. */
static const char *hand_over_refresh(request_rec *r, devcache_exchange_t *x,
                                     apr_uint64_t id, devcache_fill_t *fill,
                                     devcache_flight_t *flight, apr_pool_t *p)
{
    apr_table_t *sent = nobodys_fields(x, p);
    const char *why;
    request_rec *own = make_request(r, x, apr_table_clone(p, sent), sent, 1, &why, p);
    devcache_exchange_t *nx;

    if (!own && !(own = make_request(r, x, visitors_fields(x, p), sent, 0, &why, p))) {
        return why;
    }
    nx = ap_get_module_config(own->request_config, &devcache_module);
    nx->save.fill = fill;
    nx->collapse.flight = flight;
    nx->collapse.id = id;
    return devcache_background_run(own, run_refresh, nx) ? NULL : "too many wait";
}

static void start_refresh(request_rec *r, devcache_exchange_t *x, apr_uint64_t id,
                          apr_pool_t *p)
{
    devcache_fill_t *fill = devcache_store_fill_begin(x->server->store, x->asked.key, p);
    devcache_flight_t *flight;
    const char *why;

    if (devcache_flight_join(id, devcache_store_fill_ticket(fill), 1, 0, &flight, p) ==
        DEVCACHE_FLIGHT_OWNER) {
        pause_after(id);
        devcache_refresh_send_out(r);
        if (!(why = hand_over_refresh(r, x, id, fill, flight, p))) {
            return;
        }
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0122) "refresh: %s [%s]: not begun: %s",
                      devcache_vary_key_url(x->asked.key, r->pool), x->device.class, why);
    }
    apr_pool_destroy(p); /* ends the flight, if it was ours */
}

void devcache_refresh_run(request_rec *r, devcache_exchange_t *x)
{
    apr_uint64_t id = devcache_collapse_id(x, r->pool);
    apr_pool_t *p;

    if (id && !devcache_avoid_now(mark_of(id), x->now) &&
        (p = devcache_background_pool())) {
        start_refresh(r, x, id, p);
    }
}

int devcache_refresh_now(request_rec *own, devcache_exchange_t *nx)
{
    apr_uint64_t id = devcache_collapse_id(nx, own->pool);
    int rv = HTTP_SERVICE_UNAVAILABLE;

    nx->save.fill = devcache_store_fill_begin(nx->server->store, nx->asked.key,
                                              own->pool);
    devcache_decide_find(own, nx, devcache_store_peek);
    if (nx->found.hit && nx->found.hit->fresh_until <= nx->now) {
        nx->refresh.stored_at = nx->found.hit->stored_at;
    }
    if (id && !devcache_background_is_ending() &&
        devcache_flight_join(id, devcache_store_fill_ticket(nx->save.fill), 1, 0,
                             &nx->collapse.flight, own->pool) == DEVCACHE_FLIGHT_OWNER) {
        nx->collapse.id = id;
        rv = ap_invoke_handler(own);
        devcache_account_refresh(own, nx);
        devcache_collapse_end(nx, DEVCACHE_FLIGHT_PRIVATE, 0); /* if it was not begun */
    }
    devcache_store_fill_abort(nx->save.fill);
    return rv;
}

/* ---- the whole of what a part was asked of ------------------------------------- */

static apr_uint32_t wholes; /* that this child fetches, or is about to */

static apr_status_t one_less(void *unused)
{
    __atomic_sub_fetch(&wholes, 1, __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

/* Was the answer a part of something that may be stored? */
static int is_part_of_storable(request_rec *r, const devcache_exchange_t *x)
{
    apr_table_t *fields = devcache_request_fields_out(r);
    const char *range = apr_table_get(fields, "Content-Range");
    const char *slash = range ? strchr(range, '/') : NULL;
    devcache_freshness_t fresh;
    apr_off_t length;

    if (r->status != HTTP_PARTIAL_CONTENT || !slash ||
        !ap_parse_strict_length(&length, slash + 1)) {
        return 0;
    }
    apr_table_unset(fields, "Content-Range");
    apr_table_unset(fields, "Content-Length");
    return devcache_policy_storable(&x->policy, &x->asked.req, HTTP_OK, fields,
                                    devcache_request_has_query(x), length,
                                    x->origin.requested_at, devcache_now(), &fresh,
                                    r->pool) == DEVCACHE_REASON_NONE;
}

void devcache_refresh_whole(request_rec *r, devcache_exchange_t *x)
{
    apr_uint64_t id = is_part_of_storable(r, x) ? devcache_collapse_id(x, r->pool) : 0;
    apr_pool_t *p;

    if (!id || devcache_avoid_now(id, x->now) ||
        devcache_avoid_now(mark_of(id), x->now) || !(p = devcache_background_pool())) {
        return;
    }
    apr_pool_cleanup_register(p, NULL, one_less, apr_pool_cleanup_null);
    if (__atomic_add_fetch(&wholes, 1, __ATOMIC_RELAXED) > WHOLES_MAX) {
        apr_pool_destroy(p); /* the next part that is asked for will do */
    } else {
        start_refresh(r, x, id, p);
    }
}

/* ---- a piece of what is stored --------------------------------------------------- */

static apr_uint64_t piece_id(const devcache_exchange_t *x, devcache_slice_t key)
{
    const char *root = devcache_server_root(x->server);
    apr_uint64_t id = XXH3_64bits_withSeed(key.data, key.len, devcache_flight_seed());

    id = XXH3_64bits_withSeed(root, root ? strlen(root) : 0, id);
    return id ? id : 1;
}

/* In the visitor's thread. */
static void run_piece(request_rec *own, void *baton)
{
    devcache_exchange_t *nx = baton;

    ap_invoke_handler(own);
    devcache_collapse_end(nx, DEVCACHE_FLIGHT_BROKEN, 0); /* if it was not ended */
}

/* The request as the visitor's, but for the piece alone. */
static devcache_piece_result_e fetch_piece(request_rec *r, devcache_exchange_t *x,
                                           devcache_exchange_t *as, devcache_flight_t *f,
                                           devcache_fill_t *fill, apr_pool_t *p)
{
    const char *why;
    apr_table_t *sent = visitors_fields(x, p);
    request_rec *own = make_request(r, x, apr_table_clone(p, sent), sent, 0, &why, p);
    devcache_exchange_t *nx;

    if (!own) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      DCLOGNO(0132) "refresh: %s [%s]: no piece fetched: %s",
                      devcache_vary_key_url(x->asked.key, r->pool), x->device.class, why);
        return DEVCACHE_PIECE_USELESS;
    }
    nx = ap_get_module_config(own->request_config, &devcache_module);
    nx->piece = as->piece;
    nx->save.fill = fill;
    nx->collapse.flight = f;
    nx->collapse.id = 0; /* what is avoided is about whole responses */
    devcache_background_run_here(own, run_piece, nx);
    as->answer.reason = nx->answer.reason;
    return nx->piece.result;
}

/* Somebody else is fetching it. @return 1: his child has died, and the flight is ours */
static int wait_for_piece(const devcache_exchange_t *x, devcache_flight_t *f,
                          const devcache_fill_t *fill)
{
    apr_time_t until = devcache_monotonic() + devcache_dir_collapse_wait(x->dir);
    devcache_flight_view_t view = {0};

    while (view.state != DEVCACHE_FLIGHT_ENDED && view.state != DEVCACHE_FLIGHT_GONE) {
        apr_time_t moved = devcache_flight_moved_at(f) +
                           devcache_dir_collapse_wait(x->dir);
        apr_interval_time_t left = (moved > until ? moved : until) - devcache_monotonic();

        if (left <= 0) {
            break;
        }
        devcache_flight_wait(f, &view, left);
        if (view.state == DEVCACHE_FLIGHT_ORPHANED &&
            devcache_flight_take_over(f, &view, devcache_store_fill_ticket(fill))) {
            devcache_stats_count(DEVCACHE_COUNT_takeovers);
            return 1;
        }
    }
    devcache_flight_leave(f);
    return 0;
}

/* Into the store, by one for all who want it now. */
static devcache_piece_result_e store_piece(request_rec *r, devcache_exchange_t *x,
                                           devcache_exchange_t *as, apr_pool_t *p)
{
    devcache_fill_t *fill = devcache_store_fill_begin(x->server->store, x->asked.key, p);
    devcache_slice_t key = devcache_piece_key(x, as->piece.stored.pieces,
                                              as->piece.asked.first, p);
    devcache_flight_t *f = NULL;
    devcache_hit_t *there;
    devcache_flight_role_e role = devcache_flight_join(
        piece_id(x, key), devcache_store_fill_ticket(fill), 0,
        devcache_dir_collapse_wait(x->dir), &f, p);

    if ((role == DEVCACHE_FLIGHT_FOLLOWER && !wait_for_piece(x, f, fill)) ||
        devcache_piece_find(x, as->piece.hit, as->piece.stored.pieces, as->piece.asked,
                            devcache_store_peek, &there, p) == APR_SUCCESS) {
        return DEVCACHE_PIECE_STORED;
    }
    return fetch_piece(r, x, as, f, fill, p);
}

/* The store's trouble, which is told apart from the origin's? */
static int is_unstored(const devcache_exchange_t *as, devcache_piece_result_e result)
{
    return result == DEVCACHE_PIECE_UNSTORED ||
           (result == DEVCACHE_PIECE_NONE &&
            as->answer.reason == DEVCACHE_REASON_STORE_ERROR);
}

apr_status_t devcache_refresh_piece(request_rec *r, devcache_exchange_t *x,
                                    const devcache_hit_t *of,
                                    const devcache_response_t *stored,
                                    devcache_span_t span, char *keep)
{
    devcache_exchange_t as = {0};
    devcache_piece_result_e result;
    apr_pool_t *p;

    if (!keep && !devcache_store_usable(x->server->store)) {
        return APR_EAGAIN;
    }
    if (!(p = devcache_background_pool())) {
        return APR_ENOMEM;
    }
    as.piece.alone = 1;
    as.piece.asked = span;
    as.piece.hit = (devcache_hit_t *)of;
    as.piece.stored = *stored;
    as.piece.keep = keep;
    result = keep ? fetch_piece(r, x, &as, NULL, NULL, p) : store_piece(r, x, &as, p);
    apr_pool_destroy(p); /* ends fill and flight, if they are ours still */
    devcache_piece_lost(x, result, as.answer.reason);
    if (result == DEVCACHE_PIECE_CHANGED) {
        devcache_decide_end(r, x, x->now);
    }
    if (is_unstored(&as, result)) {
        return APR_EAGAIN;
    }
    /* What was purged while it came may be asked for again. */
    return result == DEVCACHE_PIECE_STORED ||
                   (!keep && as.answer.reason == DEVCACHE_REASON_REMOVED)
               ? APR_SUCCESS
               : APR_EGENERAL;
}
