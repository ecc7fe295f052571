/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/url.h
 * Where a server is, as DevCacheTier has it.
 */
#ifndef DEVCACHE_TIER_URL_H
#define DEVCACHE_TIER_URL_H

#include <apr_pools.h>

typedef struct devcache_url_t {
    const char *text; /* as configured, without anything secret */
    const char *host; /* NULL: it is a path */
    const char *path; /* of a unix socket */
    const char *user; /* NULL: the default user */
    int port, database;
    int is_tls;
} devcache_url_t;

/** @return NULL, or what is wrong with it, to follow the text itself */
const char *devcache_url_parse(const char *text, devcache_url_t *url, apr_pool_t *p);

/** Does nobody but this machine hear what is said there? 0 too for a name, but localhost. */
int devcache_url_is_local(const devcache_url_t *url);

#endif
