/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/probe.h
 * Can the store be written and read, now? Tried, not guessed.
 *
 * Core. For load balancers and the like, which may ask often: the disk is tried once a
 * second at most, by one of all who ask in the whole server, and the others are told what
 * that one found. A try that does not come back (a network file system that hangs) costs
 * one thread, not one for each question.
 *
 * Locks      One that nobody waits for, held for a try. After a kill in the middle of one
 *            the next to ask tries again.
 */
#ifndef DEVCACHE_STORE_PROBE_H
#define DEVCACHE_STORE_PROBE_H

#include "devcache_store.h"

/** Parent only, before it forks; @a p must outlive the children (the process pool). */
apr_status_t devcache_probe_create(apr_pool_t *p);

/**
 * Try it, or tell what was found less than a second ago.
 * @return NULL if the store can be used, else one sentence in @a p: what failed and why
 */
const char *devcache_probe_store(devcache_store_t *s, apr_time_t now, apr_pool_t *p);

#endif
