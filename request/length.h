/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/length.h
 * The length that a CGI script or an SCGI application states, which httpd drops.
 *
 * Glue: around a handler's run, and a filter in front of all others.
 */
#ifndef DEVCACHE_REQUEST_LENGTH_H
#define DEVCACHE_REQUEST_LENGTH_H

#include "request/request.h"

/** The request's handler is about to be run, for this exchange or a part of its page. */
void devcache_length_begin(request_rec *r, devcache_exchange_t *x);

/** It has been run. */
void devcache_length_end(request_rec *r);

void devcache_length_register(void);

#endif
