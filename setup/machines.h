/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/machines.h
 * DevCacheTier and what goes with it: directives, checks, opening. Glue.
 */
#ifndef DEVCACHE_SETUP_MACHINES_H
#define DEVCACHE_SETUP_MACHINES_H

#include <httpd.h>
#include <http_config.h>
#include "setup/setters.h"

/** The info of a directive that takes a file: offsets in a devcache_server_t. */
typedef struct devcache_tier_file_t {
    size_t value, by;
} devcache_tier_file_t;

devcache_list_setter_fn devcache_set_tier;
devcache_setter_fn devcache_set_tier_file; /* its info is a devcache_tier_file_t */
devcache_setter_fn devcache_set_tier_name;
devcache_setter_fn devcache_set_tier_use;

/** DevCacheTierTimeout connect [answer]. */
const char *devcache_set_tier_timeout(cmd_parms *cmd, void *dir, const char *connect,
                                      const char *answer);

/**
 * Check what only the whole configuration shows; reads the files of secrets.
 * @return NULL, or one sentence that says what is wrong and what to do
 */
const char *devcache_machines_check(server_rec *main_server, apr_pool_t *p);

/** Open the tier of each root, and give it to all servers of that root. */
int devcache_machines_open(server_rec *main_server, apr_pool_t *pconf);

void devcache_machines_child_init(apr_pool_t *pchild, server_rec *s);

#endif
