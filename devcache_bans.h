/**
 * @file devcache_bans.h
 * The purges that a log has in it, collected for a rebuild of the index.
 */
#ifndef DEVCACHE_BANS_H
#define DEVCACHE_BANS_H

#include "devcache_record.h"
#include "devcache_store_int.h"

typedef struct devcache_bans_t devcache_bans_t;

/** An empty collection; NULL without memory. Ended by devcache_bans_free(), NULL allowed.
 */
devcache_bans_t *devcache_bans_make(devcache_store_t *s);
void devcache_bans_free(devcache_bans_t *bans);

/** Add a record of kind DEVCACHE_RECORD_BAN; 0 without memory. */
int devcache_bans_add(devcache_bans_t *bans, const devcache_record_t *rec);

/** All are there: make the collection ready to judge. */
void devcache_bans_ready(devcache_bans_t *bans);

/**
 * Judge an object of the log.
 * @return 0 if it was purged; else 1, with rec->fresh_until no later than a soft purge
 *         has left it
 */
int devcache_bans_spare(devcache_bans_t *bans, devcache_record_t *rec);

#endif
