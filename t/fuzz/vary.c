/* SPDX-License-Identifier: Apache-2.0 */
/* Vary of a response (first line of the input) and a request's values (the rest). */
#include "devcache_vary.h"

#include <apr_strings.h>

#include "http/normal.h"
#include "fuzz.h"

static const devcache_vary_conf_t conf = {"X-Device-Type", 0, 0, 1, "view"};

/* Normalising twice changes nothing more. */
static void check_canonical(const char *value, apr_pool_t *p)
{
    const char *coding = devcache_vary_accept_encoding(value, p);
    const char *language = devcache_vary_accept_language(value, p);

    must(strcmp(devcache_vary_accept_encoding(coding, p), coding) == 0);
    must(strcmp(devcache_vary_accept_language(language, p), language) == 0);
}

/* What is chosen is listed, and chooses itself. */
static void check_normal(const char *value, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 3, sizeof(const char *));
    devcache_normal_t n = {"Accept-Language", list};
    const char *got;

    APR_ARRAY_PUSH(list, const char *) = "gzip";
    APR_ARRAY_PUSH(list, const char *) = "de";
    APR_ARRAY_PUSH(list, const char *) = "de-at";
    got = devcache_normal_value(&n, value);
    must(!got || devcache_normal_value(&n, got) == got);
}

static void check_values(const char *spec, const char *value, apr_pool_t *p)
{
    apr_table_t *request = apr_table_make(p, 3);
    apr_table_t *spaced = apr_table_make(p, 3);
    devcache_slice_t a, b;

    apr_table_addn(request, "Accept-Encoding", value);
    apr_table_addn(request, "Foo", value);
    apr_table_addn(spaced, "accept-encoding", apr_pstrcat(p, " ", value, "\t", NULL));
    apr_table_addn(spaced, "foo", apr_pstrcat(p, "\t", value, "  ", NULL));
    a = devcache_vary_values(&conf, "foo", devcache_slice_str(value), value, request, p);
    b = devcache_vary_values(&conf, "foo", devcache_slice_str(value), value, spaced, p);
    must(devcache_slice_eq(a, b));
    a = devcache_vary_values(&conf, spec, devcache_slice_str(value), "pc", request, p);
    must(a.data && a.len >= 4);
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    size_t line = strcspn(data, "\n");
    const char *rest = data[line] ? data + line + 1 : data + line;
    const char *vary = apr_pstrmemdup(p, data, line), *spec = NULL, *outward;
    apr_table_t *response = apr_table_make(p, 1);
    devcache_reason_e reason;

    apr_table_addn(response, "Vary", vary);
    reason = devcache_vary_spec(&conf, apr_table_make(p, 1), response, &spec, p);
    outward = devcache_vary_outward(&conf, response, 0, p);
    must(reason != DEVCACHE_REASON_VARY_STAR || strcmp(outward, "*") == 0);
    if (reason == DEVCACHE_REASON_NONE) {
        must(strlen(spec) <= DEVCACHE_VARY_MAX_SPEC &&
             (*spec != '\0') == (outward != NULL));
        check_values(spec, rest, p);
    }
    check_canonical(rest, p);
    check_normal(rest, p);
    devcache_vary_key_url(devcache_slice(data, len), p);
}
