/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/value.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include "setup/conf.h"

apr_int64_t devcache_value_bytes(const char *arg)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;
    apr_int64_t n;
    int shift = 0;

    if (!apr_isdigit(*arg)) {
        return -1;
    }
    n = apr_strtoi64(arg, &end, 10);
    if (*end && (unit = strchr(units, apr_toupper(*end)))) {
        shift = 10 * (int)(unit - units + 1);
        end++;
    }
    return *end || n > APR_INT64_MAX >> shift ? -1 : n << shift;
}

apr_interval_time_t devcache_value_time(const char *arg, const char *unit)
{
    apr_interval_time_t t;

    if (!apr_isdigit(*arg) || strlen(arg) > 12 ||
        ap_timeout_parameter_parse(arg, &t, unit) != APR_SUCCESS || t < 0) {
        return -1;
    }
    return t;
}

int devcache_value_is_loopback(const char *ip)
{
    return !strncmp(ip, "127.", 4) || !strcmp(ip, "::1");
}

int devcache_value_is_token(const char *s)
{
    const char *at = s;

    while (*at && (apr_isalnum(*at) || strchr("!#$%&'*+-.^_`|~", *at))) {
        at++;
    }
    return at != s && *at == '\0' && at - s <= 64;
}

const char *devcache_value_number(const cmd_parms *cmd, const char *arg, apr_int64_t *n)
{
    static const char *const what[] = {
        [DEVCACHE_UNIT_BYTES] = "a number of bytes (K, M, G, T may follow)",
        [DEVCACHE_UNIT_SECONDS] = "a number of seconds (or with ms, s, min, h)",
        [DEVCACHE_UNIT_COUNT] = "a number",
    };
    const devcache_slot_t *slot = cmd->info;
    int in_seconds = slot->unit == DEVCACHE_UNIT_SECONDS;
    apr_int64_t factor = in_seconds ? APR_USEC_PER_SEC : 1;

    *n = in_seconds ? devcache_value_time(arg, "s") : devcache_value_bytes(arg);
    if (*n >= slot->min * factor && *n <= slot->max * factor) {
        return NULL;
    }
    return apr_psprintf(
        cmd->pool, "%s: '%s' is not %s from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT,
        cmd->cmd->name, arg, what[slot->unit], slot->min, slot->max);
}

static void set(const cmd_parms *cmd, void *dir, apr_int64_t n)
{
    const devcache_slot_t *slot = cmd->info;
    char *conf = slot->per_dir ? dir : (char *)devcache_conf_server(cmd->server);

    if (slot->size == sizeof(int)) {
        *(int *)(conf + slot->value) = (int)n;
    } else {
        *(apr_int64_t *)(conf + slot->value) = n;
    }
    *(const ap_directive_t **)(void *)(conf + slot->by) = cmd->directive;
}

const char *devcache_value_set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_int64_t n;
    const char *error = devcache_value_number(cmd, arg, &n);

    if (!error) {
        set(cmd, dir, n);
    }
    return error;
}

const char *devcache_value_set_flag(cmd_parms *cmd, void *dir, int on)
{
    set(cmd, dir, on);
    return NULL;
}
