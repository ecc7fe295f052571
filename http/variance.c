/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No-Vary-Search.
 *
 *     rule    'o' or '-'        the order of keys does not count, or does
 *             'p' or 'e'        all parameters count but these, or none but these
 *             &name&name...     sorted, each once, encoded as below
 *
 * Queries are read as HTML forms write them (application/x-www-form-urlencoded) and
 * written again in one spelling: name=value, where letters, digits and "-._~" are
 * themselves and all else is %XX. So two queries are equivalent by a rule if they come to
 * the same text. Bytes that are no UTF-8 stay what they are, where the draft makes U+FFFD
 * of each; it only costs a copy.
 *
 * The draft's section 5.1 reads as if "key-order" alone said nothing, against its own
 * introduction and examples; here it does.
 */
#include "http/variance.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "http/field.h"
#include "http/sf.h"

#define MAX_PARAMETERS 256

/* ---- one spelling -------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Write @a len bytes of a form's text in the one spelling. */
static char *put(char *out, const char *text, apr_size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *end = text + len;

    for (; text < end; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '+') {
            c = ' ';
        } else if (c == '%' && end - text > 2 && hex(text[1]) >= 0 && hex(text[2]) >= 0) {
            c = (unsigned char)(hex(text[1]) * 16 + hex(text[2]));
            text += 2;
        }
        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
            (c && strchr("-._~", c))) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    *out = '\0';
    return out;
}

static const char *spell(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *out = apr_palloc(p, 3 * len + 1);

    put(out, text, len);
    return out;
}

/* ---- the rule ------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of an inner list as "&a&b"; NULL if one is no string. */
static const char *names_of(const char *items, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 8, sizeof(char *));
    devcache_sf_member_t m;
    int i, n = 0;

    while (devcache_sf_item(&items, &m)) {
        const char *name;

        if (m.type != DEVCACHE_SF_STRING) {
            return NULL;
        }
        name = devcache_sf_text(m.string, p);
        APR_ARRAY_PUSH(names, const char *) = spell(name, strlen(name), p);
    }
    qsort(names->elts, (size_t)names->nelts, sizeof(char *), by_text);
    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (!n || strcmp(APR_ARRAY_IDX(names, n - 1, const char *), name)) {
            APR_ARRAY_IDX(names, n++, const char *) = name;
        }
    }
    names->nelts = n;
    return n ? apr_pstrcat(p, "&", apr_array_pstrcat(p, names, '&'), NULL) : "";
}

const char *devcache_variance_read(const apr_table_t *fields, apr_pool_t *p)
{
    const char *value = devcache_field_combined(fields, "No-Vary-Search", p);
    devcache_sf_member_t m, order = {{NULL}}, params = {{NULL}}, except = {{NULL}};
    const char *names = "", *rule;
    int more = 0;

    order.type = DEVCACHE_SF_FALSE;
    while (value && (more = devcache_sf_next(&value, &m)) > 0) {
        if (devcache_field_is(m.key, "key-order")) {
            order = m;
        } else if (devcache_field_is(m.key, "params")) {
            params = m;
        } else if (devcache_field_is(m.key, "except")) {
            except = m;
        }
    }
    if (!value || more < 0 || (params.key.data && except.key.data) ||
        (order.type != DEVCACHE_SF_TRUE && order.type != DEVCACHE_SF_FALSE)) {
        return NULL;
    }
    m = except.key.data ? except : params;
    if (m.key.data) {
        names = m.type == DEVCACHE_SF_INNER_LIST ? names_of(m.items, p) : NULL;
    }
    if (!names) {
        return NULL;
    }
    rule = apr_pstrcat(p, order.type == DEVCACHE_SF_TRUE ? "o" : "-",
                       except.key.data ? "e" : "p", names, NULL);
    return strcmp(rule, "-p") ? rule : NULL; /* that is, all counts */
}

/* ---- a query by it ------------------------------------------------------------------- */

typedef struct {
    const char *name, *value;
    int at;
} parameter_t;

static int is_named(const char *names, const char *name)
{
    apr_size_t len = strlen(name);

    while (*names == '&') {
        apr_size_t n = strcspn(++names, "&");

        if (n == len && !memcmp(names, name, n)) {
            return 1;
        }
        names += n;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const parameter_t *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : x->at - y->at;
}

/* NULL: none. */
static const char *join(const parameter_t *params, int n, apr_pool_t *p)
{
    apr_size_t bytes = 0;
    char *text, *out;
    int i;

    for (i = 0; i < n; i++) {
        bytes += strlen(params[i].name) + strlen(params[i].value) + 2;
    }
    text = out = n ? apr_palloc(p, bytes) : NULL;
    for (i = 0; i < n; i++) {
        out = apr_cpystrn(out, params[i].name, bytes);
        *out++ = '=';
        out = apr_cpystrn(out, params[i].value, bytes);
        *out++ = '&'; /* or the end */
    }
    if (n) {
        out[-1] = '\0';
    }
    return text;
}

const char *devcache_variance_simplify(const char *rule, const char *query, apr_pool_t *p)
{
    parameter_t params[MAX_PARAMETERS];
    const char *at = query;
    int n = 0;

    while (at && *at) {
        apr_size_t len = strcspn(at, "&");
        const char *equals = memchr(at, '=', len);
        apr_size_t name = equals ? (apr_size_t)(equals - at) : len;
        parameter_t param = {spell(at, name, p),
                             equals ? spell(equals + 1, len - name - 1, p) : "", n};

        if (len && is_named(rule + 2, param.name) == (rule[1] == 'e')) {
            if (n == MAX_PARAMETERS) {
                return query;
            }
            params[n++] = param;
        }
        at += len + (at[len] == '&');
    }
    if (rule[0] == 'o') {
        qsort(params, (size_t)n, sizeof *params, by_name);
    }
    return join(params, n, p);
}
