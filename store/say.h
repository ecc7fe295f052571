/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/say.h
 * What the store tells about itself: to the log, and as figures.
 */
#ifndef DEVCACHE_STORE_SAY_H
#define DEVCACHE_STORE_SAY_H

#include "store/internal.h"

/* httpd's APLOG_ levels. */
#define DEVCACHE_LOG_ERR 3
#define DEVCACHE_LOG_WARNING 4
#define DEVCACHE_LOG_NOTICE 5

/** Report through conf.log. @a tag: the number of a DCnnnn. */
void devcache_store_say(const devcache_store_conf_t *conf, int level, int tag,
                        apr_status_t rv, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/** The statistics of an index, without any lock: bytes and segments may be of two
 * instants. */
void devcache_store_stats_of(const devcache_shared_t *sh, devcache_store_stats_t *out);

#endif
