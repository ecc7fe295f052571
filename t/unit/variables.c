/* SPDX-License-Identifier: Apache-2.0 */
/* http/variables.h: which environment variables pages may depend on. */
#include "http/variables.h"

#include "tap.h"

int main(void)
{
    static const char *const counts[] = {
        "GOLD",       "HTTPS", "GEOIP_COUNTRY_CODE", "lang",  "no",
        "no-gzipped", "SSL",   "UNIQUE_IDS",         "proxy", ""};
    static const char *const others[] = {
        "no-gzip",      "nokeepalive",    "proxy-nokeepalive", "UNIQUE_ID",
        "H2_STREAM_ID", "SSL_SESSION_ID", "DEVCACHE_DEVICE",   "HTTP_AUTHORIZATION",
        "no_log",       "STATUS",         "GEOIP_ADDR"};
    unsigned i;

    for (i = 0; i < sizeof counts / sizeof *counts; i++) {
        ok(devcache_variables_counts(counts[i]), "%s", counts[i]);
    }
    for (i = 0; i < sizeof others / sizeof *others; i++) {
        ok(!devcache_variables_counts(others[i]), "%s", others[i]);
    }
    is_str(devcache_variables_name("REDIRECT_REDIRECT_GOLD"), "GOLD", "after redirects");
    is_str(devcache_variables_name("GOLD"), "GOLD", "after none");
    return done_testing();
}
