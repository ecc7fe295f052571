/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/finish.h
 * Work for nobody: how long a fetch goes on when all who wanted it have left
 * (DevCacheFinish).
 *
 * Glue, for the filter that stores (request/save.c).
 */
#ifndef DEVCACHE_REQUEST_FINISH_H
#define DEVCACHE_REQUEST_FINISH_H

#include "request/request.h"

/** Is it time to end the fetch, as nobody reads it and nobody will soon? */
int devcache_finish_is_due(request_rec *r, devcache_exchange_t *x);

/**
 * The origin has nothing more at hand: where nobody reads, wait here, so that it does not
 * take the origin's next word to end the fetch. Returns when there is more, when somebody
 * reads, or when the fetch is to end. Where it is not known what is read from it returns
 * at once.
 */
void devcache_finish_pause(request_rec *r, devcache_exchange_t *x);

#endif
