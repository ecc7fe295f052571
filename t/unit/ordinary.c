/* SPDX-License-Identifier: Apache-2.0 */
/* Which request fields are ordinary. */
#include "http/ordinary.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>
#include "tap.h"

static apr_pool_t *pool;

static const char *kind_of(const apr_array_header_t *known, const char *name,
                           const char *value)
{
    static const char *const names[] = {"unknown", "known", "form", "device", "override"};
    const char *why;

    return names[devcache_ordinary_kind(known, name, value, &why)];
}

static void test_kinds(void)
{
    static const char *const t[][2] = {
        {"known", "Host User-Agent user-agent ACCEPT Accept-Encoding Accept-Language "
                  "Cookie Referer Cache-Control Pragma If-None-Match If-Modified-Since "
                  "Range TE DNT Sec-GPC Priority Upgrade-Insecure-Requests Connection "
                  "Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-CH-UA "
                  "Sec-CH-UA-Mobile Sec-CH-Prefers-Color-Scheme Sec-Purpose From Origin"},
        {"known", "Via X-Forwarded-For X-Real-IP X-Request-Id x-request-id traceparent "
                  "tracestate CF-Ray CF-Connecting-IP CDN-Loop X-Amzn-Trace-Id "
                  "X-Amz-Cf-Id X-Azure-Ref X-Azure-FDID X-Cloud-Trace-Context "
                  "Fastly-Client-IP X-Varnish X-B3-TraceId X-Envoy-External-Address "
                  "X-Envoy-Attempt-Count True-Client-IP Akamai-Origin-Hop X-Unique-ID"},
        {"override",
         "Forwarded X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port "
         "X-Forwarded-Prefix "
         "X-Original-URL X-Rewrite-URL X-HTTP-Method-Override X-HTTP-Method "
         "Front-End-Https "
         "CloudFront-Forwarded-Proto CF-Visitor Client-Cert X-Forwarded-User Remote-User "
         "X-Now-Route-Matches X-Invoke-Path X-Invoke-Query X-Matched-Path x-nextjs-data "
         "X-Middleware-Subrequest X-Forwarded-Client-Cert X-Amzn-Oidc-Data X-ARR-SSL "
         "Cf-Access-Jwt-Assertion X-MS-CLIENT-PRINCIPAL-NAME X-React-Router-SPA-Mode "
         "X-Script-Name X-WP-Nonce sw-context-token x-nuxt-no-ssr "
         "X-Next-Revalidated-Tags"},
        {"override", "X_Forwarded_Host x-forwarded_proto X_Original_URL REMOTE_USER"},
        {"form", "HX-Request HX-Target Turbo-Frame X-PJAX X-PJAX-Container X-Inertia "
                 "X-Inertia-Version RSC Next-Router-State-Tree Next-Router-Prefetch "
                 "Next-Url Surrogate-Capability Accept-Version X-Up-Target rsc"},
        {"device", "X-OperaMini-Phone-UA X-Device-User-Agent X-Original-User-Agent "
                   "X-UCBrowser-UA Device-Stock-UA CloudFront-Is-Mobile-Viewer "
                   "CF-Device-Type X-Wap-Profile"},
        {"unknown", "X-Anything X-Forwarded-Foo X-Middleware Forwardedx Save-Data "
                    "CF-IPCountry Icy-MetaData Content-Type User_Agent X_Real_IP Accep "
                    "X A - _ \xc3\xa4 Sec-Fetch Hx"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        char *state, *name = apr_strtok(apr_pstrdup(pool, t[i][1]), " ", &state);

        for (; name; name = apr_strtok(NULL, " ", &state)) {
            int counts = !strcmp(t[i][0], "form") || !strcmp(t[i][0], "override");

            is_str(kind_of(NULL, name, "1"), t[i][0], name);
            if (counts) {
                ok(devcache_ordinary_stands_out(name), "%s stands out", name);
            }
        }
    }
    is_str(kind_of(NULL, "", ""), "unknown", "no name at all");
    ok(!devcache_ordinary_stands_out(""), "it does not stand out");
}

static void test_requested_with(void)
{
    static const char *const t[][2] = {
        {"XMLHttpRequest", "form"},
        {"xmlhttprequest", "form"},
        {" XMLHttpRequest ", "form"},
        {"com.facebook.katana", "known"},
        {"XMLHttpRequest, a.b", "form"},
        {"com.android.browser", "known"},
        {"fetch", "unknown"},
        {"", "unknown"},
        {"com.example/../x", "unknown"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        is_str(kind_of(NULL, "X-Requested-With", t[i][0]), t[i][1],
               apr_psprintf(pool, "X-Requested-With: %s", t[i][0]));
    }
    ok(devcache_ordinary_stands_out("X-Requested-With"), "it stands out");
    is_str(kind_of(NULL, "X_Requested_With", "XMLHttpRequest"), "form",
           "as a variable, too");
    is_str(kind_of(NULL, "X_Requested_With", "com.example"), "unknown",
           "but not as a known one");
}

static void test_known_besides(void)
{
    apr_array_header_t *known = apr_array_make(pool, 4, sizeof(const char *));

    APR_ARRAY_PUSH(known, const char *) = "X-Mine";
    APR_ARRAY_PUSH(known, const char *) = "Test-*";
    APR_ARRAY_PUSH(known, const char *) = "X-F*";
    APR_ARRAY_PUSH(known, const char *) = "*";
    is_str(kind_of(known, "x-mine", ""), "known", "a name of the administrator's");
    is_str(kind_of(known, "Test-ID", ""), "known", "any with that beginning");
    is_str(kind_of(known, "Whatever", ""), "known", "all that are unknown");
    is_str(kind_of(known, "X-Forwarded-Host", ""), "override", "but not an override");
    is_str(kind_of(known, "RSC", ""), "form", "nor another form");
    is_str(kind_of(known, "X-OperaMini-UA", ""), "device", "nor another device");
    is_str(kind_of(known, "CF-IPCountry", ""), "known", "a country, if he says so");
    ok(devcache_ordinary_refuses("X-Forwarded-Host") != NULL, "overrides are refused");
    ok(devcache_ordinary_refuses("hx-request") != NULL, "and forms");
    ok(devcache_ordinary_refuses("X-Requested-With") != NULL, "by whatever value");
    ok(devcache_ordinary_refuses("Device-Stock-UA") != NULL, "and devices");
    ok(!devcache_ordinary_refuses("X-Mine") && !devcache_ordinary_refuses("Cookie") &&
           !devcache_ordinary_refuses("X-Forwarded-*"),
       "nothing else is");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    ok(devcache_ordinary_init() == 0,
       "each name of the table has its place, and only one");
    ok(devcache_ordinary_init() == 0, "which is made once");
    test_kinds();
    test_requested_with();
    test_known_besides();
    return done_testing();
}
