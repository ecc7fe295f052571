/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two readers of one response: the store, which takes everything at once, and the client.
 *
 *     origin --> fill (x->save.written) ......... x->tee.sent --> client
 *                   \_ followers read here      \_ what lies between is in the fill
 *
 * A short body whose length is known is kept back until it is whole, or until whoever
 * sends it has to wait and flushes: one system call instead of two or three, from where
 * the fill has it. If the origin breaks off before anything went out, the client gets a
 * 502 rather than half a page.
 *
 * Of others the client gets bytes straight from the origin's brigade while it keeps up.
 * If its connection has no room for them they are dropped there, being in the fill
 * already, and are read back from it when there is room. When the response is complete,
 * or the fill ends early, the rest comes out of the fill before that goes, and is sent as
 * httpd sends anything; by then nobody waits for this client any more.
 *
 * How much room there is the kernel says: half of the socket's buffer (it counts its own
 * overhead in), less what has not been acknowledged. An HTTP/2 stream has no socket: it
 * may run ahead by what mod_http2 buffers for a stream, and beyond that only while nobody
 * else waits for the same response.
 *
 * mod_proxy stops reading when the client's connection is marked as aborted. While
 * something is being stored the mark is taken off, and put back when the handlers are
 * done: a page half of which was paid for is worth the other half.
 */
#include "request/tee.h"

#include <http_core.h>
#include <http_protocol.h>
#include <apr_portable.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "mod_devcache.h"
#include "stats/stats.h"

#define PIECE 65536        /* bytes read back at once */
#define ALWAYS 16384       /* the first bytes: any new connection has room for them */
#define HEADER 8192        /* ours is about as long as that at most */
#define HELD_BACK 65536    /* what httpd may hold of an answer before ours */
#define STREAM_AHEAD 24576 /* within mod_http2's default buffer for a stream, 32 KB */
#define LEAST 4096         /* less room than that is none */
#define IN_MEMORY                                                                        \
    (256 << 10) /* a rest up to this is sent from memory, else from a file */
#define UNLIMITED APR_SIZE_MAX /* room of who may be waited for */

static apr_size_t room_in_socket(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    socklen_t len = sizeof(int);
    int size = 0, queued = 0;
    apr_os_sock_t fd;

    if (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS ||
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) != 0 ||
        ioctl(fd, SIOCOUTQ, &queued) != 0) {
        return UNLIMITED;
    }
    return size / 2 - queued < LEAST ? 0 : (apr_size_t)(size / 2 - queued);
}

/* On a connection that had requests before: the client may not have read the answers. */
static apr_size_t room_behind(conn_rec *c)
{
    apr_size_t room = room_in_socket(c);
    apr_size_t taken = c->data_in_output_filters ? HEADER + HELD_BACK : HEADER;

    return room > taken ? room - taken : 0;
}

/* Bytes that the client takes now without being waited for. 0: not even the header. */
static apr_size_t room(request_rec *r, const devcache_exchange_t *x, apr_size_t wanted)
{
    conn_rec *c = r->connection;

    if (x->tee.sent == 0 && c->keepalives > 0 && !c->master) { /* streams have 1 there */
        return room_behind(c);
    }
    if (x->tee.sent + (apr_int64_t)wanted <= ALWAYS) {
        return wanted > 0 ? wanted : 1;
    }
    if (!c->master) {
        return room_in_socket(c);
    }
    if (!x->collapse.flight || devcache_flight_followers(x->collapse.flight) == 0) {
        return UNLIMITED;
    }
    return x->tee.sent < STREAM_AHEAD ? (apr_size_t)(STREAM_AHEAD - x->tee.sent) : 0;
}

int devcache_tee_client_gone(request_rec *r, devcache_exchange_t *x)
{
    if (r->connection->aborted && devcache_request_is_saving(x)) {
        r->connection->aborted = 0;
        if (!x->tee.client_gone) {
            x->tee.client_gone = 1;
            devcache_stats_count(DEVCACHE_COUNT_clients_gone);
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                          DCLOGNO(0174) "tee: %s: the client has gone, storing goes on",
                          devcache_vary_key_url(x->asked.key, r->pool));
        }
    }
    return x->tee.client_gone;
}

void devcache_tee_end(request_rec *r, devcache_exchange_t *x)
{
    if (x->tee.client_gone) {
        r->connection->aborted = 1;
    }
}

/* Give what is held to the client, which has room for it. */
static apr_status_t pass_held(ap_filter_t *f, devcache_exchange_t *x, apr_size_t len)
{
    apr_status_t rv = ap_pass_brigade(f->next, x->tee.held);

    apr_brigade_cleanup(x->tee.held);
    x->tee.sent += (apr_int64_t)len;
    if (rv != APR_SUCCESS && devcache_request_is_saving(x)) {
        f->r->connection->aborted = 1;
    }
    return devcache_tee_client_gone(f->r, x) ? APR_SUCCESS : rv;
}

/* Read @a len bytes that the client lacks back into @a bb. */
static apr_status_t read_back(devcache_exchange_t *x, apr_bucket_brigade *bb,
                              apr_uint64_t from, apr_size_t len)
{
    char *data = apr_bucket_alloc(len, bb->bucket_alloc);
    apr_status_t rv = devcache_store_fill_read(x->save.fill, from, data, len);

    if (rv != APR_SUCCESS) {
        apr_bucket_free(data);
        return rv;
    }
    APR_BRIGADE_INSERT_TAIL(
        bb, apr_bucket_heap_create(data, len, apr_bucket_free, bb->bucket_alloc));
    return APR_SUCCESS;
}

static void drop_data(apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb), *next;

    for (; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b) || APR_BUCKET_IS_FLUSH(b)) {
            apr_bucket_delete(b);
        }
    }
}

/* The client lags behind the fill: send what it has room for. */
static apr_status_t catch_up(ap_filter_t *f, devcache_exchange_t *x)
{
    apr_status_t rv = APR_SUCCESS;

    drop_data(x->tee.held);
    while (rv == APR_SUCCESS && !x->tee.client_gone && x->tee.sent < x->save.written) {
        apr_int64_t lacks = x->save.written - x->tee.sent;
        apr_size_t len = lacks < PIECE ? (apr_size_t)lacks : PIECE;
        apr_size_t takes = room(f->r, x, len);
        len = takes < len ? takes : len;
        if (len == 0) {
            break;
        }
        rv = read_back(x, x->tee.held, (apr_uint64_t)x->tee.sent, len);
        if (rv == APR_SUCCESS) {
            APR_BRIGADE_INSERT_TAIL(x->tee.held,
                                    apr_bucket_flush_create(x->tee.held->bucket_alloc));
            rv = pass_held(f, x, len);
        }
    }
    return rv;
}

apr_status_t devcache_tee_pass(ap_filter_t *f, devcache_exchange_t *x, int flush)
{
    apr_off_t len = 0;

    if (devcache_tee_client_gone(f->r, x)) {
        apr_brigade_cleanup(x->tee.held);
        return APR_SUCCESS;
    }
    apr_brigade_length(x->tee.held, 0, &len); /* all was read: lengths are known */
    if (x->tee.sent + len == x->save.written &&
        room(f->r, x, (apr_size_t)len) >= (apr_size_t)(len > 0 ? len : 1)) {
        if (flush) {
            APR_BRIGADE_INSERT_TAIL(x->tee.held,
                                    apr_bucket_flush_create(x->tee.held->bucket_alloc));
        }
        return APR_BRIGADE_EMPTY(x->tee.held) ? APR_SUCCESS
                                              : pass_held(f, x, (apr_size_t)len);
    }
    return catch_up(f, x);
}

void devcache_tee_hold(devcache_exchange_t *x)
{
    drop_data(x->tee.held);
}

/* A short rest is sent from where it lies. */
static apr_status_t rest_from_memory(devcache_exchange_t *x, apr_bucket_brigade *bb,
                                     apr_size_t len, apr_pool_t *p)
{
    apr_uint64_t from = (apr_uint64_t)x->tee.sent;
    const char *data = devcache_store_fill_lend(x->save.fill, from, len);

    if (!data) {
        return read_back(x, bb, from, len);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pool_create(data, len, p, bb->bucket_alloc));
    return APR_SUCCESS;
}

/* A long rest stays in the fill's file, which outlives its name. */
static apr_status_t rest_as_file(request_rec *r, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb, apr_int64_t len)
{
    apr_file_t *file;
    apr_off_t base;
    apr_bucket *b;
    apr_status_t rv = devcache_store_fill_open(x->save.fill, &file, &base, r->pool);

    if (rv == APR_SUCCESS) {
        b = apr_brigade_insert_file(bb, file, base + x->tee.sent, len, r->pool);
#if APR_HAS_MMAP
        apr_bucket_file_enable_mmap(b, 0);
#endif
    }
    return rv;
}

void devcache_tee_settle(request_rec *r, devcache_exchange_t *x)
{
    apr_bucket_brigade *rest;
    apr_off_t len = 0;
    apr_int64_t gap;
    apr_status_t rv = APR_SUCCESS;

    if (!x->tee.held || !x->save.fill || devcache_tee_client_gone(r, x)) {
        return;
    }
    apr_brigade_length(x->tee.held, 0, &len);
    gap = x->save.written - x->tee.sent - len;
    if (gap <= 0) {
        return;
    }
    rest = apr_brigade_create(r->pool, x->tee.held->bucket_alloc);
    if (gap <= IN_MEMORY) {
        rv = rest_from_memory(x, rest, (apr_size_t)gap, r->pool);
    } else {
        rv = rest_as_file(r, x, rest, gap);
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      DCLOGNO(0175) "tee: %s: cannot read back what was stored; the "
                                    "client's connection is closed",
                      devcache_vary_key_url(x->asked.key, r->pool));
        x->tee.torn = 1;
        apr_brigade_cleanup(x->tee.held);
    }
    APR_BRIGADE_PREPEND(x->tee.held, rest);
}

void devcache_tee_tear(request_rec *r, ap_filter_t *to)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, alloc);

    r->connection->keepalive = AP_CONN_CLOSE;
    APR_BRIGADE_INSERT_TAIL(
        bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    ap_pass_brigade(to, bb);
}

apr_status_t devcache_tee_finish(ap_filter_t *f, devcache_exchange_t *x,
                                 apr_bucket_brigade *bb)
{
    request_rec *r = f->r;

    if (x->tee.client_gone) {
        apr_brigade_cleanup(x->tee.held);
        apr_brigade_cleanup(bb);
        r->connection->aborted = 1;
        return APR_ECONNABORTED;
    }
    if (x->tee.torn) {
        apr_brigade_cleanup(bb);
        devcache_tee_tear(r, f->next);
        return APR_EGENERAL; /* whoever sends the rest may stop */
    }
    APR_BRIGADE_PREPEND(bb, x->tee.held);
    return ap_pass_brigade(f->next, bb);
}
