/**
 * @file devcache_backend.h
 * What mod_proxy would mend before the cache can see it.
 *
 * mod_proxy rewrites the dates of a response while it reads them, and takes some that
 * RFC 9110 does not allow (another time zone, a missing comma) for good: an Expires that
 * means "expired" would become one in the future. A filter on connections to backends
 * replaces such a value by "0", which means the same and stays what it is.
 *
 * Glue.
 */
#ifndef DEVCACHE_BACKEND_H
#define DEVCACHE_BACKEND_H

/** Register the filter and its hook. */
void devcache_backend_register(void);

#endif
