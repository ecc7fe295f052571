/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/fragments.h
 * Pages with gaps (DevCacheFragments): who may see them, and when they are filled.
 *
 * Glue. What is stored is the page as the origin has sent it, in identity coding; each time
 * that it goes out request/compose.h fills it. The filters that work on bodies come after
 * that, so that they see what visitors get.
 *
 *     handler > DEVCACHE_GAPS > ORIGIN > mod_headers > SAVE > DEVCACHE_FRAGMENTS > DEFLATE ... > REPLY
 */
#ifndef DEVCACHE_REQUEST_FRAGMENTS_H
#define DEVCACHE_REQUEST_FRAGMENTS_H

#include <util_filter.h>
#include "request/request.h"

/** An answer of the origin will wait until the handlers have ended: devcache_fragments_finish().
 */
void devcache_fragments_wait(request_rec *r, devcache_exchange_t *x);

/** The handlers have ended: send what has waited. @return rv, or what has become of it */
int devcache_fragments_finish(request_rec *r, devcache_exchange_t *x, int rv);

/**
 * The origin is about to be asked with the header @a fields: tell it that gaps are filled.
 * @param whole  0: not, as for a part of the page, whose answer is not stored then
 */
void devcache_fragments_offer(request_rec *r, devcache_exchange_t *x, apr_table_t *fields,
                              int whole);

/** Put the filter that sees an answer first into the chain, if it was told so. */
void devcache_fragments_insert(request_rec *r, devcache_exchange_t *x);

/** The answer comes past the cache: it is filled where gaps are left without being asked. */
void devcache_fragments_pass(request_rec *r, devcache_exchange_t *x);

/** Hook insert_filter: that answer is that to an internal redirect. */
void devcache_fragments_follow(request_rec *r);

/** x->found.stored has gaps, and is about to be sent down the filters of @a r. */
void devcache_fragments_arrange(request_rec *r, devcache_exchange_t *x);

/** May the answer not be stored, as it was asked for in a way that leaves no gaps? */
int devcache_fragments_spoil(const devcache_exchange_t *x);

/** The dialects that what is being stored has gaps in: flags of its freshness. */
unsigned devcache_fragments_of(const devcache_exchange_t *x);

void devcache_fragments_register(void);

#endif
