/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/judge.h
 * May the answer be stored, and what becomes of what is?
 *
 * Glue, for the filter that sees the answer as it will go out (request/save.c).
 */
#ifndef DEVCACHE_REQUEST_JUDGE_H
#define DEVCACHE_REQUEST_JUDGE_H

#include <util_filter.h>
#include "request/request.h"

/**
 * An answer begins, in the phase FETCH or CONFIRMED; nothing in others. After it a new
 * response is being stored or is not, a confirmed one is stored or was removed.
 * @param bb  its first brigade; where the client has what is stored already, and r->status
 *            is 304 now, with a flush in front
 */
void devcache_judge_answer(request_rec *r, devcache_exchange_t *x,
                           apr_bucket_brigade *bb);

/** May the response in @a r with these fields be stored? Fills x->answer.fresh,
 *  x->save.expect, and of x->save.what spec and tags. Changes nothing else. */
devcache_reason_e devcache_judge_storable(request_rec *r, devcache_exchange_t *x,
                                          const apr_table_t *fields);

/** The same, of an answer of the origin that will be stored then: what it says of queries
 * is noted, and must be what the key was made by. */
devcache_reason_e devcache_judge_and_learn(request_rec *r, devcache_exchange_t *x,
                                           const apr_table_t *fields);

/** What is stored of it, into @a what, whose spec and tags are known: variant, meta, times. */
void devcache_judge_describe(const devcache_exchange_t *x,
                             const devcache_response_t *resp, devcache_publish_t *what,
                             apr_pool_t *p);

/** The same of the answer in @a r, into x->save.what. */
void devcache_judge_describe_answer(request_rec *r, devcache_exchange_t *x);

/** The response is not stored, or no longer: end the fill, tell those who wait. */
void devcache_judge_refuse(request_rec *r, devcache_exchange_t *x,
                           devcache_reason_e reason);

/**
 * The body has come, and with it all parts that it is put together from: it is no longer
 * fresh than each of them, has the tags of all, and varies by what was looked at meanwhile.
 * @return NONE; PART: not fresh at all; or what stands against its Vary
 */
devcache_reason_e devcache_judge_whole(request_rec *r, devcache_exchange_t *x);

/** The store's answer to a publication, as a reason. */
devcache_reason_e devcache_judge_published(apr_status_t rv);

#endif
