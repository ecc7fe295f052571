/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEVCACHE_LENGTH: has all of it come that the application has stated?
 *
 * A CGI script or an SCGI application that is killed leaves half a page, which looks whole:
 * httpd drops its Content-Length, which is often wrong, unless a variable says that it can be
 * trusted. We set that while the handler runs. This filter, in front of all others, drops the
 * length itself, so that neither filters nor clients see it, and compares it with what comes:
 *
 *     less, or more    goes out as it is, as without us, and is not stored
 *     a part of a page, either: the page is not stored
 *
 * The visitor cannot tell, as httpd alone would not let him either: many an application states
 * a wrong length and works.
 *
 * Where the administrator has set the variable, httpd and the filters behind see the length.
 */
#include "request/length.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>
#include "mod_devcache.h"

#define TRUSTED "ap_trust_cgilike_cl"
#define HELD_MAX (64 << 10) /* bytes read before they are passed on */

typedef struct length_t {
    devcache_exchange_t *x;
    int begun;
    apr_off_t stated, came;
} length_t;

static ap_filter_rec_t *length_filter;
static const char ours[] = "1"; /* the variable's value, if it is this very one */

static int is_scgi(const char *to)
{
    const char *behind;

    if (!to || strncmp(to, "proxy:", 6)) {
        return 0;
    }
    to += 6;
    behind = !ap_cstr_casecmpn(to, "unix:", 5) ? strchr(to, '|') : NULL;
    return !ap_cstr_casecmpn(behind ? behind + 1 : to, "scgi:", 5);
}

/* Is it one whose handler drops the length, and has no other way to know the end? */
static int is_dropped(const request_rec *r)
{
    return (r->handler &&
            (!strcmp(r->handler, "cgi-script") || !strcmp(r->handler, CGI_MAGIC_TYPE))) ||
           is_scgi(r->handler) || is_scgi(r->filename);
}

void devcache_length_begin(request_rec *r, devcache_exchange_t *x)
{
    length_t *l;

    if (is_dropped(r) && !apr_table_get(r->subprocess_env, TRUSTED)) {
        apr_table_setn(r->subprocess_env, TRUSTED, ours);
        l = apr_pcalloc(r->pool, sizeof *l);
        l->x = x;
        ap_add_output_filter_handle(length_filter, l, r, r->connection);
    }
}

/* Take the length away, and the variable. NULL: there was none. */
static const char *take(request_rec *r)
{
    const char *value = NULL;

    if (apr_table_get(r->subprocess_env, TRUSTED) == ours) {
        apr_table_unset(r->subprocess_env, TRUSTED);
        value = apr_table_get(r->headers_out, "Content-Length");
        apr_table_unset(r->headers_out, "Content-Length");
    }
    return value;
}

void devcache_length_end(request_rec *r)
{
    take(r);
}

/* Does httpd send a file in place of the body? mod_xsendfile, or a part that has been run. */
static int is_replaced(const request_rec *r, const length_t *l)
{
    return apr_table_get(r->err_headers_out, "X-Sendfile") ||
           apr_table_get(r->err_headers_out, "X-Sendfile-Temporary") ||
           (!r->main && l->x->part.any);
}

/* Is there a body of the application's own, whose length it has stated? */
static int is_comparable(request_rec *r, length_t *l)
{
    const char *value = take(r);

    return value && ap_parse_strict_length(&l->stated, value) && !r->header_only &&
           !AP_STATUS_IS_HEADER_ONLY(r->status) && !is_replaced(r, l);
}

/* The end: is it all? */
static void compare(ap_filter_t *f, const length_t *l)
{
    request_rec *r = f->r;
    int lacks = l->came < l->stated;
    int wanted = !r->connection->aborted && !r->header_only;

    if (l->came == l->stated) {
        return;
    }
    ap_log_rerror(APLOG_MARK, lacks && wanted ? APLOG_WARNING : APLOG_DEBUG, 0, r,
                  DCLOGNO(0324) "length: %s: the application has stated %" APR_OFF_T_FMT
                                " bytes, and sent %" APR_OFF_T_FMT "; not stored",
                  r->uri, l->stated, l->came);
    if (r->main) {
        l->x->part.spoils = 1;
    } else {
        l->x->origin.misstated = 1;
    }
}

/* Move the first bucket of @a bb, counted, to what is passed on next. APR_EAGAIN: its data is
 * not there yet. */
static apr_status_t count(length_t *l, apr_bucket_brigade *bb,
                          apr_bucket_brigade *counted, apr_read_type_e block)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    apr_size_t len = b->length;
    apr_status_t rv = APR_SUCCESS;
    const char *data;

    if (!APR_BUCKET_IS_METADATA(b)) {
        if (len == (apr_size_t)-1 &&
            (rv = apr_bucket_read(b, &data, &len, block)) != APR_SUCCESS) {
            return rv;
        }
        l->came += (apr_off_t)len;
    }
    APR_BUCKET_REMOVE(b);
    APR_BRIGADE_INSERT_TAIL(counted, b);
    return rv;
}

/* The application hangs, or cannot be read: its end, as who reads on waits once more. That
 * it broke off the visitor can tell, as from httpd alone. */
static void break_off(ap_filter_t *f, const length_t *l, apr_bucket_brigade *bb,
                      apr_bucket_brigade *counted)
{
    apr_bucket_alloc_t *alloc = f->c->bucket_alloc;

    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    if (l->came != l->stated && !f->r->main) {
        APR_BRIGADE_INSERT_TAIL(
            counted, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, f->r->pool, alloc));
    }
}

/* What is there goes on before the application is waited for, and before it becomes much. */
static apr_status_t pass_counted(ap_filter_t *f, length_t *l, apr_bucket_brigade *bb)
{
    apr_bucket_brigade *counted = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    apr_read_type_e block = APR_NONBLOCK_READ;
    apr_off_t passed = l->came;

    while (!APR_BRIGADE_EMPTY(bb) && !APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb))) {
        apr_status_t rv = count(l, bb, counted, block);

        if (rv != APR_SUCCESS && (block == APR_BLOCK_READ || !APR_STATUS_IS_EAGAIN(rv))) {
            break_off(f, l, bb, counted);
            break;
        }
        block = rv == APR_SUCCESS ? APR_NONBLOCK_READ : APR_BLOCK_READ;
        if (block == APR_BLOCK_READ) {
            APR_BRIGADE_INSERT_TAIL(counted, apr_bucket_flush_create(f->c->bucket_alloc));
        } else if (l->came - passed <= HELD_MAX) {
            continue;
        }
        passed = l->came;
        if ((rv = ap_pass_brigade(f->next, counted)) != APR_SUCCESS) {
            return rv;
        }
        apr_brigade_cleanup(counted);
    }
    if (!APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb))) {
        compare(f, l);
        ap_remove_output_filter(f);
    }
    APR_BRIGADE_CONCAT(counted, bb);
    return ap_pass_brigade(f->next, counted);
}

static apr_status_t length_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    length_t *l = f->ctx;

    if (APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (!l->begun) {
        l->begun = 1;
        if (!is_comparable(f->r, l)) {
            ap_remove_output_filter(f);
            return ap_pass_brigade(f->next, bb);
        }
    }
    return pass_counted(f, l, bb);
}

void devcache_length_register(void)
{
    length_filter = ap_register_output_filter("DEVCACHE_LENGTH", length_out, NULL,
                                              AP_FTYPE_RESOURCE - 6);
}
