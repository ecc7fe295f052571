/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_field, devcache_sf, devcache_directive: the grammar of field values. */
#include "http/directive.h"
#include "http/field.h"
#include "http/sf.h"

#include <ctype.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

#define SEC(n) apr_time_from_sec((apr_int64_t)(n))
#define NEAR SEC(1782777600) /* 2026-06-30 00:00:00 */

/* A copy of its own size on the heap, so that a sanitizer sees any step beyond it. */
static char *heap(const char *s)
{
    char *copy = malloc(strlen(s) + 1);
    memcpy(copy, s, strlen(s) + 1);
    return copy;
}

/* The members of a list, each in brackets. */
static const char *members(const char *value, apr_pool_t *p)
{
    char *copy = heap(value);
    const char *cursor = copy, *text = "";
    devcache_slice_t m;

    while (devcache_field_next(&cursor, &m)) {
        text = apr_pstrcat(p, text, "[", apr_pstrmemdup(p, m.data, m.len), "]", NULL);
    }
    free(copy);
    return text;
}

static void test_lists(apr_pool_t *p)
{
    static const struct {
        const char *value, *want;
    } t[] = {
        {"", ""},
        {" , ,\t,", ""},
        {"a", "[a]"},
        {" a ,b,, c\t", "[a][b][c]"},
        {"a=\"b, c\", d", "[a=\"b, c\"][d]"},
        {"a=\"b\\\", c\", d", "[a=\"b\\\", c\"][d]"},
        {"a=\"b, c", "[a=\"b, c]"},
        {"a=\"b\\", "[a=\"b\\]"},
        {"'a, b'", "['a][b']"},
        {"a b, c", "[a b][c]"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(members(t[i].value, p), t[i].want,
               apr_psprintf(p, "list: %s", t[i].value));
    }
}

static void test_tables(apr_pool_t *p)
{
    apr_table_t *h = apr_table_make(p, 4);

    is_str(devcache_field_combined(h, "A", p), NULL, "combined: absent");
    apr_table_addn(h, "A", "1");
    apr_table_addn(h, "b", "x");
    is_str(devcache_field_combined(h, "a", p), "1", "combined: one line");
    is_str(devcache_field_single(h, "a"), "1", "single: one line");
    apr_table_addn(h, "a", "");
    apr_table_addn(h, "A", "3, 4");
    is_str(devcache_field_combined(h, "a", p), "1, , 3, 4", "combined: lines in order");
    is_str(devcache_field_single(h, "A"), "", "single: contradicting lines");
    is_str(devcache_field_single(h, "C"), NULL, "single: absent");
    apr_table_addn(h, "B", "x");
    is_str(devcache_field_single(h, "B"), "x", "single: the same line twice");
    ok(devcache_field_has(h, "A", "4"), "has: in the last line");
    ok(!devcache_field_has(h, "A", "2"), "has: not there");
    apr_table_addn(h, "Cookie", "a=1");
    apr_table_addn(h, "cookie", "b=2");
    is_str(devcache_field_combined(h, "Cookie", p), "a=1; b=2", "combined: cookies");
}

static void test_deltas(apr_pool_t *p)
{
    static const struct {
        const char *value;
        apr_int64_t want;
    } t[] = {
        {"0", 0},
        {"3600", 3600},
        {"003600", 3600},
        {"2147483647", 2147483647},
        {"2147483648", 2147483648LL},
        {"2147483649", 2147483648LL},
        {"99999999999999999999999999999999", 2147483648LL},
        {"00000000000000000000000000000007", 7},
        {"", -1},
        {"-1", -1},
        {"+1", -1},
        {"1.0", -1},
        {" 1", -1},
        {"1a", -1},
        {"99999999999999999999999999999999x", -1},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_int(devcache_field_delta(devcache_slice_str(t[i].value)), t[i].want,
               apr_psprintf(p, "delta: '%s'", t[i].value));
    }
}

static void test_ages(apr_pool_t *p)
{
    static const struct {
        const char *lines[2];
        apr_int64_t want;
    } t[] = {
        {{NULL}, -1},
        {{"30"}, 30},
        {{"7200, 0"}, 7200},
        {{"0, 7200"}, 0},
        {{"7200", "0"}, 7200},
        {{"0", "7200"}, 0},
        {{"", "5"}, 5},
        {{"abc"}, -1},
        {{"abc, 5"}, -1},
        {{"-7200"}, -1},
        {{"7200.0"}, -1},
        {{"7200;a=b"}, -1},
        {{"2147483649"}, 2147483648LL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *h = apr_table_make(p, 2);
        int line;
        for (line = 0; line < 2 && t[i].lines[line]; line++) {
            apr_table_addn(h, "Age", t[i].lines[line]);
        }
        is_int(devcache_field_age(h), t[i].want,
               apr_psprintf(p, "age: %s", t[i].lines[0] ? t[i].lines[0] : "none"));
    }
}

#define INVALID ((apr_int64_t)-1)

static void test_dates(apr_pool_t *p)
{
    static const struct {
        const char *value;
        apr_int64_t want; /* seconds */
    } t[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"SUN, 06 NOV 1994 08:49:37 gmt", 784111777},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777}, /* the weekday is not checked */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Wed, 31 Dec 2036 23:59:60 GMT", 2114380800}, /* a leap second */
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
        {"Sat, 01 Jan 0000 00:00:00 GMT", -62167219200},
        {"Friday, 30-Jun-76 00:00:00 GMT", 3360700800}, /* 2076: 50 years ahead */
        {"Friday, 30-Jun-77 00:00:00 GMT", 236476800},  /* 1977: more would be 2077 */
        {"", INVALID},
        {"0", INVALID},
        {"-1", INVALID},
        {"Wed, 29 Feb 2023 12:00:00 GMT", INVALID},
        {"Thu, 29 Feb 1900 12:00:00 GMT", INVALID},
        {"Sun, 00 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 31 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 06 Nov 1994 24:00:00 GMT", INVALID},
        {"Sun, 06 Nov 1994 08:60:37 GMT", INVALID},
        {"Sun, 06 Nov 1994 08:49:61 GMT", INVALID},
        {"Sun, 06 Nov 1994 08:49:37 UTC", INVALID},
        {"Sun, 06 Nov 1994 08:49:37 EST", INVALID},
        {"Sun, 06 Nov 1994 08:49:37 +0000", INVALID},
        {"Sun, 06 Nov 1994 08:49:37", INVALID},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", INVALID},
        {" Sun, 06 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun 06 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 06 Nov 94 08:49:37 GMT", INVALID},
        {"Sun, 06-Nov-1994 08:49:37 GMT", INVALID},
        {"Sun, 06-Nov-94 08:49:37 GMT", INVALID},
        {"Sunday, 06 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 06  Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 6 Nov 1994 08:49:37 GMT", INVALID},
        {"Sun, 06 Nov 1994 8:49:37 GMT", INVALID},
        {"Sun, 06 Nov 1994 08.49.37 GMT", INVALID},
        {"Sun, 06 Nov 1994 08:49 GMT", INVALID},
        {"Sun, 06 November 1994 08:49:37 GMT", INVALID},
        {"Sun Nov 6 08:49:37 1994", INVALID},
        {"Sun Nov   08:49:37 1994", INVALID},
        {"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", INVALID},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        char *copy = heap(t[i].value);
        apr_time_t got = SEC(INVALID);
        int valid = devcache_field_date(copy, NEAR, &got);
        is_int(got, SEC(t[i].want), apr_psprintf(p, "date: '%s'", t[i].value));
        ok(valid == (t[i].want != INVALID), "and said so");
        free(copy);
    }
}

/* What is known to stand where in the usual form is looked at, every byte of it. */
static void test_usual_date(void)
{
    static const char form[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const char others[] = "x0 -,:\t";
    apr_size_t at, i;

    for (at = 0; form[at]; at++) {
        int wrong = 0;
        for (i = 0; others[i]; i++) {
            char *copy = heap(form);
            int fits = others[i] == form[at] ||
                       (others[i] == '0' && isdigit(form[at]) && at != 6); /* day 00 */
            apr_time_t got;

            copy[at] = others[i];
            wrong += devcache_field_date(copy, NEAR, &got) != fits;
            free(copy);
        }
        is_int(wrong, 0, form + at);
    }
}

static void test_clean(void)
{
    apr_size_t len, at;
    int c;

    for (len = 1; len < 40; len++) {
        int wrong = 0;
        for (at = 0; at < len; at++) {
            for (c = 1; c < 256; c++) {
                char *value = malloc(len);
                int clean = (c >= ' ' && c != 0x7f) || c == '\t';

                memset(value, "a\t\xff "[at % 4], len);
                value[at] = (char)c;
                wrong += devcache_field_is_clean(value, len) != clean;
                free(value);
            }
        }
        is_int(wrong, 0, "control characters are seen wherever they stand");
    }
    ok(devcache_field_is_clean("", 0), "nothing is clean");
}

static void test_centuries(void)
{
    apr_time_t t;

    ok(devcache_field_date("Wednesday, 01-Jan-10 00:00:00 GMT", SEC(3155760000LL), &t) &&
           t == SEC(4417977600LL),
       "date: in 2070, 10 is 2110");
}

static const char *etags(const char *value, apr_pool_t *p)
{
    char *copy = heap(value);
    const char *cursor = copy, *text = "";
    devcache_etag_t e;

    while (devcache_field_next_etag(&cursor, &e)) {
        text = apr_pstrcat(p, text, e.weak ? "w" : "s",
                           apr_pstrmemdup(p, e.opaque.data, e.opaque.len), NULL);
    }
    free(copy);
    return text;
}

static void test_etags(apr_pool_t *p)
{
    static const struct {
        const char *value, *want;
        int single;
    } t[] = {
        {"\"a\"", "s\"a\"", 1},
        {"W/\"a\"", "w\"a\"", 1},
        {"\"\"", "s\"\"", 1},
        {"\"a\\\"", "s\"a\\\"", 1}, /* a backslash escapes nothing */
        {"\"a\xfc\"", "s\"a\xfc\"", 1},
        {"\"a\", W/\"b\",\"c\" ", "s\"a\"w\"b\"s\"c\"", 0},
        {"\"a,b\", \"c\"", "s\"a,b\"s\"c\"", 0},
        {"a, \"b\"", "s\"b\"", 0},
        {"\"a\"x, \"b\"", "s\"b\"", 0},
        {"w/\"a\"", "", 0},
        {"\"a b\"", "", 0},
        {"\"a", "", 0},
        {"W/", "", 0},
        {"*", "", 0},
        {"", "", 0},
    };
    devcache_etag_t e;
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(etags(t[i].value, p), t[i].want, apr_psprintf(p, "etags: %s", t[i].value));
        ok(devcache_field_etag(t[i].value, &e) == t[i].single, "one and no more");
    }
    ok(!devcache_field_etag(NULL, &e), "etag: none");
}

/* --- structured fields ----------------------------------------------------------- */

static const char *dictionary(const char *value, apr_pool_t *p)
{
    char *copy = heap(value);
    const char *cursor = copy, *text = "";
    devcache_sf_member_t m;
    int more;

    while ((more = devcache_sf_next(&cursor, &m)) > 0) {
        const char *key = apr_pstrmemdup(p, m.key.data, m.key.len);
        const char *v = m.type == DEVCACHE_SF_TRUE    ? "?1"
                        : m.type == DEVCACHE_SF_FALSE ? "?0"
                        : m.type == DEVCACHE_SF_INTEGER
                            ? apr_psprintf(p, "%" APR_INT64_T_FMT, m.integer)
                        : m.type == DEVCACHE_SF_STRING
                            ? apr_pstrmemdup(p, m.string.data, m.string.len)
                            : "other";
        text = apr_pstrcat(p, text, key, "=", v, " ", NULL);
    }
    free(copy);
    return more < 0 ? "malformed" : text;
}

static void test_dictionaries(apr_pool_t *p)
{
    static const struct {
        const char *value, *want;
    } t[] = {
        {"", ""},
        {"   ", ""},
        {"a", "a=?1 "},
        {"a=1", "a=1 "},
        {"  a=1 ,\t b  ", "a=1 b=?1 "},
        {"a=-0", "a=0 "},
        {"a=-12", "a=-12 "},
        {"a=999999999999999", "a=999999999999999 "},
        {"a=1000000000000000", "malformed"},
        {"a=1.5", "a=other "},
        {"a=123456789012.123", "a=other "},
        {"a=1234567890123.1", "malformed"},
        {"a=1.1234", "malformed"},
        {"a=1.", "malformed"},
        {"a=-", "malformed"},
        {"a=--1", "malformed"},
        {"a=\"b, c\"", "a=b, c "},
        {"a=\"b\\\"\\\\\"", "a=b\\\"\\\\ "},
        {"a=\"b\\c\"", "malformed"},
        {"a=\"b", "malformed"},
        {"a=\"b\\", "malformed"},
        {"a=\"\xc3\xa4\"", "malformed"},
        {"a=\"\t\"", "malformed"},
        {"a=tok/en:*", "a=other "},
        {"a=*t", "a=other "},
        {"a=:aGk=:", "a=other "},
        {"a=::", "a=other "},
        {"a=:aG", "malformed"},
        {"a=?1, b=?0", "a=?1 b=?0 "},
        {"a=?2", "malformed"},
        {"a=?", "malformed"},
        {"a=@1659578233", "a=other "},
        {"a=@1.5", "malformed"},
        {"a=@", "malformed"},
        {"a=%\"f%c3%bcr\"", "a=other "},
        {"a=%\"%C3%BC\"", "malformed"},
        {"a=%\"%c3\"", "malformed"},
        {"a=%\"%ed%a0%80\"", "malformed"}, /* a surrogate */
        {"a=%\"%f4%90%80%80\"", "malformed"},
        {"a=%\"%f0%9f%98%80\"", "a=other "},
        {"a=%\"%c0%80\"", "malformed"},
        {"a=%\"%4\"", "malformed"},
        {"a=%\"", "malformed"},
        {"a=%x", "malformed"},
        {"a=(1 2  \"x\");q=1", "a=other "},
        {"a=()", "a=other "},
        {"a=( )", "a=other "},
        {"a=(1,2)", "malformed"},
        {"a=(1", "malformed"},
        {"a=(1\"x\")", "malformed"},
        {"a=(1;p 2;p=?0)", "a=other "},
        {"a=((1))", "malformed"},
        {"a=1;b;  c=\"x\";d=1.0", "a=1 "},
        {"a;b=c", "a=?1 "},
        {"a=1 ;b", "malformed"},
        {"a=1;B", "malformed"},
        {"a=1;b=", "malformed"},
        {"*a_-.*=1", "*a_-.*=1 "},
        {"A=1", "malformed"},
        {"1a=1", "malformed"},
        {"a =1", "malformed"},
        {"a= 1", "malformed"},
        {"a=1,", "malformed"},
        {",a=1", "malformed"},
        {"a=1,,b", "malformed"},
        {"a=1 b", "malformed"},
        {"a=1, &&&&&", "malformed"},
        {"a=1, a=2", "a=1 a=2 "},
        {"\ta", "malformed"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(dictionary(t[i].value, p), t[i].want,
               apr_psprintf(p, "dictionary: %s", t[i].value));
    }
}

/* --- directives ------------------------------------------------------------------ */

/* What was said, in words. */
static const char *say(const devcache_directives_t *d, apr_pool_t *p)
{
    const char *text = "";
    int i;

#define FLAG(field)                                                                      \
    if (d->field) {                                                                      \
        text = apr_pstrcat(p, text, #field " ", NULL);                                   \
    }
#define DELTA(field)                                                                     \
    if (d->field >= 0) {                                                                 \
        text = apr_psprintf(p, "%s" #field "=%" APR_INT64_T_FMT " ", text, d->field);    \
    }
    FLAG(malformed)
    FLAG(no_store)
    FLAG(no_cache)
    FLAG(is_private)
    FLAG(is_public)
    FLAG(must_revalidate)
    FLAG(proxy_revalidate)
    FLAG(must_understand)
    FLAG(immutable)
    FLAG(no_transform)
    FLAG(only_if_cached)
    DELTA(max_age)
    DELTA(s_maxage)
    DELTA(stale_while_revalidate)
    DELTA(stale_if_error)
    DELTA(min_fresh)
    DELTA(max_stale)
    for (i = 0; d->listed && i < d->listed->nelts; i++) {
        text = apr_pstrcat(p, text, "<", APR_ARRAY_IDX(d->listed, i, const char *), "> ",
                           NULL);
    }
    return text;
}

static void test_cache_control(apr_pool_t *p)
{
    static const struct {
        const char *lines[3];
        const char *want;
    } t[] = {
        {{""}, ""},
        {{"No-StOrE"}, "no_store "},
        {{"max-age=3600, public"}, "is_public max_age=3600 "},
        {{"MaX-aGe=1"}, "max_age=1 "},
        {{"foo, bar=1, baz=\"x\", max-age=5"}, "max_age=5 "},
        {{"max-age=\"3600\""}, "max_age=3600 "},
        {{"max-age='3600'"}, "max_age=0 "},
        {{"max-age=003600"}, "max_age=3600 "},
        {{"max-age=2147483649"}, "max_age=2147483648 "},
        {{"max-age=-5"}, "max_age=0 "},
        {{"max-age=5.0"}, "max_age=0 "},
        {{"max-age=5a"}, "max_age=0 "},
        {{"max-age="}, "malformed max_age=0 "},
        {{"max-age"}, "max_age=0 "},
        {{"max-age =5"}, "malformed max_age=0 "},
        {{"max-age= 5"}, "malformed max_age=0 "},
        {{"max-age=\"5"}, "malformed max_age=0 "},
        {{"max-age=\"\\5\""}, "max_age=0 "},
        {{"max-age=\""}, "malformed max_age=0 "},
        {{"max-age=5;public"}, "malformed max_age=0 "},
        {{"x=\"max-age=3600\", max-age=1"}, "max_age=1 "},
        {{"max-age=1, x=\"max-age=3600, no-store\""}, "max_age=1 "},
        {{"x=\"a\\\", no-store, \", max-age=1"}, "max_age=1 "},
        {{"max-age=7, max-age=7"}, "max_age=7 "},
        {{"max-age=1800, max-age=1"}, "max_age=0 "},
        {{"max-age=1", "max-age=1800", "max-age=1"}, "max_age=0 "},
        {{"max-age=3600", "s-maxage=1"}, "max_age=3600 s_maxage=1 "},
        {{"x=\"open", "no-store"}, "malformed no_store "},
        {{"private"}, "is_private "},
        {{"private=\"a, B\""}, "<a, B> "},
        {{"private=a"}, "<a> "},
        {{"private=\"\""}, "is_private "},
        {{"private=\"a b\""}, "is_private "},
        {{"private=\"\\a\""}, "is_private "},
        {{"private=\"a"}, "malformed is_private "},
        {{"private =\"a\""}, "malformed is_private "},
        {{"no-cache=\"a\", private"}, "is_private <a> "},
        {{"no-cache=\"a\"", "no-cache=\"b\""}, "<a> <b> "},
        {{"no-store=0"}, "no_store "},
        {{"no-storex"}, ""},
        {{"stale-while-revalidate=60, stale-if-error=x"},
         "stale_while_revalidate=60 stale_if_error=0 "},
        {{"immutable,must-understand , no-transform,proxy-revalidate, must-revalidate"},
         "must_revalidate proxy_revalidate must_understand immutable no_transform "},
        {{"max-stale"}, "max_stale=2147483648 "},
        {{"max-stale=5, min-fresh=6, only-if-cached"},
         "only_if_cached min_fresh=6 max_stale=5 "},
        {{"max-stale=x"}, "max_stale=0 "},
        {{"=5"}, "malformed "},
        {{"\"max-age=5\""}, "malformed "},
        {{";"}, "malformed "},
        {{"foo bar, max-age=5"}, "malformed max_age=5 "},
        {{"foo=\"a\"b\"c\", max-age=5"}, "malformed max_age=5 "},
        {{"foo=\"a\\"}, "malformed "},
        {{"no-store; private"}, "malformed no_store "},
        {{"private=\",\""}, "is_private "},
        {{"public=1, must-understand=1, immutable=\"\""}, ""},
        {{"public, public=1"}, "is_public "},
    };
    devcache_directives_t d;
    apr_size_t i;
    int line;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *h = apr_table_make(p, 3);
        char *copies[3] = {NULL};
        for (line = 0; line < 3 && t[i].lines[line]; line++) {
            copies[line] = heap(t[i].lines[line]);
            apr_table_addn(h, line ? "cache-control" : "Cache-Control", copies[line]);
        }
        devcache_directive_cache_control(h, &d, p);
        is_str(say(&d, p), t[i].want,
               apr_psprintf(p, "cache-control: %s", t[i].lines[0]));
        for (line = 0; line < 3; line++) {
            free(copies[line]);
        }
    }
}

static void test_lists_without_pool(apr_pool_t *p)
{
    apr_table_t *h = apr_table_make(p, 1);
    devcache_directives_t d;

    apr_table_addn(h, "Cache-Control", "no-cache=\"a\"");
    devcache_directive_cache_control(h, &d, NULL);
    ok(d.no_cache && !d.listed, "cache-control: nowhere to keep a list: all is meant");
}

static void test_targeted(apr_pool_t *p)
{
    static const struct {
        const char *first, *second; /* CDN-Cache-Control */
        const char *want;           /* of Cache-Control: max-age=1, if that counts */
    } t[] = {
        {"max-age=60", NULL, "target max_age=60 "},
        {"max-age=60", "private", "target is_private max_age=60 "},
        {"max-age=60, max-age=5", NULL, "target max_age=5 "},
        {"max-age=99999999999", NULL, "target max_age=2147483648 "},
        {"max-age=-5", NULL, "target max_age=0 "},
        {"max-age=60;x=1, foo=(1 2), bar=1.5", NULL, "target max_age=60 "},
        {"foo", NULL, "target "},
        {"no-cache=\"a, b\"", NULL, "target <a, b> "},
        {"private, no-store", NULL, "target no_store is_private "},
        {"", NULL, "max_age=1 "},
        {"max-age=\"60\"", NULL, "max_age=1 "},
        {"max-age=6.0", NULL, "max_age=1 "},
        {"max-age", NULL, "max_age=1 "},
        {"no-store=?0", NULL, "max_age=1 "},
        {"no-store=1", NULL, "max_age=1 "},
        {"private=\"a b\"", NULL, "max_age=1 "},
        {"MaX-aGe=60", NULL, "max_age=1 "},
        {"max-age =60", NULL, "max_age=1 "},
        {"max-age=60, &&&&&", NULL, "max_age=1 "},
        {"max-age=60,", NULL, "max_age=1 "},
    };
    apr_array_header_t *targets = apr_array_make(p, 2, sizeof(const char *));
    devcache_directives_t d;
    apr_size_t i;

    APR_ARRAY_PUSH(targets, const char *) = "Example-Cache-Control";
    APR_ARRAY_PUSH(targets, const char *) = "CDN-Cache-Control";
    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        apr_table_t *h = apr_table_make(p, 3);
        int counted;
        apr_table_addn(h, "Cache-Control", "max-age=1");
        apr_table_addn(h, "CDN-Cache-Control", t[i].first);
        if (t[i].second) {
            apr_table_addn(h, "CDN-Cache-Control", t[i].second);
        }
        counted = devcache_directive_response(targets, h, &d, p);
        is_str(apr_pstrcat(p, counted ? "target " : "", say(&d, p), NULL), t[i].want,
               apr_psprintf(p, "targeted: %s", t[i].first));
    }
}

static void test_secrets(void)
{
    static const char *const secret[] = {
        "Cookie",       "authorization",    "X-API-Key",    "Proxy-Authorization",
        "X_Auth_Token", "X-Forwarded-User", "Private-Token"};
    static const char *const open[] = {"User-Agent", "Accept-Language", "Surrogate-Key",
                                       "xkey",       "X-Country",       "Key",
                                       "X-Cache-Key"};
    unsigned i;

    for (i = 0; i < sizeof(secret) / sizeof(*secret); i++) {
        ok(devcache_field_is_secret(secret[i]), "%s", secret[i]);
    }
    for (i = 0; i < sizeof(open) / sizeof(*open); i++) {
        ok(!devcache_field_is_secret(open[i]), "%s", open[i]);
    }
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_lists(p);
    test_tables(p);
    test_deltas(p);
    test_ages(p);
    test_dates(p);
    test_usual_date();
    test_clean();
    test_centuries();
    test_etags(p);
    test_dictionaries(p);
    test_cache_control(p);
    test_lists_without_pool(p);
    test_targeted(p);
    test_secrets();
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
