/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Origins that fail.
 *
 * What gives no answer is a backend: nobody is to wait for it once more while it is known.
 * What answers with an error is a URL: others of the same backend may be well. Both are
 * remembered for a second, and longer each time (flight/failure.h); after that one request
 * asks, and all others that have a stale copy get it meanwhile.
 *
 * A backend is what stands before the path in mod_proxy's file name. Handlers of this site
 * have none; theirs are errors of a URL.
 */
#include "request/failing.h"

#include <string.h>
#include <xxhash.h>
#include "flight/flight.h"

/* Statuses that proxies make of an origin that does not answer. */
static int is_gateway_error(int status)
{
    return status == HTTP_BAD_GATEWAY || status == HTTP_SERVICE_UNAVAILABLE ||
           status == HTTP_GATEWAY_TIME_OUT;
}

int devcache_failing_allows_stale(const devcache_exchange_t *x, int status,
                                  devcache_answered_e answered)
{
    int unreachable = answered == DEVCACHE_ANSWERED_NOT && is_gateway_error(status);

    return (unreachable || devcache_policy_is_failure(&x->policy, status)) &&
           devcache_policy_stale_if_error(&x->policy, &x->asked.req,
                                          &x->found.stored.fresh, unreachable, x->now);
}

int devcache_failing_was_silent(const devcache_exchange_t *x)
{
    return x->origin.unreachable && is_gateway_error(x->origin.status);
}

static apr_uint64_t url_id(const devcache_exchange_t *x)
{
    return XXH3_64bits_withSeed(x->asked.key.data, x->asked.key.len,
                                devcache_flight_seed());
}

/* "proxy:http://host:port/path", "proxy:unix:/run/x|fcgi://host/path": without the path. 0:
 * not proxied. While the handlers run a balancer has put its member there. */
static apr_uint64_t backend_id(const request_rec *r, const devcache_exchange_t *x)
{
    const char *name = x->asked.ahead ? x->asked.ahead->filename : r->filename;
    const char *host;

    if (!name || strncmp(name, "proxy:", 6)) {
        return 0;
    }
    host = strstr(name, "://");
    host = host ? host + 3 : name;
    return XXH3_64bits_withSeed(name, (size_t)(host + strcspn(host, "/") - name),
                                devcache_flight_seed());
}

void devcache_failing_identify(request_rec *r, devcache_exchange_t *x)
{
    if (!x->origin.backend) {
        x->origin.backend = backend_id(r, x);
    }
}

devcache_failure_e devcache_failing_now(request_rec *r, devcache_exchange_t *x,
                                        int *pstatus, devcache_answered_e *panswered)
{
    devcache_failure_e failure;

    devcache_failing_identify(r, x);
    *pstatus = HTTP_GATEWAY_TIME_OUT;
    *panswered = DEVCACHE_ANSWERED_NOT;
    failure = devcache_failure_of(x->origin.backend, x->now);
    if (failure == DEVCACHE_FAILURE_NONE) {
        *pstatus = HTTP_INTERNAL_SERVER_ERROR;
        *panswered = DEVCACHE_ANSWERED_STATUS;
        failure = devcache_failure_of(url_id(x), x->now);
    }
    return failure != DEVCACHE_FAILURE_NONE &&
                   devcache_failing_allows_stale(x, *pstatus, *panswered)
               ? failure
               : DEVCACHE_FAILURE_NONE;
}

void devcache_failing_note(const devcache_exchange_t *x, int status,
                           devcache_answered_e answered)
{
    apr_uint64_t backend = x->origin.backend;

    if (answered == DEVCACHE_ANSWERED_NOT && status >= 500) {
        devcache_failure_note(backend ? backend : url_id(x), x->origin.received_at);
        return;
    }
    devcache_failure_clear(backend);
    if (status >= 500) {
        devcache_failure_note(url_id(x), x->origin.received_at);
    } else {
        devcache_failure_clear(url_id(x));
    }
}
