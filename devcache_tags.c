#include "devcache_tags.h"

#include <apr_strings.h>
#include "devcache_ban.h"
#include "devcache_field.h"

typedef struct tag_header_t {
    const char *name;
    int shown; /* clients are sent it as well */
} tag_header_t;

static const tag_header_t defaults[] = {
    {"Cache-Tag"}, {"Cache-Tags"},   {"Surrogate-Key"},
    {"xkey"},      {"X-Cache-Tags"}, {"Purge-Cache-Tags"},
};
static const apr_array_header_t default_headers = {
    NULL, sizeof(tag_header_t), sizeof(defaults) / sizeof(*defaults),
    sizeof(defaults) / sizeof(*defaults), (char *)(apr_uintptr_t)defaults};

/* Meant for caches in front of the application, that is for us; read by nobody here. */
static const char surrogate_control[] = "Surrogate-Control";

static const apr_array_header_t *headers_of(const devcache_dir_t *dir)
{
    return devcache_dir_tag_headers(dir) ? devcache_dir_tag_headers(dir)
                                         : &default_headers;
}

static int has_tags(const tag_header_t *h)
{
    return ap_cstr_casecmp(h->name, surrogate_control) != 0;
}

const char *devcache_tags_set(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    devcache_dir_t *conf = dirv;
    apr_array_header_t *list = apr_array_make(cmd->pool, argc + 1, sizeof(tag_header_t));
    int i;

    for (i = 0; i < argc && (argc > 1 || ap_cstr_casecmp(argv[0], "off")); i++) {
        tag_header_t *h = apr_array_push(list);

        h->shown = argv[i][0] == '+';
        h->name = apr_pstrdup(cmd->pool, argv[i] + h->shown);
        if (!devcache_conf_is_token(h->name)) {
            return apr_psprintf(cmd->pool, "DevCacheTagHeader: '%s' is not a header name",
                                argv[i]);
        }
    }
    if (!argc) {
        return "DevCacheTagHeader: give header names (such as Cache-Tag), or 'off'";
    }
    conf->tag_headers = list;
    conf->tag_headers_by = cmd->directive;
    return NULL;
}

const apr_array_header_t *devcache_tags_names(const devcache_dir_t *dir, apr_pool_t *p)
{
    const apr_array_header_t *headers = headers_of(dir);
    apr_array_header_t *names = apr_array_make(p, headers->nelts, sizeof(char *));
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const tag_header_t *h = &APR_ARRAY_IDX(headers, i, tag_header_t);

        if (has_tags(h)) {
            APR_ARRAY_PUSH(names, const char *) = h->name;
        }
    }
    return names;
}

static int has_any(const apr_table_t *fields, const tag_header_t *h)
{
    return fields && apr_table_get(fields, h->name);
}

int devcache_tags_read(const devcache_dir_t *dir, const apr_table_t *origin,
                       const apr_table_t *fields, devcache_slice_t *ptags, apr_pool_t *p)
{
    const apr_array_header_t *headers = headers_of(dir);
    devcache_tags_t tags;
    int i;

    devcache_ban_tags_begin(&tags, p);
    for (i = 0; i < headers->nelts; i++) {
        const tag_header_t *h = &APR_ARRAY_IDX(headers, i, tag_header_t);
        const char *sent, *made;

        if (!has_any(origin, h) && !has_any(fields, h)) {
            continue;
        }
        sent = origin ? devcache_field_combined(origin, h->name, p) : NULL;
        made = devcache_field_combined(fields, h->name, p);
        if (sent && has_tags(h)) {
            devcache_ban_tags_list(&tags, sent);
        }
        if (made && has_tags(h) && (!sent || strcmp(sent, made))) {
            devcache_ban_tags_list(&tags, made);
        }
    }
    *ptags = devcache_ban_tags_end(&tags, p);
    return !tags.error;
}

static void hide(request_rec *r, const char *name)
{
    apr_table_unset(r->headers_out, name);
    if (!apr_is_empty_table(r->err_headers_out)) {
        apr_table_unset(r->err_headers_out, name);
    }
}

void devcache_tags_hide(request_rec *r)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    const apr_array_header_t *headers = headers_of(dir);
    int hide_control = 1, i;

    if (!devcache_dir_enabled(dir)) {
        return;
    }
    for (i = 0; i < headers->nelts; i++) {
        const tag_header_t *h = &APR_ARRAY_IDX(headers, i, tag_header_t);

        if (!h->shown) {
            hide(r, h->name);
        } else if (!has_tags(h)) {
            hide_control = 0;
        }
    }
    if (hide_control) {
        hide(r, surrogate_control);
    }
}
