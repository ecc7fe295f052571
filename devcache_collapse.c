/*
 * Collapsing: requests, flights, and what may be shared between them.
 *
 * Who takes part: GET without a range for what is not stored, without Authorization, and
 * without preconditions. A client that insists on the origin's own word (no-cache,
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
 * a while, so that the next ones do not queue at all.
 *
 * How long: a request waits for DevCacheCollapseWait at most, then asks by itself. One
 * that has begun to send a body waits for more of it as long as the server's Timeout, as
 * if it were the origin that was slow; if no more can come its connection is closed, for
 * the client to see.
 *
 * A body is shared through the fill's file, and only if there are followers: most
 * responses are complete before it comes to that.
 */
#include "devcache_collapse.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <unistd.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <xxhash.h>
#include "devcache_clock.h"
#include "devcache_log.h"
#include "devcache_restore.h"
#include "devcache_stats.h"
#include "devcache_tee.h"

#define AVOID_PRIVATE apr_time_from_sec(60) /* a page that is not for all stays so */
#define AVOID_ERROR apr_time_from_sec(1)    /* an error may be over soon */
#define PIECE 65536                         /* bytes read at once, */
#define PIECES 2                            /* and pieces passed on at once */
#define PACE_SHARE 4 /* of the time since it began a follower may be late, */
#define PACE_MAX (APR_USEC_PER_SEC / 20)     /* but no more than this, */
#define PACE_LATE_MAX (APR_USEC_PER_SEC / 4) /* or this on a busy processor */
#define SHARE_AFTER (256 << 10) /* stored without a pause: do not let followers wait */

static apr_uint32_t waiting; /* threads of this child that follow */

/* ---- ids ------------------------------------------------------------------ */

static apr_uint64_t key_hash(const devcache_exchange_t *x)
{
    return XXH3_64bits_withSeed(x->key.data, x->key.len, devcache_flight_seed());
}

static devcache_slice_t values_under(const devcache_exchange_t *x, const char *spec,
                                     apr_pool_t *p)
{
    return devcache_vary_values(&x->vary, spec, x->target, x->device.klass, x->fields, p);
}

static apr_uint64_t id_of(const devcache_exchange_t *x, devcache_slice_t variant)
{
    const char *root = devcache_server_root(x->server); /* there is a store */
    apr_uint64_t id = XXH3_64bits_withSeed(root, root ? strlen(root) : 0, key_hash(x));

    id = XXH3_64bits_withSeed(variant.data, variant.len, id);
    return id ? id : 1;
}

apr_uint64_t devcache_collapse_id(const devcache_exchange_t *x, apr_pool_t *p)
{
    const char *spec = x->hit              ? x->hit->spec
                       : x->guess          ? x->guess
                       : x->vary.by_device ? "@device"
                                           : "";
    devcache_slice_t variant = values_under(x, spec, p);

    return variant.data ? id_of(x, variant) : 0;
}

apr_uint32_t devcache_collapse_epoch(const devcache_exchange_t *x)
{
    return devcache_flight_epoch(key_hash(x));
}

static int takes_part(const devcache_exchange_t *x)
{
    return devcache_dir_collapse(x->dir) && x->req.is_get && !x->req.authorization &&
           !x->req.has_precondition &&
           (x->hit ? x->reason == DEVCACHE_REASON_STALE : !x->req.has_range);
}

static int insists(const devcache_exchange_t *x)
{
    return x->req.no_cache || x->req.max_age >= 0 || x->req.min_fresh >= 0;
}

/* ---- a follower is served from the owner's fill ------------------------------ */

typedef struct stream_t {
    request_rec *r;
    devcache_exchange_t *x;
    devcache_flight_view_t view;
    apr_os_file_t fd;
    apr_off_t base;           /* of the body in the file */
    apr_int64_t expect;       /* its length; -1: not known */
    apr_uint64_t pos;         /* body bytes passed on */
    apr_time_t begun;         /* monotonic */
    apr_interval_time_t late; /* the last time it was to be woken */
    apr_bucket_brigade *bb;
} stream_t;

/* The next piece, at the end of the brigade. */
static apr_status_t read_piece(stream_t *s)
{
    apr_bucket_alloc_t *alloc = s->bb->bucket_alloc;
    apr_uint64_t left = s->view.written - s->pos;
    apr_size_t len = left < PIECE ? (apr_size_t)left : PIECE;
    char *data = apr_bucket_alloc(len, alloc);
    ssize_t n;

    do {
        n = pread(s->fd, data, len, s->base + (apr_off_t)s->pos);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        apr_bucket_free(data);
        return n < 0 ? errno : APR_EOF;
    }
    APR_BRIGADE_INSERT_TAIL(
        s->bb, apr_bucket_heap_create(data, (apr_size_t)n, apr_bucket_free, alloc));
    s->pos += (apr_uint64_t)n;
    return APR_SUCCESS;
}

/* What has come since, to the client. */
static apr_status_t pass_new(stream_t *s)
{
    while (s->pos < s->view.written) {
        apr_status_t rv = APR_SUCCESS;
        int n;

        for (n = 0; n < PIECES && rv == APR_SUCCESS && s->pos < s->view.written; n++) {
            rv = read_piece(s);
        }
        if (rv != APR_SUCCESS) {
            apr_brigade_cleanup(s->bb);
            return rv;
        }
        if (s->pos == s->view.written) {
            APR_BRIGADE_INSERT_TAIL(s->bb, apr_bucket_flush_create(s->bb->bucket_alloc));
        }
        rv = ap_pass_brigade(s->r->output_filters, s->bb);
        apr_brigade_cleanup(s->bb);
        if (rv != APR_SUCCESS || s->r->connection->aborted) {
            return APR_ECONNABORTED;
        }
    }
    return APR_SUCCESS;
}

/* The rest cannot be had: the client must see that it has not got all. */
static int tear(stream_t *s)
{
    request_rec *r = s->r;

    devcache_stats_count(DEVCACHE_COUNT_collapse_torn);
    ap_log_rerror(
        APLOG_MARK, APLOG_WARNING, 0, r,
        DCLOGNO(0171) "collapse: %s: the fetch that this request followed broke "
                      "off after %" APR_UINT64_T_FMT " bytes; closed",
        devcache_vary_key_url(s->x->key, r->pool), s->pos);
    devcache_tee_tear(r, r->output_filters);
    return OK;
}

/* 1: there will be no more of this body. */
static int is_over(const stream_t *s, unsigned generation)
{
    return s->view.state != DEVCACHE_FLIGHT_STREAMING || s->view.generation != generation;
}

static int is_whole(const stream_t *s, unsigned generation)
{
    return s->view.state == DEVCACHE_FLIGHT_ENDED && s->view.generation == generation &&
           (s->view.result == DEVCACHE_FLIGHT_STORED ||
            s->view.result == DEVCACHE_FLIGHT_COMPLETE) &&
           (s->expect < 0 || s->view.written == (apr_uint64_t)s->expect);
}

/* Many followers that wake for each few bytes keep the processor from those who have got
 * nothing yet, so let some more come in: a fraction of the time that it has taken so far,
 * and more where this thread was woken late, as that means that others wait as well. */
static void pace(stream_t *s)
{
    apr_time_t before = devcache_monotonic();
    apr_interval_time_t pause = (before - s->begun) / PACE_SHARE;

    pause = pause < PACE_MAX ? pause : PACE_MAX;
    pause += s->late * PACE_SHARE;
    pause = pause < PACE_LATE_MAX ? pause : PACE_LATE_MAX;
    apr_sleep(pause);
    s->late = devcache_monotonic() - before - pause;
}

static int stream_body(stream_t *s)
{
    unsigned generation = s->view.generation;

    for (;;) {
        apr_status_t rv = is_over(s, generation) && !is_whole(s, generation)
                              ? APR_EGENERAL
                              : pass_new(s);
        if (rv == APR_ECONNABORTED) {
            return OK;
        }
        if (rv != APR_SUCCESS) {
            return tear(s);
        }
        if (is_whole(s, generation)) {
            APR_BRIGADE_INSERT_TAIL(s->bb, apr_bucket_eos_create(s->bb->bucket_alloc));
            ap_pass_brigade(s->r->output_filters, s->bb);
            return OK;
        }
        pace(s);
        if (devcache_flight_wait(s->x->flight, &s->view, s->r->server->timeout) !=
            APR_SUCCESS) {
            return tear(s);
        }
    }
}

/* May this request have what the flight brings? If so x->stored is that. */
static devcache_collapse_e accept_head(request_rec *r, devcache_exchange_t *x,
                                       const devcache_flight_view_t *view,
                                       devcache_flight_head_t *head)
{
    devcache_response_t resp;
    devcache_reason_e why;
    devcache_slice_t mine;
    const char *spec;

    if (devcache_flight_head(x->flight, view, head, r->pool) != APR_SUCCESS) {
        return DEVCACHE_COLLAPSE_AGAIN;
    }
    if (!devcache_slice_eq(head->key, x->key)) {
        return DEVCACHE_COLLAPSE_ASK; /* another URL with the same hash */
    }
    spec = apr_pstrmemdup(r->pool, head->spec.data, head->spec.len);
    mine = values_under(x, spec, r->pool);
    if (!mine.data || !devcache_slice_eq(head->variant, mine)) {
        x->guess = spec; /* another variant: that has, or will have, its own flight */
        return DEVCACHE_COLLAPSE_AGAIN;
    }
    if (devcache_response_decode(head->meta, &resp, r->pool) != APR_SUCCESS ||
        devcache_policy_reuse(&x->policy, &x->req, &resp.fresh, devcache_now(), &why,
                              &x->ttl) != DEVCACHE_USE_FRESH) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    x->stored = resp;
    x->fresh = resp.fresh;
    return DEVCACHE_COLLAPSE_SERVED;
}

static devcache_collapse_e stream(request_rec *r, devcache_exchange_t *x,
                                  const devcache_flight_view_t *view, int *prv)
{
    stream_t s = {r, x, *view};
    devcache_flight_head_t head;
    devcache_collapse_e what;
    apr_file_t *file;

    what = accept_head(r, x, view, &head);
    if (what != DEVCACHE_COLLAPSE_SERVED) {
        return what;
    }
    if (devcache_store_open_shared(x->server->store, head.file, &file, &s.base,
                                   r->pool) != APR_SUCCESS ||
        apr_os_file_get(&s.fd, file) != APR_SUCCESS) {
        x->hit = NULL;                  /* x->stored is no longer what was found */
        return DEVCACHE_COLLAPSE_AGAIN; /* it has just ended, and is stored */
    }
    s.expect = head.expect;
    s.begun = devcache_monotonic();
    s.bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    x->outcome = DEVCACHE_OUTCOME_COLLAPSED;
    *prv = devcache_restore_head(r, x, s.bb, head.expect);
    if (*prv != OK) {
        return DEVCACHE_COLLAPSE_SERVED;
    }
    devcache_stats_count(DEVCACHE_COUNT_collapsed);
    if (r->status == HTTP_NOT_MODIFIED) {
        APR_BRIGADE_INSERT_TAIL(s.bb, apr_bucket_eos_create(s.bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, s.bb);
        return DEVCACHE_COLLAPSE_SERVED;
    }
    if (s.view.written == 0) { /* the header at least */
        APR_BRIGADE_INSERT_TAIL(s.bb, apr_bucket_flush_create(s.bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, s.bb);
        apr_brigade_cleanup(s.bb);
    }
    *prv = stream_body(&s);
    return DEVCACHE_COLLAPSE_SERVED;
}

/* ---- waiting ------------------------------------------------------------------- */

static devcache_collapse_e ended(const devcache_exchange_t *x,
                                 const devcache_flight_view_t *view, int *prv)
{
    switch (view->result) {
    case DEVCACHE_FLIGHT_STORED:
    case DEVCACHE_FLIGHT_COMPLETE: /* not kept: if that will be so again it is avoided */
    case DEVCACHE_FLIGHT_BROKEN:   /* one of those who waited may have more luck */
        return DEVCACHE_COLLAPSE_AGAIN;
    case DEVCACHE_FLIGHT_FAILED:
        *prv = view->status;
        return x->hit && devcache_restore_allowed(x, view->status, view->unreachable)
                   ? DEVCACHE_COLLAPSE_FAILED
                   : DEVCACHE_COLLAPSE_ASK;
    default:
        return DEVCACHE_COLLAPSE_ASK;
    }
}

static devcache_collapse_e follow(request_rec *r, devcache_exchange_t *x, int *prv)
{
    devcache_flight_view_t view = {0};

    for (;;) {
        apr_interval_time_t left = x->wait_until - devcache_monotonic();
        if (left <= 0 || devcache_flight_wait(x->flight, &view, left) != APR_SUCCESS) {
            devcache_stats_count(DEVCACHE_COUNT_collapse_timeouts);
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          DCLOGNO(0172) "collapse: %s: no answer for another request in "
                                        "time, asking the origin",
                          devcache_vary_key_url(x->key, r->pool));
            return DEVCACHE_COLLAPSE_ASK;
        }
        switch (view.state) {
        case DEVCACHE_FLIGHT_FETCHING:
            continue;
        case DEVCACHE_FLIGHT_STREAMING:
            return stream(r, x, &view, prv);
        case DEVCACHE_FLIGHT_ENDED:
            return ended(x, &view, prv);
        case DEVCACHE_FLIGHT_GONE:
            return DEVCACHE_COLLAPSE_AGAIN;
        case DEVCACHE_FLIGHT_ORPHANED:
            if (devcache_flight_take_over(x->flight, &view,
                                          devcache_store_fill_ticket(x->fill))) {
                devcache_stats_count(DEVCACHE_COUNT_takeovers);
                ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                              DCLOGNO(0173) "collapse: %s: taken over from a child that "
                                            "died",
                              devcache_vary_key_url(x->key, r->pool));
                return DEVCACHE_COLLAPSE_ASK;
            }
        }
    }
}

static devcache_collapse_e wait_for_owner(request_rec *r, devcache_exchange_t *x,
                                          int *prv)
{
    apr_int64_t max = devcache_server_collapse_max(x->server);
    devcache_collapse_e what = DEVCACHE_COLLAPSE_ASK;

    if (__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED) > max && max > 0) {
        devcache_stats_count(DEVCACHE_COUNT_collapse_limited);
    } else {
        what = follow(r, x, prv);
    }
    __atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
    return what;
}

devcache_collapse_e devcache_collapse_join(request_rec *r, devcache_exchange_t *x,
                                           apr_uint32_t epoch, int *prv)
{
    devcache_collapse_e what;

    if (!takes_part(x)) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    x->flight_id = devcache_collapse_id(x, r->pool);
    if (!x->flight_id || devcache_flight_avoided(x->flight_id, x->now)) {
        return DEVCACHE_COLLAPSE_ASK;
    }
    switch (devcache_flight_join(x->flight_id, devcache_store_fill_ticket(x->fill),
                                 insists(x), &x->flight, r->pool)) {
    case DEVCACHE_FLIGHT_ALONE:
        return DEVCACHE_COLLAPSE_ASK;
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
    if (!x->wait_until) {
        x->wait_until = devcache_monotonic() + devcache_dir_collapse_wait(x->dir);
        x->waited = x->hit             ? DEVCACHE_REASON_STALE
                    : x->variants_seen ? DEVCACHE_REASON_VARY_MISMATCH
                                       : DEVCACHE_REASON_URI_MISS;
    }
    what = wait_for_owner(r, x, prv);
    devcache_flight_leave(x->flight); /* nothing, if it was taken over */
    return what;
}

/* ---- the owner's response -------------------------------------------------------- */

static int is_owner(const devcache_exchange_t *x)
{
    return x->flight && devcache_flight_owned(x->flight);
}

void devcache_collapse_end(devcache_exchange_t *x, devcache_flight_result_e result,
                           int status)
{
    if (!is_owner(x)) {
        return;
    }
    devcache_flight_progress(x->flight, (apr_uint64_t)x->written, 0);
    devcache_flight_advance(key_hash(x));
    devcache_flight_end(x->flight, result, status, x->unreachable);
}

/* Will others be able to use it without asking the origin themselves? */
static int is_for_others(const devcache_exchange_t *x)
{
    return !(x->fresh.flags & DEVCACHE_NO_CACHE) &&
           x->fresh.lifetime > devcache_policy_age(&x->fresh, x->received_at);
}

/* How long others should not wait for such a response, as it will not be for them. */
static apr_interval_time_t not_for_others(const devcache_exchange_t *x,
                                          devcache_reason_e reason, int status)
{
    if (reason == DEVCACHE_REASON_REMOVED) {
        return 0; /* what was asked for before a purge; the next one will be kept */
    }
    if (status >= 500 || reason == DEVCACHE_REASON_STORE_ERROR) {
        return AVOID_ERROR;
    }
    if ((reason == DEVCACHE_REASON_NONE || reason == DEVCACHE_REASON_EXPIRED) &&
        x->fresh.lifetime > 0 && !(x->fresh.flags & DEVCACHE_NO_CACHE)) {
        return AVOID_ERROR; /* fresh when it was made, only late */
    }
    return AVOID_PRIVATE;
}

void devcache_collapse_avoid(const devcache_exchange_t *x, devcache_reason_e reason,
                             int status)
{
    apr_interval_time_t how_long = not_for_others(x, reason, status);

    if (x->flight_id && how_long > 0) {
        devcache_flight_avoid(x->flight_id, x->received_at + how_long);
    }
}

void devcache_collapse_decided(devcache_exchange_t *x, devcache_reason_e reason,
                               int status)
{
    if (!x->flight_id) {
        return;
    }
    if (reason == DEVCACHE_REASON_NONE && is_for_others(x)) {
        if (devcache_flight_avoided(x->flight_id, x->received_at)) {
            devcache_flight_avoid(x->flight_id, 0);
        }
        if (is_owner(x)) {
            devcache_flight_alias(x->flight, id_of(x, x->what.variant));
        }
        return;
    }
    devcache_collapse_avoid(x, reason, status);
    devcache_collapse_end(x, DEVCACHE_FLIGHT_PRIVATE, 0);
}

static void share(devcache_exchange_t *x)
{
    devcache_flight_head_t head = {x->key,          devcache_slice_str(x->what.spec),
                                   x->what.variant, x->what.meta,
                                   x->expect,       {0, 0}};

    if (devcache_store_fill_share(x->fill, head.file) == APR_SUCCESS &&
        devcache_flight_announce(x->flight, &head) == APR_SUCCESS) {
        x->shared = 1;
    }
}

void devcache_collapse_flow(devcache_exchange_t *x, int pause)
{
    if (!x->saving || !x->fill || !is_owner(x)) {
        return;
    }
    if (!x->shared && (pause || x->written > SHARE_AFTER) &&
        devcache_flight_followers(x->flight) > 0) {
        share(x);
        pause = 1;
    }
    if (x->shared) {
        devcache_flight_progress(x->flight, (apr_uint64_t)x->written, pause);
    }
}

int devcache_collapse_is_read(const devcache_exchange_t *x)
{
    return x->shared && is_owner(x) && devcache_flight_followers(x->flight) > 0;
}
