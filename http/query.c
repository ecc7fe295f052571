/* SPDX-License-Identifier: Apache-2.0 */
#include "http/query.h"

#include <stdlib.h>
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#define MAX_PARAMETERS 256

static const char *const tracking[] = {
    "utm_*",       "gclid",         "gclsrc",    "dclid",      "gbraid",
    "wbraid",      "fbclid",        "msclkid",   "yclid",      "ysclid",
    "twclid",      "ttclid",        "li_fat_id", "igshid",     "mc_cid",
    "mc_eid",      "_hsenc",        "_hsmi",     "__hstc",     "__hssc",
    "__hsfp",      "hsCtaTracking", "mkt_tok",   "vero_id",    "vero_conv",
    "_openstat",   "_ga",           "_gl",       "srsltid",    "wickedid",
    "oly_anon_id", "oly_enc_id",    "epik",      "_kx",        "mtm_*",
    "pk_*",        "piwik_*",       "matomo_*",  "gad_source", "gad_campaignid",
    "s_kwcid",     "ef_id",
};
const apr_array_header_t devcache_query_tracking = {
    NULL, sizeof(char *), sizeof tracking / sizeof *tracking,
    sizeof tracking / sizeof *tracking, (char *)tracking};

typedef struct parameter_t {
    const char *text; /* not NUL-terminated */
    apr_size_t len;   /* of name=value */
    apr_size_t name_len;
    int order; /* where it stood, to keep equal names in order */
} parameter_t;

static int compare(const void *av, const void *bv)
{
    const parameter_t *a = av, *b = bv;
    apr_size_t shorter = a->name_len < b->name_len ? a->name_len : b->name_len;
    int c = memcmp(a->text, b->text, shorter);

    if (c == 0 && a->name_len != b->name_len) {
        c = a->name_len < b->name_len ? -1 : 1;
    }
    return c ? c : a->order - b->order;
}

/* A name that some origin may read as another: encoded, or with marks of arrays. */
static int is_disguised(const parameter_t *param)
{
    apr_size_t i;

    for (i = 0; i < param->name_len; i++) {
        char c = param->text[i];
        if (!apr_isalnum(c) && c != '_' && c != '-') {
            return 1;
        }
    }
    return 0;
}

/* Does a listed name, perhaps ending in "*", mean this parameter? */
static int is_named(const apr_array_header_t *names, const parameter_t *param)
{
    int i;

    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        apr_size_t len = strlen(name);
        if (len && name[len - 1] == '*') {
            if (param->name_len >= len - 1 && !memcmp(name, param->text, len - 1)) {
                return 1;
            }
        } else if (param->name_len == len && !memcmp(name, param->text, len)) {
            return 1;
        }
    }
    return 0;
}

static int is_kept(const devcache_query_t *rule, const parameter_t *param)
{
    switch (rule->mode) {
    case DEVCACHE_QUERY_ALLOW:
        return is_disguised(param) || is_named(rule->names, param);
    case DEVCACHE_QUERY_DENY:
        return !is_named(rule->names, param);
    default:
        return 1;
    }
}

/* Split at "&"; -1 if there are too many. Empty parameters are dropped. */
static int split(const devcache_query_t *rule, const char *query, parameter_t *params)
{
    int n = 0;

    while (*query) {
        parameter_t param = {query, strcspn(query, "&"), 0, n};
        const char *equals = memchr(query, '=', param.len);
        param.name_len = equals ? (apr_size_t)(equals - query) : param.len;
        query += param.len + (query[param.len] == '&');
        if (param.len && is_kept(rule, &param)) {
            if (n == MAX_PARAMETERS) {
                return -1;
            }
            params[n++] = param;
        }
    }
    return n;
}

const char *devcache_query_canonical(const devcache_query_t *rule, const char *query,
                                     apr_pool_t *p)
{
    parameter_t params[MAX_PARAMETERS];
    char *out, *at;
    int i, n;

    if (!query || !rule || rule->mode == DEVCACHE_QUERY_KEEP) {
        return query;
    }
    if (rule->mode == DEVCACHE_QUERY_IGNORE) {
        return NULL;
    }
    if (strchr(query, ';') || (n = split(rule, query, params)) < 0) {
        return query;
    }
    if (n == 0) {
        return NULL;
    }
    qsort(params, (size_t)n, sizeof *params, compare);
    at = out = apr_palloc(p, strlen(query) + 1);
    for (i = 0; i < n; i++) {
        if (i) {
            *at++ = '&';
        }
        memcpy(at, params[i].text, params[i].len);
        at += params[i].len;
    }
    *at = '\0';
    return out;
}

const char *devcache_query_replace(const char *text, const char *query,
                                   const char *reduced, apr_pool_t *p)
{
    apr_size_t len = strlen(query), end = strlen(text), from;
    const char *mark = strchr(text, '?'), *blank = mark ? strchr(mark, ' ') : NULL;

    if (blank) {
        end = (apr_size_t)(blank - text); /* a request line's protocol comes behind it */
    }
    if (end < len || memcmp(text + end - len, query, len)) {
        return text;
    }
    from = end - len;
    if (from && text[from - 1] != '?' && (!len || text[from - 1] != '&')) {
        return text;
    }
    from -= from && !reduced;
    return apr_pstrcat(p, apr_pstrmemdup(p, text, from), reduced ? reduced : "",
                       text + end, NULL);
}
