/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/piece.h
 * Responses in pieces: which of them a request wants, and what the origin is asked for.
 *
 * Glue. Reads the exchange, and writes x->piece, which is its own. RFC 9111, sections 3.3
 * and 3.4.
 */
#ifndef DEVCACHE_REQUEST_PIECE_H
#define DEVCACHE_REQUEST_PIECE_H

#include "request/request.h"

/** Is this response asked for by slices (DevCacheSlice)? So many bytes each; 0: no. */
apr_int64_t devcache_piece_slice(const devcache_exchange_t *x);

/** Is it asked for without slices for a minute, as one of them was of no use? */
int devcache_piece_is_avoided(const devcache_exchange_t *x);

/**
 * A stored response in pieces: is all there that the request wants, or can it be had piece
 * by piece? If not, and it lacks little, x->piece.gap is that.
 */
int devcache_piece_serves(const request_rec *r, devcache_exchange_t *x,
                          const devcache_response_t *stored);

/** Will the origin be asked for a piece rather than for what the client wants? */
static inline int devcache_piece_wanted(const devcache_exchange_t *x)
{
    return x->piece.has_gap || devcache_piece_slice(x) > 0;
}

/** Put the piece that is wanted into the request that goes to the origin; if none is,
 * nothing. */
void devcache_piece_ask(devcache_exchange_t *x, apr_table_t *fields, apr_pool_t *p);

/** Its position of which the client wants the first byte; -1: it wants none. */
apr_int64_t devcache_piece_first_wanted(const request_rec *r,
                                        const devcache_exchange_t *x,
                                        devcache_response_t *stored);

/** The piece with the byte at @a pos; 0: there is none. */
int devcache_piece_at(const devcache_pieces_t *pieces, apr_int64_t pos,
                      devcache_span_t *span);

/** The key of a piece of what is stored for this request. */
devcache_slice_t devcache_piece_key(const devcache_exchange_t *x,
                                    const devcache_pieces_t *pieces, apr_int64_t first,
                                    apr_pool_t *p);

/** Find a piece of a stored response. @return APR_NOTFOUND */
apr_status_t devcache_piece_find(const devcache_exchange_t *x, const devcache_hit_t *of,
                                 const devcache_pieces_t *pieces, devcache_span_t span,
                                 devcache_lookup_fn *lookup, devcache_hit_t **piece,
                                 apr_pool_t *p);

/** Find what is stored under spec and variant of @a what, in pieces. */
apr_status_t devcache_piece_owner(const devcache_exchange_t *x,
                                  const devcache_publish_t *what, devcache_hit_t **hit,
                                  devcache_response_t *stored, apr_pool_t *p);

/** The answer was of no use: ask as if there were no slices, this URL for a while; where the
 * reason is the asker's own, only for such as he. */
void devcache_piece_give_up(devcache_exchange_t *x, devcache_reason_e reason);

/** A piece of what is stored could not be had: give up, unless that may be of the moment. One
 * of another version is what happens; twice in a minute, the origin's machines disagree. */
void devcache_piece_lost(devcache_exchange_t *x, devcache_piece_result_e result,
                         devcache_reason_e reason);

#endif
