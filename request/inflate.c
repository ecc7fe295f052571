/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inflating.
 *
 * The whole body is inflated before the head goes out, so that its length is known, ranges
 * of it can be cut, and what turns out to be no gzip, or is cut short, comes from the origin
 * instead. It is held in memory, up to INFLATED_MAX: what is compressed is text, and longer
 * ones come from the origin as well. Several gzip members in a row are one body (RFC 1952,
 * section 2.2).
 *
 * Its entity tag has a suffix of its own, "-gunzip", as mod_deflate's filter INFLATE gives it:
 * it is another representation, always of the same bytes, and a strong tag stays strong. What
 * tells of the compressed bytes (Content-MD5, digests) goes.
 */
#include "request/inflate.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <unistd.h>
#include <zlib.h>
#include "http/field.h"
#include "mod_devcache.h"

#define INFLATED_MAX (4 << 20) /* bytes held */
#define PIECE 65536            /* bytes read, and written, at once */
#define GZIP_WINDOW (15 + 16)  /* zlib: its largest window, and the gzip format alone */

typedef struct source_t {
    const char *data; /* in memory, or NULL: */
    apr_os_file_t fd;
    apr_off_t at;
    apr_uint64_t left; /* bytes not yet read */
    char *buf;
} source_t;

static apr_status_t open_source(request_rec *r, devcache_exchange_t *x, source_t *from)
{
    const devcache_hit_t *hit = x->found.hit;
    apr_file_t *file;
    apr_status_t rv;

    from->left = hit->body_len;
    if ((from->data = hit->body.data)) {
        return APR_SUCCESS;
    }
    from->buf = apr_palloc(r->pool, PIECE);
    rv = devcache_store_open_body(x->server->store, hit, &file, &from->at, r->pool);
    return rv == APR_SUCCESS ? apr_os_file_get(&from->fd, file) : rv;
}

/* The next bytes; APR_EOF: there are no more. */
static apr_status_t read_more(source_t *from, z_stream *z)
{
    apr_size_t want = from->left < PIECE ? (apr_size_t)from->left : PIECE;
    ssize_t n = (ssize_t)want;

    if (!want) {
        return APR_EOF;
    }
    if (from->data) {
        z->next_in = (Bytef *)from->data;
        from->data += n;
    } else {
        do {
            n = pread(from->fd, from->buf, want, from->at);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) {
            return n < 0 ? errno : APR_EOF;
        }
        z->next_in = (Bytef *)from->buf;
        from->at += n;
    }
    z->avail_in = (uInt)n;
    from->left -= (apr_uint64_t)n;
    return APR_SUCCESS;
}

/* One buffer's worth. APR_EOF: the body has ended, as it should. */
static apr_status_t inflate_piece(source_t *from, z_stream *z, int *ended)
{
    while (z->avail_out > 0) {
        apr_status_t rv = z->avail_in ? APR_SUCCESS : read_more(from, z);
        int zrv;

        if (rv == APR_EOF) {
            return *ended ? APR_EOF : APR_EINCOMPLETE;
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (*ended && inflateReset(z) != Z_OK) {
            return APR_EGENERAL;
        }
        zrv = inflate(z, Z_NO_FLUSH);
        *ended = zrv == Z_STREAM_END;
        if (zrv != Z_OK && zrv != Z_STREAM_END) {
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t inflate_all(source_t *from, z_stream *z, apr_bucket_brigade *bb,
                                apr_int64_t *plen)
{
    apr_status_t rv = APR_SUCCESS;
    int ended = 0;

    for (*plen = 0; rv == APR_SUCCESS && *plen <= INFLATED_MAX;) {
        char *out = apr_bucket_alloc(PIECE, bb->bucket_alloc);
        apr_size_t len;

        z->next_out = (Bytef *)out;
        z->avail_out = PIECE;
        rv = inflate_piece(from, z, &ended);
        len = PIECE - z->avail_out;
        if (len > 0) {
            APR_BRIGADE_INSERT_TAIL(
                bb, apr_bucket_heap_create(out, len, apr_bucket_free, bb->bucket_alloc));
        } else {
            apr_bucket_free(out);
        }
        *plen += (apr_int64_t)len;
    }
    return rv == APR_EOF && *plen <= INFLATED_MAX ? APR_SUCCESS
           : rv == APR_SUCCESS || rv == APR_EOF   ? APR_ENOSPC
                                                  : rv;
}

apr_status_t devcache_inflate_body(request_rec *r, devcache_exchange_t *x,
                                   apr_bucket_brigade *bb, apr_int64_t *plen)
{
    source_t from = {0};
    z_stream z = {0};
    apr_status_t rv = open_source(r, x, &from);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
        return APR_ENOMEM;
    }
    rv = inflate_all(&from, &z, bb, plen);
    inflateEnd(&z);
    if (rv != APR_SUCCESS) {
        apr_brigade_cleanup(bb);
        ap_log_rerror(APLOG_MARK, rv == APR_ENOSPC ? APLOG_DEBUG : APLOG_WARNING, 0, r,
                      DCLOGNO(0136) "inflate: %s [%s]: %s; asked of the origin without "
                                    "compression",
                      devcache_vary_key_url(x->asked.key, r->pool), x->device.class,
                      rv == APR_ENOSPC ? "longer than 4 MB"
                                       : "is said to be gzip, and is not");
    }
    return rv;
}

const char *devcache_inflate_etag(const apr_table_t *stored, apr_pool_t *p)
{
    const char *tag = devcache_field_single(stored, "ETag");
    devcache_etag_t etag;

    return devcache_field_etag(tag, &etag)
               ? apr_pstrcat(p, etag.weak ? "W/" : "",
                             apr_pstrmemdup(p, etag.opaque.data, etag.opaque.len - 1),
                             "-gunzip\"", NULL)
               : NULL;
}

void devcache_inflate_fields(request_rec *r, const devcache_exchange_t *x)
{
    static const char *const gone[] = {"Content-Encoding", "Content-Length",
                                       "Content-MD5",      "Content-Digest",
                                       "Repr-Digest",      "Digest"};
    const char *etag = devcache_inflate_etag(r->headers_out, r->pool);
    apr_size_t i;

    for (i = 0; i < sizeof gone / sizeof *gone; i++) {
        apr_table_unset(r->headers_out, gone[i]);
    }
    if (etag) {
        apr_table_setn(r->headers_out, "ETag", etag);
    }
    apr_table_mergen(r->headers_out, "Vary", "Accept-Encoding"); /* reply.c: once */
}
