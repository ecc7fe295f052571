/* SPDX-License-Identifier: Apache-2.0 */
/* A request header as one of the values that a page can depend on. */
#include "http/normal.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include "tap.h"

static apr_pool_t *pool;

static devcache_normal_t rule(const char *header, const char *values)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    devcache_normal_t n = {header, list};
    char *state, *value = apr_strtok(apr_pstrdup(pool, values), " ", &state);

    for (; value; value = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(list, const char *) = value;
    }
    return n;
}

static void many(void)
{
    devcache_normal_t n = rule("Accept-Language", "de en");
    char *value = apr_pcalloc(pool, 64 * 3 + 4);
    int i;

    for (i = 0; i < 63; i++) {
        memcpy(value + i * 3, "xx,", 3);
    }
    memcpy(value + i * 3, "de", 3);
    is_str(devcache_normal_value(&n, value), "de", "the 64th member counts");
    memcpy(value + i * 3, "de,", 4);
    is_str(devcache_normal_value(&n, value), "de", "an empty one behind it is none");
    memcpy(value + i * 3, "de,x", 5);
    is_str(devcache_normal_value(&n, value), NULL, "65 are too many");
}

int main(void)
{
    static const struct {
        const char *header, *values, *in, *out;
    } cases[] = {
        {"Accept-Language", "de en", "de", "de"},
        {"Accept-Language", "de en", "DE-at,de;q=0.9,en;q=0.8", "de"},
        {"Accept-Language", "de en", "en-US,en;q=0.9,de;q=0.95", "en"},
        {"Accept-Language", "de en", "fr-FR,fr;q=0.9,en;q=0.8,de;q=0.7", "en"},
        {"Accept-Language", "de en", "fr, it;q=0.5", NULL},
        {"Accept-Language", "de en", "*", NULL},
        {"Accept-Language", "de en", "*, en;q=0.1", "en"},
        {"Accept-Language", "de en", "de;q=0, en;q=0.1", "en"},
        {"Accept-Language", "de en", "de;q=0", NULL},
        {"Accept-Language", "de en", "en, de", "de"},
        {"Accept-Language", "de en", "den, dex-AT", NULL},
        {"Accept-Language", "de de-AT en", "de-at-1996, en;q=0.9", "de-AT"},
        {"Accept-Language", "de de-AT en", "de-CH", "de"},
        {"Accept-Language", "de-AT", "de", NULL},
        {"Accept-Language", "de en", "de;q=x, en;q=0.1", "en"},
        {"Accept-Language", "de en", "de;q=1.5, en;q=0.1", "en"},
        {"Accept-Language", "de en", "de;q=, en ; Q=0.3", "en"},
        {"Accept-Language", "de en", "", NULL},
        {"Accept-Language", "de en", " , ,;, ;q=1,", NULL},
        {"Accept-Language", "de en", "\"de, en", NULL},
        {"Accept", "image/avif image/webp", "image/webp,image/avif,*/*;q=0.8",
         "image/avif"},
        {"Accept", "image/avif image/webp", "image/webp,*/*;q=0.8", "image/webp"},
        {"Accept", "image/avif image/webp", "image/*, */*", NULL},
        {"Accept", "image/avif image/webp", "image/avif;v=2;q=0.2,image/webp;q=0.3",
         "image/webp"},
        {"Accept", "image/avif", "image/avif-x", NULL},
        {"X-Country", "DE AT", "at", "AT"},
        {"X-Country", "DE AT", "DE-x", NULL},
        {"X-Country", "DE AT", " DE ", "DE"},
        {"Save-Data", "on", "on", "on"},
    };
    static const char *const refused[] = {"cookie",       "If-None-Match",
                                          "content-type", "Accept-Encoding",
                                          "USER-AGENT",   "host"};
    static const char *const allowed[] = {"Accept-Language", "Accept", "X-Country", "Ifs",
                                          "Save-Data"};
    apr_size_t i;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        devcache_normal_t n = rule(cases[i].header, cases[i].values);
        const char *got = devcache_normal_value(&n, cases[i].in);

        is_str(got, cases[i].out,
               apr_psprintf(pool, "%s of %s: '%s'", cases[i].header, cases[i].values,
                            cases[i].in));
        if (got) {
            is_str(devcache_normal_value(&n, got), got, "once more it is the same");
        }
    }
    many();
    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        ok(devcache_normal_refuses(refused[i]) != NULL, "%s is refused", refused[i]);
    }
    for (i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        ok(devcache_normal_refuses(allowed[i]) == NULL, "%s is not", allowed[i]);
    }
    return done_testing();
}
