/**
 * @file devcache_quick.h
 * DevCacheQuick: where it may stand, and what it would skip.
 *
 * A quick hit is served before access control, rewriting and fixups. The directive is
 * refused in a section that has such rules itself, and where others might apply to its
 * URLs, which only a request could tell, devcache_lint.c warns and names them.
 *
 * Glue. Configuration time only, but for devcache_quick_in_use().
 */
#ifndef DEVCACHE_QUICK_H
#define DEVCACHE_QUICK_H

#include <httpd.h>
#include <http_config.h>
#include <util_cfgtree.h>

/** The directive's function. */
const char *devcache_quick_set(cmd_parms *cmd, void *dir, int on);

/** Forget an earlier reading of the configuration; called in pre_config. */
void devcache_quick_reset(void);

/** Does this directive decide about a request in a phase that a quick hit comes before?
 */
int devcache_quick_skips(const ap_directive_t *d);

/** Is it On anywhere? If not, no request pays for the question. */
int devcache_quick_in_use(void);

#endif
