/* SPDX-License-Identifier: Apache-2.0 */
#include "http/variables.h"

#include <string.h>

/*
 * What does not count, and why. Case counts, as it does for who reads the environment.
 *
 *   to httpd        the manual's "special purpose" variables, those of mod_proxy, mod_ssl and
 *                   the compressing filters; customary ones of CustomLog's env=
 *   one request's   what nobody shares: pages made from it could not be cached anyway, and
 *                   servers set it for their logs
 *   covered         the URL by the key, the class by the variant, HTTP_AUTHORIZATION by
 *                   the rules for Authorization, a certificate likewise
 *
 * Names are separated by blanks; a "*" at the end takes any ending.
 */
static const char *const groups[] = {
    /* to httpd */
    ("downgrade-1.0 force-response-1.0 force-proxy-request-1.0 force-gzip no-gzip "
     "no-brotli gzip-only-text/html force-no-vary dont-vary no-cache no-etag nokeepalive "
     "prefer-language redirect-carefully suppress-error-charset proxy-* ssl-* "
     "dontlog do_not_log nolog no_log "),
    /* one request's */
    ("UNIQUE_ID REQUEST_ID TRACEPARENT H2_* H2PUSH HTTP2 SSL_* QS_* GEOIP_ADDR MMDB_ADDR "
     "MMDB_INFO "),
    /* covered */
    "SCRIPT_URL SCRIPT_URI HTTP_AUTHORIZATION STATUS ",
};

const char *devcache_variables_name(const char *name)
{
    while (!strncmp(name, "REDIRECT_", 9)) {
        name += 9;
    }
    return name;
}

int devcache_variables_counts(const char *name)
{
    unsigned i;

    if (!strncmp(name, "DEVCACHE_", 9)) {
        return 0; /* covered; each request has some, so they are told first */
    }
    for (i = 0; i < sizeof groups / sizeof *groups; i++) {
        const char *at = groups[i];

        while (*at) {
            size_t len = strcspn(at, " ");
            int is_prefix = at[len - 1] == '*';

            if (*at == *name && !strncmp(name, at, len - (size_t)is_prefix) &&
                (is_prefix || !name[len])) {
                return 0;
            }
            at += len + 1;
        }
    }
    return 1;
}
