/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces.
 *
 * A response in pieces is stored under its URL like any other, with a lifetime, validators
 * and the length of the whole, but without a body. The pieces of that are objects of their
 * own, each evicted on its own. Their keys bear the id of the response that they are of,
 * which is drawn anew for each: what is purged, or has changed, leaves pieces behind that
 * nobody can find any more.
 *
 *     by slices   DevCacheSlice: all pieces are of one size, so their places are known; what
 *                 is not there is fetched when somebody comes to it (request/assemble.c)
 *     listed      parts that visitors have asked for, as they came; what is not there is
 *                 fetched if it is one gap, and little; else the origin answers
 *
 * Freshness is the response's alone: its pieces are of one strong validator.
 */
#include "request/piece.h"

#include <apr_strings.h>
#include <http_core.h>
#include <xxhash.h>
#include "base/clock.h"
#include "flight/avoid.h"
#include "http/effect.h"

#define GAP_MAX (1 << 20)                    /* bytes fetched to complete a listed one */
#define GIVEN_UP apr_time_from_sec(60)       /* that is not to be had by slices */
#define MARK ((apr_uint64_t)0x736c69636573u) /* of flights, about this alone */

static apr_uint64_t mark_of(const devcache_exchange_t *x)
{
    apr_uint64_t id = XXH3_64bits_withSeed(x->asked.key.data, x->asked.key.len,
                                           devcache_flight_seed() ^ MARK);

    return id ? id : 1;
}

/* The mark for those who are somebody in particular. */
static apr_uint64_t personal(apr_uint64_t mark)
{
    return mark ^ 0x9e3779b97f4a7c15ull;
}

int devcache_piece_is_avoided(const devcache_exchange_t *x)
{
    apr_uint64_t mark = mark_of(x);

    return devcache_avoid_now(mark, x->now) ||
           (devcache_request_is_personal(x) &&
            devcache_avoid_now(personal(mark), x->now));
}

apr_int64_t devcache_piece_slice(const devcache_exchange_t *x)
{
    apr_int64_t slice = x->dir && !devcache_dir_fragments(x->dir)
                            ? devcache_dir_slice(x->dir)
                            : 0; /* a slice has no gaps that can be filled */

    if (slice > x->policy.max_object_size) {
        slice = x->policy.max_object_size;
    }
    return slice && x->asked.req.is_get && !x->asked.req.has_precondition &&
                   !x->asked.ahead && !x->piece.given_up && !devcache_piece_is_avoided(x)
               ? slice
               : 0;
}

/* What was said to somebody in particular says nothing about what others would get. */
static int is_for_asker_alone(const devcache_exchange_t *x, devcache_reason_e reason)
{
    return devcache_reason_is_requests(reason) ||
           (devcache_effect_may_be_personal(reason) && devcache_request_is_personal(x));
}

void devcache_piece_give_up(devcache_exchange_t *x, devcache_reason_e reason)
{
    apr_uint64_t mark = is_for_asker_alone(x, reason) ? personal(mark_of(x)) : mark_of(x);

    x->piece.given_up = 1;
    x->piece.has_gap = 0;
    devcache_avoid_until(mark, devcache_now() + GIVEN_UP);
}

void devcache_piece_lost(devcache_exchange_t *x, devcache_piece_result_e result,
                         devcache_reason_e reason)
{
    apr_uint64_t changed = ~mark_of(x);
    apr_time_t now = devcache_now(); /* x->now may be a film ago */

    if (result == DEVCACHE_PIECE_USELESS || result == DEVCACHE_PIECE_UNSTORED) {
        devcache_piece_give_up(x, reason);
    } else if (result == DEVCACHE_PIECE_CHANGED) {
        if (devcache_avoid_now(changed, now)) {
            devcache_piece_give_up(x, DEVCACHE_REASON_NONE);
        }
        devcache_avoid_until(changed, now + GIVEN_UP);
    }
}

/* ---- what is wanted --------------------------------------------------------------- */

/* Does httpd cut ranges here (MaxRanges)? */
static int is_cut(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->max_ranges != AP_MAXRANGES_NORANGES;
}

/* The client's range, where it counts: one, in the right version. 0: the whole. */
static int get_range(const request_rec *r, const devcache_exchange_t *x,
                     const apr_table_t *fields, devcache_span_t *span)
{
    return x->asked.req.has_range && is_cut(r) &&
           devcache_range_single(apr_table_get(x->asked.fields, "Range"), span) &&
           devcache_range_if(apr_table_get(x->asked.fields, "If-Range"), fields);
}

apr_int64_t devcache_piece_first_wanted(const request_rec *r,
                                        const devcache_exchange_t *x,
                                        devcache_response_t *stored)
{
    devcache_span_t span;

    if (x->asked.req.is_head || x->refresh.running) {
        return -1;
    }
    if (!get_range(r, x, devcache_response_fields(stored, r->pool), &span)) {
        return 0;
    }
    return devcache_range_resolve(&span, stored->pieces->length) ? span.first : -1;
}

int devcache_piece_at(const devcache_pieces_t *pieces, apr_int64_t pos,
                      devcache_span_t *span)
{
    int i;

    if (pieces->slice) {
        span->first = pos - pos % pieces->slice;
        span->last = span->first + pieces->slice - 1;
        span->last = span->last < pieces->length ? span->last : pieces->length - 1;
        return 1;
    }
    for (i = pieces->count - 1; i >= 0; i--) {
        if (pieces->span[i].first <= pos) {
            *span = pieces->span[i];
            return span->last >= pos;
        }
    }
    return 0;
}

/* What is not there of @a want. @return how many gaps; *gap: the last of them */
static int find_gaps(const devcache_pieces_t *pieces, devcache_span_t want,
                     devcache_span_t *gap)
{
    apr_int64_t pos = want.first;
    int n = 0, i;

    for (i = 0; i < pieces->count && pos <= want.last; i++) {
        devcache_span_t span = pieces->span[i];

        if (span.last < pos) {
            continue;
        }
        if (span.first > pos) {
            gap->first = pos;
            gap->last = span.first - 1 < want.last ? span.first - 1 : want.last;
            n++;
        }
        pos = span.last + 1;
    }
    if (pos <= want.last) {
        gap->first = pos;
        gap->last = want.last;
        n++;
    }
    return n;
}

int devcache_piece_serves(const request_rec *r, devcache_exchange_t *x,
                          const devcache_response_t *stored)
{
    const devcache_pieces_t *pieces = stored->pieces;
    devcache_span_t want = {0, pieces->length - 1}, range;
    int gaps;

    if (x->asked.req.is_head) {
        return 1;
    }
    if (pieces
            ->slice) { /* what lacks could not be had: who begins to read would be cut off */
        return !devcache_piece_is_avoided(x);
    }
    if (get_range(r, x, stored->lines, &range)) {
        if (!devcache_range_resolve(&range, pieces->length)) {
            return 1; /* that it cannot be satisfied is known */
        }
        want = range;
    }
    gaps = find_gaps(pieces, want, &x->piece.gap);
    x->piece.has_gap = gaps == 1 && devcache_range_size(x->piece.gap) <= GAP_MAX &&
                       devcache_range_size(x->piece.gap) < devcache_range_size(want) &&
                       x->asked.req.is_get && !x->asked.req.has_precondition &&
                       !x->asked.ahead && !x->piece.given_up &&
                       !devcache_piece_is_avoided(x) &&
                       devcache_range_validator(stored->lines);
    x->piece.is_open = x->piece.has_gap && x->piece.gap.last == pieces->length - 1;
    return gaps == 0;
}

/* ---- what is asked for ------------------------------------------------------------ */

static devcache_span_t first_slice(const devcache_exchange_t *x, apr_int64_t slice)
{
    devcache_span_t span = {0, 0}, range;

    if (x->asked.req.has_range &&
        devcache_range_single(apr_table_get(x->asked.fields, "Range"), &range) &&
        range.first > 0 && range.first < APR_INT64_MAX - slice) {
        span.first = range.first - range.first % slice;
    }
    span.last = span.first + slice - 1;
    return span;
}

void devcache_piece_ask(devcache_exchange_t *x, apr_table_t *fields, apr_pool_t *p)
{
    apr_int64_t slice = x->piece.has_gap || x->piece.alone ? 0 : devcache_piece_slice(x);

    if (slice) {
        x->piece.asked = first_slice(x, slice);
    } else if (x->piece.has_gap) {
        x->piece.asked = x->piece.gap;
    } else if (!x->piece.alone) {
        return;
    }
    x->piece.is_asked = 1;
    apr_table_setn(
        fields, "Range",
        apr_psprintf(p, "bytes=%" APR_INT64_T_FMT "-%s", x->piece.asked.first,
                     x->piece.is_open && !slice
                         ? ""
                         : apr_psprintf(p, "%" APR_INT64_T_FMT, x->piece.asked.last)));
    if (!slice && x->piece.hit) { /* else the whole, of which nothing is wanted now */
        const char *validator = devcache_range_validator(x->piece.stored.lines);

        if (validator) {
            apr_table_setn(fields, "If-Range", validator);
        }
    }
}

/* ---- where it is ------------------------------------------------------------------ */

devcache_slice_t devcache_piece_key(const devcache_exchange_t *x,
                                    const devcache_pieces_t *pieces, apr_int64_t first,
                                    apr_pool_t *p)
{
    return devcache_vary_key_piece(x->asked.key, pieces->id, first, p);
}

typedef struct variant_t {
    const char *spec;
    devcache_slice_t variant;
} variant_t;

static devcache_slice_t variant_of(void *baton, const char *spec, apr_pool_t *p)
{
    const variant_t *v = baton;

    return strcmp(spec, v->spec) ? devcache_slice(NULL, 0) : v->variant;
}

apr_status_t devcache_piece_find(const devcache_exchange_t *x, const devcache_hit_t *of,
                                 const devcache_pieces_t *pieces, devcache_span_t span,
                                 devcache_lookup_fn *lookup, devcache_hit_t **piece,
                                 apr_pool_t *p)
{
    variant_t same = {of->spec, of->variant};
    apr_status_t rv = lookup(x->server->store,
                             devcache_piece_key(x, pieces, span.first, p), variant_of,
                             &same, piece, p);

    return rv == APR_SUCCESS &&
                   (apr_int64_t)(*piece)->body_len != devcache_range_size(span)
               ? APR_NOTFOUND
               : rv;
}

apr_status_t devcache_piece_owner(const devcache_exchange_t *x,
                                  const devcache_publish_t *what, devcache_hit_t **hit,
                                  devcache_response_t *stored, apr_pool_t *p)
{
    variant_t same = {what->spec, what->variant};
    apr_status_t rv = devcache_store_peek(x->server->store, x->asked.key, variant_of,
                                          &same, hit, p);

    if (rv == APR_SUCCESS) {
        rv = devcache_response_decode((*hit)->meta, stored, p);
    }
    return rv == APR_SUCCESS && !stored->pieces ? APR_NOTFOUND : rv;
}
