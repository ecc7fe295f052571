/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file policy_fixture.h
 * A configuration, requests and some fields, for tests of the policy.
 */
#ifndef DEVCACHE_TEST_POLICY_FIXTURE_H
#define DEVCACHE_TEST_POLICY_FIXTURE_H

#include <apr_general.h>
#include <apr_strings.h>
#include "fields.h"
#include "http/policy.h"
#include "tap.h"

#define SEC(n) apr_time_from_sec((apr_int64_t)(n))
#define NOW SEC(1782777600) /* Tue, 30 Jun 2026 00:00:00 GMT */
#define DATE "Date: Tue, 30 Jun 2026 00:00:00 GMT"
#define DAY_AGO "Last-Modified: Mon, 29 Jun 2026 00:00:00 GMT"
#define YEAR_AGO "Last-Modified: Mon, 30 Jun 2025 00:00:00 GMT"
#define HOUR_AHEAD "Expires: Tue, 30 Jun 2026 01:00:00 GMT"
#define ETAG "ETag: \"a\""

static inline devcache_policy_conf_t defaults(apr_pool_t *p)
{
    devcache_policy_conf_t conf = DEVCACHE_POLICY_CONF_EMPTY;
    apr_array_header_t *targets = apr_array_make(p, 1, sizeof(const char *));

    APR_ARRAY_PUSH(targets, const char *) = "CDN-Cache-Control";
    conf.heuristic_percent = 10;
    conf.heuristic_max = SEC(86400);
    conf.max_object_size = 64 * 1024 * 1024;
    conf.targets = targets;
    return conf;
}

static inline devcache_request_t request(const devcache_policy_conf_t *conf,
                                         const char *method, const char *text,
                                         apr_pool_t *p)
{
    devcache_request_t req;
    devcache_policy_request(conf, method, fields(text, p), NULL, &req);
    return req;
}

#endif
