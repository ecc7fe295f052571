/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/explain_show.h
 * What has been found out about a request, in JSON. Glue; for watch/explain.c.
 *
 * Told is what the asker has to know, not what a visitor would get: of stored fields
 * those that decide about caching, of secret request fields that they are there.
 */
#ifndef DEVCACHE_WATCH_EXPLAIN_SHOW_H
#define DEVCACHE_WATCH_EXPLAIN_SHOW_H

#include "base/json.h"
#include "request/peers.h"

/** What becomes of a request. */
typedef struct devcache_explained_t {
    int status;         /* httpd answers with it before the cache is asked; OK: no */
    const char *answer; /* hit, stale, validate, miss, ... */
    devcache_exchange_t *x;
    int shares; /* tier says something: DevCacheTierUse objects */
    devcache_peers_told_t tier;
} devcache_explained_t;

/** The members of an object: server, device, answer, what is stored, directives. */
void devcache_explain_show(devcache_json_t *j, request_rec *about,
                           const devcache_explained_t *o);

#endif
