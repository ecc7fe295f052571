/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/conf.h"

#include <string.h>

/* ---- create and merge: made from the field lists --------------------------------- */

#define MERGE(type, name, def)                                                           \
    to->name = add->name##_by ? add->name : base->name;                                  \
    to->name##_by = add->name##_by ? add->name##_by : base->name##_by;

void *devcache_conf_create_server(apr_pool_t *p, server_rec *s)
{
    devcache_server_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->rules = apr_array_make(p, 4, sizeof(devcache_pair_t));
    conf->folds = apr_array_make(p, 4, sizeof(devcache_pair_t));
    return conf;
}

void *devcache_conf_merge_server(apr_pool_t *p, void *basev, void *addv)
{
    const devcache_server_t *base = basev, *add = addv;
    devcache_server_t *to = apr_pcalloc(p, sizeof *to);

    DEVCACHE_SERVER_FIELDS(MERGE)
    if (add->known_headers_by && base->known_headers_by) {
        to->known_headers = apr_array_append(p, add->known_headers, base->known_headers);
    }
    /* First match wins, so the virtual host's own rules stand before the main server's.
     */
    to->rules = apr_array_append(p, add->rules, base->rules);
    to->folds = apr_array_append(p, base->folds, add->folds);
    return to;
}

void *devcache_conf_create_dir(apr_pool_t *p, char *dir)
{
    return apr_pcalloc(p, sizeof(devcache_dir_t));
}

void *devcache_conf_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    static const devcache_dir_t nothing;
    const devcache_dir_t *base = basev, *add = addv;
    devcache_dir_t *to;

    /* Nobody writes into what is merged, and each request merges. What lies between the
     * fields is 0 as it was allocated; if it were not, the fields would be merged. */
    /* NOLINTBEGIN(bugprone-suspicious-memory-comparison) */
    if (!memcmp(base, &nothing, sizeof nothing)) {
        return addv;
    }
    if (!memcmp(add, &nothing, sizeof nothing)) {
        return basev;
    }
    /* NOLINTEND(bugprone-suspicious-memory-comparison) */
    to = apr_pcalloc(p, sizeof *to);
    DEVCACHE_DIR_FIELDS(MERGE)
    return to;
}

static const char *const default_codings[] = {"br", "gzip"};
static const apr_array_header_t default_encodings = {NULL, sizeof(char *), 2, 2,
                                                     (char *)default_codings};

const apr_array_header_t *devcache_conf_encodings(const devcache_dir_t *dir)
{
    const apr_array_header_t *said = devcache_dir_encodings(dir);

    return !said ? &default_encodings : said->nelts ? said : NULL;
}

static const char *const default_target_names[] = {"CDN-Cache-Control"};
static const apr_array_header_t default_targets = {NULL, sizeof(char *), 1, 1,
                                                   (char *)default_target_names};

void devcache_conf_policy(const devcache_server_t *server, const devcache_dir_t *dir,
                          devcache_policy_conf_t *out)
{
    out->default_ttl = devcache_dir_default_ttl(dir);
    out->heuristic_percent = devcache_dir_heuristic_percent(dir);
    out->heuristic_max = devcache_dir_heuristic_max(dir);
    out->min_ttl = devcache_dir_min_ttl(dir);
    out->max_ttl = devcache_dir_max_ttl(dir);
    out->force_ttl = devcache_dir_force_ttl(dir);
    out->stale_while_revalidate = devcache_dir_stale_while_revalidate(dir);
    out->stale_if_error = devcache_dir_stale_if_error(dir);
    out->swr_replaces = devcache_dir_swr_replaces(dir);
    out->sie_replaces = devcache_dir_sie_replaces(dir);
    out->stale_statuses = devcache_dir_stale_statuses(dir);
    out->stale_if_unreachable = devcache_dir_stale_if_unreachable(dir);
    out->max_object_size = devcache_dir_max_object_size(dir);
    out->ignore_client_control = devcache_dir_ignore_client_control(dir);
    out->store_set_cookie = devcache_dir_store_set_cookie(dir);
    out->targets = devcache_dir_targets(dir) ? devcache_dir_targets(dir)
                                             : &default_targets;
    out->known_headers = devcache_server_known_headers(server);
}
