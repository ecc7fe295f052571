/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/fields.h
 * The request's fields: who has set them, and may what they fetch be stored for all?
 *
 * Glue around http/ordinary.h and http/cookies.h, which say what fields and cookies mean.
 * Ownership  Results live in the request's pool.
 */
#ifndef DEVCACHE_REQUEST_FIELDS_H
#define DEVCACHE_REQUEST_FIELDS_H

#include "request/request.h"

/**
 * Before the decision: which fields forbid the cache, which ask for another form, and
 * which has the configuration set?
 * @return the name of the first that forbids it, or NULL
 */
const char *devcache_fields_judge(request_rec *r, devcache_exchange_t *x);

/** Is a line of the header one that the client has sent, as it is? */
int devcache_fields_was_sent(const apr_table_entry_t *line, const devcache_exchange_t *x);

/** Names and values of what the configuration has set, for the target; data NULL: none. */
devcache_slice_t devcache_fields_set_values(request_rec *r, const devcache_exchange_t *x);

/**
 * The fields that the origin is sent where the cache may answer: normalised, and with the
 * cookies that count. Sets x->asked.cookie.
 */
apr_table_t *devcache_fields_to_send(request_rec *r, devcache_exchange_t *x);

/**
 * The fields that a variant under this spec compares: those that are sent, with what
 * mod_proxy adds to them afterwards (X-Forwarded-For, Via).
 */
const apr_table_t *devcache_fields_compared(const devcache_exchange_t *x,
                                            const char *spec, apr_pool_t *p);

/** Does a spec (of a variant; NULL: none) name this field? */
int devcache_fields_in_spec(const char *spec, const char *name);

/** Accept-Encoding in a copy of these fields, as the origin is sent it; the variants compare
 * it as if it were so. Not before the origin is asked: hits need no copy. */
void devcache_fields_reduce_codings(const devcache_exchange_t *x, apr_table_t *fields,
                                    apr_pool_t *p);

/** May a response with this spec answer it: is each other form compared? */
int devcache_fields_may_match(const devcache_exchange_t *x, const char *spec);

/**
 * Is what this request fetches not for all, since it is no ordinary one?
 * @param spec  of what is stored; NULL: not known
 * @return the name of the field that says so, or NULL: it is ordinary
 */
const char *devcache_fields_odd(request_rec *r, devcache_exchange_t *x, const char *spec);

/**
 * The same for an answer, by its own spec and fields.
 * @return NONE, or ODD_REQUEST with x->asked.odd set
 */
devcache_reason_e devcache_fields_judge_answer(request_rec *r, devcache_exchange_t *x,
                                               const char *spec,
                                               const apr_table_t *response);

/** Take out of a header what would make its request odd: what is fetched with it is for
 * all. Nobody waits for such an answer. */
void devcache_fields_make_ordinary(request_rec *r, devcache_exchange_t *x,
                                   apr_table_t *header);

/** Does a lifetime that the application has not stated not hold for this visitor? */
static inline int devcache_fields_needs_own(const devcache_exchange_t *x,
                                            const devcache_freshness_t *fresh)
{
    return x->asked.cookie && (fresh->flags & DEVCACHE_OWN_LIFETIME);
}

/** Why a field is not ordinary, in a few words. */
const char *devcache_fields_why(request_rec *r, const devcache_exchange_t *x,
                                const char *name);

/** The line of configuration that would mend it; NULL: there is none. */
const char *devcache_fields_advice(request_rec *r, const devcache_exchange_t *x,
                                   devcache_reason_e reason, const char *name);

/** A field (or for COOKIE a cookie) was the reason: count it, and log it the first time. */
void devcache_fields_tell(request_rec *r, devcache_exchange_t *x,
                          devcache_reason_e reason, const char *name);

#endif
