/* SPDX-License-Identifier: Apache-2.0 */
#include "request/backend.h"

#include <apr_portable.h>
#include <http_core.h>
#include <httpd.h>
#include <poll.h>
#include <http_connection.h>
#include <util_filter.h>
#include "base/clock.h"
#include "setup/conf.h"
#include "http/field.h"
#include "mod_devcache.h"

#define NAME "Expires:"
#define LONGEST 128 /* no valid line is longer */

static ap_filter_rec_t *dates_filter;

/* Is this line an Expires whose date RFC 9110, section 5.6.7, does not allow? */
static int is_bad_expires(char *line)
{
    apr_time_t date;

    if (ap_cstr_casecmpn(line, NAME, sizeof NAME - 1)) {
        return 0;
    }
    line += sizeof NAME - 1;
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    return !devcache_field_date(line, devcache_now(), &date);
}

/* A look at the first byte, which tells most lines from ours. */
static int may_be_expires(const apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    const char *data;
    apr_size_t len;

    return b != APR_BRIGADE_SENTINEL(bb) &&
           apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS &&
           (len == 0 || (*data | 0x20) == 'e');
}

/* What this thread has seen of the backend that its handlers read from. */
static __thread struct {
    conn_rec *reading; /* the connection, which they have until they end; NULL: none */
    int answered;      /* some of the answer has come */
    int was_closed;    /* none has, and will not: it was closed while it was kept */
    int only_new;      /* no kept one is to be used */
} backend;

void devcache_backend_begin(int only_new)
{
    memset(&backend, 0, sizeof backend);
    backend.only_new = only_new;
}

int devcache_backend_was_closed(void)
{
    return backend.was_closed;
}

/* A line of an answer's head, or that there is none. */
static void note_line(conn_rec *c, apr_status_t rv, const apr_bucket_brigade *bb)
{
    apr_off_t len = 0;

    backend.reading = c;
    if (backend.answered) {
        return;
    }
    if (rv == APR_SUCCESS) {
        apr_brigade_length((apr_bucket_brigade *)bb, 0, &len);
    }
    backend.answered = len > 0;
    if (!backend.answered && c->keepalives > 0 && !APR_STATUS_IS_TIMEUP(rv) &&
        !APR_STATUS_IS_EAGAIN(rv)) {
        backend.was_closed = 1;
    }
}

/* httpd may hold bytes of it already, of which the socket says nothing. */
static int has_read_ahead(apr_pool_t *p)
{
    conn_rec *c = backend.reading;
    apr_bucket_brigade *bb = apr_brigade_create(p, c->bucket_alloc);
    int is_there = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                  APR_NONBLOCK_READ, 1) == APR_SUCCESS &&
                   !APR_BRIGADE_EMPTY(bb);

    apr_brigade_destroy(bb);
    return is_there;
}

apr_status_t devcache_backend_wait(apr_interval_time_t timeout, apr_pool_t *p)
{
    apr_socket_t *socket = backend.reading ? ap_get_conn_socket(backend.reading) : NULL;
    struct pollfd polled = {-1, POLLIN, 0};

    if (!socket || has_read_ahead(p) ||
        apr_os_sock_get(&polled.fd, socket) != APR_SUCCESS) {
        return APR_SUCCESS;
    }
    return poll(&polled, 1, (int)apr_time_as_msec(timeout)) == 0 ? APR_TIMEUP
                                                                 : APR_SUCCESS;
}

/* Of an Expires whose date is none, "0" in its place. */
static apr_status_t mend_expires(apr_bucket_brigade *bb)
{
    char line[LONGEST];
    apr_size_t len = sizeof line - 1;

    if (apr_brigade_flatten(bb, line, &len) != APR_SUCCESS) {
        return APR_SUCCESS;
    }
    line[len] = '\0';
    /* A line still without its end is left alone: it may go on with anything. */
    if (memchr(line, '\n', len) && is_bad_expires(line)) {
        apr_brigade_cleanup(bb);
        return apr_brigade_puts(bb, NULL, NULL, "Expires: 0\r\n");
    }
    return APR_SUCCESS;
}

static apr_status_t dates_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                             apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t rv;

    if (mode == AP_MODE_SPECULATIVE) { /* mod_proxy asks whether it is still there */
        return block == APR_NONBLOCK_READ && backend.only_new && f->c->keepalives > 0
                   ? APR_EOF
                   : ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    if (mode == AP_MODE_GETLINE && block == APR_BLOCK_READ) {
        note_line(f->c, rv, bb);
    }
    return rv == APR_SUCCESS && mode == AP_MODE_GETLINE && may_be_expires(bb)
               ? mend_expires(bb)
               : rv;
}

/* Hook pre_connection: connections to backends, where the cache may store the answer. */
static int watch_backend(conn_rec *c, void *socket)
{
    if (c->outgoing && devcache_conf_server(c->base_server)->store) {
        ap_add_input_filter_handle(dates_filter, NULL, NULL, c);
    }
    return OK;
}

void devcache_backend_register(void)
{
    dates_filter = ap_register_input_filter("DEVCACHE_DATES", dates_in, NULL,
                                            AP_FTYPE_CONNECTION);
    ap_hook_pre_connection(watch_backend, NULL, NULL, APR_HOOK_LAST);
}
