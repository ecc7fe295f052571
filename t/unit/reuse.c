/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_policy: what a copy may be used for, fresh and stale. */
#include "policy_fixture.h"

#define NO(reason) DEVCACHE_REASON_##reason

typedef struct {
    const char *response, *request;
    int after; /* seconds */
    devcache_use_e use;
    devcache_reason_e why;
    int if_error; /* may serve when the origin fails */
} reuse_t;

/* A copy stored at NOW, fresh for 60 s. */
static void test_reuse(apr_pool_t *p)
{
    static const reuse_t t[] = {
        {"", "", 59, DEVCACHE_USE_FRESH, NO(NONE), 1},
        {"", "", 60, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", no-cache", "", 1, DEVCACHE_USE_VALIDATE, NO(MUST_VALIDATE), 0},
        {"", "no-cache", 1, DEVCACHE_USE_VALIDATE, NO(REQ_NO_CACHE), 0},
        {"", "max-age=0", 0, DEVCACHE_USE_VALIDATE, NO(REQ_MAX_AGE), 1},
        {"", "max-age=5", 5, DEVCACHE_USE_FRESH, NO(NONE), 1},
        {"", "max-age=5", 6, DEVCACHE_USE_VALIDATE, NO(REQ_MAX_AGE), 1},
        {", immutable", "max-age=0", 6, DEVCACHE_USE_FRESH, NO(NONE), 1},
        {", immutable", "max-age=0", 66, DEVCACHE_USE_VALIDATE, NO(REQ_MAX_AGE), 0},
        {", immutable", "no-cache", 6, DEVCACHE_USE_VALIDATE, NO(REQ_NO_CACHE), 0},
        {"", "min-fresh=10", 50, DEVCACHE_USE_FRESH, NO(NONE), 1},
        {"", "min-fresh=10", 51, DEVCACHE_USE_VALIDATE, NO(REQ_MIN_FRESH), 1},
        {"", "max-stale=10", 70, DEVCACHE_USE_STALE, NO(NONE), 1},
        {"", "max-stale=10", 71, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {"", "max-stale", 99999, DEVCACHE_USE_STALE, NO(NONE), 1},
        {", must-revalidate", "max-stale", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", proxy-revalidate", "max-stale", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", s-maxage=60", "max-stale", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", no-cache", "max-stale", 70, DEVCACHE_USE_VALIDATE, NO(MUST_VALIDATE), 0},
        {", must-revalidate", "", 59, DEVCACHE_USE_FRESH, NO(NONE), 1},
        {", stale-while-revalidate=10", "", 69, DEVCACHE_USE_STALE_REFRESH, NO(NONE), 0},
        {", stale-while-revalidate=10", "", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", stale-while-revalidate=10", "min-fresh=0", 65, DEVCACHE_USE_VALIDATE,
         NO(REQ_MIN_FRESH), 0},
        {", stale-while-revalidate=10, must-revalidate", "", 65, DEVCACHE_USE_VALIDATE,
         NO(STALE), 0},
        {", stale-if-error=10", "", 69, DEVCACHE_USE_VALIDATE, NO(STALE), 1},
        {", stale-if-error=10", "", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", stale-if-error=10, must-revalidate", "", 65, DEVCACHE_USE_VALIDATE, NO(STALE),
         0},
        {", stale-if-error=10, s-maxage=60", "", 65, DEVCACHE_USE_VALIDATE, NO(STALE), 1},
        {", stale-if-error=10, s-maxage=60", "", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", s-maxage=60", "stale-if-error=10", 65, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", s-maxage=60, stale-while-revalidate=10", "", 65, DEVCACHE_USE_STALE_REFRESH,
         NO(NONE), 0},
        {", s-maxage=60, stale-while-revalidate=10", "max-stale", 70,
         DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", s-maxage=60, stale-while-revalidate=10, proxy-revalidate", "", 65,
         DEVCACHE_USE_VALIDATE, NO(STALE), 0},
        {", s-maxage=60, stale-while-revalidate=10, no-cache", "", 65,
         DEVCACHE_USE_VALIDATE, NO(MUST_VALIDATE), 0},
        {", stale-if-error=10, no-cache", "", 5, DEVCACHE_USE_VALIDATE, NO(MUST_VALIDATE),
         0},
        {", stale-if-error=10", "no-cache", 65, DEVCACHE_USE_VALIDATE, NO(REQ_NO_CACHE),
         0},
        {"", "stale-if-error=10", 69, DEVCACHE_USE_VALIDATE, NO(STALE), 1},
        {"", "stale-if-error=10", 70, DEVCACHE_USE_VALIDATE, NO(STALE), 0},
    };
    devcache_policy_conf_t conf = defaults(p);
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        const char *response = apr_pstrcat(p, ETAG "\nCache-Control: max-age=60",
                                           t[i].response, NULL);
        const char *asks = apr_pstrcat(p, "Cache-Control: ", t[i].request, NULL);
        devcache_request_t plain = request(&conf, "GET", "", p);
        devcache_request_t req = request(&conf, "GET", asks, p);
        apr_time_t now = NOW + SEC(t[i].after);
        devcache_freshness_t f;
        devcache_reason_e why;
        apr_interval_time_t ttl;
        const char *what = apr_psprintf(p, "reuse: {%s} asked {%s} after %d s",
                                        t[i].response, t[i].request, t[i].after);

        devcache_policy_storable(&conf, &plain, 200, fields(response, p), 0, -1, NOW, NOW,
                                 &f, p);
        is_int(devcache_policy_reuse(&conf, &req, &f, now, &why, &ttl), t[i].use, what);
        is_str(devcache_reason_text(why), devcache_reason_text(t[i].why), "  why");
        is_int(ttl, SEC(60 - t[i].after), "  ttl");
        is_int(devcache_policy_stale_if_error(&conf, &req, &f, 0, now), t[i].if_error,
               "  if error");
    }
}

/* An origin out of reach: the grace that the administrator gives. */
static void test_unreachable(apr_pool_t *p)
{
    static const struct {
        const char *response;
        int after, stale;
    } t[] = {
        {"Cache-Control: max-age=60", 89, 1},
        {"Cache-Control: max-age=60", 90, 0},
        {"Cache-Control: max-age=60, stale-if-error=50", 100, 1},
        {"Cache-Control: max-age=60, must-revalidate", 61, 0},
        {"Cache-Control: max-age=60, proxy-revalidate", 61, 0},
        {"Cache-Control: s-maxage=60", 61, 0},
        {"Cache-Control: max-age=60, no-cache", 61, 0},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(&conf, "GET", "", p);
    apr_size_t i;

    conf.stale_if_unreachable = SEC(30);
    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        const char *response = apr_pstrcat(p, ETAG "\n", t[i].response, NULL);
        apr_time_t now = NOW + SEC(t[i].after);
        devcache_freshness_t f;
        devcache_policy_storable(&conf, &req, 200, fields(response, p), 0, -1, NOW, NOW,
                                 &f, p);
        is_int(
            devcache_policy_stale_if_error(&conf, &req, &f, 1, now), t[i].stale,
            apr_psprintf(p, "unreachable: {%s} after %d s", t[i].response, t[i].after));
    }
}

/* What was never fresh was never everybody's page: it is shown stale to nobody, whatever
 * we allow by default, but for what the response itself permits. */
static void test_never_fresh(apr_pool_t *p)
{
    static const struct {
        const char *response;
        int stale, refreshed; /* when the origin is away; while it is asked */
    } t[] = {
        {ETAG, 0, 0},
        {ETAG "\nCache-Control: max-age=0", 0, 0},
        {ETAG "\nCache-Control: public", 0, 0},
        {ETAG "\nExpires: 0", 0, 0},
        {ETAG "\nCache-Control: s-maxage=0", 0, 0},
        {ETAG "\n" DATE "\nLast-Modified: Tue, 30 Jun 2026 00:00:00 GMT", 0, 0},
        {ETAG "\nCache-Control: stale-if-error=100", 1, 0},
        {ETAG "\nCache-Control: max-age=0, stale-while-revalidate=100", 0, 1},
        {ETAG "\nCache-Control: max-age=1", 1, 1},
        {DATE "\n" DAY_AGO "\nAge: 8640", 1, 1},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t plain = request(&conf, "GET", "", p);
    devcache_request_t greedy = request(
        &conf, "GET", "Cache-Control: max-stale=100, stale-if-error=100", p);
    apr_size_t i;

    conf.stale_if_unreachable = conf.stale_while_revalidate = conf.stale_if_error = SEC(
        50);
    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        devcache_freshness_t f;
        devcache_reason_e why;
        apr_interval_time_t ttl;

        is_int(devcache_policy_storable(&conf, &plain, 200, fields(t[i].response, p), 0,
                                        -1, NOW, NOW, &f, p),
               DEVCACHE_REASON_NONE, apr_psprintf(p, "stored: {%s}", t[i].response));
        is_int(devcache_policy_stale_if_error(&conf, &plain, &f, 1, NOW + SEC(5)),
               t[i].stale, "  while the origin is away");
        is_int(devcache_policy_stale_if_error(&conf, &greedy, &f, 1, NOW + SEC(5)),
               t[i].stale, "  for a client that would take anything, too");
        is_int(devcache_policy_reuse(&conf, &plain, &f, NOW + SEC(5), &why, &ttl) ==
                   DEVCACHE_USE_STALE_REFRESH,
               t[i].refreshed, "  while it is asked");
    }
}

static void test_windows(apr_pool_t *p)
{
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(&conf, "GET", "", p);
    devcache_freshness_t f;

    conf.stale_while_revalidate = SEC(11);
    conf.stale_if_error = SEC(12);
    devcache_policy_storable(&conf, &req, 200, fields("Cache-Control: max-age=60", p), 0,
                             -1, NOW, NOW, &f, p);
    ok(f.stale_while_revalidate == SEC(11) && f.stale_if_error == SEC(12),
       "windows by default");
    devcache_policy_storable(
        &conf, &req, 200,
        fields("Cache-Control: max-age=60, stale-while-revalidate=0, stale-if-error=1",
               p),
        0, -1, NOW, NOW, &f, p);
    ok(f.stale_while_revalidate == 0 && f.stale_if_error == SEC(1), "windows as stated");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_reuse(p);
    test_unreachable(p);
    test_never_fresh(p);
    test_windows(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
