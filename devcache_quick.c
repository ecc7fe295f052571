#include "devcache_quick.h"

#include <apr_strings.h>
#include <util_cfgtree.h>
#include "devcache_conf.h"

static int in_use; /* On somewhere in the configuration being read, or read */

void devcache_quick_reset(void)
{
    in_use = 0;
}

int devcache_quick_in_use(void)
{
    return in_use;
}

int devcache_quick_skips(const ap_directive_t *d)
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
        if (devcache_quick_skips(d)) {
            return apr_psprintf(cmd->pool,
                                "DevCacheQuick On: hits would skip the %s of the same "
                                "section (%s:%d): remove one of the two",
                                d->directive, d->filename, d->line_num);
        }
    }
    in_use = 1;
    return NULL;
}
