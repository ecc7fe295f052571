/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/guard.h
 * Is what may change the cache kept from strangers?
 *
 * Two looks, as neither alone is enough: at the configuration file, where a forgotten
 * Require is seen before the server starts, and at each request, where sections have been
 * merged and the access control in force may be another one.
 * Ownership  Nothing is kept.
 */
#ifndef DEVCACHE_SETUP_GUARD_H
#define DEVCACHE_SETUP_GUARD_H

#include <httpd.h>
#include <http_config.h>

/**
 * Does a section of the configuration keep some clients out by a Require of its own?
 * "all granted" and "method" alone keep nobody out.
 * @param section  NULL: outside of all sections, where there is no Require
 */
int devcache_guard_section(const ap_directive_t *section);

/**
 * Would the access control in force for @a r let a client in of whom nothing is known:
 * neither user nor header, and an address that nobody has? Asks httpd's own hooks, with
 * a copy of the request.
 */
int devcache_guard_is_open(request_rec *r);

#endif
