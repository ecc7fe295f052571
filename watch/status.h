/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/status.h
 * SetHandler devcache-status: how the cache is doing, for people and for programs.
 *
 * Glue. Shows numbers, the URLs asked for most and those that failed; whom it is shown to
 * is for the administrator's Require.
 */
#ifndef DEVCACHE_WATCH_STATUS_H
#define DEVCACHE_WATCH_STATUS_H

#include "request/request.h"

/** Hook handler, for GET and HEAD. */
int devcache_status_handler(request_rec *r);

/** Hook status_hook of mod_status: a section in server-status, also in its ?auto. */
int devcache_status_section(request_rec *r, int flags);

#endif
