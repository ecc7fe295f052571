/* SPDX-License-Identifier: Apache-2.0 */
/* Gaps in pages, and what a page and its parts say together. */
#include "http/fragments.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

/* A page with each gap as {url|alt}, ! behind it where the page cannot do without. */
static const char *read_all(const char *text, unsigned dialects, apr_pool_t *p)
{
    devcache_fragments_t page = {devcache_slice_str(text), dialects, 0, 0};
    const char *all = "";
    devcache_fragment_t f;
    devcache_fragment_e what;

    while ((what = devcache_fragments_next(&page, &f, p)) != DEVCACHE_FRAGMENT_END) {
        all = what == DEVCACHE_FRAGMENT_TEXT
                  ? apr_pstrcat(p, all, apr_pstrmemdup(p, f.text.data, f.text.len), NULL)
                  : apr_pstrcat(p, all, "{", f.url, f.alt ? "|" : "", f.alt ? f.alt : "",
                                "}", f.is_dispensable ? "" : "!", NULL);
    }
    return all;
}

static void elements(apr_pool_t *p)
{
    static const struct {
        unsigned dialects;
        const char *text, *want; /* NULL: as it is */
    } t[] = {
        {DEVCACHE_SSI, "a<!--#include virtual=\"/x?y&z\" -->b", "a{/x?y&z}b"},
        {DEVCACHE_SSI, "<!--#include virtual='/x'-->", "{/x}"},
        {DEVCACHE_SSI, "<!--# \tinclude virtual=\"/x\" wait=\"yes\" -->", "{/x}"},
        {DEVCACHE_SSI, "<!--#include\n onerror=\"/o\" virtual = \"/x\"\t-->", "{/x|/o}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/&amp;&quot;&lt;&gt;&apos;&amp\" -->",
         "{/&\"<>'&amp}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/a?b&amp;\" -->c", "{/a?b&}c"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/a b\" -->", "{}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/a\x7f\" -->", "{}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"\" -->", "{}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/x\" virtual=\"/y\" -->", "{/x}"},
        {DEVCACHE_SSI, "<!--#include file=\"/x\" -->", NULL},
        {DEVCACHE_SSI, "<!--#include virtual=\"/x\" file=\"/x\" -->", NULL},
        {DEVCACHE_SSI, "<!--#includevirtual=\"/x\" -->", NULL},
        {DEVCACHE_SSI, "<!--#include virtual=\"/x\" >", NULL},
        {DEVCACHE_SSI, "<!--#include virtual=\"/x -->", NULL},
        {DEVCACHE_SSI, "<!--#include virtual=/x -->", NULL},
        {DEVCACHE_SSI, "<!--#exec cmd=\"id\" --><!--#echo var=\"A\" --><!--#printenv -->",
         NULL},
        {DEVCACHE_SSI, "<!--#include <!--#include virtual=\"/x\"-->",
         "<!--#include {/x}"},
        {DEVCACHE_SSI, "<!--#include virtual=\"/x\"--><!--#include virtual=\"/y\"-->",
         "{/x}{/y}"},
        {DEVCACHE_SSI, "<esi:include src=\"/x\"/>", NULL},
        {DEVCACHE_SSI, "<!--#", NULL},
        {DEVCACHE_SSI, "", NULL},
        {DEVCACHE_ESI, "<!--#include virtual=\"/x\" -->", NULL},
        {DEVCACHE_ESI, "<esi:include src=\"/x\"/>", "{/x}!"},
        {DEVCACHE_ESI, "<esi:include onerror=\"continue\" alt='/y' src=\"/x\">z",
         "{/x|/y}z"},
        {DEVCACHE_ESI, "<esi:include src=\"/x\"> </esi:include>z", "{/x}!z"},
        {DEVCACHE_ESI, "<esi:include src=\"/x\" onerror=\"continues\"/>", "{/x}!"},
        {DEVCACHE_ESI, "a<esi:remove>b<esi:include src=\"/x\"/></esi:remove>c", "ac"},
        {DEVCACHE_ESI, "<esi:remove>a</esi:remove><esi:remove>b</esi:remove>", ""},
        {DEVCACHE_ESI, "<esi:remove>a<esi:include src=\"/x\"/>", "<esi:remove>a{/x}!"},
        {DEVCACHE_ESI, "a<esi:comment text=\"<>\"/>b", "ab"},
        {DEVCACHE_ESI, "<!--esi a-->b-->c", " ab-->c"},
        {DEVCACHE_ESI, "<!--esi <esi:include src=\"/x\"/>", " {/x}!"},
        {DEVCACHE_ESI, "<!--esix-->", NULL},
        {DEVCACHE_ESI, "x<!--esi y--><!-- z -->", "x y<!-- z -->"},
        {DEVCACHE_FRAGMENTS, "<!--#include virtual=\"/x\"--><esi:include src=\"/y\"/>",
         "{/x}{/y}!"},
        {0, "<!--#include virtual=\"/x\"--><esi:include src=\"/y\"/>", NULL},
    };
    char *wide = apr_palloc(p, 2 * DEVCACHE_FRAGMENTS_TAG_MAX);
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        is_str(read_all(t[i].text, t[i].dialects, p), t[i].want ? t[i].want : t[i].text,
               t[i].text);
    }
    memset(wide, 'x', 2 * DEVCACHE_FRAGMENTS_TAG_MAX);
    wide[2 * DEVCACHE_FRAGMENTS_TAG_MAX - 1] = '\0';
    wide = apr_pstrcat(p, "<!--#include virtual=\"/", wide, "\" -->", NULL);
    is_str(read_all(wide, DEVCACHE_SSI, p), wide, "too long for an element");
}

static void control(apr_pool_t *p)
{
    static const struct {
        const char *value;
        unsigned want;
    } t[] = {
        {"content=\"SSI/1.0\"", DEVCACHE_SSI},
        {"content=\"ESI/1.0\"", DEVCACHE_ESI},
        {"max-age=3, Content=\"ESI/1.0  SSI/1.0\"", DEVCACHE_FRAGMENTS},
        {"content=\"ESI-Inline/1.0 ESI/1.0\"", DEVCACHE_ESI},
        {"content=\"SSI/1.0\";devcache", DEVCACHE_SSI},
        {"content=\"SSI/1.0\" ; devcache", DEVCACHE_SSI},
        {"content=\"SSI/1.0\";other", 0},
        {"content=\"SSI/1.0\";other, content=\"ESI/1.0\"", DEVCACHE_ESI},
        {"content=\"SSI/1.0\"x", 0},
        {"content=\"SSI/1.0", 0},
        {"content=SSI/1.0", 0},
        {"content=\"SSI/1.01\"", 0},
        {"content=\"ssi/1.0\"", 0},
        {"x=\"SSI/1.0\"", 0},
        {"", 0},
    };
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        apr_table_t *h = apr_table_make(p, 1);

        apr_table_setn(h, "Surrogate-Control", t[i].value);
        is_int(devcache_fragments_dialects(h, p), t[i].want, t[i].value);
    }
    is_int(devcache_fragments_dialects(apr_table_make(p, 1), p), 0, "none");
}

/* A part says so to others alone. */
static void forbidden(apr_pool_t *p, const char *name, const char *value)
{
    devcache_fragments_said_t said = {0};
    apr_table_t *h = apr_table_make(p, 2);

    apr_table_setn(h, "Cache-Control", "max-age=60");
    devcache_fragments_join(&said, h, 0, p);
    apr_table_setn(h, name, value);
    devcache_fragments_join(&said, h, 0, p);
    is_str(devcache_fragments_cache_control(&said, p), "private, max-age=60", name);
}

static int shareable(apr_pool_t *p, const char *one, const char *other)
{
    devcache_fragments_said_t said = {0};
    apr_table_t *h = apr_table_make(p, 1);

    apr_table_setn(h, "Cache-Control", one);
    devcache_fragments_join(&said, h, 0, p);
    apr_table_setn(h, "Cache-Control", other);
    devcache_fragments_join(&said, h, 0, p);
    return said.is_shareable;
}

static void together(apr_pool_t *p)
{
    static const struct {
        const char *one, *other, *want;
    } t[] = {
        {"max-age=60", "max-age=30", "max-age=30"},
        {"max-age=30", "max-age=60", "max-age=30"},
        {"public, max-age=60", "public, max-age=60", "public, max-age=60"},
        {"public, max-age=60", "max-age=60", "max-age=60"},
        {"max-age=60", "private, max-age=60", "private, max-age=60"},
        {"s-maxage=60", "max-age=50", "max-age=0, s-maxage=50"},
        {"max-age=10, s-maxage=60", "max-age=20, s-maxage=30", "max-age=10, s-maxage=30"},
        {"max-age=60", "no-store", "private, no-store, max-age=0"},
        {"no-cache", "max-age=60, must-revalidate",
         "no-cache, max-age=0, must-revalidate"},
        {"max-age=60, no-transform, proxy-revalidate", "max-age=60",
         "max-age=60, proxy-revalidate, no-transform"},
        {"max-age=60", NULL, "max-age=0"},
        {"max-age=60", "max-age=60; private", "private, no-store, max-age=0"},
    };
    apr_time_t now = apr_time_from_sec(1700000000);
    devcache_fragments_said_t said = {0};
    apr_table_t *h = apr_table_make(p, 2);
    apr_size_t i;

    for (i = 0; i < sizeof t / sizeof *t; i++) {
        devcache_fragments_said_t both = {0};
        apr_table_t *one = apr_table_make(p, 1), *other = apr_table_make(p, 1);

        apr_table_setn(one, "Cache-Control", t[i].one);
        if (t[i].other) {
            apr_table_setn(other, "Cache-Control", t[i].other);
        }
        devcache_fragments_join(&both, one, now, p);
        devcache_fragments_join(&both, other, now, p);
        is_str(devcache_fragments_cache_control(&both, p), t[i].want,
               apr_pstrcat(p, t[i].one, " | ", t[i].other, NULL));
    }
    apr_table_setn(h, "Cache-Control", "max-age=60, s-maxage=100");
    apr_table_setn(h, "Age", "70");
    devcache_fragments_join(&said, h, now, p);
    is_str(devcache_fragments_cache_control(&said, p), "max-age=0, s-maxage=30",
           "what is left of it");
    memset(&said, 0, sizeof said);
    h = apr_table_make(p, 1);
    apr_table_setn(h, "Expires", "Tue, 14 Nov 2023 22:14:00 GMT");
    devcache_fragments_join(&said, h, now, p);
    is_str(devcache_fragments_cache_control(&said, p), "max-age=40", "Expires");
    memset(&said, 0, sizeof said);
    apr_table_setn(h, "Expires", "0");
    devcache_fragments_join(&said, h, now, p);
    is_str(devcache_fragments_cache_control(&said, p), "max-age=0", "Expires: 0");
    forbidden(p, "CDN-Cache-Control", "no-store");
    forbidden(p, "Other-Cache-Control", "private");
    forbidden(p, "Surrogate-Control", "no-store, content=\"ESI/1.0\"");
    forbidden(p, "X-Accel-Expires", "0");
    is_int(shareable(p, "public", "s-maxage=1"), 1, "both may be shared");
    is_int(shareable(p, "must-revalidate", "max-age=1"), 0, "one may not");
    is_int(shareable(p, "max-age=1", "public"), 0, "nor the other");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    elements(p);
    control(p);
    together(p);
    return done_testing();
}
