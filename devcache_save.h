/**
 * @file devcache_save.h
 * The filters that see the origin's answer: one as it came, one as it will go out.
 *
 * Glue. DEVCACHE_ORIGIN stands after the filters that make the content (DEFLATE and the
 * like) and before mod_headers; it notes the fields as they came and turns a 304 to our
 * own condition into the stored response. DEVCACHE_SAVE stands after mod_headers, whose
 * edits of Cache-Control and Vary count; it decides, and tees the body into the store.
 */
#ifndef DEVCACHE_SAVE_H
#define DEVCACHE_SAVE_H

#include "devcache_request.h"

void devcache_save_register(void);

/** Hook insert_filter, after content filters and before mod_headers. */
void devcache_save_insert_origin(request_rec *r);

/** Hook insert_filter, after mod_headers. */
void devcache_save_insert_save(request_rec *r);

/** May the response in @a r with these fields be stored? Fills x->fresh, spec, expect. */
devcache_reason_e devcache_save_judge(request_rec *r, devcache_exchange_t *x,
                                      const apr_table_t *fields);

#endif
