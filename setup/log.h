/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/log.h
 * What core has to say, in httpd's error log. Glue; any thread.
 */
#ifndef DEVCACHE_SETUP_LOG_H
#define DEVCACHE_SETUP_LOG_H

#include <apr_errno.h>

/**
 * For the log functions that core is given: into the error log, and what is a warning or
 * worse on the status page, too.
 * @param level  APLOG_WARNING and the like  @param tag  the number of a DCnnnn
 */
void devcache_log_core(int level, int tag, apr_status_t rv, const char *msg);

#endif
