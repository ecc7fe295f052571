/**
 * @file devcache_rebuild.h
 * A lost index, made again from the segments while the store already works.
 *
 * Locks      The rebuild lock, tried once and held by the thread to its end.
 */
#ifndef DEVCACHE_REBUILD_H
#define DEVCACHE_REBUILD_H

#include "devcache_store_int.h"

/** If a rebuild is due, start the thread that does it unless another process does. */
apr_status_t devcache_rebuild_start(devcache_store_t *s);

/** Tell this process's thread to end and wait for it. */
void devcache_rebuild_stop(devcache_store_t *s);

#endif
