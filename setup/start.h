/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/start.h
 * The start: check what was configured, make the classifiers, open the stores.
 *
 * Glue. In the parent, but for devcache_start_child_init().
 * Errors     A start that cannot be is ended with one sentence in the log. A directory that
 *            cannot be used ends none.
 */
#ifndef DEVCACHE_SETUP_START_H
#define DEVCACHE_SETUP_START_H

#include <httpd.h>
#include <http_config.h>

/** Is this the first reading of the configuration at a start, which httpd repeats? */
int devcache_start_is_rehearsal(void);

/** Hook check_config: all that can be seen to be wrong; makes the classifiers. */
int devcache_start_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                         server_rec *main_server);

/** Hook test_config: httpd -t reads the configuration only once. */
void devcache_start_test(apr_pool_t *pconf, server_rec *main_server);

/**
 * Open the stores, or take over those that are open, and complete each server's
 * configuration. @return OK, or the status with which post_config ends the start
 */
int devcache_start_open(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server);

/** Hook monitor: look after the stores, every ten seconds or so. */
int devcache_start_monitor(apr_pool_t *p, server_rec *s);

/** In each child: make the stores usable there. */
void devcache_start_child_init(apr_pool_t *pchild, server_rec *s);

#endif
