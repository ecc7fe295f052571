#include "devcache_quick.h"

#include <apr_strings.h>
#include <util_cfgtree.h>
#include "devcache_conf.h"
#include "devcache_log.h"

/* Where DevCacheQuick On stands; directives, in the configuration tree. */
static apr_array_header_t *quick_at;

void devcache_quick_reset(apr_pool_t *pconf)
{
    quick_at = apr_array_make(pconf, 2, sizeof(const ap_directive_t *));
}

int devcache_quick_in_use(void)
{
    return quick_at->nelts > 0;
}

/* Does this directive decide about a request in a phase that a quick hit comes before? */
static int is_skipped(const ap_directive_t *d)
{
    static const char *const names[] = {
        "AuthType",
        "AuthUserFile",
        "Deny",
        "Allow",
        "Order",
        "RewriteRule",
        "Redirect",
        "RedirectMatch",
        "SecRuleEngine",
        "SecRule",
        "AuthzSVNAccessFile",
        "RequestHeader",
        "SSLRequireSSL",
        "SSLRequire",
        "SSLVerifyClient",
        "AllowMethods",
        "RedirectPermanent",
        "RedirectTemp",
        "Satisfy",
        "AuthLDAPURL",
        NULL,
    };
    int i;

    if (!ap_cstr_casecmp(d->directive, "Require")) {
        return ap_cstr_casecmp(d->args, "all granted") != 0;
    }
    for (i = 0; names[i] && ap_cstr_casecmp(names[i], d->directive); i++) {
    }
    return names[i] != NULL;
}

/* The next directive of the tree below @a root, sections and what is in them included. */
static const ap_directive_t *next_directive(const ap_directive_t *d,
                                            const ap_directive_t *root)
{
    if (d->first_child) {
        return d->first_child;
    }
    while (d && !d->next) {
        d = d->parent;
        if (d == root) {
            return NULL;
        }
    }
    return d ? d->next : NULL;
}

const char *devcache_quick_set(cmd_parms *cmd, void *dirv, int on)
{
    devcache_dir_t *conf = dirv;
    const ap_directive_t *section = cmd->directive->parent, *d;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES);

    if (error) {
        /* Files and directories are not known yet when a quick hit is served. */
        return error;
    }
    conf->quick = on;
    conf->quick_by = cmd->directive;
    if (!on) {
        return NULL;
    }
    for (d = section ? section->first_child : NULL; d; d = next_directive(d, section)) {
        if (is_skipped(d)) {
            return apr_psprintf(cmd->pool,
                                "DevCacheQuick On: hits would skip the %s of the same "
                                "section (%s:%d): remove one of the two",
                                d->directive, d->filename, d->line_num);
        }
    }
    APR_ARRAY_PUSH(quick_at, const ap_directive_t *) = cmd->directive;
    return NULL;
}

void devcache_quick_warn(server_rec *main_server, apr_pool_t *p)
{
    const ap_directive_t *d, *quick;

    if (!devcache_quick_in_use()) {
        return;
    }
    quick = APR_ARRAY_IDX(quick_at, 0, const ap_directive_t *);
    for (d = ap_conftree; d; d = next_directive(d, NULL)) {
        if (is_skipped(d)) {
            ap_log_error(
                APLOG_MARK, APLOG_WARNING, 0, main_server,
                DCLOGNO(0009) "conf: DevCacheQuick On (%s:%d) serves hits before "
                              "the %s at %s:%d; see that it is not for the same URLs",
                quick->filename, quick->line_num, d->directive, d->filename, d->line_num);
        }
    }
}
