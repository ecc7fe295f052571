/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/status_text.h
 * The report for programs: `key: value` lines, JSON, and Prometheus' text format.
 *
 * Glue; the handler of watch/status.h has chosen the form. docs/monitoring.md tells
 * what stands in each; names there are stable.
 */
#ifndef DEVCACHE_WATCH_STATUS_TEXT_H
#define DEVCACHE_WATCH_STATUS_TEXT_H

#include <httpd.h>

void devcache_status_auto(request_rec *r);
void devcache_status_json(request_rec *r);
void devcache_status_prometheus(request_rec *r);

#endif
