/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/same.h
 * Have two machines the same configuration, as far as stored responses depend on it?
 *
 * Glue.
 */
#ifndef DEVCACHE_SETUP_SAME_H
#define DEVCACHE_SETUP_SAME_H

#include "setup/conf.h"

/**
 * A hash of all that decides what a key and a variant are and what may be stored for how
 * long: device rules, cookies, query, codings, key headers, lifetimes. What machines share
 * they share under it.
 */
apr_uint64_t devcache_same_hash(const devcache_server_t *server,
                                const devcache_dir_t *dir);

#endif
