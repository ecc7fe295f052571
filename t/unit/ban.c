/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bans, tags and dialects: bytes and fields in, conditions out. No store.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include "purge/dialect.h"
#include "http/response.h"
#include "purge/pattern.h"
#include "devcache_vary.h"
#include "tap.h"

static apr_pool_t *pool;

/* ---- an object -------------------------------------------------------------- */

static devcache_slice_t tags_of(const char *list)
{
    devcache_tags_t tags;

    devcache_ban_tags_begin(&tags, pool);
    devcache_ban_tags_list(&tags, list);
    return devcache_ban_tags_end(&tags, pool);
}

static devcache_described_t object(const char *host, const char *path, const char *query,
                                   const char *device, const char *tags)
{
    devcache_vary_conf_t conf = {"X-Device-Type", device != NULL};
    const char *spec = device ? "@device accept-language" : "accept-language";
    devcache_described_t o;

    o.key = devcache_vary_key("https", host, 443, path, query, pool);
    o.spec = devcache_slice_str(spec);
    o.variant = devcache_vary_values(&conf, spec, devcache_slice_str("target"), device,
                                     apr_table_make(pool, 1), pool);
    o.tags = tags_of(tags);
    return o;
}

static int matches(const devcache_ban_t *ban, devcache_described_t o)
{
    devcache_slice_t bytes;
    void *opened;

    if (devcache_ban_encode(ban, &bytes, pool) != NULL) {
        return -1;
    }
    opened = devcache_ban_open(bytes, pool);
    return opened ? devcache_ban_matches(opened, &o) : -2;
}

/* ---- bans -------------------------------------------------------------------- */

static void test_conditions(void)
{
    devcache_described_t o = object("a.example", "/news/x", "q=1", "mobile", "one two");
    devcache_described_t all = object("a.example", "/", NULL, NULL, "");
    apr_array_header_t *fields = apr_array_make(pool, 1, sizeof(devcache_ban_field_t));
    devcache_ban_field_t *f = apr_array_push(fields);
    devcache_response_t resp = {.status = 200, .lines = apr_table_make(pool, 1)};
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};

    is_int(matches(&ban, o), 1, "no condition");
    ban.host.how = DEVCACHE_BAN_IS;
    ban.host.text = "a.example";
    is_int(matches(&ban, o), 1, "its host");
    ban.host.text = "a.exampl";
    is_int(matches(&ban, o), 0, "another host");
    ban.host.how = DEVCACHE_BAN_REGEX;
    ban.host.text = "^(b|a)\\.example$";
    is_int(matches(&ban, o), 1, "a host that matches");
    ban.url.how = DEVCACHE_BAN_PREFIX;
    ban.url.text = "/news/x?q";
    is_int(matches(&ban, o), 1, "a prefix into the query");
    is_int(matches(&ban, all), 0, "all conditions count");
    ban.url.text = "/news/x?q=12";
    is_int(matches(&ban, o), 0, "a longer one");
    ban.url.how = DEVCACHE_BAN_REGEX;
    ban.url.text = "\\?q=1$";
    is_int(matches(&ban, o), 1, "a regular expression over path and query");
    ban.tags = tags_of("three two");
    is_int(matches(&ban, o), 1, "one of two tags");
    ban.tags = tags_of("three tw");
    is_int(matches(&ban, o), 0, "none of two tags");
    is_int(matches(&ban, all), 0, "nothing is tagged");
    memset(&ban, 0, sizeof(ban));
    ban.device = "mobile";
    is_int(matches(&ban, o), 1, "its class");
    is_int(matches(&ban, all), 1, "of no class, so of this one too");
    ban.device = "pc";
    is_int(matches(&ban, o), 0, "another class");
    memset(&ban, 0, sizeof(ban));
    apr_table_setn(resp.lines, "X-Kind", "b");
    ban.fields = fields;
    f->name = "x-kind";
    f->regex = "^(a|b)$";
    o.meta = devcache_response_encode(&resp, pool);
    is_int(matches(&ban, o), 1, "a field that matches");
    f->regex = "^a|b$";
    f->name = "X-None";
    is_int(matches(&ban, o), 0, "a field that is not there");
    f->name = "Content-Type";
    f->regex = "^image/";
    is_int(matches(&ban, o), 0, "another type");
    resp.content_type = "image/png";
    o.meta = devcache_response_encode(&resp, pool);
    is_int(matches(&ban, o), 1, "its type");
    o.meta.len--;
    is_int(matches(&ban, o), 1, "what cannot be read goes");
    f->regex = "(";
    is_int(matches(&ban, o), -1, "no expression");
}

/* What is stored is compared decoded, and a host with its port as well. */
static void test_spelling(void)
{
    devcache_described_t o = object("a.example", "/x", "q=%c3%A9%2", NULL, "one");
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}, {DEVCACHE_BAN_REGEX, "\\?q=\xc3\xa9%2$"}};

    is_int(matches(&ban, o), 1, "a query is compared decoded");
    ban.host.how = DEVCACHE_BAN_REGEX;
    ban.host.text = "(?i)^A\\.example:443$";
    is_int(matches(&ban, o), 1, "a host with its port");
    ban.host.text = "^a\\.example:80$";
    is_int(matches(&ban, o), 0, "and with another one");
    ban.host.how = DEVCACHE_BAN_ANY;
    ban.tags = devcache_slice("", 0);
    is_int(matches(&ban, o), 1, "any tag");
    o.tags = devcache_slice(NULL, 0);
    is_int(matches(&ban, o), 0, "but one there must be");
}

static void test_limits(void)
{
    char path[60], long_pattern[DEVCACHE_PATTERN_MAX + 2];
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}, {DEVCACHE_BAN_REGEX, "^/(a+)+[bc]$"}};
    devcache_slice_t bytes;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    is_int(matches(&ban, object("a", path, NULL, NULL, "")), 1,
           "beyond the limits counts as matching");
    is_int(matches(&ban, object("a", "/b", NULL, NULL, "")), 0, "but not within");
    memset(long_pattern, 'a', sizeof(long_pattern));
    long_pattern[sizeof(long_pattern) - 1] = '\0';
    ban.url.text = long_pattern;
    ok(devcache_ban_encode(&ban, &bytes, pool) != NULL, "a long pattern is refused");
    ban.url.text = "(((((((((((((((((((((((((a)))))))))))))))))))))))))";
    ok(devcache_ban_encode(&ban, &bytes, pool) != NULL, "a deep one as well");
    ban.url.text = ".";
    is_int(matches(&ban, object("a", "/\n", NULL, NULL, "")), 1,
           "a line end is nothing special");
}

/* What comes from the disk is a ban or is not; it is never read beyond its end. */
static void test_damage(void)
{
    devcache_described_t o = object("a.example", "/news/x", "q=1", "mobile", "one two");
    devcache_ban_t ban = {{DEVCACHE_BAN_IS, "a.example"}, {DEVCACHE_BAN_REGEX, "x"}};
    devcache_slice_t bytes;
    apr_size_t i;
    int opened = 0;

    ban.tags = tags_of("one");
    ban.device = "mobile";
    devcache_ban_encode(&ban, &bytes, pool);
    for (i = 0; i < bytes.len; i++) {
        char *cut = malloc(i + 1); /* of its own, for the address sanitizer */

        memcpy(cut, bytes.data, i);
        opened += devcache_ban_open(devcache_slice(cut, i), pool) != NULL;
        free(cut);
    }
    is_int(opened, 0, "no beginning of a ban is one");
    for (i = 0; i < bytes.len * 8; i++) {
        char *copy = apr_pmemdup(pool, bytes.data, bytes.len);
        void *b;

        copy[i / 8] ^= (char)(1 << i % 8);
        b = devcache_ban_open(devcache_slice(copy, bytes.len), pool);
        opened += b && devcache_ban_matches(b, &o);
    }
    ok(opened > 0, "flipped bits are survived");
    ok(!devcache_ban_open(devcache_slice(NULL, 0), pool), "nothing is none");
}

/* ---- tags ---------------------------------------------------------------------- */

static int count(const char *list)
{
    return (int)(tags_of(list).len / 8);
}

static void test_tags(void)
{
    devcache_tags_t tags;
    char many[6 * 1001], *at = many, one[DEVCACHE_TAG_MAX + 2];
    int i;

    is_int(count(""), 0, "no tags");
    is_int(count(" ,\t, "), 0, "only separators");
    is_int(count("a, b c\td,,e"), 5, "commas, blanks and tabs");
    is_int(count("a b a"), 2, "each once");
    ok(devcache_slice_eq(tags_of("x,y"), tags_of("y x")), "in any order");
    for (i = 0; i < 1000; i++) {
        at += apr_snprintf(at, 7, "t%d ", i);
    }
    is_int(count(many), 1000, "a thousand");
    memcpy(at, "one", 4);
    is_int(count(many), 0, "one more is refused");
    memset(one, 'x', sizeof(one));
    one[DEVCACHE_TAG_MAX] = '\0';
    is_int(count(one), 1, "a long tag");
    one[DEVCACHE_TAG_MAX] = 'x';
    one[DEVCACHE_TAG_MAX + 1] = '\0';
    is_int(count(one), 0, "a longer one is refused");
    is_int(count("a\x01"
                 "b"),
           0, "a control character is refused");
    is_int(count("a\x7f"), 0, "DEL is refused");
    is_int(count("caf\xc3\xa9"), 1, "other bytes are not");
    devcache_ban_tags_begin(&tags, pool);
    devcache_ban_tags_list(&tags, "a\x01");
    ok(tags.error != NULL, "and it says so");
}

static void test_tag_patterns(void)
{
    static const struct {
        const char *pattern, *list; /* NULL: refused */
    } cases[] = {
        {"(^|,)(a|b)(,|$)", "a b"},
        {"(^|,)(a\\-1|b\\.c\\:d)(,|$)", "a-1 b.c:d"},
        {"((^|,)a(,|$))|((^|,)b(,|$))", "a b"},
        {"(^|\\s)(a|b)(\\s|$)", "a b"},
        {"^a$", "a"},
        {"\\ba\\b", "a"},
        {"a", "a"},
        {"a|b|c", "a b c"},
        {"node:1 node:2", "node:1 node:2"},
        {"config:system.site|x", "config:system.site x"},
        {"a.*", NULL},
        {"(a|b)(,.+)?$", "a b"},
        {"((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$))", "cat_p_1 cat_p_2"},
        {"a.+", NULL},
        {"node-[0-9]+", NULL},
        {"a+", NULL},
        {"a?", NULL},
        {"\\d", NULL},
        {"a\\", NULL},
        {"[ab]", NULL},
        {"a{2}", NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        devcache_tags_t tags;
        devcache_slice_t got;

        devcache_ban_tags_begin(&tags, pool);
        devcache_ban_tags_pattern(&tags, cases[i].pattern, pool);
        got = devcache_ban_tags_end(&tags, pool);
        if (cases[i].list) {
            ok(devcache_slice_eq(got, tags_of(cases[i].list)), "%s", cases[i].pattern);
        } else {
            ok(tags.error && !got.data, "%s is refused", cases[i].pattern);
        }
    }
}

/* ---- dialects: what the plan says ----------------------------------------------- */

static const char *how(const devcache_ban_text_t *t)
{
    static const char *const names[] = {"any", "is ", "prefix ", "regex "};

    return t->how == DEVCACHE_BAN_ANY ? "any"
                                      : apr_pstrcat(pool, names[t->how], t->text, NULL);
}

static const char *field_of(const devcache_ban_t *ban)
{
    const devcache_ban_field_t *f;

    if (!ban->fields) {
        return "";
    }
    f = &APR_ARRAY_IDX(ban->fields, 0, devcache_ban_field_t);
    return apr_pstrcat(pool, ", ", f->name, " ~ ", f->regex, NULL);
}

/* "exact", or the conditions on host and URL; with a + before if it is soft. */
static const char *planned(const char *method, const char *url, const char *field,
                           const char *value)
{
    apr_array_header_t *names = apr_array_make(pool, 1, sizeof(char *));
    apr_table_t *headers = apr_table_make(pool, 2);
    char *path = apr_pstrdup(pool, url), *query = strchr(path, '?');
    devcache_asked_t asked = {.method = method, .host = "h"};
    devcache_plan_t plan;
    const char *error;
    int status;

    if (query) {
        *query++ = '\0';
    }
    APR_ARRAY_PUSH(names, const char *) = "xkey";
    if (field) {
        apr_table_setn(headers, field, value);
    }
    asked.path = devcache_pattern_decode(path, pool);
    asked.sent = path;
    asked.query = query;
    asked.headers = headers;
    asked.tag_names = names;
    error = devcache_dialect_read(&asked, &plan, &status, pool);
    if (error) {
        return apr_psprintf(pool, "%d", status);
    }
    return apr_pstrcat(pool, plan.soft ? "+" : "", plan.hard && plan.soft ? "both " : "",
                       plan.exact ? "exact"
                                  : apr_pstrcat(pool, how(&plan.hard_ban.host), ", ",
                                                how(&plan.hard_ban.url), NULL),
                       plan.hard_ban.tags.data || plan.soft_ban.tags.data ? ", tags" : "",
                       field_of(&plan.hard_ban), NULL);
}

static void test_dialects(void)
{
    static const struct {
        const char *method, *url, *field, *value, *want;
    } cases[] = {
        {"PURGE", "/a", NULL, NULL, "exact"},
        {"REFRESH", "/a", NULL, NULL, "+exact"},
        {"PURGE", "/a", "DevCache-Purge-Soft", "1", "+exact"},
        {"PURGE", "/a", "DevCache-Purge-Soft", "0", "exact"},
        {"PURGE", "/*", NULL, NULL, "is h, prefix /"},
        {"PURGE", "/a/.*", NULL, NULL, "is h, prefix /a/"},
        {"PURGE", "/a?x=*", NULL, NULL, "is h, prefix /a?x="},
        {"PURGE", "/a/*.x", NULL, NULL, "is h, regex ^/a/.*\\.x$"},
        {"PURGE", "/a*", "X-Purge-Method", "exact", "exact"},
        {"PURGE", "/a.*", "X-Purge-Method", "Regex", "is h, prefix /a"},
        {"PURGE", "/.*", "X-Purge-Method", "regex", "is h, prefix /"},
        {"PURGE", "/a|/b", "X-Purge-Method", "regex", "is h, regex ^(?:/a|/b)"},
        {"PURGE", "/a$", "X-Purge-Method", "regex", "is h, is /a"},
        {"PURGE", "/a", "X-Purge-Method", "prefix", "is h, prefix /a"},
        {"PURGE", "/a", "X-Purge-Method", "none", "400"},
        {"PURGE", "/a", "X-Purge-Method", "tags", "400"},
        {"PURGE", "/a", "xkey", "t", "any, any, tags"},
        {"PURGE", "/a", "xkey-purge", "t", "any, any, tags"},
        {"PURGE", "/a", "xkey-softpurge", "t", "+any, any, tags"},
        {"PURGE", "/a", "X-Cache-Tags-Pattern", "t|u", "any, any, tags"},
        {"PURGE", "/a", "xkey", " ,", "400"},
        {"PURGEKEYS", "/", "xkey", "t", "any, any, tags"},
        {"PURGEKEYS", "/", NULL, NULL, "400"},
        {"BAN", "/", NULL, NULL, "any, any"},
        {"BAN", "/", "X-Url", ".*", "any, any"},
        {"BAN", "/", "X-Url", "^/a", "any, prefix /a"},
        {"BAN", "/", "X-Url", "^/a.*$", "any, prefix /a"},
        {"BAN", "/", "X-Url", "^/a$", "any, is /a"},
        {"BAN", "/", "X-Url", "/a", "any, regex /a"},
        {"BAN", "/", "X-Url", "^/a|b", "any, regex ^/a|b"},
        {"BAN", "/", "X-Host", "^a\\.b$", "regex (?i)^a\\.b$, any"},
        {"BAN", "/", "X-Content-Type", "text", "any, any, Content-Type ~ text"},
        {"BAN", "/", "X-Content-Type", ".*", "any, any"},
        {"BAN", "/", "DevCache-Purge-Field", "X-A:b c", "any, any, X-A ~ b c"},
        {"BAN", "/a", "DevCache-Purge-Field", "X-A:b c", "is h, prefix /a, X-A ~ b c"},
        {"PURGE", "/", "DevCache-Purge-Field", "X-A: \t^b", "is h, any, X-A ~ ^b"},
        {"PURGE", "/a", "DevCache-Purge-Field", "X-A: b", "is h, is /a, X-A ~ b"},
        {"PURGE", "/a/*", "DevCache-Purge-Field", "X-A: b", "is h, prefix /a/, X-A ~ b"},
        {"PURGE", "/a", "DevCache-Purge-Field", "X-A: ", "400"},
        {"PURGE", "/a", "DevCache-Purge-Field", "X A: b", "400"},
        {"PURGE", "/a", "DevCache-Purge-Field", "X-A", "400"},
        {"BAN", "/", "xkey", "(^|,)(a|b)(,|$)", "any, any, tags"},
        {"BAN", "/a", NULL, NULL, "is h, prefix /a"},
        {"BAN", "/a/*", NULL, NULL, "is h, prefix /a/"},
        {"BAN", "/a/*/b", NULL, NULL, "is h, regex ^/a/.*/b$"},
        {"BAN", "/site", NULL, NULL, "is h, prefix /site"},
        {"BAN", "/site", "X-Acquia-Purge", "s", "any, any"},
        {"BAN", "/tags", "X-Acquia-Purge", "s", "is h, prefix /tags"},
        {"PURGE", "/", "Clear-Cache", "true", "any, any"},
        {"PURGE", "/", "Clear-Cache", "false", "exact"},
        {"BAN", "/", "Varnish-Ban-All", "1", "any, any"},
        {"BAN", "/", "Varnish-Ban-TYPO3-Pid", "12", "any, any, tags"},
        {"PURGE", "/", "X-Magento-Tags-Pattern", ".*", "any, any, tags"},
        {"PURGE", "/", "X-Magento-Tags-Pattern", "((^|,)a(,|$))", "any, any, tags"},
        {"PURGE", "/", "X-Magento-Tags-Pattern", "cat_p_[0-9]+", "400"},
        {"PURGE", "/", "X-Magento-Tags", "a", "400"},
        {"PURGE", "/", "Surrogate-Key", "a", "400"},
        {"PURGE", "/", "key", "a", "any, any, tags"},
        {"PURGE", "/x", "key", "secret", "exact"},
        {"PURGE", "/x", "X-Purge-Key", "secret", "exact"},
        {"PURGE", "/x", "X-Purge-Kind", "all", "400"},
        {"PURGE", "/x", "X-Location-Id", "*", "501"},
        {"PURGE", "/x", "X-Foo", "bar", "exact"},
        {"PURGE", "/x", "X-VC-Purge-Host", "H", "exact"},
        {"PURGE", "/x", "X-VC-Purge-Host", "h:8080", "exact"},
        {"PURGE", "/x", "X-VC-Purge-Host", "www.h", "regex (?i)www.h, is /x"},
        {"PURGE", "/x", "X-Url", "^/y", "is h, prefix /y"},
        {"BAN", "/", "X-Foo", "bar", "501"},
        {"BAN", "/", "X-Foo", ".*", "any, any"},
        {"BAN", "/", "X-Forwarded-For", "::1", "any, any"},
        {"BAN", "/", "Accept", "application/vnd.fos.user-context-hash", "501"},
        {"PURGETAGS", "/", NULL, NULL, "400"},
        {"BAN", "/", "X-Url", "^/caf%C3%A9/", "any, prefix /caf\xc3\xa9/"},
        {"BAN", "/", "X-Url", "^/a%2bb$", "any, is /a+b"},
        {"BAN", "/", "X-Url", "^/a\\-b\\/c$", "any, is /a-b/c"},
        {"BAN", "/", "X-Url", "^/100%$", "any, is /100%"},
        {"BAN", "/", "X-Url", "^/a%00b", "any, regex ^/a\\x00b"},
        {"PURGE", "/a.%5C.x", "X-Purge-Method", "regex", "is h, regex ^(?:/a.\\.x)"},
        {"PURGE", "/a%2B.*", "X-Purge-Method", "regex", "is h, prefix /a+"},
        {"PURGE", "/w/%2A", NULL, NULL, "exact"},
        {"PURGE", "/w/%2a?q=1", NULL, NULL, "exact"},
        {"PURGE", "/w/%2A*", NULL, NULL, "is h, prefix /w/*"},
        {"PURGE", "/w/*%2A", NULL, NULL, "is h, regex ^/w/.*\\*$"},
        {"PURGE", "/w?q=%2A", NULL, NULL, "exact"},
        {"PURGE", "/w?q=%2A*", NULL, NULL, "is h, prefix /w?q=*"},
        {"PURGE", "/w?q=caf%C3%A9*", NULL, NULL, "is h, prefix /w?q=caf\xc3\xa9"},
        {"BAN", "/?x", NULL, NULL, "is h, regex ^(?:/?x)"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        is_str(planned(cases[i].method, cases[i].url, cases[i].field, cases[i].value),
               cases[i].want,
               apr_psprintf(pool, "%s %s %s %s", cases[i].method, cases[i].url,
                            cases[i].field ? cases[i].field : "-",
                            cases[i].value ? cases[i].value : "-"));
    }
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_conditions();
    test_spelling();
    test_limits();
    test_damage();
    test_tags();
    test_tag_patterns();
    test_dialects();
    apr_pool_destroy(pool);
    return done_testing();
}
