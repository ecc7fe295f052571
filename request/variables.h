/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/variables.h
 * What the configuration has put into the environment, where the answer may be made from it.
 *
 * Glue around http/variables.h.
 */
#ifndef DEVCACHE_REQUEST_VARIABLES_H
#define DEVCACHE_REQUEST_VARIABLES_H

#include "request/request.h"

/**
 * Names and values for the target, before the handler adds its own.
 * @param r        whose handler will answer
 * @param handler  its name
 * @return pairs, sorted by name; data NULL: there are none, or nobody is given them
 */
devcache_slice_t devcache_variables_values(request_rec *r, const char *handler,
                                           const devcache_exchange_t *x);

#endif
