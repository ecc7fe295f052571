/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/effect.h
 * What an answer of the origin means for the copies of its URL that are stored.
 *
 * Pure, and the only place that says so.
 */
#ifndef DEVCACHE_HTTP_EFFECT_H
#define DEVCACHE_HTTP_EFFECT_H

#include "http/reason.h"

typedef enum devcache_effect_e {
    DEVCACHE_EFFECT_NONE,      /* nothing is touched */
    DEVCACHE_EFFECT_STORE,     /* it takes the place of the variant of its request */
    DEVCACHE_EFFECT_CONFIRM,   /* that variant still holds, with new fields */
    DEVCACHE_EFFECT_EXPIRE,    /* what its request would be given is stale from now on */
    DEVCACHE_EFFECT_END,       /* what its request would be given goes */
    DEVCACHE_EFFECT_INVALIDATE /* every variant of the URL goes */
} devcache_effect_e;

typedef struct devcache_answer_t {
    const char *method; /* of its request */
    int status;         /* of the answer; for one that confirms, of what is stored */
    devcache_reason_e reason; /* why it is not stored; NONE: it may be */
    int confirms; /* a 304 to our own condition, or a HEAD about what is stored */
    int fresh;    /* what is stored for the request is fresh */
    int personal; /* the request tells who it is from: credentials, cookies that count */
    int background; /* a refresh, which is from nobody */
} devcache_answer_t;

devcache_effect_e devcache_effect_of(const devcache_answer_t *a);

/** May an answer that is not stored for this reason be for its request alone? */
int devcache_effect_may_be_personal(devcache_reason_e reason);

/**
 * Is such an answer one to somebody who has not logged in? A refresh is asked without the
 * visitor's login, so that it is not the page, and is not stored.
 */
int devcache_effect_sends_to_login(int status);

/** Is it trouble of the moment, which says nothing about the page? */
int devcache_effect_is_trouble(int status);

#endif
