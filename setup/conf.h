/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/conf.h
 * Directives: what the administrator said, merged, with the defaults applied.
 *
 * Each field is listed once below, with its default and its unit; the list makes the
 * struct, the merge (the inner one's value wins where it is set) and the getters. The
 * directives that set them are in setup/directives.c.
 * Ownership  Everything lives in the configuration pool; read only after post_config.
 */
#ifndef DEVCACHE_SETUP_CONF_H
#define DEVCACHE_SETUP_CONF_H

#include <httpd.h>
#include <http_config.h>
#include <util_cfgtree.h>
#include <ap_expr.h>
#include "device/device.h"
#include "http/cookies.h"
#include "http/normal.h"
#include "http/policy.h"
#include "http/query.h"
#include "devcache_store.h"
#include "devcache_vary.h"
#include "tier/tier.h"
#include "mod_devcache.h"

typedef enum devcache_hints_e {
    DEVCACHE_HINTS_OFF,
    DEVCACHE_HINTS_ON,      /* read, and asked for by Accept-CH */
    DEVCACHE_HINTS_CRITICAL /* also Critical-CH: the browser asks again with them */
} devcache_hints_e;

/* clang-format off */
/* type, name, default, and behind it the directive or the unit */
#define DEVCACHE_SERVER_FIELDS(F)                                                      \
    F(const char *, root,           NULL)                     /* DevCacheRoot        */ \
    F(apr_int64_t,  size,           APR_INT64_C(1) << 30)     /* bytes               */ \
    F(apr_int64_t,  segment_size,   0)                        /* bytes; 0: from size */ \
    F(apr_int64_t,  max_objects,    0)                        /* 0: from size        */ \
    F(apr_int64_t,  min_free,       APR_INT64_C(256) << 20)   /* bytes               */ \
    F(apr_int64_t,  memory,         APR_INT64_C(4) << 20)     /* bytes of each child */ \
    F(int,          classify,       -1)                       /* -1: where in use    */ \
    F(const char *, device_header,  "X-Device-Type")          /* "": off             */ \
    F(const char *, device_cookie,  NULL)                     /* NULL: none          */ \
    F(int,          client_hints,   DEVCACHE_HINTS_ON)                                  \
    F(int,          viewer_headers, 0)                                                 \
    F(apr_int64_t,  collapse_max,   0)                        /* of a child; 0: all  */ \
    F(const apr_array_header_t *, known_headers, NULL)        /* const char *; NULL: none */ \
    F(const apr_array_header_t *, tier, NULL)                 /* const char *; NULL: none */ \
    F(const char *, tier_secret,    NULL)                     /* a file; NULL: none  */ \
    F(const char *, tier_key,       NULL)                     /* a file; NULL: none  */ \
    F(const char *, tier_ca,        NULL)                     /* a file; NULL: the system's */ \
    F(const char *, tier_certificate, NULL)                   /* a file; NULL: none  */ \
    F(const char *, tier_name,      "devcache")                                        \
    F(int,          tier_use,       DEVCACHE_TIER_PURGE)                                \
    F(apr_int64_t,  tier_max_object, APR_INT64_C(512) << 10)  /* bytes               */ \
    F(apr_int64_t,  tier_queue,     APR_INT64_C(64) << 20)    /* bytes of each child */ \
    F(int,          tier_invalidate, 0)                                                \
    F(apr_interval_time_t, tier_connect_time, 50000)   /* microseconds: DevCacheTierTimeout */ \
    F(apr_interval_time_t, tier_answer_time,  20000)          /* microseconds        */

#define DEVCACHE_DIR_FIELDS(F)                                                         \
    F(int, enabled,                                    0)     /* DevCache            */ \
    F(int, observe,                                    0)     /* DevCache Observe    */ \
    F(int, vary_device,                                1)                               \
    F(int, user_agent_exact,                           0)  /* DevCacheVaryUserAgent  */ \
    F(int, max_variants,                               64)    /* per URL             */ \
    F(apr_int64_t, max_object_size,    APR_INT64_C(64) << 20) /* bytes               */ \
    F(const apr_array_header_t *, default_ttl,         NULL)  /* devcache_ttl_t      */ \
    F(int, heuristic_percent,                          10)    /* 0: off              */ \
    F(apr_interval_time_t, heuristic_max, apr_time_from_sec(3600)) /* microseconds   */ \
    F(apr_interval_time_t, min_ttl,                    -1)    /* microseconds; -1: none */ \
    F(apr_interval_time_t, max_ttl,                    -1)    /* microseconds; -1: none */ \
    F(const apr_array_header_t *, force_ttl,           NULL)  /* devcache_ttl_t      */ \
    F(apr_interval_time_t, stale_while_revalidate,     0)     /* microseconds        */ \
    F(apr_interval_time_t, stale_if_error,             0)     /* microseconds        */ \
    F(int, swr_replaces,                               0)     /* with ! */ \
    F(int, sie_replaces,                               0)     /* likewise */ \
    F(const apr_array_header_t *, stale_statuses,      NULL)  /* int; NULL: 500 502 503 504 */ \
    F(apr_interval_time_t, stale_if_unreachable, apr_time_from_sec(60)) /* microseconds */ \
    F(int, ignore_client_control,                      0)                               \
    F(int, store_set_cookie,                           0)                               \
    F(const devcache_query_t *, query,                 NULL)  /* NULL: keep          */ \
    F(int, no_vary_search,                             0)     /* DevCacheNoVarySearch */ \
    F(const devcache_cookies_t *, cookies,             NULL)  /* NULL: deny @analytics */ \
    F(const apr_array_header_t *, encodings,           NULL)  /* NULL: br gzip; empty: keep */ \
    F(int, inflate,                                    0)  /* DevCacheEncodings … inflate */ \
    F(const apr_array_header_t *, key_headers,         NULL)  /* const char *; NULL: none */ \
    F(const apr_array_header_t *, normals,             NULL)  /* devcache_normal_t   */ \
    F(const ap_expr_info_t *, bypass,                  NULL)  /* NULL: none          */ \
    F(const apr_array_header_t *, targets,             NULL)  /* NULL: CDN-Cache-Control */ \
    F(int, status_header,                              0)                               \
    F(int, purge,                                      0)     /* DevCachePurge       */ \
    F(const apr_array_header_t *, tag_headers,         NULL)  /* devcache_tag_header_t */ \
    F(const char *, purge_path,                        NULL)  /* to be taken off the URL */ \
    F(int, collapse,                                   1)                              \
    F(apr_interval_time_t, refresh_ahead,              0)     /* microseconds        */ \
    F(apr_interval_time_t, collapse_wait, apr_time_from_sec(10)) /* microseconds     */ \
    F(apr_interval_time_t, finish, apr_time_from_sec(2))  /* microseconds; -1: always */ \
    F(int, early_hints,                                0)     /* DevCacheEarlyHints */ \
    F(int, fetch_whole,                                0)     /* DevCacheFetchWhole  */ \
    F(apr_int64_t, slice,                              0)     /* bytes; 0: off       */ \
    F(int, head_fills,                                 0)     /* DevCacheHead get    */ \
    F(int, fragments,                                  0)     /* DevCacheFragments: 1, or a dialect */
/* clang-format on */

/* name_by is the directive that has set it, with its file and line; NULL: the default
 * holds. */
#define DEVCACHE_FIELD_DECLARE(type, name, def)                                          \
    type name;                                                                           \
    const ap_directive_t *name##_by;

/* Where requests of one device class are counted: see stats/meter.h. */
typedef struct devcache_cell_ref_t {
    const char *class; /* the very text that classification returns */
    unsigned cell;
} devcache_cell_ref_t;

typedef struct devcache_server_t {
    DEVCACHE_SERVER_FIELDS(DEVCACHE_FIELD_DECLARE)
    apr_array_header_t *rules; /* of devcache_pair_t: class and regex, in order */
    apr_array_header_t *folds; /* of devcache_pair_t: from and to, in order */
    /* Made by post_config, then read only: */
    devcache_device_rules_t *device; /* NULL: nothing is classified here */
    devcache_store_t *store;         /* NULL: no DevCacheRoot */
    devcache_tier_t *machines;       /* NULL: no DevCacheTier */
    int tier_lost;                   /* there is one, and it could not be opened */
    devcache_vary_conf_t vary; /* by_device and user_agent_exact are per directory */
    devcache_slice_t identity; /* tells virtual hosts apart, in a response's target */
    const char *device_vary;   /* what clients see of a response by class, without Vary */
    const devcache_cell_ref_t
        *cells; /* of the meter, by class; the last has class NULL */
} devcache_server_t;

typedef struct devcache_dir_t {
    DEVCACHE_DIR_FIELDS(DEVCACHE_FIELD_DECLARE)
} devcache_dir_t;

#define DEVCACHE_FIELD_GETTER(conf, type, name, def)                                     \
    static inline type devcache_##conf##_##name(const devcache_##conf##_t *c)            \
    {                                                                                    \
        return c->name##_by ? c->name : (def);                                           \
    }
#define F(type, name, def) DEVCACHE_FIELD_GETTER(server, type, name, def)
DEVCACHE_SERVER_FIELDS(F)
#undef F
#define F(type, name, def) DEVCACHE_FIELD_GETTER(dir, type, name, def)
DEVCACHE_DIR_FIELDS(F)
#undef F

/* A field that brings tags: DevCacheTagHeader. */
typedef struct devcache_tag_header_t {
    const char *name;
    int shown; /* clients are sent it as well */
} devcache_tag_header_t;

typedef struct devcache_pair_t {
    const char *first;
    const char *second;
    const char *where; /* "file:line" of the directive, for messages */
} devcache_pair_t;

void *devcache_conf_create_server(apr_pool_t *p, server_rec *s);
void *devcache_conf_merge_server(apr_pool_t *p, void *base, void *add);
void *devcache_conf_create_dir(apr_pool_t *p, char *dir);
void *devcache_conf_merge_dir(apr_pool_t *p, void *base, void *add);

static inline devcache_server_t *devcache_conf_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &devcache_module);
}

static inline const devcache_dir_t *devcache_conf_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &devcache_module);
}

/** DevCacheEncodings: const char *, the dearest first; NULL: keep what clients say. */
const apr_array_header_t *devcache_conf_encodings(const devcache_dir_t *dir);

/** The policy's part of a server's and a directory's configuration, defaults applied. */
void devcache_conf_policy(const devcache_server_t *server, const devcache_dir_t *dir,
                          devcache_policy_conf_t *out);

#endif
