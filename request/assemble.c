/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembling.
 *
 * The bucket knows the length of the whole body and the place of its own first byte in it.
 * httpd's filter for ranges cuts it and copies it without reading; whoever reads it gets the
 * next bytes, at most PIECE of them, in memory. A piece that is not in the store is fetched
 * in the thread that reads. One that cannot be had any more, as the origin fails or has
 * another version now, is an error of reading, by which httpd closes the connection: the
 * client sees that it has not got all.
 *
 * Where the store has no room for it, may not have it, or cannot read it, whoever has got
 * the beginning gets the rest from the origin, KEPT bytes at a time, which are in memory
 * for him alone. The next visitors get such a response whole, without slices.
 *
 * Bytes are copied, as a file for each piece of a film would stay open to its end.
 */
#include "request/assemble.h"

#include <apr_portable.h>
#include <errno.h>
#include <http_log.h>
#include <unistd.h>
#include "base/fault.h"
#include "mod_devcache.h"
#include "request/decide.h"
#include "request/piece.h"

#define PIECE 65536    /* bytes read at once */
#define KEPT (1 << 20) /* bytes of a piece that is not stored, at once */
#define TRIES 4        /* to find what others fetch, or evict */
#define UNSTORED 2     /* pieces; what is not there after that is not stored either */

typedef struct body_t {
    apr_bucket_refcount refcount; /* first: of the buckets that are parts of it */
    request_rec *r;
    devcache_exchange_t *x;
    const devcache_hit_t *of;
    devcache_response_t stored;
    int unstored; /* so many pieces could not be stored */
    /* The piece that was read last: */
    apr_pool_t *pool; /* its own; NULL: there is none */
    devcache_span_t span;
    const char *data; /* in memory, or */
    apr_os_file_t fd; /* in a file, */
    apr_off_t base;   /* from here on */
} body_t;

static devcache_assemble_fetch_fn *fetch_piece;

void devcache_assemble_register(devcache_assemble_fetch_fn *fetch)
{
    fetch_piece = fetch;
}

/* ---- one piece --------------------------------------------------------------------- */

static void close_piece(body_t *body)
{
    if (body->pool) {
        apr_pool_destroy(body->pool);
        body->pool = NULL;
    }
}

static apr_status_t look_up(body_t *body, devcache_span_t span)
{
    devcache_store_t *store = body->x->server->store;
    devcache_hit_t *hit;
    apr_file_t *file;
    apr_status_t rv;

    apr_pool_create(&body->pool, body->r->pool);
    body->span = span;
    rv = devcache_piece_find(body->x, body->of, body->stored.pieces, span,
                             devcache_store_lookup, &hit, body->pool);
    if (rv == APR_SUCCESS && !(body->data = hit->body.data)) {
        rv = devcache_store_open_body(store, hit, &file, &body->base, body->pool);
        if (rv == APR_SUCCESS) {
            rv = apr_os_file_get(&body->fd, file);
        }
    }
    if (rv != APR_SUCCESS) {
        close_piece(body);
    }
    return rv;
}

/* Warn of bytes that are not to be had as they should be: @a what. */
static void warn_of(const body_t *body, devcache_span_t span, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, body->r,
                  DCLOGNO(0131) "assemble: %s: bytes %" APR_INT64_T_FMT
                                "-%" APR_INT64_T_FMT " %s",
                  devcache_vary_key_url(body->x->asked.key, body->r->pool), span.first,
                  span.last, what);
}

/* Where this thread holds a connection to the origin it may get no other. */
static apr_status_t fetch(body_t *body, devcache_span_t span, char *keep)
{
    return body->x->origin.running
               ? APR_NOTFOUND
               : fetch_piece(body->r, body->x, body->of, &body->stored, span, keep);
}

/* The store has no room for it. Once that may be of the moment; twice, the next visitors get
 * the response whole. */
static void note_unstored(body_t *body, devcache_span_t span)
{
    if (++body->unstored == UNSTORED && !body->x->piece.given_up) {
        devcache_piece_lost(body->x, DEVCACHE_PIECE_UNSTORED,
                            DEVCACHE_REASON_STORE_ERROR);
        if (devcache_store_usable(body->x->server->store)) { /* else that has been said */
            warn_of(body, span,
                    "came, and could not be stored; is the disk full, or DevCacheSize "
                    "too small?");
        }
    }
}

/* A piece by way of the store. APR_EAGAIN: not by that. */
static apr_status_t open_stored(body_t *body, devcache_span_t span)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        apr_status_t rv = look_up(body, span);

        if (rv == APR_SUCCESS) {
            return rv;
        }
        if (body->unstored == UNSTORED) {
            break;
        }
        rv = fetch(body, span, NULL);
        if (APR_STATUS_IS_EAGAIN(rv)) {
            note_unstored(body, span);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_EAGAIN;
}

/* The beginning of @a span past the store. */
static apr_status_t open_kept(body_t *body, devcache_span_t span)
{
    apr_status_t rv;
    apr_pool_t *p;
    char *data;

    if (devcache_range_size(span) > KEPT) {
        span.last = span.first + KEPT - 1;
    }
    apr_pool_create(&p, body->r->pool);
    data = apr_palloc(p, (apr_size_t)devcache_range_size(span));
    body->pool = p;
    rv = fetch(body, span, data);
    if (rv != APR_SUCCESS) {
        close_piece(body);
    }
    body->span = span;
    body->data = data;
    return rv;
}

/* Have the piece with the byte at @a pos at hand; of one that @a has_begun to go out, past
 * the store if need be. */
static apr_status_t open_piece(body_t *body, apr_int64_t pos, int has_begun)
{
    devcache_span_t span;
    apr_status_t rv;

    if (body->pool && pos >= body->span.first && pos <= body->span.last) {
        return APR_SUCCESS;
    }
    close_piece(body);
    if (!devcache_piece_at(body->stored.pieces, pos, &span)) {
        return APR_NOTFOUND;
    }
    rv = open_stored(body, span);
    if (APR_STATUS_IS_EAGAIN(rv) && has_begun) {
        span.first = pos;
        rv = open_kept(body, span);
    }
    if (rv != APR_SUCCESS && has_begun) {
        warn_of(body, span, "cannot be had any more");
    }
    return rv;
}

static apr_status_t read_file(const body_t *body, apr_off_t at, char *data,
                              apr_size_t len)
{
    if (DEVCACHE_FAULT("piece-read")) {
        return EIO;
    }
    while (len > 0) {
        ssize_t n = pread(body->fd, data, len, at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : APR_EOF;
        }
        data += n;
        at += n;
        len -= (apr_size_t)n;
    }
    return APR_SUCCESS;
}

/* The @a len bytes at @a pos, which are in the piece at hand. What the disk does not give is
 * fetched. */
static apr_status_t read_piece(body_t *body, apr_int64_t pos, char *data, apr_size_t len)
{
    devcache_span_t rest = {pos, body->span.last};
    apr_status_t rv = APR_SUCCESS;

    if (!body->data) {
        rv = read_file(body, body->base + (pos - body->span.first), data, len);
        if (rv == APR_SUCCESS) {
            return rv;
        }
        close_piece(body);
        rv = open_kept(body, rest);
    }
    if (rv == APR_SUCCESS) {
        memcpy(data, body->data + (pos - body->span.first), len);
    }
    return rv;
}

/* ---- the bucket -------------------------------------------------------------------- */

static void body_destroy(void *data)
{
    body_t *body = data;

    if (apr_bucket_shared_destroy(body)) {
        close_piece(body);
    }
}

static apr_status_t body_read(apr_bucket *b, const char **str, apr_size_t *len,
                              apr_read_type_e block)
{
    body_t *body = b->data;
    apr_int64_t pos = b->start;
    apr_status_t rv = open_piece(body, pos, 1);
    apr_size_t n;
    char *data;

    if (rv != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    n = (apr_size_t)(body->span.last - pos + 1);
    n = n < b->length ? n : b->length;
    n = n < PIECE ? n : PIECE;
    data = apr_bucket_alloc(n, b->list);
    rv = read_piece(body, pos, data, n);
    if (rv != APR_SUCCESS) {
        apr_bucket_free(data);
        return rv;
    }
    if (n < b->length) {
        apr_bucket_split(b, n);
    }
    apr_bucket_heap_make(b, data, n, apr_bucket_free);
    body_destroy(body); /* this bucket is no part of it any more */
    *str = data;
    *len = n;
    return APR_SUCCESS;
}

/* Whoever puts it aside has to have all of its bytes: the request may be gone by then. */
static apr_status_t body_setaside(apr_bucket *b, apr_pool_t *p);

static const apr_bucket_type_t body_type = {"DEVCACHE_PIECES",
                                            5,
                                            APR_BUCKET_DATA,
                                            body_destroy,
                                            body_read,
                                            body_setaside,
                                            apr_bucket_shared_split,
                                            apr_bucket_shared_copy};

static apr_status_t body_setaside(apr_bucket *b, apr_pool_t *p)
{
    apr_bucket *end = APR_BUCKET_NEXT(b), *at = b;

    do {
        const char *data;
        apr_size_t len;
        apr_status_t rv = apr_bucket_read(at, &data, &len, APR_BLOCK_READ);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        at = APR_BUCKET_NEXT(at);
    } while (at != end);
    return APR_SUCCESS;
}

apr_status_t devcache_assemble(request_rec *r, devcache_exchange_t *x,
                               apr_bucket_brigade *bb)
{
    body_t *body = apr_pcalloc(r->pool, sizeof *body);
    apr_bucket *b;
    apr_int64_t first;

    body->r = r;
    body->x = x;
    body->of = x->found.hit;
    body->stored = x->found.stored;
    first = devcache_piece_first_wanted(r, x, &body->stored);
    if (first >= 0 && open_piece(body, first, 0) != APR_SUCCESS) {
        return APR_NOTFOUND;
    }
    b = apr_bucket_alloc(sizeof *b, bb->bucket_alloc);
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = bb->bucket_alloc;
    b = apr_bucket_shared_make(b, body, 0, (apr_size_t)body->stored.pieces->length);
    b->type = &body_type;
    APR_BRIGADE_INSERT_TAIL(bb, b);
    return APR_SUCCESS;
}
