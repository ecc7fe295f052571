/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: numbers of a running server, or of a cache's directory. ready: is it well?
 */
#include "ctl.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

/* Names as the status page has them. */
static const struct {
    const char *name;
    size_t offset;
} from_index[] = {
#define N(name, field)                                                                   \
    {                                                                                    \
        name, offsetof(devcache_store_stats_t, field)                                    \
    }
    N("store_bytes", bytes),           N("store_size", size),
    N("store_objects", objects),       N("store_max_objects", max_objects),
    N("store_files", segments),        N("store_max_files", max_files),
    N("store_specs", specs),           N("store_max_specs", max_specs),
    N("store_spec_bytes", spec_bytes), N("store_max_spec_bytes", max_spec_bytes),
    N("store_published", published),   N("store_refreshed", refreshed),
    N("store_removed", removed),       N("store_evicted", evicted),
    N("store_requeued", requeued),     N("store_damaged", damaged),
    N("store_io_errors", errors),      N("store_no_room", no_room),
    N("store_superseded", superseded),
#undef N
};

int ctl_index_numbers(ctl_t *c, apr_table_t *numbers)
{
    devcache_store_stats_t stats;
    devcache_inspect_t *in;
    apr_size_t i;
    int rv = ctl_open(c, &in);

    if (rv != CTL_OK) {
        return rv;
    }
    if (!devcache_inspect_stats(in, &stats)) {
        return ctl_fail(c, "\"%s\": %s; the next start of the server makes a new one",
                        c->root, devcache_inspect_no_index(in));
    }
    for (i = 0; i < sizeof(from_index) / sizeof(*from_index); i++) {
        const char *at = (const char *)&stats + from_index[i].offset;

        apr_table_setn(numbers, from_index[i].name,
                       apr_psprintf(c->pool, "%" APR_UINT64_T_FMT,
                                    *(const apr_uint64_t *)(const void *)at));
    }
    return CTL_OK;
}

const char *ctl_numbers(ctl_t *c, apr_table_t *numbers)
{
    ctl_answer_t answer;
    const char *error = ctl_ask_status(c, "?auto", &answer);
    char *line, *last;

    if (error) {
        return error;
    }
    for (line = apr_strtok(answer.body, "\r\n", &last); line;
         line = apr_strtok(NULL, "\r\n", &last)) {
        char *colon = strstr(line, ": ");

        if (colon) {
            *colon = '\0';
            apr_table_addn(numbers, line, colon + 2);
        }
    }
    if (answer.status != 200 || !apr_table_get(numbers, "requests") ||
        !apr_table_get(numbers, "hits")) {
        return apr_psprintf(c->pool, CTL_NO_STATUS, c->url, answer.status);
    }
    return NULL;
}

static void put_number(devcache_json_t *j, const char *name, const char *value)
{
    char *end;
    apr_int64_t n = apr_strtoi64(value, &end, 10);

    if (*value && !*end) {
        devcache_json_int(j, name, n);
    } else {
        devcache_json_string(j, name, value);
    }
}

static void print_numbers(ctl_t *c, const apr_table_t *numbers)
{
    const apr_array_header_t *all = apr_table_elts(numbers);
    devcache_json_t j;
    int i;

    ctl_json_begin(&j);
    if (c->json) {
        devcache_json_object(&j, NULL);
    }
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (c->json) {
            put_number(&j, e->key, e->val);
        } else {
            ctl_print_str(stdout, e->key);
            printf("%*s ", 32 - (int)strnlen(e->key, 32), "");
            ctl_print_str(stdout, e->val);
            fputc('\n', stdout);
        }
    }
    if (c->json) {
        devcache_json_end(&j);
    }
}

int ctl_stats(ctl_t *c)
{
    apr_table_t *numbers = apr_table_make(c->pool, 64);
    const char *error;
    int rv;

    if (c->root) {
        if ((rv = ctl_index_numbers(c, numbers)) != CTL_OK) {
            return rv;
        }
    } else if ((error = ctl_numbers(c, numbers))) {
        return ctl_fail(c, "%s", error);
    }
    print_numbers(c, numbers);
    return CTL_OK;
}

/* The status page says one line: "ready" with 200, or with 503 what is wrong. Another page
 * with that status would say something else. */
int ctl_ready(ctl_t *c)
{
    ctl_answer_t answer;
    const char *error = ctl_ask_status(c, "?ready", &answer);

    if (error) {
        return ctl_fail(c, "%s", error);
    }
    if (answer.status == 200 ? strcmp(answer.body, "ready\n") : answer.status != 503) {
        return ctl_fail(c, CTL_NO_STATUS, c->url, answer.status);
    }
    answer.body[strcspn(answer.body, "\r\n")] = '\0';
    if (c->json) {
        devcache_json_t j;

        ctl_json_begin(&j);
        devcache_json_object(&j, NULL);
        devcache_json_bool(&j, "ready", answer.status == 200);
        if (answer.status != 200) {
            devcache_json_string(&j, "not_ready", answer.body);
        }
        devcache_json_end(&j);
    } else {
        ctl_print_str(stdout, answer.body);
        fputc('\n', stdout);
    }
    return answer.status == 200 ? CTL_OK : CTL_FAILED;
}
