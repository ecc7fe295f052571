/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/lint.h
 * What commonly goes wrong in a configuration, told with file and line.
 *
 * Glue. Configuration time only: reads the tree that httpd has made of the files, so it
 * sees other modules' directives as they were written, whatever their structs are. What
 * it says are warnings; what is certainly wrong is refused by the directive itself.
 * Ownership  Nothing is kept.
 */
#ifndef DEVCACHE_SETUP_LINT_H
#define DEVCACHE_SETUP_LINT_H

#include <httpd.h>

/**
 * Look at the whole configuration and log a sentence about each thing found: what, where,
 * what to do. To be called once for each configuration, when the servers' own structs are
 * complete.
 * @param is_trial  this is `httpd -t`: nothing will be started
 */
void devcache_lint_warn(server_rec *main_server, int is_trial, apr_pool_t *p);

#endif
