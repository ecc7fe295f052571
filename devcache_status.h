/**
 * @file devcache_status.h
 * SetHandler devcache-status: the counters, for people and (?auto) for programs.
 *
 * Glue. Shows numbers and their meaning, no URL and nothing of any visitor; whom it is
 * shown to is for the administrator's Require.
 */
#ifndef DEVCACHE_STATUS_H
#define DEVCACHE_STATUS_H

#include "devcache_request.h"

/** Hook handler, for GET and HEAD. */
int devcache_status_handler(request_rec *r);

#endif
