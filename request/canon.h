/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/canon.h
 * The canonical URL that mod_proxy makes of a backend's, remembered for the next request.
 *
 * Glue, with mod_proxy where that is loaded.
 */
#ifndef DEVCACHE_REQUEST_CANON_H
#define DEVCACHE_REQUEST_CANON_H

/** Hook pre_config: all modules are loaded. */
void devcache_canon_hook(void);

/** Hook child_init: what is remembered is the child's. Until then nothing is. */
void devcache_canon_child_init(void);

#endif
