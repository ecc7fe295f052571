/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/part.h
 * Pages put together from others, as by mod_include: subrequests of a page that is being
 * fetched.
 *
 * A hit comes by access control and the origin of the page, not by those of its parts. So
 * a page is for all only if each of its parts was; and a refresh, which has no visitor
 * and no TLS session, puts no pages together.
 *
 * Glue. Only the page's own thread touches its exchange.
 */
#ifndef DEVCACHE_REQUEST_PART_H
#define DEVCACHE_REQUEST_PART_H

#include "request/request.h"

/** Is the answer to this request put together by a filter that asks for parts? The chain
 *  is looked at as it stands when the handler is called. */
int devcache_part_assembles(const request_rec *r);

/** After the configuration has been read: notes the filters that somebody has programmed
 *  (mod_ext_filter, mod_lua). */
void devcache_part_find_programs(apr_pool_t *pconf);

/** Does such a filter see the answer? It may make of it what it likes, by whatever it sees
 *  of the visitor. As assembles(), of the chain as it stands. */
int devcache_part_is_programmed(const request_rec *r);

/** Hook map_to_storage, first, as files that are looked up have no earlier one: a part
 *  begins. Always DECLINED. */
int devcache_part_begins(request_rec *r);

/** Hook fixups, last: it was let in. Would strangers be? Always DECLINED. */
int devcache_part_fixup(request_rec *r);

/** Hook handler, before all others: runs them for a part and looks at what it came to. */
int devcache_part_handler(request_rec *r);

/** May the page that has come so far not be for all, as a part of it failed, was refused
 *  or is not for all? */
int devcache_part_spoils(const devcache_exchange_t *x);

#endif
