/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/compose.h
 * A page with gaps is filled: each part is a request of its own.
 *
 * Glue. A part is asked for as the visitor would: a GET with the lines that he has sent, but
 * for what is about his copy of the page, from his address. It goes through all hooks, access
 * control first, and through this cache: it has its own key, variant, lifetime, tags and
 * flight. It runs in the page's thread, and nothing of it is left but what it has answered.
 * DevCacheFragments; request/fragments.c says when.
 */
#ifndef DEVCACHE_REQUEST_COMPOSE_H
#define DEVCACHE_REQUEST_COMPOSE_H

#include <util_filter.h>
#include "http/fragments.h"
#include "request/request.h"

#define DEVCACHE_COMPOSE_MAX (8 << 20) /* bytes of a page with its parts */

/* What all parts of a page may cost, those of parts too. */
typedef struct devcache_compose_budget_t {
    int parts;
    apr_size_t bytes;
    const conn_rec *visitor; /* whose page it is: each part is asked for as from there */
    apr_time_t until;        /* monotonic; none is asked for after that */
    int told;                /* it is spent, and the log says so */
} devcache_compose_budget_t;

/* A page that is, or may be, put together. */
typedef struct devcache_compose_t {
    const struct devcache_compose_t *around; /* whose part this is; NULL: nobody's */
    const char *url;                         /* as it was asked for */
    int depth;
    devcache_compose_budget_t *budget;
    int parts, failed; /* asked for; and left out, of these */

    /* By fragments.c: */
    unsigned dialects;        /* of what passes; 0: it has no gaps */
    int is_offered;           /* the origin was told that they will be filled */
    int is_passing;           /* past the cache, and has its gaps all the same */
    int waits;                /* for the handlers to end */
    int has_ended;            /* all of the page is held */
    const char *codings;      /* what the client accepts, which the origin was not told */
    ap_filter_t *filter;      /* the one that holds the page; NULL: none */
    ap_filter_t *later;       /* those that are to see it when it is whole */
    apr_bucket_brigade *held; /* the page as it has come; NULL: nothing */
    apr_size_t size;
} devcache_compose_t;

/** What the request's page is put together by; made when first asked for. */
devcache_compose_t *devcache_compose_of(request_rec *r, devcache_exchange_t *x);

/**
 * Fill the gaps of a page, and make its fields those of the whole: no validators, the least
 * lifetime, private if a part is.
 * @param page  empty for a HEAD whose body was not asked for
 * @param out   the whole is appended
 * @return OK, or the status of the error that is to take its place
 */
int devcache_compose(request_rec *r, devcache_exchange_t *x, devcache_slice_t page,
                     apr_bucket_brigade *out);

/** Register the filter that takes what a part answers. */
void devcache_compose_register(void);

#endif
