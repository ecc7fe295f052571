/* SPDX-License-Identifier: Apache-2.0 */
#include "request/head.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_time.h>
#include "http/field.h"
#include "mod_devcache.h"

/*
 * DEVCACHE_REPLY is the last that changes anything: behind it stand the filters that httpd
 * puts before each answer,
 *
 *     BYTERANGE        cuts what was asked for out of the body
 *     CONTENT_LENGTH   adds up the body, and names its length
 *     HTTP_HEADER      writes the head
 *     HTTP_OUTERROR    looks for errors
 *
 * and what is for the connection. Where these stand there as httpd has put them, and the
 * body is there as a whole, the first three have nothing to do that is not known here: then
 * the head goes into the brigade, and all of it to the fourth. Else they do their work.
 */

#define MAX_FIELDS 60
#define MAX_ADDED 3 /* Connection, Keep-Alive, Content-Type */

typedef devcache_kept_field_t field_t; /* odd, if its name is too long for it */

typedef struct head_t {
    field_t field[MAX_FIELDS];
    int count;
    int type;                  /* the place of Content-Type; -1: it is not there */
    apr_size_t size;           /* of all fields as they are written */
    const char *date, *server; /* the values among the fields; NULL: none */
} head_t;

static ap_filter_rec_t *byterange, *content_length, *http_header, *http_outerror;
static const char *status_ok; /* httpd's */

/* ---- what is ordinary ----------------------------------------------------------- */

/* The bytes of a body that ends in this brigade; -1: not known, or there is more to it. */
static apr_off_t whole_length(apr_bucket_brigade *bb)
{
    apr_off_t len = 0;
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            return len;
        }
        if (b->length == (apr_size_t)-1 || AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
            return -1;
        }
        len += (apr_off_t)b->length;
    }
    return -1;
}

/* What BYTERANGE looks at. */
static int has_range(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Range") ||
           apr_table_get(r->headers_in, "Request-Range");
}

/* What BrowserMatch and the like ask of httpd's filter. */
static int is_special(const request_rec *r)
{
    const apr_array_header_t *all = apr_table_elts(r->subprocess_env);
    int i;

    for (i = 0; i < all->nelts; i++) { /* mostly one, which is ours */
        const char *name = APR_ARRAY_IDX(all, i, apr_table_entry_t).key;
        if (!ap_cstr_casecmp(name, "force-no-vary") ||
            !ap_cstr_casecmp(name, "force-response-1.0") ||
            !ap_cstr_casecmp(name, "downgrade-1.0")) {
            return 1;
        }
    }
    return apr_table_get(r->notes, "no-etag") != NULL;
}

static int is_status_ok(const request_rec *r)
{
    return r->status == HTTP_OK && r->status_line &&
           (r->status_line == status_ok ||
            (!strncmp(r->status_line, "200 ", 4) &&
             !*ap_scan_http_field_content(r->status_line)));
}

/* A kept type has been looked at. */
static int has_clean_type(const request_rec *r, const devcache_exchange_t *x)
{
    return !r->content_type ||
           (x->found.stored.kept && r->content_type == x->found.stored.content_type) ||
           !*ap_scan_http_field_content(r->content_type);
}

static int is_ordinary(const request_rec *r, const devcache_exchange_t *x)
{
    return is_status_ok(r) && has_clean_type(r, x) && !r->header_only &&
           !r->assbackwards && !r->chunked && !r->no_cache && !r->content_encoding &&
           apr_is_empty_array(r->content_languages) &&
           apr_is_empty_table(r->err_headers_out) && !has_range(r) && !is_special(r) &&
           !APLOGrtrace3(r);
}

static apr_size_t field_size(const field_t *f)
{
    return (apr_size_t)f->name_len + f->value_len + sizeof(": \r\n") - 1;
}

static int is_named(const field_t *f, const char *name, apr_size_t len)
{
    return f->name_len == len && !ap_cstr_casecmpn(f->name, name, len);
}

#define IS_NAMED(f, name) is_named(f, name, sizeof(name) - 1)

/* @return 0: it is too long */
static int measure(field_t *f, const char *name, const char *value)
{
    apr_size_t name_len = strlen(name), value_len = strlen(value);

    f->name = name;
    f->value = value;
    f->name_len = (apr_uint16_t)name_len;
    f->value_len = (apr_uint32_t)value_len;
    return f->name_len == name_len && f->value_len == value_len;
}

/* Nobody has changed what was said of the length. */
static int is_number(const field_t *f, apr_off_t n)
{
    char *end;

    return f->value_len && apr_strtoi64(f->value, &end, 10) == n && !*end;
}

static devcache_kept_e collect_new(field_t *f, const apr_table_entry_t *e)
{
    return !measure(f, e->key, e->val) || !f->name_len || *ap_scan_http_token(f->name) ||
                   !devcache_field_is_clean(f->value, f->value_len) ||
                   IS_NAMED(f, "Transfer-Encoding") || IS_NAMED(f, "Connection") ||
                   IS_NAMED(f, "Keep-Alive")
               ? DEVCACHE_KEPT_ODD
           : IS_NAMED(f, "Vary")           ? DEVCACHE_KEPT_VARY
           : IS_NAMED(f, "Content-Length") ? DEVCACHE_KEPT_LENGTH
           : IS_NAMED(f, "Content-Type")   ? DEVCACHE_KEPT_TYPE
           : IS_NAMED(f, "Date")           ? DEVCACHE_KEPT_DATE
           : IS_NAMED(f, "Server")         ? DEVCACHE_KEPT_SERVER
                                           : DEVCACHE_KEPT_PLAIN;
}

/* All fields, if they can be sent as they are. */
static int collect(head_t *head, const request_rec *r, const devcache_exchange_t *x,
                   int all_known)
{
    const devcache_kept_field_t *next = x->answer.known, *known;
    const devcache_kept_field_t *last = next + x->answer.count_known;
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    devcache_kept_e is;
    int has_length = 0;

    head->size = 0;
    head->type = -1;
    head->date = head->server = NULL;
    if (all->nelts > MAX_FIELDS - MAX_ADDED) {
        return 0;
    }
    all_known = all_known && all->nelts == x->answer.count_known;
    for (head->count = 0; head->count < all->nelts; head->count++, e++) {
        field_t *f = &head->field[head->count];
        known = NULL;
        if (all_known) {
            known = next++;
        } else if (next != last && next->name == e->key) {
            known = next->value == e->val ? next : NULL;
            next++;
        }
        if (known) { /* how long it is, too, and that it is clean */
            *f = *known;
            is = known->is;
        } else {
            is = collect_new(f, e);
        }
        head->size += field_size(f);
        switch (is) {
        case DEVCACHE_KEPT_ODD:
            return 0;
        case DEVCACHE_KEPT_VARY:
            if (f->value != x->answer.vary) {
                return 0; /* not each name once */
            }
            break;
        case DEVCACHE_KEPT_LENGTH:
            has_length = known || is_number(f, r->clength);
            break;
        case DEVCACHE_KEPT_TYPE:
            if (head->type >= 0) {
                return 0;
            }
            head->type = head->count;
            break;
        case DEVCACHE_KEPT_DATE:
            head->date = f->value;
            break;
        case DEVCACHE_KEPT_SERVER:
            head->server = f->value;
            break;
        default:
            break;
        }
    }
    return has_length;
}

/* ---- writing -------------------------------------------------------------------- */

static inline char *put(char *at, const char *s, apr_size_t len)
{
    memcpy(at, s, len);
    return at + len;
}

static inline char *put_field(char *at, const field_t *f)
{
    at = put(at, f->name, f->name_len);
    at = put(at, ": ", 2);
    at = put(at, f->value, f->value_len);
    return put(at, "\r\n", 2);
}

/* What httpd adds to the fields: how the connection goes on, and the type, which may be
 * there. */
static void complete(request_rec *r, head_t *head)
{
    const char *type = ap_make_content_type(r, r->content_type);
    const apr_array_header_t *all = apr_table_elts(r->headers_out);

    ap_set_keepalive(r);
    if (type && head->type >= 0 && head->field[head->type].value != type) {
        field_t *f = &head->field[head->type];
        head->size -= f->value_len;
        f->value = type;
        f->value_len = strlen(type);
        head->size += f->value_len;
        apr_table_setn(r->headers_out, "Content-Type", type);
    } else if (type && head->type < 0) {
        apr_table_addn(r->headers_out, "Content-Type", type);
    }
    for (; head->count < all->nelts && head->count < MAX_FIELDS; head->count++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, head->count, apr_table_entry_t);
        measure(&head->field[head->count], e->key, e->val);
        head->size += field_size(&head->field[head->count]);
    }
}

/* Date and Server of what was proxied are the origin's, all others httpd's own. */
static const char *date_of(request_rec *r, const head_t *head)
{
    char *now;

    if (r->proxyreq != PROXYREQ_NONE && head->date) {
        return head->date;
    }
    now = apr_palloc(r->pool, APR_RFC822_DATE_LEN);
    ap_recent_rfc822_date(now, r->request_time);
    return now;
}

static const char *server_of(request_rec *r, const head_t *head)
{
    return r->proxyreq != PROXYREQ_NONE && head->server ? head->server
                                                        : ap_get_server_banner();
}

static apr_bucket *make_head(request_rec *r, head_t *head, apr_bucket_alloc_t *alloc)
{
    field_t date, server;
    apr_size_t status_len = strlen(r->status_line);
    apr_size_t size = sizeof(AP_SERVER_PROTOCOL " \r\n\r\n") + status_len;
    char *text, *at;
    int i;

    complete(r, head);
    measure(&date, "Date", date_of(r, head));
    measure(&server, "Server", server_of(r, head));
    size += head->size + field_size(&date) + field_size(&server);
    at = text = apr_bucket_alloc(size, alloc);
    at = put(at, AP_SERVER_PROTOCOL " ", sizeof(AP_SERVER_PROTOCOL " ") - 1);
    at = put(at, r->status_line, status_len);
    at = put(at, "\r\n", 2);
    at = put_field(at, &date);
    if (server.value_len) {
        at = put_field(at, &server);
    }
    for (i = 0; i < head->count; i++) {
        const field_t *f = &head->field[i];
        if (f->value != head->date && f->value != head->server) {
            at = put_field(at, f);
        }
    }
    at = put(at, "\r\n", 2);
    return apr_bucket_heap_create(text, (apr_size_t)(at - text), apr_bucket_free, alloc);
}

/* ---- out it goes ---------------------------------------------------------------- */

/* HTTP_OUTERROR, if the four stand there as httpd has put them, and have not begun. */
static ap_filter_t *past_httpds(ap_filter_t *f)
{
    const ap_filter_rec_t *const all[] = {byterange, content_length, http_header};
    int i;

    for (i = 0; i < 3; i++, f = f->next) {
        if (!f || f->frec != all[i] || f->ctx) {
            return NULL;
        }
    }
    return f && f->frec == http_outerror ? f : NULL;
}

/* Whoever stands before them passes on to @a last from now on. */
static void leave_out(request_rec *r, const ap_filter_t *first, ap_filter_t *last)
{
    ap_filter_t **at = &r->output_filters;

    while (*at && *at != first) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = last;
    }
    r->proto_output_filters = last;
}

apr_status_t devcache_head_pass(request_rec *r, devcache_exchange_t *x, int known,
                                ap_filter_t *next, apr_bucket_brigade *bb)
{
    ap_filter_t *last = r->connection->master ? NULL : past_httpds(next);
    apr_off_t len = last && is_ordinary(r, x) ? whole_length(bb) : -1;
    head_t head;

    if (len >= 0 && !x->answer.count_known) {
        ap_set_content_length(r, len); /* as CONTENT_LENGTH would do */
    }
    if (len < 0 || len != r->clength || !collect(&head, r, x, known)) {
        return ap_pass_brigade(next, bb);
    }
    APR_BRIGADE_INSERT_HEAD(bb, make_head(r, &head, bb->bucket_alloc));
    r->sent_bodyct = 1;
    r->bytes_sent += len;
    leave_out(r, next, last);
    return ap_pass_brigade(last, bb);
}

void devcache_head_init(void)
{
    status_ok = ap_get_status_line(HTTP_OK);
    byterange = ap_get_output_filter_handle("BYTERANGE");
    content_length = ap_get_output_filter_handle("CONTENT_LENGTH");
    http_header = ap_get_output_filter_handle("HTTP_HEADER");
    http_outerror = ap_get_output_filter_handle("HTTP_OUTERROR");
}
