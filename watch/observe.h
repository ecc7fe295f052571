/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/observe.h
 * `DevCache Observe`: decide and count as if the cache were on, and change nothing.
 *
 * Glue. Requests go to the origin as they are, answers to the client as they come; a copy
 * of the exchange goes the way that the real one would, with the shadow index of
 * stats/shadow.h in place of the store.
 */
#ifndef DEVCACHE_WATCH_OBSERVE_H
#define DEVCACHE_WATCH_OBSERVE_H

#include "base/json.h"
#include "request/request.h"

/**
 * After each reading of the configuration: where DevCache Observe stands, and the classes
 * there are. Makes the shadow index when the first one is seen. Parent only.
 */
void devcache_observe_start(server_rec *main_server, apr_pool_t *ptemp);

/** Hook handler, before the cache's own. Always DECLINED. */
int devcache_observe_handler(request_rec *r);

/** Hook insert_filter, where what is stored is seen. */
void devcache_observe_insert(request_rec *r);
void devcache_observe_register(void);

/** What was counted, in the forms of the status page; nothing, if nothing is observed. */
void devcache_observe_auto(request_rec *r);
void devcache_observe_json(devcache_json_t *j);
void devcache_observe_page(request_rec *r);

#endif
