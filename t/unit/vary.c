/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_vary: keys, specs, values, normalisation, the Vary that clients see. */
#include "devcache_vary.h"
#include "http/coding.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

static const devcache_vary_conf_t plain = {"X-Device-Type", 0, 0, 1, NULL};
static const devcache_vary_conf_t split = {"X-Device-Type", 1, 0, 1, NULL};
static const devcache_vary_conf_t exact = {"X-Device-Type", 0, 1, 0, NULL};
static const devcache_vary_conf_t cookie = {NULL, 1, 1, 0, "view"};

/* A table of the lines of one name, given with "\n" between them; NULL: none. */
static apr_table_t *lines_of(const char *name, const char *text, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 4);

    while (text) {
        apr_size_t len = strcspn(text, "\n");
        apr_table_addn(t, name, apr_pstrmemdup(p, text, len));
        text = text[len] ? text + len + 1 : NULL;
    }
    return t;
}

static void test_keys(apr_pool_t *p)
{
    devcache_slice_t a = devcache_vary_key("http", "example.com", 80, "/a", NULL, p);
    static const struct {
        const char *scheme, *host;
        unsigned port;
        const char *path, *query;
        int same;
    } t[] = {
        {"http", "example.com", 80, "/a", NULL, 1},
        {"HTTP", "EXAMPLE.com", 80, "/a", NULL, 1},
        {"http", "example.com.", 80, "/a", NULL, 1},
        {"http", "example.com..", 80, "/a", NULL, 0},
        {"https", "example.com", 80, "/a", NULL, 0},
        {"http", "example.com", 81, "/a", NULL, 0},
        {"http", "example.com", 80, "/A", NULL, 0},
        {"http", "example.com", 80, "/a", "", 0},
        {"http", "example.com", 80, "/", "a", 0},
        {"http", "example.co", 80, "m/a", NULL, 0},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        devcache_slice_t b = devcache_vary_key(t[i].scheme, t[i].host, t[i].port,
                                               t[i].path, t[i].query, p);
        ok(devcache_slice_eq(a, b) == t[i].same, "key of %s://%s:%u%s is %s", t[i].scheme,
           t[i].host, t[i].port, t[i].path, t[i].same ? "the same" : "another");
    }
}

static const char *url(const char *scheme, unsigned port, const char *path,
                       const char *query, apr_pool_t *p)
{
    return devcache_vary_key_url(
        devcache_vary_key(scheme, "Ex.com", port, path, query, p), p);
}

static void test_urls(apr_pool_t *p)
{
    devcache_slice_t key = devcache_vary_key("http", "ex.com", 80, "/a", "b", p);
    char *big = apr_palloc(p, 5000);

    is_str(url("http", 80, "/a", NULL, p), "http://ex.com/a", "url");
    is_str(url("https", 443, "/a", "", p), "https://ex.com/a?", "url: empty query");
    is_str(url("https", 80, "/a", "b=c", p), "https://ex.com:80/a?b=c", "url: port");
    is_str(url("http", 80, "/a b\"\\\n\xfc", NULL, p), "http://ex.com/a%20b%22%5C%0A%FC",
           "url: not printable");
    memset(big, 'x', 4999);
    big[4999] = '\0';
    ok(strlen(url("http", 80, big, big, p)) <= 1024, "url: cut");
    key.len--;
    is_str(devcache_vary_key_url(key, p), "-", "url of half a key");
    is_str(devcache_vary_key_url(devcache_slice(NULL, 0), p), "-", "url of no key");
    is_str(devcache_vary_key_url(devcache_slice("", 0), p), "-", "url of an empty key");
}

static void test_specs(apr_pool_t *p)
{
    static const struct {
        const devcache_vary_conf_t *conf;
        const char *vary, *want;
        devcache_reason_e reason;
    } t[] = {
        {&plain, NULL, "", DEVCACHE_REASON_NONE},
        {&plain, "", "", DEVCACHE_REASON_NONE},
        {&plain, ", ,", "", DEVCACHE_REASON_NONE},
        {&plain, "Foo, bar", "bar foo", DEVCACHE_REASON_NONE},
        {&plain, "Foo\nBAR,foo\n\nbaz", "bar baz foo", DEVCACHE_REASON_NONE},
        {&plain, "Accept-Encoding", "accept-encoding", DEVCACHE_REASON_NONE},
        {&plain, "User-Agent, x-device-type", "@device", DEVCACHE_REASON_NONE},
        {&plain,
         "sec-ch-ua-mobile, Sec-CH-UA-Platform, Sec-CH-UA-Form-Factors, Sec-CH-UA",
         "@device sec-ch-ua sec-ch-ua-form-factors sec-ch-ua-platform",
         DEVCACHE_REASON_NONE},
        {&split, NULL, "@device", DEVCACHE_REASON_NONE},
        {&split, "Foo, User-Agent", "@device foo", DEVCACHE_REASON_NONE},
        {&exact, "User-Agent, Sec-CH-UA-Mobile", "sec-ch-ua-mobile user-agent",
         DEVCACHE_REASON_NONE},
        {&exact, "X-Device-Type", "@device", DEVCACHE_REASON_NONE},
        {&cookie, "Cookie, X-Device-Type", "@device cookie x-device-type",
         DEVCACHE_REASON_NONE},
        {&plain, "*", NULL, DEVCACHE_REASON_VARY_STAR},
        {&plain, "Foo, *, Bar", NULL, DEVCACHE_REASON_VARY_STAR},
        {&plain, "Foo\n, *", NULL, DEVCACHE_REASON_VARY_STAR},
        {&plain, "\n*", NULL, DEVCACHE_REASON_VARY_STAR},
        {&plain, "Foo Bar", NULL, DEVCACHE_REASON_CONFLICT},
        {&plain, "\"Foo\"", NULL, DEVCACHE_REASON_CONFLICT},
        {&plain, "@device", NULL, DEVCACHE_REASON_CONFLICT},
        {&plain, "\"a, *", NULL, DEVCACHE_REASON_CONFLICT},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        const char *spec = NULL;
        devcache_reason_e reason = devcache_vary_spec(
            t[i].conf, apr_table_make(p, 1), lines_of("Vary", t[i].vary, p), &spec, p);
        is_int(reason, t[i].reason,
               apr_psprintf(p, "spec: %s", t[i].vary ? t[i].vary : "none"));
        is_str(spec, t[i].want, "  its text");
    }
}

static void test_spec_limits(apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 40);
    const char *spec, *name;
    int i;

    for (i = 0; i < 10000; i++) {
        apr_table_addn(t, "Vary", apr_psprintf(p, "n%d", i % 32));
    }
    is_int(devcache_vary_spec(&plain, apr_table_make(p, 1), t, &spec, p),
           DEVCACHE_REASON_NONE, "32 names, often");
    ok(strncmp(spec, "n0 n1 n10 n11 ", 14) == 0, "sorted");
    apr_table_addn(t, "Vary", "n33");
    is_int(devcache_vary_spec(&plain, apr_table_make(p, 1), t, &spec, p),
           DEVCACHE_REASON_VARY_LIMIT, "33 names");

    name = apr_psprintf(p, "%01022d", 0);
    is_int(devcache_vary_spec(&plain, apr_table_make(p, 1), lines_of("Vary", name, p),
                              &spec, p),
           DEVCACHE_REASON_NONE, "a long name");
    name = apr_psprintf(p, "%01025d", 0);
    is_int(devcache_vary_spec(&plain, apr_table_make(p, 1), lines_of("Vary", name, p),
                              &spec, p),
           DEVCACHE_REASON_VARY_LIMIT, "too long a name");
    name = apr_psprintf(p, "%0600d, a%0600d", 0, 0);
    is_int(devcache_vary_spec(&plain, apr_table_make(p, 1), lines_of("Vary", name, p),
                              &spec, p),
           DEVCACHE_REASON_VARY_LIMIT, "too long together");
}

/* Do two requests with these lines of a header (NULL: without it) share a variant? */
static int share(const char *name, const char *a, const char *b, apr_pool_t *p)
{
    const char *spec = apr_pstrdup(p, name);
    devcache_slice_t x = devcache_vary_values(&plain, spec, devcache_slice_str("/"), "pc",
                                              lines_of(name, a, p), p);
    devcache_slice_t y = devcache_vary_values(&plain, spec, devcache_slice_str("/"), "pc",
                                              lines_of(name, b, p), p);
    return devcache_slice_eq(x, y);
}

static void test_sharing(apr_pool_t *p)
{
    static const struct {
        const char *name, *a, *b;
        int want;
    } t[] = {
        {"foo", "1", "1", 1},
        {"foo", "1", "2", 0},
        {"foo", NULL, NULL, 1},
        {"foo", NULL, "", 0},
        {"foo", "1, 2", "1,2", 1},
        {"foo", "1, 2", " 1\t,\t2 ", 1},
        {"foo", "1, 2", "1\n2", 1},
        {"foo", "1, 2", "2, 1", 0},
        {"foo", "1  2", "1 2", 0},
        {"foo", "A", "a", 0},
        {"foo", "\"1, 2\"", "\"1,2\"", 0},
        {"foo", "\"1\\\", 2\"", "\"1\\\",2\"", 0},
        {"foo", "\"1\" , 2", "\"1\",2", 1},
        {"foo", "\"1, 2", "\"1,2", 0},
        {"foo", "1,", "1", 0},
        {"cookie", "a=1; b=2", "a=1\nb=2", 1},
        {"accept-encoding", "gzip, br", "BR ,gzip", 1},
        {"accept-encoding", "gzip, br", "gzip\nbr", 1},
        {"accept-encoding", "gzip;q=1.0, br;q=0.5", "br;q=0.50,x-gzip", 1},
        {"accept-encoding", "gzip, br;q=0.5", "gzip, br", 0},
        {"accept-encoding", "gzip", "gzip;q=0", 0},
        {"accept-encoding", "gzip", "gzip, zstd", 0},
        {"accept-encoding", "gzip", "gzip, *;q=0", 0},
        {"accept-encoding", NULL, "", 0},
        {"accept-encoding", NULL, "identity", 0},
        {"accept-language", "en, de", "de, en", 1},
        {"accept-language", "en, de", "eN,   De", 1},
        {"accept-language", "en, de;q=0.5", "de;q=0.5, en;q=1", 1},
        {"accept-language", "en, de;q=0.5", "de, en;q=0.5", 0},
        {"accept-language", "en", "en-GB", 0},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        ok(share(t[i].name, t[i].a, t[i].b, p) == t[i].want, "%s: {%s} and {%s} %s",
           t[i].name, t[i].a ? t[i].a : "none", t[i].b ? t[i].b : "none",
           t[i].want ? "share" : "differ");
    }
}

static void test_values(apr_pool_t *p)
{
    apr_table_t *request = apr_table_make(p, 2);
    devcache_slice_t a, b;

    apr_table_addn(request, "A", "1");
    apr_table_addn(request, "B", "1");
    a = devcache_vary_values(&plain, "@device a", devcache_slice_str("/"), "pc", request,
                             p);
    b = devcache_vary_values(&plain, "@device a", devcache_slice_str("/"), "mobile",
                             request, p);
    ok(!devcache_slice_eq(a, b), "the class counts where the spec names it");
    a = devcache_vary_values(&plain, "a", devcache_slice_str("/"), "pc", request, p);
    b = devcache_vary_values(&plain, "a", devcache_slice_str("/"), "mobile", request, p);
    ok(devcache_slice_eq(a, b), "and not where it does not");
    b = devcache_vary_values(&plain, "b", devcache_slice_str("/"), "pc", request, p);
    ok(!devcache_slice_eq(a, b), "two specs with the same value differ");
    b = devcache_vary_values(&plain, "a", devcache_slice_str("/?"), "pc", request, p);
    ok(!devcache_slice_eq(a, b), "two targets differ");
    a = devcache_vary_values(&plain, "a b", devcache_slice_str("/"), "pc", request, p);
    apr_table_setn(request, "A", "1\x01\x01");
    apr_table_unset(request, "B");
    b = devcache_vary_values(&plain, "a b", devcache_slice_str("/"), "pc", request, p);
    ok(!devcache_slice_eq(a, b), "no value imitates a border");
    a = devcache_vary_values(&split, "a", devcache_slice_str("/"), "pc", request, p);
    ok(a.data == NULL, "a spec from before splitting is not used");
    a = devcache_vary_values(&split, "@device", devcache_slice_str("/"), "pc", request,
                             p);
    ok(a.data != NULL, "one with the class is");
}

static void test_canonical(apr_pool_t *p)
{
    static const struct {
        const char *value, *want;
    } t[] = {
        {"gzip, deflate, br", "br, deflate, gzip"},
        {"GZIP, Deflate, Br;q=0.5", "deflate, gzip, br;q=0.500"},
        {"GZIP;Q=1.0 ; , br ; q=0.25", "GZIP;Q=1.0 ; , br ; q=0.25"},
        {"gzip;q=1.0, br ; q=0.25", "gzip, br;q=0.250"},
        {"gzip;q=0, br;q=0.001, *;q=0.", "br;q=0.001, *;q=0, gzip;q=0"},
        {"x-gzip, x-compress", "compress, gzip"},
        {"gzip, gzip", "gzip"},
        {"gzip, gzip;q=0", "gzip, gzip;q=0"},
        {"gzip;q=1.001", "gzip;q=1.001"},
        {"gzip;q=0.1234", "gzip;q=0.1234"},
        {"gzip;q=2", "gzip;q=2"},
        {"gzip;q=", "gzip;q="},
        {"gzip;q=0x", "gzip;q=0x"},
        {"gzip;q=0.x", "gzip;q=0.x"},
        {"gzip;q = 1", "gzip;q = 1"},
        {"gzip;level=9", "gzip;level=9"},
        {"gzip br", "gzip br"},
        {"\"gzip\"", "\"gzip\""},
        {"", ""},
        {" , ", ""},
    };
    static const char *const usual[] = {"gzip, deflate, br, zstd", "gzip, deflate, br",
                                        "gzip, deflate", "gzip"};
    const char *many = "a0";
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(devcache_vary_accept_encoding(t[i].value, p), t[i].want,
               apr_psprintf(p, "accept-encoding: %s", t[i].value));
    }
    for (i = 0; i < sizeof(usual) / sizeof(*usual); i++) {
        is_str(devcache_vary_accept_encoding(usual[i], p),
               devcache_vary_accept_encoding(apr_pstrcat(p, usual[i], " ", NULL), p),
               apr_psprintf(p, "accept-encoding: the usual %s is sorted as others are",
                            usual[i]));
    }
    is_str(devcache_vary_accept_encoding(NULL, p), NULL, "accept-encoding: none");
    is_str(devcache_vary_accept_language("x-gzip, DE-at", p), "de-at, x-gzip",
           "languages have no old names");
    for (i = 1; i < 64; i++) {
        many = apr_psprintf(p, "a%d, %s", (int)i, many);
    }
    ok(devcache_vary_accept_encoding(many, p) != many, "64 codings are sorted");
    many = apr_pstrcat(p, many, ", b", NULL);
    ok(devcache_vary_accept_encoding(many, p) == many, "65 stay as they are");
}

static void test_outward(apr_pool_t *p)
{
#define HINTS "Sec-CH-UA-Mobile,Sec-CH-UA-Platform,Sec-CH-UA-Form-Factors"
    static const struct {
        const devcache_vary_conf_t *conf;
        const char *vary;
        int by_device;
        const char *want;
    } t[] = {
        {&plain, NULL, 0, NULL},
        {&plain, "", 0, NULL},
        {&plain, "Foo, bar\nFOO, baz", 0, "Foo,bar,baz"},
        {&plain, "Foo", 1, "Foo,User-Agent," HINTS},
        {&plain, NULL, 1, "User-Agent," HINTS},
        {&plain, "user-agent, sec-ch-ua-platform", 1,
         "user-agent,sec-ch-ua-platform,Sec-CH-UA-Mobile,Sec-CH-UA-Form-Factors"},
        {&plain, "x-device-type, Foo", 0, "Foo,User-Agent," HINTS},
        {&exact, "X-Device-Type", 1, "User-Agent"},
        {&cookie, "Foo, X-Device-Type", 1, "Foo,X-Device-Type,User-Agent,Cookie"},
        {&plain, "Foo, *", 1, "*"},
    };
    apr_table_t *hostile = apr_table_make(p, 1);
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        is_str(devcache_vary_outward(t[i].conf, lines_of("vary", t[i].vary, p),
                                     t[i].by_device, p),
               t[i].want, apr_psprintf(p, "outward: %s", t[i].vary ? t[i].vary : "none"));
    }
    apr_table_addn(hostile, "Vary", "a");
    apr_table_addn(hostile, "Vary", "*");
    {
        char *many = apr_pcalloc(p, 70 * 4 + 1);
        int n;
        for (n = 0; n < 70; n++) {
            apr_snprintf(many + 4 * n, 5, "n%02d,", n);
        }
        is_str(devcache_vary_outward(&plain, lines_of("vary", many, p), 0, p), "*",
               "outward: more names than are shown");
    }
    is_str(devcache_vary_outward(&plain, hostile, 0, p), "*", "outward: a later star");
}

/* A header with one line of each, as the origin is sent it, or answers. */
static apr_table_t *one(const char *name, const char *value, const char *other,
                        const char *also, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 2);

    if (value) {
        apr_table_setn(t, name, value);
    }
    if (also) {
        apr_table_setn(t, other, also);
    }
    return t;
}

static void test_codings(apr_pool_t *p)
{
    static const char *const names[] = {"br", "gzip"};
    static const apr_array_header_t list = {NULL, sizeof(char *), 2, 2, (char *)names};
    static const struct {
        const char *sent, *want;
    } reduced[] = {
        {NULL, NULL},
        {"gzip", "gzip"},
        {"gzip, deflate", "gzip"},
        {"gzip, deflate, br", "br, gzip"},
        {"gzip, deflate, br, zstd", "br, gzip"},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", "br, gzip"},
        {"br;q=0, gzip", "gzip"},
        {"GZIP", "gzip"},
        {"x-gzip", "gzip"},
        {"identity", NULL},
        {"*", "br, gzip"},
        {"*, br;q=0", "gzip"},
        {"", NULL},
        {"gzip, identity;q=0", "gzip, identity;q=0"},
        {"gzip, *;q=0", "gzip, *;q=0"},
        {"gzip\t,\tBR", "br, gzip"},
        {",gzip,,", "gzip"},
        {"gzipped, br2, b, brr", NULL},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,gzip", "gzip"},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,gzip,br", "br, gzip"},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t", NULL},
    };
    static const struct {
        const char *sent, *vary, *coding, *want;
        devcache_reason_e reason;
    } specs[] = {
        {"br, gzip", "Accept-Encoding", "gzip", "@coding2=gzip", DEVCACHE_REASON_NONE},
        {"br, gzip", NULL, "GZip", "@coding2=gzip", DEVCACHE_REASON_NONE},
        {"br, gzip", "Cookie", "br", "@coding1=br cookie", DEVCACHE_REASON_NONE},
        {"gzip", "accept-encoding, a", NULL, "@coding9=identity a", DEVCACHE_REASON_NONE},
        {"gzip", "Accept-Encoding", "identity", "@coding9=identity",
         DEVCACHE_REASON_NONE},
        {NULL, "Accept-Encoding", NULL, "accept-encoding", DEVCACHE_REASON_NONE},
        {"gzip", NULL, NULL, "", DEVCACHE_REASON_NONE},
        {NULL, NULL, "gzip", "accept-encoding", DEVCACHE_REASON_NONE},
        {"gzip", "Accept-Encoding", "br", "accept-encoding", DEVCACHE_REASON_NONE},
        {"gzip", "Accept-Encoding", "zstd", "accept-encoding", DEVCACHE_REASON_NONE},
        {"br, gzip", "Accept-Encoding", "gzip, br", "accept-encoding",
         DEVCACHE_REASON_NONE},
    };
    static const char *const clients[] = {NULL, "gzip", "br, gzip", "br", "gzip;q=0, *"};
    devcache_vary_conf_t conf = plain;
    devcache_slice_t stored;
    apr_size_t i;

    conf.encodings = &list;
    for (i = 0; i < sizeof reduced / sizeof *reduced; i++) {
        is_str(
            devcache_coding_reduced(&list, reduced[i].sent, p), reduced[i].want,
            apr_psprintf(p, "sent for \"%s\"", reduced[i].sent ? reduced[i].sent : ""));
    }
    for (i = 0; i < sizeof specs / sizeof *specs; i++) {
        const char *spec = NULL;
        is_int(devcache_vary_spec(
                   &conf, one("Accept-Encoding", specs[i].sent, NULL, NULL, p),
                   one("Vary", specs[i].vary, "Content-Encoding", specs[i].coding, p),
                   &spec, p),
               specs[i].reason, apr_psprintf(p, "coding %u", (unsigned)i));
        if (specs[i].want) {
            is_str(spec, specs[i].want, "  its spec");
        }
    }
    stored = devcache_vary_values(&conf, "@coding2=gzip", devcache_slice_str("t"), "pc",
                                  one("Accept-Encoding", "br, gzip", NULL, NULL, p), p);
    for (i = 0; i < sizeof clients / sizeof *clients; i++) {
        devcache_slice_t mine = devcache_vary_values(
            &conf, "@coding2=gzip", devcache_slice_str("t"), "pc",
            one("Accept-Encoding", clients[i], NULL, NULL, p), p);
        is_int(devcache_slice_eq(stored, mine), i == 1 || i == 2,
               "gzip is for those who accept it");
    }
    is_str(devcache_coding_reduced(NULL, "gzip, zstd", p), "gzip, zstd", "keep");
}

static void test_differences(apr_pool_t *p)
{
    static const char spec[] = "@coding2=gzip @device accept-language cookie";
    apr_table_t *a = one("Accept-Language", "de", "Accept-Encoding", "gzip", p);
    apr_table_t *b = one("Accept-Language", "fr", "Cookie", "a=1", p);
    devcache_slice_t x = devcache_vary_values(&plain, spec, devcache_slice_str("t"), "pc",
                                              a, p);
    devcache_slice_t y = devcache_vary_values(&plain, spec, devcache_slice_str("u"),
                                              "mobile", b, p);
    devcache_slice_t z = devcache_vary_values(&plain, "@device", devcache_slice_str("t"),
                                              "pc", a, p);
    devcache_vary_difference_t odd[5];
    static const char *const names[] = {"@target", "accept-encoding", "@device",
                                        "accept-language", "cookie"};
    int i;

    is_int(devcache_vary_differences(x, x, odd, 5, p), 0, "the same");
    is_int(devcache_vary_differences(x, y, odd, 5, p), 5, "in everything");
    for (i = 0; i < 5; i++) {
        is_str(odd[i].name, names[i], "its name");
    }
    ok(devcache_slice_eq(odd[3].a, devcache_slice_str("de")) &&
           devcache_slice_eq(odd[3].b, devcache_slice_str("fr")),
       "and values");
    ok(!odd[4].a.data && odd[4].b.data, "absent in one");
    is_int(devcache_vary_differences(x, y, odd, 2, p), 2, "at most two");
    is_int(devcache_vary_differences(x, z, odd, 5, p), -1, "of two specs");
    is_int(devcache_vary_differences(devcache_slice("abc", 3), x, odd, 5, p), -1,
           "not values at all");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_keys(p);
    test_urls(p);
    test_specs(p);
    test_spec_limits(p);
    test_sharing(p);
    test_values(p);
    test_canonical(p);
    test_outward(p);
    test_codings(p);
    test_differences(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
