/**
 * @file devcache_sweep.h
 * Purges of many objects: the ring of the latest, the sweep that carries one out, and
 * the question whether one has come since.
 *
 * devcache_store_purge() itself is in devcache_store.h.
 */
#ifndef DEVCACHE_SWEEP_H
#define DEVCACHE_SWEEP_H

#include "devcache_record.h"
#include "devcache_store_int.h"

/** The number of the latest purge of many; what begins now has seen up to it. */
apr_uint64_t devcache_sweep_latest(const devcache_shared_t *sh);

/**
 * Has a purge since *pseen been about one of @a n objects? Reads the log, takes no lock.
 * @param pseen  raised to the latest that was looked at
 * @return APR_SUCCESS if none was; APR_EGENERAL if one was, or if it cannot be told
 */
apr_status_t devcache_sweep_overtaken(devcache_store_t *s,
                                      const devcache_described_t *objects, unsigned n,
                                      apr_uint64_t *pseen);

/** What a record says about itself to those who judge it. */
devcache_described_t devcache_sweep_describe(const devcache_record_t *rec);

#endif
