/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file watch/status_page.h
 * The report for people: one HTML page, without script or any outside resource.
 *
 * Glue; the handler of watch/status.h has chosen the form. URLs and sentences in it
 * may come from strangers: all text is escaped, and the page's Content-Security-Policy
 * would let nothing run that were not.
 */
#ifndef DEVCACHE_WATCH_STATUS_PAGE_H
#define DEVCACHE_WATCH_STATUS_PAGE_H

#include <httpd.h>

/** ?refresh has the browser fetch it anew every ten seconds. */
void devcache_status_page(request_rec *r);

#endif
