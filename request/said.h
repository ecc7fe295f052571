/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/said.h
 * What the application itself has said about its response: before mod_expires, mod_headers
 * and our own directives.
 *
 * Glue: a filter of its own, ahead of all that set fields for the administrator.
 */
#ifndef DEVCACHE_REQUEST_SAID_H
#define DEVCACHE_REQUEST_SAID_H

#include "request/request.h"

/** Put the filter into the chain of a request whose response may be stored. */
void devcache_said_insert(request_rec *r, devcache_exchange_t *x);

/**
 * What the configuration has made the response depend on before any handler ran: <If>,
 * rewriting. mod_proxy throws that away. To be called when the request is prepared.
 */
void devcache_said_note_vary(request_rec *r, devcache_exchange_t *x);

/** Does that name this field? @a lower in lower case */
int devcache_said_varies_by(const devcache_exchange_t *x, const char *lower);

/** Put it back into the response's fields, where the handler has lost it. */
void devcache_said_restore_vary(request_rec *r, const devcache_exchange_t *x);

/** Has the application stated the lifetime that x->answer.fresh has? Marks it if not. */
void devcache_said_judge_lifetime(request_rec *r, devcache_exchange_t *x,
                                  const apr_table_t *fields);

void devcache_said_register(void);

#endif
