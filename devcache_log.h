/**
 * @file devcache_log.h
 * Stable tags for log lines, and the module's name for glue files.
 *
 * DCnnnn is unique per place and never reused; searches and tests rely on it.
 * 0001-0099 start and configuration, 0100-0199 decisions about requests (debug),
 * 0200-0299 the store, 0300-0399 trouble with single responses.
 */
#ifndef DEVCACHE_LOG_H
#define DEVCACHE_LOG_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#define DCLOGNO(n) "DC" #n ": "

APLOG_USE_MODULE(devcache);

#endif
