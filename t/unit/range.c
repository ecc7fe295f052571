/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_range: which bytes are asked for, and which have come. */
#include "http/range.h"

#include <apr_general.h>
#include "tap.h"

#define MAX APR_INT64_MAX

static void test_single(void)
{
    static const struct {
        const char *value;
        int is;
        apr_int64_t first, last;
    } t[] = {
        {"bytes=0-0", 1, 0, 0},
        {"bytes=5-9", 1, 5, 9},
        {"Bytes=5-", 1, 5, MAX},
        {"bytes=-5", 1, -1, 5},
        {"bytes=-0", 1, -1, 0},
        {"bytes=9-5", 0, 0, 0},
        {"bytes=", 0, 0, 0},
        {"bytes=-", 0, 0, 0},
        {"bytes=a-b", 0, 0, 0},
        {"bytes=5", 0, 0, 0},
        {"bytes=5-9,11-12", 0, 0, 0},
        {"bytes=5-9 ", 0, 0, 0},
        {"bytes=--5", 0, 0, 0},
        {"bytes=99999999999999999999-", 0, 0, 0},
        {"bytes=1-99999999999999999999", 0, 0, 0},
        {"pages=1-2", 0, 0, 0},
        {"bytes", 0, 0, 0},
        {"", 0, 0, 0},
        {NULL, 0, 0, 0},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        devcache_span_t span = {0, 0};
        int is = devcache_range_single(t[i].value, &span);

        ok(is == t[i].is && (!is || (span.first == t[i].first && span.last == t[i].last)),
           "Range: %s", t[i].value ? t[i].value : "none");
    }
}

static void test_resolve(void)
{
    static const struct {
        devcache_span_t asked;
        apr_int64_t length;
        int is;
        devcache_span_t want;
    } t[] = {
        {{0, 0}, 1, 1, {0, 0}},     {{5, 9}, 8, 1, {5, 7}},   {{5, MAX}, 10, 1, {5, 9}},
        {{10, MAX}, 10, 0, {0, 0}}, {{-1, 3}, 10, 1, {7, 9}}, {{-1, 30}, 10, 1, {0, 9}},
        {{-1, 0}, 10, 0, {0, 0}},   {{-1, 5}, 0, 0, {0, 0}},  {{0, 0}, 0, 0, {0, 0}},
        {{-1, 10}, 10, 1, {0, 9}},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        devcache_span_t span = t[i].asked;
        int is = devcache_range_resolve(&span, t[i].length);

        ok(is == t[i].is &&
               (!is || (span.first == t[i].want.first && span.last == t[i].want.last)),
           "%ld-%ld of %ld", (long)t[i].asked.first, (long)t[i].asked.last,
           (long)t[i].length);
    }
}

static void test_content(void)
{
    static const char *const bad[] = {"bytes 4-9/*",
                                      "bytes 4-9/9",
                                      "bytes */10",
                                      "bytes 9-4/10",
                                      "bytes 4-9",
                                      "bytes=4-9/10",
                                      "pages 4-9/10",
                                      "bytes 4-9/10x",
                                      "bytes -9/10",
                                      "",
                                      "bytes 4-9/99999999999999999999",
                                      "bytes 4-9/10, bytes 1-2/10"};
    devcache_span_t span;
    apr_int64_t length;
    apr_size_t i;

    ok(devcache_range_content("bytes 4-9/10", &span, &length) && span.first == 4 &&
           span.last == 9 && length == 10,
       "Content-Range: bytes 4-9/10");
    ok(!devcache_range_content(NULL, &span, &length), "none");
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ok(!devcache_range_content(bad[i], &span, &length), "Content-Range: %s", bad[i]);
    }
}

static void test_validator(apr_pool_t *p)
{
    static const char date[] = "Mon, 08 Jan 2024 00:01:00 GMT";
    static const char old[] = "Mon, 08 Jan 2024 00:00:00 GMT";
    static const char young[] = "Mon, 08 Jan 2024 00:00:01 GMT";
    static const struct {
        const char *etag, *modified, *date, *want;
    } t[] = {
        {"\"a\"", NULL, NULL, "\"a\""}, {"\"a\"", old, date, "\"a\""},
        {"W/\"a\"", NULL, NULL, NULL},  {"W/\"a\"", old, date, NULL},
        {"a", old, date, NULL},         {NULL, old, date, old},
        {NULL, young, date, NULL},      {NULL, old, NULL, NULL},
        {NULL, NULL, date, NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        apr_table_t *fields = apr_table_make(p, 3);

        if (t[i].etag) {
            apr_table_setn(fields, "ETag", t[i].etag);
        }
        if (t[i].modified) {
            apr_table_setn(fields, "Last-Modified", t[i].modified);
        }
        if (t[i].date) {
            apr_table_setn(fields, "Date", t[i].date);
        }
        is_str(devcache_range_validator(fields), t[i].want,
               t[i].want ? t[i].want : "no strong validator");
        is_int(devcache_range_if(NULL, fields), 1, "no If-Range");
        is_int(devcache_range_if("\"a\"", fields), t[i].want && t[i].etag,
               "If-Range: \"a\"");
        is_int(devcache_range_if("W/\"a\"", fields), 0, "If-Range: W/\"a\"");
        is_int(devcache_range_if("\"b\"", fields), 0, "If-Range: another tag");
        is_int(devcache_range_if(old, fields), t[i].modified == old && t[i].date,
               "If-Range: its date");
        is_int(devcache_range_if(date, fields), 0, "If-Range: another date");
        is_int(devcache_range_if("", fields), 0, "If-Range: nothing");
    }
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_single();
    test_resolve();
    test_content();
    test_validator(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
