/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/peers.h
 * What other machines have fetched (tier/share.h): taken in place of the origin's answer,
 * and given to them.
 *
 * Glue. Nothing where there is no DevCacheTierUse objects.
 */
#ifndef DEVCACHE_REQUEST_PEERS_H
#define DEVCACHE_REQUEST_PEERS_H

#include "request/decide.h"
#include "request/request.h"

/**
 * Take it from another machine, for a request that owns a flight and a fill: into the
 * store, and whoever follows is told. With DevCacheTierUse locks wait, DevCacheCollapseWait
 * at most, while another machine fetches it.
 * @return 1: it is stored, look it up (for a refresh: it need not be done); 0: it is not,
 *         and x->save.fill is as new
 */
int devcache_peers_take(request_rec *r, devcache_exchange_t *x);

/** What is told of the tier about a request that would be answered so. */
typedef struct devcache_peers_told_t {
    const char *not_asked; /* why it is not asked for the answer; NULL: it is */
    const char *server;    /* whose the key is; NULL: none can be used */
    const char *trouble;   /* of it, or of the first of them; NULL: none */
    devcache_share_found_e found;
    devcache_share_object_t object; /* where it was found */
    int is_unfit;                   /* it was, and does not answer this request */
    const char
        *not_put; /* why what is stored here would not be put there; NULL: it would,
                          * or nothing is stored */
} devcache_peers_told_t;

/** For watch/explain.c, after the decision: the server is asked, and nothing is stored or
 * counted. @return 0: objects are not shared */
int devcache_peers_tell(request_rec *r, devcache_exchange_t *x,
                        devcache_decision_e decision, devcache_peers_told_t *out);

/** The origin is about to be asked. */
void devcache_peers_note(devcache_exchange_t *x);

/** All of a body has come, and is about to be published: copy it for the others. */
void devcache_peers_copy(request_rec *r, devcache_exchange_t *x);

/** A stored response was confirmed: so is the others', with these fields. */
void devcache_peers_confirm(request_rec *r, devcache_exchange_t *x);

/** It was published, or not: send what was copied, or forget it. */
void devcache_peers_settle(request_rec *r, devcache_exchange_t *x, int published);

/** Others need not wait for this request any longer. Nothing, if none does. */
void devcache_peers_release(devcache_exchange_t *x);

/** What is stored under a key is about to be removed here alone. */
void devcache_peers_forget(const devcache_exchange_t *x, devcache_slice_t key);

#endif
