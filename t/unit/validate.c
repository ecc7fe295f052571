/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_policy: conditions, validators, updates by a 304, invalidation. */
#include "http/policy.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "fields.h"
#include "tap.h"

#define DATE "Date: Tue, 30 Jun 2026 00:00:00 GMT"
#define MODIFIED "Last-Modified: Mon, 29 Jun 2026 00:00:00 GMT"

/* A table as text, a line each. */
static const char *text_of(const apr_table_t *t, apr_pool_t *p)
{
    const apr_array_header_t *lines = apr_table_elts(t);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    const char *text = "";
    int i;

    for (i = 0; i < lines->nelts; i++) {
        text = apr_pstrcat(p, text, i ? "\n" : "", e[i].key, ": ", e[i].val, NULL);
    }
    return text;
}

static void test_precondition(apr_pool_t *p)
{
    static const struct {
        const char *request, *stored;
        int want;
    } t[] = {
        {"", "ETag: \"a\"", 0},
        {"If-None-Match: \"a\"", "ETag: \"a\"", 304},
        {"If-None-Match: \"b\"", "ETag: \"a\"", 0},
        {"If-None-Match: \"b\", \"a\", \"c\"", "ETag: \"a\"", 304},
        {"If-None-Match: \"b\"\nif-none-match: \"a\"", "ETag: \"a\"", 304},
        {"If-None-Match: W/\"a\"", "ETag: \"a\"", 304},
        {"If-None-Match: \"a\"", "ETag: W/\"a\"", 304},
        {"If-None-Match: \"a,b\"", "ETag: \"a\"", 0},
        {"If-None-Match: a", "ETag: \"a\"", 0},
        {"If-None-Match: \"*\"", "ETag: \"a\"", 0},
        {"If-None-Match: *", "X: y", 304},
        {"If-None-Match:  * ", "X: y", 304},
        {"If-None-Match: \"a\"", "X: y", 0},
        {"If-None-Match: \"a\"", "ETag: \"a\"\nETag: \"b\"", 0},
        /* If-None-Match decides alone */
        {"If-None-Match: \"a\"\nIf-Modified-Since: Mon, 01 Jun 2026 00:00:00 GMT",
         "ETag: \"a\"\n" MODIFIED, 304},
        {"If-None-Match: \"b\"\nIf-Modified-Since: Mon, 29 Jun 2026 00:00:00 GMT",
         "ETag: \"a\"\n" MODIFIED, 0},
        {"If-Modified-Since: Mon, 29 Jun 2026 00:00:00 GMT", MODIFIED, 304},
        {"If-Modified-Since: Mon, 29 Jun 2026 00:00:01 GMT", MODIFIED, 304},
        {"If-Modified-Since: Sun, 28 Jun 2026 23:59:59 GMT", MODIFIED, 0},
        {"If-Modified-Since: Monday, 29-Jun-26 00:00:00 GMT", MODIFIED "\n" DATE, 304},
        {"If-Modified-Since: Sunday, 28-Jun-26 00:00:00 GMT", MODIFIED "\n" DATE, 0},
        {"If-Modified-Since: Mon Jun 29 00:00:00 2026", MODIFIED, 304},
        {"If-Modified-Since: 29 Jun 2026 00:00:00 GMT", MODIFIED, 0},
        {"If-Modified-Since: Mon, 29 Jun 2026 00:00:00 PST", MODIFIED, 0},
        {"If-Modified-Since: Tue, 30 Jun 2026 00:00:00 GMT", DATE, 304},
        {"If-Modified-Since: Mon, 29 Jun 2026 00:00:00 GMT", DATE, 0},
        {"If-Modified-Since: Tue, 30 Jun 2026 00:00:00 GMT", "X: y", 0},
        {"If-Modified-Since: Tue, 30 Jun 2026 00:00:00 GMT",
         DATE "\nLast-Modified: yesterday", 0},
        {"If-Match: \"a\"", "ETag: \"a\"", 0},
        {"If-Match: \"b\", \"a\"", "ETag: \"a\"", 0},
        {"If-Match: \"b\"", "ETag: \"a\"", 412},
        {"If-Match: W/\"a\"", "ETag: \"a\"", 412},
        {"If-Match: \"a\"", "ETag: W/\"a\"", 412},
        {"If-Match: \"a\"", "X: y", 412},
        {"If-Match: *", "X: y", 0},
        {"If-Match: \"a\"\nIf-None-Match: \"a\"", "ETag: \"a\"", 304},
        {"If-Match: \"b\"\nIf-None-Match: \"a\"", "ETag: \"a\"", 412},
        {"If-Unmodified-Since: Mon, 29 Jun 2026 00:00:00 GMT", MODIFIED, 0},
        {"If-Unmodified-Since: Sun, 28 Jun 2026 00:00:00 GMT", MODIFIED, 412},
        {"If-Unmodified-Since: Sun, 28 Jun 2026 00:00:00 GMT", DATE, 0},
        {"If-Unmodified-Since: Sunday", MODIFIED, 0},
        {"If-Match: \"a\"\nIf-Unmodified-Since: Sun, 28 Jun 2026 00:00:00 GMT",
         "ETag: \"a\"\n" MODIFIED, 0},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *request = fields(t[i].request, p), *stored = fields(t[i].stored, p);
        is_int(devcache_policy_precondition(request, stored, NULL, 200), t[i].want,
               apr_psprintf(p, "{%s} for {%s}", t[i].request, t[i].stored));
        is_int(devcache_policy_precondition(request, stored, NULL, 404), 0,
               "  not for a 404");
    }
}

static void test_set_validators(apr_pool_t *p)
{
    static const struct {
        const char *stored, *want;
    } t[] = {
        {"X: y", "A: b"},
        {"ETag: \"a\"", "A: b\nIf-None-Match: \"a\""},
        {"ETag: W/\"a\"", "A: b\nIf-None-Match: W/\"a\""},
        {MODIFIED, "A: b\nIf-Modified-Since: Mon, 29 Jun 2026 00:00:00 GMT"},
        {"ETag: \"a\"\n" MODIFIED,
         "A: b\nIf-None-Match: \"a\"\nIf-Modified-Since: Mon, 29 Jun 2026 00:00:00 GMT"},
        {"ETag: \"a-gzip\"", "A: b\nIf-None-Match: \"a-gzip\", \"a\""},
        {"ETag: W/\"a-br\"", "A: b\nIf-None-Match: W/\"a-br\", W/\"a\""},
        {"ETag: \"-gzip\"", "A: b\nIf-None-Match: \"-gzip\", \"\""},
        {"ETag: a", "A: b"},
        {"ETag: *", "A: b"},
        {"ETag: \"a\", \"b\"", "A: b"},
        {"ETag: \"a\"\nETag: \"b\"", "A: b"},
        {"Last-Modified: yesterday", "A: b"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *request = fields(
            "A: b\nIf-None-Match: \"x\"\nif-modified-since: x\nIf-Match: x\n"
            "If-Unmodified-Since: x\nIf-Range: x\nif-none-match: \"y\"",
            p);
        int set = devcache_policy_set_validators(request, fields(t[i].stored, p), p);
        is_str(text_of(request, p), t[i].want,
               apr_psprintf(p, "validators of {%s}", t[i].stored));
        ok(set == (strcmp(t[i].want, "A: b") != 0), "  and said so");
    }
}

static void test_validates(apr_pool_t *p)
{
    static const struct {
        const char *update, *stored;
        int want;
    } t[] = {
        {"ETag: \"a\"", "ETag: \"a\"", 1},
        {"ETag: \"a\"", "ETag: \"b\"", 0},
        {"ETag: W/\"a\"", "ETag: W/\"a\"", 1},
        {"ETag: \"a\"", "ETag: W/\"a\"", 1},
        {"ETag: \"a\"", "ETag: \"a-gzip\"", 1},
        {"ETag: \"a-gzip\"", "ETag: \"a-gzip\"", 1},
        {"ETag: \"a-br\"", "ETag: \"a-gzip\"", 0},
        {"ETag: \"a-gzip\"", "ETag: \"a\"", 0},
        {"ETag: \"a\"", "X: y", 0},
        {"ETag: \"a\"\n" MODIFIED, MODIFIED, 1},
        {"ETag: \"a\"\n" MODIFIED, "ETag: \"b\"\n" MODIFIED, 0},
        {"ETag: \"a\"\nLast-Modified: Tue, 30 Jun 2026 00:00:00 GMT",
         "ETag: \"a\"\n" MODIFIED, 1},
        {MODIFIED, MODIFIED, 1},
        {"Last-Modified: Mon Jun 29 00:00:00 2026", MODIFIED, 1},
        {"Last-Modified: Tue, 30 Jun 2026 00:00:00 GMT", MODIFIED, 0},
        {MODIFIED, "ETag: \"a\"", 1},
        {DATE, "ETag: \"a\"\n" MODIFIED, 1},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_int(devcache_policy_validates(fields(t[i].update, p), fields(t[i].stored, p)),
               t[i].want, apr_psprintf(p, "304 {%s} for {%s}", t[i].update, t[i].stored));
    }
}

static void test_stored_fields(apr_pool_t *p)
{
    static const struct {
        const char *headers, *want;
        int cookies;
    } t[] = {
        {"A: 1\nB: 2\na: 3", "A: 1\nB: 2\na: 3", 0},
        {"Connection: a, B,close\nA: 1\nb: 2\nc: 3\nKeep-Alive: x\nProxy-Connection: x\n"
         "TE: x\nTrailer: x\nTransfer-Encoding: x\nUpgrade: x\nAge: 5\n"
         "Proxy-Authenticate: x\nProxy-Authorization: x\nproxy-authentication-info: x",
         "c: 3", 0},
        {"KEEP-ALIVE: x\nproxy-connection: x\nte: x\nTRAILER: x\nconnection: close\n"
         "transfer-encoding: x\nUPGRADE: x\nAGE: 5\nSET-COOKIE: x\nset-cookie2: x\n"
         "PROXY-AUTHENTICATE: x\nproxy-authorization: x\nZ: 1\nK: 2\nUp: 3\nTe-x: 4",
         "Z: 1\nK: 2\nUp: 3\nTe-x: 4", 0},
        {"CONNECTION: \nkeep-alive: x\nPROXY-CONNECTION: x\ntE: x\ntrailer: x\naGE: 5\n"
         "Transfer-Encoding: x\nupgrade: x\nproxy-authenticate: x\nset-cookie: x\n"
         "PROXY-AUTHORIZATION: x\nProxy-Authentication-Info: x\nSET-COOKIE2: x\n"
         "Content-ID: 1\nVia: 2\nTx: 3\nAbc: 4\nUplevel: 5\nSet-Cookiex: 6",
         "Content-ID: 1\nVia: 2\nTx: 3\nAbc: 4\nUplevel: 5\nSet-Cookiex: 6", 0},
        {"A: 1\nB: 2\nC: 3\nCache-Control: no-cache=\"a\", private=\"B, x\"",
         "C: 3\nCache-Control: no-cache=\"a\", private=\"B, x\"", 0},
        {"A: 1\nCache-Control: no-cache=\"a\"\nCDN-Cache-Control: max-age=5",
         "A: 1\nCache-Control: no-cache=\"a\"\nCDN-Cache-Control: max-age=5", 0},
        {"A: 1\nCDN-Cache-Control: private=\"a\"", "CDN-Cache-Control: private=\"a\"", 0},
        {"Set-Cookie: a\nSet-Cookie2: b\nA: 1", "A: 1", 0},
        {"Set-Cookie: a\nset-cookie: b\nSet-Cookie2: c",
         "Set-Cookie: a\nset-cookie: b\nSet-Cookie2: c", 1},
        {"Set-Cookie: a\nCache-Control: private=\"set-cookie\"",
         "Cache-Control: private=\"set-cookie\"", 1},
        {"Connection: content-encoding, Cache-Control, content-length, vary\nVary: A\n"
         "Content-Encoding: gzip\nCache-Control: max-age=5\nContent-Length: 5",
         "Vary: A\nContent-Encoding: gzip\nCache-Control: max-age=5\nContent-Length: 5",
         0},
        {"ETag: \"a\"\nContent-Range: foo\nClear-Site-Data: \"cache\"",
         "ETag: \"a\"\nContent-Range: foo\nClear-Site-Data: \"cache\"", 0},
    };
    apr_array_header_t *targets = apr_array_make(p, 1, sizeof(const char *));
    devcache_policy_conf_t conf = {0};
    apr_size_t i;

    APR_ARRAY_PUSH(targets, const char *) = "CDN-Cache-Control";
    conf.targets = targets;
    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        conf.store_set_cookie = t[i].cookies;
        is_str(
            text_of(devcache_policy_stored_fields(&conf, fields(t[i].headers, p), p), p),
            t[i].want, apr_psprintf(p, "stored of {%s}", t[i].headers));
    }
}

static void test_update(apr_pool_t *p)
{
    static const struct {
        const char *stored, *update, *want;
    } t[] = {
        {"A: 1\nB: 2", "A: 3", "B: 2\nA: 3"},
        {"A: 1\nA: 2\nB: 2", "a: 3\na: 4\nC: 5", "B: 2\na: 3\na: 4\nC: 5"},
        {"Content-Length: 1\nContent-Type: a\nContent-Encoding: b\nContent-Range: c\n"
         "Content-Foo: d",
         "Content-Length: 2\nContent-Type: x\nContent-Encoding: x\nContent-Range: x\n"
         "Content-Foo: x",
         "Content-Length: 1\nContent-Type: a\nContent-Encoding: b\nContent-Range: c\n"
         "Content-Foo: x"},
        {"A: 1", "Content-Length: 0", "A: 1"},
        {"A: 1", "Connection: a, close\nA: 2\nKeep-Alive: x\nTransfer-Encoding: x",
         "A: 1"},
        {"A: 1", "Cache-Control: private=\"b\"\nB: 2",
         "A: 1\nCache-Control: private=\"b\""},
        {"Cache-Control: no-cache=\"b\"", "B: 2\nC: 3",
         "Cache-Control: no-cache=\"b\"\nC: 3"},
        {"ETag: \"a-gzip\"", "ETag: \"a\"", "ETag: \"a-gzip\""},
        {"ETag: W/\"a\"", "ETag: \"a\"", "ETag: W/\"a\""},
        {"ETag: \"a\"", "ETag: \"b\"", "ETag: \"b\""},
        {MODIFIED, "ETag: \"b\"", MODIFIED "\nETag: \"b\""},
        {"Set-Cookie: a=1", "Set-Cookie: a=2", "Set-Cookie: a=2"},
        {"A: 1", "Set-Cookie: a=2\nSet-Cookie2: a=2", "A: 1"},
        {"Date: Mon, 29 Jun 2026 00:00:00 GMT\nAge: 5\nA: 1", DATE, "A: 1\n" DATE},
        {"Date: Mon, 29 Jun 2026 00:00:00 GMT\nAge: 5\nA: 1", "Age: 3", "A: 1\nAge: 3"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *stored = fields(t[i].stored, p);
        devcache_policy_update_fields(stored, fields(t[i].update, p), p);
        is_str(text_of(stored, p), t[i].want,
               apr_psprintf(p, "{%s} updates {%s}", t[i].update, t[i].stored));
    }
}

static void test_invalidates(void)
{
    static const char *const safe[] = {"GET",      "HEAD",   "OPTIONS", "TRACE",
                                       "PROPFIND", "REPORT", "SEARCH",  "QUERY"};
    static const char *const unsafe[] = {"POST",     "PUT",   "DELETE", "PATCH",
                                         "M-SEARCH", "MKCOL", "FOO",    "get"};
    apr_size_t i;

    for (i = 0; i < 8; i++) {
        ok(!devcache_policy_invalidates(safe[i], 200), "%s invalidates nothing", safe[i]);
        ok(devcache_policy_invalidates(unsafe[i], 200), "%s invalidates", unsafe[i]);
    }
    ok(devcache_policy_invalidates("POST", 303), "a redirection is no error");
    ok(!devcache_policy_invalidates("POST", 400), "a client's error");
    ok(!devcache_policy_invalidates("POST", 500), "a server's error");
    ok(!devcache_policy_invalidates("POST", 100), "an interim answer");
}

static void test_same_origin(apr_pool_t *p)
{
    static const struct {
        const char *origin, *base, *reference, *want;
    } t[] = {
        {"http://a", "/b/c/d?q", "/x", "/x"},
        {"http://a", "/b/c/d?q", "/x?y#z", "/x?y"},
        {"http://a", "/b/c/d?q", "x", "/b/c/x"},
        {"http://a", "/b/c/d?q", "./x/", "/b/c/x/"},
        {"http://a", "/b/c/d?q", "../x", "/b/x"},
        {"http://a", "/b/c/d?q", "../../../x", "/x"},
        {"http://a", "/b/c/d?q", "../..", "/"},
        {"http://a", "/b/c/d?q", ".", "/b/c/"},
        {"http://a", "/b/c/d?q", "..", "/b/"},
        {"http://a", "/b/c/d?q", "x/./y/../z", "/b/c/x/z"},
        {"http://a", "/b/c/d?q", "x/..", "/b/c/"},
        {"http://a", "/b/c/d?q", "...", "/b/c/..."},
        {"http://a", "/b/c/d?q", ".x/..y", "/b/c/.x/..y"},
        {"http://a", "/b/c/d?q", "/a//../b", "/a/b"},
        {"http://a", "/b/c/d?q", "", "/b/c/d?q"},
        {"http://a", "/b/c/d?q", "#z", "/b/c/d?q"},
        {"http://a", "/b/c/d?q", "?y", "/b/c/d?y"},
        {"http://a", "/b/c/d?q", "?", "/b/c/d?"},
        {"http://a", "/b/c/d?q", "x?../y", "/b/c/x?../y"},
        {"http://a", "/b/c/d?q/r", "x", "/b/c/x"},
        {"http://a", "/b/c/d", "x:y", NULL},
        {"http://a", "/b/c/d", "./x:y", "/b/c/x:y"},
        {"http://a", "/", "x", "/x"},
        {"http://a", "", "x", "/x"},
        {"http://a", "*", "", NULL},
        {"http://a", "/b", "http://a/x", "/x"},
        {"http://a", "/b", "HTTP://A/x", "/x"},
        {"http://a", "/b", "http://a", "/"},
        {"http://a", "/b", "http://a?y", "/?y"},
        {"http://a", "/b", "http://a/x/../y", "/y"},
        {"http://a", "/b", "//a/x", "/x"},
        {"http://a", "/b", "///x", NULL},
        {"http://a", "/b", "http://a:80/x", "/x"},
        {"http://a", "/b", "http://a:/x", "/x"},
        {"http://a:80", "/b", "http://a/x", "/x"},
        {"https://a", "/b", "https://a:443/x", "/x"},
        {"http://a:8080", "/b", "http://a:8080/x", "/x"},
        {"http://a:8080", "/b", "http://a/x", NULL},
        {"http://a", "/b", "http://a:81/x", NULL},
        {"http://a", "/b", "http://a:4294967376/x", NULL},
        {"http://a", "/b", "http://a:x/x", NULL},
        {"http://a", "/b", "https://a/x", NULL},
        {"http://a", "/b", "https://a:80/x", NULL},
        {"http://a", "/b", "http://b/x", NULL},
        {"http://a", "/b", "http://a.b/x", NULL},
        {"http://a", "/b", "//b/x", NULL},
        {"http://a", "/b", "http://u@a/x", NULL},
        {"http://a", "/b", "http://u:p@a/x", NULL},
        {"http://a", "/b", "http://a@b/x", NULL},
        {"http://a", "/b", "http:x", NULL},
        {"http://a", "/b", "http:/x", NULL},
        {"http://a", "/b", "ftp://a/x", NULL},
        {"http://a", "/b", "javascript:x", NULL},
        {"http://a", "/b", "http://%61/x", NULL},
        {"http://a", "/b", "http:///x", NULL},
        {"http://[::1]:8080", "/b", "http://[::1]:8080/x", "/x"},
        {"http://[::1]", "/b", "http://[::1]:80/x", "/x"},
        {"http://[::1]", "/b", "http://[::2]/x", NULL},
        {"http://[::1]", "/b", "http://::1/x", NULL},
        {"http://[::1]", "/b", "http://[::1/x", NULL},
        {"http://a", "/b", "/x y", NULL},
        {"http://a", "/b", "/x\\y", NULL},
        {"http://a", "/b", "/x\ny", NULL},
        {"http://a", "/b", "/%2e%2e/x", "/%2e%2e/x"},
        {"a", "/b", "http://a/x", NULL},
    };
    char *big = apr_palloc(p, 10000);
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(devcache_policy_same_origin(t[i].origin, t[i].base, t[i].reference, p),
               t[i].want,
               apr_psprintf(p, "'%s' at %s%s", t[i].reference, t[i].origin, t[i].base));
    }
    memset(big, '/', 9999);
    big[8192] = '\0';
    ok(devcache_policy_same_origin("http://a", "/", big + 1, p) == NULL, "an empty host");
    memcpy(big, "/x", 2);
    ok(devcache_policy_same_origin("http://a", "/", big, p) != NULL, "8 KB");
    big[8192] = '/';
    big[8193] = '\0';
    ok(devcache_policy_same_origin("http://a", "/", big, p) == NULL, "over 8 KB");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_precondition(p);
    test_set_validators(p);
    test_validates(p);
    test_stored_fields(p);
    test_update(p);
    test_invalidates();
    test_same_origin(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
