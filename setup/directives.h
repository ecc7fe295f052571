/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/directives.h
 * The table of directives, for the module record. Glue.
 */
#ifndef DEVCACHE_SETUP_DIRECTIVES_H
#define DEVCACHE_SETUP_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

extern const command_rec devcache_directives[];

#endif
