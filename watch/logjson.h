/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/logjson.h
 * Directives for LogFormat that write JSON values.
 *
 * Glue. httpd's own escapes are not JSON's (\xhh, \v), so a client could spoil the lines
 * of a log that puts them between quotes. These write a whole value, quotes included:
 *
 *   %^JR           the request line, a string
 *   %{Name}^JI     a field of the request, a string, or null
 *   %{Name}^JE     a variable of the environment, a string, or null ("-" is null too)
 *   %{Name}^JN     the same as a number, or null if it is none
 */
#ifndef DEVCACHE_WATCH_LOGJSON_H
#define DEVCACHE_WATCH_LOGJSON_H

#include <httpd.h>

/** In pre_config: tell mod_log_config, if it is there. */
void devcache_logjson_register(apr_pool_t *p);

#endif
