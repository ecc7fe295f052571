/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/stream.h
 * A response that somebody else is fetching, sent to a client as it comes.
 *
 * Glue; for request/collapse.c. The file is the caller's; the request's thread alone uses a
 * stream.
 */
#ifndef DEVCACHE_REQUEST_STREAM_H
#define DEVCACHE_REQUEST_STREAM_H

#include <apr_portable.h>
#include <xxhash.h>
#include "request/request.h"

typedef struct devcache_stream_t {
    request_rec *r;
    devcache_exchange_t *x;
    devcache_flight_view_t view;
    apr_os_file_t fd;
    apr_off_t base;           /* of the body in the file */
    apr_int64_t expect;       /* its length; -1: not known */
    apr_uint64_t pos;         /* the next byte to be passed on */
    apr_uint64_t end;         /* the first that is not wanted; 0: all are */
    apr_time_t begun;         /* monotonic */
    apr_interval_time_t late; /* the last time it was to be woken */
    XXH3_state_t *sum;        /* of what was passed on */
    apr_bucket_brigade *bb;
} devcache_stream_t;

/**
 * Can the range that is asked for be served from it: is it of this version, there, or about
 * to come? Then pos and end are set. x->found.stored is the stream's head.
 */
int devcache_stream_wants(devcache_stream_t *s);

/** Make a part of the head of the whole that @a s->r has, where one is wanted. */
void devcache_stream_show_range(const devcache_stream_t *s);

/** Send it, to its end or until it is torn. @return the handler's result */
int devcache_stream_body(devcache_stream_t *s);

#endif
