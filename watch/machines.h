/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/machines.h
 * What is shown of other machines (DevCacheTier): in ?json, ?prometheus and on the page.
 *
 * Glue. Nothing is shown of a root that has no DevCacheTier.
 */
#ifndef DEVCACHE_WATCH_MACHINES_H
#define DEVCACHE_WATCH_MACHINES_H

#include "base/json.h"
#include "watch/report.h"

/** A member "machines" of the object that is open, an array with one object a root. */
void devcache_machines_json(devcache_json_t *j, const devcache_report_t *rep);

void devcache_machines_prometheus(request_rec *r, const devcache_report_t *rep);

/** The section "Machines". */
void devcache_machines_page(request_rec *r, const devcache_report_t *rep);

#endif
