/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/hurts.h
 * What somebody should see to, one line each: the first thing that the status page says.
 *
 * Glue. Each line names the section of docs/monitoring.md that says what to do.
 */
#ifndef DEVCACHE_WATCH_HURTS_H
#define DEVCACHE_WATCH_HURTS_H

#include "watch/report.h"

/**
 * Draw the list, or the sentence that there is nothing to be listed.
 * @param n  the requests of the last hour, by group
 */
void devcache_hurts_page(request_rec *r, const devcache_report_t *rep,
                         const apr_uint64_t n[DEVCACHE_GROUP_COUNT]);

#endif
