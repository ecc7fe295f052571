/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file mod_devcache.h
 * What all glue needs: the module's name, and stable tags for log lines.
 *
 * The module's record, devcache_module, is declared here, as APLOG_USE_MODULE does; a
 * request's and a server's configuration are asked for by setup/conf.h.
 *
 * DCnnnn is unique per place and never reused; searches and tests rely on it.
 * 0001-0099 start and configuration, 0100-0199 decisions about requests (debug),
 * 0200-0299 the store, 0300-0399 trouble with single responses.
 */
#ifndef MOD_DEVCACHE_H
#define MOD_DEVCACHE_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#define DCLOGNO(n) "DC" #n ": "

APLOG_USE_MODULE(devcache);

#endif
