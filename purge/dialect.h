/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file purge/dialect.h
 * What a purge request asks for, in any of the dialects that applications speak.
 *
 * Pure functions over a request's parts; no httpd, no store.
 * Ownership  Results point into what was given or live in the pool given.
 * Errors     One sentence of plain ASCII without quotes, and a status: 400 for what is
 *            malformed, 501 for what is well-formed and cannot be done here. Nothing is
 *            ever done by halves or passed over in silence.
 */
#ifndef DEVCACHE_PURGE_DIALECT_H
#define DEVCACHE_PURGE_DIALECT_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "purge/ban.h"

typedef struct devcache_asked_t {
    const char *method; /* PURGE, BAN, PURGEKEYS or REFRESH; GET as PURGE */
    const char *host;   /* in lower case, without port */
    const char *path;   /* decoded and normalised, begins with a slash */
    const char *sent;   /* the same as it was sent; may have more in front of it */
    const char *query;  /* as sent; NULL: none */
    const char *own;    /* a field that this server adds itself; NULL: none */
    const apr_table_t *headers;
    const apr_array_header_t *tag_names; /* const char *: fields with tags */
} devcache_asked_t;

/** What to purge: one URL, or what bans are about. */
typedef struct devcache_plan_t {
    int exact;      /* the URL as asked, and no other; else the bans' */
    int hard, soft; /* which of the two is wanted; both with xkey's two fields */
    devcache_ban_t hard_ban, soft_ban; /* exact: only the device counts */
    int refill;                        /* fetch again what goes */
    apr_interval_time_t wait;          /* for the other machines, microseconds; -1: not */
} devcache_plan_t;

/** The methods that are purges; ends with NULL. GET, HEAD and POST are read as PURGE. */
extern const char *const devcache_dialect_methods[];

/**
 * Read a request.
 * @return NULL and *plan, or what is wrong and *pstatus
 */
const char *devcache_dialect_read(const devcache_asked_t *asked, devcache_plan_t *plan,
                                  int *pstatus, apr_pool_t *p);

#endif
