/**
 * @file devcache_conf.h
 * Directives: what the administrator said, merged, with the defaults applied.
 *
 * Each field is listed once below, with its default and its unit; the list makes the
 * struct, the merge (the inner one's value wins where it is set) and the getters.
 * Ownership  Everything lives in the configuration pool; read only after post_config.
 */
#ifndef DEVCACHE_CONF_H
#define DEVCACHE_CONF_H

#include <httpd.h>
#include <http_config.h>
#include <util_cfgtree.h>
#include <ap_expr.h>
#include "devcache_device.h"
#include "devcache_normal.h"
#include "devcache_policy.h"
#include "devcache_query.h"
#include "devcache_store.h"
#include "devcache_vary.h"

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
    F(apr_int64_t,  collapse_max,   0)                        /* of a child; 0: all  */

#define DEVCACHE_DIR_FIELDS(F)                                                         \
    F(int, enabled,                                    0)     /* DevCache            */ \
    F(int, observe,                                    0)     /* DevCache Observe    */ \
    F(int, vary_device,                                1)                               \
    F(int, user_agent_exact,                           0)  /* DevCacheVaryUserAgent  */ \
    F(int, max_variants,                               64)    /* per URL             */ \
    F(apr_int64_t, max_object_size,    APR_INT64_C(64) << 20) /* bytes               */ \
    F(apr_interval_time_t, default_ttl,                0)     /* microseconds        */ \
    F(const apr_array_header_t *, default_ttl_status,  NULL)  /* of int              */ \
    F(apr_interval_time_t, min_ttl,                    -1)    /* microseconds; -1: none */ \
    F(apr_interval_time_t, max_ttl,                    -1)    /* microseconds; -1: none */ \
    F(apr_interval_time_t, force_ttl,                  -1)    /* microseconds; -1: none */ \
    F(const apr_array_header_t *, force_ttl_status,    NULL)  /* of int              */ \
    F(apr_interval_time_t, stale_while_revalidate,     0)     /* microseconds        */ \
    F(apr_interval_time_t, stale_if_error,             0)     /* microseconds        */ \
    F(apr_interval_time_t, stale_if_unreachable, apr_time_from_sec(60)) /* microseconds */ \
    F(int, ignore_client_control,                      0)                               \
    F(int, store_set_cookie,                           0)                               \
    F(const devcache_query_t *, query,                 NULL)  /* NULL: keep          */ \
    F(const apr_array_header_t *, key_headers,         NULL)  /* const char *; NULL: none */ \
    F(const apr_array_header_t *, normals,             NULL)  /* devcache_normal_t   */ \
    F(int, quick,                                      0)     /* DevCacheQuick       */ \
    F(const ap_expr_info_t *, bypass,                  NULL)  /* NULL: none          */ \
    F(const apr_array_header_t *, targets,             NULL)  /* NULL: CDN-Cache-Control */ \
    F(int, status_header,                              0)                               \
    F(int, purge,                                      0)     /* DevCachePurge       */ \
    F(const apr_array_header_t *, tag_headers,         NULL)  /* devcache_tag_header_t */ \
    F(const char *, purge_path,                        NULL)  /* to be taken off the URL */ \
    F(int, collapse,                                   1)                              \
    F(apr_interval_time_t, refresh_ahead,              0)     /* microseconds        */ \
    F(apr_interval_time_t, collapse_wait, apr_time_from_sec(10)) /* microseconds     */ \
    F(int, fetch_whole,                                0)     /* DevCacheFetchWhole  */
/* clang-format on */

/* name_by is the directive that has set it, with its file and line; NULL: the default
 * holds. */
#define DEVCACHE_FIELD_DECLARE(type, name, def)                                          \
    type name;                                                                           \
    const ap_directive_t *name##_by;

/* Where requests of one device class are counted: see devcache_meter.h. */
typedef struct devcache_cell_ref_t {
    const char *klass; /* the very text that classification returns */
    unsigned cell;
} devcache_cell_ref_t;

typedef struct devcache_server_t {
    DEVCACHE_SERVER_FIELDS(DEVCACHE_FIELD_DECLARE)
    apr_array_header_t *rules; /* of devcache_pair_t: class and regex, in order */
    apr_array_header_t *folds; /* of devcache_pair_t: from and to, in order */
    /* Made by post_config, then read only: */
    devcache_device_rules_t *device; /* NULL: nothing is classified here */
    devcache_store_t *store;         /* NULL: no DevCacheRoot */
    devcache_vary_conf_t vary; /* by_device and user_agent_exact are per directory */
    devcache_slice_t identity; /* tells virtual hosts apart, in a response's target */
    const char *device_vary;   /* what clients see of a response by class, without Vary */
    const devcache_cell_ref_t
        *cells; /* of the meter, by class; the last has klass NULL */
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

typedef struct devcache_pair_t {
    const char *first;
    const char *second;
    const char *where; /* "file:line" of the directive, for messages */
} devcache_pair_t;

extern const command_rec devcache_conf_directives[];

void *devcache_conf_create_server(apr_pool_t *p, server_rec *s);
void *devcache_conf_merge_server(apr_pool_t *p, void *base, void *add);
void *devcache_conf_create_dir(apr_pool_t *p, char *dir);
void *devcache_conf_merge_dir(apr_pool_t *p, void *base, void *add);

/** Forget what an earlier reading of the configuration noted; called in pre_config. */
void devcache_conf_reset(apr_pool_t *pconf);

/** Is it a field name by RFC 9110 section 5.1, of 64 bytes at most? */
int devcache_conf_is_token(const char *s);

/** Note that this directive is of no use without a DevCacheRoot, for the check below. */
void devcache_conf_needs_store(const cmd_parms *cmd);

/**
 * Check what only the whole configuration shows: `DevCache On` and its like have a store.
 * @return NULL, or one sentence that names the directive, where, and what to do
 */
const char *devcache_conf_check(apr_pool_t *p);

devcache_server_t *devcache_conf_server(const server_rec *s);
const devcache_dir_t *devcache_conf_dir(const request_rec *r);

/** The policy's part of a directory's configuration, defaults applied. */
void devcache_conf_policy(const devcache_dir_t *dir, devcache_policy_conf_t *out);

#endif
