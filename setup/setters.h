/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/setters.h
 * The setters of all directives that take more than a number or a flag.
 *
 * Each is httpd's function of a directive: NULL, or one sentence that names the
 * directive, the value and what is allowed, with which the start ends. One that takes
 * nothing but a number or a flag needs none: see setup/value.h.
 *
 * Glue. Configuration time only.
 */
#ifndef DEVCACHE_SETUP_SETTERS_H
#define DEVCACHE_SETUP_SETTERS_H

#include <httpd.h>
#include <http_config.h>

/** A directive with one argument. */
typedef const char *devcache_setter_fn(cmd_parms *cmd, void *dir, const char *arg);

/** A directive with any number of arguments. */
typedef const char *devcache_list_setter_fn(cmd_parms *cmd, void *dir, int argc,
                                            char *const argv[]);

devcache_setter_fn devcache_set_root;
devcache_setter_fn devcache_set_enabled;
devcache_setter_fn devcache_set_bypass;
devcache_setter_fn devcache_set_purge;
devcache_setter_fn devcache_set_finish; /* its info is a devcache_slot_t */
devcache_setter_fn devcache_set_fragments;
devcache_setter_fn devcache_set_head;
devcache_setter_fn devcache_set_slice; /* its info is a devcache_slot_t */
devcache_setter_fn devcache_set_vary_user_agent;
devcache_setter_fn devcache_set_device_header;
devcache_setter_fn devcache_set_device_cookie;
devcache_setter_fn devcache_set_client_hints;
devcache_list_setter_fn devcache_set_device_fold;
devcache_list_setter_fn devcache_set_ttl; /* these two: their info is a devcache_slot_t */
devcache_list_setter_fn devcache_set_window;
devcache_list_setter_fn devcache_set_heuristic;
devcache_list_setter_fn devcache_set_query;
devcache_list_setter_fn devcache_set_cookies;
devcache_list_setter_fn devcache_set_encodings;
devcache_list_setter_fn devcache_set_targets;
devcache_list_setter_fn devcache_set_known_headers;
devcache_list_setter_fn devcache_set_key_headers;
devcache_list_setter_fn devcache_set_normalize;
devcache_list_setter_fn devcache_set_tag_header;

/** DevCacheDeviceRule class regex. */
const char *devcache_set_device_rule(cmd_parms *cmd, void *dir, const char *class,
                                     const char *regex);

/* Is DevCacheFragments on anywhere? Which section holds is known only when it is too late to note what
 * parts need. Not changed once the configuration has been read. */
extern int devcache_setters_fragments;

/** Forget what an earlier reading of the configuration noted; called in pre_config. */
void devcache_setters_reset(apr_pool_t *pconf);

/**
 * Check what only the whole configuration shows: `DevCache On` and its like have a store.
 * @return NULL, or one sentence that names the directive, where, and what to do
 */
const char *devcache_setters_check(apr_pool_t *p);

#endif
