/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/save.h
 * The filter that sees the answer as it will go out: DEVCACHE_SAVE.
 *
 * Glue. It stands after mod_headers, whose edits of Cache-Control and Vary count. It has
 * the answer judged (request/judge.h) and copies the body into the store.
 */
#ifndef DEVCACHE_REQUEST_SAVE_H
#define DEVCACHE_REQUEST_SAVE_H

#include "request/request.h"

void devcache_save_register(void);

/** Hook insert_filter, after mod_headers; where devcache_origin_insert() puts its own. */
void devcache_save_insert(request_rec *r);

#endif
