/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers.
 *
 * A request that would ask the origin for all who wait asks the tier first. What that has
 * must pass all that a stored response has to for this request, and then it is stored like
 * a fetched one, by the fill that was begun before the question: a purge that arrives in
 * between keeps it out. The request looks it up then like anybody.
 *
 * Its age is reckoned by the tier; here it was received just now, at that age.
 *
 * With locks the owner of a flight first becomes the one who fetches for all machines, or
 * waits for whoever is, as the others of this machine wait for it. An answer that is not
 * for all is told there as well, so that nobody waits for the next one.
 *
 * What is published here is copied before, as the store takes the fill's memory, and sent
 * after, by another thread.
 */
#include "request/peers.h"

#include <apr_portable.h>
#include <errno.h>
#include <unistd.h>
#include <http_log.h>
#include "base/clock.h"
#include "flight/avoid.h"
#include "http/field.h"
#include "http/variance.h"
#include "mod_devcache.h"
#include "request/collapse.h"
#include "request/decide.h"
#include "request/fields.h"
#include "setup/same.h"
#include "stats/stats.h"

static devcache_tier_t *tier_of(const devcache_exchange_t *x)
{
    devcache_tier_t *tier = x->server ? x->server->machines : NULL;

    return devcache_share_is_on(tier) ? tier : NULL;
}

static devcache_slice_t variant_of(void *baton, const char *spec, apr_pool_t *p)
{
    const devcache_exchange_t *x = baton;

    return x->asked.forms && !devcache_fields_may_match(x, spec)
               ? devcache_slice(NULL, 0)
               : devcache_collapse_variant(x, spec, p);
}

/* What anybody looks under who knows nothing of a URL. */
static const char *first_spec(const devcache_exchange_t *x)
{
    return x->vary.by_device ? "@device" : "";
}

/* ---- taking ----------------------------------------------------------------------------- */

/* Fields go to clients; these were not read by httpd's own parser. */
static int are_fields(const apr_table_t *lines)
{
    const apr_array_header_t *all = apr_table_elts(lines);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        const char *c = e->val;

        for (; *c && (*c == '\t' || (unsigned char)*c >= ' ') && *c != 0x7f; c++) {
        }
        if (*c || !devcache_field_is_token(devcache_slice_str(e->key))) {
            return 0;
        }
    }
    return 1;
}

/* Is it for this query, and was none that it is for as well purged since? */
static int is_for_query(const devcache_exchange_t *x,
                        const devcache_share_object_t *object, devcache_response_t *resp,
                        apr_pool_t *p)
{
    if (!devcache_dir_no_vary_search(x->dir)) {
        return 1;
    }
    return devcache_decide_is_by_rule(x, resp, resp->fresh.received_at, p) &&
           !(object->others_purged &&
             devcache_variance_read(devcache_response_fields(resp, p), p));
}

/* As if it had been received now. @return 0 if it may not answer this request */
static int is_fit(devcache_exchange_t *x, const devcache_share_object_t *object,
                  devcache_response_t *resp, apr_pool_t *p)
{
    devcache_freshness_t *fresh = &resp->fresh;
    devcache_reason_e why;
    apr_interval_time_t ttl;

    if (devcache_response_decode(object->record.meta, resp, p) != APR_SUCCESS ||
        resp->pieces || !are_fields(resp->lines)) {
        return 0;
    }
    fresh->requested_at = fresh->received_at = devcache_now();
    fresh->initial_age = object->age;
    if (fresh->lifetime > object->age + object->left) {
        fresh->lifetime = object->age + object->left;
    }
    return (apr_int64_t)object->record.body_len <= x->policy.max_object_size &&
           !(fresh->flags & DEVCACHE_NO_CACHE) && !devcache_fields_needs_own(x, fresh) &&
           is_for_query(x, object, resp, p) &&
           !devcache_decide_is_refusal(x, resp->status) &&
           devcache_policy_reuse(&x->policy, &x->asked.req, fresh, fresh->received_at,
                                 &why, &ttl) == DEVCACHE_USE_FRESH;
}

/* What is stored here, and still fresh, may be it, or newer. */
static int is_newer(const devcache_exchange_t *x, const devcache_share_object_t *object)
{
    const devcache_freshness_t *own = &x->found.stored.fresh;
    apr_interval_time_t age = x->found.hit ? devcache_policy_age(own, devcache_now()) : 0;

    return !x->found.hit || age >= own->lifetime || object->age + APR_USEC_PER_SEC < age;
}

static apr_status_t store(devcache_exchange_t *x, const devcache_share_object_t *object,
                          const devcache_response_t *resp, apr_pool_t *p)
{
    const devcache_record_t *rec = &object->record;
    devcache_publish_t what = {object->spec, rec->variant, {NULL, 0}, rec->tags};
    apr_status_t rv = APR_SUCCESS;

    what.meta = devcache_response_encode(resp, p);
    what.requested_at = what.stored_at = resp->fresh.received_at;
    what.fresh_until = resp->fresh.received_at + resp->fresh.lifetime -
                       resp->fresh.initial_age;
    what.max_variants = (unsigned)devcache_dir_max_variants(x->dir);
    if (rec->body.len > 0) {
        rv = devcache_store_fill_write(x->save.fill, rec->body.data, rec->body.len,
                                       (apr_int64_t)rec->body.len);
    }
    return rv == APR_SUCCESS ? devcache_store_fill_publish(x->save.fill, &what) : rv;
}

static void begin_anew(request_rec *r, devcache_exchange_t *x)
{
    devcache_store_fill_abort(x->save.fill);
    x->save.fill = devcache_store_fill_begin(x->server->store, x->asked.key, r->pool);
}

/* Stored, and those who follow are told; 0: the origin is needed. */
static int keep(request_rec *r, devcache_exchange_t *x,
                const devcache_share_object_t *object)
{
    devcache_response_t resp;
    apr_status_t rv;

    if (!is_newer(x, object) || !is_fit(x, object, &resp, r->pool)) {
        return 0;
    }
    rv = store(x, object, &resp, r->pool);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r,
                  DCLOGNO(0135) "peers: %s [%s]: %s from another machine, "
                                "%" APR_UINT64_T_FMT " bytes, %" APR_TIME_T_FMT " s old",
                  devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                  rv == APR_SUCCESS ? "stored" : "not stored", object->record.body_len,
                  apr_time_sec(object->age));
    devcache_store_fill_abort(x->save.fill); /* nothing, if it was published */
    x->save.fill = NULL;
    if (rv != APR_SUCCESS) { /* removed meanwhile, or no room */
        begin_anew(r, x);
        return 0;
    }
    x->peers.taken = 1;
    devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
    return 1;
}

/* Another machine fetches: look again after so long. */
static apr_interval_time_t next_pause(apr_interval_time_t pause)
{
    return pause == 0 ? apr_time_from_msec(20)
                      : apr_time_from_msec(pause < apr_time_from_msec(50) ? 50 : 100);
}

/* Be the one who fetches, or wait for him. @return 1: it is stored */
static int wait_turn(request_rec *r, devcache_exchange_t *x, devcache_tier_t *tier,
                     const devcache_share_wanted_t *wanted)
{
    const char *spec = x->found.hit     ? x->found.hit->spec
                       : x->found.guess ? x->found.guess
                                        : first_spec(x);
    apr_time_t until = devcache_monotonic() + devcache_dir_collapse_wait(x->dir);
    apr_interval_time_t pause = 0, avoided = 0;
    int there = 0;
    devcache_share_found_e found;
    devcache_share_object_t object;

    for (;;) {
        switch (devcache_share_lock(tier, wanted, spec, &x->peers.lock, &avoided, &there,
                                    r->pool)) {
        case DEVCACHE_SHARE_UNLOCKED:
            return 0;
        case DEVCACHE_SHARE_OURS:
            return there &&
                   devcache_share_find(tier, wanted, &object, r->pool) ==
                       DEVCACHE_SHARE_FOUND &&
                   keep(r, x, &object);
        case DEVCACHE_SHARE_AVOIDED:
            devcache_avoid_until(x->collapse.id, devcache_now() + avoided);
            devcache_collapse_end(x, DEVCACHE_FLIGHT_PRIVATE, 0);
            return 0;
        case DEVCACHE_SHARE_THEIRS:
            break;
        }
        if (x->refresh.running) { /* nobody waits: the next hit will find it */
            devcache_collapse_end(x, DEVCACHE_FLIGHT_STORED, 0);
            return 1;
        }
        if (pause == 0) {
            devcache_share_count_wait(tier);
        }
        pause = next_pause(pause);
        if (devcache_monotonic() + pause > until) {
            devcache_stats_count(DEVCACHE_COUNT_collapse_timeouts);
            return 0;
        }
        apr_sleep(pause);
        begin_anew(r, x); /* a purge may have come while it waited */
        found = devcache_share_find(tier, wanted, &object, r->pool);
        if (found == DEVCACHE_SHARE_UNASKED) {
            return 0; /* it would not answer about the lock either */
        }
        if (found == DEVCACHE_SHARE_FOUND && keep(r, x, &object)) {
            return 1;
        }
    }
}

static void want(devcache_share_wanted_t *wanted, devcache_exchange_t *x)
{
    wanted->key = x->asked.key;
    wanted->configuration = devcache_same_hash(x->server, x->dir);
    wanted->variant = variant_of;
    wanted->baton = x;
    wanted->specs[0] = first_spec(x);
    wanted->specs[1] = x->found.guess;
    wanted->nspecs = x->found.guess ? 2 : 1;
}

int devcache_peers_take(request_rec *r, devcache_exchange_t *x)
{
    devcache_tier_t *tier = tier_of(x);
    devcache_share_wanted_t wanted;
    devcache_share_object_t object;
    devcache_share_found_e found;
    int done;

    if (!tier || !devcache_collapse_is_owner(x) || devcache_collapse_insists(x)) {
        return 0;
    }
    want(&wanted, x);
    found = devcache_share_find(tier, &wanted, &object, r->pool);
    done = found == DEVCACHE_SHARE_FOUND && keep(r, x, &object);
    if (!done && found != DEVCACHE_SHARE_UNASKED && devcache_share_locks(tier) &&
        devcache_collapse_begin_wait(x)) {
        done = wait_turn(r, x, tier, &wanted);
        devcache_collapse_end_wait();
        if (done) {
            devcache_peers_release(x);
        }
    }
    return done;
}

void devcache_peers_release(devcache_exchange_t *x)
{
    devcache_share_lock_t *lock = x->peers.lock;

    if (lock) {
        x->peers.lock = NULL;
        devcache_share_unlock(tier_of(x), lock, x->collapse.avoided);
    }
}

/* ---- giving ------------------------------------------------------------------------------ */

void devcache_peers_note(devcache_exchange_t *x)
{
    devcache_tier_t *tier = tier_of(x);

    if (tier) {
        devcache_share_note(tier, x->asked.key, &x->peers.then);
        x->peers.began = devcache_monotonic();
    }
}

static void offer_it(devcache_share_offer_t *offer, request_rec *r,
                     devcache_exchange_t *x, const devcache_publish_t *what,
                     const devcache_freshness_t *fresh, apr_uint64_t body_len)
{
    offer->key = x->asked.key;
    offer->configuration = devcache_same_hash(x->server, x->dir);
    offer->first_spec = first_spec(x);
    offer->first_variant = devcache_collapse_variant(x, offer->first_spec, r->pool);
    offer->what = what;
    offer->body_len = body_len;
    offer->then = x->peers.then;
    offer->began = x->peers.began;
    offer->age = devcache_policy_age(fresh, devcache_now());
    offer->left = fresh->lifetime - offer->age;
}

/* Room for it; NULL: it is not for others, or there is none. */
static devcache_share_item_t *begin(devcache_tier_t *tier, request_rec *r,
                                    devcache_exchange_t *x, apr_uint64_t body_len,
                                    char **body)
{
    const devcache_freshness_t *fresh = &x->answer.fresh;
    devcache_share_offer_t offer;

    if (!x->peers.then.run || (fresh->flags & DEVCACHE_NO_CACHE)) {
        return NULL;
    }
    offer_it(&offer, r, x, &x->save.what, fresh, body_len);
    return devcache_share_begin(tier, &offer, r->pool, body);
}

void devcache_peers_copy(request_rec *r, devcache_exchange_t *x)
{
    devcache_tier_t *tier = tier_of(x);
    apr_uint64_t len = (apr_uint64_t)x->save.written;
    char *body;

    x->peers.copy = tier ? begin(tier, r, x, len, &body) : NULL;
    if (x->peers.copy && len > 0 &&
        devcache_store_fill_read(x->save.fill, 0, body, (apr_size_t)len) != APR_SUCCESS) {
        devcache_peers_settle(r, x, 0);
    }
}

static int read_all(apr_file_t *file, apr_off_t from, char *to, apr_size_t len)
{
    apr_os_file_t fd;
    ssize_t n = apr_os_file_get(&fd, file) == APR_SUCCESS ? 0 : -1;

    while (n >= 0 && len > 0) {
        n = pread(fd, to, len, from);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return 0;
        }
        n = n < 0 ? 0 : n;
        to += n;
        from += n;
        len -= (apr_size_t)n;
    }
    return n >= 0;
}

void devcache_peers_confirm(request_rec *r, devcache_exchange_t *x)
{
    devcache_tier_t *tier = tier_of(x);
    const devcache_hit_t *hit = x->found.hit;
    apr_file_t *file;
    apr_off_t from;
    int fine = 1;
    char *body;

    x->peers.copy = tier && !x->found.stored.pieces
                        ? begin(tier, r, x, hit->body_len, &body)
                        : NULL;
    if (!x->peers.copy || hit->body_len == 0) {
        return;
    }
    if (hit->body.data) {
        memcpy(body, hit->body.data, hit->body.len);
    } else {
        fine = devcache_store_open_body(x->server->store, hit, &file, &from, r->pool) ==
                   APR_SUCCESS &&
               read_all(file, from, body, (apr_size_t)hit->body_len);
    }
    if (!fine) {
        devcache_peers_settle(r, x, 0);
    }
}

void devcache_peers_settle(request_rec *r, devcache_exchange_t *x, int published)
{
    devcache_share_item_t *copy = x->peers.copy;

    x->peers.copy = NULL;
    if (copy && published) {
        devcache_share_send(tier_of(x), copy, r->pool);
    } else if (copy) {
        devcache_share_drop(tier_of(x), copy);
    }
    if (published) {
        devcache_peers_release(x);
    }
}

void devcache_peers_forget(const devcache_exchange_t *x, devcache_slice_t key)
{
    devcache_tier_t *tier = tier_of(x);

    if (tier) {
        devcache_share_forget(tier, key);
    }
}

/* ---- telling ----------------------------------------------------------------------------- */

static const char *why_not_asked(request_rec *r, devcache_exchange_t *x,
                                 devcache_decision_e decision)
{
    switch (decision) {
    case DEVCACHE_DECISION_HIT:
    case DEVCACHE_DECISION_STALE:
    case DEVCACHE_DECISION_STALE_ERROR:
        return "what is stored here is the answer";
    case DEVCACHE_DECISION_HIT_REFRESH:
    case DEVCACHE_DECISION_STALE_REFRESH:
        return NULL; /* by the refresh */
    case DEVCACHE_DECISION_TIMEOUT:
        return "only-if-cached: nobody is asked";
    case DEVCACHE_DECISION_BYPASS:
    case DEVCACHE_DECISION_OFF:
        return "the cache is not used";
    default:
        return !x->asked.key.data             ? "the cache is not used"
               : devcache_collapse_insists(x) ? "the client wants the origin's own word, "
                                                "or more freshness than others"
                                              : devcache_collapse_apart(r, x);
    }
}

static const char *why_not_put(request_rec *r, devcache_exchange_t *x,
                               devcache_tier_t *tier)
{
    const devcache_hit_t *hit = x->found.hit;
    const devcache_response_t *stored = &x->found.stored;
    devcache_publish_t what = {hit->spec, hit->variant, hit->meta, hit->tags};
    devcache_share_offer_t offer;

    if (stored->pieces) {
        return "it is stored in pieces";
    }
    if (stored->fresh.flags & DEVCACHE_NO_CACHE) {
        return "it is validated at each use";
    }
    devcache_peers_note(x);
    offer_it(&offer, r, x, &what, &stored->fresh, hit->body_len);
    return devcache_share_refuses(tier, &offer);
}

int devcache_peers_tell(request_rec *r, devcache_exchange_t *x,
                        devcache_decision_e decision, devcache_peers_told_t *out)
{
    devcache_tier_t *tier = tier_of(x);
    devcache_share_wanted_t wanted;
    devcache_response_t resp;

    memset(out, 0, sizeof(*out));
    if (!tier) {
        return 0;
    }
    out->not_asked = why_not_asked(r, x, decision);
    if (!x->asked.key.data) {
        return 1;
    }
    want(&wanted, x);
    out->server = devcache_share_server(tier, x->asked.key, &out->trouble);
    out->found = devcache_share_peek(tier, &wanted, &out->object, r->pool);
    out->is_unfit = out->found == DEVCACHE_SHARE_FOUND &&
                    !is_fit(x, &out->object, &resp, r->pool);
    out->not_put = x->found.hit ? why_not_put(r, x, tier) : out->trouble;
    return 1;
}
