/* SPDX-License-Identifier: Apache-2.0 */
/* No-Vary-Search: what it says, and which queries are the same by it. */
#include "http/variance.h"

#include <stdio.h>

#include <apr_allocator.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

static const char *rule_of(const char *field, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 1);

    apr_table_setn(t, "No-Vary-Search", field);
    return devcache_variance_read(t, p);
}

static void test_rules(apr_pool_t *p)
{
    static const struct {
        const char *field, *want;
    } t[] = {
        {"params=(\"a\")", "-p&a"},
        {"params=(\"b\" \"a\" \"b\")", "-p&a&b"},
        {"params=(\"%C3%A9+%E6%B0%97\")", "-p&%C3%A9%20%E6%B0%97"},
        {"except=(\"x\");q=1, other=1", "-e&x"},
        {"except=()", "-e"},
        {"key-order", "op"},
        {"key-order=?1, params=(\"a\")", "op&a"},
        {"except=(\"x\"), key-order", "oe&x"},
        {"params=()", NULL},
        {"key-order=?0", NULL},
        {"", NULL},
        {"key-order=\"no boolean\"", NULL},
        {"params=\"no list\"", NULL},
        {"params=(token)", NULL},
        {"params=?0", NULL},
        {"params=?1", NULL},
        {"params=?1, except=(\"x\")", NULL},
        {"params=(\"a\"), except=(\"x\")", NULL},
        {"params=(), except=()", NULL},
        {"except=\"no list\"", NULL},
        {"except=(token)", NULL},
        {"except=?1", NULL},
        {"params=(\"a\"", NULL},
        {"params=(\"a\"), ", NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        is_str(rule_of(t[i].field, p), t[i].want, t[i].field);
    }
    is_str(devcache_variance_read(apr_table_make(p, 1), p), NULL, "no field");
}

static void test_queries(apr_pool_t *p)
{
    static const struct {
        const char *field, *query, *want;
    } t[] = {
        {"key-order", NULL, NULL},
        {"key-order", "", NULL},
        {"key-order", "%61=%78", "a=x"},
        {"key-order", "a=\xc3\xa9", "a=%C3%A9"},
        {"key-order", "a=x&&&&", "a=x"},
        {"key-order", "a", "a="},
        {"key-order", "a=%20", "a=%20"},
        {"key-order", "a=+", "a=%20"},
        {"key-order", "b=2&a=2&a=1", "a=2&a=1&b=2"},
        {"key-order", "a=%26&b=%3d", "a=%26&b=%3D"},
        {"key-order", "a=%zz%4", "a=%25zz%254"},
        {"key-order", "a=%00", "a=%00"},
        {"params=(\"a\")", "a=1&b=2&a=3&A=4", "b=2&A=4"},
        {"params=(\"a\")", "ab=1&%61=2", "ab=1"},
        {"params=(\"a b\")", "a+b=1&a%20b=2&c", "c="},
        {"params=(\"\")", "=1&b", "b="},
        {"except=(\"id\")", "x=1&id=7&y=2&i%64=8", "id=7&id=8"},
        {"except=()", "x=1&id=7", NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        is_str(devcache_variance_simplify(rule_of(t[i].field, p), t[i].query, p),
               t[i].want, apr_psprintf(p, "%s: %s", t[i].field, t[i].query));
    }
}

/* Of address space. */
static long pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long n = 0;

    if (!file || fscanf(file, "%ld", &n) != 1) {
        n = 0;
    }
    if (file) {
        fclose(file);
    }
    return n;
}

/* Strangers choose how long a query is, and of how many parts. */
static void test_memory(void)
{
    char query[8192] = "", *at = query;
    apr_allocator_t *allocator;
    apr_pool_t *p;
    long before;
    int i;

    for (i = 0; i < 256; i++) {
        at += apr_snprintf(at, 20, "&p%d=%%%%%%%%%%%%%%%%%%%%%%", i);
    }
    apr_allocator_create(&allocator);
    apr_pool_create_ex(&p, NULL, NULL, allocator);
    before = pages();
    for (i = 0; i < 16; i++) {
        devcache_variance_simplify("op&x", query, p);
    }
    before = pages() - before;
    ok(before < 1000, "%ld pages for 16 of %lu bytes", before,
       (unsigned long)strlen(query));
    apr_pool_destroy(p);
    apr_allocator_destroy(allocator);
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_rules(p);
    test_queries(p);
    test_memory();
    return done_testing();
}
