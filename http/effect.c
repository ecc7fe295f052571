/* SPDX-License-Identifier: Apache-2.0 */
#include "http/effect.h"

#include "http/policy.h"

/*
 * What an answer does.
 *
 *   to an unsafe method, if it succeeded            the URL's variants go (RFC 9111,
 *                                                   section 4.4)
 *   408, 425, 429, 5xx                              nothing: trouble of the moment
 *   206, 226, 304, 412, 416                         nothing: about this request only
 *   401, 403, 407, a redirect to a refresh,         nothing: it was asked without login,
 *   or to somebody in particular                    or it is about that login
 *   may be stored                                   takes the variant's place, or confirms
 *                                                   it
 *   to HEAD, other than what is stored              what was fresh is stale
 *   Set-Cookie, Clear-Site-Data, or a request       nothing: a message to one visitor
 *   that is not like others
 *   private, no-store and the like                  nothing, if it may be this visitor's
 *                                                   own; but if nobody in particular has
 *                                                   asked, and nothing fresh is there:
 *                                                   the page is not for all any more
 *   else a full answer: 404, 410, a page without a  the old copy goes: whatever comes next,
 *   lifetime, too large, malformed, ...             that is not the page any more
 *
 * Nothing here is about other variants: those are other requests' pages. What a request
 * that bypasses the cache fetches does not come here at all, but for unsafe methods.
 */

int devcache_effect_is_trouble(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static int is_partial(int status)
{
    return status < 200 || status == 206 || status == 226 || status == 304 ||
           status == 412 || status == 416;
}

int devcache_effect_sends_to_login(int status)
{
    return status == 401 || status == 403 || status == 407 ||
           (status >= 300 && status < 400);
}

/* What may be said to one visitor only. */
static int is_personal(devcache_reason_e reason)
{
    return reason == DEVCACHE_REASON_PRIVATE || reason == DEVCACHE_REASON_NO_STORE ||
           reason == DEVCACHE_REASON_AUTHORIZATION || reason == DEVCACHE_REASON_COOKIE ||
           reason == DEVCACHE_REASON_PART || reason == DEVCACHE_REASON_VARY_STAR ||
           reason == DEVCACHE_REASON_DISGUISED;
}

/* What says nothing about the page. */
static int is_beside_the_page(devcache_reason_e reason)
{
    return reason == DEVCACHE_REASON_SET_COOKIE ||
           reason == DEVCACHE_REASON_CLEAR_SITE_DATA ||
           reason == DEVCACHE_REASON_QUERY_RULE ||
           reason == DEVCACHE_REASON_ODD_REQUEST || reason == DEVCACHE_REASON_PROVOKED ||
           reason == DEVCACHE_REASON_REDIRECTED || reason == DEVCACHE_REASON_INCOMPLETE ||
           reason == DEVCACHE_REASON_ABANDONED || reason == DEVCACHE_REASON_REMOVED ||
           reason == DEVCACHE_REASON_STORE_ERROR;
}

int devcache_effect_may_be_personal(devcache_reason_e reason)
{
    return is_personal(reason) || reason == DEVCACHE_REASON_SET_COOKIE ||
           reason == DEVCACHE_REASON_CLEAR_SITE_DATA ||
           reason == DEVCACHE_REASON_ODD_REQUEST;
}

devcache_effect_e devcache_effect_of(const devcache_answer_t *a)
{
    int is_head = strcmp(a->method, "HEAD") == 0;

    if (!is_head && strcmp(a->method, "GET") != 0) {
        return devcache_policy_invalidates(a->method, a->status)
                   ? DEVCACHE_EFFECT_INVALIDATE
                   : DEVCACHE_EFFECT_NONE;
    }
    if (a->reason == DEVCACHE_REASON_NONE) {
        return a->confirms ? DEVCACHE_EFFECT_CONFIRM
               : is_head   ? DEVCACHE_EFFECT_NONE
                           : DEVCACHE_EFFECT_STORE;
    }
    if (devcache_effect_is_trouble(a->status) || is_partial(a->status) ||
        (devcache_effect_sends_to_login(a->status) && (a->background || a->personal)) ||
        is_beside_the_page(a->reason)) {
        return DEVCACHE_EFFECT_NONE;
    }
    if (is_head && !a->confirms) {
        return a->fresh ? DEVCACHE_EFFECT_EXPIRE : DEVCACHE_EFFECT_NONE;
    }
    if (is_personal(a->reason) && (a->personal || a->fresh)) {
        return DEVCACHE_EFFECT_NONE;
    }
    return DEVCACHE_EFFECT_END;
}
