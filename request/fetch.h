/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/fetch.h
 * Ask the origin, by running the handlers that come after ours.
 *
 * Glue, for request/serve.c. Each returns when the answer has been sent, or with a status
 * that httpd is to make an error page of; x->phase and x->origin say what came.
 */
#ifndef DEVCACHE_REQUEST_FETCH_H
#define DEVCACHE_REQUEST_FETCH_H

#include "request/request.h"

/** For the whole, to be stored if that is allowed. */
int devcache_fetch(request_rec *r, devcache_exchange_t *x);

/** Whether the stored response still holds; else for the whole. */
int devcache_fetch_validate(request_rec *r, devcache_exchange_t *x);

/** For the whole once more, in the phase SERVED: see request/resume.c. */
int devcache_fetch_again(request_rec *r, devcache_exchange_t *x);

/** For what the client asks for, which is not stored. */
int devcache_fetch_as_asked(request_rec *r, devcache_exchange_t *x);

#endif
