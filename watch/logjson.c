/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/logjson.h"

#include <apr_lib.h>
#include <apr_optional.h>
#include <apr_strings.h>
#include <http_config.h>
#include <mod_log_config.h>
#include "base/json.h"

static const char *quoted(const char *value, apr_pool_t *p)
{
    return value
               ? apr_pstrcat(p, "\"", devcache_json_escape(devcache_slice_str(value), p),
                             "\"", NULL)
               : "null";
}

static const char *log_request(request_rec *r, char *name)
{
    return quoted(r->the_request, r->pool);
}

static const char *log_field(request_rec *r, char *name)
{
    return quoted(apr_table_get(r->headers_in, name), r->pool);
}

/* "-" is the word for none in logs. */
static const char *log_variable(request_rec *r, char *name)
{
    const char *value = apr_table_get(r->subprocess_env, name);

    return quoted(value && strcmp(value, "-") ? value : NULL, r->pool);
}

/* A whole number as JSON has them: no zeros before it, and not longer than what programs
 * take without loss. */
static const char *log_number(request_rec *r, char *name)
{
    const char *value = apr_table_get(r->subprocess_env, name), *at = value;

    while (at && apr_isdigit(*at)) {
        at++;
    }
    return !at || *at || at == value || at - value > 15 || (*value == '0' && value[1])
               ? "null"
               : value;
}

void devcache_logjson_register(apr_pool_t *p)
{
    static char request[] = "^JR", field[] = "^JI", variable[] = "^JE", number[] = "^JN";
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) * add;

    add = APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);
    if (add) {
        add(p, request, log_request, 1);
        add(p, field, log_field, 0);
        add(p, variable, log_variable, 0);
        add(p, number, log_number, 0);
    }
}
