/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_policy: what a request may have, what may be stored, how long it is fresh. */
#include <stdarg.h>
#include "http/policy.h"

#include "policy_fixture.h"

/* --- requests -------------------------------------------------------------------- */

static void test_bypass(apr_pool_t *p)
{
    static const struct {
        const char *method, *text;
        devcache_reason_e want;
        const char *override;
    } t[] = {
        {"GET", "", DEVCACHE_REASON_NONE},
        {"HEAD", "", DEVCACHE_REASON_NONE},
        {"POST", "", DEVCACHE_REASON_METHOD},
        {"get", "", DEVCACHE_REASON_METHOD},
        {"GET", "Content-Length: 1", DEVCACHE_REASON_REQ_BODY},
        {"HEAD", "content-length: 00", DEVCACHE_REASON_REQ_BODY},
        {"GET", "Content-Length: 0", DEVCACHE_REASON_NONE},
        {"GET", "transfer-encoding: chunked", DEVCACHE_REASON_REQ_BODY},
        {"GET", "Upgrade: websocket", DEVCACHE_REASON_REQ_UPGRADE},
        {"GET", "X-Original-URL: /a", DEVCACHE_REASON_REQ_OVERRIDE, "X-Original-URL"},
        {"POST", "X-Original-URL: /a", DEVCACHE_REASON_METHOD, "X-Original-URL"},
        {"GET", "X-Original-URL: /a", DEVCACHE_REASON_NONE},
        {"GET", "Cache-Control: no-store", DEVCACHE_REASON_REQ_NO_STORE},
        {"GET", "Cookie: a=b\nAuthorization: x", DEVCACHE_REASON_NONE},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req;
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        devcache_policy_request(&conf, t[i].method, fields(t[i].text, p), t[i].override,
                                &req);
        is_str(devcache_reason_text(req.bypass), devcache_reason_text(t[i].want),
               apr_psprintf(p, "bypass: %s %s", t[i].method, t[i].text));
    }
    conf.ignore_client_control = 1;
    req = request(&conf, "GET", "Cache-Control: no-store, max-age=0\nPragma: no-cache",
                  p);
    ok(req.bypass == DEVCACHE_REASON_NONE && req.max_age == -1 && !req.no_cache,
       "client control ignored");
}

static void test_request(apr_pool_t *p)
{
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(
        &conf, "GET",
        "Range: bytes=0-1\nIf-Match: \"a\"\nIf-None-Match: \"a\"\nAuthorization: x\n"
        "Cache-Control: max-age=5, min-fresh=6, max-stale=7\n"
        "cache-control: stale-if-error=8, only-if-cached, no-transform",
        p);

    ok(req.is_get && !req.is_head, "a GET");
    ok(req.has_range && req.has_precondition && req.has_conditional && req.authorization,
       "its conditions");
    ok(req.max_age == SEC(5) && req.min_fresh == SEC(6) && req.max_stale == SEC(7) &&
           req.stale_if_error == SEC(8),
       "its times");
    ok(req.only_if_cached && req.no_transform && !req.no_cache, "its flags");
    req = request(&conf, "HEAD", "Range: bytes=0-1", p);
    ok(req.is_head && !req.has_range, "Range means nothing with HEAD");
    ok(req.max_age == -1 && req.min_fresh == -1 && req.max_stale == -1 &&
           req.stale_if_error == -1,
       "nothing said");
    req = request(&conf, "GET", "Cache-Control: max-stale", p);
    ok(req.max_stale == APR_INT64_MAX, "any staleness");
    req = request(&conf, "GET", "Pragma: foo, No-Cache", p);
    ok(req.no_cache, "Pragma alone counts");
    req = request(&conf, "GET", "Pragma: no-cache\nCache-Control: foo", p);
    ok(!req.no_cache, "Pragma beside Cache-Control does not");
}

/* --- storing --------------------------------------------------------------------- */

typedef struct {
    const char *what;
    int status;
    const char *text;
    devcache_reason_e want;
    apr_int64_t ttl; /* seconds left when stored; checked if stored */
} storing_t;

static void check_storing(const devcache_policy_conf_t *conf, const char *request_text,
                          const storing_t *t, apr_size_t n, apr_pool_t *p)
{
    devcache_request_t req = request(conf, "GET", request_text, p);
    apr_size_t i;

    for (i = 0; i < n; i++) {
        devcache_freshness_t f = {0};
        devcache_reason_e reason = devcache_policy_storable(
            conf, &req, t[i].status, fields(t[i].text, p), 0, -1, NOW, NOW, &f, p);
        is_str(devcache_reason_text(reason), devcache_reason_text(t[i].want),
               apr_psprintf(p, "store %d: %s", t[i].status, t[i].what));
        if (reason == DEVCACHE_REASON_NONE && t[i].want == reason) {
            is_int(f.lifetime - f.initial_age, SEC(t[i].ttl), "  its ttl");
        }
    }
}

#define CHECK(conf, request_text, table)                                                 \
    check_storing(conf, request_text, table, sizeof(table) / sizeof(*(table)), p)
#define YES DEVCACHE_REASON_NONE
#define NO(reason) DEVCACHE_REASON_##reason

static void test_lifetimes(apr_pool_t *p)
{
    static const storing_t t[] = {
        {"max-age", 200, "Cache-Control: max-age=60", YES, 60},
        {"s-maxage wins, shorter", 200, "Cache-Control: s-maxage=1, max-age=60", YES, 1},
        {"s-maxage wins, longer", 200,
         "Cache-Control: max-age=0\ncache-control: s-maxage=9", YES, 9},
        {"max-age beats Expires", 200, "Cache-Control: max-age=60\nExpires: 0\n" DATE,
         YES, 60},
        {"max-age=0 beats Expires", 200, "Cache-Control: max-age=0\n" HOUR_AHEAD,
         NO(EXPIRED), 0},
        {"Expires", 200, DATE "\n" HOUR_AHEAD, YES, 3600},
        {"Expires without Date", 200, HOUR_AHEAD, YES, 3600},
        {"Expires, invalid Date", 200, "Date: foo\n" HOUR_AHEAD, YES, 3600},
        {"Expires twice the same", 200, DATE "\n" HOUR_AHEAD "\n" HOUR_AHEAD, YES, 3600},
        {"Expires twice", 200,
         DATE "\n" HOUR_AHEAD "\nExpires: Tue, 30 Jun 2026 02:00:00 GMT", NO(EXPIRED), 0},
        {"Expires now", 200, DATE "\nExpires: Tue, 30 Jun 2026 00:00:00 GMT", NO(EXPIRED),
         0},
        {"Expires before a fast Date", 200,
         "Date: Tue, 30 Jun 2026 02:00:00 GMT\n" HOUR_AHEAD, NO(EXPIRED), 0},
        {"Expires: 0 with a validator", 200, "Expires: 0\n" ETAG, YES, 0},
        {"Expires in another zone", 200, "Expires: Tue, 30 Jun 2026 01:00:00 PST",
         NO(EXPIRED), 0},
        {"Expires far away", 200, "Expires: Fri, 31 Dec 9999 23:59:59 GMT\n" DATE, YES,
         2147483648LL},
        {"max-age far away", 200, "Cache-Control: max-age=99999999999", YES,
         2147483648LL},
        {"two max-age", 200, "Cache-Control: max-age=60, max-age=1", NO(EXPIRED), 0},
        {"max-age negative", 200, "Cache-Control: max-age=-60\n" ETAG, YES, 0},
        {"Age", 200, "Cache-Control: max-age=60\nAge: 20", YES, 40},
        {"Age over max-age", 200, "Cache-Control: max-age=60\nAge: 60", NO(EXPIRED), 0},
        {"Age, huge", 200, "Cache-Control: max-age=60\nAge: 9999999999\n" ETAG, YES,
         60 - 2147483648LL},
        {"Age, invalid", 200, "Cache-Control: max-age=60\nAge: -20", YES, 60},
        {"old Date", 200,
         "Cache-Control: max-age=7200\nDate: Mon, 29 Jun 2026 23:00:00 GMT", YES, 3600},
        {"Expires, slow Date, Age", 200,
         "Date: Mon, 29 Jun 2026 23:59:50 GMT\nExpires: Tue, 30 Jun 2026 00:00:10 GMT\n"
         "Age: 25",
         NO(EXPIRED), 0},
        {"Expires, fast Date, Age", 200,
         "Date: Tue, 30 Jun 2026 00:00:10 GMT\nExpires: Tue, 30 Jun 2026 00:00:20 GMT\n"
         "Age: 15",
         NO(EXPIRED), 0},
        {"stale on arrival, but servable", 200,
         "Cache-Control: max-age=60, stale-while-revalidate=60\nAge: 70", YES, -10},
        {"stale on arrival, must-revalidate", 200,
         "Cache-Control: max-age=60, must-revalidate, stale-if-error=60\nAge: 70",
         NO(EXPIRED), 0},
        {"nothing", 200, DATE, NO(NO_FRESHNESS), 0},
        {"a validator only", 200, ETAG, YES, 0},
        {"a weak validator", 200, "ETag: W/\"a\"", YES, 0},
        {"an ETag that is none", 200, "ETag: a", NO(NO_FRESHNESS), 0},
        {"an ETag that matches all", 200, "ETag: *", NO(NO_FRESHNESS), 0},
        {"Last-Modified that is none", 200, "Last-Modified: yesterday", NO(NO_FRESHNESS),
         0},
    };
    devcache_policy_conf_t conf = defaults(p);

    CHECK(&conf, "", t);
}

static void test_heuristic(apr_pool_t *p)
{
    static const int heuristic[] = {200, 203, 204, 300, 301, 308,
                                    404, 405, 410, 414, 501};
    static const int others[] = {201, 202, 302, 303, 307, 401, 403, 406,
                                 409, 499, 500, 502, 503, 504, 599};
    static const storing_t t[] = {
        {"a tenth", 200, DATE "\n" DAY_AGO, YES, 8640},
        {"the bound", 200, DATE "\n" YEAR_AGO, YES, 86400},
        {"Last-Modified ahead", 200,
         DATE "\nLast-Modified: Tue, 30 Jun 2026 01:00:00 GMT", YES, 0},
        {"not with Expires", 200, DATE "\n" DAY_AGO "\nExpires: 0", YES, 0},
        {"public, odd status", 599, DATE "\n" DAY_AGO "\nCache-Control: public", YES,
         8640},
        {"public, found", 302, DATE "\n" DAY_AGO "\nCache-Control: public", YES, 8640},
        {"public, a failure", 503, DATE "\n" DAY_AGO "\nCache-Control: public",
         NO(STATUS), 0},
        {"public, to be validated", 302, ETAG "\nCache-Control: public", YES, 0},
        {"to be validated", 302, ETAG, NO(STATUS), 0},
        {"an error to be validated", 403, ETAG "\nCache-Control: no-transform",
         NO(STATUS), 0},
    };
    static const storing_t half[] = {{"half", 200, DATE "\n" DAY_AGO, YES, 43200}};
    static const storing_t off[] = {
        {"off: validated at each use", 200, DATE "\n" DAY_AGO, YES, 0},
        {"off: nothing to validate", 200, DATE, NO(NO_FRESHNESS), 0},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(&conf, "GET", "", p);
    devcache_freshness_t f;
    apr_size_t i;

    CHECK(&conf, "", t);
    conf.heuristic_percent = 50;
    CHECK(&conf, "", half);
    conf.heuristic_percent = 0;
    CHECK(&conf, "", off);
    conf = defaults(p);
    for (i = 0; i < sizeof(heuristic) / sizeof(*heuristic); i++) {
        storing_t one = {"heuristically", heuristic[i], DATE "\n" DAY_AGO, YES, 8640};
        check_storing(&conf, "", &one, 1, p);
    }
    for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
        storing_t one = {"heuristically", others[i], DATE "\n" DAY_AGO, NO(STATUS), 0};
        check_storing(&conf, "", &one, 1, p);
    }
    ok(devcache_policy_storable(&conf, &req, 200, fields(DATE "\n" DAY_AGO, p), 1, -1,
                                NOW, NOW, &f, p) == DEVCACHE_REASON_NONE &&
           f.lifetime == 0 && !(f.flags & DEVCACHE_HEURISTIC),
       "no guess with a query");
    devcache_policy_storable(&conf, &req, 200, fields(DATE "\n" DAY_AGO, p), 0, -1, NOW,
                             NOW, &f, p);
    ok(f.flags & DEVCACHE_HEURISTIC, "a guess says so");
}

static void test_statuses(apr_pool_t *p)
{
    static const int explicit_ok[] = {200, 201, 203, 204, 299, 301, 302, 303,
                                      307, 308, 401, 403, 404, 410, 414, 451,
                                      499, 500, 501, 502, 503, 504, 599};
    static const int never[] = {100, 101, 103, 304, 406, 407, 408, 411,
                                412, 413, 416, 417, 421, 425, 426, 428,
                                429, 431, 505, 511, 600, 999, 0,   -1};
    static const storing_t t[] = {
        {"a part", 206, "Cache-Control: max-age=60", NO(PARTIAL), 0},
        {"a range in 200", 200, "Cache-Control: max-age=60\nContent-Range: bytes 0-1/2",
         NO(PARTIAL), 0},
        {"nonsense in Content-Range", 200,
         "Cache-Control: max-age=60\nContent-Range: foo", YES, 60},
        {"an error, fresh for nothing", 500, "Cache-Control: max-age=0\n" ETAG,
         NO(EXPIRED), 0},
        {"must-understand, known", 200,
         "Cache-Control: max-age=60, no-store, must-understand", YES, 60},
        {"must-understand, unknown", 599,
         "Cache-Control: max-age=60, no-store, must-understand", NO(STATUS), 0},
        {"must-understand alone, unknown", 299,
         "Cache-Control: max-age=60, must-understand", NO(STATUS), 0},
    };
    devcache_policy_conf_t conf = defaults(p);
    apr_size_t i;

    CHECK(&conf, "", t);
    for (i = 0; i < sizeof(explicit_ok) / sizeof(*explicit_ok); i++) {
        storing_t one = {"explicitly", explicit_ok[i], "Cache-Control: max-age=60", YES,
                         60};
        check_storing(&conf, "", &one, 1, p);
    }
    for (i = 0; i < sizeof(never) / sizeof(*never); i++) {
        storing_t one = {"never", never[i], "Cache-Control: max-age=60, public\n" ETAG,
                         NO(STATUS), 0};
        check_storing(&conf, "", &one, 1, p);
    }
}

static void test_permission(apr_pool_t *p)
{
    static const storing_t plain[] = {
        {"no-store", 200, "Cache-Control: max-age=60, No-Store", NO(NO_STORE), 0},
        {"no-store in a later line", 200,
         "Cache-Control: max-age=60\ncache-control: no-store", NO(NO_STORE), 0},
        {"private", 200, "Cache-Control: private, max-age=60", NO(PRIVATE), 0},
        {"private fields", 200, "Cache-Control: private=\"x\", max-age=60", YES, 60},
        {"private fields and all", 200,
         "Cache-Control: private=\"x\", private, max-age=60", NO(PRIVATE), 0},
        {"no-cache", 200, "Cache-Control: no-cache, max-age=60", NO(MUST_VALIDATE), 0},
        {"no-cache, validator", 200, "Cache-Control: no-cache, max-age=60\n" ETAG, YES,
         60},
        {"no-cache fields", 200, "Cache-Control: no-cache=\"x\", max-age=60", YES, 60},
        {"a cookie", 200, "Cache-Control: max-age=60\nSet-Cookie: a=b", NO(SET_COOKIE),
         0},
        {"an old cookie", 200, "Cache-Control: max-age=60\nset-cookie2: a=b",
         NO(SET_COOKIE), 0},
        {"a public cookie", 200, "Cache-Control: max-age=60, public\nSet-Cookie: a=b",
         NO(SET_COOKIE), 0},
        {"a cookie not kept", 200,
         "Cache-Control: max-age=60, no-cache=\"X, Set-Cookie\"\nSet-Cookie: a=b", YES,
         60},
        {"a cookie not kept, private", 200,
         "Cache-Control: max-age=60, private=set-cookie\nSet-Cookie: a=b", YES, 60},
        {"Pragma", 200, "Cache-Control: max-age=60\nPragma: no-cache", YES, 60},
        {"a semicolon for a comma", 200, "Cache-Control: public, max-age=60; private",
         NO(CONFLICT), 0},
    };
    static const storing_t authorized[] = {
        {"plain", 200, "Cache-Control: max-age=60", NO(AUTHORIZATION), 0},
        {"public", 200, "Cache-Control: max-age=60, public", YES, 60},
        {"s-maxage", 200, "Cache-Control: s-maxage=60", YES, 60},
        {"must-revalidate", 200, "Cache-Control: max-age=60, must-revalidate", YES, 60},
        {"proxy-revalidate", 200, "Cache-Control: max-age=60, proxy-revalidate",
         NO(AUTHORIZATION), 0},
        {"private", 200, "Cache-Control: max-age=60, public, private", NO(PRIVATE), 0},
        {"malformed s-maxage", 200, "Cache-Control: s-maxage=x\n" ETAG, NO(AUTHORIZATION),
         0},
        {"public with an argument", 200, "Cache-Control: max-age=60, public=\"x\"",
         NO(AUTHORIZATION), 0},
    };
    static const storing_t cookies[] = {
        {"allowed", 200, "Cache-Control: max-age=60\nSet-Cookie: a=b", YES, 60},
    };
    devcache_policy_conf_t conf = defaults(p);

    CHECK(&conf, "", plain);
    CHECK(&conf, "Authorization: Basic x", authorized);
    conf.store_set_cookie = 1;
    CHECK(&conf, "", cookies);
}

static void test_targeted(apr_pool_t *p)
{
    static const storing_t t[] = {
        {"overrides no-store", 200,
         "CDN-Cache-Control: max-age=60\nCache-Control: no-store", YES, 60},
        {"overrides Expires", 200, "CDN-Cache-Control: max-age=60\nExpires: 0", YES, 60},
        {"shortens", 200, "CDN-Cache-Control: max-age=1\nCache-Control: max-age=60", YES,
         1},
        {"no lifetime, so Expires is not asked", 200,
         "CDN-Cache-Control: foo\n" HOUR_AHEAD, NO(NO_FRESHNESS), 0},
        {"private", 200, "CDN-Cache-Control: private\nCache-Control: max-age=60",
         NO(PRIVATE), 0},
        {"no-store", 200, "CDN-Cache-Control: no-store\nCache-Control: max-age=60",
         NO(NO_STORE), 0},
        {"no-cache", 200, "CDN-Cache-Control: no-cache\nCache-Control: max-age=60",
         NO(MUST_VALIDATE), 0},
        {"malformed", 200, "CDN-Cache-Control: max-age=60, &\nCache-Control: no-store",
         NO(NO_STORE), 0},
        {"wrong type", 200, "CDN-Cache-Control: max-age=\"60\"\nCache-Control: max-age=1",
         YES, 1},
        {"another's target", 200, "Foo-Cache-Control: max-age=60", NO(NO_FRESHNESS), 0},
    };
    devcache_policy_conf_t conf = defaults(p);

    CHECK(&conf, "", t);
}

static void test_message(apr_pool_t *p)
{
    static const storing_t t[] = {
        {"one length", 200, "Cache-Control: max-age=60\nContent-Length: 5", YES, 60},
        {"the same length", 200,
         "Cache-Control: max-age=60\nContent-Length: 5\nContent-Length: 5, 5", YES, 60},
        {"two lengths", 200, "Cache-Control: max-age=60\nContent-Length: 5, 6",
         NO(CONFLICT), 0},
        {"two lengths, two lines", 200,
         "Cache-Control: max-age=60\nContent-Length: 5\nContent-Length: 6", NO(CONFLICT),
         0},
        {"no number", 200, "Cache-Control: max-age=60\nContent-Length: +5", NO(CONFLICT),
         0},
        {"an empty length", 200,
         "Cache-Control: max-age=60\nContent-Length:  ", NO(CONFLICT), 0},
        {"length and coding", 200,
         "Cache-Control: max-age=60\nContent-Length: 5\nTransfer-Encoding: chunked",
         NO(CONFLICT), 0},
        {"coding", 200, "Cache-Control: max-age=60\nTransfer-Encoding: chunked", YES, 60},
        {"a control character", 200, "Cache-Control: max-age=60\nX: a\rb", NO(CONFLICT),
         0},
        {"a DEL", 200, "Cache-Control: max-age=60\nX: a\x7f", NO(CONFLICT), 0},
        {"tab and 8-bit", 200, "Cache-Control: max-age=60\nX: a\tb\xfc", YES, 60},
        {"a name with a space", 200, "Cache-Control: max-age=60\nX Y: a", NO(CONFLICT),
         0},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(&conf, "GET", "", p);
    devcache_freshness_t f;
    apr_table_t *h = fields("Cache-Control: max-age=60", p);
    char *big = apr_palloc(p, 64 * 1024);
    int i;

    CHECK(&conf, "", t);
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, conf.max_object_size, NOW,
                                    NOW, &f, p),
           DEVCACHE_REASON_NONE, "largest object");
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, conf.max_object_size + 1, NOW,
                                    NOW, &f, p),
           DEVCACHE_REASON_TOO_LARGE, "too large an object");
    for (i = 1; i < 200; i++) {
        apr_table_addn(h, "X", "y");
    }
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, -1, NOW, NOW, &f, p),
           DEVCACHE_REASON_NONE, "200 lines");
    apr_table_addn(h, "X", "y");
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, -1, NOW, NOW, &f, p),
           DEVCACHE_REASON_HEADERS_LIMIT, "201 lines");
    memset(big, 'x', 64 * 1024);
    big[64 * 1024 - 1] = '\0';
    h = fields("Cache-Control: max-age=60", p);
    apr_table_addn(h, "X", big + 64);
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, -1, NOW, NOW, &f, p),
           DEVCACHE_REASON_NONE, "nearly 64 KB");
    apr_table_setn(h, "X", big);
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, -1, NOW, NOW, &f, p),
           DEVCACHE_REASON_HEADERS_LIMIT, "over 64 KB");
    req.bypass = DEVCACHE_REASON_BYPASS;
    is_int(devcache_policy_storable(&conf, &req, 200, h, 0, -1, NOW, NOW, &f, p),
           DEVCACHE_REASON_BYPASS, "a bypassed request");
}

/* --- the administrator's times --------------------------------------------------- */

static void test_clamps(apr_pool_t *p)
{
    static const storing_t max[] = {
        {"max: explicit", 200, "Cache-Control: max-age=600", YES, 30},
        {"max: s-maxage", 200, "Cache-Control: s-maxage=600", YES, 30},
        {"max: below", 200, "Cache-Control: max-age=6", YES, 6},
        {"max: heuristic", 200, DATE "\n" DAY_AGO, YES, 30},
    };
    static const storing_t min[] = {
        {"min: explicit", 200, "Cache-Control: max-age=1", YES, 600},
        {"min: above", 200, "Cache-Control: max-age=6000", YES, 6000},
        {"min: Expires", 200, "Expires: 0", YES, 600},
        {"min: not a guess", 200, DATE "\nLast-Modified: Mon, 29 Jun 2026 23:59:00 GMT",
         YES, 6},
        {"min: not where nothing is said", 200, "", NO(NO_FRESHNESS), 0},
    };
    devcache_policy_conf_t conf = defaults(p);

    conf.max_ttl = SEC(30);
    CHECK(&conf, "", max);
    conf = defaults(p);
    conf.min_ttl = SEC(600);
    CHECK(&conf, "", min);
}

/* Pairs of seconds and a status; 0: those cacheable by default. */
static apr_array_header_t *ttls(apr_pool_t *p, int n, ...)
{
    apr_array_header_t *all = apr_array_make(p, n, sizeof(devcache_ttl_t));
    va_list ap;

    va_start(ap, n);
    while (n--) {
        devcache_ttl_t *ttl = apr_array_push(all);
        apr_array_header_t *statuses = apr_array_make(p, 1, sizeof(int));
        ttl->ttl = SEC(va_arg(ap, int));
        APR_ARRAY_PUSH(statuses, int) = va_arg(ap, int);
        ttl->statuses = APR_ARRAY_IDX(statuses, 0, int) ? statuses : NULL;
        ttl->said_by = ttl;
    }
    va_end(ap);
    return all;
}

static void test_given_times(apr_pool_t *p)
{
    static const storing_t by_default[] = {
        {"default: nothing said", 200, "", YES, 90},
        {"default: a query's page and Age", 200, "Age: 1000", YES, 90},
        {"default: before a guess", 200, DATE "\n" DAY_AGO, YES, 90},
        {"default: after what is said", 200, "Cache-Control: max-age=5", YES, 5},
        {"default: other status", 302, "", NO(STATUS), 0},
        {"default: never", 400, "", NO(STATUS), 0},
        {"default: private", 200, "Cache-Control: private", NO(PRIVATE), 0},
    };
    static const storing_t listed[] = {
        {"default: listed status", 302, "", YES, 90},
        {"default: status not listed", 200, "", NO(NO_FRESHNESS), 0},
        {"default: listed, but never", 429, "", NO(STATUS), 0},
    };
    static const storing_t force[] = {
        {"force: nothing said", 200, "", YES, 120},
        {"force: over max-age", 200, "Cache-Control: max-age=5", YES, 120},
        {"force: over Expires and Age", 200, "Expires: 0\nAge: 1000", YES, 120},
        {"force: over no-cache", 200, "Cache-Control: no-cache", YES, 120},
        {"force: never private", 200, "Cache-Control: private", NO(PRIVATE), 0},
        {"force: never no-store", 200, "Cache-Control: no-store", NO(NO_STORE), 0},
        {"force: never a cookie", 200, "Set-Cookie: a=b", NO(SET_COOKIE), 0},
        {"force: other status", 500, "", NO(STATUS), 0},
    };
    static const storing_t authorized[] = {
        {"force: never with Authorization", 200, "", NO(AUTHORIZATION), 0},
    };
    static const storing_t several[] = {
        {"several: the status named", 404, "", YES, 30},
        {"several: the last that names it", 302, "", YES, 20},
        {"several: all others", 200, "", YES, 90},
        {"several: none for this one", 307, "", NO(STATUS), 0},
        {"several: 0 is none", 410, "", NO(NO_FRESHNESS), 0},
        {"several: what is said", 404, "Cache-Control: max-age=5", YES, 5},
    };
    devcache_policy_conf_t conf = defaults(p);
    devcache_lifetime_t l;

    conf.default_ttl = ttls(p, 1, 90, 0);
    CHECK(&conf, "", by_default);
    conf.default_ttl = ttls(p, 2, 90, 302, 90, 429);
    CHECK(&conf, "", listed);
    conf.default_ttl = ttls(p, 6, 10, 302, 10, 0, 90, 0, 30, 404, 20, 302, 0, 410);
    CHECK(&conf, "", several);
    devcache_policy_lifetime(&conf, 404, fields("", p), 0, NOW, &l, p);
    ok(l.by == DEVCACHE_LIFETIME_DEFAULT && l.lifetime == SEC(30) &&
           l.said_by == &APR_ARRAY_IDX(conf.default_ttl, 3, devcache_ttl_t),
       "several: which of them says it");
    conf = defaults(p);
    conf.force_ttl = ttls(p, 1, 120, 0);
    CHECK(&conf, "", force);
    CHECK(&conf, "Authorization: Basic x", authorized);
}

/* --- age --------------------------------------------------------------------- */

static void test_age(apr_pool_t *p)
{
    devcache_policy_conf_t conf = defaults(p);
    devcache_request_t req = request(&conf, "GET", "", p);
    devcache_freshness_t f;
    apr_time_t later = NOW + 900000; /* 0.9 s */

    devcache_policy_storable(&conf, &req, 200,
                             fields("Cache-Control: max-age=60\n" DATE, p), 0, -1, later,
                             later, &f, p);
    is_int(f.initial_age, 0, "a Date of the same second is no age");
    is_int(devcache_policy_age(&f, later + 5), 5, "age grows");
    is_int(devcache_policy_age(&f, later - SEC(10)), 0, "a clock set back");
    is_int(devcache_policy_age(&f, later - SEC(3600)), SEC(60),
           "a clock set back by much: nobody knows");
    devcache_policy_storable(&conf, &req, 200,
                             fields("Cache-Control: max-age=1\n" DATE, p), 0, -1, later,
                             later + SEC(1) / 5, &f, p);
    is_int(f.initial_age, SEC(1) / 5, "nor is one of the second that has just ended");
    devcache_policy_storable(&conf, &req, 200,
                             fields("Cache-Control: max-age=60\n" DATE, p), 0, -1, NOW,
                             NOW + SEC(2), &f, p);
    is_int(f.initial_age, SEC(2), "an older one is");
    devcache_policy_storable(&conf, &req, 200,
                             fields("Cache-Control: max-age=60\nAge: 7", p), 0, -1, NOW,
                             NOW + SEC(3), &f, p);
    is_int(f.initial_age, SEC(10), "Age and the time of the fetch");
    devcache_policy_storable(&conf, &req, 200,
                             fields("Cache-Control: max-age=60\nAge: 7", p), 0, -1,
                             NOW + SEC(3), NOW, &f, p);
    is_int(f.initial_age, SEC(7), "a clock set back during the fetch");
}

/* 400 with a lifetime of its own: for ordinary requests only. */
static void test_bad_request(apr_pool_t *p)
{
    static const struct {
        const char *request, *response;
        int stored;
    } t[] = {
        {"User-Agent: x", "Cache-Control: max-age=60", 1},
        {"User-Agent: x", "Expires: Fri, 01 Jan 2100 00:00:00 GMT", 0},
        {"User-Agent: x", "", 0},
        {"User-Agent: x\x07y", "Cache-Control: max-age=60", 0},
        {"User-Agent: \xffx", "Cache-Control: max-age=60", 0},
        {NULL, "Cache-Control: max-age=60", 0}, /* a large one */
    };
    devcache_policy_conf_t conf = defaults(p);
    char *large = apr_pcalloc(p, 5000);
    apr_size_t i;

    memset(large, 'a', 4999);
    memcpy(large, "X: ", 3);
    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        const char *asks = t[i].request ? t[i].request : large;
        devcache_request_t req = request(&conf, "GET", asks, p);
        devcache_freshness_t f;
        is_int(devcache_policy_storable(&conf, &req, 400, fields(t[i].response, p), 0, -1,
                                        NOW, NOW, &f, p) == DEVCACHE_REASON_NONE,
               t[i].stored, apr_psprintf(p, "400 {%s}, row %d", t[i].response, (int)i));
    }
}

static void test_reasons(void)
{
    int i;

    for (i = 0; i < DEVCACHE_REASON_COUNT; i++) {
        const char *text = devcache_reason_text(i);
        int j, unique = *text != '\0';
        for (j = 0; j < i; j++) {
            unique = unique && strcmp(text, devcache_reason_text(j)) != 0;
        }
        ok(unique, "reason %d has a text of its own: %s", i, text);
    }
    is_str(devcache_reason_text(DEVCACHE_REASON_COUNT), "-", "no such reason");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_bypass(p);
    test_request(p);
    test_lifetimes(p);
    test_heuristic(p);
    test_statuses(p);
    test_permission(p);
    test_targeted(p);
    test_message(p);
    test_clamps(p);
    test_given_times(p);
    test_age(p);
    test_bad_request(p);
    test_reasons();
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
