/**
 * @file devcache_explain_show.h
 * What has been found out about a request, in JSON. Glue; for devcache_explain.c.
 *
 * Told is what the asker has to know, not what a visitor would get: of stored fields
 * those that decide about caching, of secret request fields that they are there.
 */
#ifndef DEVCACHE_EXPLAIN_SHOW_H
#define DEVCACHE_EXPLAIN_SHOW_H

#include "devcache_json.h"
#include "devcache_request.h"

/** What becomes of a request. */
typedef struct devcache_explained_t {
    int status;         /* httpd answers with it before the cache is asked; OK: no */
    const char *answer; /* hit, stale, validate, miss, ... */
    int quick;          /* a hit of DevCacheQuick: nothing else was asked */
    devcache_exchange_t *x;
} devcache_explained_t;

/** The members of an object: server, device, answer, what is stored, directives. */
void devcache_explain_show(devcache_json_t *j, request_rec *about,
                           const devcache_explained_t *o);

#endif
