/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/links.h
 * Links that a client can follow before it has the page.
 */
#ifndef DEVCACHE_HTTP_LINKS_H
#define DEVCACHE_HTTP_LINKS_H

#include <apr_pools.h>
#include <apr_tables.h>

/**
 * Of all Link fields (RFC 8288) those links whose relation is preload, modulepreload or
 * preconnect, each as it stands, with commas between: 16 and 4 KB at most.
 * @return in @a p; NULL: there is none
 */
const char *devcache_links_early(const apr_table_t *fields, apr_pool_t *p);

#endif
