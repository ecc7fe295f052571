/* SPDX-License-Identifier: Apache-2.0 */
/* Which cookies count. */
#include "http/cookies.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>
#include "tap.h"

static apr_pool_t *pool;

static devcache_cookies_t rule(devcache_cookies_e mode, const char *names)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    devcache_cookies_t c = {mode, list};
    char *state, *name = apr_strtok(apr_pstrdup(pool, names), " ", &state);

    for (; name; name = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(list, const char *) = name;
    }
    return c;
}

static void test_kept(void)
{
    static const struct {
        devcache_cookies_e mode;
        const char *names, *in, *out;
    } t[] = {
        {DEVCACHE_COOKIES_DENY, "_ga", NULL, NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", " ; ;;", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga=1", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "a=1", "a=1"},
        {DEVCACHE_COOKIES_DENY, "_ga", "a=1;b=2", "a=1;b=2"},
        {DEVCACHE_COOKIES_DENY, "_ga", "a=1;_ga=x;b=2", "a=1; b=2"},
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga=x; a=_ga=1", "a=_ga=1"},
        {DEVCACHE_COOKIES_DENY, "_ga", "_GA=x", "_GA=x"},
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga[x]=1", "_ga[x]=1"},
        {DEVCACHE_COOKIES_DENY, "_ga", "%5Fga=1", "%5Fga=1"},
        {DEVCACHE_COOKIES_DENY, "_ga", " _ga =1", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "\t_ga=1\t", NULL},
        {DEVCACHE_COOKIES_DENY, "_ga", "=_ga", "=_ga"},
        {DEVCACHE_COOKIES_DENY, "_ga", "a b=1; _ga=2", "a b=1"},
        {DEVCACHE_COOKIES_DENY, "_ga*", "_gab=1;_ga=2;_g=3", "_g=3"},
        {DEVCACHE_COOKIES_DENY, "mp_*_mixpanel", "mp_1_mixpanel=1; mp_mixpanel=2",
         "mp_mixpanel=2"},
        {DEVCACHE_COOKIES_DENY, "*", "a=1; =2; c", NULL},
        /* two lines, as httpd joins them */
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga=1, session=2", "session=2"},
        {DEVCACHE_COOKIES_DENY, "_ga", "session=2, _ga=1", "session=2"},
        {DEVCACHE_COOKIES_DENY, "_ga", "a=1, b=2; _ga=3", "a=1, b=2"},
        {DEVCACHE_COOKIES_DENY, "_ga", "a=1, _ga=2, b=3", "a=1; b=3"},
        {DEVCACHE_COOKIES_DENY, "_ga", "_ga=1,2, 3; b=1", "b=1"},
        {DEVCACHE_COOKIES_ALLOW, "session", "_ga=1", NULL},
        {DEVCACHE_COOKIES_ALLOW, "session", "session=1; x=2", "session=1"},
        {DEVCACHE_COOKIES_ALLOW, "session", "x=2; session=1; session=0",
         "session=1; session=0"},
        {DEVCACHE_COOKIES_ALLOW, "sess*", "session=1;sess=2;ses=3", "session=1; sess=2"},
        {DEVCACHE_COOKIES_KEEP, "", "b=1; a=2", "b=1; a=2"},
        {DEVCACHE_COOKIES_KEEP, "", ";", NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        devcache_cookies_t r = rule(t[i].mode, t[i].names);
        is_str(devcache_cookies_kept(&r, t[i].in, pool), t[i].out,
               apr_psprintf(pool, "mode %d (%s): %s", (int)t[i].mode, t[i].names,
                            t[i].in ? t[i].in : "none"));
    }
}

static void test_default(void)
{
    is_str(devcache_cookies_kept(
               NULL,
               "_ga=GA1.2.3; _gid=4; _ga_ABC=5; _gat_gtag_UA_1=1; __utma=1; _fbp=fb.1; "
               "_hjSessionUser_1=x; _pk_id.1.1=y; _clck=z; hubspotutk=1; __hstc=2; "
               "OptanonConsent=a%20b; _gac_UA-1-2=1; _dd_s=rum=1; _sp_id.ab12=x; "
               "euconsent-v2=CP; "
               "_ce.s=v~1; _cs_id=1",
               pool),
           NULL, "what analytics and consent scripts set does not count");
    is_str(devcache_cookies_kept(NULL, "_ga=1; PHPSESSID=2", pool), "PHPSESSID=2",
           "a session does");
    is_str(devcache_cookies_kept(NULL, "wordpress_logged_in_x=1", pool),
           "wordpress_logged_in_x=1", "and a login");
}

static void test_canonical(void)
{
    is_str(devcache_cookies_canonical(NULL, pool), NULL, "no field");
    is_str(devcache_cookies_canonical(" ; ", pool), NULL, "no pair");
    is_str(devcache_cookies_canonical("b=2;a=1", pool), "a=1; b=2", "sorted by name");
    is_str(devcache_cookies_canonical("a=2; b=0; a=1", pool), "a=2; a=1; b=0",
           "pairs of one name keep their order");
    is_str(devcache_cookies_canonical("ab=1; a=1", pool), "a=1; ab=1",
           "short ones first");
    is_str(devcache_cookies_canonical("b=1, a=2", pool), "b=1, a=2",
           "what may be one value stays one");
    is_str(devcache_cookies_first(" b=1; a", NULL, pool), "b", "the first one");
    is_str(devcache_cookies_first("b=1; b; bc=2", "b", pool), "bc", "but for one name");
    is_str(devcache_cookies_first("b=1", "b", pool), NULL, "which was the only one");
    is_str(devcache_cookies_first("x", NULL, pool), "x", "which has no value");
    is_str(devcache_cookies_first("", NULL, pool), NULL, "there is none");
    is_str(devcache_cookies_difference("a=1; b=2", "b=2; a=1", pool), NULL, "the same");
    is_str(devcache_cookies_difference("a=1; b=2", "b=3; a=1", pool), "b",
           "another value");
    is_str(devcache_cookies_difference("a=1", "a=1; c=1", pool), "c", "one more");
    is_str(devcache_cookies_difference("a=1; c=1", "b=1; c=1", pool), "a",
           "another name");
    is_str(devcache_cookies_difference(NULL, "b=1", pool), "b", "none against one");
}

static void test_names(void)
{
    static const char value[] = "_ga=1; a=2; b; a=3; _gid=4";

    is_str(apr_array_pstrcat(pool, devcache_cookies_names(NULL, value, 1, pool), ' '),
           "a b", "those that count, once each");
    is_str(apr_array_pstrcat(pool, devcache_cookies_names(NULL, value, 0, pool), ' '),
           "_ga _gid", "those that do not");
    is_int(devcache_cookies_names(NULL, NULL, 1, pool)->nelts, 0, "no field");
}

static void test_large(void)
{
    char *many = apr_palloc(pool, 10000 * 8 + 1), *at = many;
    const char *kept;
    int i;

    for (i = 0; i < 10000; i++) {
        memcpy(at, i % 2 ? "b=1; _ga" : "_ga=1;  ", 8);
        at += 8;
    }
    *at = '\0';
    kept = devcache_cookies_kept(NULL, many, pool);
    ok(kept && !strstr(kept, "_ga=1;  ") && strlen(kept) < strlen(many),
       "ten thousand cookies are read");
    ok(devcache_cookies_canonical(many, pool) == many, "and compared as they stand");
    many = apr_pcalloc(pool, 8193);
    memset(many, 'a', 8192);
    is_str(devcache_cookies_kept(NULL, many, pool), many, "a name of 8 KB");
    memset(many, ',', 8192);
    ok(devcache_cookies_kept(NULL, many, pool) == many, "8 KB of commas");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_kept();
    test_default();
    test_canonical();
    test_names();
    test_large();
    return done_testing();
}
