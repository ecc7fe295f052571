/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resuming.
 *
 * Where a fetch can no longer be written down for those who follow it, as the disk is
 * full, each of them asks the origin itself. Its client has the head and a part of the
 * body; a filter in front of all others takes that part off the new answer. It must be the
 * same response: status, validators, length, and each byte that is taken off. If it is not
 * the client's connection is closed, as before.
 */
#include "request/resume.h"

#include <http_log.h>
#include <http_protocol.h>
#include <string.h>
#include <util_filter.h>
#include <xxhash.h>
#include "mod_devcache.h"
#include "request/fetch.h"
#include "request/origin.h"
#include "request/tee.h"

typedef struct resume_t {
    int status; /* of what the client has */
    const char *etag, *modified, *length;
    apr_uint64_t left; /* bytes to take off */
    apr_uint64_t sum;  /* that they must have */
    XXH3_state_t *state;
    int begun, over;
} resume_t;

static ap_filter_rec_t *resume_filter;

static int is_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static int is_same_response(request_rec *r, const resume_t *u)
{
    apr_table_t *fields = devcache_request_fields_out(r);

    return r->status == u->status && is_equal(apr_table_get(fields, "ETag"), u->etag) &&
           is_equal(apr_table_get(fields, "Last-Modified"), u->modified) &&
           (!u->length || is_equal(apr_table_get(fields, "Content-Length"), u->length));
}

/* Take off what the client has. @return 0 if it is not that */
static int take_off(resume_t *u, apr_bucket_brigade *bb)
{
    while (u->left > 0 && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            return 0;
        }
        if (!APR_BUCKET_IS_METADATA(b)) {
            if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
                return 0;
            }
            if (len > u->left) {
                apr_bucket_split(b, (apr_size_t)u->left);
                len = (apr_size_t)u->left;
            }
            XXH3_64bits_update(u->state, data, len);
            u->left -= len;
        }
        apr_bucket_delete(b);
    }
    return u->left > 0 || XXH3_64bits_digest(u->state) == u->sum;
}

static apr_status_t resume_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    resume_t *u = f->ctx;
    int is_first = !u->begun;

    if (APR_BRIGADE_EMPTY(bb) || u->over) {
        apr_brigade_cleanup(bb);
        return u->over ? APR_ECONNABORTED : APR_SUCCESS;
    }
    u->begun = 1;
    if ((is_first && !is_same_response(f->r, u)) || devcache_origin_error(bb) ||
        (u->left > 0 && !take_off(u, bb))) {
        u->over = 1;
        apr_brigade_cleanup(bb);
        devcache_tee_tear(f->r, f->next);
        return APR_ECONNABORTED;
    }
    return APR_BRIGADE_EMPTY(bb) ? APR_SUCCESS : ap_pass_brigade(f->next, bb);
}

int devcache_resume(request_rec *r, devcache_exchange_t *x, apr_uint64_t sent,
                    apr_uint64_t sum)
{
    apr_table_t *head = r->headers_out;
    resume_t *u = apr_pcalloc(r->pool, sizeof *u);

    u->status = r->status;
    u->etag = apr_table_get(head, "ETag");
    u->modified = apr_table_get(head, "Last-Modified");
    u->length = apr_table_get(head, "Content-Length");
    u->left = sent;
    u->sum = sum;
    u->state = XXH3_createState();
    if (!u->state) {
        devcache_tee_tear(r, r->output_filters);
        return OK;
    }
    XXH3_64bits_reset(u->state);
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r,
        DCLOGNO(0176) "resume: %s: the fetch that this request followed can no "
                      "longer be read; the origin is asked for what comes after "
                      "%" APR_UINT64_T_FMT " bytes",
        devcache_vary_key_url(x->asked.key, r->pool), sent);
    r->headers_out = apr_table_make(r->pool, 8);
    ap_add_output_filter_handle(resume_filter, u, r, r->connection);
    devcache_fetch_again(r, x);
    if (!u->begun) { /* no answer, or one that was to be made an error page of */
        u->over = 1;
        devcache_tee_tear(r, r->output_filters->next);
    }
    XXH3_freeState(u->state);
    r->status = u->status;
    r->headers_out = head;
    return OK;
}

void devcache_resume_register(void)
{
    resume_filter = ap_register_output_filter("DEVCACHE_RESUME", resume_out, NULL,
                                              AP_FTYPE_RESOURCE);
}
