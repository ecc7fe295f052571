/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A follower's body: read from the file of the fill that its flight's owner writes, as far as
 * that has come, paced so that many followers do not keep the processor from each other. A
 * range that is there, or soon will be, is served likewise.
 */
#include "request/stream.h"

#include <apr_strings.h>
#include <errno.h>
#include <unistd.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include "base/clock.h"
#include "http/range.h"
#include "mod_devcache.h"
#include "request/resume.h"
#include "request/tee.h"
#include "stats/stats.h"

#define PIECE 65536 /* bytes read at once, */
#define PIECES 2    /* and pieces passed on at once */
#define FIRST 8192  /* bytes of a body that come first: no connection's window is less */
#define QUIET (APR_USEC_PER_SEC / 50) /* so long nobody has joined: all have got theirs */
#define PACE_SHARE 4 /* of the time since it began a follower may be late, */
#define PACE_MAX (APR_USEC_PER_SEC / 20)     /* but no more than this, */
#define PACE_LATE_MAX (APR_USEC_PER_SEC / 4) /* or this on a busy processor */
#define NEAR (1 << 20) /* bytes that a range may be ahead of a stream */

/* Up to @a most bytes, at the end of the brigade. */
static apr_status_t read_piece(devcache_stream_t *s, apr_uint64_t most)
{
    apr_bucket_alloc_t *alloc = s->bb->bucket_alloc;
    apr_size_t len = most < PIECE ? (apr_size_t)most : PIECE;
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
    XXH3_64bits_update(s->sum, data, (size_t)n);
    s->pos += (apr_uint64_t)n;
    return APR_SUCCESS;
}

/* So far the body can be read, and is wanted. */
static apr_uint64_t limit(const devcache_stream_t *s)
{
    return s->end && s->end < s->view.written ? s->end : s->view.written;
}

/* What has come since, to the client; the first time only the beginning. */
static apr_status_t pass_new(devcache_stream_t *s)
{
    apr_uint64_t end = s->pos == 0 && limit(s) > FIRST ? FIRST : limit(s);

    while (s->pos < end) {
        apr_status_t rv = APR_SUCCESS;
        int n;

        for (n = 0; n < PIECES && rv == APR_SUCCESS && s->pos < end; n++) {
            rv = read_piece(s, end - s->pos);
        }
        if (rv != APR_SUCCESS) {
            apr_brigade_cleanup(s->bb);
            return rv;
        }
        if (s->pos == end) {
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
static int tear_stream(devcache_stream_t *s)
{
    request_rec *r = s->r;

    devcache_stats_count(DEVCACHE_COUNT_collapse_torn);
    ap_log_rerror(
        APLOG_MARK, APLOG_WARNING, 0, r,
        DCLOGNO(0171) "collapse: %s: the fetch that this request followed broke "
                      "off after %" APR_UINT64_T_FMT " bytes; closed",
        devcache_vary_key_url(s->x->asked.key, r->pool), s->pos);
    devcache_tee_tear(r, r->output_filters);
    return OK;
}

/* 1: there will be no more of this body. */
static int is_over(const devcache_stream_t *s, unsigned generation)
{
    return s->view.state != DEVCACHE_FLIGHT_STREAMING || s->view.generation != generation;
}

static int is_whole(const devcache_stream_t *s, unsigned generation)
{
    return s->view.state == DEVCACHE_FLIGHT_ENDED && s->view.generation == generation &&
           (s->view.result == DEVCACHE_FLIGHT_STORED ||
            s->view.result == DEVCACHE_FLIGHT_COMPLETE) &&
           (s->expect < 0 || s->view.written == (apr_uint64_t)s->expect);
}

/* Many followers that wake for each few bytes keep the processor from those who have got
 * nothing yet, so let some more come in: a fraction of the time that it has taken so far,
 * and more where this thread was woken late, as that means that others wait as well. */
static void pace_stream(devcache_stream_t *s)
{
    apr_time_t before = devcache_monotonic();
    apr_interval_time_t pause = (before - s->begun) / PACE_SHARE;

    pause = pause < PACE_MAX ? pause : PACE_MAX;
    pause += s->late * PACE_SHARE;
    pause = pause < PACE_LATE_MAX ? pause : PACE_LATE_MAX;
    apr_sleep(pause);
    s->late = devcache_monotonic() - before - pause;
}

/* Sending all that has come so far is much work, and who has just asked would have to wait
 * for the processor until all who are here have got it. A first piece is little: each gets
 * that, and the rest when nobody has come for a moment. */
static void let_others_begin(const devcache_stream_t *s)
{
    apr_time_t last = s->begun + PACE_LATE_MAX;
    apr_time_t now, until;

    while ((now = devcache_monotonic()) < last) {
        until = devcache_flight_joined_at(s->x->collapse.flight) + QUIET;
        if (now >= until) {
            return;
        }
        apr_sleep((until < last ? until : last) - now);
    }
}

/* The disk is full, say, but the origin goes on: its owner gets the rest, and so shall who
 * follows. */
static int is_only_unwritten(const devcache_stream_t *s, unsigned generation)
{
    return s->view.state == DEVCACHE_FLIGHT_ENDED && s->view.generation == generation &&
           s->view.result == DEVCACHE_FLIGHT_PRIVATE;
}

int devcache_stream_body(devcache_stream_t *s)
{
    unsigned generation = s->view.generation;
    int is_first = 1;

    for (;;) {
        apr_status_t rv = is_over(s, generation) && !is_whole(s, generation)
                              ? APR_EGENERAL
                              : pass_new(s);
        if (rv == APR_ECONNABORTED) {
            return OK;
        }
        if (rv != APR_SUCCESS) {
            return is_only_unwritten(s, generation) && !s->end
                       ? devcache_resume(s->r, s->x, s->pos, XXH3_64bits_digest(s->sum))
                       : tear_stream(s);
        }
        if ((s->end && s->pos >= s->end) ||
            (s->pos == s->view.written && is_whole(s, generation))) {
            APR_BRIGADE_INSERT_TAIL(s->bb, apr_bucket_eos_create(s->bb->bucket_alloc));
            ap_pass_brigade(s->r->output_filters, s->bb);
            return OK;
        }
        if (is_first && s->pos > 0) {
            is_first = 0;
            let_others_begin(s);
        } else {
            pace_stream(s);
        }
        if (s->pos < limit(s)) {
            continue;
        }
        if (devcache_flight_wait(s->x->collapse.flight, &s->view,
                                 s->r->server->timeout) != APR_SUCCESS) {
            return tear_stream(s);
        }
    }
}

int devcache_stream_wants(devcache_stream_t *s)
{
    const devcache_exchange_t *x = s->x;
    devcache_span_t span;

    if (s->expect < 0 || x->found.stored.status != HTTP_OK ||
        !devcache_range_single(apr_table_get(x->asked.fields, "Range"), &span) ||
        !devcache_range_if(apr_table_get(x->asked.fields, "If-Range"),
                           x->found.stored.lines) ||
        !devcache_range_resolve(&span, s->expect) ||
        (apr_uint64_t)span.first > s->view.written + NEAR) {
        return 0;
    }
    s->pos = (apr_uint64_t)span.first;
    s->end = (apr_uint64_t)span.last + 1;
    return 1;
}

void devcache_stream_show_range(const devcache_stream_t *s)
{
    request_rec *r = s->r;

    if (s->end && r->status == HTTP_OK) {
        r->status = HTTP_PARTIAL_CONTENT;
        r->status_line = NULL;
        ap_set_content_length(r, (apr_off_t)(s->end - s->pos));
        apr_table_setn(r->headers_out, "Content-Range",
                       apr_psprintf(r->pool,
                                    "bytes %" APR_UINT64_T_FMT "-%" APR_UINT64_T_FMT
                                    "/%" APR_INT64_T_FMT,
                                    s->pos, s->end - 1, s->expect));
    }
}
