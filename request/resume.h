/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/resume.h
 * The rest of a body of which a client has got the beginning from somebody else's fetch.
 *
 * Glue, for request/collapse.c.
 */
#ifndef DEVCACHE_REQUEST_RESUME_H
#define DEVCACHE_REQUEST_RESUME_H

#include "request/request.h"

/**
 * Ask the origin for the whole, and send what comes after the first @a sent bytes, if
 * those are the same that the client has; else the client sees that the body is not whole.
 * @param sum  XXH3 of them
 * @return what the handler has to
 */
int devcache_resume(request_rec *r, devcache_exchange_t *x, apr_uint64_t sent,
                    apr_uint64_t sum);

void devcache_resume_register(void);

#endif
