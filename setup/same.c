/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A field of the configuration that is missing here lets machines share what they should
 * not; one too many keeps them from sharing. What only decides who is answered, or how
 * (DevCacheBypass, DevCachePurge, waiting, refreshing, what is shown), is left out.
 */
#include "setup/same.h"

#include <xxhash.h>

typedef struct mix_t {
    apr_uint64_t hash;
} mix_t;

static void mix_bytes(mix_t *m, const void *bytes, apr_size_t len)
{
    m->hash = XXH3_64bits_withSeed(bytes, len, m->hash + len);
}

static void mix_int(mix_t *m, apr_int64_t n)
{
    mix_bytes(m, &n, sizeof(n));
}

static void mix_text(mix_t *m, const char *text)
{
    mix_int(m, text != NULL);
    mix_bytes(m, text ? text : "", text ? strlen(text) : 0);
}

static void mix_names(mix_t *m, const apr_array_header_t *names)
{
    int i;

    mix_int(m, names ? names->nelts : -1);
    for (i = 0; names && i < names->nelts; i++) {
        mix_text(m, APR_ARRAY_IDX(names, i, const char *));
    }
}

static void mix_pairs(mix_t *m, const apr_array_header_t *pairs)
{
    int i;

    mix_int(m, pairs->nelts);
    for (i = 0; i < pairs->nelts; i++) {
        mix_text(m, APR_ARRAY_IDX(pairs, i, devcache_pair_t).first);
        mix_text(m, APR_ARRAY_IDX(pairs, i, devcache_pair_t).second);
    }
}

static void mix_ttls(mix_t *m, const apr_array_header_t *ttls)
{
    int i, k;

    mix_int(m, ttls ? ttls->nelts : -1);
    for (i = 0; ttls && i < ttls->nelts; i++) {
        const devcache_ttl_t *ttl = &APR_ARRAY_IDX(ttls, i, devcache_ttl_t);

        mix_int(m, ttl->ttl);
        mix_int(m, ttl->statuses ? ttl->statuses->nelts : -1);
        for (k = 0; ttl->statuses && k < ttl->statuses->nelts; k++) {
            mix_int(m, APR_ARRAY_IDX(ttl->statuses, k, int));
        }
    }
}

static void mix_normals(mix_t *m, const apr_array_header_t *normals)
{
    int i;

    mix_int(m, normals ? normals->nelts : -1);
    for (i = 0; normals && i < normals->nelts; i++) {
        mix_text(m, APR_ARRAY_IDX(normals, i, devcache_normal_t).header);
        mix_names(m, APR_ARRAY_IDX(normals, i, devcache_normal_t).values);
    }
}

static void mix_tags(mix_t *m, const apr_array_header_t *tags)
{
    int i;

    mix_int(m, tags ? tags->nelts : -1);
    for (i = 0; tags && i < tags->nelts; i++) {
        mix_text(m, APR_ARRAY_IDX(tags, i, devcache_tag_header_t).name);
        mix_int(m, APR_ARRAY_IDX(tags, i, devcache_tag_header_t).shown);
    }
}

static void mix_server(mix_t *m, const devcache_server_t *s)
{
    mix_int(m, s->device != NULL);
    mix_text(m, devcache_server_device_header(s));
    mix_text(m, devcache_server_device_cookie(s));
    mix_int(m, devcache_server_client_hints(s) != DEVCACHE_HINTS_OFF);
    mix_int(m, devcache_server_viewer_headers(s));
    mix_names(m, devcache_server_known_headers(s));
    mix_pairs(m, s->rules);
    mix_pairs(m, s->folds);
}

static void mix_dir(mix_t *m, const devcache_dir_t *d)
{
    const devcache_query_t *query = devcache_dir_query(d);
    const devcache_cookies_t *cookies = devcache_dir_cookies(d);

    mix_int(m, devcache_dir_vary_device(d));
    mix_int(m, devcache_dir_user_agent_exact(d));
    mix_int(m, query ? (int)query->mode : -1);
    mix_names(m, query ? query->names : NULL);
    mix_int(m, cookies ? (int)cookies->mode : -1);
    mix_names(m, cookies ? cookies->names : NULL);
    mix_names(m, devcache_conf_encodings(d));
    mix_int(m, devcache_dir_inflate(d));
    mix_names(m, devcache_dir_key_headers(d));
    mix_tags(m, devcache_dir_tag_headers(d));
    mix_normals(m, devcache_dir_normals(d));
    mix_names(m, devcache_dir_targets(d));
    mix_int(m, devcache_dir_no_vary_search(d));
    mix_int(m, devcache_dir_fragments(d));
    mix_int(m, devcache_dir_store_set_cookie(d));
    mix_ttls(m, devcache_dir_default_ttl(d));
    mix_ttls(m, devcache_dir_force_ttl(d));
    mix_int(m, devcache_dir_min_ttl(d));
    mix_int(m, devcache_dir_max_ttl(d));
    mix_int(m, devcache_dir_heuristic_percent(d));
    mix_int(m, devcache_dir_heuristic_max(d));
    mix_int(m, devcache_dir_stale_while_revalidate(d));
    mix_int(m, devcache_dir_stale_if_error(d));
    mix_int(m, devcache_dir_swr_replaces(d));
    mix_int(m, devcache_dir_sie_replaces(d));
}

apr_uint64_t devcache_same_hash(const devcache_server_t *server,
                                const devcache_dir_t *dir)
{
    mix_t m = {1};

    mix_server(&m, server);
    mix_dir(&m, dir);
    return m.hash;
}
