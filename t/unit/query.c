/* SPDX-License-Identifier: Apache-2.0 */
/* The query's part of the key. */
#include "http/query.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

static apr_pool_t *pool;

static devcache_query_t rule(devcache_query_e mode, const char *names)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    devcache_query_t q = {mode, list};
    char *state, *copy = apr_pstrdup(pool, names ? names : "");
    char *name = apr_strtok(copy, " ", &state);

    for (; name; name = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(list, const char *) = name;
    }
    return q;
}

static void test_replace(void)
{
    static const struct {
        const char *text, *query, *reduced, *want;
    } t[] = {
        {"/p?a=1", "a=1", "b", "/p?b"},
        {"/p?a=1", "a=1", NULL, "/p"},
        {"a=1", "a=1", "b", "b"},
        {"a=1", "a=1", NULL, ""},
        {"x=1&a=1", "a=1", NULL, "x=1"},
        {"x=1&a=1", "a=1", "b", "x=1&b"},
        {"xa=1", "a=1", "b", "xa=1"},
        {"GET /p?a=1 HTTP/1.1", "a=1", "b", "GET /p?b HTTP/1.1"},
        {"GET /p?a=1 HTTP/1.1", "a=1", NULL, "GET /p HTTP/1.1"},
        {"GET /p?a=1", "a=1", NULL, "GET /p"},
        {"GET /p HTTP/1.1", "a=1", NULL, "GET /p HTTP/1.1"},
        {"proxy:http://h:1/p?a=1", "a=1", "b", "proxy:http://h:1/p?b"},
        {"proxy:http://h:1/p?x&a=1", "a=1", NULL, "proxy:http://h:1/p?x"},
        {"/p?a=1?a=1", "a=1", NULL, "/p?a=1"},
        {"/p?", "", NULL, "/p"},
        {"/p", "", NULL, "/p"},
        {"/p?x&", "", NULL, "/p?x&"},
        {"GET /p? HTTP/1.1", "", NULL, "GET /p HTTP/1.1"},
        {"", "a", NULL, ""},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        is_str(devcache_query_replace(t[i].text, t[i].query, t[i].reduced, pool),
               t[i].want,
               apr_psprintf(pool, "\"%s\" without \"%s\"", t[i].text, t[i].query));
    }
}

int main(void)
{
    static const struct {
        devcache_query_e mode;
        const char *names, *in, *out;
    } cases[] = {
        {DEVCACHE_QUERY_KEEP, NULL, "b=2&a=1", "b=2&a=1"},
        {DEVCACHE_QUERY_KEEP, NULL, NULL, NULL},
        {DEVCACHE_QUERY_KEEP, NULL, "", ""},
        {DEVCACHE_QUERY_SORT, NULL, "b=2&a=1", "a=1&b=2"},
        {DEVCACHE_QUERY_SORT, NULL, "a=2&b=0&a=1", "a=2&a=1&b=0"},
        {DEVCACHE_QUERY_SORT, NULL, "ab=1&a=1", "a=1&ab=1"},
        {DEVCACHE_QUERY_SORT, NULL, "&&a&&", "a"},
        {DEVCACHE_QUERY_SORT, NULL, "", NULL},
        {DEVCACHE_QUERY_SORT, NULL, "b=1;c=2&a=1", "b=1;c=2&a=1"},
        {DEVCACHE_QUERY_IGNORE, NULL, "a=1", NULL},
        {DEVCACHE_QUERY_ALLOW, "id page", "page=2&x=1&id=7", "id=7&page=2"},
        {DEVCACHE_QUERY_ALLOW, "id", "idx=1&i=2", NULL},
        {DEVCACHE_QUERY_ALLOW, "id", "%69d=1&x=2&id[]=3", "%69d=1&id[]=3"},
        {DEVCACHE_QUERY_DENY, "utm_* fbclid", "utm_source=x&b=1&fbclid=2&utm_=3", "b=1"},
        {DEVCACHE_QUERY_DENY, "utm_source", "utm%5Fsource=x", "utm%5Fsource=x"},
        {DEVCACHE_QUERY_DENY, "utm_source", "utm_source=x;callback=y",
         "utm_source=x;callback=y"},
        {DEVCACHE_QUERY_DENY, "a", "a&a=&a=1&b", "b"},
    };
    char *many;
    apr_size_t i;
    devcache_query_t q;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q = rule(cases[i].mode, cases[i].names);
        is_str(devcache_query_canonical(&q, cases[i].in, pool), cases[i].out,
               apr_psprintf(pool, "mode %d (%s): %s", (int)cases[i].mode,
                            cases[i].names ? cases[i].names : "-",
                            cases[i].in ? cases[i].in : "no query"));
    }
    is_str(devcache_query_canonical(NULL, "b&a", pool), "b&a", "no rule: kept");

    many = apr_pcalloc(pool, 2 * 300 + 1);
    for (i = 0; i < 300; i++) {
        memcpy(many + 2 * i, "z&", 2);
    }
    q = rule(DEVCACHE_QUERY_SORT, NULL);
    is_str(devcache_query_canonical(&q, many, pool), many,
           "300 parameters: kept as it is");
    test_replace();
    return done_testing();
}
