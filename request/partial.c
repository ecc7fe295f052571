/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts.
 *
 *     a 206            to what the client has asked      stored as a listed piece on its way
 *                      to a slice asked in its stead     stored, and the client served then
 *                      to a gap, likewise                stored, where it is the same version
 *                      to a request of our own           likewise, else it has changed
 *     another answer   to a slice or a gap               as if the whole had been asked for
 *     416              likewise                          of no use: asked anew, as asked
 *
 * A part is combined with what is stored of it if both have the same strong validator and
 * the same length (RFC 9111 section 3.4); then its fields renew the stored ones. A part of
 * another version takes the place of all that is stored. Nothing is believed that
 * contradicts itself: a length that is not that of the range, a range that was not asked
 * for. The whole, where a slice is all of it, is stored as any whole.
 *
 * What may not be stored, or cannot be, is kept in memory for the one who reads on, if he
 * asks for that: he has got half of it already.
 *
 * Bytes first: the piece is published before the response that names it, under a fill
 * that has begun before the origin was asked, so that what is purged meanwhile stays so.
 * A response that somebody has renewed meanwhile is joined; one that is another by then
 * is left alone.
 */
#include "request/partial.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_protocol.h>
#include "base/fault.h"
#include "http/effect.h"
#include "http/field.h"
#include "mod_devcache.h"
#include "request/collapse.h"
#include "request/judge.h"
#include "request/part.h"
#include "request/piece.h"
#include "stats/stats.h"

/* ---- what has come ---------------------------------------------------------------- */

typedef struct came_t {
    devcache_span_t span;
    apr_int64_t length;    /* of the whole */
    const char *validator; /* NULL: none that is strong */
} came_t;

/* Several ranges in one body; that has no Content-Range (RFC 9110 section 15.3.7.2). */
static int is_multipart(const char *type)
{
    static const char several[] = "multipart/byteranges";

    return type && !strncasecmp(type, several, sizeof several - 1);
}

/* Content-Range, where it is true to the body's length. */
static int read_part(request_rec *r, const apr_table_t *fields, came_t *came)
{
    const char *said = apr_table_get(fields, "Content-Length");
    apr_off_t length;

    came->validator = devcache_range_validator(fields);
    return r->status == HTTP_PARTIAL_CONTENT && !is_multipart(r->content_type) &&
           devcache_range_content(apr_table_get(fields, "Content-Range"), &came->span,
                                  &came->length) &&
           (!said || (ap_parse_strict_length(&length, said) &&
                      length == devcache_range_size(came->span)));
}

static int is_whole(const came_t *came)
{
    return devcache_range_size(came->span) == came->length;
}

/* Is it what was asked for? */
static int is_as_asked(const devcache_exchange_t *x, const came_t *came)
{
    apr_int64_t last = came->length - 1;

    return came->span.first == x->piece.asked.first &&
           came->span.last == (x->piece.asked.last < last ? x->piece.asked.last : last);
}

/* Do both say the same? */
static int is_alike(const char *name, const apr_table_t *a, const apr_table_t *b,
                    apr_pool_t *p)
{
    const char *one = devcache_field_combined(a, name, p);
    const char *other = devcache_field_combined(b, name, p);

    return one && other ? !strcmp(one, other) : one == other;
}

/* Of the same representation as what is stored? Then it is of that variant, too, whoever
 * has asked for it. Some origins have one tag for a body in several codings. */
static int is_of_stored(request_rec *r, const devcache_exchange_t *x, const came_t *came)
{
    const apr_table_t *lines = x->piece.stored.lines;
    const char *ours = devcache_range_validator(lines);

    return x->piece.stored.pieces->length == came->length && ours && came->validator &&
           !strcmp(ours, came->validator) &&
           is_alike("Vary", lines, x->origin.fields, r->pool) &&
           is_alike("Content-Encoding", lines, x->origin.fields, r->pool);
}

/* What it can be a piece of: what was found for the request, in pieces. */
static void look_for_owner(devcache_exchange_t *x, request_rec *r)
{
    if (!x->piece.hit && x->found.hit && x->found.stored.pieces) {
        x->piece.hit = x->found.hit;
        x->piece.stored = x->found.stored;
        devcache_response_fields(&x->piece.stored, r->pool);
    }
}

/* ---- the list --------------------------------------------------------------------- */

/* With another piece in it. NULL: there is no room, or it is there already. */
static const devcache_pieces_t *with_piece(const devcache_pieces_t *old,
                                           devcache_span_t span, apr_pool_t *p)
{
    devcache_pieces_t *new = apr_palloc(p, sizeof *new + ((apr_size_t)old->count + 1) *
                                                             sizeof *new->span);
    int i, put = 0;

    *new = *old;
    new->count = 0;
    for (i = 0; i < old->count; i++) {
        devcache_span_t s = old->span[i];

        if (s.first <= span.first && s.last >= span.last) {
            return NULL;
        }
        if (!put && s.first > span.first) {
            new->span[new->count++] = span;
            put = 1;
        }
        if (s.first < span.first || s.last > span.last) { /* not all in the new one */
            new->span[new->count++] = s;
        }
    }
    if (!put) {
        new->span[new->count++] = span;
    }
    return new->count <= DEVCACHE_PIECES_MAX ? new : NULL;
}

static const devcache_pieces_t *new_pieces(const came_t *came, apr_int64_t slice,
                                           apr_pool_t *p)
{
    devcache_pieces_t *new = apr_pcalloc(p, sizeof *new + sizeof *new->span);

    apr_generate_random_bytes((unsigned char *)&new->id, sizeof new->id);
    new->length = came->length;
    new->slice = slice;
    if (!slice) {
        new->span[0] = came->span;
        new->count = 1;
    }
    return new;
}

/* What it will be a piece of. NULL: of nothing that is of use. */
static const devcache_pieces_t *pieces_for(request_rec *r, devcache_exchange_t *x,
                                           const came_t *came)
{
    apr_int64_t slice = x->piece.is_asked && !x->piece.has_gap && !x->piece.alone
                            ? devcache_piece_slice(x)
                            : 0;
    const devcache_pieces_t *old;

    look_for_owner(x, r);
    x->piece.is_new = !x->piece.hit || !is_of_stored(r, x, came);
    old = x->piece.is_new ? NULL : x->piece.stored.pieces;
    if (old && x->piece.alone) {
        return old; /* which knows of it: it was evicted, or never fetched */
    }
    if (old && old->slice == slice) {
        return slice ? old : with_piece(old, came->span, r->pool);
    }
    if (old && old->slice && !x->piece.is_asked) {
        return NULL; /* asked for as it is for a minute; its slices stay */
    }
    x->piece.is_new = 1;
    return x->piece.alone || x->piece.has_gap || (slice && !came->validator)
               ? NULL
               : new_pieces(came, slice, r->pool);
}

/* ---- is it stored, and as what? ---------------------------------------------------- */

/* As a part of a 200 (RFC 9111 section 3.3). */
static devcache_reason_e judge_as_whole(request_rec *r, devcache_exchange_t *x,
                                        const apr_table_t *fields)
{
    apr_table_t *whole = apr_table_copy(r->pool, fields);
    int status = r->status;
    devcache_reason_e reason;

    apr_table_unset(whole, "Content-Range");
    r->status = HTTP_OK;
    reason = devcache_judge_and_learn(r, x, whole);
    r->status = status;
    return x->part.any && reason == DEVCACHE_REASON_NONE ? DEVCACHE_REASON_PART : reason;
}

/* Of the variant that is stored, if there is one. */
static void describe(request_rec *r, const devcache_exchange_t *x,
                     const devcache_response_t *resp, devcache_publish_t *what)
{
    devcache_judge_describe(x, resp, what, r->pool);
    if (!x->piece.is_new) {
        what->spec = x->piece.hit->spec;
        what->variant = x->piece.hit->variant;
    }
}

/* The response itself, without a body. */
static void describe_response(request_rec *r, devcache_exchange_t *x,
                              devcache_publish_t *what)
{
    devcache_response_t resp = {0};

    resp.status = HTTP_OK;
    resp.fresh = x->answer.fresh;
    resp.content_type = x->origin.type;
    resp.pieces = x->piece.into;
    if (x->piece.is_new) {
        resp.lines = devcache_policy_stored_fields(&x->policy, x->origin.fields, r->pool);
    } else { /* RFC 9111 section 3.4 */
        resp.lines = apr_table_copy(r->pool, x->piece.stored.lines);
        devcache_policy_update_fields(resp.lines, x->origin.fields, r->pool);
        resp.lines = devcache_policy_stored_fields(&x->policy, resp.lines, r->pool);
    }
    apr_table_unset(resp.lines, "Content-Range");
    apr_table_unset(resp.lines, "Content-Length");
    describe(r, x, &resp, what);
}

/* One piece, as what it is: a part. */
static void describe_piece(request_rec *r, devcache_exchange_t *x, const came_t *came)
{
    devcache_response_t resp = {0};

    resp.status = HTTP_PARTIAL_CONTENT;
    resp.fresh = x->answer.fresh;
    resp.content_type = x->origin.type;
    resp.lines = apr_table_make(r->pool, 1);
    apr_table_setn(resp.lines, "Content-Range",
                   apr_psprintf(r->pool,
                                "bytes %" APR_INT64_T_FMT "-%" APR_INT64_T_FMT
                                "/%" APR_INT64_T_FMT,
                                came->span.first, came->span.last, came->length));
    describe(r, x, &resp, &x->save.what);
}

static void begin(request_rec *r, devcache_exchange_t *x, const came_t *came)
{
    x->save.stored = 1;
    x->save.expect = devcache_range_size(came->span);
    x->answer.ttl = x->answer.fresh.lifetime -
                    devcache_policy_age(&x->answer.fresh, x->origin.received_at);
    x->piece.what = x->save.what;
    describe_response(r, x, &x->piece.what);
    if (!x->piece.into) {
        x->save.what = x->piece.what; /* it has its body all the same */
        return;
    }
    describe_piece(r, x, came);
    x->piece.span = came->span;
    x->piece.fill = x->save.fill;
    x->save.fill = devcache_store_fill_begin(
        x->server->store, devcache_piece_key(x, x->piece.into, came->span.first, r->pool),
        r->pool);
}

/* Nobody is given it. @return 1 */
static int swallow(request_rec *r, devcache_exchange_t *x, devcache_piece_result_e result,
                   devcache_reason_e why)
{
    /* Somebody is reading what it lacks. */
    int is_felt = x->piece.alone && result == DEVCACHE_PIECE_USELESS;

    x->piece.swallow = 1;
    x->piece.keep = NULL;
    x->piece.result = result;
    x->answer.reason = why;
    if (r->status == HTTP_PARTIAL_CONTENT &&
        (result == DEVCACHE_PIECE_USELESS || result == DEVCACHE_PIECE_UNSTORED)) {
        devcache_stats_count_reason(why);
    }
    ap_log_rerror(APLOG_MARK, is_felt ? APLOG_WARNING : APLOG_DEBUG, 0, r,
                  DCLOGNO(0130) "partial: %s [%s]: %d to bytes %" APR_INT64_T_FMT
                                "-%" APR_INT64_T_FMT " is no piece of it (%s: %s)%s",
                  devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                  x->origin.status, x->piece.asked.first, x->piece.asked.last,
                  devcache_reason_text(why), devcache_reason_meaning(why),
                  is_felt ? "; for a minute it is asked for as visitors ask" : "");
    return 1;
}

/* What has become of a piece of ours that is none? The origin's trouble, and the visitor's
 * own, pass; another whole, or none, is another version. */
static devcache_piece_result_e judge_other(const request_rec *r)
{
    switch (r->status) {
    case HTTP_OK: /* If-Range does not hold */
    case HTTP_NOT_FOUND:
    case HTTP_GONE:
    case HTTP_RANGE_NOT_SATISFIABLE:
        return DEVCACHE_PIECE_CHANGED;
    default:
        return devcache_effect_is_trouble(r->status) ||
                       devcache_effect_sends_to_login(r->status)
                   ? DEVCACHE_PIECE_NONE
                   : DEVCACHE_PIECE_USELESS;
    }
}

/* It was asked for in the client's stead, or for nobody. */
static int judge_asked(request_rec *r, devcache_exchange_t *x, const apr_table_t *fields)
{
    devcache_reason_e reason = DEVCACHE_REASON_PARTIAL;
    came_t came;

    if (!read_part(r, fields, &came)) {
        return swallow(r, x, x->piece.alone ? judge_other(r) : DEVCACHE_PIECE_USELESS,
                       reason);
    }
    if (!is_as_asked(x, &came)) {
        return swallow(r, x,
                       x->piece.alone && !is_of_stored(r, x, &came)
                           ? DEVCACHE_PIECE_CHANGED
                           : DEVCACHE_PIECE_USELESS,
                       reason);
    }
    if (!x->piece.alone && !x->piece.has_gap && is_whole(&came)) {
        apr_table_unset(x->origin.fields, "Content-Range");
    } else if (!(x->piece.into = pieces_for(r, x, &came))) {
        if (!came.validator && !x->piece.has_gap) {
            reason = DEVCACHE_REASON_NO_SLICE;
        }
        return swallow(r, x,
                       x->piece.alone && x->piece.is_new ? DEVCACHE_PIECE_CHANGED
                                                         : DEVCACHE_PIECE_USELESS,
                       reason);
    }
    if (x->piece.keep) {
        x->piece.swallow = 1;
        x->save.expect = devcache_range_size(came.span);
        return 1;
    }
    if ((reason = judge_as_whole(r, x, fields)) != DEVCACHE_REASON_NONE) {
        return swallow(r, x,
                       x->piece.alone ? DEVCACHE_PIECE_UNSTORED : DEVCACHE_PIECE_USELESS,
                       reason);
    }
    x->piece.swallow = 1;
    x->piece.is_new |= !x->piece.into;
    begin(r, x, &came);
    if (!x->piece.alone) {
        devcache_collapse_decided(x, DEVCACHE_REASON_NONE, HTTP_OK);
    }
    return 1;
}

/* The client has asked for it, and gets it. */
static int judge_passing(request_rec *r, devcache_exchange_t *x,
                         const apr_table_t *fields)
{
    devcache_reason_e reason = DEVCACHE_REASON_PARTIAL;
    came_t came;

    if (x->asked.req.has_range && read_part(r, fields, &came) &&
        (x->piece.into = pieces_for(r, x, &came))) {
        reason = judge_as_whole(r, x, fields);
    }
    if (reason == DEVCACHE_REASON_NONE) {
        begin(r, x, &came);
    } else {
        devcache_judge_refuse(r, x, reason);
    }
    return 1;
}

int devcache_partial_judge(request_rec *r, devcache_exchange_t *x)
{
    apr_table_t *fields;

    if (x->phase != DEVCACHE_PHASE_FETCH ||
        !(r->status == HTTP_PARTIAL_CONTENT || x->piece.alone ||
          (x->piece.is_asked && r->status == HTTP_RANGE_NOT_SATISFIABLE))) {
        return 0;
    }
    fields = devcache_request_fields_out(r);
    devcache_request_step(r, x, DEVCACHE_PHASE_IDLE);
    return x->piece.is_asked ? judge_asked(r, x, fields) : judge_passing(r, x, fields);
}

/* ---- in memory -------------------------------------------------------------------- */

static apr_status_t keep_bucket(devcache_exchange_t *x, apr_bucket *b)
{
    apr_size_t room = (apr_size_t)x->save.expect - x->piece.kept, len;
    const char *data;
    apr_status_t rv;

    if (APR_BUCKET_IS_EOS(b)) {
        x->piece.result = room ? DEVCACHE_PIECE_NONE : DEVCACHE_PIECE_STORED;
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_METADATA(b)) {
        return AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b) ? APR_ECONNABORTED
                                                            : APR_SUCCESS;
    }
    rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
    if (rv != APR_SUCCESS || len > room) {
        return APR_ECONNABORTED;
    }
    memcpy(x->piece.keep + x->piece.kept, data, len);
    x->piece.kept += len;
    return APR_SUCCESS;
}

apr_status_t devcache_partial_keep(devcache_exchange_t *x, apr_bucket_brigade *bb)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        rv = keep_bucket(x, APR_BRIGADE_FIRST(bb));
        apr_bucket_delete(APR_BRIGADE_FIRST(bb));
    }
    if (rv != APR_SUCCESS) {
        x->piece.keep = NULL; /* what may come still is dropped */
        apr_brigade_cleanup(bb);
    }
    return rv;
}

/* ---- publication ------------------------------------------------------------------ */

/* The response as it is now: somebody may have renewed it, or added a piece. */
static apr_status_t look_again(request_rec *r, devcache_exchange_t *x,
                               devcache_hit_t **now)
{
    const devcache_pieces_t *into = x->piece.into;
    devcache_response_t stored;
    apr_status_t rv = devcache_piece_owner(x, &x->piece.what, now, &stored, r->pool);

    if (rv != APR_SUCCESS || stored.pieces->id != into->id) {
        return APR_EGENERAL;
    }
    if (!into->slice) {
        x->piece.into = with_piece(stored.pieces, x->piece.span, r->pool);
        x->piece.into = x->piece.into ? x->piece.into : stored.pieces;
        describe_response(r, x, &x->piece.what);
    }
    return APR_SUCCESS;
}

devcache_reason_e devcache_partial_publish(request_rec *r, devcache_exchange_t *x)
{
    devcache_hit_t *now;
    apr_status_t rv = x->piece.alone && DEVCACHE_FAULT("piece-room")
                          ? APR_ENOSPC
                          : devcache_store_fill_publish(x->save.fill, &x->save.what);

    DEVCACHE_KILL_HERE("kill-in-partial");
    if (rv == APR_SUCCESS && x->piece.alone) {
        x->piece.result = DEVCACHE_PIECE_STORED; /* who reads it knows its id: also where
                                                  * the rest was purged meanwhile */
    }
    if (rv == APR_SUCCESS && !x->piece.into) {
        x->piece.result = DEVCACHE_PIECE_STORED; /* a slice that was all of it */
        return DEVCACHE_REASON_NONE;
    }
    if (rv == APR_SUCCESS && x->piece.is_new) {
        rv = devcache_store_fill_publish(x->piece.fill, &x->piece.what);
    } else if (rv == APR_SUCCESS && (rv = look_again(r, x, &now)) == APR_SUCCESS) {
        rv = devcache_store_refresh(x->piece.fill, now, &x->piece.what);
    }
    x->piece.fill = NULL;
    if (rv == APR_SUCCESS) {
        x->piece.result = DEVCACHE_PIECE_STORED;
    }
    return devcache_judge_published(rv);
}
