/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_null: the least that an httpd module can spend on a response.
 *
 * "Null On" answers in the handler phase; URL mapping is answered as well, so that httpd
 * looks at no file.
 *
 * GET /BYTES/anything gets that many bytes, at most 1 MB, from memory: one bucket, no
 * copy. The first byte tells what X-Device-Type the request had (p, t, m, or - for none),
 * so the same module is the origin of the comparisons and shows that visitors get their
 * page.
 */
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>
#include <apr_strings.h>

#define BODY_MAX (1 << 20)

static const char letters[] = "-ptm";
static const char *bodies[sizeof(letters)];

typedef struct null_conf_t {
    int on;
} null_conf_t;

module AP_MODULE_DECLARE_DATA null_module;

static int is_on(const request_rec *r)
{
    const null_conf_t *conf = ap_get_module_config(r->server->module_config,
                                                   &null_module);

    return conf->on;
}

static int answer(request_rec *r)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *bb;
    const char *device = apr_table_get(r->headers_in, "X-Device-Type");
    const char *known = device ? strchr(letters, *device) : NULL;
    apr_int64_t len = apr_strtoi64(r->uri + 1, NULL, 10);

    if (len < 1 || len > BODY_MAX) {
        return HTTP_NOT_FOUND;
    }
    ap_set_content_type(r, "text/html");
    ap_set_content_length(r, len);
    apr_table_setn(r->headers_out, "Cache-Control", "max-age=86400");
    bb = apr_brigade_create(r->pool, alloc);
    APR_BRIGADE_INSERT_TAIL(
        bb, apr_bucket_immortal_create(bodies[known && *known ? known - letters : 0],
                                       (apr_size_t)len, alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    ap_pass_brigade(r->output_filters, bb);
    return OK;
}

static int handler(request_rec *r)
{
    return is_on(r) ? answer(r) : DECLINED;
}

static int no_file(request_rec *r)
{
    return is_on(r) ? OK : DECLINED;
}

static int make_bodies(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    apr_size_t i;

    for (i = 0; letters[i]; i++) {
        char *body = apr_palloc(pconf, BODY_MAX);

        memset(body, 'x', BODY_MAX);
        body[0] = letters[i];
        bodies[i] = body;
    }
    return OK;
}

static const char *set_on(cmd_parms *cmd, void *unused, int on)
{
    null_conf_t *conf = ap_get_module_config(cmd->server->module_config, &null_module);

    conf->on = on;
    return NULL;
}

static void *create_conf(apr_pool_t *p, server_rec *s)
{
    return apr_pcalloc(p, sizeof(null_conf_t));
}

static const command_rec commands[] = {
    AP_INIT_FLAG("Null", set_on, NULL, RSRC_CONF, "On or Off: answer everything"),
    {NULL}};

static void register_hooks(apr_pool_t *p)
{
    ap_hook_post_config(make_bodies, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(no_file, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(no_file, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

module AP_MODULE_DECLARE_DATA null_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, create_conf, NULL, commands, register_hooks};
