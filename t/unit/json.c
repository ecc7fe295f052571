/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_json: what it writes is JSON, whatever it is given. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <apr_general.h>
#include "tap.h"

static char text[4096];
static apr_size_t used;

static void keep(void *baton, const char *data, apr_size_t len)
{
    if (used + len < sizeof text) {
        memcpy(text + used, data, len);
        used += len;
    }
    text[used] = '\0';
}

static devcache_json_t fresh(void)
{
    devcache_json_t j;

    used = 0;
    text[0] = '\0';
    devcache_json_init(&j, keep, NULL);
    return j;
}

static void test_structure(void)
{
    devcache_json_t j = fresh();

    devcache_json_object(&j, NULL);
    devcache_json_string(&j, "a", "b");
    devcache_json_array(&j, "list");
    devcache_json_uint(&j, NULL, 18446744073709551615ull);
    devcache_json_int(&j, NULL, -5);
    devcache_json_object(&j, NULL);
    devcache_json_end(&j);
    devcache_json_bool(&j, NULL, 1);
    devcache_json_null(&j, NULL);
    devcache_json_end(&j);
    devcache_json_array(&j, "none");
    devcache_json_end(&j);
    devcache_json_end(&j);
    is_str(text,
           "{\n \"a\": \"b\",\n \"list\": [\n  18446744073709551615,\n  -5,\n  {},\n  "
           "true,\n  null\n ],\n \"none\": []\n}\n",
           "objects and arrays");
    is_int(j.depth, 0, "all closed");
}

static void test_depth(void)
{
    devcache_json_t j = fresh();
    int i, opened, closed;

    for (i = 0; i < DEVCACHE_JSON_DEPTH; i++) {
        if (i % 3) {
            devcache_json_array(&j, i % 3 == 1 ? "m" : NULL);
        } else {
            devcache_json_object(&j, NULL);
        }
    }
    for (i = 0; i < DEVCACHE_JSON_DEPTH; i++) {
        devcache_json_end(&j);
    }
    for (opened = closed = i = 0; text[i]; i++) {
        opened += text[i] == '[';
        closed += text[i] == ']';
    }
    ok(opened == closed && opened == DEVCACHE_JSON_DEPTH * 2 / 3,
       "each end is of its kind");
}

static void real(double value, int decimals, const char *want)
{
    devcache_json_t j = fresh();

    devcache_json_real(&j, NULL, value, decimals);
    is_str(text, want, want);
}

static void test_numbers(void)
{
    real(0, 3, "0");
    real(1.5, 3, "1.5");
    real(-1.25, 1, "-1.3");
    real(0.000076, 6, "0.000076");
    real(0.9999999, 6, "1");
    real(10, 6, "10");
    real(-0.0000001, 6, "0");
    real(1795404101.931, 3, "1795404101.931");
    real(999999999999.5, 1, "999999999999.5");
    real(1e12, 1, "null");
    real(NAN, 1, "null");
    real(-INFINITY, 1, "null");
}

static void string(const char *data, apr_size_t len, const char *want, apr_pool_t *p)
{
    char *copy = malloc(len ? len : 1); /* of its exact size, for the sanitizer */

    memcpy(copy, data, len);
    is_str(devcache_json_escape(devcache_slice(copy, len), p), want, want);
    free(copy);
}

#define BAD "\xef\xbf\xbd"

static void test_strings(apr_pool_t *p)
{
    string("", 0, "", p);
    string("plain", 5, "plain", p);
    string("a\"b\\c", 5, "a\\\"b\\\\c", p);
    string("\b\t\n\f\r", 5, "\\b\\t\\n\\f\\r", p);
    string("\0\x1f\x7f", 3, "\\u0000\\u001f\\u007f", p);
    string("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 12,
           "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", p);
    string("\xff", 1, BAD, p);
    string("\xc3", 1, BAD, p); /* cut short */
    string("\xe2\x82", 2, BAD BAD, p);
    string("\xc0\xaf", 2, BAD BAD, p); /* longer than needed */
    string("\xe0\x80\xaf", 3, BAD BAD BAD, p);
    string("\xed\xa0\x80", 3, BAD BAD BAD, p);         /* a surrogate */
    string("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD, p); /* above U+10FFFF */
    string("\xf0\x8f\xbf\xbf", 4, BAD BAD BAD BAD, p);
    string("\xe2\x28\xa1", 3, BAD "(" BAD, p);
    string("\x80ok\xfe", 4, BAD "ok" BAD, p);
}

static void test_names(void)
{
    devcache_json_t j = fresh();

    devcache_json_object(&j, NULL);
    devcache_json_bytes(&j, "a\"\n", devcache_slice("x\0y", 3));
    devcache_json_string(&j, "null", NULL);
    devcache_json_end(&j);
    is_str(text, "{\n \"a\\\"\\n\": \"x\\u0000y\",\n \"null\": \"\"\n}\n",
           "names are escaped too");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&p, NULL);
    test_structure();
    test_depth();
    test_numbers();
    test_strings(p);
    test_names();
    return done_testing();
}
