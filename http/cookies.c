/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cookies.h"

#include <stdlib.h>
#include <string.h>
#include <apr_strings.h>

#include "http/field.h"

/*
 * The Cookie field (RFC 6265 section 4.2.1), as far as a cache needs to understand it:
 * pairs between semicolons, each with a name before its first "=". Browsers send what is
 * no such pair as well, and applications read it in different ways, so nothing is decoded
 * and nothing is mended: a pair is left out, or goes on byte for byte.
 *
 * Several lines of Cookie are one: HTTP/2 has them joined by "; " (RFC 9113 section
 * 8.2.3), but httpd joins lines by ", " as those of any field. A comma is allowed in
 * values by those who are not strict, so it is taken for a border only where a new pair
 * seems to begin behind it: a blank, a token, "=". If that was a part of a value after
 * all, then what stands behind the comma counts as a cookie of its own, and is sent with
 * the comma that it came with. Where fields are compared such a border does not count.
 *
 * What is left out is not sent, so it cannot change what the application answers: whoever
 * wants to mislead us about where a pair ends only changes what his own request says.
 */

#define PAIRS_MAX 1024 /* sorted; more are compared as they stand */

/* What scripts of analytics, consent, shops' statistics (WooCommerce's sbjs_*), payment and
 * chat keep for themselves, and what the gates in front of sites tell people from programs by. */
static const char *const analytics[] = {
    "_ga",           "_ga_*",        "_gid",           "_gat*",
    "_gcl_*",        "__utm*",       "__gads",         "__gpi*",
    "__eoi",         "_dc_gtm_*",    "FPID",           "FPLC",
    "_fbp",          "_fbc",         "_hj*",           "_pk_*",
    "mtm_*",         "_clck",        "_clsk",          "_uet*",
    "__hs*",         "hubspotutk",   "OptanonConsent", "OptanonAlertBoxClosed",
    "_ym_*",         "_scid*",       "_sctr",          "_tt_*",
    "_ttp",          "_pin_unauth",  "_mkto_trk",      "ajs_*",
    "amplitude_*",   "AMP_*",        "mp_*_mixpanel",  "_vwo_*",
    "_vis_opt_*",    "s_cc",         "s_sq",           "s_fid",
    "AMCV_*",        "AMCVS_*",      "__qca",          "_parsely_*",
    "_lfa",          "li_fat_id",    "_rdt_uuid",      "__cf_bm",
    "_cfuvid",       "_chartbeat*",  "_gac_*",         "_gaexp*",
    "_opt_*",        "_dd_s",        "_hp2_*",         "_sp_id*",
    "_sp_ses*",      "cto_bundle",   "_cs_*",          "__kla_id",
    "_fs_uid",       "_iub_cs-*",    "euconsent-v2",   "FCCDCF",
    "FCNEC",         "_ce.*",        "_epik",          "_derived_epik",
    "sbjs_*",        "tk_ai",        "tk_or",          "tk_lr",
    "tk_qs",         "tk_r3d",       "pys_*",          "pysTrafficSource",
    "last_pys*",     "__stripe_mid", "__stripe_sid",   "intercom-*",
    "crisp-client*", "__zlcmid",     "_ALGOLIA",       "ph_*_posthog",
    "cf_clearance",  "__cfruid",     "_abck",          "ak_bmsc",
    "bm_sv",         "bm_sz",        "bm_mi",          "incap_ses_*",
    "visid_incap_*", "nlbi_*",       "datadome",       "reese84",
};

static const apr_array_header_t analytics_names = {
    NULL, sizeof(char *), sizeof analytics / sizeof *analytics,
    sizeof analytics / sizeof *analytics, (char *)analytics};

const devcache_cookies_t devcache_cookies_default = {DEVCACHE_COOKIES_DENY,
                                                     &analytics_names};

typedef struct pair_t {
    const char *text; /* not NUL-terminated, without white space around it */
    apr_size_t len, name_len;
    int joined; /* a comma stands before it */
    int order;
} pair_t;

/* Does a new pair seem to begin behind this comma? */
static int is_joint(const char *comma)
{
    const char *at = comma + 1;

    if (*at != ' ') {
        return 0;
    }
    at += strspn(at, " \t");
    if (!devcache_field_tchar(*at)) {
        return 0;
    }
    while (devcache_field_tchar(*at)) {
        at++;
    }
    return *at == '=';
}

typedef struct reader_t {
    const char *at;
    int commas;  /* they may be borders */
    char border; /* before `at` */
} reader_t;

/* The next pair that is not empty; 0 at the end. */
static int next_pair(reader_t *r, pair_t *out)
{
    devcache_slice_t pair;
    const char *equals;

    do {
        const char *begin = r->at, *at = begin;

        if (!*begin) {
            return 0;
        }
        while (*at && *at != ';' && !(*at == ',' && r->commas && is_joint(at))) {
            at++;
        }
        pair = devcache_field_trim(devcache_slice(begin, (apr_size_t)(at - begin)));
        out->joined = r->border == ',';
        r->border = *at;
        r->at = at + (*at != '\0');
    } while (!pair.len);
    equals = memchr(pair.data, '=', pair.len);
    out->text = pair.data;
    out->len = pair.len;
    out->name_len = equals ? (apr_size_t)(equals - pair.data) : pair.len;
    while (out->name_len && strchr(" \t", pair.data[out->name_len - 1])) {
        out->name_len--;
    }
    return 1;
}

/* A "*" in the middle stands for what a product puts there. */
static int matches(const char *pattern, const char *name, apr_size_t len)
{
    const char *star = strchr(pattern, '*');
    apr_size_t before = star ? (apr_size_t)(star - pattern) : strlen(pattern);
    apr_size_t behind = star ? strlen(star + 1) : 0;

    return (star ? len >= before + behind : len == before) &&
           !memcmp(pattern, name, before) &&
           (!star || !memcmp(star + 1, name + len - behind, behind));
}

static int is_kept(const devcache_cookies_t *rule, const pair_t *pair)
{
    int i;

    if (rule->mode == DEVCACHE_COOKIES_KEEP) {
        return 1;
    }
    for (i = 0; i < rule->names->nelts; i++) {
        const char *pattern = APR_ARRAY_IDX(rule->names, i, const char *);

        if ((*pattern == *pair->text || *pattern == '*') &&
            matches(pattern, pair->text, pair->name_len)) {
            return rule->mode == DEVCACHE_COOKIES_ALLOW;
        }
    }
    return rule->mode == DEVCACHE_COOKIES_DENY;
}

/* Is any pair left out? Mostly none is, and then nothing has to be copied. */
static int leaves_out(const devcache_cookies_t *rule, const char *value, int *pany)
{
    reader_t r = {value, 1, 0};
    pair_t pair;
    int out = 0;

    *pany = 0;
    while (next_pair(&r, &pair)) {
        int kept = is_kept(rule, &pair);
        *pany |= kept;
        out |= !kept;
    }
    return out;
}

static char *put_pair(char *out, const pair_t *pair, const char *before)
{
    while (*before) {
        *out++ = *before++;
    }
    memcpy(out, pair->text, pair->len);
    return out + pair->len;
}

const char *devcache_cookies_kept(const devcache_cookies_t *rule, const char *value,
                                  apr_pool_t *p)
{
    reader_t r = {value, 1, 0};
    char *text, *out;
    int any, out_some, after_kept = 0;
    pair_t pair;

    if (!value) {
        return NULL;
    }
    rule = rule ? rule : &devcache_cookies_default;
    out_some = leaves_out(rule, value, &any);
    if (!any || !out_some) {
        return any ? value : NULL;
    }
    text = out = apr_palloc(p, 2 * strlen(value) + 1); /* "; " where ";" was */
    while (next_pair(&r, &pair)) {
        int kept = is_kept(rule, &pair);

        if (kept) {
            out = put_pair(out, &pair,
                           out == text                 ? ""
                           : pair.joined && after_kept ? ", "
                                                       : "; ");
        }
        after_kept = kept;
    }
    *out = '\0';
    return text;
}

const char *devcache_cookies_first(const char *value, const char *except, apr_pool_t *p)
{
    reader_t r = {value, 1, 0};
    pair_t pair;

    while (value && next_pair(&r, &pair)) {
        if (!except || strlen(except) != pair.name_len ||
            memcmp(except, pair.text, pair.name_len)) {
            return apr_pstrmemdup(p, pair.text, pair.name_len);
        }
    }
    return NULL;
}

#define NAMES_MAX 32 /* shown */

apr_array_header_t *devcache_cookies_names(const devcache_cookies_t *rule,
                                           const char *value, int kept, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(const char *));
    reader_t r = {value, 1, 0};
    pair_t pair;
    int i;

    rule = rule ? rule : &devcache_cookies_default;
    while (value && names->nelts < NAMES_MAX && next_pair(&r, &pair)) {
        const char *name = apr_pstrmemdup(p, pair.text, pair.name_len);

        if (!is_kept(rule, &pair) != !kept) {
            continue;
        }
        for (i = 0; i < names->nelts; i++) {
            if (!strcmp(APR_ARRAY_IDX(names, i, const char *), name)) {
                break;
            }
        }
        if (i == names->nelts) {
            APR_ARRAY_PUSH(names, const char *) = name;
        }
    }
    return names;
}

/* --- comparing ---------------------------------------------------------------------- */

static int by_name(const void *av, const void *bv)
{
    const pair_t *a = av, *b = bv;
    apr_size_t shorter = a->name_len < b->name_len ? a->name_len : b->name_len;
    int c = memcmp(a->text, b->text, shorter);

    if (c == 0 && a->name_len != b->name_len) {
        c = a->name_len < b->name_len ? -1 : 1;
    }
    return c ? c : a->order - b->order;
}

/* All pairs, sorted; NULL if they are too many. */
static pair_t *sorted(const char *value, int *pn, apr_pool_t *p)
{
    reader_t r = {value, 0, 0};
    pair_t pair, *pairs;
    int n = 0;

    while (next_pair(&r, &pair)) {
        if (++n > PAIRS_MAX) {
            return NULL;
        }
    }
    pairs = apr_palloc(p, (apr_size_t)(n ? n : 1) * sizeof *pairs);
    r.at = value;
    for (*pn = 0; *pn < n && next_pair(&r, &pairs[*pn]); ++*pn) {
        pairs[*pn].order = *pn;
    }
    qsort(pairs, (size_t)n, sizeof *pairs, by_name);
    return pairs;
}

const char *devcache_cookies_canonical(const char *value, apr_pool_t *p)
{
    char *text, *out;
    pair_t *pairs;
    int i, n;

    if (!value) {
        return NULL;
    }
    if (!(pairs = sorted(value, &n, p))) {
        return value;
    }
    if (!n) {
        return NULL;
    }
    text = out = apr_palloc(p, 2 * strlen(value) + 1);
    for (i = 0; i < n; i++) {
        out = put_pair(out, &pairs[i], i ? "; " : "");
    }
    *out = '\0';
    return text;
}

const char *devcache_cookies_difference(const char *a, const char *b, apr_pool_t *p)
{
    int i = 0, k = 0, n, m;
    pair_t *left = sorted(a ? a : "", &n, p), *right = sorted(b ? b : "", &m, p);

    while (left && right && (i < n || k < m)) {
        int c = i == n ? 1 : k == m ? -1 : by_name(&left[i], &right[k]);
        const pair_t *odd = i < n ? &left[i] : &right[k];

        if (i < n && k < m && left[i].name_len == right[k].name_len &&
            !memcmp(left[i].text, right[k].text, left[i].name_len)) {
            if (left[i].len == right[k].len &&
                !memcmp(left[i].text, right[k].text, left[i].len)) {
                i++;
                k++;
                continue;
            }
        } else if (c > 0) {
            odd = &right[k];
        }
        return apr_pstrmemdup(p, odd->text, odd->name_len);
    }
    return NULL;
}
