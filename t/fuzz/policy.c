/* SPDX-License-Identifier: Apache-2.0 */
/* A whole exchange: two messages, "Name: value" a line, an empty line between them. */
#include "http/policy.h"

#include <apr_strings.h>

#include "fuzz.h"

#define NOW apr_time_from_sec(1782777600)

static char *read_message(char *text, apr_table_t *t)
{
    while (*text && *text != '\n') {
        char *line = text, *colon;
        text += strcspn(text, "\n");
        if (*text) {
            *text++ = '\0';
        }
        colon = strchr(line, ':');
        if (colon) {
            *colon = '\0';
            apr_table_addn(t, line, colon + 1 + (colon[1] == ' '));
        }
    }
    return *text ? text + 1 : text;
}

static void check_reuse(const devcache_policy_conf_t *conf, const devcache_request_t *req,
                        const devcache_freshness_t *f)
{
    devcache_reason_e why;
    apr_interval_time_t ttl;
    devcache_use_e use = devcache_policy_reuse(conf, req, f, NOW + 1, &why, &ttl);

    must(f->lifetime >= 0 && f->initial_age >= 0);
    must(ttl == f->lifetime - devcache_policy_age(f, NOW + 1));
    must((use == DEVCACHE_USE_VALIDATE) == (why != DEVCACHE_REASON_NONE));
    must(use != DEVCACHE_USE_FRESH || ttl > 0);
    must(!(f->flags & DEVCACHE_NO_CACHE) || use == DEVCACHE_USE_VALIDATE);
    must(!(f->flags & DEVCACHE_MUST_REVALIDATE) || ttl > 0 ||
         use == DEVCACHE_USE_VALIDATE);
    devcache_policy_stale_if_error(conf, req, f, 1, NOW + 1);
}

static void check_fields(const devcache_policy_conf_t *conf, apr_table_t *request,
                         apr_table_t *response, apr_pool_t *p)
{
    apr_table_t *kept = devcache_policy_stored_fields(conf, response, p);
    int answer = devcache_policy_precondition(request, kept, NULL, 200);
    int set = devcache_policy_set_validators(request, kept, p);

    must(answer == 0 || answer == 304 || answer == 412);
    must(set == (apr_table_get(request, "If-None-Match") != NULL ||
                 apr_table_get(request, "If-Modified-Since") != NULL));
    must(apr_table_elts(kept)->nelts <= apr_table_elts(response)->nelts);
    must(!apr_table_get(kept, "Connection") && !apr_table_get(kept, "Set-Cookie"));
    must(devcache_policy_validates(kept, kept));
    devcache_policy_update_fields(kept, response, p);
    must(!apr_table_get(kept, "Connection") && !apr_table_get(kept, "Set-Cookie"));
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    apr_table_t *request = apr_table_make(p, 8), *response = apr_table_make(p, 8);
    char *rest = read_message(apr_pstrdup(p, data), request);
    devcache_policy_conf_t conf = DEVCACHE_POLICY_CONF_EMPTY;
    devcache_request_t req;
    devcache_freshness_t f;
    const char *location;

    read_message(rest, response);
    conf.heuristic_percent = 10;
    conf.heuristic_max = apr_time_from_sec(3600);
    conf.max_object_size = 1000;
    devcache_policy_request(&conf, "GET", request, NULL, &req);
    if (devcache_policy_storable(&conf, &req, 200, response, 0, -1, NOW, NOW, &f, p) ==
        DEVCACHE_REASON_NONE) {
        check_reuse(&conf, &req, &f);
    }
    check_fields(&conf, request, response, p);
    location = apr_table_get(response, "Location");
    location = location ? devcache_policy_same_origin("http://a", "/b/c?d", location, p)
                        : "/";
    must(!location || (*location == '/' && !strchr(location, '#')));
    must(!location ||
         strcspn(location, "?") <= (size_t)(strstr(location, "/../")
                                                ? strstr(location, "/../") - location
                                                : 1 << 20));
}
