/* SPDX-License-Identifier: Apache-2.0 */
/* Which cookies count: one field, by each kind of rule. */
#include "http/cookies.h"

#include "fuzz.h"

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    static const char *names[] = {"_ga", "a*", "b*c", "*"};
    apr_array_header_t list = {p, sizeof(char *), 3, 4, (char *)names};
    const devcache_cookies_t allow = {DEVCACHE_COOKIES_ALLOW, &list};
    const devcache_cookies_t deny = {DEVCACHE_COOKIES_DENY, &list};
    const devcache_cookies_t keep = {DEVCACHE_COOKIES_KEEP, &list};
    const devcache_cookies_t *rules[] = {&allow, &deny, &keep, NULL};
    const char *once = devcache_cookies_canonical(data, p), *twice;
    size_t i;

    must(!once || strlen(once) <= 2 * strlen(data));
    if (once) {
        twice = devcache_cookies_canonical(once, p);
        must(twice && !strcmp(once, twice));
        must(!devcache_cookies_difference(once, data, p));
    }
    for (i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *kept = devcache_cookies_kept(rules[i], data, p);

        must(!kept || strlen(kept) <= 2 * strlen(data));
        must(!kept || devcache_cookies_kept(rules[i], kept, p) == kept);
        must(!kept == !devcache_cookies_first(kept, NULL, p));
    }
}
